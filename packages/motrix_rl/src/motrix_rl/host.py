"""The machine that a run happens on: Python, platform, processor, threads, versions, commit."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from motrix_envs._plugins import installed_version

_DISTRIBUTIONS = (
    *("motrix-envs", "motrix-envs-mujoco", "motrix-rl", "motrix-rl-torch", "motrix-rl-jax"),
    *("numpy", "motrixsim", "mujoco", "gymnasium", "safetensors", "llvmlite"),
    *("skrl", "torch", "jax", "jaxlib", "flax", "optax"),
)
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def describe_host() -> dict[str, Any]:
    """Describe where a run happens: Python, platform, CPU, threads, versions and git commit.

    Versions come from package metadata; nothing is imported, and nothing here can fail.

    Returns:
        JSON: `python`, `platform`, `cpu` (`model`, `count`, `usable`), `threads` (the variables
        that are set), `versions` (of what is installed), `git` (None outside a repository).
    """
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": {"model": _cpu_model(), "count": os.cpu_count(), "usable": usable_cpus()},
        "threads": {name: os.environ[name] for name in _THREAD_VARIABLES if name in os.environ},
        "versions": _versions(),
        "git": _git(),
    }


def _cpu_model() -> str:
    if sys.platform == "darwin":
        return _output("sysctl", "-n", "machdep.cpu.brand_string") or platform.machine()
    with contextlib.suppress(OSError):
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        if found := re.search(r"^model name\s*:\s*(.+)$", text, flags=re.MULTILINE):
            return found[1].strip()
    return platform.processor() or platform.machine()


def usable_cpus() -> int | None:
    """Return how many CPUs this process may use: fewer than there are, in many containers."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _versions() -> dict[str, str]:
    found = {name: installed_version(name) for name in _DISTRIBUTIONS}
    return {name: version for name, version in found.items() if version is not None}


def _git() -> dict[str, Any] | None:
    """Return the commit of the current folder and whether tracked files differ from it."""
    commit = _output("git", "rev-parse", "HEAD")
    if not commit:
        return None
    changes = _output("git", "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "dirty": None if changes is None else bool(changes)}


def _output(*command: str) -> str | None:
    """Return what a command prints, or None where it is missing, fails or takes too long."""
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(command, capture_output=True, timeout=5, check=True, env=environment)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace").strip()
