"""From a batch of token ids to the stream that kernels train on: subsampling, windows, noise.

A window's *radius* is the number of tokens to each side of its center that are context.

All draws are counter-based (see `primitives.random_bits`): what is drawn for a token depends on
the key of its row group and its place there, never on threads, blocks or what was drawn before.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastw2v.kernels.primitives import (
    derive_key,
    high_half,
    kernel,
    low_half,
    random_bits,
    scaled_draw,
)

SUBSAMPLE_STREAM, WINDOW_STREAM, NOISE_STREAM, SHUFFLE_STREAM = 1, 2, 3, 4


class Stream(NamedTuple):
    """The kept tokens of one row group, in training order; n of them.

    token_ids: int32 (n,), vocabulary ids.
    sequence_starts, sequence_ends: int32 (n,), for each token where its sequence begins and ends
        (exclusive) in this stream.
    word_positions: int64 (n + 1,), how many tokens of the row group, dropped ones included, come
        before it; the last entry is the row group's length.
    radii: int32 (n,), of the windows, before the ends of the sequence cut them.
    """

    token_ids: Any
    sequence_starts: Any
    sequence_ends: Any
    word_positions: Any
    radii: Any


class Noise(NamedTuple):
    """Walker's alias table of the noise distribution over V words.

    thresholds: uint32 (V,), column v keeps v when 32 random bits are below it.
    aliases: int32 (V,), the word that it gives otherwise.
    """

    thresholds: Any
    aliases: Any


@kernel()
def window_bounds(pos, radius, start, end):
    """First and last + 1 position of the window at `pos` in a sequence from `start` to `end`."""
    return max(pos - radius, start), min(pos + radius + 1, end)


@kernel()
def window(stream, pos):
    """First and last + 1 position in `stream` of the window of the center at `pos`."""
    return window_bounds(
        pos, stream.radii[pos], stream.sequence_starts[pos], stream.sequence_ends[pos]
    )


@kernel()
def shuffle_keys(key, keys):
    """Fill `keys` (uint64) with the sort keys of a random order."""
    stream_key = derive_key(key, SHUFFLE_STREAM)
    for place in range(keys.shape[0]):
        keys[place] = random_bits(stream_key, np.uint64(place))


@kernel()
def fill_stream(token_ids, offsets, order, keep_thresholds, key, stream):
    """Fill `stream` (of at least n tokens) but for `radii`; returns how many tokens were kept.

    Args:
        token_ids: int32 (n,); offsets: int64 (m + 1,): the m sequences of a row group.
        order: int64 (m,), the order in which sequences come.
        keep_thresholds: uint64 (V,), 2**32 · p: a token stays when 32 random bits are below.
        key: uint64, the row group's.
    """
    keep = np.empty(token_ids.shape[0], np.uint8)
    _draw_keep(token_ids, keep_thresholds, derive_key(key, SUBSAMPLE_STREAM), keep)
    kept, words = 0, 0
    for sequence in order:
        start = kept
        for pos in range(offsets[sequence], offsets[sequence + 1]):
            # Written in any case: a branch on a random number would be mispredicted half the time.
            stream.token_ids[kept] = token_ids[pos]
            stream.word_positions[kept] = words
            kept += keep[pos]
            words += 1
        stream.sequence_starts[start:kept] = start
        stream.sequence_ends[start:kept] = kept
    stream.word_positions[kept] = words
    return kept


@kernel()
def _draw_keep(token_ids, keep_thresholds, stream_key, keep):
    """Fill `keep` (uint8) with 1 for the tokens that stay; a loop of its own, so it vectorizes."""
    for pos in range(token_ids.shape[0]):
        bits = high_half(random_bits(stream_key, np.uint64(pos)))
        keep[pos] = bits < keep_thresholds[token_ids[pos]]


@kernel()
def draw_radii(radii, sequence_starts, half_window, key):
    """Fill `radii` (int32 (n,)) with 1 … half_window in a mixed order, over and over.

    Where in that order a sequence begins is drawn, so that each center's radius is uniform, as
    word2vec.c's is. But any `half_window` consecutive centers of a sequence have each radius once,
    and the processor learns the order: with radii drawn one by one, every product over windows
    costs it a mispredicted branch a center (bench/LOG.md).

    Args:
        sequence_starts: int32 (n,), as in `Stream`.
        key: uint64, the row group's.
    """
    stream_key = derive_key(key, WINDOW_STREAM)
    step = _golden_step(half_window)
    place = 0
    for pos in range(radii.shape[0]):
        if pos == sequence_starts[pos]:
            place = scaled_draw(high_half(random_bits(stream_key, np.uint64(pos))), half_window)
        radii[pos] = 1 + place
        place += step
        if place >= half_window:
            place -= half_window


@kernel()
def _golden_step(count):
    """The step nearest to count/2.618 (the golden section) that visits all of 0 … count − 1."""
    best, distance = 1, float(count)
    for step in range(1, count):
        a, b = count, step
        while b > 0:
            a, b = b, a % b
        if a == 1 and abs(step - count / 2.618) < distance:
            best, distance = step, abs(step - count / 2.618)
    return best


@kernel()
def draw_noise(noise, key, block, pool_ids):
    """Fill `pool_ids` (int32) with draws from the noise distribution for block number `block`."""
    stream_key = derive_key(derive_key(key, NOISE_STREAM), block)
    for n in range(pool_ids.shape[0]):
        pool_ids[n] = draw_word(noise, random_bits(stream_key, np.uint64(n)))


@kernel()
def draw_word(noise, bits):
    """A word id from the noise distribution, from 64 random bits."""
    column = scaled_draw(high_half(bits), noise.thresholds.shape[0])
    if low_half(bits) < np.uint64(noise.thresholds[column]):
        return column
    return np.int64(noise.aliases[column])


@kernel()
def fill_alias_table(probabilities, thresholds, aliases):
    """Vose's construction (1991) of Walker's alias table from float64 (V,) that sum to 1."""
    count = probabilities.shape[0]
    scaled = probabilities * count
    small, large = np.empty(count, np.int64), np.empty(count, np.int64)
    smalls, larges = 0, 0
    for column in range(count):
        if scaled[column] < 1.0:
            small[smalls] = column
            smalls += 1
        else:
            large[larges] = column
            larges += 1
    while smalls > 0 and larges > 0:
        less, more = small[smalls - 1], large[larges - 1]
        smalls -= 1
        thresholds[less] = np.uint32(min(scaled[less] * 4294967296.0, 4294967295.0))
        aliases[less] = more
        scaled[more] -= 1.0 - scaled[less]
        if scaled[more] < 1.0:
            larges -= 1
            small[smalls] = more
            smalls += 1
    for place in range(smalls):  # what is left is 1 up to rounding
        thresholds[small[place]] = np.uint32(4294967295)
        aliases[small[place]] = small[place]
    for place in range(larges):
        thresholds[large[place]] = np.uint32(4294967295)
        aliases[large[place]] = large[place]


def new_noise(probabilities: np.ndarray) -> Noise:
    """The alias table of a distribution, float64 (V,)."""
    words = len(probabilities)
    noise = Noise(np.empty(words, np.uint32), np.empty(words, np.int32))
    fill_alias_table(probabilities, noise.thresholds, noise.aliases)
    return noise
