"""Which measurements there are, and how one is taken: in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parents[1]

MAIN = ("motrix-torch", "motrix-jax", "skrl-torch", "skrl-jax")
"""Ours and the ones that they are compared with everywhere."""
OTHERS = ("motrix-skrl-torch", "motrix-skrl-jax", "rsl_rl", "sb3")
TOOLS = ("nothing", *MAIN, *OTHERS)

PARTS = ("speed", "busy", "solve")
SIZES = {"cartpole": (64, 512, 2048), "cartpole-50hz": (64, 512, 2048), "quadruped": (2048,)}
ITERATIONS = {"cartpole": 40, "cartpole-50hz": 40, "quadruped": 12}
BUSY_SIZE = 2048
SOLVE_SIZE = 512

LONGEST = 3600  # s that a row may take
ON_THE_CPU = {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
WITH_BYTECODE = {"PYTHONDONTWRITEBYTECODE": ""}  # else each process compiles packages anew


@dataclass(frozen=True)
class Row:
    """One training that is measured.

    Attributes:
        part: "speed", "busy" or "solve".
        tool: One of `TOOLS`.
        env: One of `SIZES`.
        num_envs: Environments that step together.
        seed: Seed of the training.
        warm_up: Iterations before the clock starts; not for "solve".
        iterations: Iterations to measure; not for "solve".
        max_env_steps: When "solve" gives up.
    """

    part: str
    tool: str
    env: str
    num_envs: int
    seed: int
    warm_up: int
    iterations: int
    max_env_steps: int

    def __str__(self) -> str:
        seed = f", seed {self.seed}" if self.part == "solve" else ""
        return f"{self.part}: {self.tool}, {self.num_envs} x {self.env}{seed}"


@dataclass(frozen=True)
class Choice:
    """What is to be measured.

    Attributes:
        only: Parts, of `PARTS`.
        tools: Of `TOOLS`; those that a part does not compare are left out of it.
        envs: Of `SIZES`, for "speed".
        num_envs: For "speed"; none takes what `SIZES` says.
        seeds: For "solve"; the other parts take the first.
        warm_up: See `Row`.
        iterations: See `Row`; None takes what `ITERATIONS` says.
        max_env_steps: See `Row`.
    """

    only: Sequence[str] = PARTS
    tools: Sequence[str] = TOOLS
    envs: Sequence[str] = ("cartpole", "quadruped")
    num_envs: Sequence[int] = ()
    seeds: Sequence[int] = tuple(range(1, 11))
    warm_up: int = 6
    iterations: int | None = None
    max_env_steps: int = 3_000_000

    def rows(self) -> Iterator[Row]:
        """Yield rows; neighbours are to be compared with each other."""
        main = [tool for tool in self.tools if tool in MAIN]
        if "speed" in self.only:
            for env in self.envs:
                known = ("nothing", *MAIN) if env == "quadruped" else TOOLS
                tools = [tool for tool in self.tools if tool in known]
                for size in self.num_envs or SIZES[env]:
                    yield from (self._row("speed", tool, env, size) for tool in tools)
        if "busy" in self.only:
            yield from (self._row("busy", tool, "cartpole", BUSY_SIZE) for tool in main)
        if "solve" in self.only:
            for seed in self.seeds:
                yield from (self._row("solve", t, "cartpole", SOLVE_SIZE, seed) for t in main)

    def _row(self, part: str, tool: str, env: str, size: int, seed: int | None = None) -> Row:
        seed = self.seeds[0] if seed is None else seed
        count = self.iterations or ITERATIONS[env]
        return Row(part, tool, env, size, seed, self.warm_up, count, self.max_env_steps)


def take(row: Row) -> dict[str, Any]:
    """Measure a row in a new process; return it with what was found, or with an error."""
    with tempfile.TemporaryDirectory(prefix="motrix-benchmark-") as name:
        folder = Path(name)
        found, said = folder / "found.json", folder / "said.txt"
        request = {"row": asdict(row), "folder": name, "started": time.time()}
        command = [sys.executable, "-m", "training.worker", json.dumps(request), str(found)]
        with said.open("w") as output, contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(
                command,
                cwd=HERE,
                env={**os.environ, **ON_THE_CPU, **WITH_BYTECODE},
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=LONGEST,
            )
        if found.exists():
            return {**asdict(row), **json.loads(found.read_text())}
        return {**asdict(row), "error": said.read_text(errors="replace")[-4000:] or "nothing said"}
