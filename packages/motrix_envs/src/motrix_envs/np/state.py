"""What an environment knows after a step, as arrays with one row per environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motrix_envs.errors import MotrixError, show
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


def layout(part: str, components: Any, num_envs: int) -> dict[str, int]:
    """Return names and widths of the components of an observation.

    Raises:
        StateError: They are not arrays (num_envs, k) of real numbers by name.
    """
    if not isinstance(components, Mapping):
        raise StateError(f"{part}() must return arrays by name, not {show(components)}")
    for name, array in components.items():
        rows = checked(f"{part}() '{name}'", array, (num_envs, *np.shape(array)[1:2]))
        if rows.ndim != 2:
            raise StateError(f"{part}() '{name}' has shape {rows.shape}; it must be (num_envs, k)")
    return {name: array.shape[1] for name, array in components.items()}


def checked(part: str, value: Any, shape: tuple[int, ...], kinds: str = "buif") -> NDArray[Any]:
    """Return what a part of an environment returned, if it is an array as documented.

    Args:
        part: What messages call it.
        value: What was returned.
        shape: How it has to be.
        kinds: The kinds of types that it may have, as `numpy.dtype.kind` spells them.

    Raises:
        StateError: It is none, or of another shape or type.
    """
    if not isinstance(value, np.ndarray):
        raise StateError(f"{part} must be an array of shape {shape}, not {show(value)}")
    if value.shape != shape or value.dtype.kind not in kinds:
        wanted = "bool" if kinds == "b" else "numbers"
        raise StateError(
            f"{part} has shape {value.shape} of {value.dtype}; it must be {shape} of {wanted}"
        )
    return value


def by_name(part: str, value: Any, num_envs: int) -> dict[str, NDArray[Any]]:
    """Return arrays (num_envs,) by name that a part of an environment returned.

    Raises:
        StateError: They are something else.
    """
    if not isinstance(value, Mapping):
        raise StateError(f"{part}() must return arrays by name, not {show(value)}")
    return {name: checked(f"{part}() '{name}'", one, (num_envs,)) for name, one in value.items()}


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


def joined(
    components: Mapping[str, NDArray[np.float32]], rows: NDArray[np.int64] | None = None
) -> NDArray[np.float32]:
    """Return the components side by side, of all rows or of some."""
    parts = components.values() if rows is None else [part[rows] for part in components.values()]
    return np.concatenate(list(parts), axis=1, dtype=np.float32)


def all_finite(array: NDArray[np.float32]) -> bool:
    """Whether no number is NaN or infinite."""
    # Of a small array NumPy counts faster than it reduces with all().
    return bool(np.count_nonzero(np.isfinite(array)) == array.size)


def with_rows(
    whole: NDArray[np.float32] | None, rows: NDArray[np.int64], part: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return a copy of `whole` with some rows replaced; `part` itself when nothing is there yet."""
    if whole is None:
        return part
    whole = whole.copy()
    whole[rows] = part
    return whole
