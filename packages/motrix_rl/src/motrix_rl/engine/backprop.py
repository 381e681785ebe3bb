"""The gradient of PPO's loss: networks as machine code, the loss itself in NumPy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motrix_rl.engine.actor_critic import ActorCritic, Chain
from motrix_rl.native.network import Network, zeros
from motrix_rl.rl_module import Columns
from motrix_rl.rl_module.distributions import DiagGaussian
from motrix_rl.skrl.cfg import PPOCfg

Array = NDArray[Any]
Batch = Mapping[str, Array]
"""Rows of a rollout by column, observations normalised; see `ppo_loss`."""

_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


class Backprop:
    """Policy and value function forward and back; for one thread at a time.

    Args:
        networks: What there is.
        weights: The vector of all parameters, looked at in every pass.
        cfg: Coefficients of the loss.
        rows: How many fit in.
    """

    def __init__(self, networks: ActorCritic, weights: Array, cfg: PPOCfg, rows: int) -> None:
        self._networks, self._weights, self._cfg = networks, weights, cfg
        self._gradient = zeros(networks.size)
        self._rows, shared = rows, networks.encoder is not None
        self._encoder = self._network(networks.encoder) if networks.encoder else None
        self._actor = self._network(networks.actor, passes_on=shared)
        self._critic = self._network(networks.critic, passes_on=shared)

    def _network(self, chain: Chain, passes_on: bool = False) -> Network:
        weights, gradient = chain.of(self._weights), chain.of(self._gradient)
        return Network(chain.plan, weights, gradient, self._rows, passes_on=passes_on)

    def means(self, batch: Batch) -> Array:
        """Return means of actions, (rows, actions), in memory that is used again."""
        return self._actor.forward(self._seen(batch[Columns.OBS]))

    def values(self, batch: Batch) -> Array:
        """Return values, (rows,), in memory that is used again."""
        sees = batch.get(Columns.STATE, batch[Columns.OBS])
        return self._critic.forward(self._seen(sees))[:, 0]

    def _seen(self, obs: Array) -> Array:
        return obs if self._encoder is None else self._encoder.forward(obs)

    def gradient(self, batch: Batch, total: int) -> tuple[Array, dict[str, float]]:
        """Return what a batch adds to the gradient of a mini-batch, and to the parts of its loss.

        Args:
            batch: Rows of the mini-batch.
            total: How many that has.

        Returns:
            A vector, and parts by name as in `ppo_loss`.
        """
        d_log_std = self._networks.log_std(self._gradient)
        log_std = self._networks.log_std(self._weights)
        rows = len(batch["advantages"])
        means = self.means(batch)
        parts, d_means, d_log_std[:] = policy_loss(means, log_std, batch, self._cfg, total)
        self._actor.d_out[:rows] = d_means
        if self._encoder is None:
            self._actor.backward()  # while what it put out is still in the caches
        values = self.values(batch)
        parts["value"], self._critic.d_out[:rows, 0] = value_loss(values, batch, self._cfg, total)
        if self._encoder is not None:
            self._actor.backward()
        self._critic.backward()
        if self._encoder is not None:
            np.add(self._actor.d_in, self._critic.d_in, out=self._encoder.d_out)
            self._encoder.backward()
        return self._gradient.copy(), parts


def policy_loss(
    means: Array, log_std: Array, batch: Batch, cfg: PPOCfg, total: int
) -> tuple[dict[str, float], Array, Array]:
    """Return what rows add to the policy's parts of the loss, and their gradients; see `ppo_loss`.

    Args:
        means: Of Gaussians, (rows, actions).
        log_std: Of all of them, (actions,).
        batch: See `ppo_loss`.
        cfg: Coefficients.
        total: Rows of the whole mini-batch.

    Returns:
        Parts by name, and the gradients of `means` and of `log_std`.
    """
    low, high = DiagGaussian.LOG_STD_BOUNDS
    free, log_std = (log_std >= low) & (log_std <= high), log_std.clip(low, high)
    std, share = np.exp(log_std), len(means) / total
    z = (batch["actions"] - means) / std
    squares = z * z
    constant = (log_std + _HALF_LOG_2PI).sum()
    change = squares.sum(1) * -0.5 - (batch["log_probs"] + constant)
    ratio, advantages = np.exp(change), batch["advantages"]
    plain = advantages * ratio
    clipped = advantages * ratio.clip(1 - cfg.ratio_clip, 1 + cfg.ratio_clip)
    parts = {
        "policy": -float(np.minimum(plain, clipped).sum()) / total,
        "spread": float(std.mean()) * share,
        "kl": float((ratio - 1 - change).sum()) / total,
    }
    # Where the clipped one is less, the ratio earns nothing more and has no gradient.
    d_log_probs = (np.where(plain <= clipped, plain, 0) / -total)[:, None]
    d_log_std = (d_log_probs.T @ (squares - 1))[0]
    if cfg.entropy_loss_scale:
        entropy = float((log_std + (_HALF_LOG_2PI + 0.5)).sum())
        parts["entropy"] = -cfg.entropy_loss_scale * entropy * share
        d_log_std -= cfg.entropy_loss_scale * share
    return parts, d_log_probs * z / std, d_log_std * free


def value_loss(values: Array, batch: Batch, cfg: PPOCfg, total: int) -> tuple[float, Array]:
    """Return what rows add to the value loss, and the gradient of `values`, (rows,) both."""
    error = slope = values - batch["targets"]
    if cfg.clip_predicted_values and cfg.value_clip > 0:
        moved = values - batch["values"]
        within = moved.clip(-cfg.value_clip, cfg.value_clip)
        error = batch["values"] + within - batch["targets"]
        slope = error * (within == moved)
    scale = cfg.value_loss_scale
    return scale * float(error @ error) / total, slope * (2 * scale / total)
