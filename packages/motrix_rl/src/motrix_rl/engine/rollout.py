"""What one rollout leaves behind, in memory that the next one uses again."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from motrix_envs.np.env import NpEnv
from motrix_envs.np.state import NpEnvState
from numpy.typing import NDArray

from motrix_rl.engine.host import Acted
from motrix_rl.engine.learner import Learner

_PORTION = 8192
"""Rows of which values are asked at once: their activations stay in a processor's caches."""


class Rollout:
    """Arrays (steps, num_envs, ...) of everything that is learned from.

    Args:
        env: The environments.
        steps: Steps of the batch.
    """

    def __init__(self, env: NpEnv, steps: int) -> None:
        shape = (steps, env.num_envs)
        action = env.action_space
        kind = np.float32 if isinstance(action, spaces.Box) else np.int32
        self.obs = np.zeros((*shape, *env.observation_space.shape), np.float32)
        self.states: NDArray[np.float32] | None = None
        if env.state_space is not None:
            self.states = np.zeros((*shape, *env.state_space.shape), np.float32)
        self.actions = np.zeros((*shape, *(action.shape or ())), kind)
        self.log_probs = np.zeros(shape, np.float32)
        self.rewards = np.zeros(shape, np.float32)
        self.terminated = np.zeros(shape, np.bool_)
        self.truncated = np.zeros(shape, np.bool_)
        self._finals: dict[int, tuple[Any, Any, Any]] = {}

    def record(self, step: int, seen: NpEnvState, acted: Acted, result: NpEnvState) -> None:
        """Take in one step of the batch.

        Args:
            step: Which one of the rollout.
            seen: What was acted on.
            acted: What the learner did.
            result: What came of it, after automatic resets.
        """
        self.obs[step] = seen.obs
        if self.states is not None:
            self.states[step] = seen.info["state"]
        self.actions[step], self.log_probs[step] = acted
        self.rewards[step] = result.reward
        self.terminated[step], self.truncated[step] = result.terminated, result.truncated
        self._finals.pop(step, None)
        rows = np.flatnonzero(result.truncated)
        if rows.size:
            states = None if self.states is None else result.info["final_state"][rows]
            self._finals[step] = rows, result.info["final_obs"][rows], states

    def values(
        self, last: NpEnvState, learner: Learner
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return values of what was acted on, and of what each step led to, before any reset.

        A terminated step led nowhere: its second number means nothing.

        Args:
            last: The state after the rollout.
            learner: What knows values, as it was while it acted.

        Returns:
            Twice (steps, num_envs).
        """
        finals = list(self._finals.values())
        obs = np.concatenate([last.obs, *(obs for _, obs, _ in finals)])
        states = seen_states = None
        if self.states is not None:
            states = np.concatenate([last.info["state"], *(states for _, _, states in finals)])
            seen_states = flat(self.states)
        values = self._in_portions(flat(self.obs), seen_states, learner).reshape(self.rewards.shape)
        ends = self._in_portions(obs, states, learner)
        following, start = np.empty_like(values), values.shape[1]
        following[:-1], following[-1] = values[1:], ends[:start]
        for step, (rows, _, _) in self._finals.items():
            following[step, rows] = ends[start : start + rows.size]
            start += rows.size
        return values, following

    def _in_portions(
        self, obs: NDArray[Any], states: NDArray[Any] | None, learner: Learner
    ) -> NDArray[np.float32]:
        """Return values in portions of one size: compiled functions see a single shape."""
        portion = min(self.rewards.size, _PORTION)
        values = [
            learner.values(
                _portion(obs, start, portion),
                None if states is None else _portion(states, start, portion),
            )
            for start in range(0, len(obs), portion)
        ]
        return np.concatenate(values)[: len(obs)]


def flat(array: NDArray[Any]) -> NDArray[Any]:
    """Return (steps, num_envs, ...) as (steps * num_envs, ...)."""
    return array.reshape(-1, *array.shape[2:])


def _portion(rows: NDArray[Any], start: int, size: int) -> NDArray[np.float32]:
    """Return some rows as float32, zeros where there are no more."""
    part = np.asarray(rows[start : start + size], np.float32)
    missing = size - len(part)
    if not missing:
        return part
    return np.concatenate([part, np.zeros((missing, *part.shape[1:]), np.float32)])
