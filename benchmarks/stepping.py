"""How much an environment costs beyond its physics.

    uv run benchmarks/stepping.py cartpole --num-envs 64 512 2048 --json stepping.json

Two simulations are stepped in turns of a few control steps each: `NpEnv.step` with everything that
it does (random actions, so that episodes end and rows reset all the time), and the bare engine,
which is given the same controls and nothing else (control write and `step_n`; same solver, same
threads, same process). Before each turn the bare one is put, untimed, into the state of the
environment, because the price of physics depends on it. Whoever begins changes from pair to pair.

A ratio compares the two halves of a pair, moments apart; its median over many pairs is robust
against whatever else the machine is doing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from motrix_envs import registry
from motrix_envs.np.env import NpEnv
from motrix_envs.sim.motrixsim import MotrixSimulation
from numpy.typing import NDArray

LIMITS = {512: 1.12, 2048: 1.05}
WARM_UP_STEPS = 200


@dataclass(frozen=True)
class Overhead:
    """Time of an environment relative to its bare physics, by one clock.

    Attributes:
        env_us: Median time of an environment's step in µs.
        bare_us: Median time of a step of the bare physics in µs.
        ratio: Median of the ratios of neighbours.
        low: Lower end of the median's 95 % interval.
        high: Upper end.
    """

    env_us: float
    bare_us: float
    ratio: float
    low: float
    high: float

    @classmethod
    def of(cls, env: NDArray[np.float64], bare: NDArray[np.float64]) -> Overhead:
        """Summarise times in s per step of paired turns, (pairs,) each."""
        ratios = np.sort(env / bare)
        # The binomial interval of a median, by ranks.
        spread = 0.98 * np.sqrt(len(ratios))
        last = len(ratios) - 1
        low, high = (int(np.clip(last / 2 + sign * spread, 0, last)) for sign in (-1, 1))
        medians = (float(np.median(times) * 1e6) for times in (env, bare))
        return cls(*medians, float(np.median(ratios)), float(ratios[low]), float(ratios[high]))


class Pair:
    """An environment and a bare copy of its physics."""

    def __init__(self, name: str, num_envs: int, steps: int) -> None:
        self.env: NpEnv = registry.make(name, "motrixsim", num_envs=num_envs, seed=1)
        self.sim = MotrixSimulation(self.env.make_model(), num_envs, self.env.cfg.sim_dt)
        self.steps = steps
        self._rng = np.random.default_rng(0)
        self.env.init_state()
        for _ in range(0, WARM_UP_STEPS, steps):
            self.run_env(self.draw())

    def draw(self) -> NDArray[np.float32]:
        """Draw the actions of a turn, (steps, num_envs, action_dim)."""
        space = self.env.action_space
        low, high = np.clip(space.low, -1e3, None), np.clip(space.high, None, 1e3)
        shape = (self.steps, self.env.num_envs, *space.shape)
        return self._rng.uniform(low, high, shape).astype(np.float32)

    def copy_state(self) -> None:
        """Put the bare physics into the state of the environment."""
        assert isinstance(self.env.sim, MotrixSimulation)
        state = self.env.sim.snapshot()
        own = self.sim.snapshot()
        self.sim.restore({name: state.get(name, own[name]) for name in own})

    def run_env(self, actions: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Step the environment; return the controls that it chose."""
        controls = []
        for action in actions:
            self.env.step(action)
            controls.append(self.env.ctrl)
        return controls

    def run_bare(self, controls: list[NDArray[np.float32]]) -> None:
        """Step the bare physics, straight through the engine."""
        scene, data = self.sim._scene, self.sim._data
        substeps = self.env.cfg.sim_substeps
        for ctrl in controls:
            data.actuator_ctrls = ctrl
            scene.step_n(data, substeps)


def timed(run: Callable[[Any], Any], argument: Any) -> tuple[float, float]:
    """Return the seconds of wall clock and of this process's CPU that a call takes."""
    wall, cpu = time.perf_counter(), time.process_time()
    run(argument)
    return time.perf_counter() - wall, time.process_time() - cpu


def measure(name: str, num_envs: int, steps: int, seconds: float) -> dict[str, Any]:
    """Compare an environment with its bare physics for some seconds."""
    pair = Pair(name, num_envs, steps)
    # The controls of the turn before are as random as any, so either half may come first.
    controls = pair.run_env(pair.draw())
    env, bare, resets = [], [], []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        actions = pair.draw()
        pair.copy_state()
        turns = [(bare, pair.run_bare, controls), (env, pair.run_env, actions)]
        for times, run, argument in turns[:: 1 if len(env) % 2 else -1]:
            times.append(timed(run, argument))
        controls = [pair.env.ctrl] * steps
        resets.append(0 if pair.env.state is None else int(pair.env.state.done.sum()))
    clocks = np.array([env, bare]) / steps  # (env or bare, pairs, wall or cpu)
    return {
        "env": name,
        "num_envs": num_envs,
        "pairs": len(env),
        "resets_per_step": float(np.mean(resets)),
        "wall": asdict(Overhead.of(clocks[0, :, 0], clocks[1, :, 0])),
        "cpu": asdict(Overhead.of(clocks[0, :, 1], clocks[1, :, 1])),
    }


def machine() -> dict[str, Any]:
    """Return where and with what this was measured."""
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
        **{name: version(name) for name in ("numpy", "motrixsim", "motrix-envs")},
    }


def show(result: dict[str, Any]) -> None:
    """Print one line of the table."""
    cells = [f"{result['env']:<16} {result['num_envs']:>6} {result['resets_per_step']:>7.1f}"]
    for clock in ("wall", "cpu"):
        one = Overhead(**result[clock])
        cells.append(f"{one.env_us:>9.0f} {one.bare_us:>9.0f} {one.ratio:.3f}")
        cells.append(f"[{one.low:.3f}, {one.high:.3f}]")
    limit = LIMITS.get(result["num_envs"])
    print(*cells, f"(at most {limit})" if limit else "")


def main() -> None:
    """Measure, print a table, and write the figures to a file if asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("env", nargs="*", default=["cartpole"])
    parser.add_argument("--num-envs", type=int, nargs="+", default=[64, 512, 2048])
    parser.add_argument("--steps", type=int, default=4, help="control steps per turn")
    parser.add_argument("--seconds", type=float, default=20.0, help="per environment and size")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    print(*(f"{name} {value}" for name, value in machine().items()), sep=", ")
    print(f"{'':<16} {'envs':>6} {'resets':>7}  wall: env / bare us, ratio, 95 %", " " * 8, "cpu")
    results = []
    for name in args.env:
        for num_envs in args.num_envs:
            results.append(measure(name, num_envs, args.steps, args.seconds))
            show(results[-1])
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), "results": results}, indent=2))


if __name__ == "__main__":
    main()
