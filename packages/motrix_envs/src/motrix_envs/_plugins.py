"""Installed plugins, read from package metadata: the only module that touches it."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import importlib_metadata

from motrix_envs.errors import PluginError

ENVS_GROUP = "motrix.envs"
RLCFGS_GROUP = "motrix.rlcfgs"

# These claim their names first, so that a newcomer who takes a built-in name is the one refused.
FIRST_PARTY = ("motrix-envs", "motrix-rl", "motrix-rl-torch", "motrix-rl-jax")


@dataclass(frozen=True)
class Owner:
    """Who registered something: a distribution and its version, or the user's own code."""

    name: str
    version: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.version}".strip()


USER_CODE = Owner("user code")


@dataclass(frozen=True)
class Plugin:
    """One entry point: the distribution that declares it and its function `register(registry)`."""

    owner: Owner
    group: str
    name: str
    value: str

    @property
    def disabled(self) -> bool:
        """Whether `MOTRIX_DISABLE_PLUGINS` names this plugin or its distribution."""
        listed = os.environ.get("MOTRIX_DISABLE_PLUGINS", "").split(",")
        return bool({self.name, self.owner.name} & {entry.strip() for entry in listed})

    def load_hook(self) -> Callable[[Any], None]:
        """Import the module of this plugin and return its hook.

        Raises:
            PluginError: The entry point does not name a function.
        """
        hook = resolve(self.value)
        if not callable(hook):
            raise PluginError(
                f"entry point {self.name} = {self.value!r} names a {type(hook).__name__}, not a "
                f"function. Write {self.name} = \"{self.value.partition(':')[0]}:register\" and "
                "define register(registry) there."
            )
        return hook  # type: ignore[no-any-return]


def strict() -> bool:
    """Whether a failing plugin stops the program (`MOTRIX_STRICT_PLUGINS=1`)."""
    return os.environ.get("MOTRIX_STRICT_PLUGINS", "") not in ("", "0")


def discover(group: str) -> list[Plugin]:
    """Return the plugins of an entry-point group: first-party ones first, then by name."""
    plugins = [
        Plugin(Owner(entry.dist.name, entry.dist.version), group, entry.name, entry.value)
        for entry in importlib_metadata.entry_points(group=group)
        if entry.dist is not None
    ]
    return sorted(plugins, key=_precedence)


def _precedence(plugin: Plugin) -> tuple[int, str, str]:
    name = plugin.owner.name
    rank = FIRST_PARTY.index(name) if name in FIRST_PARTY else len(FIRST_PARTY)
    return rank, name, plugin.name


def installed_version(distribution: str) -> str | None:
    """Return the version of an installed distribution, or None; imports nothing of it."""
    try:
        return importlib_metadata.version(distribution)
    except importlib_metadata.PackageNotFoundError:
        return None


def resolve(reference: str) -> Any:
    """Import what `"package.module:Attribute"` names; without a colon, the module itself.

    Raises:
        PluginError: The module has no such attribute.
    """
    module_name, _, attribute = reference.partition(":")
    target: Any = importlib.import_module(module_name)
    for part in attribute.split(".") if attribute else ():
        try:
            target = getattr(target, part)
        except AttributeError:
            raise PluginError(f"module '{module_name}' has no attribute '{attribute}'") from None
    return target
