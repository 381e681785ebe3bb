"""skrl's PPO in torch: the hooks of `SkrlTrainer`."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch._dynamo  # Adam needs it; Triton crashes if a renderer's LLVM is loaded first
from motrix_envs.np.env import NpEnv
from motrix_rl.rl_module import RLModule
from motrix_rl.rl_module.tensors import Tensors
from motrix_rl.session import Session
from motrix_rl.skrl.agent import SessionAgent
from motrix_rl.skrl.options import SkrlParts
from motrix_rl.skrl.trainer import SkrlTrainer
from numpy.typing import NDArray
from skrl.agents.torch.ppo import PPO, PPO_CFG
from skrl.memories.torch import RandomMemory
from skrl.resources.preprocessors.torch import RunningStandardScaler
from skrl.resources.schedulers.torch import KLAdaptiveLR
from skrl.trainers.torch import SequentialTrainer

from motrix_rl_torch.compute import ROLLOUT_THREADS, TorchCompute, update_on
from motrix_rl_torch.models import ModuleModel
from motrix_rl_torch.rl_module.module import TorchRLModule
from motrix_rl_torch.wrap_np import SkrlNpWrapper


class Agent(SessionAgent, PPO):
    """skrl's PPO with a session, and with more threads, if any, in the update alone."""

    update_threads: int = ROLLOUT_THREADS

    def update(self, *, timestep: int, timesteps: int) -> None:
        """Update on as many threads as the trainer allows."""
        with update_on(self.update_threads):
            super().update(timestep=timestep, timesteps=timesteps)


class Trainer(TorchCompute, SkrlTrainer):
    """Trains with skrl's PPO in torch; see `SkrlTrainer` and `TorchCompute`."""

    backend: ClassVar[str] = "torch"
    parts: ClassVar[SkrlParts] = SkrlParts(
        Agent, PPO_CFG, RandomMemory, RunningStandardScaler, KLAdaptiveLR, SequentialTrainer
    )

    def wrap(self, env: NpEnv, renderer: Any) -> SkrlNpWrapper:
        """Return the environment with tensors in and out."""
        return SkrlNpWrapper(env, renderer, str(self.device))

    def make_models(self, module: RLModule, env: Any) -> dict[str, Any]:
        """Return one model in both roles."""
        assert isinstance(module, TorchRLModule)  # `check_module` saw to it
        model = ModuleModel(
            module,
            observation_space=env.observation_space,
            state_space=env.state_space,
            action_space=env.action_space,
            device=env.device,
        )
        return {"policy": model, "value": model}

    def make_agent(self, module: RLModule, env: Any, session: Session) -> Any:
        """Return the agent, which knows how many threads its updates may use."""
        agent = super().make_agent(module, env, session)
        agent.update_threads = self.update_threads
        return agent

    def export_learner(self, agent: Any) -> Tensors:
        """Return Adam's moments, value normaliser and random state."""
        scaler = agent._value_preprocessor.state_dict()
        tensors = {f"value_preprocessor/{name}": _numpy(value) for name, value in scaler.items()}
        for index, moments in agent.optimizer.state_dict()["state"].items():
            tensors |= {f"adam/{index}/{name}": _numpy(v) for name, v in moments.items()}
        return tensors | self._random_state()

    def _random_state(self) -> Tensors:
        states = {"random/torch": _numpy(torch.get_rng_state())}
        if self.device.type == "cuda":
            states["random/torch_cuda"] = _numpy(torch.cuda.get_rng_state(self.device))
        return states

    def learning_rates(self, agent: Any) -> list[float]:
        """Return Adam's learning rate."""
        return [float(group["lr"]) for group in agent.optimizer.param_groups]


def _numpy(tensor: torch.Tensor) -> NDArray[Any]:
    return tensor.detach().cpu().numpy().copy()
