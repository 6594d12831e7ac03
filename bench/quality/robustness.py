"""Small corpora and large learning rates: blocks must not diverge where classic updates do not.

    python -m bench.quality.robustness          1 % of the reviews, and a text of 10,000 words
    python -m bench.quality.robustness --quick  the short text, three rates

Each cell trains twice with the same options and draws of the stream: with the default blocks, and
with word2vec.c's pair by pair updates in their place (`rungs.train_classic`). The learning rate is
the type's default times 1, 2, 4 ...; a run diverges when fastw2v stops it (NaN, infinity, or rows
of absurd length), or when its loss ends above twice that of untrained vectors, (1 + K)·log 2.
`worse` marks two runs that both end, but blocks at a loss well above classic's; two that end, one
of them without a finite loss, are no result.
"""

from __future__ import annotations

import argparse
import gzip
import logging
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.lib import command_line, common, host, results
from bench.lib.tables import print_tables
from bench.report import tables
from fastw2v.io import machine, storage

MODELS = {
    "sgram_neg": {"type": "sgram_neg"},
    "cbow_neg mean": {"type": "cbow_neg", "cbow_gradient": "mean"},
    "cbow_neg word2vec": {"type": "cbow_neg", "cbow_gradient": "word2vec"},
}
METHODS = ("blocks", "classic")
SHORT_WORDS = 10_000
NO_RESULT = "no result"
_WORSE = 0.1  # nats of training loss a positive


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.Parser(
        "bench.quality.robustness", "robustness", "Does training diverge, and where?",
        quick="the short text, three rates",
        times=([1, 4, 16], [1, 2, 4, 8, 16, 32, 64, 128], command_line.amount),
    )  # fmt: skip
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--dim", type=command_line.count, default=100)
    parser.add_argument("--epochs", type=command_line.count, default=5)
    parser.add_argument("--seeds", nargs="+", type=command_line.seed, default=[1])
    parser.add_argument("--threads", type=command_line.count, default=machine.usable_cores())
    return parser.parse(arguments)


def _lines(shards: list[Path]) -> Iterator[str]:
    for shard in shards:
        opener = gzip.open if shard.suffix == ".gz" else open
        with opener(shard, "rt", encoding="utf-8", errors="replace") as file:
            yield from file


def every_hundredth_line(shards: list[Path]) -> Iterator[str]:
    """1 % of the lines, spread over all shards."""
    for number, line in enumerate(_lines(shards)):
        if number % 100 == 0:
            yield line


def first_words(shards: list[Path], words: int) -> Iterator[str]:
    """The first lines, up to so many words between white space."""
    left = words
    for line in _lines(shards):
        taken = line.split()[:left]
        left -= len(taken)
        yield " ".join(taken) + "\n"
        if left == 0:
            return


def make_texts(shards: list[Path], quick: bool) -> dict[str, Path]:
    """The small texts by name, written below build/bench once for these shards."""
    place = common.work_place(shards, part="robustness")
    makers = {f"{SHORT_WORDS:,} words": lambda: first_words(shards, SHORT_WORDS)}
    if not quick:
        makers["1 % of the lines"] = lambda: every_hundredth_line(shards)
    texts = {}
    for number, (name, make) in enumerate(makers.items()):
        texts[name] = place / f"{number}.txt"
        if not texts[name].is_file():
            storage.write_text(texts[name], "".join(make()))
    return texts


def train_once(store: Path, method: str, options: dict[str, Any]) -> dict[str, Any]:
    """`diverged` (the message, or None), `loss` of the last interval, `block_size`, `pool_size`."""
    import fastw2v
    from bench.speed import rungs
    from bench.speed.rungs import in_place_of_blocks
    from fastw2v.errors import DivergenceError

    with tempfile.TemporaryDirectory(prefix="fastw2v-bench-") as scratch:
        place = Path(scratch) / "model"
        try:
            if method == "blocks":
                model = fastw2v.train(store, place, holdout=0, **options)
            else:
                with in_place_of_blocks(rungs.train_classic):
                    model = fastw2v.train(store, place, holdout=0, **options)
        except DivergenceError as error:
            return {"diverged": str(error), "loss": None}
        loss = model.history[-1]["loss"]
        untrained = (1 + model.config["neg_samples"]) * math.log(2)
        exploded = loss is not None and loss > 2 * untrained
        return {
            "diverged": f"the loss ended at {loss:.3g}" if exploded else None,
            "loss": loss,
            "block_size": model.config["block_size"],
            "pool_size": model.config["pool_size"],
        }


def cell_of(
    store: Path, model: str, times: float, seed: int, chosen: argparse.Namespace
) -> dict[str, Any]:
    """Both methods at one learning rate."""
    from fastw2v.training.config import TrainConfig

    options: dict[str, Any] = {
        **MODELS[model], "vector_dim": chosen.dim, "epochs": chosen.epochs, "seed": seed,
        "threads": chosen.threads, "save_interval": 1e9, "checkpoint_epochs": 0,
        **command_line.parse_options(chosen.ours),
    }  # fmt: skip
    default = TrainConfig.create(**options).alpha
    assert default is not None
    options["alpha"] = default * times
    runs = {method: train_once(store, method, options) for method in METHODS}
    return {"model": model, "alpha_times": times, "alpha": options["alpha"], "seed": seed, **runs}


def verdict_of(cell: dict[str, Any]) -> str:
    """What the cell says of the claim."""
    blocks, classic = (cell[method] for method in METHODS)
    if blocks["diverged"] and not classic["diverged"]:
        return "BLOCKS DIVERGE, CLASSIC DOES NOT"
    if blocks["diverged"]:
        return "both diverge"
    if classic["diverged"]:
        return "only classic diverges"
    if not (_has_loss(blocks) and _has_loss(classic)):
        return NO_RESULT
    return "worse" if blocks["loss"] > classic["loss"] + _WORSE else "both train"


def _has_loss(run: dict[str, Any]) -> bool:
    return run["loss"] is not None and math.isfinite(run["loss"])


def count_verdicts(cells: list[dict[str, Any]]) -> dict[str, int]:
    """`claim_broken`: blocks diverge where classic does not; `worse`: see above."""
    verdicts = [cell["verdict"] for cell in cells]
    return {
        "claim_broken": sum(verdict.startswith("BLOCKS") for verdict in verdicts),
        "worse": verdicts.count("worse"),
        "no_result": verdicts.count(NO_RESULT),
    }


@command_line.in_one_line
def main(arguments: list[str] | None = None) -> None:
    chosen = parse_arguments(arguments)
    logging.getLogger("fastw2v").setLevel(logging.ERROR)
    shards = common.find_text(chosen.text)
    texts = make_texts(shards, chosen.quick)
    corpora = {name: common.prepare_corpus([text], with_text=False) for name, text in texts.items()}
    result: dict[str, Any] = {
        "benchmark": "robustness",
        "machine": host.describe_machine(),
        "settings": {
            name: getattr(chosen, name) for name in ("dim", "epochs", "threads", "ours", "seeds")
        },
        "corpora": {name: corpus.describe() for name, corpus in corpora.items()},
        "cells": [],
    }
    for name, corpus in corpora.items():
        for model in chosen.models:
            for times in chosen.times:
                for seed in chosen.seeds:
                    cell = cell_of(corpus.store, model, times, seed, chosen)
                    cell = {"corpus": name, **cell, "verdict": verdict_of(cell)}
                    losses = ", ".join(f"{method} {cell[method]['loss']}" for method in METHODS)
                    print(f"{name}, {model}, alpha x{times:g}, seed {seed}: {losses}; "
                          f"{cell['verdict']}", flush=True)  # fmt: skip
                    result["cells"].append(cell)
                    result |= count_verdicts(result["cells"])
                    result["machine"]["thread_layer"] = host.thread_layer()
                    results.write_partial(chosen.output, result)
    print_tables(tables.robustness(result))
    results.finish(chosen.output, result)


if __name__ == "__main__":
    main()
