"""One process trains in a run folder; nothing stale is left when it is gone."""

import os
import subprocess
import sys

import pytest
from motrix_rl.errors import RunError
from motrix_rl.lock import training_lock
from motrix_rl.runs import Run

HOLD = """
import sys, time
from pathlib import Path
from motrix_rl.lock import training_lock
from motrix_rl.runs import Run
with training_lock(Run.open(Path(sys.argv[1]))):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def run(tmp_path):
    return Run.create(tmp_path, "hop", "skrl", "torch", 1, {})


@pytest.fixture
def holder(run):
    """A process that holds the lock."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(run.path)], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_process_is_refused_by_name(run, holder):
    says = rf"being trained by process {holder.pid}: .*--init-from"
    with pytest.raises(RunError, match=says), training_lock(run):
        pytest.fail("two processes train in one run")


def test_a_killed_process_leaves_no_lock(run, holder):
    holder.kill()
    holder.wait()
    with training_lock(run):
        assert Run.open(run.path).record["pid"] == os.getpid()


def test_readers_do_not_ask(run, holder):
    assert Run.open(run.path).checkpoints() == []
    assert Run.newest(run.path.parents[1]).path == run.path


def test_it_is_free_again_after_an_error(run):
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), training_lock(run):
            raise ZeroDivisionError


def test_a_second_training_in_the_same_process(run):
    with (
        training_lock(run),
        pytest.raises(RunError, match=f"process {os.getpid()}"),
        training_lock(Run.open(run.path)),
    ):
        pytest.fail("two trainings in one run")


def test_a_folder_that_cannot_be_locked(run):
    (run.path / ".lock").mkdir()
    with pytest.raises(RunError, match=r"cannot lock .*\.lock"), training_lock(run):
        pytest.fail("a folder is no lock")
