"""One training in progress: its run folder, its log, its checkpoints, and how it ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Event
from types import TracebackType
from typing import Any

import numpy as np
from motrix_envs.errors import MotrixError
from motrix_envs.np.env import NpEnv
from numpy.typing import NDArray

from motrix_rl.base import BaseRLCfg
from motrix_rl.checkpoint import Checkpoint, module_tensors
from motrix_rl.contract import contract
from motrix_rl.policy import with_contract
from motrix_rl.rl_module import RLModule
from motrix_rl.rl_module.folders import Content
from motrix_rl.rl_module.tensors import Tensors
from motrix_rl.runs import Run, Status
from motrix_rl.selection import Selection, better
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
        selection: What scores checkpoints, so that the run knows its best one; None leaves it out.

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
        selection: Selection | None = None,
    ) -> None:
        self._run = run
        self._env = env
        self._module = module
        self._cfg = cfg
        self._stop = stop
        self._on_progress = on_progress
        self._log = TrainingLog(
            run, cfg.num_envs, cfg.max_batch_env_steps * cfg.num_envs, _underway(env)
        )
        self.resumed = resumed
        self._selection = selection
        self._best: dict[str, Any] | None = None
        self.batch_steps = 0
        self._env_steps = 0
        if resumed is not None:
            self._best = resumed.state.get("best")
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
        if stopping or self._checkpoint_due:
            self._select(self._save(learned()))
        if stopping:
            raise TrainingStopped

    def catch_up(self) -> None:
        """Score the checkpoint from which the training goes on: its log ends just before that.

        The checkpoint of a stop is not scored again, as an uninterrupted training has none there.
        """
        if self.resumed is not None and self._checkpoint_due:
            self._select(self.resumed.module)

    @property
    def _checkpoint_due(self) -> bool:
        return self.done or self.batch_steps % self._cfg.checkpoint_steps == 0

    def _report(self, scalars: Mapping[str, Any]) -> None:
        self._log.track(dict(scalars))
        progress = self._log.write(self._env_steps)
        self._require_finite(scalars)
        if self._on_progress:
            self._on_progress(progress)

    def _save(self, learned: Learned) -> Content:
        """Write a checkpoint, and return its policy."""
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
            state={
                **learned.state,
                **({} if self._selection is None else {"best": self._best}),
                "counters": counters,
                "logs": self._log.offsets(),
            },
        )
        self._run.save(self._env_steps, checkpoint)
        return checkpoint.module

    def _select(self, policy: Content) -> None:
        """Score the policy of a checkpoint that is safe, and point `best` at it if it is better.

        What is known of it so far is in no checkpoint but the next one: a training that dies
        anywhere in here, and resumes, does it again.
        """
        if self._selection is None:
            return
        begun = time.perf_counter()
        score = self._selection.score(policy)
        self._log.add_row(
            self._env_steps,
            {f"select/{name}": value for name, value in score.items()}
            | {"time/select_seconds": time.perf_counter() - begun},
        )
        if better(score, self._best):
            self._best = {"step": self._env_steps, "score": score}
            self._run.mark_best(**self._best)

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


def _underway(env: NpEnv) -> NDArray[np.bool_] | None:
    """Return the rows whose episodes have steps behind them that nobody took, (num_envs,)."""
    return None if env.state is None else env.state.info["steps"] > 0


def _status(error: BaseException | None) -> Status:
    if error is None:
        return "finished"
    failed = isinstance(error, Exception) and not isinstance(error, TrainingStopped)
    return "failed" if failed else "stopped"
