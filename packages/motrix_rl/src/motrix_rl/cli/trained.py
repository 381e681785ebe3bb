"""What commands about a trained policy begin with: a run, its environment and its policy."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from motrix_envs import registry as envs
from motrix_envs._overrides import apply_overrides
from motrix_envs.np.env import NpEnv

from motrix_rl.checkpoint import is_checkpoint
from motrix_rl.cli.options import parse, peek, subject
from motrix_rl.contract import check_contract
from motrix_rl.policy import Policy, load_policy
from motrix_rl.runs import Run, Which

T = TypeVar("T")


def open_run(command: str, argv: list[str], kind: type[T]) -> tuple[Run, T, dict[str, Any]]:
    """Return the run that a command line names, its options and the changes of the environment.

    Args:
        command: Name of the command.
        argv: The arguments, RUN|ENV first.
        kind: Dataclass of the command's own options, `checkpoint` among them.
    """
    target, rest = subject(command, "a run or an environment RUN|ENV", argv, kind)
    run, step = find_trained(target, runs_root(rest))
    name = run.record["env"]
    cfg = envs.default.default_cfg(name)
    apply_overrides(cfg, trained_changes(run), f"environment '{name}'")
    parsed, changes = parse(kind, rest, prog=f"motrix {command} {target}", env=cfg)
    options: Any = parsed
    options.checkpoint = step if options.checkpoint is None else options.checkpoint
    return run, parsed, changes["env"]


def runs_root(argv: list[str]) -> Path:
    """Return the folder of all runs that a command line names, or the usual one."""
    given = peek(argv, "runs")["runs"]
    return Path("runs" if given is None else given)


def find_run(target: str, root: Path) -> Run:
    """Return the run in a folder, or the newest run of an environment.

    Raises:
        RunError: There is no such run.
        EnvNotFoundError: The target is neither a folder nor an environment.
    """
    is_path = "/" in target or "\\" in target or os.path.exists(target)  # noqa: PTH110 - no raise
    if is_path and not envs.default.contains(target):
        return Run.open(Path(target))
    envs.default.require(target)
    return Run.newest(root, target)


def find_trained(target: str, root: Path) -> tuple[Run, str | None]:
    """Return the run that a target names, and the step if it is one of its checkpoints."""
    if os.path.isdir(target) and is_checkpoint(Path(target)):  # noqa: PTH112 - no raise
        folder = Path(target).resolve()
        return Run.open(folder.parents[1]), folder.name
    return find_run(target, root), None


def trained_changes(run: Run) -> dict[str, Any]:
    """Return what the user changed of the environment's configuration for this run."""
    names = run.record.get("origins", {}).get("env_cfg", {})
    return {name: run.record["env_cfg"][name] for name in names}


def env_and_policy(
    run: Run,
    checkpoint: Which | None,
    num_envs: int,
    seed: int | None = None,
    sim_backend: str | None = None,
    changes: Mapping[str, Any] | None = None,
    framework: str | None = None,
    trusted: tuple[str, ...] = (),
) -> tuple[NpEnv, Policy]:
    """Return the environment that a run was trained in, and its policy.

    Raises:
        MotrixError: The checkpoint cannot be read, or does not fit the environment.
    """
    policy = load_policy(run.checkpoint_folder(checkpoint), framework=framework, trusted=trusted)
    env = envs.make(
        run.record["env"],
        sim_backend or run.record.get("sim_backend"),
        trained_changes(run) | dict(changes or {}),
        num_envs,
        seed,
    )
    try:
        check_contract(policy.contract, env)
    except BaseException:
        env.close()
        raise
    return env, policy
