"""What an environment knows after a step, as arrays with one row per environment."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motrix_envs.errors import MotrixError
from motrix_envs.sim import Simulation


class StateError(MotrixError, ValueError):
    """An environment returned something of another shape or name than it promised."""


@dataclass
class NpEnvState:
    """The state of a batch. Arrays handed out here are never written to again by the environment.

    Keys of `info` that mean something to everybody:

    - `steps` (num_envs,): control steps since the episode began.
    - `final_obs` (num_envs, obs_dim): observations before the automatic reset, valid where
      `_final_obs` (num_envs,) is true; `final_state` likewise where there is a `state`.
    - `Reward`: weighted reward terms by name, (num_envs,) each, of the step itself.
    - `metrics`: numbers worth logging by name, (num_envs,) each.
    - `success` (num_envs,): whether the episode that ends here succeeded.
    - `state` (num_envs, state_dim): privileged observations for the critic, if there are any.

    Everything else is the environment's own memory per row: commands, last actions, ...
    """

    data: Simulation
    """The simulation behind the batch."""
    obs: NDArray[np.float32]
    """Observations after the automatic reset, (num_envs, obs_dim)."""
    reward: NDArray[np.float32]
    """Rewards of the step, (num_envs,)."""
    terminated: NDArray[np.bool_]
    """Rows whose episode ended for good, (num_envs,): nothing more could be earned there."""
    truncated: NDArray[np.bool_]
    """Rows cut off by the time limit, (num_envs,); never also terminated."""
    info: dict[str, Any]
    """Everything else."""

    @property
    def done(self) -> NDArray[np.bool_]:
        """Rows whose episode ended either way, (num_envs,)."""
        return self.terminated | self.truncated

    def copy(self) -> NpEnvState:
        """Return a copy that shares the arrays, with an info of its own."""
        return NpEnvState(
            self.data, self.obs, self.reward, self.terminated, self.truncated, dict(self.info)
        )

    def replace(self, **changes: Any) -> NpEnvState:
        """Return a shallow copy with some fields changed."""
        return replace(self, **changes)

    def validate(self, num_envs: int, obs_dim: int) -> None:
        """Check the shapes that an environment returned.

        Raises:
            StateError: One of them is not as documented above.
        """
        rows = (num_envs,)
        shapes = {"obs": (*rows, obs_dim), "reward": rows, "terminated": rows, "truncated": rows}
        for name, shape in shapes.items():
            found = np.shape(getattr(self, name))
            if found != shape:
                raise StateError(f"{name} has shape {found}; the environment must return {shape}")
        for name, value in flatten(self.info).items():
            if np.shape(value)[:1] != rows:
                raise StateError(
                    f"info['{name}'] has shape {np.shape(value)}; it must have one row for each "
                    f"of the {num_envs} environments"
                )


def write_rows(info: dict[str, Any], rows: NDArray[np.int64], part: Mapping[str, Any]) -> None:
    """Put the rows of a partial reset into `info`, replacing arrays instead of writing to them.

    Args:
        info: Arrays of all rows by name, nested dicts allowed; changed in place.
        rows: The rows that were reset, (k,).
        part: Arrays of these rows alone, (k, ...), under the same names.

    Raises:
        StateError: `part` has a name that `info` does not have, or an array of another shape.
    """
    for name, value in part.items():
        if name not in info:
            raise StateError(
                f"reset() returned info['{name}'], which init_info() does not provide; "
                "give it a full-size array there"
            )
        if isinstance(value, Mapping):
            info[name] = dict(info[name])
            write_rows(info[name], rows, value)
            continue
        whole, value = np.array(info[name]), np.asarray(value)
        if value.shape != (len(rows), *whole.shape[1:]):
            raise StateError(
                f"reset() returned info['{name}'] of shape {value.shape}; "
                f"expected {(len(rows), *whole.shape[1:])}"
            )
        whole[rows] = value
        info[name] = whole


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, NDArray[Any]]:
    """Return copies of the arrays of nested dicts under names like `a/b`; `unflatten` reverts it.

    Slashes within a name become `~1` and tildes `~0`, as in JSON pointers.
    """
    flat: dict[str, NDArray[Any]] = {}
    for name, value in tree.items():
        key = prefix + name.replace("~", "~0").replace("/", "~1")
        flat |= flatten(value, f"{key}/") if isinstance(value, Mapping) else {key: np.array(value)}
    return flat


def unflatten(flat: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Return nested dicts with copies of the arrays that `flatten` named."""
    tree: dict[str, Any] = {}
    for key, value in flat.items():
        *path, name = (part.replace("~1", "/").replace("~0", "~") for part in key.split("/"))
        node = tree
        for part in path:
            node = node.setdefault(part, {})
        node[name] = np.array(value)
    return tree


def all_finite(array: NDArray[np.float32]) -> bool:
    """Whether no number is NaN or infinite; an overflowing sum is looked at again."""
    with np.errstate(over="ignore", invalid="ignore"):
        return math.isfinite(array.sum()) or bool(np.isfinite(array).all())
