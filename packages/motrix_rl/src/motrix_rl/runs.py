"""A run: one training's folder, with its record, its metrics and its checkpoints.

    runs/<env>/<UTC time>-<rllib>-<backend>-s<seed>/
        run.json         what was trained, with what, where and from what; its status
        metrics.jsonl    one JSON object per line
        checkpoints/     one folder per step (`motrix_rl.checkpoint`)
        latest, best     a step each, as text

`best` is absent until an evaluation chose it. While a process trains here, it holds the lock
(`motrix_rl.lock`).
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from motrix_envs.errors import show

from motrix_rl.atomic import (
    append_bytes,
    disk_errors,
    plain,
    write_bytes_atomic,
    write_json_atomic,
)
from motrix_rl.checkpoint import Checkpoint, checkpoint_names, read_checkpoint, write_checkpoint
from motrix_rl.errors import CheckpointError, RunError
from motrix_rl.host import describe_host

FORMAT = 1
"""Version of `run.json`; a reader refuses any other."""

Status = Literal["finished", "stopped", "failed"]
"""How a training ended: at its planned end, on request, or by an error."""

Which = int | str
"""A checkpoint of a run: its step, `"latest"` or `"best"`."""

_RECORD = "run.json"
_IDENTITY = ("format", "env", "rllib", "backend", "seed", "created")
_POINTERS = ("latest", "best")
_STEP = "[0-9]{1,18}"  # more digits than any training counts to


class Run:
    """The folder of one training; made by `create`, found by `open`, `find` or `newest`.

    One process trains in a run; others may read it and add to its record meanwhile.
    """

    def __init__(self, path: Path, record: dict[str, Any]) -> None:
        self._path = path
        self._record = record

    def __repr__(self) -> str:
        return f"Run({str(self._path)!r})"

    # --- finding ---------------------------------------------------------------------------------

    @classmethod
    def create(
        cls, root: Path, env: str, rllib: str, backend: str, seed: int, record: Mapping[str, Any]
    ) -> Run:
        """Make a new folder under `root` and write its `run.json`.

        Args:
            root: The folder of all runs; made where missing.
            env: Environment id.
            rllib: Name of the learning library.
            backend: Name of the backend.
            seed: Training seed.
            record: What else `run.json` shall hold: config, origins, lineage, owners. The time,
                the status and `describe_host()` are added here.

        Raises:
            RunError: `record` uses a key that is set here or a value without a JSON form, or the
                disk refuses.
        """
        _refuse_keys(record, (*_IDENTITY, "status", "host"))
        now = datetime.now(UTC)
        document = {
            "format": FORMAT,
            "env": env,
            "rllib": rllib,
            "backend": backend,
            "seed": seed,
            "created": _iso(now),
            "status": "running",
            **record,
            "host": describe_host(),
        }
        name = f"{now:%Y%m%d-%H%M%S}-{_file_name(rllib)}-{_file_name(backend)}-s{seed}"
        path = _make_folder(Path(root) / _file_name(env), name)
        try:
            write_json_atomic(path / _RECORD, document)
        except RunError:
            shutil.rmtree(path, ignore_errors=True)
            raise
        return cls.open(path)

    @classmethod
    def open(cls, path: Path) -> Run:
        """Open an existing run.

        Raises:
            RunError: This is no run, or its `run.json` cannot be read. Given a folder of runs, the
                message names the newest of them.
        """
        path = Path(path)
        with disk_errors(path, RunError, doing="open"):
            is_folder, is_run = path.is_dir(), (path / _RECORD).is_file()
        if not is_folder:
            raise RunError(f"no run at {path}: there is no such folder.{_newest_in(path.parent)}")
        if not is_run:
            raise RunError(f"no run at {path}: it holds no {_RECORD}.{_newest_in(path)}")
        return cls(path, _read_record(path / _RECORD))

    @classmethod
    def find(cls, root: Path, env: str | None = None) -> list[Run]:
        """Return the runs under `root`, of one environment or all, newest first.

        Folders without a readable `run.json` are left out.
        """
        return [run for run in _runs_below(Path(root), "*/*") if env in (None, run.record["env"])]

    @classmethod
    def newest(cls, root: Path, env: str | None = None) -> Run:
        """Return the newest run under `root`, of one environment or all.

        Raises:
            RunError: There is none.
        """
        for run in cls.find(root, env):
            return run
        known = sorted({run.record["env"] for run in cls.find(root)})
        there = f"There are runs of {', '.join(known)}." if known else "It holds no runs at all."
        raise RunError(
            f"no run{f' of {env!r}' if env else ''} under {root}. {there} "
            "Train one first, or name the folder where your runs are."
        )

    # --- the record ------------------------------------------------------------------------------

    @property
    def path(self) -> Path:
        """The run's folder."""
        return self._path

    @property
    def record(self) -> dict[str, Any]:
        """The content of `run.json`, as last read or written by this object."""
        return self._record

    def update(self, **fields: object) -> None:
        """Set fields of `run.json`; what others wrote there meanwhile is kept.

        Raises:
            RunError: A field belongs to the run's identity, or the disk refuses.
        """
        _refuse_keys(fields, _IDENTITY)
        file = self._path / _RECORD
        write_json_atomic(file, {**_read_record(file), **fields})
        self._record = _read_record(file)

    def finish(
        self, summary: Mapping[str, Any], status: Status = "finished", error: str | None = None
    ) -> None:
        """Close the record: the status, the time and a summary of what came out.

        Args:
            summary: What came out; JSON.
            status: How it ended.
            error: Why it failed, in words.

        Raises:
            RunError: `summary` has no JSON form, or the disk refuses.
        """
        reason = {} if error is None else {"error": error}
        self.update(status=status, ended=_iso(datetime.now(UTC)), summary=dict(summary), **reason)

    # --- checkpoints -----------------------------------------------------------------------------

    def checkpoints(self) -> list[int]:
        """Return the steps of all complete checkpoints, ascending."""
        names = checkpoint_names(self._path / "checkpoints")
        return sorted(int(name) for name in names if re.fullmatch(r"0|[1-9][0-9]*", name))

    def save(self, step: int, checkpoint: Checkpoint) -> str:
        """Write a checkpoint, point `latest` at it and return its hash.

        Args:
            step: Environment steps so far, by which the checkpoint is called.
            checkpoint: What to write; one of the same step is replaced.

        Raises:
            CheckpointError: The checkpoint cannot be written; `latest` stays where it was.
            RunError: The step is negative, or the pointer cannot be written.
        """
        if step < 0:
            raise RunError(f"cannot save a checkpoint at step {step}: steps count from 0.")
        digest = write_checkpoint(self._step_folder(step), checkpoint)
        self._point("latest", step)
        return digest

    def settle(self) -> int | None:
        """Point `latest` at the newest checkpoint, and return its step; None if there is none.

        A process that dies between writing a checkpoint and its pointer leaves an older one.

        Raises:
            RunError: The disk refuses.
        """
        steps = self.checkpoints()
        if not steps:
            return None
        self._point("latest", steps[-1])
        return steps[-1]

    def mark_best(self, step: int, score: Mapping[str, Any]) -> None:
        """Point `best` at a checkpoint and note in `run.json` why.

        Args:
            step: One of `checkpoints()`.
            score: What the evaluation measured.

        Raises:
            RunError: There is no such checkpoint, or the disk refuses.
        """
        self._require(step)
        self.update(best={"step": step, "score": dict(score)})
        self._point("best", step)

    def forget_best(self) -> None:
        """Let no checkpoint be the best one, until the next `mark_best`.

        Raises:
            RunError: The disk refuses.
        """
        if self._record.get("best") is not None:
            self.update(best=None)
        file = self._path / "best"
        with disk_errors(file, RunError):
            file.unlink(missing_ok=True)

    @property
    def preferred(self) -> str:
        """The checkpoint that stands for the run: `"best"`, or `"latest"` where none was chosen."""
        return "best" if (self._path / "best").is_file() else "latest"

    def load(self, which: Which = "latest") -> Checkpoint:
        """Read and verify a checkpoint.

        Raises:
            RunError: There is no such checkpoint; the message names those that exist.
            CheckpointError: It is damaged; the message names the file and the other checkpoints.
        """
        folder = self.checkpoint_folder(which)
        try:
            return read_checkpoint(folder)
        except CheckpointError as cause:
            raise CheckpointError(f"{cause} {self._existing()}") from cause

    def checkpoint_folder(self, which: Which | None = "latest") -> Path:
        """Return the folder of a checkpoint, for `read_checkpoint`; see `step`."""
        return self._step_folder(self.step(which))

    def step(self, which: Which | None = None) -> int:
        """Return the step of a checkpoint; None takes the preferred one.

        Raises:
            RunError: There is no such checkpoint; the message names those that exist.
        """
        text = str(self.preferred if which is None else which)
        if text in _POINTERS:
            return self._require(self._pointed(text), text)
        if not re.fullmatch(_STEP, text):
            asked = f"no checkpoint {text!r} in {self._path}: name a step, 'latest' or 'best'."
            raise RunError(f"{asked} {self._existing()}")
        return self._require(int(text))

    def _step_folder(self, step: int) -> Path:
        return self._path / "checkpoints" / str(step)

    def _point(self, pointer: str, step: int) -> None:
        write_bytes_atomic(self._path / pointer, f"{step}\n".encode())

    def _pointed(self, pointer: str) -> int:
        file = self._path / pointer
        if not file.is_file():
            why = "no evaluation chose one yet" if pointer == "best" else "none was written yet"
            raise RunError(f"no {pointer!r} in {self._path}: {why}. {self._existing()}")
        with disk_errors(file, RunError, doing="read"):
            text = file.read_bytes().strip()
        if not re.fullmatch(_STEP.encode(), text):
            raise RunError(f"{file} holds {text[:40]!r} instead of a step. {self._existing()}")
        return int(text)

    def _require(self, step: int, pointer: str = "") -> int:
        if step not in self.checkpoints():
            asked = f"step {step}" + (f" (where {pointer!r} points)" if pointer else "")
            raise RunError(f"no checkpoint of {asked} in {self._path}. {self._existing()}")
        return step

    def _existing(self) -> str:
        steps = ", ".join(str(step) for step in self.checkpoints())
        return f"Steps with a checkpoint: {steps}." if steps else "The run has no checkpoints."

    # --- metrics ---------------------------------------------------------------------------------

    def metrics(self) -> list[dict[str, Any]]:
        """Return the lines of `metrics.jsonl`, oldest first."""
        return [json.loads(line) for line in self._metrics.read_text("utf-8").splitlines()]

    def append_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Append one line to `metrics.jsonl`; nan and inf are written as text.

        Raises:
            RunError: A value has no JSON form, or the disk refuses.
        """
        try:
            row = plain(metrics, "metrics", nonfinite_as_text=True)
        except ValueError as cause:
            raise RunError(f"cannot write {self._metrics}: {cause}") from cause
        append_bytes(self._metrics, (json.dumps(row, allow_nan=False) + "\n").encode())

    def metrics_offset(self) -> int:
        """Return the length of `metrics.jsonl` in bytes, which a checkpoint keeps in its state."""
        return self._metrics.stat().st_size if self._metrics.is_file() else 0

    def truncate_metrics(self, offset: int) -> None:
        """Drop what was logged after a checkpoint, before training resumes from it.

        Args:
            offset: What `metrics_offset` was then, in bytes; a shorter file is left alone.

        Raises:
            RunError: The disk refuses.
        """
        if offset < self.metrics_offset():
            with disk_errors(self._metrics, RunError):
                os.truncate(self._metrics, offset)

    @property
    def _metrics(self) -> Path:
        return self._path / "metrics.jsonl"


def _make_folder(parent: Path, name: str) -> Path:
    """Make `parent/name`, or `name-2`, `name-3`, ... if another run started in this second."""
    with disk_errors(parent, RunError, doing="create a run in"):
        parent.mkdir(parents=True, exist_ok=True)
        path = parent / name
        for number in itertools.count(2):
            with contextlib.suppress(FileExistsError):
                path.mkdir()
                break
            path = parent / f"{name}-{number}"
    return path


def _file_name(name: str) -> str:
    """Return `name` with only characters that every file system takes."""
    return re.sub(r"[^\w.-]", "-", name, flags=re.ASCII).strip(".") or "-"


def _refuse_keys(fields: Mapping[str, Any], reserved: tuple[str, ...]) -> None:
    taken = sorted(set(fields) & set(reserved))
    if taken:
        raise RunError(f"{_RECORD} sets {', '.join(taken)} itself. Choose other names.")


def _read_record(file: Path) -> dict[str, Any]:
    """Read a `run.json`; raises RunError that says what is wrong with it."""
    with disk_errors(file, RunError, doing="read"):
        data = file.read_bytes()
    try:
        record = json.loads(data)
    except (ValueError, RecursionError) as cause:
        raise RunError(
            f"{file} is half-written or not JSON ({cause}). "
            "Repair it, or open another run; the checkpoints beside it can still be read."
        ) from cause
    version = record.get("format") if isinstance(record, dict) else None
    if type(version) is not int or version != FORMAT:
        raise RunError(
            f"{file} has format version {version!r}; this version of motrix-rl reads {FORMAT}. "
            "Open it with the version that wrote it."
        )
    missing = [key for key in (*_IDENTITY, "status") if key not in record]
    if missing:
        raise RunError(f"{file} lacks {', '.join(missing)}: it was edited. Open another run.")
    for place, value, wanted in _typed_parts(record):
        # True and False are integers to Python, and no seed.
        if not isinstance(value, wanted) or isinstance(value, bool):
            raise RunError(
                f"{file}: {place} is {show(value)}, and not {wanted.__name__}: it was "
                "edited. Open another run."
            )
    unknown = set(record.get("origins", {}).get("env_cfg", ())) - set(record.get("env_cfg", ()))
    if unknown:
        raise RunError(f"{file}: env_cfg lacks {', '.join(sorted(unknown))}: it was edited.")
    return dict(record)


def _typed_parts(record: dict[str, Any]) -> Iterator[tuple[str, Any, type]]:
    """Yield the parts of a record that others rely on: place, value and type."""
    for name in ("env", "rllib", "backend", "created", "status"):
        yield name, record[name], str
    yield "seed", record["seed"], int
    if record.get("sim_backend") is not None:
        yield "sim_backend", record["sim_backend"], str
    for name in ("origins", "env_cfg"):
        yield name, record.get(name, {}), dict
    if "env_cfg" in record.get("origins", {}):
        yield "origins.env_cfg", record["origins"]["env_cfg"], dict


def _runs_below(folder: Path, pattern: str) -> list[Run]:
    """Return the readable runs whose folders match, newest first."""
    runs = []
    for file in folder.glob(f"{pattern}/{_RECORD}"):
        with contextlib.suppress(RunError):
            runs.append(Run.open(file.parent))
    # Two runs of one instant differ in their suffix only; -10 comes after -9.
    return sorted(runs, key=_age, reverse=True)


def _age(run: Run) -> tuple[str, int, str]:
    return str(run.record["created"]), len(run.path.name), run.path.name


def _newest_in(folder: Path) -> str:
    """Return a sentence that names the newest runs in a folder, or an empty text."""
    runs = _runs_below(folder, "*") or _runs_below(folder, "*/*")
    names = ", ".join(str(run.path) for run in runs[:3])
    return f" The newest runs there: {names}." if names else ""


def _iso(time: datetime) -> str:
    return time.isoformat(timespec="microseconds")
