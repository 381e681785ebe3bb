"""What a policy relies on: layout and scale of observations, meaning of actions, pace.

A contract is a JSON document. It is written with every policy, and whoever lets the policy act
compares it with the environment first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from motrix_envs.np.env import NpEnv
from numpy.typing import NDArray

from motrix_rl.errors import ContractError


def contract(env: NpEnv) -> dict[str, Any]:
    """Return what a policy of this environment relies on, as JSON.

    `observation` has the names and widths of the components in order, `action` the kind and the
    bounds of its space, `ctrl_dt` the control step in s, and `conventions` whatever else the
    environment declares: scales, default poses, the order of joints.
    """
    return {
        "observation": {
            "layout": dict(env.observation_layout),
            "size": int(env.observation_space.shape[0]),
        },
        "action": _describe_action(env.action_space),
        "ctrl_dt": env.cfg.ctrl_dt,
        "conventions": env.conventions(),
    }


def _describe_action(space: gym.Space[Any]) -> dict[str, Any]:
    if isinstance(space, spaces.Box):
        size = int(np.prod(space.shape))
        return {
            "kind": "box",
            "size": size,
            "low": _bounds(space.low),
            "high": _bounds(space.high),
        }
    if isinstance(space, spaces.Discrete):
        return {"kind": "discrete", "choices": [int(space.n)], "start": [int(space.start)]}
    assert isinstance(space, spaces.MultiDiscrete)  # `NpEnv` has no others
    return {
        "kind": "multi-discrete",
        "choices": space.nvec.tolist(),
        "start": space.start.tolist(),
    }


def _bounds(values: NDArray[Any]) -> list[float | None]:
    """Return bounds in JSON's types, where None stands for no bound."""
    return [value if np.isfinite(value) else None for value in values.ravel().tolist()]


def check_contract(of_policy: Mapping[str, Any], env: NpEnv) -> None:
    """Check that a policy was made for such an environment.

    Args:
        of_policy: The contract that was written with the policy.
        env: Where it is to act.

    Raises:
        ContractError: Something differs; the message shows both sides.
    """
    of_env = contract(env)
    differences = [
        f"  {place}: the policy has {left}, the environment {right}"
        for name in of_env
        for place, left, right in _differences(name, of_policy.get(name, "nothing"), of_env[name])
    ]
    if differences:
        raise ContractError(
            "this policy was trained for another environment:\n" + "\n".join(differences)
        )


def _differences(place: str, left: Any, right: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield the places where two JSON documents differ; the order of names counts."""
    if not (isinstance(left, Mapping) and isinstance(right, Mapping)):
        if left != right:
            yield place, left, right
    elif left.keys() == right.keys() and list(left) != list(right):
        yield f"{place} (order)", ", ".join(left), ", ".join(right)
    else:
        for name in {**right, **left}:
            inner = (left.get(name, "nothing"), right.get(name, "nothing"))
            yield from _differences(f"{place}.{name}", *inner)
