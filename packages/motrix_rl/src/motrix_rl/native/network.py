"""A network in use: machine code, and the memory that one thread works in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from motrix_rl.native.calls import Argument, Call, Program, zeros
from motrix_rl.native.kernels import PassesOn, compiled
from motrix_rl.native.plan import Plan, padded

Array = NDArray[np.float32]


class Network:
    """An MLP forward and back, for one thread at a time.

    Args:
        plan: Its layers.
        weights: Its parameters, (plan.size,), looked at in every pass.
        gradient: Where their gradient goes, (plan.size,).
        rows: How many fit in.
        passes_on: What happens to the gradient of the input.
        d_in: Where that goes, (rows, inputs) in whole vectors; None makes room for it.

    Attributes:
        outputs: How many numbers come out for a row.
        forward: The call that works out `out`.
        backward: The call that works out `gradient` and `d_in` of what came forward last, given
            `d_out`.
        out: What it puts out, (rows, outputs in whole vectors).
        d_out: The gradient of `out`, likewise.
        d_in: The gradient of the input, likewise.
    """

    def __init__(
        self,
        plan: Plan,
        weights: Array,
        gradient: Array,
        rows: int,
        *,
        passes_on: PassesOn = "nothing",
        d_in: Array | None = None,
    ) -> None:
        last = plan.layers[-1]
        self._inputs, self.outputs = plan.layers[0].inputs, last.outputs
        code, memory = compiled(plan, passes_on), zeros(rows * plan.row)
        self.out = memory[rows * plan.before(last) :].reshape(rows, last.stride)
        self.d_out = zeros(rows * last.stride).reshape(rows, last.stride)
        if d_in is None:
            width = 0 if passes_on == "nothing" else padded(plan.layers[0].inputs)
            d_in = zeros(rows * width).reshape(rows, width)
        self.d_in = d_in
        both: dict[str, Argument] = {"weights": weights, "memory": memory, "capacity": rows}
        self.forward = Call(code, "forward", **both)
        slopes: dict[str, Argument] = {"d_out": self.d_out, "gradient": gradient, "d_in": d_in}
        self.backward = Call(code, "backward", **both, **slopes, scratch=zeros(plan.scratch))
        self._forward = Program(self.forward)

    def look_at(self, x: Array, rows: int) -> None:
        """Let both calls take their input from an array.

        Args:
            x: float32, (at least rows, at least inputs), the numbers of a row side by side.
            rows: How many of its rows.

        Raises:
            ValueError: It is another kind of array, or too small or too large.
        """
        fits = rows <= min(len(x), len(self.out)) and x.shape[1] >= self._inputs
        side_by_side = x.shape[1] == 1 or x.strides[1] == x.itemsize
        if not (fits and side_by_side and x.dtype == np.float32):
            raise ValueError(
                f"a network for {len(self.out)} rows of {self._inputs} float32 numbers side by "
                f"side cannot take {rows} of an array {x.shape} of {x.dtype}, strides {x.strides}"
            )
        from_row = x.strides[0] // x.itemsize
        for call in (self.forward, self.backward):
            call.set(x=x, from_row=from_row, rows=rows)

    def run(self, x: Array) -> Array:
        """Return what comes out for some rows, (rows, outputs), in memory that is used again."""
        self.look_at(x, len(x))
        self._forward.run()
        return self.out[: len(x), : self.outputs]
