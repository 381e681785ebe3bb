"""NumPy environments as skrl's torch trainers step them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from motrix_envs.errors import ConfigError
from motrix_rl.skrl.wrap import NpWrapping
from numpy.typing import NDArray
from skrl.envs.wrappers.torch import Wrapper


class SkrlNpWrapper(NpWrapping, Wrapper):
    """An `NpEnv` with tensors in and out; arguments and errors as in `NpWrapping`."""

    @staticmethod
    def find_device(name: str | None) -> torch.device:
        """Return a device, CUDA by default; skrl would quietly replace a wrong name.

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

    def to_device(self, array: NDArray[Any]) -> torch.Tensor:
        """Return a tensor with memory of its own: skrl adds to the rewards in place."""
        return torch.tensor(array, device=self._device)

    def to_numpy(self, array: torch.Tensor) -> NDArray[np.float32]:
        """Return actions as NumPy."""
        return array.detach().cpu().numpy()


wrap_env = SkrlNpWrapper
"""The name that skrl's users expect."""
