"""A hook that runs once, after the outermost constructor of an object has ended."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

_DEPTH = "_constructors_running"


def call_post_init_last(init: Callable[..., None]) -> Callable[..., None]:
    """Wrap an `__init__` so that the outermost one of a chain calls `__post_init__` at its end.

    Constructors call each other through `super()`; a counter on the instance tells the outermost.
    The signature stays visible to `inspect.signature`. If a constructor raises, the hook does not
    run.
    """

    @functools.wraps(init)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> None:
        # Straight into __dict__: torch modules refuse attributes before their own constructor.
        fields = self.__dict__
        fields[_DEPTH] = fields.get(_DEPTH, 0) + 1
        try:
            init(self, *args, **kwargs)
        finally:
            fields[_DEPTH] -= 1
            outermost = fields[_DEPTH] == 0
            if outermost:
                del fields[_DEPTH]
        if outermost:
            self.__post_init__()

    wrapped.__calls_post_init__ = True  # type: ignore[attr-defined]
    return wrapped


def calls_post_init(init: Callable[..., None]) -> bool:
    """Tell whether an `__init__` is wrapped already."""
    return getattr(init, "__calls_post_init__", False)
