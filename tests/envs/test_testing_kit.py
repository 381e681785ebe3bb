"""The environments' contract kit: it passes what keeps the promises and catches what does not."""

from __future__ import annotations

import inspect
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from motrix_envs import registry
from motrix_envs.base import EnvCfg
from motrix_envs.basic.cartpole import CartPoleCfg, CartPoleEnv
from motrix_envs.np.env import NpEnv
from motrix_envs.testing import EnvContract

NAMES = [record.name for record in registry.default.envs() if record.owner != registry.USER_CODE]


class TestEveryRegisteredEnvironment(EnvContract):
    env_name = tuple(NAMES)


# Environments that break one promise each


class Unlimited(CartPoleEnv):
    action_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float32)


class DoubleActions(CartPoleEnv):
    action_space = gymnasium.spaces.Box(-3, 3, (1,), np.float64)


class WrongLayout(CartPoleEnv):
    @property
    def observation_layout(self):
        return {"positions": 2, "velocities": 3}

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (4,), np.float32)


class OutsideItsSpace(CartPoleEnv):
    observation_space = gymnasium.spaces.Box(-1e-3, 1e-3, (4,), np.float32)


class WrongType(CartPoleEnv):
    def update_state(self, state):
        state = super().update_state(state)
        return state.replace(obs=state.obs.astype(np.float64))


class AlwaysSuccessful(CartPoleEnv):
    def step(self, actions):
        state = super().step(actions)
        state.info["success"] = np.ones(self.num_envs, bool)
        return state


class NotFinite(CartPoleEnv):
    def metrics(self, state):
        return {"share": np.where(self.reads.velocities[:, 1] > 0, np.inf, 0).astype(np.float32)}


class NotFiniteAtSpeed(CartPoleEnv):
    """Not finite where the cart has been pushed one way for long, which chance never does."""

    def metrics(self, state):
        fast = np.abs(self.reads.velocities[:, 0]) > 2
        return {"speed": np.where(fast, np.nan, 0).astype(np.float32)}


class TrustsActions(CartPoleEnv):
    def step(self, actions):
        self.given = np.asarray(actions, np.float32)
        return super().step(actions)

    def apply_action(self, actions, state):
        return super().apply_action(self.given, state)


class TrustsActionsInItsMetrics(CartPoleEnv):
    def step(self, actions):
        self.given = actions
        return super().step(actions)

    def metrics(self, state):
        return {"effort": np.abs(self.given[:, 0])}


class BothEnds(CartPoleEnv):
    def step(self, actions):
        state = super().step(actions)
        return state.replace(truncated=state.truncated | state.terminated)


class NoReset(CartPoleEnv):
    def reset(self, data, rows):
        return (None, {}) if self.state else super().reset(data, rows)


class FinalObservationLost(CartPoleEnv):
    def _reset_done(self, state):
        state = super()._reset_done(state)
        state.info["final_obs"] = state.obs + np.float32(1)
        return state


class NoMask(CartPoleEnv):
    def _reset_done(self, state):
        state = super()._reset_done(state)
        state.info["_final_obs"] = np.zeros(self.num_envs, bool)
        return state


class IgnoresDivergence(CartPoleEnv):
    def physics_step(self):
        super().physics_step()
        return np.zeros(self.num_envs, bool)


class HiddenBonus(CartPoleEnv):
    def update_state(self, state):
        state = super().update_state(state)
        state.reward = state.reward + np.float32(0.5)
        return state


class OneBuffer(CartPoleEnv):
    def update_state(self, state):
        state = super().update_state(state)
        self.buffer = getattr(self, "buffer", np.zeros_like(state.obs))
        self.buffer[:] = state.obs
        return state.replace(obs=self.buffer)


class HandsOutReads(CartPoleEnv):
    def update_state(self, state):
        state = super().update_state(state)
        state.info["metrics"]["angle"] = self.pole_angle()
        return state


class OtherRandomness(CartPoleEnv):
    def reset(self, data, rows):
        noise = np.random.default_rng().uniform(-0.01, 0.01, (len(rows), 4)).astype(np.float32)
        data.reset(rows, noise[:, :2], noise[:, 2:])
        return None, {}


class NoRandomness(CartPoleEnv):
    def reset(self, data, rows):
        start = np.full((len(rows), 2), 0.01, np.float32)
        data.reset(rows, start, start)
        return None, {}


class OneDrawForAll(CartPoleEnv):
    def reset(self, data, rows):
        noise = np.tile(self.streams.uniform("reset", rows[:1], 4, -0.01, 0.01), (len(rows), 1))
        data.reset(rows, noise[:, :2], noise[:, 2:])
        return None, {}


class MixesRows(CartPoleEnv):
    def observe(self, state):
        components = super().observe(state)
        centre = components["positions"].mean(axis=0)
        return {**components, "positions": components["positions"] - centre}


class HiddenMemory(CartPoleEnv):
    def apply_action(self, actions, state):
        self.ctrl = (actions + getattr(self, "last", np.float32(0))) / np.float32(2)
        self.last = actions
        return state


class SharedSnapshot(CartPoleEnv):
    def snapshot(self):
        return {**super().snapshot(), "streams/step": self.streams.step}


class NoSuccess(NpEnv):
    """Cartpole without what CartPoleEnv says of itself."""

    action_space = CartPoleEnv.action_space
    camera = CartPoleEnv.camera
    setup, pole_angle, cart_position = (
        CartPoleEnv.setup, CartPoleEnv.pole_angle, CartPoleEnv.cart_position
    )  # fmt: skip
    apply_action, reset, observe = CartPoleEnv.apply_action, CartPoleEnv.reset, CartPoleEnv.observe
    rewards, terminate = CartPoleEnv.rewards, CartPoleEnv.terminate


class NoCamera(NoSuccess):
    camera = None
    success_metric = "the pole is up when the time is"


class NeverCloses(CartPoleEnv):
    def close(self):
        pass


class ClosesOnce(CartPoleEnv):
    def close(self):
        super().close()
        del self.reads


@dataclass
class LenientCfg(CartPoleCfg):
    def validate(self):
        pass


@dataclass
class LateCfg(CartPoleCfg):
    @property
    def max_episode_steps(self):
        return super().max_episode_steps + 1


@dataclass
class ImpossibleCfg(CartPoleCfg):
    max_episode_seconds: float | None = -1.0


@dataclass
class MistypedCfg(CartPoleCfg):
    gains: tuple[float, float] = (1.0, 2.0, 3.0)


MUTANTS = [
    (Unlimited, "test_spaces", "limit"),
    (DoubleActions, "test_spaces", "np.float32"),
    (WrongLayout, "test_observation_layout", "5 numbers in all"),
    (OutsideItsSpace, "test_shapes_and_types", "not within observation_space"),
    (WrongType, "test_shapes_and_types", "obs is float64"),
    (AlwaysSuccessful, "test_shapes_and_types", "success"),
    (NotFinite, "test_survives_random_actions", "info/metrics/share"),
    (NotFiniteAtSpeed, "test_survives_extreme_actions", "info/metrics/speed"),
    (TrustsActionsInItsMetrics, "test_survives_nan_actions", "info/metrics/effort"),
    (TrustsActions, "test_actions_are_made_legal", "not clipped"),
    (LateCfg, "test_time_limit", "the time limit is 10 steps"),
    (BothEnds, "test_truncated_only_without_terminated", "terminated and truncated at once"),
    (NoReset, "test_rows_that_end_start_again", "still shows its last observation"),
    (NoMask, "test_rows_that_end_start_again", "_final_obs"),
    (FinalObservationLost, "test_final_observations", "would have seen"),
    (IgnoresDivergence, "test_divergence_ends_the_episode", "exploded"),
    (HiddenBonus, "test_reward_terms", "the terms add up to"),
    (OneBuffer, "test_arrays_are_never_overwritten", "obs of step"),
    (HandsOutReads, "test_arrays_are_never_overwritten", "info/metrics/angle"),
    (OtherRandomness, "test_same_seed_same_run", "self.streams"),
    (NoRandomness, "test_other_seeds_and_rows_differ", "random_starts"),
    (OneDrawForAll, "test_other_seeds_and_rows_differ", "draw for each row"),
    (MixesRows, "test_rows_do_not_depend_on_the_batch", "batches of 1 and 64"),
    (HiddenMemory, "test_snapshot_continues_bit_for_bit", "init_info()"),
    (SharedSnapshot, "test_snapshot_continues_bit_for_bit", "snapshot() must copy"),
    (LenientCfg, "test_config_refuses_the_impossible", "super().validate()"),
    (ImpossibleCfg, "test_config_refuses_the_impossible", "max_episode_seconds = -1.0"),
    (MistypedCfg, "test_every_field_can_be_overridden", "'gains'"),
    (NoSuccess, "test_names_success_and_camera", "success_metric"),
    (NoCamera, "test_names_success_and_camera", "Camera"),
    (NeverCloses, "test_close", "closed"),
    (ClosesOnce, "test_close", "reads"),
]


def contract_for(definition):
    """Return the kit for a mutant, in a registry of its own."""
    own = registry.EnvRegistry()
    is_cfg = issubclass(definition, EnvCfg)
    own.register_env_config("mutant", definition if is_cfg else CartPoleCfg)
    own.register_env("mutant", CartPoleEnv if is_cfg else definition, "np")

    class Contract(EnvContract):
        registry = own

    return Contract()


@pytest.mark.parametrize(
    ("definition", "method", "says"), MUTANTS, ids=[mutant[0].__name__ for mutant in MUTANTS]
)
def test_a_broken_promise_is_caught(definition, method, says):
    with pytest.raises((AssertionError, AttributeError)) as caught:
        getattr(contract_for(definition), method)("mutant")
    assert says in str(caught.value)


def promises():
    return [name for name in dir(EnvContract) if name.startswith("test_")]


def test_every_promise_has_a_mutant_and_says_what_it_demands():
    assert set(promises()) == {method for _, method, _ in MUTANTS}
    for name in promises():
        assert inspect.getdoc(getattr(EnvContract, name)).endswith((".", ")"))


def test_the_unbroken_environment_passes_where_mutants_fail():
    contract = contract_for(CartPoleEnv)
    for method in promises():
        getattr(contract, method)("mutant")


def test_an_environment_without_chance_may_say_so():
    contract = contract_for(NoRandomness)
    type(contract).random_starts = False
    for method in promises():
        getattr(contract, method)("mutant")


AUTHOR = """
from motrix_envs.testing import EnvContract

class TestMine(EnvContract):
    env_name = "cartpole"

class TestBoth(EnvContract):
    env_name = ("cartpole", "cartpole")
    num_envs = 3
"""


def test_an_author_needs_three_lines(tmp_path):
    """In a project of its own, as an author would run it."""
    (tmp_path / "test_mine.py").write_text(AUTHOR)
    options = ["-q", "-p", "no:cacheprovider", "-W", "error", "--rootdir", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "-k", "spaces or close"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "6 passed" in done.stdout


def test_a_missing_name_is_asked_for():
    class Nameless(EnvContract):
        pass

    with pytest.raises(AssertionError, match="write env_name"):
        Nameless().pytest_generate_tests(None)


def test_the_kit_imports_no_pytest():
    code = "import sys, motrix_envs.testing; assert 'pytest' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent)
