from __future__ import annotations

import gzip
import hashlib
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vectors_helper import write_model

from fastw2v.errors import DataError, UsageError
from fastw2v.text.config import Layout
from fastw2v.text.find import find_files
from fastw2v.text.shards import SegmentReader, plan_shards


def names(found):
    return [file.name for file in found[0]]


def test_directories_are_searched_sorted_and_recursively(tmp_path):
    for name in ("b.txt", "a/z.txt", "a/y.txt.gz", ".hidden", ".git/config", "noise.bin"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"some text\n")
    (tmp_path / "a/y.txt.gz").write_bytes(gzip.compress(b"zipped text\n"))
    (tmp_path / "noise.bin").write_bytes(b"\x7fELF\0\1\2\0\0\0\xff")
    (tmp_path / "b.txt").write_bytes(b"text with one stray \0 byte and \xff another\n")
    (tmp_path / "empty").touch()
    files, passed_over = find_files([tmp_path])
    assert names((files, 0)) == ["a/y.txt.gz", "a/z.txt", "b.txt"]
    assert [file.compression for file in files] == ["gzip", "", ""]
    assert passed_over == 2


def test_globs_and_order_of_arguments(tmp_path):
    for name in ("2.txt", "1.txt", "x[1].txt"):
        (tmp_path / name).write_text("text\n")
    assert names(find_files([tmp_path / "x[1].txt", str(tmp_path / "?.txt")])) == [
        "x[1].txt",
        "1.txt",
        "2.txt",
    ]


@pytest.mark.parametrize("inputs", [[""], ["text.txt", ""]])
def test_an_empty_path_is_not_the_working_directory(tmp_path, monkeypatch, inputs):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text("text\n")
    with pytest.raises(UsageError, match="empty path"):
        find_files(inputs)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("none.txt", "no such file"),
        ("*.none", "no file matches"),
        ("empty.txt", "empty file"),
        ("bare", "no text in this directory"),
        ("fifo", "not a regular file"),
    ],
)
def test_missing_and_empty_inputs_are_misuse(tmp_path, pattern, message):
    (tmp_path / "empty.txt").touch()
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "image.png").write_bytes(b"\x89PNG\0")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(UsageError, match=message) as caught:
        find_files([tmp_path / pattern])
    assert pattern in str(caught.value)


def test_a_model_or_a_checkpoint_is_not_text(tmp_path):
    model = write_model(tmp_path / "model")
    (tmp_path / "link").symlink_to(model)
    for place in (model, tmp_path / "link", model / "checkpoints" / "epoch-0001"):
        with pytest.raises(UsageError, match="is a model, not text") as caught:
            find_files([place])
        assert str(place) in str(caught.value)
    (tmp_path / "a.txt").write_text("text\n")
    assert names(find_files([tmp_path])) == ["a.txt"]  # in a directory they are passed over


def test_nothing_or_the_same_file_twice_is_misuse(tmp_path):
    with pytest.raises(UsageError, match="no input"):
        find_files([])
    (tmp_path / "a.txt").write_text("x\n")
    with pytest.raises(UsageError, match="twice"):
        find_files([tmp_path / "a.txt", tmp_path])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.parquet", b"PAR1....", "too short for a Parquet"),
        ("a.zip", b"PK\x03\x04....", "unzip"),
        ("a.gz", b"plain", "not a gzip file"),
    ],
)
def test_foreign_files_are_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        find_files([tmp_path / name])


def read(path, block_bytes=64, **layout):
    files, _ = find_files([path])
    units = plan_shards(files, Layout(**layout))
    result = []
    for unit in units:
        for segment in unit:
            reader = SegmentReader(segment, block_bytes=block_bytes)
            blocks = list(reader.blocks())
            raw = path.read_bytes()[segment.start : segment.end]
            assert reader.sha256 == hashlib.sha256(raw).hexdigest()
            result.append((segment, blocks))
    return result


TEXT = st.lists(st.sampled_from([b"a", b"\n", b" ", "é".encode(), b"x" * 50]), min_size=1)


@given(TEXT.map(b"".join), st.integers(1, 60), st.integers(1, 80), st.booleans())
def test_every_byte_is_read_once_in_units_that_end_with_lines(
    tmp_path_factory, text, block_bytes, unit_bytes, compressed
):
    path = tmp_path_factory.mktemp("s") / "text"
    path.write_bytes(gzip.compress(text) if compressed else text)
    segments = read(path, block_bytes, unit_bytes=unit_bytes, small_unit_bytes=1)
    assert b"".join(block for _, blocks in segments for _, block in blocks) == text
    for segment, blocks in segments:
        offset = segment.start
        for start, block in blocks:
            assert start == offset
            offset += len(block)
            block.decode("utf-8")  # never cut inside a character
    if compressed:
        assert len(segments) == 1
    for segment, _ in segments[:-1]:
        assert text[segment.end - 1 : segment.end] == b"\n"
        assert segment.end - segment.start > unit_bytes
    for segment, _ in segments:  # no unit goes past the first line end after its size
        assert b"\n" not in text[segment.start + unit_bytes : segment.end - 1] or compressed


def test_a_long_line_is_cut_at_white_space(tmp_path):
    path = tmp_path / "long.txt"
    path.write_bytes(b"word " * 100 + b"end")
    [(_, blocks)] = read(path, 32)
    assert len(blocks) > 5
    assert all(len(block) < 96 for _, block in blocks)
    assert all(block.endswith(b" ") for _, block in blocks[:-1])


def test_a_line_without_white_space_is_cut_between_characters(tmp_path):
    path = tmp_path / "long.txt"
    path.write_text("é中𝔘" * 100, encoding="utf-8")
    for block_bytes in (7, 8, 9, 10, 11):
        [(_, blocks)] = read(path, block_bytes)
        assert "".join(block.decode() for _, block in blocks) == "é中𝔘" * 100


def test_small_files_share_a_unit_in_order(tmp_path):
    for number, size in enumerate([3, 3, 3, 50, 2]):
        (tmp_path / f"{number}.txt").write_bytes(b"x" * size)
    files, _ = find_files([tmp_path])
    units = plan_shards(files, Layout(small_unit_bytes=7))
    assert [[segment.name[0] for segment in unit] for unit in units] == [
        ["0", "1"],
        ["2"],
        ["3"],
        ["4"],
    ]


@pytest.mark.parametrize("cut", [5, -3, 40])
def test_truncated_gzip_is_refused_by_name(tmp_path, cut):
    path = tmp_path / "cut.txt.gz"
    path.write_bytes(gzip.compress(os.urandom(50).hex().encode())[:cut])
    with pytest.raises(DataError, match=r"cut\.txt\.gz"):
        read(path)


def test_garbage_after_gzip_and_flipped_bits_are_refused(tmp_path):
    path = tmp_path / "bad.gz"
    whole = gzip.compress(b"some text\n" * 50)
    path.write_bytes(whole + b"garbage")
    with pytest.raises(DataError, match=r"bad\.gz"):
        read(path)
    path.write_bytes(whole[:-6] + bytes([whole[-6] ^ 1]) + whole[-5:])
    with pytest.raises(DataError, match=r"bad\.gz"):
        read(path)
    path.write_bytes(whole + whole)  # members that follow one another are fine
    assert b"".join(b for _, b in read(path)[0][1]) == b"some text\n" * 100


def test_utf_16_is_refused_with_what_to_do(tmp_path):
    for compress in (bytes, gzip.compress):
        path = tmp_path / "wide.txt"
        path.write_bytes(compress("some text\n".encode("utf-16")))
        with pytest.raises(DataError, match="iconv"):
            read(path)


def test_a_file_that_shrinks_meanwhile_is_noticed(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"line\n" * 100)
    files, _ = find_files([path])
    [[segment]] = plan_shards(files, Layout())
    path.write_bytes(b"line\n")
    with pytest.raises(DataError, match="shrank"):
        list(SegmentReader(segment).blocks())
