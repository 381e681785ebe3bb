"""What skrl sees of an environment: arrays of the framework, in the shapes and types it expects."""

import numpy as np
import pytest
from motrix_envs import registry as envs
from motrix_envs.errors import ConfigError, MotrixError


@pytest.fixture
def wrapped(wrap_env, backend):
    """Return a wrapped environment and the NumPy one inside; both close in the end."""
    opened = []

    def make(name="test-clock", num_envs=4, renderer=None):
        env = envs.make(name, num_envs=num_envs, seed=0)
        opened.append(env)
        return wrap_env(env, renderer, "cpu"), env

    yield make
    for env in opened:
        env.close()


def numpy(array):
    return np.asarray(array)


def is_native(array, backend):
    return type(array).__module__.startswith(("torch", "jaxlib", "jax")[backend == "jax" :])


def test_reset_and_step_give_columns_of_the_framework(wrapped, backend):
    env, inner = wrapped()
    obs, info = env.reset()
    assert isinstance(info, dict)
    actions = obs[:, :1] * 0
    obs, rewards, terminated, truncated, info = env.step(actions)
    for array, shape, dtype in (
        (obs, (4, 2), np.float32),
        (rewards, (4, 1), np.float32),
        (terminated, (4, 1), bool),
        (truncated, (4, 1), bool),
        (info["final_obs"], (4, 2), np.float32),
    ):
        assert is_native(array, backend)
        assert "cpu" in str(array.device).lower()
        assert (numpy(array).shape, numpy(array).dtype) == (shape, dtype)
    np.testing.assert_array_equal(numpy(rewards)[:, 0], inner.state.reward)
    assert "Reward" in info


def test_other_types_of_an_environment_are_converted(wrapped, monkeypatch):
    env, inner = wrapped()
    obs, _ = env.reset()
    step = inner.step

    def doubles(actions):
        state = step(actions)
        return state.replace(obs=state.obs.astype(float), reward=state.reward.astype(float))

    monkeypatch.setattr(inner, "step", doubles)
    obs, rewards, *_ = env.step(obs[:, :1])
    assert numpy(obs).dtype == numpy(rewards).dtype == np.float32


def test_final_observations_are_those_before_the_reset(wrapped):
    env, _ = wrapped()
    obs, _ = env.reset()
    for _ in range(3):
        obs, _, terminated, truncated, info = env.step(obs[:, :1])
    assert numpy(terminated)[:, 0].tolist() == [False, True, False, True]
    assert not numpy(truncated).any()
    assert numpy(info["final_obs"])[:, 0].tolist() == [3, 3, 3, 3]
    assert numpy(obs)[:, 0].tolist() == [3, 0, 3, 0]
    obs, _, terminated, truncated, info = env.step(obs[:, :1])
    assert numpy(truncated)[:, 0].tolist() == [True, False, True, False]
    assert numpy(info["final_obs"])[:, 0].tolist() == [4, 1, 4, 1]


@pytest.mark.torch
def test_rewards_belong_to_the_receiver(wrapped, backend):
    if backend == "jax":
        pytest.skip("JAX arrays are immutable")
    env, inner = wrapped()
    obs, _ = env.reset()
    obs, rewards, *_ = env.step(obs[:, :1])
    before = inner.state.reward.copy()
    rewards += 100  # as skrl does
    obs += 100
    np.testing.assert_array_equal(inner.state.reward, before)
    assert inner.state.obs.max() < 100


def test_arrays_survive_later_steps(wrapped):
    env, _ = wrapped()
    obs, _ = env.reset()
    kept = [env.step(obs[:, :1]) for _ in range(3)]
    values = [numpy(step[0])[:, 0].tolist() for step in kept]
    assert values == [[1] * 4, [2] * 4, [3, 0, 3, 0]]


def test_a_lone_environment_is_not_reset_twice(wrapped):
    env, inner = wrapped("cartpole", num_envs=1)
    obs, _ = env.reset()
    full = obs * 0 + 3
    done = False
    while not done:
        obs, _, terminated, *_ = env.step(full[:, :1])
        done = bool(terminated.any())
    episode = inner.streams.episode.copy()
    again, _ = env.reset()
    np.testing.assert_array_equal(numpy(again), numpy(obs))
    np.testing.assert_array_equal(inner.streams.episode, episode)
    env.reset()
    assert (inner.streams.episode > episode).all()


def test_a_batch_is_reset_whenever_asked(wrapped):
    env, inner = wrapped("cartpole")
    first, _ = env.reset()
    episode = inner.streams.episode.copy()
    second, _ = env.reset()
    assert (inner.streams.episode > episode).all()
    assert not np.array_equal(numpy(first), numpy(second))


def test_spaces_and_state(wrapped, backend):
    env, inner = wrapped()
    assert env.num_envs == 4
    assert env.observation_space == inner.observation_space
    assert env.action_space == inner.action_space
    assert env.state_space is None
    assert env.state() is None
    env.reset()
    assert env.state() is None


def test_privileged_state(wrapped, backend):
    env, _ = wrapped("test-inside")
    assert env.state() is None
    assert env.state_space.shape == (3,)
    obs, _ = env.reset()
    assert is_native(env.state(), backend)
    for _ in range(4):
        obs, *_, info = env.step(obs[:, :1])
    assert numpy(env.state()).tolist() == [[0, 0, 0], [1, 2, 2]] * 2
    assert numpy(info["final_state"]).tolist() == [[4, 8, 8], [1, 2, 2]] * 2
    assert numpy(env.state()).dtype == np.float32


def test_render_and_close(wrapped, monkeypatch):
    class Renderer:
        frames = 0
        closed = False

        def render(self):
            self.frames += 1
            return self.frames

    env, inner = wrapped(renderer=Renderer())
    assert [env.render(), env.render()] == [1, 2]
    Renderer.closed = True
    assert env.render() is None
    assert wrapped()[0].render() is None
    closed = []
    with monkeypatch.context() as patch:
        patch.setattr(inner, "close", lambda: closed.append(True))
        env.close()
    assert closed == [True]


def test_only_np_envs_can_be_wrapped(wrap_env):
    with pytest.raises(ValueError, match="wrap_env takes an NpEnv, not a str"):
        wrap_env("cartpole")


@pytest.mark.parametrize("name", ["nonsense", "cpu:7", "cuda:63", "cpu:x"])
def test_a_wrong_device_is_an_error(make_trainer, name, backend):
    if (backend, name) == ("torch", "cpu:7"):
        pytest.skip("torch takes any number for the CPU")
    with pytest.raises(ConfigError, match=f"device = '{name}'") as caught:
        make_trainer(device=name)
    assert isinstance(caught.value, MotrixError)
