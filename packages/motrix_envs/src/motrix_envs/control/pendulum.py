"""Pendulum: swing a mass up and hold it there, with a motor too weak to lift it at once."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from motrix_envs.control.suite import SuiteCfg, SuiteEnv, model_path, unit_box
from motrix_envs.np.env import Camera
from motrix_envs.np.reward import tolerance
from motrix_envs.np.state import NpEnvState
from motrix_envs.registry import env, envcfg
from motrix_envs.sim import Positions, Velocities

UPRIGHT = math.cos(math.radians(8))  # cosine of the largest angle from upright that is paid for


@envcfg("pendulum")
@dataclass
class PendulumCfg(SuiteCfg):
    """Twenty seconds at 50 Hz; dm_control's `pendulum` `swingup`."""

    model_file: str | None = model_path("pendulum")
    sim_dt: float = 0.02
    ctrl_dt: float = 0.02
    max_episode_seconds: float | None = 20.0
    render_spacing: float = 1.5


@env("pendulum", "np")
class PendulumEnv(SuiteEnv):
    """One point for every step in which the pendulum is upright, whatever its speed."""

    camera = Camera(lookat=(0.0, 0.0, 0.65), distance=1.8, elevation=-10.0, azimuth=90.0)
    success_metric = "upright within 8 degrees at the time limit"
    action_space = unit_box(1)
    turning = ("hinge",)

    def setup(self) -> None:
        """Read the hinge."""
        self.reads = self.sim.declare(positions=Positions(), velocities=Velocities())

    # Readers

    def pole_vertical(self) -> NDArray[np.float32]:
        """Cosine of the angle from upright, (num_envs,)."""
        return np.cos(self.reads.positions[:, 0])

    def pole_orientation(self) -> NDArray[np.float32]:
        """Cosine and sine of the angle from upright, (num_envs, 2)."""
        angle = self.reads.positions
        return np.hstack([np.cos(angle), np.sin(angle)])

    # Parts

    def observe(self, state: NpEnvState) -> dict[str, NDArray[np.float32]]:
        """Return the direction of the pole and its velocity in rad/s."""
        return {"orientation": self.pole_orientation(), "velocity": self.reads.velocities}

    def rewards(self, state: NpEnvState) -> dict[str, NDArray[np.float32]]:
        """Pay for being upright."""
        return {"upright": tolerance(self.pole_vertical(), (UPRIGHT, 1.0))}

    def succeeded(self, state: NpEnvState) -> NDArray[np.bool_]:
        """Tell whether it is upright at the end."""
        return state.truncated & (self.pole_vertical() >= UPRIGHT)
