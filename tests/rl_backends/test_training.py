"""A training from end to end, as small as it can be, on every framework."""

import json
import random

import numpy as np
import pytest
from motrix_envs.errors import ConfigError
from motrix_rl import registry as rl
from motrix_rl.checkpoint import read_checkpoint
from motrix_rl.errors import CheckpointError
from motrix_rl.policy import load_policy
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def spy_on(trainer_class):
    """Return a trainer that keeps its agent, and what was global when it was built."""

    class Spy(trainer_class):
        def build_module(self, env, seed):
            self.found = (random.random(), np.random.random())  # noqa: NPY002
            return super().build_module(env, seed)

        def make_agent(self, module, env, session):
            self.agent = super().make_agent(module, env, session)
            return self.agent

    return Spy


def scalars(run):
    events = EventAccumulator(str(run.path))
    events.Reload()
    tags = events.Tags()["scalars"]
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in tags}


@pytest.fixture(scope="module")
def trained(trainer_class, tiny, tmp_path_factory):
    """Return a trainer after two rollouts, and its run."""
    from motrix_envs import registry as envs

    envs.default.complete_all()
    trainer = spy_on(trainer_class)(
        "cartpole",
        cfg_override=tiny,
        runs_root=tmp_path_factory.mktemp("runs"),
    )
    before = (random.getstate(), np.random.get_state()[1].tolist())  # noqa: NPY002
    run = trainer.train()
    after = (random.getstate(), np.random.get_state()[1].tolist())  # noqa: NPY002
    assert after == before
    return trainer, run


def test_the_run_is_recorded(trained, backend):
    _, run = trained
    assert run.checkpoints() == [32, 64]
    record = json.loads((run.path / "run.json").read_text())
    assert (record["status"], record["summary"]["env_steps"]) == ("finished", 64)
    assert "error" not in record
    assert record["rl"]["num_envs"] == 4
    assert record["origins"]["rl"]["seed"] == "user"
    assert record["compute"]["device"].startswith("cpu")
    threads = {"torch": ["rollout", "update"], "jax": ["xla"]}[backend]
    assert list(record["compute"]["threads"]) == threads
    assert all(count >= 1 for count in record["compute"]["threads"].values())


def test_seeds_were_set_before_anything_was_built(trained):
    trainer, _ = trained
    random.seed(1)
    expected = (random.random(), np.random.RandomState(1).random())
    assert trainer.found == expected


def test_metrics_and_events_agree(trained):
    _, run = trained
    logged = run.metrics()
    assert [row["env_steps"] for row in logged] == [32, 64]
    events = scalars(run)
    for tag in ("reward/instant_mean", "reward_instant/alive_max", "metrics/diverged_min"):
        assert [step for step, _ in events[tag]] == [32, 64]
        np.testing.assert_allclose([v for _, v in events[tag]], [row[tag] for row in logged])
    assert {"loss/policy_loss", "loss/value_loss", "policy/standard_deviation"} <= events.keys()


def test_everything_that_changes_is_in_the_checkpoint(trained, backend):
    trainer, run = trained
    first, last = (read_checkpoint(run.checkpoint_folder(step)) for step in (32, 64))
    same = {
        name
        for tensors, later in (
            (first.module.tensors, last.module.tensors),
            (first.learner, last.learner),
            (first.env, last.env),
        )
        for name, array in tensors.items()
        if np.array_equal(array, later[name])
    }
    # What may stay: a key from which others are folded, and what a short episode does not touch.
    learner = {name for name in same if name in first.learner}
    numpy = {"random/numpy", "random/numpy_position"}  # of which JAX uses a little, torch nothing
    assert learner == (numpy if backend == "torch" else {"random/jax", "random/numpy"})
    assert not same & set(first.module.tensors)
    assert last.state["counters"] == {"batch_steps": 16, "env_steps": 64, "updates": 2}
    assert last.state["learning_rates"] == trainer.learning_rates(trainer.agent)
    moments = [array for name, array in last.learner.items() if "adam" in name or "/mu" in name]
    assert moments
    assert all(array.any() for array in moments)


def test_log_offsets_are_those_of_the_moment(trained):
    _, run = trained
    first, last = (read_checkpoint(run.checkpoint_folder(step)) for step in (32, 64))
    lines = (run.path / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    assert first.state["logs"]["metrics.jsonl"] == len(lines[0])
    assert last.state["logs"]["metrics.jsonl"] == sum(map(len, lines))
    for name, size in last.state["logs"].items():
        assert (run.path / name).stat().st_size == size > first.state["logs"][name]


def test_the_saved_policy_is_the_trained_one(trained, backend):
    """Bit for bit in its own framework, and to float precision in the others."""
    trainer, run = trained
    obs = np.random.default_rng(0).normal(0, 2, (257, 4)).astype(np.float32)
    actions, _ = trainer.agent.module.act(obs, deterministic=True)
    assert np.array_equal(load_policy(run.path, framework=backend).act(obs), actions)
    in_numpy = load_policy(run.path)
    assert in_numpy.module.framework is None
    np.testing.assert_allclose(in_numpy.act(obs), actions, atol=1e-6, rtol=1e-6)


def test_the_saved_policy_acts_as_the_agent_sees_it(trained):
    """What skrl's model computes from raw observations is what the module computes."""
    trainer, _ = trained
    agent = trainer.agent
    obs = np.random.default_rng(1).normal(0, 2, (8, 4)).astype(np.float32)
    inputs = {
        "observations": agent._observation_preprocessor(agent.module.to_tensor(obs)),
        "states": None,
    }
    values, _ = agent.value.act(inputs, role="value")
    expected = agent.module.compute_values({"obs": agent.module.to_tensor(obs)})
    np.testing.assert_allclose(
        agent.module.to_numpy(values)[:, 0], agent.module.to_numpy(expected), rtol=1e-5, atol=1e-6
    )


def test_play_takes_a_run_or_a_checkpoint(trained, monkeypatch):
    trainer, run = trained
    monkeypatch.setattr("time.sleep", lambda seconds: pytest.fail("nothing is drawn: no pace"))
    trainer.play(run.path, max_steps=5)
    trainer.play(run.checkpoint_folder(32), max_steps=5)


def test_play_refuses_a_policy_of_another_environment(trained, make_trainer):
    _, run = trained
    with pytest.raises(CheckpointError) as caught:
        make_trainer("test-clock").play(run.path, max_steps=1)
    assert "observation.layout.positions: the policy has 2, the environment nothing" in str(
        caught.value
    )
    assert "action.high: the policy has [3.0], the environment [1.0]" in str(caught.value)


def test_play_refuses_another_pace(trained, make_trainer):
    _, run = trained
    with pytest.raises(CheckpointError, match=r"ctrl_dt: the policy has 0\.01, .* 0\.02"):
        make_trainer(env_cfg={"ctrl_dt": 0.02}).play(run.path, max_steps=1)


@pytest.fixture(scope="module")
def varied(trainer_class, tiny, tmp_path_factory):
    """Return a run with the unusual settings, stopped after its first rollout."""
    changes = {
        "learning_rate_scheduler_kl_threshold": 0.0,
        "grad_norm_clip": 0.0,
        "entropy_loss_scale": 0.01,
        "initial_log_std": -1.0,
        "learning_rate": 1e-4,
        "check_point_interval": 1000,
        "seed": None,
    }
    trainer = trainer_class(
        "cartpole", cfg_override={**tiny, **changes}, runs_root=tmp_path_factory.mktemp("runs")
    )
    reports = []

    def stop(progress):
        reports.append(progress)
        trainer.request_stop()

    return trainer.train(stop), reports


def test_a_stop_leaves_a_checkpoint_at_the_end_of_the_rollout(varied):
    run, (progress,) = varied
    assert run.record["status"] == "stopped"
    assert run.checkpoints() == [32]
    assert (progress.env_steps, progress.total_env_steps) == (32, 64)
    assert progress.steps_per_second > 0
    assert progress.seconds_left > 0


def test_unusual_settings_arrive(varied):
    run, _ = varied
    checkpoint = run.load()
    assert set(checkpoint.state["learning_rates"]) == {1e-4}
    assert checkpoint.module.tensors["pi/log_std"] == pytest.approx(-1, abs=0.01)
    (row,) = run.metrics()
    assert row["loss/entropy_loss"] < 0
    assert run.record["origins"]["rl"]["seed"] == "drawn"
    assert run.record["rl"]["seed"] == run.record["seed"]


def test_the_schedule_follows_the_divergence(trained, varied):
    trainer, run = trained
    rates = [run.load(step).state["learning_rates"] for step in run.checkpoints()]
    assert any(rate != trainer.cfg.learning_rate for pair in rates for rate in pair)


def test_privileged_observations_reach_the_critic_alone(make_trainer):
    run = make_trainer("test-inside", max_env_steps=32).train()
    tensors = run.load().module.tensors
    assert tensors["encoder/actor/0/kernel"].shape == (2, 8)
    assert tensors["encoder/critic/0/kernel"].shape == (3, 8)
    assert tensors["state_normalizer/mean"].shape == (3,)
    assert tensors["state_normalizer/count"] == tensors["normalizer/count"] == 32
    policy = load_policy(run.path)
    assert policy.act(np.zeros((5, 2), np.float32)).shape == (5, 1)


def test_shared_features_cannot_see_privileged_observations(make_trainer, backend, tmp_path):
    with pytest.raises(ConfigError, match=r"share_policy_value_features = False|to False"):
        make_trainer("test-inside", share_policy_value_features=True).train()
    assert not list(tmp_path.iterdir())


def test_reward_terms_and_episode_sums_of_each_trainer(make_trainer):
    """Two trainings in one process: nothing of the first is found in the second."""
    for _ in range(2):
        run = make_trainer("test-clock", max_env_steps=32).train()
        (row,) = run.metrics()
        # Even rows live four steps and earn 1 + 2 + 3 + 4 plus their number each step.
        assert row["reward_total/time_max"] == 10
        assert row["reward_total/time_min"] == 6
        assert row["reward_total/row_max"] == 9
        assert row["reward_instant/time_max"] == 4
        assert row["reward_total/row_min"] == 0
        assert row["episode/length_max"] == 4
        events = scalars(run)
        assert events["reward_total/time_max"] == [(32, 10)]
        assert events["episode/return_mean"][0][1] == pytest.approx(row["episode/return_mean"])


def test_one_environment_trains(make_trainer):
    run = make_trainer("test-clock", num_envs=1, max_env_steps=8).train()
    assert run.checkpoints() == [8]
    (row,) = run.metrics()
    assert (row["episode/length_min"], row["episode/length_max"]) == (4, 4)


def test_the_environment_is_closed_and_the_record_written_whatever_happens(
    make_trainer, monkeypatch
):
    from motrix_envs.np.env import NpEnv

    closed = []
    close = NpEnv.close
    monkeypatch.setattr(NpEnv, "close", lambda env: (closed.append(env), close(env)))
    for error, status in ((RuntimeError("boom"), "failed"), (KeyboardInterrupt(), "stopped")):

        def fail(progress, error=error):
            raise error

        trainer = make_trainer()
        with pytest.raises(type(error)):
            trainer.train(fail)
        newest = sorted(trainer._runs_root.glob("*/*/run.json"))[-1]
        record = json.loads(newest.read_text())
        assert record["status"] == status
        assert record.get("error") == ("RuntimeError: boom" if status == "failed" else None)
        assert len(closed) == 1
        closed.clear()


@pytest.mark.parametrize("rllib", ["motrix", "skrl"])
def test_staggered_episodes(rllib, backend, tiny, tmp_path):
    """Rows begin at different steps with either library, and only whole episodes are told of."""
    trainer = rl.default.trainer(rllib, backend)(
        "cartpole",
        cfg_override={**tiny, "stagger_episodes": True, "rollouts": 20, "max_env_steps": 160},
        env_cfg_override={"max_episode_seconds": 0.1},
        runs_root=tmp_path,
    )
    run = trainer.train()
    first, second = run.metrics()
    assert 1 <= first["episode/length_min"] <= first["episode/length_max"] == 10
    begun = read_checkpoint(run.checkpoint_folder(80)).env["env/steps"]
    assert len(set(begun.tolist())) > 1
    assert second["episode/length_mean"] == 10


def test_episodes_are_cut_off_sooner_in_training_alone(backend, tiny, tmp_path):
    changes = {"episode_steps": 5, "rollouts": 20, "max_env_steps": 80, "select_episodes": 1}
    trainer = rl.default.trainer("motrix", backend)(
        "cartpole",
        cfg_override={**tiny, **changes},
        env_cfg_override={"max_episode_seconds": 0.1},
        runs_root=tmp_path,
    )
    trained, selected = trainer.train().metrics()
    assert trained["episode/length_max"] == 5
    assert selected["select/length_mean"] == 10
