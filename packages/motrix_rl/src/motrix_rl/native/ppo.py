"""PPO's loss and its gradient as machine code, row by row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numpy.typing import NDArray

from motrix_rl.native.activations import exp
from motrix_rl.native.compiler import Compiled, processor
from motrix_rl.native.emitter import Emitter, Value, declare
from motrix_rl.native.network import address, zeros
from motrix_rl.native.plan import padded

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
        ratio_clip: See `PPOCfg`.
        value_clip: See `PPOCfg`; None where values are not clipped.
    """

    def __init__(self, actions: int, ratio_clip: float, value_clip: float | None) -> None:
        self._actions = actions
        self._code = compiled_losses(padded(actions), ratio_clip, value_clip)
        self._policy, self._value = self._code.function("policy"), self._code.function("value")
        width = padded(actions)
        # Inverse standard deviations, the constant of the density, and a row's share of the mean;
        # and of sums: those of d_log_std, of the policy's gain and of the divergence.
        self._given, self._sums = zeros(width + 2), zeros(width + 2)

    def policy(
        self, records: Array, means: Array, d_means: Array, std: Array, constant: float, total: int
    ) -> tuple[float, float, Array]:
        """Write the gradient of means, and return what rows add to the rest.

        Args:
            records: (rows, width).
            means: Of the Gaussians, (rows, actions), rows in whole vectors.
            d_means: Where their gradient goes, likewise.
            std: Standard deviations, (actions,).
            constant: What the density of an action has beside the squares.
            total: Rows of the whole mini-batch.

        Returns:
            The policy's loss, the divergence, and the gradient of log-stds, (actions,).
        """
        self._given[: self._actions] = 1 / std
        self._given[-2:] = constant, 1 / total
        self._sums[:] = 0
        arrays = records, means, d_means, self._given, self._sums
        self._policy(*map(address, arrays), records.shape[1], len(records))
        gain, divergence = self._sums[-2:].tolist()
        return -gain / total, divergence / total, self._sums[: self._actions]

    def value(
        self, records: Array, values: Array, d_values: Array, scale: float, total: int
    ) -> float:
        """Write the gradient of values, and return what rows add to the value loss.

        Args:
            records: (rows, width).
            values: (rows, 1), rows in whole vectors.
            d_values: Where their gradient goes, likewise.
            scale: Weight of the loss.
            total: Rows of the whole mini-batch.
        """
        self._given[0], self._sums[0] = 2 * scale / total, 0
        arrays = records, values, d_values, self._given, self._sums
        self._value(*map(address, arrays), records.shape[1], len(records))
        return scale * float(self._sums[0]) / total


@cache
def compiled_losses(width: int, ratio_clip: float, value_clip: float | None) -> Compiled:
    """Return the functions `policy` and `value`, for actions of so many floats."""
    module = ir.Module("ppo")
    _write_policy(module, width, ratio_clip)
    _write_value(module, width, value_clip)
    return Compiled(module)


def _write_policy(module: ir.Module, width: int, ratio_clip: float) -> None:
    pointers = ("records", "means", "d_means", "given", "sums")
    e = Emitter(module, "policy", declare(pointers, ("from_row", "rows")), processor().lanes)
    given, sums = e.arguments["given"], e.arguments["sums"]
    constant, share = (e.load_one(e.at(given, width + i)) for i in range(2))
    gain, divergence = e.variable(e.zero), e.variable(e.zero)
    low, high, one = e.number(1 - ratio_clip), e.number(1 + ratio_clip), e.number(1.0)
    with e.loop(0, e.arguments["rows"]) as row:
        record, means, d_means = _row(e, row, width)
        total = e.variable(e.zero)
        with e.loop(0, width, e.lanes) as column:
            distance = e.build.fsub(e.load(e.at(record, column)), e.load(e.at(means, column)))
            z = e.build.fmul(distance, e.load(e.at(given, column)))
            e.store(z, e.at(d_means, column))
            e.set(total, e.multiply_add(z, z, e.get(total)))
        squares = e.splat(e.sum(e.get(total)))
        log_prob, advantage = _number(e, record, width, 0), _number(e, record, width, 1)
        change = e.multiply_add(
            squares, e.number(-0.5), e.negative(e.build.fadd(log_prob, constant))
        )
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
            d_mean = e.build.fmul(e.build.fmul(z, e.load(e.at(given, column))), slope)
            e.store(d_mean, e.at(d_means, column))
            there = e.at(sums, column)
            excess = e.multiply_add(z, z, e.number(-1.0))
            e.store(e.multiply_add(excess, slope, e.load(there)), there)
    for place, total in enumerate((gain, divergence)):
        e.write(e.first(e.get(total)), e.at(sums, width + place))
    e.finish()


def _write_value(module: ir.Module, width: int, value_clip: float | None) -> None:
    pointers = ("records", "values", "d_values", "given", "sums")
    e = Emitter(module, "value", declare(pointers, ("from_row", "rows")), processor().lanes)
    scale, squares = e.load_one(e.arguments["given"]), e.variable(e.zero)
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
        e.write(e.first(e.build.fmul(slope, scale)), e.at(e.arguments["d_values"], place))
    e.write(e.first(e.get(squares)), e.arguments["sums"])
    e.finish()


def _row(e: Emitter, row: Value, width: int) -> tuple[Value, Value, Value]:
    """Return where a record, its means and their gradients are."""
    place = e.times(row, width)
    record = e.at(e.arguments["records"], e.times(row, e.arguments["from_row"]))
    return record, e.at(e.arguments["means"], place), e.at(e.arguments["d_means"], place)


def _number(e: Emitter, record: Value, width: int, number: int) -> Value:
    return e.load_one(e.at(record, width + number))
