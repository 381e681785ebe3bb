"""NumPy environments as skrl's JAX trainers step them."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from motrix_envs.errors import ConfigError
from motrix_rl.skrl.wrap import NpWrapping
from numpy.typing import NDArray
from skrl.envs.wrappers.jax import Wrapper


class SkrlNpWrapper(NpWrapping, Wrapper):
    """An `NpEnv` with JAX arrays in and out; arguments and errors as in `NpWrapping`."""

    def to_device(self, array: NDArray[Any]) -> jax.Array:
        """Return a JAX array, which may alias the NumPy memory: environments never reuse it."""
        return jax.device_put(array, self._device)

    def to_numpy(self, array: jax.Array) -> NDArray[np.float32]:
        """Return actions as NumPy, without a copy on the CPU."""
        return np.asarray(array)

    @staticmethod
    def find_device(name: str | None) -> jax.Device:
        """Return the device of a name such as `"cpu"` or `"cuda:0"`; None takes the first of all.

        Raises:
            ConfigError: It is none of JAX's devices; skrl would only warn and take another.
        """
        if name is None:
            return jax.devices()[0]
        platform, _, number = name.partition(":")
        try:
            return jax.devices(platform)[int(number or 0)]
        except (RuntimeError, IndexError, ValueError) as error:
            there = ", ".join(str(device) for device in jax.devices())
            raise ConfigError(f"device = {name!r} is not one of JAX's devices: {there}") from error


wrap_env = SkrlNpWrapper
"""What skrl calls it."""
