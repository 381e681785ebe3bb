"""The pace of real time, for whoever watches."""

from __future__ import annotations

import time

LONGEST_PAUSE = 0.1  # s between two pictures, however slow drawing is
FORGIVEN = 0.25  # s of delay that are made up for; after a longer one, time goes on from there


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

    def step(self) -> bool:
        """Wait until the next step is due; return whether there is time to draw it."""
        now = time.monotonic()
        self._due = max(self._due + self._dt, now - FORGIVEN)
        if now < self._due:
            time.sleep(self._due - now)
            now = self._due
        draw = now < self._due + self._dt or now - self._drawn >= LONGEST_PAUSE
        if draw:
            self._drawn = now
        return draw
