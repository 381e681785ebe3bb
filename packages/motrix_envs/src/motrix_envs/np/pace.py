"""The pace of real time, for whoever watches."""

from __future__ import annotations

import time

LONGEST_PAUSE = 0.1  # s without a picture, however slow stepping is
MADE_UP = 0.5  # s of delay that are made up for; after a longer one, time goes on from there


class RealTime:
    """Keeps a loop of control steps to real time, and tells which of them to draw.

    Where drawing takes longer than a step, some steps go undrawn: a slow picture shall not make a
    slow robot.

    Args:
        dt: Length of a step in s.
    """

    def __init__(self, dt: float) -> None:
        self._dt = dt
        self._due = self._drawn = time.monotonic()
        self._draws = False

    def step(self) -> bool:
        """Wait until the next step is due; return whether there is time to draw it."""
        now = time.monotonic()
        if self._draws:
            self._drawn = now  # the picture of the step before took until now
        self._due = max(self._due + self._dt, now - MADE_UP)
        if now < self._due:
            time.sleep(self._due - now)
            now = self._due
        self._draws = now < self._due + self._dt or now - self._drawn >= LONGEST_PAUSE
        return self._draws
