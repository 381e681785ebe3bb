"""Disks that refuse: one message, and what was complete before can still be read."""

from __future__ import annotations

import builtins
import errno
import json
import os
import shutil
import subprocess
import sys
import warnings
from contextlib import contextmanager
from pathlib import Path

import pytest
from answers import CLEAR, EFFORT, HARMLESS, TALLY, TRAIN, everything_in, motrix
from motrix_rl.checkpoint import read_hash
from motrix_rl.runs import Run

DOOR = "disks"
CODES = (errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO, errno.EDQUOT)

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module", autouse=True)
def few_resamples():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("motrix_rl.evaluation.RESAMPLES", 20)
        yield


def train(root):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return motrix(*TRAIN, "--backend", "torch", "--seed", "1", "--runs", str(root))


class Disk:
    """Refuses the k-th call that changes something below a folder, and every later one if full."""

    def __init__(self, root, k, code, lasting):
        self.root, self.k, self.code, self.lasting = str(root), k, code, lasting
        self.calls = 0

    def _ask(self, path):
        if not str(path).startswith(self.root):
            return
        self.calls += 1
        if self.calls == self.k or (self.lasting and self.calls > self.k):
            raise OSError(self.code, os.strerror(self.code), str(path))

    def _fsync(self, call):
        def fsync(descriptor):
            self._ask(Path(f"/proc/self/fd/{descriptor}").resolve())
            return call(descriptor)

        return fsync

    def _path(self, call):
        def changing(path, *args, **kwargs):
            self._ask(path)
            return call(path, *args, **kwargs)

        return changing

    def _open(self, call):
        def opening(path, mode="r", *args, **kwargs):
            if set(mode) & set("wxa+"):
                self._ask(path)
            return call(path, mode, *args, **kwargs)

        return opening

    @contextmanager
    def refusing(self):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "fsync", self._fsync(os.fsync))
            patch.setattr(Path, "open", self._open(Path.open))
            patch.setattr(builtins, "open", self._open(builtins.open))
            for name in ("mkdir", "replace", "rename"):
                patch.setattr(Path, name, self._path(getattr(Path, name)))
            yield self


def check_runs(root):
    """Check that every run is whole up to where it claims, and nothing half-written is left."""
    for run in Run.find(root):
        names = [path.name for path in run.path.rglob("*")]
        assert not [name for name in names if name.startswith(".tmp")], names
        for line in (run.path / "metrics.jsonl").read_text().splitlines() if _logged(run) else ():
            json.loads(line)
        if not (run.path / "latest").is_file():
            continue
        before = everything_in(run.path)
        answer = motrix("eval", str(run.path), "--episodes", "1")
        assert answer.code == 0, answer
        for step in run.checkpoints():
            run.load(step)
        assert everything_in(run.path) == before
    broken = [path for path in Path(root).glob("*/*") if not (path / "run.json").is_file()]
    assert not broken, "a folder that is no run"


def _logged(run):
    return (run.path / "metrics.jsonl").is_file()


# Going on


ENGINE = ("--rllib", "motrix", "--backend", "torch", "--seed", "1", "--rl.max-env-steps", "64")
"""Four rollouts, each with a checkpoint that is scored."""


def train_by_engine(root):
    return motrix(*TRAIN, *ENGINE, "--runs", str(root))


def ending(run):
    """Return what an interrupted training has to end with as well."""
    rows = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    logged = [{k: v for k, v in row.items() if "time/" not in k} for row in rows]
    return read_hash(run.checkpoint_folder()), run.step("best"), run.record["best"], logged


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Return what the engine's training ends with, and how often it changes the disk."""
    root = tmp_path_factory.mktemp("undisturbed")
    with Disk(root, 0, errno.ENOSPC, False).refusing() as disk:
        assert train_by_engine(root).code == 0
    return ending(Run.newest(root)), disk.calls


def check_going_on(root, expected):
    """Check that a training whose disk is well again ends as if nothing had been."""
    for run in Run.find(root):
        if run.record["status"] != "finished":
            answer = motrix("train", "--resume", str(run.path), "--eval-episodes", "0")
            assert answer.code == 0, answer
        assert ending(Run.open(run.path)) == expected


def check_answer(answer):
    assert "Traceback" not in answer.err, answer
    if answer.code == 0:
        TALLY[DOOR, HARMLESS] += 1
        return
    assert answer.code == 1, answer
    errors = [line for line in answer.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, answer
    assert "cannot" in errors[0], answer
    assert "next:" not in answer.out
    TALLY[DOOR, CLEAR] += 1


@pytest.fixture(scope="module")
def writes(tmp_path_factory):
    """How many calls of a small training change something on the disk."""
    root = tmp_path_factory.mktemp("counted")
    with Disk(root, 0, errno.ENOSPC, False).refusing() as disk:
        assert train(root).code == 0
    assert disk.calls > 30, "the injection does not see the writes"
    return disk.calls


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc to see what is synced")
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
def test_every_write_of_a_training(writes, tmp_path, lasting):
    """Fewer in the short form: every sixth write, with another error each."""
    for k in range(1, writes + 1, 1 if EFFORT > 1 else 6):
        root = tmp_path / f"{k}"
        root.mkdir()
        with Disk(root, k, CODES[k % len(CODES)], lasting).refusing():
            answer = train(root)
        check_answer(answer)
        check_runs(root)
        shutil.rmtree(root)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc to see what is synced")
def test_the_engine_goes_on_from_every_write(undisturbed, tmp_path):
    """Full, read-only, forbidden, broken: from some write on, until it is resumed."""
    expected, writes = undisturbed
    for k in range(1, writes + 1, 1 if EFFORT > 1 else 17):
        root = tmp_path / f"{k}"
        root.mkdir()
        with Disk(root, k, CODES[k % len(CODES)], lasting=True).refusing():
            answer = train_by_engine(root)
        check_answer(answer)
        assert answer.code == 1
        check_runs(root)
        check_going_on(root, expected)
        shutil.rmtree(root)


# A real one


@pytest.fixture
def small_disk(tmp_path):
    """Return a function that makes a file system of some kilobytes, where that is allowed."""
    mounted = []

    def mount(kilobytes):
        path = tmp_path / f"disk{kilobytes}"
        path.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(path)]
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode:
            pytest.skip("mounting is not allowed here")
        mounted.append(path)
        return path

    if not sys.platform.startswith("linux") or not shutil.which("mount"):
        pytest.skip("needs a tmpfs")
    yield mount
    for path in mounted:
        subprocess.run(["umount", str(path)], check=True)


@pytest.mark.parametrize("kilobytes", [4, 8, 16, 32, 64, 96, 128])
def test_a_full_disk(small_disk, kilobytes):
    disk = small_disk(kilobytes)
    answer = train(disk)
    check_answer(answer)
    if answer.code:
        assert "No space left on device" in answer.err
    check_runs(disk)


@pytest.mark.parametrize("kilobytes", [40, 64, 88, 112])
def test_the_engine_goes_on_when_there_is_space_again(small_disk, undisturbed, kilobytes):
    disk = small_disk(kilobytes)
    answer = train_by_engine(disk)
    check_answer(answer)
    assert answer.code == 1 and "No space left on device" in answer.err
    check_runs(disk)
    subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
    assert Run.find(disk)
    check_going_on(disk, undisturbed[0])


@pytest.mark.parametrize("suffix", ["gif", "mp4"])
@pytest.mark.filterwarnings(r"ignore:os.fork\(\) was called:RuntimeWarning")
def test_a_video_on_a_full_disk(small_disk, trained, suffix):
    out = small_disk(8) / f"video.{suffix}"
    run = Run.newest(trained).path
    before = everything_in(run)
    answer = motrix("record", str(run), "--out", str(out), "--size", "64", "48")
    assert answer.code == 1, answer
    check_answer(answer)
    assert f"cannot write {out}" in answer.err
    assert everything_in(run) == before


VIDEO = ("--max-steps", "2", "--size", "16", "16")


@pytest.mark.parametrize("command", ["play", "record"])
@pytest.mark.filterwarnings(r"ignore:os.fork\(\) was called:RuntimeWarning")
def test_videos_that_go_nowhere(trained, tmp_path, command):
    run = Run.newest(trained).path
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.gif").mkdir()
    before = everything_in(run)
    places = [tmp_path / "file" / "v.gif", tmp_path / "folder.gif", Path("/dev/null/v.mp4")]
    places += [tmp_path / f"{'x' * 300}.gif", Path("/proc/v.gif"), Path("/proc/v.mp4")]
    for out in places:
        answer = motrix(command, str(run), "--out", str(out), *VIDEO)
        assert answer.code == 1, answer
        check_answer(answer)
        assert str(out) in answer.err or str(out.parent) in answer.err, answer
    assert everything_in(run) == before


def test_a_contact_sheet_that_goes_nowhere(trained, tmp_path):
    run = Run.newest(trained).path
    for sheet in ("/proc/sheet.png", "/dev/null/sheet.png", "sheet.bmp", "sheet"):
        out = tmp_path / "v.gif"
        answer = motrix("record", str(run), "--out", str(out), "--sheet", sheet, *VIDEO)
        assert answer.code == 1, answer
        check_answer(answer)
        assert sheet in answer.err
