"""The environments in Gymnasium's own list, as `motrix/cartpole` and so on.

`gymnasium.make("motrix_envs:motrix/cartpole")` imports `motrix_envs` and looks the id up right
after, so the ids must be there by then; but `motrix_envs` must not import Gymnasium for those who
never use it. Hence whichever of the two is imported second brings them together: this module
registers at once where Gymnasium is loaded, and otherwise at the end of Gymnasium's own import.

Ids are registered as strings: no environment, no NumPy and no engine is imported for it.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

NAMESPACE = "motrix"

_GYMNASIUM = "gymnasium"
_logger = logging.getLogger(__name__)


def register_all() -> tuple[str, ...]:
    """Make Gymnasium know every registered environment; imports Gymnasium.

    This happens by itself for what plugins declare. Call it after defining environments in a
    script or notebook: it adds those that Gymnasium does not know yet.

    Returns:
        The Gymnasium ids that are new, `("motrix/cartpole", ...)`.
    """
    from gymnasium import error
    from gymnasium.envs import registration

    new = []
    for name in _names():
        env_id = f"{NAMESPACE}/{name}"
        if env_id in registration.registry:
            continue
        try:
            registration.register(
                env_id,
                entry_point="motrix_envs.gym:MotrixEnv",
                vector_entry_point="motrix_envs.gym:MotrixVectorEnv",
                kwargs={"name": name},
            )
        except error.Error as problem:  # Gymnasium has rules of its own for ids
            _logger.warning("Gymnasium cannot list environment '%s': %s", name, problem)
        else:
            new.append(env_id)
    return tuple(new)


def _names() -> list[str]:
    """Return all environment ids; a failing plugin is reported, and nobody's import fails."""
    from motrix_envs import registry
    from motrix_envs.errors import PluginError, PluginWarning

    try:
        registry.default.envs()
    except (PluginError, PluginWarning) as problem:  # where plugins or warnings are strict
        _logger.warning("%s", problem)
    records = list(registry.default.table.values())
    return [record.name for record in records if isinstance(record, registry.EnvRecord)]


class _AtImport:
    """A finder on `sys.meta_path` that waits for the import of Gymnasium."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return what the other finders find, with a loader that registers when it is done."""
        if name != _GYMNASIUM:
            return None
        others = [finder for finder in sys.meta_path if finder is not self]
        found = (f.find_spec(name, path, target) for f in others if hasattr(f, "find_spec"))
        spec = next((spec for spec in found if spec is not None), None)
        if spec is not None and spec.loader is not None:
            spec.loader = _ThenRegister(spec.loader, self)  # type: ignore[assignment]
        return spec


class _ThenRegister:
    """A loader that does what another one does, and registers the environments after it.

    Like `importlib.util.LazyLoader`, it leaves no trace in the module that it loads.
    """

    def __init__(self, loader: Any, finder: _AtImport) -> None:
        self.loader = loader
        self.finder = finder

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Let the other loader create the module."""
        created: ModuleType | None = self.loader.create_module(spec)
        return created

    def exec_module(self, module: ModuleType) -> None:
        """Let the other loader run the module, then register."""
        if module.__spec__ is not None:
            module.__spec__.loader = self.loader
        module.__loader__ = self.loader
        self.loader.exec_module(module)
        if self.finder in sys.meta_path:
            sys.meta_path.remove(self.finder)
        register_all()


if _GYMNASIUM in sys.modules:
    register_all()
else:
    sys.meta_path.insert(0, _AtImport())
