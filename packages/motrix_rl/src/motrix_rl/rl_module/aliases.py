"""Type aliases of the signatures in this package."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from motrix_rl.rl_module.views import ViewRequirement

ModuleID = str
"""Name of a module inside a `MultiRLModule`; also the name of its folder on disk."""

StateDict = dict[str, Any]
"""Nested dictionaries with text keys whose leaves are NumPy arrays, or plain JSON values."""

Batch = Mapping[str, Any]
"""Columns by name; a column is an array, a tensor or a nested mapping of them."""

Components = str | Collection[str] | None
"""One component path such as `"a/b"`, several, or None for all."""

SpecType = "Spec | type | tuple[type, ...] | list[Any] | Mapping[str, Any] | None"
"""What a spec may be written as; see `convert_to_canonical_format`."""

ViewRequirements = dict[str, "ViewRequirement"]
"""View requirements by column."""
