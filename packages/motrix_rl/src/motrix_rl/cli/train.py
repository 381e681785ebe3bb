"""`motrix train`: train a policy or go on with it, show how it goes, say how good it became."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from motrix_envs import registry as envs

from motrix_rl import registry
from motrix_rl.backends import choose_backend, choose_rllib
from motrix_rl.cli.evaluate import evaluate_run, show
from motrix_rl.cli.options import parse, peek, subject
from motrix_rl.cli.profile import show_profile
from motrix_rl.cli.progress import ProgressLine
from motrix_rl.cli.trained import find_run, runs_root, trained_changes
from motrix_rl.evaluation import check_episodes
from motrix_rl.profiling import Profile
from motrix_rl.runs import Run


@dataclass(kw_only=True)
class TrainOptions:
    """Train a policy."""

    rllib: str | None = None
    """RL library that trains; by default motrix, or skrl where only that can."""
    backend: str | None = None
    """Where it learns, such as torch or jax; by default the best one that is installed."""
    algo: str | None = None
    """Algorithm; by default the library's only one, or ppo."""
    sim_backend: str | None = None
    """Physics engine; by default MotrixSim."""
    seed: int | None = None
    """Short for --rl.seed: key of every random draw; by default drawn and recorded."""
    num_envs: int | None = None
    """Short for --rl.num-envs: environments that step together."""
    render: bool = False
    """Draw the environments while they train."""
    init_from: Path | None = None
    """Start from the policy of this run or checkpoint, of either framework."""
    profile: bool = False
    """Say at the end where the time went, and what could be changed."""
    runs: Path = Path("runs")
    """Folder of all runs."""
    eval_episodes: int = 256
    """Episodes of the evaluation at the end; 0 leaves it out."""


@dataclass(kw_only=True)
class ResumeOptions:
    """Go on with a training where its last checkpoint left it.

    Everything else is as the run's record says.
    """

    to_steps: int | None = None
    """Another length of the whole training, in steps of single environments."""
    trust: tuple[str, ...] = ()
    """Further packages from which a module's class may come that was given as an object."""
    render: bool = False
    """Draw the environments while they train."""
    profile: bool = False
    """Say at the end where the time went, and what could be changed."""
    runs: Path = Path("runs")
    """Folder of all runs."""
    eval_episodes: int = 256
    """Episodes of the evaluation at the end; 0 leaves it out."""


def train(argv: list[str]) -> int:
    """Train an environment from the command line; return the exit code."""
    if argv and argv[0].partition("=")[0] == "--resume":
        _, separator, target = argv[0].partition("=")
        return resume(argv[1:] if not separator else [target, *argv[1:]])
    name, rest = subject("train", "an environment ENV", argv, TrainOptions)
    chosen = peek(rest, "rllib", "backend", "algo")
    rllib = chosen["rllib"]
    if rllib is None:
        rllib = choose_rllib(name, chosen["backend"], chosen["algo"])
    backend = choose_backend(name, rllib, chosen["backend"], chosen["algo"])
    options, changes = parse(
        TrainOptions,
        rest,
        prog=f"motrix train {name}",
        env=envs.default.default_cfg(name),
        rl=registry.default_rl_cfg(name, rllib, backend, chosen["algo"]),
    )
    short = {"seed": options.seed, "num_envs": options.num_envs}
    changes["rl"] |= {key: value for key, value in short.items() if value is not None}
    return train_with(name, rllib, backend, options, changes)


def train_with(
    name: str, rllib: str, backend: str, options: TrainOptions, changes: dict[str, dict[str, Any]]
) -> int:
    """Train with options that are settled, evaluate, and say what to do next."""
    if options.eval_episodes:
        check_episodes(options.eval_episodes, envs.default.checked_cfg(name, changes["env"]))
    trainer = registry.default.trainer(rllib, backend, options.algo)(
        name,
        options.sim_backend,
        options.render,
        changes["rl"],
        env_cfg_override=changes["env"],
        runs_root=options.runs,
        init_from=options.init_from,
    )
    return _run(trainer, options.eval_episodes, options.profile)


def resume(argv: list[str]) -> int:
    """Go on with a training; `argv` begins with a run or an environment."""
    target, rest = subject("train --resume", "a run or an environment RUN|ENV", argv, ResumeOptions)
    run = find_run(target, runs_root(rest))
    options, _ = parse(ResumeOptions, rest, prog=f"motrix train --resume {target}")
    if options.eval_episodes:
        cfg = envs.default.checked_cfg(run.record["env"], trained_changes(run))
        check_episodes(options.eval_episodes, cfg)
    kind = registry.default.trainer(
        run.record["rllib"], run.record["backend"], run.record.get("algo")
    )
    trainer = kind.of_run(run, options.to_steps, options.render, options.trust)
    steps = run.checkpoints()
    print(f"goes on from step {steps[-1]:,} of {run.path}" if steps else f"begins {run.path} anew")
    return _run(trainer, options.eval_episodes, options.profile)


def _run(trainer: Any, eval_episodes: int, profile: bool) -> int:
    cfg, kind = trainer.cfg, type(trainer)
    trainer.profile = Profile() if profile else None
    print(f"{trainer.env_name}: {kind.rllib} on {kind.backend}, {cfg.num_envs} environments")
    with ProgressLine() as line, _stopping(trainer):
        run: Run = trainer.train(line.update)
    if run.record["status"] == "stopped":
        print(f"stopped after {run.record['summary']['env_steps']:,} steps, with a checkpoint")
    print(f"run:  {run.path}")
    if profile:
        show_profile(trainer.profile, cfg)
    if eval_episodes:
        step = run.step()
        result = evaluate_run(run, checkpoint=step, episodes=eval_episodes, trusted=trainer.trusted)
        run.update(evaluation={"checkpoint": step, **result.to_dict()})
        print()
        show(result, run, step)
    _say_next(run, trainer.trusted, kind.resumable)
    return 0


def _say_next(run: Run, trusted: tuple[str, ...], resumable: bool) -> None:
    stopped = resumable and run.record["status"] == "stopped"
    trust = f" --trust {trusted[0]}" if trusted and not stopped else ""
    print(f"\nnext: motrix {'train --resume' if stopped else 'eval'} {run.path}{trust}")
    print(f"      tensorboard --logdir {run.path}")


@contextmanager
def _stopping(trainer: Any) -> Iterator[None]:
    """Let the first Ctrl-C or SIGTERM end the training at a rollout's end; the second, at once."""

    def stop(number: int, frame: FrameType | None) -> None:
        print("\nstopping after this rollout; once more to stop at once", flush=True)
        trainer.request_stop()
        signal.signal(number, previous[number])

    numbers = (signal.SIGINT, signal.SIGTERM)
    previous = {int(number): signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
