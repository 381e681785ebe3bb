"""The array operations of torch that distributions use."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch.nn import functional


class Ops:
    """Torch; randomness comes from a `torch.Generator`, or the global one. See `ArrayOps`."""

    xp: ClassVar[Any] = torch

    @staticmethod
    def halves(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """By `chunk`: the gradients of two slices would be two arrays of zeros and a sum."""
        first, second = x.chunk(2, dim=-1)
        return first, second

    @staticmethod
    def logsumexp(x: torch.Tensor) -> torch.Tensor:
        """By torch."""
        return torch.logsumexp(x, dim=-1, keepdim=True)

    @staticmethod
    def take(x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        """By `gather`, whose index has to be int64."""
        return x.gather(-1, index.long().unsqueeze(-1)).squeeze(-1)

    @staticmethod
    def one_hot(index: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        """By `functional.one_hot`, which gives integers."""
        return functional.one_hot(index, like.shape[-1]).to(like.dtype)

    @staticmethod
    def stop_gradient(x: torch.Tensor) -> torch.Tensor:
        """By `detach`, which costs as much as an addition where there is nothing to stop."""
        return x.detach() if x.requires_grad else x

    @staticmethod
    def constant(array: Any, like: torch.Tensor) -> torch.Tensor:
        """On the device of `like`."""
        return torch.as_tensor(array, dtype=like.dtype, device=like.device)

    @staticmethod
    def cast(x: torch.Tensor, dtype: Any) -> torch.Tensor:
        """To torch's element type of the same name."""
        return x.to(getattr(torch, dtype.name))

    @staticmethod
    def normal(shape: tuple[int, ...], like: torch.Tensor, rng: Any) -> torch.Tensor:
        """By `torch.randn`."""
        return torch.randn(shape, dtype=like.dtype, device=like.device, generator=rng)

    @staticmethod
    def gumbel(shape: tuple[int, ...], like: torch.Tensor, rng: Any) -> torch.Tensor:
        """Minus the logarithm of exponential numbers."""
        empty = torch.empty(shape, dtype=like.dtype, device=like.device)
        return -empty.exponential_(generator=rng).log()

    @staticmethod
    def split(rng: Any, n: int) -> list[Any]:
        """A generator moves on by itself."""
        return [rng] * n
