"""A run folder answers for itself: what was trained, what exists, what went wrong."""

import errno
import json
import os
import re
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from motrix_envs.errors import MotrixError
from motrix_rl.atomic import write_bytes_atomic, write_json_atomic
from motrix_rl.checkpoint import Checkpoint, checkpoint_hash
from motrix_rl.errors import (
    BackendNotInstalledError,
    CheckpointError,
    PresetNotFoundError,
    RunError,
)
from motrix_rl.rl_module.folders import Content
from motrix_rl.runs import Run


def checkpoint(steps=0):
    weights = {"w": np.full((2, 3), steps, np.float32)}
    module = Content({"kind": "mlp"}, weights)
    return Checkpoint(module, state={"counters": {"steps": steps}})


def create(root, env="cartpole", seed=1, **record):
    return Run.create(root, env, "motrix", "torch", seed, {"config": {"lr": 3e-4}, **record})


@pytest.fixture
def run(tmp_path):
    return create(tmp_path / "runs")


@pytest.fixture
def trained(run):
    for step in (100, 20, 3):
        run.save(step, checkpoint(step))
    return run


def refuse(code):
    def refusing(*_args, **_kwargs):
        raise OSError(code, os.strerror(code))

    return refusing


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (CheckpointError, ValueError),
        (RunError, ValueError),
        (PresetNotFoundError, ValueError),
        (BackendNotInstalledError, ImportError),
    ],
)
def test_errors_are_ours_and_the_expected_builtin(error, builtin):
    assert issubclass(error, MotrixError)
    assert issubclass(error, builtin)
    assert str(error("what happened")) == "what happened"


# Creating


def test_create(tmp_path):
    run = create(tmp_path / "runs", env="go1-walk", seed=7, lineage={"parent": None})
    assert run.path.parent == tmp_path / "runs" / "go1-walk"
    assert re.fullmatch(r"\d{8}-\d{6}-motrix-torch-s7", run.path.name)
    record = json.loads((run.path / "run.json").read_text())
    assert record == run.record == Run.open(run.path).record
    assert record["config"] == {"lr": 3e-4}
    assert record["lineage"] == {"parent": None}
    assert record["host"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert (record["status"], record["env"], record["seed"]) == ("running", "go1-walk", 7)
    created = datetime.fromisoformat(record["created"])
    assert created.tzinfo == UTC
    assert f"{created:%Y%m%d-%H%M%S}" in run.path.name
    assert str(tmp_path) not in json.dumps(record)


def test_runs_of_one_second_get_their_own_folders(tmp_path, monkeypatch):
    monkeypatch.setattr("motrix_rl.runs.datetime", FrozenClock)
    runs = [create(tmp_path) for _ in range(11)]
    names = [run.path.name for run in runs]
    assert names[:3] == [names[0], f"{names[0]}-2", f"{names[0]}-3"]
    assert [run.path.name for run in Run.find(tmp_path)] == names[::-1]


class FrozenClock(datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2030, 1, 2, 3, 4, 5, tzinfo=tz)


@pytest.mark.parametrize("env", ["acme:hop", "acme/hop", "../hop", "..", "a b", "hüpf", 'x?*"<>|'])
def test_any_env_id_gives_a_portable_folder_inside_the_root(tmp_path, env):
    run = create(tmp_path / "runs", env=env)
    assert run.path.parent.parent == tmp_path / "runs"
    assert re.fullmatch(r"[A-Za-z0-9_.-]+", run.path.parent.name)
    assert Run.newest(tmp_path / "runs", env).path == run.path


@pytest.mark.parametrize("key", ["format", "env", "seed", "status", "host", "created"])
def test_create_refuses_keys_that_it_sets(tmp_path, key):
    with pytest.raises(RunError, match=f"sets {key} itself"):
        Run.create(tmp_path, "cartpole", "motrix", "torch", 1, {key: 1})
    assert not any(tmp_path.iterdir())


def test_create_refuses_what_json_cannot_hold(tmp_path):
    with pytest.raises(RunError, match=r"run\.json: config: model is of type"):
        create(tmp_path, config={"model": Path("x")})
    assert Run.find(tmp_path) == []
    assert not any((tmp_path / "cartpole").iterdir())


def test_nonfinite_numbers_are_kept_as_text(tmp_path):
    run = create(tmp_path, config={"clip": float("inf"), "x": np.float32("nan")})
    config = run.record["config"]
    assert config == {"clip": "inf", "x": "nan"}
    assert float(config["clip"]) == float("inf")


def test_create_where_one_may_not_write(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "mkdir", refuse(errno.EACCES))
    with pytest.raises(RunError, match=r"cannot create a run in .*Change the permissions"):
        create(tmp_path)


def test_create_below_a_file(tmp_path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(RunError, match="cannot create a run in"):
        create(tmp_path / "runs")


# Opening and finding


def test_open_what_is_not_there(tmp_path):
    with pytest.raises(RunError, match="no such folder"):
        Run.open(tmp_path / "nothing")


def test_open_a_folder_without_record(tmp_path):
    with pytest.raises(RunError, match=r"holds no run\.json\.$"):
        Run.open(tmp_path)


def test_open_a_folder_of_runs_names_the_newest(tmp_path):
    runs = [create(tmp_path, seed=seed) for seed in range(1, 6)]
    newest = ", ".join(str(run.path) for run in runs[:1:-1])
    for folder in (tmp_path, tmp_path / "cartpole"):
        with pytest.raises(RunError) as raised:
            Run.open(folder)
        assert f"The newest runs there: {newest}." in str(raised.value)
    with pytest.raises(RunError, match="newest runs there"):
        Run.open(tmp_path / "cartpole" / "mistyped")


@pytest.mark.parametrize("length", [0, 1, 30])
def test_open_a_half_written_record(run, length):
    os.truncate(run.path / "run.json", length)
    with pytest.raises(RunError, match=r"run\.json is half-written or not JSON"):
        Run.open(run.path)
    assert Run.find(run.path.parents[1]) == []


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_open_another_format_version(run, version):
    edit(run, format=version)
    with pytest.raises(RunError, match=f"format version {version!r}"):
        Run.open(run.path)


def test_open_a_record_that_is_not_an_object(run):
    (run.path / "run.json").write_text("[1]")
    with pytest.raises(RunError, match="format version None"):
        Run.open(run.path)


def test_open_a_record_that_lacks_keys(run):
    (run.path / "run.json").write_text('{"format": 1, "env": "x", "seed": 1, "status": "running"}')
    with pytest.raises(RunError, match="lacks rllib, backend, created"):
        Run.open(run.path)


def edit(run, **fields):
    file = run.path / "run.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


def test_find_sorts_by_time_and_leaves_out_the_broken(tmp_path):
    runs = [create(tmp_path, env=env) for env in ("hop", "cartpole", "hop")]
    broken = create(tmp_path, env="hop")
    os.truncate(broken.path / "run.json", 5)
    (tmp_path / "hop" / "notes").mkdir()
    (tmp_path / "hop" / "readme.txt").write_text("")
    assert [run.path for run in Run.find(tmp_path)] == [run.path for run in runs[::-1]]
    assert [run.path for run in Run.find(tmp_path, "hop")] == [runs[2].path, runs[0].path]
    assert Run.find(tmp_path, "go1") == Run.find(tmp_path / "nothing") == []
    assert Run.newest(tmp_path).path == runs[2].path


def test_newest_says_what_to_do_when_there_is_none(tmp_path):
    with pytest.raises(RunError, match=r"no run under .* holds no runs at all\. Train one first"):
        Run.newest(tmp_path)
    create(tmp_path, env="hop")
    with pytest.raises(RunError, match=r"no run of 'go1' under .*There are runs of hop\."):
        Run.newest(tmp_path, "go1")


# The record


def test_update_keeps_what_others_wrote(run):
    other = Run.open(run.path)
    other.update(best={"step": 1})
    run.update(device="cpu")
    assert run.record["best"] == {"step": 1}
    assert Run.open(run.path).record == run.record


def test_update_leaves_the_identity_alone(run):
    with pytest.raises(RunError, match="sets env, seed itself"):
        run.update(seed=2, env="other")


@pytest.mark.parametrize("status", ["finished", "stopped"])
def test_finish(run, status):
    run.finish({"return": np.float32(1.5)}, status)
    record = Run.open(run.path).record
    assert (record["status"], record["summary"]) == (status, {"return": 1.5})
    assert datetime.fromisoformat(record["ended"]) >= datetime.fromisoformat(record["created"])


@pytest.mark.parametrize("broken", ["open", "replace"])
def test_a_full_disk_leaves_the_record_as_it_was(run, monkeypatch, broken):
    before = (run.path / "run.json").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(Path, broken, refuse(errno.ENOSPC))
        # Reading opens a file, too: ask the atomic writer itself.
        with pytest.raises(
            RunError, match=r"cannot write .*run\.json: .*Free some space"
        ) as raised:
            write_json_atomic(run.path / "run.json", {"status": "stopped"})
    assert raised.value.__cause__.errno == errno.ENOSPC
    assert (run.path / "run.json").read_bytes() == before
    assert [path.name for path in run.path.iterdir()] == ["run.json"]


def test_a_write_that_breaks_off_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", refuse(errno.EIO))
    with pytest.raises(RunError, match="Check the folder and the disk"):
        write_bytes_atomic(tmp_path / "file", b"content")
    assert not any(tmp_path.iterdir())


def test_a_file_system_that_cannot_sync_folders_is_fine(tmp_path, monkeypatch):
    sync = os.fsync

    def files_only(descriptor):
        if not Path(f"/proc/self/fd/{descriptor}").resolve().is_file():
            raise OSError(errno.EINVAL, "Invalid argument")
        sync(descriptor)

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("needs /proc to tell files from folders")
    monkeypatch.setattr(os, "fsync", files_only)
    write_bytes_atomic(tmp_path / "file", b"content")
    assert (tmp_path / "file").read_bytes() == b"content"


# Checkpoints


def test_a_new_run_has_no_checkpoints(run):
    assert run.checkpoints() == []
    with pytest.raises(RunError, match=r"no 'latest' .*none was written yet\. The run has no"):
        run.load()


def test_save_and_load(trained):
    assert trained.checkpoints() == [3, 20, 100]
    assert (trained.path / "latest").read_text() == "3\n"
    assert trained.load().state["counters"] == {"steps": 3}
    for which in (100, "100"):
        assert trained.load(which).state["counters"] == {"steps": 100}
    folder = trained.checkpoint_folder("latest")
    assert folder == trained.path / "checkpoints" / "3"
    assert trained.save(20, checkpoint(20)) == checkpoint_hash(trained.load(20))


def test_a_negative_step_is_refused(run):
    with pytest.raises(RunError, match="step -1"):
        run.save(-1, checkpoint())


def test_best_is_absent_until_chosen(trained):
    with pytest.raises(RunError, match=r"no evaluation chose one yet\. Steps .*: 3, 20, 100\."):
        trained.load("best")
    trained.mark_best(20, {"return": 12.5, "episodes": 64})
    assert (trained.path / "best").read_text() == "20\n"
    assert trained.load("best").state["counters"] == {"steps": 20}
    best = Run.open(trained.path).record["best"]
    assert (best["step"], best["score"]) == (20, {"return": 12.5, "episodes": 64})


def test_best_must_exist(trained):
    with pytest.raises(RunError, match="no checkpoint of step 21"):
        trained.mark_best(21, {})
    assert not (trained.path / "best").exists()
    assert "best" not in trained.record


@pytest.mark.parametrize("which", ["newest", "", "-1", "1.5", "../x", -1])
def test_an_unknown_name_lists_what_exists(trained, which):
    with pytest.raises(RunError, match=r"'latest' or 'best'\. Steps .*: 3, 20, 100\."):
        trained.load(which)


def test_a_missing_step_lists_what_exists(trained):
    with pytest.raises(RunError, match=r"no checkpoint of step 50 .*: 3, 20, 100\."):
        trained.load(50)


def test_a_pointer_to_a_missing_step(trained):
    shutil.rmtree(trained.path / "checkpoints" / "3")
    with pytest.raises(RunError, match=r"step 3 \(where 'latest' points\).*: 20, 100\."):
        trained.load()


@pytest.mark.parametrize("content", [b"", b"abc", b"\xff\x00", b"-3", b"../3"])
def test_a_damaged_pointer(trained, content):
    (trained.path / "latest").write_bytes(content)
    with pytest.raises(RunError, match=r"instead of a step\. Steps .*: 3, 20, 100\."):
        trained.load()


def test_a_damaged_checkpoint_names_the_file_and_the_others(trained):
    os.truncate(trained.path / "checkpoints/3/state.json", 1)
    with pytest.raises(CheckpointError, match=r"state\.json.*Steps with a checkpoint: 3, 20, 100"):
        trained.load()


def test_incomplete_and_foreign_folders_are_no_checkpoints(trained):
    (trained.path / "checkpoints" / "20" / "manifest.json").unlink()
    for name in (".tmp-motrix-400", "007", "notes", "٣"):
        shutil.copytree(trained.path / "checkpoints/3", trained.path / "checkpoints" / name)
    (trained.path / "checkpoints" / "5").write_text("")
    assert trained.checkpoints() == [3, 100]


def test_latest_stays_when_a_save_fails(trained, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", refuse(errno.ENOSPC))
        with pytest.raises(CheckpointError, match="Free some space"):
            trained.save(200, checkpoint(200))
    assert trained.checkpoints() == [3, 20, 100]
    assert trained.load().state["counters"] == {"steps": 3}


# Metrics


def test_metrics_are_lines_that_can_be_cut_back(run):
    assert run.metrics_offset() == 0
    run.append_metrics({"steps": np.int64(1), "loss": np.float32(0.5)})
    offset = run.metrics_offset()
    run.append_metrics({"steps": 2, "loss": float("nan"), "name": "ü"})
    assert rows(run) == [{"steps": 1, "loss": 0.5}, {"steps": 2, "loss": "nan", "name": "ü"}]

    run.truncate_metrics(offset)
    run.append_metrics({"steps": 3})
    assert rows(run) == [{"steps": 1, "loss": 0.5}, {"steps": 3}]


def rows(run):
    return [json.loads(line) for line in (run.path / "metrics.jsonl").read_bytes().splitlines()]


def test_truncating_never_lengthens(run):
    run.truncate_metrics(10)
    run.append_metrics({"steps": 1})
    length = run.metrics_offset()
    run.truncate_metrics(length + 10)
    assert run.metrics_offset() == length


def test_metrics_that_json_cannot_hold(run):
    with pytest.raises(RunError, match="metrics: x is of type ndarray"):
        run.append_metrics({"x": np.zeros(2)})
    assert run.metrics_offset() == 0


def test_metrics_on_a_full_disk(run, monkeypatch):
    monkeypatch.setattr(Path, "open", refuse(errno.ENOSPC))
    with pytest.raises(RunError, match=r"metrics\.jsonl: .*Free some space"):
        run.append_metrics({"x": 1})
