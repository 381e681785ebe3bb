"""A rollout as rows of one array, and machine code that picks some of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motrix_rl.native.calls import Call, zeros
from motrix_rl.native.compiler import Compiled, processor
from motrix_rl.native.emitter import Emitter, Source
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

    @property
    def width(self) -> int:
        """Floats of a record, in whole vectors."""
        return padded(self.numbers + len(NUMBERS) + sum(self.seen.values()))

    def pack(self, samples: Mapping[str, Array]) -> NDArray[np.float32]:
        """Return the records of samples, (samples, width)."""
        packed = np.zeros((len(samples["actions"]), self.width), np.float32)
        packed[:, : self.actions] = samples["actions"]
        for place, name in enumerate(NUMBERS, self.numbers):
            packed[:, place] = samples[name]
        for name, view in self.observations(packed).items():
            view[:] = samples[name]
        return packed

    def observations(self, records: Array) -> dict[str, Array]:
        """Return the observations in records by column, (rows, width) each."""
        found, start = {}, self.numbers + len(NUMBERS)
        for name, width in self.seen.items():
            found[name] = records[:, start : start + width]
            start += width
        return found


class Picked:
    """Records of a chunk, picked from those of a rollout; for one thread at a time.

    Args:
        width: Floats of a record.
        rows: How many fit in.

    Attributes:
        records: What was picked, (rows, width).
        pick: The call that picks them.
    """

    def __init__(self, width: int, rows: int) -> None:
        self.records = zeros(rows * width).reshape(rows, width)
        self.pick = Call(_compiled_pick(width), "pick", picked=self.records)

    def look_at(self, records: Array, order: NDArray[np.int32]) -> None:
        """Let the call pick some records.

        Args:
            records: All there are, (samples, width).
            order: Which ones, (at most rows,).
        """
        self.pick.set(records=records, order=order, rows=len(order))


@cache
def _compiled_pick(width: int) -> Compiled:
    source = Source()
    e = Emitter(source, "pick", ("records", "order", "picked"), ("rows",), processor().lanes)
    with e.loop(0, e.arguments["rows"]) as row:
        number = e.short(e.arguments["order"], row)
        record = e.at(e.arguments["records"], e.times(number, width))
        picked = e.at(e.arguments["picked"], e.times(row, width))
        with e.loop(0, width, e.lanes) as column:
            e.store(e.load(e.at(record, column)), e.at(picked, column))
    e.finish()
    return Compiled(source)
