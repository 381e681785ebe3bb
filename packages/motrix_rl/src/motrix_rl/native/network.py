"""A network in use: machine code, and the memory that one thread works in."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from motrix_rl.native.kernels import compiled
from motrix_rl.native.plan import Plan, padded

Array = NDArray[np.float32]

_LINE = 64  # bytes of a line of the processor's caches; vectors that cross two take longer


class Network:
    """An MLP forward and back, for one thread at a time.

    Args:
        plan: Its layers.
        weights: Its parameters, (plan.size,), looked at in every pass.
        gradient: Where their gradient goes, (plan.size,).
        rows: How many fit in.
        passes_on: Whether somebody needs the gradient of the input.

    Attributes:
        out: What it put out, (rows, outputs).
        d_out: Where the gradient of the output is expected, (rows, outputs).
        d_in: The gradient of the input, (rows, inputs), where it is passed on.
    """

    def __init__(
        self, plan: Plan, weights: Array, gradient: Array, rows: int, *, passes_on: bool = False
    ) -> None:
        first, last = plan.layers[0], plan.layers[-1]
        self._code = compiled(plan, passes_on)
        self._run, self._run_back = self._code.function("forward"), self._code.function("backward")
        memory, scratch = zeros(rows * plan.row), zeros(plan.scratch)
        d_out, d_in = zeros(rows * last.stride), zeros(rows * padded(first.inputs) * passes_on)
        self._kept = weights, memory, d_out, gradient, scratch, d_in
        self._forward = address(weights), address(memory)
        self._backward = tuple(map(address, self._kept))
        self._capacity = rows
        out = memory[rows * plan.before(last) :]
        self.out = out.reshape(rows, last.stride)[:, : last.outputs]
        self.d_out = d_out.reshape(rows, last.stride)[:, : last.outputs]
        self.d_in = d_in.reshape(-1, padded(first.inputs))[:, : first.inputs]

    def forward(self, x: Array) -> Array:
        """Return the output of some rows, (n, outputs), in memory that the next pass uses again.

        Args:
            x: (n, inputs), float32, the numbers of a row side by side; looked at again on the way
                back.
        """
        self._x = x
        self._input, self._size = address(x), (x.strides[0] // x.itemsize, len(x), self._capacity)
        self._run(self._input, *self._forward, *self._size)
        return self.out[: len(x)]

    def backward(self) -> None:
        """Write the gradient of what came forward last; that of the output is in `d_out`."""
        self._run_back(self._input, *self._backward, *self._size)


def zeros(size: int) -> Array:
    """Return zeros that begin on a line of the caches."""
    memory: NDArray[Any] = np.zeros(size * 4 + _LINE, np.uint8)
    start = -memory.ctypes.data % _LINE
    return memory[start : start + size * 4].view(np.float32)


def address(array: Array) -> int:
    """Return where an array begins."""
    return array.ctypes.data
