"""Files from strangers: whatever they hold, loading gives what is in them or a named error.

A seeded fuzzer (`fuzz_helper`) damages small artifacts that the product itself made: cut anywhere,
bits flipped, bytes swapped, doubled, dropped, zeroed or set, huge numbers in headers, values of
JSON replaced, two files of a directory swapped, a file of another run in place of one. It runs in a
process of its own under a limit of memory. FASTW2V_FUZZ=N asks for N cases.

What may come out: of a model or a token store the very vectors or ids of the original (or an older
save of it, told), or an error. With checksums made to fit ("forged") the content is a stranger's
own, and only named errors, time and memory are asked for. The files of other tools have no
checksums: a flipped bit of a number or of a letter there makes another number or letter and cannot
be seen; what is missing, or too much, is.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import fuzz_helper
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fastw2v
from fastw2v.errors import DataError, FastW2VError
from fastw2v.io import storage
from fastw2v.io.model_directory import read_generation
from fastw2v.io.untrusted import inside, parse_json
from fastw2v.store.format import TokenPart, TokenStore
from fastw2v.store.phrases.phrases import Phrase, Phrases, load_phrases
from fastw2v.store.verify import verify_store
from fastw2v.store.vocabulary import Vocabulary
from fastw2v.store.vocabulary_files import read_vocabulary
from fastw2v.text.config import Layout
from fastw2v.training import checkpoint
from fastw2v.vectors.keyed_vectors import KeyedVectors

CASES = int(os.environ.get("FASTW2V_FUZZ", "250"))
ROOT = Path(__file__).resolve().parent.parent.parent
EXAMPLES = max(30, CASES // 20)
fuzzed = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("artifacts")
    fuzz_helper.make_artifacts(folder)
    return folder


@pytest.fixture
def model(artifacts, tmp_path):
    """A model of one save and its checkpoints."""
    copy = Path(shutil.copytree(artifacts / "a.model", tmp_path / "model"))
    for save in copy.glob("gen-*"):
        if save.name != (copy / "CURRENT").read_text().strip():
            shutil.rmtree(save)
    return copy


@pytest.fixture
def store(artifacts, tmp_path):
    return Path(shutil.copytree(artifacts / "a.store", tmp_path / "store"))


def refused(load, *arguments, **keywords):
    """The message of the error of ours, which is one line that no terminal obeys."""
    with pytest.raises(FastW2VError) as caught:
        load(*arguments, **keywords)
    assert str(caught.value).isprintable()
    return str(caught.value)


def loads_or_refuses(load, path):
    """Load under the limits; None where it was refused."""
    try:
        with fuzz_helper.seconds_limited(fuzz_helper.MAX_SECONDS):
            return load(path)
    except FastW2VError as error:
        message = str(error)
    assert message.isprintable()
    return None


def edit_json(path, **values):
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, **values}))


def test_damaged_files_give_what_they_held_or_a_named_error(artifacts):
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    totals: dict[str, int] = {}
    for seed in range(0, CASES, 5000):
        cases = min(5000, CASES - seed)
        command = [sys.executable, fuzz_helper.__file__, str(artifacts), str(seed), str(cases)]
        run = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=120 + cases
        )
        last = (artifacts / f"case-{seed}").read_text()
        assert run.returncode == 0, f"up to case {last}: {run.stderr[-3000:]}"
        for name, count in json.loads(run.stdout).items():
            totals[name] = totals.get(name, 0) + count
    assert sum(totals.values()) == CASES
    outcomes = {name.partition(": ")[2] for name in totals}
    assert outcomes >= {"refused", "identical", "loaded"}, totals
    if CASES > 1000:
        print(json.dumps(totals))


def test_the_fuzzer_sees_wrong_vectors_other_errors_and_hangs(artifacts, tmp_path, monkeypatch):
    fuzzer = fuzz_helper.Fuzzer(artifacts, tmp_path)
    monkeypatch.setattr(storage, "sha256_of", lambda path, *rest, **more: "0" * 64)

    def run_all(kind):
        for number in range(60):
            fuzzer.run(number, kind)

    def unchecked(path):  # a model whose checksums nobody looks at
        newest = max(path.glob("gen-*"))
        return [False, np.load(newest / "input_vectors.npy"), newest]

    monkeypatch.setattr(fuzz_helper, "of_model", unchecked)
    with pytest.raises(AssertionError, match=r"ValueError|other content|EOFError"):
        run_all("model")

    def endless(path):
        while True:
            pass

    monkeypatch.setattr(fuzz_helper, "of_vocabulary", endless)
    monkeypatch.setattr(fuzz_helper, "MAX_SECONDS", 0.1)
    fuzzer._good["words.txt"] = fuzzer._good["words.tsv"] = []
    fuzzer._good["words.parquet"] = fuzzer._good["pandas-words.parquet"] = []
    with pytest.raises(AssertionError, match="processor time"):
        run_all("vocabulary")


# Any bytes, and any table, under every name that is read. ---------------------------------------

ANY_NAME = [*fuzz_helper.VECTOR_FILES, "v.npz", "words.txt", "words.tsv", "words.parquet"]
STARTS = [
    b"",
    b"PAR1",
    b"\x93NUMPY\x01\x00",
    b"3 4\n",
    b"token\tcount\n",
    b"PK\x03\x04",
    b"\x80\x04",
]


@fuzzed
@given(st.sampled_from(ANY_NAME), st.sampled_from(STARTS), st.binary(max_size=200))
def test_any_bytes_under_any_name(tmp_path, name, start, content):
    path = tmp_path / name
    path.write_bytes(start + content)
    (tmp_path / "v.vocab.tsv").write_text("token\tcount\na\t1\n")
    for load in (KeyedVectors.load, read_vocabulary):
        loads_or_refuses(load, path)


@fuzzed
@given(
    st.lists(st.integers(-(10**20), 10**20) | st.booleans() | st.text(max_size=3), max_size=4),
    st.sampled_from(["<f4", ">f4", "|O", "<f8", "f4,f4", "V2147483647", "<U1000000000"]),
    st.integers(0, 100),
)
def test_npy_headers_of_any_shape(tmp_path, shape, kind, size):
    path = tmp_path / "v.npy"
    header = str({"descr": kind, "fortran_order": False, "shape": tuple(shape)}).encode() + b"\n"
    start = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little")
    path.write_bytes(start + header + bytes(size))
    (tmp_path / "v.vocab.tsv").write_text("token\tcount\na\t1\nb\t1\n")
    found = loads_or_refuses(KeyedVectors.load, path)
    assert found is None or (kind == "<f4" and found.vectors.size * 4 == size)


COLUMNS = {
    "string": (pa.string(), st.text(max_size=5)),
    "binary": (pa.binary(), st.binary(max_size=5)),
    "int64": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "int32": (pa.int32(), st.integers(-(2**31), 2**31 - 1)),
    "float": (pa.float32(), st.floats(width=32)),
    "ids": (pa.list_(pa.int32()), st.lists(st.integers(-2, 9) | st.none(), max_size=3)),
    "vector": (pa.list_(pa.float32()), st.lists(st.floats(width=32) | st.none(), max_size=3)),
    "pair": (pa.list_(pa.float32(), 2), st.lists(st.floats(width=32), min_size=2, max_size=2)),
    "texts": (pa.list_(pa.string()), st.lists(st.text(max_size=3), max_size=3)),
}


@st.composite
def tables(draw):
    """Tables with the column names of ours and other content."""
    names = draw(st.sampled_from([
        ("token", "count"), ("token", "vector"), ("token", "count", "vector"), ("tokens",),
        ("a\nb\x1b[31m",), ("phrase", "left", "connectors", "right", "count", "score", "pass"),
    ]))  # fmt: skip
    rows = draw(st.integers(0, 4))
    arrays = []
    for _ in names:
        kind, values = COLUMNS[draw(st.sampled_from(sorted(COLUMNS)))]
        cells = draw(st.lists(values | st.none(), min_size=rows, max_size=rows))
        array = pa.array([None if cell is None else cell for cell in cells], kind)
        arrays.append(array)
    return pa.table(arrays, names=list(names))


def ids_of(path):
    part = TokenPart.open(path)
    return [part.read(number, 5) for number in range(len(part.row_group_sizes()))]


@fuzzed
@given(tables(), st.booleans(), st.sampled_from(["none", "zstd"]), st.booleans())
def test_any_table_where_one_of_ours_is_expected(tmp_path, table, dictionary, packed, checksum):
    path = tmp_path / "any.parquet"
    pq.write_table(
        table, path, use_dictionary=dictionary, compression=packed, write_page_checksum=checksum
    )
    for load in (Vocabulary.load, load_phrases, KeyedVectors.load, ids_of):
        loads_or_refuses(load, path)


def test_texts_that_are_not_utf8_in_parquet(tmp_path):
    bad = pa.Array.from_buffers(
        pa.string(), 2, [None, pa.py_buffer(np.array([0, 1, 2], np.int32)), pa.py_buffer(b"a\xff")]
    )
    vectors = pa.array([[1.0], [2.0]], pa.list_(pa.float32()))
    pq.write_table(pa.table({"token": bad, "count": [2, 1]}), tmp_path / "words.parquet")
    pq.write_table(pa.table({"token": bad, "vector": vectors}), tmp_path / "v.parquet")
    assert "Parquet" in refused(Vocabulary.load, tmp_path / "words.parquet")
    assert "Parquet" in refused(KeyedVectors.load, tmp_path / "v.parquet")


# Small files that say that they are large. ------------------------------------------------------


def write_bomb(path, **options):
    """Megabytes that unpack to two gigabytes of strings."""
    kind = pa.schema({"token": pa.string(), "count": pa.int64()})
    block = pa.table([pa.array(["a" * 1000] * 20_000), np.ones(20_000, np.int64)], schema=kind)
    with pq.ParquetWriter(path, kind, compression="zstd", **options) as writer:
        for _ in range(20):
            writer.write_table(block)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"use_dictionary": False}, "far larger, unpacked"),
        ({"use_dictionary": False, "column_encoding": {"token": "DELTA_BYTE_ARRAY"}}, "DELTA_BYTE"),
        ({"use_dictionary": ["token"]}, "far larger, unpacked"),
    ],
)
def test_decompression_bombs_are_not_unpacked(tmp_path, monkeypatch, options, message):
    write_bomb(tmp_path / "words.parquet", **options)
    before = fuzz_helper.resident_peak()
    assert message in refused(read_vocabulary, tmp_path / "words.parquet")
    assert fuzz_helper.resident_peak() - before < 100 << 20


def test_one_long_word_cannot_stand_for_millions(tmp_path):
    rows = 300_000
    words = pa.DictionaryArray.from_arrays(np.zeros(rows, np.int32), ["x" * 100_000])
    vectors = pa.array([[0.5]] * rows, pa.list_(pa.float32()))
    for name, column in (("count", np.ones(rows, np.int64)), ("vector", vectors)):
        path = tmp_path / f"{name}.parquet"
        pq.write_table(pa.table({"token": words, name: column}), path, compression="zstd")
        assert path.stat().st_size < 100_000
    before = fuzz_helper.resident_peak()
    assert "far larger" in refused(read_vocabulary, tmp_path / "count.parquet")
    assert "twice" in refused(KeyedVectors.load, tmp_path / "vector.parquet")
    assert fuzz_helper.resident_peak() - before < 100 << 20


def test_a_row_group_of_billions_of_equal_ids_is_not_unpacked(tmp_path):
    kind = pa.list_(pa.field("element", pa.int32(), nullable=False))
    schema = pa.schema([pa.field("tokens", kind, nullable=False)])
    length = 12_000_000
    rows = pa.ListArray.from_arrays([0, length], np.zeros(length, np.int32), type=kind)
    options = {"compression": "zstd", "use_dictionary": False, "write_page_checksum": True}
    pq.write_table(pa.table([rows], schema=schema), tmp_path / "part.parquet", **options)
    assert (tmp_path / "part.parquet").stat().st_size < 20_000
    assert "far larger" in refused(ids_of, tmp_path / "part.parquet")


@pytest.mark.parametrize("suffix", [".bin", ".txt", ".vec"])
@pytest.mark.parametrize(
    "header", [b"999999999999 9999", b"1 999999999", b"100000 60000", b"3 65536"]
)
def test_first_lines_that_ask_for_everything(tmp_path, suffix, header):
    path = tmp_path / f"v{suffix}"
    path.write_bytes(header + b"\n" + b"word 1 2 3 4\n" * 50)
    with fuzz_helper.seconds_limited(1):
        refused(KeyedVectors.load, path)


def test_pipes_and_devices_are_not_waited_for(tmp_path, model, store):
    for path in (
        model / "CURRENT",
        next(model.glob("gen-*")) / "state.json",
        store / "manifest.json",
    ):
        path.unlink()
        os.mkfifo(path)
    told: list[str] = []
    KeyedVectors.load(model, on_damage=told.append)  # a checkpoint
    assert len(told) == 1
    refused(TokenStore.open, store)
    os.mkfifo(tmp_path / "v.bin")
    (tmp_path / "words.txt").symlink_to("/dev/zero")
    refused(KeyedVectors.load, tmp_path / "v.bin")
    assert "not a regular file" in refused(read_vocabulary, tmp_path / "words.txt")


# What is said in JSON. --------------------------------------------------------------------------


@pytest.mark.parametrize("raw", fuzz_helper.RAW[:-1])
def test_json_is_read_strictly(raw):
    with pytest.raises(ValueError, match=r"."):
        parse_json(b'{"a": ' + raw + b"}")


@pytest.mark.parametrize("value", [v for v in fuzz_helper.NASTY if v not in (0, True)])
@pytest.mark.parametrize("key", ["vector_dim", "type"])
def test_settings_of_a_model_of_the_wrong_kind(model, key, value):
    edit_json(next(model.glob("gen-*")) / "config.json", **{key: value})
    shutil.rmtree(model / "checkpoints")
    fuzz_helper._forge_model(model)
    refused(fuzz_helper.of_model, model)


_WRONG_STATES = {
    "position": [{"x": 1}, {"epoch": -1, "row_group": 0, "center": 0}, {"epoch": 1}],
    "schedule": [{"rollbacks": 10**6}, {"rollbacks": -2000}, {"fall_from": 5, "fall_words": 0}],
    "best": [{"a": 1}, {"loss": "x", "words": 1}, {"loss": 1.0, "words": -1}],
    "init": [{"file": 7}],
    "corpus_words": [0],
    "words_before": [],
    "epochs_before": [],
}


@pytest.mark.parametrize("key", _WRONG_STATES)
def test_training_goes_on_from_no_state_of_the_wrong_kind(model, artifacts, key):
    path = next(model.glob("gen-*")) / "state.json"
    shutil.rmtree(model / "checkpoints")
    right = json.loads(path.read_text()).get(key)
    for wrong in [*_WRONG_STATES[key], "x", -1, None, [], [[]], True, 2**63]:
        if wrong == right:
            continue
        edit_json(path, **{key: wrong})
        fuzz_helper._forge_model(model)
        message = refused(fastw2v.train, artifacts / "a.store", model, epochs=50)
        assert key in message or "contains an invalid value" in message
    assert json.loads(path.read_text())["words_done"]  # nothing was trained on


@pytest.mark.parametrize("key", ["window", "min_alpha", "alpha", "seed", "epochs"])
def test_training_goes_on_from_no_settings_that_lack_one(model, artifacts, key):
    path = next(model.glob("gen-*")) / "config.json"
    shutil.rmtree(model / "checkpoints")
    config = json.loads(path.read_text())
    del config[key]
    path.write_text(json.dumps(config))
    fuzz_helper._forge_model(model)
    assert key in refused(fastw2v.train, artifacts / "a.store", model, alpha=0.01, epochs=50)


@pytest.mark.parametrize("row", ["{}", '{"words": 5, "seconds": null}', '{"seconds": 1}'])
def test_training_goes_on_from_no_history_without_figures(model, artifacts, row):
    path = next(model.glob("gen-*")) / "history.jsonl"
    shutil.rmtree(model / "checkpoints")
    path.write_text(row + "\n")
    fuzz_helper._forge_model(model)
    assert "history" in refused(fastw2v.train, artifacts / "a.store", model, epochs=50)


def test_a_state_that_was_changed_is_told_by_its_own_checksum(model):
    from fastw2v.io.model_directory import state_checksum

    path = next(model.glob("gen-*")) / "state.json"
    state = json.loads(path.read_text())
    state["checksum"] = state_checksum(state)
    path.write_text(json.dumps(state))
    read_generation(path.parent)
    path.write_text(json.dumps({**state, "words_done": 1}))
    assert "its own checksum" in refused(read_generation, path.parent)


@pytest.mark.parametrize(
    "change",
    [
        {"evil": {"file": "../../etc/passwd", "sha256": ""}},
        {"evil": {"file": "/etc/passwd", "sha256": ""}},
        {"report": {"tokens_read": "many"}},
        {"report": []},
        {"layout": {"row_group_tokens": -1}},
        {"settings": {"min_count": "x"}},
        {"inputs": [{"name": 1, "start": 0, "end": 1, "sha256": ""}]},
        {"inputs": ["x"]},
        {"setting_files": {"stopwords": 1}},
        {"made_for": 7},
        {"bad_files": [{"name": None}]},
        {"appended_parts": 10**19},
    ],
)
def test_manifests_of_the_wrong_kinds(store, change):
    edit_json(store / "manifest.json", **change)
    assert "damaged" in refused(TokenStore.open, store)
    assert [finding.path.name for finding in verify_store(store)] == ["manifest.json"]


def test_counts_that_no_sum_holds(tmp_path):
    Vocabulary(["a", "b", "c"], [2**62, 2**62, 1]).save(tmp_path / "v.parquet")
    assert "add up" in refused(Vocabulary.load, tmp_path / "v.parquet")
    (tmp_path / "v.txt").write_text("a 999999999999999999\n" * 1 + "b 1\n")
    assert len(read_vocabulary(tmp_path / "v.txt")) == 2


def test_phrases_that_grow_when_they_are_taken_apart(tmp_path):
    rows = [Phrase("a" * n, "a" * (n - 1), (), "a" * (n - 1), 2, 1.0, 1) for n in range(3, 60)]
    Phrases(rows).save(tmp_path / "p.parquet")
    assert "cannot be one" in refused(load_phrases, tmp_path / "p.parquet")
    Phrases([Phrase("a_b", "a", (), "b", 2, 1.0, 10**6)]).save(tmp_path / "p.parquet")
    assert "cannot be one" in refused(load_phrases, tmp_path / "p.parquet")


def test_messages_show_control_characters(tmp_path):
    names = ["a\nb", "\x1b[31mred", "\u202eleft"]
    pq.write_table(pa.table({name: [1] for name in names}), tmp_path / "v.parquet")
    message = refused(Vocabulary.load, tmp_path / "v.parquet")
    assert r"a\nb" in message
    assert r"\x1b[31mred" in message
    (tmp_path / "words.txt").write_text("a b\r\x1b[2J 1\n")
    refused(read_vocabulary, tmp_path / "words.txt")


# Names that lead elsewhere. ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../x", "a/../../x", "a\\b", "C:x", "a\0b"])
def test_names_that_lead_out_of_a_directory(tmp_path, name):
    assert "leads out of it" in refused(inside, tmp_path, name)


def link_away(path, elsewhere):
    """Move what is at `path` to `elsewhere`, and leave a link."""
    shutil.move(path, elsewhere)
    path.symlink_to(elsewhere)


def links_of(directory):
    return sorted(p.relative_to(directory).as_posix() for p in directory.rglob("*"))


@pytest.mark.parametrize("name", [
    "manifest.json", "vocabulary.parquet", "phrases.parquet", "tokens", "tokens/part-00001.parquet",
])  # fmt: skip
def test_links_in_a_store_are_not_followed(store, tmp_path, name):
    link_away(store / name, tmp_path / "elsewhere")
    assert "symbolic link" in refused(TokenStore.open, store)
    assert any("symbolic link" in str(finding) for finding in verify_store(store))


@pytest.mark.parametrize("name", ["state.json", "config.json", "input_vectors.npy", ""])
def test_links_in_a_model_are_not_followed(model, tmp_path, name):
    shutil.rmtree(model / "checkpoints")
    link_away(next(model.glob("gen-*")) / name, tmp_path / "elsewhere")
    assert "symbolic link" in refused(KeyedVectors.load, model)


def test_a_model_or_store_that_is_itself_a_link_is_read(model, store, tmp_path):
    (tmp_path / "m").symlink_to(model)
    (tmp_path / "s").symlink_to(store)
    assert len(KeyedVectors.load(tmp_path / "m")) == len(TokenStore.open(tmp_path / "s").vocabulary)


def snapshot(directory):
    return {p.name: p.read_bytes() for p in directory.rglob("*") if p.is_file()}


@pytest.mark.parametrize("name", [".lock", "checkpoints", "loss.png", "CURRENT"])
def test_training_writes_through_no_link(model, store, tmp_path, name):
    precious = tmp_path / "precious"
    if name == "checkpoints":
        link_away(model / name, precious)
    else:
        precious.mkdir()
        (model / name).unlink(missing_ok=True)
        (precious / "file").write_text("mine\n")
        (model / name).symlink_to(precious / "file")
    before = snapshot(precious)
    if name in (".lock", "checkpoints"):
        assert "symbolic link" in refused(fastw2v.train, store, model, epochs=3, threads=1)
    else:
        fastw2v.train(store, model, epochs=3, threads=1)
    assert snapshot(precious) == before


def test_leftovers_through_a_link_stay(model, tmp_path):
    link_away(model / "checkpoints", tmp_path / "precious")
    (tmp_path / "precious" / ".mine.1.partial").write_text("mine")
    refused(checkpoint.check_place, model)
    checkpoint.remove_leftovers(model)
    assert (tmp_path / "precious" / ".mine.1.partial").exists()


def begin_store(folder):
    """A token store whose making was stopped while it was written; the text and the options."""
    text = folder / "text"
    text.write_text("\n".join(fuzz_helper.LINES) + "\n")

    def stop(phase, done, total):
        if phase == "writing" and done:
            raise KeyboardInterrupt

    options = {"min_count": 2, "threads": 1, "layout": Layout(unit_bytes=9000)}
    with pytest.raises(KeyboardInterrupt):
        fastw2v.preprocess(text, folder / "begun", progress=stop, **options)
    return text, options


@pytest.mark.parametrize("name", ["unfinished", "tokens"])
def test_an_unfinished_store_writes_through_no_link(tmp_path, name):
    text, options = begin_store(tmp_path)
    link_away(tmp_path / "begun" / name, tmp_path / "precious")
    (tmp_path / "precious" / ".mine.1.partial").write_text("mine")
    before = snapshot(tmp_path / "precious")
    refused(fastw2v.preprocess, text, tmp_path / "begun", **options)
    assert snapshot(tmp_path / "precious") == before
    refused(fastw2v.preprocess, text, tmp_path / "begun", force=True, **options)
    assert snapshot(tmp_path / "precious") == before


def test_a_link_under_the_temporary_name_is_not_written_through(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / f".a.txt.{os.getpid()}.partial.txt").symlink_to(tmp_path / "mine")
    (tmp_path / f".d.{os.getpid()}.partial").symlink_to(tmp_path)
    storage.write_text(tmp_path / "a.txt", "new")
    with storage.atomic_directory(tmp_path / "d") as temporary:
        (temporary / "file").write_text("new")
    assert (tmp_path / "mine").read_text() == "mine"
    assert (tmp_path / "a.txt").read_text() == "new"
    assert not (tmp_path / "a.txt").is_symlink()
    assert links_of(tmp_path) == ["a.txt", "d", "d/file", "mine"]


def test_removing_a_directory_that_is_a_link_removes_the_link(tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("mine")
    (tmp_path / "d").symlink_to(tmp_path / "precious")
    storage.remove_directory(tmp_path / "d")
    assert links_of(tmp_path) == ["precious", "precious/file"]


# Unfinished work that a second run takes over. --------------------------------------------------


def test_damaged_unfinished_work_is_done_again_or_refused(tmp_path):
    import random

    text, options = begin_store(tmp_path)
    fastw2v.preprocess(text, tmp_path / "whole", **options)
    expected = fuzz_helper.of_store(tmp_path / "whole")
    begun = tmp_path / "begun"
    names = [p.relative_to(begun) for p in sorted(begun.rglob("*")) if p.is_file()]
    for number in range(max(12, CASES // 40)):
        draw = random.Random(number)
        work = Path(shutil.copytree(begun, tmp_path / "work"))
        path = work / draw.choice(names)
        change = fuzz_helper.damaged_json if path.suffix == ".json" else fuzz_helper.damaged
        path.write_bytes(change(path.read_bytes(), draw)[1])
        if finished(text, work, options):
            assert fuzz_helper.same(fuzz_helper.of_store(work), expected), (number, path)
        shutil.rmtree(work)


def finished(text, store, options):
    """Whether preprocess could finish an unfinished store; if not, it said why."""
    return loads_or_refuses(lambda path: fastw2v.preprocess(text, path, **options), store)


# The command line. ------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["info", "neighbors", "verify", "export", "plot", "sample"])
def test_commands_on_hostile_directories_say_one_line(model, store, tmp_path, command):
    from click.testing import CliRunner

    from fastw2v.cli.main import fastw2v as program

    shutil.rmtree(model / "checkpoints")
    state = next(model.glob("gen-*")) / "state.json"
    edit_json(state, vocabulary_size=10**18, sha256={"a\nb": "\x1b[31m"})
    edit_json(store / "manifest.json", report={"tokens_read": "\x1b[31m"})
    place = store if command in ("verify", "sample") else model
    more = {"neighbors": ["new"], "export": ["--output", str(tmp_path / "v.bin")]}.get(command, [])
    run = CliRunner().invoke(program, [command, str(place), *more])
    assert run.exit_code == 1
    lines = run.stderr.splitlines()
    assert len([line for line in lines if not line.startswith("fastw2v: warning")]) == 1, lines
    assert all(line.isprintable() for line in lines)


def test_errors_are_of_the_kind_that_is_said():
    assert issubclass(DataError, FastW2VError)
    assert str(DataError("a\nb\u2028c")) == r"a\nb\u2028c"
