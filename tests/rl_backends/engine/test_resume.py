"""A training that was interrupted ends as if it had not been: weights, records, logs."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from motrix_envs.errors import ConfigError
from motrix_rl import registry as rl
from motrix_rl.cli.command import main
from motrix_rl.errors import CheckpointError, RunError
from motrix_rl.rl_module import RLModuleSpec
from motrix_rl.runs import Run

SCRIPT = Path(__file__).parents[3] / "scripts" / "kill_trainings.py"
_spec = importlib.util.spec_from_file_location("kill_trainings", SCRIPT)
harness = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(harness)

CHANGES = {
    "num_envs": 4,
    "max_env_steps": 4 * 8 * 6,
    "check_point_interval": 16,
    "learning_rate": 1e-2,
    "select_episodes": 3,
    "stagger_episodes": True,
}
"""Six rollouts, a checkpoint after every other one, each scored."""


@pytest.fixture(scope="session")
def trainer_class(backend):
    return rl.default.trainer("motrix", backend)


def stopped(trainer, steps):
    """Train, and ask for an end after so many steps of single environments."""
    return trainer.train(lambda now: trainer.request_stop() if now.env_steps == steps else None)


@pytest.fixture(scope="module")
def whole(trainer_class, tiny, tmp_path_factory):
    """Return the root of an uninterrupted run."""
    root = tmp_path_factory.mktemp("whole")
    trainer_class("cartpole", cfg_override={**tiny, **CHANGES}, runs_root=root).train()
    return root


def test_interrupted_everywhere_ends_the_same(make_trainer, trainer_class, whole, tmp_path):
    run = stopped(make_trainer(**CHANGES), 32)
    for steps in (64, 96, 128, 160):
        assert run.record["status"] == "stopped"
        run = stopped(trainer_class.of_run(Run.open(run.path)), steps)
    run = trainer_class.of_run(run).train()
    assert harness.ending(tmp_path) == harness.ending(whole)
    assert [entry["env_steps"] for entry in run.record["resumed"]] == [32, 64, 96, 128, 160]
    assert all(entry["differs"] == [] for entry in run.record["resumed"])


def test_what_came_after_the_checkpoint_is_cut_off(make_trainer, trainer_class, whole, tmp_path):
    trainer = make_trainer(**CHANGES)

    def breaks(progress):
        if progress.env_steps == 96:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer.train(breaks)
    run = Run.newest(tmp_path)
    assert run.checkpoints() == [64]
    assert len((run.path / "metrics.jsonl").read_text().splitlines()) == 3 + 1
    trainer_class.of_run(run).train()
    assert harness.ending(tmp_path) == harness.ending(whole)


def test_without_a_checkpoint_it_begins_anew(make_trainer, trainer_class, whole, tmp_path):
    trainer = make_trainer(**CHANGES)

    def breaks(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer.train(breaks)
    run = Run.newest(tmp_path)
    assert run.checkpoints() == []
    trainer_class.of_run(run).train()
    assert harness.ending(tmp_path) == harness.ending(whole)


def test_a_checkpoint_whose_pointer_was_never_written(make_trainer, trainer_class, tmp_path):
    """A process died between the two, at the very end: nothing is left to train."""
    run = make_trainer(**CHANGES).train()
    expected = harness.ending(tmp_path)
    (run.path / "latest").write_text("128\n")
    run.update(status="running")
    trainer_class.of_run(run).train()
    assert harness.ending(tmp_path) == expected


def test_a_longer_training(make_trainer, trainer_class, whole, tmp_path, capsys):
    run = make_trainer(**{**CHANGES, "max_env_steps": 64}).train()
    with pytest.raises(RunError, match=r"has 64 steps, and is to have 64: .*--to-steps 128"):
        trainer_class.of_run(run)
    with pytest.raises(RunError, match="has 64 steps, and is to have 32"):
        trainer_class.of_run(run, 32)
    command = ["train", "--resume", str(run.path), "--to-steps", "192", "--eval-episodes", "0"]
    assert main(command) == 0
    assert "goes on from step 64" in capsys.readouterr().out
    assert harness.ending(tmp_path) == harness.ending(whole)
    assert Run.open(run.path).record["rl"]["max_env_steps"] == 192


def test_a_stop_tells_how_to_go_on(make_trainer, trainer_class, tmp_path, capsys, monkeypatch):
    run = stopped(make_trainer(**CHANGES), 32)
    capsys.readouterr()
    monkeypatch.setattr(
        trainer_class, "train", lambda self, _: stopped_again(self, trainer_class, run)
    )
    assert main(["train", f"--resume={run.path}", "--eval-episodes", "0"]) == 0
    assert f"next: motrix train --resume {run.path}" in capsys.readouterr().out


def stopped_again(trainer, trainer_class, run):
    assert isinstance(trainer, trainer_class)
    return run


def test_another_environment_is_refused(make_trainer, trainer_class):
    run = stopped(make_trainer(**CHANGES), 32)
    run.update(env_cfg={**run.record["env_cfg"], "ctrl_dt": 0.04})
    with pytest.raises(ConfigError, match=r"ctrl_dt was 0\.04, is 0\.01.*--init-from"):
        trainer_class.of_run(run).train()


def test_another_machine_is_warned_of_and_recorded(make_trainer, trainer_class):
    run = stopped(make_trainer(**CHANGES), 32)
    run.update(host={**run.record["host"], "cpu": {"model": "abacus"}})
    with pytest.warns(UserWarning, match="began elsewhere"):
        run = stopped(trainer_class.of_run(run), 64)
    assert run.record["resumed"][-1]["differs"] == ["cpu"]


OPTIONS = {
    "fcnet_hiddens": [5],
    "fcnet_activation": "silu",
    "vf_share_layers": False,
    "free_log_std": True,
    "normalize_observations": True,
}


def test_a_module_given_as_an_object_is_built_again(make_trainer, trainer_class, tmp_path, capsys):
    """A record cannot hold it, a checkpoint does."""
    changes = {**CHANGES, "rl_module": RLModuleSpec(model_config_dict=OPTIONS)}
    make_trainer(**changes).train()
    expected = harness.ending(tmp_path)
    shutil.rmtree(Run.newest(tmp_path).path)
    run = stopped(make_trainer(**changes), 96)
    assert main(["train", "--resume", str(run.path), "--eval-episodes", "1"]) == 0
    assert harness.ending(tmp_path) == expected
    assert "--trust" not in capsys.readouterr().out


def test_its_class_must_be_trusted(make_trainer, trainer_class, own_module, tmp_path):
    changes = {**CHANGES, "rl_module": RLModuleSpec(module_class=own_module)}
    make_trainer(**changes).train()
    expected = harness.ending(tmp_path)
    shutil.rmtree(Run.newest(tmp_path).path)
    run = stopped(make_trainer(**changes), 96)
    with pytest.raises(CheckpointError, match="--trust own_nets"):
        trainer_class.of_run(run)
    trainer = trainer_class.of_run(run, trusted=("own_nets",))
    assert trainer.trusted == ("own_nets",)
    trainer.train()
    assert harness.ending(tmp_path) == expected


def test_an_object_that_no_checkpoint_knows(make_trainer, trainer_class, tmp_path):
    def breaks(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_trainer(**CHANGES, rl_module=RLModuleSpec()).train(breaks)
    with pytest.raises(RunError, match="given as an object, and died before its first"):
        trainer_class.of_run(Run.newest(tmp_path))


def test_skrl_cannot_go_on(backend, make_trainer, trainer_class):
    run = stopped(make_trainer(**CHANGES), 32)
    with pytest.raises(ConfigError, match="'skrl' cannot go on with a run: --init-from"):
        rl.default.trainer("skrl", backend).of_run(run)


def test_a_killed_training_ends_the_same_in_other_processes(backend):
    """The short form; by hand, `scripts/kill_trainings.py torch --kills 15` is the long one."""
    command = [sys.executable, str(SCRIPT), backend, "--kills", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{backend}: 1 kills" in done.stdout


def test_the_harness_sees_a_difference(whole, tmp_path):
    found = harness.ending(whole)
    (metrics,) = whole.glob("*/*/metrics.jsonl")
    lines = metrics.read_text().splitlines()
    scores = [row["select/return_mean"] for row in found["metrics"] if "select/return_mean" in row]
    assert len(scores) == 3 and found["best"][0]["score"]["return_mean"] == max(scores)
    assert [json.loads(line)["env_steps"] for line in lines] == found["events"]
    assert len(found["hash"]) == 64
