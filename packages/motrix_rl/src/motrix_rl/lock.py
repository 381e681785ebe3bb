"""The lock of a run folder: one process trains in it, however many read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from motrix_rl.atomic import disk_errors
from motrix_rl.errors import RunError
from motrix_rl.runs import Run

_LOCK = ".lock"


@contextmanager
def training_lock(run: Run) -> Iterator[None]:
    """Be the only one that trains in a run, for the length of a block.

    The operating system holds the lock: it is free again when the process is gone, however that
    ended. The file stays, and means nothing by itself. `run.json` notes the process.

    Raises:
        RunError: Another process trains in it, or the disk refuses.
    """
    file = run.path / _LOCK
    lock = FileLock(file, blocking=False)
    with disk_errors(file, RunError, doing="lock"):
        try:
            lock.acquire()
        except Timeout as taken:
            raise RunError(_refusal(run)) from taken
    try:
        run.update(pid=os.getpid())
        yield
    finally:
        lock.release()


def _refusal(run: Run) -> str:
    pid = Run.open(run.path).record.get("pid")
    who = "another process" if pid is None else f"process {pid}"
    return (
        f"{run.path} is being trained by {who}: wait for its end, or stop it by Ctrl-C or "
        "`kill`. To train beside it, start a run of its own: --init-from "
        f"{run.path}"
    )
