"""What looks on while a tool trains."""

from __future__ import annotations

from typing import Protocol

from motrix_envs.np.env import NpEnv
from motrix_envs.np.state import NpEnvState


class Enough(Exception):
    """Raised out of a step when all is seen: whatever the tool, it ends the training."""


class Watch(Protocol):
    """Told of each step of the environments; may raise `Enough`."""

    def enter(self, env: NpEnv) -> None:
        """Take note that a step begins."""

    def leave(self, env: NpEnv, state: NpEnvState) -> None:
        """Take note of what came of it."""
