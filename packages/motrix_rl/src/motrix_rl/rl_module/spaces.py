"""Gymnasium spaces as JSON documents, bit for bit; the state of their generators is not kept.

A document has the key `space` with the kind. Arrays are little-endian bytes, zlib, base64.
"""

from __future__ import annotations

import base64
import binascii
import math
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from motrix_rl.errors import CheckpointError

Document = dict[str, Any]


def gym_space_to_dict(space: gym.Space[Any] | None) -> Document | None:
    """Return the JSON document of a space; None stays None.

    Raises:
        ValueError: This type of space has no finite description here.
    """
    if space is None:
        return None
    for cls, (kind, write, _) in _KINDS.items():
        if type(space) is cls:
            return {"space": kind, **write(space)}
    known = ", ".join(cls.__name__ for cls in _KINDS)
    raise ValueError(f"cannot describe a space of type {type(space).__name__}; known: {known}")


def gym_space_from_dict(document: Any) -> gym.Space[Any] | None:
    """Return the space of a document that `gym_space_to_dict` wrote.

    Raises:
        CheckpointError: It is not such a document.
    """
    if document is None:
        return None
    kind = document.get("space") if isinstance(document, Mapping) else None
    for known, _, read in _KINDS.values():
        if kind == known:
            try:
                return read(document)
            except CheckpointError:
                raise
            except (KeyError, TypeError, ValueError, AssertionError, OverflowError) as error:
                raise CheckpointError(f"damaged description of a {kind} space: {error}") from error
    raise CheckpointError(f"{kind!r} is no kind of space")


def array_to_dict(array: NDArray[Any]) -> Document:
    """Return a number array as a JSON document."""
    little = np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")
    data = base64.b64encode(zlib.compress(little.tobytes(), 9)).decode()
    return {"dtype": array.dtype.name, "shape": list(array.shape), "data": data}


def array_from_dict(document: Mapping[str, Any]) -> NDArray[Any]:
    """Return the array of a document that `array_to_dict` wrote.

    Raises:
        CheckpointError: The document is damaged. No more memory is taken than it declares.
    """
    try:
        dtype = np.dtype(document["dtype"])
        shape = tuple(int(size) for size in document["shape"])
        if dtype.kind not in "biufc" or min(shape, default=0) < 0:
            raise ValueError(f"no array of {dtype} and shape {shape}")
        size = dtype.itemsize * math.prod(shape)
        unpack = zlib.decompressobj()
        data = unpack.decompress(base64.b64decode(document["data"], validate=True), size + 1)
        if len(data) != size:
            raise ValueError(f"{size} bytes are declared, {len(data)} are there")
    except (KeyError, TypeError, ValueError, OverflowError, zlib.error, binascii.Error) as error:
        raise CheckpointError(f"damaged array: {error}") from error
    return np.frombuffer(data, dtype.newbyteorder("<")).astype(dtype).reshape(shape)


# --- one pair of functions per kind ----------------------------------------------------------


def _write_box(space: spaces.Box) -> Document:
    # For integers, "unbounded" is not visible in low and high, so the flags are kept too.
    return {
        name: array_to_dict(getattr(space, name))
        for name in ("low", "high", "bounded_below", "bounded_above")
    }


def _read_box(document: Document) -> spaces.Box:
    low, high = array_from_dict(document["low"]), array_from_dict(document["high"])
    space = spaces.Box(low, high, dtype=low.dtype.type)
    space.bounded_below = array_from_dict(document["bounded_below"])
    space.bounded_above = array_from_dict(document["bounded_above"])
    return space


def _write_discrete(space: spaces.Discrete) -> Document:
    return {"n": int(space.n), "start": int(space.start), "dtype": space.dtype.name}


def _read_discrete(document: Document) -> spaces.Discrete:
    dtype: Any = np.dtype(document["dtype"]).type
    # Older Gymnasium knows only int64 here and has no such argument.
    options = {} if dtype is np.int64 else {"dtype": dtype}
    space: spaces.Discrete = spaces.Discrete(
        dtype(document["n"]), start=dtype(document["start"]), **options
    )
    return space


def _write_multi_discrete(space: spaces.MultiDiscrete) -> Document:
    return {"nvec": array_to_dict(space.nvec), "start": array_to_dict(space.start)}


def _read_multi_discrete(document: Document) -> spaces.MultiDiscrete:
    nvec = array_from_dict(document["nvec"])
    return spaces.MultiDiscrete(
        nvec, dtype=nvec.dtype.type, start=array_from_dict(document["start"])
    )


def _write_multi_binary(space: spaces.MultiBinary) -> Document:
    return {"n": list(space.n) if isinstance(space.n, tuple) else int(space.n)}


def _write_text(space: spaces.Text) -> Document:
    return {
        "min_length": int(space.min_length),
        "max_length": int(space.max_length),
        "characters": "".join(sorted(space.character_set)),
    }


def _read_text(document: Document) -> spaces.Text:
    return spaces.Text(
        document["max_length"],
        min_length=document["min_length"],
        charset=frozenset(document["characters"]),
    )


def _write_dict(space: spaces.Dict) -> Document:
    for key in space.spaces:
        if not isinstance(key, str):
            raise ValueError(f"the key {key!r} of a Dict space has no JSON form; keys are text")
    return {"spaces": [[key, gym_space_to_dict(inner)] for key, inner in space.spaces.items()]}


def _read_dict(document: Document) -> spaces.Dict:
    # Pairs, not a mapping: Gymnasium sorts the keys of a mapping.
    return spaces.Dict([(str(key), _inner(inner)) for key, inner in document["spaces"]])


def _write_many(space: Any) -> Document:
    return {"spaces": [gym_space_to_dict(inner) for inner in space.spaces]}


def _many(document: Document) -> list[gym.Space[Any]]:
    return [_inner(inner) for inner in document["spaces"]]


def _write_sequence(space: spaces.Sequence) -> Document:
    return {"feature": gym_space_to_dict(space.feature_space), "stack": bool(space.stack)}


def _write_graph(space: spaces.Graph) -> Document:
    return {
        "node": gym_space_to_dict(space.node_space),
        "edge": gym_space_to_dict(space.edge_space),
    }


def _inner(document: Any) -> gym.Space[Any]:
    space = gym_space_from_dict(document)
    if space is None:
        raise CheckpointError("a space inside another one is missing")
    return space


_KINDS: dict[type, tuple[str, Callable[[Any], Document], Callable[[Document], gym.Space[Any]]]] = {
    spaces.Box: ("box", _write_box, _read_box),
    spaces.Discrete: ("discrete", _write_discrete, _read_discrete),
    spaces.MultiDiscrete: ("multi-discrete", _write_multi_discrete, _read_multi_discrete),
    spaces.MultiBinary: ("multi-binary", _write_multi_binary, lambda d: spaces.MultiBinary(d["n"])),
    spaces.Text: ("text", _write_text, _read_text),
    spaces.Tuple: ("tuple", _write_many, lambda d: spaces.Tuple(_many(d))),
    spaces.Dict: ("dict", _write_dict, _read_dict),
    spaces.OneOf: ("one-of", _write_many, lambda d: spaces.OneOf(_many(d))),
    spaces.Sequence: (
        "sequence",
        _write_sequence,
        lambda d: spaces.Sequence(_inner(d["feature"]), stack=d["stack"]),
    ),
    spaces.Graph: (
        "graph",
        _write_graph,
        lambda d: spaces.Graph(_inner(d["node"]), gym_space_from_dict(d["edge"])),
    ),
}
