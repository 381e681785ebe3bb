"""What the times of a row say: ratios over the moments when the machine was quiet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from motrix_envs.benchmarking import Ratio
from numpy.typing import NDArray

FASTEST = 0.1  # the share of probes that are taken for undisturbed
QUIET = 0.8  # of their speed, and the machine counts as quiet

Times = NDArray[np.float64]


@dataclass(frozen=True)
class Result:
    """A ratio over quiet moments.

    Attributes:
        ratio: Its median with the 95 % interval; None if the machine never was quiet.
        quiet: How many there were.
        count: How many were measured.
        over_all: The median over all of them.
    """

    ratio: Ratio | None
    quiet: int
    count: int
    over_all: float

    @classmethod
    def of(cls, one: Times, other: Times, quiet: NDArray[np.bool_]) -> Result:
        """Summarise the ratios of paired times, of which some were quiet."""
        count = int(quiet.sum())
        ratio = Ratio.of(one[quiet], other[quiet]) if count else None
        return cls(ratio, count, len(one), float(np.median(one / other)))


def quiet_limit(probes: Iterable[Sequence[float]]) -> float:
    """Return how long a probe may take on a quiet machine.

    Args:
        probes: Times of all probes of one environment and batch size, whoever was training.
    """
    times = np.concatenate([np.asarray(one, np.float64) for one in probes])
    return float(np.quantile(times, FASTEST)) / QUIET


def quiet_iterations(probes: Sequence[float] | Times, limit: float) -> NDArray[np.bool_]:
    """Return which iterations lie between two quick probes, (iterations,)."""
    quick = np.asarray(probes) <= limit
    return quick[:-1] & quick[1:]


def training_over_physics(row: dict[str, Any], limit: float) -> tuple[Times, Times, Any]:
    """Return times of physics and of training for each iteration, and which were quiet.

    Their quotient is the training's steps per second over those of bare physics.
    """
    probes = np.asarray(row["probes"])
    wall = np.array([one["wall"] for one in row["iterations"]])
    return (probes[:-1] + probes[1:]) / 2, wall, quiet_iterations(probes, limit)


def slow_down(row: dict[str, Any], limit: float) -> tuple[Times, Times, Any]:
    """Return times of an iteration with a loaded processor and without, and which were quiet.

    Each loaded block of iterations is compared, by medians, with the free one before it.
    """
    wall = np.array([one["wall"] for one in row["iterations"]])
    loaded = np.array([one["loaded"] for one in row["iterations"]])
    quiet = quiet_iterations(row["probes"], limit)
    borders = np.flatnonzero(np.diff(loaded)) + 1
    blocks = np.split(np.arange(len(wall)), borders)
    pairs = list(zip(blocks[0::2], blocks[1::2], strict=False))
    return (
        np.array([np.median(wall[after]) for _, after in pairs]),
        np.array([np.median(wall[before]) for before, _ in pairs]),
        np.array([quiet[np.concatenate(pair)].all() for pair in pairs], bool),
    )
