"""Standard input: read once, by the process that was started."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time

import input_files as make
import pytest

from fastw2v.errors import DataError, UsageError
from fastw2v.io.store_directory import is_unfinished_store
from fastw2v.store.format import TokenStore
from fastw2v.store.pipeline import preprocess
from fastw2v.store.sources import inputs_unchanged
from fastw2v.text.config import TextConfig
from fastw2v.text.find import find_files
from fastw2v.text.shards import SegmentReader
from fastw2v.text.streams import segment_sha256

LINES = make.lines_of_text(100)
TEXT = "".join(line + "\n" for line in LINES).encode()


def give(monkeypatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def command(*arguments):
    return [sys.executable, "-m", "fastw2v", "preprocess", *map(str, arguments)]


def test_text_of_a_pipe_is_read_and_noted(tmp_path):
    output = tmp_path / "s"
    done = subprocess.run(
        command("-", "--output", output, "--min-count", 1), input=TEXT, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    store = TokenStore.open(output)
    (entry,) = store.manifest["inputs"]
    digest = hashlib.sha256(TEXT).hexdigest()
    assert entry == {"name": "stdin", "start": 0, "end": len(TEXT), "sha256": digest, "part": 0}
    assert store.num_tokens == sum(len(line.split()) for line in LINES)
    assert not inputs_unchanged(store, "-")  # which cannot be known


@pytest.mark.parametrize("suffix", make.PACK)
def test_compressed_text_is_unpacked(tmp_path, monkeypatch, suffix):
    give(monkeypatch, make.PACK[suffix](TEXT))
    report = preprocess("-", tmp_path / "s", min_count=1)
    assert report.lines == len(LINES)


def test_a_file_beside_it_goes_to_workers(tmp_path, monkeypatch):
    give(monkeypatch, TEXT)
    (tmp_path / "t.txt").write_bytes(TEXT)
    report = preprocess(["-", tmp_path / "t.txt"], tmp_path / "s", min_count=1, threads=2)
    assert report.lines == 2 * len(LINES)
    names = [entry["name"] for entry in TokenStore.open(tmp_path / "s").manifest["inputs"]]
    assert names == ["stdin", "t.txt"]


def test_json_lines_of_a_pipe(tmp_path, monkeypatch):
    rows = "".join(json.dumps({"text": line}) + "\n" for line in LINES).encode()
    give(monkeypatch, gzip.compress(rows))
    assert preprocess("-", tmp_path / "s", min_count=1, text_column="text").lines == len(LINES)


def test_what_cannot_be_read_is_told(tmp_path, monkeypatch):
    give(monkeypatch, b"")
    with pytest.raises(UsageError, match="standard input is empty"):
        preprocess("-", tmp_path / "s")
    give(monkeypatch, b"PAR1 and more")
    with pytest.raises(DataError, match="standard input: Parquet"):
        preprocess("-", tmp_path / "s")
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(UsageError, match="standard input is closed"):
        preprocess("-", tmp_path / "s")
    with pytest.raises(UsageError, match="given twice"):
        find_files(["-", "-"])
    with pytest.raises(UsageError, match="`ids_column` is for Parquet"):
        find_files(["-"], TextConfig(ids_column="ids"))
    assert not (tmp_path / "s").exists()


def test_a_bomb_in_a_pipe_stops(tmp_path, monkeypatch):
    give(monkeypatch, gzip.compress(bytes(70_000_000), 9))
    with pytest.raises(DataError, match=r"standard input: unpacks to more than 500 times"):
        preprocess("-", tmp_path / "s")


def test_pipes_that_give_little_at_a_time():
    files, _ = find_files(["-"])
    assert segment_sha256(files[0].segment()) is None
    read, write = os.pipe()
    whole = sys.stdin
    sys.stdin = os.fdopen(read)
    try:
        os.write(write, TEXT[:100])
        os.write(write, TEXT[100:])
        os.close(write)
        reader = SegmentReader(files[0].segment(), block_bytes=64)
        assert b"".join(block for _, block in reader.blocks()) == TEXT
        assert reader.entry()["end"] == len(TEXT)
    finally:
        sys.stdin.close()
        sys.stdin = whole


def test_an_interrupted_run_starts_anew(tmp_path):
    """A run cannot go on from the middle of a pipe; it says so, and the text is given again."""
    output = tmp_path / "s"
    (tmp_path / "t.txt").write_bytes(TEXT)
    arguments = command(tmp_path / "t.txt", "-", "--output", output, "--min-count", 1)
    process = subprocess.Popen(
        [*arguments, "--threads", "1"], stdin=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(TEXT[:50])
    process.stdin.flush()
    wait_for = output / "unfinished" / "plan.json"
    for _ in range(300):
        if wait_for.exists():
            break
        time.sleep(0.1)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    process.stdin.close()
    assert process.stderr is not None
    told = process.stderr.read().decode()
    assert process.wait(60) == 130
    assert "standard input again" in told
    assert is_unfinished_store(output)
    done = subprocess.run(arguments, input=TEXT, capture_output=True)
    assert done.returncode == 0, done.stderr
    (tmp_path / "u.txt").write_bytes(TEXT)
    preprocess([tmp_path / "t.txt", tmp_path / "u.txt"], tmp_path / "whole", min_count=1)
    parts = [TokenStore.open(place).manifest["tokens"] for place in (output, tmp_path / "whole")]
    assert parts[0] == parts[1]
