"""Shaped rewards: how far a quantity is from where it should be, as a number in [0, 1]."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from motrix_envs.errors import ConfigError, did_you_mean

FloatArray: TypeAlias = NDArray[np.floating[Any]]

SigmoidKind: TypeAlias = Literal[
    "gaussian",
    "hyperbolic",
    "long_tail",
    "reciprocal",
    "cosine",
    "linear",
    "quadratic",
    "tanh_squared",
]


class _Sigmoid(NamedTuple):
    """A curve that falls from 1 at z = 0, and the z at which it has fallen to a value v."""

    curve: Callable[[FloatArray], FloatArray]
    inverse: Callable[[float], float]
    reaches_zero: bool = False  # so that v = 0 has an inverse


_SIGMOIDS: dict[SigmoidKind, _Sigmoid] = {
    "gaussian": _Sigmoid(
        curve=lambda z: np.exp(-(z * z)),
        inverse=lambda v: math.sqrt(-math.log(v)),
    ),
    "hyperbolic": _Sigmoid(
        curve=lambda z: 1 / np.cosh(z),
        inverse=lambda v: math.acosh(1 / v),
    ),
    "long_tail": _Sigmoid(
        curve=lambda z: 1 / (1 + z * z),
        inverse=lambda v: math.sqrt(1 / v - 1),
    ),
    "reciprocal": _Sigmoid(
        curve=lambda z: 1 / (1 + z),
        inverse=lambda v: 1 / v - 1,
    ),
    "cosine": _Sigmoid(
        curve=lambda z: (1 + np.cos(np.minimum(z, math.pi))) / 2,
        inverse=lambda v: math.acos(2 * v - 1),
        reaches_zero=True,
    ),
    "linear": _Sigmoid(
        curve=lambda z: np.maximum(1 - z, 0),
        inverse=lambda v: 1 - v,
        reaches_zero=True,
    ),
    "quadratic": _Sigmoid(
        curve=lambda z: np.maximum(1 - z * z, 0),
        inverse=lambda v: math.sqrt(1 - v),
        reaches_zero=True,
    ),
    "tanh_squared": _Sigmoid(
        curve=lambda z: 1 - np.tanh(z) ** 2,
        # artanh(sqrt(1 - v)), written so that it survives a tiny v.
        inverse=lambda v: math.acosh(1 / math.sqrt(v)),
    ),
}


def tolerance(
    x: ArrayLike,
    bounds: tuple[float, float] = (0.0, 0.0),
    margin: float = 0.0,
    sigmoid: SigmoidKind = "gaussian",
    value_at_margin: float = 0.1,
) -> FloatArray:
    """Return 1 where `x` lies within the bounds, and less the farther outside it lies.

    Outside, the value is a curve of the distance to the nearer bound, stretched so that it passes
    through `value_at_margin` at the margin. With a margin of 0 the edge is hard: 1 or 0. `x`,
    `bounds` and `margin` share one unit, whatever it is.

    The curves, of z >= 0: `gaussian` exp(-z**2), `hyperbolic` 1 / cosh(z), `long_tail`
    1 / (1 + z**2), `reciprocal` 1 / (1 + z), `cosine` (1 + cos(z)) / 2 up to z = pi, `linear`
    1 - z, `quadratic` 1 - z**2, `tanh_squared` 1 - tanh(z)**2. `cosine`, `linear` and `quadratic`
    reach 0 and stay there.

    Source: Tassa et al., "DeepMind Control Suite", arXiv:1801.00690, section 2.

    Args:
        x: `(...)`, any shape. NaN stays NaN, except that it is 0 at a hard edge.
        bounds: lowest and highest good value, both included; either may be infinite.
        margin: the distance at which the value is `value_at_margin`.
        sigmoid: the curve outside the bounds.
        value_at_margin: in (0, 1), or in [0, 1) for the curves that reach 0.

    Returns:
        `(...)` in [0, 1], in the dtype of `x` where that is floating, else in float64.

    Raises:
        ConfigError: the bounds are in the wrong order, the margin is negative or infinite,
            `value_at_margin` is out of range, or there is no such sigmoid.
    """
    lower, upper = float(bounds[0]), float(bounds[1])
    _check_interval(lower, upper, margin)
    curve, z_at_margin = _find_curve(sigmoid, value_at_margin)
    values: FloatArray = np.asarray(x)
    if not np.issubdtype(values.dtype, np.floating):
        values = values.astype(np.float64)

    # Far away, distances and curves overflow to infinity: the value there is rightly 0.
    with np.errstate(over="ignore", under="ignore"):
        distance = _distance(values, lower, upper)
        if margin == 0.0:
            return np.equal(distance, 0).astype(values.dtype)
        # A scale beyond the dtype's normal numbers would make NaN of 0 or of infinity.
        limits = np.finfo(values.dtype)
        scale = z_at_margin / float(margin)
        distance *= min(max(scale, float(limits.tiny)), float(limits.max))
        return np.asarray(curve(distance))


def _distance(x: FloatArray, lower: float, upper: float) -> FloatArray:
    """Return how far `x` lies outside the interval, 0 within; always new memory."""
    distance = np.zeros_like(x)
    # An infinite bound is never crossed, and subtracting it from an infinite x would give NaN.
    if lower > -math.inf:
        np.maximum(distance, lower - x, out=distance)
    if upper < math.inf:
        np.maximum(distance, x - upper, out=distance)
    return distance


def _check_interval(lower: float, upper: float, margin: float) -> None:
    if not (lower <= upper and lower < math.inf and upper > -math.inf):
        raise ConfigError(f"bounds must be (lower, upper), lower <= upper, got ({lower}, {upper}).")
    if not 0.0 <= margin < math.inf:
        raise ConfigError(f"margin must be finite and not negative, got {margin}.")


def _find_curve(
    kind: SigmoidKind, value: float
) -> tuple[Callable[[FloatArray], FloatArray], float]:
    """Return a curve and the z at which it has the given value."""
    if kind not in _SIGMOIDS:
        raise ConfigError(
            f"no sigmoid named {kind!r}.{did_you_mean(kind, _SIGMOIDS)} "
            f"There are: {', '.join(_SIGMOIDS)}."
        )
    curve, inverse, reaches_zero = _SIGMOIDS[kind]
    if not (0.0 < value < 1.0 or (value == 0.0 and reaches_zero)):
        interval = "[0, 1)" if reaches_zero else "(0, 1)"
        raise ConfigError(f"value_at_margin of {kind!r} must lie in {interval}, got {value}.")
    return curve, inverse(float(value))
