"""What all distributions have in common."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import gymnasium as gym

from motrix_rl.rl_module.distributions.ops import ArrayOps, NumpyOps

Shape = tuple[int, ...]


class Distribution(abc.ABC):
    """A batch of distributions over actions.

    Leading axes of the parameters are batch axes; the last one belongs to one distribution.
    """

    ops: ClassVar[type[ArrayOps]] = NumpyOps
    _fixed: ClassVar[Mapping[str, Any]] = {}

    # What a subclass defines

    @abc.abstractmethod
    def _draw(self, shape: Shape, rng: Any) -> tuple[Any, Any]:
        """Return differentiable samples and their log-densities."""

    @abc.abstractmethod
    def logp(self, value: Any) -> Any:
        """Return the log-density, or log-probability, of actions.

        Args:
            value: Actions; further leading axes than the batch has are allowed.

        Returns:
            One number per action, without its last axis.
        """

    @abc.abstractmethod
    def kl(self, other: Any) -> Any:
        """Return the Kullback-Leibler divergence from this distribution to another, (batch,)."""

    @abc.abstractmethod
    def entropy(self) -> Any:
        """Return the entropy, (batch,)."""

    @abc.abstractmethod
    def to_deterministic(self) -> Any:
        """Return the distribution that always takes this one's own decision."""

    @staticmethod
    @abc.abstractmethod
    def required_input_dim(space: gym.Space[Any]) -> int:
        """Return how many inputs `from_logits` needs for an action space.

        Raises:
            UnsupportedSpaceError: This kind of distribution does not serve it.
        """

    @classmethod
    @abc.abstractmethod
    def _from_logits(cls, logits: Any, **options: Any) -> Self:
        """See `from_logits`."""

    # What comes with it

    @classmethod
    def from_logits(cls, logits: Any, **options: Any) -> Self:
        """Return the distribution of what a network puts out.

        Args:
            logits: (..., required_input_dim).
            **options: Of the class, unless `get_partial_dist_cls` fixed them.

        Raises:
            ValueError: An option is fixed already.
        """
        return cls._from_logits(logits, **cls._with_fixed(options))

    @classmethod
    def get_partial_dist_cls(cls, **fixed: Any) -> type[Self]:
        """Return a subclass for which these options of `from_logits` are fixed.

        Raises:
            ValueError: One of them is fixed already.
        """
        return type(f"{cls.__name__}Partial", (cls,), {"_fixed": cls._with_fixed(fixed)})

    @classmethod
    def _with_fixed(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        if again := sorted(options.keys() & cls._fixed.keys()):
            raise ValueError(f"{cls.__name__} has a fixed value for: {', '.join(again)}")
        return {**cls._fixed, **options}

    def sample(
        self, *, sample_shape: Shape | None = None, return_logp: bool = False, rng: Any = None
    ) -> Any:
        """Return samples that are constants for the gradient.

        Args:
            sample_shape: Further leading axes.
            return_logp: Whether to return their log-densities too.
            rng: Source of randomness: a `numpy.random.Generator`, a `torch.Generator`, or a JAX
                key. JAX cannot do without, the others fall back on their global one.

        Returns:
            Actions (*sample_shape, *batch, ...), or a pair of these and log-densities.
        """
        value, logp = self._draw(tuple(sample_shape or ()), rng)
        value = self._constant(value)
        return (value, self.ops.stop_gradient(logp)) if return_logp else value

    def rsample(
        self, *, sample_shape: Shape | None = None, return_logp: bool = False, rng: Any = None
    ) -> Any:
        """Return samples through which gradients reach the parameters; otherwise as `sample`."""
        value, logp = self._draw(tuple(sample_shape or ()), rng)
        return (value, logp) if return_logp else value

    def _constant(self, value: Any) -> Any:
        return self.ops.stop_gradient(value)
