"""A robot model before an engine builds it, and what an engine tells of it afterwards."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from motrix_envs.errors import ModelError

DEEPEST = 500  # levels of elements


@dataclass(frozen=True)
class Contact:
    """Contact properties that MJCF spells differently for each engine.

    Attributes:
        restitution: Share of the normal velocity that a collision returns, in [0, 1]. Against a
            geom that has none this one counts; of two, the mean.
    """

    restitution: float

    def __post_init__(self) -> None:
        if not 0 <= self.restitution <= 1:
            raise ModelError(f"restitution = {self.restitution} must lie in [0, 1]")


@dataclass(frozen=True)
class Model:
    """A model: an MJCF string and what belongs to it.

    Attributes:
        mjcf: The model as MJCF text.
        folder: Where relative asset paths start; None if the text needs no files.
        assets: Generated files by the relative path under which the text names them.
        contacts: Contact properties by geom name.
        accepts: What the author knows that an engine does otherwise, each as a part of the
            complaint's text. Any other complaint refuses the model.
    """

    mjcf: str
    folder: str | None = None
    assets: Mapping[str, bytes] = field(default_factory=dict)
    contacts: Mapping[str, Contact] = field(default_factory=dict)
    accepts: tuple[str, ...] = ()

    @classmethod
    def from_file(cls, path: str | Path, accepts: tuple[str, ...] = ()) -> Model:
        """Read a model file.

        Raises:
            ModelError: The file cannot be read, or is not XML.
        """
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8")
            check_xml(text)
        except (OSError, ValueError) as error:
            raise ModelError(f"model file '{path}' cannot be read: {error}") from error
        return cls(text, folder=str(path.resolve().parent), accepts=accepts)


def check_xml(text: str) -> None:
    """Check that a text is XML which an engine can take in: a very deep one would crash it.

    Raises:
        ModelError: It is not.
    """
    depth = 0
    try:
        for event, _ in ElementTree.iterparse(io.StringIO(text), ("start", "end")):
            depth += 1 if event == "start" else -1
            if depth > DEEPEST:
                raise ModelError(f"its elements are nested more than {DEEPEST} deep")
    except ElementTree.ParseError as error:
        raise ModelError(f"it is not XML: {error}") from error


@dataclass(frozen=True)
class ModelInfo:
    """Names, sizes and ranges of a built model. Quaternions are x, y, z, w.

    Attributes:
        num_positions: Size of the generalised positions (7 per free joint, 4 per ball, else 1).
        num_velocities: Size of the generalised velocities (6 per free joint, 3 per ball, else 1).
        joint_names: Joints other than free ones, in model order; unnamed things are empty strings.
        joint_positions: Where each named joint stands among the positions.
        joint_velocities: Where each named joint stands among the velocities.
        joint_range: Limits in rad or m, (num_joints, 2); infinite where there are none.
        actuator_names: Actuators in the order of the controls.
        ctrl_range: Limits of the controls, (num_actuators, 2).
        body_names: Moving and fixed bodies, the world left out.
        geom_names: Geoms.
        site_names: Sites.
        default_positions: The pose of the model as written, (num_positions,).
        quaternions: Where the rotations of free and ball joints stand among the positions.
    """

    num_positions: int
    num_velocities: int
    joint_names: tuple[str, ...]
    joint_positions: Mapping[str, slice]
    joint_velocities: Mapping[str, slice]
    joint_range: NDArray[np.float32]
    actuator_names: tuple[str, ...]
    ctrl_range: NDArray[np.float32]
    body_names: tuple[str, ...]
    geom_names: tuple[str, ...]
    site_names: tuple[str, ...]
    default_positions: NDArray[np.float32]
    quaternions: tuple[slice, ...]

    @property
    def num_actuators(self) -> int:
        """Number of controls."""
        return len(self.actuator_names)
