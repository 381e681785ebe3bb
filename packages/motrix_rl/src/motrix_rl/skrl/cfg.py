"""Configuration of PPO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from motrix_rl.base import BaseRLCfg
from motrix_rl.rl_module.distributions import DiagGaussian
from motrix_rl.rl_module.spec import RLModuleSpec


@dataclass
class PPOCfg(BaseRLCfg):
    """Proximal Policy Optimization (Schulman et al. 2017), by rllib "skrl" (2.1) or "motrix".

    The KL-adaptive schedule divides the learning rate by 1.5 where an epoch's divergence is beyond
    twice the threshold, and multiplies it by 1.5 where it is below half of it.
    """

    rl_module: str | RLModuleSpec | None = None
    """Name of a declared module, `package.module:Class`, or a spec; by default PPO's own module."""
    policy_hidden_layer_sizes: tuple[int, ...] = (256, 128, 64)
    """Widths of the policy's hidden layers, each followed by an ELU."""
    value_hidden_layer_sizes: tuple[int, ...] = (256, 128, 64)
    """Widths of the value function's hidden layers, each followed by an ELU."""
    share_policy_value_features: bool = True
    """Whether policy and value function share hidden layers; equal widths only, and with skrl
    torch only."""
    initial_log_std: float = 0.0
    """Logarithm of the action noise at the start; it is learned, one number per action."""

    rollouts: int = 32
    """Steps of the batch between two updates."""
    learning_epochs: int = 2
    """Passes over a rollout per update."""
    mini_batches: int = 32
    """Parts that each pass is split into; must divide `rollouts * num_envs`."""

    discount_factor: float = 0.99
    """Weight of the next step's value, in [0, 1]."""
    lambda_param: float = 0.95
    """Lambda of generalised advantage estimation, in [0, 1]: 0 trusts the value function most."""
    learning_rate: float = 1e-3
    """Step size of Adam; where a schedule starts."""
    learning_rate_schedule: Literal["kl", "linear", "fixed"] = "kl"
    """`"kl"` follows the divergence, see the next field; `"linear"` falls to 0 at the end of the
    training, with rllib "motrix" only; `"fixed"` stays."""
    learning_rate_scheduler_kl_threshold: float = 0.008
    """KL divergence that the learning rate is adapted to, within [1e-6, 1e-2]; 0 keeps it fixed."""
    random_timesteps: int = 0
    """Must be 0: skrl 2.1 dropped random actions at the start of PPO."""
    learning_starts: int = 0
    """Must be 0: skrl 2.1 dropped the delayed start of PPO."""
    grad_norm_clip: float = 1.0
    """Largest norm of the gradient of policy and value together; 0 does not clip. skrl in JAX clips
    them apart."""

    time_limit_bootstrap: bool = True
    """Whether a truncated episode goes on with the value of its final observation, or with 0."""
    ratio_clip: float = 0.2
    """Distance from 1 beyond which a probability ratio earns nothing more."""
    value_clip: float = 0.2
    """Distance from the old, normalised value that an update may go; 0 does not clip."""
    clip_predicted_values: bool = True
    """Whether `value_clip` is used at all."""
    entropy_loss_scale: float = 0.0
    """Weight of the policy's entropy in the loss."""
    value_loss_scale: float = 2.0
    """Weight of the value loss."""
    kl_threshold: float = 0.0
    """KL divergence at which an epoch stops early; 0 never stops."""
    rewards_shaper_scale: float = 1.0
    """Factor on every reward before learning; logs and evaluations show rewards without it."""

    @property
    def rollout_steps(self) -> int:
        """Steps of the batch between two updates."""
        return self.rollouts

    def validate(self) -> None:
        """Check the configuration.

        Raises:
            ConfigError: A value cannot be trained with; the message says which and why.
        """
        super().validate()
        self._require_finite()
        for name in ("rollouts", "learning_epochs", "mini_batches"):
            self._require(name, getattr(self, name) >= 1, "must be at least 1")
        for name in ("policy_hidden_layer_sizes", "value_hidden_layer_sizes"):
            widths = getattr(self, name)
            self._require(name, bool(widths) and min(widths) >= 1, "needs positive widths")
        schedules = ("kl", "linear", "fixed")
        known = self.learning_rate_schedule in schedules
        self._require("learning_rate_schedule", known, f"must be one of {', '.join(schedules)}")
        low, high = DiagGaussian.LOG_STD_BOUNDS
        inside = low <= self.initial_log_std <= high
        self._require("initial_log_std", inside, f"must lie between {low} and {high}")
        for name in ("discount_factor", "lambda_param"):
            self._require(name, 0 <= getattr(self, name) <= 1, "must be in [0, 1]")
        for name in ("learning_rate", "ratio_clip", "rewards_shaper_scale"):
            self._require(name, getattr(self, name) > 0, "must be positive")
        for name in _NOT_NEGATIVE:
            self._require(name, getattr(self, name) >= 0, "must not be negative")
        for name in ("random_timesteps", "learning_starts"):
            self._require(name, getattr(self, name) == 0, "must be 0: skrl 2.1 has no such phase")
        samples = self.rollouts * self.num_envs
        self._require(
            "mini_batches",
            samples % self.mini_batches == 0,
            f"must divide rollouts * num_envs = {samples}",
        )
        self._require(
            "mini_batches",
            samples // self.mini_batches >= 2,
            f"leaves less than two samples of rollouts * num_envs = {samples} for each",
        )
        self._require(
            "share_policy_value_features",
            not self.share_policy_value_features
            or self.policy_hidden_layer_sizes == self.value_hidden_layer_sizes,
            "needs equal policy_hidden_layer_sizes and value_hidden_layer_sizes",
        )


_NOT_NEGATIVE = (
    "learning_rate_scheduler_kl_threshold",
    "grad_norm_clip",
    "value_clip",
    "entropy_loss_scale",
    "value_loss_scale",
    "kl_threshold",
)
