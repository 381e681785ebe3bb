"""What an environment may read of a simulation: declared once by name, refreshed by every step.

A read gives an array with one row per environment, (num_envs, ...). Positions are in m in the
world frame, rotations are unit quaternions x, y, z, w of either sign, velocities m/s or rad/s. A
read that is *current* belongs to the state after the step; one that *lags* belongs to the state
before its last physics substep, and is zero from a reset to the next step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Read:
    """Base of all reads."""


@dataclass(frozen=True)
class Positions(Read):
    """All generalised positions, (num_envs, num_positions). Current."""


@dataclass(frozen=True)
class Velocities(Read):
    """All generalised velocities, (num_envs, num_velocities). Current.

    A free joint gives its linear velocity in the world frame, then its angular velocity in its
    own frame.
    """


class Named(Read):
    """A read of one or several named things.

    Attributes:
        names: The things, in the order of the columns.
    """

    names: tuple[str, ...]

    def __init__(self, *names: str) -> None:
        object.__setattr__(self, "names", names)

    def __repr__(self) -> str:
        return f"{type(self).__name__}{self.names}"


class JointPosition(Named):
    """Angles in rad or displacements in m of joints with one degree of freedom, (num_envs, k).

    Current.
    """


class JointVelocity(Named):
    """Velocities of joints with one degree of freedom, rad/s or m/s, (num_envs, k). Current."""


class BodyPosition(Named):
    """Origins of bodies, (num_envs, 3), or (num_envs, k, 3) for several. Current."""


class BodyRotation(Named):
    """Rotations of bodies, (num_envs, 4), or (num_envs, k, 4) for several. Current."""


class BodyLinearVelocity(Named):
    """World-frame velocities of body origins, (num_envs, 3) or (num_envs, k, 3). Current."""


class BodyAngularVelocity(Named):
    """World-frame angular velocities, (num_envs, 3) or (num_envs, k, 3). Current."""


class GeomPosition(Named):
    """Centres of geoms, (num_envs, 3), or (num_envs, k, 3) for several. Current."""


class SitePosition(Named):
    """Sites, (num_envs, 3), or (num_envs, k, 3) for several. Current."""


class Sensor(Named):
    """Values of MJCF sensors one after the other, (num_envs, total size). Lags."""


class ContactForce(Named):
    """Net contact force on each body in N, world frame, (num_envs, 3) or (num_envs, k, 3). Lags."""


@dataclass(frozen=True)
class InContact(Read):
    """Whether pairs of geoms touch, float 0 or 1, (num_envs, k). Lags.

    Attributes:
        pairs: Names of the two geoms of each pair.
    """

    pairs: tuple[tuple[str, str], ...]


class Reads:
    """The declared arrays by name, as attributes: read-only views, valid until the next step."""

    def __init__(self, arrays: dict[str, NDArray[np.float32]]) -> None:
        self.__dict__.update(arrays)

    def __getattr__(self, name: str) -> NDArray[np.float32]:
        raise AttributeError(f"no read '{name}' was declared; there are: {', '.join(vars(self))}")
