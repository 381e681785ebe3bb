"""One training in progress: its run folder, its log, its checkpoints, and how it is stopped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from motrix_envs.np.env import NpEnv

from motrix_rl.checkpoint import Checkpoint
from motrix_rl.runs import Run
from motrix_rl.skrl.cfg import PPOCfg
from motrix_rl.training_log import Progress, TrainingLog


class TrainingStopped(Exception):
    """Raised inside skrl's loop at the end of a rollout, after the checkpoint is safe."""


class Session:
    """Watches a training loop that is not ours; everything happens at the ends of rollouts.

    Args:
        run: Where to write.
        env: The environments that are trained in.
        cfg: The configuration of the training.
        export: Turns the agent into a checkpoint, given steps of the batch.
        on_progress: Called after every update.
    """

    def __init__(
        self,
        run: Run,
        env: NpEnv,
        cfg: PPOCfg,
        export: Callable[[Any, int], Checkpoint],
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self._run = run
        self._env = env
        self._cfg = cfg
        self._export = export
        self._on_progress = on_progress
        self._log = TrainingLog(run, cfg.num_envs, cfg.max_batch_env_steps * cfg.num_envs)
        self._stop = False

    def request_stop(self) -> None:
        """Ask for a checkpoint and an end at the next end of a rollout."""
        self._stop = True

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
        """
        if batch_steps % self._cfg.rollouts:
            return
        self._log.track(agent.tracking_data)
        agent.tracking_data.clear()
        progress = self._log.write(batch_steps * self._cfg.num_envs)
        if self._on_progress:
            self._on_progress(progress)
        last = batch_steps >= self._cfg.max_batch_env_steps
        if last or self._stop or batch_steps % self._cfg.checkpoint_steps == 0:
            self._run.save(batch_steps * self._cfg.num_envs, self._export(agent, batch_steps))
        if self._stop and not last:
            raise TrainingStopped

    def close(self) -> None:
        """Close the log."""
        self._log.close()
