"""What `motrix_rl.rl_module.frameworks` asks this package for."""

from motrix_rl_jax.rl_module.networks import build_model
from motrix_rl_jax.rl_module.ops import Ops
from motrix_rl_jax.rl_module.ppo import PPOFlaxRLModule as PPOModule

__all__ = ["Ops", "PPOModule", "build_model"]
