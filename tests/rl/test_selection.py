"""The best checkpoint: which one it is, what is said of it, and that it disturbs nothing."""

import json
import os
import random
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import pytest
from motrix_envs import registry as envs
from motrix_envs.errors import ConfigError
from motrix_envs.np.env import NpEnv
from motrix_rl import registry
from motrix_rl.base import BaseRLCfg
from motrix_rl.cli.evaluate import evaluate_run
from motrix_rl.errors import RunError
from motrix_rl.evaluation import derived_seed, evaluate
from motrix_rl.policy import load_policy
from motrix_rl.registry import rlcfg
from motrix_rl.rl_module import PPONumpyRLModule
from motrix_rl.runs import Run
from motrix_rl.selection import Selection
from motrix_rl.session import Learned
from motrix_rl.trainer import Trainer

BALANCES = np.array([[0.6], [12.0], [0.9], [2.5]], np.float32)
LIMIT = {"max_episode_seconds": 0.4}
"""Forty steps, which a good policy survives."""


class Told(Trainer):
    """Acts for a step and then has the policy that it was told: -1 falls, 0 waits, 1 balances."""

    rllib, backend, algo = "told", "numpy", "told"
    resumable = True
    plan = (-1, 0, 1, 1, 0)

    def build_module(self, env, seed):
        return PPONumpyRLModule(
            observation_space=env.observation_space,
            action_space=env.action_space,
            model_config={"fcnet_hiddens": [], "free_log_std": True, "seed": seed},
        )

    def learn(self, env, module, session):
        state = env.state or env.init_state()
        for number in range(session.batch_steps, self.cfg.max_batch_env_steps):
            state = env.step(module.act(state.obs)[0])
            session.record()
            weights = module.get_state()
            weights["pi"]["out"]["kernel"] = self.plan[number] * BALANCES
            module.set_state(weights)
            session.after_update(number + 1, {}, Learned)


@pytest.fixture(autouse=True)
def declared(monkeypatch):
    """Declare the trainer and its configuration as a script would, for the length of a test."""
    registry.default.complete_all()
    monkeypatch.setattr(registry.default, "table", dict(registry.default.table))

    @rlcfg("cartpole", rllib="told", algo="told")
    @dataclass
    class ToldCfg(BaseRLCfg):
        seed: int | None = 1
        num_envs: int = 2
        max_env_steps: int = 2 * len(Told.plan)
        check_point_interval: int = 1
        select_episodes: int = 6


@pytest.fixture
def make(tmp_path):
    def make(env_cfg=LIMIT, runs_root="runs", **changes):
        root = tmp_path / runs_root
        return Told("cartpole", cfg_override=changes, env_cfg_override=env_cfg, runs_root=root)

    return make


def rows(run):
    lines = (run.path / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def scores(run):
    return {r["env_steps"]: r["select/return_mean"] for r in rows(run) if "select/return_mean" in r}


def expected(run, step):
    """Return the mean return of a checkpoint on the episodes that select."""
    env = envs.make("cartpole", None, LIMIT, 6, derived_seed(1, "select"))
    with closing(env):
        return evaluate(env, load_policy(run.path, step), 6).mean


def test_the_first_of_the_best_is_the_best(make):
    run = make().train()
    assert scores(run) == {step: expected(run, step) for step in (2, 4, 6, 8, 10)}
    assert scores(run)[2] < scores(run)[4] < scores(run)[6] == scores(run)[8] == 40
    assert (run.path / "best").read_text() == "6\n"
    score = {"return_mean": 40.0, "length_mean": 40.0, "success_rate": 1.0}
    assert run.record["best"] == {"step": 6, "score": score}
    assert run.step() == 6 and run.preferred == "best"


def test_seeds_of_training_selection_and_report_differ():
    assert len({derived_seed(1, purpose) for purpose in ("train", "select", "report")}) == 3


def test_scoring_changes_nothing_else(make):
    """Weights, draws and logs of a training are the same with and without it."""
    runs = [make(select_episodes=number).train() for number in (6, 0, 3)]
    hashes = [
        [json.loads((run.checkpoint_folder(step) / "manifest.json").read_text())["hash"]
         for step in run.checkpoints()]
        for run in runs
    ]  # fmt: skip
    assert hashes[0] == hashes[1] == hashes[2]
    logs = [
        [{k: v for k, v in row.items() if "time/" not in k} for row in rows(run)] for run in runs
    ]
    assert [row for row in logs[0] if "select/return_mean" not in row] == logs[1]
    assert runs[1].preferred == "latest" and "best" not in runs[1].record


def test_global_generators_are_left_alone(make, monkeypatch):
    """Even where the environment of the selection draws from them."""
    step, drawn = NpEnv.step, []

    def drawing(env, actions):
        if env.num_envs == 6:
            drawn.append((random.random(), np.random.random()))  # noqa: NPY002
        return step(env, actions)

    def learn(self, env, module, session):
        Told.learn(self, env, module, session)
        left.append((random.random(), np.random.random()))  # noqa: NPY002

    left = []
    quiet = make(select_episodes=0)
    noisy = make(select_episodes=6)
    monkeypatch.setattr(NpEnv, "step", drawing)
    for trainer in (quiet, noisy):
        trainer.learn = learn.__get__(trainer)
        trainer.train()
    assert drawn and left[0] == left[1]


def test_the_environments_are_made_once_and_closed(make, monkeypatch):
    made, closed = [], []
    init, close = NpEnv.__init__, NpEnv.close
    monkeypatch.setattr(NpEnv, "__init__", lambda e, *a, **k: (made.append(e), init(e, *a, **k))[0])
    monkeypatch.setattr(NpEnv, "close", lambda env: (closed.append(env), close(env)))
    make().train()
    assert len(made) == 2 and set(made) == set(closed)


def test_without_a_time_limit_nothing_is_scored(make):
    run = make({"max_episode_seconds": None}).train()
    assert scores(run) == {} and run.preferred == "latest"


@pytest.mark.parametrize(
    ("number", "says"), [(-1, "must not be negative"), (10**7, "between 1 and")]
)
def test_impossible_numbers_of_episodes(make, tmp_path, number, says):
    with pytest.raises(ConfigError, match=says):
        make(select_episodes=number).train()
    assert not (tmp_path / "runs").exists()


# Going on


def resumed(run):
    return Told.of_run(Run.open(run.path)).train()


def outcome(run):
    files = [(run.path / name).read_text() for name in ("best", "latest")]
    logged = [{k: v for k, v in row.items() if "time/" not in k} for row in rows(run)]
    return files, run.record["best"], logged, run.record["status"]


@pytest.fixture(scope="module")
def known():
    return {}


@pytest.fixture
def whole(make, known):
    """Return what an uninterrupted training ends with."""
    if not known:
        known["outcome"] = outcome(make(runs_root="whole").train())
    return known["outcome"]


class Died(BaseException):
    """Stands for a process that is gone."""


@pytest.mark.parametrize(
    "function",
    [(Selection, "score"), (Run, "mark_best"), (Run, "_point"), (Run, "save")],
    ids=lambda place: place[1],
)
@pytest.mark.parametrize("call", [1, 3])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_death_on_the_way(make, tmp_path, monkeypatch, whole, function, call, when):
    owner, name = function
    real, calls = getattr(owner, name), []

    def dying(*args, **kwargs):
        calls.append(args)
        if len(calls) == call and when == "before":
            raise Died
        result = real(*args, **kwargs)
        if len(calls) == call:
            raise Died
        return result

    trainer = make()
    with monkeypatch.context() as patch, pytest.raises(Died):
        patch.setattr(owner, name, dying)
        trainer.train()
    assert outcome(resumed(Run.newest(tmp_path / "runs"))) == whole


def test_a_stop_is_scored_but_not_remembered(make, whole):
    """An uninterrupted training has no checkpoint there."""
    trainer = make(check_point_interval=5, max_env_steps=2 * 5)
    run = trainer.train(lambda now: trainer.request_stop() if now.env_steps == 6 else None)
    assert run.checkpoints() == [6] and scores(run) == {6: 40.0} and run.step() == 6
    ended = resumed(run)
    assert scores(ended).keys() == {10} and ended.step("best") == 10


def test_a_longer_training(make, whole):
    run = make(max_env_steps=6).train()
    assert run.step("best") == 6
    assert outcome(Told.of_run(run, 10).train()) == whole


def test_a_run_from_before_there_was_a_selection(make):
    trainer = make(select_episodes=0)
    run = trainer.train(lambda now: trainer.request_stop() if now.env_steps == 4 else None)
    rl = {k: v for k, v in run.record["rl"].items() if k != "select_episodes"}
    run.update(rl=rl)
    ended = resumed(run)
    assert ended.step("best") == 6


def test_a_mark_by_hand_is_kept_where_nothing_is_scored(make):
    trainer = make(select_episodes=0)
    run = trainer.train(lambda now: trainer.request_stop() if now.env_steps == 4 else None)
    run.mark_best(2, {"by": "hand"})
    assert resumed(run).record["best"] == {"step": 2, "score": {"by": "hand"}}


def test_nobody_else_trains_in_it_meanwhile(make, whole, tmp_path):
    """A second training is refused and disturbs nothing; reading works."""
    refusals = []

    def intrude(now):
        if now.env_steps == 6:
            run = Run.newest(tmp_path / "runs")
            with pytest.raises(RunError, match=f"process {os.getpid()}") as refused:
                Told.of_run(run).train()
            refusals.append(refused)
            assert evaluate_run(run, episodes=1).episodes == 1

    assert outcome(make().train(intrude)) == whole
    assert len(refusals) == 1


# Who uses it


def test_the_best_one_stands_for_the_run(make):
    run = make().train()
    assert np.array_equal(load_policy(run.path).module.get_state()["pi"]["out"]["kernel"], BALANCES)
    assert evaluate_run(run, episodes=2).mean == 40
    assert evaluate_run(run, checkpoint="latest", episodes=2).mean < 40
    second = Told("cartpole", env_cfg_override=LIMIT, runs_root=run.path.parent, init_from=run.path)
    with second._open_env(1, 1, "train") as env:
        lineage = second._inherit(second.build_module(env, 2), env)
    assert lineage["init_from"] == str(run.checkpoint_folder("best"))


def test_no_best_one_any_more(make):
    run = make().train()
    run.forget_best()
    assert run.preferred == "latest" and run.record["best"] is None
    with pytest.raises(RunError, match="no evaluation chose one yet"):
        run.step("best")
    run.forget_best()
