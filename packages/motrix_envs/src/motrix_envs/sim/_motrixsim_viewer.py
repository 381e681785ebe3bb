"""MotrixSim's renderer behind the seam; it needs Vulkan, and a display for a window."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from motrixsim.render import RenderApp, RenderSettings
from numpy.typing import NDArray

from motrix_envs.sim._motrixsim_import import is_panic, native_stderr
from motrix_envs.sim.viewer import RenderError, View, has_display

WARM_UP_FRAMES = 2  # the first pictures are taken before the meshes have arrived
_DRIVER_FOLDERS = ("/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/etc/vulkan/icd.d")


class MotrixViewer:
    """Draws the first rows of a simulation; see `motrix_envs.sim.viewer.Viewer`.

    Args:
        scene: The engine's model.
        data: Returns the engine's data, which the simulation replaces after a panic.
        view: What to draw.
    """

    def __init__(self, scene: Any, data: Callable[[], Any], view: View) -> None:
        _require_driver()
        if view.window:
            _require_display()
        self._scene, self._data, self._view = scene, data, view
        self._warm_up = WARM_UP_FRAMES
        self._followed = view.camera.followed(list(scene.link_names))
        self._app = self._launch()
        self._look_at(view.camera.lookat)

    def _launch(self) -> Any:
        view = self._view
        if not view.window:
            self._scene.cameras.set_system_render_target("image", *view.size)
        try:
            with native_stderr():  # window systems complain of each other there
                app = RenderApp(headless=not view.window, log_level="WARN")
                app.launch(
                    self._scene,
                    batch=len(view.offsets),
                    render_offset=view.offsets.tolist(),
                    render_settings=RenderSettings.performance(),
                )
        except BaseException as error:
            if isinstance(error, Exception) or is_panic(error):
                raise RenderError(f"MotrixSim cannot draw here: {error}") from error
            raise
        return app

    def _look_at(self, lookat: tuple[float, float, float]) -> None:
        camera = self._view.camera
        self._app.system_camera.set_view(
            lookat=list(lookat),
            distance=camera.distance,
            elevation=camera.elevation,
            azimuth=camera.azimuth,
        )

    @property
    def closed(self) -> bool:
        """Whether the user closed the window."""
        return bool(self._app.is_closed)

    def show(self, moving: bool = True) -> None:
        """Draw the window."""
        self._app.sync(self._poses() if moving else None)

    def pressed(self, key: str) -> bool:
        """Return whether a key was pressed since the last `show`."""
        return bool(self._app.input.is_key_just_pressed(key))

    def frame(self) -> NDArray[np.uint8]:
        """Return a picture of the present state, (height, width, 3)."""
        with native_stderr():  # it warns that the model's own cameras do not follow
            while self._warm_up:
                self._capture()
                self._warm_up -= 1
            return self._capture()

    def _capture(self) -> NDArray[np.uint8]:
        poses = self._poses()
        if self._followed is not None:
            self._look_at(self._view.camera.moved_with(poses[:, self._followed, :3]))
        task = self._app.system_camera.capture()
        self._app.sync(poses, wait=True)
        pixels: NDArray[np.uint8] = np.asarray(task.take_image().pixels)[..., :3]
        return pixels

    def _poses(self) -> NDArray[np.float32]:
        """Return the poses of all bodies in the drawn rows, (k, num_bodies, 7)."""
        # Poses lag a substep; refreshing them leaves the dynamics alone.
        data = self._data()
        self._scene.forward_kinematic(data)
        poses = self._scene.get_link_poses(data)[: len(self._view.offsets)]
        return np.ascontiguousarray(poses, np.float32)

    def close(self) -> None:
        """Release the window and the graphics device."""
        with native_stderr():  # its threads are surprised by the end
            self._app.close()


def _require_driver() -> None:
    """Without a driver the renderer ends the process instead of raising an error."""
    if sys.platform != "linux":
        return
    named = os.environ.get("VK_DRIVER_FILES") or os.environ.get("VK_ICD_FILENAMES")
    files = [Path(name) for name in named.split(os.pathsep)] if named else _installed_drivers()
    if not any(file.is_file() for file in files):
        raise RenderError(
            "drawing needs a Vulkan driver, and none is installed. On Debian and Ubuntu: "
            "apt install mesa-vulkan-drivers (it draws on the CPU where there is no GPU)"
        )


def _installed_drivers() -> list[Path]:
    return [file for folder in _DRIVER_FOLDERS for file in Path(folder).glob("*.json")]


def _require_display() -> None:
    if sys.platform == "linux" and not has_display():
        raise RenderError(
            "a window needs a display, and neither DISPLAY nor WAYLAND_DISPLAY is set; "
            "record a video instead"
        )
