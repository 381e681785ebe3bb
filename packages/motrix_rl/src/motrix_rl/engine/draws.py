"""All randomness of a training: counters instead of generators, the same in every framework."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from motrix_envs.errors import ConfigError
from motrix_envs.rng import RowStreams
from numpy.typing import NDArray

from motrix_rl.rl_module import RLModule
from motrix_rl.rl_module.distributions import Categorical, DiagGaussian, MultiCategorical

_WORDS = 2**32
_ROWS_AT_ONCE = 4096
_SAMPLES_AT_ONCE = 65536
_TINIEST = 2.0**-25  # half a step of the uniform draws: their logarithm stays finite


class GivenNoise:
    """Mixed in before the `ArrayOps` of a framework: the noise of a sample is an array, `rng`."""

    @staticmethod
    def normal(shape: tuple[int, ...], like: Any, rng: Any) -> Any:
        """Return the noise in its shape."""
        return rng.reshape(shape)

    @staticmethod
    def gumbel(shape: tuple[int, ...], like: Any, rng: Any) -> Any:
        """Return the noise in its shape."""
        return rng.reshape(shape)


class Draws:
    """Action noise and mini-batches, each a function of (seed, update, step, row) alone.

    Nothing is left over between two calls, so a checkpoint needs no more than the number of
    updates.

    Args:
        module: What acts; its distribution decides on the kind of noise.
        seed: Key of all draws.
        num_envs: Rows of the batch.
        samples: Rows of a rollout, all steps together.
        epochs: How often an update goes through them.

    Raises:
        ConfigError: Nothing is known about the noise of this distribution.
    """

    def __init__(
        self, module: RLModule, seed: int, num_envs: int, samples: int, epochs: int
    ) -> None:
        self._gaussian, self._size = _noise_of(module)
        self._num_envs, self._samples = num_envs, samples
        steps = max(1, min(samples, _ROWS_AT_ONCE) // num_envs)
        self._all = np.arange(steps * num_envs)
        self._rows = RowStreams(seed, len(self._all))
        self._steps, self._ahead = steps, np.zeros((0, 0, 0), np.float32)
        self._ahead_of: tuple[int, int] | None = None
        self._epochs = max(1, min(epochs, _SAMPLES_AT_ONCE // samples))
        self._whole = RowStreams(seed, self._epochs)
        self._orders = np.zeros((0, samples), np.int32)
        self._orders_of: tuple[int, int] | None = None

    def noise(self, update: int, step: int) -> NDArray[np.float32]:
        """Return the noise of a step's actions, (num_envs, size): standard normal or Gumbel.

        Small batches draw several steps at once, which costs hardly more than one.
        """
        part, within = divmod(step, self._steps)
        if self._ahead_of != (update, part):
            self._ahead_of = update, part
            self._rows.episode[:], self._rows.step[:] = update, part + 1
            self._ahead = self._drawn().reshape(self._steps, self._num_envs, self._size)
        noise: NDArray[np.float32] = self._ahead[within]
        return noise

    def _drawn(self) -> NDArray[np.float32]:
        if self._gaussian:
            return self._rows.normal("ppo.actions", self._all, self._size)
        unit = self._rows.uniform("ppo.actions", self._all, self._size).astype(np.float64)
        return np.asarray(-np.log(-np.log(unit + _TINIEST)), np.float32)

    def order(self, update: int, epoch: int) -> NDArray[np.int32]:
        """Return a permutation of a rollout's rows, (samples,), by sorting random words.

        Small rollouts have several epochs drawn at once, which costs hardly more than one.
        """
        part, within = divmod(epoch, self._epochs)
        if self._orders_of != (update, part):
            self._orders_of = update, part
            self._whole.episode[:], self._whole.step[:] = update, part + 1
            self._orders = self._sorted()
        order: NDArray[np.int32] = self._orders[within]
        return order

    def _sorted(self) -> NDArray[np.int32]:
        epochs = np.arange(self._epochs)
        words = self._whole.integers("ppo.order", epochs, self._samples, 0, _WORDS)
        # The row number in the lower half keeps equal words apart, on every machine alike.
        keys = words.astype(np.uint64) << np.uint64(32)
        keys |= np.arange(self._samples, dtype=np.uint64)
        keys.sort(axis=1)
        return (keys & np.uint64(_WORDS - 1)).astype(np.int32)


def _noise_of(module: RLModule) -> tuple[bool, int]:
    """Return whether the noise is normal, otherwise Gumbel, and how many numbers a row needs."""
    dist_cls, space = module.get_train_action_dist_cls(), module.action_space
    if dist_cls is not None and issubclass(dist_cls, DiagGaussian):
        assert isinstance(space, spaces.Box)
        return True, int(np.prod(space.shape))
    if dist_cls is not None and issubclass(dist_cls, Categorical | MultiCategorical):
        assert space is not None
        return False, dist_cls.required_input_dim(space)
    name = "no distribution" if dist_cls is None else dist_cls.__name__
    raise ConfigError(
        f"{type(module).__name__} acts by {name}: rllib 'motrix' draws the noise of Gaussians and "
        "of categorical choices. Train it with rllib 'skrl'"
    )
