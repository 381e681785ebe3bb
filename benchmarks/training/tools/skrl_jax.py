"""Stock skrl in JAX, as its documentation puts a training together."""

from typing import Any

import jax
import numpy as np
from flax import linen as nn
from motrix_envs import registry
from motrix_envs.np.state import NpEnvState
from skrl.agents.jax.ppo import PPO, PPO_CFG
from skrl.envs.wrappers.jax import Wrapper
from skrl.memories.jax import RandomMemory
from skrl.models.jax import DeterministicMixin, GaussianMixin, Model
from skrl.resources.preprocessors.jax import RunningStandardScaler
from skrl.trainers.jax import SequentialTrainer
from skrl.utils import set_seed

from training.task import Task
from training.tools.skrl_options import loop_options, ppo_options, spaces_of


def mlp(x: Any, outputs: int) -> Any:
    """Return what a network with ELU after each hidden layer makes of its input."""
    for width in Task.hidden:
        x = nn.elu(nn.Dense(width)(x))
    return nn.Dense(outputs)(x)


class Policy(GaussianMixin, Model):
    """A Gaussian with a free standard deviation."""

    def __init__(self, **spaces: Any) -> None:
        Model.__init__(self, **spaces)
        GaussianMixin.__init__(self)

    @nn.compact
    def __call__(self, inputs: dict[str, Any], role: str = "") -> Any:
        """Return the mean and the spread."""
        log_std = self.param("log_std", nn.initializers.zeros, (self.num_actions,))
        return mlp(inputs["observations"], self.num_actions), {"log_std": log_std}


class Value(DeterministicMixin, Model):
    """A value function with a network of its own."""

    def __init__(self, **spaces: Any) -> None:
        Model.__init__(self, **spaces)
        DeterministicMixin.__init__(self)

    @nn.compact
    def __call__(self, inputs: dict[str, Any], role: str = "") -> Any:
        """Return the value."""
        return mlp(inputs["observations"], 1), {}


class Environments(Wrapper):
    """Our environments as skrl steps them."""

    def reset(self) -> tuple[jax.Array, dict[str, Any]]:
        """Start all episodes."""
        return self._put(self._env.init_state().obs), {}

    def step(self, actions: jax.Array) -> Any:
        """Step all environments."""
        state: NpEnvState = self._env.step(np.asarray(actions))
        return (
            self._put(state.obs),
            self._put(state.reward[:, None]),
            self._put(state.terminated[:, None].astype(np.int8)),
            self._put(state.truncated[:, None].astype(np.int8)),
            {},
        )

    def _put(self, array: Any) -> jax.Array:
        return jax.device_put(array, self.device)

    def state(self) -> None:
        """There are no privileged observations."""

    def render(self, *args: Any, **kwargs: Any) -> None:
        """Draw nothing."""

    def close(self) -> None:
        """Release the environments."""
        self._env.close()


def train(task: Task) -> None:
    """Train with skrl's own agent, memory and trainer."""
    set_seed(task.seed)
    env = Environments(registry.make(task.env_id, num_envs=task.num_envs, seed=task.seed))
    models = {"policy": Policy(**spaces_of(env)), "value": Value(**spaces_of(env))}
    for role, model in models.items():
        model.init_state_dict(role=role)
    agent = PPO(
        models=models,
        memory=RandomMemory(memory_size=task.rollout, num_envs=env.num_envs, device=env.device),
        cfg=PPO_CFG(**ppo_options(task, env, RunningStandardScaler)),
        **spaces_of(env),
    )
    SequentialTrainer(env=env, agents=agent, cfg=loop_options(task)).train()
