"""Slide: push a block along a rail to where it should be, and hold it there."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from motrix_envs.base import EnvCfg
from motrix_envs.np.env import Camera, NpEnv
from motrix_envs.np.reward import tolerance
from motrix_envs.np.state import NpEnvState
from motrix_envs.registry import env, envcfg
from motrix_envs.sim import JointPosition, JointVelocity, Simulation
from numpy.typing import NDArray

MAX_FORCE = 5.0  # N
REACH = 0.8  # m from the middle: where blocks start and targets are
RAIL_END = 1.1  # m from the middle
ARRIVED = 0.1  # m from the target: the width of the block
AT_REST = 0.1  # m/s


@dataclass
class RewardCfg:
    """Weights of the reward's terms."""

    near: float = 1.0
    """For being at the target: a tenth of it one metre away."""
    effort: float = -0.05
    """For the square of the action."""


@envcfg("acme-slide")
@dataclass
class SlideCfg(EnvCfg):
    """Configuration of the slide: three seconds at 50 Hz."""

    model_file: str | None = str(Path(__file__).with_name("slide.xml"))
    sim_dt: float = 0.01
    ctrl_dt: float = 0.02
    max_episode_seconds: float | None = 3.0
    render_spacing: float = 3.0
    reward: RewardCfg = field(default_factory=RewardCfg)


@env("acme-slide", "np")
class SlideEnv(NpEnv):
    """The target is drawn anew for every episode; its place is the environment's memory."""

    camera = Camera(lookat=(0.0, 0.0, 0.0), distance=3.0, elevation=-20.0, azimuth=90.0)
    success_metric = f"within {ARRIVED} m of the target and slower than {AT_REST} m/s at the end"
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def setup(self) -> None:
        """Read the joint."""
        self.reads = self.sim.declare(
            position=JointPosition("slide"), velocity=JointVelocity("slide")
        )

    def init_info(self) -> dict[str, Any]:
        """Remember one target per row in m, (num_envs, 1)."""
        return {"target": np.zeros((self.num_envs, 1), np.float32)}

    # Readers

    def error(self, state: NpEnvState) -> NDArray[np.float32]:
        """From the block to its target in m, (num_envs, 1)."""
        error: NDArray[np.float32] = state.info["target"] - self.reads.position
        return error

    # Parts

    def apply_action(self, actions: NDArray[np.float32], state: NpEnvState) -> NpEnvState:
        """Push the block."""
        self.ctrl = actions * np.float32(MAX_FORCE)
        return state

    def reset(self, data: Simulation, rows: NDArray[np.int64]) -> tuple[None, dict[str, Any]]:
        """Start at rest anywhere, with a target anywhere."""
        places = self.streams.uniform("reset", rows, 2, -REACH, REACH)
        start, target = places[:, :1], places[:, 1:]
        data.reset(rows, start, np.zeros_like(start))
        return None, {"target": target}

    def observe(self, state: NpEnvState) -> dict[str, NDArray[np.float32]]:
        """Return position (m), velocity (m/s) and the way to the target (m)."""
        return {
            "position": self.reads.position,
            "velocity": self.reads.velocity,
            "error": self.error(state),
        }

    def rewards(self, state: NpEnvState) -> dict[str, NDArray[np.float32]]:
        """Pay for nearness, charge for force; `cfg.reward` weighs both."""
        return {
            "near": tolerance(self.error(state)[:, 0], margin=1.0, sigmoid="long_tail"),
            "effort": np.square(self.ctrl[:, 0] / np.float32(MAX_FORCE)),
        }

    def terminate(self, state: NpEnvState) -> NDArray[np.bool_]:
        """End when the block reaches the end of the rail."""
        lost: NDArray[np.bool_] = np.abs(self.reads.position[:, 0]) > RAIL_END
        return lost

    def metrics(self, state: NpEnvState) -> dict[str, NDArray[np.float32]]:
        """Log the distance from the target in m."""
        return {"distance": np.abs(self.error(state)[:, 0])}

    def succeeded(self, state: NpEnvState) -> NDArray[np.bool_]:
        """Return whether the block has arrived and rests."""
        arrived = np.abs(self.error(state)[:, 0]) < ARRIVED
        slow = np.abs(self.reads.velocity[:, 0]) < AT_REST
        success: NDArray[np.bool_] = state.truncated & arrived & slow
        return success
