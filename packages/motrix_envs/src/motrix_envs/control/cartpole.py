"""The suite's cart and pole: hold a long, light pole upright, or swing it up from below first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motrix_envs.control.suite import (
    SuiteCfg,
    SuiteEnv,
    lifted,
    model_path,
    small_control,
    unit_box,
)
from motrix_envs.np.env import Camera
from motrix_envs.np.reward import tolerance
from motrix_envs.np.state import NpEnvState
from motrix_envs.registry import env, envcfg
from motrix_envs.sim import Positions, Simulation, Velocities

START_PLACE = 0.1  # m from the middle of the rail, where the pole starts upright
START_ANGLE = 0.034  # rad from upright
HANGING_NOISE = 0.01  # m and rad, standard deviations where the pole starts below
VELOCITY_NOISE = 0.01  # m/s and rad/s, standard deviations
UPRIGHT = 0.995  # cosine of the angle that success allows, about 6 degrees
IN_THE_MIDDLE = 0.25  # m that success allows


@envcfg("dm-cartpole-balance")
@dataclass
class CartPoleBalanceCfg(SuiteCfg):
    """Ten seconds at 100 Hz; dm_control's `cartpole` `balance`."""

    model_file: str | None = model_path("cartpole")
    sim_dt: float = 0.005
    ctrl_dt: float = 0.01
    max_episode_seconds: float | None = 10.0
    render_spacing: float = 5.0
    swing_up: bool = False
    """Whether the pole starts below."""


@envcfg("dm-cartpole-swingup")
@dataclass
class CartPoleSwingupCfg(CartPoleBalanceCfg):
    """The pole starts below; dm_control's `cartpole` `swingup`."""

    swing_up: bool = True


@env("dm-cartpole-balance", "np")
@env("dm-cartpole-swingup", "np")
class SuiteCartPoleEnv(SuiteEnv):
    """Up to one point a step: upright, in the middle, slow, and with little force."""

    camera = Camera(lookat=(0.0, 0.0, 1.1), distance=4.5, elevation=-10.0, azimuth=90.0)
    success_metric = "upright within 6 degrees and 0.25 m of the middle at the time limit"
    action_space = unit_box(1)

    _cfg: CartPoleBalanceCfg

    def setup(self) -> None:
        """Read slider and hinge."""
        self.reads = self.sim.declare(positions=Positions(), velocities=Velocities())

    # Readers

    def cart_position(self) -> NDArray[np.float32]:
        """Distance of the cart from the middle in m, (num_envs,)."""
        return self.reads.positions[:, 0]

    def pole_angle_cosine(self) -> NDArray[np.float32]:
        """Cosine of the angle from upright, (num_envs,)."""
        return np.cos(self.reads.positions[:, 1])

    def angular_velocity(self) -> NDArray[np.float32]:
        """Velocity of the pole in rad/s, (num_envs,)."""
        return self.reads.velocities[:, 1]

    def bounded_position(self) -> NDArray[np.float32]:
        """Place of the cart in m, cosine and sine of the pole's angle, (num_envs, 3)."""
        place, angle = self.reads.positions[:, :1], self.reads.positions[:, 1:]
        return np.hstack([place, np.cos(angle), np.sin(angle)])

    # Parts

    def reset(self, data: Simulation, rows: NDArray[np.int64]) -> tuple[None, dict[str, Any]]:
        """Start about upright or about below, with a little velocity."""
        if self._cfg.swing_up:
            pose = self.streams.normal("reset.pose", rows, 2, (0.0, np.pi), HANGING_NOISE)
        else:
            farthest = np.array([START_PLACE, START_ANGLE])
            pose = self.streams.uniform("reset.pose", rows, 2, -farthest, farthest)
        velocity = self.streams.normal("reset.velocity", rows, 2, 0.0, VELOCITY_NOISE)
        data.reset(rows, pose, velocity)
        return None, {}

    def observe(self, state: NpEnvState) -> dict[str, NDArray[np.float32]]:
        """Return place and direction, then velocities (m/s, rad/s)."""
        return {"position": self.bounded_position(), "velocity": self.reads.velocities}

    def factors(self) -> dict[str, NDArray[np.float32]]:
        """Return what the reward is a product of, (num_envs,) each, in [0, 1]."""
        return {
            "upright": lifted(self.pole_angle_cosine(), 0.5),
            "centered": lifted(tolerance(self.cart_position(), margin=2.0), 0.5),
            "small_control": lifted(small_control(self.ctrl), 0.8),
            "small_velocity": lifted(tolerance(self.angular_velocity(), margin=5.0), 0.5),
        }

    def rewards(self, state: NpEnvState) -> dict[str, NDArray[np.float32]]:
        """Pay the product of all factors."""
        upright, centered, control, velocity = self.factors().values()
        return {"balance": upright * centered * control * velocity}

    def metrics(self, state: NpEnvState) -> dict[str, NDArray[np.float32]]:
        """Return the factors of the reward."""
        return self.factors()

    def succeeded(self, state: NpEnvState) -> NDArray[np.bool_]:
        """Tell whether the pole is up, in the middle, at the end."""
        in_the_middle = np.abs(self.cart_position()) < IN_THE_MIDDLE
        return state.truncated & (self.pole_angle_cosine() > UPRIGHT) & in_the_middle
