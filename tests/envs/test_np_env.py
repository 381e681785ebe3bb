"""NpEnv: the order of a step, what it hands out, and what it makes of an author's parts."""

from dataclasses import dataclass, field

import gymnasium
import numpy as np
import pytest
from motrix_envs.base import EnvCfg
from motrix_envs.errors import ConfigError, MotrixError
from motrix_envs.np.env import NpEnv
from motrix_envs.np.state import StateError, flatten, unflatten, write_rows
from motrix_envs.sim import BodyPosition, Model, Positions, SnapshotError, Velocities

SLIDER = """
<mujoco>
  <option gravity="0 0 0"/>
  <worldbody>
    <body name="cart">
      <joint name="slider" type="slide" axis="1 0 0"/>
      <inertial pos="0 0 0" mass="1" diaginertia="0.1 0.1 0.1"/>
      <geom name="cart" type="sphere" size="0.1"/>
    </body>
  </worldbody>
  <actuator><motor name="push" joint="slider"/></actuator>
</mujoco>
"""


@dataclass
class Weights:
    effort: float = -0.5
    distance: float = 2.0


@dataclass
class SlideCfg(EnvCfg):
    sim_dt: float = 0.01
    ctrl_dt: float = 0.02
    max_episode_seconds: float | None = 0.1  # five steps
    reward: Weights = field(default_factory=Weights)


class SlideEnv(NpEnv):
    """A cart that starts at its row's number, remembers its actions, and must stay below 10."""

    success_metric = "the cart is on the right when time is up"
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    calls: list[str]

    def make_model(self):
        return Model(SLIDER)

    def setup(self):
        self.calls = []
        self.reads = self.sim.declare(q=Positions(), v=Velocities(), cart=BodyPosition("cart"))

    def init_info(self):
        n = self.num_envs
        return {
            "last_action": np.zeros((n, 1), np.float32),
            "start": np.zeros(n, np.float32),
            "nested": {"count": np.zeros(n, np.int64), "deep": {"mark": np.zeros((n, 2))}},
        }

    def apply_action(self, actions, state):
        self.calls.append("apply_action")
        self.ctrl = 10 * actions
        state.info["last_action"] = actions
        nested = state.info["nested"]
        state.info["nested"] = {**nested, "count": nested["count"] + 1}
        return state

    def reset(self, data, rows):
        self.calls.append("reset")
        start = rows[:, None] + self.streams.uniform("start", rows, 1)
        data.reset(rows, start, np.zeros_like(start))
        return None, {
            "start": start[:, 0],
            "last_action": np.zeros((len(rows), 1)),
            "nested": {"count": np.zeros(len(rows)), "deep": {"mark": np.ones((len(rows), 2))}},
        }

    def observe(self, state):
        self.calls.append("observe")
        return {"q": self.reads.q, "v": self.reads.v, "last_action": state.info["last_action"]}

    def observe_privileged(self, state):
        return {"start": state.info["start"][:, None], "cart": self.reads.cart}

    def rewards(self, state):
        self.calls.append("rewards")
        return {
            "effort": (state.info["last_action"] ** 2)[:, 0],
            "distance": self.reads.q[:, 0],
            "alive": ~state.terminated,
        }

    def terminate(self, state):
        self.calls.append("terminate")
        return self.reads.q[:, 0] > 10

    def metrics(self, state):
        self.calls.append("metrics")
        return {"speed/right": np.maximum(self.reads.v[:, 0], 0)}

    def succeeded(self, state):
        return self.reads.v[:, 0] > 0


def make(num_envs=3, cls=SlideEnv, seed=1, row_offset=0, **cfg):
    return cls(SlideCfg(**cfg), num_envs, seed=seed, row_offset=row_offset)


def ones(env, value=1.0):
    return np.full((env.num_envs, 1), value, np.float32)


def put(env, row, position, velocity=0.0):
    env.sim.reset(np.array([row]), np.array([[position]]), np.array([[velocity]]))


# The order of things


def test_the_order_of_a_step():
    env = make()
    env.init_state()
    for step in range(1, 6):
        env.calls.clear()
        env.step(ones(env))
        in_order = ["apply_action", "terminate", "rewards", "metrics", "observe"]
        assert env.calls == (in_order if step < 5 else [*in_order, "reset", "observe"])


def test_the_first_step_starts_the_episodes():
    env = make()
    assert env.state is None
    state = env.step(ones(env))
    assert state is env.state
    assert state.info["steps"].tolist() == [1, 1, 1]


def test_init_state():
    env = make()
    state = env.init_state()
    assert not state.done.any()
    assert state.reward.tolist() == [0, 0, 0]
    assert state.info["Reward"] == state.info["metrics"] == {}
    assert state.info["steps"].dtype == np.uint64
    np.testing.assert_array_equal(state.obs[:, 0], state.info["start"])
    np.testing.assert_array_equal(state.info["state"][:, 0], state.info["start"])
    np.testing.assert_array_equal(state.info["nested"]["deep"]["mark"], 1)
    assert np.floor(state.obs[:, 0]).tolist() == [0, 1, 2]


def test_init_state_again_starts_new_episodes():
    env = make()
    first = env.init_state()
    env.step(ones(env))
    second = env.init_state()
    assert second.info["steps"].tolist() == [0, 0, 0]
    assert not np.array_equal(first.obs, second.obs)


def test_physics_runs_all_substeps():
    env = make()
    env.init_state()
    state = env.step(ones(env))
    np.testing.assert_allclose(state.obs[:, 1], 10 * 0.02, rtol=1e-5)
    np.testing.assert_allclose(env.sim.snapshot()["velocities"][:, 0], 0.2, rtol=1e-5)


# The end of an episode


def test_time_limit_and_termination_exclude_each_other():
    env = make()
    env.init_state()
    for _ in range(4):
        assert not env.step(ones(env)).done.any()
    put(env, 1, 10.5)
    state = env.step(ones(env))
    assert state.terminated.tolist() == [False, True, False]
    assert state.truncated.tolist() == [True, False, True]
    assert state.info["steps"].tolist() == [0, 0, 0]


def test_staggered_rows_are_at_different_steps_of_their_first_episodes():
    env = make(num_envs=9, seed=3, max_episode_seconds=0.2)
    state = env.stagger()
    limit, begun = env.cfg.max_episode_steps, state.info["steps"].astype(int)
    assert len(set(begun)) > 3
    assert (state.obs == make(num_envs=9, seed=3).init_state().obs).all()
    ends = np.array([env.step(ones(env, 0.0)).truncated for _ in range(2 * limit)])
    for row, first in enumerate(limit - begun - 1):
        assert np.flatnonzero(ends[:, row]).tolist() == [first, first + limit]
    assert make(num_envs=3, seed=3, max_episode_seconds=0.2).stagger().info["steps"].tolist() == (
        begun[:3].tolist()
    )


def test_episodes_may_be_cut_off_sooner():
    env = make()
    env.episode_limit = 2
    ends = [env.step(ones(env, 0.0)).truncated.all() for _ in range(4)]
    assert ends == [False, True, False, True]
    assert env.cfg.max_episode_steps == 5


def test_without_a_time_limit_there_is_nothing_to_stagger():
    assert not make(max_episode_seconds=None).stagger().info["steps"].any()


def test_no_time_limit():
    env = make(max_episode_seconds=None)
    for _ in range(20):
        assert not env.step(ones(env, 0.0)).done.any()


def test_truncation_by_the_author_counts():
    class Cut(SlideEnv):
        """Cuts off the last row itself."""

        def update_state(self, state):
            state = super().update_state(state)
            return state.replace(truncated=np.arange(self.num_envs) == 2)

    state = make(cls=Cut).step(np.zeros((3, 1)))
    assert state.truncated.tolist() == [False, False, True]


def test_nothing_of_the_last_step_is_lost():
    env = make()
    env.init_state()
    put(env, 1, 10.5, 3.0)
    state = env.step(ones(env, 0.5))
    info = state.info
    assert state.terminated.tolist() == info["_final_obs"].tolist() == [False, True, False]
    end = 10.5 + 3 * 0.02
    assert info["final_obs"][1, 0] == pytest.approx(end, abs=0.01)
    assert info["final_state"][1, 1] == pytest.approx(end, abs=0.01)
    assert info["final_obs"][1, 2] == 0.5
    assert info["Reward"]["distance"][1] == pytest.approx(2 * end, abs=0.02)
    assert info["Reward"]["effort"].tolist() == [-0.125] * 3
    assert info["Reward"]["alive"].tolist() == [1, 0, 1]
    np.testing.assert_allclose(state.reward, sum(info["Reward"].values()), rtol=1e-6)
    assert info["metrics"]["speed/right"][1] > 2.9
    assert info["success"].tolist() == [False, True, False]  # the others have not ended
    # The next episode has begun.
    assert 1 <= state.obs[1, 0] < 2
    assert state.obs[1, 2] == 0
    assert info["start"][1] == state.obs[1, 0] == info["state"][1, 0]
    assert info["nested"]["count"].tolist() == [1, 0, 1]
    assert info["steps"].tolist() == [1, 0, 1]
    # Rows that go on see the same before and after.
    np.testing.assert_array_equal(state.obs[[0, 2]], info["final_obs"][[0, 2]])


def test_success_is_asked_at_the_end_only():
    env = make()
    for step in range(5):
        state = env.step(ones(env, 1.0))
        assert state.info["success"].all() == (step == 4)
    for _ in range(5):
        state = env.step(ones(env, -1.0))
    assert state.done.all()
    assert not state.info["success"].any()


# Divergence


def test_diverged_rows_earn_nothing_and_end_with_what_was_last_seen():
    env = make()
    before = env.step(ones(env))
    put(env, 0, 0.0, 1e20)
    put(env, 2, 0.0, np.nan)
    state = env.step(ones(env))
    assert state.terminated.tolist() == [True, False, True]
    assert state.reward[[0, 2]].tolist() == [0, 0]
    for term in state.info["Reward"].values():
        assert term[[0, 2]].tolist() == [0, 0]
    assert state.info["metrics"]["diverged"].tolist() == [1, 0, 1]
    assert state.info["metrics"]["speed/right"][[0, 2]].tolist() == [0, 0]
    assert not state.info["success"].any()
    np.testing.assert_array_equal(state.info["final_obs"][[0, 2]], before.obs[[0, 2]])
    np.testing.assert_array_equal(state.info["final_state"][[0, 2]], before.info["state"][[0, 2]])
    assert np.isfinite(state.obs).all()
    assert not env.step(ones(env)).info["metrics"]["diverged"].any()


@pytest.mark.parametrize("part", ["observe", "rewards"])
def test_numbers_that_are_not_finite_count_as_divergence(part):
    class Bad(SlideEnv):
        """One row's formula divides by zero."""

    def broken(self, state):
        parts = getattr(SlideEnv, part)(self, state)
        name = next(iter(parts))
        value = np.array(parts[name])
        value[1] = np.nan if state.info["nested"]["count"][1] == 2 else value[1]
        return {**parts, name: value}

    setattr(Bad, part, broken)
    env = make(cls=Bad)
    assert not env.step(ones(env)).done.any()
    state = env.step(ones(env))
    assert state.terminated.tolist() == [False, True, False]
    assert state.reward[1] == 0
    for array in (state.obs, state.info["final_obs"], state.reward):
        assert np.isfinite(array).all()


# Actions


def test_actions_are_finite_and_within_their_space():
    class Free(SlideEnv):
        """Any force is allowed."""

        action_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float32)

    env = make(4)
    env.step(np.array([[np.nan], [np.inf], [-7.0], [0.25]]))
    assert env.ctrl[:, 0].tolist() == [0, 10, -10, 2.5]
    env = make(4, Free)
    seen = []
    env.apply_action = lambda actions, state: seen.append(actions) or state
    env.step(np.array([[np.nan], [np.inf], [-np.inf], [1e300]]))
    assert np.isfinite(seen[0]).all()
    assert seen[0].dtype == np.float32
    assert seen[0][0] == 0


def test_integers_and_lists_are_actions_too():
    env = make()
    env.step([[0], [1], [2]])
    assert env.ctrl[:, 0].tolist() == [0, 10, 10]


# Randomness


def test_rows_are_numbered_across_processes():
    whole, part = make(6), make(2, row_offset=4)
    starts = [env.init_state().obs[:, 0] - np.arange(env.num_envs) for env in (whole, part)]
    np.testing.assert_allclose(starts[0][4:], starts[1], atol=1e-6)


def test_a_seed_is_drawn_where_none_is_given():
    seeds = {make(1, seed=None).seed for _ in range(5)}
    assert len(seeds) == 5
    assert make(1, seed=0).seed == 0


# Privileged observations


def test_privileged_observations_have_a_space():
    env = make()
    assert env.observation_layout == {"q": 1, "v": 1, "last_action": 1}
    assert env.state_layout == {"start": 1, "cart": 3}
    assert env.state_space.shape == (4,)
    assert env.observation_space.shape == (3,)


def test_without_privileged_observations():
    class Plain(SlideEnv):
        """Everybody sees the same."""

        def observe_privileged(self, state):
            return {}

    env = make(cls=Plain)
    for _ in range(6):
        state = env.step(ones(env))
        assert "state" not in state.info
        assert "final_state" not in state.info
    assert env.state_space is None


# What authors may get wrong


def returning(part=None, obs=None):
    class Returning(SlideEnv):
        """Returns something from its reset."""

        def reset(self, data, rows):
            super().reset(data, rows)
            return obs and obs(rows), part(rows) if part else {}

    return Returning


def test_reset_may_return_the_observations():
    env = make(cls=returning(obs=lambda rows: np.full((len(rows), 3), 7.0)))
    assert (env.init_state().obs == 7).all()
    for _ in range(5):
        state = env.step(ones(env))
    assert (state.obs == 7).all()
    assert (state.info["final_obs"][:, 2] == 1).all()


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (lambda rows: {"goal": rows}, r"info\['goal'\], which init_info\(\) does not provide"),
        (lambda rows: {"nested": {"goal": rows}}, r"info\['goal'\], which init_info"),
        (lambda rows: {"start": np.zeros((len(rows), 2))}, r"'start'.*shape \(3, 2\).*\(3,\)"),
        (lambda rows: {"start": np.zeros(7)}, r"'start'.*shape \(7,\)"),
    ],
)
def test_memory_of_another_name_or_shape(part, message):
    with pytest.raises(StateError, match=message):
        make(cls=returning(part)).init_state()


def test_an_author_may_write_update_state_whole():
    class Whole(SlideEnv):
        """Neither observe nor rewards, as in older environments."""

        observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)
        observe = NpEnv.observe
        rewards = NpEnv.rewards

        def reset(self, data, rows):
            super().reset(data, rows)
            return np.zeros((len(rows), 2), np.float32), {}

        def update_state(self, state):
            q = self.reads.q
            return state.replace(obs=np.hstack([q, q]), reward=q[:, 0].copy())

    env = make(cls=Whole)
    for step in range(1, 12):
        state = env.step(ones(env))
        assert state.truncated.all() == (step % 5 == 0)
        assert not state.terminated.any()
    assert state.obs.shape == (3, 2)


def test_memory_must_have_a_row_for_each_environment():
    class Short(SlideEnv):
        """Forgets that it is a batch."""

        def init_info(self):
            return super().init_info() | {"goal": np.zeros(2)}

    with pytest.raises(StateError, match=r"info\['goal'\].*3 environments"):
        make(cls=Short).init_state()


def test_a_component_without_columns():
    class Flat(SlideEnv):
        """Forgets the second axis."""

        def observe(self, state):
            return {"q": self.reads.q[:, 0]}

    with pytest.raises(StateError, match=r"'q' has shape \(3,\); it must be \(num_envs, k\)"):
        make(cls=Flat).init_state()


def test_a_part_that_forgets_to_return_the_state():
    class Forgetful(SlideEnv):
        """Returns None."""

        def apply_action(self, actions, state):
            self.ctrl = actions

    with pytest.raises(StateError, match=r"Forgetful\.apply_action\(\) must return the state"):
        make(cls=Forgetful).step(np.zeros((3, 1)))


def test_impossible_batches_and_missing_models():
    with pytest.raises(ConfigError, match="num_envs"):
        make(0)

    class NoModel(SlideEnv):
        """Neither a file nor a text."""

        make_model = NpEnv.make_model

    with pytest.raises(ConfigError, match=r"SlideCfg\.model_file is not set"):
        make(cls=NoModel)


def test_close():
    env = make()
    env.close()
    env.close()
    with pytest.raises(MotrixError, match="closed"):
        env.step(ones(env))


# Snapshots


def test_a_snapshot_holds_counters_memory_and_flags():
    env = make()
    for _ in range(3):
        env.step(ones(env))
    put(env, 1, 10.5)
    state = env.step(ones(env))
    saved = env.snapshot()
    assert saved["env/steps"].tolist() == [4, 0, 4]
    assert saved["streams/episode"].tolist() == [1, 2, 1]
    assert "info/metrics/speed~1right" in saved
    other = make()
    restored = other.restore(saved)
    assert restored is other.state
    assert restored.terminated.tolist() == [False, True, False]
    np.testing.assert_array_equal(restored.info["nested"]["count"], state.info["nested"]["count"])
    for _ in range(12):
        one, two = env.step(ones(env, 0.3)), other.step(ones(env, 0.3))
        np.testing.assert_array_equal(one.obs, two.obs)
        np.testing.assert_array_equal(one.info["steps"], two.info["steps"])
        np.testing.assert_array_equal(one.reward, two.reward)


def test_a_snapshot_is_not_touched_by_what_comes_after():
    env = make()
    env.init_state()
    saved = env.snapshot()
    copies = {name: array.copy() for name, array in saved.items()}
    for restored in (False, True):
        if restored:
            env.restore(saved)
        for _ in range(7):
            env.step(ones(env))
    for name, array in saved.items():
        np.testing.assert_array_equal(array, copies[name], err_msg=name)


def test_snapshots_of_another_batch_are_refused():
    with pytest.raises(SnapshotError, match="number of environments"):
        make(3).restore(make(4).snapshot())


def test_flatten_and_back():
    tree = {"a/b": np.arange(3), "c~d": {"e": np.zeros(2), "~1": {"/": np.ones(1)}}}
    flat = flatten(tree)
    assert set(flat) == {"a~1b", "c~0d/e", "c~0d/~01/~1"}
    back = unflatten(flat)
    assert back.keys() == tree.keys()
    np.testing.assert_array_equal(back["c~d"]["~1"]["/"], [1])


def test_write_rows_replaces_arrays():
    old = np.zeros(3, np.float32)
    info = {"a": old, "b": {"c": old}}
    inner = info["b"]
    write_rows(info, np.array([1]), {"a": np.array([2.0]), "b": {"c": np.array([3.0])}})
    assert old.tolist() == [0, 0, 0]
    assert inner["c"] is old
    assert info["a"].tolist() == [0, 2, 0]
    assert info["a"].dtype == np.float32
    assert info["b"]["c"].tolist() == [0, 3, 0]
