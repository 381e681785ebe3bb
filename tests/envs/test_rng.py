"""Counters in, numbers out: known answers, fair draws, and rows that ignore their neighbours."""

import numpy as np
import pytest
from motrix_envs.errors import ConfigError
from motrix_envs.rng import RowStreams, philox4x32, stream_key

# From the file `kat_vectors` of Random123: counter, key, words of philox4x32 with 10 rounds.
KNOWN_ANSWERS = [
    (
        [0x00000000, 0x00000000, 0x00000000, 0x00000000],
        [0x00000000, 0x00000000],
        [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8],
    ),
    (
        [0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF],
        [0xFFFFFFFF, 0xFFFFFFFF],
        [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD],
    ),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]


def every_draw(streams, env_ids):
    """One array per kind of draw, sizes that do and do not fill a block."""
    return [
        streams.uniform("a", env_ids, 3, -1.0, 2.0),
        streams.uniform("b", env_ids, 8),
        streams.normal("c", env_ids, 5, 1.0, 0.3),
        streams.integers("d", env_ids, 6, -4, 9),
    ]


def at_some_time(num_envs, row_offset=0):
    """Streams whose rows are in different episodes and steps, by global row."""
    streams = RowStreams(7, num_envs, row_offset)
    rows = row_offset + np.arange(num_envs)
    streams.episode += (rows % 5).astype(np.uint32)
    streams.step += (rows % 11).astype(np.uint32)
    return streams


# ---- Philox ----


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN_ANSWERS)
def test_known_answers(counter, key, words):
    result = philox4x32(np.array([counter], np.uint32), np.array(key, np.uint32))
    assert result.dtype == np.uint32
    assert result.tolist() == [words]


def test_blocks_do_not_depend_on_the_batch():
    counter = np.arange(4 * 301, dtype=np.uint32).reshape(-1, 4)
    key = np.array([3, 5], np.uint32)
    together = philox4x32(counter, key)
    apart = np.concatenate([philox4x32(row[None], key) for row in counter])
    np.testing.assert_array_equal(together, apart)


def test_philox_leaves_its_arguments_alone_and_takes_none_or_strided_ones():
    key = np.array([3, 5], np.uint32)
    counter = np.arange(48, dtype=np.uint32).reshape(6, 8)
    before = counter.copy()
    strided = philox4x32(counter[:, ::2], key)
    np.testing.assert_array_equal(counter, before)
    np.testing.assert_array_equal(strided, philox4x32(counter[:, ::2].copy(), key))
    assert philox4x32(np.empty((0, 4), np.uint32), key).shape == (0, 4)


# ---- keys ----


def test_keys_are_stable_and_distinct():
    # Written down, so that no release silently changes every experiment.
    assert stream_key(0, "reset").tolist() == [2525591171, 1399455676]
    keys = {tuple(stream_key(seed, name)) for seed in range(50) for name in "abcdefgh"}
    assert len(keys) == 400
    assert stream_key(2**128 - 1, "a").shape == (2,)


def test_keys_are_shared_and_therefore_read_only():
    assert stream_key(1, "a") is stream_key(1, "a")
    with pytest.raises(ValueError, match="read-only"):
        stream_key(1, "a")[0] = 0


@pytest.mark.parametrize("seed", [-1, 2**128, 1.0, "1", None])
def test_impossible_seeds(seed):
    with pytest.raises(ConfigError, match=r"seed must be an integer in \[0, 2\*\*128\)"):
        stream_key(seed, "a")
    with pytest.raises(ConfigError, match="seed"):
        RowStreams(seed, 4)


def test_numpy_integers_are_seeds():
    np.testing.assert_array_equal(stream_key(np.int64(5), "a"), stream_key(5, "a"))


# ---- distributions ----


def distance_to_cdf(sample, cdf):
    """Kolmogorov and Smirnov's statistic times sqrt(n); 1.95 is passed by 1 in 1000."""
    sample = np.sort(sample)
    n = len(sample)
    ranks = np.arange(n + 1) / n
    values = cdf(sample)
    return np.sqrt(n) * max(np.max(ranks[1:] - values), np.max(values - ranks[:-1]))


def normal_cdf(x):
    """Integrate the density by the trapezoidal rule: enough for a test."""
    grid = np.linspace(-8.0, 8.0, 20001)
    density = np.exp(-(grid**2) / 2) / np.sqrt(2 * np.pi)
    steps = np.diff(grid) * (density[1:] + density[:-1]) / 2
    return np.interp(x, grid, np.concatenate([[0.0], np.cumsum(steps)]))


def test_uniform_is_uniform():
    values = RowStreams(1, 4000).uniform("u", np.arange(4000), 50).astype(np.float64)
    assert values.min() >= 0.0
    assert values.max() < 1.0
    assert abs(values.mean() - 1 / 2) < 4 * np.sqrt(1 / 12 / values.size)
    assert abs(values.var() - 1 / 12) < 4 * np.sqrt(1 / 180 / values.size)
    assert distance_to_cdf(values.ravel(), lambda x: x) < 1.95


def test_normal_is_normal():
    values = RowStreams(1, 4000).normal("n", np.arange(4000), 51).astype(np.float64)
    assert abs(values.mean()) < 4 / np.sqrt(values.size)
    assert abs(values.var() - 1.0) < 4 * np.sqrt(2 / values.size)
    assert distance_to_cdf(values.ravel(), normal_cdf) < 1.95
    assert np.abs(values).max() < 5.8


def test_the_two_halves_of_a_normal_pair_are_uncorrelated():
    values = RowStreams(2, 50_000).normal("n", np.arange(50_000), 2).astype(np.float64)
    for power in (1, 2):
        correlation = np.corrcoef((values**power).T)[0, 1]
        assert abs(correlation) < 4 / np.sqrt(len(values))


def test_integers_are_uniform():
    values = RowStreams(1, 5000).integers("i", np.arange(5000), 20, -3, 4)
    assert values.dtype == np.int64
    counts = np.bincount(values.ravel() + 3, minlength=7)
    expected = values.size / 7
    assert len(counts) == 7
    assert np.sum((counts - expected) ** 2 / expected) < 22.5  # chi2, 6 degrees: 1 in 1000


def test_rows_episodes_steps_and_columns_are_uncorrelated():
    streams = RowStreams(3, 20_000)
    rows = np.arange(20_000)
    draws = list(streams.uniform("a", rows, 6).T)
    streams.step += np.uint32(1)
    draws.append(streams.uniform("a", rows, 1)[:, 0])
    streams.episode += np.uint32(1)
    draws.append(streams.uniform("a", rows, 1)[:, 0])
    draws.append(streams.uniform("b", rows, 1)[:, 0])
    draws.append(np.roll(draws[0], 1))
    correlation = np.corrcoef(np.array(draws, np.float64)) - np.eye(len(draws))
    assert np.abs(correlation).max() < 4.5 / np.sqrt(len(rows))


def test_bounds_per_column():
    low, high = np.array([0.0, -2.0, 5.0]), [1.0, -1.0, 5.0]
    values = RowStreams(1, 1000).uniform("u", np.arange(1000), 3, low, high)
    assert values.dtype == np.float32
    assert np.all(values >= np.array(low, np.float32))
    assert np.all(values[:, :2] < np.array(high[:2], np.float32))
    assert np.all(values[:, 2] == 5.0)
    spread = RowStreams(1, 1000).normal("n", np.arange(1000), 2, [3.0, 0.0], [0.0, 1.0])
    assert np.all(spread[:, 0] == 3.0)
    picks = RowStreams(1, 1000).integers("i", np.arange(1000), 2, [0, 10], [1, 13])
    assert np.all(picks[:, 0] == 0)
    assert set(picks[:, 1]) == {10, 11, 12}


def test_high_is_excluded_even_where_the_sum_rounds_to_it():
    # Between 2**24 and 2**24 + 2 float32 has no other number, so a naive sum gives `high` often.
    values = RowStreams(1, 500).uniform("u", np.arange(500), 4, 2.0**24, 2.0**24 + 2)
    assert np.all(values == 2.0**24)


def test_the_widest_integers():
    values = RowStreams(1, 500).integers("i", np.arange(500), 4, -(2**31), 2**31)
    assert values.min() < -(2**30)
    assert values.max() > 2**30


# ---- independence ----


@pytest.mark.parametrize("num_envs", [1, 3, 17, 512])
def test_rows_do_not_depend_on_the_batch(num_envs):
    reference = every_draw(at_some_time(512), np.arange(512))
    streams = at_some_time(num_envs)
    picker = np.random.default_rng(num_envs)
    for count in {1, min(2, num_envs), num_envs}:
        env_ids = picker.permutation(num_envs)[:count]
        for drawn, expected in zip(every_draw(streams, env_ids), reference, strict=True):
            np.testing.assert_array_equal(drawn, expected[env_ids])


@pytest.mark.parametrize(("row_offset", "num_envs"), [(0, 3), (1, 1), (37, 17), (500, 12)])
def test_processes_share_one_numbering(row_offset, num_envs):
    reference = every_draw(at_some_time(512), np.arange(512))
    part = every_draw(at_some_time(num_envs, row_offset), np.arange(num_envs))
    for drawn, expected in zip(part, reference, strict=True):
        np.testing.assert_array_equal(drawn, expected[row_offset : row_offset + num_envs])


def test_masks_pick_rows_too():
    streams = at_some_time(9)
    mask = np.arange(9) % 2 == 0
    for masked, listed in zip(
        every_draw(streams, mask), every_draw(streams, np.flatnonzero(mask)), strict=True
    ):
        np.testing.assert_array_equal(masked, listed)


def test_a_new_stream_changes_no_other():
    alone, together = RowStreams(4, 8), RowStreams(4, 8)
    rows = np.arange(8)
    for _ in range(3):
        together.normal("noise", rows, 12)
        np.testing.assert_array_equal(
            alone.uniform("reset", rows, 4), together.uniform("reset", rows, 4)
        )
        alone.step += np.uint32(1)
        together.step += np.uint32(1)


def test_the_same_place_gives_the_same_numbers_and_a_larger_size_more_of_them():
    streams, rows = at_some_time(6), np.arange(6)
    for draw in (streams.uniform, streams.normal):
        few, many = draw("a", rows, 3), draw("a", rows, 10)
        np.testing.assert_array_equal(few, many[:, :3])
        assert len(np.unique(many)) == many.size


@pytest.mark.parametrize("counter", ["episode", "step"])
def test_counters_move_only_their_own_rows(counter):
    streams, rows = RowStreams(4, 6), np.arange(6)
    before = streams.uniform("a", rows, 4)
    getattr(streams, counter)[2] += 1
    after = streams.uniform("a", rows, 4)
    np.testing.assert_array_equal(np.flatnonzero(np.any(before != after, axis=1)), [2])


def test_seeds_differ():
    first, second = (RowStreams(seed, 6).uniform("a", np.arange(6), 4) for seed in (1, 2))
    assert not np.any(first == second)


# ---- state ----


def test_state_round_trip():
    streams, rows = at_some_time(6), np.arange(6)
    saved, before = streams.state(), every_draw(streams, rows)
    streams.episode += np.uint32(3)
    streams.step[:] = 0
    assert saved["episode"].tolist() == [0, 1, 2, 3, 4, 0]
    streams.restore(saved)
    for drawn, expected in zip(every_draw(streams, rows), before, strict=True):
        np.testing.assert_array_equal(drawn, expected)


def test_restore_some_rows():
    streams = RowStreams(1, 4)
    saved = streams.state()
    counters = streams.episode
    streams.episode += np.uint32(5)
    streams.step += np.uint32(9)
    streams.restore(saved, np.array([1, 3]))
    assert streams.episode is counters
    assert streams.episode.tolist() == [5, 0, 5, 0]
    assert streams.step.tolist() == [9, 0, 9, 0]


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"episode": np.zeros(4, np.uint32)},
        {"episode": np.zeros(4, np.uint32), "step": np.zeros(3, np.uint32)},
        {"episode": np.zeros(4), "step": np.zeros(4), "other": np.zeros(4)},
    ],
)
def test_a_state_of_other_rows_is_refused(state):
    streams = RowStreams(1, 4)
    streams.episode += np.uint32(2)
    with pytest.raises(ConfigError, match="state of the streams must hold"):
        streams.restore(state)
    assert streams.episode.tolist() == [2, 2, 2, 2]


# ---- edges and errors ----


def test_nothing_to_draw():
    streams = RowStreams(1, 4)
    assert streams.uniform("a", np.arange(4), 0).shape == (4, 0)
    assert streams.normal("a", np.arange(4), 0).shape == (4, 0)
    assert streams.integers("a", np.empty(0, np.int64), 3, 0, 2).shape == (0, 3)


@pytest.mark.parametrize(
    ("num_envs", "row_offset"), [(0, 0), (-1, 0), (4, -1), (1, 2**32), (2, 2**32 - 1)]
)
def test_impossible_rows(num_envs, row_offset):
    with pytest.raises(ConfigError, match=f"got num_envs={num_envs}, row_offset={row_offset}"):
        RowStreams(0, num_envs, row_offset)


def test_the_last_global_row_exists():
    assert RowStreams(0, 1, 2**32 - 1).uniform("a", np.arange(1), 1).shape == (1, 1)


@pytest.mark.parametrize(
    ("low", "high"),
    [
        *[(1.0, 0.0), (0.0, np.inf), (-np.inf, 0.0), (np.inf, np.inf), (0.0, np.nan)],
        *[(-3e38, 3e38), (0.0, 1e300)],
        *[([0.0, 0.0], 1.0), ([0.0, 0.0, 2.0], 1.0), (0.0, np.ones((2, 3)))],
    ],
)
def test_impossible_uniform_bounds(low, high):
    with pytest.raises(ConfigError, match=r"low|high"):
        RowStreams(0, 2).uniform("a", np.arange(2), 3, low, high)


@pytest.mark.parametrize(
    ("mean", "std"),
    [(0.0, -1.0), (np.nan, 1.0), (0.0, np.inf), (0.0, np.nan), ([0.0, 0.0], 1.0), (1e300, 1.0)],
)
def test_impossible_normal_parameters(mean, std):
    with pytest.raises(ConfigError, match=r"mean|std"):
        RowStreams(0, 2).normal("a", np.arange(2), 3, mean, std)


@pytest.mark.parametrize(
    ("low", "high"),
    [(0, 0), (3, 1), (0, 2**32 + 1), (0.0, 2.0), (0, [1, 2]), (-(2**63), 2**63 - 1)],
)
def test_impossible_integer_bounds(low, high):
    with pytest.raises(ConfigError, match=r"low|high"):
        RowStreams(0, 2).integers("a", np.arange(2), 3, low, high)


def test_negative_sizes_and_unknown_rows():
    streams = RowStreams(0, 2)
    with pytest.raises(ConfigError, match="size must not be negative, got -1"):
        streams.uniform("a", np.arange(2), -1)
    with pytest.raises(IndexError):
        streams.uniform("a", np.array([2]), 1)
