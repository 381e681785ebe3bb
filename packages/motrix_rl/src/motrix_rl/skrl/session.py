"""One training in progress: its run folder, its log, its checkpoints, and how it ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from threading import Event
from types import TracebackType
from typing import Any

import numpy as np
from motrix_envs.errors import MotrixError
from motrix_envs.np.env import NpEnv

from motrix_rl.checkpoint import Checkpoint
from motrix_rl.runs import Run, Status
from motrix_rl.skrl.cfg import PPOCfg
from motrix_rl.training_log import Progress, TrainingLog

Export = Callable[[Any, int], Checkpoint]
OnProgress = Callable[[Progress], None]


class TrainingStopped(Exception):
    """Raised inside skrl's loop at the end of a rollout, after the checkpoint is safe."""


class DivergedError(MotrixError, ArithmeticError):
    """A loss or a weight is no longer finite; the last checkpoint is from before."""


class Session:
    """Watches a training loop that is not ours; everything happens at the ends of rollouts.

    A context manager around the loop: whatever ends it, `run.json` says how and why. A stop that
    was asked for ends the block quietly; any other exception goes on.

    Args:
        run: Where to write.
        env: The environments that are trained in.
        cfg: The configuration of the training.
        export: Turns the agent into a checkpoint, given steps of the batch.
        stop: Set by whoever wants a checkpoint and an end at the next end of a rollout.
        on_progress: Called after every update.
    """

    def __init__(
        self,
        run: Run,
        env: NpEnv,
        cfg: PPOCfg,
        export: Export,
        stop: Event,
        on_progress: OnProgress | None = None,
    ) -> None:
        self._run = run
        self._env = env
        self._cfg = cfg
        self._export = export
        self._stop = stop
        self._on_progress = on_progress
        self._log = TrainingLog(run, cfg.num_envs, cfg.max_batch_env_steps * cfg.num_envs)
        self._env_steps = 0

    def record(self) -> None:
        """Take in the environments' latest step."""
        assert self._env.state is not None
        self._log.record(self._env.state)

    def after_step(self, batch_steps: int, agent: Any) -> None:
        """Log and save if a rollout ends here.

        Args:
            batch_steps: Steps of the batch so far.
            agent: The skrl agent; what it tracked is taken from it.

        Raises:
            TrainingStopped: A stop was requested; the checkpoint is written.
            DivergedError: A loss or a weight is not finite; nothing of it is saved.
        """
        if batch_steps % self._cfg.rollouts:
            return
        self._env_steps = batch_steps * self._cfg.num_envs
        self._report(agent.tracking_data)
        last = batch_steps >= self._cfg.max_batch_env_steps
        stopping = self._stop.is_set() and not last
        if last or stopping or batch_steps % self._cfg.checkpoint_steps == 0:
            self._save(self._export(agent, batch_steps))
        if stopping:
            raise TrainingStopped

    def _report(self, tracked: dict[str, Sequence[float]]) -> None:
        scalars = dict(tracked)
        tracked.clear()
        self._log.track(scalars)
        progress = self._log.write(self._env_steps)
        self._require_finite(scalars)
        if self._on_progress:
            self._on_progress(progress)

    def _save(self, checkpoint: Checkpoint) -> None:
        for group in (checkpoint.policy, checkpoint.learner):
            self._require_finite(group)
        logs = {"logs": self._log.offsets()}
        self._run.save(self._env_steps, replace(checkpoint, state={**checkpoint.state, **logs}))

    def _require_finite(self, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            if not np.isfinite(value).all():
                saved = self._run.checkpoints()
                rescue = f"The checkpoint of step {saved[-1]} is good." if saved else ""
                raise DivergedError(
                    f"the training diverged: {name!r} is not finite after {self._env_steps} steps. "
                    f"Lower learning_rate or grad_norm_clip, or look at the rewards. {rescue}"
                )

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        asked_for = isinstance(error, TrainingStopped)
        summary = {"env_steps": self._env_steps, "mean_return": self._log.mean_return}
        status = _status(error)
        reason = f"{type(error).__name__}: {error}" if status == "failed" else None
        try:
            self._run.finish(summary, status, reason)
        except MotrixError as refused:
            if error is None or asked_for:
                raise
            # The first error is the one to see; the second may well have the same cause.
            error.add_note(str(refused))
        return asked_for


def _status(error: BaseException | None) -> Status:
    if error is None:
        return "finished"
    failed = isinstance(error, Exception) and not isinstance(error, TrainingStopped)
    return "failed" if failed else "stopped"
