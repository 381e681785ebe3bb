"""Keep what a training came to: results/<id>/<rllib>-<backend>[-<engine>][-s<seed>]/.

uv run --all-packages --group suite tools/keep_result.py RUN...

A result is a small run: `motrix eval`, `play`, `record` and `--init-from` take it. It holds the
policy, the record of the run, the learning curve, and how good the policy is, measured here: on
both physics engines, and inside of dm_control.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from dm_originals import TASKS, Original
from motrix_envs.registry import DEFAULT_ENGINE
from motrix_rl.atomic import write_json_atomic
from motrix_rl.checkpoint import Checkpoint, read_hash, read_module
from motrix_rl.cli.evaluate import evaluate_run
from motrix_rl.evaluation import bootstrap_interval, derived_seed
from motrix_rl.policy import load_policy
from motrix_rl.runs import Run

RESULTS = Path(__file__).parents[1] / "results"
ENGINES = (DEFAULT_ENGINE, "mujoco")
EPISODES = 256
ORIGINAL_EPISODES = 32
POINTS = 200  # of a curve

LEFT_OUT = ("pid",)
HOST = ("python", "cpu", "threads", "versions")


def keep(run: Run) -> Run:
    """Write the small run of a finished one, and return it."""
    step = run.step()
    policy = run.checkpoint_folder(step)
    record = {key: value for key, value in run.record.items() if key not in LEFT_OUT}
    record["env_cfg"] = {k: v for k, v in run.record["env_cfg"].items() if k != "model_file"}
    record["host"] = {key: run.record["host"][key] for key in HOST}
    record["hash"] = read_hash(run.checkpoint_folder("latest"))
    if source := record.get("lineage"):
        checkpoint = Path(source["init_from"])
        begun = folder_of(Run.open(checkpoint.parents[1])).relative_to(RESULTS.parent)
        place = begun / "checkpoints" / checkpoint.name
        record["lineage"] = {**source, "init_from": place.as_posix()}
    folder = folder_of(run)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_json_atomic(folder / "run.json", record)
    kept = Run.open(folder)
    counters = {"batch_steps": 0, "env_steps": step, "updates": 0}
    kept.save(step, Checkpoint(read_module(policy), state={"counters": counters}))
    write_json_atomic(folder / "curve.json", curve(run))
    return kept


def folder_of(run: Run) -> Path:
    """Return where the result of a run lies; the default engine and seed 1 go without saying."""
    record = run.record
    parts = [record["rllib"], record["backend"]]
    if record["sim_backend"] != DEFAULT_ENGINE:
        parts.append(record["sim_backend"])
    if record["seed"] != 1:
        parts.append(f"s{record['seed']}")
    return RESULTS / record["env"] / "-".join(parts)


def curve(run: Run) -> dict[str, list[float]]:
    """Return env steps, and the mean return of the episodes that ended until then.

    Where episodes were shorter in training, it is that of the whole ones that checkpoints are
    scored on.
    """
    shortened = run.record["rl"].get("episode_steps")
    name = "select/return_mean" if shortened else "episode/return_mean"
    told = [(row["env_steps"], row[name]) for row in run.metrics() if name in row]
    parts = np.array_split(np.array(told), min(len(told), POINTS))
    return {
        "env_steps": [int(part[-1, 0]) for part in parts],
        "return": [round(float(part[:, 1].mean()), 2) for part in parts],
    }


def minutes(run: Run) -> float:
    """Return how long a training took by the clock, without pauses before it was resumed."""
    seconds, before = 0.0, 0
    for row in run.metrics():
        if speed := row.get("time/env_steps_per_second"):
            seconds += (row["env_steps"] - before) / speed
            before = row["env_steps"]
    return seconds / 60


def measure(run: Run) -> dict[str, Any]:
    """Return how good a policy is on each engine, and in dm_control where that has the task."""
    own, engines = run.record["sim_backend"], {}
    for engine in ENGINES:
        if engine == own and run.record["evaluation"]["episodes"] >= EPISODES:
            engines[engine] = run.record["evaluation"]  # what the training ended with
        else:
            engines[engine] = evaluate_run(run, episodes=EPISODES, sim_backend=engine).to_dict()
    found: dict[str, Any] = {"engines": engines}
    if run.record["env"] in TASKS:
        found["dm_control"] = play_original(run)
    return found


def play_original(run: Run) -> dict[str, Any]:
    """Let a policy play episodes of dm_control; return their number, mean and 95 % interval."""
    seed = derived_seed(run.record["seed"], "dm_control") % 2**31
    players = [Original(run.record["env"], seed + i) for i in range(ORIGINAL_EPISODES)]
    policy, returns = load_policy(run.path), np.zeros(len(players))
    for player in players:
        player.start()
    for _ in range(1000):
        actions = policy.act(np.array([player.seen() for player in players], np.float32))
        returns += [player.go(action) for player, action in zip(players, actions, strict=True)]
    low, high = bootstrap_interval(returns)
    return {"episodes": len(players), "mean": float(returns.mean()), "interval": [low, high]}


def main() -> None:
    """Keep and measure the runs that the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    for path in parser.parse_args().runs:
        run = Run.open(path)
        kept = keep(run)
        found = {"minutes": round(minutes(run), 2), **measure(kept)}
        write_json_atomic(kept.path / "measured.json", found)
        means = {name: round(one["mean"], 1) for name, one in found["engines"].items()}
        print(kept.path.relative_to(RESULTS), means, found.get("dm_control", {}).get("mean"))


if __name__ == "__main__":
    main()
