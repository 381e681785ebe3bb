"""What goes on around a network that acts: observations normalised, actions drawn."""

from __future__ import annotations

from functools import cache
from typing import Any

from numpy.typing import NDArray

from motrix_rl.native.activations import exp
from motrix_rl.native.calls import Call, zeros
from motrix_rl.native.compiler import Compiled, processor
from motrix_rl.native.emitter import Emitter, Source
from motrix_rl.native.gaussian import HALF_LOG_2PI, bounded
from motrix_rl.native.plan import padded
from motrix_rl.rl_module.normaliser import CLIP

Array = NDArray[Any]


class Scales:
    """What observations are normalised by; see `normaliser.normalise`.

    Args:
        width: Of an observation.

    Attributes:
        mean: What is taken off, (width,) in whole vectors.
        deviation: What is divided by, likewise.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        self.mean, self.deviation = zeros(padded(width)), zeros(padded(width))
        self.deviation[:] = 1.0

    def set(self, mean: Array, deviation: Array) -> None:
        """Change both, (width,)."""
        self.mean[: self._width], self.deviation[: self._width] = mean, deviation

    def of(self, x: Array) -> Call:
        """Return the call that normalises `rows` of an array, (rows, width in whole vectors)."""
        call = Call(_compiled_normalise(), "normalise", x=x, width=x.shape[1])
        call.set(mean=self.mean, deviation=self.deviation)
        return call


class Sample:
    """Actions of a Gaussian, and their log-probabilities; for one thread at a time.

    Args:
        means: What a network puts out, (rows, actions in whole vectors).
        log_std: (actions,) in whole vectors, looked at in every call.
        actions: Width of an action.

    Attributes:
        noise: Room for standard normal numbers, (rows, actions).
        drawn: The actions, (rows, actions).
        log_probs: Of these, (rows,).
        draw: The call that works out both.
    """

    def __init__(self, means: Array, log_std: Array, actions: int) -> None:
        rows, width = means.shape
        noise, drawn = (zeros(means.size).reshape(means.shape) for _ in range(2))
        self.noise, self.drawn, self.log_probs = noise[:, :actions], drawn[:, :actions], zeros(rows)
        self.draw = Call(_compiled_draw(actions), "draw", means=means, log_std=log_std, noise=noise)
        self.draw.set(drawn=drawn, log_probs=self.log_probs, scratch=zeros(width))


@cache
def _compiled_normalise() -> Compiled:
    source = Source()
    numbers = ("width", "rows")
    e = Emitter(source, "normalise", ("x", "mean", "deviation"), numbers, processor().lanes)
    width = e.arguments["width"]
    with e.loop(0, e.arguments["rows"]) as row, e.loop(0, width, e.lanes) as column:
        there = e.at(e.arguments["x"], e.times(row, width), column)
        off = e.build.fsub(e.load(there), e.load(e.at(e.arguments["mean"], column)))
        scaled = e.build.fdiv(off, e.load(e.at(e.arguments["deviation"], column)))
        e.store(e.within(scaled, e.number(-CLIP), e.number(CLIP)), there)
    e.finish()
    return Compiled(source)


@cache
def _compiled_draw(actions: int) -> Compiled:
    source = Source()
    pointers = ("means", "log_std", "noise", "drawn", "log_probs", "scratch")
    e = Emitter(source, "draw", pointers, ("rows",), processor().lanes)
    width, spread = padded(actions), e.variable(e.zero)
    with e.loop(0, width, e.lanes) as column:
        log_std = bounded(e, e.load(e.at(e.arguments["log_std"], column)))
        e.store(exp(e, log_std), e.at(e.arguments["scratch"], column))
        e.add(spread, log_std)
    fixed = e.number(actions * HALF_LOG_2PI)
    constant = e.build.fadd(e.splat(e.sum(e.get(spread))), fixed)
    with e.loop(0, e.arguments["rows"]) as row:
        squares, place = e.variable(e.zero), e.times(row, width)
        with e.loop(0, width, e.lanes) as column:
            std = e.load(e.at(e.arguments["scratch"], column))
            noise = e.load(e.at(e.arguments["noise"], place, column))
            mean = e.load(e.at(e.arguments["means"], place, column))
            action = e.build.fadd(e.build.fmul(noise, std), mean)
            e.store(action, e.at(e.arguments["drawn"], place, column))
            e.set(squares, e.multiply_add(noise, noise, e.get(squares)))
        half = e.build.fmul(e.splat(e.sum(e.get(squares))), e.number(-0.5))
        e.write(e.first(e.build.fsub(half, constant)), e.at(e.arguments["log_probs"], row))
    e.finish()
    return Compiled(source)
