"""Environments drawn side by side: in a window, or as frames for a video."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from motrix_envs.np.env import NpEnv
from motrix_envs.sim.viewer import Camera, View

WINDOW_SIZE = (1280, 720)
FREEZE_KEY = "space"


class NpRenderer:
    """Draws the first environments of a batch in a grid.

    Args:
        env: The environments.
        count: How many of them to draw; None draws all.
        window: Whether to open a window; otherwise ask for frames.
        size: Width and height in pixels.
        camera: Where to look from; None takes the environment's own camera, moved back until the
            grid fits in.

    Raises:
        RenderError: There is no graphics driver, or no display for a window.
    """

    def __init__(
        self,
        env: NpEnv,
        count: int | None = None,
        *,
        window: bool = True,
        size: tuple[int, int] = WINDOW_SIZE,
        camera: Camera | None = None,
    ) -> None:
        count = min(count or env.num_envs, env.num_envs)
        offsets = grid(count, env.render_spacing)
        camera = camera or _step_back(env.camera, offsets)
        self._viewer = env.sim.viewer(View(offsets, camera, size, window))
        self._frozen = False

    @property
    def closed(self) -> bool:
        """Whether the user closed the window."""
        return self._viewer.closed

    def render(self) -> None:
        """Draw the window; the space bar freezes the scene and releases it again."""
        if self._viewer.pressed(FREEZE_KEY):
            self._frozen = not self._frozen
        self._viewer.show(moving=not self._frozen)

    def frame(self) -> NDArray[np.uint8]:
        """Return a picture of the present state, (height, width, 3)."""
        return self._viewer.frame()

    def close(self) -> None:
        """Release the window and the graphics device."""
        self._viewer.close()


def grid(count: int, spacing: float) -> NDArray[np.float64]:
    """Return places in rows and columns as square as possible, (count, 3), in m."""
    columns = math.ceil(math.sqrt(count))
    places: NDArray[np.float64] = np.zeros((count, 3))
    places[:, 1], places[:, 0] = np.divmod(np.arange(count), columns)
    return places * spacing


def _step_back(camera: Camera, offsets: NDArray[np.float64]) -> Camera:
    """Return the camera in front of the middle of the grid, far enough to see all of it."""
    centre, extent = offsets.mean(axis=0), float(np.ptp(offsets, axis=0).max())
    x, y, z = (np.asarray(camera.lookat) + centre).tolist()
    return replace(camera, lookat=(x, y, z), distance=camera.distance + extent)
