"""The environments that are trained in: they tell a watch when a step begins and ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from legged import QuadrupedCfg, RobotEnv
from motrix_envs.basic.cartpole import CartPoleCfg, CartPoleEnv
from motrix_envs.np.env import NpEnv
from motrix_envs.np.state import NpEnvState
from motrix_envs.registry import env, envcfg
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
    """The quadruped with a watch."""
