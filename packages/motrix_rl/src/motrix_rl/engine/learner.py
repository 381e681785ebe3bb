"""What learns: the part that all learners share, and the few things that each one writes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motrix_rl.engine.host import Acted, HostPolicy
from motrix_rl.engine.loss import Parts, adam_scales
from motrix_rl.engine.schedule import rate_after_epoch, rate_at_start
from motrix_rl.errors import CheckpointError
from motrix_rl.rl_module import RLModule, normaliser
from motrix_rl.rl_module.tensors import Tensors
from motrix_rl.skrl.cfg import PPOCfg
from motrix_rl.skrl.modules import is_gaussian

Samples = Mapping[str, NDArray[Any]]
"""Columns of a rollout, (samples, ...); see `ppo_loss`, with `obs` and perhaps `state`."""

_NAMES = {
    "policy": "Loss / Policy loss",
    "value": "Loss / Value loss",
    "entropy": "Loss / Entropy loss",
    "kl": "Policy / KL divergence",
}


class Learner(ABC):
    """A module in training: acts with given noise, and learns from rollouts by Adam.

    Values in here are normalised ones, what the network says; `value_moments` translates them.

    Args:
        module: Policy and value function; after `publish` it is what was learned.
        cfg: The configuration.
    """

    def __init__(self, module: RLModule, cfg: PPOCfg) -> None:
        self.module = module
        self.cfg = cfg
        self.rate = cfg.learning_rate
        self.steps = 0
        self.value_moments = normaliser.initial_moments(())
        self.host: HostPolicy | None = None

    # What a framework writes

    @abstractmethod
    def sample(self, obs: NDArray[Any], states: NDArray[Any] | None, noise: NDArray[Any]) -> Acted:
        """Return what the policy does; arguments as in `act`."""

    @abstractmethod
    def values(self, obs: NDArray[Any], states: NDArray[Any] | None) -> NDArray[np.float32]:
        """Return values.

        Args:
            obs: (rows, obs_dim).
            states: Privileged observations, (rows, state_dim), or None.

        Returns:
            (rows,).
        """

    @abstractmethod
    def load(self, samples: Samples) -> None:
        """Take a rollout to where epochs run; the module's buffers are up to date by now."""

    @abstractmethod
    def run_epoch(
        self, order: NDArray[np.int32], scales: NDArray[np.float64]
    ) -> tuple[Parts, NDArray[np.bool_]]:
        """Take Adam's steps over one permutation of what was loaded.

        From the mini-batch on whose divergence exceeds `cfg.kl_threshold` no further step is taken.

        Args:
            order: Rows of each mini-batch, (mini_batches, size).
            scales: Of each step, (mini_batches, 2); see `adam_scales`.

        Returns:
            Parts of the loss, (n,) each, for the mini-batches that were looked at; and which of
            these a step was taken for, (n,).
        """

    @abstractmethod
    def moments(self) -> Tensors:
        """Return Adam's moments: `mean/` and `variance/` with the paths of the parameters."""

    @abstractmethod
    def set_moments(self, moments: Tensors) -> None:
        """Take over Adam's moments."""

    # How it acts

    def act(self, obs: NDArray[Any], states: NDArray[Any] | None, noise: NDArray[Any]) -> Acted:
        """Return what the policy does, on the host where `host` is set.

        Args:
            obs: (num_envs, obs_dim).
            states: Privileged observations, (num_envs, state_dim), or None.
            noise: See `Draws.noise`.
        """
        if self.host is not None:
            return self.host.act(obs, noise)
        return self.sample(obs, states, noise)

    def refresh(self) -> None:
        """Let the host act by what was learned; call it whenever the module has changed."""
        if self.host is not None:
            self.host.follow(self.module)

    # How it learns

    def update(
        self, samples: Samples, order: Callable[[int], NDArray[np.int32]], progress: float
    ) -> dict[str, Any]:
        """Learn from a rollout; return what there is to tell.

        Args:
            samples: The rollout.
            order: Gives the permutation of an epoch.
            progress: Share of the training that is done, in [0, 1).
        """
        self.load(samples)
        self.rate = rate_at_start(self.cfg, self.rate, progress)
        seen: dict[str, list[float]] = {}
        for epoch in range(self.cfg.learning_epochs):
            parts, taken = self.run_epoch(
                order(epoch).reshape(self.cfg.mini_batches, -1), self._scales()
            )
            self.steps += int(taken.sum())
            for name, values in parts.items():
                seen.setdefault(name, []).extend(values if name == "kl" else values[taken])
            self.rate = rate_after_epoch(self.cfg, self.rate, float(np.mean(parts["kl"])))
        self.refresh()
        told = {self._name(name): values for name, values in seen.items() if values}
        return {**told, "Learning / Learning rate": [self.rate]}

    def _scales(self) -> NDArray[np.float64]:
        steps = range(self.steps + 1, self.steps + 1 + self.cfg.mini_batches)
        return np.array([adam_scales(step, self.rate) for step in steps])

    def _name(self, part: str) -> str:
        spread = "Standard deviation" if is_gaussian(self.module) else "Entropy"
        return _NAMES.get(part, f"Policy / {spread}")

    # The value normaliser

    def in_reward_units(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Return normalised values in the units of returns."""
        mean, deviation = self._scale_of_values()
        return np.asarray(values * deviation + mean, np.float64)

    def targets(self, returns: NDArray[np.float64]) -> NDArray[np.float32]:
        """Take returns into the value normaliser, and return them normalised."""
        self.value_moments = normaliser.updated(self.value_moments, returns.ravel())
        mean, deviation = self._scale_of_values()
        return np.asarray((returns - mean) / deviation, np.float32)

    def _scale_of_values(self) -> tuple[float, float]:
        moments = self.value_moments
        return float(moments["mean"]), normaliser.deviation(float(moments["variance"]))

    # State

    def publish(self) -> None:  # noqa: B027 - a framework trains the module itself
        """Let the module have what was learned, where that lies elsewhere."""

    def get_state(self) -> Tensors:
        """Return all that the next update depends on beside the module, as arrays by name."""
        values = {f"values/{name}": array for name, array in self.value_moments.items()}
        adam = {f"adam/{name}": array for name, array in self.moments().items()}
        numbers = {"adam/steps": np.asarray(self.steps), "learning_rate": np.asarray(self.rate)}
        return {**values, **adam, **numbers}

    def set_state(self, state: Tensors) -> None:
        """Continue from what `get_state` returned.

        Raises:
            CheckpointError: It is the state of another learner.
        """
        if other := sorted(state.keys() ^ self.get_state().keys()):
            raise CheckpointError(
                f"the learner's state is of another training: {', '.join(other[:5])} "
                f"{'is' if len(other) == 1 else 'are'} missing or too much"
            )
        self.rate, self.steps = float(state["learning_rate"]), int(state["adam/steps"])
        self.value_moments = {name: state[f"values/{name}"] for name in self.value_moments}
        self.set_moments({name: state[f"adam/{name}"] for name in self.moments()})


class StepByStep(Learner):
    """A learner that is called for every mini-batch."""

    @abstractmethod
    def gradient(self, rows: NDArray[np.int32]) -> tuple[Any, dict[str, float]]:
        """Return the gradient of the mean loss over rows of what was loaded, and its parts.

        Args:
            rows: Their numbers, (n,).
        """

    @abstractmethod
    def descend(self, gradient: Any, scales: Sequence[float]) -> None:
        """Take one step of Adam.

        Args:
            gradient: What `gradient` returned.
            scales: See `adam_scales`.
        """

    def run_epoch(
        self, order: NDArray[np.int32], scales: NDArray[np.float64]
    ) -> tuple[Parts, NDArray[np.bool_]]:
        """See `Learner`."""
        seen: dict[str, list[float]] = {}
        taken: list[bool] = []
        for rows, scale in zip(order, scales.tolist(), strict=True):
            gradient, parts = self.gradient(rows)
            for name, value in parts.items():
                seen.setdefault(name, []).append(value)
            limit = self.cfg.kl_threshold
            taken.append(not (limit and parts["kl"] > limit))
            if not taken[-1]:
                break
            self.descend(gradient, scale)
        return {name: np.array(values) for name, values in seen.items()}, np.array(taken)
