"""The learner that calls no framework: machine code for networks, NumPy for all the rest."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from motrix_rl.engine.actor_critic import ActorCritic, widths_of
from motrix_rl.engine.backprop import Backprop
from motrix_rl.engine.host import Acted
from motrix_rl.engine.inference import Actor, Critic
from motrix_rl.engine.learner import Samples, StepByStep
from motrix_rl.engine.loss import BETA_1, BETA_2, EPSILON, NORM_EPSILON
from motrix_rl.engine.threads import Crew
from motrix_rl.native.acting import Scales
from motrix_rl.native.adam import Adam
from motrix_rl.native.calls import zeros
from motrix_rl.native.records import Records
from motrix_rl.rl_module import Columns, NormalizerAPI, RLModule, normaliser, states
from motrix_rl.rl_module.tensors import Tensors
from motrix_rl.skrl.cfg import PPOCfg

Array = NDArray[Any]
T = TypeVar("T")

CHUNK = 1024
"""Rows that a thread works out at once: their activations stay in the processor's caches."""


class NativeLearner(StepByStep):
    """Trains PPO's own module without its framework, which gets the weights when it needs them.

    A mini-batch is a sum over chunks in a fixed order, each worked out by one thread: no thread
    waits for another in between, and the result does not depend on how many there are.

    Args:
        module: Policy and value function of any framework, of which `networks` are the networks;
            its weights are taken over now.
        cfg: The configuration.
        networks: See `ActorCritic.of`.
        threads: How many work at once.

    Attributes:
        networks: As given.
    """

    def __init__(
        self, module: RLModule, cfg: PPOCfg, networks: ActorCritic, threads: int = 1
    ) -> None:
        super().__init__(module, cfg)
        self.networks = networks
        self._weights = zeros(networks.size)
        given = states.flatten(module.get_state())
        for path, view in networks.views(self._weights).items():
            view[:] = given[path]
        self._adam = Adam(self._weights, (BETA_1, BETA_2), (EPSILON, NORM_EPSILON))
        widths = widths_of(module)
        self._layout = Records(networks.actions, widths)
        self._records: Array = np.zeros((0, self._layout.width), np.float32)
        self._scales_of = {name: Scales(widths[name]) for name in self._normalisers}
        self._statistics: dict[str, tuple[Array, Array]] = {}
        self._look_at_normalisers()
        self._crew = Crew(threads)
        self._idle: defaultdict[tuple[Any, int], deque[Any]] = defaultdict(deque)

    # Acting

    def sample(self, obs: Array, states: Array | None, noise: Array) -> Acted:
        """See `Learner`."""

        def work(rows: slice) -> Acted:
            with self._lent(self._actor, rows) as actor:
                return actor.act(obs[rows], noise[rows])

        actions, log_probs = zip(*self._crew.each(work, slices(len(obs))), strict=True)
        return _joined(actions), _joined(log_probs)

    def values(self, obs: Array, states: Array | None) -> NDArray[np.float32]:
        """See `Learner`."""
        seen = obs if states is None else states

        def work(rows: slice) -> Array:
            with self._lent(self._critic, rows) as critic:
                return critic.values(seen[rows])

        return _joined(self._crew.each(work, slices(len(seen))))

    def _actor(self, rows: int) -> Actor:
        return Actor(self.networks, self._weights, self._scales_of.get(Columns.OBS), rows)

    def _critic(self, rows: int) -> Critic:
        sees = Columns.STATE if Columns.STATE in self._layout.seen else Columns.OBS
        return Critic(self.networks, self._weights, self._scales_of.get(sees), rows)

    # Learning

    def load(self, samples: Samples) -> None:
        """See `Learner`."""
        self._look_at_normalisers()
        seen = {
            column: normaliser.normalise(samples[column], *moments)
            for column, moments in self._statistics.items()
        }
        self._records = self._layout.pack({**samples, **seen})

    def gradient(self, rows: NDArray[np.int32]) -> tuple[Array, dict[str, float]]:
        """See `StepByStep`."""

        def work(part: slice) -> tuple[Array, dict[str, float]]:
            with self._lent(self._backprop, part) as backprop:
                return backprop.gradient(self._records, rows[part], len(rows))

        (gradient, parts), *more = self._crew.each(work, slices(len(rows)))
        for other, told in more:
            gradient += other
            parts = {name: value + told[name] for name, value in parts.items()}
        return gradient, parts

    def _backprop(self, rows: int) -> Backprop:
        return Backprop(self.networks, self._weights, self.cfg, self._layout, rows)

    def descend(self, gradient: Array, scales: Sequence[float]) -> None:
        """See `StepByStep`."""
        self._adam.descend(gradient, scales, self.cfg.grad_norm_clip)

    # Threads

    @contextmanager
    def _lent(self, make: Callable[[int], T], rows: slice) -> Iterator[T]:
        """Lend something with room for some rows that no other thread works with."""
        room = 1 << (rows.stop - rows.start - 1).bit_length()  # a few sizes serve all
        idle = self._idle[make, room]
        try:
            lent = idle.pop()
        except IndexError:
            lent = make(room)
        yield lent
        idle.append(lent)

    # The normalisers

    @property
    def _normalisers(self) -> dict[str, str]:
        """Components of the module that normalise observations, by column."""
        module = self.module
        if not (isinstance(module, NormalizerAPI) and module.normalizes()):
            return {}
        names = {Columns.OBS: "normalizer"}
        if module.config.state_space is not None:
            names[Columns.STATE] = "state_normalizer"
        return names

    def _look_at_normalisers(self) -> None:
        """Take over what the module normalises observations by."""
        for column, name in self._normalisers.items():
            moments = self.module.get_state(name)[name]
            mean, variance = (np.asarray(moments[k], np.float32) for k in ("mean", "variance"))
            self._statistics[column] = mean, variance
            self._scales_of[column].set(mean, normaliser.deviation(variance))

    # State

    def publish(self) -> None:
        """See `Learner`."""
        state = states.flatten(self.module.get_state())
        weights = self.networks.views(self._weights)
        self.module.set_state(states.unflatten({**state, **weights}))

    def moments(self) -> Tensors:
        """See `Learner`."""
        return {
            f"{name}/{path}": view.copy()
            for name, vector in self._moments.items()
            for path, view in self.networks.views(vector).items()
        }

    def set_moments(self, moments: Tensors) -> None:
        """See `Learner`."""
        for name, vector in self._moments.items():
            for path, view in self.networks.views(vector).items():
                view[:] = moments[f"{name}/{path}"]

    @property
    def _moments(self) -> dict[str, Array]:
        return {"mean": self._adam.mean, "variance": self._adam.variance}


def _joined(parts: Sequence[Array]) -> Array:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def slices(rows: int) -> list[slice]:
    """Return the chunks of so many rows: of one size, the last one perhaps shorter."""
    return [slice(start, min(start + CHUNK, rows)) for start in range(0, rows, CHUNK)]
