"""The learner that calls no framework: machine code for networks, NumPy for all the rest."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motrix_rl.engine.actor_critic import ActorCritic, widths_of
from motrix_rl.engine.backprop import Backprop
from motrix_rl.engine.host import Acted
from motrix_rl.engine.learner import Samples, StepByStep
from motrix_rl.engine.loss import NORM_EPSILON, adam
from motrix_rl.engine.threads import each
from motrix_rl.native.calls import zeros
from motrix_rl.native.ppo import Records
from motrix_rl.rl_module import Columns, NormalizerAPI, RLModule, normaliser, states
from motrix_rl.rl_module.distributions import DiagGaussian
from motrix_rl.rl_module.tensors import Tensors
from motrix_rl.skrl.cfg import PPOCfg

Array = NDArray[Any]
_LOWEST, _HIGHEST = DiagGaussian.LOG_STD_BOUNDS
_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)

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
        self._weights, self._mean, self._variance = (zeros(networks.size) for _ in range(3))
        given = states.flatten(module.get_state())
        for path, view in networks.views(self._weights).items():
            view[:] = given[path]
        self._threads = ThreadPoolExecutor(threads) if threads > 1 else None
        self._idle: defaultdict[int, deque[Backprop]] = defaultdict(deque)
        self._layout = Records(networks.actions, widths_of(module))
        self._records: Array = np.zeros((0, 0), np.float32)
        self._scales_of_columns: dict[str, tuple[Array, Array]] = {}
        self._look_at_normaliser()

    # Acting

    def sample(self, obs: Array, states: Array | None, noise: Array) -> Acted:
        """See `Learner`."""
        means = self.means(obs)
        log_std = self.networks.log_std(self._weights).clip(_LOWEST, _HIGHEST)
        squares = np.einsum("ij,ij->i", noise, noise)
        log_probs = -0.5 * squares - (log_std + _HALF_LOG_2PI).sum()
        return means + np.exp(log_std) * noise, log_probs

    def means(self, obs: Array) -> NDArray[np.float32]:
        """Return means of actions, (rows, actions)."""
        return self._over_chunks({Columns.OBS: obs}, Backprop.means)

    def values(self, obs: Array, states: Array | None) -> NDArray[np.float32]:
        """See `Learner`."""
        columns = (
            {Columns.OBS: obs} if states is None else {Columns.OBS: obs, Columns.STATE: states}
        )
        return self._over_chunks(columns, Backprop.values)[:, 0]

    def _over_chunks(
        self, columns: Samples, ask: Callable[[Backprop, Samples], Array]
    ) -> NDArray[np.float32]:
        """Return what networks make of observations that are not normalised yet."""
        columns = self._normalised(columns)
        count = len(columns[Columns.OBS])

        def work(rows: slice) -> Array:
            with self._backprop(rows.stop - rows.start) as backprop:
                return ask(backprop, {n: c[rows] for n, c in columns.items()}).copy()

        return np.concatenate(each(self._threads, work, slices(count)))

    # Learning

    def load(self, samples: Samples) -> None:
        """See `Learner`."""
        self._look_at_normaliser()
        self._records = self._layout.pack(self._normalised(samples))

    def gradient(self, rows: NDArray[np.int32]) -> tuple[Array, dict[str, float]]:
        """See `StepByStep`."""

        def work(part: slice) -> tuple[Array, dict[str, float]]:
            records = np.take(self._records, rows[part], axis=0)
            with self._backprop(len(records)) as backprop:
                return backprop.gradient(records, self._layout, len(rows))

        (gradient, parts), *more = each(self._threads, work, slices(len(rows)))
        for other, told in more:
            gradient += other
            parts = {name: value + told[name] for name, value in parts.items()}
        return gradient, parts | self._of_log_std(gradient)

    def _of_log_std(self, gradient: Array) -> dict[str, float]:
        """Finish the gradient of log-stds; return the parts of the loss that are theirs alone."""
        weight = self.cfg.entropy_loss_scale
        log_std, slope = (self.networks.log_std(v) for v in (self._weights, gradient))
        clipped = np.minimum(np.maximum(log_std, _LOWEST), _HIGHEST)
        slope -= weight
        slope *= log_std == clipped
        parts = {"spread": float(np.exp(clipped).mean())}
        if weight:
            parts["entropy"] = -weight * float((clipped + _HALF_LOG_2PI + 0.5).sum())
        return parts

    def descend(self, gradient: Array, scales: list[float]) -> None:
        """See `StepByStep`."""
        if self.cfg.grad_norm_clip > 0:
            norm = float(np.sqrt(gradient @ gradient))
            gradient *= min(self.cfg.grad_norm_clip / (norm + NORM_EPSILON), 1.0)
        self._weights[:], self._mean, self._variance = adam(
            self._weights, gradient, self._mean, self._variance, scales
        )

    # Threads

    @contextmanager
    def _backprop(self, rows: int) -> Iterator[Backprop]:
        """Lend a `Backprop` that no other thread works with."""
        room = 1 << (rows - 1).bit_length()  # a few sizes serve all
        try:
            backprop = self._idle[room].pop()
        except IndexError:
            backprop = Backprop(self.networks, self._weights, self.cfg, room)
        yield backprop
        self._idle[room].append(backprop)

    # The normaliser

    def _look_at_normaliser(self) -> None:
        """Take over what the module normalises observations by."""
        module = self.module
        if not (isinstance(module, NormalizerAPI) and module.normalizes()):
            return
        names = {Columns.OBS: "normalizer"}
        if module.config.state_space is not None:
            names[Columns.STATE] = "state_normalizer"
        for column, name in names.items():
            moments = module.get_state(name)[name]
            mean, variance = (np.asarray(moments[k], np.float32) for k in ("mean", "variance"))
            self._scales_of_columns[column] = mean, variance

    def _normalised(self, columns: Samples) -> dict[str, Array]:
        """Return columns with normalised observations, as machine code reads them."""
        known = self._scales_of_columns
        found = {
            name: normaliser.normalise(column, *known[name]) if name in known else column
            for name, column in columns.items()
        }
        return {name: np.ascontiguousarray(c, np.float32) for name, c in found.items()}

    # State

    def publish(self) -> None:
        """See `Learner`."""
        state = states.flatten(self.module.get_state())
        weights = self.networks.views(self._weights)
        self.module.set_state(states.unflatten({**state, **weights}))

    def moments(self) -> Tensors:
        """See `Learner`."""
        pairs = (("mean", self._mean), ("variance", self._variance))
        return {
            f"{name}/{path}": view.copy()
            for name, vector in pairs
            for path, view in self.networks.views(vector).items()
        }

    def set_moments(self, moments: Tensors) -> None:
        """See `Learner`."""
        for name, vector in (("mean", self._mean), ("variance", self._variance)):
            for path, view in self.networks.views(vector).items():
                view[:] = moments[f"{name}/{path}"]


def slices(rows: int) -> list[slice]:
    """Return the chunks of so many rows: of one size, the last one perhaps shorter."""
    return [slice(start, min(start + CHUNK, rows)) for start in range(0, rows, CHUNK)]
