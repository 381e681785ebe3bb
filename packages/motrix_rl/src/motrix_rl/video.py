"""Pictures of environments on disk: MP4, GIF, and contact sheets as PNG (extra `video`)."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from motrix_envs._plugins import installed_version
from motrix_envs.errors import MotrixError
from numpy.typing import NDArray

from motrix_rl.atomic import disk_errors, write_bytes_atomic
from motrix_rl.errors import RunError

FORMATS = (".mp4", ".gif")
SHEET_FRAMES = 12


class VideoError(MotrixError, ValueError):
    """A video cannot be written."""


def write_video(path: Path, frames: Iterable[NDArray[np.uint8]], fps: float) -> NDArray[np.uint8]:
    """Write a video and return its contact sheet.

    Args:
        path: Where to write; `.mp4` or `.gif`.
        frames: Pictures (height, width, 3), one after the other.
        fps: Pictures per second.

    Returns:
        Up to twelve of the pictures in a grid, evenly spaced in time.

    Raises:
        VideoError: The suffix is neither, or no encoder is installed.
        RunError: The disk refuses.
    """
    check_format(path)
    imageio = _encoder()
    kept: list[NDArray[np.uint8]] = []
    # The encoder of MP4 is a process of its own, which does not tell that a disk is full.
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / f"video{path.suffix.lower()}"
        with disk_errors(draft, RunError):
            with imageio.get_writer(draft, **_options(path, fps)) as writer:
                for frame in _keeping(frames, kept):
                    writer.append_data(frame)
            video = draft.read_bytes()
        sheet = contact_sheet(kept)
        _check_whole(draft, len(kept))
    _write(path, video)
    return sheet


def _check_whole(draft: Path, count: int) -> None:
    """Check that the encoder wrote every picture of an MP4; Python writes GIFs itself."""
    if draft.suffix != ".mp4":
        return
    from imageio_ffmpeg import count_frames_and_secs

    try:
        found = count_frames_and_secs(str(draft))[0]
    except RuntimeError:
        found = 0
    if found != count:
        raise VideoError(
            f"the encoder wrote {found} of {count} pictures: is the disk of {draft.parent} full?"
        )


def _write(path: Path, data: bytes) -> None:
    with disk_errors(path, RunError):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes_atomic(path, data)


def check_format(path: Path) -> None:
    """Check that a file of this name can be a video.

    Raises:
        VideoError: Its suffix is neither `.mp4` nor `.gif`.
    """
    if path.suffix.lower() not in FORMATS:
        raise VideoError(f"cannot write '{path.name}': a video ends in {' or '.join(FORMATS)}")


def _options(path: Path, fps: float) -> dict[str, Any]:
    if path.suffix.lower() == ".gif":
        return {"duration": 1000 / fps, "loop": 0}
    return {"fps": fps, "codec": "libx264", "quality": 8}


def _keeping(
    frames: Iterable[NDArray[np.uint8]], kept: list[NDArray[np.uint8]]
) -> Iterator[NDArray[np.uint8]]:
    for frame in frames:
        kept.append(frame)
        yield frame


def contact_sheet(frames: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Return up to twelve frames, evenly spaced in time, in a grid four wide."""
    if not frames:
        raise VideoError("there is nothing to show: no frame was drawn")
    count = min(SHEET_FRAMES, len(frames))
    picked = [frames[round(i)] for i in np.linspace(0, len(frames) - 1, count)]
    columns = min(4, count)
    blank = np.full_like(picked[0], 255)
    picked += [blank] * (math.ceil(count / columns) * columns - count)
    rows = [np.concatenate(picked[i : i + columns], 1) for i in range(0, len(picked), columns)]
    return np.concatenate(rows, 0)


def write_picture(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write one picture as PNG.

    Raises:
        VideoError: No encoder is installed.
        RunError: The disk refuses.
    """
    _write(path, _encoder().imwrite("<bytes>", picture, format="png"))


def _encoder() -> Any:
    try:
        import imageio.v2 as imageio
        import imageio_ffmpeg  # noqa: F401 - what writes MP4
    except ImportError as error:
        version = installed_version("motrix-rl")
        raise VideoError(
            f'writing videos needs an encoder: pip install "motrix-rl[video]=={version}"'
        ) from error
    return imageio
