"""What goes into an exported policy and what comes out: names, shapes and element types.

Observations, states and actions may be nested. A file has tensors side by side, named by their
place: `obs`, `state_in.h`, `actions`, `state_out.h`, or `actions.gripper` for a Dict of actions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motrix_rl.errors import ExportError
from motrix_rl.rl_module import nested
from motrix_rl.rl_module.acting import at_most_float32, initial_states
from motrix_rl.rl_module.columns import Columns
from motrix_rl.rl_module.module import RLModule

BATCH = "batch"
"""Name of the first axis of every tensor, whose size is free."""

METADATA = "motrix"
"""Under this name a file holds its metadata, a JSON document."""


@dataclass(frozen=True)
class Port:
    """One tensor that goes in or out.

    Args:
        name: Its name in the file.
        shape: Shape of one row.
        dtype: Element type, as NumPy names it.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {"name": self.name, "shape": [BATCH, *self.shape], "dtype": self.dtype}


@dataclass(frozen=True)
class Signature:
    """The tensors of a policy.

    Args:
        obs: Ports, nested like the observations.
        state: Ports, nested like the state; `{}` if stateless.
        actions: Ports, nested like the actions.
        next_state: Ports, nested like the state.
        initial: State of one row at the start of an episode, nested like the state.
    """

    obs: Any
    state: Any
    actions: Any
    next_state: Any
    initial: Any

    @classmethod
    def of(cls, module: RLModule, observations: Any) -> Signature:
        """Read it off what a module takes and gives.

        Args:
            module: A module of the framework that writes the file.
            observations: (Nested) observations, (rows, ...).

        Raises:
            ExportError: Two tensors have one name, or the state changes its structure.
        """
        obs = as_taken(module, observations)
        rows = len(next(nested.leaves(obs)))
        state = as_taken(module, initial_states(module, rows)) if module.is_stateful() else {}
        actions, next_state = module.act(obs, state or None)
        made = cls(
            _ports("obs", obs),
            _ports(Columns.STATE_IN, state),
            _ports("actions", actions),
            _ports(Columns.STATE_OUT, next_state),
            nested.transform(lambda leaf: leaf[0], state),
        )
        made._check()
        return made

    def _check(self) -> None:
        names = [port.name for port in (*self.inputs, *self.outputs)]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ExportError(f"two tensors would have the name {min(twice)!r}: rename one")
        ends = {port.name: port for port in nested.leaves(self.next_state)}
        for port in nested.leaves(self.state):
            end = ends.pop(_next(port.name), None)
            if end is None or (end.shape, end.dtype) != (port.shape, port.dtype):
                raise ExportError(f"{port.name} goes in as {port} and comes out as {end}")
        if ends:
            raise ExportError(f"{min(ends)} comes out and has no initial state")

    @property
    def inputs(self) -> list[Port]:
        """What goes in, in the order of the function's arguments."""
        return [*nested.leaves(self.obs), *nested.leaves(self.state)]

    @property
    def outputs(self) -> list[Port]:
        """What comes out, in the order of the function's results."""
        return [*nested.leaves(self.actions), *nested.leaves(self.next_state)]

    def batch(self, inputs: Iterable[Any]) -> dict[str, Any]:
        """Return the batch for `forward_inference` that consists of these tensors."""
        supply = iter(inputs)
        batch = {Columns.OBS: nested.rebuild(self.obs, supply)}
        if self.state:
            batch[Columns.STATE_IN] = nested.rebuild(self.state, supply)
        return batch

    def arguments(self, obs: Any, state: Any) -> list[NDArray[Any]]:
        """Return (nested) observations and states as the function takes them."""
        given = [*_in_order(self.obs, obs), *_in_order(self.state, state)]
        return [np.asarray(x, port.dtype) for x, port in zip(given, self.inputs, strict=True)]

    def results(self, actions: Any, state: Any) -> list[Any]:
        """Return (nested) actions and next states as the function gives them."""
        return [*_in_order(self.actions, actions), *_in_order(self.next_state, state)]

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON: lists of inputs and outputs.

        An input that is a state has `initial`, a number or nested lists for one row, and `next`,
        the name of the output that takes its place in the next step.
        """
        initial = {port.name: x for port, x in nested.aligned(self.state, self.initial)}
        inputs = [port.to_dict() for port in self.inputs]
        for entry in inputs:
            if entry["name"] in initial:
                start = np.asarray(initial[entry["name"]])
                entry["initial"] = start.tolist() if start.any() else 0
                entry["next"] = _next(entry["name"])
        return {"inputs": inputs, "outputs": [port.to_dict() for port in self.outputs]}


def as_taken(module: RLModule, arrays: Any) -> Any:
    """Return (nested) arrays in the element types that a module works with."""
    return module.to_numpy(module.to_tensor(nested.transform(at_most_float32, arrays)))


def _next(name: str) -> str:
    return Columns.STATE_OUT + name.removeprefix(Columns.STATE_IN)


def _in_order(ports: Any, values: Any) -> Iterator[Any]:
    """Yield values in the order of the ports, whatever the order of their keys."""
    return (value for _, value in nested.aligned(ports, values))


def _ports(name: str, tree: Any) -> Any:
    """Return nested arrays (rows, ...) as ports of the same structure."""
    if isinstance(tree, Mapping):
        return {key: _ports(f"{name}.{key}", inner) for key, inner in tree.items()}
    if isinstance(tree, tuple | list):
        return tuple(_ports(f"{name}.{index}", inner) for index, inner in enumerate(tree))
    array = np.asarray(tree)
    return Port(name, array.shape[1:], array.dtype.name)
