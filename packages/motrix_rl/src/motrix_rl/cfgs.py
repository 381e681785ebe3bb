"""Training configurations of the built-in environments.

A preset is a dataclass; a variant inherits it and says only what differs.
"""

from __future__ import annotations

from dataclasses import dataclass

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
