"""A distribution that always gives the same action."""

from __future__ import annotations

from typing import Any, Self

import gymnasium as gym
from gymnasium import spaces

from motrix_rl.rl_module.distributions.base import Distribution, Shape
from motrix_rl.rl_module.errors import UnsupportedSpaceError


class Deterministic(Distribution):
    """All weight on one action.

    Args:
        loc: The action, (..., action_dim), or (...) for integers.
    """

    def __init__(self, loc: Any) -> None:
        self.loc = loc

    @staticmethod
    def required_input_dim(space: gym.Space[Any]) -> int:
        """Return the number of action components; see `Distribution`."""
        if not isinstance(space, spaces.Box) or len(space.shape) != 1:
            raise UnsupportedSpaceError(f"Deterministic serves flat Box spaces, not {space}")
        return int(space.shape[0])

    @classmethod
    def _from_logits(cls, logits: Any, **options: Any) -> Self:
        return cls(logits)

    def _draw(self, shape: Shape, rng: Any) -> tuple[Any, Any]:
        value = self.ops.xp.broadcast_to(self.loc, (*shape, *self.loc.shape)) if shape else self.loc
        return value, self.logp(value)

    def logp(self, value: Any) -> Any:
        """Return zeros."""
        return self.ops.xp.zeros_like(value[..., 0] if value.ndim > 1 else value)

    def kl(self, other: Any) -> Any:
        """Raise: a point has no density."""
        raise RuntimeError("a Deterministic distribution has no KL divergence")

    def entropy(self) -> Any:
        """Raise: a point has no density."""
        raise RuntimeError("a Deterministic distribution has no entropy")

    def to_deterministic(self) -> Deterministic:
        """Return this distribution."""
        return self
