"""The training registry as scripts and notebooks use it."""

import re
from dataclasses import dataclass

import pytest
from motrix_envs.errors import ConfigError, DuplicateNameError, EnvNotFoundError
from motrix_rl import registry as training
from motrix_rl.errors import BackendNotInstalledError, PresetNotFoundError
from motrix_rl.registry import EnvRlCfgs, RlRegistry, TargetRecord, install_hint
from motrix_rl.skrl.cfg import PPOCfg


@pytest.fixture
def registry(monkeypatch):
    """A registry that knows the environments but only what a test registers."""
    registry = RlRegistry()
    registry._loaded = True
    monkeypatch.setattr(training, "default", registry)
    return registry


def preset(size=1, **fields):
    annotations = dict.fromkeys(fields, int)
    namespace = {"__annotations__": annotations, "__qualname__": f"Preset{size}", **fields}
    return dataclass(type(f"Preset{size}", (PPOCfg,), namespace))


def serve(registry, *places):
    for rllib, backend, algo in places:
        registry.backend(rllib=rllib, backend=backend, algo=algo, trainer="nowhere.ppo:Trainer")


@pytest.mark.parametrize("order", [("torch", None), (None, "torch")])
def test_specific_beats_universal(registry, order):
    rollouts = {"torch": 3, None: 5}
    for backend in order:
        cls = preset(rollouts[backend], rollouts=rollouts[backend])
        assert training.rlcfg("cartpole", backend)(cls) is cls
    assert training.default_rl_cfg("cartpole", "skrl", "torch").rollouts == 3
    assert training.default_rl_cfg("cartpole", "skrl", "jax").rollouts == 5
    assert training.default_rl_cfg("cartpole", "skrl", "mlx").rollouts == 5


def test_the_table_of_the_seed(registry):
    cls = preset()
    training._register_rlcfg("cartpole", "skrl", "torch", cls)
    training.rlcfg("cartpole", rllib="motrix")(cls)
    expected = EnvRlCfgs({"skrl": {"torch": cls}, "motrix": {None: cls}})
    assert dict(training._rlcfgs) == {"cartpole": expected}
    assert len(training._rlcfgs) == 1
    assert "cartpole" in training._rlcfgs
    assert "pendulum" not in training._rlcfgs
    with pytest.raises(KeyError):
        training._rlcfgs["pendulum"]


def test_an_unknown_environment_raises_at_once(registry):
    with pytest.raises(EnvNotFoundError, match="Did you mean 'cartpole'") as caught:
        training.rlcfg("cartpol")(preset())
    assert isinstance(caught.value, ValueError)
    with pytest.raises(ValueError, match="'nothing'"):
        training._register_rlcfg("nothing", "skrl", None, preset())


def test_a_notebook_cell_again_replaces_and_another_class_raises(registry):
    for rollouts in (3, 4):
        training.rlcfg("cartpole")(preset(rollouts=rollouts))
        assert training.default_rl_cfg("cartpole", "skrl", "torch").rollouts == rollouts
    with pytest.raises(DuplicateNameError, match="configuration of 'cartpole' already belongs to"):
        training.rlcfg("cartpole")(preset(2))
    training.rlcfg("cartpole", algo="sac")(preset(2))


def test_configurations_are_copies(registry):
    training.rlcfg("cartpole")(preset())
    training.default_rl_cfg("cartpole", "skrl", "torch").rollouts = 99
    assert training.default_rl_cfg("cartpole", "skrl", "torch").rollouts == 32


def test_a_preset_must_be_a_dataclass(registry):
    @training.rlcfg("cartpole")
    class Forgot(PPOCfg):
        rollouts: int = 5

    with pytest.raises(ConfigError, match=r"put @dataclass on .*Forgot"):
        training.default_rl_cfg("cartpole", "skrl", "torch")


MISSING = {
    ("cartpole", "skrl", "torch", "sac"): "algo 'sac'. Supported: ppo",
    ("cartpole", "sklr", "torch", "ppo"): "rllib 'sklr'. Did you mean 'skrl'? Supported: skrl",
    ("cartpole", "skrl", "torch", "ppo"): "on backend 'torch'; there is one for: jax",
}


@pytest.mark.parametrize("asked", MISSING)
def test_what_is_missing_is_said(registry, asked):
    training.rlcfg("cartpole", "jax")(preset())
    with pytest.raises(PresetNotFoundError, match=re.escape(MISSING[asked])):
        training.default_rl_cfg(*asked)


def test_no_configuration_at_all(registry):
    with pytest.raises(ValueError, match=r"put @rlcfg\('cartpole'\) on a dataclass"):
        training.default_rl_cfg("cartpole", "skrl", "torch")
    with pytest.raises(EnvNotFoundError):
        training.default_rl_cfg("nothing", "skrl", "torch")


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_a_backend_that_is_not_installed_names_its_command(registry, backend):
    with pytest.raises(BackendNotInstalledError) as caught:
        registry.trainer("skrl", backend)
    assert isinstance(caught.value, ImportError)
    assert re.search(rf'pip install "motrix-rl\[{backend}\]==\d+\.\d+\.\d+"$', str(caught.value))


def test_install_hints_without_a_version(monkeypatch):
    monkeypatch.setattr("motrix_envs._plugins.installed_version", lambda name: None)
    assert install_hint("torch") == ' Install it: pip install "motrix-rl[torch]"'
    assert install_hint("tinygrad") == ""


UNSERVED = {
    ("sklr", "torch", "ppo"): "rllib 'sklr'. Did you mean 'skrl'? Available: motrix, skrl.",
    ("skrl", "troch", "ppo"): "backend 'troch'. Did you mean 'torch'? Available: mlx, torch.",
    ("skrl", "torch", "poo"): "algo 'poo'. Did you mean 'ppo'? Available: ppo.",
    ("motrix", "torch", "ppo"): "motrix ppo on 'torch'. Available: motrix ppo on mlx, skrl ppo on",
}


@pytest.mark.parametrize("asked", UNSERVED)
def test_what_nobody_serves_is_said(registry, asked):
    serve(registry, ("skrl", "torch", "ppo"), ("motrix", "mlx", "ppo"))
    with pytest.raises(PresetNotFoundError, match=re.escape(UNSERVED[asked])):
        registry.trainer(*asked)


def test_backends_for(registry):
    serve(registry, ("skrl", "torch", "ppo"), ("skrl", "jax", "ppo"), ("motrix", "jax", "ppo"))
    training.rlcfg("cartpole", "jax")(preset())
    assert registry.backends_for("cartpole", "skrl") == ["jax"]
    training.rlcfg("cartpole")(preset())
    assert registry.backends_for("cartpole", "skrl") == ["torch", "jax"]
    assert registry.backends_for("cartpole", "motrix") == ["jax"]
    assert registry.backends_for("cartpole", "other") == []


def test_motrix_takes_the_configuration_of_skrl_unless_it_has_its_own(registry):
    serve(registry, ("motrix", "jax", "ppo"), ("motrix", "torch", "ppo"))
    borrowed, special, own = preset(), preset(), preset()
    training.rlcfg("cartpole")(borrowed)
    training.rlcfg("cartpole", "jax")(special)
    found = [type(registry.default_rl_cfg("cartpole", "motrix", b)) for b in ("torch", "jax")]
    assert found == [borrowed, special]
    training.rlcfg("cartpole", rllib="motrix")(own)
    found = [type(registry.default_rl_cfg("cartpole", "motrix", b)) for b in ("torch", "jax")]
    assert found == [own, own]
    assert type(registry.default_rl_cfg("cartpole", "skrl", "jax")) is special
    assert registry.backends_for("cartpole", "skrl", "sac") == []


def test_the_only_algorithm_of_a_library_needs_no_name(registry):
    serve(registry, ("skrl", "torch", "ppo"), ("acme", "numpy", "ars"))
    training.rlcfg("cartpole", rllib="acme", algo="ars")(preset(rollouts=9))
    assert registry.default_algo("acme") == "ars"
    assert registry.backends_for("cartpole", "acme") == ["numpy"]
    assert training.default_rl_cfg("cartpole", "acme", "numpy").rollouts == 9
    assert list(training._rlcfgs["cartpole"].cfgs) == ["acme"]
    with pytest.raises(BackendNotInstalledError, match="No module named 'nowhere'"):
        registry.trainer("acme", "numpy")
    serve(registry, ("acme", "numpy", "es"), ("skrl", "torch", "sac"))
    assert registry.default_algo("acme") == registry.default_algo("skrl") == "ppo"
    with pytest.raises(PresetNotFoundError, match=r"no RL configuration for algo 'ppo'.*: ars"):
        training.default_rl_cfg("cartpole", "acme", "numpy")


def test_declaring_twice_changes_nothing_and_otherwise_raises(registry):
    serve(registry, ("skrl", "torch", "ppo"), ("skrl", "torch", "ppo"))
    assert [type(record) for record in registry.backends()] == [TargetRecord]
    with pytest.raises(DuplicateNameError, match="the trainer of ppo for rllib 'skrl' on 'torch'"):
        registry.backend(rllib="skrl", backend="torch", trainer="elsewhere:Trainer")
    registry.module("net", "a:Net")
    with pytest.raises(DuplicateNameError, match="RLModule 'net'"):
        registry.module("net", "b:Net")
