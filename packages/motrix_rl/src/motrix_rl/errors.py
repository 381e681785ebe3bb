"""What can go wrong between a configuration and a trained policy."""

from __future__ import annotations

from motrix_envs.errors import MotrixError


class PresetNotFoundError(MotrixError, ValueError):
    """No training configuration is registered for this environment, library and backend."""


class BackendNotInstalledError(MotrixError, ImportError):
    """The package that brings this backend is not installed, or its framework does not import."""


class CheckpointError(MotrixError, ValueError):
    """A checkpoint cannot be written, is incomplete, or is not what was written."""


class ContractError(CheckpointError):
    """A policy was trained for another environment than the one that it is to act in."""


class RunError(MotrixError, ValueError):
    """A run folder cannot be created, found, read or written."""


class ExportError(MotrixError, ValueError):
    """A policy cannot be written as a function of tensors, or the file is not the policy."""
