"""The table of contents of this suite: which module defines which environments."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from motrix_envs.registry import EnvRegistry


def register(registry: EnvRegistry) -> None:
    """Declare the built-in engine and environments; called once, imports nothing."""
    registry.engine("motrixsim", "motrix_envs.sim.motrixsim:MotrixSimulation")
    registry.lazy("motrix_envs.basic.cartpole", "cartpole")
    registry.lazy("motrix_envs.control.pendulum", "pendulum")
    registry.lazy("motrix_envs.control.acrobot", "acrobot")
    registry.lazy("motrix_envs.control.point_mass", "point_mass")
    registry.lazy("motrix_envs.control.cartpole", "dm-cartpole-balance", "dm-cartpole-swingup")
    registry.lazy("motrix_envs.control.reacher", "dm-reacher", "dm-reacher-hard")
    registry.lazy("motrix_envs.control.walker", "dm-stander", "dm-walker", "dm-runner")
    registry.lazy("motrix_envs.control.cheetah", "dm-cheetah")
    registry.lazy("motrix_envs.control.hopper", "dm-hopper-stand", "dm-hopper-hop")
    registry.lazy("motrix_envs.control.bounce_ball", "bounce_ball")
