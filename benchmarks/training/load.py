"""A loop that takes one processor away, as something else on the machine would."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from types import TracebackType

LOOP = """
import os
while os.getppid() == {parent}:
    for _ in range(1_000_000):
        pass
"""


class BusyLoop:
    """A process that computes nothing on one processor while it is switched on; Linux only.

    A context manager: the process ends with the block, and by itself if its parent dies.
    """

    def __init__(self) -> None:
        code = LOOP.format(parent=os.getpid())
        self._process = subprocess.Popen([sys.executable, "-c", code])
        os.sched_setaffinity(self._process.pid, {max(os.sched_getaffinity(0))})
        self.switch(False)

    def switch(self, on: bool) -> None:
        """Let it run, or stop it."""
        self._process.send_signal(signal.SIGCONT if on else signal.SIGSTOP)

    def __enter__(self) -> BusyLoop:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
