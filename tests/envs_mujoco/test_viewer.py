"""Pictures of a MuJoCo simulation, and what is said where none can be drawn."""

import ctypes.util

import numpy as np
import pytest
from motrix_envs import registry
from motrix_envs.np.renderer import NpRenderer
from motrix_envs.sim.viewer import Camera, RenderError

pytest.importorskip("motrix_envs_mujoco")

from motrix_envs_mujoco import viewer

pytestmark = pytest.mark.draws

drawable = pytest.mark.skipif(
    not any(ctypes.util.find_library(name) for name in ("EGL", "OSMesa")),
    reason="needs EGL or OSMesa",
)


@pytest.fixture
def env():
    env = registry.make("cartpole", "mujoco", num_envs=3, seed=1)
    env.init_state()
    yield env
    env.close()


@drawable
def test_frames_follow_the_simulation(env):
    renderer = NpRenderer(env, count=2, window=False, size=(160, 120))
    first = renderer.frame()
    assert first.shape == (120, 160, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, renderer.frame())
    assert len(np.unique(first.reshape(-1, 3), axis=0)) > 100  # there is something to see
    for _ in range(20):
        env.step(np.full((3, 1), 2.0))
    moved = renderer.frame()
    assert 0.001 < (moved != first).any(axis=2).mean() < 0.5
    renderer.close()
    renderer.close()
    with pytest.raises(RenderError, match="closed"):
        renderer.frame()


@drawable
def test_two_viewers_at_once(env):
    one, two = (NpRenderer(env, window=False, size=size) for size in ((64, 48), (96, 64)))
    assert one.frame().shape == (48, 64, 3)
    assert two.frame().shape == (64, 96, 3)
    assert one.frame().shape == (48, 64, 3)
    one.close()
    two.close()


def test_without_a_driver_the_message_says_what_to_install(env, monkeypatch):
    monkeypatch.setattr(viewer.sys, "platform", "linux")
    monkeypatch.setattr(ctypes.util, "find_library", lambda _: None)
    with pytest.raises(RenderError, match="apt install libegl1"):
        NpRenderer(env, window=False)


def test_a_window_is_refused_in_words(env):
    with pytest.raises(RenderError, match="record a video"):
        NpRenderer(env)


@drawable
def test_the_camera_goes_along_with_its_body():
    env = registry.make("dm-walker", "mujoco", num_envs=1, seed=1)
    env.init_state()
    renderer = NpRenderer(env, window=False, size=(160, 120))
    torso = blue(renderer.frame())
    assert torso > 20
    positions = env.reads.positions.copy()
    positions[:, 1] += 40.0  # the tiles of the floor are where they were
    env.sim.reset(np.arange(1), positions, np.zeros_like(positions))
    assert blue(renderer.frame()) == pytest.approx(torso, rel=0.2)
    renderer.close()


def blue(frame):
    red, green, blue = frame.astype(int).transpose(2, 0, 1)
    return int(((blue > 1.5 * red) & (blue > green + 20)).sum())


@drawable
def test_a_body_that_is_not_there_cannot_be_followed(env):
    with pytest.raises(RenderError, match="cannot follow 'nobody'"):
        NpRenderer(env, window=False, camera=Camera(follow="nobody"))
