"""From our PPO configuration to the keywords of skrl's; the classes are the framework's own."""

from __future__ import annotations

from typing import Any

from motrix_rl.skrl.cfg import PPOCfg

# skrl has its own logging and checkpoints, pickles among them: ours replace both.
SILENT = {"write_interval": 0, "checkpoint_interval": 0}


def ppo_options(cfg: PPOCfg, *, scheduler: type, scaler: type, env: Any) -> dict[str, Any]:
    """Return the keywords of skrl's `PPO_CFG`.

    Args:
        cfg: A validated configuration.
        scheduler: The framework's KL-adaptive schedule.
        scaler: The framework's running standard scaler.
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
        "observation_preprocessor": scaler,
        "observation_preprocessor_kwargs": {"size": env.observation_space, "device": env.device},
        "value_preprocessor": scaler,
        "value_preprocessor_kwargs": {"size": 1, "device": env.device},
        "experiment": dict(SILENT),
    }
    if env.state_space is not None:
        options["state_preprocessor"] = scaler
        options["state_preprocessor_kwargs"] = {"size": env.state_space, "device": env.device}
    if cfg.learning_rate_scheduler_kl_threshold > 0:
        options["learning_rate_scheduler"] = scheduler
        options["learning_rate_scheduler_kwargs"] = {
            "kl_threshold": cfg.learning_rate_scheduler_kl_threshold
        }
    if cfg.rewards_shaper_scale != 1:
        options["rewards_shaper"] = lambda rewards, *_: rewards * cfg.rewards_shaper_scale
    return options
