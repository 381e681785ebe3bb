"""MuJoCo as a library: silent, and aware of how many processors and which process it has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import mujoco
from motrix_envs.errors import MotrixError
from motrix_envs.sim.engine import wanted_threads
from mujoco import batch

# Handing fewer rows to a second thread takes longer than stepping them.
ROWS_PER_THREAD = 32


@contextmanager
def silence() -> Iterator[None]:
    """Keep MuJoCo from printing its warnings, and from writing a log file where the user works."""
    config = mujoco.MjLogConfig.get()
    before = config.logto_console, config.logto_file
    config.logto_console = config.logto_file = False
    config.set()
    try:
        yield
    finally:
        config.logto_console, config.logto_file = before
        config.set()


def threads(num_envs: int) -> int:
    """Return how many threads a batch uses; the numbers do not depend on it."""
    wanted = wanted_threads() or _processors()
    return max(1, min(wanted, num_envs // ROWS_PER_THREAD))


def _processors() -> int:
    """Return the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Process:
    """The process that an object with threads lives in; they do not exist in a forked child."""

    def __init__(self) -> None:
        self._pid = os.getpid()

    def require(self) -> None:
        """Check that this process is the one.

        Raises:
            MotrixError: It was forked since: a call that needs a thread would never return.
        """
        if os.getpid() != self._pid:
            raise MotrixError(
                "this simulation was made before the process was forked from its parent, and "
                'cannot run here; start workers with multiprocessing.get_context("spawn") and make '
                "the environments there"
            )


__all__ = ["Process", "batch", "mujoco", "silence", "threads"]
