"""Reacher: bring the fingertip of an arm with two links into a target on the table."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from motrix_envs.control.suite import SuiteCfg, SuiteEnv, model_path, unit_box
from motrix_envs.errors import ConfigError
from motrix_envs.np.env import Camera
from motrix_envs.np.reward import tolerance
from motrix_envs.np.state import NpEnvState
from motrix_envs.registry import env, envcfg
from motrix_envs.sim import Model, Positions, Simulation, Velocities

LINK = np.float32(0.12)  # m from shoulder to wrist, and from wrist to fingertip
FINGER_RADIUS = 0.01  # m
TARGET_HEIGHT = 0.001  # m
NEAREST, FARTHEST = 0.05, 0.20  # m of a target from the shoulder


@envcfg("dm-reacher")
@dataclass
class ReacherCfg(SuiteCfg):
    """Twenty seconds at 50 Hz; dm_control's `reacher` `easy`."""

    not_negative: ClassVar[tuple[str, ...]] = ("margin",)

    model_file: str | None = model_path("reacher")
    sim_dt: float = 0.02
    ctrl_dt: float = 0.02
    max_episode_seconds: float | None = 20.0
    render_spacing: float = 0.7
    target_radius: float = 0.05
    """In m."""
    margin: float = 0.0
    """Distance outside of the target in m at which a tenth is paid; 0 pays nothing there."""

    def validate(self) -> None:
        """Check the configuration.

        Raises:
            ConfigError: The target has no size.
        """
        super().validate()
        if not 0 < self.target_radius < math.inf:
            raise ConfigError(f"{self._named('target_radius')} must be a positive length in m")


@envcfg("dm-reacher-hard")
@dataclass
class ReacherHardCfg(ReacherCfg):
    """A small target; dm_control's `reacher` `hard`."""

    target_radius: float = 0.015


@env("dm-reacher", "np")
@env("dm-reacher-hard", "np")
class ReacherEnv(SuiteEnv):
    """One point for every step with the fingertip in the target, which stays for an episode."""

    camera = Camera(lookat=(0.0, 0.0, 0.0), distance=0.95, elevation=-65.0, azimuth=90.0)
    success_metric = "the fingertip touches the target at the time limit"
    action_space = unit_box(2)
    turning = ("shoulder",)

    _cfg: ReacherCfg

    def make_model(self) -> Model:
        """Return the model with a target of the size that the configuration says."""
        model = super().make_model()
        size = f'size="{self._cfg.target_radius} {TARGET_HEIGHT}"'
        return replace(model, mjcf=model.mjcf.replace('size="0.05 0.001"', size))

    def setup(self) -> None:
        """Read both joints."""
        self.reads = self.sim.declare(positions=Positions(), velocities=Velocities())

    def init_info(self) -> dict[str, Any]:
        """Remember where the target is in m, (num_envs, 2)."""
        return {"target": np.zeros((self.num_envs, 2), np.float32)}

    # Readers

    def finger(self) -> NDArray[np.float32]:
        """Place of the fingertip in m, (num_envs, 2)."""
        shoulder, wrist = self.reads.positions[:, 0], self.reads.positions[:, 1]
        both = shoulder + wrist
        x, y = np.cos(shoulder) + np.cos(both), np.sin(shoulder) + np.sin(both)
        return LINK * np.column_stack([x, y])

    def finger_to_target(self, state: NpEnvState) -> NDArray[np.float32]:
        """Way from the fingertip to the middle of the target in m, (num_envs, 2)."""
        way: NDArray[np.float32] = state.info["target"] - self.finger()
        return way

    def distance(self, state: NpEnvState) -> NDArray[np.float32]:
        """Distance of the fingertip from the middle of the target in m, (num_envs,)."""
        x, y = self.finger_to_target(state).T
        distance: NDArray[np.float32] = np.hypot(x, y)
        return distance

    def touching(self) -> float:
        """Distance in m at which finger and target touch."""
        return self._cfg.target_radius + FINGER_RADIUS

    # Parts

    def reset(self, data: Simulation, rows: NDArray[np.int64]) -> tuple[None, dict[str, Any]]:
        """Start at rest in any pose, with a target anywhere in a ring about the shoulder."""
        pose = self.random_pose(rows)
        angle = self.streams.uniform("reset.target_angle", rows, 1, 0.0, 2 * np.pi)
        radius = self.streams.uniform("reset.target_radius", rows, 1, NEAREST, FARTHEST)
        target = radius * np.hstack([np.sin(angle), np.cos(angle)])
        data.write(rows, mocap={"target": lying_at(target)})  # for the eye alone
        data.reset(rows, pose, np.zeros_like(pose))
        return None, {"target": target}

    def observe(self, state: NpEnvState) -> dict[str, NDArray[np.float32]]:
        """Return angles (rad), the way to the target (m), and velocities (rad/s)."""
        return {
            "position": self.reads.positions,
            "to_target": self.finger_to_target(state),
            "velocity": self.reads.velocities,
        }

    def rewards(self, state: NpEnvState) -> dict[str, NDArray[np.float32]]:
        """Pay for touching the target."""
        reach = (0.0, self.touching())
        return {"at_target": tolerance(self.distance(state), reach, self._cfg.margin)}

    def succeeded(self, state: NpEnvState) -> NDArray[np.bool_]:
        """Tell whether the fingertip touches the target at the end."""
        return state.truncated & (self.distance(state) <= self.touching())


def lying_at(place: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return poses of targets on the table, (k, 7), from places in m, (k, 2)."""
    pose = np.zeros((len(place), 7), np.float32)
    pose[:, :2], pose[:, 2], pose[:, 6] = place, TARGET_HEIGHT, 1
    return pose
