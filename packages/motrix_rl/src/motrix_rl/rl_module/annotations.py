"""Decorators that state how stable a name is and what a subclass should do with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar

from motrix_rl.rl_module.errors import DeprecatedNameError

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


def PublicAPI(stability: Literal["stable", "beta", "alpha"] = "stable") -> Callable[[T], T]:
    """Mark a class or function as part of the public interface.

    Args:
        stability: `"stable"` names change with a deprecation only, `"alpha"` ones may change.
    """

    def mark(target: T) -> T:
        target.__stability__ = stability  # type: ignore[attr-defined]
        return target

    return mark


def ExperimentalAPI(target: T) -> T:
    """Mark a name that may change or go without notice."""
    target.__stability__ = "experimental"  # type: ignore[attr-defined]
    return target


def OverrideToImplementCustomLogic(method: F) -> F:
    """Mark a method that a subclass may replace; calling the original is not needed."""
    method.__override_to_customise__ = "replace"  # type: ignore[attr-defined]
    return method


def OverrideToImplementCustomLogic_CallToSuperRecommended(method: F) -> F:
    """Mark a method that a subclass may extend; it should call the original."""
    method.__override_to_customise__ = "extend"  # type: ignore[attr-defined]
    return method


def override(parent: type) -> Callable[[F], F]:
    """State that a method overrides one of `parent`; a typo fails when the class is defined.

    Raises:
        NameError: `parent` has no method of this name.
    """

    def check(method: F) -> F:
        if not hasattr(parent, method.__name__):
            raise NameError(f"{method.__qualname__} overrides nothing in {parent.__name__}")
        return method

    return check


def Deprecated(*, new: str) -> Callable[[F], F]:
    """Turn a method into one that raises `DeprecatedNameError` and names its replacement."""

    def replace(method: F) -> F:
        def answer(*args: Any, **kwargs: Any) -> Any:
            raise DeprecatedNameError(f"`{method.__qualname__}` is gone: use `{new}`")

        answer.__name__, answer.__qualname__ = method.__name__, method.__qualname__
        answer.__doc__, answer.__module__ = method.__doc__, method.__module__
        return answer  # type: ignore[return-value]

    return replace
