"""Typed changes of a configuration by dotted field names, for both registries."""

from __future__ import annotations

import copy
import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Union

import typeguard

from motrix_envs.base import describe_fields
from motrix_envs.errors import ConfigError, cut, did_you_mean, show


def apply_overrides(cfg: Any, overrides: Mapping[str, Any], what: str) -> None:
    """Set fields of the dataclass instance `cfg` one after the other, all of them or none.

    Args:
        cfg: A configuration; nested dataclasses are reached by dots.
        overrides: Values by dotted name. Lists are taken for tuples, integers for floats.
        what: How messages call the configuration.

    Raises:
        ConfigError: A name is no field, or a value does not have the field's type.
    """
    if not isinstance(overrides, Mapping):
        raise ConfigError(f"the changes of {what} are {show(overrides)}, not values by field name")
    draft = copy.deepcopy(cfg)
    for name, value in overrides.items():
        _set(draft, str(name), value, what)
    for item in fields(cfg):
        setattr(cfg, item.name, getattr(draft, item.name))


def _set(cfg: Any, name: str, value: Any, what: str) -> None:
    *path, field_name = name.split(".")
    group = cfg
    for part in path:
        group = getattr(group, part) if _has_field(group, part) else None
    if not _has_field(group, field_name):
        known = list(describe_fields(cfg))
        raise ConfigError(
            f"{what} has no field '{cut(name)}'.{did_you_mean(name, known)} "
            f"Its fields: {', '.join(known)}"
        )
    held = getattr(group, field_name)
    if is_dataclass(held) and not is_dataclass(value):
        inner = ", ".join(describe_fields(held, f"{name}."))
        raise ConfigError(f"'{name}' of {what} is a group of fields; set one of: {inner}")
    declared = _declared_type(group, field_name)
    try:
        converted = convert(value, declared)
    except TypeError:
        raise ConfigError(
            f"'{name}' of {what} takes {_spell(declared)}, not {show(value)} "
            f"({type(value).__name__})"
        ) from None
    try:
        setattr(group, field_name, copy.deepcopy(converted))
    except Exception as error:
        raise ConfigError(f"'{name}' of {what} cannot be {show(value)}: {error}") from error


def _has_field(group: Any, name: str) -> bool:
    return is_dataclass(group) and name in {item.name for item in fields(group)}


def _declared_type(group: Any, field_name: str) -> Any:
    try:
        return typing.get_type_hints(type(group))[field_name]
    except NameError:  # an annotation names a class that only its author's function knows
        held = getattr(group, field_name)
        return Any if held is None else type(held)


def convert(value: Any, declared: Any) -> Any:
    """Return `value` as the declared type: lists become tuples, integers floats.

    Raises:
        TypeError: It is of another type.
    """
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()  # a NumPy scalar
    origin, arguments = typing.get_origin(declared), typing.get_args(declared)
    if origin in (Union, types.UnionType):
        return _convert_to_one(value, arguments)
    if origin is tuple:
        return _convert_tuple(value, arguments)
    if declared is float and type(value) is int:
        return _float(value)
    # True and False are integers to Python, but nobody means them as numbers.
    if declared in (int, float, complex) and isinstance(value, bool):
        raise TypeError
    if origin is typing.Literal:
        arguments = tuple(choice for choice in arguments if type(choice) is type(value))
        if value not in arguments:
            raise TypeError
        return value
    try:
        return typeguard.check_type(
            value,
            declared,
            collection_check_strategy=typeguard.CollectionCheckStrategy.ALL_ITEMS,
        )
    except typeguard.TypeCheckError:
        raise TypeError from None


def _convert_to_one(value: Any, choices: tuple[Any, ...]) -> Any:
    """Return the value as the first of the types that takes it, best without a conversion."""
    converted = []
    for choice in choices:
        try:
            converted.append(convert(value, choice))
        except TypeError:
            continue
    if not converted:
        raise TypeError
    return next((item for item in converted if type(item) is type(value)), converted[0])


def _convert_tuple(value: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise TypeError
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        arguments = arguments[:1] * len(value)
    if len(value) != len(arguments):
        raise TypeError
    return tuple(convert(item, each) for item, each in zip(value, arguments, strict=True))


def _float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        raise TypeError from None


def _spell(declared: Any) -> str:
    if isinstance(declared, type) and not typing.get_args(declared):
        return declared.__name__
    return str(declared).replace("typing.", "")
