"""Installed plugins are found, ordered, switched off, and blamed for what goes wrong."""

import subprocess
import sys
import warnings

import pytest
from motrix_envs import _plugins
from motrix_envs.errors import DuplicateNameError, EnvNotFoundError, PluginError, PluginWarning
from motrix_envs.registry import EnvRegistry


def test_a_good_plugin(site, registry, recwarn):
    site.plugin("my-good", "registry.lazy('my_good.hop', 'my-hop', 'my-hop-rough')")
    site.env("my_good.hop", "my-hop", after="envcfg('my-hop-rough')(Cfg); env('my-hop-rough')(Env)")
    assert registry.contains("my-hop")
    assert "my_good.hop" not in sys.modules, "declaring and asking imports nothing"
    meta = registry.meta("my-hop-rough")
    assert meta.env_cfg_cls.__name__ == "Cfg"
    assert meta.available_sim_backend() == "np"
    assert {str(r.owner) for r in registry.envs() if "my-hop" in r.name} == {"my-good 1.0"}
    listed = registry.list_registered_envs()["my-hop"]
    assert listed["config_class"] == "Cfg"
    assert listed["available_backends"][:2] == ["np", "motrixsim"]
    assert not registry.failures
    assert not recwarn.list


BROKEN = {
    "import": {"top": "raise OSError('libcudart.so.12: cannot open shared object file')"},
    "exit": {"top": "raise SystemExit('no GPU, no fun')"},
    "syntax": {"top": "def ("},
    "missing": {"top": "import no_such_module_anywhere"},
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_plugin_that_cannot_be_imported(site, registry, names, case):
    site.plugin("my-broken", **BROKEN[case])
    site.plugin("my-good", "registry.lazy('my_good.hop', 'my-hop')")
    with pytest.warns(PluginWarning, match="plugin left out: my-broken 1.0") as caught:
        assert registry.contains("my-hop")
    assert len(caught) == 1
    assert "MOTRIX_DISABLE_PLUGINS=my-broken" in str(caught[0].message)
    (failure,) = registry.failures
    assert (failure.owner.name, failure.subject) == ("my-broken", "my_broken.plugin:register")
    assert names() == {"my-hop": "my-good"}


def test_a_hook_that_raises_half_way_leaves_nothing(site, registry, names):
    site.plugin(
        "my-half",
        "registry.lazy('my_half.one', 'my-one')",
        "registry.engine('my-engine', 'my_half.engine:Engine')",
        "raise RuntimeError('half-way')",
    )
    with pytest.warns(PluginWarning, match="RuntimeError: half-way"):
        assert not registry.contains("my-one")
    assert names() == {}
    assert "my-engine" not in [engine.name for engine in registry.engines()]


@pytest.mark.parametrize("intruder", ["my-clash", "aaa-envs"])
def test_a_taken_name_is_refused_whoever_sorts_first(site, registry, intruder, names):
    package = intruder.replace("-", "_")
    claims = f"registry.lazy('{package}.one', 'my-own', 'cartpole')"
    site.plugin(intruder, claims)
    with pytest.warns(PluginWarning) as caught:
        registry.contains("cartpole")
    message = str(caught[0].message)
    assert "environment 'cartpole' already belongs to motrix-envs" in message
    assert f"{intruder} 1.0 has to choose another name" in message
    assert names() == {}
    assert registry.meta("cartpole").env_cfg_cls.__name__ == "CartPoleCfg"
    assert isinstance(registry.failures[0].error, DuplicateNameError)


def test_strangers_come_by_name_after_first_party_ones(site):
    for name in ("my-b", "my-a", "aaa-envs"):
        site.plugin(name)
    owners = [plugin.owner.name for plugin in _plugins.discover("motrix.envs")]
    strangers = [name for name in owners if name not in _plugins.FIRST_PARTY]
    assert owners[0] == "motrix-envs"
    assert strangers == sorted(strangers)
    assert {"my-b", "my-a", "aaa-envs"} <= set(strangers)


@pytest.mark.parametrize("value", ["my_module.plugin", "my_module.plugin:REGISTRY"])
def test_an_entry_point_that_names_no_function(site, registry, value):
    site.plugin("my-module", top="REGISTRY = {}", value=value)
    with pytest.warns(PluginWarning, match="not a function") as caught:
        registry.envs()
    assert 'Write my-module = "my_module.plugin:register"' in str(caught[0].message)


def test_an_entry_point_that_names_nothing(site, registry):
    site.plugin("my-typo", value="my_typo.plugin:regsiter")
    with pytest.warns(PluginWarning, match=r"module 'my_typo.plugin' has no attribute 'regsiter'"):
        registry.envs()


@pytest.mark.parametrize("entry", ["short", None])
@pytest.mark.parametrize("listed", ["my-off", "my_off", "other, My.Off", "short"])
def test_disabled_by_entry_name_or_by_distribution(site, registry, monkeypatch, listed, entry):
    site.plugin("my-off", "raise RuntimeError", entry=entry)
    monkeypatch.setenv("MOTRIX_DISABLE_PLUGINS", listed)
    if listed == "short" and entry is None:
        with pytest.warns(PluginWarning):
            registry.envs()
    else:
        registry.envs()
        assert not registry.failures


def test_enabled_again(site, registry, monkeypatch):
    site.plugin("my-off", "registry.lazy('my_off.hop', 'my-hop')")
    monkeypatch.setenv("MOTRIX_DISABLE_PLUGINS", "my-off")
    assert not registry.contains("my-hop")
    monkeypatch.delenv("MOTRIX_DISABLE_PLUGINS")
    registry.refresh()
    assert registry.contains("my-hop")


def test_strict(site, registry, monkeypatch):
    site.plugin("my-broken", "raise OSError('no such library')")
    site.plugin("my-good", "registry.lazy('my_good.hop', 'my-hop')")
    site.env("my_good.hop", "my-hop", after="raise OSError('nor this')")
    monkeypatch.setenv("MOTRIX_STRICT_PLUGINS", "1")
    for _ in range(2):
        with pytest.raises(PluginError, match=r"my-broken 1.0.*no such library") as caught:
            registry.contains("cartpole")
        assert isinstance(caught.value.__cause__, OSError)
    monkeypatch.setenv("MOTRIX_DISABLE_PLUGINS", "my-broken")
    with pytest.raises(PluginError, match="nor this"):
        registry.list_registered_envs()


@pytest.mark.parametrize("value", ["", "0"])
def test_not_strict(site, registry, monkeypatch, value):
    site.plugin("my-broken", "raise OSError('no such library')")
    monkeypatch.setenv("MOTRIX_STRICT_PLUGINS", value)
    with pytest.warns(PluginWarning):
        assert registry.contains("cartpole")


def test_two_distributions_with_one_entry_name(site, registry, names):
    site.plugin("my-one", "registry.lazy('my_one.hop', 'my-hop')", entry="robots")
    site.plugin("my-two", "registry.lazy('my_two.run', 'my-run')", entry="robots")
    assert registry.contains("my-hop")
    assert names() == {"my-hop": "my-one", "my-run": "my-two"}


def test_one_distribution_with_two_entries(site, registry, names):
    site.hook("my_pair", "registry.lazy('my_pair.hop', 'my-hop')")
    site.write("my_pair.other", "def register(registry): raise OSError('broken')")
    entries = "a = my_pair.other:register\nb = my_pair.plugin:register"
    site.metadata("my-pair", f"[motrix.envs]\n{entries}\n")
    with pytest.warns(PluginWarning, match=r"my-pair 1.0 \(my_pair.other:register\)"):
        registry.envs()
    assert names() == {"my-hop": "my-pair"}


def test_one_warning_per_failure(site, registry):
    site.plugin("my-broken", "raise OSError")
    with pytest.warns(PluginWarning) as caught:
        for _ in range(3):
            registry.contains("cartpole")
            registry.list_registered_envs()
    assert len(caught) == 1


def test_failed_lookups_mention_the_failures(site, registry):
    site.plugin("my-broken", "raise OSError('libfoo.so is missing')")
    with pytest.warns(PluginWarning):
        registry.envs()
    with pytest.raises(EnvNotFoundError) as caught:
        registry.make("my-hop")
    assert "my-broken 1.0" in str(caught.value)
    assert "libfoo.so is missing" in str(caught.value)
    with pytest.raises(ValueError, match=r"libfoo.so is missing"):
        registry.simulation_class("my-engine")


def test_hooks_run_once(site, registry):
    site.write("my_counter", "runs = []")
    site.plugin("my-counted", "import my_counter", "my_counter.runs.append(registry)")
    for _ in range(2):
        registry.envs()
        registry.contains("nothing")
        registry.refresh()
    assert sys.modules["my_counter"].runs == [registry]


def test_a_hook_may_look_around(site, registry, names):
    site.plugin("my-other", "registry.lazy('my_other.hop', 'my-other')")
    site.plugin(
        "my-careful",
        "assert not registry.contains('my-hop')",
        "registry.lazy('my_careful.hop', 'my-hop')",
        "assert registry.contains('my-hop') and registry.contains('cartpole')",
    )
    assert registry.contains("my-hop")
    assert set(names()) == {"my-hop", "my-other"}


def test_a_hook_that_imports_eagerly_works_too(site, registry):
    site.plugin("my-eager", "registry.lazy('my_eager.hop', 'my-hop')", top="import my_eager.hop")
    site.env("my_eager.hop", "my-hop")
    assert registry.meta("my-hop").support_sim_backend("np")
    assert not registry.failures


def test_a_hook_that_failed_works_after_repair(site, registry):
    declare = "registry.lazy('my_repaired.hop', 'my-hop')"
    site.plugin("my-repaired", declare, top="from my_repaired.helper import broken")
    site.write("my_repaired.helper", "broken = 1 / 0")
    with pytest.warns(PluginWarning, match="ZeroDivisionError"):
        registry.envs()
    site.write("my_repaired.helper", "broken = 0")
    assert not registry.contains("my-hop"), "a hook is tried again only when asked to"
    registry.refresh()
    assert registry.contains("my-hop")
    assert not registry.failures


def test_a_hook_that_goes_on_failing_warns_again_when_asked_again(site, registry):
    site.plugin("my-broken", "raise OSError")
    for look in (registry.envs, registry.refresh):
        with pytest.warns(PluginWarning):
            look()


def test_unreadable_neighbours_harm_nobody(site, registry, names):
    site.plugin("my-good", "registry.lazy('my_good.hop', 'my-hop')")
    site.metadata("my-torn", "[motrix.envs]\nthis is no entry point\n")
    site.metadata("my-other", "[other.group]\nthis neither, mentioning motrix.envs\n")
    site.metadata("my-nameless", "[motrix.envs]\nx = my_nameless:register\n")
    (site.folder / "my_nameless-1.0.dist-info" / "METADATA").unlink()
    (site.folder / "my_torn-1.0.dist-info" / "RECORD").write_bytes(b"\xff")
    site.metadata("my-binary", "")
    (site.folder / "my_binary-1.0.dist-info" / "entry_points.txt").write_bytes(b"\xff\xfe[motrix")
    with pytest.warns(PluginWarning, match="the entry points of my-torn 1.0 cannot be read"):
        registry.envs()
    assert names() == {"my-hop": "my-good"}


def test_the_first_copy_on_the_path_counts(site, registry, tmp_path, monkeypatch, names):
    site.plugin("my-twice", "registry.lazy('my_twice.hop', 'my-new')")
    older = tmp_path / "older"
    (older / "my_twice-0.9.dist-info").mkdir(parents=True)
    info = older / "my_twice-0.9.dist-info"
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-twice\nVersion: 0.9\n")
    (info / "entry_points.txt").write_text("[motrix.envs]\nx = my_twice.gone:register\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(older)])
    registry.envs()
    assert names() == {"my-new": "my-twice"}


def test_two_registries_in_one_process(site):
    site.plugin("my-good", "registry.lazy('my_good.hop', 'my-hop')")
    site.env("my_good.hop", "my-hop")
    first, second = EnvRegistry(), EnvRegistry()
    for registry in (first, second, first):
        assert registry.meta("my-hop").env_cfg_cls.__name__ == "Cfg"
    assert not first.failures + second.failures


def test_importing_the_packages_runs_and_scans_nothing(site):
    site.plugin("my-loud", "raise SystemExit('a hook ran')", top="raise SystemExit('imported')")
    code = f"""
import sys; sys.path.insert(0, {str(site.folder)!r})
import importlib_metadata
def scanned(*args, **kwargs): raise SystemExit("metadata was scanned")
importlib_metadata.Distribution.discover = importlib_metadata.distributions = scanned
import motrix_envs.registry, motrix_rl.registry, motrix_rl.backends, motrix_rl.base
import motrix_envs.plugin, motrix_rl.plugin
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (run.returncode, run.stdout + run.stderr) == (0, "")


def test_warnings_as_errors_do_not_lose_the_rest(site, registry):
    site.plugin("my-broken", "raise OSError")
    site.plugin("my-good", "registry.lazy('my_good.hop', 'my-hop')")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(PluginWarning):
            registry.envs()
        assert registry.contains("my-hop")
