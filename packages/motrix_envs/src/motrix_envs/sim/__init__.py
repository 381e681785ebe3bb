"""The simulation seam: what an environment may ask of a physics engine, whichever it is."""

from motrix_envs.sim.model import Contact, Model, ModelInfo
from motrix_envs.sim.protocol import Simulation, SnapshotError
from motrix_envs.sim.reads import (
    BodyAngularVelocity,
    BodyLinearVelocity,
    BodyPosition,
    BodyRotation,
    ContactForce,
    GeomPosition,
    InContact,
    JointPosition,
    JointVelocity,
    Positions,
    Read,
    Reads,
    Sensor,
    SitePosition,
    Velocities,
)

__all__ = [
    "BodyAngularVelocity",
    "BodyLinearVelocity",
    "BodyPosition",
    "BodyRotation",
    "Contact",
    "ContactForce",
    "GeomPosition",
    "InContact",
    "JointPosition",
    "JointVelocity",
    "Model",
    "ModelInfo",
    "Positions",
    "Read",
    "Reads",
    "Sensor",
    "Simulation",
    "SitePosition",
    "SnapshotError",
    "Velocities",
]
