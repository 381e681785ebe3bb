"""NumPy environments as skrl's torch trainers step them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from motrix_rl.skrl.wrap import NpWrapping
from numpy.typing import NDArray
from skrl.envs.wrappers.torch import Wrapper

from motrix_rl_torch.compute import find_device


class SkrlNpWrapper(NpWrapping, Wrapper):
    """An `NpEnv` with tensors in and out; arguments and errors as in `NpWrapping`."""

    find_device = staticmethod(find_device)

    def to_device(self, array: NDArray[Any]) -> torch.Tensor:
        """Return a tensor with memory of its own: skrl adds to the rewards in place."""
        return torch.tensor(array, device=self._device)

    def to_numpy(self, array: torch.Tensor) -> NDArray[np.float32]:
        """Return actions as NumPy."""
        return array.detach().cpu().numpy()


wrap_env = SkrlNpWrapper
"""The name that skrl's users expect."""
