"""Building a model in MotrixSim: its import line silenced, its warnings refused, inertias right."""

from __future__ import annotations

import math
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from motrix_envs.errors import ModelError
from motrix_envs.sim.model import Model, ModelInfo


@contextmanager
def _native_stderr() -> Iterator[Callable[[], str]]:
    """Catch what native code writes to the standard error stream; call the result to read it."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as caught:
        saved = os.dup(2)
        os.dup2(caught.fileno(), 2)

        def text() -> str:
            caught.seek(0)
            return caught.read().decode(errors="replace")

        try:
            yield text
        finally:
            os.dup2(saved, 2)
            os.close(saved)


with _native_stderr():  # the engine announces its profiler on import
    import motrixsim as mx


def build(model: Model, timestep: float) -> Any:
    """Build a MotrixSim model from a description.

    Newton's method solves the contacts: unlike the default solver it keeps no state between
    steps, so that a restored snapshot continues to the bit, and its friction cone is round.

    Raises:
        ModelError: The text is not valid, or the engine would ignore a part of it.
    """
    world = _parse(model)
    options = world.simulate_option
    options.solver_type = mx.msd.SolverType.Newton
    world.simulate_option = options
    _visit_geoms(world, model)
    try:
        built = world.build()
    except Exception as error:
        raise ModelError(f"MotrixSim cannot build the model: {error}") from error
    built.options.timestep = timestep
    return built


def _parse(model: Model) -> Any:
    with tempfile.TemporaryDirectory() as folder, _native_stderr() as printed:
        base = model.folder
        if model.assets:
            base = folder
            for name, content in model.assets.items():
                target = Path(folder, name)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
        try:
            path = str(Path(base, "model.xml")) if base else None
            world = mx.msd.from_str(model.mjcf, file_path=path)
        except BaseException as error:
            if isinstance(error, Exception) or is_panic(error):
                raise ModelError(f"MotrixSim cannot read the model: {error}") from error
            raise
        complaints = _warnings(printed())
    refused = [line for line in complaints if not any(part in line for part in model.accepts)]
    if refused:
        raise ModelError(
            "MotrixSim would ignore parts of the model: " + "; ".join(refused) + ". Take them "
            "out, or list them in Model.accepts."
        )
    return world


def _warnings(printed: str) -> list[str]:
    """Return what the parser warned of, a line each, without colours and time stamps."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", printed)
    if "WARN" not in plain:
        return []
    body = plain[plain.index("WARN") :]
    lines = (re.sub(r"^.*WARN\s*(\S+:)?", "", line).strip() for line in body.splitlines())
    return [line for line in lines if line and not line.endswith("will be ignored:")]


def is_panic(error: BaseException) -> bool:
    """Whether an exception is a panic of the engine, which Python would not catch otherwise."""
    return type(error).__name__ == "PanicException"


def _visit_geoms(world: Any, model: Model) -> None:
    """Correct every geom; the engine hands out copies, so each level is written back."""
    wanted = dict(model.contacts)

    def visit(link: Any) -> Any:
        geoms = list(link.geoms)
        for geom in geoms:
            _correct_capsule(geom)
            if contact := wanted.pop(geom.name, None):
                _set_contact(geom, contact.restitution)
        link.geoms = geoms
        link.children = [visit(child) for child in link.children]
        return link

    hierarchy = world.hierarchy
    bodies = list(hierarchy.bodies)
    for body in bodies:
        body.link = visit(body.link)
    hierarchy.bodies = bodies
    world.hierarchy = hierarchy
    if wanted:
        raise ModelError(f"contact properties for unknown geoms: {', '.join(sorted(wanted))}")


def _set_contact(geom: Any, restitution: float) -> None:
    material = geom.physics_material
    # An error reduction of 1 % neither adds energy to a bounce nor lets the ball sink in.
    material.contact_model = mx.msd.ConstraintForceModel.hard(restitution, 0.01)
    geom.physics_material = material


def _correct_capsule(geom: Any) -> None:
    """Give a capsule the inertia of a solid capsule.

    The engine counts the full mass once for the cylinder and once for the hemispheres
    (motrixsim 0.10.1). The parts of a homogeneous capsule weigh as their volumes do.
    """
    if geom.shape != mx.msd.ShapeType.Capsule:
        return
    radius, half = float(geom.size[0]), float(geom.size[1])
    cylinder, ball = math.pi * radius**2 * 2 * half, 4 / 3 * math.pi * radius**3
    inertial = geom.inertial
    mass = inertial.mass
    if mass is None:
        mass = geom.physics_material.density * (cylinder + ball)
    if mass <= 0:
        return
    inertial.mass = mass
    inertial.diag_inertia = capsule_inertia(mass, radius, half)
    geom.inertial = inertial


def capsule_inertia(mass: float, radius: float, half: float) -> np.ndarray:
    """Return the principal moments of a solid capsule along z about its centre, (3,), in kg m².

    Cylinder of length 2·half and two hemispheres, moved to their places by Steiner's theorem
    (a hemisphere's centre of mass is 3/8 radius from its flat side).

    Args:
        mass: Mass in kg.
        radius: Radius in m.
        half: Half the length of the cylindrical part in m.
    """
    length = 2 * half
    share = length / (length + 4 / 3 * radius)
    tube, caps = mass * share, mass * (1 - share)
    axial = tube * radius**2 / 2 + caps * 2 / 5 * radius**2
    across = tube * (length**2 / 12 + radius**2 / 4) + caps * (
        2 / 5 * radius**2 + half**2 + 3 / 4 * half * radius
    )
    return np.array([across, across, axial], np.float32)


def describe(built: Any) -> ModelInfo:
    """Return the engine-neutral description of a built model."""
    starts, sizes = built.joint_dof_pos_indices, built.joint_dof_pos_nums
    positions = {
        name: slice(int(start), int(start + size))
        for name, start, size in zip(built.joint_names, starts, sizes, strict=True)
    }
    velocities = {
        name: slice(int(start), int(start + size))
        for name, start, size in zip(
            built.joint_names, built.joint_dof_vel_indices, built.joint_dof_vel_nums, strict=True
        )
    }
    return ModelInfo(
        num_positions=built.num_dof_pos,
        num_velocities=built.num_dof_vel,
        joint_names=tuple(built.joint_names),
        joint_positions=positions,
        joint_velocities=velocities,
        joint_range=np.asarray(built.joint_limits, np.float32).reshape(2, -1).T.copy(),
        actuator_names=tuple(built.actuator_names),
        ctrl_range=np.asarray(built.actuator_ctrl_limits, np.float32).reshape(2, -1).T.copy(),
        body_names=tuple(built.link_names),
        geom_names=tuple(name or "" for name in built.geom_names),
        site_names=tuple(name or "" for name in built.site_names),
        default_positions=np.asarray(built.compute_init_dof_pos(), np.float32),
        quaternions=_quaternions(built.num_dof_pos, list(positions.values())),
    )


def _quaternions(num_positions: int, joints: list[slice]) -> tuple[slice, ...]:
    """Find the rotations: ball joints, and the last four of the seven of a free joint."""
    balls = [span for span in joints if span.stop - span.start == 4]
    taken = {index for span in joints for index in range(span.start, span.stop)}
    free = [index for index in range(num_positions) if index not in taken]
    roots = [slice(start + 3, start + 7) for start in free[::7]]
    return tuple(roots + balls)
