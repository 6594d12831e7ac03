"""Text to token store: MB/s, memory, workers, peers, and how all that grows with the text.

    python -m bench.preprocess                           2 GB in 32 shards, 3 repeats; all parts
    python -m bench.preprocess --quick                   one shard, 1 repeat: a look, no figure
    python -m bench.preprocess --sizes 0.1 0.3 1 2 10    part size up to 10 GB
    python -m bench.preprocess --new-words 50_000_000    the hard case at full length
    python -m bench.preprocess --parts speed --word2vec PATH    with a compiled word2vec.c

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
(`bench/preprocess_memory.py`). What is timed: bench/preprocess_runs.py. A run with fewer workers
than cores is held to as many cores. Texts and stores lie in --scratch, and are removed.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

from bench import command_line, common, external, preprocess_plan, preprocess_runs
from bench import preprocess_text as texts
from bench.preprocess_columns import print_tables
from bench.preprocess_plan import PARTS, PEERS, Run
from bench.preprocess_plot import draw
from bench.preprocess_summary import name_of, summarize
from fastw2v.io import machine

_WARM_UP_BYTES = 1_000_000


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.preprocess", description="Speed and memory of `fastw2v preprocess`."
    )
    parser.add_argument("--text", type=Path, nargs="+", default=[], help="text files or directory")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--size", type=command_line.amount, metavar="GB",
                        help="text of part speed; default: 2")  # fmt: skip
    parser.add_argument("--shards", type=command_line.count, help="of part speed; default: 32")
    parser.add_argument("--sizes", type=command_line.amount, nargs="+", metavar="GB",
                        help="texts of part size; default: 0.1 0.3 1 2")  # fmt: skip
    parser.add_argument("--new-words", type=command_line.count, metavar="N",
                        help="random words of part new_words; default: 5 million")  # fmt: skip
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=PEERS)  # fmt: skip
    parser.add_argument("--word2vec", type=external.executable, metavar="PATH",
                        help="a compiled word2vec.c, to time its vocabulary as well")  # fmt: skip
    parser.add_argument("--repeats", type=command_line.count, help="default: 3; 1 with --quick")
    parser.add_argument("--scratch", type=Path, default=common.WORK, metavar="DIR",
                        help="where texts and stores lie meanwhile")  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="one shard, 1 repeat, small texts")
    parser.add_argument("--output", type=Path, help="result file (.json); a .png lies beside it")
    chosen = parser.parse_args(arguments)
    command_line.set_defaults(
        chosen,
        "preprocess",
        size=(0.016, 2.0),
        shards=(4, 32),
        sizes=([0.004, 0.016], [0.1, 0.3, 1.0, 2.0]),
        new_words=(200_000, 5_000_000),
        repeats=(1, 3),
    )
    return chosen


def in_order_of(plan: list[Run], repeat: int) -> list[Run]:
    """The plan turned round, a place a repeat: nobody always comes after the same."""
    first = (repeat - 1) % len(plan)
    return plan[first:] + plan[:first]


def check(run: Run, found: dict[str, Any]) -> None:
    """A run that counted wrongly is no result.

    Raises:
        RuntimeError: names what it counted, and what there is.
    """
    report = found.get("report", {})
    for name, value in run.expected.items():
        if report.get(name) != value:
            raise RuntimeError(
                f"{name_of(run.facts)}: {name} is {report.get(name):,}, and should be {value:,}"
            )


def warm_up(lines: bytes, scratch: Path) -> None:
    """A short run of each tokenizer, so that no timed run starts with a compilation."""
    folder = scratch / "warm-up"
    shards = texts.write_shards(lines, folder, _WARM_UP_BYTES, 1, 1)
    for tokenizer in preprocess_plan.TOKENIZERS:
        request = {"work": "fastw2v", "inputs": [str(shards[0])], "workers": 1,
                   "options": {"tokenizer": tokenizer}}  # fmt: skip
        preprocess_runs.perform(request, scratch, None)
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
        for run in in_order_of(plan, repeat):
            found = preprocess_runs.perform(run.request, scratch, run.cores)
            check(run, found)
            rate = found["text_bytes"] / found["seconds"]
            record = {"part": part, "repeat": repeat, **run.facts, "bytes_per_second": rate}
            result["runs"].append({**record, **found})
            result["summary"] = summarize(result["runs"])
            common.write_partial(chosen.output, result)
            print(
                f"repeat {repeat} of {chosen.repeats}  {part}  {name_of(record)}: "
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
    texts.require_free(chosen.scratch, preprocess_plan.disk_needed(chosen), "the largest part")
    result: dict[str, Any] = {
        "benchmark": "preprocess",
        "machine": common.describe_machine(),
        "text": {"shards": [shard.name for shard in shards], "bytes": len(lines)},
        "settings": {
            "size": chosen.size, "shards": chosen.shards, "sizes": chosen.sizes,
            "size_shard": preprocess_plan.size_shard(chosen),
            "new_words": chosen.new_words, "repeats": chosen.repeats, "parts": chosen.parts,
            "min_count": preprocess_runs.MIN_COUNT,
        },
        "runs": [],
    }  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="preprocess-", dir=chosen.scratch) as scratch:
        warm_up(lines, Path(scratch))
        for part in chosen.parts:
            measure(part, lines, Path(scratch), chosen, result)
    common.write_result(chosen.output, result)
    print_tables(result["summary"])
    picture = chosen.output.with_suffix(".png")
    cores, model = machine.usable_cores(), result["machine"]["cpu"]["model"]
    draw(result["summary"], f"fastw2v preprocess, {cores} cores, {model}", picture)
    print(f"\nwritten: {chosen.output} and {picture.name}")


if __name__ == "__main__":
    main()
