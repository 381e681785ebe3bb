"""Going on with a training where its last checkpoint left it, bit for bit."""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection, Mapping
from typing import Any

from motrix_envs.base import describe_fields
from motrix_envs.errors import ConfigError
from motrix_envs.np.env import NpEnv

from motrix_rl.atomic import disk_errors, plain
from motrix_rl.base import BaseRLCfg
from motrix_rl.checkpoint import Checkpoint, read_module
from motrix_rl.errors import RunError
from motrix_rl.host import describe_host
from motrix_rl.rl_module import RLModule, RLModuleSpec
from motrix_rl.rl_module.checkpointable import state_of
from motrix_rl.runs import Run
from motrix_rl.training_log import EVENTS

_SPEC = "rl_module."
"""What the fields of a module that was given as an object begin with, in a record."""

_RELIES_ON = ("python", "platform", "cpu", "threads", "versions")
"""Parts of `describe_host` that the same numbers rely on."""


def recordable(value: Any) -> Any:
    """Return a configuration in JSON's types; anything else as its text."""
    if isinstance(value, Mapping):
        return {str(key): recordable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [recordable(item) for item in value]
    return value if value is None or isinstance(value, str | bool | int | float) else str(value)


def recorded_cfg(
    run: Run, max_env_steps: int | None = None, trusted: Collection[str] = ()
) -> dict[str, Any]:
    """Return the configuration of a run as overrides of its preset.

    Args:
        run: The run.
        max_env_steps: Another length of the training.
        trusted: Further packages from which the class of its module may come.

    Raises:
        RunError: The record has none, or nothing says what its module was.
        CheckpointError: The class of its module must not be loaded.
    """
    cfg = run.record.get("rl")
    if not isinstance(cfg, dict):
        raise RunError(f"{run.path / 'run.json'} has no configuration 'rl': it was edited.")
    named = {name: value for name, value in cfg.items() if not name.startswith(_SPEC)}
    if len(named) < len(cfg):
        named["rl_module"] = _spec_of(run, trusted)
    return named if max_env_steps is None else {**named, "max_env_steps": max_env_steps}


def _spec_of(run: Run, trusted: Collection[str]) -> RLModuleSpec:
    """Return the recipe of a module that was given as an object: its checkpoint has it."""
    steps = run.checkpoints()
    if not steps:
        raise RunError(
            f"{run.path} trains a module that was given as an object, and died before its first "
            "checkpoint, which would know that object: start a new run"
        )
    content = read_module(run.checkpoint_folder(steps[-1]))
    return RLModuleSpec.from_module(RLModule.from_content(content, trusted=trusted))


def require_more(run: Run, cfg: BaseRLCfg) -> None:
    """Check that there is something left to train.

    Raises:
        RunError: The run is at its end already.
    """
    reached, total = (run.checkpoints() or [0])[-1], cfg.max_batch_env_steps * cfg.num_envs
    at_its_end = reached == total and run.record["status"] == "finished"
    if reached > total or at_its_end:
        raise RunError(
            f"{run.path} has {reached} steps, and is to have {total}: nothing is left to train. "
            f"Ask for more of them: --to-steps {2 * reached}"
        )


def latest_checkpoint(run: Run) -> Checkpoint | None:
    """Return the newest whole checkpoint, or None where a training died before its first one.

    Raises:
        CheckpointError: It is damaged.
        RunError: The disk refuses.
    """
    step = run.settle()
    return None if step is None else run.load(step)


def go_back(run: Run, checkpoint: Checkpoint | None, module: RLModule, env: NpEnv) -> None:
    """Bring module, environments, logs and `best` to where they were at a checkpoint.

    Args:
        run: The run; without a checkpoint its logs are emptied and it has no best one.
        checkpoint: One of its checkpoints.
        module: As the run's configuration builds it.
        env: As the run's configuration builds them, not yet started.

    Raises:
        ConfigError: The environment is configured in another way than it was.
        StateMismatchError: The module's networks are not those of the checkpoint.
        SnapshotError: The environments cannot go on from it.
        RunError: The disk refuses.
    """
    _require_same_env(run, env)
    if checkpoint is not None:
        module.set_state(state_of(checkpoint.module))
        snapshot = {k: v for k, v in checkpoint.env.items() if not k.startswith("log/")}
        env.restore(snapshot)
    state = {"logs": {}, "best": None} if checkpoint is None else checkpoint.state
    cut_logs(run, state["logs"])
    if "best" in state:  # else no checkpoint was scored, and the pointer is somebody else's
        _set_best(run, state["best"])


def cut_logs(run: Run, lengths: Mapping[str, int]) -> None:
    """Shorten the logs of a run to what they were, in bytes; those without a length go.

    Raises:
        RunError: The disk refuses.
    """
    run.truncate_metrics(lengths.get("metrics.jsonl", 0))
    for file in run.path.glob(f"{EVENTS}*"):
        with disk_errors(file, RunError):
            if file.name in lengths:
                os.truncate(file, lengths[file.name])
            else:
                file.unlink()


def _set_best(run: Run, best: Mapping[str, Any] | None) -> None:
    if best is None:
        run.forget_best()
    else:
        run.mark_best(**best)


def note_resumption(run: Run, env_steps: int, compute: dict[str, Any], max_env_steps: int) -> None:
    """Write into the record from where a training goes on, and what differs from its start.

    Where the machine, a version or a number of threads differs, the training goes on all the same,
    with a warning: its numbers will not be those of an uninterrupted one.

    Raises:
        RunError: The disk refuses.
    """
    before, now = run.record.get("host", {}), describe_host()
    differs = [name for name in _RELIES_ON if before.get(name) != plain(now[name], name)]
    if run.record.get("compute") != plain(compute, "compute"):
        differs.append("compute")
    if differs:
        warnings.warn(
            f"this training began elsewhere ({', '.join(differs)} differ, see run.json): it goes "
            "on, but not to the same numbers",
            stacklevel=2,
        )
    host = {name: now[name] for name in differs if name in now}
    entry = {"env_steps": env_steps, "differs": differs, "host": host}
    rl = {**run.record["rl"], "max_env_steps": max_env_steps}
    past = {name: None for name in ("ended", "error") if name in run.record}
    run.update(**past, status="running", rl=rl, resumed=[*run.record.get("resumed", []), entry])


def _require_same_env(run: Run, env: NpEnv) -> None:
    recorded = run.record.get("env_cfg", {})
    found = recordable(describe_fields(env.cfg))
    now = {name: plain(value, name, nonfinite_as_text=True) for name, value in found.items()}
    other = [
        f"{name} was {recorded.get(name)}, is {now.get(name)}"
        for name in sorted(recorded.keys() | now.keys())
        if recorded.get(name) != now.get(name)
    ]
    if other:
        raise ConfigError(
            f"{run.path} was trained in another configuration of '{run.record['env']}': "
            f"{'; '.join(other)}. Start a new run from its policy: --init-from {run.path}"
        )
