"""Other processes that do a part of a benchmark, and the corpus that it trains on.

The corpus is the directory that FASTW2V_REVIEWS names, else ../shared/data/reviews beside the
repository, else `--text PATH...`. It is preprocessed once into a token store under build/bench/;
the peers read a text file decoded from that very store, one sequence a line, so that every trainer
sees the same words.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import ROOT
from fastw2v.io import storage

WORK = ROOT / "build" / "bench"


def in_own_process(
    function: str,
    request: dict[str, Any],
    without: Sequence[str] = (),
    python: str | None = None,
    **environment: str,
) -> dict[str, Any]:
    """The answer of `function` ("module:name") to `request`, called in a new process.

    It runs in this environment, `without` these variables, and with those of `environment`;
    `python` is its interpreter, where it is not this one.

    Raises:
        RuntimeError: it failed; with the end of what it printed.
    """
    with tempfile.TemporaryDirectory(prefix="fastw2v-bench-") as scratch:
        question, answer = Path(scratch) / "request.json", Path(scratch) / "answer.json"
        question.write_text(json.dumps(request))
        kept = {name: value for name, value in os.environ.items() if name not in without}
        process = subprocess.run(
            [python or sys.executable, "-m", "bench.lib.child", function, question, answer],
            cwd=ROOT, env=kept | environment, capture_output=True, text=True,
        )  # fmt: skip
        if process.returncode != 0 or not answer.is_file():
            raise RuntimeError(f"{function} failed:\n{end_of(process.stdout + process.stderr)}")
        result: dict[str, Any] = json.loads(answer.read_text())
    return result


def end_of(printed: str) -> str:
    """The last lines of what a process printed."""
    return "\n".join(printed.replace("\r", "\n").splitlines()[-15:])


def find_text(given: Sequence[Path] = ()) -> list[Path]:
    """The shards to train on, in order.

    Raises:
        SystemExit: there are none.
    """
    if given:
        places = list(given)
    elif os.environ.get("FASTW2V_REVIEWS"):
        places = [Path(os.environ["FASTW2V_REVIEWS"])]
    else:
        places = [ROOT.parent / "shared" / "data" / "reviews"]
    shards = [
        shard
        for place in places
        for shard in (sorted(place.glob("*.txt*")) if place.is_dir() else [place])
    ]
    missing = [str(shard) for shard in shards if not shard.is_file()]
    if missing or not shards:
        raise SystemExit(
            f"no text to train on ({', '.join(missing) or places[0]}): "
            "give --text PATH..., or set FASTW2V_REVIEWS to a directory of .txt(.gz) shards"
        )
    return shards


@dataclass(frozen=True)
class Corpus:
    """One preprocessed corpus: our token store and the same words as text for the peers."""

    store: Path
    text: Path
    words: int
    sentences: int
    vocabulary: int
    shards: list[str]
    options: dict[str, Any]

    def describe(self) -> dict[str, Any]:
        """For the result file: names and sizes, no paths of the machine."""
        return {
            "shards": self.shards,
            "options": self.options,
            "words": self.words,
            "sentences": self.sentences,
            "vocabulary": self.vocabulary,
        }


def work_place(shards: Sequence[Path], **options: Any) -> Path:
    """The directory below build/bench for what is made of these shards with these options."""
    stats = [shard.stat() for shard in shards]
    inputs = [
        [str(path.resolve()), stat.st_size, stat.st_mtime_ns]
        for path, stat in zip(shards, stats, strict=True)
    ]
    identity = json.dumps([inputs, options], sort_keys=True)
    return WORK / hashlib.sha256(identity.encode()).hexdigest()[:16]


def prepare_corpus(shards: Sequence[Path], *, with_text: bool = True, **options: Any) -> Corpus:
    """Preprocess `shards` with these options of `fastw2v.preprocess`, or reuse what is there.

    with_text: also write the text that peers read; without it, `Corpus.text` may not exist.
    """
    from fastw2v.io.store_directory import is_store
    from fastw2v.store.format import TokenStore
    from fastw2v.store.pipeline import preprocess

    place = work_place(shards, **options)
    if not is_store(place / "corpus.store"):
        print(f"preprocessing {len(shards)} shards (once)", flush=True)
        preprocess(list(shards), place / "corpus.store", **options)
    store = TokenStore.open(place / "corpus.store")
    text = place / "corpus.txt"
    if with_text and not text.is_file():
        write_text_of(store, text)
    return Corpus(
        store=store.path,
        text=text,
        words=store.num_tokens,
        sentences=store.num_sentences,
        vocabulary=len(store.vocabulary),
        shards=[shard.name for shard in shards],
        options=options,
    )


def write_text_of(store: Any, path: Path) -> None:
    """Write a token store as text: the kept words of a sentence, blanks between them, a line."""
    tokens = store.vocabulary.tokens
    with storage.atomic_file(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        for group in range(store.num_row_groups):
            ids, offsets = store.read_row_group(group)
            words = [tokens[token_id] for token_id in ids.tolist()]
            bounds = offsets.tolist()
            for start, end in itertools.pairwise(bounds):
                file.write(" ".join(words[start:end]) + "\n")
