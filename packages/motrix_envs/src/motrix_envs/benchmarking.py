"""How fast engines step an environment, bare and with everything around them.

Simulations are stepped in turns of a few control steps: for each engine `NpEnv.step` with all that
it does (random actions, so that episodes end and rows reset all the time), and a bare copy of its
physics, which gets the same controls and nothing else. Before each turn the bare one is put,
untimed, into the state of the environment, because the price of physics depends on it. Who begins
changes from round to round.

A ratio compares two turns of one round, moments apart; its median over many rounds is robust
against whatever else the machine is doing.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motrix_envs import registry
from motrix_envs.np.actions import random_actions
from motrix_envs.np.env import NpEnv

WARM_UP_STEPS = 200

Array = NDArray[np.float32]
Times = NDArray[np.float64]


@dataclass(frozen=True)
class Ratio:
    """A median of ratios.

    Attributes:
        median: The median.
        low: Lower end of its 95 % interval.
        high: Upper end.
    """

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, one: Times, other: Times) -> Ratio:
        """Summarise the ratios of paired times, (rounds,) each."""
        ratios = np.sort(one / other)
        # The binomial interval of a median, by ranks.
        spread = 0.98 * np.sqrt(len(ratios))
        last = len(ratios) - 1
        low, high = (int(np.clip(last / 2 + sign * spread, 0, last)) for sign in (-1, 1))
        return cls(float(np.median(ratios)), float(ratios[low]), float(ratios[high]))


@dataclass(frozen=True)
class Measurement:
    """Times in s of a control step of all rows on one engine, (rounds,) each.

    Attributes:
        engine: Its registered name.
        num_envs: Number of rows.
        env: Times of the environment by the wall clock.
        bare: Times of the bare physics by the wall clock.
        env_cpu: Times of the environment on all processors.
        bare_cpu: Times of the bare physics on all processors.
        resets: Rows that began an episode in a step, on average.
    """

    engine: str
    num_envs: int
    env: Times
    bare: Times
    env_cpu: Times
    bare_cpu: Times
    resets: float

    @property
    def env_speed(self) -> float:
        """Environment steps per second, all rows counted."""
        return self.num_envs / float(np.median(self.env))

    @property
    def bare_speed(self) -> float:
        """Control steps per second of the bare physics, all rows counted."""
        return self.num_envs / float(np.median(self.bare))

    @property
    def efficiency(self) -> Ratio:
        """Share of the bare physics' speed that the environment reaches."""
        return Ratio.of(self.bare, self.env)


class Contestant:
    """An environment on one engine, and a bare copy of its physics."""

    def __init__(
        self, name: str, engine: str, num_envs: int, steps: int, override: Mapping[str, Any]
    ) -> None:
        self.engine, self.steps = engine, steps
        self.env: NpEnv = registry.make(name, engine, override, num_envs, seed=1)
        self._copy = registry.make(name, engine, override, num_envs, seed=1)
        self._rng = np.random.default_rng(0)
        self.clocks: list[list[tuple[float, float]]] = [[], []]  # of the environment, of the bare
        self.resets: list[int] = []
        self.env.init_state()
        self._copy.init_state()
        for _ in range(0, WARM_UP_STEPS, steps):
            self._controls = self._run_env(self._draw())

    def turn(self, bare_first: bool) -> None:
        """Time the environment and the bare physics once."""
        actions = self._draw()
        self._copy.sim.restore(self.env.sim.snapshot())
        # The controls of the turn before are as random as any, so either half may come first.
        halves: list[tuple[Callable[[Any], Any], Any]] = [
            (self._run_env, actions),
            (self._run_bare, self._controls),
        ]
        for index in (1, 0) if bare_first else (0, 1):
            run, argument = halves[index]
            wall, cpu = time.perf_counter(), time.process_time()
            found = run(argument)
            self.clocks[index].append((time.perf_counter() - wall, time.process_time() - cpu))
            if index == 0:
                controls = found
        self._controls = [ctrl.copy() for ctrl in controls]
        self.resets.append(int(self.env.state.done.sum()) if self.env.state else 0)

    def _draw(self) -> Array:
        """Draw the actions of a turn, (steps, num_envs, ...)."""
        seed = int(self._rng.integers(2**32))
        return random_actions(self.env.action_space, self.steps, self.env.num_envs, seed)

    def _run_env(self, actions: Array) -> list[Array]:
        """Step the environment; return the controls that it chose."""
        controls = []
        for action in actions:
            self.env.step(action)
            controls.append(self.env.ctrl)
        return controls

    def _run_bare(self, controls: list[Array]) -> None:
        for ctrl in controls:
            self._copy.sim.advance(ctrl, self.env.cfg.sim_substeps)

    def result(self) -> Measurement:
        """Return what was measured."""
        env, bare = (np.array(clock) / self.steps for clock in self.clocks)
        return Measurement(
            engine=self.engine,
            num_envs=self.env.num_envs,
            env=env[:, 0],
            bare=bare[:, 0],
            env_cpu=env[:, 1],
            bare_cpu=bare[:, 1],
            resets=float(np.mean(self.resets)),
        )

    def close(self) -> None:
        """Release both."""
        self.env.close()
        self._copy.close()


def measure(
    name: str,
    engines: Sequence[str],
    num_envs: int,
    seconds: float,
    steps: int = 4,
    override: Mapping[str, Any] | None = None,
) -> list[Measurement]:
    """Step an environment on each engine in turn, for some seconds in all.

    Args:
        name: A registered id.
        engines: Names of engines.
        num_envs: Number of rows.
        seconds: Time to spend, warm-up not counted.
        steps: Control steps of a turn.
        override: Changes of the environment's configuration.
    """
    contestants = [Contestant(name, engine, num_envs, steps, override or {}) for engine in engines]
    end, rounds = time.perf_counter() + seconds, 0
    while time.perf_counter() < end or not rounds:
        for contestant in contestants:
            contestant.turn(bare_first=rounds % 2 == 0)
        rounds += 1
    results = [contestant.result() for contestant in contestants]
    for contestant in contestants:
        contestant.close()
    return results


def machine(*distributions: str) -> dict[str, Any]:
    """Return where and with what something is measured."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = names[0].partition(":")[2].strip() if names else cpu
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "motrix-envs", *distributions)},
    }
