"""The array operations of JAX that distributions use."""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp


class Ops:
    """JAX; randomness comes from a key, which has to be given. See `ArrayOps`."""

    xp: ClassVar[Any] = jnp

    @staticmethod
    def halves(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """By `split`."""
        first, second = jnp.split(x, 2, axis=-1)
        return first, second

    @staticmethod
    def logsumexp(x: jax.Array) -> jax.Array:
        """By `jax.nn`."""
        return jax.nn.logsumexp(x, axis=-1, keepdims=True)

    @staticmethod
    def take(x: jax.Array, index: jax.Array) -> jax.Array:
        """By `take_along_axis`."""
        return jnp.take_along_axis(x, index[..., None], axis=-1)[..., 0]

    @staticmethod
    def one_hot(index: jax.Array, like: jax.Array) -> jax.Array:
        """By `jax.nn`."""
        return jax.nn.one_hot(index, like.shape[-1], dtype=like.dtype)

    @staticmethod
    def stop_gradient(x: jax.Array) -> jax.Array:
        """By `jax.lax`."""
        return jax.lax.stop_gradient(x)

    @staticmethod
    def constant(array: Any, like: jax.Array) -> jax.Array:
        """As an array."""
        return jnp.asarray(array, like.dtype)

    @staticmethod
    def cast(x: jax.Array, dtype: Any) -> jax.Array:
        """By `astype`, which halves 64 bits unless JAX was told to have them."""
        return x.astype(jax.dtypes.canonicalize_dtype(dtype))

    @staticmethod
    def normal(shape: tuple[int, ...], like: jax.Array, rng: Any) -> jax.Array:
        """By `jax.random`."""
        return jax.random.normal(_key(rng), shape, like.dtype)

    @staticmethod
    def gumbel(shape: tuple[int, ...], like: jax.Array, rng: Any) -> jax.Array:
        """By `jax.random`."""
        return jax.random.gumbel(_key(rng), shape, like.dtype)

    @staticmethod
    def split(rng: Any, n: int) -> Any:
        """Several points need no randomness at all."""
        return [None] * n if rng is None else jax.random.split(rng, n)


def _key(rng: Any) -> jax.Array:
    if rng is None:
        raise ValueError("JAX has no global randomness: sample(rng=jax.random.key(...))")
    return rng
