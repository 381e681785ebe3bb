"""Acting on the host: the policy in NumPy, so that a step of a small batch calls no framework."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motrix_rl.engine.draws import GivenNoise
from motrix_rl.rl_module import Columns, RLModule
from motrix_rl.rl_module.distributions.ops import NumpyOps, bound
from motrix_rl.rl_module.errors import NotInNumpyError
from motrix_rl.rl_module.numpy_module import PPONumpyRLModule
from motrix_rl.rl_module.ppo import is_portable

Acted = tuple[NDArray[Any], NDArray[np.float32]]
"""Actions (num_envs, ...) before any clipping, and their log-probabilities (num_envs,)."""

Logits = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""From observations (rows, obs_dim) to inputs of the action distribution, (rows, n)."""

_CHECKED_ROWS = 64


class GivenOps(GivenNoise, NumpyOps):
    """NumPy with given noise."""


class HostPolicy:
    """The policy of a module of the catalogue, as it was at the last `follow`.

    Args:
        module: What it follows, of any framework.

    Raises:
        NotInNumpyError: It has more than MLPs.
    """

    def __init__(self, module: RLModule) -> None:
        config = module.config
        self._module = PPONumpyRLModule(
            observation_space=config.observation_space,
            action_space=config.action_space,
            state_space=config.state_space,
            model_config=config.model_config_dict,
            catalog_class=config.catalog_class,
            inference_only=True,
        )
        self._dist_cls = bound(self._module.get_train_action_dist_cls(), GivenOps)
        self.follow(module)

    def follow(self, module: RLModule) -> None:
        """Take over what the module has learned."""
        self._module.set_state(module.get_state(inference_only=True))

    def act(self, obs: NDArray[Any], noise: NDArray[Any]) -> Acted:
        """Return what the policy does.

        Args:
            obs: (num_envs, obs_dim).
            noise: See `Draws.noise`.
        """
        dist = self._dist_cls.from_logits(self.logits(obs))
        actions, log_probs = dist.sample(return_logp=True, rng=noise)
        return actions, log_probs

    def logits(self, obs: NDArray[Any]) -> NDArray[np.float32]:
        """Return inputs of the action distribution, (num_envs, n)."""
        output = self._module.forward_inference({Columns.OBS: obs})
        return np.asarray(output[Columns.ACTION_DIST_INPUTS])


def host_policy(module: RLModule, logits: Logits) -> HostPolicy | None:
    """Return a module's policy on the host, if there is one that agrees with it on this machine.

    Args:
        module: Of any framework, with an observation space of one axis.
        logits: What the framework makes of observations.
    """
    if not is_portable(module):
        return None
    try:
        host = HostPolicy(module)
    except NotInNumpyError:
        return None
    assert module.observation_space is not None
    shape = (_CHECKED_ROWS, *(module.observation_space.shape or ()))
    obs = np.random.default_rng(0).normal(0, 2, shape).astype(np.float32)
    agrees = np.allclose(host.logits(obs), logits(obs), rtol=1e-4, atol=1e-5)
    return host if agrees else None
