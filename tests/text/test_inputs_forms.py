"""Every form of input makes the same store; what is wrong with one is told in one line."""

from __future__ import annotations

import gzip
import hashlib
import itertools
import json
import subprocess
import sys
import zlib

import input_files as make
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fastw2v.errors import DataError, FastW2VError, UsageError
from fastw2v.store.config import PreprocessConfig
from fastw2v.store.format import TokenStore
from fastw2v.store.pipeline import preprocess
from fastw2v.store.sources import inputs_unchanged
from fastw2v.text import streams as unpack
from fastw2v.text.config import Layout, TextConfig
from fastw2v.text.find import find_files
from fastw2v.text.shards import SegmentReader, plan_shards

SMALL = Layout(unit_bytes=3000, small_unit_bytes=1, block_bytes=256, row_group_tokens=300)
LINES = make.lines_of_text()


def sentences_of(path) -> list[list[str]]:
    store = TokenStore.open(path)
    tokens, found = store.vocabulary.tokens, []
    for index in range(store.num_row_groups):
        ids, offsets = store.read_row_group(index)
        words = [tokens[token_id] for token_id in ids]
        found += [words[a:b] for a, b in itertools.pairwise(offsets)]
    return found


def run(tmp_path, inputs, name="s", **options):
    given = {"threads": 1, "layout": SMALL, **options}
    if "vocabulary" not in options:
        given["min_count"] = 1
    report = preprocess(inputs, tmp_path / name, **given)
    store = TokenStore.open(tmp_path / name)
    assert report.balanced
    counts = dict(zip(store.vocabulary.tokens, store.vocabulary.counts.tolist(), strict=True))
    return sentences_of(tmp_path / name), counts, report


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    place = tmp_path_factory.mktemp("expected")
    sentences, counts, _ = run(place, make.plain(place / "text.txt", LINES))
    assert sentences == [line.lower().split() for line in LINES if line]
    return sentences, counts


FORMS = {
    "text.txt.gz": (make.packed, {}),
    "text.bz2": (make.packed, {}),
    "text.txt.xz": (make.packed, {}),
    "text.zst": (make.packed, {}),
    "text.jsonl": (make.jsonl, {"text_column": "text"}),
    "text.ndjson": (make.jsonl, {"text_column": "meta.body"}),
    "text.jsonl.gz": (make.jsonl, {"text_column": "text"}),
    "text.json.zst": (make.jsonl, {"text_column": "meta.body"}),
    "text.parquet": (make.parquet, {"text_column": "text"}),
    "large.parquet": (make.parquet, {"text_column": "large"}),
    "coded.parquet": (make.parquet, {"text_column": "coded"}),
    "nested.parquet": (make.parquet, {"text_column": "meta.body"}),
    "dataset": (make.dataset, {"text_column": "text"}),
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_of_text_makes_the_same_store(tmp_path, expected, name):
    write, options = FORMS[name]
    path = write(tmp_path / name, LINES)
    sentences, counts, report = run(tmp_path, path, **options)
    assert (sentences, counts) == expected
    assert report.lines == len(LINES)
    assert report.empty_lines == sum(not line for line in LINES)


@pytest.mark.parametrize("name", ["text.jsonl"])
def test_workers_and_blocks_change_nothing(tmp_path, expected, name):
    write, options = FORMS[name]
    path = write(tmp_path / name, LINES)
    found = run(tmp_path, path, threads=2, **options)
    assert found[:2] == expected
    large = {**SMALL.__dict__, "block_bytes": 1 << 20}
    assert run(tmp_path, path, "t", layout=Layout(**large), **options)[:2] == expected
    parts = [[(p["sha256"]) for p in TokenStore.open(tmp_path / n).manifest["parts"]] for n in "st"]
    assert parts[0] == parts[1]


@pytest.mark.parametrize("write", [make.parquet, make.dataset])
@pytest.mark.parametrize("column", ["tokens", "ids"])
def test_lists_of_tokens_are_taken_as_they_are(tmp_path, write, column):
    path = write(tmp_path / "lists", LINES)
    sentences, counts, _ = run(tmp_path, path, ids_column=column)
    names = str if column == "tokens" else lambda word: str(make.WORDS.index(word))
    expected = [[names(word) for word in line.split()] for line in LINES if line]
    assert sentences == expected
    assert sum(counts.values()) == sum(map(len, expected))


def test_ids_are_rows_of_a_given_vocabulary(tmp_path):
    (tmp_path / "v.txt").write_text("".join(f"{word} 5\n" for word in make.WORDS))
    path = make.parquet(tmp_path / "ids.parquet", LINES)
    options = {"ids_column": "ids", "vocabulary": tmp_path / "v.txt"}
    assert run(tmp_path, path, **options)[0] == [line.split() for line in LINES if line]
    (tmp_path / "v.txt").write_text("a 5\nb 5\n")
    with pytest.raises(
        DataError, match=r"ids\.parquet: ids must be rows of the vocabulary, 0\.\.1; got \d"
    ):
        run(tmp_path, path, "t", **options)


def test_stop_words_of_lists_are_tokens(tmp_path):
    (tmp_path / "stop").write_text("The\n")
    rows = [["The", "the", "a"], ["a", "The"]]
    pq.write_table(pa.table({"t": rows}), tmp_path / "t.parquet")
    sentences, *_ = run(
        tmp_path, tmp_path / "t.parquet", ids_column="t", stopwords=tmp_path / "stop"
    )
    assert sentences == [["the", "a"], ["a"]]


def test_nulls_are_counted_and_never_fatal(tmp_path):
    rows = [["a", None, "b", ""], None, [], ["b", "b"]]
    table = pa.table(
        {"t": rows, "i": pa.array([[1, None], None, [], [2]]), "s": ["a b", None, "", "b"]}
    )
    pq.write_table(table, tmp_path / "t.parquet")
    sentences, _, report = run(tmp_path, tmp_path / "t.parquet", ids_column="t")
    assert sentences == [["a", "b"], ["b", "b"]]
    assert (report.null_texts, report.null_tokens, report.lines) == (1, 2, 3)
    sentences, _, report = run(tmp_path, tmp_path / "t.parquet", "i", ids_column="i")
    assert sentences == [["1"], ["2"]]
    assert (report.null_texts, report.null_tokens) == (1, 1)
    sentences, _, report = run(tmp_path, tmp_path / "t.parquet", "u", text_column="s")
    assert (sentences, report.null_texts, report.lines) == ([["a", "b"], ["b"]], 1, 3)


def test_line_ends_within_a_row_are_spaces_unless_they_cut(tmp_path):
    rows = ["one two.\nthree\r\nfour", "five\n--\nsix. Seven"]
    pq.write_table(pa.table({"t": rows}), tmp_path / "t.parquet")
    (tmp_path / "t.jsonl").write_text("".join(json.dumps({"t": row}) + "\n" for row in rows))
    cases = {
        (): [["one", "two", "three", "four"], ["five", "six", "seven"]],
        ("--",): [["one", "two", "three", "four"], ["five"], ["six", "seven"]],
        (None, True): [["one", "two"], ["three", "four"], ["five", "six"], ["seven"]],
        ("--", True): [["one", "two"], ["three", "four"], ["five"], ["six"], ["seven"]],
    }
    for number, (case, sentences) in enumerate(cases.items()):
        options = dict(zip(("document_separator", "sentences"), case, strict=False))
        for form in ("parquet", "jsonl"):
            path = tmp_path / f"t.{form}"
            found = run(tmp_path, path, f"{form}{number}", text_column="t", **options)
            assert found[0] == sentences, (case, form)


def test_splits_of_a_dataset_are_read_in_order(tmp_path):
    (tmp_path / "d").mkdir()
    make.dataset(tmp_path / "d" / "train", LINES[:100])
    make.dataset(tmp_path / "d" / "test", LINES[100:150])
    (tmp_path / "d" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    files, _ = find_files([tmp_path / "d"], TextConfig(text_column="text"))
    assert [file.name.split("/")[0] for file in files] == ["test", "test", "train", "train"]
    sentences, *_ = run(tmp_path, tmp_path / "d", text_column="text")
    both = [*LINES[100:150], *LINES[:100]]
    assert sentences == [line.lower().split() for line in both if line]
    (tmp_path / "d" / "test" / "data-00000-of-00002.arrow").unlink()
    with pytest.raises(DataError, match=r"data-00000-of-00002\.arrow of this saved dataset is mis"):
        find_files([tmp_path / "d"], TextConfig(text_column="text"))


def test_a_dataset_with_an_order_of_its_own_is_refused(tmp_path):
    path = make.dataset(tmp_path / "d", LINES)
    state = json.loads((path / "state.json").read_text())
    (path / "state.json").write_text(json.dumps({**state, "_indices_data_files": [{"f": "x"}]}))
    with pytest.raises(DataError, match="flatten_indices"):
        find_files([path], TextConfig(text_column="text"))


# How tables and lines are split


@pytest.mark.parametrize("name", ["text.jsonl", "text.parquet", "dataset"])
def test_large_files_are_split_and_every_byte_belongs_to_one_unit(tmp_path, name):
    write, options = FORMS[name]
    read = TextConfig(**options)
    files, _ = find_files([write(tmp_path / name, LINES)], read)
    layout = Layout(unit_bytes=9000, small_unit_bytes=1)
    units = plan_shards(files, layout, read)
    assert len(units) > len(files) + 2
    for file in files:
        own = [unit[0] for unit in units if unit[0].file == file]
        bounds = [0, *(segment.end for segment in own)]
        assert bounds[-1] == file.size
        assert [(s.start, s.end) for s in own] == list(itertools.pairwise(bounds))
    texts, counted = b"", []
    for [segment] in units:
        reader = SegmentReader(segment, read, block_bytes=100, on_bytes=counted.append)
        texts += b"".join(block for _, block in reader.blocks())
        raw = segment.file.path.read_bytes()[segment.start : segment.end]
        assert reader.entry()["sha256"] == hashlib.sha256(raw).hexdigest()
    assert texts.decode() == "".join(line + "\n" for line in LINES)
    assert sum(counted) == sum(file.size for file in files)


def test_a_stream_with_dictionaries_is_one_unit(tmp_path):
    table = pa.table({"t": pa.array(LINES).dictionary_encode()})
    with pa.ipc.new_stream(tmp_path / "d.arrow", table.schema) as writer:
        writer.write_table(table, max_chunksize=20)
    sentences, *_ = run(tmp_path, tmp_path / "d.arrow", text_column="t", layout=SMALL)
    assert sentences == [line.lower().split() for line in LINES if line]


def test_a_row_group_too_large_for_memory_is_read_from_the_file(tmp_path, expected, monkeypatch):
    from fastw2v.text import tables as columns

    monkeypatch.setattr(columns, "_IN_MEMORY", 100)
    path = make.parquet(tmp_path / "t.parquet", LINES)
    assert run(tmp_path, path, text_column="text")[:2] == expected


def test_documents_are_not_cut_between_units(tmp_path):
    documents = [" ".join(f"w{n} {m}" for m in range(n % 9 + 1)) for n in range(200)]
    text = "".join(d.replace(" ", "\n") + "\n\n" * (n % 3 + 1) for n, d in enumerate(documents))
    for ends in ("\n", "\r\n"):
        (tmp_path / "t.txt").write_bytes(text.replace("\n", ends).encode())
        layout = Layout(unit_bytes=100, small_unit_bytes=1, block_bytes=50)
        options = {"document_separator": "", "layout": layout}
        found, *_ = run(tmp_path, tmp_path / "t.txt", f"s{len(ends)}", **options)
        assert found == [document.split() for document in documents]
        units = TokenStore.open(tmp_path / f"s{len(ends)}").manifest["parts"]
        assert len(units) > 10


# What is wrong


def one_line(error) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("suffix", make.PACK)
def test_truncated_or_damaged_files_are_named(tmp_path, suffix):
    whole = make.PACK[suffix](np.random.default_rng(1).bytes(5000).hex().encode())
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0x55
    bad_files = [whole[:-3], whole[: len(whole) // 2], whole + b"garbage", bytes(flipped)]
    if suffix == ".zst":  # whose checksum is optional, and not written by Arrow
        del bad_files[3]
    for bad in bad_files:
        path = tmp_path / f"bad.txt{suffix}"
        path.write_bytes(bad)
        with pytest.raises(DataError, match=rf"bad\.txt{suffix}: truncated or damaged") as error:
            run(tmp_path, path)
        one_line(error)


_EVERY_FOOTER = """
import sys
from pathlib import Path
from fastw2v.text.tables import column_batches, group_bounds, reporting_damage
from fastw2v.text.config import TextConfig
from fastw2v.text.streams import RangeReader
from fastw2v.text.inputs import PARQUET, InputFile
from fastw2v.errors import DataError

path, refused = Path(sys.argv[1]), 0
whole = path.read_bytes()
file = InputFile(path, path.name, len(whole), kind=PARQUET)
for place in range(len(whole) - 8 - int.from_bytes(whole[-8:-4], "little"), len(whole) - 8):
    damaged = bytearray(whole)
    damaged[place] ^= 1 << place % 7
    path.write_bytes(damaged)
    try:
        with reporting_damage("it"), RangeReader(file.segment(), lambda count: None) as reader:
            group_bounds(file)
            rows = list(column_batches(file.segment(), reader, TextConfig(text_column="text")))
    except (DataError, KeyError, IndexError):  # that the column is there was checked before
        refused += 1
print(refused)
"""


def test_no_damaged_footer_of_parquet_ends_the_process(tmp_path):
    path = tmp_path / "t.parquet"
    table = pa.table({"text": ["some words here"] * 40})
    pq.write_table(table, path, row_group_size=20, compression="none", store_schema=False)
    command = [sys.executable, "-c", _EVERY_FOOTER, str(path)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-300:]
    assert int(run.stdout) > 50


@pytest.mark.parametrize("name", ["t.parquet", "t.arrow", "t.jsonl.gz"])
def test_truncated_or_damaged_tables_are_named(tmp_path, name):
    if name == "t.arrow":
        whole = next(make.dataset(tmp_path / "d", LINES).glob("*.arrow")).read_bytes()
    else:
        whole = FORMS[f"text.{name[2:]}"][0](tmp_path / name, LINES).read_bytes()
    options = {"text_column": "text"}
    for bad in (whole[:-5] if name != "t.arrow" else whole[: len(whole) - 500], whole[:40]):
        (tmp_path / name).write_bytes(bad)
        with pytest.raises(DataError, match=rf"{name}: truncated or damaged") as error:
            run(tmp_path, tmp_path / name, **options)
        one_line(error)
    broken = bytearray(whole)
    broken[200:1200] = bytes(1000)
    (tmp_path / name).write_bytes(bytes(broken))
    with pytest.raises(FastW2VError, match=name) as error:
        run(tmp_path, tmp_path / name, **options)
    one_line(error)


@pytest.mark.parametrize("library", ["zlib", "isal"])
def test_gzip_by_either_library(tmp_path, monkeypatch, library):
    used = zlib if library == "zlib" else pytest.importorskip("isal.isal_zlib")
    monkeypatch.setattr(unpack, "_gzip_library", used)
    text = np.random.default_rng(2).bytes(3000).hex().encode() * 5
    whole = gzip.compress(text)
    for most, step in ((7, 11), (1 << 20, 5), (100, 1 << 20)):
        pieces = (whole[at : at + step] for at in range(0, len(whole), step))
        assert b"".join(unpack.unpacked(pieces, "gzip", most)) == text
    with pytest.raises(unpack.DAMAGES):
        list(unpack.unpacked(iter([whole[:-9]]), "gzip", 100))
    with pytest.raises(unpack.DAMAGES):
        list(unpack.unpacked(iter([whole[:-5] + b"abcde"]), "gzip", 100))
    padded = [whole, bytes(7), bytes(9), whole[:3], whole[3:], b"\0"]
    assert b"".join(unpack.unpacked(iter(padded), "gzip", 1000)) == text * 2


@pytest.mark.parametrize("suffix", make.PACK)
def test_a_bomb_stops_at_the_limit(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(unpack, "FREE_BYTES", 60_000)
    path = tmp_path / f"bomb{suffix}"
    path.write_bytes(make.PACK[suffix](b"a b\n" * 30_000))
    with pytest.raises(DataError, match=rf"bomb{suffix}: unpacks to more than 20 times") as error:
        run(tmp_path, path, max_unpacked=20)
    assert "`max_unpacked`" in one_line(error)
    assert not (tmp_path / "s").exists()
    for limit in (0, 10_000_000):
        assert run(tmp_path, path, f"s{limit}", max_unpacked=limit)[1] == {"a": 30_000, "b": 30_000}


def test_the_default_limit_is_no_hindrance_to_what_is_very_regular():
    pieces = [b"x" * 1_000_000] * 64
    assert len(list(unpack.within_limit(pieces, "f", PreprocessConfig.max_unpacked, lambda: 1)))
    with pytest.raises(DataError):
        list(unpack.within_limit([*pieces, b"x"], "f", 500, lambda: 1))


def test_columns_that_are_missing_or_make_no_sense_are_misuse(tmp_path):
    table = make.parquet(tmp_path / "t.parquet", LINES)
    lines = make.jsonl(tmp_path / "t.jsonl", LINES)
    saved = make.dataset(tmp_path / "d", LINES)
    text = make.plain(tmp_path / "t.txt", LINES)
    cases = [
        (table, {}, r"t\.parquet: name the column to read: `text_column` text, .*`ids_column` tok"),
        (saved, {}, r"data-0+-of-0+2\.arrow: name the column"),
        (lines, {}, r"t\.jsonl: name the column to read with `text_column`: text, id, meta"),
        (table, {"text_column": "txt"}, r"t\.parquet: has no column txt; it has: text, large"),
        (lines, {"text_column": "txt"}, r"t\.jsonl: has no column txt; it has: text"),
        (table, {"text_column": "tokens"}, r"`text_column` tokens has type list.*`ids_column`"),
        (table, {"ids_column": "text"}, r"`ids_column` text has type string; give.*`text_co"),
        (table, {"text_column": "id"}, r"`text_column` id has type int64$"),
        (lines, {"ids_column": "text"}, r"t\.jsonl: `ids_column` is for Parquet"),
        (text, {"text_column": "text"}, r"t\.txt: plain text has no columns; leave out `text_c"),
        (text, {"ids_column": "text"}, r"t\.txt: plain text has no columns; leave out `ids_col"),
        (table, {"text_column": "text", "ids_column": "ids"}, "`text_column` applies to text only"),
        (table, {"ids_column": "ids", "sentences": True}, "`sentences` applies to text only"),
        (table, {"ids_column": "ids", "lowercase": False}, "`lowercase` applies to text only"),
        (text, {"document_separator": "a\nb"}, "`document_separator` must be one line"),
        (table, {"text_column": ""}, r"an empty name"),
    ]
    for path, options, message in cases:
        with pytest.raises(UsageError, match=message) as error:
            run(tmp_path, path, **options)
        one_line(error)
        assert not (tmp_path / "s").exists()


def test_names_and_contents_that_do_not_agree_are_refused(tmp_path):
    for suffix in make.PACK:
        (tmp_path / f"a.txt{suffix}").write_bytes(b"plain text\n")
        with pytest.raises(DataError, match=rf"named \{suffix}, but not a"):
            find_files([tmp_path / f"a.txt{suffix}"])
    (tmp_path / "feather").write_bytes(b"ARROW1\0\0" + bytes(100))
    with pytest.raises(DataError, match="Feather"):
        find_files([tmp_path / "feather"])
    archive = bytes(257) + b"ustar" + bytes(600)
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(b"name" + archive[4:]))
    with pytest.raises(DataError, match=r"a\.tar\.gz: a tar archive"):
        run(tmp_path, tmp_path / "a.tar.gz")
    parquet = make.parquet(tmp_path / "t.parquet", LINES).read_bytes()
    (tmp_path / "t.parquet.gz").write_bytes(gzip.compress(parquet))
    with pytest.raises(DataError, match=r"t\.parquet\.gz: Parquet and Arrow are read from plain"):
        run(tmp_path, tmp_path / "t.parquet.gz")


# JSON Lines

BAD_LINES = [
    b'{"text": "unfinished\n',
    b'["text"]\n',
    b'{"text": 5}\n',
    b'{"text": "two"} {"text": "objects"}\n',
    b"nonsense\n",
    b'{"text": ["a"]}\n',
]


@pytest.mark.parametrize("bad", BAD_LINES)
def test_bad_lines_are_counted_or_named_with_their_number(tmp_path, bad):
    good = [json.dumps({"text": f"fine words {n}"}).encode() + b"\n" for n in range(200)]
    path = tmp_path / "t.jsonl"
    path.write_bytes(b"".join([*good[:150], bad, *good[150:]]))
    for errors in ("replace", "skip"):
        sentences, _, report = run(tmp_path, path, errors, text_column="text", errors=errors)
        assert sentences == [["fine", "words", str(n)] for n in range(200)]
        assert report.bad_json_lines == 1
    with pytest.raises(
        DataError, match=r"t\.jsonl: line 151: .*`errors` to replace or skip"
    ) as error:
        run(tmp_path, path, text_column="text", errors="strict")
    one_line(error)


def test_oddities_of_json_lines(tmp_path):
    rows = [
        b'\xef\xbb\xbf{"text": "bom"}\r\n',
        b"\n",
        b'{"text": null}\n',
        b'{"other": 1}\n',
        b'{"text": "caf\xff au"}\n',
        b'{"text": "lone \\ud800 half"}\n',
        b'{"text": "escaped \\u00e9\\nline", "text2": NaN}\n',
        b'  {"text": "last"}',
    ]
    (tmp_path / "t.jsonl").write_bytes(b"".join(rows))
    sentences, _, report = run(tmp_path, tmp_path / "t.jsonl", text_column="text")
    assert sentences == [
        ["bom"],
        ["caf", "au"],
        ["lone", "half"],
        ["escaped", "é", "line"],
        ["last"],
    ]
    assert (report.null_texts, report.bad_json_lines) == (2, 0)
    assert report.undecodable_bytes >= 2


def test_a_name_with_a_dot_is_a_name_or_a_path(tmp_path):
    (tmp_path / "t.jsonl").write_text('{"a.b": "name name"}\n{"a": {"b": "path"}}\n{"a": null}\n')
    sentences, _, report = run(tmp_path, tmp_path / "t.jsonl", text_column="a.b")
    assert (sentences, report.null_texts) == ([["name", "name"], ["path"]], 1)


def test_what_is_no_json_lines_is_refused(tmp_path):
    (tmp_path / "t.jsonl").write_text("just\ntext\n")
    with pytest.raises(DataError, match="no JSON object in its first lines"):
        run(tmp_path, tmp_path / "t.jsonl", text_column="text")


# Memory, changes


def test_long_rows_and_lines_come_in_blocks(tmp_path):
    long = "some words " * 30_000
    rows = ["short", long, "end"]
    pq.write_table(pa.table({"t": rows}), tmp_path / "t.parquet")
    (tmp_path / "t.jsonl").write_text("".join(json.dumps({"t": row}) + "\n" for row in rows))
    for name in ("t.parquet", "t.jsonl"):
        options = TextConfig(text_column="t")
        files, _ = find_files([tmp_path / name], options)
        reader = SegmentReader(files[0].segment(), options, block_bytes=1000)
        blocks = [block for _, block in reader.blocks()]
        assert max(map(len, blocks)) < 3000
        assert b"".join(blocks).decode() == "".join(row + "\n" for row in rows)


def test_huge_rows_need_little_memory(tmp_path):
    """100 MB of lines without an end, packed, and rows of 5 MB, in a process of its own."""
    (tmp_path / "t.gz").write_bytes(gzip.compress(b"some few words! " * (100 << 16), 1))
    rows = ["some few words! " * (5 << 16)] * 20
    pq.write_table(pa.table({"t": rows}), tmp_path / "t.parquet", row_group_size=4)
    program = (
        "import sys, resource; from fastw2v import preprocess\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "preprocess([['a', 'b']] * 9, sys.argv[1] + '/0', min_count=1)\n"
        "before = peak()\n"
        "a = preprocess(sys.argv[1] + '/t.gz', sys.argv[1] + '/1', threads=1)\n"
        "middle = peak()\n"
        "table = sys.argv[1] + '/t.parquet'\n"
        "b = preprocess(table, sys.argv[1] + '/2', threads=1, text_column='t')\n"
        "print(a.tokens_kept, b.tokens_kept, (middle - before) // 1024, (peak() - middle) // 1024)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )
    text, table, first, second = map(int, done.stdout.split())
    assert (text, table) == (3 * 100 << 16, 3 * 100 << 16)
    assert first < 250
    assert second < 150


@pytest.mark.parametrize("name", ["text.jsonl", "text.parquet", "dataset", "text.zst"])
def test_a_change_of_the_input_is_noticed(tmp_path, name):
    write, options = FORMS[name]
    path = write(tmp_path / name, LINES)
    run(tmp_path, path, **options)
    store = TokenStore.open(tmp_path / "s")
    assert inputs_unchanged(store, path)
    file = next(path.glob("*.arrow")) if path.is_dir() else path
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content))
    assert not inputs_unchanged(store, path)
    assert store.manifest["settings"]["text_column"] == options.get("text_column")
    assert set(store.manifest["inputs"][0]) == {"name", "start", "end", "sha256", "part"}
