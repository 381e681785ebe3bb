"""The clock of a training: iterations by wall and processor, with bare physics in between.

The environment is the clock. A tool acts, steps and learns in an order of its own, but whatever it
does, the entry of step k * T + 1 is the moment when k iterations are over: T times acted, T steps,
one update each. There the clock stops, the probe runs, and the clock goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from motrix_envs.np.env import NpEnv
from motrix_envs.np.state import NpEnvState
from numpy.typing import NDArray

from training.watch import Enough

SETTLE = 0.01  # s; a framework's idle threads spin for a while before they sleep
WARM_UP_STEPS = 2  # of the probe, so that the engine's threads are awake

Snapshot = dict[str, NDArray[Any]]


class Load(Protocol):
    """Something that can be made to take a processor away."""

    def switch(self, on: bool) -> None:
        """Begin or end."""


@dataclass(frozen=True)
class Iteration:
    """T steps and one update.

    Attributes:
        wall: Time in s.
        cpu: Time in s of this process on all processors.
        env: The part of `wall` inside the environments, in s.
        loaded: Whether something else took a processor away.
    """

    wall: float
    cpu: float
    env: float
    loaded: bool


class Probe:
    """A bare copy of the simulation, which goes through the physics of the last rollout again.

    It starts where the rollout started, gets the same controls, and is put, untimed, to where
    episodes began: it passes through the very same states. Engine, solver and threads are those
    of the environment; memory it shares none.
    """

    def __init__(self, env: NpEnv) -> None:
        self._copy = type(env)(env.cfg, env.num_envs, seed=0, engine=type(env.sim))
        self._start: Snapshot = {}
        self._steps: list[tuple[NDArray[np.float32], NDArray[np.int64], Snapshot]] = []

    def begin(self, env: NpEnv) -> None:
        """Forget the last rollout, and remember where the next one starts."""
        self._start, self._steps = env.sim.snapshot(), []

    def follow(self, env: NpEnv, state: NpEnvState) -> None:
        """Remember a step: its controls, and where the rows that ended began anew."""
        rows = np.flatnonzero(state.done)
        self._steps.append((env.ctrl.copy(), rows, env.sim.snapshot() if len(rows) else {}))

    def seconds(self) -> float:
        """Return how long the physics of the rollout takes."""
        time.sleep(SETTLE)
        self._run(WARM_UP_STEPS)
        return self._run(len(self._steps))

    def _run(self, steps: int) -> float:
        sim, substeps, total = self._copy.sim, self._copy.cfg.sim_substeps, 0.0
        sim.restore(self._start)
        for ctrl, rows, snapshot in self._steps[:steps]:
            start = time.perf_counter()
            sim.advance(ctrl, substeps)
            total += time.perf_counter() - start
            if len(rows):
                sim.restore(snapshot, rows)
        return total


class IterationClock:
    """Watches a training for some iterations, then ends it.

    Args:
        rollout: Steps of the batch between two updates.
        warm_up: Iterations that are not looked at, at least 1: compilers are at work.
        iterations: Iterations to measure.
        make_probe: Makes the probe of an environment.
        load: Taken on and off, if given, for `block` iterations each.
        block: See `load`.
    """

    def __init__(
        self,
        rollout: int,
        warm_up: int,
        iterations: int,
        make_probe: Callable[[NpEnv], Probe] = Probe,
        load: Load | None = None,
        block: int = 3,
    ) -> None:
        self._rollout, self._warm_up, self._wanted = rollout, warm_up, iterations
        self._make_probe, self._load, self._block = make_probe, load, block
        self._probe: Probe | None = None
        self._steps = 0
        self._loaded = False
        self._start = self._cpu_start = self._entered = self._env = 0.0
        self.iterations: list[Iteration] = []
        self.probes: list[float] = []

    def enter(self, env: NpEnv) -> None:
        """Take note that a step begins; see `watch.Watch`."""
        if self._steps % self._rollout == 0:
            self._border(env)
        self._entered = time.perf_counter()

    def leave(self, env: NpEnv, state: NpEnvState) -> None:
        """Take note of what came of it."""
        wall, cpu = time.perf_counter(), time.process_time()
        self._env += wall - self._entered
        self._steps += 1
        if self._probe is not None:
            self._probe.follow(env, state)
        # What was done here is not the tool's.
        self._start += time.perf_counter() - wall
        self._cpu_start += time.process_time() - cpu

    def _border(self, env: NpEnv) -> None:
        """Stop the clock between two iterations, measure bare physics, and go on."""
        wall = time.perf_counter() - self._start
        cpu = time.process_time() - self._cpu_start
        done = self._steps // self._rollout
        if done > self._warm_up:
            self.iterations.append(Iteration(wall, cpu, self._env, self._loaded))
        if self._probe is None:
            self._probe = self._make_probe(env)
        self._switch(False)
        if done >= self._warm_up:
            self.probes.append(self._probe.seconds())
        if len(self.iterations) == self._wanted:
            raise Enough
        self._switch(len(self.iterations) // self._block % 2 == 1)
        self._probe.begin(env)
        self._env = 0.0
        self._start, self._cpu_start = time.perf_counter(), time.process_time()

    def _switch(self, on: bool) -> None:
        self._loaded = on and self._load is not None
        if self._load is not None:
            self._load.switch(on)

    def result(self) -> dict[str, Any]:
        """Return everything that was measured, as JSON; one more probe than iterations."""
        return {
            "warm_up": self._warm_up,
            "iterations": [asdict(one) for one in self.iterations],
            "probes": self.probes,
        }
