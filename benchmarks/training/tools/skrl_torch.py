"""Stock skrl in torch, as its documentation puts a training together."""

from typing import Any

import torch
from motrix_envs import registry
from motrix_envs.np.state import NpEnvState
from skrl.agents.torch.ppo import PPO, PPO_CFG
from skrl.envs.wrappers.torch import Wrapper
from skrl.memories.torch import RandomMemory
from skrl.models.torch import DeterministicMixin, GaussianMixin, Model
from skrl.resources.preprocessors.torch import RunningStandardScaler
from skrl.trainers.torch import SequentialTrainer
from skrl.utils import set_seed
from torch import nn

from training.task import Task
from training.tools.skrl_options import loop_options, ppo_options, spaces_of


def mlp(inputs: int, outputs: int, widths: tuple[int, ...]) -> nn.Sequential:
    """Return a network with ELU after each hidden layer."""
    layers: list[nn.Module] = []
    for width in widths:
        layers += [nn.Linear(inputs, width), nn.ELU()]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, outputs))


class Policy(GaussianMixin, Model):
    """A Gaussian with a free standard deviation."""

    def __init__(self, widths: tuple[int, ...], **spaces: Any) -> None:
        Model.__init__(self, **spaces)
        GaussianMixin.__init__(self)
        self.net = mlp(self.num_observations, self.num_actions, widths)
        self.log_std = nn.Parameter(torch.zeros(self.num_actions))

    def compute(self, inputs: dict[str, Any], role: str = "") -> Any:
        """Return the mean and the spread."""
        return self.net(inputs["observations"]), {"log_std": self.log_std}


class Value(DeterministicMixin, Model):
    """A value function with a network of its own."""

    def __init__(self, widths: tuple[int, ...], **spaces: Any) -> None:
        Model.__init__(self, **spaces)
        DeterministicMixin.__init__(self)
        self.net = mlp(self.num_observations, 1, widths)

    def compute(self, inputs: dict[str, Any], role: str = "") -> Any:
        """Return the value."""
        return self.net(inputs["observations"]), {}


class Environments(Wrapper):
    """Our environments as skrl steps them; tensors share memory with what they return."""

    def reset(self) -> tuple[torch.Tensor, dict[str, Any]]:
        """Start all episodes."""
        return torch.from_numpy(self._env.init_state().obs), {}

    def step(self, actions: torch.Tensor) -> Any:
        """Step all environments."""
        state: NpEnvState = self._env.step(actions.numpy())
        return (
            torch.from_numpy(state.obs),
            torch.tensor(state.reward[:, None]),  # skrl adds to it in place
            torch.from_numpy(state.terminated[:, None]),
            torch.from_numpy(state.truncated[:, None]),
            {},
        )

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
    models = {name: cls(task.hidden, **spaces_of(env)) for name, cls in ROLES.items()}
    agent = PPO(
        models=models,
        memory=RandomMemory(memory_size=task.rollout, num_envs=env.num_envs, device=env.device),
        cfg=PPO_CFG(**ppo_options(task, env, RunningStandardScaler)),
        **spaces_of(env),
    )
    SequentialTrainer(env=env, agents=agent, cfg=loop_options(task)).train()


ROLES = {"policy": Policy, "value": Value}
