"""Building and describing a model in MuJoCo."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from motrix_envs.errors import ModelError
from motrix_envs.sim.engine import brief, check_contacts, files_of
from motrix_envs.sim.model import Model, ModelInfo

from motrix_envs_mujoco._bounce import PREFIX, add_pairs
from motrix_envs_mujoco._library import mujoco, silence

# Sparse Jacobians pay for far larger robots, and MuJoCo 4.0.0 factorises some of them wrongly.
DENSE_BELOW = 100


@dataclass(frozen=True)
class Preset:
    """How contacts are solved.

    Attributes:
        cone: Shape of the friction cone.
        impratio: How much stiffer friction is than the normal direction.
        warm_start: Whether a step begins from the forces of the one before.
    """

    cone: mujoco.mjtCone
    impratio: float
    warm_start: bool


FAITHFUL = Preset(mujoco.mjtCone.mjCONE_ELLIPTIC, 10.0, True)
FAST = Preset(mujoco.mjtCone.mjCONE_PYRAMIDAL, 1.0, False)


@dataclass(frozen=True)
class ContactSensor:
    """A sensor that is added to a model for a read.

    Attributes:
        name: Its name.
        body: Body whose net contact force it gives, or
        geoms: the two geoms of which it says whether they touch.
    """

    name: str
    body: str = ""
    geoms: tuple[str, str] = ("", "")

    def add_to(self, spec: Any) -> None:
        """Add it to a model."""
        kind, geom = mujoco.mjtSensor.mjSENS_CONTACT, mujoco.mjtObj.mjOBJ_GEOM
        sensor = spec.add_sensor(name=self.name, type=kind)
        if self.body:  # one-sided: the force on this body, in the world frame
            sensor.reftype, sensor.refname = mujoco.mjtObj.mjOBJ_BODY, self.body
            sensor.intprm[:3] = (_FORCE, _NET_FORCE, 1)
            return
        sensor.objtype, sensor.objname = geom, self.geoms[0]
        sensor.reftype, sensor.refname = geom, self.geoms[1]
        sensor.intprm[:3] = (_FOUND, 0, 1)


_FOUND, _FORCE, _NET_FORCE = 1, 2, 3


def build(
    model: Model,
    timestep: float,
    preset: Preset,
    sensors: Iterable[ContactSensor] = (),
    sky: bool = False,
) -> Any:
    """Build a MuJoCo model from a description.

    Args:
        model: The description.
        timestep: Physics time step in s.
        preset: How contacts are solved; the model's own options do not count.
        sensors: What is measured beside the model's own sensors.
        sky: Whether there is a background, for pictures.

    Raises:
        ModelError: The text is not valid.
    """
    if model.contacts:
        preset = FAITHFUL  # a pyramid would turn the spin of what bounces around
    with files_of(model) as folder, silence():
        try:
            spec: Any = mujoco.MjSpec.from_string(model.mjcf, include=_includes(model.mjcf, folder))
            spec.modelfiledir = str(folder)
            _set_options(spec, timestep, preset)
            for body in spec.bodies[1:]:
                body.simple = 0  # otherwise its centre of mass could not be overridden
            check_contacts(model.contacts, (geom.name for geom in spec.geoms))
            add_pairs(spec, model, timestep)
            for sensor in sensors:
                sensor.add_to(spec)
            if sky:
                _add_sky(spec)
            compiled = spec.compile()
        except ModelError:
            raise
        except Exception as error:
            raise ModelError(f"MuJoCo cannot build the model: {brief(error)}") from error
    if compiled.nv < DENSE_BELOW:
        compiled.opt.jacobian = mujoco.mjtJacobian.mjJAC_DENSE
    return compiled


def _includes(text: str, folder: Path) -> dict[str, bytes]:
    """Return the files that a text includes, and those that they include, by their names in it."""
    found: dict[str, bytes] = {}
    for element in ElementTree.fromstring(text).iter("include"):
        name = element.get("file", "")
        path = folder / name
        if path.is_file():
            found[name] = path.read_bytes()
            found |= _includes(found[name].decode(), folder)
    return found


def _set_options(spec: Any, timestep: float, preset: Preset) -> None:
    option = spec.option
    option.timestep = timestep
    option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    option.solver = mujoco.mjtSolver.mjSOL_NEWTON
    option.cone, option.impratio = preset.cone, preset.impratio
    # A silent reset of a bad row would hide that it is bad.
    off = mujoco.mjtDisableBit.mjDSBL_AUTORESET | mujoco.mjtDisableBit.mjDSBL_ISLAND
    if not preset.warm_start:
        off |= mujoco.mjtDisableBit.mjDSBL_WARMSTART
    option.disableflags |= int(off)


def _add_sky(spec: Any) -> None:
    sky = mujoco.mjtTexture.mjTEXTURE_SKYBOX
    if not any(texture.type == sky for texture in spec.textures):
        spec.add_texture(
            name=f"{PREFIX}sky",
            type=sky,
            builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
            rgb1=(0.72, 0.80, 0.90),
            rgb2=(0.93, 0.95, 0.97),
            width=64,
            height=384,
        )


def describe(compiled: Any) -> ModelInfo:
    """Return the engine-neutral description of a built model."""
    m = compiled
    free, ball = int(mujoco.mjtJoint.mjJNT_FREE), int(mujoco.mjtJoint.mjJNT_BALL)
    kinds = m.jnt_type.tolist()
    joints = [j for j in range(m.njnt) if kinds[j] != free]
    names = names_of(m, mujoco.mjtObj.mjOBJ_JOINT, m.njnt)
    sizes = {j: 4 if kinds[j] == ball else 1 for j in joints}
    quaternions = [
        slice(start := int(m.jnt_qposadr[j]) + (3 if kinds[j] == free else 0), start + 4)
        for j in range(m.njnt)
        if kinds[j] in (free, ball)
    ]
    return ModelInfo(
        num_positions=m.nq,
        num_velocities=m.nv,
        joint_names=tuple(names[j] for j in joints),
        joint_positions={
            names[j]: slice(int(m.jnt_qposadr[j]), int(m.jnt_qposadr[j]) + sizes[j])
            for j in joints
            if names[j]
        },
        joint_velocities={
            names[j]: slice(int(m.jnt_dofadr[j]), int(m.jnt_dofadr[j]) + min(sizes[j], 3))
            for j in joints
            if names[j]
        },
        joint_range=_ranges(m.jnt_range, m.jnt_limited)[joints],
        actuator_names=names_of(m, mujoco.mjtObj.mjOBJ_ACTUATOR, m.nu),
        ctrl_range=_ranges(m.actuator_ctrlrange, m.actuator_ctrllimited),
        body_names=names_of(m, mujoco.mjtObj.mjOBJ_BODY, m.nbody)[1:],
        geom_names=names_of(m, mujoco.mjtObj.mjOBJ_GEOM, m.ngeom),
        site_names=names_of(m, mujoco.mjtObj.mjOBJ_SITE, m.nsite),
        default_positions=to_seam(m.qpos0, tuple(quaternions)).astype(np.float32),
        quaternions=tuple(quaternions),
    )


def names_of(compiled: Any, kind: mujoco.mjtObj, count: int) -> tuple[str, ...]:
    """Return the names of all things of a kind, empty where the model gives none."""
    names = (mujoco.mj_id2name(compiled, kind, i) or "" for i in range(count))
    return tuple("" if name.startswith(PREFIX) else name for name in names)


def _ranges(limits: Any, limited: Any) -> Any:
    whole = np.array([-np.inf, np.inf])
    return np.where(np.reshape(limited, (-1, 1)), limits, whole).astype(np.float32).reshape(-1, 2)


def to_seam(positions: Any, quaternions: tuple[slice, ...]) -> Any:
    """Return generalised positions with rotations as x, y, z, w; MuJoCo's are w, x, y, z."""
    positions = np.array(positions)
    for span in quaternions:
        positions[..., span] = np.roll(positions[..., span], -1, axis=-1)
    return positions
