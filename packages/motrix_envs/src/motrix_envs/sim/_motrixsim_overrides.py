"""Which per-row overrides MotrixSim has, and how each is read and written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motrix_envs.errors import ModelError, did_you_mean


@dataclass(frozen=True)
class Setter:
    """One kind of override: where the thing is found, and its getter and setter."""

    find: Callable[[Any, str], Any]
    getter: str
    setter: str

    def read(self, scene: Any, data: Any, name: str) -> NDArray[np.float32]:
        """Return the values of all rows, (num_envs,) or (num_envs, 3)."""
        values: NDArray[np.float32] = getattr(self.find(scene, name), self.getter)(data)
        return values

    def write(self, scene: Any, data: Any, name: str, values: NDArray[np.float32]) -> None:
        """Set the values of the rows in `data`."""
        getattr(self.find(scene, name), self.setter)(data, values)


def _named(kind: str, names: str, get: str) -> Callable[[Any, str], Any]:
    def find(scene: Any, name: str) -> Any:
        thing = getattr(scene, get)(name)
        if thing is None:
            known = [known for known in getattr(scene, names) if known]
            raise ModelError(
                f"the model has no {kind} '{name}'.{did_you_mean(name, known)} "
                f"It has: {', '.join(known)}"
            )
        return thing

    return find


_body = _named("body", "link_names", "get_link")
_geom = _named("geom", "geom_names", "get_geom")
_joint = _named("joint", "joint_names", "get_joint")
_actuator = _named("actuator", "actuator_names", "get_actuator")

SETTERS = {
    "mass": Setter(_body, "get_mass_override", "set_mass_override"),
    "center_of_mass": Setter(_body, "get_center_of_mass_override", "set_center_of_mass_override"),
    "friction": Setter(_geom, "get_friction_override", "set_friction_override"),
    "kp": Setter(_actuator, "get_kp_override", "set_kp_override"),
    "kd": Setter(_actuator, "get_kd_override", "set_damping_override"),
    "armature": Setter(_joint, "get_armature_override", "set_armature_override"),
    "gravity": Setter(lambda scene, _: scene, "get_gravity_override", "set_gravity_override"),
}
