"""The suite's planar walker: get up and stand, walk at 1 m/s, run at 8 m/s."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from motrix_envs.control.suite import PlanarEnv, SuiteCfg, model_path, unit_box
from motrix_envs.np.env import Camera
from motrix_envs.np.reward import tolerance
from motrix_envs.np.state import NpEnvState
from motrix_envs.registry import env, envcfg

START_HEIGHT = 1.3  # m of the torso where its slide is at 0
STAND_HEIGHT = 1.2  # m of the torso
STANDS, MOVES = 1.0, 0.5  # what success asks for: m of the torso, share of the wanted speed


@dataclass
class StandRewardCfg:
    """Weights of the reward's terms; they sum to 1."""

    stand: float = 1.0
    """For a high and upright torso."""
    move: float = 0.0
    """For being fast enough while standing."""


@dataclass
class MoveRewardCfg(StandRewardCfg):
    """Weights of the reward's terms; they sum to 1."""

    stand: float = 1 / 6
    move: float = 5 / 6


@envcfg("dm-stander")
@dataclass
class StanderCfg(SuiteCfg):
    """Twenty-five seconds at 40 Hz; dm_control's `walker` `stand`."""

    not_negative: ClassVar[tuple[str, ...]] = ("move_speed", "stand_margin")

    model_file: str | None = model_path("walker")
    sim_dt: float = 0.005
    ctrl_dt: float = 0.025
    max_episode_seconds: float | None = 25.0
    render_spacing: float = 2.0
    move_speed: float = 0.0
    """Wanted speed in m/s."""
    stand_margin: float = STAND_HEIGHT / 2
    """How much lower the torso may be in m for a tenth of the points."""
    reward: StandRewardCfg = field(default_factory=StandRewardCfg)


@envcfg("dm-walker")
@dataclass
class WalkerCfg(StanderCfg):
    """Walks at 1 m/s; dm_control's `walker` `walk`."""

    move_speed: float = 1.0
    reward: StandRewardCfg = field(default_factory=MoveRewardCfg)


@envcfg("dm-runner")
@dataclass
class RunnerCfg(WalkerCfg):
    """Runs at 8 m/s; dm_control's `walker` `run`."""

    move_speed: float = 8.0


@env("dm-stander", "np")
@env("dm-walker", "np")
@env("dm-runner", "np")
class WalkerEnv(PlanarEnv):
    """Up to one point a step: a high, upright torso that moves forward."""

    camera = Camera((0.0, 0.0, 0.8), 5.0, elevation=-10.0, azimuth=90.0, follow="torso")
    success_metric = "the torso is above 1 m, at half the wanted speed or more, at the time limit"
    action_space = unit_box(6)

    _cfg: StanderCfg

    # Readers

    def torso_height(self) -> NDArray[np.float32]:
        """Height of the torso in m, (num_envs,)."""
        return self.reads.positions[:, 0] + np.float32(START_HEIGHT)

    def torso_upright(self) -> NDArray[np.float32]:
        """Cosine of the torso's angle from upright, (num_envs,)."""
        return np.cos(self.reads.positions[:, 2])

    def orientations(self) -> NDArray[np.float32]:
        """Cosine and sine of the pitch of torso, right and left thigh, leg, foot, (num_envs, 14).

        Joints turn against the pitch.
        """
        torso, right, left = np.split(self.reads.positions[:, 2:], (1, 4), axis=1)
        legs = [torso - np.cumsum(joints, axis=1) for joints in (right, left)]
        pitch = np.hstack([torso, *legs])
        return np.stack([np.cos(pitch), np.sin(pitch)], axis=2).reshape(len(pitch), -1)

    # Parts

    def observe(self, state: NpEnvState) -> dict[str, NDArray[np.float32]]:
        """Return directions of all bodies, the torso's height (m), velocities (m/s, rad/s)."""
        return {
            "orientations": self.orientations(),
            "height": self.torso_height()[:, None],
            "velocity": self.reads.velocities,
        }

    def rewards(self, state: NpEnvState) -> dict[str, NDArray[np.float32]]:
        """Pay for standing, and for moving while standing."""
        high = tolerance(self.torso_height(), (STAND_HEIGHT, math.inf), self._cfg.stand_margin)
        upright = (self.torso_upright() + 1) / 2
        stand = (3 * high + upright) / 4
        return {"stand": stand, "move": stand * self.fast_enough(self._cfg.move_speed)}

    def metrics(self, state: NpEnvState) -> dict[str, NDArray[np.float32]]:
        """Return height in m and speed in m/s."""
        return {"height": self.torso_height(), "speed": self.speed()}

    def succeeded(self, state: NpEnvState) -> NDArray[np.bool_]:
        """Tell whether it stands, and moves, at the end."""
        fast = self.speed() >= MOVES * self._cfg.move_speed if self._cfg.move_speed else True
        return state.truncated & (self.torso_height() > STANDS) & fast
