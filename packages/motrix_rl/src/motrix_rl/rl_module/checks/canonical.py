"""The one form that every way of writing a spec is brought to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from motrix_rl.rl_module.checks.specs import Spec, SpecDict, TypeSpec


def convert_to_canonical_format(spec: Any) -> SpecDict | Spec | None:
    """Return a spec as nested `SpecDict`s with leaves `Spec` or None, sharing nothing with `spec`.

    Args:
        spec: A list of keys (a key is text or a tuple, the path to a nested key); a nested mapping
            whose leaves are specs, types, tuples of types, lists or None; or one such leaf.

    Raises:
        ValueError: It is none of these, or a key asks for a leaf and for something below it.

    Example:
        `["obs", ("state_in", "h")]` becomes `{"obs": None, "state_in": {"h": None}}`.
    """
    if spec is None:
        return None
    if isinstance(spec, list):
        return _from_list(spec)
    if isinstance(spec, Mapping):
        return SpecDict({_key(key): convert_to_canonical_format(v) for key, v in spec.items()})
    if isinstance(spec, Spec):
        return spec
    if isinstance(spec, type) or (_is_tuple_of_types(spec)):
        return TypeSpec(spec)
    raise ValueError(
        f"{spec!r} is no spec: write a list of keys, a mapping, a type, a tuple of types, a Spec "
        "or None"
    )


def _from_list(keys: list[Any]) -> SpecDict:
    root = SpecDict()
    for key in keys:
        path = key if isinstance(key, tuple) else (key,)
        if not path:
            raise ValueError("the empty tuple is no path to a key")
        node = root
        for part in path[:-1]:
            # `["a", ("a", "b")]` asks for both; the second implies the first.
            if node.get(_key(part)) is None:
                node[part] = SpecDict()
            node = node[part]
        node.setdefault(_key(path[-1]), None)
    return root


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise ValueError(f"{key!r} is no key: keys of a spec are text")
    return key


def _is_tuple_of_types(spec: Any) -> bool:
    return isinstance(spec, tuple) and bool(spec) and all(isinstance(one, type) for one in spec)
