"""Whether a batch fits into memory, asked before an engine ends the process over it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from motrix_envs.errors import ConfigError
from motrix_envs.sim.protocol import Simulation

LEAST_ROW = 256  # bytes: what the smallest row takes in any engine, with its observation
SAMPLE_ROWS = 16384

_MEMORY = Path("/proc/meminfo")
_PROCESS = Path("/proc/self/status")
_CONTAINER = Path("/sys/fs/cgroup/memory.max")


def check_batch(num_envs: int) -> None:
    """Refuse a batch that is empty, or that fits into memory under no circumstances.

    Raises:
        ConfigError: It is one of these.
    """
    if num_envs < 1:
        raise ConfigError(f"num_envs = {num_envs} must be at least 1")
    _require(num_envs, LEAST_ROW)


def check_memory(num_envs: int, build: Callable[[int], Simulation]) -> None:
    """Refuse a batch that would not fit, as far as a sample of it tells.

    An engine that gets no memory does not raise an error: it ends the process. Batches up to the
    size of the sample are not asked.

    Args:
        num_envs: Number of rows.
        build: Builds a simulation of some rows.

    Raises:
        ConfigError: The memory that is free now does not suffice.
    """
    if num_envs <= SAMPLE_ROWS:
        return
    before = _bytes(_PROCESS, "VmRSS:") or 0
    sample = build(SAMPLE_ROWS)
    grown = (_bytes(_PROCESS, "VmRSS:") or 0) - before
    sample.close()
    _require(num_envs, max(grown // SAMPLE_ROWS, LEAST_ROW))


def free_memory() -> int | None:
    """Return how many bytes a process may still take, or None where the system does not tell."""
    free = _bytes(_MEMORY, "MemAvailable:")
    if free is None:
        return None
    try:
        return min(free, int(_CONTAINER.read_text(encoding="ascii")))
    except (OSError, ValueError):  # no container, or one without a limit
        return free


def _require(num_envs: int, row: int) -> None:
    free = free_memory()
    if free is not None and num_envs * row > free:
        raise ConfigError(
            f"num_envs = {num_envs} needs at least {num_envs * row / 2**30:.3g} GiB of memory, and "
            f"{free / 2**30:.3g} GiB are free: at most about {free // row} fit"
        )


def _bytes(file: Path, label: str) -> int | None:
    """Return a line of kB that Linux publishes, in bytes."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(label)), None)
