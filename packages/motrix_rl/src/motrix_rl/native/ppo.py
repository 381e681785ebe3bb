"""PPO's loss and its gradient as machine code, row by row."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motrix_rl.native.activations import exp
from motrix_rl.native.calls import Call, zeros
from motrix_rl.native.compiler import Compiled, processor
from motrix_rl.native.emitter import Emitter, Source, Value
from motrix_rl.native.plan import padded
from motrix_rl.rl_module.distributions import DiagGaussian

Array = NDArray[Any]

NUMBERS = ("log_probs", "advantages", "values", "targets")
"""Columns of a rollout with one number a row, in the order of a record."""


@dataclass(frozen=True)
class Records:
    """Samples as rows of one array: actions in whole vectors, `NUMBERS`, observations.

    Attributes:
        actions: Width of an action.
        seen: Widths of observations by column.
    """

    actions: int
    seen: Mapping[str, int]

    @property
    def numbers(self) -> int:
        """Where the numbers begin."""
        return padded(self.actions)

    def pack(self, samples: Mapping[str, Array]) -> NDArray[np.float32]:
        """Return the records of samples, (samples, width)."""
        rows = len(samples["actions"])
        actions = np.zeros((rows, self.numbers), np.float32)
        actions[:, : self.actions] = samples["actions"]
        numbers = [samples[name][:, None] for name in NUMBERS]
        seen = [samples[name] for name in self.seen]
        return np.concatenate([actions, *numbers, *seen], axis=1, dtype=np.float32)

    def observations(self, records: Array) -> dict[str, Array]:
        """Return the observations in records by column, (rows, width) each."""
        found, start = {}, self.numbers + len(NUMBERS)
        for name, width in self.seen.items():
            found[name] = records[:, start : start + width]
            start += width
        return found


class Losses:
    """The loss of policy and value function over records; for one thread at a time.

    Args:
        actions: Width of an action.
        clips: By how much a ratio and a value may move; None where values are not clipped.
        log_std: Of the Gaussians, (actions,) in whole vectors, looked at in every call.
        means: Of the Gaussians, (rows, actions), rows in whole vectors.
        d_means: Where their gradient goes, likewise.
        values: (rows, 1), rows in whole vectors.
        d_values: Where their gradient goes, likewise.

    Attributes:
        policy: The call that works out `d_means`, and the gradients of log-stds for `d_log_std`.
        value: The call that works out `d_values`.
    """

    def __init__(
        self,
        actions: int,
        clips: tuple[float, float | None],
        log_std: Array,
        means: Array,
        d_means: Array,
        values: Array,
        d_values: Array,
    ) -> None:
        code, self._actions = compiled_losses(actions, *clips), actions
        # What the policy adds to: gradients of log-stds, its gain, the divergence; and squares.
        self._sums, self._squares = zeros(padded(actions) + 2), zeros(1)
        self._shares = zeros(2)
        scratch = zeros(padded(actions))
        given = {"shares": self._shares}
        self.policy = Call(
            code,
            "policy",
            means=means,
            d_means=d_means,
            log_std=log_std,
            scratch=scratch,
            sums=self._sums,
            **given,
        )
        self.value = Call(
            code, "value", values=values, d_values=d_values, squares=self._squares, **given
        )

    def look_at(self, records: Array, total: int, value_scale: float) -> None:
        """Let both calls take their samples from an array.

        Args:
            records: (rows, width).
            total: Rows of the whole mini-batch.
            value_scale: Weight of the value loss.
        """
        rows, width = records.shape
        self._total, self._value_scale = total, value_scale
        self._shares[:] = 1 / total, 2 * value_scale / total
        for call in (self.policy, self.value):
            call.set(records=records, from_row=width, rows=rows)

    @property
    def d_log_std(self) -> Array:
        """What the records add to the gradients of log-stds, (actions,), clipped or not."""
        return self._sums[: self._actions]

    def parts(self) -> dict[str, float]:
        """Return what the records add to the losses of policy and value and to the divergence."""
        gain, divergence = self._sums[-2:].tolist()
        return {
            "policy": -gain / self._total,
            "value": self._value_scale * float(self._squares[0]) / self._total,
            "kl": divergence / self._total,
        }


@cache
def compiled_losses(actions: int, ratio_clip: float, value_clip: float | None) -> Compiled:
    """Return the functions `policy` and `value`; see `Losses`."""
    source = Source()
    _write_policy(source, actions, ratio_clip)
    _write_value(source, padded(actions), value_clip)
    return Compiled(source)


def _write_policy(source: Source, actions: int, ratio_clip: float) -> None:
    pointers = ("records", "means", "d_means", "log_std", "shares", "scratch", "sums")
    e = Emitter(source, "policy", pointers, ("from_row", "rows"), processor().lanes)
    width, sums, inverse = padded(actions), e.arguments["sums"], e.arguments["scratch"]
    constant = _invert_std(e, actions, inverse)
    share = e.load_one(e.arguments["shares"])
    gain, divergence = e.variable(e.zero), e.variable(e.zero)
    low, high, one = e.number(1 - ratio_clip), e.number(1 + ratio_clip), e.number(1.0)
    with e.loop(0, width, e.lanes) as column:
        e.store(e.zero, e.at(sums, column))
    with e.loop(0, e.arguments["rows"]) as row:
        record, means, d_means = _row(e, row, width)
        total = e.variable(e.zero)
        with e.loop(0, width, e.lanes) as column:
            distance = e.build.fsub(e.load(e.at(record, column)), e.load(e.at(means, column)))
            z = e.build.fmul(distance, e.load(e.at(inverse, column)))
            e.store(z, e.at(d_means, column))
            e.set(total, e.multiply_add(z, z, e.get(total)))
        squares = e.splat(e.sum(e.get(total)))
        log_prob, advantage = _number(e, record, width, 0), _number(e, record, width, 1)
        before = e.build.fadd(log_prob, constant)
        change = e.build.fsub(e.build.fmul(squares, e.number(-0.5)), before)
        ratio = exp(e, change)
        plain = e.build.fmul(advantage, ratio)
        clipped = e.build.fmul(advantage, e.minimum(e.maximum(ratio, low), high))
        e.set(gain, e.build.fadd(e.get(gain), e.minimum(plain, clipped)))
        more = e.build.fsub(e.build.fsub(ratio, one), change)
        e.set(divergence, e.build.fadd(e.get(divergence), more))
        # Where the clipped one is less, the ratio earns nothing more and has no gradient.
        earns = e.build.select(e.build.fcmp_unordered("<=", plain, clipped), plain, e.zero)
        slope = e.negative(e.build.fmul(earns, share))
        with e.loop(0, width, e.lanes) as column:
            z = e.load(e.at(d_means, column))
            d_mean = e.build.fmul(e.build.fmul(z, e.load(e.at(inverse, column))), slope)
            e.store(d_mean, e.at(d_means, column))
            there, excess = e.at(sums, column), e.multiply_add(z, z, e.number(-1.0))
            e.store(e.multiply_add(excess, slope, e.load(there)), there)
    for place, total in enumerate((gain, divergence)):
        e.write(e.first(e.get(total)), e.at(sums, width + place))
    e.finish()


def _invert_std(e: Emitter, actions: int, inverse: Value) -> Value:
    """Write inverse standard deviations, and return the constant of an action's density."""
    low, high = DiagGaussian.LOG_STD_BOUNDS
    total = e.variable(e.zero)
    with e.loop(0, padded(actions), e.lanes) as column:
        log_std = e.load(e.at(e.arguments["log_std"], column))
        log_std = e.minimum(e.maximum(log_std, e.number(low)), e.number(high))
        e.store(exp(e, e.negative(log_std)), e.at(inverse, column))
        e.set(total, e.build.fadd(e.get(total), log_std))
    fixed = e.number(actions * 0.5 * math.log(2 * math.pi))
    return e.build.fadd(e.splat(e.sum(e.get(total))), fixed)


def _write_value(source: Source, width: int, value_clip: float | None) -> None:
    pointers = ("records", "values", "d_values", "shares", "squares")
    e = Emitter(source, "value", pointers, ("from_row", "rows"), processor().lanes)
    share, squares = e.load_one(e.at(e.arguments["shares"], 1)), e.variable(e.zero)
    with e.loop(0, e.arguments["rows"]) as row:
        record = e.at(e.arguments["records"], e.times(row, e.arguments["from_row"]))
        place = e.times(row, padded(1))
        value = e.load_one(e.at(e.arguments["values"], place))
        old, target = _number(e, record, width, 2), _number(e, record, width, 3)
        error = slope = e.build.fsub(value, target)
        if value_clip is not None:
            moved, far = e.build.fsub(value, old), e.number(value_clip)
            within = e.minimum(e.maximum(moved, e.negative(far)), far)
            error = e.build.fsub(e.build.fadd(old, within), target)
            slope = e.build.select(e.build.fcmp_unordered("==", within, moved), error, e.zero)
        e.set(squares, e.multiply_add(error, error, e.get(squares)))
        e.write(e.first(e.build.fmul(slope, share)), e.at(e.arguments["d_values"], place))
    e.write(e.first(e.get(squares)), e.arguments["squares"])
    e.finish()


def _row(e: Emitter, row: Value, width: int) -> tuple[Value, Value, Value]:
    """Return where a record, its means and their gradients are."""
    place = e.times(row, width)
    record = e.at(e.arguments["records"], e.times(row, e.arguments["from_row"]))
    return record, e.at(e.arguments["means"], place), e.at(e.arguments["d_means"], place)


def _number(e: Emitter, record: Value, width: int, number: int) -> Value:
    return e.load_one(e.at(record, width + number))
