from __future__ import annotations

import json
import shutil
import threading

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastw2v.errors import DataError, UsageError
from fastw2v.io.store_directory import made_for_of
from fastw2v.store.format import TokenPart, TokenPartWriter, TokenStore
from fastw2v.store.pipeline import preprocess
from fastw2v.text.config import Layout
from fastw2v.vectors.formats import VectorTable, read_vectors, shape_of, write_vectors


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A store of three parts with several row groups each."""
    directory = tmp_path_factory.mktemp("made")
    rng = np.random.default_rng(5)
    text = directory / "text.txt"
    with open(text, "w") as file:
        for _ in range(600):
            words = rng.zipf(1.5, size=rng.integers(1, 12)) % 90
            file.write(" ".join(f"w{word}" for word in words) + "\n")
    layout = Layout(unit_bytes=5000, row_group_tokens=200)
    preprocess(text, directory / "store", threads=1, min_count=2, layout=layout)
    return directory / "store"


@pytest.fixture
def store(made, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(made, tmp_path / "store")


def edit_manifest(store, change):
    path = store / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def entry_of(path, writer):
    """What the manifest has to say of a part."""
    sums = {key: sum(g[key] for g in writer.row_groups) for key in ("sentences", "tokens")}
    return {**sums, "bytes": path.stat().st_size, "row_groups": writer.row_groups}


def replace_part(store, number, entry):
    """Let the manifest tell of another part, its sums kept right."""

    def change(manifest):
        manifest["parts"][number].update(entry)
        for key in ("sentences", "tokens"):
            manifest[key] = sum(part[key] for part in manifest["parts"])

    edit_manifest(store, change)


def test_row_groups_are_known_and_right(made):
    store = TokenStore.open(made)
    assert store.num_row_groups == len(store.row_group_tokens) > 6
    assert len(store.manifest["parts"]) > 2
    sentences = 0
    counts = np.zeros(len(store.vocabulary), dtype=np.int64)
    for index in range(store.num_row_groups):
        ids, offsets = store.read_row_group(index)
        assert ids.dtype == np.int32
        assert offsets.dtype == np.int64
        assert offsets[0] == 0
        assert offsets[-1] == len(ids) == store.row_group_tokens[index]
        assert (np.diff(offsets) > 0).all()
        sentences += len(offsets) - 1
        counts += np.bincount(ids, minlength=len(counts))
    assert sentences == store.num_sentences == store.manifest["sentences"]
    assert store.num_tokens == counts.sum() == store.manifest["tokens"]
    np.testing.assert_array_equal(counts, store.vocabulary.counts)
    store.verify()
    with pytest.raises(IndexError):
        store.read_row_group(store.num_row_groups)


def test_row_groups_may_be_read_from_several_threads(made):
    store = TokenStore.open(made)
    expected = [store.read_row_group(index)[0] for index in range(store.num_row_groups)]
    wrong = []

    def read(seed):
        for index in np.random.default_rng(seed).integers(0, store.num_row_groups, 60):
            if not np.array_equal(store.read_row_group(int(index))[0], expected[index]):
                wrong.append(index)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_the_manifest_names_no_place_and_no_time(made):
    text = (made / "manifest.json").read_text()
    assert str(made.parent) not in text
    assert "seconds" not in text


def test_what_is_not_a_store_is_misuse(tmp_path, store):
    with pytest.raises(UsageError, match="no such token store"):
        TokenStore.open(tmp_path / "none")
    (tmp_path / "dir").mkdir()
    with pytest.raises(UsageError, match="not a token store"):
        TokenStore.open(tmp_path / "dir")
    plan = store / "unfinished" / "plan.json"
    plan.parent.mkdir()
    (store / "manifest.json").rename(plan)
    with pytest.raises(UsageError, match="same fastw2v preprocess command again"):
        TokenStore.open(store)


def damage_missing(store):
    (store / "tokens/part-00001.parquet").unlink()


def damage_truncated(store):
    path = store / "tokens/part-00001.parquet"
    path.write_bytes(path.read_bytes()[:-100])


def damage_other_part(store):
    edit_manifest(store, lambda m: m["parts"][1].update(bytes=m["parts"][0]["bytes"]))
    shutil.copy(store / "tokens/part-00000.parquet", store / "tokens/part-00001.parquet")


def damage_foreign(store):
    path = store / "tokens/part-00001.parquet"
    pq.write_table(pa.table({"tokens": ["a", "b"]}), path)
    edit_manifest(store, lambda m: m["parts"][1].update(bytes=path.stat().st_size))


def damage_vocabulary_hash_of_part(store):
    path = store / "tokens/part-00001.parquet"
    with TokenPartWriter(path, "0" * 64) as writer:
        writer.add(np.array([1, 2, 3]), np.array([2, 1]))
    replace_part(store, 1, entry_of(path, writer))


@pytest.mark.parametrize(
    "damage",
    [
        damage_missing,
        damage_truncated,
        damage_other_part,
        damage_foreign,
        damage_vocabulary_hash_of_part,
    ],
)
def test_parts_that_do_not_match_the_manifest_are_refused_by_name(store, damage):
    damage(store)
    with pytest.raises(DataError, match=r"part-00001\.parquet"):
        TokenStore.open(store)


def test_another_vocabulary_is_refused(store):
    edit_manifest(store, lambda m: m["vocabulary"].update(hash="0" * 64))
    with pytest.raises(DataError, match="not the vocabulary"):
        TokenStore.open(store)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.update(version=99),
        lambda m: m.pop("parts"),
        lambda m: m.update(parts=3),
        lambda m: m["parts"][0].update(file="../outside.parquet"),
        lambda m: m["parts"][0]["row_groups"][0].update(tokens=-1),
        lambda m: m["parts"].pop(0),
        lambda m: m.pop("settings"),
    ],
)
def test_damaged_manifests_are_refused(store, change):
    edit_manifest(store, change)
    with pytest.raises(DataError):
        TokenStore.open(store)


def add_to_row_group(manifest, number):
    """Make a row group lie, with all sums kept right."""
    for entry in (manifest["parts"][0]["row_groups"][1], manifest["parts"][0], manifest):
        entry["tokens"] += number


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.update(parts=[], tokens=0, sentences=0),
        lambda m: m["parts"][0].update(tokens=m["parts"][0]["tokens"] + 1),
        lambda m: m["parts"][0].update(sentences=m["parts"][0]["sentences"] - 1),
        lambda m: m["parts"][0].pop("tokens"),
        lambda m: m["parts"][1]["row_groups"].pop(),
        lambda m: m["parts"][1]["row_groups"][0].update(tokens=True),
        lambda m: m.update(tokens=m["tokens"] * 2),
        lambda m: m.update(tokens=float(m["tokens"])),
        lambda m: m.update(sentences="many"),
        lambda m: m["vocabulary"].update(size=m["vocabulary"]["size"] + 1),
        lambda m: m["vocabulary"].update(size=float(m["vocabulary"]["size"])),
        lambda m: add_to_row_group(m, 10**19),
    ],
)
def test_manifests_that_do_not_add_up_are_refused(store, change):
    edit_manifest(store, change)
    with pytest.raises(DataError, match=r"manifest\.json: damaged; make the store anew"):
        TokenStore.open(store)


def test_totals_may_be_missing(store):
    edit_manifest(store, lambda m: (m.pop("tokens"), m.pop("sentences")))
    opened = TokenStore.open(store)
    assert opened.num_tokens == opened.row_group_tokens.sum() > 0


def test_row_groups_that_lie_about_their_tokens_are_refused(store):
    edit_manifest(store, lambda m: add_to_row_group(m, -5))
    with pytest.raises(DataError, match=r"part-00000\.parquet: its row groups are not those"):
        TokenStore.open(store)


def test_row_groups_that_are_not_as_the_footer_says_are_refused(store, monkeypatch):
    edit_manifest(store, lambda m: add_to_row_group(m, -5))
    right = TokenPart.row_group_sizes

    def lying(part):
        sizes = right(part)
        if part.path.name == "part-00000.parquet":
            sizes[1] = sizes[1][0], sizes[1][1] - 5
        return sizes

    monkeypatch.setattr(TokenPart, "row_group_sizes", lying)
    with pytest.raises(DataError, match="row group 1 is not as the manifest says"):
        TokenStore.open(store).read_row_group(1)


def test_ids_out_of_range_are_refused(store):
    path = store / "tokens/part-00000.parquet"
    vocabulary_hash = TokenStore.open(store).vocabulary.hash
    for bad in (-1, 10_000):
        with TokenPartWriter(path, vocabulary_hash) as writer:
            writer.add(np.array([0, bad, 1]), np.array([3]))
        replace_part(store, 0, entry_of(path, writer))
        with pytest.raises(DataError, match=r"part-00000\.parquet.*outside"):
            TokenStore.open(store).read_row_group(0)


def test_nulls_are_refused(tmp_path):
    path = tmp_path / "part.parquet"
    pq.write_table(pa.table({"tokens": pa.array([[1], None], pa.list_(pa.int32()))}), path)
    with pytest.raises(DataError, match="nulls"):
        TokenPart.open(path).read(0, 10)


def test_a_flipped_bit_never_changes_what_is_read(store):
    """It is an error that names the file, or (in unused bytes of the footer) harmless."""
    path = store / "tokens/part-00000.parquet"
    whole = path.read_bytes()
    row_groups = len(TokenStore.open(store).manifest["parts"][0]["row_groups"])

    def read():
        opened = TokenStore.open(store)
        return [opened.read_row_group(index)[0].tolist() for index in range(row_groups)]

    expected = read()
    errors = 0
    for place in range(0, len(whole), 13):
        content = bytearray(whole)
        content[place] ^= 1 << place % 8
        path.write_bytes(content)
        try:
            found = read()
        except DataError as error:
            found = str(error)
            errors += 1
        assert found == expected or "part-00000.parquet" in found
    assert errors > len(whole) / 13 / 2
    content = bytearray(whole)
    content[-60] ^= 1  # a harmless place
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"part-00000\.parquet"):
        TokenStore.open(store).verify()


@given(
    st.lists(st.lists(st.integers(1, 9), max_size=6), max_size=6),
    st.integers(1, 12),
)
def test_row_groups_do_not_depend_on_how_sentences_arrive(tmp_path_factory, batches, limit):
    directory = tmp_path_factory.mktemp("w")
    lengths = np.array([length for batch in batches for length in batch], dtype=np.int64)
    ids = np.arange(lengths.sum())
    with TokenPartWriter(directory / "piecewise", "h", limit) as piecewise:
        start = 0
        for batch in batches:
            piecewise.add(ids[start : start + sum(batch)], np.array(batch, dtype=np.int64))
            start += sum(batch)
    with TokenPartWriter(directory / "at once", "h", limit) as at_once:
        at_once.add(ids, lengths)
    assert piecewise.row_groups == at_once.row_groups
    assert (directory / "piecewise").read_bytes() == (directory / "at once").read_bytes()
    tokens = [group["tokens"] for group in at_once.row_groups]
    assert all(limit <= count < limit + 9 for count in tokens[:-1])
    part = TokenPart.open(directory / "at once")
    read = [part.read(group, 10_000) for group in range(len(tokens))]
    assert [int(i) for got, _ in read for i in got] == ids.tolist()
    assert [int(n) for _, offsets in read for n in np.diff(offsets)] == lengths.tolist()


def test_who_a_store_was_made_for(tmp_path, made):
    assert made_for_of(made) is None
    assert TokenStore.open(made).manifest["made_for"] is None
    (tmp_path / "t").write_text("some words " * 9)
    place = tmp_path / "s"
    preprocess(tmp_path / "t", place, made_for="model")
    assert made_for_of(place) == "model" == TokenStore.open(place).manifest["made_for"]
    preprocess(tmp_path / "t", place, force=True)
    assert made_for_of(place) is None
    edit_manifest(place, lambda m: m.pop("made_for"))  # as stores were before
    TokenStore.open(place)
    assert made_for_of(place) is None
    edit_manifest(place, lambda m: m.update(made_for=3))
    assert made_for_of(place) is None
    (place / "manifest.json").write_text("{")
    assert made_for_of(place) is None
    assert made_for_of(tmp_path / "none") is None


def test_no_parquet_file_is_read_ahead(made, tmp_path, monkeypatch):
    # By pyarrow's threads, which would abort a process that ends while they hold Python's bytes.
    ahead = []
    opened = pq.ParquetFile

    def note(*arguments, **options):
        ahead.append(options.get("pre_buffer", True))
        return opened(*arguments, **options)

    monkeypatch.setattr(pq, "ParquetFile", note)
    store = TokenStore.open(made)
    assert len(store.vocabulary)
    store.read_row_group(0)
    write_vectors(
        tmp_path / "v.parquet", VectorTable(["a", "b"], np.ones((2, 2), np.float32), None)
    )
    read_vectors(tmp_path / "v.parquet")
    shape_of(tmp_path / "v.parquet")
    preprocess(tmp_path / "v.parquet", tmp_path / "s", text_column="token", min_count=1, threads=1)
    assert len(ahead) >= 6
    assert not any(ahead)


def test_a_store_has_a_short_repr(tmp_path):
    (tmp_path / "t").write_text("a b a\n")
    preprocess(tmp_path / "t", tmp_path / "s", min_count=1, threads=1)
    shown = f"TokenStore('{tmp_path / 's'}': 3 tokens, 2 words)"
    assert repr(TokenStore.open(tmp_path / "s")) == shown
