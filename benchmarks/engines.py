"""What engines cost on robots of different kinds: each model under the same random controls.

    uv run engines.py --num-envs 512 --seconds 5 --json engines.json

The engines take turns of a few control steps, so that a ratio compares two moments of one run.
*bare* is the engine's own step; *read* adds the refreshed poses and velocities of all bodies, the
contact forces and the search for diverged rows, as an environment with legs needs them.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from motrix_envs import registry
from motrix_envs.benchmarking import Ratio, machine
from motrix_envs.sim import BodyLinearVelocity, BodyPosition, BodyRotation, ContactForce, Model

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "sim"))

from models import LEGS, MODELS, STAND, TIMESTEPS

CONTROL_DT = 0.02
TURN = 4  # control steps
EPISODE = 25  # turns, after which all rows start again
NOISE = 0.3  # rad, or share of the control range


class Contestant:
    """A model on one engine."""

    def __init__(self, engine: str, model: Model, name: str, num_envs: int) -> None:
        dt = TIMESTEPS[name]
        self.sim = registry.default.simulation_class(engine)(model, num_envs, dt)
        bodies = self.sim.model.body_names
        kinds = (BodyPosition, BodyRotation, BodyLinearVelocity, ContactForce)
        self.sim.declare(**{kind.__name__: kind(*bodies) for kind in kinds})
        self.substeps = round(CONTROL_DT / dt)
        self.times: dict[str, list[float]] = {"bare": [], "read": []}

    def restart(self) -> None:
        """Put all rows to where they begin."""
        info, count = self.sim.model, self.sim.num_envs
        place = np.tile(info.default_positions, (count, 1))
        if info.num_actuators == 4 * len(STAND):
            place[:, 7:] = np.tile(STAND, len(LEGS))
        self.sim.reset(np.arange(count), place, np.zeros((count, info.num_velocities), np.float32))

    def turn(self, controls: Any, read: bool) -> None:
        """Time some control steps."""
        step = self.sim.step if read else self.sim.advance
        start = time.perf_counter()
        for ctrl in controls:
            step(ctrl, self.substeps)
        self.times["read" if read else "bare"].append(time.perf_counter() - start)


def compare(name: str, engines: list[str], num_envs: int, seconds: float) -> list[dict[str, Any]]:
    """Measure a model on all engines for some seconds."""
    contestants = [Contestant(engine, MODELS[name], name, num_envs) for engine in engines]
    info = contestants[0].sim.model
    limits = np.clip(info.ctrl_range, -1, 1)
    middle = np.tile(STAND, len(LEGS)) if info.num_actuators == 4 * len(STAND) else limits.mean(1)
    rng, turns = np.random.default_rng(0), 0
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or turns < 4:
        if turns % EPISODE == 0:
            for one in contestants:
                one.restart()
        shape = (TURN, num_envs, info.num_actuators)
        controls = (middle + rng.uniform(-NOISE, NOISE, shape)).astype(np.float32)
        for one in contestants:
            one.turn(controls, read=turns % 2 == 1)
        turns += 1
    return [
        figures(name, one, contestants[0], engine)
        for one, engine in zip(contestants, engines, strict=True)
    ]


def figures(name: str, one: Contestant, first: Contestant, engine: str) -> dict[str, Any]:
    """Return speeds of an engine, and its ratio to the first one."""
    bare, read = (np.array(one.times[what]) for what in ("bare", "read"))
    rows = one.sim.num_envs * TURN
    ratio = Ratio.of(np.array(first.times["bare"]), bare)
    pairs = min(len(bare), len(read))
    return {
        "model": name,
        "engine": engine,
        "num_envs": one.sim.num_envs,
        "substeps": one.substeps,
        "bare_steps_per_second": rows / float(np.median(bare)),
        "read_steps_per_second": rows / float(np.median(read)),
        "read_to_bare": Ratio.of(bare[:pairs], read[:pairs]).median,
        "bare_to_first": [ratio.median, ratio.low, ratio.high],
    }


def main() -> None:
    """Measure, print a table, and write the figures to a file if asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", nargs="*", default=list(MODELS))
    parser.add_argument("--engines", nargs="+", default=["motrixsim", "mujoco", "mujoco-fast"])
    parser.add_argument("--num-envs", type=int, default=512)
    parser.add_argument("--seconds", type=float, default=5.0, help="per model")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    where = machine("motrixsim", "mujoco")
    print(*(f"{name} {value}" for name, value in where.items()), sep=", ")
    print(f"{'model':<12}{'engine':<13}{'envs':>6}{'bare/s':>10}{'read/s':>10}{'read':>6}  ratio")
    results = []
    for name in args.model:
        for row in compare(name, args.engines, args.num_envs, args.seconds):
            results.append(row)
            median, low, high = row["bare_to_first"]
            print(
                f"{name:<12}{row['engine']:<13}{row['num_envs']:>6}"
                f"{row['bare_steps_per_second']:>10.0f}{row['read_steps_per_second']:>10.0f}"
                f"{row['read_to_bare']:>6.2f}  {median:.2f} [{low:.2f}, {high:.2f}]"
            )
    if args.json:
        args.json.write_text(json.dumps({"machine": where, "results": results}, indent=2))


if __name__ == "__main__":
    main()
