"""The module that PPO trains, in JAX."""

from __future__ import annotations

from motrix_rl.rl_module.ppo import PORTABLE_KIND, PPORLModule

from motrix_rl_jax.rl_module.module import FlaxRLModule


class PPOFlaxRLModule(FlaxRLModule, PPORLModule):
    """Policy and value function in JAX; everything is said in `PPORLModule`."""

    PORTABLE_KIND = PORTABLE_KIND
