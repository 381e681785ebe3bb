"""The trainer of rllib "skrl", with a few hooks for the framework."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
from motrix_envs.errors import ConfigError
from motrix_envs.np.env import NpEnv
from numpy.typing import NDArray

from motrix_rl.rl_module import RLModule
from motrix_rl.rl_module.tensors import Tensors
from motrix_rl.session import Learned, Session
from motrix_rl.skrl.base import PPOTrainer
from motrix_rl.skrl.options import SkrlParts, loop_options, ppo_options


class SkrlTrainer(PPOTrainer):
    """Trains with skrl's PPO; arguments and errors as in `Trainer`."""

    rllib: ClassVar[str] = "skrl"
    parts: ClassVar[SkrlParts]

    # What a framework writes

    @abstractmethod
    def wrap(self, env: NpEnv, renderer: Any) -> Any:
        """Return the environment as skrl steps it."""

    @abstractmethod
    def make_models(self, module: RLModule, env: Any) -> dict[str, Any]:
        """Return skrl's dictionary of models around a module, for a wrapped environment."""

    @abstractmethod
    def export_learner(self, agent: Any) -> Tensors:
        """Return what only training needs: optimiser, value normaliser, random state.

        Where the module's own parameters are not the trained ones, they are brought up to date.
        """

    @abstractmethod
    def learning_rates(self, agent: Any) -> list[float]:
        """Return the current learning rates."""

    # How it works

    def check_cfg(self) -> None:
        """Refuse a schedule that skrl does not have; see `PPOTrainer.check_cfg`."""
        super().check_cfg()
        if self.cfg.learning_rate_schedule == "linear":
            raise ConfigError(
                "learning_rate_schedule = 'linear' is not served by rllib 'skrl': choose 'kl' or "
                "'fixed', or rllib 'motrix'"
            )

    def learn(self, env: NpEnv, module: RLModule, session: Session) -> None:
        """Train by skrl's sequential trainer; see `Trainer.learn`."""
        wrapped = self.wrap(env, self.renderer)
        wrapped.adopt()
        agent = self.make_agent(module, wrapped, session)
        options = loop_options(self.cfg.max_batch_env_steps, self._render)
        self.parts.loop(env=wrapped, agents=agent, cfg=options).train()

    def make_agent(self, module: RLModule, env: Any, session: Session) -> Any:
        """Return the agent with its models and memory.

        Args:
            module: What is trained.
            env: The wrapped environment.
            session: What watches the training.
        """
        agent = self.parts.agent(
            models=self.make_models(module, env),
            memory=self.parts.memory(
                memory_size=self.cfg.rollouts, num_envs=env.num_envs, device=env.device
            ),
            observation_space=env.observation_space,
            state_space=env.state_space,
            action_space=env.action_space,
            device=env.device,
            cfg=self.parts.cfg(**ppo_options(self.cfg, self.parts, env)),
        )
        agent.module = module
        agent.session = session
        agent.learned = lambda: self._learned(agent)
        return agent

    def _learned(self, agent: Any) -> Learned:
        learner = self.export_learner(agent) | _numpy_random_state()
        return Learned(learner, {"learning_rates": self.learning_rates(agent)})


def _numpy_random_state() -> dict[str, NDArray[Any]]:
    _, words, position, *_ = np.random.get_state(legacy=True)  # noqa: NPY002
    return {"random/numpy": np.asarray(words), "random/numpy_position": np.asarray(position)}
