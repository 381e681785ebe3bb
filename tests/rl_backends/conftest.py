"""One test body for both frameworks, and small environments whose numbers are known."""

import importlib
import sys
import types
from dataclasses import dataclass

import gymnasium
import numpy as np
import pytest
from motrix_envs import registry as envs
from motrix_envs.base import EnvCfg
from motrix_envs.basic.cartpole import CartPoleCfg
from motrix_envs.np.env import NpEnv
from motrix_rl import registry as rl
from motrix_rl.rl_module import Columns
from motrix_rl.rl_module.frameworks import ppo_module
from motrix_rl.skrl.cfg import PPOCfg

BACKENDS = [
    pytest.param("torch", marks=pytest.mark.torch),
    pytest.param("jax", marks=pytest.mark.jax),
]

# skrl splits tensors into mini-batches by NumPy, which calls what torch offers it outdated.
SPLIT = "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"


def pytest_collection_modifyitems(items):
    for item in items:
        item.add_marker(pytest.mark.filterwarnings(SPLIT))


TINY = {
    "num_envs": 4,
    "rollouts": 8,
    "mini_batches": 2,
    "learning_epochs": 2,
    "max_env_steps": 64,
    "check_point_interval": 8,
    "policy_hidden_layer_sizes": (8, 6),
    "value_hidden_layer_sizes": (8, 6),
    "share_policy_value_features": False,
    "select_episodes": 0,
    "seed": 1,
}
"""Two rollouts of cartpole, whose checkpoints are not scored."""


@pytest.fixture(scope="session")
def compiled_once(tmp_path_factory):
    """Make JAX's second compilation of a kind cheap, here and in processes started from here.

    Every agent compiles anew in skrl.
    """
    jax = importlib.import_module("jax")
    options = {
        "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("xla")),
        "jax_persistent_cache_min_compile_time_secs": 0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    with pytest.MonkeyPatch.context() as environment:
        for name, value in options.items():
            jax.config.update(name, value)
            environment.setenv(name.upper(), str(value))
        yield


@pytest.fixture(params=BACKENDS, scope="session")
def backend(request):
    """The name of a framework that is installed."""
    pytest.importorskip(request.param)
    pytest.importorskip(f"motrix_rl_{request.param}")
    if request.param == "jax":
        request.getfixturevalue("compiled_once")
    return request.param


@pytest.fixture(scope="session")
def trainer_class(backend):
    return rl.default.trainer("skrl", backend)


@pytest.fixture(scope="session")
def wrap_env(backend):
    return importlib.import_module(f"motrix_rl_{backend}.wrap_np").wrap_env


@pytest.fixture(scope="session")
def tiny():
    """Return the changes that make a training tiny."""
    return dict(TINY)


@pytest.fixture
def own_module(backend, monkeypatch):
    """A module of somebody's own, importable as `own_nets:Doubled`."""

    class Doubled(ppo_module(backend)):
        def _forward_inference(self, batch, **kwargs):
            return self._twice(super()._forward_inference(batch, **kwargs))

        def _forward_train(self, batch, **kwargs):
            return self._twice(super()._forward_train(batch, **kwargs))

        def _twice(self, output):
            return {
                **output,
                Columns.ACTION_DIST_INPUTS: output[Columns.ACTION_DIST_INPUTS] * 2,
            }

    module = types.ModuleType("own_nets")
    Doubled.__module__, Doubled.__qualname__ = "own_nets", "Doubled"
    module.Doubled = Doubled
    monkeypatch.setitem(sys.modules, "own_nets", module)
    return Doubled


@pytest.fixture
def make_trainer(trainer_class, tmp_path):
    """Return a trainer of cartpole, or of another environment, in a few dozen steps."""

    def make(env="cartpole", cls=trainer_class, env_cfg=None, **changes):
        override = {**TINY, **changes}
        return cls(env, cfg_override=override, env_cfg_override=env_cfg, runs_root=tmp_path)

    return make


@dataclass
class ClockCfg(EnvCfg):
    """Four steps of time."""

    model_file: str | None = CartPoleCfg.model_file
    max_episode_seconds: float | None = 0.04


class ClockEnv(NpEnv):
    """Sees how many steps its episode has; odd rows terminate at three, others meet the limit."""

    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

    @property
    def rows(self):
        return np.arange(self.num_envs, dtype=np.float32)

    def init_info(self):
        return {"clock": np.zeros(self.num_envs, np.float32)}

    def apply_action(self, actions, state):
        state.info["clock"] = state.info["clock"] + 1
        return state

    def reset(self, data, rows):
        return None, {"clock": np.zeros(rows.size, np.float32)}

    def observe(self, state):
        return {"clock": state.info["clock"][:, None], "row": self.rows[:, None]}

    def rewards(self, state):
        return {"time": state.info["clock"], "row": self.rows}

    def terminate(self, state):
        return (state.info["clock"] == 3) & (self.rows % 2 == 1)


class ChoiceEnv(ClockEnv):
    """Earns 1 where the choice is the parity of the row, 0 elsewhere; sees both."""

    action_space = gymnasium.spaces.Discrete(2, start=3)

    def init_info(self):
        return {"clock": np.zeros(self.num_envs, np.float32), "right": np.zeros(self.num_envs)}

    def apply_action(self, actions, state):
        state.info["right"] = self.right(actions)
        return super().apply_action(actions, state)

    def right(self, actions):
        return (actions - 3 == self.rows % 2).astype(np.float32)

    def reset(self, data, rows):
        return None, {"clock": np.zeros(rows.size, np.float32), "right": np.zeros(rows.size)}

    def observe(self, state):
        return {"parity": (self.rows % 2)[:, None], "clock": state.info["clock"][:, None]}

    def rewards(self, state):
        return {"right": state.info["right"].astype(np.float32)}

    def terminate(self, state):
        return np.zeros(self.num_envs, bool)


class ChoicesEnv(ChoiceEnv):
    """Two choices at once; each is worth one half."""

    action_space = gymnasium.spaces.MultiDiscrete([2, 3])

    def right(self, actions):
        return (actions == (self.rows % 2)[:, None]).mean(axis=1).astype(np.float32)


class InsideEnv(ClockEnv):
    """The critic sees three numbers more."""

    def observe_privileged(self, state):
        clock = state.info["clock"][:, None]
        return {"clock": clock, "secret": np.repeat(clock * 2, 2, axis=1)}


@pytest.fixture(autouse=True)
def test_envs(monkeypatch):
    """Register the environments above, for the length of a test."""
    for registry in (envs.default, rl.default):
        registry.complete_all()
        monkeypatch.setattr(registry, "table", dict(registry.table))
    classes = {
        "test-clock": ClockEnv,
        "test-inside": InsideEnv,
        "test-choice": ChoiceEnv,
        "test-choices": ChoicesEnv,
    }
    for name, cls in classes.items():
        envs.envcfg(name)(ClockCfg)
        envs.env(name, sim_backend="np")(cls)
        rl.rlcfg(name)(PPOCfg)
