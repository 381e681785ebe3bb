"""What every engine does alike behind the seam, so that all complain of the same things."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motrix_envs.errors import ConfigError, ModelError, SimBackendError, did_you_mean
from motrix_envs.sim.model import Model, ModelInfo
from motrix_envs.sim.protocol import Rows, SnapshotError

Values = NDArray[np.float32]

# A body this fast (m/s, rad/s) or this far away (m) is the solver's error: the row has diverged.
ABSURD = 1e6

LONGEST_COMPLAINT = 500  # characters

THREADS_VARIABLE = "MOTRIX_PHYSICS_THREADS"


def wanted_threads() -> int | None:
    """Return how many threads `MOTRIX_PHYSICS_THREADS` allows; None if it is not set.

    Raises:
        ConfigError: It is not a number of threads.
    """
    wanted = os.environ.get(THREADS_VARIABLE)
    if not wanted:
        return None
    if not wanted.isdecimal() or int(wanted) < 1:
        raise ConfigError(f"{THREADS_VARIABLE}={wanted} must be a number of threads, 1 or more")
    return int(wanted)


# Models


@contextmanager
def files_of(model: Model) -> Iterator[Path]:
    """Lend the folder where a model finds its files: its own, or a copy with its assets."""
    if model.folder and not model.assets:
        yield Path(model.folder)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if model.folder:
            shutil.copytree(model.folder, folder, dirs_exist_ok=True)
        for relative, content in model.assets.items():
            target = folder / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        yield folder


def brief(error: BaseException) -> str:
    """Return what an error says, without the rest where it repeats a whole file."""
    said = str(error)
    return said if len(said) <= LONGEST_COMPLAINT else f"{said[:LONGEST_COMPLAINT]} ..."


def no_such(what: str, name: str, known: Iterable[str]) -> ModelError:
    """Return the error that a model has no thing of this name."""
    names = [one for one in known if one]
    return ModelError(
        f"the model has no {what} '{name}'.{did_you_mean(name, names)} "
        f"There are: {', '.join(names) or 'none'}"
    )


def check_contacts(contacts: Iterable[str], geom_names: Iterable[str]) -> None:
    """Check that contact properties belong to geoms that exist.

    Raises:
        ModelError: One does not.
    """
    names = list(geom_names)
    for name in contacts:
        if name not in names:
            raise no_such("geom with contact properties", name, names)


# States


def check_controls(ctrl: NDArray[Any], num_envs: int, model: ModelInfo) -> None:
    """Check the shape of controls.

    Raises:
        ModelError: They have another shape.
    """
    expected = (num_envs, model.num_actuators)
    if ctrl.shape != expected:
        raise ModelError(f"ctrl has shape {ctrl.shape}; expected {expected}, as the model has it")


def check_state(
    rows: Rows, positions: NDArray[Any], velocities: NDArray[Any], model: ModelInfo
) -> None:
    """Check the shapes of a state for some rows.

    Raises:
        ModelError: One has another shape than the model.
    """
    sizes = {"positions": model.num_positions, "velocities": model.num_velocities}
    for (name, size), array in zip(sizes.items(), (positions, velocities), strict=True):
        if np.shape(array) != (len(rows), size):
            raise ModelError(
                f"{name} have shape {np.shape(array)}; expected {(len(rows), size)}, as the model "
                "has it"
            )


def normalised(positions: NDArray[Any], model: ModelInfo) -> Values:
    """Return generalised positions with rotations of length 1.

    Raises:
        ValueError: A rotation has no direction.
    """
    if not model.quaternions:
        return np.asarray(positions, np.float32)
    positions = np.array(positions, np.float32)
    for span in model.quaternions:
        lengths = np.linalg.norm(positions[:, span], axis=1, keepdims=True)
        if not (lengths > 0).all():
            raise ValueError("positions hold a rotation of length 0 or NaN")
        positions[:, span] /= lengths
    return positions


# Overrides


@dataclass(frozen=True)
class Kind:
    """What the values of one kind of override look like.

    Attributes:
        shape: Of one row's value.
        possible: Which numbers are possible.
    """

    shape: tuple[int, ...]
    possible: Callable[[Values], NDArray[np.bool_]] = np.isfinite


def _positive(values: Values) -> NDArray[np.bool_]:
    return np.isfinite(values) & (values > 0)


def _not_negative(values: Values) -> NDArray[np.bool_]:
    return np.isfinite(values) & (values >= 0)


def _pose(values: Values) -> NDArray[np.bool_]:
    lengths = np.linalg.norm(values[..., 3:], axis=-1, keepdims=True)
    unit: NDArray[np.bool_] = np.abs(lengths - 1) < 1e-3
    return np.isfinite(values) & unit


KINDS: Mapping[str, Kind] = {
    "mass": Kind((), _positive),
    "center_of_mass": Kind((3,)),
    "friction": Kind((3,), _not_negative),
    "kp": Kind((), _not_negative),
    "kd": Kind((), _not_negative),
    "armature": Kind((), _not_negative),
    "gravity": Kind((3,)),
    "mocap": Kind((7,), _pose),
    "push": Kind((3,)),
}
"""Every kind of override that the seam knows."""


def checked_overrides(
    engine: str,
    supported: Iterable[str],
    rows: Rows,
    overrides: Mapping[str, Mapping[str, NDArray[Any]] | NDArray[Any]],
) -> list[tuple[str, str, Values]]:
    """Return the overrides of a `write` as (kind, name, values), all of them possible.

    Raises:
        SimBackendError: The engine does not support one of them.
        ConfigError: A value is impossible or has another shape.
    """
    found = []
    for kind, values in overrides.items():
        if kind not in supported:
            raise SimBackendError(
                f"{engine} cannot override '{kind}' per row.{did_you_mean(kind, supported)} "
                f"It can: {', '.join(sorted(supported))}"
            )
        for name, value in (values if isinstance(values, Mapping) else {"": values}).items():
            array, expected = np.asarray(value, np.float32), (len(rows), *KINDS[kind].shape)
            if array.shape != expected:
                raise ConfigError(
                    f"{kind} for '{name}' has shape {array.shape}; {len(rows)} rows need {expected}"
                )
            if not KINDS[kind].possible(array).all():
                raise ConfigError(f"impossible {kind} for '{name}': {array}")
            found.append((kind, name, array))
    return found


# Snapshots


def tag(engine: str) -> dict[str, NDArray[Any]]:
    """Return the part of a snapshot that says whose it is."""
    return {"engine": np.frombuffer(engine.encode(), np.uint8).copy()}


def check_snapshot(
    snapshot: Mapping[str, NDArray[Any]], engine: str, own: Mapping[str, NDArray[Any]]
) -> None:
    """Check that a snapshot is of this engine, and that arrays in it have the shapes of `own`.

    Raises:
        SnapshotError: It is not.
    """
    found = bytes(np.asarray(snapshot.get("engine", []), np.uint8)).decode(errors="replace")
    if found != engine:
        raise SnapshotError(
            f"the snapshot is of '{found}', this engine is '{engine}': only the same engine and "
            "version continue exactly"
        )
    for name, array in own.items():
        shape = np.shape(snapshot[name]) if name in snapshot else None
        if shape != array.shape:
            raise SnapshotError(
                f"'{name}' has shape {shape} in the snapshot and {array.shape} here: it is of "
                "another model, other reads or another number of environments"
            )


def under(prefix: str, snapshot: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return the arrays whose names begin with a prefix, under the rest of their names."""
    return {k.removeprefix(prefix): v for k, v in snapshot.items() if k.startswith(prefix)}


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Return a view that cannot be written to."""
    view = array.view()
    view.flags.writeable = False
    return view
