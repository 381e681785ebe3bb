"""What this package serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from motrix_rl.registry import RlRegistry


def register(registry: RlRegistry) -> None:
    """Declare the trainers; called once, imports nothing."""
    registry.backend(rllib="skrl", backend="jax", trainer="motrix_rl_jax.skrl_ppo:Trainer")
    registry.backend(rllib="motrix", backend="jax", trainer="motrix_rl_jax.engine:Trainer")
