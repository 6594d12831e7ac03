"""Any text, any options, any way of cutting the work: stores are what plain Python makes of it."""

from __future__ import annotations

import dataclasses
import gzip
import itertools
import random
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from preprocess_helper import (
    SMALL,
    content_of,
    counts_of,
    naive_sequences,
    sentences_of,
    write_corpus,
)

from fastw2v.errors import UsageError
from fastw2v.store.config import PreprocessConfig
from fastw2v.store.pipeline import preprocess
from fastw2v.store.workers import WorkerPool
from fastw2v.text.config import Layout
from fastw2v.text.tokenizer import Tokenizer

# Stop words are told in a form that the text has in another one, too.
STOP_TEXT = "the it's é fig"

WORDS = [
    "the", "The", "a", "b", "C", "it’s", "it's", "don't", "é", "e\u0301", "É", "a-b", "?", "'x''",
    "…", "12", "٣٤", "ﬁg", "fig", "İ", "Σσ", "हिन्दी", "中文", "𝔘", "👩\u200d👧", "abcdefghi", "_",
    "w" * 60,
]  # fmt: skip
GAPS = [" ", " ", " ", "\n", "\n", "\r\n", "\t", "\0", "\v", "\u3000", "\x85", "  \n\n", "\ufeff"]
# What has no space or line end in it stays well below the size of a block, which would cut it.
PIECES = st.sampled_from(WORDS) | st.text(max_size=8)
BYTES = st.sampled_from([b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf0\x9f", b"ab\xe2\x82cd"])


@st.composite
def texts(draw):
    """Bytes of a file that is not empty: any Unicode, with some bytes that are none."""
    parts = []
    for _ in range(draw(st.integers(1, 25))):
        parts.append(draw(PIECES).encode())
        if draw(st.integers(0, 9)) == 0:
            parts.append(draw(BYTES))
        parts.append(draw(st.sampled_from(GAPS)).encode())
    return b"".join(parts)


OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "tokenizer": st.sampled_from(
            ["words", "whitespace", "characters", r"regex:\w+", r"regex:(\S+ )\S"]
        ),
        "lowercase": st.just(False),
        "strip_accents": st.just(True),
        "unicode": st.sampled_from(["nfc", "nfkc"]),
        "digits": st.just("zero"),
        "min_token_length": st.integers(1, 3),
        "max_token_length": st.integers(3, 9),
        "min_sequence_length": st.integers(1, 5),
        "max_sequence_length": st.integers(0, 5),
        "stopwords": st.just("stop.txt"),
        "errors": st.just("skip"),
        "min_count": st.integers(2, 4),
        "max_vocab": st.integers(2, 6),
    },
)
LAYOUTS = st.builds(
    Layout,
    unit_bytes=st.sampled_from([60, 300, 10**6]),
    small_unit_bytes=st.sampled_from([1, 200]),
    block_bytes=st.sampled_from([100, 1 << 20]),
    row_group_tokens=st.sampled_from([1, 7, 10**6]),
    local_tokens=st.sampled_from([1, 4, 10**6]),
)


class Naive:
    """What plain Python makes of the files; only the tokenizer is borrowed (it has its own twin).

    Attributes:
        tokens: of each line, all. too_short_or_long, stopped: how many of them are left out.
        sequences: before the vocabulary. kept: the vocabulary, in its order.
    """

    def __init__(self, files: list[bytes], config: PreprocessConfig) -> None:
        any_length = dataclasses.replace(config, min_token_length=1, max_token_length=None)
        words_of = Tokenizer(any_length).words_of
        self.texts = [self.decoded(file, config.errors) for file in files]
        self.tokens = [words_of(line) for text in self.texts for line in self.lines_of(text)]
        least, most = config.min_token_length, config.max_token_length or 10**9
        right = [[token for token in line if least <= len(token) <= most] for line in self.tokens]
        self.too_short_or_long = count(self.tokens) - count(right)
        stop = {token for token in words_of(STOP_TEXT) if least <= len(token) <= most}
        self.no_stopwords = config.stopwords and not stop
        stop = stop if config.stopwords else set()
        self.stopped = sum(token in stop for line in right for token in line)
        least, most = config.min_sequence_length, config.max_sequence_length
        self.sequences = list(naive_sequences(right, stop, least, most))
        self.counts = Counter(itertools.chain(*self.sequences))
        frequent = [word for word, times in self.counts.items() if times >= config.min_count]
        order = sorted(frequent, key=lambda word: (-self.counts[word], word))
        self.kept = order[: config.max_vocab]

    def decoded(self, file: bytes, errors: str) -> str:
        text = file.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
        other = " " if errors == "replace" else ""
        return "".join(other if "\udc80" <= c <= "\udcff" else c for c in text)

    def lines_of(self, text: str) -> list[str]:
        return text.removesuffix("\n").split("\n") if text else []

    @property
    def sentences(self) -> list[list[str]]:
        kept = set(self.kept)
        sentences = ([word for word in words if word in kept] for words in self.sequences)
        return [sentence for sentence in sentences if sentence]


def count(lines) -> int:
    return sum(map(len, lines))


@settings(max_examples=80, deadline=None)
@given(files=st.lists(texts(), min_size=1, max_size=3), options=OPTIONS, layout=LAYOUTS)
def test_the_store_is_what_plain_python_makes_of_the_text(files, options, layout):
    options = {"min_count": 1, **options}
    naive = Naive(files, PreprocessConfig(**options))
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        paths = []
        for number, content in enumerate(files):
            paths.append(directory / f"{number}.txt{'.gz' if number == 1 else ''}")
            paths[-1].write_bytes(gzip.compress(content) if number == 1 else content)
        (directory / "stop.txt").write_text(STOP_TEXT)
        if "stopwords" in options:
            options["stopwords"] = str(directory / "stop.txt")
        call = {"layout": layout, "threads": 1, **options}
        if len(naive.kept) < 2 or naive.no_stopwords:
            with pytest.raises(UsageError, match=r"different words|stop\.txt: no word in it"):
                preprocess(paths, directory / "store", **call)
            assert not (directory / "store").exists()
            return
        report = preprocess(paths, directory / "store", **call)
        assert sentences_of(directory / "store") == naive.sentences
        assert list(counts_of(directory / "store").items()) == [
            (word, naive.counts[word]) for word in naive.kept
        ]
    assert_accounted(report, naive, files, options)


def assert_accounted(report, naive, files, options):
    """The account balances, and every number in it is the right one."""
    assert report.balanced
    counts, words = naive.counts, count(naive.sequences)
    assert report.tokens_read == count(naive.tokens)
    assert report.tokens_too_short_or_long == naive.too_short_or_long
    assert report.tokens_stopwords == naive.stopped
    in_sequences = report.tokens_read - naive.too_short_or_long - naive.stopped
    assert report.tokens_in_short_lines == in_sequences - words
    assert report.tokens_kept == sum(counts[word] for word in naive.kept)
    rare = sum(times for times in counts.values() if times < options["min_count"])
    assert report.tokens_below_min_count == rare
    assert report.tokens_beyond_max_vocab == words - rare - report.tokens_kept
    assert report.different_tokens == len(counts)
    assert report.vocabulary_size == len(naive.kept)
    assert report.sentences == len(naive.sentences)
    assert report.lines == len(naive.tokens)
    assert report.empty_lines == sum(not line for line in naive.tokens)
    assert report.text_bytes == sum(map(len, files))
    assert report.nul_bytes == sum(file.count(b"\0") for file in files)
    escaped = "".join(file.decode("utf-8", "surrogateescape") for file in files)
    assert report.undecodable_bytes == sum("\udc80" <= c <= "\udcff" for c in escaped)


# --- the way the work is done makes no difference ---


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, corpus):
    """The files of a store made by one worker, one unit after the other."""
    place = tmp_path_factory.mktemp("store") / "s"
    preprocess(corpus, place, threads=1, min_count=2, layout=SMALL)
    files = content_of(place)
    assert len(files) > 12
    return files


@pytest.mark.parametrize("threads", [2, 3])
def test_the_bytes_do_not_depend_on_workers(tmp_path, corpus, undisturbed, threads):
    preprocess(corpus, tmp_path / "s", threads=threads, min_count=2, layout=SMALL)
    assert content_of(tmp_path / "s") == undisturbed


@pytest.mark.parametrize("seed", range(4))
def test_the_bytes_do_not_depend_on_the_order_of_units(
    tmp_path, corpus, undisturbed, seed, monkeypatch
):
    rng, real = random.Random(seed), WorkerPool.run

    def run_in_any_order(pool, jobs, *arguments):
        jobs = rng.sample(jobs, len(jobs))
        return dict(rng.sample(list(real(pool, jobs, *arguments).items()), len(jobs)))

    monkeypatch.setattr(WorkerPool, "run", run_in_any_order)
    preprocess(corpus, tmp_path / "s", threads=1, min_count=2, layout=SMALL)
    assert content_of(tmp_path / "s") == undisturbed


def test_words_and_sentences_do_not_depend_on_the_layout(tmp_path, corpus):
    stores = []
    for number, layout in enumerate([SMALL, Layout(), Layout(block_bytes=500, local_tokens=5)]):
        place = tmp_path / f"{number}"
        preprocess(corpus, place, threads=1, layout=layout)
        stores.append(((place / "vocabulary.parquet").read_bytes(), sentences_of(place)))
    assert stores[0] == stores[1] == stores[2]


# --- approximate counts ---


def zipf_lines(seed: int, tokens: int, different: int) -> list[list[str]]:
    rng = np.random.default_rng(seed)
    ranks = (different ** rng.random(tokens)).astype(int)  # about 1 / rank
    words = [f"w{rank}" for rank in ranks]
    return [words[at : at + 20] for at in range(0, tokens, 20)]


def test_approximate_counts_keep_to_the_error_that_they_tell(tmp_path):
    lines = zipf_lines(1, 60_000, 30_000)
    (tmp_path / "t").write_text("\n".join(map(" ".join, lines)) + "\n")
    layout = Layout(unit_bytes=70_000, block_bytes=2000)
    call = {"layout": layout, "threads": 1}
    report = preprocess(tmp_path / "t", tmp_path / "s", approximate_vocab=1000, min_count=5, **call)
    exact = Counter(itertools.chain(*lines))
    found, error = counts_of(tmp_path / "s"), report.count_error
    assert 0 < error < 60  # else there would be nothing to show
    assert all(exact[word] - error <= times <= exact[word] for word, times in found.items())
    assert any(times < exact[word] for word, times in found.items())
    assert all(word in found for word, times in exact.items() if times >= 5 + error)
    assert report.balanced
    assert report.tokens_kept == sum(exact[word] for word in found)  # sentences are whole
    assert report.tokens_outside_vocabulary == 60_000 - report.tokens_kept
    kept = ([word for word in line if word in found] for line in lines)
    assert sentences_of(tmp_path / "s") == [line for line in kept if line]


def test_approximate_counts_of_few_words_are_exact(tmp_path, corpus):
    reports = [
        preprocess(corpus, tmp_path / f"{most}", approximate_vocab=most, layout=SMALL, threads=1)
        for most in (None, 1000)
    ]
    assert counts_of(tmp_path / "None") == counts_of(tmp_path / "1000")
    assert sentences_of(tmp_path / "None") == sentences_of(tmp_path / "1000")
    assert reports[1].count_error == 0
    assert reports[1].tokens_kept == reports[0].tokens_kept
