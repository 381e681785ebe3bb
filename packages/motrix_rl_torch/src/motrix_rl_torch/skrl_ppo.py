"""skrl's PPO in torch: the hooks of `SkrlTrainer`."""

from __future__ import annotations

import logging
from typing import Any, ClassVar

import numpy as np
import torch
from motrix_envs.errors import ConfigError
from motrix_envs.np.env import NpEnv
from motrix_rl.checkpoint import Tensors
from motrix_rl.skrl.agent import SessionAgent
from motrix_rl.skrl.options import ppo_options
from motrix_rl.skrl.session import Session
from motrix_rl.skrl.trainer import SkrlTrainer
from skrl.agents.torch.ppo import PPO, PPO_CFG
from skrl.memories.torch import RandomMemory
from skrl.resources.preprocessors.torch import RunningStandardScaler
from skrl.resources.schedulers.torch import KLAdaptiveLR
from skrl.trainers.torch import SequentialTrainer
from torch import nn

from motrix_rl_torch.models import make_models
from motrix_rl_torch.wrap_np import SkrlNpWrapper, wrap_env


class Agent(SessionAgent, PPO):
    """skrl's PPO with a session, and with threads only where they help.

    Idle worker threads of torch keep spinning between small forward passes and take a core from
    the physics. A rollout therefore runs torch on one thread, an update on all of them.
    """

    update_threads: int

    def update(self, *, timestep: int, timesteps: int) -> None:
        """Update on all threads."""
        torch.set_num_threads(self.update_threads)
        try:
            super().update(timestep=timestep, timesteps=timesteps)
        finally:
            torch.set_num_threads(1)


class Trainer(SkrlTrainer):
    """Trains with skrl's PPO in torch; see `SkrlTrainer`."""

    backend: ClassVar[str] = "torch"

    def seed_framework(self, seed: int) -> None:
        """Seed torch on all devices."""
        logging.getLogger("skrl").setLevel(logging.WARNING)
        torch.manual_seed(seed)

    def wrap(self, env: NpEnv, renderer: Any) -> SkrlNpWrapper:
        """Return the environment with tensors in and out."""
        if self.cfg.share_policy_value_features and env.state_space is not None:
            raise ConfigError(
                f"environment '{self.env_name}' has privileged observations for the critic, which "
                "a shared network cannot see: set share_policy_value_features = False"
            )
        return wrap_env(env, renderer, self.cfg.device)

    def make_agent(self, env: Any, session: Session) -> Agent:
        """Return the agent with its models and memory."""
        options = ppo_options(
            self.cfg, scheduler=KLAdaptiveLR, scaler=RunningStandardScaler, env=env
        )
        memory = RandomMemory(
            memory_size=self.cfg.rollouts, num_envs=env.num_envs, device=env.device
        )
        agent = Agent(
            models=make_models(self.cfg, env),
            memory=memory,
            observation_space=env.observation_space,
            state_space=env.state_space,
            action_space=env.action_space,
            device=env.device,
            cfg=PPO_CFG(**options),
        )
        agent.session = session
        return agent

    def run_loop(self, env: Any, agent: Any, batch_steps: int) -> None:
        """Run skrl's sequential trainer with torch on one thread between updates."""
        options = {
            "timesteps": batch_steps,
            "headless": not self._render,
            "disable_progressbar": True,
            "close_environment_at_exit": False,
        }
        agent.update_threads = threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            SequentialTrainer(env=env, agents=agent, cfg=options).train()
        finally:
            torch.set_num_threads(threads)

    def export_policy(self, agent: Any) -> Tensors:
        """Return the policy's tensors."""
        scaler = agent._observation_preprocessor
        return {
            "observation/mean": _numpy(scaler.running_mean),
            "observation/variance": _numpy(scaler.running_variance),
            **_layers("actor", agent.policy.hidden),
            **_linear("actor/mean", agent.policy.mean),
            "actor/log_std": _numpy(agent.policy.log_std),
        }

    def export_learner(self, agent: Any) -> Tensors:
        """Return value function, Adam's moments, normalisers and random state."""
        tensors = _linear("critic/value", agent.value.value)
        if agent.value is not agent.policy:
            tensors |= _layers("critic", agent.value.hidden)
        for name, module in agent.checkpoint_modules.items():
            if isinstance(module, RunningStandardScaler):
                tensors |= {f"{name}/{k}": _numpy(v) for k, v in module.state_dict().items()}
        for index, moments in agent.optimizer.state_dict()["state"].items():
            tensors |= {f"adam/{index}/{name}": _numpy(v) for name, v in moments.items()}
        return tensors | {"random/torch": _numpy(torch.get_rng_state())}

    def learning_rates(self, agent: Any) -> list[float]:
        """Return Adam's learning rate."""
        return [float(group["lr"]) for group in agent.optimizer.param_groups]


def _numpy(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy().copy()


def _linear(name: str, layer: nn.Linear) -> Tensors:
    """Return a linear layer with its kernel as (inputs, outputs)."""
    return {f"{name}/kernel": _numpy(layer.weight.T), f"{name}/bias": _numpy(layer.bias)}


def _layers(name: str, hidden: nn.Sequential) -> Tensors:
    linears = [module for module in hidden if isinstance(module, nn.Linear)]
    return {k: v for i, layer in enumerate(linears) for k, v in _linear(f"{name}/{i}", layer).items()}
