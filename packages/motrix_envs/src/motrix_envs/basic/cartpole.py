"""Cartpole: hold a pole upright by pushing the cart below it (Gymnasium's inverted pendulum)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from motrix_envs.base import EnvCfg
from motrix_envs.np.env import Camera, NpEnv
from motrix_envs.np.state import NpEnvState
from motrix_envs.registry import env, envcfg
from motrix_envs.sim import Positions, Simulation, Velocities

MAX_CONTROL = 3.0  # the motor's gear makes it 100 N per unit
FALLEN_ANGLE = 0.2  # rad from upright
RAIL_END = 0.8  # m from the middle
RESET_NOISE = 0.01  # m, rad, m/s, rad/s


@envcfg("cartpole")
@dataclass
class CartPoleCfg(EnvCfg):
    """Configuration of cartpole: ten seconds at 100 Hz, so a return of at most 1000."""

    model_file: str | None = str(Path(__file__).with_name("cartpole.xml"))
    sim_dt: float = 0.01
    ctrl_dt: float = 0.01
    max_episode_seconds: float | None = 10.0
    render_spacing: float = 3.0


@env("cartpole", "np")
class CartPoleEnv(NpEnv):
    """One point of reward for every step; the episode ends when the pole falls."""

    camera = Camera(lookat=(0.0, 0.0, 0.1), distance=2.5, elevation=-15.0, azimuth=75.0)
    success_metric = "the pole is still up at the time limit"
    action_space = gymnasium.spaces.Box(-MAX_CONTROL, MAX_CONTROL, (1,), np.float32)

    def setup(self) -> None:
        """Read the two joints."""
        self.reads = self.sim.declare(positions=Positions(), velocities=Velocities())

    # Readers

    def cart_position(self) -> NDArray[np.float32]:
        """Distance of the cart from the middle in m, (num_envs,)."""
        return self.reads.positions[:, 0]

    def pole_angle(self) -> NDArray[np.float32]:
        """Angle of the pole from upright in rad, (num_envs,)."""
        return self.reads.positions[:, 1]

    # Parts

    def apply_action(self, actions: NDArray[np.float32], state: NpEnvState) -> NpEnvState:
        """Push the cart."""
        self.ctrl = actions
        return state

    def reset(self, data: Simulation, rows: NDArray[np.int64]) -> tuple[None, dict[str, Any]]:
        """Start upright in the middle, a little disturbed."""
        noise = self.streams.uniform("reset", rows, 4, -RESET_NOISE, RESET_NOISE)
        data.reset(rows, noise[:, :2], noise[:, 2:])
        return None, {}

    def observe(self, state: NpEnvState) -> dict[str, NDArray[np.float32]]:
        """Return slider (m) and hinge (rad), then their velocities (m/s, rad/s)."""
        return {"positions": self.reads.positions, "velocities": self.reads.velocities}

    def rewards(self, state: NpEnvState) -> dict[str, NDArray[np.float32]]:
        """Pay for being there."""
        return {"alive": np.ones(self.num_envs, np.float32)}

    def terminate(self, state: NpEnvState) -> NDArray[np.bool_]:
        """End when the pole has fallen or the cart reaches the end of the rail."""
        fallen = np.abs(self.pole_angle()) > FALLEN_ANGLE
        return fallen | (np.abs(self.cart_position()) > RAIL_END)
