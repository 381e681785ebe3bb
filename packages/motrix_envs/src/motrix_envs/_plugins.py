"""Installed plugins, read from package metadata: the only module that touches it."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import importlib_metadata

from motrix_envs.errors import PluginError

ENVS_GROUP = "motrix.envs"
RLCFGS_GROUP = "motrix.rlcfgs"

# These claim their names first, so that a newcomer who takes a built-in name is the one refused.
FIRST_PARTY = (
    "motrix-envs",
    "motrix-envs-mujoco",
    "motrix-rl",
    "motrix-rl-torch",
    "motrix-rl-jax",
)


@dataclass(frozen=True)
class Owner:
    """Who registered something: a distribution and its version, or the user's own code."""

    name: str
    version: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.version}".strip()


USER_CODE = Owner("user code")
"""The owner of what scripts and notebooks register."""


@dataclass(frozen=True)
class Plugin:
    """One entry point: the distribution that declares it and its function `register(registry)`."""

    owner: Owner
    group: str
    name: str
    value: str
    problem: str = ""
    """Why its metadata cannot be used, if it cannot."""

    @property
    def disabled(self) -> bool:
        """Whether `MOTRIX_DISABLE_PLUGINS` names this plugin or its distribution."""
        listed = os.environ.get("MOTRIX_DISABLE_PLUGINS", "").split(",")
        names = {_canonical(self.name), _canonical(self.owner.name)}
        return bool(names & {_canonical(entry.strip()) for entry in listed})

    @property
    def module(self) -> str:
        """The module of the hook."""
        return self.value.partition(":")[0].strip()

    def load_hook(self) -> Callable[[Any], None]:
        """Import the module of this plugin and return its hook.

        Raises:
            PluginError: The entry point cannot be read, or does not name a function.
        """
        if self.problem:
            raise PluginError(self.problem)
        hook = resolve(self.value)
        if not callable(hook):
            raise PluginError(
                f"entry point {self.name} = {self.value!r} names a {type(hook).__name__}, not a "
                f'function. Write {self.name} = "{self.module}:register" and define '
                "register(registry) there."
            )
        return hook  # type: ignore[no-any-return]


def strict() -> bool:
    """Whether a failing plugin stops the program (`MOTRIX_STRICT_PLUGINS=1`)."""
    return os.environ.get("MOTRIX_STRICT_PLUGINS", "") not in ("", "0")


def discover(group: str) -> list[Plugin]:
    """Return the plugins of an entry-point group: first-party ones first, then by name."""
    return sorted(_scan(group), key=_precedence)


def _scan(group: str) -> Iterator[Plugin]:
    """Yield the plugins of a group; an unreadable neighbour harms nobody."""
    for name, mentioned in _distributions_that_mention(group).items():
        try:
            # As pip sees it: a second copy further down the path is not the installed one.
            dist = importlib_metadata.distribution(name)
        except importlib_metadata.PackageNotFoundError:
            dist = mentioned
        owner = Owner(dist.name, installed_version(name) or "")
        try:
            entries = importlib_metadata.EntryPoints(dist.entry_points).select(group=group)
        except (TypeError, ValueError, AttributeError) as error:
            problem = f"the entry points of {owner} cannot be read: {error}"
            yield Plugin(owner, group, owner.name, "", problem)
            continue
        for entry in entries:
            yield Plugin(owner, group, entry.name, entry.value)


def _distributions_that_mention(group: str) -> dict[str, Any]:
    """Return them by canonical name; reading the names of all would take ten times as long."""
    found: dict[str, Any] = {}
    for dist in importlib_metadata.distributions():
        try:
            if f"[{group}]" in (dist.read_text("entry_points.txt") or ""):
                found.setdefault(_canonical(dist.name), dist)
        except (OSError, UnicodeError, KeyError, TypeError, AttributeError):
            continue  # what an interrupted uninstallation leaves behind
    return found


def _canonical(name: str) -> str:
    """Return the name of a distribution as PEP 503 compares them."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _precedence(plugin: Plugin) -> tuple[int, str, str]:
    name = _canonical(plugin.owner.name)
    rank = FIRST_PARTY.index(name) if name in FIRST_PARTY else len(FIRST_PARTY)
    return rank, name, plugin.name


def installed_version(distribution: str) -> str | None:
    """Return the version of an installed distribution, or None; imports nothing of it."""
    try:
        return importlib_metadata.version(distribution)
    except (importlib_metadata.PackageNotFoundError, KeyError):
        return None


def resolve(reference: str) -> Any:
    """Import what `"package.module:Attribute"` names; without a colon, the module itself.

    Raises:
        PluginError: The module has no such attribute.
    """
    module_name, _, attribute = (part.strip() for part in reference.partition(":"))
    target: Any = importlib.import_module(module_name)
    for part in attribute.split(".") if attribute else ():
        try:
            target = getattr(target, part)
        except AttributeError:
            raise PluginError(f"module '{module_name}' has no attribute '{attribute}'") from None
    return target
