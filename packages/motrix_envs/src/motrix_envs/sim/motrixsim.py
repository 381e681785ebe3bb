"""The MotrixSim engine behind the seam. What it works around was measured on motrixsim 0.10.1."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from motrix_envs._plugins import installed_version
from motrix_envs.errors import ModelError, MotrixError, SimBackendError, did_you_mean
from motrix_envs.sim import _motrixsim_load as load
from motrix_envs.sim import reads as seam
from motrix_envs.sim._motrixsim_load import mx
from motrix_envs.sim._motrixsim_overrides import SETTERS
from motrix_envs.sim.model import Model
from motrix_envs.sim.protocol import Rows, SnapshotError
from motrix_envs.sim.reads import Read, Reads

# A body this fast (m/s, rad/s) or this far away (m) is the solver's error, and its next contact
# may stop the engine.
ABSURD = 1e6

_QUERIES = {
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
_DERIVED = (
    seam.BodyPosition,
    seam.BodyRotation,
    seam.BodyLinearVelocity,
    seam.BodyAngularVelocity,
    seam.GeomPosition,
    seam.SitePosition,
)
# and these for the next step.
_LAGGING = (seam.Sensor, seam.ContactForce, seam.InContact)


class MotrixSimulation:
    """One batch of a model in MotrixSim; see `motrix_envs.sim.Simulation` for the contract."""

    engine: ClassVar[str] = f"motrixsim {installed_version('motrixsim')}"
    overrides: ClassVar[frozenset[str]] = frozenset(SETTERS) | {"push"}

    def __init__(self, model: Model, num_envs: int, timestep: float) -> None:
        self._scene = load.build(model, timestep)
        self._data = mx.SceneData(self._scene, batch=(num_envs,))
        self.model = load.describe(self._scene)
        self.num_envs = num_envs
        self._all = np.arange(num_envs)
        self._no_row = np.zeros(num_envs, bool)
        self._no_row.flags.writeable = False
        self._overridden: dict[tuple[str, str], NDArray[np.float32]] = {}
        self._pushes: dict[str, NDArray[np.float32]] = {}
        self._process = os.getpid()
        self.declare()
        self._park(self._all)

    # Reading

    def declare(self, **reads: Read) -> Reads:
        """Name what will be read; see `Simulation.declare`.

        Raises:
            ModelError: A read names something that the model does not have.
        """
        wanted: dict[str, Read] = {"_q": seam.Positions(), "_v": seam.Velocities(), **reads}
        if any(isinstance(read, seam.ContactForce) for read in reads.values()):
            self._scene.reports.contact_forces = True
        try:
            plan = self._scene.compile_query({name: _query(r) for name, r in wanted.items()})
        except ValueError as error:
            raise ModelError(f"the model cannot be read like this: {error}") from error
        self._program = plan.allocate(self._data)
        arrays = {name: self._shape(self._program[name], read) for name, read in wanted.items()}
        self._q, self._v = arrays.pop("_q"), arrays.pop("_v")
        self._lagging = [arrays[n] for n, read in reads.items() if isinstance(read, _LAGGING)]
        self._derived = any(isinstance(read, _DERIVED) for read in reads.values())
        self._refresh()
        return Reads({name: _read_only(array) for name, array in arrays.items()})

    def _shape(self, columns: NDArray[np.float32], read: Read) -> NDArray[np.float32]:
        """View the columns of a read as the contract says: (num_envs, k, 3) for several bodies."""
        if isinstance(read, seam.ContactForce):
            columns = columns.reshape(self.num_envs, -1, 6)[..., :3]  # the rest are torques
        if not isinstance(read, (*_DERIVED, seam.ContactForce)):
            return columns.reshape(self.num_envs, -1)
        width = 4 if isinstance(read, seam.BodyRotation) else 3
        columns = columns.reshape(self.num_envs, -1, width)
        return columns[:, 0] if columns.shape[1] == 1 else columns

    def _refresh(self) -> None:
        if self._derived:
            self._scene.forward_kinematic(self._data)
        self._program.execute(self._data)

    # Stepping

    def step(self, ctrl: NDArray[np.float32], substeps: int) -> NDArray[np.bool_]:
        """Advance all rows; see `Simulation.step`."""
        self._refuse_fork()
        self._set_ctrl(self._data, ctrl)
        self._push(substeps)
        diverged = self._no_row
        try:
            self._scene.step_n(self._data, substeps)
        except BaseException as error:
            if not load.is_panic(error):
                raise
            diverged = self._step_without_culprits(ctrl, substeps)
        self._refresh()
        # One pass over both finds infinities and NaNs too: those compare false.
        if not (np.abs(self._q).max() < ABSURD and np.abs(self._v).max(initial=0) < ABSURD):
            sane = (np.abs(self._q) < ABSURD).all(1) & (np.abs(self._v) < ABSURD).all(1)
            diverged = diverged | ~sane
        if diverged is not self._no_row:
            self._park(np.flatnonzero(diverged))
        return diverged

    def _set_ctrl(self, data: Any, ctrl: NDArray[np.float32]) -> None:
        if self.model.num_actuators:
            data.actuator_ctrls = np.ascontiguousarray(ctrl, np.float32)

    def _step_without_culprits(self, ctrl: NDArray[np.float32], substeps: int) -> NDArray[np.bool_]:
        """Repeat a step that panicked, leaving out the rows that cause it; return those.

        After a panic a part of the batch has advanced. The reads still hold the state before.
        """
        q, v = self._q.copy(), self._v.copy()
        finite = [np.isfinite(array).all(1) for array in (q, v, np.asarray(ctrl))]
        good = finite[0] & finite[1] & finite[2]
        suspects = [np.flatnonzero(good)] if not good.all() else []
        self._park(np.flatnonzero(~good))
        for rows in [*suspects, *np.flatnonzero(good)[:, None]]:
            if self._step_rows(rows, q, v, ctrl, substeps):
                if len(rows) > 1:
                    break  # the non-finite rows alone were to blame
            elif len(rows) == 1:
                good[rows] = False
                self._park(rows)
        return ~good

    def _step_rows(
        self, rows: Rows, q: NDArray[Any], v: NDArray[Any], ctrl: NDArray[Any], substeps: int
    ) -> bool:
        """Put some rows back to a state and step them alone; return whether that worked."""
        if not len(rows):
            return True
        self._place(rows, q[rows], v[rows])
        part = self._data[mx.DisjointIndices(rows.tolist())]
        self._set_ctrl(part, ctrl[rows])
        try:
            self._scene.step_n(part, substeps)
        except BaseException as error:
            if not load.is_panic(error):
                raise
            return False
        return True

    def _refuse_fork(self) -> None:
        # In a forked child the engine's thread pool does not exist: a step would hang for ever.
        if os.getpid() != self._process:
            raise MotrixError(
                "this simulation was made in a parent process that forked; start workers with "
                'multiprocessing.get_context("spawn") and make the environment there'
            )

    # State

    def reset(
        self, rows: Rows, positions: NDArray[np.float32], velocities: NDArray[np.float32]
    ) -> None:
        """Put rows into a state; see `Simulation.reset`."""
        if not len(rows):
            return
        if self.model.quaternions:
            positions = self._normalised(positions)
        self._place(rows, positions, velocities)
        for pushes in self._pushes.values():
            pushes[rows] = 0
        self._program.execute(self._data, env_ids=rows)
        for array in self._lagging:
            array[rows] = 0

    def _normalised(self, positions: NDArray[np.float32]) -> NDArray[np.float32]:
        positions = np.array(positions, np.float32)
        for span in self.model.quaternions:
            positions[:, span] /= np.linalg.norm(positions[:, span], axis=1, keepdims=True)
        return positions

    def _place(self, rows: Rows, q: NDArray[np.float32], v: NDArray[np.float32]) -> None:
        self._data[mx.DisjointIndices(rows.tolist())].reset(
            self._scene,
            dof_pos=np.ascontiguousarray(q, np.float32),
            dof_vel=np.ascontiguousarray(v, np.float32),
            forward_kinematic=self._derived,
            reset_overrides=False,
        )

    def _park(self, rows: Rows) -> None:
        """Put rows to the default pose at rest."""
        shape = (len(rows), self.model.num_velocities)
        pose = np.tile(self.model.default_positions, (len(rows), 1))
        self.reset(rows, pose, np.zeros(shape, np.float32))

    # Overrides

    def write(self, rows: Rows, **overrides: Mapping[str, NDArray[Any]] | NDArray[Any]) -> None:
        """Override properties of the model in some rows; see `Simulation.write`."""
        for kind, values in overrides.items():
            if kind not in self.overrides:
                raise SimBackendError(
                    f"{self.engine} cannot override '{kind}' per row."
                    f"{did_you_mean(kind, self.overrides)} It can: "
                    f"{', '.join(sorted(self.overrides))}"
                )
            named = values if isinstance(values, Mapping) else {"": values}
            for name, value in named.items():
                self._write_one(rows, kind, name, np.asarray(value, np.float32))

    def _write_one(self, rows: Rows, kind: str, name: str, value: NDArray[np.float32]) -> None:
        if kind == "push":
            force = self._pushes.setdefault(name, np.zeros((self.num_envs, 3), np.float32))
            force[rows] = value
            return
        setter = SETTERS[kind]
        stored = self._overridden.get((kind, name))
        if stored is None:
            stored = np.array(setter.read(self._scene, self._data, name), np.float32)
            self._overridden[kind, name] = stored
        stored[rows] = value
        part = self._data[mx.DisjointIndices(rows.tolist())]
        setter.write(self._scene, part, name, np.ascontiguousarray(stored[rows]))

    def _push(self, substeps: int) -> None:
        # The engine applies an external force in the next substep only.
        for name, force in self._pushes.items():
            if force.any():
                link = self._scene.get_link(name)
                link.add_external_force(self._data, force * substeps, local=False)
                force[:] = 0

    # Snapshots

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """Return everything the future depends on; see `Simulation.snapshot`."""
        copies = {
            "engine": np.frombuffer(self.engine.encode(), np.uint8).copy(),
            "positions": self._q.copy(),
            "velocities": self._v.copy(),
        }
        copies |= {f"lagging.{i}": array.copy() for i, array in enumerate(self._lagging)}
        copies |= {f"push.{name}": force.copy() for name, force in self._pushes.items()}
        return copies | {
            f"override.{kind}.{name}": value.copy()
            for (kind, name), value in self._overridden.items()
        }

    def restore(self, snapshot: Mapping[str, NDArray[Any]], rows: Rows | None = None) -> None:
        """Return to a snapshot; see `Simulation.restore`."""
        self._check(snapshot)
        rows = self._all if rows is None else rows
        for key, value in snapshot.items():
            group, _, name = key.partition(".")
            if group == "override":
                kind, _, name = name.partition(".")
                self._write_one(rows, kind, name, value[rows])
        self._place(rows, snapshot["positions"][rows], snapshot["velocities"][rows])
        self._program.execute(self._data, env_ids=rows)
        for index, array in enumerate(self._lagging):
            array[rows] = snapshot[f"lagging.{index}"][rows]
        for name, force in self._pushes.items():
            force[rows] = 0
        for key in snapshot:
            if key.startswith("push."):
                self._write_one(rows, "push", key.removeprefix("push."), snapshot[key][rows])

    def _check(self, snapshot: Mapping[str, NDArray[Any]]) -> None:
        tag = bytes(np.asarray(snapshot.get("engine", []), np.uint8)).decode(errors="replace")
        if tag != self.engine:
            raise SnapshotError(
                f"the snapshot is of '{tag}', this engine is '{self.engine}': only the same "
                "engine and version continue exactly"
            )
        for name, own in (("positions", self._q), ("velocities", self._v)):
            if snapshot[name].shape != own.shape:
                raise SnapshotError(
                    f"the snapshot's {name} have shape {snapshot[name].shape}, this simulation's "
                    f"{own.shape}: another model or number of environments"
                )

    def close(self) -> None:
        """Release the engine's memory."""
        del self._program, self._data, self._scene


def _query(read: Read) -> Any:
    if isinstance(read, seam.Positions):
        return mx.query.DofPosition()
    if isinstance(read, seam.Velocities):
        return mx.query.DofVelocity()
    if isinstance(read, seam.InContact):
        return mx.query.GeomPairCollision(list(read.pairs))
    names: tuple[str, ...] = read.names  # type: ignore[attr-defined]
    return _QUERIES[type(read)](list(names))  # type: ignore[index]


def _read_only(array: NDArray[np.float32]) -> NDArray[np.float32]:
    view = array.view()
    view.flags.writeable = False
    return view
