"""Each task sees, pays, starts and ends as dm_control's does."""

import numpy as np
import pytest
from dm_originals import TASKS, Original
from motrix_envs import registry

pytest.importorskip("mujoco")

STATES = 200

by_task = pytest.mark.parametrize("name", TASKS)


@by_task
def test_times(name):
    original, cfg = Original(name).env, registry.default.default_cfg(name)
    assert cfg.ctrl_dt == pytest.approx(original.control_timestep())
    assert cfg.max_episode_steps == original._step_limit == 1000


@by_task
def test_observation_and_reward(name):
    """In states that the original's starts and small disturbances lead to."""
    original = Original(name)
    rng = np.random.default_rng(3)
    rides = [ride(original, rng) for _ in range(STATES)]
    env = registry.make(name, num_envs=STATES, seed=1)
    state = env.init_state()
    put(env, state, rides)
    state = env.update_state(state)
    seen, paid = (np.array([one[key] for one in rides]) for key in ("seen", "paid"))
    np.testing.assert_allclose(state.obs, seen, atol=2e-5, rtol=2e-5)
    np.testing.assert_allclose(state.reward, paid, atol=2e-5)
    assert np.std(paid) > 0, "the states tell nothing about the reward"


def ride(original, rng):
    """Put the original into a state near one of its starts; return what it says of it."""
    positions, velocities = original.start()
    # Now and then near the zero pose, where most tasks pay.
    positions *= rng.choice([1.0, 0.3, 0.05])
    velocities = velocities + rng.normal(0, rng.choice([0.1, 1.0, 5.0]), len(velocities))
    ctrl = rng.uniform(-1, 1, original.model.nu)
    original.put(positions, velocities, ctrl)
    found = {"positions": positions, "velocities": velocities, "ctrl": ctrl}
    if "reacher" in type(original.task).__module__:
        found["target"] = move_target(original.physics, rng)
    if "hopper" in type(original.task).__module__:
        found["touch"] = original.physics.touch()  # comes of contacts, not of a state
    return found | {"seen": original.seen(), "paid": original.paid()}


def move_target(physics, rng):
    """Put the target near the finger; return its place."""
    target = physics.named.data.geom_xpos["finger"][:2] + rng.normal(0, 0.03, 2)
    physics.named.model.geom_pos["target"][:2] = target
    physics.forward()
    return target


def put(env, state, rides):
    """Put every row of an environment into the state of one ride."""
    columns = {key: np.array([one[key] for one in rides], np.float32) for key in rides[0]}
    env.ctrl = columns["ctrl"]
    env.sim.reset(np.arange(len(rides)), columns["positions"], columns["velocities"])
    if "target" in state.info:
        state.info["target"] = columns["target"]
    if "touch" in columns:
        env.touch = lambda: columns["touch"]


@by_task
def test_starts(name):
    """Quartiles, and what lies almost outermost, of what is seen first agree."""
    original = Original(name)
    expected = []
    for _ in range(300):
        original.start()
        expected.append(original.seen())
    found = registry.make(name, num_envs=4000, seed=1).init_state().obs
    at = (0.02, 0.25, 0.5, 0.75, 0.98)
    found, expected = np.quantile(found, at, axis=0), np.quantile(expected, at, axis=0)
    if name == "dm-cheetah":  # the end of a fall: a narrow spread that depends on how feet slide
        far = np.abs(found[1:-1] - expected[1:-1])
        assert far[:, :8].max() < 0.05  # m, rad
        assert far[:, 8:].max() < 0.1  # m/s, rad/s
        return
    width = expected[-1] - expected[0] + 1e-6
    np.testing.assert_allclose(found[1:-1] / width, expected[1:-1] / width, atol=0.12)
    np.testing.assert_allclose(found[[0, -1]] / width, expected[[0, -1]] / width, atol=0.25)


@by_task
def test_nothing_ends_early(name):
    """Only the time limit ends an episode."""
    env = registry.make(name, num_envs=4, seed=1, env_cfg_override={"max_episode_seconds": None})
    env.init_state()
    rng = np.random.default_rng(4)
    for _ in range(100):
        state = env.step(rng.choice([-1.0, 1.0], (4, *env.action_space.shape)))
        assert not state.done.any()
