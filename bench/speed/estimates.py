"""What training says before it starts about memory and disk, against what it then takes.

    python -m bench.speed.estimates          all four types, several sizes: some four minutes
    python -m bench.speed.estimates --quick  one shard, two runs: a look, no figure
    python -m bench.speed.estimates --types sgram_neg cbow_neg

Real runs by `fastw2v.train`, each in a process of its own, with the defaults but for what the table
shows, and a save every 5 seconds whatever it costs, so that these short runs save as long ones do:
one that saves at its start and its end only takes less memory and disk than is said. Each trains
about `--seconds`, by the speed of a short run before it, which also compiles.

memory  estimated: of the whole process, the copy of the matrices for saves included; measured: the
        peak of its resident set as the kernel counted it (VmHWM), and, watched from outside ten
        times a second, `watched` (bench/lib/memory.py).
disk    estimated: the most that the model directory will take; measured: its files whenever a new
        save is whole and the oldest is still there; hard links count once.

An error is estimated / measured - 1.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from bench.lib import command_line, common, host, memory, results
from bench.lib.memory import Watch
from bench.lib.tables import print_tables
from bench.report import tables
from fastw2v.io import machine

TYPES = ("sgram_neg", "cbow_neg", "sgram", "cbow")
QUANTITIES = ("memory", "disk")
TARGET = 0.25
SAVE_INTERVAL = 5.0  # seconds, so that these short runs save as long ones do
_TRIED = {"_neg": 1_000_000, "softmax": 1 << 12}  # words of the run before


class Size(NamedTuple):
    """What a run trains.

    shards: how many of the text's, None: all. min_count, max_vocab: its vocabulary. threads: None:
    all cores.
    """

    type: str
    shards: int | None
    min_count: int
    max_vocab: int | None
    dim: int
    threads: int | None


SIZES = (
    Size("sgram_neg", None, 2, None, 100, None),
    Size("sgram_neg", None, 1, None, 300, 1),
    Size("sgram_neg", 1, 5, None, 300, None),
    Size("cbow_neg", None, 2, None, 300, None),
    Size("cbow_neg", None, 1, None, 100, None),
    Size("cbow_neg", 1, 5, None, 200, 1),
    Size("cbow", None, 2, 10_000, 100, None),
    Size("cbow", None, 1, None, 300, None),
    Size("sgram", None, 2, 10_000, 300, None),
    Size("sgram", 1, 2, 2000, 100, 1),
)
QUICK_SIZES = (
    Size("sgram_neg", 1, 5, None, 100, None),
    Size("cbow", 1, 2, 2000, 50, 1),
)


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.Parser(
        "bench.speed.estimates", "estimates", "Memory and disk as checked, against real runs.",
        quick="one shard, two runs", seconds=(11.0, 14.0, command_line.amount),
    )  # fmt: skip
    parser.add_argument("--types", nargs="+", choices=TYPES, default=list(TYPES))
    return parser.parse(arguments)


# --- in the process that trains ---


class _Notes:
    """What a run estimates, and when; what its directory takes."""

    def __init__(self, model: Path) -> None:
        self.model = model
        self.found: dict[str, Any] = {"disk_taken": 0}

    def attach(self) -> None:
        """Listen to the functions that estimate, and to the one that points to a new save."""
        from fastw2v.io import storage
        from fastw2v.training import checkpoint as saver
        from fastw2v.training import resources

        replace: Any = setattr  # in this process, which does nothing else
        replace(saver, "SHARE_OF_TIME", 1.0)  # saves come as often as they are asked for
        check, write_text = resources.check_resources, storage.write_text

        def noting_need(need: Any, model: Path) -> str:
            copied = resources.copy_bytes(need, machine.available_memory())
            self.found |= {"memory": need.memory + copied, "disk": need.disk}
            return str(check(need, model))

        def noting_disk(path: Path, text: str) -> None:
            write_text(path, text)
            self.found["disk_taken"] = max(self.found["disk_taken"], bytes_in(self.model))

        resources.check_resources = noting_need  # type: ignore[assignment]
        storage.write_text = noting_disk


def bytes_in(directory: Path) -> int:
    """Bytes of the files below `directory`, hard links counted once."""
    stats = [path.lstat() for path in directory.rglob("*") if path.is_file()]
    return sum({(stat.st_dev, stat.st_ino): stat.st_size for stat in stats}.values())


def measure(request: dict[str, Any]) -> dict[str, Any]:
    """Train `request["store"]` with `request["options"]`.

    Returns:
        `estimated` and `measured` by quantity, `words`, and `words_per_second` of training alone.
    """
    import fastw2v

    with tempfile.TemporaryDirectory(prefix="fastw2v-bench-", dir=request["folder"]) as scratch:
        notes = _Notes(Path(scratch) / "model")
        notes.attach()
        model = fastw2v.train(request["store"], notes.model, **request["options"])
    found = notes.found
    measured = {
        "memory": memory.peak_memory(),
        "disk": found["disk_taken"],
    }
    return {
        "estimated": {name: found[name] for name in QUANTITIES},
        "measured": measured,
        "vocabulary": len(model.vocabulary),
        "words": int(model.words_done),
        "training_seconds": float(model.training_seconds),
        "words_per_second": model.words_done / model.training_seconds,
    }


# --- in the process that asks ---


def options_of(size: Size, given: list[str], save_interval: float) -> dict[str, Any]:
    """fastw2v's options, without how many words it trains; `given` are NAME=VALUE."""
    return {
        "type": size.type,
        "vector_dim": size.dim,
        "threads": size.threads or machine.usable_cores(),
        "save_interval": save_interval,
        **command_line.parse_options(given),
    }


def length_of(words: float, epoch_words: int) -> dict[str, int]:
    """Options for about so many words: whole epochs, which end as usual, or a part of one."""
    if words > 0.6 * epoch_words:
        return {"epochs": max(1, round(words / epoch_words))}
    return {"epochs": 1, "max_words": max(1, round(words))}


def run_for(
    measure: str, size: Size, seconds: float, options: dict[str, Any], text: list[Path]
) -> dict[str, Any]:
    """What the function `measure` ("module:name", in a process of its own) finds in a run that
    trains for about so long, after a short one that compiles and gives the words per second."""
    corpus = common.prepare_corpus(
        common.find_text(text)[: size.shards],
        with_text=False, min_count=size.min_count, max_vocab=size.max_vocab,
    )  # fmt: skip

    def measured(words: float, **more: Any) -> dict[str, Any]:
        request = {"store": str(corpus.store), "folder": str(common.WORK)}
        request_options = options | length_of(words, corpus.words) | more
        return common.in_own_process(measure, request | {"options": request_options})

    tried = _TRIED["_neg" if size.type.endswith("_neg") else "softmax"]
    before = measured(tried, checkpoint_epochs=0, holdout=0)
    found = measured(seconds * before["words_per_second"])
    return {"corpus": corpus.describe(), "threads": options["threads"], **found}


def run_size(size: Size, chosen: argparse.Namespace) -> dict[str, Any]:
    """A run of it, watched."""
    options = options_of(size, chosen.ours, SAVE_INTERVAL)
    with Watch(common.WORK) as watch:
        found = run_for("bench.speed.estimates:measure", size, chosen.seconds, options, chosen.text)
    watched = watch.describe()["peak_memory"]
    return {**size._asdict(), **found, "watched": watched, "errors": errors_of(found)}


def errors_of(run: dict[str, Any]) -> dict[str, float | None]:
    """Estimated / measured - 1 by quantity; None where either is not known."""
    pairs = {name: (run["estimated"][name], run["measured"][name]) for name in QUANTITIES}
    return {
        name: estimated / measured - 1 if estimated and measured else None
        for name, (estimated, measured) in pairs.items()
    }


def largest_errors(runs: list[dict[str, Any]]) -> dict[str, float | None]:
    """By quantity: the error that is farthest from 0."""
    found: dict[str, float | None] = {}
    for name in QUANTITIES:
        errors = [run["errors"][name] for run in runs if run["errors"][name] is not None]
        found[name] = max(errors, key=abs, default=None)
    return found


@command_line.in_one_line
def main(arguments: list[str] | None = None) -> None:
    """Run, print, write."""
    chosen = parse_arguments(arguments)
    sizes = [size for size in (QUICK_SIZES if chosen.quick else SIZES) if size.type in chosen.types]
    result: dict[str, Any] = {"machine": host.describe_machine(), "runs": []}
    for number, size in enumerate(sizes, 1):
        print(f"{number} of {len(sizes)}: {size}", flush=True)
        result["runs"].append(run_size(size, chosen))
        results.write_partial(chosen.output, result)
    result["largest_errors"] = largest_errors(result["runs"])
    print_tables(tables.estimates(result))
    for name, error in result["largest_errors"].items():
        print(f"largest error of {name}: {tables.error(error)} (target: {TARGET:.0%} either way)")
    results.finish(chosen.output, result)


if __name__ == "__main__":
    main()
