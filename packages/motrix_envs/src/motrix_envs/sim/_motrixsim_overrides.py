"""What MotrixSim lets differ from row to row, and the values that were written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motrix_envs.errors import ModelError, did_you_mean
from motrix_envs.sim._motrixsim_import import mx
from motrix_envs.sim.protocol import Rows

Values = NDArray[np.float32]


def rows_of(data: Any, rows: Rows) -> Any:
    """Return the engine's data of some rows alone."""
    return data[mx.DisjointIndices(rows.tolist())]


@dataclass(frozen=True)
class Kind:
    """One kind of override.

    Attributes:
        find: Finds the thing that has it by name; None if there is none.
        names: The names that there are.
        getter: The thing's method that reads the values of all rows.
        setter: The thing's method that writes the values of some rows.
        forgets: Whether the engine's reset of its overrides knows it.
    """

    find: Callable[[Any, str], Any]
    names: Callable[[Any], list[str | None]]
    getter: str
    setter: str
    forgets: bool = True


@dataclass(frozen=True)
class _MocapBody:
    scene: Any
    name: str

    def get_pose(self, data: Any) -> Values:
        self.scene.forward_kinematic(data)
        poses: Values = self.scene.get_link(self.name).get_pose(data)
        return poses

    def set_pose(self, data: Any, poses: Values) -> None:
        self.scene.get_body(self.name).mocap.set_pose(data, poses)


def _mocap_body(scene: Any, name: str) -> _MocapBody | None:
    body = scene.get_body(name)
    return _MocapBody(scene, name) if body and body.mocap else None


def _mocap_names(scene: Any) -> list[str | None]:
    return [body.name for body in scene.bodies if body.mocap]


_BODY = (lambda scene, name: scene.get_link(name), lambda scene: scene.link_names)
_GEOM = (lambda scene, name: scene.get_geom(name), lambda scene: scene.geom_names)
_JOINT = (lambda scene, name: scene.get_joint(name), lambda scene: scene.joint_names)
_WORLD = (lambda scene, _: scene, lambda _: list[str | None]())
_SERVO = (lambda scene, name: scene.get_actuator(name), lambda scene: scene.actuator_names)

KINDS = {
    "mass": Kind(*_BODY, "get_mass_override", "set_mass_override"),
    "center_of_mass": Kind(*_BODY, "get_center_of_mass_override", "set_center_of_mass_override"),
    "friction": Kind(*_GEOM, "get_friction_override", "set_friction_override"),
    "kp": Kind(*_SERVO, "get_kp_override", "set_kp_override", forgets=False),
    "kd": Kind(*_SERVO, "get_kd_override", "set_damping_override", forgets=False),
    "armature": Kind(*_JOINT, "get_armature_override", "set_armature_override"),
    "gravity": Kind(*_WORLD, "get_gravity_override", "set_gravity_override", forgets=False),
    "mocap": Kind(_mocap_body, _mocap_names, "get_pose", "set_pose", forgets=False),
}
INERTIAL = ("mass", "center_of_mass")
SUPPORTED = frozenset(KINDS) | {"push"}


class Overrides:
    """The overridden properties of a batch, NaN where a row is as the model has it.

    The engine shifts a body's inertia whenever its mass or centre of mass is written, and rounds
    each time. So these are written from the model's values on, always in one order: what the
    engine holds then depends on the values alone, and a restored row is exact.
    """

    def __init__(self, scene: Any, num_envs: int) -> None:
        self._scene = scene
        self._num_envs = num_envs
        self._now: dict[tuple[str, str], Values] = {}
        self._model: dict[tuple[str, str], Values] = {}

    def write(self, data: Any, rows: Rows, kind: str, name: str, values: Values) -> None:
        """Override one property of one thing in some rows.

        Raises:
            ModelError: There is no such thing in the model, or it cannot have this property.
        """
        first = (kind, name) not in self._now
        now = self._known(data, kind, name)
        now[rows] = values
        if kind in INERTIAL:
            self._rewrite(data, rows)
        else:
            self._set(data, rows, kind, name)
        if first and not np.allclose(self._get(data, kind, name)[rows], now[rows], rtol=1e-5):
            raise ModelError(f"MotrixSim does not override the {kind} of '{name}': it is fixed")

    def write_all(self, data: Any) -> None:
        """Write everything into fresh data of the engine."""
        for kind, name in sorted(self._now):
            self._set(data, np.arange(self._num_envs), kind, name)

    def snapshot(self) -> dict[str, Values]:
        """Return what is overridden now by `kind.name`, (num_envs, ...) each."""
        return {f"{kind}.{name}": values.copy() for (kind, name), values in self._now.items()}

    def restore(self, data: Any, rows: Rows, snapshot: Mapping[str, Values]) -> None:
        """Return to a snapshot in some rows; what it does not hold is the model's again."""
        saved = {(key.partition(".")[0], key.partition(".")[2]): snapshot[key] for key in snapshot}
        for key in {**self._now, **saved}:
            now = self._known(data, *key)
            now[rows] = saved[key][rows] if key in saved else np.nan
            if not KINDS[key[0]].forgets:
                self._put(data, rows, *key, self._model[key][rows])
                self._set(data, rows, *key)
        if self._now:
            self._rewrite(data, rows)

    def _known(self, data: Any, kind: str, name: str) -> Values:
        """Return what is overridden now in all rows; note the model's values the first time."""
        if (kind, name) not in self._now:
            self._model[kind, name] = self._get(data, kind, name)
            self._now[kind, name] = np.full_like(self._model[kind, name], np.nan)
        return self._now[kind, name]

    def _rewrite(self, data: Any, rows: Rows) -> None:
        """Write what some rows override into a clean slate; they stay in their state."""
        part = rows_of(data, rows)
        state = {"dof_pos": part.dof_pos, "dof_vel": part.dof_vel}
        part.reset(self._scene, **state, reset_overrides=True)
        for kind, name in sorted(self._now):
            if KINDS[kind].forgets:
                self._set(data, rows, kind, name)

    def _set(self, data: Any, rows: Rows, kind: str, name: str) -> None:
        """Hand to the engine what some rows override."""
        values = self._now[kind, name][rows]
        overridden = np.isfinite(values.reshape(len(rows), -1)).all(axis=1)
        if overridden.any():
            self._put(data, rows[overridden], kind, name, values[overridden])

    def _put(self, data: Any, rows: Rows, kind: str, name: str, values: Values) -> None:
        getattr(self._find(kind, name), KINDS[kind].setter)(rows_of(data, rows), values)

    def _get(self, data: Any, kind: str, name: str) -> Values:
        read = getattr(self._find(kind, name), KINDS[kind].getter, None)
        if read is None:
            raise ModelError(f"'{name}' has no {kind} that MotrixSim could override")
        return np.array(read(data), np.float32)

    def _find(self, kind: str, name: str) -> Any:
        thing = KINDS[kind].find(self._scene, name)
        if thing is None:
            known = [known for known in KINDS[kind].names(self._scene) if known]
            raise ModelError(
                f"the model has no '{name}' whose {kind} could be overridden."
                f"{did_you_mean(name, known)} There are: {', '.join(known)}"
            )
        return thing


class Pushes:
    """Forces on bodies that wait for the next step."""

    def __init__(self, scene: Any, num_envs: int) -> None:
        self._scene = scene
        self._num_envs = num_envs
        self._forces: dict[str, Values] = {}

    def write(self, rows: Rows, name: str, force: Values) -> None:
        """Set the force in N on a body in some rows, (k, 3), in the world frame.

        Raises:
            ModelError: There is no such body.
        """
        if self._scene.get_link(name) is None:
            known = [known for known in self._scene.link_names if known]
            raise ModelError(f"the model has no body '{name}' to push.{did_you_mean(name, known)}")
        forces = self._forces.setdefault(name, np.zeros((self._num_envs, 3), np.float32))
        forces[rows] = force

    def apply(self, data: Any, rows: Rows | slice, substeps: int) -> None:
        """Hand the forces to the engine, which applies them in its next substep only."""
        for name, forces in self._forces.items():
            if forces[rows].any():
                force = forces[rows] * np.float32(substeps)
                self._scene.get_link(name).add_external_force(data, force, local=False)

    def clear(self, rows: Rows) -> None:
        """Forget the forces on some rows."""
        for forces in self._forces.values():
            forces[rows] = 0

    def snapshot(self) -> dict[str, Values]:
        """Return the waiting forces by body, (num_envs, 3) each."""
        return {name: forces.copy() for name, forces in self._forces.items()}

    def restore(self, rows: Rows, snapshot: Mapping[str, Values]) -> None:
        """Return to a snapshot in some rows."""
        self.clear(rows)
        for name, forces in snapshot.items():
            self.write(rows, name, forces[rows])
