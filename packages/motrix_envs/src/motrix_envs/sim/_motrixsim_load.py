"""Building and describing a model in MotrixSim; whatever it would not do as written is refused.

What is worked around here and in the neighbouring files was measured on motrixsim 0.10.1.
"""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from motrix_envs.errors import ModelError
from motrix_envs.sim import _motrixsim_geoms as geoms
from motrix_envs.sim import _motrixsim_traps as traps
from motrix_envs.sim._motrixsim_import import is_panic, mx, native_stderr
from motrix_envs.sim.engine import brief, files_of
from motrix_envs.sim.model import Model, ModelInfo, check_xml


def build(model: Model, timestep: float) -> Any:
    """Build a MotrixSim model from a description.

    Newton's method solves the contacts: unlike the default solver it keeps no state between
    steps, so that a restored snapshot continues to the bit, and its friction cone is round.

    Raises:
        ModelError: The text is not valid, or the engine would not do what it says.
    """
    with files_of(model) as folder, native_stderr() as printed:
        try:
            _check_text(model.mjcf)
            world: Any = mx.msd.from_str(model.mjcf, file_path=str(folder / "model.xml"))
            options = world.simulate_option
            options.solver_type = mx.msd.SolverType.Newton
            world.simulate_option = options
            geoms.correct(world, model.contacts)
            scene = world.build()
        except ModelError:
            raise
        except BaseException as error:
            if isinstance(error, Exception) or is_panic(error):
                raise ModelError(f"MotrixSim cannot build the model: {brief(error)}") from error
            raise
        try:
            found = [*traps.in_text(model.mjcf, folder), *traps.in_scene(scene)]
        except (ElementTree.ParseError, UnicodeDecodeError) as error:
            raise ModelError(f"a file that the model includes cannot be read: {error}") from error
        complaints = [*(warnings(printed()) or _silence()), *found]
    _refuse(complaints, model.accepts)
    scene.options.timestep = timestep
    return scene


def _check_text(mjcf: str) -> None:
    try:
        check_xml(mjcf)
    except ModelError as error:
        raise ModelError(f"MotrixSim cannot build the model: {error}") from error


def warnings(printed: str) -> list[str]:
    """Return what the engine warned of, a line each, without colours, times and headings."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", printed)
    found, warned = [], False
    for line in plain.splitlines():
        if level := re.match(r"\S+Z\s+([A-Z]+) \S+: (.*)", line):
            warned = level[1] in ("WARN", "ERROR")
            line = level[2]
        if warned and line.strip() and not line.rstrip().endswith(":"):
            found.append(line.strip())
    return found


def _silence() -> list[str]:
    """Return a line if the engine does not print its warnings.

    RUST_LOG asks for that, or a renderer with another log level, at any time: ask anew each time.
    """
    with native_stderr() as printed:
        world: Any = mx.msd.from_str(_WARNED_OF)
        world.build()
        if warnings(printed()):
            return []
    return ["its warnings are switched off, so nobody knows; unset RUST_LOG, or set it to warn"]


_WARNED_OF = """
<mujoco><option integrator="RK4"/>
<worldbody><body><joint/><geom size="0.1"/></body></worldbody></mujoco>
"""


def _refuse(complaints: list[str], accepts: tuple[str, ...]) -> None:
    refused = [line for line in complaints if not any(part in line for part in accepts)]
    if refused:
        raise ModelError(
            "MotrixSim would not do what the model says: " + "; ".join(refused) + ". Change the "
            "model, or name what you accept in Model.accepts."
        )


def describe(scene: Any) -> ModelInfo:
    """Return the engine-neutral description of a built model."""
    names = [name or "" for name in scene.joint_names]
    positions = _spans(scene.joint_dof_pos_indices, scene.joint_dof_pos_nums)
    velocities = _spans(scene.joint_dof_vel_indices, scene.joint_dof_vel_nums)
    roots = [base.dof_pos_start for base in scene.floating_bases]
    rotations = [slice(start + 3, start + 7) for start in roots]
    rotations += [span for span in positions if span.stop - span.start == 4]
    return ModelInfo(
        num_positions=scene.num_dof_pos,
        num_velocities=scene.num_dof_vel,
        joint_names=tuple(names),
        joint_positions={n: span for n, span in zip(names, positions, strict=True) if n},
        joint_velocities={n: span for n, span in zip(names, velocities, strict=True) if n},
        joint_range=_ranges(scene.joint_limits),
        actuator_names=tuple(name or "" for name in scene.actuator_names),
        ctrl_range=_ranges(scene.actuator_ctrl_limits),
        body_names=tuple(name or "" for name in scene.link_names),
        geom_names=tuple(name or "" for name in scene.geom_names),
        site_names=tuple(name or "" for name in scene.site_names),
        default_positions=np.asarray(scene.compute_init_dof_pos(), np.float32),
        quaternions=tuple(rotations),
    )


def _spans(starts: list[int], sizes: list[int]) -> list[slice]:
    return [slice(start, start + size) for start, size in zip(starts, sizes, strict=True)]


def _ranges(limits: Any) -> NDArray[np.float32]:
    return np.asarray(limits, np.float32).reshape(2, -1).T.copy()
