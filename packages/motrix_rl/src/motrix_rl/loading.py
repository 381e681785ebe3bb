"""From what a user names, a run or one of its checkpoints, to a policy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from motrix_rl.checkpoint import Tensors, is_checkpoint, read_policy
from motrix_rl.runs import Run, Which


def load_policy(path: str | Path, which: Which = "latest") -> tuple[dict[str, Any], Tensors]:
    """Read a policy from a run folder or from one of its checkpoints.

    Args:
        path: The folder.
        which: In a run: a step, `"latest"` or `"best"`.

    Returns:
        The description and the tensors, for `MlpPolicy`.

    Raises:
        RunError: There is no run, or it has no such checkpoint.
        CheckpointError: The checkpoint is damaged.
    """
    path = Path(path)
    if is_checkpoint(path):
        return read_policy(path)
    return read_policy(Run.open(path).checkpoint_folder(which))
