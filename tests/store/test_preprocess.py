"""The preprocessor from end to end: what is kept, what is counted, what options do."""

from __future__ import annotations

import collections
import gzip
import json

import pytest
from preprocess_helper import (
    SMALL,
    counts_of,
    run_python,
    sentences_of,
    write_corpus,
)

from fastw2v.store.config import PreprocessConfig
from fastw2v.store.format import TokenStore
from fastw2v.store.jobs import JobRunner, SpillJob
from fastw2v.store.pipeline import preprocess
from fastw2v.store.settings import Settings
from fastw2v.store.spill import read_counts, table_paths
from fastw2v.text.config import Layout
from fastw2v.text.inputs import InputFile


@pytest.fixture
def corpus(tmp_path):
    return write_corpus(tmp_path / "corpus")


def test_oddities_are_handled_and_counted(tmp_path):
    text = b"\xef\xbb\xbfone two\r\none\0two\xff\xfe\r\n\none two"
    (tmp_path / "t.txt").write_bytes(text)
    report = preprocess(tmp_path / "t.txt", tmp_path / "s", min_count=1)
    assert counts_of(tmp_path / "s") == {"one": 3, "two": 3}
    assert (report.byte_order_marks, report.nul_bytes, report.undecodable_bytes) == (1, 1, 2)
    assert (report.crlf_lines, report.lines, report.empty_lines) == (2, 4, 1)
    assert report.text_bytes == len(text)
    assert report.seconds > 0
    assert report.as_manifest() == TokenStore.open(tmp_path / "s").manifest["report"]


def test_a_huge_line_needs_little_memory(tmp_path):
    """A line of 50 MB, in a process that may not use much more than the libraries need."""
    with open(tmp_path / "t.txt", "wb") as file:
        for _ in range(50):
            file.write(b"some few words! " * 65536)
    program = (
        "import sys, resource; from fastw2v import preprocess\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "report = preprocess(sys.argv[1], sys.argv[2], threads=1)\n"
        "after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print(report.tokens_kept, report.sentences, report.split_lines, (after - before) // 1024)"
    )
    result = run_python(program, tmp_path / "t.txt", tmp_path / "s")
    kept, sentences, split, megabytes = map(int, result.stdout.split())
    assert kept == 3 * 50 * 65536
    assert sentences == -(-kept // 10000)
    assert split == 1
    assert megabytes < 250


def test_tables_of_words_stay_small(tmp_path):
    """Memory is bounded: a shard with many different words starts new tables."""
    text = "".join(f"w{n} w{n + 1}\n" for n in range(300))
    (tmp_path / "t.txt").write_text(text)
    layout = Layout(block_bytes=64, local_tokens=20)
    job = SpillJob(0, [InputFile(tmp_path / "t.txt", "t.txt", len(text)).segment()])
    runner = JobRunner(tmp_path / "s", Settings.of(PreprocessConfig(), layout))
    shard = runner.run(job, lambda *done: None)
    work = tmp_path / "s" / "unfinished"
    tables = [table_paths(work, 0, n)[1] for n in range(len(shard.tables))]
    assert len(tables) >= 10
    assert all(read_counts(path).num_rows < 50 for path in tables)


def test_a_vocabulary_is_reused_with_its_order_and_counts(tmp_path, corpus):
    preprocess(corpus[:1], tmp_path / "first", min_count=20, layout=SMALL, threads=1)
    (tmp_path / "text").write_text("word1 never word2\nunknown\nword1\n")
    vocabulary = TokenStore.open(tmp_path / "first").vocabulary
    (tmp_path / "counts.txt").write_text("word1 7\nword2 9\n")
    for source, expected in [
        (tmp_path / "first", vocabulary.tokens),
        (tmp_path / "first" / "vocabulary.parquet", vocabulary.tokens),
        (tmp_path / "counts.txt", ["word1", "word2"]),
    ]:
        report = preprocess(tmp_path / "text", tmp_path / "s", vocabulary=source, force=True)
        store = TokenStore.open(tmp_path / "s")
        assert store.vocabulary.tokens == expected
        assert sentences_of(tmp_path / "s") == [["word1", "word2"], ["word1"]]
        assert (report.tokens_kept, report.tokens_outside_vocabulary) == (3, 2)
        assert report.tokens_below_min_count == 0
        assert report.balanced
    assert store.vocabulary.counts.tolist() == [7, 9]


def test_progress_ends_at_its_total(tmp_path, corpus):
    for threads in (1, 2):
        seen = []
        preprocess(
            corpus,
            tmp_path / "s",
            layout=SMALL,
            threads=threads,
            force=True,
            progress=lambda *event, seen=seen: seen.append(event),
        )
        for phase in ("reading", "writing"):
            done = [event[1:] for event in seen if event[0] == phase]
            assert done[-1][0] == done[-1][1] > 0
            assert done == sorted(done)
        assert (
            done[-1][1]
            == 4 * json.loads((tmp_path / "s/manifest.json").read_text())["report"]["tokens_read"]
        )


def test_real_text(tmp_path, reviews):
    """One shard against a count with `re`: English reviews, mostly ASCII."""
    import re

    shard = min(reviews.glob("*.txt.gz"))
    text = gzip.decompress(shard.read_bytes()).decode().lower().replace("’", "'")
    expected = collections.Counter(re.findall(r"[^\W_]+(?:'[^\W_]+)*", text))
    report = preprocess(shard, tmp_path / "s")
    assert report.balanced
    found = counts_of(tmp_path / "s")
    frequent = {word: count for word, count in expected.items() if count >= 5 and word.isascii()}
    assert {word: count for word, count in found.items() if word.isascii()} == frequent
