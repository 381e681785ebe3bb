"""What follows the sums of a layer, and its slope by what it puts out.

Outputs are within 2e-7 of the exact ones, or within three units in the last place.
"""

from __future__ import annotations

from collections.abc import Callable

from motrix_rl.native.emitter import Emitter, Value


def exp(e: Emitter, x: Value) -> Value:
    """Return exponentials, within two units in the last place, of x cut off at -87 and 88.

    2^n e^r with |r| <= log(2) / 2, where e^r comes from its Taylor series. What is not a number
    stays so.
    Source: Cody and Waite, "Software Manual for the Elementary Functions", 1980, chapter 6.
    """
    x = e.within(x, e.number(-87.0), e.number(88.0))
    a_number = e.maximum(e.number(-87.0), x)  # no exponent could be made of anything else
    n = e.rounded(e.build.fmul(a_number, e.number(1.4426950408889634)))
    # log(2) in two parts, so that the first product is exact.
    r = e.multiply_add(n, e.number(-0.693359375), x)
    r = e.multiply_add(n, e.number(2.12194440e-4), r)
    power = e.number(1 / 5040)
    for factorial in (720, 120, 24, 6, 2, 1, 1):
        power = e.multiply_add(power, r, e.number(1 / factorial))
    return e.build.fmul(power, e.power_of_two(n))


def _relu(e: Emitter, x: Value) -> Value:
    return e.maximum(x, e.zero)


def _elu(e: Emitter, x: Value) -> Value:
    # e^x - 1 never lies below x: the greater one is right on both sides.
    below = e.build.fsub(exp(e, e.minimum(x, e.zero)), e.number(1.0))
    return e.maximum(x, below)


def _tanh(e: Emitter, x: Value) -> Value:
    x = e.within(x, e.number(-9.0), e.number(9.0))  # where it is 1 in float32
    power, one = exp(e, e.build.fadd(x, x)), e.number(1.0)
    return e.build.fdiv(e.build.fsub(power, one), e.build.fadd(power, one))


def _slope_of_relu(e: Emitter, out: Value) -> Value:
    positive = e.build.fcmp_ordered(">", out, e.zero)
    return e.build.select(positive, e.number(1.0), e.zero)


def _slope_of_elu(e: Emitter, out: Value) -> Value:
    return e.build.fadd(e.minimum(out, e.zero), e.number(1.0))


def _slope_of_tanh(e: Emitter, out: Value) -> Value:
    return e.build.fsub(e.number(1.0), e.build.fmul(out, out))


Function = Callable[[Emitter, Value], Value]

ACTIVATIONS: dict[str, Function] = {"relu": _relu, "elu": _elu, "tanh": _tanh}
"""By name; `"linear"` is nothing."""

SLOPES: dict[str, Function] = {
    "relu": _slope_of_relu,
    "elu": _slope_of_elu,
    "tanh": _slope_of_tanh,
}
