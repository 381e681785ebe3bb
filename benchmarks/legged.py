"""How much of the bare physics' speed an environment reaches on robots with legs, per engine.

    uv run legged.py --num-envs 512 2048 --seconds 20

The environments are plain ones around the robots of `tests/sim/models.py`: poses and velocities of
all bodies are read, observed and rewarded, and a row starts again when its time is up or it falls.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from motrix_envs.base import EnvCfg
from motrix_envs.benchmarking import machine, measure
from motrix_envs.np.env import NpEnv
from motrix_envs.np.state import NpEnvState
from motrix_envs.registry import env, envcfg
from motrix_envs.sim import BodyPosition, Model, Positions, Read, Simulation, Velocities
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "sim"))

from models import LEGS, MODELS, STAND

FALLEN = 0.15  # m above the ground


@envcfg("bench-walker")
@dataclass
class WalkerCfg(EnvCfg):
    """A planar walker at 50 Hz."""

    sim_dt: float = 0.004
    ctrl_dt: float = 0.02
    max_episode_seconds: float | None = 4.0
    robot: str = "walker"


@envcfg("bench-quadruped")
@dataclass
class QuadrupedCfg(WalkerCfg):
    """A quadruped with position servos at 50 Hz."""

    sim_dt: float = 0.005
    robot: str = "quadruped"


@env("bench-walker")
@env("bench-quadruped")
class RobotEnv(NpEnv):
    """A robot that is paid for going forward and controlled around its rest pose."""

    def make_model(self) -> Model:
        """Take the robot that the configuration names."""
        return MODELS[self._cfg.robot]  # type: ignore[attr-defined]

    def setup(self) -> None:
        """Read what is needed, and find the pose to start from."""
        self.reads = self.sim.declare(q=Positions(), v=Velocities(), **self.further_reads())
        servos = self.sim.model.num_actuators == 4 * len(STAND)
        self._rest = np.tile(STAND, len(LEGS)) if servos else np.zeros(self.ctrl.shape[1])
        self._start = self.sim.model.default_positions.copy()
        if servos:
            self._start[7:] = self._rest

    def further_reads(self) -> dict[str, Read]:
        """Return what is read beside the state: where the bodies are."""
        return {"bodies": BodyPosition(*self.sim.model.body_names)}

    @cached_property
    def action_space(self) -> gymnasium.spaces.Box:
        """One number per motor."""
        return gymnasium.spaces.Box(-1.0, 1.0, (self.sim.model.num_actuators,), np.float32)

    def apply_action(self, actions: NDArray[np.float32], state: NpEnvState) -> NpEnvState:
        """Move around the rest pose."""
        self.ctrl = (self._rest + 0.3 * actions).astype(np.float32)
        return state

    def reset(self, data: Simulation, rows: NDArray[np.int64]) -> tuple[None, dict[str, Any]]:
        """Start at rest, a little turned in every joint."""
        q = np.tile(self._start, (len(rows), 1))
        q[:, -4:] += self.streams.uniform("reset", rows, 4, -0.05, 0.05)
        data.reset(rows, q, np.zeros((len(rows), data.model.num_velocities), np.float32))
        return None, {}

    def observe(self, state: NpEnvState) -> dict[str, NDArray[np.float32]]:
        """Return the state and the heights of all bodies in m."""
        return {"q": self.reads.q, "v": self.reads.v, "heights": self.reads.bodies[..., 2]}

    def rewards(self, state: NpEnvState) -> dict[str, NDArray[np.float32]]:
        """Pay for speed, charge for effort."""
        return {"speed": self.reads.v[:, 0], "effort": -np.square(self.ctrl).mean(axis=1)}

    def terminate(self, state: NpEnvState) -> NDArray[np.bool_]:
        """End when the trunk is down."""
        fallen: NDArray[np.bool_] = self.reads.bodies[:, 0, 2] < FALLEN
        return fallen


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--engines", nargs="+", default=["motrixsim", "mujoco"])
    parser.add_argument("--num-envs", type=int, nargs="+", default=[512, 2048])
    parser.add_argument("--seconds", type=float, default=20.0, help="per robot and size")
    args = parser.parse_args()
    print(*(f"{name} {value}" for name, value in machine("motrixsim", "mujoco").items()), sep=", ")
    for name in ("bench-quadruped", "bench-walker"):
        for num_envs in args.num_envs:
            for one in measure(name, args.engines, num_envs, args.seconds):
                share = one.efficiency
                print(
                    f"{name:<16}{one.engine:<12}{num_envs:>6}{one.bare_speed:>10.0f} bare/s  "
                    f"{share.median:.3f} [{share.low:.3f}, {share.high:.3f}]  "
                    f"{one.resets:.1f} resets a step"
                )


if __name__ == "__main__":
    main()
