"""The preprocessor against plain Python, accounting, refusals, going on after a kill."""

from __future__ import annotations

import collections
import gzip
import io
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastw2v
from fastw2v import storage
from fastw2v.corpus import worker_pool
from fastw2v.corpus.config import Layout
from fastw2v.corpus.preprocess import inputs_unchanged, preprocess
from fastw2v.corpus.settings import settings_unchanged
from fastw2v.corpus.shards import Segment
from fastw2v.corpus.store_layout import is_store, made_for_of
from fastw2v.corpus.token_store import TokenStore
from fastw2v.corpus.tokenizer import Tokenizer
from fastw2v.corpus.units import UnitJobs, UnitSettings, table_paths
from fastw2v.corpus.vocabulary import load_counted_tokens
from fastw2v.errors import DataError, FastW2VError, ResourceError, UsageError

SMALL = Layout(unit_bytes=3000, small_unit_bytes=1, block_bytes=256, row_group_tokens=300)


@pytest.fixture(scope="module", autouse=True)
def _no_waiting_for_disks():
    """These tests kill processes, not machines: syncing would only make them slow."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage.os, "fsync", lambda descriptor: None)
        yield


def sentences_of(path) -> list[list[str]]:
    """The sentences of a store as words."""
    store = TokenStore.open(path)
    tokens = store.vocabulary.tokens
    found = []
    for index in range(store.num_row_groups):
        ids, offsets = store.read_row_group(index)
        words = [tokens[token_id] for token_id in ids]
        found += [words[a:b] for a, b in itertools.pairwise(offsets)]
    return found


def counts_of(path) -> dict[str, int]:
    vocabulary = TokenStore.open(path).vocabulary
    return dict(zip(vocabulary.tokens, vocabulary.counts.tolist(), strict=True))


def content_of(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def write_corpus(directory: Path, lines: int = 900, seed: int = 1) -> list[Path]:
    """Three files, one of them compressed, with all that may be in text."""
    rng = random.Random(seed)
    words = [f"word{n}" for n in range(60)] + ["don't", "café", "हिन्दी", "—", "The", "x\0y"]
    texts = []
    for _ in range(3):
        parts = [
            " ".join(rng.choices(words, k=rng.choice([0, 1, 2, 5, 9, 40])))
            + rng.choice(["\n", "\r\n", "\n\n"])
            for _ in range(lines // 3)
        ]
        texts.append("".join(parts).encode() + b"bad \xff byte")
    directory.mkdir(exist_ok=True)
    (directory / "a.txt").write_bytes(b"\xef\xbb\xbf" + texts[0])
    (directory / "b.txt.gz").write_bytes(gzip.compress(texts[1], mtime=0))
    (directory / "c.txt").write_bytes(texts[2])
    return sorted(directory.iterdir())


@pytest.fixture
def corpus(tmp_path):
    return write_corpus(tmp_path / "corpus")


# What is kept


def naive_sequences(lines, stopwords, min_length, max_length):
    """Sequences of a list of token lists, before the vocabulary."""
    for line in lines:
        words = [word for word in line if word not in stopwords]
        if words and len(words) >= min_length:
            step = max_length or len(words)
            yield from (words[at : at + step] for at in range(0, len(words), step))


TEXTS = st.lists(
    st.lists(st.sampled_from(["a", "b", "C", "d", "the", "é", "a-b", "?", "it’s"]), max_size=12),
    max_size=12,
)


@settings(max_examples=50, deadline=None)
@given(
    lines=TEXTS,
    final=st.sampled_from(["", "\n", "\r\n"]),
    min_count=st.integers(1, 3),
    max_vocab=st.none() | st.integers(2, 4),
    min_length=st.integers(1, 4),
    max_length=st.sampled_from([0, 1, 2, 3, 10000]),
    stopwords=st.booleans(),
    block=st.sampled_from([16, 40, 1 << 20]),
    local_tokens=st.sampled_from([1, 3, 10**6]),
)
def test_stored_sentences_and_counts_equal_plain_python(
    lines, final, min_count, max_vocab, min_length, max_length, stopwords, block, local_tokens
):
    text = "\n".join(" ".join(line) for line in lines) + final
    words_of = Tokenizer().words_of
    tokenised = [words_of(line) for line in text.split("\n")]
    stop = {"the", "a", "it's"} if stopwords else set()
    sequences = list(naive_sequences(tokenised, stop, min_length, max_length))
    counter = collections.Counter(itertools.chain(*sequences))
    frequent = sorted(
        (w for w in counter if counter[w] >= min_count), key=lambda w: (-counter[w], w)
    )
    kept = frequent[:max_vocab]
    expected = [found for s in sequences if (found := [word for word in s if word in kept])]
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "text").write_text(text + " ", newline="")
        (directory / "stop").write_text("the a it's")
        options = {"stopwords": directory / "stop"} if stopwords else {}
        layout = Layout(unit_bytes=20, block_bytes=block, local_tokens=local_tokens)
        call = dict(
            min_count=min_count,
            max_vocab=max_vocab,
            min_sequence_length=min_length,
            max_sequence_length=max_length,
            layout=layout,
            workers=1,
            **options,
        )
        if len(kept) < 2:
            with pytest.raises(UsageError, match=r"different words"):
                preprocess(directory / "text", directory / "store", **call)
            assert not (directory / "store").exists()
            return
        report = preprocess(directory / "text", directory / "store", **call)
        assert sentences_of(directory / "store") == expected
        assert counts_of(directory / "store") == {word: counter[word] for word in kept}
    assert report.balanced
    assert report.tokens_read == sum(map(len, tokenised))
    assert report.tokens_stopwords == sum(word in stop for line in tokenised for word in line)
    assert report.tokens_kept == sum(counter[word] for word in kept)
    assert report.tokens_below_min_count == sum(n for n in counter.values() if n < min_count)
    assert report.different_tokens == len(counter)
    assert report.sentences == len(expected)
    whole = [len([word for word in line if word not in stop]) for line in tokenised]
    short = [line for line, n in zip(tokenised, whole, strict=True) if line and n < min_length]
    assert report.short_lines == len(short)
    assert report.split_lines == sum(0 < max_length < n for n in whole if n >= min_length)
    # The blank that ends the file makes a line of its own after a final line feed.
    assert report.lines == len(tokenised)
    assert report.empty_lines == sum(not line for line in tokenised)


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


def test_strict_errors_name_file_and_byte(tmp_path):
    text = b"\xef\xbb\xbf" + b"fine words\n" * 100 + b"caf\xe9 au lait\n"
    for name, content in (("t.txt", text), ("t.gz", gzip.compress(text))):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=rf"{name}: at byte 1106.*0xe9.*--errors"):
            preprocess(tmp_path / name, tmp_path / "s", errors="strict", layout=SMALL, workers=1)
        assert not (tmp_path / "s").exists()


def test_a_huge_line_needs_little_memory(tmp_path):
    """A line of 50 MB, in a process that may not use much more than the libraries need."""
    with open(tmp_path / "t.txt", "wb") as file:
        for _ in range(50):
            file.write(b"some few words! " * 65536)
    program = (
        "import sys, resource; from fastw2v import preprocess\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "report = preprocess(sys.argv[1], sys.argv[2], workers=1)\n"
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
    """Memory is bounded: a unit with many different words starts new tables."""
    text = "".join(f"w{n} w{n + 1}\n" for n in range(300))
    (tmp_path / "t.txt").write_text(text)
    layout = Layout(block_bytes=64, local_tokens=20)
    settings = UnitSettings(str(tmp_path / "s"), layout=layout)
    size = len(text)
    segment = Segment(tmp_path / "t.txt", "t.txt", 0, size, False).as_json()
    job = {"task": "spool", "unit": 0, "segments": [segment]}
    result = UnitJobs(settings).run(job, lambda count: None)
    tables = [table_paths(settings.work, 0, n)[1] for n in range(result["tables"])]
    assert len(tables) >= 10
    assert all(len(load_counted_tokens(path)) < 50 for path in tables)


def run_python(program, *arguments, check=True):
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=check,
        env={**os.environ, "PYTHONPATH": str(Path(fastw2v.__file__).parent.parent)},
    )


# Options


def test_a_vocabulary_is_reused_with_its_order_and_counts(tmp_path, corpus):
    preprocess(corpus[:1], tmp_path / "first", min_count=20, layout=SMALL, workers=1)
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


def test_bad_vocabularies_are_refused(tmp_path, corpus):
    (tmp_path / "one.txt").write_text("word 3\n")
    (tmp_path / "other.txt").write_text("nothing 3\nhere 2\n")
    for name, message in [
        ("one.txt", "fewer than two"),
        ("none", "no such file"),
        ("corpus", "neither"),
        ("other.txt", "none of the"),
    ]:
        with pytest.raises(UsageError, match=message):
            preprocess(corpus[:1], tmp_path / "s", vocabulary=tmp_path / name)
    with pytest.raises(UsageError, match="leave out --min-count"):
        preprocess(corpus[:1], tmp_path / "s", vocabulary=tmp_path / "other.txt", min_count=2)
    assert not (tmp_path / "s").exists()


def test_files_of_options_that_cannot_be_read_are_one_line(tmp_path, corpus, forbid):
    for name, content in [("plain", "a 3\nb 2\n"), ("parquet", "PAR1")]:
        path = tmp_path / name
        path.write_text(content)
        forbid(path)
        for option in ("stopwords", "vocabulary"):
            with pytest.raises(FastW2VError, match=rf"{name}: cannot be read \(Perm") as caught:
                preprocess(corpus, tmp_path / "s", **{option: path})
            assert "\n" not in str(caught.value)


def test_text_that_cannot_be_read_is_one_line(tmp_path, corpus, forbid, monkeypatch):
    forbid(corpus[2])
    for inputs in (corpus, corpus[0].parent, str(corpus[0].parent / "*.txt")):
        with pytest.raises(UsageError, match=r"c\.txt: cannot be read \(Permission"):
            preprocess(inputs, tmp_path / "s")
    monkeypatch.undo()
    (corpus[0].parent / "more").mkdir()
    (corpus[0].parent / "more" / "text").write_text("more text")
    real = os.scandir

    def scan(place="."):
        if "more" in str(place):
            raise PermissionError(13, "Permission denied", str(place))
        return real(place)

    monkeypatch.setattr(os, "scandir", scan)
    with pytest.raises(UsageError, match=r"corpus/more: cannot be read"):
        preprocess(corpus[0].parent, tmp_path / "s")
    monkeypatch.undo()
    with pytest.raises(ResourceError, match="cannot write"):
        preprocess(corpus, tmp_path / ("s" * 300))
    assert not (tmp_path / "s").exists()


@pytest.fixture
def forbid(monkeypatch):
    """Makes a file unreadable, for an administrator too."""
    forbidden, real = set(), io.open

    def open_unless_forbidden(file, *arguments, **options):
        if str(file) in forbidden:
            raise PermissionError(13, "Permission denied", str(file))
        return real(file, *arguments, **options)

    monkeypatch.setattr(io, "open", open_unless_forbidden)
    monkeypatch.setattr("builtins.open", open_unless_forbidden)
    # Python 3.10's Path holds io.open from when it was imported.
    monkeypatch.setattr(Path, "open", open_unless_forbidden)
    return lambda path: forbidden.add(str(path))


def test_names_that_are_not_utf_8(tmp_path, corpus):
    strange = os.fsdecode(b"caf\xe9.txt")
    try:
        path = corpus[2].rename(corpus[2].with_name(strange))
    except OSError:
        pytest.skip("this file system takes only names of UTF-8")
    inputs = [*corpus[:2], path]
    for workers in (1, 2):
        place = tmp_path / f"s{workers}"
        interrupt(inputs, place)
        preprocess(inputs, place, workers=workers, layout=SMALL)
        store = TokenStore.open(place)
        assert strange in [entry["name"] for entry in store.manifest["inputs"]]
        assert inputs_unchanged(store, inputs)
    path.write_bytes(path.read_bytes() + b"\xff")
    assert not inputs_unchanged(store, inputs)
    for workers in (1, 2):
        with pytest.raises(DataError, match="at byte"):
            preprocess(inputs[2:], tmp_path / "t", workers=workers, layout=SMALL, errors="strict")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_count": 0}, "--min-count"),
        ({"max_vocab": 1}, "--max-vocab"),
        ({"tokenizer": "spacy"}, "--tokenizer"),
        ({"min_counts": 3}, "did you mean min_count"),
        ({"workers": 0}, "--workers"),
        ({"stopwords": "/no/such/list"}, "--stopwords"),
        ({"min_count": 10**23}, r"--min-count: .* too large"),
        ({"max_vocab": 10**23}, r"--max-vocab: .* too large"),
        ({"min_sequence_length": 10**23}, r"--min-sequence-length: .* too large"),
        ({"max_sequence_length": 10**23}, r"--max-sequence-length: .* too large"),
        ({"min_count": 1 << 62}, "only 0 of"),
        ({"min_sequence_length": 1 << 62}, "0 different words"),
        ({"min_count": 10**6}, r"only 0 of \d+ .* --min-count \d+ or less"),
    ],
)
def test_wrong_options_are_misuse_and_leave_nothing(tmp_path, corpus, options, message):
    with pytest.raises(UsageError, match=message):
        preprocess(corpus, tmp_path / "s", **options)
    assert not (tmp_path / "s").exists()


def test_the_min_count_that_is_named_helps(tmp_path):
    (tmp_path / "t").write_text("a a a b b c\n")
    with pytest.raises(UsageError, match="--min-count 2 or less"):
        preprocess(tmp_path / "t", tmp_path / "s", min_count=3)
    assert preprocess(tmp_path / "t", tmp_path / "s", min_count=2).vocabulary_size == 2
    (tmp_path / "t").write_text("same same ... same\n")
    with pytest.raises(UsageError, match="the text has 1 different words"):
        preprocess(tmp_path / "t", tmp_path / "s2", min_count=1)


# The place of the store


def test_only_stores_are_ever_replaced(tmp_path, corpus):
    place = tmp_path / "s"
    place.mkdir()
    (place / "precious").write_text("data")
    for force in (False, True):
        with pytest.raises(UsageError, match="is not a token store"):
            preprocess(corpus, place, force=force)
    assert (place / "precious").read_text() == "data"
    with pytest.raises(UsageError, match="is not a token store"):
        preprocess(corpus, place / "precious", force=True)
    (place / "precious").unlink()
    preprocess(corpus[:1], place)  # an empty directory is free
    with pytest.raises(UsageError, match="--force"):
        preprocess(corpus, place)
    assert len(TokenStore.open(place).manifest["inputs"]) == 1
    preprocess(corpus, place, force=True)
    assert len(TokenStore.open(place).manifest["inputs"]) == 3


def test_empty_paths_are_not_the_working_directory(tmp_path, corpus, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(UsageError, match="--output: empty path"):
        preprocess(corpus, "")
    assert not list(Path().iterdir())
    shutil.copy(corpus[0], "text.txt")
    for inputs in ("", [*corpus, ""]):
        with pytest.raises(UsageError, match="input: empty path"):
            preprocess(inputs, tmp_path / "s")
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("content", [b"{", b"", b"[1]", b"\xff\0"])
def test_a_store_with_a_damaged_manifest_is_replaced_by_force_only(tmp_path, corpus, content):
    place = tmp_path / "s"
    preprocess(corpus[:1], place, layout=SMALL)
    (place / "manifest.json").write_bytes(content)
    before = content_of(place)
    with pytest.raises(UsageError, match=r"manifest\.json is damaged; replace it with --force"):
        preprocess(corpus, place, layout=SMALL)
    with pytest.raises(UsageError, match="manifest is damaged"):
        preprocess(place, tmp_path / "other")
    assert content_of(place) == before
    interrupt(corpus, place, force=True)  # what was done so far stands beside it, and serves
    assert content_of(place) == before
    done = {path: path.stat().st_mtime_ns for path in tmp_path.glob(".s.new/unfinished/*.json")}
    assert len(done) > 2
    kept = []
    preprocess(
        corpus,
        place,
        layout=SMALL,
        workers=1,
        force=True,
        progress=lambda *_: kept or kept.append([p.stat().st_mtime_ns for p in done]),
    )
    assert kept == [list(done.values())]
    assert len(TokenStore.open(place).manifest["inputs"]) > 1
    assert not (tmp_path / ".s.new").exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda s: (s / "manifest.json").unlink(),
        lambda s: (s / "manifest.json").write_text("{}"),  # readable, and not ours
        lambda s: (s / "vocabulary.parquet").unlink(),
        lambda s: shutil.rmtree(s / "tokens"),
        lambda s: [part.unlink() for part in (s / "tokens").iterdir()],
        lambda s: (s / "tokens" / "mine.txt").write_text("data"),
        lambda s: (s / "mine.txt").write_text("data"),
    ],
)
def test_what_only_resembles_a_store_is_not_replaced(tmp_path, corpus, change):
    place = tmp_path / "s"
    preprocess(corpus[:1], place)
    (place / "manifest.json").write_text("{")
    change(place)
    before = content_of(place)
    with pytest.raises(UsageError, match="is not a token store"):
        preprocess(corpus, place, force=True)
    assert content_of(place) == before


def test_the_old_store_stays_until_the_new_one_is_complete(tmp_path, corpus):
    place = tmp_path / "s"
    preprocess(corpus[:1], place, layout=SMALL, workers=1)
    old = content_of(place)
    bad = tmp_path / "bad.gz"
    bad.write_bytes(gzip.compress(b"some text " * 99)[:-8])
    for inputs, options in [
        ([*corpus, bad], {}),
        (corpus, {"min_count": 10**6}),
        ([["a", 3]], {}),
    ]:
        with pytest.raises(FastW2VError):
            preprocess(inputs, place, force=True, layout=SMALL, workers=1, **options)
        assert content_of(place) == old
        assert not (tmp_path / ".s.new").exists()

    seen = []

    def progress(phase, done, total):
        assert content_of(place) == old
        seen.append(done)
        if stop and phase == "writing" and done > total / 2:
            raise StopError

    call = {"force": True, "layout": SMALL, "workers": 1, "min_count": 2, "progress": progress}
    stop = True
    with pytest.raises(StopError):
        preprocess(corpus, place, **call)
    assert sentences_of(place)
    with pytest.raises(UsageError, match="there already"):
        preprocess(corpus, place, layout=SMALL, min_count=2)
    stop, seen = False, []
    preprocess(corpus, place, **call)
    assert seen[0] > 0  # it went on
    preprocess(corpus, tmp_path / "clean", layout=SMALL, min_count=2)
    assert content_of(place) == content_of(tmp_path / "clean")
    assert {path.name for path in tmp_path.iterdir()} == {"s", "clean", "corpus", "bad.gz"}


def test_an_unfinished_replacement_of_other_options_or_of_nothing_is_dropped(tmp_path, corpus):
    for gone in (False, True):
        place = tmp_path / f"s{gone}"
        preprocess(corpus[:1], place, layout=SMALL, workers=1)
        interrupt(corpus, place, force=True)
        if gone:
            shutil.rmtree(place)
        call = {"layout": SMALL, "workers": 1, "min_sequence_length": 6}
        preprocess(corpus, place, force=not gone, **call)
        preprocess(corpus, tmp_path / "clean", force=gone, **call)
        assert content_of(place) == content_of(tmp_path / "clean")
        assert not list(tmp_path.glob(".s*"))


def test_a_replacement_that_could_not_be_put_in_place_goes_on(tmp_path, corpus, monkeypatch):
    place, new = tmp_path / "s", tmp_path / ".s.new"
    preprocess(corpus[:1], place, layout=SMALL, workers=1)
    old = content_of(place)

    def fail(path):
        raise ResourceError("no")

    monkeypatch.setattr(storage, "remove_directory", fail)
    with pytest.raises(ResourceError):
        preprocess(corpus, place, layout=SMALL, workers=1, force=True)
    monkeypatch.undo()
    assert content_of(place) == old
    assert (new / "manifest.json").exists()
    with (
        storage.exclusive_lock(new / "unfinished" / "lock"),
        pytest.raises(UsageError, match="in use by another process"),
    ):
        preprocess(corpus, place, layout=SMALL, workers=1, force=True)
    seen = []

    def progress(phase, done, total):
        assert not (new / "manifest.json").exists()  # what is being built is not finished
        seen.append(done == total)

    preprocess(corpus, place, layout=SMALL, workers=1, force=True, progress=progress)
    assert seen == [True, True]  # nothing was left to do
    preprocess(corpus, tmp_path / "clean", layout=SMALL, workers=1)
    assert content_of(place) == content_of(tmp_path / "clean")
    assert not new.exists()


def test_a_store_behind_a_link_is_replaced_where_it_is(tmp_path, corpus, monkeypatch):
    (tmp_path / "disk").mkdir()
    preprocess(corpus[:1], tmp_path / "disk" / "s", layout=SMALL, workers=1)
    (tmp_path / "s").symlink_to(tmp_path / "disk" / "s")
    preprocess(corpus, tmp_path / "s", layout=SMALL, workers=1, force=True)
    assert (tmp_path / "s").is_symlink()
    assert len(TokenStore.open(tmp_path / "disk" / "s").manifest["inputs"]) > 3
    monkeypatch.chdir(tmp_path / "disk" / "s")
    preprocess(corpus[:1], ".", layout=SMALL, workers=1, force=True)
    assert len(TokenStore.open(tmp_path / "s").manifest["parts"]) < 9


KILLED_IN_THE_SWAP = """
import os, signal, sys
from pathlib import Path
from fastw2v import storage
from fastw2v.corpus.preprocess import preprocess
new = Path(sys.argv[2]).parent / ".s.new"
left = int(sys.argv[3])
def killing(real):
    def call(*arguments, **options):
        global left
        result = real(*arguments, **options)
        if (new / "manifest.json").exists() or left < int(sys.argv[3]):
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
        return result
    return call
for module, name in (os, "rename"), (os, "replace"), (os, "link"), (storage.shutil, "rmtree"):
    setattr(module, name, killing(getattr(module, name)))
preprocess(sys.argv[1], sys.argv[2], workers=1, min_count=1, force=True)
"""


def test_a_kill_in_the_swap_is_put_right(tmp_path):
    """At every step: the old or the new store is there, or the next run brings the new one."""
    (tmp_path / "t").write_text("one two three\n" * 5)
    (tmp_path / "old").write_text("uno dos\n" * 5)
    preprocess(tmp_path / "t", tmp_path / "clean", min_count=1)
    new, place = content_of(tmp_path / "clean"), tmp_path / "work" / "s"
    killed = 0
    while True:
        preprocess(tmp_path / "old", place, min_count=1, force=True)
        old = content_of(place)
        result = run_python(KILLED_IN_THE_SWAP, tmp_path / "t", place, killed + 1, check=False)
        if result.returncode == 0:
            break
        assert result.returncode == -signal.SIGKILL, result.stderr
        killed += 1
        if is_store(place):
            TokenStore.open(place).verify()
            assert content_of(place) in (old, new)
        else:
            with pytest.raises(UsageError, match="there already"):
                preprocess(tmp_path / "t", place, min_count=1)
            assert content_of(place) == new
        preprocess(tmp_path / "t", place, min_count=1, force=True)
        assert content_of(place) == new
        assert [path.name for path in place.parent.iterdir()] == ["s"]
    assert killed >= 4


def test_a_parent_that_is_a_file_is_reported(tmp_path, corpus):
    with pytest.raises(ResourceError, match="cannot write"):
        preprocess(corpus[:1], corpus[0] / "store")


def test_a_store_inside_the_input_directory_is_not_read_as_text(tmp_path, corpus):
    directory = corpus[0].parent
    preprocess(directory, directory / "store")
    first = content_of(directory / "store")
    preprocess(directory, directory / "store", force=True)
    assert content_of(directory / "store") == first
    with pytest.raises(UsageError, match="store: is a token store; give it to train"):
        preprocess(directory / "store", tmp_path / "s")


def test_truncated_input_leaves_nothing(tmp_path, corpus):
    corpus[1].write_bytes(corpus[1].read_bytes()[:-30])
    for workers in (1, 2):
        with pytest.raises(DataError, match=r"b\.txt\.gz"):
            preprocess(corpus, tmp_path / "s", workers=workers, layout=SMALL)
        assert not (tmp_path / "s").exists()


def test_whether_text_and_options_are_those_of_a_store(tmp_path, corpus):
    (tmp_path / "stop.txt").write_text("word1")
    options = {"min_count": 2, "stopwords": str(tmp_path / "stop.txt")}
    preprocess(corpus, tmp_path / "s", layout=SMALL, workers=1, **options)
    store = TokenStore.open(tmp_path / "s")
    assert inputs_unchanged(store, corpus)
    assert not inputs_unchanged(store, str(corpus[0]))
    assert not inputs_unchanged(store, corpus[:2])
    assert not inputs_unchanged(store, corpus[::-1])
    assert settings_unchanged(store, options)
    assert settings_unchanged(store, {})
    assert not settings_unchanged(store, {"min_count": 5})
    (tmp_path / "stop.txt").write_text("word2")
    assert not settings_unchanged(store, options)
    content = bytearray(corpus[2].read_bytes())
    content[-1] ^= 1
    corpus[2].write_bytes(content)
    assert not inputs_unchanged(store, corpus)


# Workers, kills, going on


def test_the_bytes_do_not_depend_on_workers(tmp_path, corpus):
    for workers in (1, 2, 3):
        preprocess(corpus, tmp_path / f"{workers}", workers=workers, min_count=2, layout=SMALL)
    one = content_of(tmp_path / "1")
    assert len(one) > 12
    assert one == content_of(tmp_path / "2") == content_of(tmp_path / "3")


KILLED = """
import os, signal, sys
from fastw2v.corpus.config import Layout
from fastw2v.corpus.preprocess import preprocess
layout = Layout(unit_bytes=3000, small_unit_bytes=1, block_bytes=256, row_group_tokens=300)
calls = {"reading": 0, "writing": 0}
def progress(phase, done, total):
    calls[phase] += 1
    if phase == sys.argv[4] and calls[phase] == int(sys.argv[5]):
        os.kill(os.getpid(), signal.SIGKILL)
preprocess(sys.argv[1], sys.argv[2], workers=int(sys.argv[3]), min_count=2, layout=layout,
           progress=progress)
"""


@pytest.mark.parametrize(
    ("workers", "phase", "calls"),
    [
        (1, "reading", 1),
        (1, "reading", 25),
        (1, "writing", 9),
        (2, "reading", 90),
        (2, "writing", 5),
    ],
)
def test_a_killed_run_goes_on_to_the_same_bytes(tmp_path, corpus, workers, phase, calls):
    directory, place = corpus[0].parent, tmp_path / "s"
    result = run_python(KILLED, directory, place, workers, phase, calls, check=False)
    assert result.returncode == -signal.SIGKILL, result.stderr
    with pytest.raises(UsageError, match="unfinished"):
        TokenStore.open(place)
    finished = list((place / "unfinished").glob("spool-*.json"))
    assert calls == 1 or finished
    before = {path: path.stat().st_mtime_ns for path in finished}
    preprocess(directory, tmp_path / "clean", workers=1, min_count=2, layout=SMALL)
    seen = []
    preprocess(
        directory,
        place,
        workers=1,
        min_count=2,
        layout=SMALL,
        progress=lambda *done: seen.append((done, before == now(before))),
    )
    assert content_of(place) == content_of(tmp_path / "clean")
    assert all(unchanged for _, unchanged in seen)  # finished units were not done again
    assert (seen[0][0][1] > 0) == bool(finished)


def now(paths):
    return {path: path.stat().st_mtime_ns for path in paths if path.exists()}


class StopError(Exception):
    pass


def interrupt(corpus, place, **options):
    """Leave an unfinished store, with some units finished."""

    def progress(phase, done, total):
        if done > total / 2:
            raise StopError

    with pytest.raises(StopError):
        preprocess(corpus, place, workers=1, layout=SMALL, progress=progress, **options)
    assert len(list(place.parent.glob("*/unfinished/plan.json"))) == 1


def test_an_unfinished_store_of_other_options_or_input_is_refused(tmp_path, corpus):
    place = tmp_path / "s"
    interrupt(corpus, place)
    with pytest.raises(UsageError, match=r"other options \(min_count\).*--force"):
        preprocess(corpus, place, layout=SMALL, min_count=2)
    with pytest.raises(UsageError, match=r"other input.*--force"):
        preprocess(corpus[:2], place, layout=SMALL)
    content = bytearray(corpus[0].read_bytes())
    content[5:9] = b"word"
    corpus[0].write_bytes(content)
    with pytest.raises(UsageError, match=r"a\.txt: has changed.*--force"):
        preprocess(corpus, place, layout=SMALL)
    assert (place / "unfinished" / "plan.json").exists()
    preprocess(corpus, place, layout=SMALL, force=True)
    preprocess(corpus, tmp_path / "clean", layout=SMALL)
    assert content_of(place) == content_of(tmp_path / "clean")


def test_an_unfinished_store_knows_who_it_is_for(tmp_path, corpus):
    """Only the note differs; whoever goes on with a store of another, it is for neither."""
    for begun, finished, expected in [
        ("model", "model", "model"),
        ("model", None, None),
        (None, "model", None),
    ]:
        place = tmp_path / f"{begun} {finished}"
        interrupt(corpus, place, made_for=begun)
        assert made_for_of(place) == begun
        seen = []
        preprocess(
            corpus,
            place,
            workers=1,
            layout=SMALL,
            made_for=finished,
            progress=lambda *event, seen=seen: seen.append(event),
        )
        assert seen[0][1] > 0  # it went on
        assert made_for_of(place) == expected
    clean = content_of(tmp_path / "None model")
    other = content_of(tmp_path / "model model")
    assert {name for name in clean if clean[name] != other[name]} == {"manifest.json"}


def test_an_unfinished_store_is_not_text(tmp_path, corpus):
    interrupt(corpus, tmp_path / "s")
    (tmp_path / "link").symlink_to(tmp_path / "s")
    for place in (tmp_path / "s", tmp_path / "link"):
        with pytest.raises(UsageError, match=r"unfinished.*same fastw2v preprocess command again"):
            preprocess(place, tmp_path / "t")
        assert not (tmp_path / "t").exists()


def test_parts_of_an_older_vocabulary_are_written_anew(tmp_path, corpus):
    place = tmp_path / "s"

    def progress(phase, done, total):
        if phase == "writing" and done > total / 2:
            raise StopError

    with pytest.raises(StopError):
        preprocess(corpus, place, workers=1, layout=SMALL, progress=progress)
    corpus[2].write_bytes(corpus[2].read_bytes().replace(b"word1 ", b"word2 "))
    preprocess(corpus, place, workers=1, layout=SMALL, force=True)
    preprocess(corpus, tmp_path / "clean", workers=1, layout=SMALL)
    assert content_of(place) == content_of(tmp_path / "clean")


def test_two_processes_do_not_build_the_same_store(tmp_path, corpus):
    place = tmp_path / "s"
    interrupt(corpus, place)
    with storage.exclusive_lock(place / "unfinished" / "lock"):
        for force in (False, True):
            with pytest.raises(UsageError, match="in use by another process"):
                preprocess(corpus, place, layout=SMALL, force=force)
    assert (place / "unfinished" / "plan.json").exists()


def test_a_full_disk_keeps_what_is_done(tmp_path, corpus, monkeypatch):
    real, writes = storage.sync_file, []

    def fail(path):
        writes.append(path)
        if len(writes) > 20:
            raise OSError(28, "No space left on device")
        real(path)

    monkeypatch.setattr(storage, "sync_file", fail)
    with pytest.raises(ResourceError, match=r"no space left.*same command again"):
        preprocess(corpus, tmp_path / "s", workers=1, layout=SMALL)
    monkeypatch.undo()
    preprocess(corpus, tmp_path / "s", workers=1, layout=SMALL)
    preprocess(corpus, tmp_path / "clean", workers=1, layout=SMALL)
    assert content_of(tmp_path / "s") == content_of(tmp_path / "clean")


def test_a_dead_worker_is_reported_with_its_file(tmp_path, corpus, monkeypatch):
    real = worker_pool.subprocess.Popen
    killed = []

    def start(*arguments, **options):
        process = real(*arguments, **options)
        if not killed:
            killed.append(process)
            process.kill()
        return process

    monkeypatch.setattr(worker_pool.subprocess, "Popen", start)
    with pytest.raises(ResourceError, match=r"(a|b|c)\.txt.*died \(signal 9.*--workers"):
        preprocess(corpus, tmp_path / "s", workers=2, layout=SMALL)
    monkeypatch.undo()
    preprocess(corpus, tmp_path / "s", workers=2, layout=SMALL)


def test_workers_end_with_their_parent(tmp_path, corpus):
    program = (
        "import subprocess, sys, os, signal\n"
        "from fastw2v.corpus import worker_pool\n"
        "from fastw2v.corpus.units import UnitSettings\n"
        "pool = worker_pool.WorkerPool(UnitSettings(store='none'), 2)\n"
        "print(*(worker._process.pid for worker in pool._workers), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    result = run_python(program, check=False)
    pids = [int(word) for word in result.stdout.split()]
    assert len(pids) == 2, result.stderr  # else the loop below would prove nothing
    for pid in pids:
        for _ in range(100):
            try:
                state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
            except FileNotFoundError:
                break
            if state == "Z":
                break
            subprocess.run(["sleep", "0.1"], check=True)
        else:
            os.kill(pid, signal.SIGKILL)
            pytest.fail("a worker outlived its parent")


def test_modules_of_the_working_directory_do_not_stand_in_for_libraries(
    tmp_path, corpus, monkeypatch
):
    if sys.version_info < (3, 11):
        pytest.skip("Python 3.10 cannot be told to leave the working directory out")
    (tmp_path / "numpy.py").write_text("raise SystemExit('the wrong numpy')")
    monkeypatch.chdir(tmp_path)
    assert preprocess(corpus, "s", workers=2, layout=SMALL).files == 3


# Tokens that someone already has


def test_token_lists_and_arrays_make_the_store_that_text_makes(tmp_path):
    rng = random.Random(3)
    lists = [rng.choices(["b", "a", "the", "C", "d"], k=rng.randint(0, 30)) for _ in range(200)]
    (tmp_path / "t").write_text("\n".join(map(" ".join, lists)) + "\n")
    (tmp_path / "stop").write_text("the")
    options = {"min_count": 3, "min_sequence_length": 3, "max_sequence_length": 8}
    options["stopwords"] = tmp_path / "stop"
    preprocess(
        tmp_path / "t", tmp_path / "text", tokenizer="whitespace", lowercase=False, **options
    )
    names = ["unused", "C", "the", "d", "a", "b"]
    ids = np.array([names.index(word) for line in lists for word in line], dtype=np.uint16)
    offsets = np.cumsum([0] + [len(line) for line in lists])
    reports = [
        preprocess((line for line in lists), tmp_path / "lists", **options),
        preprocess((ids, offsets), tmp_path / "arrays", tokens=names, **options),
    ]
    expected = content_of(tmp_path / "text")
    for place, report in zip(("lists", "arrays"), reports, strict=True):
        found = content_of(tmp_path / place)
        assert found["tokens/part-00000.parquet"] == expected["tokens/part-00000.parquet"]
        assert found["vocabulary.parquet"] == expected["vocabulary.parquet"]
        assert report.balanced
        assert report.lines == 200
        assert "lowercase" not in TokenStore.open(tmp_path / place).manifest["settings"]
        assert not inputs_unchanged(TokenStore.open(tmp_path / place), [tmp_path / "t"])


def test_many_different_tokens_of_lists_go_to_several_tables(tmp_path, monkeypatch):
    monkeypatch.setattr("fastw2v.corpus.token_source.BATCH_TOKENS", 50)
    lists = [[f"w{n % 97}", f"w{n % 31}", "x"] for n in range(500)]
    layout = Layout(local_tokens=20)
    preprocess(iter(lists), tmp_path / "s", min_count=1, layout=layout)
    assert sentences_of(tmp_path / "s") == lists
    assert counts_of(tmp_path / "s") == collections.Counter(itertools.chain(*lists))
    ids, offsets = np.arange(500) % 7, np.arange(0, 501, 5)
    preprocess((ids, offsets), tmp_path / "a", tokens=list("abcdefg"), min_count=1)
    assert "".join(map("".join, sentences_of(tmp_path / "a"))) == ("abcdefg" * 72)[:500]


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        (iter(["a sentence", "another"]), {}, "sentence 0: expected a list of tokens"),
        ([["a", 3]], {}, "found 3"),
        ([["a", ""]], {}, "found ''"),
        ([["a", None]], {}, "found None"),
        ([["a", "\ud800"]] * 9, {}, "surrogate"),
        (3, {}, "found 3"),
        ([["a", "b"]], {"lowercase": True}, "lowercase: only for text"),
        ((np.array([0, 1]), np.array([0, 2])), {}, "need tokens="),
        (([0, 1], [0, 3]), {"tokens": ["a", "b"]}, "end with len"),
        (([0, 1], [0, 2, 1, 2]), {"tokens": ["a", "b"]}, "not decrease"),
        (([0, 2], [0, 2]), {"tokens": ["a", "b"]}, "rows of tokens"),
        (([0, -1], [0, 2]), {"tokens": ["a", "b"]}, "rows of tokens"),
        (([0.5, 1], [0, 2]), {"tokens": ["a", "b"]}, "integers"),
        (([0, 1], []), {"tokens": ["a", "b"]}, "begin with 0"),
        (([0, 1], np.array([0, 2, 1, 2], np.uint32)), {"tokens": ["a", "b"]}, "not decrease"),
        ((np.array([0, 2**64 - 1], np.uint64), [0, 2]), {"tokens": ["a", "b"]}, "too large"),
        (([0, 1], np.array([0, 2**64 - 1], np.uint64)), {"tokens": ["a", "b"]}, "too large"),
        (([[0], [1, 0]], [0, 2]), {"tokens": ["a", "b"]}, "one-dimensional"),
        ([["a", "b"]], {"tokens": ["a", "b"]}, "tuple"),
        ([], {}, "no input"),
    ],
)
def test_wrong_tokens_are_misuse_and_leave_nothing(tmp_path, inputs, options, message):
    with pytest.raises(FastW2VError, match=message):
        preprocess(inputs, tmp_path / "s", **options)
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("kind", [np.uint64, np.uint32, np.int16, np.int64])
def test_arrays_of_any_integer_type(tmp_path, kind):
    ids, offsets = np.arange(500) % 7, np.arange(0, 501, 5)
    call = {"tokens": list("abcdefg"), "min_count": 1}
    preprocess((ids.astype(kind), offsets.astype(kind)), tmp_path / "a", **call)
    assert "".join(map("".join, sentences_of(tmp_path / "a"))) == ("abcdefg" * 72)[:500]


def test_arrays_without_tokens_are_misuse(tmp_path):
    with pytest.raises(UsageError):
        preprocess(([], [0, 0]), tmp_path / "a", tokens=["a", "b"], min_count=1)


def test_an_iterable_that_fails_leaves_nothing(tmp_path):
    def fails():
        yield ["a", "b"]
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        preprocess(fails(), tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_progress_ends_at_its_total(tmp_path, corpus):
    for workers in (1, 2):
        seen = []
        preprocess(
            corpus,
            tmp_path / "s",
            layout=SMALL,
            workers=workers,
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
