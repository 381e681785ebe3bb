"""Actions: made legal, drawn at random, or from the corners of a space."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from motrix_envs.base import ActionSpace
from motrix_envs.np.state import StateError, all_finite

MOST_ROWS = 64


def legal_actions(actions: NDArray[Any], space: ActionSpace, num_envs: int) -> NDArray[Any]:
    """Return actions as an environment may use them, float32 of a Box, int64 of choices.

    Args:
        actions: (num_envs, *space.shape). In a Box, values outside are clipped, NaN becomes 0.
        space: The action space.
        num_envs: Number of rows.

    Raises:
        StateError: The shape is another one, or a choice does not exist.
    """
    expected = (num_envs, *(space.shape or ()))
    given = np.asarray(actions)
    if given.shape != expected:
        raise StateError(f"actions have shape {given.shape}; expected {expected}")
    if not isinstance(space, spaces.Box):
        return _legal_choices(given, space)
    if given.dtype != np.float32:
        with np.errstate(over="ignore"):  # what is too large for float32 is clipped below
            given = given.astype(np.float32)
    legal: NDArray[np.float32] = np.minimum(np.maximum(given, space.low), space.high)
    if not all_finite(legal):  # NaN is left, and infinity where the space has no bounds
        given = np.nan_to_num(given, nan=0.0)
        legal = np.minimum(np.maximum(given, space.low), space.high)
    return legal


def _legal_choices(given: NDArray[Any], space: ActionSpace) -> NDArray[np.int64]:
    """Return choices as int64; one that does not exist has no nearest neighbour to clip to."""
    low, high = limits(space)
    if given.dtype.kind not in "iu" or (given < low).any() or (given > high).any():
        raise StateError(f"actions must be integers from {low} to {high}, see {space}")
    return given.astype(np.int64)


def random_actions(
    space: ActionSpace, steps: int, num_envs: int, seed: int = 0, *, unbounded: float = 1e3
) -> NDArray[Any]:
    """Return actions of an action space, (steps, num_envs, *space.shape).

    A row's actions do not depend on how many rows there are, up to `MOST_ROWS`.

    Args:
        space: The action space.
        steps: Number of steps.
        num_envs: Number of rows.
        seed: Key of the draws.
        unbounded: Where a Box without bounds ends.
    """
    shape = (steps, max(MOST_ROWS, num_envs), *(space.shape or ()))
    drawn = np.random.default_rng(seed).random(shape, np.float32)[:, :num_envs]
    if isinstance(space, spaces.Box):
        low = np.clip(space.low, -unbounded, None)
        high = np.clip(space.high, None, unbounded)
        return np.asarray(low + drawn * (high - low), np.float32)
    choices = space.nvec if isinstance(space, spaces.MultiDiscrete) else space.n
    # Drawing 1.0 is impossible, rounding up to it is not.
    return np.minimum((drawn * choices).astype(np.int64), choices - 1) + space.start


def extreme_actions(space: ActionSpace, steps: int, num_envs: int) -> NDArray[Any]:
    """Return corners of an action space, each held by a row, (steps, num_envs, *space.shape).

    Row 0 holds all lower limits, row 1 all upper ones, and further rows draw theirs.
    """
    high = np.random.default_rng(0).random((num_envs, *(space.shape or ()))) < 0.5
    if num_envs:
        high[0] = False
    if num_envs > 1:
        high[1] = True
    lowest, highest = limits(space)
    corners = np.where(high, highest, lowest)
    return np.broadcast_to(corners, (steps, *corners.shape))


def limits(space: ActionSpace) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the lowest and the highest action of a space."""
    if isinstance(space, spaces.Box):
        return space.low, space.high
    choices = space.nvec if isinstance(space, spaces.MultiDiscrete) else space.n
    low = np.asarray(space.start, np.int64)
    return low, np.asarray(low + choices - 1, np.int64)
