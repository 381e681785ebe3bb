"""Specs of types and of nested dictionaries."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping
from typing import Any

from motrix_rl.rl_module.errors import SpecCheckingError


class Spec(abc.ABC):
    """Something that a value can be checked against."""

    @abc.abstractmethod
    def validate(self, data: Any) -> None:
        """Check a value.

        Raises:
            SpecCheckingError: It does not fit; the message says how.
        """


class TypeSpec(Spec):
    """A value of a type, or of one of several types.

    Args:
        dtype: A type or a tuple of types, as `isinstance` takes them.
    """

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, dtype: type | tuple[type, ...]) -> None:
        self.dtype = dtype

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TypeSpec) and self.dtype == other.dtype

    def __repr__(self) -> str:
        return f"TypeSpec({_spell(self.dtype)})"

    def validate(self, data: Any) -> None:
        """Check with `isinstance`; see `Spec.validate`."""
        if not isinstance(data, self.dtype):
            raise SpecCheckingError(f"expected {_spell(self.dtype)}, found {type(data).__name__}")


class SpecDict(dict[str, Any], Spec):
    """Nested names whose leaves are a `Spec`, or None where only presence is asked."""

    def validate(self, data: Any, exact_match: bool = False) -> None:
        """Check a nested mapping.

        Args:
            data: What to check; other keys than the declared ones may be there.
            exact_match: Whether other keys are an error.

        Raises:
            SpecCheckingError: A key is missing or too many, a leaf is where a mapping should be
                (or the other way round), or a leaf does not fit its spec. The message names the
                key and shows every path of the data.
        """
        try:
            _compare(self, data, (), exact_match)
        except SpecCheckingError as error:
            found = ", ".join(sorted(map(_path, _leaf_paths(data)))) or "nothing"
            raise SpecCheckingError(f"{error}. The data has: {found}") from None

    @staticmethod
    def is_subset(spec: SpecDict, data: Any, exact_match: bool = False) -> bool:
        """Tell whether `data` has everything that `spec` asks for."""
        try:
            _compare(spec, data, (), exact_match)
        except SpecCheckingError:
            return False
        return True


def _compare(spec: Any, data: Any, path: tuple[str, ...], exact: bool) -> None:
    if not isinstance(spec, SpecDict):
        _compare_leaf(spec, data, path, exact)
        return
    where = _path(path) or "the data"
    if not isinstance(data, Mapping):
        raise SpecCheckingError(f"{where} should be a mapping, not a {type(data).__name__}")
    for key, inner in spec.items():
        if key not in data:
            raise SpecCheckingError(f"{_path((*path, key))} is missing")
        _compare(inner, data[key], (*path, key), exact)
    if exact and (extra := [key for key in data if key not in spec]):
        raise SpecCheckingError(f"{_path((*path, extra[0]))} is not declared")


def _compare_leaf(spec: Any, data: Any, path: tuple[str, ...], exact: bool) -> None:
    if spec is None:
        if exact and isinstance(data, Mapping):
            raise SpecCheckingError(f"{_path(path)} should be a leaf, not a mapping")
        return
    try:
        spec.validate(data)
    except SpecCheckingError as error:
        raise SpecCheckingError(f"{_path(path) or 'the data'}: {error}") from None


def _leaf_paths(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if not isinstance(data, Mapping):
        yield path
        return
    for key, value in data.items():
        yield from _leaf_paths(value, (*path, key))


def _path(path: tuple[Any, ...]) -> str:
    return "/".join(map(str, path))


def _spell(dtype: type | tuple[type, ...]) -> str:
    types = dtype if isinstance(dtype, tuple) else (dtype,)
    return " or ".join(one.__name__ for one in types)
