"""Decorators that check what goes into a method and what comes out.

A check depends on nothing but the structure of the data: keys, types, shapes and element types.
So its success is remembered by structure, and a batch of a known structure passes in a few
microseconds. Another structure, however late it turns up, is checked again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from motrix_rl.rl_module.checks.specs import Spec
from motrix_rl.rl_module.errors import SpecCheckingError

F = TypeVar("F", bound=Callable[..., Any])

_REMEMBERED = 64
"""Structures kept per method; batch sizes that never repeat must not fill the memory."""


def check_input_specs(
    attr_name: str, *, only_check_on_retry: bool = False, cache: bool = True
) -> Callable[[F], F]:
    """Check the batch, the first argument of a method, against a spec of the instance.

    Args:
        attr_name: The attribute with the spec in canonical form; None there checks nothing.
        only_check_on_retry: Run the method first, and check only if it raises. Off unless asked
            for: a wrong batch that happens not to crash would pass.
        cache: Whether a structure that passed is checked again.

    Raises:
        SpecCheckingError: At the call, if the batch does not fit or there is no such attribute.
    """

    def decorate(method: F) -> F:
        @functools.wraps(method)
        def checked(self: Any, batch: Any, *args: Any, **kwargs: Any) -> Any:
            check = functools.partial(
                _check, self, batch, attr_name, f"the input of {method.__name__}", cache
            )
            if not only_check_on_retry:
                check()
                return method(self, batch, *args, **kwargs)
            try:
                return method(self, batch, *args, **kwargs)
            except Exception as error:
                try:
                    check()
                except SpecCheckingError as mismatch:
                    raise mismatch from error
                raise

        checked.__checked_input_specs__ = True  # type: ignore[attr-defined]
        return checked  # type: ignore[return-value]

    return decorate


def check_output_specs(attr_name: str, *, cache: bool = True) -> Callable[[F], F]:
    """Check the mapping that a method returns against a spec of the instance.

    Args:
        attr_name: The attribute with the spec in canonical form; None there checks nothing.
        cache: Whether a structure that passed is checked again.

    Raises:
        SpecCheckingError: At the call, if the output is no mapping or does not fit, or there is no
            such attribute.
    """

    def decorate(method: F) -> F:
        @functools.wraps(method)
        def checked(self: Any, *args: Any, **kwargs: Any) -> Any:
            output = method(self, *args, **kwargs)
            _check(self, output, attr_name, f"the output of {method.__name__}", cache)
            return output

        checked.__checked_output_specs__ = True  # type: ignore[attr-defined]
        return checked  # type: ignore[return-value]

    return decorate


def is_input_decorated(method: Callable[..., Any]) -> bool:
    """Tell whether a method checks its input."""
    return getattr(method, "__checked_input_specs__", False)


def is_output_decorated(method: Callable[..., Any]) -> bool:
    """Tell whether a method checks its output."""
    return getattr(method, "__checked_output_specs__", False)


def _check(owner: Any, data: Any, attr_name: str, what: str, cache: bool) -> None:
    if getattr(owner, "_spec_checks_off", bool)():
        return
    try:
        spec: Spec | None = getattr(owner, attr_name)
    except AttributeError:
        raise SpecCheckingError(f"{type(owner).__name__} has no attribute '{attr_name}'") from None
    if not isinstance(data, Mapping):
        raise SpecCheckingError(f"{what} should be a mapping, not a {type(data).__name__}")
    if spec is None:
        return
    seen: dict[Any, Any] = owner.__dict__.setdefault("_checked_structures", {})
    key = (attr_name, _structure(data))
    # The spec itself is remembered, so that replacing it makes the check run again.
    if cache and seen.get(key) is spec:
        return
    try:
        spec.validate(data)
    except SpecCheckingError as error:
        raise SpecCheckingError(f"{what} of {type(owner).__name__}: {error}") from None
    if len(seen) >= _REMEMBERED:
        seen.clear()
    seen[key] = spec


def _structure(data: Any) -> Any:
    """Return something hashable that is equal for data of equal structure."""
    # Most leaves are tensors, and this runs with every pass: the common case comes first.
    shape = getattr(data, "shape", None)
    if shape is not None:
        return type(data), shape, getattr(data, "dtype", None)
    if isinstance(data, Mapping):
        return tuple([(key, _structure(value)) for key, value in data.items()])
    return type(data)
