"""Plugins under `motrix.rlcfgs`: presets, trainers and modules."""

import sys

import pytest
from motrix_envs.errors import EnvNotFoundError, PluginError, PluginWarning
from motrix_rl import registry as training
from motrix_rl.errors import BackendNotInstalledError, PresetNotFoundError

GROUP = "motrix.rlcfgs"


@pytest.fixture
def hop(site):
    """An environment `my-hop` that wants a preset."""
    site.plugin("my-envs", "registry.lazy('my_envs.hop', 'my-hop')")
    site.env("my_envs.hop", "my-hop")
    return site


def test_a_preset(hop, rl_registry):
    hop.plugin("my-rl", "registry.preset('my_rl.presets', 'my-hop')", group=GROUP)
    hop.preset("my_rl.presets", "my-hop", rollouts=7)
    (record,) = [r for r in rl_registry.presets() if r.env_name == "my-hop"]
    assert (str(record.owner), record.rllib, record.backend) == ("my-rl 1.0", "skrl", None)
    assert "my_rl.presets" not in sys.modules
    cfgs = [rl_registry.default_rl_cfg("my-hop", "skrl", name) for name in ("torch", "jax")]
    assert [cfg.rollouts for cfg in cfgs] == [7, 7]
    assert cfgs[0] is not cfgs[1]
    assert not rl_registry.failures


def test_one_distribution_serves_both_groups_in_one_module(site, registry, rl_registry):
    both = "def train(registry): registry.preset('my_both.hop', 'my-hop')"
    site.hook("my_both", "registry.lazy('my_both.hop', 'my-hop')", top=both)
    site.metadata(
        "my-both",
        "[motrix.envs]\nmy-both = my_both.plugin:register\n"
        "[motrix.rlcfgs]\nmy-both = my_both.plugin:train\n",
    )
    preset = "from motrix_rl.registry import _current\nfrom motrix_rl.skrl.cfg import PPOCfg\n"
    preset += (
        "@dataclass\nclass PPO(PPOCfg): pass\n_current().register_rlcfg('my-hop','skrl',None,PPO)"
    )
    site.env("my_both.hop", "my-hop", after=preset)
    assert rl_registry.default_rl_cfg("my-hop", "skrl", "torch")
    assert registry.meta("my-hop")
    assert not registry.failures + rl_registry.failures


@pytest.mark.parametrize("specific_first", [True, False])
def test_the_specific_beats_the_universal(hop, rl_registry, specific_first):
    hooks = {
        "registry.preset('{0}.presets', 'my-hop', backend='torch')": ("torch", 3),
        "registry.preset('{0}.presets', 'my-hop')": (None, 5),
    }
    order = list(hooks) if specific_first else list(hooks)[::-1]
    for name, hook in zip(("my-aa", "my-bb"), order, strict=True):
        package = name.replace("-", "_")
        backend, rollouts = hooks[hook]
        hop.plugin(name, hook.format(package), group=GROUP)
        where = f", backend={backend!r}"
        hop.preset(f"{package}.presets", "my-hop", where=where, rollouts=rollouts)
    assert rl_registry.default_rl_cfg("my-hop", "skrl", "torch").rollouts == 3
    assert rl_registry.default_rl_cfg("my-hop", "skrl", "jax").rollouts == 5


def test_a_preset_for_a_missing_environment_is_harmless_until_used(site, rl_registry):
    site.plugin("my-rl", "registry.preset('my_rl.presets', 'my-gone', 'cartpole')", group=GROUP)
    with pytest.warns(PluginWarning, match="of 'cartpole' already belongs to motrix-rl"):
        rl_registry.presets()
    site.hook("my_rl", "registry.preset('my_rl.presets', 'my-gone')")
    sys.modules.pop("my_rl.plugin", None)
    rl_registry.refresh()
    site.preset("my_rl.presets", "my-gone")
    rl_registry.complete_all()
    assert not rl_registry.failures
    with pytest.raises(EnvNotFoundError, match="no environment named 'my-gone'"):
        rl_registry.default_rl_cfg("my-gone", "skrl", "torch")


def test_a_preset_that_its_module_does_not_define(hop, rl_registry):
    hop.plugin("my-rl", "registry.preset('my_rl.presets', 'my-hop', backend='jax')", group=GROUP)
    hop.preset("my_rl.presets", "my-hop", where=", backend='torch'")
    with pytest.raises(PluginError, match="the skrl ppo configuration of 'my-hop' on 'jax'"):
        rl_registry.default_rl_cfg("my-hop", "skrl", "jax")
    with pytest.raises(PresetNotFoundError):
        rl_registry.default_rl_cfg("my-hop", "rllib", "jax")
    hop.preset("my_rl.presets", "my-hop", where=", backend='jax'")
    assert rl_registry.default_rl_cfg("my-hop", "skrl", "jax")


def test_a_preset_may_import_its_environment(hop, registry, rl_registry):
    hop.plugin("my-rl", "registry.preset('my_rl.presets', 'my-hop')", group=GROUP)
    hop.preset("my_rl.presets", "my-hop", before="from my_envs.hop import Cfg; 1 / 0")
    with pytest.raises(PluginError, match="my-rl"):
        rl_registry.default_rl_cfg("my-hop", "skrl", "torch")
    assert registry.meta("my-hop").env_cfg_cls is sys.modules["my_envs.hop"].Cfg
    assert not registry.failures
    hop.preset("my_rl.presets", "my-hop", before="from my_envs.hop import Cfg")
    assert rl_registry.default_rl_cfg("my-hop", "skrl", "torch")


def test_specialising_a_built_in_preset(site, rl_registry):
    hook = "registry.preset('my_rl.presets', 'cartpole', backend='jax')"
    site.plugin("my-rl", hook, group=GROUP)
    site.write(
        "my_rl.presets",
        """
        from dataclasses import dataclass
        from motrix_rl.cfgs import CartPolePPO
        from motrix_rl.registry import rlcfg

        @rlcfg("cartpole", backend="jax")
        @dataclass
        class Mine(CartPolePPO):
            rollouts: int = 9
        """,
    )
    base = rl_registry.default_rl_cfg("cartpole", "skrl", "torch")
    mine = rl_registry.default_rl_cfg("cartpole", "skrl", "jax")
    assert mine.rollouts == 9 != base.rollouts
    assert mine.learning_rate == base.learning_rate


# Trainers


def trainer_plugin(site, source="class Trainer: pass", backend="mine", name="my-trainer"):
    package = name.replace("-", "_")
    hook = f"registry.backend(rllib='skrl', backend={backend!r}, trainer='{package}.ppo:Trainer')"
    site.plugin(name, hook, group=GROUP)
    site.write(f"{package}.ppo", source)


def test_a_trainer(hop, rl_registry):
    trainer_plugin(hop)
    hop.plugin("my-rl", "registry.preset('my_rl.presets', 'my-hop')", group=GROUP)
    assert "mine" in rl_registry.backends_for("my-hop", "skrl")
    assert rl_registry.backends_for("my-hop", "other") == []
    assert "my_trainer.ppo" not in sys.modules
    assert rl_registry.trainer("skrl", "mine").__name__ == "Trainer"


def test_a_trainer_whose_framework_is_broken_and_repaired(site, rl_registry):
    trainer_plugin(site, "raise OSError('libcudart.so.12: cannot open shared object file')")
    for _ in range(2):
        with pytest.raises(BackendNotInstalledError, match="libcudart") as caught:
            rl_registry.trainer("skrl", "mine")
        assert isinstance(caught.value.__cause__, OSError)
        assert "backend 'mine' of my-trainer 1.0 is installed but cannot be" in str(caught.value)
    site.write("my_trainer.ppo", "class Trainer: pass")
    assert rl_registry.trainer("skrl", "mine")


def test_a_broken_first_party_backend_says_how_to_install_it(rl_registry, monkeypatch):
    def broken(reference):
        raise OSError("libtorch_cpu.so")

    monkeypatch.setattr("motrix_envs._plugins.resolve", broken)
    record = training.TargetRecord(
        ("skrl", "torch", "ppo"), training.USER_CODE, "broken_torch.ppo:Trainer", "a trainer"
    )
    rl_registry._loaded = True
    rl_registry.table["backend", "skrl", "torch", "ppo"] = record
    with pytest.raises(ImportError, match=r'pip install "motrix-rl\[torch\]==\d+\.\d+\.\d+"'):
        rl_registry.trainer("skrl", "torch")


def test_two_trainers_for_one_place(site, rl_registry):
    trainer_plugin(site, name="my-aa")
    trainer_plugin(site, name="my-bb")
    with pytest.warns(PluginWarning, match="already belongs to my-aa 1.0; my-bb 1.0 has to choose"):
        rl_registry.backends()
    assert rl_registry.trainer("skrl", "mine").__module__ == "my_aa.ppo"


def test_modules_by_name(site, rl_registry):
    site.plugin("my-nets", "registry.module('my-net', 'my_nets.nets:Net')", group=GROUP)
    site.write("my_nets.nets", "class Net: pass")
    assert [r.name for r in rl_registry.modules() if r.owner.name == "my-nets"] == [("my-net",)]
    assert rl_registry.rl_module("my-net").__name__ == "Net"
    with pytest.raises(PluginError, match="Did you mean 'my-net'"):
        rl_registry.rl_module("my-nett")


def test_failed_lookups_mention_the_failures(hop, rl_registry):
    hop.plugin("my-rl", "raise OSError('libfoo.so')", group=GROUP)
    with pytest.warns(PluginWarning):
        rl_registry.presets()
    for look in (rl_registry.default_rl_cfg, lambda env, *rest: rl_registry.trainer(*rest)):
        with pytest.raises(PresetNotFoundError, match=r"libfoo\.so"):
            look("my-hop", "skrl", "numpy")
