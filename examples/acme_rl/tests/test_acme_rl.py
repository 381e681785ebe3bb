"""What a backend's author wants to know: does it keep the contract, is it right, does it learn?"""

import numpy as np
import pytest
from acme_rl.ars import ARSCfg, Trainer, _write_weights
from motrix_envs import registry as envs
from motrix_envs.errors import ConfigError
from motrix_rl import registry
from motrix_rl.evaluation import derived_seed, evaluate
from motrix_rl.policy import load_policy
from motrix_rl.testing import BackendContract

SHORT = {"max_episode_seconds": 2.0}  # 200 steps


class TestContract(BackendContract):
    rllib, backend = "acme", "numpy"
    tiny = {"num_envs": 4, "horizon": 64, "top_directions": 1}


def test_it_is_found():
    owners = {r.name: r.owner.name for r in registry.default.backends()}
    assert owners["acme", "numpy", "ars"] == "acme-rl"
    presets = {r.env_name for r in registry.default.presets() if r.rllib == "acme"}
    assert presets == {"cartpole", "acme-slide"}
    assert registry.default.default_algo("acme") == "ars"


def trainer(tmp_path, env_cfg=None, **changes):
    return Trainer("cartpole", cfg_override=changes, env_cfg_override=env_cfg, runs_root=tmp_path)


# The algorithm


def test_the_step_is_that_of_the_paper(tmp_path):
    """Four directions of one weight each; the two most rewarding ones, 0 and 2, decide."""
    learner = trainer(tmp_path, top_directions=2, step_size=0.5)
    directions = np.array([1.0, 2.0, 3.0, 4.0]).reshape(4, 1, 1)
    there, back = np.array([9.0, 1.0, 3.0, 2.0]), np.array([5.0, 1.0, 7.0, 2.0])
    spread = np.std([9.0, 3.0, 5.0, 7.0])
    expected = 0.5 / 2 * ((9 - 5) * 1 + (3 - 7) * 3) / spread
    np.testing.assert_allclose(learner._step(directions, there, back), [[expected]])
    np.testing.assert_array_equal(learner._step(directions, there * 0, back * 0), [[0.0]])


def test_only_the_first_episode_counts(tmp_path):
    """One point for every step: a return is a length, and nobody earns more than the horizon."""
    learner = trainer(tmp_path, num_envs=16, horizon=60, top_directions=1)
    env = envs.make("cartpole", num_envs=16, seed=1)
    policy = learner.build_module(env, 1)
    lengths, first = np.full(16, 60.0), []

    class Watch:
        def record(self):
            first.append(env.state.done)

    weights = np.random.default_rng(0).normal(0, 3, (16, 5, 1))
    returns, observations = learner._try(env, policy, weights, Watch())
    for row in range(16):
        ends = np.flatnonzero(np.array(first)[:, row])
        lengths[row] = ends[0] + 1 if ends.size else 60
    np.testing.assert_array_equal(returns, lengths)
    assert len(set(lengths)) > 3
    assert len(observations) == lengths.sum()
    env.close()


class Recorder:
    """An environment that remembers what it showed and what was then done."""

    def __init__(self, env):
        self.env, self.num_envs, self.seen, self.taken = env, env.num_envs, [], []

    def init_state(self):
        self.state = self.env.init_state()
        return self.state

    def step(self, actions):
        self.seen.append(self.state.obs)
        self.taken.append(actions)
        self.state = self.env.step(actions)
        return self.state


class Deaf:
    def record(self):
        pass


def test_what_is_tried_is_what_is_saved(tmp_path):
    """The product for all rows at once acts as the policy with the same weights does."""
    learner = trainer(tmp_path, num_envs=2, horizon=3, top_directions=1)
    env = envs.make("cartpole", num_envs=2, seed=1)
    policy = learner.build_module(env, 1)
    policy.update_normalizer(np.random.default_rng(0).normal(0, 0.1, (50, 4)))
    weights = np.random.default_rng(1).normal(size=(5, 1))
    _write_weights(policy, weights)
    recorder = Recorder(env)
    learner._try(recorder, policy, np.stack([weights, weights]), Deaf())
    for obs, actions in zip(recorder.seen, recorder.taken, strict=True):
        legal = np.clip(actions, env.action_space.low, env.action_space.high)
        np.testing.assert_allclose(policy.act(obs)[0], legal, rtol=1e-5, atol=1e-5)
    env.close()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"num_envs": 5}, "num_envs = 5 must be even"),
        ({"top_directions": 33}, r"must be in \[1, num_envs / 2 = 32\]"),
        ({"noise": 0.0}, "noise = 0.0 must be positive"),
        ({"device": "cuda:0"}, "NumPy computes on the 'cpu' alone"),
    ],
)
def test_what_it_cannot_do(tmp_path, changes, says):
    with pytest.raises(ConfigError, match=says):
        trainer(tmp_path, **changes)


def test_defaults_are_valid():
    ARSCfg().validate()


def test_it_learns(tmp_path):
    """Fifteen updates from doing nothing to hardly ever falling within two seconds."""
    run = trainer(tmp_path, SHORT, seed=1, horizon=200, max_env_steps=15 * 64 * 200).train()
    env = envs.make("cartpole", env_cfg_override=SHORT, num_envs=64, seed=derived_seed(1, "report"))
    learned = evaluate(env, load_policy(run.path), episodes=64)
    idle = evaluate(env, Idle(), episodes=64)
    env.close()
    assert idle.mean < 130
    assert learned.mean > 180


class Idle:
    def act(self, obs, started=None):
        return np.zeros((len(obs), 1), np.float32)
