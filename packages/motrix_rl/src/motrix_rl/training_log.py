"""What a training says about itself: TensorBoard events, `metrics.jsonl` and progress."""

from __future__ import annotations

import io
import os
import re
import time
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from motrix_envs.np.state import NpEnvState
from numpy.typing import ArrayLike, NDArray
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from motrix_rl.atomic import append_bytes
from motrix_rl.rl_module.tensors import Tensors
from motrix_rl.runs import Run

RECENT_EPISODES = 100

EVENTS = "events.out.tfevents."
"""What names of event files begin with, as TensorBoard wants it."""

_SUMS = "log/sum/"


@dataclass(frozen=True)
class Progress:
    """Where a training stands.

    Attributes:
        env_steps: Steps of single environments so far.
        total_env_steps: Steps of single environments in the end.
        steps_per_second: Steps of single environments per second since the last report.
        mean_return: Mean return of recent episodes; None before the first one ends.
        seconds_left: Estimated time until the end.
    """

    env_steps: int
    total_env_steps: int
    steps_per_second: float
    mean_return: float | None
    seconds_left: float


class TrainingLog:
    """Statistics of one training, gathered every step and written once per update.

    Instantaneous values, and sums over episodes, come as mean, min and max over the batch and the
    time since the last report. The horizontal axis is steps of single environments. Nothing stays
    open between reports: whatever ends a training, its logs are whole.

    Args:
        run: Where to write.
        num_envs: Size of the batch.
        total_env_steps: Steps of single environments in the end.
        partial: Rows whose episode did not begin with its first step, (num_envs,): nothing is told
            of these episodes. None are by default.
    """

    def __init__(
        self,
        run: Run,
        num_envs: int,
        total_env_steps: int,
        partial: NDArray[np.bool_] | None = None,
    ) -> None:
        self._run = run
        self._num_envs = num_envs
        self._total = total_env_steps
        self._events = EventFile(run.path)
        self._steps: list[NpEnvState] = []
        self._sums: dict[str, NDArray[np.float64]] = {}
        self._lengths = np.zeros(num_envs)
        self._partial = np.zeros(num_envs, np.bool_) if partial is None else partial.copy()
        self._spans: dict[str, _Span] = defaultdict(_Span)
        self._scalars: dict[str, list[float]] = defaultdict(list)
        self._recent: deque[float] = deque(maxlen=RECENT_EPISODES)
        self._last = (time.perf_counter(), 0)

    @property
    def mean_return(self) -> float | None:
        """Mean return of recent episodes; None before the first one ends."""
        self._work_up()
        return float(np.mean(self._recent)) if self._recent else None

    def record(self, state: NpEnvState) -> None:
        """Take in one step of the batch.

        Arrays of a state are never written to again, so it is enough to keep them until `write`.
        """
        self._steps.append(state)

    def _work_up(self) -> None:
        """Take the steps since the last report into spans and sums."""
        steps, self._steps = self._steps, []
        if steps:
            self._add_instants(steps)
            self._add_to_episodes(steps)

    def _add_instants(self, steps: list[NpEnvState]) -> None:
        """Take in rewards, their terms and metrics as each step shows them."""
        instant = {"reward/instant": [state.reward for state in steps]}
        for state in steps:
            for name, term in state.info.get("Reward", {}).items():
                instant.setdefault(f"reward_instant/{name}", []).append(term)
            for name, value in state.info.get("metrics", {}).items():
                instant.setdefault(f"metrics/{name}", []).append(value)
        for tag, arrays in instant.items():
            self._spans[tag].add(np.stack(arrays))

    def _add_to_episodes(self, steps: list[NpEnvState]) -> None:
        """Add up rewards and lengths of episodes, and keep those of whole ones that ended."""
        lengths, successes = [], []
        done = np.stack([state.done for state in steps])
        for state, ends, abandoned in zip(steps, done, self._abandoned(steps, done), strict=True):
            if np.count_nonzero(abandoned):
                self._forget(abandoned)
            (ended,) = ends.nonzero()
            whole = ended[~self._partial[ended]]
            self._lengths += 1
            self._sum("episode/return", state.reward, ended, whole)
            for name, term in state.info.get("Reward", {}).items():
                self._sum(f"reward_total/{name}", term, ended, whole)
            if whole.size:
                lengths.append(self._lengths[whole])
                successes.append(state.info["success"][whole])
            if ended.size:
                self._lengths[ended] = 0
                self._partial[ended] = False
        if lengths:
            self._spans["episode/length"].add(np.concatenate(lengths))
            self._spans["episode/success"].add(np.concatenate(successes))

    def _abandoned(self, steps: list[NpEnvState], done: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which episodes `env.init_state()` broke off before a step, (steps, num_envs).

        A row's first step shows it, by its count, unless that step also ends the episode.
        """
        uncounted = np.zeros(self._num_envs)
        counts = np.stack([state.info.get("steps", uncounted) for state in steps])
        first: NDArray[np.bool_] = counts == 1
        # After the first of these steps, an episode is under way unless the step before ended it.
        underway = np.vstack([(self._lengths > 0) | self._partial, ~done[:-1]])
        return first & underway

    def _forget(self, rows: NDArray[np.bool_]) -> None:
        """Drop the sums of episodes that have no end."""
        self._lengths[rows] = 0
        self._partial[rows] = False
        for total in self._sums.values():
            total[rows] = 0

    def _sum(
        self,
        tag: str,
        values: NDArray[np.float32],
        ended: NDArray[np.int64],
        whole: NDArray[np.int64],
    ) -> None:
        """Add to the running sum of each episode, and keep the sums of whole ones that ended."""
        total = self._sums.get(tag)
        if total is None:
            total = self._sums[tag] = np.zeros(self._num_envs)
        total += values
        if whole.size:
            self._spans[tag].add(total[whole])
            if tag == "episode/return":
                self._recent.extend(total[whole].tolist())
        if ended.size:
            total[ended] = 0

    def track(self, scalars: Mapping[str, ArrayLike]) -> None:
        """Take in numbers of the learner, or sequences of them, by name: losses, times."""
        for name, values in scalars.items():
            self._scalars[_tag(name)].extend(np.asarray(values, np.float64).ravel().tolist())

    def write(self, env_steps: int) -> Progress:
        """Write everything since the last report and start anew.

        Raises:
            RunError: The disk refuses.
        """
        self._work_up()
        row: dict[str, float] = {}
        for tag, span in self._spans.items():
            row |= {f"{tag}_{kind}": value for kind, value in span.summary().items()}
        row |= {tag: float(np.mean(values)) for tag, values in self._scalars.items()}
        progress = self._progress(env_steps)
        row["time/env_steps_per_second"] = progress.steps_per_second
        self.add_row(env_steps, row)
        self._spans.clear()
        self._scalars.clear()
        return progress

    def add_row(self, env_steps: int, row: Mapping[str, float]) -> None:
        """Write numbers by tag at once.

        Raises:
            RunError: The disk refuses.
        """
        self._events.add(env_steps, row)
        self._run.append_metrics({"env_steps": env_steps, **row})

    def _progress(self, env_steps: int) -> Progress:
        now, (then, before) = time.perf_counter(), self._last
        self._last = (now, env_steps)
        speed = (env_steps - before) / max(now - then, 1e-9)
        return Progress(
            env_steps=env_steps,
            total_env_steps=self._total,
            steps_per_second=speed,
            mean_return=self.mean_return,
            seconds_left=(self._total - env_steps) / max(speed, 1e-9),
        )

    def state(self) -> Tensors:
        """Return what is known of unfinished episodes, and the latest returns, under `log/`."""
        self._work_up()
        sums = {f"{_SUMS}{tag}": total.copy() for tag, total in self._sums.items()}
        recent = np.asarray(self._recent, np.float64)
        running = {"log/lengths": self._lengths.copy(), "log/partial": self._partial.copy()}
        return {**sums, **running, "log/recent": recent}

    def restore(self, state: Tensors, offsets: Mapping[str, int], env_steps: int) -> None:
        """Go on from a checkpoint, in the same files.

        Args:
            state: What `state` returned; other names are passed over.
            offsets: What `offsets` returned.
            env_steps: Steps of single environments so far.
        """
        sums = {k.removeprefix(_SUMS): v for k, v in state.items() if k.startswith(_SUMS)}
        self._sums = {tag: total.copy() for tag, total in sums.items()}
        self._lengths = state["log/lengths"].copy()
        self._partial = state["log/partial"].copy()
        self._recent.extend(state["log/recent"].tolist())
        self._last = (time.perf_counter(), env_steps)
        for name in offsets:
            if name.startswith(EVENTS):
                self._events.path = self._run.path / name

    def offsets(self) -> dict[str, int]:
        """Return the length of each log file in bytes, by name.

        A checkpoint keeps them: a training that resumes from it cuts off what came later.
        """
        events = self._events.path
        lengths = {events.name: events.stat().st_size} if events.is_file() else {}
        return {"metrics.jsonl": self._run.metrics_offset(), **lengths}


class EventFile:
    """A TensorBoard event file that is written at once and never left open.

    TensorBoard's own writer works in a thread, where a full disk is noticed late or not at all.

    Args:
        folder: Where the file is made when the first event comes.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / f"{EVENTS}{time.time_ns()}.{os.getpid()}"

    def add(self, step: int, scalars: Mapping[str, float]) -> None:
        """Append the scalars of one step.

        Raises:
            RunError: The disk refuses; the file is as it was before.
        """
        records = io.BytesIO()
        writer = RecordWriter(records)
        now = time.time()
        if not self.path.exists():
            header = Event(wall_time=now, file_version="brain.Event:2")
            writer.write(header.SerializeToString())
        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()]
        event = Event(wall_time=now, step=step, summary=Summary(value=values))
        writer.write(event.SerializeToString())
        append_bytes(self.path, records.getvalue())


class _Span:
    """Mean, least and greatest of arrays that come one after the other."""

    def __init__(self) -> None:
        self._arrays: list[NDArray[Any]] = []

    def add(self, values: NDArray[Any]) -> None:
        self._arrays.append(values)

    def summary(self) -> dict[str, float]:
        total = 0.0
        for array in self._arrays:
            total += float(array.sum(dtype=np.float64))
        values = np.concatenate(self._arrays, axis=None)
        # minimum and maximum of NumPy keep a NaN, which Python's would lose.
        return {
            "mean": total / values.size,
            "min": float(values.min()),
            "max": float(values.max()),
        }


def _tag(name: str) -> str:
    """Return a tag that TensorBoard takes as it is: `"Loss / Value loss"` is `loss/value_loss`."""
    parts = [re.sub(r"\W+", "_", part.strip()).strip("_").lower() for part in name.split("/")]
    return "/".join(part for part in parts if part)
