"""The environments that are trained in: they tell a watch when a step begins and ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from legged import FALLEN, QuadrupedCfg, RobotEnv
from motrix_envs.basic.cartpole import CartPoleCfg, CartPoleEnv
from motrix_envs.math.quaternion import rotate_inverse
from motrix_envs.np.env import NpEnv
from motrix_envs.np.state import NpEnvState
from motrix_envs.registry import env, envcfg
from motrix_envs.sim import Read, Simulation
from numpy.typing import NDArray

from training.watch import Watch


class Timed(NpEnv):
    """Mixed in before an environment. Its one watch belongs to the process, as does the training.

    Every tool calls `step` once for each step of the batch, so a clock here is the same for all.
    What steps first is trained in; others of the same kind are a tool's own business.
    """

    watch: ClassVar[Watch]
    _trained: ClassVar[NpEnv | None] = None

    def step(self, actions: NDArray[Any]) -> NpEnvState:
        """See `NpEnv.step`."""
        if Timed._trained is None:
            Timed._trained = self
        if self is not Timed._trained:
            return super().step(actions)
        Timed.watch.enter(self)
        state = super().step(actions)
        Timed.watch.leave(self, state)
        return state


@envcfg("timed-cartpole")
@dataclass
class TimedCartPoleCfg(CartPoleCfg):
    """Cartpole as it is."""


@envcfg("timed-cartpole-50hz")
@dataclass
class TimedSlowCartPoleCfg(CartPoleCfg):
    """Cartpole with two steps of physics for each control step; an episode returns up to 500."""

    ctrl_dt: float = 0.02


@env("timed-cartpole")
@env("timed-cartpole-50hz")
class TimedCartPole(Timed, CartPoleEnv):
    """Cartpole with a watch."""


@envcfg("timed-quadruped")
@dataclass
class TimedQuadrupedCfg(QuadrupedCfg):
    """The quadruped of legged.py as it is."""


@env("timed-quadruped")
class TimedQuadruped(Timed, RobotEnv):
    """The quadruped with a watch, told to walk in a direction, as is usual for such robots.

    48 numbers are observed and eight terms rewarded, the usual ones of Rudin et al., "Learning to
    Walk in Minutes Using Massively Parallel Deep Reinforcement Learning", 2022. All of them follow
    from positions and velocities of joints and trunk.
    """

    def further_reads(self) -> dict[str, Read]:
        """Need nothing but the state."""
        return {}

    def init_info(self) -> dict[str, Any]:
        """Remember the command and the last two actions."""
        widths = {"command": 3, "action": self.ctrl.shape[1], "last_action": self.ctrl.shape[1]}
        return {name: np.zeros((self.num_envs, n), np.float32) for name, n in widths.items()}

    def reset(self, data: Simulation, rows: NDArray[np.int64]) -> tuple[None, dict[str, Any]]:
        """Start at rest with a new command: speeds forward and to the left, rate of turning."""
        super().reset(data, rows)
        still = np.zeros((len(rows), data.model.num_actuators), np.float32)
        command = self.streams.uniform("command", rows, 3, -1.0, 1.0)
        return None, {"command": command, "action": still, "last_action": still}

    def apply_action(self, actions: NDArray[np.float32], state: NpEnvState) -> NpEnvState:
        """Move around the rest pose, and remember how."""
        state.info["last_action"], state.info["action"] = state.info["action"], actions
        return super().apply_action(actions, state)

    def observe(self, state: NpEnvState) -> dict[str, NDArray[np.float32]]:
        """Return velocities (m/s, rad/s) and gravity in the trunk's frame, command, joints."""
        return {
            "velocity": self.velocity(),
            "turning": self.reads.v[:, 3:6],
            "gravity": self.gravity(),
            "command": state.info["command"],
            "joints": self.reads.q[:, 7:] - self._start[7:],
            "speeds": self.reads.v[:, 6:],
            "action": state.info["action"],
        }

    def velocity(self) -> NDArray[np.float32]:
        """Velocity of the trunk in its own frame in m/s, (num_envs, 3)."""
        return rotate_inverse(self.reads.q[:, 3:7], self.reads.v[:, :3])

    def gravity(self) -> NDArray[np.float32]:
        """Direction of gravity in the trunk's frame, (num_envs, 3)."""
        return rotate_inverse(self.reads.q[:, 3:7], np.array([0.0, 0.0, -1.0], np.float32))

    def rewards(self, state: NpEnvState) -> dict[str, NDArray[np.float32]]:
        """Pay for following the command, charge for the rest."""
        command, v, turning = state.info["command"], self.velocity(), self.reads.v[:, 3:6]
        change = state.info["action"] - state.info["last_action"]
        return {
            "velocity": np.exp(-4 * np.square(command[:, :2] - v[:, :2]).sum(axis=1)),
            "turning": 0.5 * np.exp(-4 * np.square(command[:, 2] - turning[:, 2])),
            "bouncing": -2 * np.square(v[:, 2]),
            "rolling": -0.05 * np.square(turning[:, :2]).sum(axis=1),
            "leaning": -np.square(self.gravity()[:, :2]).sum(axis=1),
            "height": -10 * np.square(self.reads.q[:, 2] - self._start[2]),
            "speeds": -1e-4 * np.square(self.reads.v[:, 6:]).sum(axis=1),
            "change": -0.01 * np.square(change).sum(axis=1),
        }

    def terminate(self, state: NpEnvState) -> NDArray[np.bool_]:
        """End when the trunk is down."""
        fallen: NDArray[np.bool_] = self.reads.q[:, 2] < FALLEN
        return fallen
