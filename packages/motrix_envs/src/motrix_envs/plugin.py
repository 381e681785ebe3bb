"""The table of contents of this suite: which module defines which environments."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from motrix_envs.registry import EnvRegistry


def register(registry: EnvRegistry) -> None:
    """Declare the built-in engine and environments; called once, imports nothing."""
    registry.engine("motrixsim", "motrix_envs.sim.motrixsim:MotrixSimulation")
    registry.lazy("motrix_envs.basic.cartpole", "cartpole")
