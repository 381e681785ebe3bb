"""NumPy environments as skrl's JAX trainers step them."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from motrix_rl.skrl.wrap import NpWrapping
from numpy.typing import NDArray
from skrl.envs.wrappers.jax import Wrapper

from motrix_rl_jax.compute import find_device


class SkrlNpWrapper(NpWrapping, Wrapper):
    """An `NpEnv` with JAX arrays in and out; arguments and errors as in `NpWrapping`."""

    find_device = staticmethod(find_device)

    def to_device(self, array: NDArray[Any]) -> jax.Array:
        """Return a JAX array, which may alias the NumPy memory: environments never reuse it."""
        return jax.device_put(array, self._device)

    def to_numpy(self, array: jax.Array) -> NDArray[np.float32]:
        """Return actions as NumPy, without a copy on the CPU."""
        return np.asarray(array)


wrap_env = SkrlNpWrapper
"""What skrl calls it."""
