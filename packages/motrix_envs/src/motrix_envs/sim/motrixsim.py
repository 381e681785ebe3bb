"""The MotrixSim engine behind the seam."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from motrix_envs._plugins import installed_version
from motrix_envs.errors import ModelError, MotrixError
from motrix_envs.sim import _motrixsim_load as load
from motrix_envs.sim import reads as seam
from motrix_envs.sim._motrixsim_import import is_panic, mx, native_stderr, refuse_fork
from motrix_envs.sim._motrixsim_overrides import SUPPORTED, Overrides, Pushes, rows_of
from motrix_envs.sim.engine import (
    ABSURD,
    check_controls,
    check_snapshot,
    check_state,
    checked_overrides,
    normalised,
    read_only,
    tag,
    under,
)
from motrix_envs.sim.model import Model
from motrix_envs.sim.protocol import Rows
from motrix_envs.sim.reads import Read, Reads
from motrix_envs.sim.viewer import View, Viewer

Array = NDArray[np.float32]


class MotrixSimulation:
    """One batch of a model in MotrixSim; see `motrix_envs.sim.Simulation` for the contract.

    The environment variable `MOTRIX_PHYSICS_THREADS` limits the engine's threads, of which there
    is otherwise one for every processor: set it to 1 where several processes simulate.
    """

    engine: ClassVar[str] = f"motrixsim {installed_version('motrixsim')}"
    overrides: ClassVar[frozenset[str]] = SUPPORTED

    def __init__(self, model: Model, num_envs: int, timestep: float) -> None:
        refuse_fork()
        self._scene: Any = load.build(model, timestep)
        self._data: Any = mx.SceneData(self._scene, batch=(num_envs,))
        self.model = load.describe(self._scene)
        self.num_envs = num_envs
        self._all = np.arange(num_envs)
        self._no_row = np.zeros(num_envs, bool)
        self._no_row.flags.writeable = False
        self._overrides = Overrides(self._scene, num_envs)
        self._pushes = Pushes(self._scene, num_envs)
        self._read({})
        self._declared = False

    def _batch(self) -> Any:
        """Return the engine's data, where it may be used."""
        refuse_fork()
        if self._data is None:
            raise MotrixError("this simulation is closed")
        return self._data

    # Reading

    def declare(self, **reads: Read) -> Reads:
        """Name what will be read; see `Simulation.declare`.

        Raises:
            ModelError: A read names something that the model does not have.
            MotrixError: The reads were declared before.
        """
        if self._declared:
            raise MotrixError("the reads of a simulation are declared once, all together")
        self._read(reads)
        self._declared = True
        return Reads({name: read_only(self._array(name, read)) for name, read in reads.items()})

    def _read(self, reads: Mapping[str, Read]) -> None:
        """Prepare to read: the state, what else is current after a step, and what lags."""
        if any(isinstance(read, seam.ContactForce) for read in reads.values()):
            self._scene.reports.contact_forces = True
        late = {name: read for name, read in reads.items() if isinstance(read, _LAGGING)}
        soon = {
            name: read
            for name, read in reads.items()
            if not isinstance(read, (*_LAGGING, seam.Positions, seam.Velocities))
        }
        state = {"_q": seam.Positions(), "_v": seam.Velocities()}
        self._current, self._soon = self._compile({**state, **soon})
        self._q, self._v = self._soon.pop("_q"), self._soon.pop("_v")
        # Both stand next to each other in the engine's buffer.
        shape = self.num_envs, self.model.num_positions + self.model.num_velocities
        strides = self._q.strides[0], self._q.itemsize
        self._state = np.lib.stride_tricks.as_strided(self._q, shape, strides)
        self._lagging: Any = None
        self._late: dict[str, Array] = {}
        if late:
            self._lagging, self._late = self._compile(late)
        self._moves = any(isinstance(read, _KINEMATIC) for read in soon.values())
        self._writer = self._compile_writer()
        self._park(self._all)

    def _compile_writer(self) -> Any:
        """Return the engine's program for a new state: faster, but it knows single joints only."""
        if self.model.quaternions or not self.model.num_positions:
            return None
        joints = {"q": mx.write.BodyJointPosition(), "v": mx.write.BodyJointVelocity()}
        plan = self._scene.compile_write(joints, forward_kinematic=self._moves)
        return plan.allocate(self._batch())

    def _array(self, name: str, read: Read) -> Array:
        if isinstance(read, seam.Positions):
            return self._q
        if isinstance(read, seam.Velocities):
            return self._v
        return (self._soon | self._late)[name]

    def _compile(self, reads: Mapping[str, Read]) -> tuple[Any, dict[str, Array]]:
        """Return the engine's program for some reads, and views of what it fills."""
        try:
            plan = self._scene.compile_query({name: _query(r) for name, r in reads.items()})
        except ValueError as error:
            raise ModelError(f"the model cannot be read like this: {error}") from error
        program = plan.allocate(self._batch())
        return program, {name: self._shape(program[name], read) for name, read in reads.items()}

    def _shape(self, columns: Array, read: Read) -> Array:
        """View the columns of a read as the contract says: (num_envs, k, 3) for several bodies."""
        if not isinstance(read, (*_KINEMATIC, seam.ContactForce)):
            return columns.reshape(self.num_envs, -1)
        if isinstance(read, seam.ContactForce):
            columns = columns[..., :3]  # the rest are torques
        return columns[:, 0] if columns.shape[1] == 1 else columns

    def _refresh(self, data: Any) -> None:
        # Forward kinematics would bring some sensors up to date and others not.
        if self._lagging is not None:
            self._lagging.execute(data)
        if self._moves:
            self._scene.forward_kinematic(data)
        self._current.execute(data)

    # Stepping

    def step(self, ctrl: NDArray[np.float32], substeps: int) -> NDArray[np.bool_]:
        """Advance all rows; see `Simulation.step`.

        Raises:
            ValueError: The controls have another shape.
        """
        data = self._batch()
        ctrl = np.ascontiguousarray(ctrl, np.float32)
        check_controls(ctrl, self.num_envs, self.model)
        diverged = self._no_row
        if not self._advance(data, slice(None), ctrl, substeps):
            diverged = self._step_without_culprits(ctrl, substeps)
        self._pushes.clear(self._all)
        self._refresh(self._data)
        if not _sane(self._state):
            diverged = diverged | ~_sane(self._state, axis=1)
        if diverged is not self._no_row:
            self._park(np.flatnonzero(diverged))
        return diverged

    def advance(self, ctrl: NDArray[np.float32], substeps: int) -> None:
        """Step and do nothing else; see `Simulation.advance`."""
        data = self._batch()
        if self.model.num_actuators:
            data.actuator_ctrls = np.ascontiguousarray(ctrl, np.float32)
        self._scene.step_n(data, substeps)

    def _advance(self, data: Any, rows: Rows | slice, ctrl: Array, substeps: int) -> bool:
        """Step some rows, given their part of the engine's data; return whether it survived."""
        if self.model.num_actuators:
            data.actuator_ctrls = ctrl[rows]
        self._pushes.apply(data, rows, substeps)
        try:
            self._scene.step_n(data, substeps)
        except BaseException as error:
            if not is_panic(error):
                raise
            return False
        return True

    def _step_without_culprits(self, ctrl: Array, substeps: int) -> NDArray[np.bool_]:
        """Repeat a step that panicked, leaving out the rows that cause it; return those."""
        q, v = self._q.copy(), self._v.copy()  # the reads still hold the state before
        good: NDArray[np.bool_] = np.isfinite(np.concatenate([q, v, ctrl], axis=1)).all(axis=1)
        with native_stderr():  # every panic is printed
            while (rows := np.flatnonzero(good)).size:
                self._renew(rows, q, v)
                if self._advance(rows_of(self._data, rows), rows, ctrl, substeps):
                    break
                self._renew(rows, q, v)
                for row in rows[:, None]:
                    good[row] = self._advance(rows_of(self._data, row), row, ctrl, substeps)
                if good[rows].all():
                    raise MotrixError("MotrixSim panics, although no environment alone makes it")
        return ~good

    def _renew(self, rows: Rows, q: Array, v: Array) -> None:
        """Put some rows back to a state, in fresh data.

        After a panic a part of the batch has advanced, and forces wait in the other.
        """
        self._data = mx.SceneData(self._scene, batch=(self.num_envs,))
        self._overrides.write_all(self._data)
        self._place(rows, q[rows], v[rows])

    # State

    def reset(self, rows: Rows, positions: Array, velocities: Array) -> None:
        """Put rows into a state; see `Simulation.reset`.

        Raises:
            ValueError: A rotation has no direction, or an array another shape.
        """
        check_state(rows, positions, velocities, self.model)
        if not len(rows) or not self.model.num_positions:
            return
        self._place(rows, normalised(positions, self.model), velocities)
        self._pushes.clear(rows)
        for array in self._late.values():
            array[rows] = 0

    def _place(self, rows: Rows, q: Array, v: Array) -> None:
        """Put rows into a state as it is, and bring what is current up to date."""
        data = self._batch()
        if self._writer is None:
            rows_of(data, rows).reset(
                self._scene,
                dof_pos=np.ascontiguousarray(q, np.float32),
                dof_vel=np.ascontiguousarray(v, np.float32),
                forward_kinematic=self._moves,
                reset_overrides=False,
            )
        else:
            self._writer["q"][rows], self._writer["v"][rows] = q, v
            self._writer.execute(data, env_ids=rows)
        if self._soon:
            self._current.execute(data, env_ids=rows)
        else:
            self._q[rows], self._v[rows] = q, v

    def _park(self, rows: Rows) -> None:
        """Put rows to the default pose at rest."""
        shape = (len(rows), self.model.num_velocities)
        pose = np.tile(self.model.default_positions, (len(rows), 1))
        self.reset(rows, pose, np.zeros(shape, np.float32))

    # Overrides

    def write(self, rows: Rows, **overrides: Mapping[str, NDArray[Any]] | NDArray[Any]) -> None:
        """Override properties of the model in some rows; see `Simulation.write`.

        Raises:
            ModelError: The model has no such thing.
            ConfigError: A value is impossible.
        """
        found = checked_overrides(self.engine, self.overrides, rows, overrides)
        for kind, name, values in found:
            if kind == "push":
                self._pushes.write(rows, name, values)
            elif len(rows):
                self._overrides.write(self._batch(), rows, kind, name, values)

    # Snapshots

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """Return everything the future depends on; see `Simulation.snapshot`."""
        return {
            **tag(self.engine),
            "positions": self._q.copy(),
            "velocities": self._v.copy(),
            **{f"lagging.{name}": array.copy() for name, array in self._late.items()},
            **{f"push.{name}": force for name, force in self._pushes.snapshot().items()},
            **{f"override.{key}": value for key, value in self._overrides.snapshot().items()},
        }

    def restore(self, snapshot: Mapping[str, NDArray[Any]], rows: Rows | None = None) -> None:
        """Return to a snapshot; see `Simulation.restore`."""
        own = {"positions": self._q, "velocities": self._v}
        own |= {f"lagging.{name}": array for name, array in self._late.items()}
        check_snapshot(snapshot, self.engine, own)
        rows = self._all if rows is None else rows
        if not len(rows) or not self.model.num_positions:
            return
        self._overrides.restore(self._batch(), rows, under("override.", snapshot))
        self._place(rows, snapshot["positions"][rows], snapshot["velocities"][rows])
        self._pushes.restore(rows, under("push.", snapshot))
        for name, array in self._late.items():
            array[rows] = snapshot[f"lagging.{name}"][rows]

    # Drawing, and the end

    def viewer(self, view: View) -> Viewer:
        """Return something that draws the batch; see `Simulation.viewer`."""
        from motrix_envs.sim._motrixsim_viewer import MotrixViewer

        return MotrixViewer(self._scene, self._batch, view)

    def close(self) -> None:
        """Release the engine's memory."""
        self._scene = self._data = self._current = self._lagging = self._writer = None


_QUERIES: dict[type[Read], Any] = {
    seam.JointPosition: mx.query.JointPosition,
    seam.JointVelocity: mx.query.JointVelocity,
    seam.BodyPosition: mx.query.LinkPosition,
    seam.BodyRotation: mx.query.LinkRotation,
    seam.BodyLinearVelocity: mx.query.LinkLinearVelocity,
    seam.BodyAngularVelocity: mx.query.LinkAngularVelocity,
    seam.GeomPosition: mx.query.GeomPosition,
    seam.SitePosition: mx.query.SitePosition,
    seam.Sensor: mx.query.SensorValues,
    seam.ContactForce: mx.query.LinkNetContactForces,
}
# Only the generalised coordinates follow a step at once; these wait for forward kinematics,
_KINEMATIC = (
    seam.BodyPosition,
    seam.BodyRotation,
    seam.BodyLinearVelocity,
    seam.BodyAngularVelocity,
    seam.GeomPosition,
    seam.SitePosition,
)
# and these for the next step.
_LAGGING = (seam.Sensor, seam.ContactForce, seam.InContact)


def _query(read: Read) -> Any:
    if isinstance(read, seam.Positions):
        return mx.query.DofPosition()
    if isinstance(read, seam.Velocities):
        return mx.query.DofVelocity()
    if isinstance(read, seam.InContact):
        return mx.query.GeomPairCollision(list(read.pairs))
    return _QUERIES[type(read)](list(cast(seam.Named, read).names))


def _sane(values: Array, axis: int | None = None) -> Any:
    """Whether numbers, or those of each row, are of a size that physics has; NaN is not."""
    return np.abs(values).max(axis=axis, initial=0) < ABSURD
