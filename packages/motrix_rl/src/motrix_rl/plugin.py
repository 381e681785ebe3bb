"""The presets of this package, and what the missing backends are called."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from motrix_rl.registry import RlRegistry


def register(registry: RlRegistry) -> None:
    """Declare the built-in presets; called once, imports nothing."""
    registry.preset("motrix_rl.cfgs", "cartpole", rllib="skrl")
