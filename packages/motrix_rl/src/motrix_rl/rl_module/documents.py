"""Constructor arguments as JSON documents.

Plain JSON stands for itself. What JSON lacks becomes an object with one key that starts with `$`:
tuples, non-finite numbers, arrays, spaces, classes, mappings with other keys than text, and this
package's own configurations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol, runtime_checkable

import gymnasium as gym
import numpy as np

from motrix_rl.errors import CheckpointError
from motrix_rl.rl_module.class_paths import deserialize_type, serialize_type
from motrix_rl.rl_module.spaces import (
    array_from_dict,
    array_to_dict,
    gym_space_from_dict,
    gym_space_to_dict,
)


@runtime_checkable
class Documented(Protocol):
    """A configuration that writes and reads itself, such as `RLModuleConfig`."""

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration as JSON."""

    @classmethod
    def from_dict(cls, d: dict[str, Any], trusted: Collection[str] = ()) -> Any:
        """Return the configuration of such a document."""


def encode(value: Any) -> Any:
    """Return a value as JSON.

    Raises:
        ValueError: It, or something in it, has no JSON form.
    """
    if isinstance(value, np.generic) and value.dtype.kind in "biuf":
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$float": str(value)}
    if isinstance(value, list):
        return [encode(item) for item in value]
    if isinstance(value, tuple):
        return {"$tuple": [encode(item) for item in value]}
    if isinstance(value, Mapping):
        return _encode_mapping(value)
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        return {"$array": array_to_dict(value)}
    if isinstance(value, gym.Space):
        return {"$space": gym_space_to_dict(value)}
    if isinstance(value, type):
        return {"$class": serialize_type(value)}
    if isinstance(value, Documented):
        return {"$config": [serialize_type(type(value)), value.to_dict()]}
    raise ValueError(f"a value of type {type(value).__name__} has no JSON form: {value!r}")


def decode(document: Any, trusted: Collection[str] = ()) -> Any:
    """Return the value of a document that `encode` wrote.

    Args:
        document: The JSON document.
        trusted: See `deserialize_type`.

    Raises:
        CheckpointError: It is not such a document, or names a class that must not be loaded.
    """
    if isinstance(document, list):
        return [decode(item, trusted) for item in document]
    if not isinstance(document, Mapping):
        return document
    tags = [key for key in document if key.startswith("$")]
    if not tags:
        return {key: decode(item, trusted) for key, item in document.items()}
    if len(document) != 1 or tags[0] not in _READERS:
        raise CheckpointError(f"damaged document: unknown tag {tags[0]!r}")
    try:
        return _READERS[tags[0]](document[tags[0]], trusted)
    except CheckpointError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"damaged document: {tags[0]}: {error}") from error


def _encode_mapping(value: Mapping[Any, Any]) -> Any:
    if all(isinstance(key, str) and not key.startswith("$") for key in value):
        return {key: encode(item) for key, item in value.items()}
    return {"$dict": [[encode(key), encode(item)] for key, item in value.items()]}


def _read_config(document: Any, trusted: Collection[str]) -> Any:
    path, content = document
    cls = deserialize_type(path, trusted=trusted)
    if not issubclass(cls, Documented):
        raise CheckpointError(f"{path!r} is not a configuration")
    return cls.from_dict(content, trusted=trusted)


_READERS: dict[str, Callable[[Any, Collection[str]], Any]] = {
    "$float": lambda d, _: float(d),
    "$tuple": lambda d, trusted: tuple(decode(item, trusted) for item in d),
    "$dict": lambda d, trusted: {decode(k, trusted): decode(v, trusted) for k, v in d},
    "$array": lambda d, _: array_from_dict(d),
    "$space": lambda d, _: gym_space_from_dict(d),
    "$class": lambda d, trusted: deserialize_type(d, trusted=trusted),
    "$config": _read_config,
}
