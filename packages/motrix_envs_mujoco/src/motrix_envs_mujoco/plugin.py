"""Declares the engine under the entry-point group `motrix.envs`; imports nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from motrix_envs.registry import EnvRegistry


def register(registry: EnvRegistry) -> None:
    """Declare MuJoCo, faithful and fast."""
    registry.engine("mujoco", "motrix_envs_mujoco.engine:MujocoSimulation")
    registry.engine("mujoco-fast", "motrix_envs_mujoco.engine:FastMujocoSimulation")
