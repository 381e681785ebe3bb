"""Which distribution serves which action space."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from motrix_rl.rl_module.distributions.base import Distribution
from motrix_rl.rl_module.distributions.categorical import Categorical, MultiCategorical, input_lens
from motrix_rl.rl_module.distributions.gaussian import DiagGaussian, SquashedGaussian
from motrix_rl.rl_module.distributions.multi import MultiDistribution
from motrix_rl.rl_module.distributions.ops import ArrayOps, bound
from motrix_rl.rl_module.errors import UnsupportedSpaceError
from motrix_rl.rl_module.nested import leaves


def action_dist_cls(
    space: gym.Space[Any], ops: type[ArrayOps], *, squash: bool = False
) -> type[Distribution]:
    """Return the distribution class of an action space, with the operations of a framework.

    Args:
        space: A flat Box of floats, Discrete, a flat MultiDiscrete, or Tuple and Dict of these.
        ops: The framework's operations.
        squash: Whether actions of a Box are bounded by tanh, instead of clipped on their way out.

    Raises:
        UnsupportedSpaceError: Nothing here serves the space.
    """
    if isinstance(space, spaces.Discrete):
        return bound(Categorical, ops)
    if isinstance(space, spaces.MultiDiscrete):
        return bound(MultiCategorical, ops).get_partial_dist_cls(input_lens=input_lens(space))
    if isinstance(space, spaces.Box):
        return _box(space, ops, squash)
    if isinstance(space, spaces.Tuple | spaces.Dict):
        classes = _struct(space, ops, squash)
        dims = _struct(space, ops, squash, dims=True)
        return bound(MultiDistribution, ops).get_partial_dist_cls(
            child_distribution_cls_struct=classes, input_lens=tuple(leaves(dims))
        )
    raise UnsupportedSpaceError(f"no distribution serves the action space {space}")


def _box(space: spaces.Box, ops: type[ArrayOps], squash: bool) -> type[Distribution]:
    DiagGaussian.required_input_dim(space)
    if not squash:
        return bound(DiagGaussian, ops)
    if not np.all(np.isfinite(space.low) & np.isfinite(space.high)):
        raise UnsupportedSpaceError(f"actions can be squashed into finite bounds only, not {space}")
    return bound(SquashedGaussian, ops).get_partial_dist_cls(low=space.low, high=space.high)


def _struct(space: gym.Space[Any], ops: type[ArrayOps], squash: bool, dims: bool = False) -> Any:
    if isinstance(space, spaces.Tuple):
        return tuple(_struct(inner, ops, squash, dims) for inner in space.spaces)
    if isinstance(space, spaces.Dict):
        return {name: _struct(inner, ops, squash, dims) for name, inner in space.spaces.items()}
    if dims:
        return MultiDistribution.required_input_dim(space)
    return action_dist_cls(space, ops, squash=squash)
