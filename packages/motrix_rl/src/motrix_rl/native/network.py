"""A network in use: machine code, and the memory that one thread works in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from motrix_rl.native.calls import Argument, Call, zeros
from motrix_rl.native.kernels import PassesOn, compiled_backward, compiled_forward
from motrix_rl.native.plan import Plan, padded

Array = NDArray[np.float32]


class Forward:
    """An MLP that is only asked what comes out, for one thread at a time.

    Args:
        plan: Its layers.
        weights: Its parameters, (plan.size,), looked at in every pass.
        rows: How many fit in.

    Attributes:
        outputs: How many numbers come out for a row.
        forward: The call that works out `out`.
        out: What it puts out, (rows, outputs in whole vectors).
    """

    def __init__(self, plan: Plan, weights: Array, rows: int) -> None:
        last = plan.layers[-1]
        self._inputs, self.outputs = plan.layers[0].inputs, last.outputs
        memory = zeros(rows * plan.row)
        self.out = memory[rows * plan.before(last) :].reshape(rows, last.stride)
        self._known: dict[str, Argument] = {"weights": weights, "memory": memory, "capacity": rows}
        self.forward = Call(compiled_forward(plan), "forward", **self._known)
        self._calls = [self.forward]

    def look_at(self, x: Array, rows: int) -> None:
        """Let all calls take their input from an array.

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
        for call in self._calls:
            call.set(x=x, from_row=x.strides[0] // x.itemsize, rows=rows)


class Network(Forward):
    """An MLP forward and back, for one thread at a time.

    Args:
        plan: See `Forward`.
        weights: See `Forward`.
        gradient: Where their gradient goes, (plan.size,).
        rows: See `Forward`.
        passes_on: What happens to the gradient of the input.
        d_in: Where that goes, (rows, inputs) in whole vectors; None makes room for it.

    Attributes:
        backward: The call that works out `gradient` and `d_in` of what came forward last, given
            `d_out`.
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
        super().__init__(plan, weights, rows)
        self.d_out = np.reshape(zeros(self.out.size), self.out.shape)
        if d_in is None:
            width = 0 if passes_on == "nothing" else padded(self._inputs)
            d_in = zeros(rows * width).reshape(rows, width)
        self.d_in = d_in
        slopes: dict[str, Argument] = {"d_out": self.d_out, "gradient": gradient, "d_in": d_in}
        code, scratch = compiled_backward(plan, passes_on), zeros(plan.scratch)
        self.backward = Call(code, "backward", **self._known, **slopes, scratch=scratch)
        self._calls.append(self.backward)
