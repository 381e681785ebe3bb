"""Motrix itself, by its trainers, with run folder and logs as everybody gets them."""

from dataclasses import dataclass

from motrix_rl import registry
from motrix_rl.registry import rlcfg
from motrix_rl.skrl.cfg import PPOCfg

from training.task import Task


@rlcfg("timed-cartpole")
@rlcfg("timed-cartpole-50hz")
@rlcfg("timed-quadruped")
@dataclass
class TimedPPO(PPOCfg):
    """What `Task` says; the rest is the default."""

    share_policy_value_features: bool = False
    learning_rate_schedule: str = "fixed"


def train(task: Task, rllib: str, backend: str) -> None:
    """Train with `motrix train --rllib RLLIB --backend BACKEND`, without the command line."""
    options = {
        "seed": task.seed,
        "num_envs": task.num_envs,
        "max_env_steps": task.steps * task.num_envs,
        "policy_hidden_layer_sizes": task.hidden,
        "value_hidden_layer_sizes": task.hidden,
        "rollouts": task.rollout,
        "learning_epochs": task.epochs,
        "mini_batches": task.mini_batches,
        "discount_factor": task.gamma,
        "lambda_param": task.lam,
        "learning_rate": task.learning_rate,
        "ratio_clip": task.clip,
        "value_clip": task.clip,
        "value_loss_scale": task.value_loss_scale,
        "grad_norm_clip": task.grad_norm,
    }
    trainer = registry.default.trainer(rllib, backend)
    trainer(task.env_id, cfg_override=options, runs_root=task.folder).train()
