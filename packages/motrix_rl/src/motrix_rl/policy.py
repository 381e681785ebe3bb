"""A trained policy as data: a JSON description and named tensors, run in plain NumPy.

Both frameworks write the same names and shapes, so a policy acts the same wherever it was
trained, and acting needs neither of them. Kernels are (inputs, outputs).

    observation/mean, observation/variance   what the observation normaliser has seen, (obs_dim,)
    actor/0/kernel, actor/0/bias, ...        hidden layers
    actor/mean/kernel, actor/mean/bias       the mean action
    actor/log_std                            logarithm of the action noise, (action_dim,)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from motrix_envs.np.env import NpEnv
from numpy.typing import NDArray

from motrix_rl.errors import CheckpointError

KIND = "gaussian-mlp"
NORMALISER = {"epsilon": 1e-8, "clip": 5.0}
"""skrl's observation normaliser: (obs - mean) / (sqrt(variance) + epsilon), clipped."""


class Policy(Protocol):
    """What acts: one action per row, without noise."""

    def act(self, obs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the actions of a batch.

        Args:
            obs: Observations as the environment gives them, (num_envs, obs_dim).

        Returns:
            Actions as the environment takes them, (num_envs, action_dim).
        """


class MlpPolicy:
    """The mean action of a Gaussian policy with ELU layers.

    Args:
        module: Description of the policy, as `describe_policy` writes it.
        tensors: Its tensors by the names above.

    Raises:
        CheckpointError: The description is of another kind, or tensors are missing or misshapen.
    """

    def __init__(self, module: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> None:
        self._check(module, tensors)
        names = [f"actor/{index}" for index in range(len(module["hidden"]))]
        self._layers = [_layer(tensors, name) for name in names]
        self._head = _layer(tensors, "actor/mean")
        scale = np.sqrt(tensors["observation/variance"].astype(np.float32))
        self._mean = tensors["observation/mean"].astype(np.float32)
        self._scale = scale + np.float32(module["normaliser"]["epsilon"])
        self._clip = np.float32(module["normaliser"]["clip"])

    @staticmethod
    def _check(module: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> None:
        kind, activation = module.get("kind"), module.get("activation")
        if (kind, activation) != (KIND, "elu"):
            raise CheckpointError(
                f"this policy is of kind {kind!r} with activation {activation!r}; only a {KIND!r} "
                "with 'elu' acts without the framework that trained it"
            )
        try:
            wanted = policy_shapes(module)
        except (KeyError, TypeError) as cause:
            raise CheckpointError(
                f"the policy's description is incomplete or misshapen: {cause}"
            ) from cause
        found = {name: array.shape for name, array in tensors.items()}
        wrong = [
            f"{name}: expected {wanted.get(name, 'nothing')}, found {found.get(name, 'nothing')}"
            for name in sorted(wanted.keys() | found.keys())
            if wanted.get(name) != found.get(name)
        ]
        if wrong:
            raise CheckpointError("the policy's tensors do not fit: " + "; ".join(wrong))

    def act(self, obs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the mean actions of a batch; see `Policy.act`."""
        x = (np.asarray(obs, np.float32) - self._mean) / self._scale
        x = np.clip(x, -self._clip, self._clip)
        for kernel, bias in self._layers:
            x = x @ kernel + bias
            x = np.where(x > 0, x, np.expm1(np.minimum(x, 0)))
        kernel, bias = self._head
        actions: NDArray[np.float32] = x @ kernel + bias
        return actions


def _layer(
    tensors: Mapping[str, NDArray[Any]], name: str
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return tensors[f"{name}/kernel"].astype(np.float32), tensors[f"{name}/bias"].astype(np.float32)


def policy_shapes(module: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor of a policy."""
    obs, action = module["observation"]["size"], module["action"]["size"]
    widths = [obs, *module["hidden"]]
    shapes: dict[str, tuple[int, ...]] = {
        "observation/mean": (obs,),
        "observation/variance": (obs,),
        "actor/mean/kernel": (widths[-1], action),
        "actor/mean/bias": (action,),
        "actor/log_std": (action,),
    }
    for index, (inputs, outputs) in enumerate(pairwise(widths)):
        shapes[f"actor/{index}/kernel"] = (inputs, outputs)
        shapes[f"actor/{index}/bias"] = (outputs,)
    return shapes


def describe_policy(env_name: str, env: NpEnv, hidden: tuple[int, ...]) -> dict[str, Any]:
    """Describe a policy of an environment: what it is, and the contract that it acts under."""
    return {
        "kind": KIND,
        "env": env_name,
        "hidden": list(hidden),
        "activation": "elu",
        "normaliser": dict(NORMALISER),
        **contract(env),
    }


def contract(env: NpEnv) -> dict[str, Any]:
    """Return what a policy relies on: layout of the observation, meaning of the action, pace."""
    space = env.action_space
    return {
        "observation": {
            "layout": dict(env.observation_layout),
            "size": int(env.observation_space.shape[0]),
        },
        "action": {
            "size": int(space.shape[0]),
            "low": _bounds(space.low),
            "high": _bounds(space.high),
        },
        "ctrl_dt": env.cfg.ctrl_dt,
    }


def _bounds(values: NDArray[Any]) -> list[float | None]:
    """Return bounds in JSON's types, where None stands for no bound."""
    return [value if np.isfinite(value) else None for value in values.tolist()]


def check_contract(module: Mapping[str, Any], env: NpEnv) -> None:
    """Check that a policy was made for such an environment.

    Raises:
        CheckpointError: Observation, action or pace differ; the message shows both sides.
    """
    differences = [
        f"  {place}: the policy has {of_policy}, the environment {of_env}"
        for name, wanted in contract(env).items()
        for place, of_policy, of_env in _differences(name, module.get(name), wanted)
    ]
    if differences:
        raise CheckpointError(
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
