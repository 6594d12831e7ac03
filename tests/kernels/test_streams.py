"""What is drawn: kept tokens, windows and noise, against their formulae and distributions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import reference
from scipy.stats import chi2

from fastw2v.kernels import streams
from fastw2v.kernels.streams import Noise, Stream, draw_noise, draw_radii, fill_stream
from fastw2v.training.data import keep_thresholds, noise_tables

ZIPF = (1e6 / np.arange(1, 41) ** 1.1).astype(np.int64)
RARE = 1e-6  # how often a correct sampler would fail a test here, were its key drawn anew


def assert_distributed(observed: np.ndarray, probabilities: np.ndarray) -> None:
    """Pearson's chi-square; cells that expect fewer than 10 are joined."""
    expected = probabilities * observed.sum()
    few = expected < 10
    joined = np.append(observed[~few], observed[few].sum())
    joined_expected = np.append(expected[~few], expected[few].sum())
    if joined_expected[-1] == 0:
        assert joined[-1] == 0
        joined, joined_expected = joined[:-1], joined_expected[:-1]
    if len(joined) == 1:
        return
    statistic = ((joined - joined_expected) ** 2 / joined_expected).sum()
    assert statistic < chi2.ppf(1 - RARE, len(joined) - 1)


# --- noise ---


def drawn(noise: Noise, key: int, block: int, size: int) -> np.ndarray:
    pool_ids = np.full(size, -1, np.int32)
    draw_noise(noise, np.uint64(key), np.uint64(block), pool_ids)
    return pool_ids


@pytest.mark.parametrize("exponent", [0.75, 1.0, 0.5, 0.0, -0.5])
@pytest.mark.parametrize("counts", [ZIPF, np.array([7]), np.array([5, 5]), np.array([10**9, 1, 1])])
def test_noise_tables_hold_the_power_of_the_counts(counts, exponent):
    noise = noise_tables(counts, exponent)
    assert noise.thresholds.dtype == np.uint32
    assert noise.aliases.dtype == np.int32
    assert noise.aliases.min() >= 0
    assert noise.aliases.max() < len(counts)
    weights = counts.astype(float) ** exponent
    # each of V columns is cut to a multiple of 2**-32, and may give that much to its alias
    expected, got = weights / weights.sum(), reference.noise_distribution(noise)
    assert np.all(np.abs(got - expected) <= 2.0**-32 + 1e-12)


@pytest.mark.parametrize("exponent", [0.75, 0.0])
def test_noise_draws_follow_the_tables(exponent):
    noise = noise_tables(ZIPF, exponent)
    pool_ids = drawn(noise, 11, 0, 400_000)
    assert_distributed(np.bincount(pool_ids, minlength=40), reference.noise_distribution(noise))


def test_noise_draws_are_those_of_the_twin():
    noise = noise_tables(ZIPF, 0.75)
    for key, block in ((0, 0), (3, 2**33), (2**64 - 1, 17)):
        twin = reference.draw_noise(noise, key, block, 100, streams.NOISE_STREAM)
        assert drawn(noise, key, block, 100).tolist() == twin


def test_noise_draws_depend_on_key_and_block_alone():
    noise = noise_tables(ZIPF, 0.75)
    pool_ids = drawn(noise, 5, 8, 64)
    drawn(noise, 6, 1, 3)
    assert np.array_equal(drawn(noise, 5, 8, 64), pool_ids)
    assert np.array_equal(drawn(noise, 5, 8, 16), pool_ids[:16])  # the pool's size adds draws
    for key, block in ((5, 9), (5, 7), (6, 8), (4, 8), (8, 5)):
        assert not np.array_equal(drawn(noise, key, block, 64), pool_ids)


def test_pools_of_neighboring_blocks_and_keys_are_independent():
    """Same and next place in the pools of blocks b and b + 1, and of keys k and k + 1."""
    noise = noise_tables(np.array([4, 3, 2, 1]), 1.0)
    size, blocks = 8, 4000
    pools = np.array([drawn(noise, 2, block, size) for block in range(blocks)])
    keys = np.array([drawn(noise, key, 2, size) for key in range(blocks)])
    pair = np.outer(*[reference.noise_distribution(noise)] * 2).ravel()
    for table in (pools, keys):
        for shift in (0, 1):
            left, right = table[::2, : size - shift], table[1::2, shift:]
            assert_distributed(np.bincount((left * 4 + right).ravel(), minlength=16), pair)
        inside = table[:, 0:-1:2] * 4 + table[:, 1::2]
        assert_distributed(np.bincount(inside.ravel(), minlength=16), pair)


# --- windows ---


HALF_WINDOWS = (1, 2, 3, 4, 5, 6, 10, 25)


def radii_of(half_window: int, key: int, size: int) -> np.ndarray:
    """Of one sentence."""
    radii = np.zeros(size, np.int32)
    draw_radii(radii, np.zeros(size, np.int32), half_window, np.uint64(key))
    return radii


@pytest.mark.parametrize("half_window", HALF_WINDOWS)
def test_every_round_has_each_reach_once(half_window):
    radii = radii_of(half_window, 3, 7 * half_window + 3)
    for start in range(6 * half_window):
        round_ = radii[start : start + half_window]
        assert sorted(round_) == list(range(1, half_window + 1))


@pytest.mark.parametrize("half_window", HALF_WINDOWS)
def test_each_centers_reach_is_uniform(half_window):
    """Over keys: where a round begins is drawn."""
    radii = np.array([radii_of(half_window, key, 12) for key in range(4000)])
    for place in (0, 1, 11):
        observed = np.bincount(radii[:, place], minlength=half_window + 1)
        assert observed[0] == 0
        assert_distributed(observed[1:], np.full(half_window, 1 / half_window))


STEPS = {1: 1, 2: 1, 3: 1, 4: 1, 5: 2, 6: 1, 10: 3, 25: 9}


@pytest.mark.parametrize(("half_window", "step"), STEPS.items())
def test_reaches_are_those_of_the_twin(half_window, step):
    """Steps of about half_window/2.618 that have no factor in common with it."""
    for key in (0, 1, 8, 2**63 + 5, 2**64 - 1):
        bits = reference.random_bits(reference.derive_key(key, streams.WINDOW_STREAM), 0)
        begin = (bits >> 32) * half_window >> 32
        for size in (0, 1, 60):
            twin = [1 + (begin + place * step) % half_window for place in range(size)]
            assert radii_of(half_window, key, size).tolist() == twin


def test_every_sentence_begins_the_round_at_a_place_of_its_own():
    """Sentences of whole rounds too: no place of theirs has the same reach each time."""
    starts = np.repeat(np.arange(0, 40_000, 10), 10).astype(np.int32)
    radii = np.zeros(40_000, np.int32)
    draw_radii(radii, starts, 5, np.uint64(4))
    table = radii.reshape(-1, 10)
    for place in (0, 7):
        assert_distributed(np.bincount(table[:, place], minlength=6)[1:], np.full(5, 0.2))
    pairs = (table[:-1, 0] - 1) * 5 + table[1:, 0] - 1
    assert_distributed(np.bincount(pairs, minlength=25), np.full(25, 0.04))
    assert np.all(np.sort(table[:, 3:8], axis=1) == np.arange(1, 6))


def test_streams_of_draws_differ():
    numbers = {streams.SUBSAMPLE_STREAM, streams.WINDOW_STREAM, streams.NOISE_STREAM,
               streams.SHUFFLE_STREAM}  # fmt: skip
    assert len(numbers) == 4


# --- subsampling ---


class RowGroup(NamedTuple):
    token_ids: np.ndarray
    offsets: np.ndarray


def random_row_group(rng, lengths, vocabulary_size: int) -> RowGroup:
    token_ids = rng.integers(vocabulary_size, size=sum(lengths)).astype(np.int32)
    return RowGroup(token_ids, np.append(0, np.cumsum(lengths)).astype(np.int64))


def filled(group: RowGroup, order, thresholds, key: int) -> tuple[Stream, int]:
    n = len(group.token_ids)
    stream = Stream(
        *(np.full(n, -1, np.int32) for _ in range(3)),
        np.full(n + 1, -1, np.int64),
        np.zeros(0, np.int32),
    )
    order = np.asarray(order, np.int64)
    return stream, fill_stream(*group, order, thresholds, np.uint64(key), stream)


@pytest.mark.parametrize("subsample", [0.0, 1e-3, 1e-4, 0.5])
def test_keep_thresholds_follow_the_formula(subsample):
    thresholds = keep_thresholds(ZIPF, int(ZIPF.sum()), subsample)
    assert thresholds.dtype == np.uint64
    for count, threshold in zip(ZIPF, thresholds, strict=True):
        ratio = subsample * int(ZIPF.sum()) / count
        p = min(1.0, ratio**0.5 + ratio) if subsample else 1.0
        assert abs(float(threshold) / 2.0**32 - p) <= 2.0**-32


def test_each_word_is_kept_at_its_rate():
    rng = np.random.default_rng(2)
    group = random_row_group(rng, [50] * 8000, 40)
    thresholds = keep_thresholds(ZIPF, int(ZIPF.sum()), 1e-3)
    stream, kept = filled(group, np.arange(8000), thresholds, 4)
    p = thresholds / 2.0**32
    assert p.min() < 0.1
    occurrences = np.bincount(group.token_ids, minlength=40)
    observed = np.bincount(stream.token_ids[:kept], minlength=40)
    spread = np.sqrt(occurrences * p * (1 - p))
    assert np.all(np.abs(observed - occurrences * p) <= 5.6 * spread + 1e-9)  # 40 words: 1e-6


@pytest.mark.parametrize("subsample", [0.0, 1e-3])
def test_filled_stream_is_that_of_the_twin(subsample):
    rng = np.random.default_rng(7)
    group = random_row_group(rng, [3, 1, 0, 12, 1, 7, 0, 30, 2], 40)
    thresholds = keep_thresholds(ZIPF, int(ZIPF.sum()), subsample)
    for order in (np.arange(9), rng.permutation(9)):
        stream, kept = filled(group, order, thresholds, 31)
        twin = reference.fill_stream(*group, order, thresholds, 31, streams.SUBSAMPLE_STREAM)
        assert kept == len(twin[0])
        assert stream.word_positions[kept] == 56
        for array, expected in zip(stream[:3], twin[:3], strict=True):
            assert array[:kept].tolist() == expected
        assert stream.word_positions[: kept + 1].tolist() == twin[3]
    assert (kept == 56) == (subsample == 0)


def test_nothing_kept_is_an_empty_stream():
    group = random_row_group(np.random.default_rng(1), [4, 3], 5)
    stream, kept = filled(group, [1, 0], np.zeros(5, np.uint64), 1)
    assert kept == 0
    assert stream.word_positions[0] == 7


def test_what_is_kept_does_not_depend_on_the_order_of_sentences():
    """Draws belong to a token's place in the row group."""
    group = random_row_group(np.random.default_rng(9), [6] * 50, 3)
    thresholds = np.full(3, 1 << 31, np.uint64)

    def sentences(order):
        stream, kept = filled(group, order, thresholds, 6)
        starts = stream.sequence_starts[:kept]
        return {tuple(stream.token_ids[:kept][starts == start]) for start in np.unique(starts)}

    assert sentences(np.arange(50)) == sentences(np.arange(50)[::-1])
    other, other_kept = filled(group, np.arange(50), thresholds, 7)
    this, kept = filled(group, np.arange(50), thresholds, 6)
    assert not np.array_equal(other.token_ids[:other_kept], this.token_ids[:kept])
