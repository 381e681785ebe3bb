"""How Acme's environments are trained."""

from __future__ import annotations

from dataclasses import dataclass

from motrix_rl.registry import rlcfg
from motrix_rl.skrl.cfg import PPOCfg


@rlcfg("acme-slide")
@dataclass
class SlidePPO(PPOCfg):
    """Learns in about a quarter of a minute on two cores, with any backend."""

    num_envs: int = 256
    max_env_steps: int = 250_000
    check_point_interval: int = 500
    policy_hidden_layer_sizes: tuple[int, ...] = (32, 32)
    value_hidden_layer_sizes: tuple[int, ...] = (32, 32)
    share_policy_value_features: bool = False
    rollouts: int = 16
    learning_epochs: int = 5
    mini_batches: int = 4
    learning_rate: float = 2e-3
