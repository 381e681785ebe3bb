"""From measured rows to one line for each tool, environment and size."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.quiet import Result, quiet_limit, slow_down, training_over_physics
from training.task import ROLLOUTS

Measured = dict[str, Any]
Key = tuple[str, str, str, int]
"""Part, tool, environment, number of environments."""


@dataclass(frozen=True)
class Line:
    """What all rounds of one clocked row say together.

    Times are medians over quiet iterations without load; over all without load if none was quiet.

    Attributes:
        result: Training over physics; for "busy" the slow-down.
        steps_per_second: Of single environments.
        wall: Of an iteration in s.
        env: Its part inside the environments in s.
        cpu: Of an iteration on all processors in s.
        memory: Largest peak of resident memory in MB.
    """

    result: Result
    steps_per_second: float
    wall: float
    env: float
    cpu: float
    memory: float


def key_of(row: Measured) -> Key:
    """Return what rounds of a row have in common."""
    return row["part"], row["tool"], row["env"], row["num_envs"]


def valid(rows: Sequence[Measured]) -> list[Measured]:
    """Leave out rows that failed, and those that were measured again at a later commit."""
    good = [row for row in rows if "error" not in row]
    commits = {key_of(row): row["commit"] for row in good}
    return [row for row in good if row["commit"] == commits[key_of(row)]]


def clocked(rows: Sequence[Measured]) -> dict[Key, Line]:
    """Summarise "speed" and "busy". How fast a quiet machine is, all rows tell together."""
    probes: dict[tuple[str, int], list[Sequence[float]]] = defaultdict(list)
    groups: dict[Key, list[Measured]] = defaultdict(list)
    for row in rows:
        if "probes" in row:
            probes[row["env"], row["num_envs"]].append(row["probes"])
    for row in valid(rows):
        if "probes" in row:
            groups[key_of(row)].append(row)
    limits = {place: quiet_limit(times) for place, times in probes.items()}
    return {key: line(group, limits[key[2:]]) for key, group in groups.items()}


def line(rows: Sequence[Measured], limit: float) -> Line:
    """Summarise the rounds of one row.

    Args:
        rows: Of the same part, tool, environment and size.
        limit: See `quiet_limit`.
    """
    part, env, num_envs = (rows[0][name] for name in ("part", "env", "num_envs"))
    compare = slow_down if part == "busy" else training_over_physics
    compared = [compare(row, limit) for row in rows]
    quiet = np.concatenate([training_over_physics(row, limit)[2] for row in rows])
    free = ~_of(rows, "loaded").astype(bool)
    chosen = quiet & free if (quiet & free).any() else free
    wall, inside, cpu = (float(np.median(_of(rows, n)[chosen])) for n in ("wall", "env", "cpu"))
    return Line(
        result=Result.of(*(np.concatenate(parts) for parts in zip(*compared, strict=True))),
        steps_per_second=ROLLOUTS[env] * num_envs / wall,
        wall=wall,
        env=inside,
        cpu=cpu,
        memory=max(row["peak_memory_mb"] for row in rows),
    )


def _of(rows: Iterable[Measured], name: str) -> NDArray[Any]:
    return np.array([one[name] for row in rows for one in row["iterations"]])


@dataclass(frozen=True)
class Solved:
    """How long a tool took to solve cartpole, by seed.

    Attributes:
        seconds: From the start of the process; infinite where it was not solved.
        steps: Of single environments, in millions.
    """

    seconds: dict[int, float]
    steps: dict[int, float]

    @property
    def median(self) -> float:
        """Median over the seeds in s; infinite if half of them were not solved."""
        return float(np.median(list(self.seconds.values())))

    def __str__(self) -> str:
        seconds = f"{self.median:.1f} s" if np.isfinite(self.median) else "not solved"
        return f"{seconds} ({len(self.seconds)} seeds)"


def solved(rows: Sequence[Measured]) -> dict[str, Solved]:
    """Summarise "solve" by tool; the last measurement of a seed counts."""
    found: dict[str, Solved] = {}
    for row in valid(rows):
        if row["part"] == "solve":
            one = found.setdefault(row["tool"], Solved({}, {}))
            one.seconds[row["seed"]] = np.inf if row["seconds"] is None else row["seconds"]
            one.steps[row["seed"]] = row["env_steps"] / 1e6
    return found
