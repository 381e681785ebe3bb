"""The table of contents of this package: names in strings, nothing imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from motrix_envs.registry import EnvRegistry
    from motrix_rl.registry import RlRegistry


def register_envs(registry: EnvRegistry) -> None:
    """Declare the environments."""
    registry.lazy("acme_envs.slide", "acme-slide")


def register_presets(registry: RlRegistry) -> None:
    """Declare how they are trained."""
    registry.preset("acme_envs.presets", "acme-slide")
