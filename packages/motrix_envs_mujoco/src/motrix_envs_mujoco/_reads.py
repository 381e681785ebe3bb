"""How each read of the seam is filled from the arrays of a MuJoCo batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from motrix_envs.sim import reads as seam
from motrix_envs.sim.engine import no_such
from motrix_envs.sim.protocol import Rows
from motrix_envs.sim.reads import Read
from numpy.typing import NDArray

from motrix_envs_mujoco._bounce import PREFIX
from motrix_envs_mujoco._library import mujoco
from motrix_envs_mujoco._model import ContactSensor, names_of

Array = NDArray[np.float32]
Columns = int | slice | list[int]
Source = Callable[[Rows | slice], Any]
"""Returns the present values of a read in some rows."""

LAGGING = (seam.Sensor, seam.ContactForce, seam.InContact)
VELOCITY = (seam.BodyLinearVelocity, seam.BodyAngularVelocity)
KINEMATIC = (
    seam.BodyPosition,
    seam.BodyRotation,
    *VELOCITY,
    seam.GeomPosition,
    seam.SitePosition,
)

_OBJECTS: dict[type[Read], tuple[mujoco.mjtObj, str]] = {
    seam.JointPosition: (mujoco.mjtObj.mjOBJ_JOINT, "joint"),
    seam.JointVelocity: (mujoco.mjtObj.mjOBJ_JOINT, "joint"),
    seam.BodyPosition: (mujoco.mjtObj.mjOBJ_BODY, "body"),
    seam.BodyRotation: (mujoco.mjtObj.mjOBJ_BODY, "body"),
    seam.BodyLinearVelocity: (mujoco.mjtObj.mjOBJ_BODY, "body"),
    seam.BodyAngularVelocity: (mujoco.mjtObj.mjOBJ_BODY, "body"),
    seam.ContactForce: (mujoco.mjtObj.mjOBJ_BODY, "body"),
    seam.GeomPosition: (mujoco.mjtObj.mjOBJ_GEOM, "geom"),
    seam.SitePosition: (mujoco.mjtObj.mjOBJ_SITE, "site"),
    seam.Sensor: (mujoco.mjtObj.mjOBJ_SENSOR, "sensor"),
}
_FIELDS: dict[type[Read], str] = {
    seam.BodyPosition: "xpos",
    seam.BodyRotation: "xquat",
    seam.GeomPosition: "geom_xpos",
    seam.SitePosition: "site_xpos",
}


def ids_of(compiled: Any, kind: mujoco.mjtObj, what: str, names: tuple[str, ...]) -> list[int]:
    """Return the numbers of named things in MuJoCo's model.

    Raises:
        ModelError: There is no such thing.
    """
    ids = [mujoco.mj_name2id(compiled, kind, name) if name else -1 for name in names]
    for name, number in zip(names, ids, strict=True):
        if number < 0:
            count = getattr(compiled, _COUNTS[kind])
            raise no_such(what, name, names_of(compiled, kind, count))
    return ids


_COUNTS = {
    mujoco.mjtObj.mjOBJ_JOINT: "njnt",
    mujoco.mjtObj.mjOBJ_BODY: "nbody",
    mujoco.mjtObj.mjOBJ_GEOM: "ngeom",
    mujoco.mjtObj.mjOBJ_SITE: "nsite",
    mujoco.mjtObj.mjOBJ_SENSOR: "nsensor",
    mujoco.mjtObj.mjOBJ_ACTUATOR: "nu",
}


def check(compiled: Any, reads: Mapping[str, Read]) -> None:
    """Check that a model has everything that is to be read.

    Raises:
        ModelError: It does not.
    """
    for read in reads.values():
        if isinstance(read, seam.Named):
            ids_of(compiled, *_OBJECTS[type(read)], read.names)
        elif isinstance(read, seam.InContact):
            for pair in read.pairs:
                ids_of(compiled, mujoco.mjtObj.mjOBJ_GEOM, "geom", pair)


def sensors_for(reads: Mapping[str, Read]) -> list[ContactSensor]:
    """Return the sensors that a model needs for some reads."""
    sensors = []
    for name, read in reads.items():
        if isinstance(read, seam.ContactForce):
            sensors += [
                ContactSensor(_sensor_name(name, i), body=body) for i, body in enumerate(read.names)
            ]
        elif isinstance(read, seam.InContact):
            sensors += [
                ContactSensor(_sensor_name(name, i), geoms=geoms)
                for i, geoms in enumerate(read.pairs)
            ]
    return sensors


def _sensor_name(read: str, index: int) -> str:
    return f"{PREFIX}{read}.{index}"


def source(
    name: str, read: Read, compiled: Any, main: Any, kinematic: Any, state: tuple[Array, Array]
) -> Source:
    """Return the function that gives a read's values.

    Args:
        name: Name of the read.
        read: What is read.
        compiled: The model.
        main: The batch that steps.
        kinematic: The batch whose poses are current; None if nothing needs it.
        state: Generalised positions and velocities as the seam has them.
    """
    if isinstance(read, (seam.JointPosition, seam.JointVelocity)):
        ids = ids_of(compiled, *_OBJECTS[type(read)], read.names)
        where = isinstance(read, seam.JointVelocity)
        addresses = (compiled.jnt_dofadr if where else compiled.jnt_qposadr)[ids]
        return _take(state[where], addresses.tolist())
    if isinstance(read, seam.Sensor):
        ids = ids_of(compiled, *_OBJECTS[type(read)], read.names)
        return _take(main.bind("sensordata"), _addresses(compiled, ids))
    if isinstance(read, seam.ContactForce):
        return _measured(name, len(read.names), compiled, main, _vectors)
    if isinstance(read, seam.InContact):
        return _measured(name, len(read.pairs), compiled, main, _flags)
    assert isinstance(read, seam.Named)
    ids = ids_of(compiled, *_OBJECTS[type(read)], read.names)
    if isinstance(read, seam.BodyAngularVelocity):
        return _spin(kinematic, _columns(ids))
    if isinstance(read, seam.BodyLinearVelocity):
        return _velocity(kinematic, _columns(ids), _columns(compiled.body_rootid[ids].tolist()))
    values = _take(kinematic.bind(_FIELDS[type(read)]), _columns(ids))
    if isinstance(read, seam.BodyRotation):
        return lambda rows: values(rows)[..., _XYZW]
    return values


_XYZW = [1, 2, 3, 0]


def _columns(ids: list[int]) -> Columns:
    """Return what selects some things: a number for one, a slice where they are neighbours."""
    if len(ids) == 1:
        return ids[0]
    if ids == list(range(ids[0], ids[0] + len(ids))):
        return slice(ids[0], ids[0] + len(ids))
    return ids


def _take(field: Any, columns: Columns) -> Source:
    return lambda rows: field[rows][:, columns]


def _spin(batch: Any, columns: Columns) -> Source:
    cvel = batch.bind("cvel")
    return lambda rows: cvel[rows][:, columns][..., :3]


def _velocity(batch: Any, columns: Columns, roots: Columns) -> Source:
    """Move the velocity from the centre of mass of the whole tree to the body's own origin."""
    cvel, place, centre = batch.bind("cvel"), batch.bind("xpos"), batch.bind("subtree_com")

    def values(rows: Rows | slice) -> Any:
        twist = cvel[rows][:, columns]
        arm = place[rows][:, columns] - centre[rows][:, roots]
        return twist[..., 3:] + np.cross(twist[..., :3], arm)

    return values


def _addresses(compiled: Any, ids: list[int]) -> list[int]:
    starts, sizes = compiled.sensor_adr, compiled.sensor_dim
    return [column for i in ids for column in range(starts[i], starts[i] + sizes[i])]


def _measured(
    name: str, count: int, compiled: Any, main: Any, shape: Callable[[Any], Any]
) -> Source:
    """Return what the sensors of a read give."""
    names = tuple(_sensor_name(name, i) for i in range(count))
    ids = ids_of(compiled, mujoco.mjtObj.mjOBJ_SENSOR, "sensor", names)
    values = _take(main.bind("sensordata"), _addresses(compiled, ids))
    return lambda rows: shape(values(rows))


def _vectors(values: Any) -> Any:
    forces = values.reshape(len(values), -1, 3)
    return forces[:, 0] if forces.shape[1] == 1 else forces


def _flags(values: Any) -> Any:
    return values > 0
