"""The presets of this package, and what the missing backends are called."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from motrix_rl.registry import RlRegistry

SUITE = (
    "pendulum",
    "acrobot",
    "point_mass",
    "dm-cartpole-balance",
    "dm-cartpole-swingup",
    "dm-reacher",
    "dm-reacher-hard",
    "dm-stander",
    "dm-walker",
    "dm-runner",
    "dm-cheetah",
    "dm-hopper-stand",
    "dm-hopper-hop",
    "bounce_ball",
)


def register(registry: RlRegistry) -> None:
    """Declare the built-in presets; called once, imports nothing."""
    for name in ("cartpole", *SUITE):
        registry.preset("motrix_rl.cfgs", name, rllib="skrl")
