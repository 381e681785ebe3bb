"""Model fields that differ from row to row, and how the seam's overrides are written to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from motrix_envs.errors import ModelError
from motrix_envs.sim.engine import Values
from motrix_envs.sim.protocol import Rows
from numpy.typing import NDArray

from motrix_envs_mujoco._bounce import combined, pairs_of
from motrix_envs_mujoco._library import mujoco
from motrix_envs_mujoco._reads import ids_of

_BODY = (mujoco.mjtObj.mjOBJ_BODY, "body")
_GEOM = (mujoco.mjtObj.mjOBJ_GEOM, "geom")
_JOINT = (mujoco.mjtObj.mjOBJ_JOINT, "joint")
_ACTUATOR = (mujoco.mjtObj.mjOBJ_ACTUATOR, "actuator")


class Fields:
    """The model fields of a batch that have a value for each row."""

    def __init__(self, compiled: Any, batch: Any) -> None:
        self._model, self._batch = compiled, batch
        self._own: dict[str, NDArray[Any]] = {}

    def write(self, rows: Rows, overrides: list[tuple[str, str, Values]]) -> None:
        """Write some overrides.

        Raises:
            ModelError: The model has no such thing, or it cannot have this property.
        """
        for kind, name, values in overrides:
            _WRITERS[kind](self, rows, name, values)
        self._settle(rows)

    def field(self, name: str) -> NDArray[Any]:
        """Return the values of a field in all rows, (num_envs, ...), to be written to."""
        if name not in self._own:
            self._own[name] = self._batch.expand(name)
        return self._own[name]

    def id(self, kind: tuple[mujoco.mjtObj, str], name: str) -> int:
        """Return the number of a named thing."""
        return ids_of(self._model, *kind, (name,))[0]

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """Return the fields by name, (num_envs, ...) each."""
        return {name: values.copy() for name, values in self._own.items()}

    def restore(self, rows: Rows, snapshot: Mapping[str, NDArray[Any]]) -> None:
        """Return to a snapshot in some rows; what it does not hold is the model's again."""
        for name in {**self._own, **snapshot}:
            values = self.field(name)
            values[rows] = snapshot[name][rows] if name in snapshot else self._default(name)
        self._settle(rows)

    def _default(self, name: str) -> Any:
        group, _, field = name.rpartition(".")
        return getattr(self._model.opt if group else self._model, field)

    def _settle(self, rows: Rows) -> None:
        """Let what MuJoCo derives from the fields follow them."""
        if len(rows) and any(name in mujoco.MjModel._setconst_inputs for name in self._own):
            self._batch.set_const(np.sort(rows))

    # One writer for each kind

    def mass(self, rows: Rows, name: str, values: Values) -> None:
        """Write masses in kg, (k,)."""
        self.field("body_mass")[rows, self._moving(name, "mass")] = values

    def center_of_mass(self, rows: Rows, name: str, values: Values) -> None:
        """Write centres of mass in m, (k, 3)."""
        self.field("body_ipos")[rows, self._moving(name, "center of mass")] = values

    def _moving(self, name: str, what: str) -> int:
        body = self.id(_BODY, name)
        if self._model.body_weldid[body] == 0:
            raise ModelError(f"MuJoCo does not override the {what} of '{name}': it is fixed")
        return body

    def friction(self, rows: Rows, name: str, values: Values) -> None:
        """Write sliding, torsional and rolling friction, (k, 3)."""
        geom, all_geoms = self.id(_GEOM, name), self.field("geom_friction")
        all_geoms[rows, geom] = values
        for pair, other in pairs_of(self._model, geom):
            self.field("pair_friction")[rows, pair] = combined(values, all_geoms[rows, other])

    def armature(self, rows: Rows, name: str, values: Values) -> None:
        """Write armatures in kg m² or kg, (k,)."""
        joint = self.id(_JOINT, name)
        dofs = np.flatnonzero(self._model.dof_jntid == joint)
        self.field("dof_armature")[np.ix_(rows, dofs)] = values[:, None]

    def kp(self, rows: Rows, name: str, values: Values) -> None:
        """Write position gains, (k,)."""
        servo = self._servo(name, "kp")
        self.field("actuator_gainprm")[rows, servo, 0] = values
        self.field("actuator_biasprm")[rows, servo, 1] = -values

    def kd(self, rows: Rows, name: str, values: Values) -> None:
        """Write damping gains, (k,)."""
        self.field("actuator_biasprm")[rows, self._servo(name, "kd"), 2] = -values

    def _servo(self, name: str, what: str) -> int:
        servo = self.id(_ACTUATOR, name)
        gain, bias = self._model.actuator_gainprm[servo, 0], self._model.actuator_biasprm[servo, 1]
        if gain == 0 or bias != -gain:
            raise ModelError(f"'{name}' has no {what} that could be overridden: it is no servo")
        return servo

    def gravity(self, rows: Rows, name: str, values: Values) -> None:
        """Write gravity in m/s², (k, 3)."""
        self.field("opt.gravity")[rows] = values

    def mocap(self, rows: Rows, name: str, values: Values) -> None:
        """Write poses of a mocap body, (k, 7); they are part of the state."""
        body = self.id(_BODY, name)
        mocap = int(self._model.body_mocapid[body])
        if mocap < 0:
            known = np.flatnonzero(self._model.body_mocapid >= 0)
            names = ", ".join(self._model.body(int(i)).name for i in known) or "none"
            raise ModelError(f"'{name}' is no mocap body. There are: {names}")
        self._batch.mocap_pos[rows, mocap] = values[:, :3]
        self._batch.mocap_quat[rows, mocap] = values[:, [6, 3, 4, 5]]

    def push(self, rows: Rows, name: str, values: Values) -> None:
        """Write forces on a body in N, (k, 3); they are part of the state."""
        self._batch.xfrc_applied[rows, self.id(_BODY, name), :3] = values


_WRITERS: dict[str, Callable[[Fields, Rows, str, Values], None]] = {
    kind: getattr(Fields, kind)
    for kind in (
        "mass",
        "center_of_mass",
        "friction",
        "kp",
        "kd",
        "armature",
        "gravity",
        "mocap",
        "push",
    )
}
SUPPORTED = frozenset(_WRITERS)
