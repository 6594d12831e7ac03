"""Numbers of a corpus against the plainest way of computing them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastw2v.errors import DataError, UsageError
from fastw2v.plots import corpus as store_plots
from fastw2v.plots import style as figures
from fastw2v.store.format import TokenStore
from fastw2v.store.inspect import (
    QUANTILES,
    SentenceLengths,
    coverage,
    kept_by_min_count,
    least_known_min_count,
    sentence_lengths,
)
from fastw2v.store.pipeline import preprocess
from fastw2v.text.config import Layout

COUNTS = np.array([4, 100, 1, 20, 20, 5])  # 150 in all


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Three parts of several row groups."""
    directory = tmp_path_factory.mktemp("made")
    rng = np.random.default_rng(3)
    with open(directory / "text.txt", "w") as file:
        for length in rng.integers(1, 40, 500):
            file.write(" ".join(f"w{n}" for n in rng.integers(0, 50, length)) + "\n")
    layout = Layout(unit_bytes=15_000, row_group_tokens=500)
    preprocess(directory / "text.txt", directory / "store", threads=1, min_count=1, layout=layout)
    return TokenStore.open(directory / "store")


def test_coverage_is_of_the_most_frequent_words():
    assert coverage(COUNTS, [1, 2, 3, 5]) == [
        (1, 100 / 150), (2, 120 / 150), (3, 140 / 150), (5, 149 / 150), (6, 1.0),
    ]  # fmt: skip
    assert coverage(COUNTS, [6, 7]) == [(6, 1.0)]
    assert coverage(np.zeros(0, dtype=np.int64)) == []
    assert [size for size, _ in coverage(np.ones(1200, dtype=np.int64))] == [
        100, 200, 500, 1000, 1200,
    ]  # fmt: skip


@given(st.lists(st.integers(1, 60), min_size=1, max_size=40))
def test_kept_words_and_tokens_are_those_that_occur_so_often(counts):
    for kept in kept_by_min_count(np.array(counts), (1, 2, 5, 10, 50, 61)):
        expected = [count for count in counts if count >= kept.min_count]
        assert (kept.words, kept.tokens) == (len(expected), sum(expected))
        assert kept.share == pytest.approx(sum(expected) / sum(counts))


@pytest.mark.parametrize(
    ("note", "least"),
    [
        ({"settings": {"min_count": 3}}, 3),
        ({"settings": {"min_count": 1, "max_vocab": None}, "report": {}}, 1),
        ({"settings": {"min_count": 3}, "report": {"tokens_beyond_max_vocab": 0}}, 3),
        # Cut by --max-vocab: of the words that occur 4 times some may have been left out.
        ({"settings": {"min_count": 3}, "report": {"tokens_beyond_max_vocab": 7}}, 5),
        ({"settings": {"min_count": 3, "max_vocab": 9}}, 5),
        ({"settings": {"min_count": 5, "vocabulary": "other.txt"}}, 5),
        ({}, 5),
    ],
)
def test_what_was_left_out_is_not_known(note, least):
    assert least_known_min_count(np.array([9, 4, 6]), note) == least
    assert least_known_min_count(np.array([9, 1, 6]), {}) == 1


@given(st.lists(st.integers(1, 300), min_size=1, max_size=60))
def test_lengths_have_the_quantiles_of_the_sentences(lengths):
    values, sentences = np.unique(lengths, return_counts=True)
    found = SentenceLengths(values, sentences)
    assert found.total == len(lengths)
    assert found.mean == pytest.approx(np.mean(lengths))
    for share in (*QUANTILES, 1.0):
        assert found.quantile(share) == np.quantile(lengths, share, method="inverted_cdf")
    table = found.by_powers_of_two()
    assert sum(count for *_, count in table) == len(lengths)
    for low, high, count in table:
        assert count == sum(low <= length <= high for length in lengths)
    assert [high + 1 for _, high, _ in table[:-1]] == [low for low, *_ in table[1:]]


@pytest.mark.parametrize("threads", [1, 3])
def test_lengths_are_those_in_the_store(store, threads):
    assert store.num_row_groups > 6
    seen = []
    found = sentence_lengths(store, lambda *told: seen.append(told), threads=threads)
    expected = Counter(
        length
        for index in range(store.num_row_groups)
        for length in np.diff(store.read_row_group(index)[1]).tolist()
    )
    assert dict(zip(found.lengths.tolist(), found.sentences.tolist(), strict=True)) == expected
    assert found.total == store.num_sentences
    done = [told[1] for told in seen]
    assert done == sorted(done)
    assert seen[-1][1] == seen[-1][2] == sum(part["bytes"] for part in store.manifest["parts"])


def test_a_damaged_part_is_named(store, monkeypatch):
    def read(index):
        raise DataError(f"part of {index}: damaged")

    monkeypatch.setattr(store, "read_row_group", read)
    with pytest.raises(DataError, match="part of 0"):
        sentence_lengths(store, threads=2)


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg"])
def test_the_picture_is_drawn(tmp_path, suffix):
    lengths = SentenceLengths(np.array([1, 5, 900]), np.array([900, 99, 1]))
    counts = np.arange(3000, 0, -1)
    path = tmp_path / f"corpus{suffix}"
    store_plots.plot_corpus(counts, lengths, path, "a $strange_ title^")
    assert path.stat().st_size > 5000
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("counts", "lengths"),
    [
        ([7], None),
        ([7, 5], SentenceLengths(np.array([3]), np.array([4]))),
        ([1] * 10, SentenceLengths(np.zeros(0, dtype=int), np.zeros(0, dtype=int))),
        ([2**50, 1], SentenceLengths(np.array([10**6, 10**7]), np.array([1, 1]))),
    ],
)
def test_small_and_odd_corpora_can_be_drawn(tmp_path, counts, lengths):
    store_plots.plot_corpus(np.array(counts), lengths, tmp_path / "c.png", "odd")
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")


def test_the_bars_are_the_sentences_and_say_what_is_not_drawn():
    from matplotlib.figure import Figure

    lengths = SentenceLengths(np.array([1, 2, 9, 5000]), np.array([500, 300, 198, 2]))
    axes = Figure().add_subplot()
    store_plots._draw_lengths(axes, lengths)
    heights = {round(bar.get_x() + 0.5): bar.get_height() for bar in axes.patches}
    assert {x: round(height, 6) for x, height in heights.items() if height} == {
        1: 50.0, 2: 30.0, 9: 19.8,
    }  # fmt: skip
    assert "0.2 % are longer, up to 5,000" in axes.get_legend().get_title().get_text()


def test_the_coverage_curve_goes_through_the_coverage():
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    falling = np.array([60, 30, 10])
    store_plots._draw_coverage(axes, falling)
    line = axes.lines[0]
    assert line.get_xdata().tolist() == [1, 2, 3]
    assert line.get_ydata().tolist() == pytest.approx([60, 90, 100])


def test_what_cannot_be_drawn_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no words"):
        store_plots.plot_corpus(np.zeros(0, dtype=int), None, tmp_path / "c.png", "none")
    with pytest.raises(UsageError, match="picture format"):
        store_plots.plot_corpus(COUNTS, None, tmp_path / "c.gif", "gif")
    assert figures.SUFFIXES == (".png", ".pdf", ".svg")
