"""Every environment of the suite keeps the contract, on both engines."""

from importlib.util import find_spec

import numpy as np
import pytest
from motrix_envs import registry
from motrix_envs.testing import EnvContract

SUITE = tuple(
    record.name
    for record in registry.default.envs()
    if record.module.startswith("motrix_envs.control.")
)


ENGINES = ("motrixsim", "mujoco")


class TestMotrixSim(EnvContract):
    env_name = SUITE


@pytest.mark.skipif(find_spec("motrix_envs_mujoco") is None, reason="needs motrix-envs-mujoco")
class TestMujoco(EnvContract):
    env_name = SUITE
    sim_backend = "mujoco"


def test_there_is_a_suite():
    assert len(SUITE) == 14


@pytest.mark.parametrize("name", SUITE)
def test_same_state_same_observation_and_reward(name):
    """Along a ride on one engine, the other sees the same and pays the same."""
    pytest.importorskip("motrix_envs_mujoco")
    rows = np.arange(32)
    one, two = (registry.make(name, engine, num_envs=32, seed=3) for engine in ENGINES)
    before, other = one.init_state(), two.init_state()
    rng = np.random.default_rng(6)
    for _ in range(10):
        state = one.step(rng.uniform(-1, 1, (32, *one.action_space.shape)))
        other = other.replace(info=dict(before.info))  # what the environment remembers
        two.ctrl = one.ctrl
        two.sim.reset(rows, one.reads.positions.copy(), one.reads.velocities.copy())
        if hasattr(one, "touch"):  # of the last step's contacts, not of a state
            two.touch = lambda: one.touch()
        seen = two.update_state(other)
        np.testing.assert_allclose(seen.obs, state.obs, atol=2e-5)
        np.testing.assert_allclose(seen.reward, state.reward, atol=2e-5)
        before = state
