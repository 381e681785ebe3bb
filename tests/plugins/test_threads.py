"""Threads that arrive together neither deadlock nor see anything half-done."""

import importlib
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
from motrix_envs.errors import PluginError, PluginWarning

TIMEOUT = 20


def together(*functions):
    """Call functions in threads of their own and return what each returned or raised."""
    barrier = threading.Barrier(len(functions))

    def call(function):
        barrier.wait(TIMEOUT)
        try:
            return function()
        except Exception as error:  # noqa: BLE001 - the test compares it
            return error

    with ThreadPoolExecutor(len(functions)) as pool:
        return [f.result(TIMEOUT) for f in [pool.submit(call, function) for function in functions]]


def test_a_slow_hook(site, registry):
    site.plugin(
        "my-slow",
        "registry.lazy('my_slow.hop', 'my-hop')",
        "time.sleep(0.3)",
        "registry.lazy('my_slow.run', 'my-run')",
        top="import time",
    )

    def both():
        return registry.contains("my-run"), registry.contains("my-hop")

    assert together(*[both] * 4) == [(True, True)] * 4
    assert not registry.failures


def test_a_slow_module(site, registry):
    site.plugin("my-slow", "registry.lazy('my_slow.hop', 'my-hop', 'my-run')")
    site.env(
        "my_slow.hop",
        "my-hop",
        before="import time; time.sleep(0.2)",
        between="time.sleep(0.2)",
        after="time.sleep(0.2); envcfg('my-run')(Cfg); env('my-run')(Env)",
    )

    def look(name):
        return lambda: registry.meta(name).env_cls_dict["np"].__name__

    assert together(*[look("my-hop"), look("my-run")] * 3) == ["Env"] * 6
    assert not registry.failures


def test_nobody_sees_a_module_that_will_fail(site, registry):
    site.plugin("my-slow", "registry.lazy('my_slow.hop', 'my-hop')")
    site.env("my_slow.hop", "my-hop", after="import time; time.sleep(0.3); 1 / 0")
    seen = []

    def watch():
        for _ in range(30):
            seen.extend(r.meta for r in registry.envs() if r.name == "my-hop")
            threading.Event().wait(0.01)

    *errors, _ = together(*[lambda: registry.meta("my-hop")] * 2, watch)
    assert all(isinstance(error, PluginError) for error in errors)
    assert set(seen) == {None}


def test_a_module_imported_on_the_way_in_another_thread(site, registry):
    site.plugin("my-child", "registry.lazy('my_child.run', 'my-run')")
    site.plugin("my-parent", "registry.lazy('my_parent.hop', 'my-hop')")
    site.env("my_parent.hop", "my-hop", after="import time; time.sleep(0.2)")
    slow = "from my_parent.hop import Cfg as Base; import time; time.sleep(0.3)"
    site.env("my_child.run", "my-run", before=slow)
    results = together(lambda: registry.meta("my-run"), lambda: registry.meta("my-hop"))
    assert not [result for result in results if isinstance(result, Exception)]
    assert registry.meta("my-hop").env_cfg_cls is sys.modules["my_parent.hop"].Cfg


def test_a_failing_hook_warns_once(site, registry):
    site.plugin("my-broken", "import time; time.sleep(0.2); raise OSError")
    with pytest.warns(PluginWarning) as caught:
        together(*[registry.envs] * 3)
    assert len(caught) == 1


LOOK = """
import threading
def free(registry):
    def take():
        taken.append(registry._lock.acquire(timeout=5))
        registry._lock.release()
    taken = []
    thread = threading.Thread(target=take)
    thread.start(); thread.join()
    return taken == [True]
"""


def test_the_lock_is_free_during_hooks_and_imports(site, registry):
    site.write("my_look", LOOK)
    site.plugin(
        "my-hook", "registry.lazy('my_hook.hop', 'my-hop')", "assert my_look.free(registry)",
        top="import my_look",
    )  # fmt: skip
    look = "import my_look; from motrix_envs import registry; assert my_look.free(registry.default)"
    site.env("my_hook.hop", "my-hop", between=look)
    assert registry.meta("my-hop")
    assert not registry.failures


def test_an_import_that_looks_up_while_the_hook_imports_it(site, registry):
    # The first thread holds the import lock of `my_shared` and asks the registry; the second one
    # runs the hook, which waits for that lock. Whoever waited for a running hook would hang.
    site.write("my_gate", "import threading; inside = threading.Event(); registry = None")
    site.write(
        "my_shared",
        "import my_gate, time; my_gate.inside.set(); time.sleep(0.3);"
        "found = my_gate.registry.contains('cartpole')",
    )
    site.plugin("my-cross", "registry.lazy('my_cross.hop', 'my-hop')", top="import my_shared")
    gate = importlib.import_module("my_gate")
    gate.registry = registry

    def ask():
        gate.inside.wait(TIMEOUT)
        return registry.contains("cartpole")

    with warnings.catch_warnings():
        # Python breaks the circle: one of the two does without the plugin, for the time being.
        warnings.simplefilter("ignore", PluginWarning)
        first, second = together(lambda: importlib.import_module("my_shared").found, ask)
    assert (first, second) == (True, True)
    registry.refresh()
    assert registry.contains("my-hop")
