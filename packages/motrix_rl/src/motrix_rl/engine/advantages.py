"""Advantages of a rollout, on the host in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

EPSILON = 1e-8


def advantages_of(
    rewards: NDArray[Any],
    values: NDArray[Any],
    following: NDArray[Any],
    terminated: NDArray[np.bool_],
    truncated: NDArray[np.bool_],
    discount: float,
    lambda_: float,
) -> NDArray[np.float64]:
    """Return generalised advantage estimates.

    A truncated episode goes on in `following`, a terminated one is worth nothing more, and neither
    hears of the episode that the row begins next.

    Source: Schulman et al., "High-Dimensional Continuous Control Using Generalized Advantage
    Estimation", 2016, equation 16.

    Args:
        rewards: (steps, num_envs).
        values: Of the observations that were acted on, (steps, num_envs).
        following: Values of the observations that the steps led to, before any reset,
            (steps, num_envs).
        terminated: Steps that ended an episode for good, (steps, num_envs).
        truncated: Steps that met a limit, (steps, num_envs).
        discount: Weight of the next step's value.
        lambda_: Weight of the next step's advantage.

    Returns:
        (steps, num_envs).
    """
    deltas = rewards + discount * following * ~terminated - np.asarray(values, np.float64)
    weights = discount * lambda_ * ~(terminated | truncated)
    advantages, later = np.empty_like(deltas), np.zeros(deltas.shape[1])
    for step in reversed(range(len(deltas))):
        later = deltas[step] + weights[step] * later
        advantages[step] = later
    return advantages


def standardised(advantages: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return advantages with mean 0 and standard deviation 1 over the whole rollout."""
    centred = advantages - advantages.mean()
    return np.asarray(centred / (advantages.std() + EPSILON), np.float32)
