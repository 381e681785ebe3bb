"""Runs of an environment, written down to compare them bit for bit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motrix_envs.np.env import NpEnv
from motrix_envs.np.state import NpEnvState

MOST_ROWS = 64

Arrays = dict[str, NDArray[Any]]


def random_actions(env: NpEnv, steps: int, seed: int = 0) -> NDArray[np.float32]:
    """Return actions within the action space, (steps, num_envs, action_dim).

    A row's actions do not depend on how many rows there are, up to `MOST_ROWS`.
    """
    space = env.action_space
    shape = (steps, max(MOST_ROWS, env.num_envs), *space.shape)
    drawn = np.random.default_rng(seed).random(shape, np.float32)[:, : env.num_envs]
    return (space.low + drawn * (space.high - space.low)).astype(np.float32)


def extreme_actions(env: NpEnv, steps: int) -> NDArray[np.float32]:
    """Return the corners of the action space, each held by a row, (steps, num_envs, action_dim).

    Row 0 holds all lower limits, row 1 all upper ones, and further rows draw theirs.
    """
    space = env.action_space
    high = np.random.default_rng(0).random((env.num_envs, *space.shape)) < 0.5
    high[:2] = [[False], [True]][: env.num_envs]
    corners = np.where(high, space.high, space.low)
    return np.broadcast_to(corners, (steps, *corners.shape))


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
