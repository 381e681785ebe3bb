"""The best checkpoint of a training: chosen on episodes that neither training nor report sees."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import numpy as np
from motrix_envs.np.env import NpEnv

from motrix_rl.evaluation import check_episodes, play_episodes
from motrix_rl.policy import Policy
from motrix_rl.rl_module import RLModule, RLModuleSpec
from motrix_rl.rl_module.checkpointable import state_of
from motrix_rl.rl_module.errors import NotInNumpyError
from motrix_rl.rl_module.folders import Content
from motrix_rl.rl_module.frameworks import ppo_module
from motrix_rl.rl_module.ppo import is_portable

SCORE = "return_mean"
"""What the best checkpoint has most of."""

MOST_ENVS = 256
"""Environments that step together, if there are as many episodes."""


class Selection:
    """Scores policies on episodes that are always the same ones.

    It leaves the training alone: environments, module and draws are its own, and what shares a
    framework's global generators is done where they are given back afterwards.

    Args:
        env: Environments for the selection alone, not yet started.
        module: What is trained; only its kind counts.
        episodes: How many episodes, the same number for every row.
        apart: Opens a block that leaves global generators as they were.

    Raises:
        ConfigError: See `check_episodes`.
    """

    def __init__(
        self,
        env: NpEnv,
        module: RLModule,
        episodes: int,
        apart: Callable[[], AbstractContextManager[None]],
    ) -> None:
        check_episodes(episodes, env.cfg)
        self._env = env
        self._episodes = episodes
        self._apart = apart
        with apart():
            self._start = env.snapshot()
            self._actor = _actor_like(module)

    def score(self, policy: Content) -> dict[str, float]:
        """Return the mean return of a policy without noise, and what else is worth logging.

        Args:
            policy: What a checkpoint holds of it.
        """
        with self._apart():
            self._actor.set_state(state_of(policy))
            start = self._env.restore({name: array.copy() for name, array in self._start.items()})
            returns, lengths, successes = play_episodes(
                self._env, Policy(self._actor, {}), self._episodes, start
            )
        return {
            SCORE: float(returns.mean()),
            "length_mean": float(lengths.mean()),
            "success_rate": float(successes.mean()),
        }


def better(score: Mapping[str, float], best: Mapping[str, Any] | None) -> bool:
    """Tell whether a score beats that of the best checkpoint so far; of equals, the first stays."""
    if not np.isfinite(score[SCORE]):
        return False
    return best is None or score[SCORE] > best["score"][SCORE]


def _actor_like(module: RLModule) -> RLModule:
    """Return a module that acts as `module` does: in NumPy if possible, else in its framework."""
    recipe = replace(RLModuleSpec.from_module(module), inference_only=True, learner_only=False)
    if is_portable(module):
        with contextlib.suppress(NotInNumpyError):
            return replace(recipe, module_class=ppo_module("numpy")).build()
    return recipe.build()
