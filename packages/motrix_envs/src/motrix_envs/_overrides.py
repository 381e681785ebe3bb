"""Typed changes of a configuration by dotted field names, for both registries."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import typeguard

from motrix_envs.base import describe_fields
from motrix_envs.errors import ConfigError, did_you_mean


def apply_overrides(cfg: Any, overrides: Mapping[str, Any], what: str) -> None:
    """Set fields of the dataclass instance `cfg`, all of them or none.

    Args:
        cfg: A configuration; nested dataclasses are reached by dots.
        overrides: Values by dotted name. Lists are taken for tuples, integers for floats.
        what: How messages call the configuration.

    Raises:
        ConfigError: A name is no field, or a value does not have the field's type.
    """
    changes = [_resolve(cfg, name, value, what) for name, value in overrides.items()]
    for owner, field_name, value in changes:
        setattr(owner, field_name, value)


def _resolve(cfg: Any, name: str, value: Any, what: str) -> tuple[Any, str, Any]:
    """Return the dataclass, the field and the checked value that a dotted name leads to."""
    owner, *_ = holders = [cfg]
    *path, field_name = name.split(".")
    for part in path:
        owner = getattr(owner, part, None) if _has_field(owner, part) else None
        holders.append(owner)
    owner = holders[-1]
    if not _has_field(owner, field_name):
        known = list(describe_fields(cfg))
        raise ConfigError(
            f"{what} has no field '{name}'.{did_you_mean(name, known)} "
            f"Its fields: {', '.join(known)}"
        )
    if is_dataclass(getattr(owner, field_name)) and not is_dataclass(value):
        inner = ", ".join(describe_fields(getattr(owner, field_name), f"{name}."))
        raise ConfigError(f"'{name}' of {what} is a group of fields; set one of: {inner}")
    return owner, field_name, _checked(owner, field_name, value, f"'{name}' of {what}")


def _has_field(owner: Any, name: str) -> bool:
    return is_dataclass(owner) and name in {item.name for item in fields(owner)}


def _checked(owner: Any, field_name: str, value: Any, what: str) -> Any:
    """Return the value converted to the declared type of its field."""
    declared = typing.get_type_hints(type(owner))[field_name]
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()  # a NumPy scalar
    if isinstance(value, list) and not _accepts(value, declared):
        value = tuple(value)
    if not _accepts(value, declared):
        raise ConfigError(
            f"{what} takes {_spell(declared)}, not {value!r} ({type(value).__name__})"
        )
    takes_float = declared is float or float in typing.get_args(declared)
    return float(value) if takes_float and type(value) is int else value


def _accepts(value: Any, declared: Any) -> bool:
    # True and False are integers to Python, but nobody means them as numbers.
    if isinstance(value, bool) and declared is not bool and bool not in typing.get_args(declared):
        return declared is Any
    try:
        typeguard.check_type(value, declared)
    except typeguard.TypeCheckError:
        return False
    return True


def _spell(declared: Any) -> str:
    return declared.__name__ if isinstance(declared, type) else str(declared).replace("typing.", "")
