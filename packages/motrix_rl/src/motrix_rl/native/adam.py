"""Adam as machine code: one step over the vector of all parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motrix_rl.native.calls import Call, Program, zeros
from motrix_rl.native.compiler import Compiled, processor
from motrix_rl.native.emitter import Emitter, Source, Value

Array = NDArray[Any]


class Adam:
    """Takes steps against gradients, and shortens those that are too long before.

    Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015.

    Args:
        weights: What is changed, (n,) in whole vectors.
        betas: How much of each moment stays.
        epsilons: What is added to the root of the second moment, and to the gradient's norm.

    Attributes:
        mean: First moment, (n,).
        variance: Second moment, (n,).
    """

    def __init__(
        self, weights: Array, betas: tuple[float, float], epsilons: tuple[float, float]
    ) -> None:
        self.mean, self.variance, self._scales = (zeros(n) for n in (*[weights.size] * 2, 3))
        self._call = Call(_compiled(betas, epsilons), "descend", weights=weights)
        self._call.set(mean=self.mean, variance=self.variance, scales=self._scales)
        self._call.set(size=weights.size)
        self._program = Program(self._call)

    def descend(self, gradient: Array, scales: Sequence[float], longest: float) -> None:
        """Take one step.

        Args:
            gradient: float32, (n,).
            scales: Factors of the first moment, with the learning rate, and of the second's root.
            longest: Norm above which the gradient is shortened; 0 takes it as it is.
        """
        self._scales[:] = *scales, longest or math.inf
        self._call.set(gradient=np.ascontiguousarray(gradient, np.float32))
        self._program.run()


@cache
def _compiled(betas: tuple[float, float], epsilons: tuple[float, float]) -> Compiled:
    source = Source()
    pointers = ("weights", "gradient", "mean", "variance", "scales")
    e = Emitter(source, "descend", pointers, ("size",), processor().lanes)
    size, vectors = e.arguments["size"], pointers[:-1]
    of_mean, of_root, longest = (e.load_one(e.at(e.arguments["scales"], i)) for i in range(3))
    share = _write_share(e, longest, epsilons[1])
    with e.loop(0, size, e.lanes) as place:
        there = {name: e.at(e.arguments[name], place) for name in vectors}
        gradient = e.build.fmul(e.load(there["gradient"]), share)
        mean = _mixed(e, betas[0], e.load(there["mean"]), gradient)
        squares = e.build.fmul(gradient, gradient)
        variance = _mixed(e, betas[1], e.load(there["variance"]), squares)
        root = e.build.fmul(e.root(variance), of_root)
        step = e.build.fdiv(e.build.fmul(mean, of_mean), e.build.fadd(root, e.number(epsilons[0])))
        e.store(mean, there["mean"])
        e.store(variance, there["variance"])
        e.store(e.build.fsub(e.load(there["weights"]), step), there["weights"])
    e.finish()
    return Compiled(source)


def _write_share(e: Emitter, longest: Value, epsilon: float) -> Value:
    """Return the share of the gradient that is not too long."""
    total = e.variable(e.zero)
    with e.loop(0, e.arguments["size"], e.lanes) as place:
        gradient = e.load(e.at(e.arguments["gradient"], place))
        e.set(total, e.multiply_add(gradient, gradient, e.get(total)))
    norm = e.root(e.splat(e.sum(e.get(total))))
    return e.minimum(e.build.fdiv(longest, e.build.fadd(norm, e.number(epsilon))), e.number(1.0))


def _mixed(e: Emitter, beta: float, old: Value, new: Value) -> Value:
    """Return how a moment goes on."""
    return e.multiply_add(old, e.number(beta), e.build.fmul(new, e.number(1 - beta)))
