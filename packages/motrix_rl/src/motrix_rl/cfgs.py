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

    All environments are at the same step of their episodes. A rollout has to see a good part of
    one, or each update would forget what the one before learned of another part.
    """

    num_envs: int = 128
    check_point_interval: int = 2000
    policy_hidden_layer_sizes: tuple[int, ...] = (64, 64)
    value_hidden_layer_sizes: tuple[int, ...] = (64, 64)
    share_policy_value_features: bool = False
    rollouts: int = 128
    learning_epochs: int = 8
    mini_batches: int = 16
    learning_rate: float = 3e-4
    learning_rate_schedule: Literal["kl", "linear", "fixed"] = "fixed"


@rlcfg("pendulum")
@dataclass
class PendulumPPO(SuitePPO):
    """Pays nothing until the pendulum is up: many small updates, and noise that does not die down.

    Few of the first episodes earn anything, so that noise has to find the rest.
    """

    num_envs: int = 64
    max_env_steps: int = 10_000_000
    mini_batches: int = 8
    discount_factor: float = 0.995
    learning_rate: float = 1e-3
    entropy_loss_scale: float = 0.01


@rlcfg("dm-cartpole-balance")
@rlcfg("point_mass")
@rlcfg("dm-reacher")
@dataclass
class SuiteEasyPPO(SuitePPO):
    """Tasks that are found at once."""

    max_env_steps: int = 5_000_000


@rlcfg("dm-cartpole-swingup")
@rlcfg("dm-reacher-hard")
@dataclass
class SuiteMediumPPO(SuitePPO):
    """Tasks that take a while to find."""

    max_env_steps: int = 10_000_000


@rlcfg("acrobot")
@dataclass
class AcrobotPPO(SuitePPO):
    """Hard to balance: looks further ahead, and long."""

    max_env_steps: int = 40_000_000
    discount_factor: float = 0.995


@dataclass
class SuiteRobotPPO(SuitePPO):
    """The recipe of the suite's robots: larger networks, more environments."""

    num_envs: int = 256
    policy_hidden_layer_sizes: tuple[int, ...] = (256, 128, 64)
    value_hidden_layer_sizes: tuple[int, ...] = (256, 128, 64)
    rollouts: int = 64


@rlcfg("dm-stander")
@rlcfg("dm-walker")
@rlcfg("dm-hopper-stand")
@dataclass
class SuiteStandingPPO(SuiteRobotPPO):
    """Standing up and walking."""

    max_env_steps: int = 20_000_000


@rlcfg("dm-runner")
@rlcfg("dm-cheetah")
@rlcfg("dm-hopper-hop")
@dataclass
class SuiteRunningPPO(SuiteRobotPPO):
    """Running and hopping."""

    max_env_steps: int = 40_000_000


@rlcfg("bounce_ball")
@dataclass
class BounceBallPPO(SuiteRobotPPO):
    """Begins with little noise: a wild arm loses the ball at once."""

    max_env_steps: int = 20_000_000
    initial_log_std: float = -2.0
