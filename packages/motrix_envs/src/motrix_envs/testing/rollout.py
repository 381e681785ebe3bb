"""Runs of an environment, written down to compare them bit for bit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motrix_envs.np import actions
from motrix_envs.np.env import NpEnv
from motrix_envs.np.state import NpEnvState

Arrays = dict[str, NDArray[Any]]


def random_actions(env: NpEnv, steps: int, seed: int = 0) -> NDArray[Any]:
    """Return random actions for an environment, (steps, num_envs, ...)."""
    return actions.random_actions(env.action_space, steps, env.num_envs, seed)


def extreme_actions(env: NpEnv, steps: int) -> NDArray[Any]:
    """Return corners of an environment's action space, (steps, num_envs, ...)."""
    return actions.extreme_actions(env.action_space, steps, env.num_envs)


def handed_out(state: NpEnvState) -> Arrays:
    """Return the arrays of a state by name, as they are: `info/Reward/alive`."""
    tree = {name: getattr(state, name) for name in ("obs", "reward", "terminated", "truncated")}
    return dict(_leaves({**tree, "info": state.info}))


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, NDArray[Any]]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}/")
        else:
            yield prefix + name, value


def written_down(state: NpEnvState) -> Arrays:
    """Return copies of the arrays of a state by name."""
    return {name: np.array(array) for name, array in handed_out(state).items()}


def steps_of(env: NpEnv, actions: Iterable[NDArray[Any]]) -> list[Arrays]:
    """Step on from where the environment is; return what each step handed out."""
    return [written_down(env.step(action)) for action in actions]


def run_of(env: NpEnv, actions: Iterable[NDArray[Any]]) -> list[Arrays]:
    """Start all episodes and step; return what the start and each step handed out."""
    return [written_down(env.init_state()), *steps_of(env, actions)]


def first_difference(one: list[Arrays], other: list[Arrays], rows: int | None = None) -> str:
    """Return where two runs are not the same bit for bit, or an empty string.

    Args:
        one: A run.
        other: Another one of as many steps.
        rows: How many rows to compare; None compares all.
    """
    for step, (left, right) in enumerate(zip(one, other, strict=True)):
        if left.keys() != right.keys():
            return f"step {step}: {sorted(left.keys() ^ right.keys())} is in one of them only"
        for name in left:
            if not identical(left[name][:rows], right[name][:rows]):
                return f"step {step}, {name}: {left[name][:rows]} and {right[name][:rows]}"
    return ""


def identical(left: NDArray[Any], right: NDArray[Any]) -> bool:
    """Return whether two arrays have the same shape, type and bits."""
    same_kind = left.shape == right.shape and left.dtype == right.dtype
    return same_kind and left.tobytes() == right.tobytes()
