"""Nested dictionaries and tuples with leaves: listed, mapped, rebuilt."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any


def leaves(tree: Any) -> Iterator[Any]:
    """Yield the leaves of nested mappings, tuples and lists, in the order of their keys."""
    if isinstance(tree, Mapping):
        tree = tuple(tree.values())
    if not isinstance(tree, tuple | list):
        yield tree
        return
    for inner in tree:
        yield from leaves(inner)


def rebuild(tree: Any, new_leaves: Iterable[Any]) -> Any:
    """Return `tree` with other leaves, which come in the order of `leaves`."""
    supply = iter(new_leaves)
    return transform(lambda _: next(supply), tree)


def transform(function: Callable[[Any], Any], tree: Any) -> Any:
    """Return `tree` with `function` applied to each leaf."""
    if isinstance(tree, Mapping):
        return {key: transform(function, inner) for key, inner in tree.items()}
    if isinstance(tree, tuple | list):
        return tuple(transform(function, inner) for inner in tree)
    return function(tree)


def aligned(tree: Any, values: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each leaf of `tree` with what lies at its place in `values`.

    Raises:
        KeyError: `values` lacks a key.
        ValueError: A tuple of `values` has another length.
    """
    if isinstance(tree, Mapping):
        for key, inner in tree.items():
            yield from aligned(inner, values[key])
    elif isinstance(tree, tuple | list):
        for inner, value in zip(tree, values, strict=True):
            yield from aligned(inner, value)
    else:
        yield tree, values
