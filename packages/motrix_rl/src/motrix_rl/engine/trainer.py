"""The trainer of rllib "motrix": PPO on one page."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from gymnasium.spaces import Box, Space
from motrix_envs.np.env import NpEnv
from motrix_envs.np.state import NpEnvState
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from motrix_rl import profiling
from motrix_rl.engine.advantages import advantages_of, standardised
from motrix_rl.engine.draws import Draws
from motrix_rl.engine.host import HostPolicy, Logits, host_policy
from motrix_rl.engine.learner import Learner, Samples
from motrix_rl.engine.rollout import Rollout, flat
from motrix_rl.evaluation import derived_seed
from motrix_rl.host import usable_cpus
from motrix_rl.native.available import VARIABLE, is_available
from motrix_rl.rl_module import Columns, NormalizerAPI, RLModule
from motrix_rl.rl_module.acting import clip
from motrix_rl.session import Learned, Session
from motrix_rl.skrl.base import PPOTrainer

if TYPE_CHECKING:
    from motrix_rl.engine.native_way import NativeWay

HOST_ROWS = 4096
"""Up to how many rows NumPy acts as fast as a framework: it has no cost per call, and no threads
that take a core from the physics."""


class EngineTrainer(PPOTrainer):
    """Trains with Motrix's own PPO; arguments and errors as in `Trainer`."""

    rllib: ClassVar[str] = "motrix"
    resumable: ClassVar[bool] = True

    _native: NativeWay | None = None
    _host: HostPolicy | None = None

    # What a framework writes

    @property
    @abstractmethod
    def on_cpu(self) -> bool:
        """Whether the framework computes on the processor, where NumPy can take over the acting."""

    @abstractmethod
    def framework_learner(self, module: RLModule) -> Learner:
        """Return what trains a module of this framework, whatever it is."""

    # How it works

    def build_module(self, env: NpEnv, seed: int) -> RLModule:
        """Return the module that the configuration asks for; see `PPOTrainer`."""
        module = super().build_module(env, seed)
        Draws(module, seed, 1, 1, 1)  # raises where the noise of its distribution is not known
        logits = partial(self.logits, module)
        self._native = self._find_native(module, logits) if self.on_cpu else None
        acts = self.on_cpu and self._native is None and env.num_envs <= HOST_ROWS
        self._host = host_policy(module, logits) if acts else None
        return module

    def _find_native(self, module: RLModule, logits: Logits) -> NativeWay | None:
        """Return how machine code trains a module, if there is a compiler and it is right."""
        if not is_available():
            return None
        try:
            from motrix_rl.engine.native_way import native_way

            return native_way(module, self.cfg, logits)
        except (ImportError, OSError, RuntimeError) as error:
            warnings.warn(
                f"machine code cannot be made here: {type(error).__name__}: {error}. "
                f"{self.backend} trains instead, which takes longer; {VARIABLE}=0 says the same "
                "without this warning",
                stacklevel=2,
            )
            return None

    def logits(self, module: RLModule, obs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return inputs of the action distribution, (rows, n), as the framework finds them."""
        output = module.forward_inference({Columns.OBS: module.to_tensor(obs)})
        return np.asarray(module.to_numpy(output[Columns.ACTION_DIST_INPUTS]))

    def describe_compute(self) -> dict[str, Any]:
        """Return device and threads, and who acts and learns: sums of floats depend on it."""
        found = super().describe_compute()
        if self._native is not None:
            return {**found, "acting": "native", "update": self._native.describe()}
        acting = self.backend if self._host is None else "numpy"
        return {**found, "acting": acting, "update": self.describe_update()}

    def describe_update(self) -> dict[str, Any]:
        """Return how the framework works out gradients."""
        return {"gradients": self.backend}

    def make_learner(self, module: RLModule) -> Learner:
        """Return what trains the module that `build_module` returned."""
        if self._native is None:
            return self.framework_learner(module)
        return self._native.learner(module, usable_cpus() or 1)

    def learn(self, env: NpEnv, module: RLModule, session: Session) -> None:
        """Train by rollouts and updates; see `Trainer.learn`."""
        steps, epochs = self.cfg.rollouts, self.cfg.learning_epochs
        seed, samples = derived_seed(env.seed, "ppo"), steps * env.num_envs
        draws = Draws(module, seed, env.num_envs, samples, epochs)
        learner, rollout = self.make_learner(module), Rollout(env, steps)
        if session.resumed is not None:
            learner.set_state(session.resumed.learner)
        learner.host = self._host
        learner.refresh()
        if self.profile is not None:
            self.profile.watch(learner, "act", profiling.POLICY)
            self.profile.watch(learner, "update", profiling.LEARNING)
            self.profile.watch(self, "samples", profiling.ESTIMATES)
        with threadpool_limits(1, "blas"):  # waiting threads would take a core from the physics
            try:
                self._loop(env, learner, draws, rollout, session)
            finally:
                learner.publish()

    def _loop(
        self, env: NpEnv, learner: Learner, draws: Draws, rollout: Rollout, session: Session
    ) -> None:
        steps, total = self.cfg.rollouts, self.cfg.max_batch_env_steps
        state, done = env.state or env.init_state(), session.batch_steps
        while not session.done:
            update = done // steps
            for step in range(steps):
                noise = draws.noise(update, step)
                acted = learner.act(state.obs, state.info.get("state"), noise)
                seen, state = state, env.step(_legal(acted[0], env.action_space))
                rollout.record(step, seen, acted, state)
                session.record()
                self.draw()
            samples = self.samples(rollout, state, learner)
            told = learner.update(samples, partial(draws.order, update), done / total)
            done += steps
            session.after_update(done, told, partial(_learned, learner))

    def samples(self, rollout: Rollout, last: NpEnvState, learner: Learner) -> Samples:
        """Return what a rollout teaches, and take it into the normalisers.

        Values belong to the statistics under which the rollout acted, so they come first.

        Args:
            rollout: A full one.
            last: The state after it.
            learner: What acted.
        """
        cfg = self.cfg
        ended, truncated = rollout.terminated, rollout.truncated
        if not cfg.time_limit_bootstrap:
            ended = ended | truncated
        seen, following = rollout.values(last, learner)
        values = learner.in_reward_units(seen)
        advantages = advantages_of(
            rollout.rewards * np.float64(cfg.rewards_shaper_scale),
            values,
            learner.in_reward_units(following),
            ended,
            truncated,
            cfg.discount_factor,
            cfg.lambda_param,
        )
        columns: dict[str, Any] = {
            Columns.OBS: rollout.obs,
            "actions": rollout.actions,
            "log_probs": rollout.log_probs,
            "values": seen,
            "advantages": standardised(advantages),
            "targets": learner.targets(advantages + values),
        }
        if rollout.states is not None:
            columns[Columns.STATE] = rollout.states
        samples = {name: flat(array) for name, array in columns.items()}
        module = learner.module
        if isinstance(module, NormalizerAPI) and module.normalizes():
            module.update_normalizer(samples[Columns.OBS], samples.get(Columns.STATE))
        return samples


def _learned(learner: Learner) -> Learned:
    """Return what a checkpoint needs beside the module, which is up to date by then."""
    learner.publish()
    return Learned(learner.get_state())


def _legal(actions: NDArray[Any], space: Space[Any]) -> NDArray[Any]:
    """Return choices as the environment counts them; what lies outside a Box it clips itself."""
    return actions if isinstance(space, Box) else np.asarray(clip(actions, space))
