"""Kill trainings with SIGKILL, resume them, and compare what they end with.

    python scripts/kill_trainings.py torch --kills 15

An uninterrupted training is the measure. Then one training after the other is killed, in turn at a
random moment and inside the window in which a checkpoint, a pointer or a log is written, and
resumed in a new process, which is killed again; each that reaches its end has to end with the
measure's hash, the same best checkpoint, and its logs, no line of them missing or double.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Function = Callable[..., Any]

CHANGES = {
    "seed": 1,
    "num_envs": 16,
    "rollouts": 8,
    "mini_batches": 4,
    "learning_epochs": 2,
    "max_env_steps": 16 * 8 * 20,
    "check_point_interval": 16,
    "policy_hidden_layer_sizes": (16, 16),
    "value_hidden_layer_sizes": (16, 16),
    "select_episodes": 4,
}
"""Twenty rollouts, a checkpoint after every other one, each scored on four episodes."""

MOST_STARTS = 12
"""A training that dies more often than this gets no further."""


# --- the process that is killed ------------------------------------------------------------------


def child(backend: str, root: str, deadly: int) -> None:
    """Train, or go on with the run under `root`; die at operation number `deadly` on the disk."""
    from motrix_rl import registry
    from motrix_rl.runs import Run

    operations = arm(deadly)
    kind = registry.default.trainer("motrix", backend)
    runs = Run.find(Path(root))
    trainer = kind.of_run(runs[0]) if runs else None
    trainer = trainer or kind("cartpole", cfg_override=CHANGES, runs_root=root)
    print("started", flush=True)
    trainer.train()
    print("operations", operations[0], flush=True)


def arm(deadly: int) -> list[int]:
    """Count operations on the disk, and make one of them the process's last; 0 spares it."""
    import motrix_rl.runs
    import motrix_rl.training_log

    count = [0]

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def counted(function: Function) -> Function:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            count[0] += 1
            result = function(*args, **kwargs)
            if count[0] == deadly:
                die()
            return result

        return wrapper

    def torn(function: Function) -> Function:
        def wrapper(path: Path, data: bytes) -> None:
            count[0] += 1
            if count[0] == deadly:
                function(path, data[: len(data) // 2])
                die()
            function(path, data)

        return wrapper

    os.fsync, os.truncate = counted(os.fsync), counted(os.truncate)
    Path.replace, shutil.rmtree = counted(Path.replace), counted(shutil.rmtree)
    Path.unlink = counted(Path.unlink)
    for module in (motrix_rl.runs, motrix_rl.training_log):
        module.append_bytes = torn(module.append_bytes)
    return count


# --- the process that kills ----------------------------------------------------------------------


class Harness:
    """Starts trainings of one backend, kills them and looks at what is left."""

    def __init__(self, backend: str, folder: Path, seed: int) -> None:
        self.backend, self.folder = backend, folder
        self.random = random.Random(seed)
        self.kills = {"moment": 0, "window": 0}
        begun = time.monotonic()
        output = self.run("measure")
        self.seconds = time.monotonic() - begun
        self.operations = int(output.split()[-1])
        self.measure = ending(folder / "measure")

    def run(self, name: str, deadly: int = 0, delay: float | None = None) -> str | None:
        """Train to the end and return what was printed, or None if it was killed."""
        command = [sys.executable, __file__, "--child", str(deadly), "--root"]
        process = subprocess.Popen(
            [*command, str(self.folder / name), self.backend],
            env={**os.environ, "JAX_COMPILATION_CACHE_DIR": str(self.folder / "xla")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        if delay is not None:
            process.stdout.readline()
            time.sleep(delay)
            process.kill()
        output, errors = process.communicate()
        if process.returncode == -signal.SIGKILL:
            return None
        assert process.returncode == 0, errors
        return output

    def torture(self, name: str, kills: int) -> int:
        """Kill a training so many times on its way to the end; return how often it was killed."""
        killed = 0
        for start in range(MOST_STARTS):
            kind = ("window", "moment")[sum(self.kills.values()) % 2]
            spared = killed >= kills or start == MOST_STARTS - 1
            if spared:
                deadly, delay = 0, None
            elif kind == "window":
                deadly, delay = self.random.randint(1, self.operations // 2), None
            else:
                deadly, delay = 0, self.random.uniform(0, 0.5)
            if self.run(name, deadly, delay) is not None:
                break
            killed += 1
            self.kills[kind] += 1
        found = ending(self.folder / name)
        for part, value in self.measure.items():
            assert found[part] == value, f"{name}: {part} differ after {killed} kills"
        return killed


def ending(root: Path) -> dict[str, object]:
    """Return the last hash of the run under `root` and its logs, without their times."""
    (record,) = root.glob("*/*/run.json")
    run, document = record.parent, json.loads(record.read_text())
    last = pointer(run, "latest")
    manifest = json.loads((run / "checkpoints" / last / "manifest.json").read_text())
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {
        "hash": manifest["hash"],
        "status": document["status"],
        "best": [document.get("best"), pointer(run, "best")],
        "metrics": [{k: v for k, v in line.items() if "time/" not in k} for line in lines],
        "events": event_steps(run),
    }


def pointer(run: Path, name: str) -> str | None:
    """Return where a pointer of a run points, or None if it is not there."""
    return (run / name).read_text().strip() if (run / name).exists() else None


def event_steps(run: Path) -> list[int]:
    """Return the steps of TensorBoard's events, in the order of the file."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    (file,) = run.glob("events.out.tfevents.*")
    events = list(EventFileLoader(str(file)).Load())
    assert [event.file_version for event in events if event.file_version] == ["brain.Event:2"]
    return [event.step for event in events if event.summary.value]


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("backend", choices=["torch", "jax"])
    parser.add_argument("--kills", type=int, default=15)
    parser.add_argument("--each", type=int, default=3, help="kills of one training")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--root", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        child(options.backend, options.root, options.child)
        return
    with tempfile.TemporaryDirectory() as folder:
        harness, trainings = Harness(options.backend, Path(folder), options.seed), 0
        while sum(harness.kills.values()) < options.kills:
            left = options.kills - sum(harness.kills.values())
            harness.torture(f"run-{trainings}", min(options.each, left))
            trainings += 1
    moment, window = harness.kills.values()
    print(
        f"{options.backend}: {moment + window} kills, {moment} at a moment and {window} in the "
        f"window, over {trainings} trainings: all ended as measured"
    )


if __name__ == "__main__":
    main()
