"""How a simulation is looked at: a camera, a view of some rows, and what draws it."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from motrix_envs.errors import MotrixError

LEAST_SIZE, MOST_SIZE = 16, 8192  # pixels that every driver and every encoder takes


class RenderError(MotrixError, RuntimeError):
    """Nothing can be drawn here; the message says what is missing."""


@dataclass(frozen=True)
class Camera:
    """Where to look from.

    Attributes:
        lookat: The point in the middle of the picture, in m.
        distance: Distance of the camera from that point, in m.
        elevation: Height of the camera as an angle, in degrees; negative looks down.
        azimuth: Direction in which it looks around the vertical axis, in degrees.
        follow: Body that pictures go along with in x and y, the mean of it over all drawn rows; a
            window leaves the camera to the user. Nothing by default.
    """

    lookat: tuple[float, float, float] = (0.0, 0.0, 0.5)
    distance: float = 3.0
    elevation: float = -15.0
    azimuth: float = 90.0
    follow: str | None = None

    def __post_init__(self) -> None:
        places = (*self.lookat, self.elevation, self.azimuth)
        if not (all(map(math.isfinite, places)) and 0 < self.distance < math.inf):
            raise RenderError(f"{self} needs finite numbers and a positive distance")

    def followed(self, bodies: Sequence[str]) -> int | None:
        """Return the place of the body to follow among all of a model; None for none.

        Raises:
            RenderError: The model has no such body.
        """
        if self.follow is None:
            return None
        if self.follow not in bodies:
            raise RenderError(
                f"the camera cannot follow {self.follow!r}: the model has no such body"
            )
        return bodies.index(self.follow)

    def moved_with(self, places: NDArray[np.floating[Any]]) -> tuple[float, float, float]:
        """Return the point in the middle when the body that it follows is elsewhere.

        Args:
            places: Of that body in each drawn row, in m, (k, 3).
        """
        x, y, z = self.lookat
        forward, aside, _ = places.mean(axis=0)
        return x + float(forward), y + float(aside), z


@dataclass(frozen=True)
class View:
    """Which rows are drawn, where, and how large.

    Attributes:
        offsets: Place of each drawn row in m, (k, 3); the first k rows of the batch are drawn.
        camera: Where to look from.
        size: Width and height in pixels.
        window: Whether to open a window; otherwise frames are drawn for `Viewer.frame`.
    """

    offsets: NDArray[np.float64]
    camera: Camera
    size: tuple[int, int]
    window: bool

    def __post_init__(self) -> None:
        if not LEAST_SIZE <= min(self.size) <= max(self.size) <= MOST_SIZE:
            raise RenderError(
                f"a picture of {' x '.join(map(str, self.size))} pixels cannot be drawn: width and "
                f"height lie between {LEAST_SIZE} and {MOST_SIZE}"
            )


class Viewer(Protocol):
    """Draws a simulation; made by `Simulation.viewer`."""

    @property
    def closed(self) -> bool:
        """Whether the user closed the window."""

    def show(self, moving: bool = True) -> None:
        """Draw the window; if not `moving`, the scene stays as it is and input goes on."""

    def pressed(self, key: str) -> bool:
        """Return whether a key was pressed since the last `show`."""

    def frame(self) -> NDArray[np.uint8]:
        """Return a picture of the present state, (height, width, 3)."""

    def close(self) -> None:
        """Release the window and the graphics device."""


def has_display() -> bool:
    """Return whether a window can be opened, as far as the environment tells."""
    if sys.platform != "linux":
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
