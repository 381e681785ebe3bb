"""How much an environment costs beyond its physics.

    uv run stepping.py cartpole --num-envs 64 512 2048 --json stepping.json

`motrix_envs.benchmarking` says how this is measured; `motrix bench` compares engines by it.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from motrix_envs.benchmarking import Ratio, machine, measure

LIMITS = {512: 1.12, 2048: 1.05}
ENGINE = "motrixsim"


def overhead(name: str, num_envs: int, steps: int, seconds: float) -> dict[str, Any]:
    """Compare an environment with its bare physics for some seconds."""
    (one,) = measure(name, [ENGINE], num_envs, seconds, steps)
    clocks = {"wall": (one.env, one.bare), "cpu": (one.env_cpu, one.bare_cpu)}
    return {
        "env": name,
        "num_envs": num_envs,
        "pairs": len(one.env),
        "resets_per_step": one.resets,
        **{
            clock: {
                "env_us": float(np.median(env) * 1e6),
                "bare_us": float(np.median(bare) * 1e6),
                **asdict(Ratio.of(env, bare)),
            }
            for clock, (env, bare) in clocks.items()
        },
    }


def show(result: dict[str, Any]) -> None:
    """Print one line of the table."""
    cells = [f"{result['env']:<16} {result['num_envs']:>6} {result['resets_per_step']:>7.1f}"]
    for clock in ("wall", "cpu"):
        one = result[clock]
        cells.append(f"{one['env_us']:>9.0f} {one['bare_us']:>9.0f} {one['median']:.3f}")
        cells.append(f"[{one['low']:.3f}, {one['high']:.3f}]")
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
    where = machine("motrixsim")
    print(*(f"{name} {value}" for name, value in where.items()), sep=", ")
    print(f"{'':<16} {'envs':>6} {'resets':>7}  wall: env / bare us, ratio, 95 %", " " * 8, "cpu")
    results = []
    for name in args.env:
        for num_envs in args.num_envs:
            results.append(overhead(name, num_envs, args.steps, args.seconds))
            show(results[-1])
    if args.json:
        args.json.write_text(json.dumps({"machine": where, "results": results}, indent=2))


if __name__ == "__main__":
    main()
