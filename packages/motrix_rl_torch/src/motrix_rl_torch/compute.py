"""Where and on how many threads torch computes; the same for every trainer."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from motrix_envs.errors import ConfigError
from motrix_rl.trainer import Trainer

ROLLOUT_THREADS = 1
"""Idle workers of torch keep spinning between small forward passes and take a core from the
physics, which uses them all."""


def find_device(name: str | None) -> torch.device:
    """Return a device, CUDA by default.

    Raises:
        ConfigError: torch does not know the name, or the device is not there.
    """
    if name is None:
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"device = {name!r} cannot be used by torch: {reason}") from error


@contextmanager
def update_on(threads: int) -> Iterator[None]:
    """Let torch use these threads for the length of an update."""
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(ROLLOUT_THREADS)


class TorchCompute(Trainer):
    """Mixed in before a trainer: device, seed and threads.

    An operation runs on one thread, in updates as in rollouts, unless OMP_NUM_THREADS asks for
    more: with networks of the usual size more threads gain little, and where anything else runs
    beside them they wait for each other, many times as long. One thread also gives one result on
    all numbers of cores. Large networks on many idle cores are worth a try with OMP_NUM_THREADS=8
    OMP_WAIT_POLICY=PASSIVE. (rllib "motrix" uses all cores in another way: see `Gradients`.)
    """

    update_threads: int = ROLLOUT_THREADS
    device: torch.device

    def check_cfg(self) -> None:
        """Refuse a device that torch does not have."""
        super().check_cfg()
        self.device = find_device(self.cfg.device)
        asked = "OMP_NUM_THREADS" in os.environ
        self.update_threads = torch.get_num_threads() if asked else ROLLOUT_THREADS

    @contextmanager
    def seeded(self, seed: int) -> Iterator[None]:
        """Seed torch on all devices, and keep it to one thread outside of updates."""
        threads = torch.get_num_threads()
        with torch.random.fork_rng(range(torch.cuda.device_count())):
            torch.manual_seed(seed)
            torch.set_num_threads(ROLLOUT_THREADS)
            try:
                yield
            finally:
                torch.set_num_threads(threads)

    @property
    def on_cpu(self) -> bool:
        """Whether the device is the processor."""
        return self.device.type == "cpu"

    def describe_compute(self) -> dict[str, Any]:
        """Return the device and torch's threads, which sums of floats depend on."""
        threads = {"rollout": ROLLOUT_THREADS, "update": self.update_threads}
        return {**super().describe_compute(), "device": str(self.device), "threads": threads}
