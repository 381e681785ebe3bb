"""The suite's hopper: stand on one leg, or hop forward at 2 m/s."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from motrix_envs.control.suite import PlanarEnv, SuiteCfg, model_path, small_control, unit_box
from motrix_envs.np.env import Camera
from motrix_envs.np.reward import tolerance
from motrix_envs.np.state import NpEnvState
from motrix_envs.registry import env, envcfg
from motrix_envs.sim import Read, Sensor, SitePosition

STAND_HEIGHT = (0.6, 2.0)  # m of the torso above the foot
HOPS = 0.5  # share of the wanted speed that success asks for


@dataclass
class StandRewardCfg:
    """Weights of the reward's terms; they sum to 1."""

    stand: float = 0.8
    """For a torso high above the foot."""
    gentle: float = 0.2
    """For that with little force."""
    hop: float = 0.0
    """For that at the wanted speed."""


@dataclass
class HopRewardCfg(StandRewardCfg):
    """Weights of the reward's terms; they sum to 1."""

    stand: float = 0.0
    gentle: float = 0.0
    hop: float = 1.0


@envcfg("dm-hopper-stand")
@dataclass
class HopperStandCfg(SuiteCfg):
    """Twenty seconds at 50 Hz; dm_control's `hopper` `stand`."""

    not_negative: ClassVar[tuple[str, ...]] = ("hop_speed", "stand_margin")

    model_file: str | None = model_path("hopper")
    sim_dt: float = 0.005
    ctrl_dt: float = 0.02
    max_episode_seconds: float | None = 20.0
    render_spacing: float = 2.0
    hop_speed: float = 0.0
    """Wanted speed in m/s."""
    stand_margin: float = 0.0
    """How much lower the torso may be in m for a tenth of the points; 0 pays nothing there."""
    reward: StandRewardCfg = field(default_factory=StandRewardCfg)


@envcfg("dm-hopper-hop")
@dataclass
class HopperHopCfg(HopperStandCfg):
    """Hops at 2 m/s; dm_control's `hopper` `hop`."""

    hop_speed: float = 2.0
    reward: StandRewardCfg = field(default_factory=HopRewardCfg)


@env("dm-hopper-stand", "np")
@env("dm-hopper-hop", "np")
class HopperEnv(PlanarEnv):
    """Up to one point a step, where the torso is high above the foot."""

    camera = Camera((0.0, 0.0, 0.6), 4.0, elevation=-10.0, azimuth=90.0, follow="torso")
    success_metric = (
        "torso 0.6 m above the foot, at half the wanted speed or more, at the time limit"
    )
    action_space = unit_box(4)

    _cfg: HopperStandCfg

    def further_reads(self) -> dict[str, Read]:
        """Read torso, foot and what presses on the foot."""
        return {
            "torso": SitePosition("torso_middle"),
            "foot": SitePosition("foot_middle"),
            "touch": Sensor("toe", "heel"),
        }

    # Readers

    def height(self) -> NDArray[np.float32]:
        """Height of the torso above the foot in m, from middle to middle, (num_envs,)."""
        return self.reads.torso[:, 2] - self.reads.foot[:, 2]

    def touch(self) -> NDArray[np.float32]:
        """Logarithm of one more than the force in N on toe and heel, (num_envs, 2)."""
        return np.log1p(self.reads.touch)

    # Parts

    def observe(self, state: NpEnvState) -> dict[str, NDArray[np.float32]]:
        """Return positions without the way hopped, velocities, and touch."""
        return {
            "position": self.reads.positions[:, 1:],
            "velocity": self.reads.velocities,
            "touch": self.touch(),
        }

    def rewards(self, state: NpEnvState) -> dict[str, NDArray[np.float32]]:
        """Pay for standing, with little force or at speed."""
        stand = tolerance(self.height(), STAND_HEIGHT, self._cfg.stand_margin)
        return {
            "stand": stand,
            "gentle": stand * small_control(self.ctrl),
            "hop": stand * self.fast_enough(self._cfg.hop_speed),
        }

    def metrics(self, state: NpEnvState) -> dict[str, NDArray[np.float32]]:
        """Return height in m and speed in m/s."""
        return {"height": self.height(), "speed": self.speed()}

    def succeeded(self, state: NpEnvState) -> NDArray[np.bool_]:
        """Tell whether it stands, and moves, at the end."""
        fast = self.speed() >= HOPS * self._cfg.hop_speed if self._cfg.hop_speed else True
        return state.truncated & (self.height() >= STAND_HEIGHT[0]) & fast
