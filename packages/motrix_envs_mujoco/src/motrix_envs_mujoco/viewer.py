"""MuJoCo's renderer behind the seam: pictures without a display, through EGL or OSMesa."""

from __future__ import annotations

import ctypes.util
import importlib
import os
import sys
from typing import Any

import numpy as np
from motrix_envs.sim.viewer import RenderError, View
from numpy.typing import NDArray

from motrix_envs_mujoco._library import mujoco, silence

# More than a batch needs to be seen in; what does not fit in is not drawn.
MOST_GEOMS = 20_000

_INSTALL = (
    "drawing with MuJoCo needs EGL or OSMesa, and neither is installed. On Debian and Ubuntu: "
    "apt install libegl1 libgl1-mesa-dri (it draws on the CPU where there is no GPU)"
)
_LIBRARIES = {"egl": "EGL", "osmesa": "OSMesa"}


class MujocoViewer:
    """Draws the first rows of a simulation; see `motrix_envs.sim.viewer.Viewer`.

    Args:
        model: The model as it is drawn.
        rows: MuJoCo's batch.
        view: What to draw.

    Raises:
        RenderError: There is no driver, or a window is asked for.
    """

    def __init__(self, model: Any, rows: Any, view: View) -> None:
        if view.window:
            raise RenderError(
                "the MuJoCo engine opens no window: record a video, or look at it with "
                "--sim-backend motrixsim"
            )
        self._model, self._rows, self._view = model, rows, view
        width, height = view.size
        model.vis.global_.offwidth, model.vis.global_.offheight = width, height
        model.vis.headlight.ambient[:] = model.vis.headlight.diffuse[:] = 0.4
        self._context = _context(width, height)
        with silence():
            scale = mujoco.mjtFontScale.mjFONTSCALE_100
            self._renderer = mujoco.MjrContext(model, scale)
            mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._renderer)
        self._scene = mujoco.MjvScene(model, MOST_GEOMS)
        for slow in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
            self._scene.flags[slow] = 0
        self._data = mujoco.MjData(model)
        self._option, self._effects = mujoco.MjvOption(), mujoco.MjvPerturb()
        self._camera = _camera(view)
        self._followed = view.camera.followed(
            [model.body(number).name for number in range(model.nbody)]
        )
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether the user closed the window: there is none."""
        return self._closed

    def show(self, moving: bool = True) -> None:
        """Draw the window: there is none."""

    def pressed(self, key: str) -> bool:
        """Return whether a key was pressed: there is no window."""
        return False

    def frame(self) -> NDArray[np.uint8]:
        """Return a picture of the present state, (height, width, 3).

        Raises:
            RenderError: The viewer is closed.
        """
        if self._closed:
            raise RenderError("this viewer is closed")
        self._context.make_current()
        with silence():
            self._follow()
            for row, offset in enumerate(self._view.offsets):
                self._place(row, offset)
        width, height = self._view.size
        pixels = np.zeros((height, width, 3), np.uint8)
        area = mujoco.MjrRect(0, 0, width, height)
        mujoco.mjr_render(area, self._scene, self._renderer)
        mujoco.mjr_readPixels(pixels, None, area, self._renderer)
        return np.ascontiguousarray(pixels[::-1])

    def _follow(self) -> None:
        """Let the camera go along with its body."""
        if self._followed is None:
            return
        places = []
        for row in range(len(self._view.offsets)):
            self._load(row)
            places.append(self._data.xpos[self._followed].copy())
        self._camera.lookat[:] = self._view.camera.moved_with(np.array(places))

    def _load(self, row: int) -> None:
        """Take over the pose of one row."""
        self._rows.get_data(row, self._data)
        mujoco.mj_kinematics(self._model, self._data)

    def _place(self, row: int, offset: NDArray[np.float64]) -> None:
        """Put one row into the scene, moved to its place; the first one brings light and floor."""
        model, data, scene = self._model, self._data, self._scene
        self._load(row)
        mujoco.mj_comPos(model, data)
        mujoco.mj_camlight(model, data)
        for places in (data.geom_xpos, data.site_xpos, data.xpos, data.xipos):
            places += offset
        every = int(mujoco.mjtCatBit.mjCAT_ALL)
        how = (self._option, self._effects)
        if row == 0:
            mujoco.mjv_updateScene(model, data, *how, self._camera, every, scene)
            return
        first = scene.ngeom
        mujoco.mjv_addGeoms(model, data, *how, every, scene)
        for geom in scene.geoms[first : scene.ngeom]:
            if geom.type == mujoco.mjtGeom.mjGEOM_PLANE:
                geom.rgba[3] = 0  # one floor is enough

    def close(self) -> None:
        """Release the graphics device."""
        if not self._closed:
            self._closed = True
            self._context.make_current()
            self._renderer.free()
            self._context.free()


def _camera(view: View) -> Any:
    camera = mujoco.MjvCamera()
    camera.type = mujoco.mjtCamera.mjCAMERA_FREE
    camera.lookat[:] = view.camera.lookat
    camera.distance = view.camera.distance
    camera.elevation, camera.azimuth = view.camera.elevation, view.camera.azimuth
    return camera


def _context(width: int, height: int) -> Any:
    """Return an OpenGL context that draws into memory, current."""
    try:
        context = _library().GLContext(width, height)
        context.make_current()
    except RenderError:
        raise
    except Exception as error:  # whatever a driver answers
        raise RenderError(f"MuJoCo cannot draw here: {error}. {_INSTALL}") from error
    return context


def _library() -> Any:
    """Return the module of MuJoCo's for the first library that is there.

    Libraries are looked for and not tried: after a failure the next one cannot be loaded any more.
    """
    if sys.platform != "linux":
        return importlib.import_module("mujoco.gl_context")
    asked = os.environ.get("PYOPENGL_PLATFORM") or os.environ.get("MUJOCO_GL", "")
    order = [asked] if asked in _LIBRARIES else list(_LIBRARIES)
    for name in order:
        if ctypes.util.find_library(_LIBRARIES[name]):
            return importlib.import_module(f"mujoco.{name}")
    raise RenderError(_INSTALL)
