"""What the tests of a backend share: which one, and its tiny trainings."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from motrix_envs import registry as envs
from motrix_envs._overrides import apply_overrides
from motrix_envs.np.actions import random_actions
from motrix_envs.np.env import NpEnv
from numpy.typing import NDArray

from motrix_rl import registry
from motrix_rl.base import BaseRLCfg
from motrix_rl.runs import Run
from motrix_rl.testing.fresh import outcome_of
from motrix_rl.testing.watch import Training, global_randomness, watched
from motrix_rl.training_log import Progress

UPDATES = 3
"""Length of a tiny training; a checkpoint is due after the second update and at the end."""


class BackendCase:
    """A backend under test.

    Attributes:
        rllib: RL library of the backend.
        backend: Its name.
        algo: Its algorithm; None takes the library's only one, or PPO.
        env_name: An environment that it has a preset for.
        tiny: Changes of that preset, as JSON, which make an update take no time. Their length and
            checkpoints are set here.
        env_changes: Changes of the environment's configuration.
        prelude: Python that a fresh process runs first; for a backend that is no installed plugin.
    """

    rllib: ClassVar[str] = ""
    backend: ClassVar[str] = ""
    algo: ClassVar[str | None] = None
    env_name: ClassVar[str] = "cartpole"
    tiny: ClassVar[Mapping[str, Any]] = {"num_envs": 4}
    env_changes: ClassVar[Mapping[str, Any]] = {}
    prelude: ClassVar[str] = ""

    # What is tested

    @classmethod
    def place(cls) -> tuple[str, str, str]:
        """Return where the registry has the trainer: rllib, backend, algorithm."""
        for name, value in (("rllib", cls.rllib), ("backend", cls.backend)):
            assert value, f'write {name} = "..." into {cls.__name__}: the backend to test'
        return cls.rllib, cls.backend, cls.algo or registry.default.default_algo(cls.rllib)

    @classmethod
    def trainer_class(cls) -> type[Any]:
        """Return the trainer."""
        return registry.default.trainer(*cls.place())

    @classmethod
    def cfg(cls, **changes: Any) -> BaseRLCfg:
        """Return the preset with the changes that make it tiny."""
        cfg = registry.default_rl_cfg(cls.env_name, *cls.place())
        apply_overrides(cfg, {**cls.tiny, **changes}, f"{cls.__name__}.tiny")
        return cfg

    @classmethod
    def options(cls, updates: int = UPDATES, **changes: Any) -> dict[str, Any]:
        """Return the changes of the preset for a training of so many updates."""
        cfg = cls.cfg(**changes)
        length = {
            "max_env_steps": updates * cfg.rollout_steps * cfg.num_envs,
            "check_point_interval": 2 * cfg.rollout_steps,
        }
        return {"seed": 1, **cls.tiny, **length, **changes}

    @classmethod
    @contextmanager
    def opened(cls, num_envs: int, seed: int = 1) -> Iterator[NpEnv]:
        """Return the environment; closed afterwards."""
        env = envs.make(cls.env_name, None, cls.env_changes, num_envs, seed)
        with closing(env):
            yield env

    @classmethod
    @functools.cache
    def observations(cls) -> NDArray[np.float32]:
        """Return what an environment shows under random actions, (17, obs_dim)."""
        with cls.opened(17) as env:
            env.init_state()
            for action in random_actions(env.action_space, 5, env.num_envs, seed=0):
                state = env.step(action)
            return state.obs.copy()

    # Trainings

    @classmethod
    def folder(cls) -> Path:
        """Return a new folder for runs, which is gone when the process ends."""
        path = Path(tempfile.mkdtemp(prefix="motrix-backend-"))
        atexit.register(shutil.rmtree, path, ignore_errors=True)
        return path

    @classmethod
    def trainer(cls, root: Path, options: Mapping[str, Any], kind: type[Any] | None = None) -> Any:
        """Return a trainer of some kind, by default the one under test."""
        return (kind or cls.trainer_class())(
            cls.env_name, cfg_override=options, env_cfg_override=cls.env_changes, runs_root=root
        )

    @classmethod
    def train(
        cls,
        callback: Callable[[Any, Progress], None] | None = None,
        *,
        spoil: bool = False,
        updates: int = UPDATES,
        **changes: Any,
    ) -> Training:
        """Train and return what was seen of it, the error that ended it included.

        Args:
            callback: Called after every update with the trainer and its progress.
            spoil: Whether to begin with weights that are not finite.
            updates: Length of the training.
            **changes: Changes of the tiny options.
        """
        root, kind = cls.folder(), watched(cls.trainer_class(), spoil)
        training = Training()
        try:
            trainer = cls.trainer(root, cls.options(updates, **changes), kind)
            training.trainer = trainer
            trainer.train(functools.partial(callback, trainer) if callback else None)
        except Exception as error:  # noqa: BLE001 - whatever it is, a test looks at it
            training.error = error
        training.runs = [Run.open(path.parent) for path in root.glob("*/*/run.json")]
        return training

    @classmethod
    def trained(cls) -> Training:
        """Return the training that most tests look at: seed 1, from beginning to end."""
        training = cls._first()
        if training.error is not None:
            raise AssertionError(
                f"a training of {UPDATES} updates ended by {training.error!r}; its options were "
                f"{cls.options()}"
            ) from training.error
        return training

    @classmethod
    @functools.cache
    def _first(cls) -> Training:
        before = global_randomness()
        training = cls.train()
        training.global_randomness_kept = global_randomness() == before
        return training

    @classmethod
    @functools.cache
    def trained_otherwise(cls) -> Training:
        """Return the same training with seed 2."""
        return cls.train(seed=2)

    @classmethod
    @functools.cache
    def elsewhere(cls) -> dict[str, Any]:
        """Return what a fresh process imports to list the backend, and the hash it trains to."""
        task = {
            "place": cls.place(),
            "env": cls.env_name,
            "options": cls.options(),
            "env_changes": dict(cls.env_changes),
        }
        return outcome_of(task, cls.prelude, cls.folder())
