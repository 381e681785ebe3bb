"""Which learning frameworks can be used here, found without importing any of them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from motrix_envs._plugins import installed_version

_PROBES = {
    "torch": "import torch; print(torch.cuda.is_available() and bool(torch.zeros(1).cuda() == 0))",
    "jax": "import jax; print(any(device.platform == 'gpu' for device in jax.devices()))",
}
_PROBE_TIMEOUT = 60.0  # s; a cold import of either takes several


@dataclass(frozen=True)
class DeviceSupports:
    """Frameworks that are installed, and whether each sees a GPU."""

    torch: bool = False
    torch_gpu: bool = False
    jax: bool = False
    jax_gpu: bool = False

    def preferred(self) -> tuple[str, ...]:
        """Return the usable backends, best first: JAX on a GPU, torch on a GPU, JAX, torch."""
        order = (
            ("jax", self.jax_gpu),
            ("torch", self.torch_gpu),
            ("jax", self.jax),
            ("torch", self.torch),
        )
        return tuple(dict.fromkeys(name for name, usable in order if usable))


def get_device_supports() -> DeviceSupports:
    """Find installed frameworks by their metadata, and GPUs by their driver.

    Only where a driver is present is a framework asked, in a process of its own.
    """
    torch, jax = (installed_version(name) is not None for name in ("torch", "jax"))
    driver = (torch or jax) and _has_gpu_driver()
    return DeviceSupports(
        torch=torch,
        torch_gpu=torch and driver and _probe("torch"),
        jax=jax,
        jax_gpu=jax and driver and _probe("jax"),
    )


def _has_gpu_driver() -> bool:
    nodes = ("/proc/driver/nvidia/version", "/dev/kfd")
    return any(Path(node).exists() for node in nodes) or shutil.which("nvidia-smi") is not None


def _probe(framework: str) -> bool:
    """Ask a framework whether it sees a GPU that it can use."""
    command = [sys.executable, "-c", _PROBES[framework]]
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=_PROBE_TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0 and answer.stdout.split()[-1:] == ["True"]
