"""Point mass: push a small mass to the middle of a table and keep it there."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from motrix_envs.control.suite import SuiteCfg, SuiteEnv, model_path, small_control, unit_box
from motrix_envs.np.env import Camera
from motrix_envs.np.reward import tolerance
from motrix_envs.np.state import NpEnvState
from motrix_envs.registry import env, envcfg
from motrix_envs.sim import Positions, Velocities

TARGET_RADIUS = 0.015  # m


@dataclass
class RewardCfg:
    """Weights of the reward's terms; they sum to 1."""

    near: float = 0.8
    """For being in the target: a tenth of it one radius outside."""
    gentle: float = 0.2
    """For being there with little force."""


@envcfg("point_mass")
@dataclass
class PointMassCfg(SuiteCfg):
    """Twenty seconds at 50 Hz; dm_control's `point_mass` `easy`."""

    model_file: str | None = model_path("point_mass")
    sim_dt: float = 0.02
    ctrl_dt: float = 0.02
    max_episode_seconds: float | None = 20.0
    render_spacing: float = 0.7
    reward: RewardCfg = field(default_factory=RewardCfg)


@env("point_mass", "np")
class PointMassEnv(SuiteEnv):
    """The target is the middle of the table; forces act along its sides."""

    camera = Camera(lookat=(0.0, 0.0, 0.0), distance=0.95, elevation=-65.0, azimuth=90.0)
    success_metric = "in the target at the time limit"
    action_space = unit_box(2)

    def setup(self) -> None:
        """Read both slides."""
        self.reads = self.sim.declare(positions=Positions(), velocities=Velocities())

    # Readers

    def distance(self) -> NDArray[np.float32]:
        """Distance of the mass from the middle in m, (num_envs,)."""
        return np.hypot(self.reads.positions[:, 0], self.reads.positions[:, 1])

    # Parts

    def observe(self, state: NpEnvState) -> dict[str, NDArray[np.float32]]:
        """Return place (m) and velocity (m/s)."""
        return {"position": self.reads.positions, "velocity": self.reads.velocities}

    def rewards(self, state: NpEnvState) -> dict[str, NDArray[np.float32]]:
        """Pay for being near, and a little more for being gentle there."""
        near = tolerance(self.distance(), (0.0, TARGET_RADIUS), TARGET_RADIUS)
        return {"near": near, "gentle": near * small_control(self.ctrl)}

    def succeeded(self, state: NpEnvState) -> NDArray[np.bool_]:
        """Tell whether the mass is in the target at the end."""
        return state.truncated & (self.distance() <= TARGET_RADIUS)
