"""`motrix eval RUN|ENV`: how good a trained policy is, on episodes that it never saw."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from motrix_envs.errors import MotrixError
from rich.console import Console
from rich.table import Table

from motrix_rl import evaluation
from motrix_rl.cli.trained import env_and_policy, open_run
from motrix_rl.errors import RunError
from motrix_rl.evaluation import Evaluation, derived_seed
from motrix_rl.runs import Run, Which

MOST_ENVS = 256


@dataclass(kw_only=True)
class EvalOptions:
    """Evaluate a trained policy without noise, on starts that training never used."""

    checkpoint: str | None = None
    """Which one: best, latest, or its number of steps; by default best, latest if there is none."""
    episodes: int = 256
    """Number of episodes."""
    num_envs: int | None = None
    """Environments that step together; by default as many as episodes, at most 256."""
    seed: int | None = None
    """Key of the starts; by default derived from the run's own seed."""
    sim_backend: str | None = None
    """Physics engine; by default the one that the run was trained on."""
    backend: str | None = None
    """Where the policy acts: numpy, torch or jax; by default NumPy where that is possible."""
    trust: tuple[str, ...] = ()
    """Further packages from which the policy's class may be imported."""
    json: bool = False
    """Print JSON instead of a table."""
    runs: Path = Path("runs")
    """Folder of all runs, where the newest one of an environment is looked for."""


def evaluate(argv: list[str]) -> int:
    """Evaluate a run from the command line; return the exit code."""
    run, options, changes = open_run("eval", argv, EvalOptions)
    step = run.step(options.checkpoint)
    result = evaluate_run(
        run,
        checkpoint=step,
        episodes=options.episodes,
        num_envs=options.num_envs,
        seed=options.seed,
        sim_backend=options.sim_backend,
        env_changes=changes,
        framework=options.backend,
        trusted=options.trust,
    )
    if options.json:
        place = {"run": str(run.path), "checkpoint": step}
        print(json.dumps({**place, **result.to_dict()}, indent=2))
    else:
        show(result, run, step)
    return 0


def evaluate_run(
    run: Run,
    *,
    checkpoint: Which | None = None,
    episodes: int = 256,
    num_envs: int | None = None,
    seed: int | None = None,
    sim_backend: str | None = None,
    env_changes: Mapping[str, Any] | None = None,
    framework: str | None = None,
    trusted: tuple[str, ...] = (),
) -> Evaluation:
    """Evaluate a checkpoint of a run in the environment it was trained in.

    Args:
        run: The run.
        checkpoint: A step, "latest" or "best"; None takes `Run.preferred`.
        episodes: How many, at least.
        num_envs: Environments that step together; None takes one for each episode, up to 256.
        seed: Key of the starts; None derives it from the run's.
        sim_backend: Physics engine; None takes that of the training.
        env_changes: Further changes of the environment's configuration.
        framework: See `load_policy`.
        trusted: See `load_policy`.

    Raises:
        MotrixError: The checkpoint cannot be read or does not fit, or a number is out of range.
    """
    if episodes < 1 or (num_envs is not None and num_envs < 1):
        raise MotrixError("an evaluation needs at least one episode and one environment")
    env, policy = env_and_policy(
        run,
        checkpoint,
        num_envs or min(episodes, MOST_ENVS),
        derived_seed(run.record["seed"], "report") if seed is None else seed,
        sim_backend,
        env_changes or {},
        framework,
        trusted,
    )
    with closing(env):
        return evaluation.evaluate(env, policy, episodes)


def show(result: Evaluation, run: Run, step: int) -> None:
    """Print the evaluation of a checkpoint as a table."""
    low, high = result.interval
    least, most = (100 * share for share in result.success_interval)
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    rows = {
        "environment": run.record["env"],
        "run": str(run.path),
        "checkpoint": f"{step:,} steps{_pointed_at(run, step)}",
        "episodes": f"{result.episodes}",
        "return": f"{result.mean:.1f}   95 % interval {low:.1f} to {high:.1f}",
        "spread": f"{result.lowest:.1f} to {result.highest:.1f}, deviation {result.std:.1f}",
        "length": f"{result.length:.1f} steps",
        "success": f"{100 * result.success_rate:.1f} %   95 % interval {least:.1f} to {most:.1f} %",
        "": result.success_metric,
    }
    for name, value in rows.items():
        table.add_row(name, value)
    Console(highlight=False).print(table)


def _pointed_at(run: Run, step: int) -> str:
    """Say whether a checkpoint is the best or the latest one, or both."""
    names = []
    for name in ("best", "latest"):
        with suppress(RunError):
            names += [name] if run.step(name) == step else []
    return f" ({', '.join(names)})" if names else ""
