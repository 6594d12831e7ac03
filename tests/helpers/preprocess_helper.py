"""What the tests of `preprocess` share: corpora, stores read back, runs that stop half-way."""

from __future__ import annotations

import gzip
import itertools
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

import fastw2v
from fastw2v.io import storage
from fastw2v.io.store_directory import part_name
from fastw2v.store.format import TokenStore
from fastw2v.store.pipeline import preprocess
from fastw2v.store.spill import table_paths
from fastw2v.text.config import Layout

SMALL = Layout(unit_bytes=3000, small_unit_bytes=1, block_bytes=256, row_group_tokens=300)


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


def naive_sequences(lines, stopwords, min_length, max_length):
    """Sequences of a list of token lists, before the vocabulary."""
    for line in lines:
        words = [word for word in line if word not in stopwords]
        if words and len(words) >= min_length:
            step = max_length or len(words)
            yield from (words[at : at + step] for at in range(0, len(words), step))


def run_python(program, *arguments, check=True):
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=check,
        env={**os.environ, "PYTHONPATH": str(Path(fastw2v.__file__).parent.parent)},
    )


class StopError(Exception):
    pass


def interrupt(corpus, place, **options):
    """Leave an unfinished store, with some shards finished."""

    def progress(phase, done, total):
        if done > total / 2:
            raise StopError

    with pytest.raises(StopError):
        preprocess(corpus, place, threads=1, layout=SMALL, progress=progress, **options)
    assert len(list(place.parent.glob("*/unfinished/plan.json"))) == 1


def finished_work(place: Path) -> dict[Path, tuple[int, int]]:
    """The files of shards that are spilled or encoded, and what would tell that they were made
    again."""
    work, files = place / "unfinished", []
    for result in work.glob("spill-*.json"):
        shard, tables = int(result.stem.split("-")[1]), storage.read_json(result)["tables"]
        files.append(result)
        for table in range(len(tables)):
            files += table_paths(work, shard, table)
    for result in work.glob("part-*.json"):
        files += [result, place / part_name(int(result.stem.split("-")[1]))]
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}
