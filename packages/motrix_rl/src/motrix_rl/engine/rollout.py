"""What one rollout leaves behind, in memory that the next one uses again."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from motrix_envs.np.env import NpEnv
from motrix_envs.np.state import NpEnvState
from numpy.typing import NDArray

from motrix_rl.engine.learner import Acted, Learner


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
        self.values = np.zeros(shape, np.float32)
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
        self.actions[step], self.log_probs[step], self.values[step] = acted
        self.rewards[step] = result.reward
        self.terminated[step], self.truncated[step] = result.terminated, result.truncated
        self._finals.pop(step, None)
        rows = np.flatnonzero(result.truncated)
        if rows.size:
            states = None if self.states is None else result.info["final_state"][rows]
            self._finals[step] = rows, result.info["final_obs"][rows], states

    def following(self, last: NpEnvState, learner: Learner) -> NDArray[np.float32]:
        """Return values of what each step led to, before any reset, (steps, num_envs).

        A terminated step led nowhere: its number means nothing.

        Args:
            last: The state after the rollout.
            learner: What knows values.
        """
        following = np.empty_like(self.values)
        following[:-1] = self.values[1:]
        places = [(step, rows) for step, (rows, _, _) in self._finals.items()]
        obs = [np.asarray(last.obs), *(obs for _, obs, _ in self._finals.values())]
        states = None
        if self.states is not None:
            finals = (states for _, _, states in self._finals.values())
            states = np.concatenate([np.asarray(last.info["state"]), *finals])
        values = self._values(np.concatenate(obs), states, learner)
        rows_of_last = self.values.shape[1]
        following[-1] = values[:rows_of_last]
        start = rows_of_last
        for step, rows in places:
            following[step, rows] = values[start : start + rows.size]
            start += rows.size
        return following

    def _values(
        self, obs: NDArray[Any], states: NDArray[Any] | None, learner: Learner
    ) -> NDArray[Any]:
        """Return values in portions of the batch: compiled functions see one shape only."""
        portion, count = self.values.shape[1], len(obs)
        obs, states = _padded(obs, portion), None if states is None else _padded(states, portion)
        values = [
            learner.values(
                obs[start : start + portion],
                None if states is None else states[start : start + portion],
            )
            for start in range(0, len(obs), portion)
        ]
        return np.concatenate(values)[:count]


def flat(array: NDArray[Any]) -> NDArray[Any]:
    """Return (steps, num_envs, ...) as (steps * num_envs, ...)."""
    return array.reshape(-1, *array.shape[2:])


def _padded(rows: NDArray[Any], multiple: int) -> NDArray[np.float32]:
    missing = -len(rows) % multiple
    return np.concatenate([rows, np.zeros((missing, *rows.shape[1:]))]).astype(np.float32)
