"""What saves and the held-out loss cost a training run.

    python -m bench.speed.costs          runs of 200 s, and shorter ones: some 13 minutes
    python -m bench.speed.costs --quick  one shard, short: a look, no figure
    python -m bench.speed.costs --parts saves

saves     runs with --save-interval 30 and no other saves between the first and the last. What they
          cost: the seconds that training stood still for them, and the CPU of the thread that wrote
          them, as a share of the seconds of training. The first save and the last are waited for,
          whatever the length of the run; `background` is what those between them cost.
holdout   runs of all four types with the default --holdout: the scan for the held-out sequences,
          before the start; the evaluations, during which training stands still; the exact softmax
          loss at the end of the _neg types. `cost_words`: what an evaluation takes a held-out
          token, in words of training, which is what `evaluation.COSTS` says and plans with.

Each run is a process of its own, trained about as long as asked for, by the speed of a short run
before it. A part that is not asked for stays in the result file as it is, with the
machine and the commit that it was measured with.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.lib import command_line, host, results
from bench.lib.tables import print_tables
from bench.report import tables
from bench.speed.estimates import Size, options_of, run_for

PARTS = ("saves", "holdout")
TARGETS = {"saves": 0.02, "holdout": 0.01}
SAVE_INTERVAL = 30.0
SAVES = (
    Size("sgram_neg", None, 2, None, 300, None),
    Size("cbow_neg", None, 1, None, 100, None),
)
HOLDOUT = (
    Size("sgram_neg", None, 2, None, 100, None),
    Size("cbow_neg", None, 2, None, 300, None),
    Size("sgram", None, 2, 10_000, 100, None),
    Size("cbow", None, 2, 10_000, 100, None),
)
QUICK = (Size("sgram_neg", 1, 5, None, 100, None),)


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.Parser(
        "bench.speed.costs", "costs", "What saves and the held-out loss cost.",
        quick="one shard, a run per part, short",
        save_seconds=(4.0, 200.0, command_line.amount),  # about how long a run of part saves trains
        seconds=(4.0, 60.0, command_line.amount),  # ... and of part holdout
    )  # fmt: skip
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--types", nargs="+", help="of part holdout: some of the four types")
    return parser.parse(arguments)


# --- in the process that trains ---


class _Clocks:
    """What training leaves untold: the saver's cost at each save, the scan, the last loss."""

    def __init__(self) -> None:
        self.scan = self.exact = 0.0
        self.saver: Any = None
        self.costs: list[dict[str, Any]] = []

    def attach(self) -> None:
        from fastw2v.training import checkpoint as saver
        from fastw2v.training import evaluation
        from fastw2v.training import validation as holdout

        choose, exact, begin = (
            holdout.Holdout.of, evaluation.Evaluator.exact_softmax, saver.Saver.__init__
        )  # fmt: skip

        def choosing(*arguments: Any, **options: Any) -> Any:
            began = time.perf_counter()
            found = choose(*arguments, **options)
            self.scan = time.perf_counter() - began
            return found

        def exactly(*arguments: Any) -> Any:
            began = time.perf_counter()
            found = exact(*arguments)
            self.exact = time.perf_counter() - began
            return found

        def beginning(saver: Any, *arguments: Any) -> None:
            begin(saver, *arguments)
            self.saver = saver

        replace: Any = setattr  # in this process, which does nothing else
        replace(holdout.Holdout, "of", staticmethod(choosing))
        replace(evaluation.Evaluator, "exact_softmax", exactly)
        replace(saver.Saver, "__init__", beginning)

    def note(self, progress: Any) -> None:
        """The callback. A save is told of after it is written."""
        if progress.event in ("save", "end"):
            self.costs.append(dataclasses.asdict(self.saver.cost))


def measure(request: dict[str, Any]) -> dict[str, Any]:
    """Train `request["store"]` with `request["options"]`.

    Returns:
        `saves`: `saver.SaveCost` after each save and at the end; `scan_seconds`, `exact_seconds`;
        `evaluation_seconds` (without the exact loss) of `evaluations`; `heldout_tokens`; `words`,
        `words_per_second`, `training_seconds`; `matrix_bytes` of a save.
    """
    import fastw2v
    from fastw2v.io import model_directory

    clocks = _Clocks()
    clocks.attach()
    with tempfile.TemporaryDirectory(prefix="fastw2v-bench-", dir=request["folder"]) as scratch:
        path = Path(scratch) / "model"
        model = fastw2v.train(request["store"], path, callback=clocks.note, **request["options"])
        state = model_directory.open_model(path).state
    evaluations = sum(row["holdout_loss"] is not None for row in model.history)
    return {
        "saves": clocks.costs,
        "scan_seconds": clocks.scan,
        "exact_seconds": clocks.exact,
        "evaluations": evaluations,
        "evaluation_seconds": state["holdout_seconds"] - clocks.exact,
        "heldout_tokens": state["holdout"].get("tokens", 0),
        "words": int(model.words_done),
        "words_per_second": model.words_done / model.training_seconds,
        "training_seconds": float(model.training_seconds),
        "vocabulary": len(model.vocabulary),
        "matrix_bytes": model.input_vectors.nbytes + model.output_vectors.nbytes,
    }


# --- in the process that asks ---


def save_costs(run: dict[str, Any]) -> dict[str, Any]:
    """share: all that saves cost / training; background: that of the saves between the first and
    the last, with `background_saves`; stalled, helper: their seconds a save; stalled_a_byte,
    helper_a_byte: the same for a byte of the matrices. None where there were none.
    """
    costs = run["saves"]
    first, whole = costs[0], costs[-1]
    between = [cost for cost in costs if first["saves"] < cost["saves"] < whole["saves"]]
    last = between[-1] if between else first
    saves = last["saves"] - first["saves"]
    stalled = last["stalled_seconds"] - first["stalled_seconds"]
    helper = last["helper_seconds"] - first["helper_seconds"]
    each = {name: value / saves if saves else None
            for name, value in (("stalled", stalled), ("helper", helper))}  # fmt: skip
    return {
        "share": (whole["stalled_seconds"] + whole["helper_seconds"]) / run["training_seconds"],
        "background": (stalled + helper) / run["training_seconds"],
        "background_saves": saves,
        **each,
        **{f"{name}_a_byte": value / run["matrix_bytes"] if value is not None else None
           for name, value in each.items()},
    }  # fmt: skip


def holdout_costs(run: dict[str, Any]) -> dict[str, Any]:
    """scan, evaluations, exact: shares of the training; share: their sum; cost_words, expected: see
    above, measured and planned with."""
    from fastw2v.training.evaluation import COSTS

    training = run["training_seconds"]
    shares = {
        "scan": run["scan_seconds"] / training,
        "evaluations": run["evaluation_seconds"] / training,
        "exact": run["exact_seconds"] / training,
    }
    tokens = run["evaluations"] * run["heldout_tokens"]
    a_token = run["evaluation_seconds"] / tokens if tokens else None
    cost = None if a_token is None else a_token * run["words_per_second"]
    return {**shares, "share": sum(shares.values()), "cost_words": cost,
            "expected": COSTS[run["type"]]}  # fmt: skip


def run_part(part: str, chosen: argparse.Namespace) -> list[dict[str, Any]]:
    """All runs of a part."""
    sizes = QUICK if chosen.quick else SAVES if part == "saves" else HOLDOUT
    runs = []
    for size in sizes:
        if part == "holdout" and chosen.types and size.type not in chosen.types:
            continue
        print(f"{part}: {size}", flush=True)
        interval = SAVE_INTERVAL if not chosen.quick else 1.0
        options = options_of(size, chosen.ours, interval)
        seconds = chosen.seconds
        if part == "saves":
            options |= {"checkpoint_epochs": 0}
            seconds = chosen.save_seconds
        run = {
            **size._asdict(),
            **run_for("bench.speed.costs:measure", size, seconds, options, chosen.text),
        }
        costs = save_costs(run) if part == "saves" else holdout_costs(run)
        runs.append({**run, "costs": costs})
    return runs


@command_line.in_one_line
def main(arguments: list[str] | None = None) -> None:
    """Run, print, write."""
    chosen = parse_arguments(arguments)
    machine = host.describe_machine()
    result: dict[str, Any] = {"machine": machine, "machines": {}}
    for found in results.read_results(chosen.output):
        for part in set(PARTS) & set(found):
            result[part] = found[part]
            result["machines"][part] = found.get("machines", {}).get(part, found.get("machine"))
    for part in chosen.parts:
        result[part], result["machines"][part] = run_part(part, chosen), machine
        results.write_partial(chosen.output, result)
    print_tables(tables.costs({part: result[part] for part in chosen.parts}))
    for run in result["holdout"] if "holdout" in chosen.parts else ():
        if run["costs"]["cost_words"] is not None:
            print(f"{run['type']} dim {run['dim']}: an evaluation takes "
                  f"{run['costs']['cost_words']:.2f} words of training per held-out token; "
                  f"{run['costs']['expected']} are planned with")  # fmt: skip
    print(f"targets: saves {TARGETS['saves']:.0%}, held-out loss {TARGETS['holdout']:.0%}")
    results.finish(chosen.output, result)


if __name__ == "__main__":
    main()
