"""skrl's PPO in JAX: the hooks of `SkrlTrainer`."""

from __future__ import annotations

import logging
from typing import Any, ClassVar

import jax
import numpy as np
from motrix_envs.errors import ConfigError
from motrix_envs.np.env import NpEnv
from motrix_rl.checkpoint import Tensors
from motrix_rl.skrl.agent import SessionAgent
from motrix_rl.skrl.cfg import PPOCfg
from motrix_rl.skrl.options import ppo_options
from motrix_rl.skrl.session import Session
from motrix_rl.skrl.trainer import SkrlTrainer
from skrl import config
from skrl.agents.jax.ppo import PPO, PPO_CFG
from skrl.memories.jax import RandomMemory
from skrl.resources.preprocessors.jax import RunningStandardScaler
from skrl.resources.schedulers.jax import KLAdaptiveLR
from skrl.trainers.jax import SequentialTrainer

from motrix_rl_jax.models import make_models
from motrix_rl_jax.wrap_np import SkrlNpWrapper, wrap_env


class Agent(SessionAgent, PPO):
    """skrl's PPO with a session."""


class Trainer(SkrlTrainer):
    """Trains with skrl's PPO in JAX; see `SkrlTrainer`."""

    backend: ClassVar[str] = "jax"

    def check_cfg(self, cfg: PPOCfg) -> None:
        """Refuse shared features: skrl's JAX agent updates policy and value function apart."""
        if cfg.share_policy_value_features:
            raise ConfigError(
                "share_policy_value_features = True needs backend 'torch': skrl trains two "
                "separate networks in JAX. Set it to False, or train with torch."
            )

    def seed_framework(self, seed: int) -> None:
        """Set the key from which skrl derives all others."""
        logging.getLogger("skrl").setLevel(logging.WARNING)
        config.jax.key = jax.random.PRNGKey(seed)

    def wrap(self, env: NpEnv, renderer: Any) -> SkrlNpWrapper:
        """Return the environment with JAX arrays in and out."""
        return wrap_env(env, renderer, self.cfg.device)

    def make_agent(self, env: Any, session: Session) -> Agent:
        """Return the agent with its models and memory."""
        spaces = {"observation_space": env.observation_space, "action_space": env.action_space}
        agent = Agent(
            cfg=PPO_CFG(
                **ppo_options(
                    self.cfg, scheduler=KLAdaptiveLR, scaler=RunningStandardScaler, env=env
                )
            ),
            models=make_models(self.cfg, env),
            memory=RandomMemory(
                memory_size=self.cfg.rollouts, num_envs=env.num_envs, device=env.device
            ),
            state_space=env.state_space,
            device=env.device,
            **spaces,
        )
        agent.session = session
        return agent

    def run_loop(self, env: Any, agent: Any, batch_steps: int) -> None:
        """Run skrl's sequential trainer."""
        loop = SequentialTrainer(
            env=env,
            agents=agent,
            cfg={
                "timesteps": batch_steps,
                "headless": not self._render,
                "disable_progressbar": True,
                "close_environment_at_exit": False,
            },
        )
        loop.train()

    def export_policy(self, agent: Any) -> Tensors:
        """Return the policy's tensors."""
        parameters = agent.policy.state_dict.params["params"]
        scaler = agent._observation_preprocessor
        tensors = _denses("actor", parameters, "mean")
        tensors["actor/log_std"] = np.array(parameters["log_std"])
        tensors["observation/mean"] = np.array(scaler.running_mean)
        tensors["observation/variance"] = np.array(scaler.running_variance)
        return tensors

    def export_learner(self, agent: Any) -> Tensors:
        """Return value function, Adam's moments, normalisers and random state."""
        tensors = _denses("critic", agent.value.state_dict.params["params"], "value")
        for name, module in agent.checkpoint_modules.items():
            if isinstance(module, RunningStandardScaler):
                tensors |= _leaves(name, module.state_dict.params)
            elif hasattr(module, "state"):
                tensors |= _leaves(name, module.state)
        tensors["random/jax"] = np.array(config.jax.key)
        tensors["random/jax_draws"] = np.array(agent.policy._g_i)
        return tensors

    def learning_rates(self, agent: Any) -> list[float]:
        """Return the learning rates of policy and value function."""
        return [float(agent.policy_learning_rate), float(agent.value_learning_rate)]


def _denses(name: str, parameters: Any, head: str) -> Tensors:
    """Return Flax's numbered dense layers: hidden ones by number, the last one as the head."""
    count = sum(key.startswith("Dense_") for key in parameters)
    names = [*(str(index) for index in range(count - 1)), head]
    return {
        f"{name}/{part}/{leaf}": np.array(parameters[f"Dense_{index}"][leaf])
        for index, part in enumerate(names)
        for leaf in ("kernel", "bias")
    }


def _leaves(name: str, tree: Any) -> Tensors:
    """Return the arrays of a pytree by their paths."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {name + jax.tree_util.keystr(path): np.array(leaf) for path, leaf in leaves}
