"""What the environments of this folder share.

They follow Tassa et al., "DeepMind Control Suite", arXiv:1801.00690, and dm_control 1.0. A reward
lies in [0, 1] and an episode has 1000 steps, so that returns compare with published ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar
from xml.etree import ElementTree

import gymnasium
import numpy as np
from numpy.typing import NDArray

from motrix_envs.base import EnvCfg
from motrix_envs.errors import ConfigError
from motrix_envs.np.env import NpEnv
from motrix_envs.np.reward import tolerance
from motrix_envs.np.state import NpEnvState
from motrix_envs.sim import (
    BodyAngularVelocity,
    BodyLinearVelocity,
    BodyRotation,
    Model,
    Positions,
    Read,
    Simulation,
    Velocities,
)


@dataclass
class SuiteCfg(EnvCfg):
    """What configurations of this folder share."""

    not_negative: ClassVar[tuple[str, ...]] = ()
    """Fields that must be 0 or more."""

    def validate(self) -> None:
        """Check the configuration.

        Raises:
            ConfigError: A speed, a distance or a time is impossible.
        """
        super().validate()
        for name in self.not_negative:
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"{self._named(name)} must be finite, and 0 or more")


def model_path(name: str) -> str:
    """Return the path of a model of this folder by its name."""
    return str(Path(__file__).parent / "xml" / f"{name}.xml")


def unit_box(size: int) -> gymnasium.spaces.Box:
    """Return the space of actions in ±1, one for each motor."""
    return gymnasium.spaces.Box(-1.0, 1.0, (size,), np.float32)


def small_control(ctrl: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return 1 where all motors rest and 0 where all are at their limits, (num_envs,).

    Args:
        ctrl: Controls in ±1, (num_envs, num_actuators).
    """
    at_rest = tolerance(ctrl, margin=1.0, value_at_margin=0.0, sigmoid="quadratic")
    count = ctrl.shape[1]
    return weighted(at_rest, [1 / count] * count)


def lifted(share: NDArray[np.floating[Any]], floor: float) -> NDArray[np.float32]:
    """Return a factor that is 1 where `share` is, and `floor` where it is 0, (num_envs,)."""
    factor: NDArray[np.float32] = np.float32(floor) + np.float32(1 - floor) * share
    return factor


def weighted(columns: NDArray[np.floating[Any]], weights: Iterable[float]) -> NDArray[np.float32]:
    """Return the weighted sum of each row, added up in the same order whatever the batch.

    Args:
        columns: Terms, (num_envs, k).
        weights: One for each of the k columns.
    """
    total = np.zeros(len(columns), np.float32)
    for column, weight in zip(columns.T, weights, strict=True):
        total += np.float32(weight) * column
    return total


class SuiteEnv(NpEnv):
    """An environment of the suite: motors in ±1, and starts at random joint positions.

    All joints of its model have one degree of freedom.
    """

    turning: ClassVar[tuple[str, ...]] = ()
    """Hinges without limits, which start at any angle."""

    def apply_action(self, actions: NDArray[np.float32], state: NpEnvState) -> NpEnvState:
        """Pass the action on to the motors; their gears are in the model."""
        self.ctrl = actions
        return state

    def reset(self, data: Simulation, rows: NDArray[np.int64]) -> tuple[Any, dict[str, Any]]:
        """Start at rest in a random pose; some tasks begin otherwise."""
        pose = self.random_pose(rows)
        data.reset(rows, pose, np.zeros_like(pose))
        return None, {}

    def random_pose(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Draw joint positions: within limits, at any angle if `turning`, otherwise 0.

        Args:
            rows: Which environments, (k,).

        Returns:
            Generalised positions in rad or m, (k, num_positions).
        """
        low, high = self._pose_range
        return self.streams.uniform("reset.pose", rows, len(low), low, high)

    @cached_property
    def _pose_range(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        model = self.sim.model
        low, high = (np.where(np.isfinite(bound), bound, 0) for bound in model.joint_range.T)
        for name in self.turning:
            low[model.joint_positions[name]] = -np.pi
            high[model.joint_positions[name]] = np.pi
        return low, high


@dataclass(frozen=True)
class Masses:
    """How the mass of a robot is spread over its k bodies.

    Attributes:
        names: The bodies.
        shares: Share of each in the whole mass.
        centres: Centre of mass of each in its own frame in m, x and z, (2, k).
    """

    names: tuple[str, ...]
    shares: tuple[float, ...]
    centres: NDArray[np.float32]

    @classmethod
    def of(cls, model: Model) -> Masses:
        """Read them from the inertials of a model."""
        bodies = list(ElementTree.fromstring(model.mjcf).iter("body"))
        inertials = [inertial.attrib for body in bodies for inertial in body.findall("inertial")]
        masses = [float(inertial["mass"]) for inertial in inertials]
        places = [inertial["pos"].split() for inertial in inertials]
        return cls(
            names=tuple(body.attrib["name"] for body in bodies),
            shares=tuple(mass / sum(masses) for mass in masses),
            centres=np.array([[x, z] for x, _, z in places], np.float32).T,
        )


class PlanarEnv(SuiteEnv):
    """A robot that moves in the x-z plane; each of its bodies has an inertial."""

    turning: ClassVar[tuple[str, ...]] = ("root_y",)

    def setup(self) -> None:
        """Read positions, velocities, and how each body moves."""
        names = self.masses.names
        self.reads = self.sim.declare(
            positions=Positions(),
            velocities=Velocities(),
            rotation=BodyRotation(*names),
            linear=BodyLinearVelocity(*names),
            angular=BodyAngularVelocity(*names),
            **self.further_reads(),
        )

    def further_reads(self) -> dict[str, Read]:
        """Return what else is read; nothing by default."""
        return {}

    @cached_property
    def masses(self) -> Masses:
        """How the robot's mass is spread."""
        return Masses.of(self.make_model())

    def speed(self) -> NDArray[np.float32]:
        """Forward velocity of the robot's centre of mass in m/s, (num_envs,).

        That of each body is the one of its origin, and its turning times the height of its centre
        of mass above that.
        """
        y, w = self.reads.rotation[..., 1], self.reads.rotation[..., 3]  # half the pitch
        x, z = self.masses.centres
        height = z * (1 - 2 * y * y) - x * (2 * y * w)
        forward = self.reads.linear[..., 0] + self.reads.angular[..., 1] * height
        return weighted(forward, self.masses.shares)

    def fast_enough(self, wanted: float) -> NDArray[np.floating[Any]]:
        """Return 1 at a wanted speed in m/s, a half at half of it, 0 at rest, (num_envs,)."""
        return tolerance(self.speed(), (wanted, math.inf), wanted / 2, "linear", 0.5)
