"""Watching: videos where there is no display, and what is said where nothing can be drawn."""

from __future__ import annotations

import numpy as np
import pytest
from motrix_envs.sim import viewer
from motrix_rl.cli import main
from motrix_rl.video import VideoError, contact_sheet, write_video

TINY = ["--seconds", "0.1", "--fps", "20", "--num-envs", "2", "--size", "64", "48"]


@pytest.fixture
def headless(monkeypatch, tmp_path):
    monkeypatch.setattr("motrix_rl.cli.watch.has_display", lambda: False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def frames(count):
    return [np.full((16, 32, 3), value, np.uint8) for value in range(count)]


def test_a_contact_sheet_is_a_grid_in_the_order_of_time():
    sheet = contact_sheet(frames(100))
    assert sheet.shape == (3 * 16, 4 * 32, 3)
    assert sheet[0, 0, 0] == 0
    assert sheet[-1, -1, 0] == 99


def test_few_frames_leave_blank_places():
    sheet = contact_sheet(frames(5))
    assert sheet.shape == (2 * 16, 4 * 32, 3)
    assert sheet[-1, -1, 0] == 255


def test_nothing_to_show():
    with pytest.raises(VideoError, match="no frame"):
        contact_sheet([])


def test_other_formats_are_refused(tmp_path):
    with pytest.raises(VideoError, match=r"\.mp4 or \.gif"):
        write_video(tmp_path / "video.avi", frames(2), 10)
    assert not list(tmp_path.iterdir())


# The encoder is a process of its own; JAX, loaded by other tests, warns of every fork.
@pytest.mark.filterwarnings(r"ignore:os.fork\(\) was called:RuntimeWarning")
@pytest.mark.parametrize("suffix", ["mp4", "gif"])
def test_a_video_is_written(tmp_path, suffix):
    path = tmp_path / "new" / f"video.{suffix}"
    write_video(path, frames(4), 10)
    assert path.stat().st_size > 100


def test_without_a_driver_the_message_says_what_to_install(headless, monkeypatch, capsys):
    monkeypatch.setattr(viewer.sys, "platform", "linux")
    monkeypatch.setenv("VK_DRIVER_FILES", str(headless / "none.json"))
    assert main(["view", "cartpole", *TINY]) == 1
    assert "apt install mesa-vulkan-drivers" in capsys.readouterr().err


@pytest.mark.draws
def test_view_writes_a_video_where_there_is_no_display(headless, capsys):
    code = main(["view", "cartpole", "--seed", "1", "--out", "random.gif", *TINY])
    printed = capsys.readouterr()
    if code and "Vulkan" in printed.err:
        pytest.skip("no Vulkan driver")
    assert code == 0
    assert "video: random.gif" in printed.out
    assert "drawing " in printed.out  # software drivers take seconds for each picture
    assert (headless / "random.gif").stat().st_size > 100
