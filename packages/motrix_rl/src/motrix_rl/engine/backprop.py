"""The gradient of PPO's loss over a chunk of samples, in one call of machine code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from motrix_rl.engine.actor_critic import ActorCritic, Chain
from motrix_rl.native.calls import Program, zeros
from motrix_rl.native.kernels import PassesOn
from motrix_rl.native.network import Network
from motrix_rl.native.ppo import Losses, Records
from motrix_rl.rl_module import Columns
from motrix_rl.skrl.cfg import PPOCfg

Array = NDArray[Any]
Seen = Mapping[str, Array]
"""Normalised observations by column, (rows, ...)."""


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
        self._gradient, self._rows, self._encoder = zeros(networks.size), rows, None
        if networks.encoder is None:
            self._actor, self._critic = map(self._network, (networks.actor, networks.critic))
        else:
            self._encoder = self._network(networks.encoder)
            # Both pass on to the encoder, one after the other.
            d_in = self._encoder.d_out
            self._actor = self._network(networks.actor, "itself", d_in)
            self._critic = self._network(networks.critic, "a sum", d_in)
        clips = cfg.clip_predicted_values and cfg.value_clip > 0
        limits = cfg.ratio_clip, cfg.value_clip if clips else None
        log_std = networks.padded_log_std(weights)
        self._losses = Losses(self._actor, self._critic, log_std, limits)
        self._program = self._whole()

    def _network(
        self, chain: Chain, passes_on: PassesOn = "nothing", d_in: Array | None = None
    ) -> Network:
        weights, gradient = chain.of(self._weights), chain.of(self._gradient)
        return Network(chain.plan, weights, gradient, self._rows, passes_on=passes_on, d_in=d_in)

    def _whole(self) -> Program:
        """Return all calls; what a network put out is still in the caches on the way back."""
        actor, critic, encoder = self._actor, self._critic, self._encoder
        of_actor = (actor.forward, self._losses.policy, actor.backward)
        of_critic = (critic.forward, self._losses.value, critic.backward)
        if encoder is None:
            return Program(*of_actor, *of_critic)
        return Program(encoder.forward, *of_actor, *of_critic, encoder.backward)

    def means(self, seen: Seen) -> Array:
        """Return means of actions, (rows, actions), in memory that is used again."""
        return self._actor.run(self._encoded(seen[Columns.OBS]))

    def values(self, seen: Seen) -> Array:
        """Return values, (rows, 1), in memory that is used again."""
        return self._critic.run(self._encoded(seen.get(Columns.STATE, seen[Columns.OBS])))

    def _encoded(self, obs: Array) -> Array:
        return obs if self._encoder is None else self._encoder.run(obs)

    def gradient(
        self, records: Array, layout: Records, total: int
    ) -> tuple[Array, dict[str, float]]:
        """Return what records add to the gradient of a mini-batch, and to the parts of its loss.

        Args:
            records: Rows of the mini-batch.
            layout: What is where in them.
            total: How many rows the mini-batch has.

        Returns:
            A vector, in which log-stds count as if none were clipped, and those parts of
            `ppo_loss` that depend on samples.
        """
        self._look_at(layout.observations(records), len(records))
        self._losses.look_at(records, total, self._cfg.value_loss_scale)
        self._program.run()
        self._networks.log_std(self._gradient)[:] = self._losses.d_log_std
        return self._gradient.copy(), self._losses.parts()

    def _look_at(self, seen: Seen, rows: int) -> None:
        obs = seen[Columns.OBS]
        if self._encoder is None:
            self._actor.look_at(obs, rows)
            self._critic.look_at(seen.get(Columns.STATE, obs), rows)
            return
        self._encoder.look_at(obs, rows)
        for head in (self._actor, self._critic):
            head.look_at(self._encoder.out, rows)
