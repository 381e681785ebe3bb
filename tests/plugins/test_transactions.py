"""A declared module counts as a whole or not at all, and a retry starts clean."""

import sys

import pytest
from motrix_envs import registry as envs
from motrix_envs.base import EnvCfg
from motrix_envs.errors import DuplicateNameError, EnvNotFoundError, PluginError, PluginWarning


def test_a_promise_not_kept(site, registry):
    site.plugin("my-liar", "registry.lazy('my_liar.hop', 'my-hop', 'my-run', 'my-fly')")
    site.plugin("my-other", "registry.lazy('my_other.swim', 'my-swim')")
    site.env("my_liar.hop", "my-hop")
    site.env("my_other.swim", "my-swim")
    for name in ("my-hop", "my-run", "my-hop"):
        with pytest.raises(PluginError) as caught:
            registry.meta(name)
        assert f"environment '{name}' is declared by my-liar 1.0" in str(caught.value)
        assert "not define environment 'my-run' and environment 'my-fly'" in str(caught.value)
    assert {record.name: record.meta for record in registry.envs()}["my-hop"] is None
    assert registry.meta("my-swim")
    assert [str(failure.owner) for failure in registry.failures] == ["my-liar 1.0"]


def test_a_configuration_without_a_class_is_half_a_promise(site, registry):
    site.plugin("my-liar", "registry.lazy('my_liar.hop', 'my-hop')")
    site.env("my_liar.hop", "my-hop", between="env = lambda *names: lambda cls: cls")
    with pytest.raises(PluginError, match="does not define environment 'my-hop'"):
        registry.make("my-hop")


BROKEN = ["raise OSError('libfoo.so')", "raise SystemExit(3)", "import nothing_there", "1 / 0"]


@pytest.mark.parametrize("place", ["before", "between", "after"])
@pytest.mark.parametrize("error", BROKEN)
def test_a_module_that_raises_and_is_repaired(site, registry, place, error):
    site.plugin("my-flaky", "registry.lazy('my_flaky.hop', 'my-hop')")
    site.env("my_flaky.hop", "my-hop", **{place: error})
    for _ in range(2):
        with pytest.raises(PluginError, match=r"module 'my_flaky.hop' failed") as caught:
            registry.meta("my-hop")
    assert caught.value.__cause__ is registry.failures[0].error
    assert registry.contains("my-hop")
    assert not any(record.meta for record in registry.envs() if record.name == "my-hop")
    site.env("my_flaky.hop", "my-hop")
    assert registry.meta("my-hop").support_sim_backend("np")
    assert not registry.failures


def test_helpers_run_again_on_a_retry(site, registry):
    site.plugin("my-flaky", "registry.lazy('my_flaky.hop', 'my-hop')")
    site.env("my_flaky.hop", "my-hop", before="from my_flaky import helper; assert helper.OK")
    site.write("my_flaky.helper", "OK = False")
    with pytest.raises(PluginError, match="AssertionError"):
        registry.meta("my-hop")
    site.write("my_flaky.helper", "OK = True")
    assert registry.meta("my-hop")


def test_helpers_that_were_there_before_stay(site, registry):
    site.plugin("my-flaky", "registry.lazy('my_flaky.hop', 'my-hop')", top="import my_flaky.helper")
    site.write("my_flaky.helper", "")
    site.env("my_flaky.hop", "my-hop", before="import my_flaky.helper; 1 / 0")
    registry.envs()
    helper = sys.modules["my_flaky.helper"]
    with pytest.raises(PluginError):
        registry.meta("my-hop")
    assert sys.modules["my_flaky.helper"] is helper


def test_listing_leaves_out_what_fails_and_warns_once(site, registry):
    site.plugin("my-flaky", "registry.lazy('my_flaky.hop', 'my-hop')")
    site.env("my_flaky.hop", "my-hop", after="1 / 0")
    with pytest.warns(PluginWarning, match="my-flaky") as caught:
        assert "my-hop" not in registry.list_registered_envs()
        assert "cartpole" in registry.list_registered_envs()
    assert len(caught) == 1


def test_a_module_may_claim_no_name_of_others(site, registry):
    site.plugin("my-first", "registry.lazy('my_first.hop', 'my-hop')")
    site.plugin("my-thief", "registry.lazy('my_thief.run', 'my-run')")
    site.env("my_first.hop", "my-hop")
    site.env("my_thief.run", "my-run", after="envcfg('my-hop')(Cfg)")
    with pytest.raises(PluginError, match=r"already belongs to my-first 1.0; my-thief 1.0 has"):
        registry.meta("my-run")
    assert registry.meta("my-hop").env_cfg_cls.__module__ == "my_first.hop"


def test_undeclared_extras_belong_to_the_plugin(site, registry):
    site.plugin("my-rich", "registry.lazy('my_rich.hop', 'my-hop')")
    site.env("my_rich.hop", "my-hop", after="envcfg('my-extra')(Cfg); env('my-extra')(Env)")
    assert not registry.contains("my-extra")
    registry.meta("my-hop")
    owners = {record.name: str(record.owner) for record in registry.envs()}
    assert owners["my-extra"] == "my-rich 1.0"


# One plugin builds on another one's environment


@pytest.fixture
def two(site):
    """my-child.run imports my-parent.hop and goes on from there."""
    site.plugin("my-child", "registry.lazy('my_child.run', 'my-run')")
    site.plugin("my-parent", "registry.lazy('my_parent.hop', 'my-hop')")
    site.env("my_parent.hop", "my-hop")
    site.env("my_child.run", "my-run", before="from my_parent.hop import Cfg as Base")
    return site


def test_building_on_anothers_environment(two, registry):
    registry.meta("my-run")
    assert not registry.failures
    owners = {record.name: record.owner.name for record in registry.envs() if record.meta}
    assert owners == {"my-run": "my-child", "my-hop": "my-parent"}
    assert registry.meta("my-hop").env_cfg_cls is sys.modules["my_child.run"].Base


def test_a_failing_child_leaves_its_parent_whole(two, registry):
    two.env("my_child.run", "my-run", before="from my_parent.hop import Cfg", after="1 / 0")
    with pytest.raises(PluginError, match="my-child"):
        registry.meta("my-run")
    assert {r.name for r in registry.envs() if r.meta} == {"my-hop"}
    hop = sys.modules["my_parent.hop"]
    assert registry.meta("my-hop").env_cfg_cls is hop.Cfg
    two.env("my_child.run", "my-run", before="from my_parent.hop import Cfg as Base")
    assert registry.meta("my-run")
    assert sys.modules["my_parent.hop"] is hop
    assert not registry.failures


def test_a_failing_parent_is_blamed_for_itself_alone(two, registry):
    two.env("my_parent.hop", "my-hop", between="1 / 0")
    with pytest.raises(PluginError, match=r"my-child 1.0, but its module 'my_child.run' failed"):
        registry.meta("my-run")
    two.env("my_child.run", "my-run")
    assert registry.meta("my-run")
    with pytest.raises(PluginError, match=r"my-parent 1.0, but its module 'my_parent.hop' failed"):
        registry.meta("my-hop")
    two.env("my_parent.hop", "my-hop")
    assert registry.meta("my-hop")
    assert not registry.failures


def test_a_child_is_not_blamed_for_its_parents_promises(two, registry):
    two.plugin("my-liar", "registry.lazy('my_liar.swim', 'my-swim', 'my-dive')")
    two.env("my_liar.swim", "my-swim")
    two.env("my_child.run", "my-run", before="from my_liar.swim import Cfg as Base")
    assert registry.meta("my-run")
    assert not registry.failures
    for name in ("my-swim", "my-dive"):
        with pytest.raises(PluginError, match=r"my-liar.*does not define environment 'my-dive'"):
            registry.meta(name)
    assert registry.meta("my-run")


def test_siblings_within_one_plugin(site, registry):
    site.plugin(
        "my-suite",
        "registry.lazy('my_suite.hop', 'my-hop')",
        "registry.lazy('my_suite.run', 'my-run')",
    )
    site.env("my_suite.hop", "my-hop")
    site.env("my_suite.run", "my-run", before="from my_suite.hop import Cfg", after="1 / 0")
    with pytest.raises(PluginError):
        registry.meta("my-run")
    cfg = registry.meta("my-hop").env_cfg_cls
    site.env("my_suite.run", "my-run", before="from my_suite import hop")
    assert registry.meta("my-run")
    assert sys.modules["my_suite.run"].hop.Cfg is cfg


def test_looking_up_another_environment_while_being_imported(site, registry):
    site.plugin("my-child", "registry.lazy('my_child.run', 'my-run')")
    site.plugin("my-parent", "registry.lazy('my_parent.hop', 'my-hop')")
    site.env("my_parent.hop", "my-hop")
    look = "from motrix_envs.registry import _current; _current().default_cfg('my-hop')"
    site.env("my_child.run", "my-run", before=look, after="1 / 0")
    with pytest.raises(PluginError):
        registry.meta("my-run")
    assert {r.name for r in registry.envs() if r.meta} == {"my-hop"}


def test_a_module_that_looks_up_itself(site, registry):
    site.plugin("my-selfish", "registry.lazy('my_selfish.hop', 'my-hop')")
    look = "from motrix_envs.registry import _current; _current().default_cfg('my-hop')"
    site.env("my_selfish.hop", "my-hop", before=look)
    with pytest.raises(PluginError, match="does not define"):
        registry.meta("my-hop")
    site.env("my_selfish.hop", "my-hop", after=look)
    assert registry.meta("my-hop")
    assert not registry.failures


def test_a_user_may_import_a_declared_module_directly(site, monkeypatch, registry):
    monkeypatch.setattr(envs, "default", registry)
    site.plugin("my-good", "registry.lazy('my_good.hop', 'my-hop')")
    site.env("my_good.hop", "my-hop")
    import importlib

    module = importlib.import_module("my_good.hop")
    assert registry.meta("my-hop").env_cfg_cls is module.Cfg
    assert {str(r.owner) for r in registry.envs() if r.name == "my-hop"} == {"my-good 1.0"}


# User code


def cell(name="my-note", base=EnvCfg):
    """Return what a notebook cell defines: each run makes new classes of the same name."""

    class NoteCfg(base):
        pass

    class NoteEnv:
        pass

    return NoteCfg, NoteEnv


def test_running_a_notebook_cell_again_replaces(registry):
    for _ in range(2):
        cfg, env = cell()
        registry.register_env_config("my-note", cfg)
        registry.register_env("my-note", env, "np")
        meta = registry.meta("my-note")
        assert (meta.env_cfg_cls, meta.env_cls_dict["np"]) == (cfg, env)
    assert [str(r.owner) for r in registry.envs() if r.name == "my-note"] == ["user code"]


def test_another_class_under_a_taken_name_raises(registry):
    class Other(EnvCfg):
        pass

    cfg, env = cell()
    registry.register_env_config("my-note", cfg)
    registry.register_env("my-note", env, "np")
    with pytest.raises(DuplicateNameError, match="environment 'my-note' already belongs to user"):
        registry.register_env_config("my-note", Other)
    with pytest.raises(ValueError, match="environment 'my-note' already belongs to user code"):
        registry.register_env("my-note", Other, "np")
    for name in ("cartpole", "my-note"):
        with pytest.raises(DuplicateNameError):
            registry.lazy("elsewhere", name)


def test_user_code_cannot_take_a_plugins_name(registry):
    cfg, env = cell()
    with pytest.raises(
        DuplicateNameError, match=r"'cartpole' already belongs to motrix-envs 0\.\d"
    ):
        registry.register_env_config("cartpole", cfg)
    with pytest.raises(EnvNotFoundError, match="put @envcfg"):
        registry.register_env("cartpole", env, "np")


def test_a_plugin_cannot_take_a_name_of_the_user(site, registry):
    cfg, _ = cell()
    registry.register_env_config("my-note", cfg)
    site.plugin("my-late", "registry.lazy('my_late.note', 'my-note', 'my-late')")
    with pytest.warns(PluginWarning, match=r"already belongs to user code; my-late 1.0 has to"):
        registry.refresh()
    assert not registry.contains("my-late")
