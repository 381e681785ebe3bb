"""Initial parameters by name: the same values in every framework.

A model config lists its parameters with shape and initialiser; that list is the canonical layout.
Each parameter draws from a stream of its own, named by its path, so adding a layer changes no
other layer's start.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from motrix_envs.rng import RowStreams
from numpy.typing import NDArray

Initialiser = Literal["uniform", "orthogonal", "constant"]


@dataclass(frozen=True)
class Parameter:
    """Shape of a parameter and where it starts.

    Args:
        shape: Its shape in the canonical layout.
        initialiser: `"uniform"` within `scale`, `"orthogonal"` with gain `scale` (all but the last
            axis count as inputs), or `"constant"`.
        scale: See `initialiser`.
    """

    shape: tuple[int, ...]
    initialiser: Initialiser = "constant"
    scale: float = 0.0


def initial_values(parameters: Mapping[str, Parameter], seed: int) -> dict[str, NDArray[Any]]:
    """Return float32 values of parameters by path."""
    streams = RowStreams(seed, 1)
    return {path: _initial(path, p, streams) for path, p in parameters.items()}


def _initial(path: str, parameter: Parameter, streams: RowStreams) -> NDArray[Any]:
    shape, scale = parameter.shape, parameter.scale
    size, row = math.prod(shape), np.zeros(1, np.int64)
    if parameter.initialiser == "constant" or size == 0:
        return np.full(shape, scale, np.float32)
    if parameter.initialiser == "uniform":
        drawn = streams.uniform(f"parameters.{path}", row, size, -scale, scale)
        return np.asarray(drawn, np.float32).reshape(shape)
    # Saxe, McClelland and Ganguli, "Exact solutions ... deep linear neural networks", 2014.
    normal = np.asarray(streams.normal(f"parameters.{path}", row, size), np.float64)
    rows, columns = size // shape[-1], shape[-1]
    tall = normal.reshape((rows, columns) if rows >= columns else (columns, rows))
    q, r = np.linalg.qr(tall)
    q = q * np.sign(np.diagonal(r))
    values: NDArray[Any] = (scale * (q if rows >= columns else q.T)).reshape(shape)
    return values.astype(np.float32)


def draw_seed() -> int:
    """Return a seed that nothing determines."""
    return secrets.randbits(63)
