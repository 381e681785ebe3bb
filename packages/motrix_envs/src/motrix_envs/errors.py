"""The platform's errors: each says what was asked, what exists, and what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

LONGEST_VALUE = 200  # characters


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


def describe(error: BaseException) -> str:
    """Return the type and the text of an error; a stranger's may fail even at telling its text."""
    try:
        text = str(error)
    except Exception as worse:  # noqa: BLE001 - whatever a stranger's class does
        text = f"(and its text cannot be told: {type(worse).__name__})"
    return f"{type(error).__name__}: {text}"


def show(value: Any) -> str:
    """Return a value as messages show it: whatever it is, and however long."""
    try:
        return cut(repr(value))
    except Exception:  # noqa: BLE001 - a stranger's class, or an integer of thousands of digits
        return f"something of type {type(value).__name__} that cannot be printed"


def cut(text: str) -> str:
    """Return the beginning of a text that is too long for a message."""
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}..."
