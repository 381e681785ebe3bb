"""What every training is configured by, whatever the algorithm."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from motrix_envs.errors import ConfigError, show

Cfg = TypeVar("Cfg", bound="BaseRLCfg")


@dataclass
class BaseRLCfg:
    """Configuration that all algorithms share; subclasses add their own fields."""

    seed: int | None = None
    """Key of every random draw of the run; None draws one and records it."""
    num_envs: int = 2048
    """Environments that step together in training."""
    play_num_envs: int = 16
    """Environments that step together in `Trainer.play`."""
    max_env_steps: int = 20_480_000
    """Length of the training in steps of single environments, rounded to whole rollouts."""
    stagger_episodes: bool = False
    """Whether the first episodes end early, each after a random part of the time limit. Where most
    episodes last until then, a rollout thus sees all their parts, not the same one in every row."""
    episode_steps: int | None = None
    """Steps after which training cuts an episode off, if sooner than the environment's time limit:
    more starts are seen. Evaluations keep to the environment's own limit. None leaves it alone."""
    check_point_interval: int = 1000
    """Steps of the batch between checkpoints, rounded up to whole rollouts."""
    select_episodes: int = 16
    """Episodes on which each checkpoint is scored, so that `best` points at the one with the
    highest mean return; 0 leaves it out, as does an environment without a time limit."""
    device: str | None = None
    """Device as the framework spells it, `"cpu"` or `"cuda:0"`; None takes its own choice."""

    @property
    def rollout_steps(self) -> int:
        """Steps of the batch between two updates: training starts and stops at such borders."""
        return 1

    @property
    def max_batch_env_steps(self) -> int:
        """Length of the training in steps of the batch: whole rollouts, at least one."""
        rollouts = round(self.max_env_steps / (self.num_envs * self.rollout_steps))
        return max(rollouts, 1) * self.rollout_steps

    @property
    def checkpoint_steps(self) -> int:
        """Steps of the batch between checkpoints, in whole rollouts."""
        return math.ceil(self.check_point_interval / self.rollout_steps) * self.rollout_steps

    def replace(self: Cfg, **updates: Any) -> Cfg:
        """Return a copy with some fields changed.

        Raises:
            TypeError: A name is no field.
        """
        return replace(self, **updates)

    def validate(self) -> None:
        """Check the configuration; subclasses extend this.

        Raises:
            ConfigError: A value cannot be trained with.
        """
        for item in fields(self):
            value = getattr(self, item.name)
            small = not isinstance(value, int) or abs(value) < 2**63
            self._require(item.name, small, "must have an absolute value below 2**63")
        for name in ("num_envs", "play_num_envs", "max_env_steps", "check_point_interval"):
            self._require(name, getattr(self, name) >= 1, "must be at least 1")
        cut = self.episode_steps is None or self.episode_steps >= 1
        self._require("episode_steps", cut, "must be at least 1")
        self._require("select_episodes", self.select_episodes >= 0, "must not be negative")
        in_range = self.seed is None or 0 <= self.seed < 2**32
        self._require("seed", in_range, "must be in [0, 2**32)")

    def _require(self, name: str, holds: bool, rule: str) -> None:
        if not holds:
            raise ConfigError(f"{type(self).__name__}.{name} = {show(getattr(self, name))} {rule}")

    def _require_finite(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, float):
                self._require(item.name, math.isfinite(value), "must be finite")
