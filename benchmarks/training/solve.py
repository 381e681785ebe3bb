"""A watch that ends a training when its episodes have become good."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

import numpy as np
from motrix_envs.np.env import NpEnv
from motrix_envs.np.state import NpEnvState

from training.watch import Enough

EPISODES = 256
SOLVED = 950.0  # of 1000: the mean return of the last episodes


class SolveWatch:
    """Ends a training when the last 256 finished episodes returned 950 of 1000 on average.

    Args:
        started: When the process was started, by `time.time()`.
        steps: Steps of single environments after which it gives up.
    """

    def __init__(self, started: float, steps: int) -> None:
        self._started, self._limit = started, steps
        self._returns: deque[float] = deque(maxlen=EPISODES)
        self._running: Any = 0.0
        self._steps = 0
        self._seconds: float | None = None

    def enter(self, env: NpEnv) -> None:
        """See `watch.Watch`."""

    def leave(self, env: NpEnv, state: NpEnvState) -> None:
        """Count what was earned, and look whether it is enough."""
        self._steps += env.num_envs
        total = self._running + state.reward
        done = state.done
        if done.any():
            self._returns.extend(total[done].tolist())
            total = np.where(done, 0.0, total)
            if len(self._returns) == EPISODES and np.mean(self._returns) >= SOLVED:
                self._seconds = time.time() - self._started
                raise Enough
        self._running = total
        if self._steps >= self._limit:
            raise Enough

    def result(self) -> dict[str, Any]:
        """Return seconds since the process was started, None if it is not solved, and steps."""
        return {
            "seconds": self._seconds,
            "env_steps": self._steps,
            "mean_return": float(np.mean(self._returns)) if self._returns else None,
        }
