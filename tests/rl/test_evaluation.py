"""Evaluations count every episode they promised, once, and say how sure they are."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from motrix_envs import registry as envs
from motrix_envs.errors import ConfigError
from motrix_rl.evaluation import (
    bootstrap_interval,
    derived_seed,
    evaluate,
    wilson_interval,
)


class Scripted:
    """An environment whose row i plays episodes of i + 1 steps, each worth its number."""

    success_metric = "the row is even"
    seed = 7

    def __init__(self, num_envs, limit=10):
        self.num_envs = num_envs
        self.cfg = SimpleNamespace(max_episode_steps=limit)
        self.clock = np.zeros(num_envs, int)
        self.episode = np.zeros(num_envs, int)
        self.steps = 0

    def init_state(self):
        return self._state(np.zeros(self.num_envs, bool))

    def step(self, actions):
        assert actions.shape == (self.num_envs, 1)
        self.steps += 1
        self.clock += 1
        done = self.clock > np.arange(self.num_envs)
        state = self._state(done)
        self.clock[done] = 0
        self.episode[done] += 1
        return state

    def _state(self, done):
        reward = np.where(done, self.episode, 0).astype(np.float32)
        info = {"success": np.arange(self.num_envs) % 2 == 0}
        obs = np.zeros((self.num_envs, 3), np.float32)
        return SimpleNamespace(obs=obs, reward=reward, done=done, info=info)


class Nothing:
    def act(self, obs, started=None):
        return np.zeros((len(obs), 1), np.float32)


def test_every_row_plays_the_same_number_of_episodes():
    env = Scripted(4)
    result = evaluate(env, Nothing(), 9)
    assert result.episodes == 12, "nine are rounded up to three for each of four rows"
    assert (result.mean, result.lowest, result.highest) == (1, 0, 2)
    assert result.length == np.mean([1, 2, 3, 4])
    assert result.success_rate == 0.5
    assert env.steps == 12, "until the slowest row is done; the others step on and do not count"
    assert (result.seed, result.success_metric) == (7, "the row is even")
    assert result.interval[0] <= result.mean <= result.interval[1]
    assert result.to_dict()["interval"] == result.interval


def test_one_environment_and_one_episode():
    result = evaluate(Scripted(1), Nothing(), 1)
    assert (result.episodes, result.interval, result.std) == (1, (0, 0), 0)
    low, high = result.success_interval
    assert low < 0.3
    assert high == 1


def test_an_episode_without_an_end_is_refused():
    with pytest.raises(ConfigError, match=r"no time limit.*set max_episode_seconds"):
        evaluate(Scripted(2, limit=None), Nothing(), 1)


def test_no_episodes_are_refused():
    with pytest.raises(ConfigError, match="episodes = 0 must lie between 1 and"):
        evaluate(Scripted(2), Nothing(), 0)


def test_a_real_environment_repeats_itself():
    results = []
    for seed in (3, 3, 4):
        env = envs.make("cartpole", num_envs=5, seed=derived_seed(seed, "report"))
        results.append(evaluate(env, Nothing(), 10))
        env.close()
    assert results[0] == results[1]
    assert results[0] != replace(results[2], seed=results[0].seed)
    assert results[0].mean == results[0].length, "cartpole pays one for every step"


def test_purposes_and_seeds_never_share_a_key():
    purposes = ("train", "select", "report", "play")
    keys = {derived_seed(seed, purpose) for seed in range(500) for purpose in purposes}
    assert len(keys) == 2000
    assert all(0 <= key < 2**64 for key in keys)
    assert derived_seed(1, "train") == derived_seed(1, "train")


def test_streams_start_differently():
    starts = []
    for purpose in ("train", "select", "report"):
        env = envs.make("cartpole", num_envs=8, seed=derived_seed(1, purpose))
        starts.append(env.init_state().obs)
        env.close()
    assert len(np.unique(np.concatenate(starts), axis=0)) == 24


# Intervals


def test_bootstrap_of_a_sample():
    values = np.random.default_rng(0).normal(10, 2, 400)
    low, high = bootstrap_interval(values)
    error = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - error, abs=0.03)
    assert high == pytest.approx(values.mean() + error, abs=0.03)
    assert bootstrap_interval(values) == (low, high)


def test_bootstrap_of_equal_values():
    assert bootstrap_interval(np.full(20, 1000.0)) == (1000, 1000)


def test_bootstrap_covers_the_truth():
    random = np.random.default_rng(1)
    hits = 0
    for _ in range(100):
        low, high = bootstrap_interval(random.exponential(1, 60))
        hits += low <= 1 <= high
    assert 88 <= hits <= 99


@pytest.mark.parametrize(
    ("rate", "trials", "expected"),
    [
        (0.5, 100, (0.4038, 0.5962)),  # Wilson (1927) for 50 of 100
        (0.0, 10, (0.0, 0.2775)),
        (1.0, 10, (0.7225, 1.0)),
    ],
)
def test_wilson(rate, trials, expected):
    assert wilson_interval(rate, trials) == pytest.approx(expected, abs=1e-4)
