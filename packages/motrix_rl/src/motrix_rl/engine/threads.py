"""Work on several threads, whose results do not depend on how many there are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import TypeVar

T = TypeVar("T")
Found = TypeVar("Found")


def each(threads: Executor | None, work: Callable[[T], Found], parts: Sequence[T]) -> list[Found]:
    """Return what becomes of each part, in order.

    Args:
        threads: Who works; None, or a single part, needs nobody else.
        work: Any thread may do it, on several parts at once.
        parts: What there is to do.
    """
    if threads is None or len(parts) == 1:
        return [work(part) for part in parts]
    return list(threads.map(work, parts))
