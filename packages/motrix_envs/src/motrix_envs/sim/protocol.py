"""The contract between an environment and a physics engine, on one page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from motrix_envs.errors import MotrixError
from motrix_envs.sim.model import Model, ModelInfo
from motrix_envs.sim.reads import Read, Reads
from motrix_envs.sim.viewer import View, Viewer

Rows = NDArray[np.int64]
"""Indices of environments in a batch, (k,), without repetition."""


class SnapshotError(MotrixError, ValueError):
    """A snapshot belongs to another engine, version or model."""


class Simulation(Protocol):
    """One batch of `num_envs` copies of one model.

    Numbers are float32. Rows are independent of each other, and bit for bit of `num_envs` and of
    the number of threads. `docs/simulation.md` has the whole contract on one page, and
    `motrix_envs.testing.SimulationContract` tries an engine on it.
    """

    engine: ClassVar[str]
    """Name and version, as a snapshot is tagged with."""
    overrides: ClassVar[frozenset[str]]
    """What `write` supports."""
    model: ModelInfo
    num_envs: int

    def __init__(self, model: Model, num_envs: int, timestep: float) -> None:
        """Build the model.

        Args:
            model: The description to build.
            num_envs: Number of copies.
            timestep: Physics time step in s.

        Raises:
            ModelError: The engine cannot represent the model faithfully.
        """

    def declare(self, **reads: Read) -> Reads:
        """Name what will be read, once and before the first step."""

    def step(self, ctrl: NDArray[np.float32], substeps: int) -> NDArray[np.bool_]:
        """Advance all rows and refresh the declared reads.

        Args:
            ctrl: Controls held over all substeps, (num_envs, num_actuators).
            substeps: Number of physics steps.

        Returns:
            The rows that diverged, (num_envs,). They stand at the default pose now; no other row
            noticed.
        """

    def advance(self, ctrl: NDArray[np.float32], substeps: int) -> None:
        """Do what the engine itself does in a step, and nothing else: for measuring.

        Reads are stale afterwards, and nobody looks for diverged rows.
        """

    def reset(
        self, rows: Rows, positions: NDArray[np.float32], velocities: NDArray[np.float32]
    ) -> None:
        """Put `rows` into a state and refresh their reads; nothing is carried over.

        Args:
            rows: Which environments, (k,).
            positions: Generalised positions, (k, num_positions); rotations need not be normalised.
            velocities: Generalised velocities, (k, num_velocities).
        """

    def write(self, rows: Rows, **overrides: Mapping[str, NDArray[Any]] | NDArray[Any]) -> None:
        """Override properties of the model in some rows; they last until written again.

        Args:
            rows: Which environments, (k,).
            **overrides: Values by name of the thing; `gravity` has no name.

                - `mass={"trunk": (k,)}` in kg; the inertia is not scaled along
                - `center_of_mass={"trunk": (k, 3)}` in m, in the body's frame
                - `friction={"foot": (k, 3)}` sliding, torsional, rolling
                - `kp={"knee": (k,)}`, `kd={"knee": (k,)}` gains of position actuators
                - `armature={"knee": (k,)}` in kg m² or kg
                - `gravity=(k, 3)` in m/s²
                - `mocap={"target": (k, 7)}` pose of a mocap body: m, then x, y, z, w; kinematic
                  reads follow with the next step or reset
                - `push={"trunk": (k, 3)}` a world-frame force in N at the centre of mass, with the
                  impulse of one whole control step. The only one that does not last: the next
                  step or a reset of the row uses it up

        Raises:
            SimBackendError: The engine does not support one of them.
        """

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """Return everything the future depends on; opaque, and exact to the bit on restore."""

    def restore(self, snapshot: Mapping[str, NDArray[Any]], rows: Rows | None = None) -> None:
        """Return to a snapshot of this engine and model, in all rows or in some.

        Raises:
            SnapshotError: The snapshot is of another engine, version or model.
        """

    def viewer(self, view: View) -> Viewer:
        """Return something that draws the batch.

        Raises:
            RenderError: There is no graphics driver, or no display for a window.
        """

    def close(self) -> None:
        """Release the engine's memory; the object is of no use afterwards."""
