"""NumPy environments as skrl's JAX trainers step them."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from motrix_envs.np.env import NpEnv
from motrix_rl.skrl.wrap import NpWrapping
from numpy.typing import NDArray
from skrl import config
from skrl.envs.wrappers.jax import Wrapper


class SkrlNpWrapper(NpWrapping, Wrapper):
    """An `NpEnv` with JAX arrays in and out; see `NpWrapping`.

    Args:
        env: The environments.
        renderer: Something with `render()`, or None.
        device: Where arrays go; None takes JAX's first device.
    """

    def __init__(self, env: NpEnv, renderer: Any = None, device: str | None = None) -> None:
        super().__init__(env, renderer)
        self._device = config.jax.parse_device(device)

    def to_device(self, array: NDArray[Any]) -> jax.Array:
        """Return a JAX array, which may alias the NumPy memory: environments never reuse it."""
        return jax.device_put(array, self._device)

    def to_numpy(self, array: jax.Array) -> NDArray[np.float32]:
        """Return actions as NumPy."""
        return np.asarray(array)


def wrap_env(env: NpEnv, renderer: Any = None, device: str | None = None) -> SkrlNpWrapper:
    """Wrap environments for skrl.

    Raises:
        ValueError: `env` is no `NpEnv`.
    """
    if not isinstance(env, NpEnv):
        raise ValueError(f"wrap_env takes an NpEnv, not a {type(env).__name__}")
    return SkrlNpWrapper(env, renderer, device)
