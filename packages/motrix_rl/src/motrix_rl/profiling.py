"""Where the time of a training goes, and what could be changed about it."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

PHYSICS = "physics"
ENVIRONMENT = "environment"
POLICY = "policy"
ESTIMATES = "advantages"
LEARNING = "learning"
LOGGING = "logging"
OTHER = "other"

_WHAT = {
    PHYSICS: "the engine advances all environments",
    ENVIRONMENT: "observations, rewards, terminations, resets",
    POLICY: "actions and their log-probabilities",
    ESTIMATES: "values, advantages, normalisers",
    LEARNING: "gradients and optimiser steps",
    LOGGING: "metrics, TensorBoard, checkpoints",
    OTHER: "everything else: copies, the library's own work",
}


@dataclass(frozen=True)
class Share:
    """A part of a training.

    Attributes:
        part: Its name.
        seconds: How long it took, without the parts inside it.
        share: Of the whole time, in [0, 1].
        what: What happens there.
    """

    part: str
    seconds: float
    share: float
    what: str


class Profile:
    """Takes the time of methods; where one calls another, each has its own.

    Nothing counts before the end of the first rollout: it compiles, and fills caches.
    """

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._inside: list[float] = []  # time of the calls inside each call that is going on
        self._since: float | None = None
        self._until = 0.0
        self._before = self._batch_steps = 0

    def watch(self, owner: Any, method: str, part: str) -> None:
        """Take the time of a method of one object from now on.

        Args:
            owner: The object.
            method: Name of its method.
            part: What the time counts as.
        """
        function = getattr(owner, method)

        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            return self._timed(part, function, args, kwargs)

        setattr(owner, method, timed)

    def _timed(self, part: str, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        self._inside.append(0.0)
        start = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            taken = time.perf_counter() - start
            self._seconds[part] = self._seconds.get(part, 0.0) + taken - self._inside.pop()
            if self._inside:
                self._inside[-1] += taken

    def count_updates(self, session: Any) -> None:
        """Count steps from the end of a session's first update on.

        Args:
            session: What is told of every update.
        """
        after_update = session.after_update

        @functools.wraps(after_update)
        def counted(batch_steps: int, *args: Any, **kwargs: Any) -> None:
            try:
                after_update(batch_steps, *args, **kwargs)
            finally:
                self._updated(batch_steps)

        session.after_update = counted

    def _updated(self, batch_steps: int) -> None:
        now = time.perf_counter()
        if self._since is None:
            self._seconds.clear()
            self._since, self._before = now, batch_steps
        self._until, self._batch_steps = now, batch_steps

    def shares(self) -> list[Share]:
        """Return the parts in the order of a step; none before the second rollout's end."""
        if self._since is None or self._until <= self._since:
            return []
        whole = self._until - self._since
        seconds = {part: self._seconds.get(part, 0.0) for part in _WHAT if part != OTHER}
        seconds[OTHER] = max(whole - sum(seconds.values()), 0.0)
        return [
            Share(part, taken, taken / whole, _WHAT[part])
            for part, taken in seconds.items()
            if taken > 0
        ]

    @property
    def batch_steps(self) -> int:
        """Steps of the batch that were counted."""
        return self._batch_steps - self._before


def advice(shares: list[Share], cfg: Any) -> list[str]:
    """Return what could make a training faster, the most promising first.

    Args:
        shares: Where its time went.
        cfg: Its configuration.
    """
    share = {one.part: one.share for one in shares}
    hints = {
        PHYSICS: (0.6, "the physics dominates, as it should: `motrix bench ENV` compares engines"),
        ENVIRONMENT: (
            0.15,
            "the environment's own NumPy code is worth a look: fewer, larger array operations; "
            f"more than {cfg.num_envs} environments spread its fixed cost",
        ),
        POLICY: (
            0.1,
            f"acting has a fixed cost per step: more than {cfg.num_envs} environments spread it, "
            "smaller hidden layers cut it",
        ),
        LEARNING: (
            0.4,
            "learning dominates: fewer learning_epochs, smaller hidden layers; fewer mini_batches "
            "where they are below a thousand samples",
        ),
        LOGGING: (0.05, "logs and checkpoints cost: a larger check_point_interval writes fewer"),
        OTHER: (0.25, "much of the time is the library's own: --rllib motrix has less of it"),
    }
    found = [(share.get(part, 0.0), part, hint) for part, (_, hint) in hints.items()]
    return [hint for taken, part, hint in sorted(found, reverse=True) if taken > hints[part][0]]
