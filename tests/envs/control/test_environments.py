"""What is each environment's own: controllers by hand, starts, sizes, bounces."""

import math

import numpy as np
import pytest
from motrix_envs import registry
from motrix_envs.control.cheetah import settled
from motrix_envs.control.reacher import FARTHEST, NEAREST
from motrix_envs.errors import MotrixError
from motrix_envs.sim import GeomPosition


def test_a_pendulum_is_swung_up_by_hand():
    """Give it energy until it has enough to get up, and hold it there."""
    env = registry.make("pendulum", num_envs=8, seed=1)
    state, total = env.init_state(), np.zeros(8)
    for _ in range(1000):
        cosine, sine, speed = state.obs.T
        energy = speed**2 / 2 * 0.251 + 0.5 * 9.81 * (cosine - 1)  # 0 at rest upright
        pump = np.sign(speed) * np.where(energy < 0.1, 1, -1)
        hold = -20 * np.arctan2(sine, cosine) - 3 * speed
        up = (cosine > 0.95) & (np.abs(speed) < 2)
        state = env.step(np.where(up, hold, pump)[:, None])
        total += state.reward
    assert total.min() > 500
    assert state.info["success"].all()


def test_a_walker_that_stands_earns_everything():
    env = registry.make("dm-stander", num_envs=1)
    state = env.init_state()
    env.sim.reset(np.array([0]), np.zeros((1, 9)), np.zeros((1, 9)))
    assert env.update_state(state).reward == pytest.approx(1)


def test_a_walker_without_a_speed_to_reach_earns_for_standing_alone():
    still, moving = (registry.make(name, num_envs=1) for name in ("dm-stander", "dm-walker"))
    for env, expected in ((still, 1), (moving, 1 / 6)):
        state = env.init_state()
        env.sim.reset(np.array([0]), np.zeros((1, 9)), np.zeros((1, 9)))
        assert env.update_state(state).reward == pytest.approx(expected)


LEG_ACROSS_NOSE = (
    (0, 0, 1.91, -0.47, -2.86, 0.95, -0.19),
    (0, 0, -3.1, -0.5, -2.76, 0.7, 0.49),
    (0, 0, 1.05, -0.25, -2.75, 0.2, 0.46),
)
"""Starts of dm_control's hopper: if nose and leg touched, motors would not get them apart."""


@pytest.mark.parametrize("engine", ["motrixsim", "mujoco"])
def test_a_hopper_gets_its_leg_off_its_nose(engine):
    env = registry.make("dm-hopper-stand", engine, num_envs=3, seed=1)
    env.init_state()
    env.sim.reset(np.arange(3), np.array(LEG_ACROSS_NOSE), np.zeros((3, 7)))
    torques = [np.full((3, 4), np.sign(np.sin(step / 8))) for step in range(200)]
    hips = np.array([env.step(torque).obs[:, 3] for torque in torques])
    assert (np.ptp(hips[100:], axis=0) > 2).all()


def test_cheetahs_start_settled_and_differ():
    env = registry.make("dm-cheetah", num_envs=64, seed=1)
    state = env.init_state()
    assert np.abs(state.obs[:, 8:]).max() < 0.5  # m/s, rad/s
    assert len(np.unique(state.obs, axis=0)) > 32
    before = settled.cache_info().misses
    registry.make("dm-cheetah", num_envs=3, seed=2).init_state()
    assert settled.cache_info().misses == before


def test_targets_lie_in_a_ring_and_are_drawn_where_they_count():
    env = registry.make("dm-reacher", num_envs=200, seed=1)
    state = env.init_state()
    target = state.info["target"]
    radius = np.linalg.norm(target, axis=1)
    assert NEAREST <= radius.min() < radius.max() < FARTHEST
    drawn = registry.default.simulation_class("motrixsim")(env.make_model(), 2, 0.02)
    reads = drawn.declare(target=GeomPosition("target"))
    pose = np.array([[0.1, -0.1, 0.001, 0, 0, 0, 1], [0, 0.2, 0.001, 0, 0, 0, 1]])
    rows, still = np.arange(2), np.zeros((2, 2))
    drawn.write(rows, mocap={"target": pose})
    drawn.reset(rows, still, still)
    np.testing.assert_allclose(reads.target, pose[:, :3], atol=1e-6)


@pytest.mark.parametrize(("name", "radius"), [("dm-reacher", 0.05), ("dm-reacher-hard", 0.015)])
def test_the_target_looks_as_large_as_it_is(name, radius):
    model = registry.make(name).make_model()
    assert f'name="target" type="cylinder" size="{radius} ' in model.mjcf


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("acrobot", "margin", -1.0),
        ("dm-reacher", "target_radius", 0.0),
        ("dm-walker", "move_speed", -1.0),
        ("dm-walker", "stand_margin", math.inf),
        ("dm-cheetah", "run_speed", -1.0),
        ("dm-hopper-hop", "hop_speed", -1.0),
        ("bounce_ball", "action_scale", -1.0),
        ("bounce_ball", "restitution", 1.5),
    ],
)
def test_impossible_configurations(name, field, value):
    with pytest.raises(MotrixError, match=field):
        registry.make(name, env_cfg_override={field: value})


ENGINES = ("motrixsim", "mujoco")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("restitution", [0.7, 0.9])
def test_a_ball_bounces_as_high_as_restitution_says(engine, restitution):
    if engine == "mujoco":
        pytest.importorskip("motrix_envs_mujoco")
    override = {"restitution": restitution, "target_height": 0.4, "start_height": 0.5}
    env = registry.make("bounce_ball", engine, override, num_envs=4, seed=1)
    env.init_state()
    while True:
        state = env.step(np.zeros((4, 6)))
        if (state.info["bounces"] == 1).all():
            break
    lying = 0.081
    expected = lying + restitution**2 * (0.5 - lying)
    np.testing.assert_allclose(env.apex(), expected, atol=0.03)


def bouncing(height, rise, falling=True):
    """An environment whose ball is at a height with a velocity, after it fell."""
    env = registry.make("bounce_ball", num_envs=1, seed=1)
    state = env.init_state()
    state.info["falling"] = np.array([falling])
    positions = env.reads.positions.copy()
    velocities = np.zeros_like(env.reads.velocities)
    positions[:, 8], velocities[:, 8] = height, rise
    env.sim.reset(np.array([0]), positions, velocities)
    return env, env.update_state(state)


@pytest.mark.parametrize(
    ("height", "rise", "falling", "bounces", "good"),
    [
        (0.1, np.sqrt(2 * 9.81 * 0.7), True, 1, 1),  # will rise to 0.8 m
        (0.1, np.sqrt(2 * 9.81 * 0.6), True, 1, 0),  # will rise to 0.7 m
        (0.1, np.sqrt(2 * 9.81 * 0.7), False, 0, 0),  # was rising before
        (0.3, -1.0, True, 0, 0),  # still falls
    ],
)
def test_bounces_are_counted(height, rise, falling, bounces, good):
    _, state = bouncing(height, rise, falling)
    assert state.info["bounces"] == bounces
    assert state.info["good_bounces"] == good


def test_the_count_survives_a_fall_and_ends_with_the_episode():
    env, state = bouncing(0.1, np.sqrt(2 * 9.81 * 0.7))
    env._state = state
    for _ in range(30):  # up, and half the way down
        state = env.step(np.zeros((1, 6)))
    assert env.ball_velocity()[0, 2] < 0
    assert state.info["good_bounces"] == 1
    fresh = env.init_state()
    assert fresh.info["good_bounces"] == 0


def test_a_flight_is_worth_the_same_all_along():
    """Height to rise to and place to come down are known from the stroke on."""
    env, _ = bouncing(0.2, 3.0)
    found = []
    for _ in range(25):
        env.step(np.zeros((1, 6)))
        found.append((env.apex()[0], env.miss()[0]))
    spread = np.ptp(found, axis=0)
    assert spread[0] < 0.02
    assert spread[1] < 0.01


def test_a_lost_ball_ends_the_episode():
    env, _ = bouncing(0.5, 0.0)
    positions = env.reads.positions.copy()
    positions[:, 6] += 0.4
    env.sim.reset(np.array([0]), positions, np.zeros_like(env.reads.velocities))
    assert env.step(np.zeros((1, 6))).terminated.all()
