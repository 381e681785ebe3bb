"""Randomness by counter: a draw depends on where it happens, not on what was drawn before.

Every number is made of words of Philox4x32-10 under

* the key `(seed, stream)`, where a stream is a name such as `"reset.joints"`, and
* the counter `(global row, episode, step, block)`, where a block is four words.

So a row draws the same numbers whatever the batch around it, a new stream shifts no other, several
processes share one numbering through `row_offset`, and a checkpoint is two arrays of counters.
"""

from __future__ import annotations

import functools
import hashlib
import operator
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from motrix_envs.errors import ConfigError

# Constants of Philox4x32 (Salmon et al. 2011), one row for each of the two lanes.
_ROUNDS = 10
_MULTIPLIERS = np.array([[0xD2511F53], [0xCD9E8D57]], np.uint64)
_KEY_STEP = np.array([[0x9E3779B9], [0xBB67AE85]], np.uint32)
_KEY_OFFSETS = np.arange(_ROUNDS, dtype=np.uint32)[:, None, None] * _KEY_STEP

# Where the halves of a 64-bit word lie when it is read as two 32-bit words.
_LOW, _HIGH = (0, 1) if sys.byteorder == "little" else (1, 0)

_WORDS_PER_BLOCK = 4
_WORD_VALUES = 2**32


def philox4x32(counter: NDArray[np.uint32], key: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return one Philox4x32-10 block of four random words for each counter.

    A round takes the words (c0, c1, c2, c3) to
    (hi(m1 c2) ^ c1 ^ k0, lo(m1 c2), hi(m0 c0) ^ c3 ^ k1, lo(m0 c0)).
    Even and odd words are kept apart, and the halves of the products are read in place, so a round
    is three NumPy calls: one multiplication and two xors.

    Source: Salmon, Moraes, Dror and Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3", SC'11.

    Args:
        counter: `(n, 4)`; distinct counters give independent blocks.
        key: `(2,)`; distinct keys give independent streams.

    Returns:
        `(n, 4)`, new memory.
    """
    n = len(counter)
    lanes = np.zeros((2, n), np.uint64)
    even = lanes.view(np.uint32)[:, _LOW::2]  # the upper halves of the lanes stay zero
    even[:] = counter.T[0::2]
    odd = counter.T[1::2]

    # `odd` lives in the products of the round before, hence two buffers in turn.
    buffers = (_product_buffer(n), _product_buffer(n)) * (_ROUNDS // 2)
    for (products, high, low), round_key in zip(buffers, _KEY_OFFSETS + key[:, None], strict=True):
        np.multiply(lanes, _MULTIPLIERS, products)
        np.bitwise_xor(high, odd, even)
        np.bitwise_xor(even, round_key, even)
        odd = low

    words = np.empty((n, _WORDS_PER_BLOCK), np.uint32)
    words.T[0::2] = even
    words.T[1::2] = odd
    return words


def _product_buffer(n: int) -> tuple[NDArray[np.uint64], NDArray[np.uint32], NDArray[np.uint32]]:
    """Return room for two lanes of products, and its high and low halves with the lanes crossed."""
    products = np.empty((2, n), np.uint64)
    crossed = products.view(np.uint32)[::-1]
    return products, crossed[:, _HIGH::2], crossed[:, _LOW::2]


@functools.lru_cache(maxsize=1024, typed=True)
def stream_key(seed: int, stream: str) -> NDArray[np.uint32]:
    """Return the Philox key of a named stream: the BLAKE2b hash of the seed and the name.

    Args:
        seed: an integer in [0, 2**128).
        stream: any name; equal names give equal keys.

    Returns:
        `(2,)`, read-only.

    Raises:
        ConfigError: `seed` is not such an integer.
    """
    digest = hashlib.blake2b(_seed_bytes(seed) + stream.encode(), digest_size=8).digest()
    key = np.frombuffer(digest, "<u4").astype(np.uint32)
    key.flags.writeable = False
    return key


def _seed_bytes(seed: int) -> bytes:
    try:
        return operator.index(seed).to_bytes(16, "little")
    except (TypeError, OverflowError):
        raise ConfigError(f"seed must be an integer in [0, 2**128), got {seed!r}.") from None


class RowStreams:
    """Named random streams for a batch of rows, each row with its own place in time.

    A draw is a function of (seed, stream, global row, episode, step) alone. Drawing a stream twice
    without advancing `episode` or `step` therefore gives the same numbers, on purpose: for more
    numbers, ask for a larger `size` (the first ones stay as they were) or name a second stream.

    Attributes:
        episode: `(num_envs,)` uint32, the number of the row's episode. The environment advances it
            in place when it resets a row.
        step: `(num_envs,)` uint32, the number of the step within the episode. The environment
            advances it in place on every step and sets it to 0 when it resets a row.
    """

    episode: NDArray[np.uint32]
    step: NDArray[np.uint32]

    def __init__(self, seed: int, num_envs: int, row_offset: int = 0) -> None:
        """Start all rows at episode 0, step 0.

        Args:
            seed: an integer in [0, 2**128).
            num_envs: the number of rows.
            row_offset: the global number of row 0, where several processes share one numbering.

        Raises:
            ConfigError: the seed or the global rows are out of range.
        """
        _seed_bytes(seed)
        if num_envs < 1 or row_offset < 0 or row_offset + num_envs > _WORD_VALUES:
            raise ConfigError(
                "rows must satisfy num_envs >= 1, row_offset >= 0 and row_offset + num_envs <= "
                f"2**32, got num_envs={num_envs}, row_offset={row_offset}."
            )
        self._seed = seed
        self._rows = np.arange(row_offset, row_offset + num_envs, dtype=np.uint32)
        self.episode = np.zeros(num_envs, np.uint32)
        self.step = np.zeros(num_envs, np.uint32)
        self._first: dict[str, _FirstWords] = {}

    def uniform(
        self,
        stream: str,
        env_ids: NDArray[Any],
        size: int,
        low: ArrayLike = 0.0,
        high: ArrayLike = 1.0,
    ) -> NDArray[np.float32]:
        """Draw uniform numbers in [low, high), or `low` where both are equal.

        Args:
            stream: the name of the stream.
            env_ids: `(n,)` rows, or a `(num_envs,)` mask.
            size: how many numbers for each row.
            low: scalar or `(size,)`, rounded to float32.
            high: scalar or `(size,)`, rounded to float32.

        Returns:
            `(n, size)`, made of the upper 24 bits of a word each.

        Raises:
            ConfigError: a bound has another shape or is not finite, or `low > high`.
        """
        if isinstance(low, float | int) and isinstance(high, float | int):
            start, width, last = _scalar_interval(low, high, size)
        else:
            start, width, last = _interval(low, high, size)
        values = _unit(self._words(stream, env_ids, size))
        values *= width
        values += start
        # The sum rounds to `high` now and then; the interval is open there.
        return np.minimum(values, last, out=values)

    def normal(
        self,
        stream: str,
        env_ids: NDArray[Any],
        size: int,
        mean: ArrayLike = 0.0,
        std: ArrayLike = 1.0,
    ) -> NDArray[np.float32]:
        """Draw normal numbers, at most 5.8 standard deviations from the mean.

        Source: Box and Muller, "A Note on the Generation of Random Normal Deviates", 1958.

        Args:
            stream: the name of the stream.
            env_ids: `(n,)` rows, or a `(num_envs,)` mask.
            size: how many numbers for each row.
            mean: scalar or `(size,)`.
            std: scalar or `(size,)`, not negative.

        Returns:
            `(n, size)`.

        Raises:
            ConfigError: a parameter has another shape or is not finite, or `std < 0`.
        """
        mean, std = _float32("mean", mean, size), _float32("std", std, size)
        if not np.all(np.isfinite(mean) & (std >= 0.0) & (std < np.inf)):
            raise ConfigError(
                f"stream {stream!r}: need a finite mean and std >= 0, got {mean} and {std}."
            )
        words = self._words(stream, env_ids, size + size % 2)
        return mean + std * _box_muller(_unit(words))[:, :size]

    def integers(
        self,
        stream: str,
        env_ids: NDArray[Any],
        size: int,
        low: ArrayLike,
        high: ArrayLike,
    ) -> NDArray[np.int64]:
        """Draw integers in [low, high) by multiply and shift.

        The upper 32 bits of word * (high - low) favour some values over others by at most
        (high - low) / 2**32 of their probability: nothing that a simulation could notice.

        Args:
            stream: the name of the stream.
            env_ids: `(n,)` rows, or a `(num_envs,)` mask.
            size: how many numbers for each row.
            low: integer scalar or `(size,)`.
            high: integer scalar or `(size,)`.

        Returns:
            `(n, size)`.

        Raises:
            ConfigError: a bound is not an integer, has another shape, or the interval is empty or
                wider than 2**32.
        """
        low, high = _int64("low", low, size), _int64("high", high, size)
        with np.errstate(over="ignore"):
            width = np.asarray(high - low)
        if np.any((width < 1) | (width > _WORD_VALUES)):
            raise ConfigError(
                f"stream {stream!r}: need low < high <= low + 2**32, got {low} and {high}."
            )
        words = self._words(stream, env_ids, size)
        return low + (words * width.astype(np.uint64) >> np.uint64(32)).astype(np.int64)

    def state(self) -> dict[str, NDArray[np.uint32]]:
        """Return copies of the counters; seed and row offset belong to the configuration."""
        return {"episode": self.episode.copy(), "step": self.step.copy()}

    def restore(
        self, state: Mapping[str, NDArray[Any]], env_ids: NDArray[Any] | None = None
    ) -> None:
        """Set the counters to those of a `state()`, for all rows or only for `env_ids`.

        Args:
            state: the result of `state()` for the same number of rows.
            env_ids: `(n,)` rows or a `(num_envs,)` mask; `None` means all.

        Raises:
            ConfigError: `state` is of other rows or not a state; nothing is changed then.
        """
        shapes = {name: np.shape(values) for name, values in state.items()}
        expected = dict.fromkeys(("episode", "step"), self._rows.shape)
        if shapes != expected:
            raise ConfigError(f"the state of the streams must hold {expected}, got {shapes}.")
        rows = slice(None) if env_ids is None else env_ids
        self.episode[rows] = state["episode"][rows]
        self.step[rows] = state["step"][rows]

    def _words(self, stream: str, env_ids: NDArray[Any], size: int) -> NDArray[np.uint32]:
        """Return the first `size` words of a stream for each row, `(n, size)`."""
        if size < 0:
            raise ConfigError(f"stream {stream!r}: size must not be negative, got {size}.")
        blocks = -(-size // _WORDS_PER_BLOCK)
        step = self.step[env_ids]
        if np.count_nonzero(step):
            rows, episode = self._rows[env_ids], self.episode[env_ids]
            return self._blocks(stream, rows, episode, step, blocks)[:, :size]
        return self._first_words(stream, env_ids, blocks)[:, :size]

    def _first_words(self, stream: str, env_ids: NDArray[Any], blocks: int) -> NDArray[np.uint32]:
        """Return the words of rows at step 0, which ask a few at a time, when they are reset.

        Words for every row cost hardly more than words for a few, so a miss fetches all of them:
        for the rows that did not ask, those of their next episode.
        """
        known = self._first.get(stream)
        wanted = self.episode[env_ids]
        hit = known is not None and known.words.shape[1] >= blocks * _WORDS_PER_BLOCK
        if known is None or not hit or np.count_nonzero(known.episode[env_ids] != wanted):
            episode = self.episode + np.uint32(1)
            episode[env_ids] = wanted
            step = np.zeros_like(episode)
            words = self._blocks(stream, self._rows, episode, step, blocks)
            known = self._first[stream] = _FirstWords(episode, words)
        asked: NDArray[np.uint32] = known.words[env_ids]
        return asked

    def _blocks(
        self,
        stream: str,
        rows: NDArray[np.uint32],
        episode: NDArray[np.uint32],
        step: NDArray[np.uint32],
        blocks: int,
    ) -> NDArray[np.uint32]:
        """Return whole blocks of words for each row, `(n, 4 blocks)`."""
        counter = np.empty((len(rows), blocks, 4), np.uint32)
        counter[..., 0] = rows[:, None]
        counter[..., 1] = episode[:, None]
        counter[..., 2] = step[:, None]
        counter[..., 3] = np.arange(blocks)
        words = philox4x32(counter.reshape(-1, 4), stream_key(self._seed, stream))
        return words.reshape(len(rows), blocks * _WORDS_PER_BLOCK)


@dataclass(frozen=True)
class _FirstWords:
    """Words of a stream at step 0, (num_envs, 4 blocks), and the episodes that they belong to."""

    episode: NDArray[np.uint32]
    words: NDArray[np.uint32]


Interval: TypeAlias = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]


def _interval(low: ArrayLike, high: ArrayLike, size: int) -> Interval:
    """Return start, width and greatest value of [low, high)."""
    start, end = _float32("low", low, size), _float32("high", high, size)
    with np.errstate(over="ignore", invalid="ignore"):
        width = np.asarray(end - start)
    if not np.all((width >= 0.0) & (width < np.inf)):
        raise ConfigError(f"need low <= high with a finite width, got {low!r} and {high!r}.")
    return start, width, np.asarray(np.nextafter(end, start))


_scalar_interval = functools.lru_cache(maxsize=1024)(_interval)


def _unit(words: NDArray[np.uint32]) -> NDArray[np.float32]:
    """Return numbers in [0, 1) from the upper 24 bits, all that float32 holds exactly."""
    unit = (words >> np.uint32(8)).astype(np.float32)
    unit *= np.float32(2.0**-24)
    return unit


def _box_muller(unit: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn pairs of uniform numbers in [0, 1) into pairs of standard normal ones, `(n, 2 k)`."""
    radius = np.sqrt(np.float32(-2.0) * np.log(np.float32(1.0) - unit[:, 0::2]))
    angle = np.float32(2.0 * np.pi) * unit[:, 1::2]
    normal = np.empty_like(unit)
    np.multiply(radius, np.cos(angle), out=normal[:, 0::2])
    np.multiply(radius, np.sin(angle), out=normal[:, 1::2])
    return normal


def _float32(name: str, value: ArrayLike, size: int) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        array = np.asarray(value, np.float32)
    _check_shape(name, array, size)
    return array


def _int64(name: str, value: ArrayLike, size: int) -> NDArray[np.int64]:
    array = np.asarray(value)
    _check_shape(name, array, size)
    if array.dtype.kind not in "iu":
        raise ConfigError(f"{name} must be integer, got {array}.")
    return array.astype(np.int64)


def _check_shape(name: str, array: NDArray[Any], size: int) -> None:
    if array.shape not in ((), (1,), (size,)):
        raise ConfigError(f"{name} must be a scalar or of shape ({size},), got {array.shape}.")
