"""View requirements: which columns, of which time steps, a module wants to see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces


@dataclass
class ViewRequirement:
    """One column that a module wants.

    Args:
        data_col: The column that it is taken from; None means the one of the same name.
        space: What one row of it looks like.
        shift: Time steps to look back (negative) or ahead.
        used_for_compute_actions: Whether acting needs it.
        used_for_training: Whether training needs it.
        batch_repeat_value: One row is kept for so many time steps.
    """

    data_col: str | None = None
    space: gym.Space[Any] | None = None
    shift: int = 0
    used_for_compute_actions: bool = True
    used_for_training: bool = True
    batch_repeat_value: int = 1


def space_of_arrays(arrays: Any) -> gym.Space[Any]:
    """Return the unbounded space that nested mappings of arrays lie in.

    Args:
        arrays: An array, or nested mappings of arrays, without a batch axis.
    """
    if isinstance(arrays, Mapping):
        return spaces.Dict([(name, space_of_arrays(inner)) for name, inner in arrays.items()])
    array = np.asarray(arrays)
    if array.dtype.kind == "f":
        return spaces.Box(-np.inf, np.inf, array.shape, array.dtype.type)
    if array.dtype.kind == "b":
        return spaces.Box(0, 1, array.shape, np.bool_)
    limits = np.iinfo(array.dtype)
    # One less than the largest: Gymnasium computes high + 1.
    return spaces.Box(limits.min, int(limits.max) - 1, array.shape, array.dtype.type)
