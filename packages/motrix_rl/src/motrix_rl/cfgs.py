"""Training configurations of the built-in environments.

A preset is a dataclass; a variant inherits it and says only what differs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from motrix_rl.registry import rlcfg
from motrix_rl.skrl.cfg import PPOCfg


@rlcfg("cartpole")
@dataclass
class CartPolePPO(PPOCfg):
    """Cartpole in about half a minute on two cores."""

    num_envs: int = 512
    max_env_steps: int = 2_000_000
    check_point_interval: int = 2000
    policy_hidden_layer_sizes: tuple[int, ...] = (32, 32)
    value_hidden_layer_sizes: tuple[int, ...] = (32, 32)
    share_policy_value_features: bool = False
    rollouts: int = 32
    learning_epochs: int = 5
    mini_batches: int = 4
    learning_rate: float = 1e-3


@dataclass
class SuitePPO(PPOCfg):
    """The recipe of the control suite: episodes of 1000 steps that end by the time limit alone.

    Rows begin at different steps of their episodes, so that short rollouts see all parts of one.
    """

    num_envs: int = 256
    stagger_episodes: bool = True
    check_point_interval: int = 1000
    policy_hidden_layer_sizes: tuple[int, ...] = (64, 64)
    value_hidden_layer_sizes: tuple[int, ...] = (64, 64)
    share_policy_value_features: bool = False
    rollouts: int = 32
    learning_epochs: int = 8
    mini_batches: int = 16
    learning_rate: float = 5e-4
    learning_rate_schedule: Literal["kl", "linear", "fixed"] = "fixed"


@rlcfg("pendulum")
@dataclass
class PendulumPPO(SuitePPO):
    """Pays nothing until the pendulum is up: many small steps, and a reward for noise.

    With less of either it spins through the top for ever.
    """

    max_env_steps: int = 4_000_000
    learning_epochs: int = 10
    mini_batches: int = 32
    learning_rate: float = 3e-4
    entropy_loss_scale: float = 0.01


@rlcfg("dm-cartpole-balance")
@dataclass
class BalancePPO(SuitePPO):
    """Found at once."""

    max_env_steps: int = 1_000_000


@rlcfg("dm-cartpole-swingup")
@dataclass
class SwingUpPPO(SuitePPO):
    """Takes a while to find."""

    max_env_steps: int = 4_000_000


@rlcfg("point_mass")
@dataclass
class PointMassPPO(SuitePPO):
    """Getting there is what is to be learned, not the rest of the episode at the target."""

    max_env_steps: int = 3_000_000
    episode_steps: int | None = 200


@rlcfg("dm-reacher")
@rlcfg("dm-reacher-hard")
@dataclass
class ReacherPPO(SuitePPO):
    """Many ways to many targets: a larger network, and more starts than time at a target."""

    max_env_steps: int = 3_000_000
    episode_steps: int | None = 150
    policy_hidden_layer_sizes: tuple[int, ...] = (128, 128)
    value_hidden_layer_sizes: tuple[int, ...] = (128, 128)
    learning_rate: float = 1e-3


@rlcfg("acrobot")
@dataclass
class AcrobotPPO(PendulumPPO):
    """Harder to swing up, and much harder to balance."""

    max_env_steps: int = 6_000_000
    discount_factor: float = 0.995


@rlcfg("bounce_ball")
@dataclass
class BounceBallPPO(SuitePPO):
    """Begins with little noise: a wild arm loses the ball at once."""

    max_env_steps: int = 3_000_000
    initial_log_std: float = -2.0


@rlcfg("dm-walker")
@dataclass
class SuiteRobotPPO(SuitePPO):
    """The recipe of the suite's robots."""

    max_env_steps: int = 3_000_000
    policy_hidden_layer_sizes: tuple[int, ...] = (128, 128)
    value_hidden_layer_sizes: tuple[int, ...] = (128, 128)
    mini_batches: int = 8
    learning_rate: float = 1e-3
    learning_rate_schedule: Literal["kl", "linear", "fixed"] = "kl"
    learning_rate_scheduler_kl_threshold: float = 0.01
    entropy_loss_scale: float = 0.003


@rlcfg("dm-stander")
@dataclass
class StanderPPO(SuiteRobotPPO):
    """Soon stands up from nearly every fall: it takes many episodes to see which policy is best."""

    max_env_steps: int = 5_000_000
    select_episodes: int = 64


@rlcfg("dm-runner")
@dataclass
class SuiteRunningPPO(SuiteRobotPPO):
    """Without a larger reward for noise it is content with the first gait that it finds."""

    max_env_steps: int = 5_000_000
    entropy_loss_scale: float = 0.01


@rlcfg("dm-cheetah")
@dataclass
class CheetahPPO(SuiteRunningPPO):
    """Some seeds are fast after half of it; the others take all."""

    max_env_steps: int = 8_000_000


@rlcfg("dm-hopper-stand")
@dataclass
class HopperStandPPO(SuitePPO):
    """Pays nothing until it stands, which random motions hardly ever bring about.

    It learns to stay up after lucky starts, of which short episodes have more.
    """

    max_env_steps: int = 12_000_000
    episode_steps: int | None = 200
    policy_hidden_layer_sizes: tuple[int, ...] = (128, 128)
    value_hidden_layer_sizes: tuple[int, ...] = (128, 128)


@rlcfg("dm-hopper-hop")
@dataclass
class HopperHopPPO(SuiteRunningPPO):
    """Pays nothing but for moving while it stands: to be begun with a policy that stands."""

    max_env_steps: int = 10_000_000
    episode_steps: int | None = 300
