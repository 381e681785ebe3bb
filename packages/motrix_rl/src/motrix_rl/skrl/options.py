"""From our PPO configuration to skrl's keywords; the classes are the framework's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from motrix_rl.skrl.cfg import PPOCfg

# skrl has its own logging and checkpoints, pickles among them: ours replace both.
SILENT = {"write_interval": 0, "checkpoint_interval": 0}


@dataclass(frozen=True)
class SkrlParts:
    """The classes of skrl that a training is put together from, of one framework.

    Attributes:
        agent: PPO with a session, see `SessionAgent`.
        cfg: PPO's configuration.
        memory: Where a rollout is kept.
        scaler: Running standard scaler of values; observations are the module's business.
        scheduler: KL-adaptive learning rate.
        loop: Sequential trainer.
    """

    agent: Any
    cfg: Any
    memory: Any
    scaler: Any
    scheduler: Any
    loop: Any


def ppo_options(cfg: PPOCfg, parts: SkrlParts, env: Any) -> dict[str, Any]:
    """Return the keywords of skrl's `PPO_CFG`.

    Args:
        cfg: A validated configuration.
        parts: The framework's classes.
        env: The wrapped environment, for spaces and device.
    """
    options: dict[str, Any] = {
        "rollouts": cfg.rollouts,
        "learning_epochs": cfg.learning_epochs,
        "mini_batches": cfg.mini_batches,
        "discount_factor": cfg.discount_factor,
        "gae_lambda": cfg.lambda_param,
        "learning_rate": cfg.learning_rate,
        "grad_norm_clip": cfg.grad_norm_clip,
        "ratio_clip": cfg.ratio_clip,
        "value_clip": cfg.value_clip if cfg.clip_predicted_values else 0.0,
        "entropy_loss_scale": cfg.entropy_loss_scale,
        "value_loss_scale": cfg.value_loss_scale,
        "kl_threshold": cfg.kl_threshold,
        "time_limit_bootstrap": cfg.time_limit_bootstrap,
        "value_preprocessor": parts.scaler,
        "value_preprocessor_kwargs": {"size": 1, "device": env.device},
        "experiment": dict(SILENT),
    }
    if cfg.learning_rate_schedule == "kl" and cfg.learning_rate_scheduler_kl_threshold > 0:
        options["learning_rate_scheduler"] = parts.scheduler
        options["learning_rate_scheduler_kwargs"] = {
            "kl_threshold": cfg.learning_rate_scheduler_kl_threshold
        }
    if cfg.rewards_shaper_scale != 1:
        options["rewards_shaper"] = lambda rewards, *_: rewards * cfg.rewards_shaper_scale
    return options


def loop_options(batch_steps: int, render: bool) -> dict[str, Any]:
    """Return the configuration of skrl's sequential trainer.

    Args:
        batch_steps: Steps of the batch.
        render: Whether to draw after every step.
    """
    return {
        "timesteps": batch_steps,
        "headless": not render,
        "disable_progressbar": True,
        "close_environment_at_exit": False,
        # skrl would log what it finds in `info` under this name: ours are an environment's own.
        "environment_info": "",
    }
