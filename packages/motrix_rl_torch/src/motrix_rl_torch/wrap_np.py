"""NumPy environments as skrl's torch trainers step them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from motrix_envs.np.env import NpEnv
from motrix_rl.skrl.wrap import NpWrapping
from numpy.typing import NDArray
from skrl import config
from skrl.envs.wrappers.torch import Wrapper


class SkrlNpWrapper(NpWrapping, Wrapper):
    """An `NpEnv` with tensors in and out; see `NpWrapping`.

    Args:
        env: The environments.
        renderer: Something with `render()`, or None.
        device: Where tensors go; None takes CUDA where there is one.
    """

    def __init__(self, env: NpEnv, renderer: Any = None, device: str | None = None) -> None:
        super().__init__(env, renderer)
        self._device = config.torch.parse_device(device)

    def to_device(self, array: NDArray[Any]) -> torch.Tensor:
        """Return a tensor; on the CPU it shares memory, which environments never write again."""
        return torch.from_numpy(array).to(self._device)

    def to_numpy(self, array: torch.Tensor) -> NDArray[np.float32]:
        """Return actions as NumPy."""
        return array.detach().cpu().numpy()


def wrap_env(env: NpEnv, renderer: Any = None, device: str | None = None) -> SkrlNpWrapper:
    """Wrap environments for skrl.

    Raises:
        ValueError: `env` is no `NpEnv`.
    """
    if not isinstance(env, NpEnv):
        raise ValueError(f"wrap_env takes an NpEnv, not a {type(env).__name__}")
    return SkrlNpWrapper(env, renderer, device)
