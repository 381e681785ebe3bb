"""Numbers arrive in `metrics.jsonl` and in TensorBoard, on the axis of environment steps."""

import json
import os
from types import SimpleNamespace

import numpy as np
import pytest
from motrix_rl.runs import Run
from motrix_rl.training_log import EventFile, TrainingLog, _tag
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


@pytest.fixture
def run(tmp_path):
    return Run.create(tmp_path, "cartpole", "skrl", "torch", 1, {})


def step(reward, done, **terms):
    reward = np.array(reward, np.float32)
    info = {
        "Reward": {name: np.array(term, np.float32) for name, term in terms.items()},
        "metrics": {"speed": reward * 2},
        "success": np.ones(reward.size, bool),
    }
    return SimpleNamespace(reward=reward, done=np.array(done), info=info)


def rows(run):
    return [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]


def events(folder):
    accumulator = EventAccumulator(str(folder))
    accumulator.Reload()
    return {
        tag: [(event.step, event.value) for event in accumulator.Scalars(tag)]
        for tag in accumulator.Tags()["scalars"]
    }


def test_an_episode_that_was_broken_off_counts_for_nothing(run):
    """A trainer that starts all episodes afresh leaves episodes without an end."""
    log = TrainingLog(run, 2, 100)
    log.record(counted([1, 10], [False, False], [1, 1]))
    log.record(counted([2, 20], [False, True], [2, 0]))
    log.record(counted([3, 30], [False, False], [1, 1]))
    log.record(counted([4, 40], [True, True], [0, 0]))
    progress = log.write(8)
    (row,) = rows(run)
    assert [row[f"episode/return_{kind}"] for kind in ("mean", "min", "max")] == [107 / 3, 7, 70]
    assert [row[f"episode/length_{kind}"] for kind in ("min", "max")] == [2, 2]
    assert progress.mean_return == 107 / 3


def test_nothing_is_told_of_an_episode_that_had_begun_before(run):
    """Not even when the training stops and goes on in the middle of it."""
    log = TrainingLog(run, 2, 100, partial=np.array([True, False]))
    log.record(counted([1, 10], [False, False], [5, 1]))
    log.write(2)
    resumed = TrainingLog(run, 2, 100)
    resumed.restore(log.state(), log.offsets(), 2)
    resumed.record(counted([2, 20], [True, True], [0, 0]))
    resumed.record(counted([4, 40], [True, False], [0, 1]))
    resumed.write(6)
    row = rows(run)[-1]
    assert [row[f"episode/return_{kind}"] for kind in ("mean", "min", "max")] == [17, 4, 30]
    assert [row[f"episode/length_{kind}"] for kind in ("min", "max")] == [1, 2]


def test_an_episode_that_was_started_afresh_is_whole(run):
    log = TrainingLog(run, 2, 100, partial=np.array([True, True]))
    log.record(counted([1, 10], [False, False], [1, 7]))
    log.record(counted([2, 20], [True, True], [0, 0]))
    log.write(4)
    (row,) = rows(run)
    assert [row[f"episode/return_{kind}"] for kind in ("min", "max")] == [3, 3]


def counted(reward, done, steps):
    state = step(reward, done)
    state.info["steps"] = np.array(steps, np.uint64)
    return state


def test_numbers_and_sequences_of_them_are_taken(run):
    log = TrainingLog(run, 1, 10)
    log.track({"a": 1.5, "b": [1, 3], "c": np.array([[2.0], [4.0]]), "d": np.float32(7)})
    log.write(1)
    (row,) = rows(run)
    assert [row[name] for name in "abcd"] == [1.5, 2, 3, 7]


def test_instants_and_episode_sums(run):
    log = TrainingLog(run, 2, 100)
    log.record(step([1, 10], [False, False], a=[1, 4], b=[0, 6]))
    log.record(step([2, 20], [True, False], a=[2, 8], b=[0, 12]))
    log.record(step([3, 30], [False, True], a=[3, 12], b=[0, 18]))
    log.track({"Loss / Value loss": [1.0, 3.0]})
    progress = log.write(6)
    (row,) = rows(run)
    assert row["env_steps"] == 6
    assert [row[f"reward/instant_{kind}"] for kind in ("mean", "min", "max")] == [11, 1, 30]
    assert [row[f"metrics/speed_{kind}"] for kind in ("min", "max")] == [2, 60]
    assert [row[f"episode/return_{kind}"] for kind in ("mean", "min", "max")] == [31.5, 3, 60]
    assert [row[f"reward_total/a_{kind}"] for kind in ("min", "max")] == [3, 24]
    assert [row[f"reward_instant/b_{kind}"] for kind in ("min", "max")] == [0, 18]
    assert [row[f"episode/length_{kind}"] for kind in ("min", "max")] == [2, 3]
    assert row["loss/value_loss"] == 2
    assert (progress.mean_return, progress.total_env_steps) == (31.5, 100)
    logged = events(run.path)
    assert logged["episode/return_mean"] == [(6, 31.5)]
    assert logged.keys() == row.keys() - {"env_steps"}


def test_a_report_covers_what_came_since_the_last(run):
    log = TrainingLog(run, 1, 100)
    log.record(step([1], [False], a=[1]))
    log.write(1)
    log.record(step([5], [True], a=[5]))
    log.write(2)
    first, second = rows(run)
    assert "episode/return_mean" not in first
    assert second["reward/instant_mean"] == 5
    assert second["episode/return_mean"] == 6, "an episode's sum goes on over a report"


def test_two_logs_do_not_mix(tmp_path):
    runs = [Run.create(tmp_path, "cartpole", "skrl", "torch", seed, {}) for seed in (1, 2)]
    logs = [TrainingLog(run, 1, 10) for run in runs]
    for number in (0, 1, 0):
        logs[number].record(step([10**number], [False], a=[10**number]))
    for log in logs:
        log.record(step([0], [True], a=[0]))
        log.write(1)
    assert [rows(run)[0]["reward_total/a_max"] for run in runs] == [2, 10]
    assert [events(run.path)["reward_total/a_max"] for run in runs] == [[(1, 2)], [(1, 10)]]


def test_recent_returns_are_those_of_the_last_episodes(run):
    log = TrainingLog(run, 1, 10)
    assert log.mean_return is None
    for number in range(150):
        log.record(step([number], [True]))
    assert log.mean_return == np.mean(np.arange(50, 150))


def test_nan_is_shown_not_hidden(run):
    log = TrainingLog(run, 2, 10)
    log.record(step([1, np.nan], [False, False]))
    log.write(2)
    (row,) = rows(run)
    assert {row[f"reward/instant_{kind}"] for kind in ("mean", "min", "max")} == {"nan"}


def test_offsets(run):
    log = TrainingLog(run, 1, 10)
    assert log.offsets() == {"metrics.jsonl": 0}
    log.record(step([1], [False]))
    log.write(1)
    offsets = log.offsets()
    assert len(offsets) == 2
    assert offsets == {name: (run.path / name).stat().st_size for name in offsets}


def test_an_event_file_that_cannot_grow_keeps_what_it_has(tmp_path, monkeypatch):
    file = EventFile(tmp_path)
    file.add(1, {"x": 1.0})
    before = file.path.read_bytes()

    class Full:
        """A disk that takes half of what it is given."""

        def __init__(self, path):
            self.real = os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND), "wb")

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.real.close()

        def write(self, data):
            self.real.write(data[: len(data) // 2])
            self.real.flush()
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.open", lambda path, mode: Full(path))
        with pytest.raises(ValueError, match="No space left"):
            file.add(2, {"x": 2.0})
    assert file.path.read_bytes() == before
    file.add(3, {"x": 3.0})
    assert events(tmp_path)["x"] == [(1, 1), (3, 3)]


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        ("Loss / Value loss", "loss/value_loss"),
        ("Stats / Env stepping time (ms)", "stats/env_stepping_time_ms"),
        ("plain", "plain"),
    ],
)
def test_tags(name, tag):
    assert _tag(name) == tag
