"""The tables, in Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from training.goals import goals, show
from training.summary import Key, Line, Measured, Solved, clocked, solved

HEAD_LINES = 2


def report(machine: Mapping[str, Any], rows: Sequence[Measured]) -> str:
    """Return everything that was measured, for a reader."""
    lines, times = clocked(rows), solved(rows)
    parts = [
        "# Training speed",
        "\n".join(f"- {name}: {value}" for name, value in machine.items()),
        "## Goals",
        "\n".join(goal_table(lines, times)),
        *section("Speed", speed_table(lines)),
        *section("One core busy", busy_table(lines)),
        *section("Start to solved", solve_table(times)),
        *section("Failed", failures(rows)),
    ]
    return "\n\n".join(parts) + "\n"


def section(title: str, table: Iterable[str]) -> list[str]:
    """Return a headed table, or nothing if it is empty."""
    lines = list(table)
    return [f"## {title}", "\n".join(lines)] if len(lines) > HEAD_LINES else []


def goal_table(lines: Mapping[Key, Line], times: Mapping[str, Solved]) -> Iterator[str]:
    """Yield each goal beside what is reached."""
    yield from _head("", "stock skrl", "must", "stretch", "measured [95 %] (n quiet)", "reached")
    for goal in goals(lines, times):
        sign = "≥" if goal.more else "≤"
        stretch = "-" if goal.stretch is None else f"{sign} {goal.stretch:.2f}"
        must = f"{sign} {goal.must:.2f}"
        yield _row(goal.what, goal.rival, must, stretch, goal.measured, goal.verdict)


def speed_table(lines: Mapping[Key, Line]) -> Iterator[str]:
    """Yield each training beside bare physics."""
    names = ("env", "envs", "tool", "training / physics (n quiet)", "over all", "steps/s")
    yield from _head(*names, "iteration ms", "env ms", "cpu ms", "peak MB")
    for (part, tool, env, num_envs), one in lines.items():
        if part != "speed":
            continue
        times = (f"{1e3 * seconds:.1f}" for seconds in (one.wall, one.env, one.cpu))
        over_all, speed = f"{one.result.over_all:.2f}", f"{one.steps_per_second:,.0f}"
        memory = f"{one.memory:.0f}"
        yield _row(env, num_envs, tool, show(one.result), over_all, speed, *times, memory)


def busy_table(lines: Mapping[Key, Line]) -> Iterator[str]:
    """Yield how much a busy core slows each tool down."""
    yield from _head("tool", "slow-down (n quiet pairs of blocks)", "over all")
    for (part, tool, _, _), one in lines.items():
        if part == "busy":
            yield _row(tool, show(one.result), f"{one.result.over_all:.2f}")


def solve_table(times: Mapping[str, Solved]) -> Iterator[str]:
    """Yield how long each tool took, seed by seed."""
    yield from _head("tool", "median s", "s by seed", "million env-steps by seed")
    for tool, one in times.items():
        seeds = sorted(one.seconds)
        seconds = (f"{seed}: {_seconds(one.seconds[seed])}" for seed in seeds)
        steps = (f"{seed}: {one.steps[seed]:.2f}" for seed in seeds)
        yield _row(tool, _seconds(one.median), ", ".join(seconds), ", ".join(steps))


def failures(rows: Iterable[Measured]) -> Iterator[str]:
    """Yield the last line that a failed row said."""
    yield from _head("part", "tool", "env", "envs", "said last")
    for row in rows:
        if "error" in row:
            said = (row["error"].strip().splitlines() or ["nothing"])[-1].replace("|", "/")
            yield _row(*(row[name] for name in ("part", "tool", "env", "num_envs")), said)


def _seconds(value: float) -> str:
    return f"{value:.1f}" if math.isfinite(value) else "not solved"


def _row(*cells: Any) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def _head(*cells: str) -> Iterator[str]:
    yield _row(*cells)
    yield "|" + "---|" * len(cells)
