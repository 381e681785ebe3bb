"""The environment registry as scripts and notebooks use it."""

import re
from dataclasses import dataclass, field

import pytest
from motrix_envs import registry as envs
from motrix_envs.base import EnvCfg
from motrix_envs.errors import (
    ConfigError,
    DuplicateNameError,
    EnvNotFoundError,
    MotrixError,
    SimBackendError,
)
from motrix_envs.registry import EnvMeta, EnvRegistry


@dataclass
class RewardCfg:
    scale: float = 1.0


@dataclass
class Cfg(EnvCfg):
    mass: float = 2.0
    reward: RewardCfg = field(default_factory=RewardCfg)


class Env:
    def __init__(self, cfg, num_envs, seed, engine):
        self.cfg, self.num_envs, self.seed, self.engine = cfg, num_envs, seed, engine


class Engine:
    pass


@pytest.fixture
def registry(monkeypatch):
    """An empty registry with one engine, in the place of the default one."""
    registry = EnvRegistry()
    registry._loaded = True
    registry.engine("motrixsim", f"{__name__}:Engine")
    monkeypatch.setattr(envs._plugins, "resolve", lambda target: Engine)
    monkeypatch.setattr(envs, "default", registry)
    return registry


@pytest.fixture
def hop(registry):
    envs.envcfg("hop")(Cfg)
    envs.env("hop", "np")(Env)
    return registry


def test_decorators_return_their_class_and_stack(registry):
    assert envs.envcfg("hop")(envs.envcfg("hop-rough")(Cfg)) is Cfg
    assert envs.env("hop", sim_backend="np")(envs.env("hop-rough")(Env)) is Env
    assert envs.contains("hop-rough")
    assert registry.meta("hop") == EnvMeta(Cfg, {"np": Env})


def test_functions_of_the_seed(registry):
    envs.register_env_config("hop", Cfg)
    assert envs.contains("hop")
    assert envs.list_registered_envs() == {"hop": {"config_class": "Cfg", "available_backends": []}}
    envs.register_env("hop", Env, "np")
    assert envs.find_available_sim_backend("hop") == "np"
    assert envs.list_registered_envs() == {
        "hop": {"config_class": "Cfg", "available_backends": ["np", "motrixsim"]}
    }


def test_meta_of_the_seed():
    assert EnvMeta(Cfg).available_sim_backend() is None
    meta = EnvMeta(Cfg, {"np": Env})
    assert meta.available_sim_backend() == "np"
    assert (meta.support_sim_backend("np"), meta.support_sim_backend("gpu")) == (True, False)


def test_the_class_needs_a_configuration_first(registry):
    with pytest.raises(EnvNotFoundError, match=r"put @envcfg\('hop'\) on its EnvCfg dataclass"):
        envs.env("hop", "np")(Env)
    with pytest.raises(SimBackendError, match="register under sim_backend='np', not 'gpu'"):
        envs.env("hop", "gpu")(Env)


def test_a_configuration_alone_cannot_be_made(registry):
    envs.envcfg("hop")(Cfg)
    for ask in (envs.find_available_sim_backend, envs.make):
        with pytest.raises(SimBackendError, match="has a configuration but no class"):
            ask("hop")


def test_taken_names(hop):
    @dataclass
    class Other(EnvCfg):
        pass

    with pytest.raises(DuplicateNameError, match="environment 'hop' already belongs to user code"):
        envs.envcfg("hop")(Other)
    with pytest.raises(DuplicateNameError):
        envs.env("hop")(Engine)
    with pytest.raises(DuplicateNameError, match="engine 'motrixsim'"):
        hop.engine("motrixsim", "elsewhere:Engine")


ASK = {
    "make": envs.make,
    "find": envs.find_available_sim_backend,
}


@pytest.mark.parametrize("ask", ASK)
def test_unknown_names_get_the_nearest(hop, ask):
    with pytest.raises(EnvNotFoundError) as caught:
        ASK[ask]("hopp")
    assert str(caught.value) == (
        "no environment named 'hopp' is registered. Did you mean 'hop'? "
        "(`motrix list` shows them all.)"
    )
    assert isinstance(caught.value, MotrixError)
    assert isinstance(caught.value, ValueError)


def test_make(hop):
    env = envs.make("hop", num_envs=3, seed=7, env_cfg_override={"reward.scale": 2, "mass": 1})
    assert (env.num_envs, env.seed, env.engine) == (3, 7, Engine)
    assert env.cfg == Cfg(mass=1.0, reward=RewardCfg(2.0))
    assert envs.make("hop").cfg == Cfg(), "the default is copied, not changed"


@pytest.mark.parametrize("backend", [None, "np", "motrixsim"])
def test_names_of_the_default_engine(hop, backend):
    assert envs.make("hop", backend).engine is Engine


def test_an_unknown_engine(hop):
    message = "no simulation backend named 'motrixsin'. Did you mean 'motrixsim'? Available: np, mo"
    with pytest.raises(SimBackendError, match=re.escape(message)):
        envs.make("hop", "motrixsin")


def test_an_engine_that_cannot_be_imported(hop, monkeypatch):
    def broken(target):
        raise OSError("libmotrix.so")

    monkeypatch.setattr(envs._plugins, "resolve", broken)
    with pytest.raises(SimBackendError, match=r"engine 'motrixsim' of user code .*libmotrix") as e:
        envs.make("hop")
    assert isinstance(e.value.__cause__, OSError)


@pytest.mark.parametrize(
    "override",
    [{"nothing": 1}, {"max_episode_steps": 5}, {"validate": 1}, {"ctrl_dt": 0.015}, {"mass": "2"}],
)
def test_wrong_overrides(hop, override):
    with pytest.raises(ConfigError):
        envs.make("hop", env_cfg_override=override)


def test_a_configuration_must_be_a_dataclass(registry):
    @envs.envcfg("hop")
    class Forgot(EnvCfg):
        mass: float = 1.0

    with pytest.raises(ConfigError, match=r"put @dataclass on .*Forgot"):
        envs.make("hop")


def test_shared_defaults_are_copied(registry):
    @envs.envcfg("hop")
    @dataclass
    class Shared(EnvCfg):
        reward: RewardCfg = field(default_factory=lambda: SHARED)

    registry.default_cfg("hop").reward.scale = 5.0
    assert registry.default_cfg("hop").reward.scale == 1.0


SHARED = RewardCfg()
