"""The same model behaves alike on both engines; contacts make motion chaotic after a while."""

import numpy as np
import pytest
from models import LEGS, MODELS, STAND, TIMESTEPS
from motrix_envs import registry
from motrix_envs.sim import Positions, Velocities

pytest.importorskip("motrix_envs_mujoco")

ENGINES = ("motrixsim", "mujoco")


def both(name, num_envs=4):
    pair = []
    for engine in ENGINES:
        sim = registry.default.simulation_class(engine)(MODELS[name], num_envs, TIMESTEPS[name])
        pair.append((sim, sim.declare(q=Positions(), v=Velocities())))
    return pair


def difference(name, seconds, place, velocity, ctrl):
    """Largest difference of a coordinate at the end; `ctrl` gives controls by step."""
    ends = []
    for sim, reads in both(name, len(place)):
        sim.reset(np.arange(len(place)), place, velocity)
        for step in range(round(seconds / TIMESTEPS[name])):
            assert not sim.step(ctrl(step).astype(np.float32), 1).any()
        ends.append(reads.q.copy())
    return np.abs(ends[0] - ends[1]).max()


def stand(height, rng=None):
    q = np.zeros((4, 19), np.float32)
    q[:, 2], q[:, 6] = height, 1
    q[:, 7:] = np.tile(STAND, len(LEGS))
    if rng is not None:
        q[:, 7:] += rng.uniform(-0.1, 0.1, (4, 12))
    return q


@pytest.mark.parametrize("name", MODELS)
def test_descriptions_are_the_same(name):
    one, two = (sim.model for sim, _ in both(name))
    for field in ("num_positions", "num_velocities", "joint_names", "actuator_names", "body_names"):
        assert getattr(one, field) == getattr(two, field)
    for field in ("geom_names", "site_names", "joint_positions", "joint_velocities", "quaternions"):
        assert getattr(one, field) == getattr(two, field)
    for field in ("joint_range", "ctrl_range", "default_positions"):
        np.testing.assert_allclose(getattr(one, field), getattr(two, field), atol=1e-6)


def test_cartpole():
    rng = np.random.default_rng(1)
    place, velocity = rng.uniform(-0.1, 0.1, (2, 4, 2)).astype(np.float32)
    actions = rng.uniform(-0.2, 0.2, (60, 4, 1))  # falling, but not against a limit yet
    assert difference("cartpole", 0.6, place, velocity, actions.__getitem__) < 2e-5


def test_quadruped_in_the_air():
    """Servos pull the legs into a stance while it falls."""
    target = np.tile(STAND, (4, len(LEGS))) + 0.3
    still = np.zeros((4, 18), np.float32)
    start = stand(3.0, np.random.default_rng(2))
    assert difference("quadruped", 0.5, start, still, lambda _: target) < 1e-4


def test_quadruped_standing():
    """It settles to the same height and posture, without creeping away."""
    target = np.tile(STAND, (4, len(LEGS)))
    still = np.zeros((4, 18), np.float32)
    start = stand(0.30, np.random.default_rng(3))
    assert difference("quadruped", 2.0, start, still, lambda _: target) < 0.03


def test_walker_under_random_torques():
    rng = np.random.default_rng(4)
    place, velocity = np.zeros((2, 4, 9), np.float32)
    place[:, 5:] = [-0.1, 0.1, 0.1, -0.1]
    place[:, 4] = place[:, 7] = -0.2
    actions = rng.uniform(-0.3, 0.3, (10, 4, 6))
    assert difference("walker", 0.04, place, velocity, actions.__getitem__) < 0.03


def test_ball_bouncing():
    """Half a second with a bounce, spinning and sliding."""
    rng = np.random.default_rng(5)
    place, velocity = np.zeros((4, 7), np.float32), np.zeros((4, 6), np.float32)
    place[:, 2], place[:, 6] = 0.4, 1
    velocity[:, 0] = rng.uniform(-1, 1, 4)
    difference_at_end = difference("ball", 0.5, place, velocity, lambda _: np.zeros((4, 0)))
    assert difference_at_end < 0.03


def test_same_state_same_observation_and_reward():
    """Along a ride on one engine, the other sees the same and pays the same."""
    one, two = (registry.make("cartpole", engine, num_envs=64, seed=3) for engine in ENGINES)
    rng, rows = np.random.default_rng(6), np.arange(64)
    first, second = one.init_state(), two.init_state()
    np.testing.assert_allclose(first.obs, second.obs, atol=1e-7)
    for _ in range(30):
        one.step(rng.uniform(-3, 3, (64, 1)))
        two.sim.reset(rows, one.reads.positions.copy(), one.reads.velocities.copy())
        seen = [env.update_state(env.state) for env in (one, two)]
        np.testing.assert_allclose(seen[0].obs, seen[1].obs, atol=1e-5)
        np.testing.assert_allclose(seen[0].reward, seen[1].reward, atol=1e-5)
        np.testing.assert_array_equal(seen[0].terminated, seen[1].terminated)
