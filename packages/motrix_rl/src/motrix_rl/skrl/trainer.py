"""The trainer of rllib "skrl": one page of procedure, with a few hooks for the framework."""

from __future__ import annotations

import random
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
from motrix_envs import registry as envs
from motrix_envs._overrides import apply_overrides
from motrix_envs.base import describe_fields
from motrix_envs.np.env import NpEnv
from numpy.typing import NDArray

from motrix_rl import registry
from motrix_rl.checkpoint import Checkpoint, Tensors
from motrix_rl.evaluation import derived_seed
from motrix_rl.policy import MlpPolicy, check_contract, describe_policy
from motrix_rl.runs import Run
from motrix_rl.skrl.cfg import PPOCfg
from motrix_rl.skrl.session import Session, TrainingStopped
from motrix_rl.training_log import Progress

OnProgress = Callable[[Progress], None]


class SkrlTrainer(ABC):
    """Trains and plays one environment with skrl's PPO.

    Args:
        env_name: A registered environment.
        sim_backend: Physics engine; None takes the default one.
        enable_render: Whether to draw the environments while they step.
        cfg_override: Changes of the preset by field name.
        env_cfg_override: Changes of the environment's configuration by dotted field name.
        runs_root: Folder of all runs.

    Raises:
        EnvNotFoundError: No such environment.
        PresetNotFoundError: It has no configuration for this backend.
        ConfigError: An override does not fit, or the configuration cannot be trained with.
    """

    backend: ClassVar[str]
    rllib: ClassVar[str] = "skrl"

    def __init__(
        self,
        env_name: str,
        sim_backend: str | None = None,
        enable_render: bool = False,
        cfg_override: Mapping[str, Any] | None = None,
        *,
        env_cfg_override: Mapping[str, Any] | None = None,
        runs_root: str | Path = "runs",
    ) -> None:
        cfg = registry.default_rl_cfg(env_name, self.rllib, self.backend)
        apply_overrides(cfg, cfg_override or {}, f"the {self.rllib} configuration of '{env_name}'")
        cfg.validate()
        self.cfg = cast("PPOCfg", cfg)
        self.check_cfg(self.cfg)
        self.env_name = env_name
        self._sim_backend = sim_backend
        self._render = enable_render
        self._changes = dict(cfg_override or {})
        self._env_changes = dict(env_cfg_override or {})
        self._runs_root = Path(runs_root)
        self._session: Session | None = None

    # What a framework writes

    def check_cfg(self, cfg: PPOCfg) -> None:
        """Refuse what this framework cannot do; raises ConfigError."""

    @abstractmethod
    def seed_framework(self, seed: int) -> None:
        """Seed the framework's own random numbers, before anything is built."""

    @abstractmethod
    def wrap(self, env: NpEnv, renderer: Any) -> Any:
        """Return the environment as skrl steps it."""

    @abstractmethod
    def make_agent(self, env: Any, session: Session) -> Any:
        """Return the agent with its models and memory."""

    @abstractmethod
    def run_loop(self, env: Any, agent: Any, batch_steps: int) -> None:
        """Run skrl's sequential trainer."""

    @abstractmethod
    def export_policy(self, agent: Any) -> Tensors:
        """Return the policy's tensors by the names of `motrix_rl.policy`."""

    @abstractmethod
    def export_learner(self, agent: Any) -> Tensors:
        """Return what only training needs: value function, optimiser, normalisers, random state."""

    @abstractmethod
    def learning_rates(self, agent: Any) -> list[float]:
        """Return the current learning rates."""

    # What users call

    def train(self, on_progress: OnProgress | None = None) -> Run:
        """Train from scratch and return the finished run.

        Args:
            on_progress: Called after every update.

        Raises:
            RunError: The run folder cannot be written.
        """
        seed = secrets.randbits(32) if self.cfg.seed is None else self.cfg.seed
        self._seed(seed)
        env = self._make_env(self.cfg.num_envs, derived_seed(seed, "train"))
        run = self._create_run(env, seed)
        session = Session(run, env, self.cfg, self._export(env), on_progress)
        self._session = session
        wrapped = self.wrap(env, self._renderer(env))
        status = "failed"
        try:
            agent = self.make_agent(wrapped, session)
            self.run_loop(wrapped, agent, self.cfg.max_batch_env_steps)
            status = "finished"
        except TrainingStopped:
            status = "stopped"
        finally:
            session.close()
            wrapped.close()
            run.update(status=status)
        return run

    def request_stop(self) -> None:
        """Make `train` save and return at the next end of a rollout."""
        if self._session:
            self._session.request_stop()

    def play(self, policy_path: str | Path, max_steps: int | None = None) -> None:
        """Let a saved policy act, without noise, until interrupted or `max_steps` are done.

        Args:
            policy_path: A run folder or one of its checkpoints.
            max_steps: Steps of the batch; None plays for ever.

        Raises:
            CheckpointError: The policy cannot be read, or was trained for another environment.
        """
        from motrix_rl.loading import load_policy

        module, tensors = load_policy(policy_path)
        env = self._make_env(self.cfg.play_num_envs, self.cfg.seed)
        check_contract(module, env)
        policy = MlpPolicy(module, tensors)
        renderer = self._renderer(env)
        state, steps = env.init_state(), 0
        while max_steps is None or steps < max_steps:
            state = env.step(policy.act(state.obs))
            steps += 1
            if renderer:
                renderer.render()
        env.close()

    # How it works

    def _seed(self, seed: int) -> None:
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002 - skrl samples mini-batches from the global generator
        self.seed_framework(seed)

    def _make_env(self, num_envs: int, seed: int | None) -> NpEnv:
        return envs.make(self.env_name, self._sim_backend, self._env_changes, num_envs, seed)

    def _renderer(self, env: NpEnv) -> Any:
        if not self._render:
            return None
        from motrix_envs.np.renderer import NpRenderer

        return NpRenderer(env)

    def _create_run(self, env: NpEnv, seed: int) -> Run:
        """Make the run folder with the resolved configuration and where each value came from."""
        rl, sim = describe_fields(self.cfg), describe_fields(env.cfg)
        record = {
            "algo": "ppo",
            "sim_backend": self._sim_backend or envs.DEFAULT_ENGINE,
            "rl": {**rl, "seed": seed},
            "env_cfg": sim,
            "origins": {
                "rl": {name: "user" for name in rl if name in self._changes},
                "env_cfg": {name: "user" for name in sim if name in self._env_changes},
                "otherwise": f"preset {type(self.cfg).__module__}:{type(self.cfg).__qualname__}, "
                f"{type(env.cfg).__module__}:{type(env.cfg).__qualname__}",
            },
            "owners": self._owners(),
            "lineage": None,
        }
        return Run.create(
            self._runs_root, self.env_name, self.rllib, self.backend, seed, _jsonable(record)
        )

    def _owners(self) -> dict[str, str]:
        env = next(r.owner for r in envs.default.envs() if r.name == self.env_name)
        trainer = (self.rllib, self.backend, "ppo")
        owners = [r.owner for r in registry.default.backends() if r.name == trainer]
        return {"env": str(env), "trainer": str(owners[0]) if owners else "user code"}

    def _export(self, env: NpEnv) -> Callable[[Any, int], Checkpoint]:
        module = describe_policy(self.env_name, env, self.cfg.policy_hidden_layer_sizes)

        def export(agent: Any, batch_steps: int) -> Checkpoint:
            counters = {
                "batch_steps": batch_steps,
                "env_steps": batch_steps * self.cfg.num_envs,
                "updates": batch_steps // self.cfg.rollouts,
            }
            return Checkpoint(
                module=module,
                policy=self.export_policy(agent),
                learner=self.export_learner(agent) | _numpy_random_state(),
                env=env.snapshot(),
                state={"counters": counters, "learning_rates": self.learning_rates(agent)},
            )

        return export


def _numpy_random_state() -> dict[str, NDArray[Any]]:
    _, words, position, *_ = np.random.get_state(legacy=True)  # noqa: NPY002 - as in _seed
    return {"random/numpy": np.asarray(words), "random/numpy_position": np.asarray(position)}


def _jsonable(value: Any) -> Any:
    """Return a configuration in JSON's types; anything else as its text."""
    if isinstance(value, Mapping):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    return value if value is None or isinstance(value, str | bool | int | float) else str(value)
