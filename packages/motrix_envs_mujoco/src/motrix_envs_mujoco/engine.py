"""The MuJoCo engine behind the seam: one native call for each control step."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from motrix_envs.errors import MotrixError
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
from motrix_envs.sim.reads import Positions, Read, Reads, Velocities
from motrix_envs.sim.viewer import View, Viewer
from numpy.typing import NDArray

from motrix_envs_mujoco import _reads
from motrix_envs_mujoco._library import Process, batch, mujoco, silence, threads
from motrix_envs_mujoco._model import FAITHFUL, FAST, Preset, build, describe
from motrix_envs_mujoco._overrides import SUPPORTED, Fields

Array = NDArray[np.float32]

ALL = slice(None)
Disable = mujoco.mjtDisableBit

# What MuJoCo counts for each row: NaN or huge values among positions, velocities, accelerations
# and controls.
_BAD = slice(int(mujoco.mjtWarning.mjWARN_BADQPOS), int(mujoco.mjtWarning.mjWARN_BADCTRL) + 1)


class MujocoSimulation:
    """One batch of a model in MuJoCo; see `motrix_envs.sim.Simulation` for the contract.

    Friction is that of a round cone, as in MotrixSim. The environment variable
    `MOTRIX_PHYSICS_THREADS` limits the threads, of which there is otherwise one for every
    processor that the process may use.
    """

    engine: ClassVar[str] = f"mujoco {mujoco.__version__}"
    overrides: ClassVar[frozenset[str]] = SUPPORTED
    preset: ClassVar[Preset] = FAITHFUL

    def __init__(self, model: Model, num_envs: int, timestep: float) -> None:
        self._description, self._timestep = model, timestep
        self._process = Process()
        self.num_envs = num_envs
        self._all = np.arange(num_envs)
        self._compiled: Any = build(model, timestep, self.preset)
        self.model = describe(self._compiled)
        self._q = np.zeros((num_envs, self.model.num_positions), np.float32)
        self._v = np.zeros((num_envs, self.model.num_velocities), np.float32)
        self._declared = False
        self._closed = False
        self._read({})

    def _batch(self) -> Any:
        """Return MuJoCo's batch, where it may be used."""
        self._process.require()
        if self._closed:
            raise MotrixError("this simulation is closed")
        return self._sim

    # Reading

    def declare(self, **reads: Read) -> Reads:
        """Name what will be read; see `Simulation.declare`.

        Raises:
            ModelError: A read names something that the model does not have.
            MotrixError: The reads were declared before.
        """
        if self._declared:
            raise MotrixError("the reads of a simulation are declared once, all together")
        _reads.check(self._compiled, reads)
        if sensors := _reads.sensors_for(reads):
            self._compiled = build(self._description, self._timestep, self.preset, sensors)
        overridden = self._fields.snapshot()
        self._read(reads)
        self._fields.restore(self._all, overridden)
        self._declared = True
        return Reads({name: read_only(array) for name, array in self._arrays(reads).items()})

    def _read(self, reads: Mapping[str, Read]) -> None:
        """Make the batch, and prepare to read: what is current after a step, and what lags."""
        measures = any(isinstance(read, _reads.LAGGING) for read in reads.values())
        self._start(measures)
        moving = [read for read in reads.values() if isinstance(read, _reads.KINEMATIC)]
        self._kinematic: Any = self._kinematic_batch() if moving else None
        fast = any(isinstance(read, _reads.VELOCITY) for read in moving)
        self._stage = int(mujoco.mjtStage.mjSTAGE_VEL if fast else mujoco.mjtStage.mjSTAGE_POS)
        self._soon: dict[str, tuple[Array, _reads.Source]] = {}
        self._late: dict[str, tuple[Array, _reads.Source]] = {}
        for name, read in reads.items():
            if isinstance(read, (Positions, Velocities)):
                continue
            values = _reads.source(
                name, read, self._compiled, self._sim, self._kinematic, (self._q, self._v)
            )
            group = self._late if isinstance(read, _reads.LAGGING) else self._soon
            group[name] = np.zeros(values(ALL).shape, np.float32), values
        self._park(self._all)

    def _start(self, measures: bool) -> None:
        """Make the batch; `measures` says whether sensors are evaluated."""
        compiled = self._compiled
        if not measures:
            compiled = copy.copy(compiled)
            compiled.opt.disableflags |= int(Disable.mjDSBL_SENSOR)
        self._sim: Any = batch.Batch(compiled, self.num_envs, threads(self.num_envs))
        self._template = self._sim.state[0].copy()
        # Views, because a batch looks each of its fields up anew.
        self._motion = _motion(self._sim, compiled)
        self._qpos: Any = self._motion[:, : compiled.nq]
        self._qvel: Any = self._motion[:, compiled.nq :]
        self._ctrl = self._sim.ctrl
        self._bad = self._sim.warning[:, _BAD, 1]
        self._fields = Fields(compiled, self._sim)
        self._pushed = False

    def _arrays(self, reads: Mapping[str, Read]) -> dict[str, Array]:
        filled = {name: array for name, (array, _) in (self._soon | self._late).items()}
        state = {Positions: self._q, Velocities: self._v}
        return {
            name: filled[name] if name in filled else state[type(reads[name])] for name in reads
        }

    def _kinematic_batch(self) -> Any:
        """Return a batch that computes poses only, so that they are current after a step.

        The one that steps has those before its last substep, and computing anything else there
        would touch the contacts that the lagging reads are of.
        """
        poses = copy.copy(self._compiled)
        poses.opt.disableflags |= int(
            Disable.mjDSBL_CONTACT | Disable.mjDSBL_CONSTRAINT | Disable.mjDSBL_SENSOR
        )
        return batch.Batch(poses, self.num_envs, threads(self.num_envs))

    # Stepping

    def step(self, ctrl: NDArray[np.float32], substeps: int) -> NDArray[np.bool_]:
        """Advance all rows; see `Simulation.step`.

        Raises:
            ValueError: The controls have another shape.
        """
        self.advance(ctrl, substeps)
        if self._pushed:
            self._sim.xfrc_applied[:] = 0
            self._pushed = False
        diverged = self._find_diverged()
        if diverged.any():
            self._rest(np.flatnonzero(diverged))
        for array, values in self._late.values():
            array[:] = values(ALL)
            array[diverged] = 0
        self._refresh(ALL)
        return diverged

    def advance(self, ctrl: NDArray[np.float32], substeps: int) -> None:
        """Step and do nothing else; see `Simulation.advance`.

        Raises:
            ValueError: The controls have another shape.
            MotrixError: MuJoCo gives up.
        """
        sim = self._batch()
        check_controls(ctrl, self.num_envs, self.model)
        self._ctrl[:] = ctrl
        try:
            with silence():
                sim.step(nstep=substeps)
        except batch.SimulationError as error:  # too many contacts for its memory, for example
            raise MotrixError(f"MuJoCo cannot go on: {error}") from error

    def _find_diverged(self) -> NDArray[np.bool_]:
        largest = max(self._motion.max(initial=0), -self._motion.min(initial=0))
        if largest < ABSURD and not self._bad.any():
            return np.zeros(self.num_envs, bool)
        sane = np.abs(self._motion).max(axis=1, initial=0) < ABSURD
        found: NDArray[np.bool_] = ~sane | self._bad.any(axis=1)
        return found

    def _refresh(self, rows: Rows | slice) -> None:
        """Bring what is current up to date in some rows."""
        self._v[rows] = self._qvel[rows]
        self._q[rows] = positions = self._qpos[rows]
        for span in self.model.quaternions:
            self._q[rows, span.start : span.stop - 1] = positions[:, span.start + 1 : span.stop]
            self._q[rows, span.stop - 1] = positions[:, span.start]
        if self._kinematic is not None:
            self._move(rows)
        for array, values in self._soon.values():
            array[rows] = values(rows)

    def _move(self, rows: Rows | slice) -> None:
        """Compute the poses and velocities of the bodies in some rows."""
        sim, poses = self._sim, self._kinematic
        _motion(poses, self._compiled)[rows] = self._motion[rows]
        if self._compiled.nmocap:
            poses.mocap_pos[rows], poses.mocap_quat[rows] = (
                sim.mocap_pos[rows],
                sim.mocap_quat[rows],
            )
        poses.forward(None if isinstance(rows, slice) else np.sort(rows), stage=self._stage)

    # State

    def reset(self, rows: Rows, positions: Array, velocities: Array) -> None:
        """Put rows into a state; see `Simulation.reset`.

        Raises:
            ValueError: A rotation has no direction, or an array another shape.
        """
        self._batch()
        check_state(rows, positions, velocities, self.model)
        if not len(rows):
            return
        positions = normalised(positions, self.model)
        self._rest(rows)
        self._qpos[rows] = self._as_mujoco(positions)
        self._qvel[rows] = velocities
        for array, _ in self._late.values():
            array[rows] = 0
        self._refresh(rows)

    def _as_mujoco(self, positions: Array) -> Array:
        """Return generalised positions with rotations as w, x, y, z."""
        if self.model.quaternions:
            positions = positions.copy()
            for span in self.model.quaternions:
                positions[:, span] = np.roll(positions[:, span], 1, axis=1)
        return positions

    def _rest(self, rows: Rows) -> None:
        """Put rows to the default pose at rest, and let them forget everything but overrides."""
        sim = self._sim
        mocap = (sim.mocap_pos[rows], sim.mocap_quat[rows]) if self._compiled.nmocap else None
        sim.state[rows] = self._template
        if mocap:
            sim.mocap_pos[rows], sim.mocap_quat[rows] = mocap
        sim.warning[rows] = 0

    def _park(self, rows: Rows) -> None:
        self._rest(rows)
        self._refresh(rows)

    # Overrides

    def write(self, rows: Rows, **overrides: Mapping[str, NDArray[Any]] | NDArray[Any]) -> None:
        """Override properties of the model in some rows; see `Simulation.write`.

        Raises:
            ModelError: The model has no such thing.
            SimBackendError: MuJoCo cannot override one of these.
            ConfigError: A value is impossible.
        """
        self._batch()
        self._fields.write(rows, checked_overrides(self.engine, self.overrides, rows, overrides))
        self._pushed |= "push" in overrides

    # Snapshots

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """Return everything the future depends on; see `Simulation.snapshot`.

        A row of MuJoCo's state is the whole simulation, forces that wait and the solver's warm
        start included. What lags is no function of it.
        """
        return {
            **tag(self.engine),
            "state": self._batch().state.copy(),
            **{f"lagging.{name}": array.copy() for name, (array, _) in self._late.items()},
            **{f"field.{name}": values for name, values in self._fields.snapshot().items()},
        }

    def restore(self, snapshot: Mapping[str, NDArray[Any]], rows: Rows | None = None) -> None:
        """Return to a snapshot; see `Simulation.restore`."""
        sim = self._batch()
        late = {f"lagging.{name}": array for name, (array, _) in self._late.items()}
        check_snapshot(snapshot, self.engine, {"state": sim.state, **late})
        rows = self._all if rows is None else rows
        if not len(rows):
            return
        self._fields.restore(rows, under("field.", snapshot))
        sim.state[rows] = snapshot["state"][rows]
        sim.warning[rows] = 0
        self._pushed = bool(sim.xfrc_applied.any())
        for name, array in late.items():
            array[rows] = snapshot[name][rows]
        self._refresh(rows)

    # Drawing

    def viewer(self, view: View) -> Viewer:
        """Return what draws this simulation; see `Simulation.viewer`.

        Raises:
            RenderError: Nothing can be drawn here.
        """
        from motrix_envs_mujoco.viewer import MujocoViewer

        self._batch()
        drawn = build(self._description, self._timestep, self.preset, sky=True)
        return MujocoViewer(drawn, self._sim, view)

    def close(self) -> None:
        """Release the memory."""
        self._closed = True
        self._sim = self._kinematic = None
        self._motion = self._qpos = self._qvel = self._ctrl = self._bad = None
        self._soon, self._late = {}, {}


def _motion(rows: Any, compiled: Any) -> Any:
    """Return the positions and velocities of a batch; a row of its state begins with the time."""
    return rows.state[:, 1 : 1 + compiled.nq + compiled.nv]


class FastMujocoSimulation(MujocoSimulation):
    """MuJoCo with a pyramidal friction cone: faster with many contacts, and less like MotrixSim.

    At 45° to the axes of the contact frame friction is weaker: a box slides 40 % too far.
    """

    engine: ClassVar[str] = f"mujoco-fast {mujoco.__version__}"
    preset: ClassVar[Preset] = FAST
