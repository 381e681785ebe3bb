"""Where JAX computes."""

from __future__ import annotations

import jax
from motrix_envs.errors import ConfigError


def find_device(name: str | None) -> jax.Device:
    """Return the device of a name such as `"cpu"` or `"cuda:0"`; None takes the first of all.

    Raises:
        ConfigError: It is none of JAX's devices.
    """
    if name is None:
        return jax.devices()[0]
    platform, _, number = name.partition(":")
    try:
        return jax.devices(platform)[int(number or 0)]
    except (RuntimeError, IndexError, ValueError) as error:
        there = ", ".join(str(device) for device in jax.devices())
        raise ConfigError(f"device = {name!r} is not one of JAX's devices: {there}") from error
