"""What stock skrl is told in both frameworks."""

from typing import Any

from training.task import Task


def spaces_of(env: Any) -> dict[str, Any]:
    """Return what models and agent are constructed with."""
    names = ("observation_space", "state_space", "action_space", "device")
    return {name: getattr(env, name) for name in names}


def ppo_options(task: Task, env: Any, scaler: type) -> dict[str, Any]:
    """Return the keywords of `PPO_CFG`; how often it logs and saves is skrl's own choice."""
    return {
        "rollouts": task.rollout,
        "learning_epochs": task.epochs,
        "mini_batches": task.mini_batches,
        "discount_factor": task.gamma,
        "gae_lambda": task.lam,
        "learning_rate": task.learning_rate,
        "grad_norm_clip": task.grad_norm,
        "ratio_clip": task.clip,
        "value_clip": task.clip,
        "value_loss_scale": task.value_loss_scale,
        "time_limit_bootstrap": True,
        "observation_preprocessor": scaler,
        "observation_preprocessor_kwargs": {"size": env.observation_space, "device": env.device},
        "value_preprocessor": scaler,
        "value_preprocessor_kwargs": {"size": 1, "device": env.device},
        "experiment": {"directory": task.folder},
    }


def loop_options(task: Task) -> dict[str, Any]:
    """Return the configuration of the sequential trainer."""
    return {"timesteps": task.steps, "headless": True, "close_environment_at_exit": False}
