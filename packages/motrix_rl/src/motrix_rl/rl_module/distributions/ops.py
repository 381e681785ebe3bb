"""The operations in which frameworks differ, and those of NumPy."""

from __future__ import annotations

import functools
from typing import Any, ClassVar, Protocol, TypeVar, cast

import numpy as np

T = TypeVar("T")


class ArrayOps(Protocol):
    """What a distribution needs from a framework.

    `xp` is the namespace with the functions whose name and meaning all frameworks share: `exp`,
    `log`, `tanh`, `arctanh`, `logaddexp`, `zeros_like`, `broadcast_to`, `concatenate`, `stack`.
    """

    xp: ClassVar[Any]

    @staticmethod
    def halves(x: Any) -> tuple[Any, Any]:
        """Return the first and the second half of the last axis."""

    @staticmethod
    def logsumexp(x: Any) -> Any:
        """Return log(sum(exp(x))) over the last axis, which stays with size 1."""

    @staticmethod
    def take(x: Any, index: Any) -> Any:
        """Return one element along the last axis, (..., n) and (...) to (...)."""

    @staticmethod
    def one_hot(index: Any, like: Any) -> Any:
        """Return one-hot vectors of the shape and type of `like`."""

    @staticmethod
    def stop_gradient(x: Any) -> Any:
        """Return `x` as a constant."""

    @staticmethod
    def constant(array: Any, like: Any) -> Any:
        """Return a NumPy array as a tensor of the type and device of `like`."""

    @staticmethod
    def cast(x: Any, dtype: np.dtype[Any]) -> Any:
        """Return a tensor with another element type, which NumPy names."""

    @staticmethod
    def normal(shape: tuple[int, ...], like: Any, rng: Any) -> Any:
        """Return standard normal numbers."""

    @staticmethod
    def gumbel(shape: tuple[int, ...], like: Any, rng: Any) -> Any:
        """Return standard Gumbel numbers."""

    @staticmethod
    def split(rng: Any, n: int) -> Any:
        """Return sources of randomness for `n` draws."""


class NumpyOps:
    """NumPy; randomness comes from a `numpy.random.Generator`."""

    xp: ClassVar[Any] = np

    @staticmethod
    def halves(x: Any) -> tuple[Any, Any]:
        """See `ArrayOps`."""
        half = x.shape[-1] // 2
        return x[..., :half], x[..., half:]

    @staticmethod
    def logsumexp(x: Any) -> Any:
        """See `ArrayOps`."""
        top = x.max(-1, keepdims=True)
        return top + np.log(np.exp(x - top).sum(-1, keepdims=True))

    @staticmethod
    def take(x: Any, index: Any) -> Any:
        """See `ArrayOps`."""
        return np.take_along_axis(x, np.asarray(index)[..., None], -1)[..., 0]

    @staticmethod
    def one_hot(index: Any, like: Any) -> Any:
        """See `ArrayOps`."""
        return np.eye(like.shape[-1], dtype=like.dtype)[index]

    @staticmethod
    def stop_gradient(x: Any) -> Any:
        """See `ArrayOps`."""
        return x

    @staticmethod
    def constant(array: Any, like: Any) -> Any:
        """See `ArrayOps`."""
        return np.asarray(array, like.dtype)

    @staticmethod
    def cast(x: Any, dtype: np.dtype[Any]) -> Any:
        """See `ArrayOps`."""
        return np.asarray(x, dtype)

    @staticmethod
    def normal(shape: tuple[int, ...], like: Any, rng: Any) -> Any:
        """See `ArrayOps`."""
        return (rng or np.random.default_rng()).standard_normal(shape).astype(like.dtype)

    @staticmethod
    def gumbel(shape: tuple[int, ...], like: Any, rng: Any) -> Any:
        """See `ArrayOps`."""
        return (rng or np.random.default_rng()).gumbel(size=shape).astype(like.dtype)

    @staticmethod
    def split(rng: Any, n: int) -> Any:
        """See `ArrayOps`."""
        return [rng] * n


def bound(cls: type[T], ops: type[ArrayOps]) -> type[T]:
    """Return a distribution class with the operations of a framework; always the same one."""
    return cast("type[T]", _bound(cls, ops))  # type: ignore[arg-type]


@functools.cache
def _bound(cls: type, ops: type[ArrayOps]) -> type:
    return type(cls.__name__, (cls,), {"ops": ops, "__doc__": cls.__doc__})
