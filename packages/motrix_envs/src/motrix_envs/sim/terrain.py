"""Uneven ground: an array of heights, its MJCF, and the height under a point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from motrix_envs.errors import ModelError

BASE = 0.1  # m of ground below the lowest point


@dataclass(frozen=True)
class Terrain:
    """Heights on a grid around the origin.

    A cell is two triangles, parted from its corner of lowest x and y to the opposite one: the
    surface that engines collide with. Heights come from this array alone, so that they do not
    depend on the engine.

    Attributes:
        heights: Heights in m, (rows, columns): the first row at the lowest y, the first column at
            the lowest x.
        extent: Half the lengths in m along x and y.
    """

    heights: NDArray[np.float64]
    extent: tuple[float, float]

    def __post_init__(self) -> None:
        shape = self.heights.shape
        if self.heights.ndim != 2 or min(shape) < 2 or not np.isfinite(self.heights).all():
            raise ModelError(f"heights have shape {shape}; they must be finite and at least 2 by 2")
        if not np.ptp(self.heights) > 0:
            raise ModelError("all heights are equal, and engines see nothing there; use a plane")
        if min(self.extent) <= 0:
            raise ModelError(f"extent = {self.extent} must be two lengths in m")

    def asset(self, name: str) -> str:
        """Return the `<hfield>` element for the model's assets."""
        rows, columns = self.heights.shape
        low, span = self.heights.min(), np.ptp(self.heights)
        # MJCF begins with the row of highest y.
        shares = (self.heights[::-1] - low) / span
        elevation = " ".join(f"{share:.6g}" for share in shares.ravel())
        return (
            f'<hfield name="{name}" nrow="{rows}" ncol="{columns}" '
            f'size="{self.extent[0]} {self.extent[1]} {span:.9g} {BASE}" elevation="{elevation}"/>'
        )

    def geom(self, name: str, attributes: str = "") -> str:
        """Return the `<geom>` element of an asset, for the world body."""
        low = self.heights.min()
        return (
            f'<geom name="{name}" type="hfield" hfield="{name}" pos="0 0 {low:.9g}" {attributes}/>'
        )

    def height(self, x: NDArray[np.floating], y: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return the heights in m under points in m, of any shape; beyond the edge, those there."""
        rows, columns = self.heights.shape
        across = np.clip((x / self.extent[0] + 1) / 2 * (columns - 1), 0, columns - 1)
        along = np.clip((y / self.extent[1] + 1) / 2 * (rows - 1), 0, rows - 1)
        i = np.minimum(across.astype(np.intp), columns - 2)
        j = np.minimum(along.astype(np.intp), rows - 2)
        u, v = across - i, along - j
        grid = self.heights
        near, far = grid[j, i], grid[j + 1, i + 1]
        side = np.where(u > v, grid[j, i + 1], grid[j + 1, i])
        most, least = np.maximum(u, v), np.minimum(u, v)
        found: NDArray[np.float64] = near + most * (side - near) + least * (far - side)
        return found.astype(np.float32)
