"""Geoms as MotrixSim should have them: capsules with their inertia, contacts that bounce."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motrix_envs.sim._motrixsim_import import mx
from motrix_envs.sim.engine import check_contacts
from motrix_envs.sim.model import Contact

# Enough error reduction that a ball does not sink in, and too little to add energy to a bounce.
ERROR_REDUCTION = 0.01


def correct(world: Any, contacts: Mapping[str, Contact]) -> None:
    """Correct every geom of a world; the engine hands out copies, so each level is written back.

    Raises:
        ModelError: Contact properties are given for a geom that does not exist.
    """
    names: list[str] = []

    def correct_all(owner: Any) -> None:
        geoms = list(owner.geoms)
        for geom in geoms:
            names.append(geom.name or "")
            _correct_capsule(geom)
            if geom.name in contacts:
                _set_contact(geom, contacts[geom.name])
        owner.geoms = geoms

    def visit(link: Any) -> Any:
        correct_all(link)
        link.children = [visit(child) for child in link.children]
        return link

    hierarchy = world.hierarchy
    correct_all(hierarchy)
    bodies = list(hierarchy.bodies)
    for body in bodies:
        body.link = visit(body.link)
    hierarchy.bodies = bodies
    world.hierarchy = hierarchy
    check_contacts(contacts, names)


def _set_contact(geom: Any, contact: Contact) -> None:
    material = geom.physics_material
    material.contact_model = mx.msd.ConstraintForceModel.hard(contact.restitution, ERROR_REDUCTION)
    geom.physics_material = material


def _correct_capsule(geom: Any) -> None:
    """Give a capsule the inertia of a solid capsule.

    The engine counts the full mass once for the cylinder and once for the hemispheres. The parts
    of a homogeneous capsule weigh as their volumes do.
    """
    if geom.shape != mx.msd.ShapeType.Capsule:
        return
    radius, half = float(geom.size[0]), float(geom.size[1])
    inertial = geom.inertial
    mass = inertial.mass
    if mass is None:
        mass = geom.physics_material.density * capsule_volume(radius, half)
    if mass <= 0:
        return
    inertial.mass = mass
    inertial.diag_inertia = capsule_inertia(mass, radius, half).astype(np.float32)
    geom.inertial = inertial


def capsule_volume(radius: float, half: float) -> float:
    """Return the volume in m³ of a capsule whose cylindrical part is 2·half long, in m."""
    return math.pi * radius**2 * (2 * half + 4 / 3 * radius)


def capsule_inertia(mass: float, radius: float, half: float) -> NDArray[np.float64]:
    """Return the principal moments of a solid capsule along z about its centre, (3,), in kg m².

    A cylinder and two hemispheres, moved to their places by Steiner's theorem (a hemisphere's
    centre of mass is 3/8 radius from its flat side).

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
    return np.array([across, across, axial])
