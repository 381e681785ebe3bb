"""Distributions of several actions at once, in the structure of a Tuple or Dict space."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Self

import gymnasium as gym
from gymnasium import spaces

from motrix_rl.rl_module.distributions.base import Distribution, Shape
from motrix_rl.rl_module.distributions.categorical import Categorical, MultiCategorical
from motrix_rl.rl_module.distributions.gaussian import DiagGaussian
from motrix_rl.rl_module.nested import aligned, leaves, rebuild, transform


class MultiDistribution(Distribution):
    """Independent distributions in nested tuples and dictionaries.

    Args:
        parts: Nested tuples and dictionaries of distributions.
    """

    def __init__(self, parts: Any) -> None:
        self.parts = parts

    @staticmethod
    def required_input_dim(space: gym.Space[Any]) -> int:
        """Return the inputs of all parts together; see `Distribution`."""
        if isinstance(space, spaces.Tuple):
            return sum(map(MultiDistribution.required_input_dim, space.spaces))
        if isinstance(space, spaces.Dict):
            return sum(map(MultiDistribution.required_input_dim, space.spaces.values()))
        kinds: dict[type, type[Distribution]] = {
            spaces.Discrete: Categorical,
            spaces.MultiDiscrete: MultiCategorical,
        }
        return kinds.get(type(space), DiagGaussian).required_input_dim(space)

    @classmethod
    def _from_logits(cls, logits: Any, **options: Any) -> Self:
        input_lens: Sequence[int] = options["input_lens"]
        struct = options["child_distribution_cls_struct"]
        ends = itertools.accumulate(input_lens)
        pieces = [logits[..., end - n : end] for n, end in zip(input_lens, ends, strict=True)]
        parts = [c.from_logits(piece) for c, piece in zip(leaves(struct), pieces, strict=True)]
        return cls(rebuild(struct, parts))

    def _draw(self, shape: Shape, rng: Any) -> tuple[Any, Any]:
        parts = list(leaves(self.parts))
        rngs = self.ops.split(rng, len(parts))
        drawn = [part._draw(shape, one) for part, one in zip(parts, rngs, strict=True)]
        return rebuild(self.parts, [value for value, _ in drawn]), sum(logp for _, logp in drawn)

    def _constant(self, value: Any) -> Any:
        return transform(self.ops.stop_gradient, value)

    def logp(self, value: Any) -> Any:
        """Return the log-density of all parts together; `value` has the structure of the parts."""
        return sum(part.logp(inner) for part, inner in aligned(self.parts, value))

    def kl(self, other: MultiDistribution) -> Any:
        """Return the divergence; see `Distribution`."""
        return sum(part.kl(inner) for part, inner in aligned(self.parts, other.parts))

    def entropy(self) -> Any:
        """Return the entropy in nats."""
        return sum(part.entropy() for part in leaves(self.parts))

    def to_deterministic(self) -> MultiDistribution:
        """Return the parts' own decisions."""
        return type(self)(transform(lambda part: part.to_deterministic(), self.parts))
