"""Every kind of damage to a token store is found, and each file of it is named."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from fastw2v.errors import UsageError
from fastw2v.io import storage
from fastw2v.store import verify
from fastw2v.store.format import TokenPartWriter, TokenStore
from fastw2v.store.pipeline import preprocess
from fastw2v.store.verify import verify_store
from fastw2v.store.vocabulary import Vocabulary
from fastw2v.text.config import Layout


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A store of several parts with several row groups each."""
    directory = tmp_path_factory.mktemp("made")
    rng = np.random.default_rng(5)
    with open(directory / "text.txt", "w") as file:
        for length in rng.integers(1, 12, 1200):
            file.write(" ".join(f"w{n}" for n in rng.zipf(1.5, length) % 90) + "\n")
    layout = Layout(unit_bytes=9000, row_group_tokens=300)
    preprocess(directory / "text.txt", directory / "store", threads=1, min_count=2, layout=layout)
    return directory / "store"


@pytest.fixture
def store(made, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(made, tmp_path / "store")


def found(store, **options):
    """File name -> problem, of the damage."""
    return {
        finding.path.relative_to(store).as_posix(): finding.problem
        for finding in verify_store(store, **options)
        if finding.damage
    }


def part(store, number):
    return store / "tokens" / f"part-{number:05d}.parquet"


def name(number):
    return f"tokens/part-{number:05d}.parquet"


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 16
    path.write_bytes(content)


def edit_manifest(store, change):
    manifest = json.loads((store / "manifest.json").read_text())
    change(manifest)
    (store / "manifest.json").write_text(json.dumps(manifest))


def seal(store, file):
    """Let the manifest tell of a file as it is now, as if it had always been so."""
    path = store / file

    def change(manifest):
        for entry in [manifest["vocabulary"], *manifest["parts"]]:
            if entry["file"] == file:
                entry.update(bytes=path.stat().st_size, sha256=storage.sha256_of(path))

    edit_manifest(store, change)


@pytest.mark.parametrize("threads", [None, 1, 4])
def test_a_sound_store_has_no_findings(made, threads):
    seen = []
    assert verify_store(made, lambda *told: seen.append(told), threads=threads) == []
    done = [told[1] for told in seen]
    files = [made / "vocabulary.parquet", *(made / "tokens").iterdir()]
    assert len(files) > 3
    assert done == sorted(done)
    assert seen[-1] == ("verifying", done[-1], sum(path.stat().st_size for path in files))
    assert done[-1] == seen[-1][2]


def test_each_flipped_bit_names_its_file(made, tmp_path):
    """Anywhere: magic, pages, footer, vocabulary."""
    rng = np.random.default_rng(1)
    files = ["vocabulary.parquet", name(0), name(2)]
    for trial in range(24):
        store = shutil.copytree(made, tmp_path / f"store{trial}")
        file = files[trial % len(files)]
        size = (store / file).stat().st_size
        place = (0, size - 1, size // 3)[trial // 3] if trial < 9 else int(rng.integers(size))
        flip(store / file, place)
        assert "does not match its SHA-256" in found(store)[file], (file, place)
        assert set(found(store)) == {file}


def test_all_damaged_files_are_named_and_the_row_group_of_a_page(store):
    flip(store / "vocabulary.parquet", 40)
    flip(part(store, 0), 60)
    part(store, 1).unlink()
    content = part(store, 2).read_bytes()
    part(store, 2).write_bytes(content[:-10])
    damage = found(store)
    assert list(damage) == ["vocabulary.parquet", name(0), name(1), name(2)]
    assert damage[name(0)].startswith("does not match its SHA-256; row group 0 is damaged (")
    assert damage[name(1)] == "missing, but the manifest lists it"
    assert damage[name(2)] == f"{len(content) - 10} bytes, but the manifest says {len(content)}"
    assert not any("\n" in problem for problem in damage.values())


def test_many_damaged_row_groups_are_cut_short(store):
    content = bytearray(part(store, 0).read_bytes())
    groups = len(TokenStore.open(store).manifest["parts"][0]["row_groups"])
    assert groups > 5
    content[4 : len(content) * 2 // 3] = bytes(len(content) * 2 // 3 - 4)
    part(store, 0).write_bytes(content)
    assert "; and " in found(store)[name(0)]
    assert len(found(store)[name(0)]) < 600


def write_part(store, number, sentences, vocabulary_hash=None):
    """Replace a part by one of these sentences, and let the manifest agree with it."""
    opened = TokenStore.open(store)
    lengths = np.array([len(sentence) for sentence in sentences])
    digest = vocabulary_hash or opened.vocabulary.hash
    with TokenPartWriter(part(store, number), digest, 300) as writer:
        writer.add(np.concatenate(sentences), lengths)

    def change(manifest):
        sums = {key: sum(g[key] for g in writer.row_groups) for key in ("sentences", "tokens")}
        manifest["parts"][number].update(row_groups=writer.row_groups, **sums)
        for key in ("sentences", "tokens"):
            manifest[key] = sum(entry[key] for entry in manifest["parts"])

    edit_manifest(store, change)
    seal(store, name(number))


def sentences_of(store, number):
    opened = TokenStore.open(store)
    first = sum(len(entry["row_groups"]) for entry in opened.manifest["parts"][:number])
    for group in range(len(opened.manifest["parts"][number]["row_groups"])):
        ids, offsets = opened.read_row_group(first + group)
        yield from np.split(ids, offsets[1:-1])


def test_ids_beyond_the_vocabulary_are_found_under_a_right_checksum(store):
    sentences = list(sentences_of(store, 1))
    sentences[3] = sentences[3].copy()
    sentences[3][0] = 5000
    write_part(store, 1, sentences)
    assert set(found(store)) == {name(1)}
    assert "ids outside 0.." in found(store)[name(1)]


def test_counts_are_compared_with_the_ids(store, monkeypatch):
    sentences = list(sentences_of(store, 1))
    place = next(n for n, sentence in enumerate(sentences) if sentence[0] == 0)
    sentences[place] = sentences[place].copy()
    sentences[place][0] = 1
    write_part(store, 1, sentences)
    counts = TokenStore.open(store).vocabulary.counts
    word = TokenStore.open(store).vocabulary.tokens[0]
    expected = (
        f"the counts of 2 words are not those of the parts: {word!r} is counted {counts[0]:,} "
        f"times and occurs {counts[0] - 1:,} times"
    )
    assert found(store) == {"vocabulary.parquet": expected}
    monkeypatch.setattr(verify, "_SPARSE", 0)  # the way of counting for large vocabularies
    assert found(store) == {"vocabulary.parquet": expected}
    # A vocabulary from elsewhere has the counts of another text.
    edit_manifest(store, lambda m: m["settings"].update(vocabulary="other.txt"))
    assert found(store) == {}


def test_a_part_of_another_vocabulary_is_found(store):
    write_part(store, 1, list(sentences_of(store, 1)), "0" * 64)
    assert found(store) == {name(1): "its ids belong to another vocabulary"}


def test_row_groups_are_compared_with_the_manifest(store):
    def change(manifest):
        groups = manifest["parts"][1]["row_groups"]
        groups[0]["tokens"] += 1
        groups[1]["tokens"] -= 1

    edit_manifest(store, change)
    assert found(store) == {name(1): "its row groups are not those of the manifest"}


def test_another_vocabulary_in_its_place_is_found(store):
    vocabulary = TokenStore.open(store).vocabulary
    Vocabulary(vocabulary.tokens[::-1], vocabulary.counts).save(store / "vocabulary.parquet")
    seal(store, "vocabulary.parquet")
    assert found(store) == {"vocabulary.parquet": "not the vocabulary that the manifest names"}


def test_a_file_that_is_no_parquet_is_found_under_a_right_checksum(store):
    part(store, 1).write_bytes(b"no Parquet")
    seal(store, name(1))
    assert set(found(store)) == {name(1)}
    assert found(store)[name(1)].startswith("not a readable part of a token store")


def test_a_damaged_manifest_is_named(store):
    edit_manifest(store, lambda m: m["report"].update(tokens_read=m["report"]["tokens_read"] + 1))
    assert found(store) == {"manifest.json": "its account of tokens does not balance"}
    edit_manifest(store, lambda m: m["vocabulary"].update(size=1 << 61))  # no room for such counts
    assert "vocabulary.parquet" in found(store)
    edit_manifest(store, lambda m: m["parts"][0].update(tokens=-1))
    assert found(store)["manifest.json"].startswith("damaged; make the store anew")
    (store / "manifest.json").write_text("{")
    assert found(store)["manifest.json"].startswith("not valid JSON")


def test_files_that_the_manifest_does_not_list_are_named_and_no_damage(store):
    (store / "tokens" / "part-99999.parquet").write_bytes(b"")
    (store / "notes").mkdir()
    (store / "notes" / "mine.txt").write_text("read me")
    (store / "unfinished").mkdir()
    (store / "unfinished" / "lock").write_text("1")
    findings = verify_store(store)
    assert not any(finding.damage for finding in findings)
    assert [finding.path.relative_to(store).as_posix() for finding in findings] == [
        "notes/mine.txt", "tokens/part-99999.parquet", "unfinished",
    ]  # fmt: skip
    assert str(findings[0]) == f"{store / 'notes' / 'mine.txt'}: the manifest does not list it"


def test_a_further_file_of_the_manifest_is_compared_too(store):
    path = store / "phrases.parquet"
    path.write_bytes(b"abc")
    entry = {"file": path.name, "bytes": 3, "sha256": storage.sha256_of(path)}
    edit_manifest(store, lambda m: m.update(phrases=entry))
    assert verify_store(store) == []
    path.write_bytes(b"abd")
    assert found(store) == {path.name: "does not match its SHA-256"}


def test_what_is_no_store_is_misuse(tmp_path, store):
    with pytest.raises(UsageError, match="no such token store"):
        verify_store(tmp_path / "none")
    with pytest.raises(UsageError, match="not a token store"):
        verify_store(tmp_path)
    (store / "unfinished").mkdir()
    (store / "manifest.json").rename(store / "unfinished" / "plan.json")
    with pytest.raises(UsageError, match="unfinished"):
        verify_store(store)


def test_a_callback_that_fails_stops_the_work(made):
    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verify_store(made, stop, threads=2)
