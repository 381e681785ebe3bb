"""The table of contents of this package: names in strings, nothing imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from motrix_rl.registry import RlRegistry


def register(registry: RlRegistry) -> None:
    """Declare the trainer, what it trains, and a network for other trainers."""
    registry.backend(rllib="acme", backend="numpy", algo="ars", trainer="acme_rl.ars:Trainer")
    registry.preset("acme_rl.presets", "cartpole", "acme-slide", rllib="acme", algo="ars")
    registry.module("acme-residual", "acme_rl.nets:Residual")
