"""Products of matrices, in blocks whose sums stay in registers.

Source: Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008; rows in
tiles make up for the copies that it packs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from motrix_rl.native.compiler import processor
from motrix_rl.native.emitter import Emitter, Index, Value

_TALLEST = 12  # rows of a block: more would not keep the processor any busier
_DEEPEST = 64  # terms of a sum at once: a strip of the right factor stays in the first cache

Begin = Callable[[Index, Index], Value]
"""From row and column to the vector that a sum begins with."""


@dataclass(frozen=True)
class Left:
    """The left factor of a product, of which single numbers are taken.

    Attributes:
        start: Where it is.
        down: Floats from one row to the next.
        along: Floats from one column to the next.
    """

    start: Value
    down: Index
    along: Index = 1


@dataclass(frozen=True)
class Product:
    """A product, in which every sum goes through its terms in order, wherever it stands.

    Attributes:
        rows: Rows of the left factor.
        inner: What is summed over.
        columns: Columns of the right factor, whole vectors.
        left: The left factor.
        right: Where the right one is, row by row.
        out: Where the product goes, row by row.
    """

    rows: Index
    inner: Index
    columns: int
    left: Left
    right: Value
    out: Value

    def write(self, e: Emitter, begin: Begin) -> None:
        """Write it, a part of the inner sums after the other.

        Args:
            e: Where to.
            begin: What sums begin with.
        """
        if not isinstance(self.inner, int) or self.inner <= _DEEPEST:
            self._write_strips(e, begin)
            return
        there = what_is_there(e, self.out, self.columns)
        whole = self.inner // _DEEPEST * _DEEPEST
        self._part(e, 0, _DEEPEST)._write_strips(e, begin)
        with e.loop(_DEEPEST, whole, _DEEPEST) as k:
            self._part(e, k, _DEEPEST)._write_strips(e, there)
        if rest := self.inner - whole:
            self._part(e, whole, rest)._write_strips(e, there)

    def _part(self, e: Emitter, k: Index, inner: int) -> Product:
        """Return the product of some columns of the left factor and rows of the right one."""
        start = e.at(self.left.start, e.times(k, self.left.along))
        right = e.at(self.right, e.times(k, self.columns))
        return replace(self, inner=inner, left=replace(self.left, start=start), right=right)

    def _write_strips(self, e: Emitter, begin: Begin) -> None:
        at_once = processor().vectors_at_once
        step = at_once * e.lanes
        with e.loop(0, self.columns // step * step, step) as column:
            self._write_strip(e, begin, column, at_once)
        if rest := self.columns % step:
            self._write_strip(e, begin, self.columns - rest, rest // e.lanes)

    def _write_strip(self, e: Emitter, begin: Begin, column: Index, vectors: int) -> None:
        # Registers for all sums, for a row of the right factor and for a number of the left one.
        height = min(_TALLEST, (processor().registers - vectors - 2) // vectors)
        tall = e.whole(self.rows, height)
        with e.loop(0, tall, height) as row:
            self._write_block(e, begin, (row, column), (height, vectors))
        if isinstance(self.rows, int) and isinstance(tall, int):
            if rest := self.rows - tall:
                self._write_block(e, begin, (tall, column), (rest, vectors))
            return
        with e.loop(tall, self.rows) as row:
            self._write_block(e, begin, (row, column), (1, vectors))

    def _write_block(
        self, e: Emitter, begin: Begin, corner: tuple[Index, Index], size: tuple[int, int]
    ) -> None:
        (row, column), (height, vectors) = corner, size
        rows = [e.plus(row, i) for i in range(height)]
        columns = [e.plus(column, j * e.lanes) for j in range(vectors)]
        sums = {(r, c): e.variable(begin(r, c)) for r in rows for c in columns}
        with e.loop(0, self.inner) as k:
            start = e.at(self.right, e.times(k, self.columns))
            factors = {c: e.load(e.at(start, c)) for c in columns}
            for r in rows:
                place = e.plus(e.times(r, self.left.down), e.times(k, self.left.along))
                one = e.load_one(e.at(self.left.start, place))
                for c, factor in factors.items():
                    total = sums[r, c]
                    e.set(total, e.multiply_add(one, factor, e.get(total)))
        for (r, c), total in sums.items():
            e.store(e.get(total), e.at(self.out, e.times(r, self.columns), c))


def zero(e: Emitter) -> Begin:
    """Let sums begin with 0."""
    return lambda row, column: e.zero


def each_row(e: Emitter, vector: Value) -> Begin:
    """Let the sums of each row begin with a vector of all columns."""
    return lambda row, column: e.load(e.at(vector, column))


def what_is_there(e: Emitter, out: Value, columns: int) -> Begin:
    """Let sums begin with what is where they go."""
    return lambda row, column: e.load(e.at(out, e.times(row, columns), column))
