"""What training is to reach, and whether it does."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from training.quiet import Result
from training.summary import Key, Line, Solved

OURS = {"torch": "motrix-torch", "JAX": "motrix-jax"}
STOCK = {"torch": "skrl-torch", "JAX": "skrl-jax"}
BASELINE = "skrl-torch"


@dataclass(frozen=True)
class Goal:
    """A figure beside what it must be.

    Attributes:
        what: In words.
        rival: The same figure of the tool that it is compared with.
        must: The least, or the most, that is acceptable.
        stretch: What would be very good; None if nothing is said.
        measured: The figure, with its interval and how many quiet moments it rests on.
        value: The figure; None if it was not measured.
        more: Whether more is better.
    """

    what: str
    rival: str
    must: float
    stretch: float | None
    measured: str
    value: float | None
    more: bool

    @property
    def verdict(self) -> str:
        """Return which of the two is reached."""
        if self.value is None or not math.isfinite(self.value):
            return "not measured" if self.value is None else "missed"
        if self.stretch is not None and self._reaches(self.stretch):
            return "stretch"
        return "must" if self._reaches(self.must) else "missed"

    def _reaches(self, bound: float) -> bool:
        assert self.value is not None
        return self.value >= bound if self.more else self.value <= bound


def show(result: Result | None) -> str:
    """Return a ratio with its interval, and how many of its moments were quiet."""
    if result is None:
        return "-"
    if result.ratio is None:
        return f"none quiet of {result.count}; {result.over_all:.2f} over all"
    one = result.ratio
    return f"{one.median:.2f} [{one.low:.2f}, {one.high:.2f}] ({result.quiet} of {result.count})"


def goals(lines: Mapping[Key, Line], times: Mapping[str, Solved]) -> Iterator[Goal]:
    """Yield all goals in the order of the table; those of an unmeasured variant are left out."""
    slow = any(env == "cartpole-50hz" for _, _, env, _ in lines)
    for env in ("cartpole", *(["cartpole-50hz"] if slow else [])):
        for name in OURS:
            yield _speed(f"{name}, 2048 {env}", lines, [name], env, 2048, 0.60, 0.75)
        for name in OURS:
            yield _speed(f"{name}, 512 {env}", lines, [name], env, 512, 0.55, 0.70)
        yield _speed(f"64 {env}, the better one", lines, list(OURS), env, 64, 0.42, 0.60)
    for name in OURS:
        yield _speed(f"{name}, 2048 quadruped", lines, [name], "quadruped", 2048, 0.90, 0.95)
    for name in OURS:
        yield _busy(name, lines)
    for name in OURS:
        yield _solve(name, times)
    for name in OURS:
        yield _memory(name, lines)


def _speed(
    what: str,
    lines: Mapping[Key, Line],
    backends: list[str],
    env: str,
    num_envs: int,
    must: float,
    stretch: float,
) -> Goal:
    """Compare training with bare physics: of several backends the better one."""

    def best(tools: Mapping[str, str]) -> Result | None:
        keys = [("speed", tools[name], env, num_envs) for name in backends]
        found = [lines[key].result for key in keys if key in lines]
        return max(found, key=lambda one: one.ratio.median if one.ratio else -1, default=None)

    ours = best(OURS)
    value = ours.ratio.median if ours and ours.ratio else None
    what = f"{what}: training / physics"
    return Goal(what, show(best(STOCK)), must, stretch, show(ours), value, more=True)


def _busy(name: str, lines: Mapping[Key, Line]) -> Goal:
    """Compare how much a busy core slows us down with what it does to skrl in torch."""
    found = [lines.get(("busy", tool, "cartpole", 2048)) for tool in (OURS[name], BASELINE)]
    ours, theirs = (None if one is None else one.result for one in found)
    value, measured = None, show(ours)
    if ours and theirs and ours.ratio and theirs.ratio:
        value = ours.ratio.median / theirs.ratio.median
        measured = f"{value:.2f}: {measured}"
    what = f"{name}, one core busy: slow-down / skrl torch's"
    return Goal(what, f"1: {show(theirs)}", 0.5, None, measured, value, more=False)


def _solve(name: str, times: Mapping[str, Solved]) -> Goal:
    ours, theirs = times.get(OURS[name]), times.get(BASELINE)
    value, measured = None, "-"
    if ours and theirs:
        value = ours.median / theirs.median
        measured = f"{value:.2f}: {ours}"
    rival = f"1: {theirs}" if theirs else "-"
    what = f"{name}, process start to solved / skrl torch's"
    return Goal(what, rival, 0.4, 0.25, measured, value, more=False)


def _memory(name: str, lines: Mapping[Key, Line]) -> Goal:
    found = [lines.get(("speed", tool[name], "cartpole", 2048)) for tool in (OURS, STOCK)]
    ours, theirs = (None if one is None else one.memory for one in found)
    value, measured = None, "-"
    if ours and theirs:
        value = ours / theirs
        measured = f"{value:.2f}: {ours:.0f} MB"
    rival = f"1: {theirs:.0f} MB" if theirs else "-"
    return Goal(f"{name}, peak memory / skrl's", rival, 1.0, 0.7, measured, value, more=False)
