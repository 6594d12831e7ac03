"""Text to token store: MB/s, memory, workers, peers, and how all that grows with the text.

    python -m bench.preprocess.speed                                2 GB in 32 shards, 3 repeats;
                                                                    all parts
    python -m bench.preprocess.speed --quick                        one shard, 1 repeat: a look, no
                                                                    figure
    python -m bench.preprocess.speed --sizes 0.1 0.3 1 2 10         part size up to 10 GB
    python -m bench.preprocess.speed --new-words 50_000_000         the hard case at full length
    python -m bench.preprocess.speed --parts speed --word2vec PATH  with a compiled word2vec.c

speed      `fastw2v preprocess` with the default tokenizer (lower-casing included) and with
           `whitespace`, by number of workers; one file in place of shards; gz, beside unpacking
           alone; gensim's `build_vocab`, word2vec.c's vocabulary and a `Counter` on the same text,
           which only count; the disk's rate of writing
size       cost a byte and memory by the size of the text, with 25 MB a shard
new_words  random words, each of them new but for a few whose counts are known, and checked: exact
           counts, and --approximate-vocab

The text is that of the other benchmarks over and over, every shard from another line on, so its
vocabulary does not grow with it: part new_words is the other extreme. It is written and synced
before the clock, so it is read from the page cache. MB/s: millions of bytes of uncompressed text
over the wall-clock of the whole call, all phases. Runs are interleaved, each repeat in another
order, each run in processes of its own, whose memory is watched from outside
(`bench/lib/memory.py`). What is timed: bench/preprocess/works.py. A run with fewer workers
than cores is held to as many cores. Texts and stores lie in --scratch, and are removed.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.lib import command_line, common, host, results
from bench.lib.tables import print_tables
from bench.peers import compiled
from bench.preprocess import figures, texts, works
from bench.report import tables
from fastw2v.io import machine

_WARM_UP_BYTES = 1_000_000
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
        for workers in reversed(command_line.thread_counts(cores))
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


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.Parser(
        "bench.preprocess.speed", "preprocess", "Speed and memory of `fastw2v preprocess`.",
        quick="one shard, 1 repeat, small texts", ours=False,
        size=(0.016, 2.0, command_line.amount),  # GB, of part speed
        shards=(4, 32, command_line.count),  # ... in so many files
        sizes=([0.004, 0.016], [0.1, 0.3, 1.0, 2.0], command_line.amount),  # GB, of part size
        new_words=(200_000, 5_000_000, command_line.count),
        repeats=(1, 3, command_line.count),
    )  # fmt: skip
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=PEERS)
    parser.add_argument("--word2vec", type=compiled.executable, metavar="PATH",
                        help="a compiled word2vec.c, to time its vocabulary as well")  # fmt: skip
    parser.add_argument("--scratch", type=Path, default=common.WORK, metavar="DIR",
                        help="where texts and stores lie meanwhile")  # fmt: skip
    return parser.parse(arguments)


def check(run: Run, found: dict[str, Any]) -> None:
    """A run that counted wrongly is no result.

    Raises:
        RuntimeError: names what it counted, and what there is.
    """
    report = found.get("report", {})
    for name, value in run.expected.items():
        if report.get(name) != value:
            raise RuntimeError(
                f"{figures.name_of(run.facts)}: {name} is {report.get(name):,}, "
                f"and should be {value:,}"
            )


def warm_up(lines: bytes, scratch: Path) -> None:
    """A short run of each tokenizer, so that no timed run starts with a compilation."""
    folder = scratch / "warm-up"
    shards = texts.write_shards(lines, folder, _WARM_UP_BYTES, 1, 1)
    for tokenizer in TOKENIZERS:
        request = {"work": "fastw2v", "inputs": [str(shards[0])], "workers": 1,
                   "options": {"tokenizer": tokenizer}}  # fmt: skip
        works.perform(request, scratch, None)
    shutil.rmtree(folder)


def measure(
    part: str, lines: bytes, scratch: Path, chosen: argparse.Namespace, result: dict[str, Any]
) -> None:
    """All repeats of a part, into `result`, which is kept as it grows; its text is removed."""
    folder = scratch / part
    folder.mkdir()
    print(f"{part}: writing text", flush=True)
    plan = PARTS[part](chosen, lines, folder)
    for repeat in range(1, chosen.repeats + 1):
        for run in command_line.turned(plan, repeat - 1):
            found = works.perform(run.request, scratch, run.cores)
            check(run, found)
            rate = found["text_bytes"] / found["seconds"]
            record = {"part": part, "repeat": repeat, **run.facts, "bytes_per_second": rate}
            result["runs"].append({**record, **found})
            result["summary"] = figures.summarize(result["runs"])
            results.write_partial(chosen.output, result)
            print(
                f"repeat {repeat} of {chosen.repeats}  {part}  {figures.name_of(record)}: "
                f"{rate / 1e6:,.1f} MB/s in {found['seconds']:.1f} s",
                flush=True,
            )
    shutil.rmtree(folder)


@command_line.in_one_line
def main(arguments: list[str] | None = None) -> None:
    chosen = parse_arguments(arguments)
    shards = common.find_text(chosen.text)[: 1 if chosen.quick else None]
    lines = texts.read_lines(shards)
    chosen.scratch.mkdir(parents=True, exist_ok=True)
    texts.require_free(chosen.scratch, disk_needed(chosen), "the largest part")
    result: dict[str, Any] = {
        "benchmark": "preprocess",
        "machine": host.describe_machine(),
        "text": {"shards": [shard.name for shard in shards], "bytes": len(lines)},
        "settings": {
            "size": chosen.size, "shards": chosen.shards, "sizes": chosen.sizes,
            "size_shard": size_shard(chosen),
            "new_words": chosen.new_words, "repeats": chosen.repeats, "parts": chosen.parts,
            "min_count": works.MIN_COUNT,
        },
        "runs": [],
    }  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="preprocess-", dir=chosen.scratch) as scratch:
        warm_up(lines, Path(scratch))
        for part in chosen.parts:
            measure(part, lines, Path(scratch), chosen, result)
    print_tables(tables.preprocess(result))
    for warning in figures.disagreements(result["summary"]):
        print(f"warning: {warning}")
    results.finish(chosen.output, result)


if __name__ == "__main__":
    main()
