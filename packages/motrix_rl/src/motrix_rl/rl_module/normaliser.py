"""Running mean and variance of observations, kept in float64 inside the module.

A forward pass only reads them. They are updated between rollouts, so that what acts, what is
trained and what is saved are the same function.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

EPSILON = 1e-8
CLIP = 5.0

Moments = dict[str, NDArray[np.float64]]


def initial_moments(shape: tuple[int, ...]) -> Moments:
    """Return the moments of no observation at all: mean 0, variance 1, count 0."""
    return {"mean": np.zeros(shape), "variance": np.ones(shape), "count": np.zeros(())}


def updated(moments: Moments, observations: ArrayLike) -> Moments:
    """Return the moments with further observations.

    Source: Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm", 1979.

    Args:
        moments: As they are.
        observations: (n, *shape), n > 0.
    """
    new = np.asarray(observations, np.float64)
    n, count = len(new), float(moments["count"])
    mean, variance, total = new.mean(0), new.var(0), count + n
    shift = mean - moments["mean"]
    squares = moments["variance"] * count + variance * n + shift**2 * count * n / total
    return {
        "mean": moments["mean"] + shift * n / total,
        "variance": squares / total,
        "count": np.asarray(total),
    }


def deviation(variance: Any) -> Any:
    """Return what observations are divided by: of no variance, next to nothing."""
    return variance**0.5 + EPSILON


def normalise(obs: Any, mean: Any, variance: Any) -> Any:
    """Return normalised observations of any framework: clipped (obs - mean) / (std + epsilon)."""
    return ((obs - mean) / deviation(variance)).clip(-CLIP, CLIP)
