"""skrl's PPO in torch: the hooks of `SkrlTrainer`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
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

from motrix_rl_torch.models import ModuleModel
from motrix_rl_torch.rl_module.module import TorchRLModule
from motrix_rl_torch.wrap_np import SkrlNpWrapper

ROLLOUT_THREADS = 1
"""Idle workers of torch keep spinning between small forward passes and take a core from the
physics, which uses them all."""


class Agent(SessionAgent, PPO):
    """skrl's PPO with a session, and with more threads, if any, in the update alone."""

    update_threads: int = ROLLOUT_THREADS

    def update(self, *, timestep: int, timesteps: int) -> None:
        """Update on as many threads as the trainer allows."""
        torch.set_num_threads(self.update_threads)
        try:
            super().update(timestep=timestep, timesteps=timesteps)
        finally:
            torch.set_num_threads(ROLLOUT_THREADS)


class Trainer(SkrlTrainer):
    """Trains with skrl's PPO in torch; see `SkrlTrainer`.

    An update runs on one thread, too, unless OMP_NUM_THREADS asks for more: with networks of the
    usual size more threads gain little, and where anything else runs beside them they wait for
    each other, many times as long. One thread also gives one result on all numbers of cores. Large
    networks on many idle cores are worth a try with OMP_NUM_THREADS=8 OMP_WAIT_POLICY=PASSIVE.
    """

    backend: ClassVar[str] = "torch"
    parts: ClassVar[SkrlParts] = SkrlParts(
        Agent, PPO_CFG, RandomMemory, RunningStandardScaler, KLAdaptiveLR, SequentialTrainer
    )

    def check_cfg(self) -> None:
        """Refuse a device that torch does not have."""
        super().check_cfg()
        self.device = SkrlNpWrapper.find_device(self.cfg.device)

    @contextmanager
    def seeded(self, seed: int) -> Iterator[None]:
        """Seed torch on all devices, and keep it to one thread outside of updates."""
        threads = torch.get_num_threads()
        self.update_threads = threads if "OMP_NUM_THREADS" in os.environ else 1
        with torch.random.fork_rng(range(torch.cuda.device_count())):
            torch.manual_seed(seed)
            torch.set_num_threads(ROLLOUT_THREADS)
            try:
                yield
            finally:
                torch.set_num_threads(threads)

    def describe_compute(self) -> dict[str, Any]:
        """Return the device and torch's threads, which sums of floats depend on."""
        threads = {"rollout": ROLLOUT_THREADS, "update": self.update_threads}
        return {"device": str(self.device), "threads": threads}

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
