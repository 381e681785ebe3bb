"""The trainer that every backend derives from: one page of procedure, with hooks for learning."""

from __future__ import annotations

import contextlib
import itertools
import random
import secrets
import threading
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from motrix_envs import registry as envs
from motrix_envs._overrides import apply_overrides
from motrix_envs.base import config_errors, describe_fields
from motrix_envs.errors import ConfigError
from motrix_envs.np.env import NpEnv
from motrix_envs.np.pace import RealTime

from motrix_rl import profiling, registry
from motrix_rl.checkpoint import Checkpoint
from motrix_rl.contract import check_contract
from motrix_rl.evaluation import derived_seed
from motrix_rl.lock import training_lock
from motrix_rl.policy import load_policy, warm_start
from motrix_rl.profiling import Profile
from motrix_rl.resume import (
    go_back,
    latest_checkpoint,
    note_resumption,
    recordable,
    recorded_cfg,
    require_more,
)
from motrix_rl.rl_module import RLModule
from motrix_rl.runs import Run
from motrix_rl.selection import MOST_ENVS, Selection
from motrix_rl.session import OnProgress, Session


class Trainer(ABC):
    """Trains and plays one environment.

    A backend names itself in the class attributes and writes `build_module` and `learn`; runs,
    logs, checkpoints, evaluation, warm starts and the command line come with it.

    Args:
        env_name: A registered environment.
        sim_backend: Physics engine; None takes the default one.
        enable_render: Whether to draw the environments while they step.
        cfg_override: Changes of the preset by field name.
        env_cfg_override: Changes of the environment's configuration by dotted field name.
        runs_root: Folder of all runs.
        init_from: A run or checkpoint whose policy the training starts from.
        resume: A run to go on with; `Trainer.of_run` gives all the rest.

    Raises:
        EnvNotFoundError: No such environment.
        PresetNotFoundError: It has no configuration for this backend.
        ConfigError: An override does not fit, or the configuration cannot be trained with.
    """

    rllib: ClassVar[str]
    backend: ClassVar[str]
    algo: ClassVar[str] = registry.DEFAULT_ALGO
    resumable: ClassVar[bool] = False
    """Whether `learn` goes on from `session.resumed`."""

    def __init__(
        self,
        env_name: str,
        sim_backend: str | None = None,
        enable_render: bool = False,
        cfg_override: Mapping[str, Any] | None = None,
        *,
        env_cfg_override: Mapping[str, Any] | None = None,
        runs_root: str | Path = "runs",
        init_from: str | Path | None = None,
        resume: Run | None = None,
    ) -> None:
        self.cfg: Any = registry.default_rl_cfg(env_name, self.rllib, self.backend, self.algo)
        what = f"the {self.rllib} configuration of '{env_name}'"
        apply_overrides(self.cfg, cfg_override or {}, what)
        with config_errors(type(self.cfg), "checked"):
            self.cfg.validate()
        self.check_cfg()
        self.env_name = env_name
        self.renderer: Any = None  # while it trains and draws
        self.profile: Profile | None = None
        """Set to a `Profile` before `train`, it tells afterwards where the time went."""
        self._sim_backend = sim_backend
        self._render = enable_render
        self._changes = dict(cfg_override or {})
        self._env_changes = dict(env_cfg_override or {})
        self._runs_root = Path(runs_root)
        self._init_from = init_from
        self._resume = resume
        self._stop = threading.Event()

    # What a backend writes

    @abstractmethod
    def build_module(self, env: NpEnv, seed: int) -> RLModule:
        """Return the module that is to be trained, with weights that follow from the seed.

        Raises:
            ConfigError: No module of this configuration can be trained in this environment.
        """

    @abstractmethod
    def learn(self, env: NpEnv, module: RLModule, session: Session) -> None:
        """Train the module in place.

        Call `session.record()` after every step of `env`, and `session.after_update(...)` at the
        end of every rollout, until `session.done`. What the session raises is not to be caught.

        Args:
            env: The environments, `cfg.num_envs` of them, not yet started; with
                `cfg.stagger_episodes` they are, and `env.state` is where to begin.
            module: What `build_module` returned, perhaps with the weights of another run.
            session: What watches the training.
        """

    def check_cfg(self) -> None:  # noqa: B027 - most backends take every configuration
        """Refuse what this backend cannot do; raises ConfigError."""

    def seeded(self, seed: int) -> AbstractContextManager[None]:
        """Seed the framework for a while, and leave it as it was found.

        A training is such a block, and so is each evaluation of a checkpoint inside of it.
        """
        return nullcontext()

    def describe_compute(self) -> dict[str, Any]:
        """Return where and on how many threads the framework computes, as JSON."""
        return {"device": "cpu"}

    def draw(self) -> None:
        """Draw the environments, if they are to be drawn and the window is still there."""
        if self.renderer is not None and not self.renderer.closed:
            self.renderer.render()

    @property
    def trusted(self) -> tuple[str, ...]:
        """Packages that the user named, and from which a policy's class may therefore come."""
        return ()

    # What users call

    @classmethod
    def of_run(
        cls,
        run: Run,
        max_env_steps: int | None = None,
        enable_render: bool = False,
        trusted: Collection[str] = (),
    ) -> Self:
        """Return a trainer that goes on with a run where its last checkpoint left it.

        Args:
            run: A run of this trainer, stopped, killed, failed or finished.
            max_env_steps: Another length of the training; None keeps the run's own.
            enable_render: See the class.
            trusted: Further packages from which the class of the run's module may come, where that
                was given as an object and not by its name.

        Raises:
            ConfigError: This kind of trainer cannot do that, or the configuration is no longer
                valid.
            RunError: The run is at its end already, or nothing says what its module was.
            CheckpointError: The class of its module must not be loaded.
        """
        if not cls.resumable:
            raise ConfigError(
                f"rllib '{cls.rllib}' cannot go on with a run: --init-from {run.path} starts a new "
                "one from its policy; rllib 'motrix' can do both"
            )
        record = run.record
        changed = record.get("origins", {}).get("env_cfg", {})
        lineage = record.get("lineage") or {}
        trainer = cls(
            record["env"],
            record.get("sim_backend"),
            enable_render,
            recorded_cfg(run, max_env_steps, trusted),
            env_cfg_override={name: record["env_cfg"][name] for name in changed},
            runs_root=run.path.parent.parent,
            init_from=lineage.get("init_from"),
            resume=run,
        )
        require_more(run, trainer.cfg)
        return trainer

    def train(self, on_progress: OnProgress | None = None) -> Run:
        """Train and return the run, finished or stopped.

        Args:
            on_progress: Called after every update.

        Raises:
            ConfigError: The environment cannot be trained in with this configuration.
            RunError: The run folder or its logs cannot be written, or another process trains in it.
            CheckpointError: A checkpoint cannot be written, in which case the ones before it are
                whole; or the policy of `init_from` cannot be read or does not fit.
            DivergedError: A loss or a weight is no longer finite.
        """
        seed = secrets.randbits(32) if self.cfg.seed is None else self.cfg.seed
        try:
            with (
                self._all_seeded(seed),
                self._open_env(self.cfg.num_envs, seed, "train") as env,
                self._drawn(env) as self.renderer,
            ):
                env.episode_limit = _sooner(env.episode_limit, self.cfg.episode_steps)
                module = self.build_module(env, derived_seed(seed, "weights"))
                with (
                    self._selecting(env, module, seed) as selection,
                    self._begun(env, module, seed) as (run, start),
                    Session(
                        run, env, module, self.cfg, self._stop, on_progress, start, selection
                    ) as session,
                ):
                    self._take_times(env, session)
                    session.catch_up()
                    self.learn(env, module, session)
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
        policy = load_policy(policy_path, trusted=self.trusted)
        with self._open_env(self.cfg.play_num_envs, self.cfg.seed, "play") as env:
            check_contract(policy.contract, env)
            with self._drawn(env) as renderer:
                state, pace = env.init_state(), RealTime(env.cfg.ctrl_dt)
                for _ in itertools.count() if max_steps is None else range(max_steps):
                    state = env.step(policy.act(state.obs, state.done))
                    if renderer is None:
                        continue
                    if renderer.closed:
                        break
                    if pace.step():
                        renderer.render()

    # How it works

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

    def _take_times(self, env: NpEnv, session: Session) -> None:
        if self.profile is None:
            return
        self.profile.watch(env, "physics_step", profiling.PHYSICS)
        self.profile.watch(env, "step", profiling.ENVIRONMENT)
        self.profile.watch(session, "record", profiling.LOGGING)
        self.profile.watch(session, "after_update", profiling.LOGGING)
        self.profile.count_updates(session)

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

    @contextmanager
    def _selecting(self, env: NpEnv, module: RLModule, seed: int) -> Iterator[Selection | None]:
        """Open what scores checkpoints, or nothing where no checkpoint can be the best."""
        episodes = self.cfg.select_episodes
        if not episodes or env.cfg.max_episode_steps is None:
            yield None
            return
        with self._open_env(min(episodes, MOST_ENVS), seed, "select") as held_out:
            yield Selection(held_out, module, episodes, lambda: self._all_seeded(seed))

    @contextmanager
    def _begun(
        self, env: NpEnv, module: RLModule, seed: int
    ) -> Iterator[tuple[Run, Checkpoint | None]]:
        """Give a new run, or the one to go on with and its last checkpoint, if it has one."""
        run, start = self._resume, None
        if run is None:
            run = self._create_run(env, seed, self._inherit(module, env))
        with training_lock(run):
            if self._resume is not None:
                start = self._go_back(run, env, module)
            if start is None and self.cfg.stagger_episodes:
                env.stagger()
            yield run, start

    def _go_back(self, run: Run, env: NpEnv, module: RLModule) -> Checkpoint | None:
        start = latest_checkpoint(run)
        if start is None:
            self._inherit(module, env)
        go_back(run, start, module, env)
        steps = 0 if start is None else start.state["counters"]["env_steps"]
        note_resumption(run, steps, self.describe_compute(), self.cfg.max_env_steps)
        return start

    def _inherit(self, module: RLModule, env: NpEnv) -> dict[str, Any] | None:
        """Give the module the weights of another run, if asked to; return the lineage."""
        if self._init_from is None:
            return None
        return warm_start(module, self._init_from, env)

    def _create_run(self, env: NpEnv, seed: int, lineage: dict[str, Any] | None) -> Run:
        """Make the run folder with the resolved configuration and where each value came from."""
        rl, sim = describe_fields(self.cfg), describe_fields(env.cfg)
        origins = {name: "user" for name in rl if name in self._changes}
        record = {
            "algo": self.algo,
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
            "lineage": lineage,
        }
        return Run.create(
            self._runs_root, self.env_name, self.rllib, self.backend, seed, recordable(record)
        )

    def _owners(self) -> dict[str, str]:
        env = next(r.owner for r in envs.default.envs() if r.name == self.env_name)
        trainer = (self.rllib, self.backend, self.algo)
        owners = [r.owner for r in registry.default.backends() if r.name == trainer]
        return {"env": str(env), "trainer": str(owners[0]) if owners else "user code"}


def _sooner(one: int | None, other: int | None) -> int | None:
    """Return the smaller of two limits, where None is none."""
    return min((limit for limit in (one, other) if limit is not None), default=None)
