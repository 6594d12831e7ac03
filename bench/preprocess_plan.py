"""The three parts of `bench/preprocess.py`: their texts and the runs of a repeat.

speed      the same text as shards, as one file and as gz, with every number of workers; the peers
           on the one file; unpacking alone and the disk as ceilings
size       the first shards of one long list: more and more text
new_words  random words, nearly each of them new: exact counts and --approximate-vocab
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench import preprocess_text as texts
from bench.scaling import thread_counts
from fastw2v.io import machine

TOKENIZERS = ("words", "whitespace")
PEERS = ("gensim", "counter")
_VARIANTS = 40  # different shards of part size
_SIZE_SHARD = 25_000_000  # bytes: 40 of them are 1 GB of disk
_DISK_BYTES = 1_000_000_000
_WORD_BYTES = 14  # of the new words, with what stands between
# What a run may take of the disk beside its text, as a multiple of it: spilled ids, counts, parts.
_BESIDE = {"speed": 1.5, "size": 1.5, "new_words": 6.0}
_PACKED = 0.5  # gz against plain


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of a repeat.

    facts: what the summary groups and names it by: work, tokenizer, form, workers.
    expected: fields of the report that have to come out so.
    """

    part: str
    request: dict[str, Any]
    facts: dict[str, Any]
    cores: int | None = None
    expected: dict[str, int] = dataclasses.field(default_factory=dict)


def _ours(
    part: str,
    inputs: Sequence[Path],
    *,
    tokenizer: str = "words",
    form: str = "shards",
    workers: int | None = None,
    expected: dict[str, int] | None = None,
    **options: Any,
) -> Run:
    all_cores = machine.usable_cores()
    workers = workers or all_cores
    request = {
        "work": "fastw2v",
        "inputs": [str(path) for path in inputs],
        "workers": workers,
        "options": {"tokenizer": tokenizer, **options},
    }
    facts = {"work": "fastw2v", "tokenizer": tokenizer, "form": form, "workers": workers}
    # A process held to as many cores as it has workers: no helper gets another for nothing.
    return Run(part, request, facts, workers if workers < all_cores else None, expected or {})


def speed(chosen: argparse.Namespace, lines: bytes, folder: Path) -> list[Run]:
    """Write the text in its three forms; who reads it."""
    size = round(chosen.size * 1e9)
    shards = texts.write_shards(lines, folder / "shards", size, chosen.shards, chosen.shards)
    whole = texts.join(shards, folder / "text.txt")
    packed = texts.compress(shards, folder / "packed")
    cores = machine.usable_cores()
    plan = [
        _ours("speed", shards, tokenizer=tokenizer, workers=workers)
        for tokenizer in TOKENIZERS
        for workers in reversed(thread_counts(cores))
    ]
    plan.append(_ours("speed", [whole], form="one file"))
    plan.append(_ours("speed", packed, form="gz"))
    names = [str(path) for path in packed]
    plan.append(Run("speed", {"work": "unpack", "inputs": names, "workers": cores},
                    {"work": "unpack", "form": "gz", "workers": cores}))  # fmt: skip
    for peer in (*chosen.peers, *(["word2vec"] if chosen.word2vec else [])):
        request = {"work": peer, "text": str(whole), "binary": str(chosen.word2vec)}
        plan.append(Run("speed", request, {"work": peer, "form": "one file", "workers": 1}))
    plan.append(Run("speed", {"work": "disk", "bytes": min(_DISK_BYTES, size)}, {"work": "disk"}))
    return plan


def size(chosen: argparse.Namespace, lines: bytes, folder: Path) -> list[Run]:
    """Write the largest text; a run for each size."""
    shard_bytes = size_shard(chosen)
    counts = [max(1, round(size * 1e9 / shard_bytes)) for size in sorted(set(chosen.sizes))]
    shards = texts.write_shards(
        lines, folder / "shards", counts[-1] * shard_bytes, counts[-1], _VARIANTS
    )
    return [
        dataclasses.replace(run, facts=run.facts | {"size": texts.bytes_of(shards[:count])})
        for count in dict.fromkeys(counts)
        for run in [_ours("size", shards[:count])]
    ]


def size_shard(chosen: argparse.Namespace) -> int:
    """Bytes of a shard of part size."""
    return min(_SIZE_SHARD, round(min(chosen.sizes) * 1e9 / 4))


def new_words(chosen: argparse.Namespace, lines: bytes, folder: Path) -> list[Run]:
    """Write the random words; exact and approximate counts."""
    text = folder / "words.txt"
    expected = texts.write_new_words(text, chosen.new_words)
    most = max(1000, chosen.new_words // 50)
    return [
        _ours("new_words", [text], form="exact", expected=expected),
        _ours("new_words", [text], form=f"approximate, {most:,} words",
              expected={"tokens_read": expected["tokens_read"]},
              approximate_vocab=most),
    ]  # fmt: skip


PARTS: dict[str, Callable[[argparse.Namespace, bytes, Path], list[Run]]] = {
    "speed": speed,
    "size": size,
    "new_words": new_words,
}


def disk_needed(chosen: argparse.Namespace) -> float:
    """Bytes of disk that the most demanding of the chosen parts may take."""
    text, largest = chosen.size * 1e9, max(chosen.sizes) * 1e9
    random = chosen.new_words * _WORD_BYTES
    needed = {
        "speed": text * (2 + _PACKED + _BESIDE["speed"]),
        "size": min(largest, _VARIANTS * size_shard(chosen)) + largest * _BESIDE["size"],
        "new_words": random * (1 + _BESIDE["new_words"]),
    }
    return max(needed[part] for part in chosen.parts)
