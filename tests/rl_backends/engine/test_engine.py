"""The engine from end to end on both frameworks: borders of episodes, spaces, choices, ends."""

import importlib
from types import SimpleNamespace

import numpy as np
import pytest
from motrix_envs.errors import ConfigError
from motrix_rl import registry as rl
from motrix_rl.engine.host import HostPolicy
from motrix_rl.engine.rollout import Rollout
from motrix_rl.evaluation import evaluate
from motrix_rl.policy import load_policy
from motrix_rl.rl_module import states
from motrix_rl.rl_module.acting import clip
from motrix_rl.session import DivergedError

GAMMA, LAMBDA, STEPS = 0.9, 0.8, 9
SHORT = {"mini_batches": 2, "discount_factor": GAMMA, "lambda_param": LAMBDA, "rollouts": STEPS}


@pytest.fixture(scope="session")
def trainer_class(backend):
    return rl.default.trainer("motrix", backend)


def value(obs):
    """Ten times the clock plus the row; a freshly reset row is worth 1000, and never asked for."""
    clock, row = obs[:, 0], obs[:, 1]
    return (10 * clock + row + 1000 * (clock == 0)).astype(np.float32)


def collected(make_trainer, **changes):
    """Return a rollout of the clock, and what is learned from it, values in reward units."""
    trainer = make_trainer("test-clock", **{**SHORT, **changes})
    with trainer._open_env(4, 1, "train") as env:
        learner = trainer.make_learner(trainer.build_module(env, 1))
        learner.values = lambda obs, states: value(obs)
        learner.in_reward_units = lambda values: values.astype(np.float64)
        learner.targets = lambda returns: returns
        rollout, state = Rollout(env, trainer.cfg.rollouts), env.init_state()
        for step in range(trainer.cfg.rollouts):
            acted = learner.act(state.obs, None, np.zeros((4, 1), np.float32))
            seen, state = state, env.step(clip(acted[0], env.action_space))
            rollout.record(step, seen, acted, state)
        samples = trainer.samples(rollout, state, learner)
    return rollout, {
        k: a.reshape(trainer.cfg.rollouts, 4, *a.shape[1:]) for k, a in samples.items()
    }


def lambda_returns(bootstrap, scale, steps=STEPS):
    """Return lambda-returns as sums over the steps ahead, episode by episode, in float64.

    Source: Sutton and Barto, "Reinforcement Learning", 2018, equation 12.3, by its definition and
    not by a recursion. Odd rows terminate after three steps, even ones meet the limit after four.
    """
    returns = np.zeros((steps, 4))
    for row in range(4):
        length = 3 if row % 2 else 4
        for start in range(steps):
            clock = start % length
            left = min(length - clock, steps - start)
            ends = clock + left == length
            dead = ends and (row % 2 == 1 or not bootstrap)
            partial = []
            for n in range(1, left + 1):
                rewards = [scale * (clock + k + 1 + row) * GAMMA**k for k in range(n)]
                worth = 0.0 if dead and n == left else 10 * (clock + n) + row
                partial.append(sum(rewards) + GAMMA**n * worth)
            weights = [(1 - LAMBDA) * LAMBDA**n for n in range(left - 1)] + [LAMBDA ** (left - 1)]
            returns[start, row] = np.dot(weights, partial)
    return returns


@pytest.mark.parametrize(("bootstrap", "scale"), [(True, 1.0), (False, 1.0), (True, 0.5)])
def test_returns_at_the_borders_of_episodes(make_trainer, bootstrap, scale):
    rollout, samples = collected(
        make_trainer, time_limit_bootstrap=bootstrap, rewards_shaper_scale=scale
    )
    assert rollout.truncated[3].tolist() == [True, False, True, False]
    assert rollout.terminated[2].tolist() == [False, True, False, True]
    returns = lambda_returns(bootstrap, scale)
    np.testing.assert_allclose(samples["targets"], returns, rtol=1e-6)
    advantages = returns - samples["values"]
    centred = (advantages - advantages.mean()) / advantages.std()
    np.testing.assert_allclose(samples["advantages"], centred, rtol=1e-4, atol=1e-6)


def test_the_last_step_of_a_rollout_may_be_a_time_limit(make_trainer):
    rollout, samples = collected(make_trainer, rollouts=8)
    assert rollout.truncated[7].tolist() == [True, False, True, False]
    np.testing.assert_allclose(samples["targets"], lambda_returns(True, 1.0, 8), rtol=1e-6)


def test_the_normaliser_takes_in_a_rollout_once(make_trainer):
    run = make_trainer("test-clock", max_env_steps=64).train()
    tensors = [run.load(step).module.tensors for step in run.checkpoints()]
    assert [int(t["normalizer/count"]) for t in tensors] == [32, 64]


@pytest.fixture(scope="module")
def trained(trainer_class, tiny, tmp_path_factory):
    """Return a run of cartpole with shared features."""
    changes = {**tiny, "share_policy_value_features": True, "entropy_loss_scale": 0.01}
    root = tmp_path_factory.mktemp("runs")
    return trainer_class("cartpole", cfg_override=changes, runs_root=root).train()


def test_the_run_is_recorded_and_logged(trained, backend, learns):
    record = trained.record
    assert record["compute"]["update"]["gradients"] == learns
    assert record["compute"]["acting"] == ("native" if learns == "native" else "numpy")
    assert (record["rllib"], record["backend"], record["status"]) == ("motrix", backend, "finished")
    assert trained.checkpoints() == [32, 64]
    told = {"loss/policy_loss", "loss/value_loss", "loss/entropy_loss", "policy/kl_divergence"}
    told |= {"learning/learning_rate", "policy/standard_deviation"}
    assert told <= trained.metrics()[-1].keys()
    state = trained.load().learner
    assert int(state["adam/steps"]) == 2 * 2 * 2
    assert {"learning_rate", "values/mean", "adam/mean/encoder/shared/0/kernel"} <= state.keys()


def test_what_was_trained_acts_in_numpy(trained, backend):
    obs = np.random.default_rng(0).normal(0, 2, (257, 4)).astype(np.float32)
    actions = load_policy(trained.path).act(obs)
    own = load_policy(trained.path, framework=backend).act(obs)
    np.testing.assert_allclose(actions, own, rtol=1e-5, atol=1e-6)


def test_a_policy_is_taken_over(make_trainer, trained, trainer_class):
    trainer = trainer_class(
        "cartpole",
        cfg_override={**trained.record["rl"], "max_env_steps": 32, "learning_rate": 1e-12},
        runs_root=trained.path.parents[1],
        init_from=trained.path,
    )
    run = trainer.train()
    assert run.record["lineage"]["init_from"].endswith("checkpoints/64")
    before, after = trained.load().module.tensors, run.load().module.tensors
    np.testing.assert_allclose(after["pi/out/kernel"], before["pi/out/kernel"], atol=1e-6)
    assert after["normalizer/count"] == before["normalizer/count"] + 32


@pytest.mark.parametrize("name", ["test-choice", "test-choices"])
def test_choices_are_learned(make_trainer, name):
    trainer = make_trainer(
        name, num_envs=32, rollouts=8, mini_batches=4, max_env_steps=32 * 8 * 12, learning_rate=1e-2
    )
    run = trainer.train()
    with trainer._open_env(8, 3, "report") as env:
        result = evaluate(env, load_policy(run.path), 16)
    assert result.mean == 4.0
    assert "policy/entropy" in run.metrics()[-1]


def test_privileged_observations_reach_the_critic_alone(make_trainer):
    tensors = make_trainer("test-inside", max_env_steps=32).train().load().module.tensors
    assert tensors["encoder/actor/0/kernel"].shape == (2, 8)
    assert tensors["encoder/critic/0/kernel"].shape == (3, 8)
    assert tensors["state_normalizer/count"] == tensors["normalizer/count"] == 32


def test_without_a_compiler_the_framework_trains(make_trainer, monkeypatch, backend):
    monkeypatch.setenv("MOTRIX_NATIVE", "1")
    way = importlib.import_module("motrix_rl.engine.native_way")

    def fails(*args):
        raise OSError("no such library")

    monkeypatch.setattr(way, "native_way", fails)
    with pytest.warns(UserWarning, match=f"no such library. {backend} trains instead"):
        run = make_trainer("test-clock", max_env_steps=32).train()
    assert run.record["compute"]["update"]["gradients"] == backend


def test_the_module_is_up_to_date_whatever_ends_a_training(make_trainer, monkeypatch):
    """Not the checkpoint's weights with the normaliser of now."""
    trainer, kept = make_trainer("test-clock", max_env_steps=96), {}
    build = trainer.build_module

    def build_and_keep(env, seed):
        kept["module"] = build(env, seed)
        return kept["module"]

    def breaks(progress):
        if progress.env_steps == 64:
            raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "build_module", build_and_keep)
    with pytest.raises(KeyboardInterrupt):
        trainer.train(breaks)
    after = states.flatten(kept["module"].get_state())
    whole = make_trainer("test-clock", max_env_steps=64).train().load().module.tensors
    assert np.array_equal(after["pi/out/kernel"], whole["pi/out/kernel"])


def test_one_environment_trains(make_trainer):
    run = make_trainer("test-clock", num_envs=1, max_env_steps=8).train()
    assert run.checkpoints() == [8]


def test_a_loss_that_is_not_finite_ends_the_training(make_trainer, monkeypatch, trainer_class):
    trainer = make_trainer(max_env_steps=96)
    make = trainer.make_learner

    def breaks_later(module):
        learner = make(module)
        targets = learner.targets
        learner.targets = lambda returns: targets(returns) * (np.nan if learner.steps else 1)
        return learner

    monkeypatch.setattr(trainer, "make_learner", breaks_later)
    with pytest.raises(DivergedError, match=r"not finite after 64 steps.*step 32 is good"):
        trainer.train()


def test_distributions_whose_noise_is_not_known_are_refused(make_trainer, monkeypatch):
    trainer = make_trainer()
    with trainer._open_env(1, 1, "train") as env:
        module = trainer.build_module(env, 1)
        monkeypatch.setattr(type(module), "get_train_action_dist_cls", lambda self: SimpleNamespace)
        with pytest.raises(ConfigError, match="'motrix' draws the noise of Gaussians"):
            trainer.build_module(env, 1)


def test_the_host_acts_as_the_framework_would(make_trainer, monkeypatch):
    """NumPy and the framework agree on actions and log-probabilities, also after an update."""
    monkeypatch.setenv("MOTRIX_NATIVE", "0")
    trainer = make_trainer("test-clock", **SHORT)
    with trainer._open_env(4, 1, "train") as env:
        module = trainer.build_module(env, 1)
        assert trainer.describe_compute()["acting"] == "numpy"
        learner = trainer.make_learner(module)
        learner.host = trainer._host
        obs = env.init_state().obs
        for _ in range(2):
            noise = np.random.default_rng(3).normal(size=(4, 1)).astype(np.float32)
            for found, expected in zip(
                learner.act(obs, None, noise), learner.sample(obs, None, noise), strict=True
            ):
                np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
            module.update_normalizer(obs + 3)
            learner.load({"obs": obs})
            learner.refresh()


def test_a_host_that_disagrees_does_not_act(make_trainer, monkeypatch):
    monkeypatch.setenv("MOTRIX_NATIVE", "0")
    monkeypatch.setattr(HostPolicy, "logits", lambda self, obs: np.zeros((len(obs), 2)) + 0.1)
    trainer = make_trainer("test-clock", **SHORT)
    with trainer._open_env(4, 1, "train") as env:
        trainer.build_module(env, 1)
    assert trainer.describe_compute()["acting"] == trainer.backend
