"""States: nested dictionaries of NumPy arrays; compared, cut down, flattened and rebuilt."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from motrix_rl.errors import CheckpointError
from motrix_rl.rl_module.aliases import Components, StateDict
from motrix_rl.rl_module.errors import StateMismatchError

Flat = dict[str, Any]
"""Leaves by path, `"encoder/actor/0/kernel"`; an empty branch is a leaf `{}`."""


@dataclass(frozen=True)
class StateReport:
    """How a state differs from what a module holds; falsy if it does not."""

    missing: tuple[str, ...] = ()
    """Paths that the module has and the state lacks."""
    unexpected: tuple[str, ...] = ()
    """Paths that the state has and the module lacks."""
    misshapen: tuple[str, ...] = field(default=())
    """Paths with another shape or element type, with both sides."""

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.misshapen)

    def __str__(self) -> str:
        parts = {
            "missing": self.missing,
            "unexpected": self.unexpected,
            "misshapen": self.misshapen,
        }
        return "; ".join(f"{name}: {', '.join(paths)}" for name, paths in parts.items() if paths)

    def fits(self, path: str) -> bool:
        """Tell whether the state has this entry of the module, in the right shape and type."""
        return path not in self.missing and not any(
            entry.startswith(f"{path} (") for entry in self.misshapen
        )

    def require_none(self, what: str) -> None:
        """Raise unless there is no difference.

        Raises:
            StateMismatchError: There is one; every entry is listed.
        """
        if self:
            raise StateMismatchError(f"the state does not fit {what}. {self}")


def flatten(state: Mapping[str, Any], where: str = "") -> Flat:
    """Return the leaves of a state by path; the inverse of `unflatten`.

    Raises:
        ValueError: A key is not text, is empty or contains a slash.
    """
    flat: Flat = {}
    for key, value in state.items():
        if not isinstance(key, str) or not key or "/" in key:
            raise ValueError(f"a state has no key {key!r}: keys are text without slashes")
        path = f"{where}/{key}" if where else key
        if isinstance(value, Mapping) and value:
            flat.update(flatten(value, path))
        else:
            flat[path] = {} if isinstance(value, Mapping) else value
    return flat


def unflatten(flat: Mapping[str, Any]) -> StateDict:
    """Return the nested state of its leaves.

    Raises:
        CheckpointError: A path is empty somewhere, or is a leaf and a branch.
    """
    state: StateDict = {}
    for path, value in flat.items():
        *branches, last = path.split("/")
        node = state
        for branch in branches:
            node = node.setdefault(branch, {})
            if not isinstance(node, dict):
                raise CheckpointError(f"damaged state: {path!r} lies below a leaf")
        if last in node or "" in (*branches, last):
            raise CheckpointError(f"damaged state: {path!r} occurs twice or is empty")
        node[last] = value
    return state


def compare(state: Mapping[str, Any], wanted: Mapping[str, Any]) -> StateReport:
    """Return how a state differs from a wanted one in names, shapes and element types."""
    found, expected = flatten(state), flatten(wanted)
    return StateReport(
        missing=tuple(sorted(expected.keys() - found.keys())),
        unexpected=tuple(sorted(found.keys() - expected.keys())),
        misshapen=tuple(
            f"{path} (expected {_kind(expected[path])}, found {_kind(found[path])})"
            for path in sorted(expected.keys() & found.keys())
            if _kind(expected[path]) != _kind(found[path])
        ),
    )


def without(state: Mapping[str, Any], names: Iterable[str]) -> StateDict:
    """Return a state without the branches of these dotted names, nested ones included."""
    paths = [name.replace(".", "/") for name in names]
    return unflatten(
        {
            path: leaf
            for path, leaf in flatten(state).items()
            if not any(path == cut or path.startswith(f"{cut}/") for cut in paths)
        }
    )


def select(
    state: Mapping[str, Any], components: Components, not_components: Components
) -> StateDict:
    """Return the chosen components of a state.

    Args:
        state: A state whose keys are component names.
        components: Paths such as `"encoder"` or `"encoder/actor"` to keep; None keeps all.
        not_components: Paths to leave out, even if they are chosen.
    """
    keep, drop = as_paths(components), as_paths(not_components) or set()
    return unflatten(
        {
            path: leaf
            for path, leaf in flatten(state).items()
            if (keep is None or _below(path, keep)) and not _below(path, drop)
        }
    )


def as_paths(components: Components) -> set[str] | None:
    """Return component paths as a set; None stays None."""
    if components is None:
        return None
    return {components} if isinstance(components, str) else set(components)


def below(name: str, components: Components) -> Components:
    """Return what a choice of components says about the parts of the component `name`."""
    paths = as_paths(components)
    if paths is None or name in paths:
        return None
    return {path.removeprefix(f"{name}/") for path in paths if path.startswith(f"{name}/")}


def _below(path: str, branches: Collection[str]) -> bool:
    return any(path == branch or path.startswith(f"{branch}/") for branch in branches)


def _kind(leaf: Any) -> str:
    """Name what has to agree: shape and element type of an array, otherwise the type."""
    if isinstance(leaf, np.ndarray | np.generic):
        return f"{leaf.dtype.name}{list(leaf.shape)}"
    return type(leaf).__name__
