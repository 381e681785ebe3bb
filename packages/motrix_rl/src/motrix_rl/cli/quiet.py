"""Warnings of plugins, where a command reports their failures itself."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from motrix_envs.errors import PluginWarning


@contextmanager
def quiet_plugins() -> Iterator[None]:
    """Hide `PluginWarning`s inside the block."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PluginWarning)
        yield
