"""How a training is watched, saved and ended, shown on an agent that learns nothing."""

import collections
import contextlib
import errno
import json
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from motrix_envs.errors import MotrixError
from motrix_envs.np.env import NpEnv
from motrix_rl.errors import CheckpointError, RunError
from motrix_rl.rl_module import PPONumpyRLModule
from motrix_rl.runs import Run
from motrix_rl.session import DivergedError
from motrix_rl.skrl.agent import SessionAgent
from motrix_rl.skrl.options import SkrlParts
from motrix_rl.skrl.trainer import SkrlTrainer
from motrix_rl.skrl.wrap import NpWrapping

TINY = {
    "num_envs": 2,
    "rollouts": 4,
    "mini_batches": 1,
    "check_point_interval": 6,
    "max_env_steps": 40,
    "seed": 1,
    "select_episodes": 0,
}
"""Five rollouts of 8 steps; a checkpoint every second one, as 6 is rounded up to 8."""


class Wrapped(NpWrapping):
    to_device = to_numpy = staticmethod(np.asarray)
    find_device = staticmethod(lambda name: "cpu")


class Base:
    """What `NpWrapping` is mixed into."""

    def __init__(self, env):
        self.observation_space, self.state_space = env.observation_space, env.state_space
        self.action_space, self.device = env.action_space, "cpu"


class FakeEnv(Wrapped, Base):
    pass


class FakePPO:
    def __init__(self, **parts):
        self.cfg = SimpleNamespace(**parts["cfg"])
        self.tracking_data = collections.defaultdict(list)
        self.weight, self.loss = 0.0, 0.5

    def record_transition(self, **transition):
        self.last = transition

    def post_interaction(self, *, timestep, timesteps):
        self.weight += 1
        self.module.write_buffer("pi.log_std", np.full(1, self.weight, np.float32))
        self.tracking_data["Loss / Policy loss"].append(self.loss)


class FakeAgent(SessionAgent, FakePPO):
    pass


class FakeLoop:
    """The order of calls in skrl's sequential trainer."""

    def __init__(self, *, env, agents, cfg):
        self.env, self.agent, self.steps = env, agents, cfg["timesteps"]

    def train(self):
        self.env.reset()
        for step in range(self.steps):
            obs, _, terminated, truncated, infos = self.env.step(np.zeros((self.env.num_envs, 1)))
            self.agent.record_transition(
                next_observations=obs,
                next_states=None,
                infos=infos,
                terminated=terminated,
                truncated=truncated,
            )
            self.agent.post_interaction(timestep=step, timesteps=self.steps)


class FakeTrainer(SkrlTrainer):
    backend = "fake"
    parts = SkrlParts(
        agent=FakeAgent,
        cfg=dict,
        memory=SimpleNamespace,
        scaler=None,
        scheduler=None,
        loop=FakeLoop,
    )
    agent = None

    def check_cfg(self):
        pass

    def seeded(self, seed):
        return contextlib.nullcontext()

    def describe_compute(self):
        return {"device": "none"}

    def wrap(self, env, renderer):
        return FakeEnv(env, renderer)

    def build_module(self, env, seed):
        return PPONumpyRLModule(
            observation_space=env.observation_space,
            action_space=env.action_space,
            model_config={"hidden": [4], "free_log_std": True, "seed": seed},
        )

    def make_models(self, module, env):
        return {}

    def make_agent(self, module, env, session):
        self.agent = super().make_agent(module, env, session)
        return self.agent

    def export_learner(self, agent):
        return {"critic": np.full(3, agent.weight)}

    def learning_rates(self, agent):
        return [0.1]


@pytest.fixture
def trainer(tmp_path):
    return FakeTrainer("cartpole", cfg_override=TINY, runs_root=tmp_path)


def only_run(root):
    (path,) = root.glob("*/*/run.json")
    return Run.open(path.parent)


def lines(run):
    return [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]


def on_report(number, action):
    """Return a callback that acts at its `number`-th call."""
    calls = []

    def callback(progress):
        calls.append(progress)
        if len(calls) == number:
            action()

    return callback


def raising(error):
    def action():
        raise error

    return action


class Clock:
    """A clock that moves on only where somebody sleeps."""

    def __init__(self, monkeypatch):
        self.now, self.slept = 0.0, []
        monkeypatch.setattr("time.monotonic", lambda: self.now)
        monkeypatch.setattr("time.sleep", self.sleep)

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


# Ends


def test_a_finished_training(trainer):
    reports = []
    run = trainer.train(reports.append)
    assert run.record["status"] == "finished"
    assert run.record["summary"] == {
        "env_steps": 40,
        "mean_return": run.record["summary"]["mean_return"],
    }
    assert [report.env_steps for report in reports] == [8, 16, 24, 32, 40]
    assert reports[-1].seconds_left == 0
    assert [line["env_steps"] for line in lines(run)] == [8, 16, 24, 32, 40]
    assert run.checkpoints() == [16, 32, 40], "every second rollout, and the last one"
    assert run.load().state["counters"] == {"batch_steps": 20, "env_steps": 40, "updates": 5}


def test_less_than_one_interval_still_ends_with_a_checkpoint(tmp_path):
    override = {**TINY, "check_point_interval": 10_000, "max_env_steps": 1}
    run = FakeTrainer("cartpole", cfg_override=override, runs_root=tmp_path).train()
    assert run.checkpoints() == [8]


def test_a_requested_stop(trainer):
    run = trainer.train(on_report(3, trainer.request_stop))
    assert run.record["status"] == "stopped"
    assert "error" not in run.record
    assert run.checkpoints() == [16, 24]
    assert run.record["summary"]["env_steps"] == 24
    again = trainer.train()
    assert again.record["status"] == "finished", "a stop counts for one training"


def test_a_stop_asked_for_before_the_start(trainer):
    trainer.request_stop()
    assert trainer.train().checkpoints() == [8]


def test_a_stop_at_the_very_end_changes_nothing(trainer):
    run = trainer.train(on_report(5, trainer.request_stop))
    assert run.record["status"] == "finished"


def test_an_interrupt(trainer, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        trainer.train(on_report(3, raising(KeyboardInterrupt())))
    run = only_run(tmp_path)
    assert run.record["status"] == "stopped"
    assert run.load().state["counters"]["env_steps"] == 16


def test_an_error(trainer, tmp_path):
    with pytest.raises(ZeroDivisionError):
        trainer.train(on_report(3, raising(ZeroDivisionError("by what"))))
    run = only_run(tmp_path)
    assert run.record["status"] == "failed"
    assert run.record["error"] == "ZeroDivisionError: by what"
    assert run.load().state["counters"]["env_steps"] == 16
    assert len(lines(run)) == 3


def test_an_error_while_the_agent_is_built(trainer, tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "make_models", lambda module, env: {}["models"])
    with pytest.raises(KeyError):
        trainer.train()
    assert only_run(tmp_path).record["status"] == "failed"


@pytest.mark.parametrize("error", [None, ValueError("x"), KeyboardInterrupt()])
def test_the_environment_is_closed(trainer, monkeypatch, error):
    closed, close = [], NpEnv.close
    monkeypatch.setattr(NpEnv, "close", lambda env: (closed.append(env), close(env)))
    if error:
        with pytest.raises(type(error)):
            trainer.train(on_report(1, raising(error)))
    else:
        trainer.train()
    assert len(closed) == 1


# Divergence


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_not_finite(trainer, tmp_path, bad):
    def spoil():
        trainer.agent.loss = bad

    with pytest.raises(DivergedError, match="'Loss / Policy loss' is not finite") as caught:
        trainer.train(on_report(3, spoil))
    assert isinstance(caught.value, MotrixError)
    assert "The checkpoint of step 16 is good." in str(caught.value)
    run = only_run(tmp_path)
    assert run.checkpoints() == [16]
    assert run.record["status"] == "failed"
    assert "not finite" in run.record["error"]
    assert len(lines(run)) == 4, "the line that shows it is there"


def test_weights_that_are_not_finite_are_not_saved(trainer, tmp_path):
    def spoil():
        trainer.agent.weight = np.nan

    with pytest.raises(DivergedError, match=r"'pi/log_std' is not finite"):
        trainer.train(on_report(3, spoil))
    run = only_run(tmp_path)
    assert run.checkpoints() == [16]
    assert np.isfinite(run.load().module.tensors["pi/log_std"]).all()


# Disks


def refuse(*_args, **_kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_at_a_checkpoint(trainer, tmp_path, monkeypatch):
    def fill():
        monkeypatch.setattr("motrix_rl.checkpoint.write_synced", refuse)

    with pytest.raises(CheckpointError, match="Free some space"):
        trainer.train(on_report(3, fill))
    run = only_run(tmp_path)
    assert run.checkpoints() == [16]
    assert run.load().state["counters"]["env_steps"] == 16
    assert run.record["status"] == "failed"


def test_a_full_disk_at_the_logs(trainer, tmp_path, monkeypatch):
    real = Path.open

    def refuse_logs(path, mode="r", *args, **kwargs):
        return refuse() if mode == "ab" else real(path, mode, *args, **kwargs)

    def fill():
        monkeypatch.setattr(Path, "open", refuse_logs)

    with pytest.raises(RunError, match=r"cannot write .*events.* Free some space"):
        trainer.train(on_report(3, fill))
    run = only_run(tmp_path)
    assert run.load().state["counters"]["env_steps"] == 16
    assert len(lines(run)) == 3


def test_a_disk_so_full_that_the_record_cannot_say_so(trainer, tmp_path, monkeypatch):
    def fill():
        monkeypatch.setattr("motrix_rl.checkpoint.write_synced", refuse)
        monkeypatch.setattr("motrix_rl.atomic.write_synced", refuse)

    with pytest.raises(CheckpointError) as caught:
        trainer.train(on_report(3, fill))
    (note,) = caught.value.__notes__
    assert "run.json" in note
    monkeypatch.undo()
    assert only_run(tmp_path).record["status"] == "running"


# What the agent gets


@pytest.mark.parametrize("bootstrap", [True, False])
def test_the_agent_gets_final_observations_only_to_bootstrap(tmp_path, bootstrap):
    override = {**TINY, "time_limit_bootstrap": bootstrap, "max_env_steps": 8}
    limit = {"max_episode_seconds": 0.04}
    trainer = FakeTrainer(
        "cartpole", cfg_override=override, env_cfg_override=limit, runs_root=tmp_path
    )
    trainer.train()
    last = trainer.agent.last
    assert last["truncated"].all()
    assert last["terminated"].all() == (not bootstrap)
    seen, final = last["next_observations"], last["infos"]["final_obs"]
    assert np.array_equal(seen, final) == bootstrap


def test_a_drawn_seed_is_recorded(tmp_path):
    trainer = FakeTrainer("cartpole", cfg_override={**TINY, "seed": None}, runs_root=tmp_path)
    first, second = trainer.train(), trainer.train()
    assert first.record["origins"]["rl"]["seed"] == "drawn"
    assert first.record["rl"]["seed"] == first.record["seed"] != second.record["seed"]


def test_the_pace_is_kept_only_where_somebody_looks(trainer, monkeypatch):
    run = trainer.train()
    clock = Clock(monkeypatch)
    trainer.play(run.path, max_steps=3)
    assert clock.slept == []
    window = SimpleNamespace(closed=False, render=lambda: None)
    monkeypatch.setattr(trainer, "_drawn", lambda env: contextlib.nullcontext(window))
    trainer.play(run.path, max_steps=3)
    assert clock.slept == pytest.approx([0.01, 0.01, 0.01])
    window.closed = True
    trainer.play(run.path)
