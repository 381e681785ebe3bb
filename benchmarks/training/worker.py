"""The process of one row: `python -m training.worker REQUEST RESULT_FILE`."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

from training.clock import IterationClock
from training.envs import Timed
from training.load import BusyLoop
from training.rows import Row
from training.solve import SolveWatch
from training.task import ROLLOUTS, Task
from training.watch import Enough

ORDINARY_LENGTH = 1000  # iterations of a training that is broken off when enough is measured


def train(tool: str, task: Task) -> None:
    """Train with a tool until the watch has seen enough."""
    ours, _, how = tool.partition("motrix-")
    name, args = tool.replace("-", "_"), []
    if not ours and how:
        rllib, _, backend = how.rpartition("-")
        name, args = "motrix", [rllib or "motrix", backend]
    module = importlib.import_module(f"training.tools.{name}")
    with contextlib.suppress(Enough):
        module.train(task, *args)


def peak_memory() -> float:
    """Return the largest resident memory of this process in MB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def measure(row: Row, folder: str, started: float) -> dict[str, Any]:
    """Train and return what the watch has seen."""
    rollout = ROLLOUTS[row.env]
    steps = ORDINARY_LENGTH * rollout
    with contextlib.ExitStack() as stack:
        if row.part == "solve":
            steps = row.max_env_steps // (row.num_envs * rollout) * rollout
            Timed.watch = SolveWatch(started, row.max_env_steps)
        else:
            load = stack.enter_context(BusyLoop()) if row.part == "busy" else None
            Timed.watch = IterationClock(rollout, row.warm_up, row.iterations, load=load)
        train(row.tool, Task(row.env, row.num_envs, row.seed, steps, folder))
        return Timed.watch.result()


def main() -> None:
    """Measure what the first argument asks for."""
    request = json.loads(sys.argv[1])
    begun, load = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), os.getloadavg()[0]
    found = measure(Row(**request["row"]), request["folder"], request["started"])
    found |= {"begun": begun, "load_before": load, "peak_memory_mb": peak_memory()}
    Path(sys.argv[2]).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
