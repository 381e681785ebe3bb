"""rsl_rl, as its configuration guide says."""

from typing import Any

import torch
from motrix_envs import registry
from motrix_envs.np.state import NpEnvState
from rsl_rl.env import VecEnv
from rsl_rl.runners import OnPolicyRunner
from tensordict import TensorDict

from training.task import Task

SAVE_INTERVAL = 50  # iterations


class Environments(VecEnv):
    """Our environments as rsl_rl steps them; tensors share memory with what they return."""

    def __init__(self, task: Task) -> None:
        self.env = registry.make(task.env_id, num_envs=task.num_envs, seed=task.seed)
        self.num_envs = task.num_envs
        self.num_actions = self.env.action_space.shape[0]
        self.max_episode_length = self.env.cfg.max_episode_steps
        self.episode_length_buf = torch.zeros(task.num_envs, dtype=torch.long)
        self.device = "cpu"
        self.cfg: dict[str, Any] = {}
        self.env.init_state()

    def get_observations(self) -> TensorDict:
        """Return the observations of now."""
        return self._observations(self.env.state)

    def step(self, actions: torch.Tensor) -> tuple[TensorDict, torch.Tensor, torch.Tensor, Any]:
        """Step all environments."""
        state = self.env.step(actions.numpy())
        # rsl_rl clones the rewards before it adds to them.
        reward, done = torch.from_numpy(state.reward), torch.from_numpy(state.done)
        return (
            self._observations(state),
            reward,
            done.long(),
            {"time_outs": torch.from_numpy(state.truncated)},
        )

    def _observations(self, state: NpEnvState) -> TensorDict:
        return TensorDict({"policy": torch.from_numpy(state.obs)}, batch_size=[self.num_envs])


def options(task: Task) -> dict[str, Any]:
    """Return the runner's configuration."""
    model = {
        "class_name": "MLPModel",
        "hidden_dims": list(task.hidden),
        "activation": "elu",
        "obs_normalization": True,
    }
    return {
        "num_steps_per_env": task.rollout,
        "save_interval": SAVE_INTERVAL,
        "logger": "tensorboard",
        "obs_groups": {"actor": ["policy"], "critic": ["policy"]},
        "actor": {**model, "distribution_cfg": {"class_name": "GaussianDistribution"}},
        "critic": model,
        "algorithm": {
            "class_name": "PPO",
            "num_learning_epochs": task.epochs,
            "num_mini_batches": task.mini_batches,
            "clip_param": task.clip,
            "gamma": task.gamma,
            "lam": task.lam,
            "value_loss_coef": task.value_loss_scale,
            "entropy_coef": 0.0,
            "learning_rate": task.learning_rate,
            "schedule": "fixed",
            "max_grad_norm": task.grad_norm,
        },
    }


def train(task: Task) -> None:
    """Train with rsl_rl's runner."""
    torch.manual_seed(task.seed)
    runner = OnPolicyRunner(Environments(task), options(task), task.folder, "cpu")
    runner.learn(task.iterations)
