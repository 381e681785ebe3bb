"""The gradient of PPO's loss over a chunk of samples, in one call of machine code."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from motrix_rl.engine.actor_critic import ActorCritic, Chain
from motrix_rl.native.calls import Program, zeros
from motrix_rl.native.kernels import PassesOn
from motrix_rl.native.network import Network
from motrix_rl.native.ppo import Losses
from motrix_rl.native.records import Picked, Records
from motrix_rl.rl_module import Columns
from motrix_rl.skrl.cfg import PPOCfg

Array = NDArray[Any]


class Backprop:
    """Policy and value function forward and back; for one thread at a time.

    Args:
        networks: What there is.
        weights: The vector of all parameters, looked at in every pass.
        cfg: Coefficients of the loss.
        layout: What is where in a record.
        rows: How many fit in.
    """

    def __init__(
        self, networks: ActorCritic, weights: Array, cfg: PPOCfg, layout: Records, rows: int
    ) -> None:
        self._networks, self._weights = networks, weights
        self._gradient, self._rows = zeros(networks.size), rows
        self._picked = Picked(layout.width, rows)
        self._seen = layout.observations(self._picked.records)
        self._encoder, d_in = None, None
        if networks.encoder is not None:
            self._encoder = self._network(networks.encoder)
            d_in = self._encoder.d_out
        # Both pass on to the encoder, if there is one: one after the other.
        self._actor = self._network(networks.actor, "itself", d_in)
        self._critic = self._network(networks.critic, "a sum", d_in)
        self._losses = self._make_losses(cfg)
        self._program, self._sizes = self._whole(), (0, 0)

    def _network(
        self, chain: Chain, passes_on: PassesOn = "nothing", d_in: Array | None = None
    ) -> Network:
        if d_in is None:
            passes_on = "nothing"
        weights, gradient = chain.of(self._weights), chain.of(self._gradient)
        return Network(chain.plan, weights, gradient, self._rows, passes_on=passes_on, d_in=d_in)

    def _make_losses(self, cfg: PPOCfg) -> Losses:
        clips = cfg.clip_predicted_values and cfg.value_clip > 0
        return Losses(
            self._actor,
            self._critic,
            self._picked.records,
            self._networks.padded_log_std(self._weights),
            clips=(cfg.ratio_clip, cfg.value_clip if clips else None),
            weights=(cfg.value_loss_scale, cfg.entropy_loss_scale),
        )

    def _whole(self) -> Program:
        """Return all calls; what a network put out is still in the caches on the way back."""
        actor, critic, encoder = self._actor, self._critic, self._encoder
        calls = [actor.forward, self._losses.policy, actor.backward]
        calls += [critic.forward, self._losses.value, critic.backward]
        if encoder is not None:
            calls = [encoder.forward, *calls, encoder.backward]
        return Program(self._picked.pick, *calls)

    def gradient(
        self, records: Array, order: NDArray[np.int32], total: int
    ) -> tuple[Array, dict[str, float]]:
        """Return what records add to the gradient of a mini-batch, and to the parts of its loss.

        Args:
            records: Those of the whole rollout, (samples, width).
            order: The rows of them that this is about, at most as many as fit in.
            total: How many rows the mini-batch has.
        """
        if self._sizes != (sizes := (len(order), total)):
            self._look_at(*sizes)
            self._sizes = sizes
        self._picked.look_at(records, order)
        self._program.run()
        self._networks.log_std(self._gradient)[:] = self._losses.d_log_std
        return self._gradient.copy(), self._losses.parts()

    def _look_at(self, rows: int, total: int) -> None:
        self._losses.look_at(rows, total)
        obs = self._seen[Columns.OBS]
        if self._encoder is None:
            self._actor.look_at(obs, rows)
            self._critic.look_at(self._seen.get(Columns.STATE, obs), rows)
            return
        self._encoder.look_at(obs, rows)
        for head in (self._actor, self._critic):
            head.look_at(self._encoder.out, rows)
