"""skrl's PPO in JAX: the hooks of `SkrlTrainer`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import jax
import numpy as np
from motrix_envs.errors import ConfigError
from motrix_envs.np.env import NpEnv
from motrix_rl.rl_module import RLModule
from motrix_rl.rl_module.tensors import Tensors
from motrix_rl.session import Session
from motrix_rl.skrl.agent import SessionAgent
from motrix_rl.skrl.options import SkrlParts
from motrix_rl.skrl.trainer import SkrlTrainer
from skrl import config
from skrl.agents.jax.ppo import PPO, PPO_CFG
from skrl.memories.jax import RandomMemory
from skrl.resources.preprocessors.jax import RunningStandardScaler
from skrl.resources.schedulers.jax import KLAdaptiveLR
from skrl.trainers.jax import SequentialTrainer

from motrix_rl_jax import models
from motrix_rl_jax.compute import JaxCompute
from motrix_rl_jax.rl_module.module import FlaxRLModule
from motrix_rl_jax.wrap_np import SkrlNpWrapper


class Agent(SessionAgent, PPO):
    """skrl's PPO with a session."""


class Trainer(JaxCompute, SkrlTrainer):
    """Trains with skrl's PPO in JAX; see `SkrlTrainer` and `JaxCompute`."""

    backend: ClassVar[str] = "jax"
    parts: ClassVar[SkrlParts] = SkrlParts(
        agent=Agent,
        cfg=PPO_CFG,
        memory=RandomMemory,
        scaler=RunningStandardScaler,
        scheduler=KLAdaptiveLR,
        loop=SequentialTrainer,
    )

    def check_cfg(self) -> None:
        """Refuse shared features: skrl's JAX agent updates policy and value function apart."""
        super().check_cfg()
        if self.cfg.share_policy_value_features:
            raise ConfigError(
                "share_policy_value_features = True needs backend 'torch': skrl trains two "
                "separate networks in JAX. Set it to False, or train with torch."
            )

    @contextmanager
    def seeded(self, seed: int) -> Iterator[None]:
        """Set the key from which skrl derives all others."""
        before = config.jax._key  # the property would build it on a GPU that may not be there
        config.jax.key = jax.random.PRNGKey(seed)
        try:
            yield
        finally:
            config.jax.key = before

    def wrap(self, env: NpEnv, renderer: Any) -> SkrlNpWrapper:
        """Return the environment with JAX arrays in and out."""
        return SkrlNpWrapper(env, renderer, self.place)

    def make_models(self, module: RLModule, env: Any) -> dict[str, Any]:
        """Return two models with parameters of their own."""
        assert isinstance(module, FlaxRLModule)  # `check_module` saw to it
        return models.make_models(module, env.device)

    def make_agent(self, module: RLModule, env: Any, session: Session) -> Any:
        """Return the agent, whose models get the module's buffers as arguments."""
        assert isinstance(module, FlaxRLModule)
        agent = super().make_agent(module, env, session)
        agent._observation_preprocessor = models.WithBuffers(module, env.device)
        return agent

    def export_learner(self, agent: Any) -> Tensors:
        """Return Adam's moments, value normaliser and random state; collect the parameters."""
        models.collect(agent.module, agent.models)
        tensors = _leaves("value_preprocessor", agent._value_preprocessor.state_dict.params)
        for name in ("policy_optimizer", "value_optimizer"):
            # Not those of checkpoint_modules, which are the ones before the first update.
            tensors |= _leaves(name, getattr(agent, name).state)
        tensors["random/jax"] = np.array(config.jax.key)
        tensors["random/jax_draws"] = np.array(agent.policy.draws)
        return tensors

    def learning_rates(self, agent: Any) -> list[float]:
        """Return the learning rates of policy and value function."""
        return [float(agent.policy_learning_rate), float(agent.value_learning_rate)]


def _leaves(name: str, tree: Any) -> Tensors:
    """Return the arrays of a pytree by their paths."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {
        f"{name}/{jax.tree_util.keystr(path, simple=True, separator='/')}": np.array(leaf)
        for path, leaf in leaves
    }
