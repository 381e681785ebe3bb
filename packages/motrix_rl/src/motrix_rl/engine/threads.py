"""Work on several threads, whose results do not depend on how many there are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")
Found = TypeVar("Found")


class Crew:
    """The calling thread, and others that help it.

    Args:
        size: How many work at once, the caller among them.
        prepare: What every helper does first of all.
    """

    def __init__(self, size: int, prepare: Callable[[], None] | None = None) -> None:
        self._helpers = size - 1
        self._pool = ThreadPoolExecutor(self._helpers, initializer=prepare) if size > 1 else None

    def each(self, work: Callable[[T], Found], parts: Sequence[T]) -> list[Found]:
        """Return what becomes of each part, in order.

        Args:
            work: Any thread may do it, on several parts at once.
            parts: What there is to do.
        """
        if self._pool is None or len(parts) == 1:
            return [work(part) for part in parts]
        found: dict[int, Found] = {}
        waiting = iter(enumerate(parts))  # each takes the next one: who is slow holds up nobody

        def take() -> None:
            for number, part in waiting:
                found[number] = work(part)

        helpers = [self._pool.submit(take) for _ in range(min(self._helpers, len(parts) - 1))]
        try:
            take()
        finally:
            wait(helpers)
        for helper in helpers:
            helper.result()  # raises what it raised
        return [found[number] for number in range(len(parts))]
