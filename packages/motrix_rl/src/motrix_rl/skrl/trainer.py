"""The trainer of rllib "skrl": one page of procedure, with a few hooks for the framework."""

from __future__ import annotations

import contextlib
import itertools
import random
import secrets
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
from motrix_envs import registry as envs
from motrix_envs._overrides import apply_overrides
from motrix_envs.base import describe_fields
from motrix_envs.errors import ConfigError
from motrix_envs.np.env import NpEnv
from numpy.typing import NDArray

from motrix_rl import registry
from motrix_rl.checkpoint import Checkpoint, Tensors
from motrix_rl.evaluation import derived_seed
from motrix_rl.loading import load_policy
from motrix_rl.policy import MlpPolicy, check_contract, describe_policy
from motrix_rl.runs import Run
from motrix_rl.skrl.cfg import PPOCfg
from motrix_rl.skrl.options import SkrlParts, loop_options, ppo_options
from motrix_rl.skrl.session import Export, OnProgress, Session


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
    parts: ClassVar[SkrlParts]

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
        self.check_cfg()
        self.env_name = env_name
        self._sim_backend = sim_backend
        self._render = enable_render
        self._changes = dict(cfg_override or {})
        self._env_changes = dict(env_cfg_override or {})
        self._runs_root = Path(runs_root)
        self._stop = threading.Event()

    # What a framework writes

    @abstractmethod
    def check_cfg(self) -> None:
        """Refuse what this framework cannot do, an unknown device included; raises ConfigError."""

    @abstractmethod
    def seeded(self, seed: int) -> AbstractContextManager[None]:
        """Seed the framework for a while, and leave it as it was found."""

    @abstractmethod
    def describe_compute(self) -> dict[str, Any]:
        """Return where and on how many threads the framework computes, as JSON."""

    @abstractmethod
    def wrap(self, env: NpEnv, renderer: Any) -> Any:
        """Return the environment as skrl steps it."""

    @abstractmethod
    def make_models(self, env: Any) -> dict[str, Any]:
        """Return skrl's dictionary of models for a wrapped environment."""

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
        """Train from scratch and return the run, finished or stopped.

        Args:
            on_progress: Called after every update.

        Raises:
            ConfigError: The environment cannot be trained in with this configuration.
            RunError: The run folder or its logs cannot be written.
            CheckpointError: A checkpoint cannot be written; the ones before it are whole.
            DivergedError: A loss or a weight is no longer finite.
        """
        seed = secrets.randbits(32) if self.cfg.seed is None else self.cfg.seed
        try:
            with (
                self._all_seeded(seed),
                self._open_env(self.cfg.num_envs, seed, "train") as env,
                self._drawn(env) as renderer,
            ):
                wrapped = self.wrap(env, renderer)
                run = self._create_run(env, seed)
                export = self._export(env)
                with Session(run, env, self.cfg, export, self._stop, on_progress) as session:
                    agent = self.make_agent(wrapped, session)
                    options = loop_options(self.cfg.max_batch_env_steps, self._render)
                    self.parts.loop(env=wrapped, agents=agent, cfg=options).train()
        finally:
            self._stop.clear()
        return run

    def request_stop(self) -> None:
        """Make `train` save and return at the next end of a rollout."""
        self._stop.set()

    def play(self, policy_path: str | Path, max_steps: int | None = None) -> None:
        """Let a saved policy act, without noise, until interrupted or `max_steps` are done.

        Where it is drawn, it keeps to the pace of real time and ends with the window.

        Args:
            policy_path: A run folder or one of its checkpoints.
            max_steps: Steps of the batch; None plays for ever.

        Raises:
            RunError: There is no run, or it has no checkpoint.
            CheckpointError: The policy cannot be read, or was trained for another environment.
        """
        module, tensors = load_policy(policy_path)
        policy = MlpPolicy(module, tensors)
        with self._open_env(self.cfg.play_num_envs, self.cfg.seed, "play") as env:
            check_contract(module, env)
            with self._drawn(env) as renderer:
                state, due = env.init_state(), time.monotonic()
                for _ in itertools.count() if max_steps is None else range(max_steps):
                    state = env.step(policy.act(state.obs))
                    if renderer is None:
                        continue
                    if renderer.closed:
                        break
                    renderer.render()
                    # A late frame is not made up for.
                    due = max(due + env.cfg.ctrl_dt, time.monotonic())
                    time.sleep(max(0.0, due - time.monotonic()))

    # How it works

    def make_agent(self, env: Any, session: Session) -> Any:
        """Return the agent with its models and memory.

        Args:
            env: The wrapped environment.
            session: What watches the training.
        """
        agent = self.parts.agent(
            models=self.make_models(env),
            memory=self.parts.memory(
                memory_size=self.cfg.rollouts, num_envs=env.num_envs, device=env.device
            ),
            observation_space=env.observation_space,
            state_space=env.state_space,
            action_space=env.action_space,
            device=env.device,
            cfg=self.parts.cfg(**ppo_options(self.cfg, self.parts, env)),
        )
        agent.session = session
        return agent

    @contextmanager
    def _all_seeded(self, seed: int) -> Iterator[None]:
        """Seed every global generator before anything is built; give them back afterwards."""
        python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002 - skrl samples mini-batches from this generator
        try:
            with self.seeded(seed):
                yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002

    @contextmanager
    def _open_env(self, num_envs: int, seed: int | None, purpose: str) -> Iterator[NpEnv]:
        key = None if seed is None else derived_seed(seed, purpose)
        env = envs.make(self.env_name, self._sim_backend, self._env_changes, num_envs, key)
        with contextlib.closing(env):
            yield env

    @contextmanager
    def _drawn(self, env: NpEnv) -> Iterator[Any]:
        if not self._render:
            yield None
            return
        from motrix_envs.np.renderer import NpRenderer

        with contextlib.closing(NpRenderer(env)) as renderer:
            yield renderer

    def _create_run(self, env: NpEnv, seed: int) -> Run:
        """Make the run folder with the resolved configuration and where each value came from."""
        if self.cfg.share_policy_value_features and env.state_space is not None:
            raise ConfigError(
                f"environment '{self.env_name}' has privileged observations for the critic, which "
                "a shared network cannot see: set share_policy_value_features = False"
            )
        rl, sim = describe_fields(self.cfg), describe_fields(env.cfg)
        origins = {name: "user" for name in rl if name in self._changes}
        record = {
            "algo": "ppo",
            "sim_backend": self._sim_backend or envs.DEFAULT_ENGINE,
            "rl": {**rl, "seed": seed},
            "env_cfg": sim,
            "origins": {
                "rl": origins if self.cfg.seed == seed else {**origins, "seed": "drawn"},
                "env_cfg": {name: "user" for name in sim if name in self._env_changes},
                "otherwise": f"preset {type(self.cfg).__module__}:{type(self.cfg).__qualname__}, "
                f"{type(env.cfg).__module__}:{type(env.cfg).__qualname__}",
            },
            "owners": self._owners(),
            "compute": self.describe_compute(),
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

    def _export(self, env: NpEnv) -> Export:
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
    _, words, position, *_ = np.random.get_state(legacy=True)  # noqa: NPY002
    return {"random/numpy": np.asarray(words), "random/numpy_position": np.asarray(position)}


def _jsonable(value: Any) -> Any:
    """Return a configuration in JSON's types; anything else as its text."""
    if isinstance(value, Mapping):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    return value if value is None or isinstance(value, str | bool | int | float) else str(value)
