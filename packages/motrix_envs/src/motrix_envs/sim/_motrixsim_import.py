"""MotrixSim as a library: imported in silence, its panics known, its threads in one process."""

from __future__ import annotations

import functools
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from motrix_envs.errors import MotrixError
from motrix_envs.sim.engine import wanted_threads


@contextmanager
def native_stderr() -> Iterator[Callable[[], str]]:
    """Catch what native code writes to the standard error stream; call the result to read it."""
    if sys.stderr is not None:
        sys.stderr.flush()
    with tempfile.TemporaryFile() as caught, ExitStack() as undo:
        try:
            saved = os.dup(2)
        except OSError:  # a program without a console has no such stream
            undo.callback(os.close, 2)
        else:
            undo.callback(os.close, saved)
            undo.callback(os.dup2, saved, 2)
        os.dup2(caught.fileno(), 2)

        def text() -> str:
            caught.seek(0)
            return caught.read().decode(errors="replace")

        yield text


with native_stderr():  # the engine announces its profiler on import
    import motrixsim as mx


def is_panic(error: BaseException) -> bool:
    """Whether an exception is a panic of the engine, which Python would not catch otherwise."""
    return type(error).__name__ == "PanicException"


def refuse_fork() -> None:
    """Start the engine's threads, or check that they live in this process.

    They do not exist in a forked child: the first call that needs them would wait for ever.

    Raises:
        MotrixError: The process was forked after the engine had been used.
        ConfigError: The variable `MOTRIX_PHYSICS_THREADS` is not a number of threads.
    """
    if os.getpid() != _threads_process():
        raise MotrixError(
            "MotrixSim was used before this process was forked from its parent, and cannot run "
            'here; start workers with multiprocessing.get_context("spawn") and make the '
            "environments there"
        )


@functools.cache
def _threads_process() -> int:
    """Start the engine's threads, and return the process that they live in."""
    if wanted := wanted_threads():
        # Unlike the default ones, these are not tied to cores, where every process begins at 0.
        mx.init_thread_pool(num_threads=wanted)
    return os.getpid()


__all__ = ["is_panic", "mx", "native_stderr", "refuse_fork"]
