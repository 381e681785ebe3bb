"""Where JAX computes; the same for every trainer."""

from __future__ import annotations

from typing import Any

import jax
from motrix_envs.errors import ConfigError
from motrix_rl.cache import cache_folder
from motrix_rl.host import usable_cpus
from motrix_rl.trainer import Trainer


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


def keep_compiled() -> None:
    """Let JAX keep what it compiles for the next process, unless it has a folder for that already.

    `JAX_ENABLE_COMPILATION_CACHE=false` switches it off.
    """
    if jax.config.values["jax_compilation_cache_dir"] is None:
        jax.config.update("jax_compilation_cache_dir", str(cache_folder("xla")))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


class JaxCompute(Trainer):
    """Mixed in before a trainer: the device, and a cache of compiled functions."""

    device: jax.Device

    def check_cfg(self) -> None:
        """Refuse a device that JAX does not have."""
        super().check_cfg()
        self.device = find_device(self.cfg.device)
        keep_compiled()

    @property
    def place(self) -> str:
        """The device as JAX spells it, such as `"cpu:0"`."""
        return f"{self.device.platform}:{self.device.id}"

    @property
    def on_cpu(self) -> bool:
        """Whether the device is the processor."""
        return self.device.platform == "cpu"

    def describe_compute(self) -> dict[str, Any]:
        """Return the device and XLA's threads, which sums of floats depend on."""
        threads = {"xla": usable_cpus()}
        return {**super().describe_compute(), "device": self.place, "threads": threads}
