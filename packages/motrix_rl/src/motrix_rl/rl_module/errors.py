"""What can go wrong with an RLModule; all of these are `ValueError`s too."""

from __future__ import annotations

from motrix_envs.errors import MotrixError

from motrix_rl.errors import CheckpointError


class SpecCheckingError(MotrixError, ValueError):
    """A batch, or what a module returned, does not have the structure that was declared."""


class UnsupportedSpaceError(MotrixError, ValueError):
    """No built-in model or distribution serves this space."""


class FrameworkNotFoundError(MotrixError, ValueError):
    """No installed backend has this name."""


class NotInNumpyError(MotrixError, ValueError):
    """A network needs a framework: there is no implementation in plain NumPy."""


class StateMismatchError(MotrixError, ValueError):
    """A state does not fit a module: entries are missing, unexpected or misshapen."""


class DeprecatedNameError(MotrixError, ValueError):
    """A name that RLlib users may remember; the message says what replaced it."""


class UntrustedClassError(CheckpointError):
    """A file names a class that may not be loaded from a file."""
