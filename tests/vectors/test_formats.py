"""Vector files: exact round trips, peers' layouts, and what damaged or foreign ones get."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vectors_helper import WORDS, royal, royal_vectors

from fastw2v.errors import DataError, ResourceError, UsageError
from fastw2v.io import storage
from fastw2v.vectors import formats, word2vec_format
from fastw2v.vectors.keyed_vectors import KeyedVectors

ALL = list(formats.SUFFIXES)
WORD2VEC = [".bin", ".txt", ".vec"]


@pytest.mark.parametrize("suffix", ALL)
def test_a_round_trip_is_exact(tmp_path, suffix):
    path = tmp_path / f"my.vectors{suffix}"
    royal().save(path)
    back = KeyedVectors.load(path)
    assert back.index_to_key == WORDS
    assert np.array_equal(back.vectors, royal_vectors())
    if suffix in (".parquet", ".npy"):
        assert back.counts.tolist() == royal().counts.tolist()
    assert not list(tmp_path.glob(".*"))  # no temporary file stays


@pytest.mark.parametrize("shape", [(100, 7), (3, 0), (0, 3)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_is_what_numpy_writes(tmp_path, monkeypatch, shape, order):
    monkeypatch.setattr(formats, "_NPY_BLOCK_VALUES", 30)
    rows = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    np.save(tmp_path / "theirs.npy", rows)
    formats._write_npy(tmp_path / "ours.npy", np.asarray(rows, order=order))
    assert (tmp_path / "ours.npy").read_bytes() == (tmp_path / "theirs.npy").read_bytes()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
@pytest.mark.parametrize("suffix", [".npy", ".bin", ".txt", ".parquet"])
def test_a_full_disk_is_called_so(tmp_path, monkeypatch, suffix):
    @contextlib.contextmanager
    def full(path):
        with storage.reporting_os_errors(path):
            yield Path("/dev/full") if path.suffix == suffix else path

    monkeypatch.setattr(storage, "atomic_file", full)
    vectors = KeyedVectors(list(map(str, range(4000))), np.ones((4000, 8)))
    with pytest.raises(ResourceError, match="no space left"):
        vectors.save(tmp_path / f"v{suffix}")


def test_a_short_write_of_npy_has_its_reason(tmp_path):
    """The header fits, the matrix does not: here `np.save` says only how much was written."""
    resource = pytest.importorskip("resource")
    vectors = KeyedVectors(list(map(str, range(4000))), np.ones((4000, 8)))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, limits[1]))
    try:
        with pytest.raises(ResourceError, match=os.strerror(errno.EFBIG)):
            vectors.save(tmp_path / "v.npy")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", ALL)
def test_without_counts_and_over_several_chunks(tmp_path, suffix, monkeypatch):
    monkeypatch.setattr(word2vec_format, "_CHUNK_VALUES", 30)
    monkeypatch.setattr(word2vec_format, "_TEXT_BLOCK", 600)
    monkeypatch.setattr(formats, "_PARQUET_ROW_GROUP_VALUES", 30)
    rows = np.random.default_rng(0).standard_normal((100, 7)).astype(np.float32)
    words = [f"w{n}" for n in range(100)]
    KeyedVectors(words, rows).save(tmp_path / f"v{suffix}")
    back = KeyedVectors.load(tmp_path / f"v{suffix}")
    assert back.index_to_key == words
    assert np.array_equal(back.vectors, rows)
    assert back.counts is None


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(width=32), min_size=3, max_size=3), st.sampled_from(ALL))
def test_any_float32_comes_back_bit_for_bit(tmp_path_factory, values, suffix):
    path = tmp_path_factory.mktemp("floats") / f"v{suffix}"
    rows = np.array([values, [1e-45, 3.4e38, -0.0]], dtype=np.float32)
    KeyedVectors(["a", "b"], rows).save(path)
    back = KeyedVectors.load(path).vectors
    same = back.view(np.uint32) == rows.view(np.uint32)
    assert (same | (np.isnan(back) & np.isnan(rows))).all()


def test_text_holds_the_shortest_numbers_and_binary_the_layout_of_word2vec(tmp_path):
    vectors = KeyedVectors(["é", "b"], np.float32([[0.1, 1], [-2.5, 1e-10]]))
    vectors.save(tmp_path / "v.txt")
    assert (tmp_path / "v.txt").read_bytes() == "2 2\né 0.1 1\nb -2.5 1e-10\n".encode()
    vectors.save(tmp_path / "v.vec")
    assert (tmp_path / "v.vec").read_bytes() == (tmp_path / "v.txt").read_bytes()
    vectors.save(tmp_path / "v.bin")
    rows = [np.float32(row).tobytes() for row in ([0.1, 1], [-2.5, 1e-10])]
    wanted = b"2 2\n" + "é ".encode() + rows[0] + b"\nb " + rows[1] + b"\n"
    assert (tmp_path / "v.bin").read_bytes() == wanted


def test_parquet_and_npy_open_with_their_own_libraries(tmp_path):
    royal().save(tmp_path / "v.parquet")
    table = pq.read_table(tmp_path / "v.parquet")
    assert table.column_names == ["token", "count", "vector"]
    assert table.schema.field("vector").type == pa.list_(pa.float32(), 12)
    assert table["count"].to_pylist()[:2] == [100, 90]
    royal().save(tmp_path / "v.npy")
    assert np.array_equal(np.load(tmp_path / "v.npy", mmap_mode="r"), royal_vectors())
    lines = (tmp_path / "v.vocab.tsv").read_text(encoding="utf-8").splitlines()
    assert lines[:2] == ["token\tcount", "the\t100"]


@pytest.mark.parametrize("suffix", WORD2VEC)
def test_gensim_loads_what_it_can(tmp_path, suffix):
    gensim = pytest.importorskip("gensim.models.keyedvectors", reason="gensim is not installed")
    royal().save(tmp_path / f"v{suffix}")
    theirs = gensim.KeyedVectors.load_word2vec_format(
        str(tmp_path / f"v{suffix}"), binary=suffix == ".bin"
    )
    assert theirs.index_to_key == WORDS
    assert np.array_equal(theirs.vectors, royal_vectors())
    ours = royal().most_similar("king", topn=4)
    assert [w for w, _ in theirs.most_similar("king", topn=4)] == [w for w, _ in ours]
    theirs.save_word2vec_format(str(tmp_path / f"g{suffix}"), binary=suffix == ".bin")
    back = KeyedVectors.load(tmp_path / f"g{suffix}")
    assert back.index_to_key == WORDS
    assert np.allclose(back.vectors, royal_vectors(), atol=1e-6)


def test_reads_what_fasttext_writes(tmp_path):
    (tmp_path / "v.vec").write_bytes(b'3 2\n</s> 0.1 2 \n" 1 -1 \nnull 3e-5 4 \n')
    vectors = KeyedVectors.load(tmp_path / "v.vec")
    assert vectors.index_to_key == ["</s>", '"', "null"]
    assert np.array_equal(vectors.vectors, np.float32([[0.1, 2], [1, -1], [3e-5, 4]]))


def test_windows_line_ends_are_read(tmp_path):
    (tmp_path / "v.txt").write_bytes(b"2 2\r\na 1 2\r\nb 3 4\r\n")
    assert KeyedVectors.load(tmp_path / "v.txt")["b"].tolist() == [3, 4]


@pytest.mark.parametrize("token", ["new york", "", "a\tb", "a\nb", "a\x0bb"])
def test_words_that_a_format_cannot_hold_are_refused_and_named(tmp_path, token):
    vectors = KeyedVectors(["a", token], np.ones((2, 3)))
    for suffix in WORD2VEC:
        with pytest.raises(UsageError, match=r"word 1, .*write to a \.parquet") as caught:
            vectors.save(tmp_path / f"v{suffix}")
        assert repr(token) in str(caught.value)
        assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
    vectors.save(tmp_path / "v.parquet")
    assert KeyedVectors.load(tmp_path / "v.parquet").index_to_key == ["a", token]
    if token in ("new york", ""):
        vectors.save(tmp_path / "v.npy")
        assert KeyedVectors.load(tmp_path / "v.npy").index_to_key == ["a", token]


def test_npy_refuses_words_that_break_its_vocabulary(tmp_path):
    with pytest.raises(UsageError, match="tab or line end"):
        KeyedVectors(["a\tb"], np.ones((1, 3))).save(tmp_path / "v.npy")
    with pytest.raises(UsageError, match="not valid Unicode"):
        KeyedVectors(["\ud800"], np.ones((1, 3))).save(tmp_path / "v.parquet")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", ALL)
def test_an_output_that_exists_is_kept_unless_forced(tmp_path, suffix):
    path = tmp_path / f"v{suffix}"
    path.write_text("precious")
    with pytest.raises(UsageError, match=r"exists already.*`force`"):
        royal().save(path)
    assert path.read_text() == "precious"
    royal().save(path, force=True)
    assert len(KeyedVectors.load(path)) == len(WORDS)


def test_the_vocabulary_beside_a_matrix_is_not_overwritten_either(tmp_path):
    (tmp_path / "v.vocab.tsv").write_text("precious")
    with pytest.raises(UsageError, match=r"v\.vocab\.tsv: exists"):
        royal().save(tmp_path / "v.npy")
    assert [path.name for path in tmp_path.iterdir()] == ["v.vocab.tsv"]


def test_directories_and_unknown_suffixes_are_refused(tmp_path):
    (tmp_path / "d.bin").mkdir()
    with pytest.raises(UsageError, match="is a directory"):
        royal().save(tmp_path / "d.bin", force=True)
    with pytest.raises(UsageError, match=r"use \.bin, \.txt"):
        royal().save(tmp_path / "v.word2vec")
    (tmp_path / "v.word2vec").write_text("1 1\na 1\n")
    with pytest.raises(UsageError, match=r"use \.bin, \.txt"):
        KeyedVectors.load(tmp_path / "v.word2vec")


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(word2vec_format, "write_binary", full)
    monkeypatch.setattr(formats, "_write_tsv", full)
    for name in ("v.bin", "v.npy"):
        with pytest.raises(ResourceError, match="no space left"):
            royal().save(tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", ALL)
def test_every_truncation_is_told(tmp_path, suffix):
    path = tmp_path / f"v{suffix}"
    royal().save(path)
    whole = path.read_bytes()
    lengths = {*range(40), len(whole) // 2, len(whole) - 13, len(whole) - 2}
    lengths |= {len(whole) - 1} if suffix != ".bin" else set()  # gensim ends without newline
    for length in sorted(length for length in lengths if length < len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=path.name) as caught:
            KeyedVectors.load(path)
        assert "\n" not in str(caught.value), length


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("v.txt", b"the 0.1 0.2\nand 1 2\n", "GloVe"),
        ("v.bin", (793712314).to_bytes(4, "little") + bytes(60), "fastText model"),
        ("v.bin", b"900000000000 300\nabc ", "truncated: 900000000000 words"),
        ("v.txt", b"900000000000 300\nabc 1 2\n", "truncated"),
        ("v.bin", b"1 1\na \0\0\0\0\nb \0\0\0\0\n", "more bytes after the 1 words"),
        ("v.bin", b"1 1\n\xff \0\0\0\0\n", "not UTF-8"),
        ("v.txt", b"1 1\n\xff 1\n", "cannot read on|not UTF-8"),
        ("v.txt", b"1 2\na 1 2\nb 3 4\n", "more rows than the 1"),
        ("v.txt", b"3 2\na 1 2\nb 3 4.00000\n", "expected 3 words, found 2"),
        ("v.txt", b"2 2\na 1 2\nb 3 x\n", "expected a word and 2 numbers"),
        ("v.txt", b"2 2\na 1 2\nb 3 4 5\n", "expected a word and 2 numbers"),
        ("v.txt", b"2 2\na 1 2\na 3 4\n", "'a' occurs twice"),
        ("v.parquet", b"text", "not a readable Parquet file"),
        ("v.npy", b"text", "not a readable .npy"),
    ],
)  # fmt: skip
def test_foreign_and_damaged_files_are_told(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        KeyedVectors.load(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"token": ["a"], "count": [1]}, "expected the columns"),
        ({"token": ["a"], "vector": ["b"]}, "found vector of type string"),
        ({"token": ["a"], "vector": pa.array([[1.0]], pa.list_(pa.float64()))}, "type list"),
        ({"token": [1], "vector": pa.array([[1.0]], pa.list_(pa.float32()))}, "type of token"),
        ({"token": ["a", "b"], "vector": pa.array([[1, 2], [1]], pa.list_(pa.float32()))},
         "different lengths|cannot"),
        ({"token": ["a", None], "vector": pa.array([[1], [2]], pa.list_(pa.float32()))},
         "a missing word"),
        ({"token": ["a", "b"], "vector": pa.array([[1], None], pa.list_(pa.float32(), 1))},
         "a missing word|not a readable"),  # pyarrow 15 cannot even read it
    ],
)  # fmt: skip
def test_foreign_parquet_is_told(tmp_path, columns, message):
    pq.write_table(pa.table(columns), tmp_path / "v.parquet")
    with pytest.raises(DataError, match=message):
        KeyedVectors.load(tmp_path / "v.parquet")


def test_parquet_lists_of_equal_length_are_read(tmp_path):
    vector = pa.array([[1, 2], [3, 4]], pa.list_(pa.float32()))
    pq.write_table(pa.table({"token": ["a", "b"], "vector": vector}), tmp_path / "x.parquet")
    assert KeyedVectors.load(tmp_path / "x.parquet")["b"].tolist() == [3, 4]


def test_a_matrix_needs_its_own_vocabulary(tmp_path):
    royal().save(tmp_path / "v.npy")
    vocabulary = tmp_path / "v.vocab.tsv"
    lines = vocabulary.read_text(encoding="utf-8").splitlines(keepends=True)
    for text, message in (
        ("".join(lines[:-1]), "10 rows, but 9 words"),
        ("".join(lines)[:-1], "expected the line"),
        ("".join(lines[1:]), "expected the line"),
        ("".join([*lines[:-1], "a b\n"]), "expected the line"),
    ):
        vocabulary.write_text(text, encoding="utf-8")
        with pytest.raises(DataError, match=message):
            KeyedVectors.load(tmp_path / "v.npy")
    vocabulary.unlink()
    with pytest.raises(DataError, match="missing"):
        KeyedVectors.load(tmp_path / "v.npy")
    np.save(tmp_path / "v.npy", np.ones((2, 2)))
    with pytest.raises(DataError, match="expected a float32 matrix"):
        KeyedVectors.load(tmp_path / "v.npy")


def test_a_file_has_one_matrix_only(tmp_path):
    royal().save(tmp_path / "v.bin")
    with pytest.raises(UsageError, match="needs a model directory"):
        KeyedVectors.load(tmp_path / "v.bin", "output")
