"""`motrix bench ENV`: how fast every installed engine steps an environment."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Any

from motrix_envs import registry as envs
from motrix_envs.benchmarking import Measurement, Ratio, machine, measure
from motrix_envs.errors import MotrixError
from rich.console import Console
from rich.table import Table

from motrix_rl.cli.options import parse, subject


@dataclass(kw_only=True)
class BenchOptions:
    """Measure environment steps per second, bare and with everything around the physics."""

    num_envs: tuple[int, ...] = (512, 2048)
    """Environments that step together; several numbers are measured one after the other."""
    sim_backend: tuple[str, ...] = ()
    """Engines to compare; by default all that are installed."""
    seconds: float = 10.0
    """Time for each number of environments, shared by the engines."""
    json: bool = False
    """Print JSON instead of a table."""


def bench(argv: list[str]) -> int:
    """Compare engines from the command line; return the exit code."""
    name, rest = subject("bench", "an environment ENV", argv, BenchOptions)
    cfg = envs.default.default_cfg(name)
    options, changes = parse(BenchOptions, rest, prog=f"motrix bench {name}", env=cfg)
    engines = options.sim_backend or tuple(engine.name for engine in envs.default.engines())
    if min(options.num_envs, default=0) < 1 or not 0 < options.seconds < math.inf:
        raise MotrixError("a measurement needs at least one environment and some time")
    found = [
        row
        for num_envs in options.num_envs
        for row in compare(measure(name, engines, num_envs, options.seconds, 4, changes["env"]))
    ]
    if options.json:
        versions = [envs.default.simulation_class(engine).engine for engine in engines]
        where = machine() | {"engines": versions}
        print(json.dumps({"env": name, "machine": where, "results": found}, indent=2))
    else:
        show(name, found)
    return 0


def compare(results: list[Measurement]) -> list[dict[str, Any]]:
    """Return figures of each engine, and its speed relative to the first one's."""
    first = results[0]
    return [
        {
            "engine": one.engine,
            "num_envs": one.num_envs,
            "rounds": len(one.env),
            "bare_steps_per_second": one.bare_speed,
            "env_steps_per_second": one.env_speed,
            "env_to_bare": asdict(one.efficiency),
            "bare_to_first": asdict(Ratio.of(first.bare, one.bare)),
            "env_to_first": asdict(Ratio.of(first.env, one.env)),
        }
        for one in results
    ]


def show(name: str, found: list[dict[str, Any]]) -> None:
    """Print the figures as a table."""
    first = found[0]["engine"]
    table = Table(box=None, padding=(0, 2, 0, 0))
    titles = ("envs", "bare/s", "env/s", "env to bare", f"bare to {first}", "env")
    for title in ("engine", *titles):
        table.add_column(title, justify="left" if title == "engine" else "right", no_wrap=True)
    for row in found:
        bare, env = (row[f"{what}_steps_per_second"] / 1000 for what in ("bare", "env"))
        share, ratio = (_interval(row[what]) for what in ("env_to_bare", "bare_to_first"))
        last = f"{row['env_to_first']['median']:.2f}"
        count = f"{row['num_envs']}"
        table.add_row(row["engine"], count, f"{bare:.1f}k", f"{env:.1f}k", share, ratio, last)
    console = Console(highlight=False)
    console.print(f"{name}: control steps per second, all environments counted")
    console.print(table)
    console.print("ratios: medians over pairs of turns in this run, with their 95 % intervals")


def _interval(ratio: dict[str, float]) -> str:
    return f"{ratio['median']:.2f} [{ratio['low']:.2f}, {ratio['high']:.2f}]"
