"""Cartpole: its model by computation, its motion by theory, its rules."""

import math
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from motrix_envs import registry
from motrix_envs.basic.cartpole import CartPoleCfg
from motrix_envs.sim import Model
from motrix_envs.sim._motrixsim_geoms import capsule_inertia, capsule_volume
from motrix_envs.sim.motrixsim import MotrixSimulation, mx

DENSITY = 1000.0
CART_RADIUS, CART_HALF = 0.1, 0.1
POLE_RADIUS, POLE_HALF = 0.049, 0.3
CART_MASS = DENSITY * capsule_volume(CART_RADIUS, CART_HALF)
POLE_MASS = DENSITY * capsule_volume(POLE_RADIUS, POLE_HALF)
GRAVITY, DAMPING = 9.81, 1.0


@pytest.fixture
def env():
    return registry.make("cartpole", num_envs=4, seed=1)


def inertial(env, body):
    scene = env.sim._scene
    link, data = scene.get_link(body), mx.SceneData(scene, batch=(1,))
    return link.mass, link.center_of_mass, link.get_inertia_override(data)[0]


def test_inertials_are_those_of_solid_capsules(env):
    mass, middle, inertia = inertial(env, "cart")
    assert mass == pytest.approx(CART_MASS, rel=1e-6)
    np.testing.assert_allclose(middle, 0, atol=1e-7)
    across, _, axial = capsule_inertia(CART_MASS, CART_RADIUS, CART_HALF)
    np.testing.assert_allclose(inertia, [axial, across, across, 0, 0, 0], rtol=2e-5, atol=1e-7)

    mass, middle, inertia = inertial(env, "pole")
    assert mass == pytest.approx(POLE_MASS, rel=1e-6)
    np.testing.assert_allclose(middle, [0, 0, POLE_HALF], atol=1e-6)
    moments = capsule_inertia(POLE_MASS, POLE_RADIUS, POLE_HALF)
    np.testing.assert_allclose(inertia, [*moments, 0, 0, 0], rtol=2e-5, atol=1e-7)


def test_the_model(env):
    info = env.sim.model
    assert info.joint_names == ("slider", "hinge")
    np.testing.assert_allclose(info.joint_range, [[-1, 1], [-math.pi / 2, math.pi / 2]], rtol=1e-6)
    np.testing.assert_allclose(info.ctrl_range, [[-3, 3]])


def linear_motion(angle, steps, dt, force=0.0):
    """Cart and pole from rest at small angles, by their linearised equations.

    (M + m) x'' + m l a'' = F - b x',  m l x'' + J a'' = m g l a - b a',  J about the hinge.
    """
    arm = POLE_MASS * POLE_HALF
    about_hinge = capsule_inertia(POLE_MASS, POLE_RADIUS, POLE_HALF)[0] + arm * POLE_HALF
    mass = np.array([[CART_MASS + POLE_MASS, arm], [arm, about_hinge]])
    q, v, fine = np.array([0.0, angle]), np.zeros(2), 20
    for _ in range(steps * fine):
        acceleration = np.linalg.solve(mass, np.array([force, arm * GRAVITY * q[1]]) - DAMPING * v)
        v = v + dt / fine * acceleration
        q = q + dt / fine * v
    return q, v


@pytest.mark.parametrize(("angle", "ctrl"), [(0.01, 0.0), (0.0, 0.05), (-0.005, 0.02)])
def test_small_motions_follow_the_equations(angle, ctrl):
    cfg = CartPoleCfg()
    sim = MotrixSimulation(Model.from_file(cfg.model_file), 1, 0.001)
    sim.reset(np.array([0]), np.array([[0.0, angle]]), np.zeros((1, 2)))
    for _ in range(300):
        sim.step(np.full((1, 1), ctrl, np.float32), 1)
    found = sim.snapshot()
    q, v = linear_motion(angle, 300, 0.001, force=100 * ctrl)
    np.testing.assert_allclose(found["positions"][0], q, rtol=0.01, atol=2e-5)
    np.testing.assert_allclose(found["velocities"][0], v, rtol=0.01, atol=2e-4)


def test_the_pole_falls_over(env):
    """No joint limit holds it up."""
    env.init_state()
    lengths = []
    for _ in range(300):
        state = env.step(np.zeros((4, 1)))
        lengths += state.info["final_obs"][state.done][:, 1].tolist()
    assert len(lengths) >= 4
    assert 0.2 < min(map(abs, lengths)) <= max(map(abs, lengths)) < 0.25


def test_observation_is_positions_then_velocities(env):
    state = env.init_state()
    assert env.observation_layout == {"positions": 2, "velocities": 2}
    for _ in range(3):
        snapshot = env.sim.snapshot()
        np.testing.assert_array_equal(state.obs[:, :2], snapshot["positions"])
        np.testing.assert_array_equal(state.obs[:, 2:], snapshot["velocities"])
        state = env.step(np.ones((4, 1)))


def test_episodes_start_uniformly_about_upright():
    state = registry.make("cartpole", num_envs=4000, seed=1).init_state()
    assert np.abs(state.obs).max() <= 0.01
    np.testing.assert_allclose(state.obs.mean(axis=0), 0, atol=5e-4)
    np.testing.assert_allclose(state.obs.std(axis=0), 0.01 / math.sqrt(3), rtol=0.03)
    correlation = np.corrcoef(state.obs.T) - np.eye(4)
    assert np.abs(correlation).max() < 0.06


@pytest.mark.parametrize(
    ("position", "angle", "ends"),
    [
        (0.0, 0.0, False),
        (0.0, 0.19, False),
        (0.0, 0.21, True),
        (0.0, -0.21, True),
        (0.79, 0.0, False),
        (0.81, 0.0, True),
        (-0.81, 0.0, True),
    ],
)
def test_the_ends_of_an_episode(env, position, angle, ends):
    env.init_state()
    env.sim.reset(np.array([1]), np.array([[position, angle]]), np.zeros((1, 2)))
    state = env.step(np.zeros((4, 1)))
    assert state.terminated.tolist() == [False, ends, False, False]
    assert state.reward.tolist() == [1, 1, 1, 1]


def test_a_full_episode_earns_1000():
    """A simple controller holds the pole, and time ends the episode."""
    env = registry.make("cartpole", num_envs=4, seed=1)
    state = env.init_state()
    total = np.zeros(4)
    gains = np.array([0.6, 12.0, 0.9, 2.5])
    for step in range(1000):
        assert not state.done.any(), step
        state = env.step((state.obs @ gains)[:, None])
        total += state.reward
    assert state.truncated.all()
    assert state.info["success"].all()
    assert total.tolist() == [1000] * 4


def without_looks(mjcf):
    """Return the model with nothing to see: no light, no colour, no geom at all."""
    root = ET.fromstring(mjcf)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in ("visual", "asset", "light", "geom") and parent.tag != "default":
                parent.remove(child)
    return ET.tostring(root, encoding="unicode")


@pytest.mark.parametrize("engine", ["motrixsim", "mujoco"])
def test_looks_do_not_touch_the_physics(engine, tmp_path):
    bare = tmp_path / "bare.xml"
    bare.write_text(without_looks(Path(CartPoleCfg().model_file).read_text(encoding="utf-8")))
    assert "<geom" not in bare.read_text().partition("<worldbody>")[2]
    runs = []
    for changes in ({}, {"model_file": str(bare)}):
        env = registry.make("cartpole", engine, changes, num_envs=4, seed=1)
        env.init_state()
        pushes = np.random.default_rng(1).uniform(-3, 3, (100, 4, 1))
        runs.append(np.stack([env.step(push).obs for push in pushes]))
    np.testing.assert_array_equal(*runs)
