"""Whether a file does what its module does, on ordinary and on extreme observations."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from motrix_envs._registry import ANYTHING
from numpy.typing import NDArray

from motrix_rl.errors import ExportError
from motrix_rl.export.formats import Function
from motrix_rl.export.signature import Signature
from motrix_rl.rl_module import nested
from motrix_rl.rl_module.acting import initial_states
from motrix_rl.rl_module.module import RLModule

TOLERANCE = 1e-5
"""Largest difference of a float, absolute or relative; integers have to be equal."""

ROWS = 128
"""Number of random observations, beside the extreme ones."""

_LARGE = 1e6
_EXTREMES = (0.0, 1e-40, -1e-40, 1e-6, 1.0, -1.0, _LARGE, -_LARGE)
_BATCHES = (1, 3, 17)
_STEPS = 3
_NUDGE, _NUDGES, _MARGIN = 1e-6, 8, 10

Arrays = list[NDArray[Any]]
Distances = list[NDArray[np.float64]]


@dataclass(frozen=True)
class Agreement:
    """How well a file agrees with its module.

    Args:
        observations: How many were compared.
        difference: The largest difference of a float within the tolerance, relative to the
            expected value where that is larger than one.
        unstable: How many values differ by more because the module itself is unstable there.
    """

    observations: int
    difference: float
    unstable: int


def compare(
    module: RLModule, function: Function, signature: Signature, rows: int = ROWS
) -> Agreement:
    """Compare a function, asked in batches of 1, 3, 17 and of all the rest, with `module.act`.

    A recurrent module makes three steps. Floats may differ by `TOLERANCE`. They may differ by more
    where the module itself does so when an observation changes by a millionth: there, numbers of
    float32 cancel, and the order of a sum decides.

    Args:
        module: What is right.
        function: What a file computes.
        signature: Its tensors.
        rows: Number of random observations.

    Raises:
        ExportError: They differ.
    """
    obs = observations(module.observation_space, rows)
    size = len(next(nested.leaves(obs)))
    state = initial_states(module, size) if signature.state else {}
    difference, unstable = 0.0, 0
    for _ in range(_STEPS if signature.state else 1):
        actions, following = module.act(obs, state or None)
        expected = signature.results(actions, following)
        found = _in_batches(function, signature.arguments(obs, state), expected, signature)
        distances = [_distance(f, e) for f, e in zip(found, expected, strict=True)]
        excused = _excused(distances, module, obs, state, expected, signature)
        for distance, mask in zip(distances, excused, strict=True):
            unstable += int(mask.sum())
            difference = max(difference, float(distance[~mask].max(initial=0.0)))
        state = following
    return Agreement(size, difference, unstable)


def observations(space: gym.Space[Any] | None, rows: int) -> Any:
    """Return (nested) observations, (extreme ones + rows, ...), the same at each call.

    Floats are drawn at scales from 0.001 to 1000, or are all 0, ±1e-40, 1e-6, ±1 or ±1e6, or are
    the space's bounds, or a single component is ±1e6. All else is drawn from its space.

    Raises:
        ExportError: There is no such space.
    """
    if space is None:
        raise ExportError("the module has no observation space: nothing says what it takes")
    parts = _parts(space)
    drawn = [_draw(part, rows, seed) for seed, part in enumerate(nested.leaves(parts))]
    # Parts have different numbers of extremes: the shorter ones begin again.
    longest = max(map(len, drawn))
    return nested.rebuild(parts, [x[np.arange(longest) % len(x)] for x in drawn])


def _parts(space: gym.Space[Any]) -> Any:
    """Return a space whose inner structure is dictionaries and tuples of spaces."""
    if isinstance(space, spaces.Dict):
        return {name: _parts(inner) for name, inner in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(_parts(inner) for inner in space.spaces)
    return space


def _draw(space: gym.Space[Any], rows: int, seed: int) -> NDArray[Any]:
    if not isinstance(space, spaces.Box):
        space = copy.deepcopy(space)  # drawing moves its generator
        space.seed(seed)
        return np.stack([np.asarray(space.sample()) for _ in range(rows)])
    rng = np.random.default_rng(seed)
    # Bounds at the end of float32, as some spaces have, would overflow inside any network.
    edges = [x.clip(-_LARGE, _LARGE).astype(space.dtype) for x in (space.low, space.high)]
    if space.dtype.kind != "f":
        low, high = (edge.astype(np.float64) for edge in edges)
        drawn = np.floor(rng.uniform(low, high + 1, (rows, *space.shape)))
        return np.concatenate([np.stack(edges), drawn.clip(low, high).astype(space.dtype)])
    uniform = [np.full(space.shape, value) for value in _EXTREMES]
    components = rng.permutation(math.prod(space.shape))[:16]
    single = [sign * _LARGE * _one_hot(space.shape, i) for i in components for sign in (1, -1)]
    scale = 10 ** rng.uniform(-3, 3, (rows, *(1 for _ in space.shape)))
    drawn = scale * rng.standard_normal((rows, *space.shape))
    return np.concatenate([np.stack([*uniform, *edges, *single]), drawn]).astype(space.dtype)


def _one_hot(shape: tuple[int, ...], index: int) -> NDArray[np.float64]:
    return np.eye(1, math.prod(shape), index).reshape(shape)


def _in_batches(
    function: Function, inputs: Arrays, expected: Arrays, signature: Signature
) -> Arrays:
    """Return what a function makes of all rows, asked in batches of several sizes.

    Raises:
        ExportError: The function fails, or number, shapes or element types of its results are not
            as expected.
    """
    parts = []
    for start, end in pairwise([0, *accumulate(_BATCHES), len(inputs[0])]):
        try:
            found = [np.asarray(x) for x in function([x[start:end] for x in inputs])]
        except ANYTHING as error:
            raise ExportError(f"the file cannot run {end - start} rows: {error}") from error
        _require_kind(found, [x[start:end] for x in expected], signature)
        parts.append(found)
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


def _require_kind(found: Arrays, expected: Arrays, signature: Signature) -> None:
    if len(found) != len(expected):
        raise ExportError(f"the file gives {len(found)} tensors instead of {len(expected)}.")
    for port, f, e in zip(signature.outputs, found, expected, strict=True):
        if (f.shape, f.dtype) != (e.shape, e.dtype):
            raise ExportError(
                f"{port.name} of the file is {f.dtype}{list(f.shape)}, the module gives "
                f"{e.dtype}{list(e.shape)}."
            )


def _distance(found: NDArray[Any], expected: NDArray[Any]) -> NDArray[np.float64]:
    """Return differences, relative where values are larger than one; integers absolutely."""
    f, e = (np.asarray(x, np.float64) for x in (found, expected))
    same = (f == e) | (np.isnan(f) & np.isnan(e))
    with np.errstate(invalid="ignore"):
        scale = np.maximum(1.0, np.abs(e)) if expected.dtype.kind == "f" else 1.0
        distance = np.where(same, 0.0, np.abs(f - e) / scale)
    return np.nan_to_num(distance, nan=np.inf)


def _excused(
    distances: Distances,
    module: RLModule,
    obs: Any,
    state: Any,
    expected: Arrays,
    signature: Signature,
) -> list[NDArray[np.bool_]]:
    """Return which distances are too large, but not larger than what the module itself does.

    Raises:
        ExportError: One is larger than that.
    """
    large = [distance > TOLERANCE for distance in distances]
    if not any(mask.any() for mask in large):
        return large
    limits = [np.full_like(distance, TOLERANCE) for distance in distances]
    rng = np.random.default_rng(0)
    for _ in range(_NUDGES):
        nudged = nested.transform(lambda leaf: _nudged(leaf, rng), obs)
        moved = signature.results(*module.act(nudged, state or None))
        for limit, m, e in zip(limits, moved, expected, strict=True):
            np.maximum(limit, _MARGIN * _distance(m, e), out=limit)
    for port, distance, limit in zip(signature.outputs, distances, limits, strict=True):
        if (distance > limit).any():
            worst = distance[distance > limit].max()
            raise ExportError(
                f"the file does not do what the module does: {port.name} differs by {worst:.2g}, "
                f"where {TOLERANCE:g} is allowed."
            )
    return large


def _nudged(leaf: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    """Return floats that differ in their last digit."""
    if leaf.dtype.kind != "f":
        return leaf
    return (leaf * (1 + _NUDGE * rng.choice([-1, 1], leaf.shape))).astype(leaf.dtype)
