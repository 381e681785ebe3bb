"""The platform's errors: each says what was asked, what exists, and what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MotrixError(Exception):
    """Base of every error that the platform raises on purpose.

    Each subclass also inherits the built-in type that a reader of the API expects (mostly
    `ValueError`). The command line shows these without a traceback.
    """


class EnvNotFoundError(MotrixError, ValueError):
    """No environment of this name is registered."""


class SimBackendError(MotrixError, ValueError):
    """An environment does not run on the simulation backend that was asked for."""


class DuplicateNameError(MotrixError, ValueError):
    """A name is already taken by somebody else."""


class ConfigError(MotrixError, ValueError):
    """A configuration has an unknown field, a value of the wrong type or an impossible value."""


class ModelError(MotrixError, ValueError):
    """A robot model cannot be loaded as it is written."""


class PluginError(MotrixError, RuntimeError):
    """A plugin could not be loaded, or does not keep what it declared."""


class PluginWarning(RuntimeWarning):
    """A plugin was left out; everything else works."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `" Did you mean 'x'?"` for the nearest of the `known` names, or an empty string."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean '{near[0]}'?" if near else ""
