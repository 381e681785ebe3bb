"""Named NumPy arrays as the bytes of a safetensors file, bfloat16 included."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors import numpy as safetensors_numpy

from motrix_rl.errors import CheckpointError

Tensors = dict[str, NDArray[Any]]

_TYPES = {
    **{f"I{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"U{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
    **{f"F{bits}": f"float{bits}" for bits in (16, 32, 64)},
    "BOOL": "bool",
    "C64": "complex64",
    "BF16": "bfloat16",
}


def to_bytes(tensors: Mapping[str, NDArray[Any]]) -> bytes:
    """Return a safetensors file; equal tensors give equal bytes.

    Raises:
        ValueError: An array has an element type that such a file cannot hold.
    """
    canonical: Tensors = {}
    for name, array in sorted(tensors.items()):
        if array.dtype.name not in _TYPES.values():
            raise ValueError(
                f"{name!r} has elements of type {array.dtype}; a checkpoint holds "
                f"{', '.join(_TYPES.values())}"
            )
        if name == "__metadata__":
            raise ValueError("a safetensors file keeps the name '__metadata__' for itself")
        little = array if array.dtype.byteorder != ">" else array.astype(array.dtype.newbyteorder())
        canonical[name] = np.asarray(little, order="C")
    try:
        return safetensors_numpy.save(canonical)
    except (SafetensorError, UnicodeError) as error:
        raise ValueError(f"cannot store these tensors: {error}") from error


def from_bytes(data: bytes) -> Tensors:
    """Return the arrays of a safetensors file in their own types; they own their memory.

    Raises:
        CheckpointError: It is not such a file, or needs the package `ml_dtypes` for bfloat16.
    """
    try:
        entries = safetensors.deserialize(data)  # type: ignore[no-untyped-call]
        return {name: _array(entry) for name, entry in sorted(entries, key=lambda e: str(e[0]))}
    except (SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(f"it is not a safetensors file of known types ({error})") from error


def bfloat16() -> np.dtype[Any]:
    """Return the NumPy type of bfloat16.

    Raises:
        CheckpointError: The package `ml_dtypes` is not installed.
    """
    try:
        ml_dtypes = importlib.import_module("ml_dtypes")
    except ImportError as error:
        raise CheckpointError(
            "bfloat16 arrays need the package ml_dtypes: pip install ml_dtypes"
        ) from error
    dtype: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
    return dtype


def _array(entry: Any) -> NDArray[Any]:
    name = _TYPES[entry["dtype"]]
    dtype = bfloat16() if name == "bfloat16" else np.dtype(name)
    return np.frombuffer(entry["data"], dtype).reshape(entry["shape"]).copy()
