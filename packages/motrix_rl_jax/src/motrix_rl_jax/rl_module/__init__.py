"""RLModules in JAX, with Flax networks."""

from motrix_rl_jax.rl_module.module import FlaxRLModule
from motrix_rl_jax.rl_module.ppo import PPOFlaxRLModule

__all__ = ["FlaxRLModule", "PPOFlaxRLModule"]
