"""Stable-Baselines3, through Gymnasium's vector interface."""

from motrix_envs.gym import MotrixVectorEnv
from sb3_cartpole import Adapter
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecNormalize
from torch import nn

from training.task import Task


def train(task: Task) -> None:
    """Train with Stable-Baselines3's PPO."""
    envs = Adapter(MotrixVectorEnv(task.env_id, num_envs=task.num_envs, seed=task.seed))
    widths = list(task.hidden)
    model = PPO(
        "MlpPolicy",
        VecNormalize(envs, norm_reward=False, gamma=task.gamma),
        learning_rate=task.learning_rate,
        n_steps=task.rollout,
        batch_size=task.mini_batch,
        n_epochs=task.epochs,
        gamma=task.gamma,
        gae_lambda=task.lam,
        clip_range=task.clip,
        vf_coef=task.value_loss_scale,
        max_grad_norm=task.grad_norm,
        policy_kwargs={"net_arch": {"pi": widths, "vf": widths}, "activation_fn": nn.ELU},
        tensorboard_log=task.folder,
        seed=task.seed,
        device="cpu",
    )
    model.learn(task.steps * task.num_envs)
