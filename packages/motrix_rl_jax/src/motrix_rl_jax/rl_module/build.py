"""What `motrix_rl.rl_module.frameworks` asks this package for."""

from motrix_rl_jax.rl_module.networks import build_model
from motrix_rl_jax.rl_module.ops import Ops

__all__ = ["Ops", "build_model"]
