"""One choice among several, and several such choices at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from motrix_rl.rl_module.distributions.base import Distribution, Shape
from motrix_rl.rl_module.distributions.ops import bound
from motrix_rl.rl_module.distributions.point import Deterministic
from motrix_rl.rl_module.errors import UnsupportedSpaceError


class Categorical(Distribution):
    """One of n choices, counted from zero.

    Args:
        logits: Unnormalised log-probabilities, (..., n).
        probs: Probabilities instead.

    Raises:
        ValueError: Not exactly one of the two is given.
    """

    def __init__(self, logits: Any = None, probs: Any = None) -> None:
        if (logits is None) == (probs is None):
            raise ValueError("Categorical takes either logits or probs")
        logits = self.ops.xp.log(probs) if logits is None else logits
        self.log_probs = logits - self.ops.logsumexp(logits)

    @property
    def probs(self) -> Any:
        """Probabilities, (..., n)."""
        return self.ops.xp.exp(self.log_probs)

    @staticmethod
    def required_input_dim(space: gym.Space[Any]) -> int:
        """Return the number of choices; see `Distribution`."""
        if not isinstance(space, spaces.Discrete):
            raise UnsupportedSpaceError(f"Categorical serves Discrete spaces, not {space}")
        return int(space.n)

    @classmethod
    def _from_logits(cls, logits: Any, **options: Any) -> Self:
        return cls(logits, **options)

    def _indices(self, shape: Shape, rng: Any) -> Any:
        # argmax(logits + Gumbel noise) is a sample (Gumbel 1954).
        noise = self.ops.gumbel((*shape, *self.log_probs.shape), self.log_probs, rng)
        return (self.ops.stop_gradient(self.log_probs) + noise).argmax(-1)

    def _draw(self, shape: Shape, rng: Any) -> tuple[Any, Any]:
        index = self._indices(shape, rng)
        return index, self.logp(index)

    def rsample(
        self, *, sample_shape: Shape | None = None, return_logp: bool = False, rng: Any = None
    ) -> Any:
        """Return one-hot samples (..., n) with straight-through gradients; see `Distribution`."""
        index = self._indices(tuple(sample_shape or ()), rng)
        probs = self.probs
        wide = self.ops.xp.broadcast_to(probs, (*index.shape, probs.shape[-1]))
        # One-hot in value, the probabilities in gradient (Bengio et al. 2013).
        value = self.ops.one_hot(index, wide) + wide - self.ops.stop_gradient(wide)
        return (value, self.logp(index)) if return_logp else value

    def logp(self, value: Any) -> Any:
        """Return the log-probability of choices, (...)."""
        wide = (*value.shape, self.log_probs.shape[-1])
        return self.ops.take(self.ops.xp.broadcast_to(self.log_probs, wide), value)

    def kl(self, other: Categorical) -> Any:
        """Return the divergence; see `Distribution`."""
        return self._expectation(self.log_probs - other.log_probs)

    def entropy(self) -> Any:
        """Return the entropy in nats."""
        return self._expectation(-self.log_probs)

    def _expectation(self, x: Any) -> Any:
        """Return sum(p x), with 0 for impossible choices, whose log-probability is -inf."""
        probs = self.probs
        zero = self.ops.xp.zeros_like(probs)
        return (probs * self.ops.xp.where(probs > 0, x, zero)).sum(-1)

    def to_deterministic(self) -> Deterministic:
        """Return the most probable choice."""
        return bound(Deterministic, self.ops)(self.log_probs.argmax(-1))


class MultiCategorical(Distribution):
    """Several independent choices, (..., number of choices).

    Args:
        parts: One distribution per choice.
    """

    def __init__(self, parts: Sequence[Categorical]) -> None:
        self.parts = list(parts)

    @staticmethod
    def required_input_dim(space: gym.Space[Any]) -> int:
        """Return the number of options of all choices together; see `Distribution`."""
        return sum(input_lens(space))

    @classmethod
    def _from_logits(cls, logits: Any, **options: Any) -> Self:
        input_lens: Sequence[int] = options["input_lens"]
        ends = np.cumsum(input_lens)
        categorical = bound(Categorical, cls.ops)
        pieces = [logits[..., end - n : end] for n, end in zip(input_lens, ends, strict=True)]
        return cls([categorical.from_logits(piece) for piece in pieces])

    def _draw(self, shape: Shape, rng: Any) -> tuple[Any, Any]:
        # One draw for all, because a JAX key may be used only once.
        logits = self.ops.xp.concatenate([part.log_probs for part in self.parts], -1)
        noisy = logits + self.ops.gumbel((*shape, *logits.shape), logits, rng)
        ends = np.cumsum([part.log_probs.shape[-1] for part in self.parts])
        starts = [0, *ends[:-1]]
        picks = [noisy[..., a:b].argmax(-1) for a, b in zip(starts, ends, strict=True)]
        value = self.ops.xp.stack(picks, -1)
        return value, self.logp(value)

    def logp(self, value: Any) -> Any:
        """Return the log-probability of all choices together."""
        return sum(part.logp(value[..., i]) for i, part in enumerate(self.parts))

    def kl(self, other: MultiCategorical) -> Any:
        """Return the divergence; see `Distribution`."""
        return sum(a.kl(b) for a, b in zip(self.parts, other.parts, strict=True))

    def entropy(self) -> Any:
        """Return the entropy in nats."""
        return sum(part.entropy() for part in self.parts)

    def to_deterministic(self) -> Deterministic:
        """Return the most probable choices."""
        picks = [part.log_probs.argmax(-1) for part in self.parts]
        return bound(Deterministic, self.ops)(self.ops.xp.stack(picks, -1))


def input_lens(space: gym.Space[Any]) -> list[int]:
    """Return the number of options of each choice.

    Raises:
        UnsupportedSpaceError: It is not a flat MultiDiscrete space.
    """
    if not isinstance(space, spaces.MultiDiscrete) or space.nvec.ndim != 1:
        raise UnsupportedSpaceError(f"MultiCategorical serves flat MultiDiscrete, not {space}")
    return [int(n) for n in space.nvec]
