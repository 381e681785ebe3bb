"""Gaussians with independent components, as they are and bounded by tanh."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Self

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from motrix_rl.rl_module.distributions.base import Distribution, Shape
from motrix_rl.rl_module.distributions.ops import bound
from motrix_rl.rl_module.distributions.point import Deterministic
from motrix_rl.rl_module.errors import UnsupportedSpaceError

_LOG_2PI = math.log(2 * math.pi)


class DiagGaussian(Distribution):
    """Independent Gaussian components; densities are products over the last axis.

    Args:
        loc: Means, (..., action_dim).
        scale: Standard deviations, (..., action_dim).
        log_scale: Their logarithms, where they are known.
    """

    LOG_STD_BOUNDS: ClassVar[tuple[float, float]] = (-20.0, 2.0)
    """Where `from_logits` clips the log-std: what skrl does, and no sample is infinite."""

    def __init__(self, loc: Any, scale: Any, log_scale: Any = None) -> None:
        self.loc, self.scale = loc, scale
        self._log_scale = self.ops.xp.log(scale) if log_scale is None else log_scale

    @staticmethod
    def required_input_dim(space: gym.Space[Any]) -> int:
        """Return two inputs per component, mean and log-std; see `Distribution`."""
        floats = isinstance(space, spaces.Box) and space.dtype.kind == "f"
        if not floats or len(space.shape or ()) != 1:
            raise UnsupportedSpaceError(f"a Gaussian serves flat Box spaces of floats, not {space}")
        return 2 * int(space.shape[0])  # type: ignore[index]

    @classmethod
    def _from_logits(cls, logits: Any, **options: Any) -> Self:
        loc, log_std = cls.ops.halves(logits)
        log_std = log_std.clip(*cls.LOG_STD_BOUNDS)
        return cls(loc, cls.ops.xp.exp(log_std), log_scale=log_std, **options)

    def _normal(self, shape: Shape, rng: Any) -> tuple[Any, Any]:
        """Return samples of the Gaussian and their log-densities."""
        noise = self.ops.normal((*shape, *self.loc.shape), self.loc, rng)
        return self.loc + self.scale * noise, self._logp_of_noise(noise)

    def _draw(self, shape: Shape, rng: Any) -> tuple[Any, Any]:
        return self._normal(shape, rng)

    def _normal_logp(self, value: Any) -> Any:
        return self._logp_of_noise((value - self.loc) / self.scale)

    def _logp_of_noise(self, z: Any) -> Any:
        """Return the log-density of values that are z standard deviations from the mean."""
        constant = 0.5 * _LOG_2PI * z.shape[-1]
        return -(0.5 * z * z + self._log_scale).sum(-1) - constant

    def logp(self, value: Any) -> Any:
        """Return the log-density of actions, (...)."""
        return self._normal_logp(value)

    def kl(self, other: DiagGaussian) -> Any:
        """Return the divergence; see `Distribution`."""
        ratio = (self.scale / other.scale) ** 2
        distance = ((self.loc - other.loc) / other.scale) ** 2
        return (0.5 * (ratio + distance - 1) + other._log_scale - self._log_scale).sum(-1)

    def entropy(self) -> Any:
        """Return the entropy in nats."""
        return (0.5 + 0.5 * _LOG_2PI + self._log_scale).sum(-1)

    def to_deterministic(self) -> Deterministic:
        """Return the mean."""
        return bound(Deterministic, self.ops)(self.loc)


class SquashedGaussian(DiagGaussian):
    """A Gaussian u, bounded: low + (high - low) (tanh(u) + 1) / 2.

    Source: Haarnoja et al., "Soft Actor-Critic", 2018, appendix C.

    Args:
        loc: Means of u, (..., action_dim).
        scale: Standard deviations of u.
        low: Lower bounds of the action, a number or (action_dim,).
        high: Upper bounds.
        log_scale: Logarithms of the scales, where they are known.
    """

    LOG_STD_BOUNDS: ClassVar[tuple[float, float]] = (-5.0, 2.0)

    def __init__(
        self,
        loc: Any,
        scale: Any,
        low: Any = -1.0,
        high: Any = 1.0,
        log_scale: Any = None,
    ) -> None:
        super().__init__(loc, scale, log_scale)
        low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
        if not np.all(np.isfinite(low) & np.isfinite(high) & (low < high)):
            raise ValueError("a SquashedGaussian needs finite bounds with low < high")
        self._middle = self.ops.constant((low + high) / 2, loc)
        self._half = self.ops.constant((high - low) / 2, loc)
        self._log_half = self.ops.constant(np.log((high - low) / 2), loc)

    def _squash(self, u: Any) -> Any:
        return self._middle + self._half * self.ops.xp.tanh(u)

    def _draw(self, shape: Shape, rng: Any) -> tuple[Any, Any]:
        u, logp = self._normal(shape, rng)
        return self._squash(u), logp - self._log_slope(u)

    def logp(self, value: Any) -> Any:
        """Return the log-density of actions; prefer `return_logp`, which needs no inverse.

        Actions on the bounds count as the nearest ones inside that float32 can tell apart.
        """
        y = (value - self._middle) / self._half
        edge = 1.0 - 1e-6
        return self._squashed_logp(self.ops.xp.arctanh(y.clip(-edge, edge)))

    def _squashed_logp(self, u: Any) -> Any:
        return self._normal_logp(u) - self._log_slope(u)

    def _log_slope(self, u: Any) -> Any:
        """Return the logarithm of the Jacobian determinant of the squashing, (...)."""
        # log(1 - tanh(u)^2) = 2 (log 2 - u - softplus(-2u)), which does not underflow for large u.
        softplus = self.ops.xp.logaddexp(-2.0 * u, self.ops.xp.zeros_like(u))
        return (2.0 * (math.log(2.0) - u - softplus) + self._log_half).sum(-1)

    def kl(self, other: Any) -> Any:
        """Raise: there is no closed form here."""
        raise ValueError("a SquashedGaussian has no closed-form KL divergence: estimate it")

    def entropy(self) -> Any:
        """Raise: there is no closed form."""
        raise ValueError("a SquashedGaussian has no closed-form entropy: estimate it by -logp")

    def to_deterministic(self) -> Deterministic:
        """Return the squashed mean, an action inside the bounds."""
        return bound(Deterministic, self.ops)(self._squash(self.loc))
