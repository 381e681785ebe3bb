"""The suite's cheetah: run forward as fast as 10 m/s."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from motrix_envs.control.suite import PlanarEnv, SuiteCfg, model_path, unit_box
from motrix_envs.np.env import Camera
from motrix_envs.np.reward import tolerance
from motrix_envs.np.state import NpEnvState
from motrix_envs.registry import env, envcfg
from motrix_envs.rng import RowStreams
from motrix_envs.sim import Model, Positions, Simulation, Velocities

SETTLING = 2.0  # s that a cheetah falls, and comes to rest, before an episode
STARTS = 256  # how many different ones there are
SUCCESS = 0.5  # share of the wanted speed


@envcfg("dm-cheetah")
@dataclass
class CheetahCfg(SuiteCfg):
    """Ten seconds at 100 Hz; dm_control's `cheetah` `run`."""

    not_negative: ClassVar[tuple[str, ...]] = ("run_speed",)

    model_file: str | None = model_path("cheetah")
    sim_dt: float = 0.01
    ctrl_dt: float = 0.01
    max_episode_seconds: float | None = 10.0
    render_spacing: float = 2.0
    run_speed: float = 10.0
    """Wanted speed in m/s."""


@env("dm-cheetah", "np")
class CheetahEnv(PlanarEnv):
    """Up to one point a step, in proportion to the speed."""

    camera = Camera((0.0, 0.0, 0.5), 4.5, elevation=-10.0, azimuth=90.0, follow="torso")
    success_metric = "at half the wanted speed or more at the time limit"
    action_space = unit_box(6)
    turning = ()

    _cfg: CheetahCfg

    # Parts

    def reset(self, data: Simulation, rows: NDArray[np.int64]) -> tuple[None, dict[str, Any]]:
        """Start where a cheetah with joints anywhere in their range has come to rest."""
        starts = settled(type(data), str(self._cfg.model_file), self._cfg.sim_dt)
        chosen = self.streams.integers("reset.start", rows, 1, 0, len(starts[0]))[:, 0]
        data.reset(rows, *(part[chosen] for part in starts))
        return None, {}

    def observe(self, state: NpEnvState) -> dict[str, NDArray[np.float32]]:
        """Return positions without the way run (m, rad), and all velocities (m/s, rad/s)."""
        return {"position": self.reads.positions[:, 1:], "velocity": self.reads.velocities}

    def rewards(self, state: NpEnvState) -> dict[str, NDArray[np.float32]]:
        """Pay for speed."""
        wanted = self._cfg.run_speed
        return {"run": tolerance(self.speed(), (wanted, math.inf), wanted, "linear", 0.0)}

    def metrics(self, state: NpEnvState) -> dict[str, NDArray[np.float32]]:
        """Return the speed in m/s."""
        return {"speed": self.speed()}

    def succeeded(self, state: NpEnvState) -> NDArray[np.bool_]:
        """Tell whether it runs at the end."""
        return state.truncated & (self.speed() >= SUCCESS * self._cfg.run_speed)


@lru_cache(maxsize=8)
def settled(
    engine: type[Simulation], model_file: str, timestep: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return positions and velocities to start from, (k, num_positions) and (k, num_velocities).

    Computed once, because settling takes a fifth as many steps as an episode. They belong to the
    model, not to a seed: which of them an episode begins with is drawn.
    """
    sim = engine(Model.from_file(model_file), STARTS, timestep)
    reads = sim.declare(positions=Positions(), velocities=Velocities())
    limits = sim.model.joint_range
    low, high = np.where(np.isfinite(limits), limits, 0).T
    pose = RowStreams(0, STARTS).uniform("settling", np.arange(STARTS), len(low), low, high)
    sim.reset(np.arange(STARTS), pose, np.zeros_like(pose))
    rest = np.zeros((STARTS, sim.model.num_actuators), np.float32)
    good = ~sim.step(rest, round(SETTLING / timestep))
    starts = reads.positions[good].copy(), reads.velocities[good].copy()
    sim.close()
    return starts
