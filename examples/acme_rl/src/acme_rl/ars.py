"""Augmented random search: a whole training backend in plain NumPy.

Source: Mania, Guy and Recht, "Simple random search of static linear policies is competitive for
reinforcement learning", 2018, algorithm 2, version V2-t.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np
from gymnasium import spaces
from motrix_envs.errors import ConfigError
from motrix_envs.np.env import NpEnv
from motrix_rl import trainer
from motrix_rl.base import BaseRLCfg
from motrix_rl.evaluation import derived_seed
from motrix_rl.rl_module import PPONumpyRLModule, RLModule
from motrix_rl.rl_module.normaliser import normalise
from motrix_rl.session import Learned, Session
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass
class ARSCfg(BaseRLCfg):
    """Augmented random search of linear policies."""

    num_envs: int = 64
    """Policies that are tried at once, two for each direction: one step there, one step back."""
    max_env_steps: int = 1_500_000
    check_point_interval: int = 5000
    horizon: int = 1000
    """Steps that a policy is tried for; what it earns until its first episode ends counts."""
    noise: float = 0.1
    """Length of the step to a policy that is tried, per weight."""
    step_size: float = 0.1
    """Length of the step that is then made."""
    top_directions: int = 16
    """How many directions, the most rewarding ones, decide where that step goes."""

    @property
    def rollout_steps(self) -> int:
        """Steps of the batch between two updates."""
        return self.horizon

    def validate(self) -> None:
        """Check the configuration; raises ConfigError."""
        super().validate()
        self._require("num_envs", self.num_envs % 2 == 0, "must be even: directions come in pairs")
        for name in ("horizon", "noise", "step_size"):
            self._require(name, getattr(self, name) > 0, "must be positive")
        few = 1 <= self.top_directions <= self.num_envs // 2
        self._require("top_directions", few, f"must be in [1, num_envs / 2 = {self.num_envs // 2}]")


class Trainer(trainer.Trainer):
    """Trains a linear policy by random search; arguments and errors as in `motrix_rl.trainer`."""

    rllib: ClassVar[str] = "acme"
    backend: ClassVar[str] = "numpy"
    algo: ClassVar[str] = "ars"

    def check_cfg(self) -> None:
        """Refuse devices that NumPy does not have."""
        if self.cfg.device not in (None, "cpu"):
            raise ConfigError(f"device = {self.cfg.device!r}: NumPy computes on the 'cpu' alone")

    def build_module(self, env: NpEnv, seed: int) -> RLModule:
        """Return the policy that does nothing: PPO's own module without any hidden layer."""
        if not isinstance(env.action_space, spaces.Box):
            raise ConfigError(f"a linear policy needs a Box of actions, not {env.action_space}")
        options = {"fcnet_hiddens": [], "free_log_std": True, "normalize_observations": True}
        module = PPONumpyRLModule(
            observation_space=env.observation_space,
            action_space=env.action_space,
            inference_only=True,  # there is no value function
            model_config={"seed": seed, **options},
        )
        _write_weights(module, np.zeros_like(_read_weights(module)))
        return module

    def learn(self, env: NpEnv, module: RLModule, session: Session) -> None:
        """Try weights around the current ones and move to where the reward is; see `Trainer`."""
        policy = cast("PPONumpyRLModule", module)
        weights, update = _read_weights(policy), 0
        seed, pairs = derived_seed(env.seed, "directions"), env.num_envs // 2
        while not session.done:
            draw = np.random.default_rng([seed, update]).standard_normal
            directions = draw((pairs, *weights.shape))
            tried = weights + self.cfg.noise * np.concatenate([directions, -directions])
            returns, observations = self._try(env, policy, tried, session)
            weights = weights + self._step(directions, *np.split(returns, 2))
            _write_weights(policy, weights)
            policy.update_normalizer(observations)
            update += 1
            told = {"search/return": returns, "search/weight_norm": np.linalg.norm(weights)}
            session.after_update(update * self.cfg.horizon, told, Learned)

    def _try(
        self, env: NpEnv, policy: PPONumpyRLModule, weights: Array, session: Session
    ) -> tuple[Array, NDArray[np.float32]]:
        """Let every row play an episode with weights of its own, (num_envs, obs_dim + 1, actions).

        Return the returns, (num_envs,), and what was observed meanwhile, (n, obs_dim).
        """
        mean, variance = (policy.read_buffer(f"normalizer.{p}") for p in ("mean", "variance"))
        state = env.init_state()
        returns, playing = np.zeros(env.num_envs), np.ones(env.num_envs, bool)
        observations = []
        for _ in range(self.cfg.horizon):
            observations.append(state.obs[playing])
            seen = np.pad(normalise(state.obs, mean, variance), ((0, 0), (0, 1)), constant_values=1)
            state = env.step(np.einsum("no,noa->na", seen, weights))
            session.record()
            self.draw()
            returns += state.reward * playing
            playing &= ~state.done
        return returns, np.concatenate(observations)

    def _step(self, directions: Array, there: Array, back: Array) -> Array:
        """Return the change of the weights, (obs_dim + 1, actions).

        `there` and `back` are what a step along each direction and its opposite earned, (pairs,).
        """
        top = np.argsort(-np.maximum(there, back), kind="stable")[: self.cfg.top_directions]
        spread = np.concatenate([there[top], back[top]]).std()
        if spread == 0:  # all earn the same: there is nothing to choose
            return np.zeros_like(directions[0])
        gain = (there[top] - back[top]) / spread
        change: Array = (
            self.cfg.step_size * np.einsum("p,poa->oa", gain, directions[top]) / len(top)
        )
        return change


def _read_weights(policy: PPONumpyRLModule) -> Array:
    """Return the weights of the last layer with its bias below, (obs_dim + 1, action_dim)."""
    layer: dict[str, Any] = policy.get_state("pi")["pi"]["out"]
    return np.vstack([layer["kernel"], layer["bias"]]).astype(np.float64)


def _write_weights(policy: PPONumpyRLModule, weights: Array) -> None:
    state = policy.get_state()
    kernel, bias = weights[:-1].astype(np.float32), weights[-1].astype(np.float32)
    state["pi"]["out"] = {"kernel": kernel, "bias": bias}
    policy.set_state(state)
