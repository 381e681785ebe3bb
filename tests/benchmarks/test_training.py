"""The clock of the training benchmark and its arithmetic; no tool is needed."""

from types import SimpleNamespace

import numpy as np
import pytest
from motrix_envs.basic.cartpole import CartPoleCfg, CartPoleEnv
from motrix_envs.np.actions import random_actions
from training import clock, quiet, rows, solve, summary, table
from training.goals import Goal
from training.watch import Enough

T = 4


class Time:
    """A clock that goes only where it is told to; processor time is twice as much."""

    now = 0.0

    def perf_counter(self):
        return self.now

    def process_time(self):
        return 2 * self.now

    def spend(self, seconds):
        self.now += seconds


class FakeProbe:
    """Takes one second longer each time."""

    def __init__(self, time):
        self.time, self.calls, self.steps = time, 0, 0

    def begin(self, env):
        self.steps = 0

    def follow(self, env, state):
        self.steps += 1
        self.time.spend(100)

    def seconds(self):
        assert self.steps == T
        self.calls += 1
        self.time.spend(1000)
        return float(self.calls)


class FakeLoad:
    on = None

    def switch(self, on):
        self.on = on


@pytest.fixture
def time(monkeypatch):
    fake = Time()
    monkeypatch.setattr(clock, "time", fake)
    return fake


def run(watch, time, load=None):
    """Train until it is enough: act 2 s, step 5 s, and 10 s (20 s under load) of update."""
    steps = 0
    with pytest.raises(Enough):
        while True:
            time.spend(2)
            watch.enter(None)
            time.spend(5)
            watch.leave(None, None)
            steps += 1
            if steps % T == 0:
                time.spend(20 if load and load.on else 10)
    return steps


def test_an_iteration_is_t_steps_and_one_update_without_probes(time):
    watch = clock.IterationClock(T, 2, 3, lambda env: FakeProbe(time))
    steps = run(watch, time)
    assert steps == (2 + 3) * T
    found = watch.result()
    expected = {"wall": T * 7 + 10, "cpu": 2 * (T * 7 + 10), "env": T * 5, "loaded": False}
    assert found["iterations"] == [expected] * 3
    assert found["probes"] == [1, 2, 3, 4]
    assert found["warm_up"] == 2


def test_load_comes_in_blocks_and_never_while_probing(time):
    load = FakeLoad()

    class Calm(FakeProbe):
        def seconds(self):
            assert not load.on
            return super().seconds()

    watch = clock.IterationClock(T, 1, 8, lambda env: Calm(time), load, block=2)
    run(watch, time, load)
    loaded = [one.loaded for one in watch.iterations]
    assert loaded == [False, False, True, True] * 2
    assert [one.wall for one in watch.iterations] == [48 if one else 38 for one in loaded]
    assert not load.on


def make_env():
    return CartPoleEnv(CartPoleCfg(), 16, seed=1)


def step_all(env, actions, watch=None):
    seen = []
    for action in actions:
        if watch:
            watch.enter(env)
        state = env.step(action)
        if watch:
            watch.leave(env, state)
        seen.append(state.obs)
    return np.array(seen)


def test_the_probe_repeats_the_rollout_and_disturbs_nothing():
    env, other = make_env(), make_env()
    actions = random_actions(env.action_space, 100, 16, 3)
    watch = clock.IterationClock(40, 1, 9)
    env.init_state(), other.init_state()
    seen = step_all(env, actions[:80], watch)
    assert env.streams.episode.max() > 1  # rows have begun anew on the way
    watch._probe.seconds()
    copy = watch._probe._copy.sim
    for sim in (env.sim, copy):
        sim.step(actions[80], 1)
    after, repeated = env.sim.snapshot(), copy.snapshot()
    assert all(np.array_equal(after[name], repeated[name]) for name in after)
    assert np.array_equal(seen, step_all(other, actions[:80]))
    for one in (env, other, watch._probe._copy):
        one.close()


def test_quiet_is_four_fifths_of_the_speed_of_the_fastest_tenth():
    probes = [[1.0] * 10, [3.0] * 20]
    limit = quiet.quiet_limit(probes)
    assert limit == pytest.approx(1.25)
    assert quiet.quiet_iterations([1, 1.2, 1.3, 1, 1], limit).tolist() == [True, False, False, True]


def clocked(walls, probes, part="speed", tool="motrix-torch", loaded=(), **more):
    count = len(walls)
    loaded = list(loaded) or [False] * count
    times = [
        {"wall": wall, "cpu": wall, "env": wall / 2, "loaded": on}
        for wall, on in zip(walls, loaded, strict=True)
    ]
    place = {"part": part, "tool": tool, "env": "cartpole", "num_envs": 2048, "seed": 1}
    common = {"peak_memory_mb": 100, "commit": "b"}
    return {**place, "iterations": times, "probes": probes, **common, **more}


def solving(tool, seed, seconds, steps):
    place = {"part": "solve", "tool": tool, "env": "cartpole", "num_envs": 512, "seed": seed}
    return {**place, "seconds": seconds, "env_steps": steps, "commit": "b"}


def test_ratio_is_physics_around_an_iteration_over_the_iteration():
    row = clocked([4.0, 4.0, 10.0], [2.0, 2.4, 2.0, 9.0])
    found = quiet.Result.of(*quiet.training_over_physics(row, limit=2.5))
    assert (found.quiet, found.count) == (2, 3)
    assert found.ratio.median == pytest.approx(2.2 / 4)
    assert found.over_all == pytest.approx(0.55)
    none = quiet.Result.of(*quiet.training_over_physics(row, limit=1.0))
    assert none.ratio is None and none.quiet == 0


def test_slow_down_compares_each_loaded_block_with_the_free_one_before():
    walls = [1, 1, 3, 3, 2, 2, 8, 8, 1, 1]
    loaded = [False, False, True, True] * 2 + [False, False]
    row = clocked(walls, [1] * 11, "busy", loaded=loaded)
    one, other, calm = quiet.slow_down(row, limit=1.0)
    assert (one / other).tolist() == [3, 4]
    assert calm.all()
    row["probes"][5] = 2.0
    assert quiet.slow_down(row, limit=1.0)[2].tolist() == [True, False]


def states(returns):
    """Yield states of two environments: each step earns 10, episodes end with these returns."""
    left = np.array(returns, float)
    while (left > 0).any():
        left = left - 10
        yield SimpleNamespace(reward=np.full(2, 10.0), done=left == 0)


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(solve, "EPISODES", 2)


def test_solved_is_a_mean_return_over_the_last_episodes(few):
    env = SimpleNamespace(num_envs=2)
    watch = solve.SolveWatch(started=0.0, steps=10_000)
    for state in states([300, 1000]):  # 650 on average
        watch.leave(env, state)
    watch._running = 0.0
    with pytest.raises(Enough):
        for state in states([980, 940]):
            watch.leave(env, state)
    found = watch.result()
    assert found["seconds"] > 0
    assert found["env_steps"] == 2 * (100 + 94)
    assert found["mean_return"] == 970  # of the last two, 1000 and 940


def test_unsolved_gives_up(few):
    watch = solve.SolveWatch(started=0.0, steps=20)
    with pytest.raises(Enough):
        for state in states([500, 500]):
            watch.leave(SimpleNamespace(num_envs=2), state)
    assert watch.result() == {"seconds": None, "env_steps": 20, "mean_return": None}


@pytest.mark.parametrize(
    ("value", "more", "verdict"),
    [
        (0.8, True, "stretch"),
        (0.65, True, "must"),
        (0.5, True, "missed"),
        (None, True, "not measured"),
        (np.inf, False, "missed"),
        (0.6, False, "stretch"),
        (0.7, False, "must"),
    ],
)
def test_verdicts(value, more, verdict):
    must, stretch = (0.6, 0.75) if more else (0.75, 0.6)
    assert Goal("x", "-", must, stretch, "-", value, more).verdict == verdict


def test_report_shows_goals_unsolved_seeds_and_failures():
    fast, slow = [1.0] * 21, [1.0] * 20 + [9.0]
    measured = [
        clocked([1.6] * 20, fast),
        clocked([4.0] * 20, slow, tool="skrl-torch", peak_memory_mb=200),
        solving("motrix-torch", 1, 4.0, 5e5),
        solving("skrl-torch", 1, 20.0, 5e5),
        solving("skrl-torch", 2, None, 3e6),
        solving("skrl-torch", 3, 16.0, 6e5),
        clocked([], [], tool="sb3") | {"error": "Traceback\nValueError: no | such"},
    ]
    del measured[-1]["probes"]
    text = table.report({"cpu": "a good one"}, measured).splitlines()

    def line(*starts):
        (found,) = (one for one in text if one.startswith("| " + " | ".join(starts)))
        return found

    goal = line("torch, 2048 cartpole: training / physics")
    assert "0.25 [0.25, 0.25] (19 of 20) | ≥ 0.60 | ≥ 0.75 | 0.62 [0.62, 0.62] (20 of 20)" in goal
    assert goal.endswith("| must |")
    assert line("JAX, 2048 cartpole").endswith("| - | not measured |")
    assert line("torch, peak memory").endswith("0.50: 100 MB | stretch |")
    assert line("torch, process start to solved").endswith("0.20: 4.0 s (1 seeds) | stretch |")
    assert "20.0 | 1: 20.0, 2: not solved, 3: 16.0" in line("skrl-torch", "20.0")
    assert line("speed", "sb3").endswith("ValueError: no / such |")
    assert f"{32 * 2048 / 1.6:,.0f}" in line("cartpole", "2048", "motrix-torch")


def test_rounds_are_put_together_unless_the_code_has_changed():
    old, new = (clocked([wall] * 5, [1.0] * 6, commit=c) for wall, c in [(4, "a"), (2, "b")])
    (found,) = summary.clocked([old, new, new]).values()
    assert (found.result.count, found.result.ratio.median) == (10, 0.5)
    (found,) = summary.clocked([old, new | {"commit": "a"}]).values()
    assert found.result.count == 10


def test_rows_are_those_that_were_asked_for():
    choice = rows.Choice(["speed", "solve"], ["motrix-jax", "sb3"], num_envs=[64], seeds=[2, 3])
    chosen = list(choice.rows())
    assert [(one.part, one.tool, one.env, one.num_envs, one.seed) for one in chosen] == [
        ("speed", "motrix-jax", "cartpole", 64, 2),
        ("speed", "sb3", "cartpole", 64, 2),
        ("speed", "motrix-jax", "quadruped", 64, 2),
        ("solve", "motrix-jax", "cartpole", 512, 2),
        ("solve", "motrix-jax", "cartpole", 512, 3),
    ]
    assert chosen[2].iterations == rows.ITERATIONS["quadruped"]
