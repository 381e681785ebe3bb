"""Acrobot: swing two arms up and hold them there, with a motor at the elbow alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from motrix_envs.control.suite import SuiteCfg, SuiteEnv, model_path, unit_box
from motrix_envs.np.env import Camera
from motrix_envs.np.reward import tolerance
from motrix_envs.np.state import NpEnvState
from motrix_envs.registry import env, envcfg
from motrix_envs.sim import Positions, Velocities

ARM = np.float32(1.0)  # m, length of each arm
REACH = 2 * ARM  # m from the shoulder straight up to the target
TARGET_RADIUS = 0.2  # m


@envcfg("acrobot")
@dataclass
class AcrobotCfg(SuiteCfg):
    """Ten seconds at 100 Hz; dm_control's `acrobot` `swingup`."""

    not_negative: ClassVar[tuple[str, ...]] = ("margin",)

    model_file: str | None = model_path("acrobot")
    sim_dt: float = 0.005
    ctrl_dt: float = 0.01
    max_episode_seconds: float | None = 10.0
    render_spacing: float = 4.5
    margin: float = 1.0
    """Distance from the target in m at which a tenth is paid; 0 pays nothing outside of it."""


@env("acrobot", "np")
class AcrobotEnv(SuiteEnv):
    """One point for every step with the tip in the target, and less the farther it is away."""

    camera = Camera(lookat=(0.0, 0.0, 2.1), distance=6.0, elevation=-5.0, azimuth=90.0)
    success_metric = "the tip is in the target at the time limit"
    action_space = unit_box(1)
    turning = ("shoulder", "elbow")

    _cfg: AcrobotCfg

    def setup(self) -> None:
        """Read both joints."""
        self.reads = self.sim.declare(positions=Positions(), velocities=Velocities())

    # Readers

    def angles(self) -> NDArray[np.float32]:
        """Angles of the upper and the lower arm from upright in rad, (num_envs, 2)."""
        shoulder, elbow = self.reads.positions[:, :1], self.reads.positions[:, 1:]
        return np.hstack([shoulder, shoulder + elbow])

    def orientations(self) -> NDArray[np.float32]:
        """Sines of both angles, then their cosines, (num_envs, 4)."""
        angles = self.angles()
        return np.hstack([np.sin(angles), np.cos(angles)])

    def to_target(self) -> NDArray[np.float32]:
        """Distance of the tip from the middle of the target in m, (num_envs,)."""
        upper, lower = self.angles().T
        x = ARM * (np.sin(upper) + np.sin(lower))
        z = ARM * (np.cos(upper) + np.cos(lower))
        distance: NDArray[np.float32] = np.hypot(x, z - REACH)
        return distance

    # Parts

    def observe(self, state: NpEnvState) -> dict[str, NDArray[np.float32]]:
        """Return the directions of the arms and the joints' velocities in rad/s."""
        return {"orientations": self.orientations(), "velocity": self.reads.velocities}

    def rewards(self, state: NpEnvState) -> dict[str, NDArray[np.float32]]:
        """Pay for the tip's being near the target."""
        return {"at_target": tolerance(self.to_target(), (0.0, TARGET_RADIUS), self._cfg.margin)}

    def succeeded(self, state: NpEnvState) -> NDArray[np.bool_]:
        """Tell whether the tip is in the target at the end."""
        return state.truncated & (self.to_target() <= TARGET_RADIUS)
