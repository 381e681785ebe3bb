"""What every registered environment keeps, tested by being registered."""

import gymnasium
import numpy as np
import pytest
from motrix_envs import registry
from motrix_envs.base import EnvCfg
from motrix_envs.np.env import Camera, NpEnv

IDS = [record.name for record in registry.default.envs()]

every_env = pytest.mark.parametrize("name", IDS)


def make(name, num_envs=5, seed=3, **override):
    return registry.make(name, num_envs=num_envs, seed=seed, env_cfg_override=override)


def random_actions(env, steps, seed=0):
    """Actions of the space, the same in a row whatever the batch: (steps, num_envs, k)."""
    space = env.action_space
    low, high = np.maximum(space.low, -10), np.minimum(space.high, 10)
    rows = [
        np.random.default_rng((seed, row)).uniform(low, high, (steps, *space.shape))
        for row in range(env.num_envs)
    ]
    return np.stack(rows, axis=1).astype(np.float32)


def arrays(state):
    """Every array of a state by name."""
    named = {name: getattr(state, name) for name in ("obs", "reward", "terminated", "truncated")}

    def visit(prefix, tree):
        for key, value in tree.items():
            if isinstance(value, dict):
                visit(f"{prefix}/{key}", value)
            else:
                named[f"{prefix}/{key}"] = value

    visit("info", state.info)
    return named


def assert_equal(one, two, rows=slice(None)):
    one, two = arrays(one), arrays(two)
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_array_equal(one[name][rows], two[name], err_msg=name)


def short(name, steps):
    """An override that makes episodes end within some steps."""
    cfg = registry.default.default_cfg(name)
    return {"max_episode_seconds": steps * cfg.ctrl_dt}


def test_there_are_environments():
    assert "cartpole" in IDS


@every_env
def test_what_is_declared(name):
    meta = registry.default.meta(name)
    cls, cfg = meta.env_cls_dict["np"], meta.env_cfg_cls
    assert issubclass(cls, NpEnv)
    assert issubclass(cfg, EnvCfg)
    declared = {key for base in cls.__mro__[: cls.__mro__.index(NpEnv)] for key in vars(base)}
    assert isinstance(cls.camera, Camera)
    assert {"camera", "success_metric", "action_space"} <= declared
    assert cls.success_metric
    for thing in (cls, cfg, *(value for value in vars(cls).values() if callable(value))):
        assert thing.__doc__, f"{thing} has no docstring"
    registry.default.default_cfg(name).validate()


@every_env
def test_spaces_shapes_and_types(name):
    env = make(name)
    space = env.observation_space
    assert isinstance(env.action_space, gymnasium.spaces.Box)
    assert env.action_space.dtype == space.dtype == np.float32
    assert len(space.shape) == len(env.action_space.shape) == 1
    assert sum(env.observation_layout.values()) == space.shape[0]
    width = sum(env.state_layout.values())
    assert env.state_space is None if width == 0 else env.state_space.shape == (width,)
    states = [env.init_state()]
    states += [env.step(action) for action in random_actions(env, 20)]
    for state in states:
        assert state.data is env.sim
        assert state.obs.shape == (5, *space.shape)
        assert state.reward.shape == state.terminated.shape == state.truncated.shape == (5,)
        assert state.obs.dtype == state.reward.dtype == np.float32
        assert state.terminated.dtype == state.truncated.dtype == bool
        assert ("state" in state.info) == (env.state_space is not None)
        for key, array in arrays(state).items():
            assert isinstance(array, np.ndarray), key
            assert array.shape[0] == 5, key
            assert np.isfinite(array).all(), key
    info = states[-1].info
    assert info["final_obs"].shape == (5, *space.shape)
    assert info["_final_obs"].dtype == info["success"].dtype == bool
    total = sum(info["Reward"].values())
    np.testing.assert_allclose(total, states[-1].reward, rtol=1e-4, atol=1e-5)
    assert "diverged" in info["metrics"]


@every_env
def test_episodes_end_in_time(name):
    env = make(name, 3, **short(name, 7))
    env.init_state()
    for step, action in enumerate(random_actions(env, 21), 1):
        state = env.step(0 * action)
        assert not (state.terminated & state.truncated).any()
        if not state.terminated.any():
            assert state.truncated.all() == (step % 7 == 0)
        np.testing.assert_array_equal(state.info["steps"][state.done], 0)


@every_env
def test_a_seed_decides_everything(name):
    def run(seed):
        env = make(name, 4, seed=seed, **short(name, 30))
        states = [env.init_state()]
        return states + [env.step(action) for action in random_actions(env, 80)]

    first, again, other = run(3), run(3), run(4)
    for one, two in zip(first, again, strict=True):
        assert_equal(one, two)
    assert not np.array_equal(first[0].obs, other[0].obs)


@every_env
def test_rows_do_not_depend_on_the_batch(name):
    """Bit for bit, over random steps with resets: many for one environment, fewer for the rest."""
    steps, largest = (1000, 512) if name == "cartpole" else (100, 128)
    limit = short(name, steps // 7)
    sizes = (1, 3, 17, largest)
    envs = {size: make(name, size, **limit) for size in sizes}
    whole = random_actions(envs[largest], steps)
    resets = np.zeros(17, int)
    states = {size: env.init_state() for size, env in envs.items()}
    for step, action in enumerate(whole):
        for size in sizes[:-1]:
            np.testing.assert_array_equal(states[largest].obs[:size], states[size].obs)
            np.testing.assert_array_equal(states[largest].reward[:size], states[size].reward)
            if step % 20 == 0 or states[size].done.any():
                assert_equal(states[largest], states[size], slice(size))
        resets += states[17].done
        states = {size: env.step(action[:size]) for size, env in envs.items()}
    assert resets.min() >= 5


@every_env
def test_arrays_handed_out_are_never_written_again(name):
    """Whoever holds an array, or has aliased its memory, sees it as it was."""
    env = make(name, 6, **short(name, 5))
    held = []
    state = env.init_state()
    for action in random_actions(env, 40):
        held.append({key: (array, array.copy()) for key, array in arrays(state).items()})
        state = env.step(action)
    for step in held:
        for key, (array, copy) in step.items():
            np.testing.assert_array_equal(array, copy, err_msg=key)


@every_env
def test_writing_into_results_and_actions_changes_nothing(name):
    """Learners normalise in place, and reuse the buffer of their actions."""
    spoiled, clean = (make(name, 6, **short(name, 25)) for _ in range(2))
    scrap, expected = spoiled.init_state(), clean.init_state()
    for action in random_actions(clean, 60):
        scrap.obs[:] = np.nan
        scrap.reward[:] = np.nan
        for group in ("final_obs", "state"):
            if group in scrap.info:
                scrap.info[group][:] = np.nan
        buffer = action.copy()
        scrap = spoiled.step(buffer)
        buffer[:] = np.nan
        expected = clean.step(action)
        for key in ("obs", "reward", "terminated", "truncated"):
            np.testing.assert_array_equal(getattr(scrap, key), getattr(expected, key))


@every_env
def test_bad_actions_are_made_good(name):
    env, same = make(name, 4), make(name, 4)
    env.init_state(), same.init_state()
    space = env.action_space
    wild = np.zeros((4, *space.shape), np.float64)
    wild[0], wild[1], wild[2], wild[3] = np.nan, np.inf, -1e300, 1e30
    tame = np.zeros((4, *space.shape), np.float32)
    largest = np.finfo(np.float32).max
    tame[1] = tame[3] = np.minimum(space.high, largest)
    tame[2] = np.maximum(space.low, -largest)
    tame[3] = np.minimum(space.high, np.float32(1e30))
    assert_equal(env.step(wild), same.step(np.clip(tame, space.low, space.high)))
    for shape in [(4,), (3, *space.shape), (4, space.shape[0] + 1)]:
        with pytest.raises(ValueError, match="actions have shape"):
            env.step(np.zeros(shape))


@every_env
def test_snapshots_are_exact(name):
    env, other = (make(name, 9, **short(name, 60)) for _ in range(2))
    actions = random_actions(env, 400)
    env.init_state()
    for action in actions[:200]:
        state = env.step(action)
    saved = env.snapshot()
    assert all(isinstance(value, np.ndarray) for value in saved.values())
    first = [env.step(action) for action in actions[200:]]
    for one in (env, other):
        restored = one.restore(saved)
        assert_equal(restored, state)
        for action, expected in zip(actions[200:], first, strict=True):
            assert_equal(one.step(action), expected)


@every_env
def test_a_diverged_row_ends_quietly(name):
    env, clean = (make(name, 8) for _ in range(2))
    env.init_state(), clean.init_state()
    before = env.step(np.zeros((8, *env.action_space.shape)))
    clean.step(np.zeros((8, *env.action_space.shape)))
    info = env.sim.model
    rows = np.array([2])
    speed = np.full((1, info.num_velocities), 1e20, np.float32)
    env.sim.reset(rows, info.default_positions[None], speed)
    state = env.step(np.zeros((8, *env.action_space.shape)))
    expected = clean.step(np.zeros((8, *env.action_space.shape)))
    assert state.terminated[2]
    assert state.reward[2] == 0
    assert state.info["metrics"]["diverged"].tolist() == [0, 0, 1, 0, 0, 0, 0, 0]
    assert not state.info["success"][2]
    np.testing.assert_array_equal(state.info["final_obs"][2], before.obs[2])
    for key, array in arrays(state).items():
        assert np.isfinite(array).all(), key
        others = np.delete(array, 2, axis=0)
        np.testing.assert_array_equal(others, np.delete(arrays(expected)[key], 2, axis=0), key)
    for _ in range(5):
        assert (
            not env.step(np.zeros((8, *env.action_space.shape))).info["metrics"]["diverged"].any()
        )
