"""The gradient of PPO's loss, worked out by machine code."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motrix_rl.engine.actor_critic import ActorCritic, Chain
from motrix_rl.native.network import Network, zeros
from motrix_rl.native.ppo import Losses, Records
from motrix_rl.rl_module import Columns
from motrix_rl.rl_module.distributions import DiagGaussian
from motrix_rl.skrl.cfg import PPOCfg

Array = NDArray[Any]
Seen = Mapping[str, Array]
"""Normalised observations by column, (rows, ...)."""

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
        clips = cfg.clip_predicted_values and cfg.value_clip > 0
        self._losses = Losses(networks.actions, cfg.ratio_clip, cfg.value_clip if clips else None)

    def _network(self, chain: Chain, passes_on: bool = False) -> Network:
        weights, gradient = chain.of(self._weights), chain.of(self._gradient)
        return Network(chain.plan, weights, gradient, self._rows, passes_on=passes_on)

    def means(self, seen: Seen) -> Array:
        """Return means of actions, (rows, actions), in memory that is used again."""
        return self._actor.forward(self._encoded(seen[Columns.OBS]))

    def values(self, seen: Seen) -> Array:
        """Return values, (rows, 1), in memory that is used again."""
        return self._critic.forward(self._encoded(seen.get(Columns.STATE, seen[Columns.OBS])))

    def _encoded(self, obs: Array) -> Array:
        return obs if self._encoder is None else self._encoder.forward(obs)

    def gradient(
        self, records: Array, layout: Records, total: int
    ) -> tuple[Array, dict[str, float]]:
        """Return what records add to the gradient of a mini-batch, and to the parts of its loss.

        Args:
            records: Rows of the mini-batch.
            layout: What is where in them.
            total: How many rows the mini-batch has.

        Returns:
            A vector, and parts by name as in `ppo_loss`.
        """
        seen = layout.observations(records)
        parts = self._policy(self.means(seen), records, total)
        if self._encoder is None:
            self._actor.backward()  # while what it put out is still in the caches
        values, scale = self.values(seen), self._cfg.value_loss_scale
        parts["value"] = self._losses.value(records, values, self._critic.d_out, scale, total)
        self._critic.backward()
        if self._encoder is not None:
            self._actor.backward()
            np.add(self._actor.d_in, self._critic.d_in, out=self._encoder.d_out)
            self._encoder.backward()
        return self._gradient.copy(), parts

    def _policy(self, means: Array, records: Array, total: int) -> dict[str, float]:
        """Write the gradients of means and log-std; return the policy's parts of the loss."""
        low, high = DiagGaussian.LOG_STD_BOUNDS
        log_std = self._networks.log_std(self._weights)
        free, log_std = (log_std >= low) & (log_std <= high), log_std.clip(low, high)
        std, share = np.exp(log_std), len(records) / total
        constant = float((log_std + _HALF_LOG_2PI).sum())
        d_means = self._actor.d_out
        policy, kl, d_log_std = self._losses.policy(records, means, d_means, std, constant, total)
        parts = {"policy": policy, "kl": kl, "spread": float(std.mean()) * share}
        if weight := self._cfg.entropy_loss_scale:
            parts["entropy"] = -weight * (constant + 0.5 * len(std)) * share
            d_log_std -= weight * share
        self._networks.log_std(self._gradient)[:] = d_log_std * free
        return parts
