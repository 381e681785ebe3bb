"""Actions and values for a chunk of observations, in one call of machine code."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from motrix_rl.engine.actor_critic import ActorCritic, Chain
from motrix_rl.engine.host import Acted
from motrix_rl.native.acting import Sample, Scales
from motrix_rl.native.calls import Call, Program, zeros
from motrix_rl.native.network import Forward
from motrix_rl.native.plan import padded

Array = NDArray[Any]


class Actor:
    """A policy that acts; for one thread at a time.

    Args:
        networks: Whose policy.
        weights: The vector of all parameters, looked at in every pass.
        scales: What observations are normalised by, if they are.
        rows: How many fit in.
    """

    def __init__(
        self, networks: ActorCritic, weights: Array, scales: Scales | None, rows: int
    ) -> None:
        self._passes = _Passes(networks.of_policy, weights, scales, rows)
        log_std = networks.padded_log_std(weights)
        self._sample = Sample(self._passes.out, log_std, networks.actions)
        self._program = Program(*self._passes.calls, self._sample.draw)

    def act(self, obs: Array, noise: Array) -> Acted:
        """Return actions (rows, actions), and their log-probabilities (rows,).

        Args:
            obs: Of any type, not normalised yet, (rows, width).
            noise: Standard normal numbers, (rows, actions).
        """
        rows, sample = self._passes.take(obs), self._sample
        sample.noise[:rows] = noise
        sample.draw.set(rows=rows)
        self._program.run()
        return sample.drawn[:rows].copy(), sample.log_probs[:rows].copy()


class Critic:
    """A value function that is asked; for one thread at a time.

    Args:
        networks: Whose value function.
        weights: The vector of all parameters, looked at in every pass.
        scales: What it sees is normalised by, if it is.
        rows: How many fit in.
    """

    def __init__(
        self, networks: ActorCritic, weights: Array, scales: Scales | None, rows: int
    ) -> None:
        self._passes = _Passes(networks.of_value, weights, scales, rows)
        self._program = Program(*self._passes.calls)

    def values(self, seen: Array) -> NDArray[np.float32]:
        """Return values of what the critic sees, not normalised yet, (rows,)."""
        rows = self._passes.take(seen)
        self._program.run()
        return self._passes.out[:rows, 0].copy()


class _Passes:
    """Networks one after the other, behind the normalisation of what the first one sees."""

    def __init__(
        self, chains: list[Chain], weights: Array, scales: Scales | None, rows: int
    ) -> None:
        self._width = chains[0].plan.layers[0].inputs
        self._x = zeros(rows * padded(self._width)).reshape(rows, padded(self._width))
        self._normalise = [] if scales is None else [scales.of(self._x)]
        self._networks = [Forward(chain.plan, chain.of(weights), rows) for chain in chains]
        self.calls: list[Call] = [*self._normalise, *(one.forward for one in self._networks)]
        self.out, self._rows = self._networks[-1].out, 0

    def take(self, seen: Array) -> int:
        """Let the calls take observations; return how many rows they have."""
        if len(seen) != self._rows:
            self._rows = len(seen)
            self._look_at(self._rows)
        self._x[: self._rows, : self._width] = seen
        return self._rows

    def _look_at(self, rows: int) -> None:
        for call in self._normalise:
            call.set(rows=rows)
        x = self._x
        for network in self._networks:
            network.look_at(x, rows)
            x = network.out
