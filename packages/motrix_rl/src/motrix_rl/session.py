"""One training in progress: its run folder, its log, its checkpoints, and how it ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Event
from types import TracebackType
from typing import Any

import numpy as np
from motrix_envs.errors import MotrixError
from motrix_envs.np.env import NpEnv

from motrix_rl.base import BaseRLCfg
from motrix_rl.checkpoint import Checkpoint, module_tensors
from motrix_rl.contract import contract
from motrix_rl.policy import with_contract
from motrix_rl.rl_module import RLModule
from motrix_rl.rl_module.tensors import Tensors
from motrix_rl.runs import Run, Status
from motrix_rl.training_log import Progress, TrainingLog

OnProgress = Callable[[Progress], None]


@dataclass(frozen=True)
class Learned:
    """What a training leaves beside its module."""

    learner: Tensors = field(default_factory=dict)
    """What only training needs: optimiser moments, value normaliser, random state."""
    state: dict[str, Any] = field(default_factory=dict)
    """JSON of the same kind: learning rates, schedules."""


class TrainingStopped(Exception):
    """Raised inside a training loop at the end of a rollout, after the checkpoint is safe."""


class DivergedError(MotrixError, ArithmeticError):
    """A loss or a weight is no longer finite; the last checkpoint is from before."""


class Session:
    """Watches a training loop, whoever wrote it; everything happens at the ends of rollouts.

    A context manager around the loop: whatever ends it, `run.json` says how and why. A stop that
    was asked for ends the block quietly; any other exception goes on.

    Args:
        run: Where to write.
        env: The environments that are trained in.
        module: What is trained.
        cfg: The configuration of the training.
        stop: Set by whoever wants a checkpoint and an end at the next end of a rollout.
        on_progress: Called after every update.
        resumed: The checkpoint from which the training goes on; None starts a new one.

    Attributes:
        resumed: As given.
        batch_steps: Steps of the batch so far, whole rollouts.
    """

    def __init__(
        self,
        run: Run,
        env: NpEnv,
        module: RLModule,
        cfg: BaseRLCfg,
        stop: Event,
        on_progress: OnProgress | None = None,
        resumed: Checkpoint | None = None,
    ) -> None:
        self._run = run
        self._env = env
        self._module = module
        self._cfg = cfg
        self._stop = stop
        self._on_progress = on_progress
        self._log = TrainingLog(run, cfg.num_envs, cfg.max_batch_env_steps * cfg.num_envs)
        self.resumed = resumed
        self.batch_steps = 0
        self._env_steps = 0
        if resumed is not None:
            self.batch_steps = resumed.state["counters"]["batch_steps"]
            self._env_steps = resumed.state["counters"]["env_steps"]
            self._log.restore(resumed.env, resumed.state["logs"], self._env_steps)

    @property
    def done(self) -> bool:
        """Whether the configured number of steps is reached."""
        return self.batch_steps >= self._cfg.max_batch_env_steps

    def record(self) -> None:
        """Take in the environments' latest step."""
        assert self._env.state is not None
        self._log.record(self._env.state)

    def after_update(
        self, batch_steps: int, scalars: Mapping[str, Any], learned: Callable[[], Learned]
    ) -> None:
        """Log an update and save if it is time to; the module is as the update left it.

        Args:
            batch_steps: Steps of the batch so far, whole rollouts.
            scalars: What the update has to tell, numbers or sequences of them by name.
            learned: Asked for the rest of the checkpoint when one is written. It may bring the
                module up to date first.

        Raises:
            TrainingStopped: A stop was requested; the checkpoint is written.
            DivergedError: A number or a weight is not finite; nothing of it is saved.
        """
        self.batch_steps = batch_steps
        self._env_steps = batch_steps * self._cfg.num_envs
        self._report(scalars)
        stopping = self._stop.is_set() and not self.done
        if self.done or stopping or batch_steps % self._cfg.checkpoint_steps == 0:
            self._save(learned())
        if stopping:
            raise TrainingStopped

    def _report(self, scalars: Mapping[str, Any]) -> None:
        self._log.track(dict(scalars))
        progress = self._log.write(self._env_steps)
        self._require_finite(scalars)
        if self._on_progress:
            self._on_progress(progress)

    def _save(self, learned: Learned) -> None:
        content = self._module.to_content()
        self._require_finite(dict(module_tensors(content)))
        self._require_finite(learned.learner)
        counters = {
            "batch_steps": self.batch_steps,
            "env_steps": self._env_steps,
            "updates": self.batch_steps // self._cfg.rollout_steps,
        }
        checkpoint = Checkpoint(
            module=with_contract(content, contract(self._env)),
            learner=learned.learner,
            env={**self._env.snapshot(), **self._log.state()},
            state={**learned.state, "counters": counters, "logs": self._log.offsets()},
        )
        self._run.save(self._env_steps, checkpoint)

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
