"""What Acme's backend trains, and how."""

from __future__ import annotations

from dataclasses import dataclass

from motrix_rl.registry import rlcfg

from acme_rl.ars import ARSCfg


@rlcfg("cartpole", rllib="acme", algo="ars")
@dataclass
class CartPoleARS(ARSCfg):
    """Balances after a dozen updates, a quarter of a minute on two cores."""


@rlcfg("acme-slide", rllib="acme", algo="ars")
@dataclass
class SlideARS(ARSCfg):
    """Arrives every time after a quarter of a minute on two cores."""

    max_env_steps: int = 500_000
    check_point_interval: int = 1500
    horizon: int = 150
