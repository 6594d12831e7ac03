"""Damaging artifacts and loading them: `python tests/fuzz_helper.py FOLDER SEED CASES [KIND]`.

Run as a process of its own, under a limit of memory, so that a crash of a library is a result, too.
FOLDER has what `make_artifacts` made. Prints a JSON object of counts; a case that ends otherwise
than it may is printed with its number, which reproduces it: `... FOLDER NUMBER 1`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import re
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fastw2v.errors import FastW2VError
from fastw2v.io import model_directory
from fastw2v.store.format import TokenPart, TokenStore
from fastw2v.store.phrases.phrases import load_phrases
from fastw2v.store.verify import verify_store
from fastw2v.store.vocabulary_files import read_vocabulary
from fastw2v.vectors.formats import vocabulary_beside
from fastw2v.vectors.keyed_vectors import KeyedVectors
from fastw2v.vectors.model import Model

MAX_SECONDS = 5.0  # of processor time, a case
MAX_GROWTH = 700 << 20  # bytes of resident memory, all cases
ADDRESS_SPACE = 6 << 30
LINES = [f"new york is big and w{n % 7} likes w{n % 5} in new york" for n in range(400)]
VECTOR_FILES = ("v.bin", "gensim.bin", "v.txt", "v.vec", "v.parquet", "pandas.parquet", "v.npy")
PAGE_FILES = ("raw-part.parquet", "raw-words.parquet", "raw-phrases.parquet", "raw-v.parquet")
VOCABULARY_FILES = ("words.txt", "words.tsv", "words.parquet", "pandas-words.parquet")
NASTY = (
    None, True, -1, 0, 10**18, 2**63, -(2**63), 1e308, 0.5, "", "x", "../../etc/passwd", "\0",
    "/etc/passwd", "tokens/../../x", "a\nb\x1b[31m\u202e", [], {}, [[]], {"file": "/dev/zero"},
)  # fmt: skip
RAW = (b"NaN", b"Infinity", b"1e999", b"9" * 5000, b"[" * 100_000, b'{"a":1,"a":2}', b'"\\ud800"')


def make_artifacts(folder: Path) -> None:
    """Models and stores of two runs, and files of every format, by the product's own code."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    import fastw2v
    from fastw2v.store.vocabulary_files import write_vocabulary
    from fastw2v.text.config import Layout

    layout = Layout(unit_bytes=9000, row_group_tokens=1000)
    for run, lines in (("a", LINES), ("b", [line.replace("w1", "v1") for line in LINES[::-1]])):
        text = folder / f"{run}.text"
        text.write_text("\n".join(lines) + "\n")
        options = {"min_count": 2, "phrases": 1, "phrase_threshold": 0.1, "phrase_min_count": 2}
        fastw2v.preprocess(text, folder / f"{run}.store", layout=layout, threads=1, **options)
        fastw2v.train(
            folder / f"{run}.store", folder / f"{run}.model", vector_dim=8, epochs=2, threads=1
        )  # fmt: skip
    vectors = KeyedVectors.load(folder / "a.model")
    for name in ("v.bin", "v.txt", "v.vec", "v.parquet", "v.npy"):
        vectors.save(folder / name)
    rows = [w.encode() + b" " + v.tobytes() for w, v in zip(vectors, vectors.vectors, strict=True)]
    (folder / "gensim.bin").write_bytes(b"%d %d\n" % vectors.vectors.shape + b"".join(rows))
    columns = {"token": list(vectors), "vector": vectors.vectors.tolist()}
    kind = pa.schema({"token": pa.string(), "vector": pa.list_(pa.float32())})
    pq.write_table(pa.table(columns, schema=kind), folder / "pandas.parquet")
    words = read_vocabulary(folder / "a.store")
    ids = np.arange(len(words))
    for name, form in (("words.txt", "word2vec"), ("words.tsv", "tsv"), ("words.parquet",) * 2):
        write_vocabulary(folder / name, words, ids, form.removeprefix("words."))
    files = ("a.store/tokens/part-00000", "words", "a.store/phrases", "v")
    for name, raw in zip(files, PAGE_FILES, strict=True):  # not packed, so that damage gets deeper
        table = pq.read_table(folder / f"{name}.parquet")
        options = {"use_dictionary": False, "write_page_checksum": True, "row_group_size": 100}
        pq.write_table(table, folder / raw, compression="none", **options)
    named = pa.table({"token": words.tokens, "count": words.counts})
    pq.write_table(named, folder / "pandas-words.parquet")


# What is loaded, as arrays and texts to compare. ----------------------------------------------


def of_vectors(path: Path) -> list[Any]:
    """A vector file, or the input vectors of a model."""
    found = KeyedVectors.load(path)
    counts = None if found.counts is None else found.counts.tolist()
    return [list(found), np.array(found.vectors), counts]


def of_model(path: Path) -> list[Any]:
    """All that a model holds; the name of another save than the newest, where that was read."""
    told: list[str] = []
    found = Model.load(path, memory_map=True, on_damage=told.append)
    matrices = [np.array(found.input_vectors), np.array(found.output_vectors)]
    history = model_directory.read_model(path, lambda generation: generation.history())
    mean = KeyedVectors.load(path, "mean")
    assert all(len(line.splitlines()) == 1 for line in told), told
    return [
        bool(told), found.vocabulary.tokens, found.vocabulary.counts.tolist(), *matrices,
        found.phrases and found.phrases.rows, found.config, history, list(mean),
    ]  # fmt: skip


def of_store(path: Path) -> list[Any]:
    """All ids of a store; that verifying it finds no other fault than damage."""
    assert all(len(str(finding).splitlines()) == 1 for finding in verify_store(path, threads=1))
    found = TokenStore.open(path)
    groups = [found.read_row_group(number) for number in range(found.num_row_groups)]
    arrays = [array for group in groups for array in group]
    phrases = found.phrases and found.phrases.rows
    return [found.vocabulary.tokens, found.vocabulary.counts.tolist(), phrases, *arrays]


def of_vocabulary(path: Path) -> list[Any]:
    """A vocabulary file."""
    found = read_vocabulary(path)
    return [found.tokens, found.counts.tolist()]


def of_part(path: Path) -> list[Any]:
    """A part of a store, of a vocabulary of a thousand words."""
    part = TokenPart.open(path)
    groups = [part.read(number, 1000) for number in range(len(part.row_group_sizes()))]
    return [array for group in groups for array in group]


def of_phrases(path: Path) -> list[Any]:
    """A file of phrases, of which some are joined."""
    found = load_phrases(path)
    return [found.rows, found.join_known(["new", "york", "is", "new", "york"], {"new", "york"})]


@contextlib.contextmanager
def checksums_ignored() -> Iterator[None]:
    """Let nobody verify the checksums of pages: whoever makes a file can make them fit."""
    import pyarrow.parquet as pq

    whole = pq.ParquetFile

    def opened(*arguments: Any, **options: Any) -> Any:
        return whole(*arguments, **{**options, "page_checksum_verification": False})

    pq.ParquetFile = opened
    try:
        yield
    finally:
        pq.ParquetFile = whole


def same(first: list[Any], second: list[Any]) -> bool:
    """Whether two results are identical, bit for bit."""
    return len(first) == len(second) and all(
        np.array_equal(a.view(np.uint8), b.view(np.uint8)) and a.shape == b.shape
        if isinstance(a, np.ndarray) and isinstance(b, np.ndarray)
        else type(a) is type(b) and a == b
        for a, b in zip(first, second, strict=True)
    )


# Damage. --------------------------------------------------------------------------------------


def damaged(data: bytes, draw: random.Random) -> tuple[str, bytes]:
    """A name for what was done, and the bytes after it."""
    size = max(1, len(data))
    start, length = draw.randrange(size), draw.choice((1, 1, 2, 4, 8, 64, 1000))
    if draw.random() < 0.4:  # headers and footers are small beside the rest
        start = draw.choice(
            (draw.randrange(min(size, 200)), max(0, size - 1 - draw.randrange(400)))
        )
    end = min(len(data), start + length)
    before, chunk, after = data[:start], data[start:end], data[end:]
    other = draw.randrange(size)
    kind = draw.choice(
        ("cut", "flip", "flip", "flips", "swap", "twice", "drop", "zero", "ones", "noise", "huge",
         "number", "number", "insert")
    )  # fmt: skip
    if kind == "cut":
        return kind, before
    if kind == "flip":
        return kind, before + bytes(byte ^ 1 << draw.randrange(8) for byte in chunk[:1]) + data[
            start + 1 :
        ]
    if kind == "flips":
        content = bytearray(data)
        for _ in range(draw.randrange(2, 20)):
            content[draw.randrange(size) % max(1, len(content))] ^= 1 << draw.randrange(8)
        return kind, bytes(content)
    if kind == "swap":
        content = bytearray(data)
        content[start:end], content[other : other + len(chunk)] = (
            content[other : other + len(chunk)], chunk,
        )  # fmt: skip
        return kind, bytes(content)
    if kind == "number":
        numbers = list(re.finditer(rb"-?\d+(\.\d+)?", data[:4000]))
        if numbers:
            match = draw.choice(numbers)
            value = str(draw.choice((10**18, 2**63, -1, 0, 2**31, 10**30, "1e400", "nan"))).encode()
            return kind, data[: match.start()] + value + data[match.end() :]
    replaced = {
        "twice": chunk + chunk,
        "drop": b"",
        "zero": bytes(len(chunk)),
        "ones": b"\xff" * len(chunk),
        "noise": draw.randbytes(len(chunk)),
        "huge": draw.choice(
            (b"\xff\xff\xff\xff\x0f", b"\xff" * 9 + b"\x01", b"\xff" * 7 + b"\x7f")
        ),
        "insert": draw.randbytes(length) + chunk,
        "number": chunk[::-1],
    }[kind]
    if kind == "huge":  # in place, so that what follows stays where it is
        after = data[start + len(replaced) :]
    return kind, before + replaced + after


def damaged_json(data: bytes, draw: random.Random) -> tuple[str, bytes]:
    """A JSON text with one value or key changed."""
    try:
        value = json.loads(data)
    except ValueError:
        return damaged(data, draw)
    places: list[tuple[Any, Any]] = []

    def collect(node: Any) -> None:
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], dict | list):
                collect(node[key])

    collect(value)
    node, key = draw.choice(places)
    done = draw.choice(("value", "value", "value", "gone", "raw", "added"))
    if done == "gone":
        del node[key]
    elif done == "added" and isinstance(node, dict):
        node[draw.choice(("file", "zz", ""))] = draw.choice(NASTY)
        node["evil"] = {"file": "../../../etc/passwd", "sha256": draw.choice(NASTY)}
    elif done == "raw":
        node[key] = "@@@"
        return done, json.dumps(value).encode().replace(b'"@@@"', draw.choice(RAW))
    else:
        node[key] = draw.choice(NASTY)
    return done, json.dumps(value).encode()


# Cases. ---------------------------------------------------------------------------------------


class Fuzzer:
    """Runs cases on copies of the artifacts.

    Attributes:
        counts: of (kind, outcome).
    """

    def __init__(self, folder: Path, work: Path) -> None:
        self._folder, self._work = folder, work
        self.counts: Counter[str] = Counter()
        self._good: dict[str, list[Any]] = {}
        for run in "ab":
            for kind in ("model", "store"):
                shutil.copytree(folder / f"{run}.{kind}", work / f"{run}.{kind}", symlinks=True)
        for name in (*VECTOR_FILES, *VOCABULARY_FILES, *PAGE_FILES, "v.vocab.tsv"):
            shutil.copy(folder / name, work / name)
        for name in ("a.model", "b.model"):
            self._good[name] = of_model(work / name)
        saves = [*(work / "a.model").glob("checkpoints/*"), *(work / "a.model").glob("gen-*")]
        self._older = [of_model(save) for save in saves]

    def run(self, number: int, only: str | None = None) -> None:
        """One case.

        Raises:
            AssertionError: it ended otherwise than it may.
        """
        draw = random.Random(number)
        kind = only or draw.choices(
            ("model", "forged model", "store", "forged store", "vectors", "vocabulary", "pages"),
            (3, 3, 3, 3, 3, 2, 4),
        )[0]  # fmt: skip
        case = getattr(self, f"_{kind.replace(' ', '_')}")
        outcome = case(draw)
        self.counts[f"{kind}: {outcome}"] += 1

    def _model(self, draw: random.Random) -> str:
        with self._damage("a.model", draw) as where:
            found = self._loaded(of_model, self._work / "a.model", where)
        if found is None:
            return "refused"
        if same(found[1:], self._good["a.model"][1:]):
            return "identical"
        # CURRENT may be made to name another good save.
        assert found[0] or where.startswith("CURRENT"), f"{where}: other content, not told"
        assert any(same(found[1:], older[1:]) for older in self._older), where
        return "an older save, told"

    def _forged_model(self, draw: random.Random) -> str:
        with self._damage("a.model", draw, forge=_forge_model, alone=True) as where:
            found = self._loaded(of_model, self._work / "a.model", where)
        return "refused" if found is None else "loaded"

    def _store(self, draw: random.Random) -> str:
        good = self._good_of("a.store", of_store)
        with self._damage("a.store", draw) as where:
            found = self._loaded(of_store, self._work / "a.store", where)
        assert found is None or same(found, good), f"{where}: other ids, not told"
        return "refused" if found is None else "identical"

    def _forged_store(self, draw: random.Random) -> str:
        with self._damage("a.store", draw, forge=_forge_store) as where:
            found = self._loaded(of_store, self._work / "a.store", where)
        return "refused" if found is None else "loaded"

    def _vectors(self, draw: random.Random) -> str:
        path = self._work / draw.choice(VECTOR_FILES)
        good = self._good_of(path.name, of_vectors)
        beside = path.suffix == ".npy" and draw.random() < 0.4
        target = vocabulary_beside(path) if beside else path
        with self._changed(target, draw) as how:
            found = self._loaded(of_vectors, path, f"{target.name} {how}")
        if found is None:
            return "refused"
        if same(found, good):
            return "identical"
        # No checksums: what a flipped bit made cannot be told, but what is missing is.
        ours = path.name == "v.parquet"
        assert how != "cut" or path.suffix == ".npy", f"{target.name}: cut, and not told"
        assert found[1].shape == (len(found[0]), *found[1].shape[1:]), target.name
        assert not ours or how in ("flips", "swap"), f"{target.name} {how}: other, not told"
        return "other"

    def _vocabulary(self, draw: random.Random) -> str:
        path = self._work / draw.choice(VOCABULARY_FILES)
        good = self._good_of(path.name, of_vocabulary)
        with self._changed(path, draw) as how:
            found = self._loaded(of_vocabulary, path, f"{path.name} {how}")
        if found is None or same(found, good):
            return "refused" if found is None else "identical"
        assert path.name != "words.parquet" or how in ("flips", "swap"), f"{path.name} {how}"
        return "other"

    def _pages(self, draw: random.Random) -> str:
        """A Parquet file with the checksums of its pages made to fit (by not looking at them)."""
        path = self._work / draw.choice(PAGE_FILES)
        load = {"part": of_part, "words": of_vocabulary, "phrases": of_phrases, "v": of_vectors}
        with self._changed(path, draw) as how, checksums_ignored():
            found = self._loaded(load[path.stem[4:]], path, f"{path.name} {how}")
        return "refused" if found is None else "loaded"

    def _good_of(self, name: str, load: Callable[[Path], list[Any]]) -> list[Any]:
        if name not in self._good:
            self._good[name] = load(self._work / name)
        return self._good[name]

    def _loaded(self, load: Callable[[Path], list[Any]], path: Path, where: str) -> Any:
        with seconds_limited(MAX_SECONDS):
            try:
                return load(path)
            except FastW2VError as error:
                message = str(error)
                assert message.isprintable(), f"{where}: {message!r}"
                assert len(message) < 1200, f"{where}: {len(message)} characters"
            except Exception as error:
                raise AssertionError(f"{where}: {type(error).__name__}: {error}") from error
        return None

    @contextlib.contextmanager
    def _changed(self, path: Path, draw: random.Random) -> Iterator[str]:
        """Damage one file; put it right afterwards."""
        content = path.read_bytes()
        as_json = path.suffix in (".json", ".jsonl") and draw.random() < 0.6
        how, changed = (damaged_json if as_json else damaged)(content, draw)
        path.write_bytes(changed)
        try:
            yield how if changed != content else "nothing"
        finally:
            path.write_bytes(content)

    @contextlib.contextmanager
    def _damage(
        self, name: str, draw: random.Random, forge: Any = None, alone: bool = False
    ) -> Iterator[str]:
        """Damage a file of a directory, or put another in its place; put it right afterwards.

        Args:
            forge: makes the checksums fit. alone: without older saves to go on with.
        """
        directory = self._work / name
        files = sorted(p for p in directory.rglob("*") if p.is_file() and p.suffix != ".png")
        kept = {path: path.read_bytes() for path in files}
        if alone:
            files = [path for path in files if "checkpoints" not in path.parts]
        path = draw.choice([p for p in files if p.name != ".lock"])
        other = path
        try:
            kind = draw.choice(("damage",) * 8 + ("swapped", "of another run", "gone"))
            if kind == "damage":
                as_json = path.suffix in (".json", ".jsonl") and draw.random() < 0.7
                kind, changed = (damaged_json if as_json else damaged)(kept[path], draw)
                path.write_bytes(changed)
            elif kind == "gone":
                path.write_bytes(b"")
            elif kind == "swapped":
                other = draw.choice(files)
                path.write_bytes(kept[other])
                other.write_bytes(kept[path])
            else:
                theirs = self._work / name.replace("a.", "b.") / path.relative_to(directory)
                path.write_bytes(theirs.read_bytes() if theirs.is_file() else b"PAR1")
            if forge is not None:
                forge(directory)
            yield f"{path.relative_to(directory)} {kind} {other.name if other != path else ''}"
        finally:
            for file, content in kept.items():
                file.write_bytes(content)


_NOT_TO_FORGE = (ValueError, TypeError, KeyError, AttributeError, OSError, RecursionError)


def _forge_model(model: Path) -> None:
    """Make the checksums of all saves fit, as whoever made the model could."""
    for state_path in model.rglob("state.json"):
        with contextlib.suppress(*_NOT_TO_FORGE):
            state = json.loads(state_path.read_bytes())
            for name in state["sha256"]:
                content = (state_path.parent / name).read_bytes()
                state["sha256"][name] = hashlib.sha256(content).hexdigest()
            if "checksum" in state:
                state["checksum"] = model_directory.state_checksum(state)
            state_path.write_text(json.dumps(state))


def _forge_store(store: Path) -> None:
    """Make sizes and checksums of the manifest fit."""
    path = store / "manifest.json"
    with contextlib.suppress(*_NOT_TO_FORGE):
        manifest = json.loads(path.read_bytes())
        for entry in [manifest["vocabulary"], manifest["phrases"], *manifest["parts"]]:
            content = (store / entry["file"]).read_bytes()
            entry["bytes"], entry["sha256"] = len(content), hashlib.sha256(content).hexdigest()
        path.write_text(json.dumps(manifest))


class TooLong(BaseException):
    """A case took too long; no `except Exception` hides it."""


@contextlib.contextmanager
def seconds_limited(seconds: float) -> Iterator[None]:
    """Raise `TooLong` after so much processor time."""

    def stop(*_: Any) -> None:
        raise TooLong

    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    except TooLong:
        raise AssertionError(f"more than {seconds} s of processor time") from None
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def resident_peak() -> int:
    """The most memory that this process had, in bytes."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> int:
    """See the module."""
    import faulthandler
    import resource
    import tempfile

    faulthandler.enable()
    folder, seed, cases = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    only = sys.argv[4] if len(sys.argv) > 4 else None
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    failed = 0
    with tempfile.TemporaryDirectory(dir=folder) as work:
        fuzzer = Fuzzer(folder, Path(work))
        before = resident_peak()
        for number in range(seed, seed + cases):
            Path(folder, f"case-{seed}").write_text(str(number))  # for who finds this process dead
            try:
                fuzzer.run(number, only)
            except AssertionError as error:
                failed += 1
                print(f"case {number}: {' '.join(str(error).split())[:600]}", file=sys.stderr)
            if resident_peak() - before > MAX_GROWTH:
                print(f"case {number}: memory grew beyond {MAX_GROWTH} bytes", file=sys.stderr)
                return 1
    print(json.dumps(dict(sorted(fuzzer.counts.items()))))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).resolve().parent.parent.parent)]
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
