"""The ladder of negative-sampling kernels on one stream, beside the machine's ceilings.

    python -m bench.speed.kernels              both types, dims 300 and 100, one core and all
    python -m bench.speed.kernels --quick      dim 100, skip-gram, short
    python -m bench.speed.kernels --synthetic  a Zipf stream in place of the corpus

reference       word2vec.c's updates in NumPy, pair by pair, on a small part; one core only
classic         the same compiled by Numba (bench/speed/rungs.py)
window_shared   pWord2Vec's: K draws a window
block           the kernel that trains

Every rung passes bench/quality/validation.py before it is timed, in the process that times it.
Input: the first row group of the first epoch, as training makes it; if there is no corpus, a Zipf
stream. A burn-in before the clock, the rungs interleaved, medians of the repeats. One core: one
thread in a process that is held to that core.

Per kept token (K negatives, m contexts in the mean, D floats a row, T x N blocks, h half a window):

flops   block: 6 D (N + m), CBOW 6 D N (`ceilings.flops_per_token`); reference, classic:
        6 D m (1 + K), CBOW 6 D (1 + K); window_shared: 6 D (m + K), CBOW 6 D (1 + K). Averaging is
        left out.
bytes   rows of 4 D bytes that are read or written. reference, classic: 2 m (2 + K), a pair's
        targets and its center; window_shared: 2 (m + K + 1); these three for CBOW: 2 (1 + K) + 3 m.
        block, either type: 2 (T + T + 2 h + N) / T, centers, contexts with both halos, pool.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

from bench.lib import command_line, common, host, results
from bench.lib.tables import print_tables
from bench.report import tables
from bench.report.tables import RUNGS
from bench.speed import ceilings
from fastw2v.errors import UsageError
from fastw2v.io import machine

_SYNTHETIC_WORDS, _SYNTHETIC_TOKENS, _SYNTHETIC_SENTENCE = 30_000, 1_000_000, 20
_ALPHA = 0.01  # constant; what is trained is thrown away


def flops_of(rung: str, skip_gram: bool, dim: int, terms: dict[str, float]) -> float:
    """Flops a kept token; see above."""
    K, m = terms["negatives"], terms["mean_contexts"]
    if rung == "block":
        model_type = "sgram_neg" if skip_gram else "cbow_neg"
        return ceilings.flops_per_token(model_type, dim, int(terms["pool_size"]), m)
    if not skip_gram:
        return 6 * dim * (1 + K)
    return 6 * dim * (m + K) if rung == "window_shared" else 6 * dim * m * (1 + K)


def bytes_of(rung: str, skip_gram: bool, dim: int, terms: dict[str, float]) -> float:
    """Bytes of rows read or written a kept token; see above."""
    K, m, T = terms["negatives"], terms["mean_contexts"], terms["block_size"]
    if rung == "block":
        rows = 2 * (T + T + 2 * terms["half_window"] + terms["pool_size"]) / T
    elif not skip_gram:
        rows = 2 * (1 + K) + 3 * m
    else:
        rows = 2 * (m + K + 1) if rung == "window_shared" else 2 * m * (2 + K)
    return 4 * dim * rows


def _synthetic(config: Any) -> tuple[Any, Any]:
    """(counts, stream) of a Zipf corpus: sentences of 20 words drawn one by one."""
    import numpy as np

    from fastw2v.training.data import keep_thresholds, make_stream, new_stream_buffer

    shares = 1.0 / (np.arange(_SYNTHETIC_WORDS) + 2.7)
    shares /= shares.sum()
    counts = np.ceil(20e6 * shares).astype(np.int64)
    ids = np.random.default_rng(1).choice(_SYNTHETIC_WORDS, _SYNTHETIC_TOKENS, p=shares)
    offsets = np.arange(0, _SYNTHETIC_TOKENS + 1, _SYNTHETIC_SENTENCE)
    thresholds = keep_thresholds(counts, int(counts.sum()), config.subsample)
    key = np.uint64(1)
    buffer = new_stream_buffer(_SYNTHETIC_TOKENS)
    return counts, make_stream(ids.astype(np.int32), offsets, key, thresholds, config, buffer)


def _first_row_group(store: str, config: Any) -> tuple[Any, Any]:
    """(counts, stream) of the first batch that a training run would see."""
    from fastw2v.store.format import TokenStore
    from fastw2v.training.data import BatchSource, keep_thresholds

    opened = TokenStore.open(store)
    counts = opened.vocabulary.counts
    thresholds = keep_thresholds(counts, int(counts.sum()), config.subsample)
    source = BatchSource(opened, config, thresholds)
    return counts, source.batch(0, 0, source.row_group_order(0)).stream


def _trainers(names: list[str]) -> dict[str, Callable[..., Any]]:
    from bench.speed import rungs
    from fastw2v.kernels.blocks import BlockShape, new_block_workspaces
    from fastw2v.kernels.hogwild import train_negative_sampling

    def train_blocks(job: Any, threads: int) -> Any:
        plan, dim = job.plan, job.weights.input_vectors.shape[1]
        shape = BlockShape(plan.block_size, plan.pool_size, job.objective.half_window, dim)
        return train_negative_sampling(job, threads, new_block_workspaces(threads, shape))

    known = {
        "reference": rungs.train_numpy,
        "classic": rungs.train_classic,
        "window_shared": rungs.train_window_shared,
        "block": train_blocks,
    }
    return {name: known[name] for name in names}


def _timed_calls(
    train: Callable[[int], Any], centers: int, unit: int, seconds: float
) -> Callable[[], float]:
    """A function that trains for about `seconds` and returns kept tokens a second.

    `train(n)` trains the first n centers. The burn-in that finds n also compiles.
    """
    count = min(centers, 64 * unit)
    while True:
        spent = []
        for _ in range(4):  # the first call compiles; a single slow one should not decide
            began = time.perf_counter()
            train(count)
            spent.append(time.perf_counter() - began)
        if min(spent) > seconds / 8 or count == centers:
            break
        count = min(centers, 4 * count)
    count = min(centers, max(unit, int(count * seconds / min(spent)) // unit * unit))

    def timed() -> float:
        began = time.perf_counter()
        train(count)
        return count / (time.perf_counter() - began)

    return timed


def _trainer(
    rung: Callable[..., Any], config: Any, counts: Any, stream: Any, threads: int
) -> Callable[[int], Any]:
    """A function that trains the first so many centers of `stream`, on and on the same weights."""
    import numpy as np

    from fastw2v.kernels.blocks import Objective
    from fastw2v.kernels.hogwild import BlockJob, BlockPlan, Schedule
    from fastw2v.training import data
    from fastw2v.training import steppers as steps

    noise = data.noise_tables(counts, config.ns_exponent)
    weights = steps.initial_weights(len(counts), config)
    objective = Objective(config.half_window, config.neg_samples, True, False)
    schedule, key = Schedule(_ALPHA, _ALPHA, 1.0, 0.0), np.uint64(1)

    def train(count: int) -> Any:
        plan = BlockPlan(0, count, config.block_size, config.pool_size, key)
        job = BlockJob(weights, stream, noise, objective, schedule, plan, config.skip_gram)
        return rung(job, threads)

    return train


def _terms(config: Any, counts: Any, stream: Any) -> dict[str, float]:
    """What the work of a token depends on."""
    kept = len(stream.token_ids)
    return {
        "mean_contexts": ceilings.context_count(stream) / kept,
        "negatives": config.neg_samples,
        "half_window": config.half_window,
        "block_size": config.block_size,
        "pool_size": config.pool_size,
        "kept_tokens": kept,
        "words": int(stream.word_positions[-1]),
        "vocabulary": len(counts),
    }


def measure(request: dict[str, Any]) -> dict[str, Any]:
    """Validate and time the rungs of one type, dim and number of threads.

    Returns:
        `terms` (what a token's work depends on) and `rates`, by rung: kept tokens/s, each repeat.

    Raises:
        AssertionError: a rung computes something else than it should.
        UsageError: more threads than Numba has here.
    """
    import numba

    from bench.quality.validation import check_rung
    from fastw2v.training import data
    from fastw2v.training.config import TrainConfig

    threads, store = request["threads"], request["store"]
    config = TrainConfig.create(type=request["type"], vector_dim=request["dim"], **request["ours"])
    counts, stream = _first_row_group(store, config) if store else _synthetic(config)
    thresholds = data.keep_thresholds(counts, int(counts.sum()), config.subsample or 0.0)
    config = config.with_blocks(
        data.repeat_rate(counts, thresholds), data.top_share(counts, thresholds)
    )
    unit = (config.block_size or 1) * threads
    most = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    if threads > most:
        raise UsageError(f"--threads {threads}: Numba has {most} here (NUMBA_NUM_THREADS)")
    numba.set_num_threads(threads)
    calls = {}
    for name, rung in _trainers(request["rungs"]).items():
        for undivided in (False,) if config.skip_gram else (False, True):
            check_rung(name, rung, config.skip_gram, undivided)
        train = _trainer(rung, config, counts, stream, threads)
        calls[name] = _timed_calls(train, len(stream.token_ids), unit, request["seconds"])
    rates: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(request["repeats"]):
        for name, timed in calls.items():
            rates[name].append(timed())
    terms = _terms(config, counts, stream)
    return {"terms": terms, "rates": rates, "thread_layer": host.thread_layer()}


# --- the process that asks ---


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.Parser(
        "bench.speed.kernels", "kernels", "The ladder of kernels, and the ceilings.",
        quick="skip-gram, dim 100, short",
        types=(["sgram_neg"], ["sgram_neg", "cbow_neg"], ("sgram_neg", "cbow_neg")),
        dims=([100], [300, 100], command_line.count),
        repeats=(3, 7, command_line.count),
        seconds=(0.1, 0.5, command_line.amount),
    )  # fmt: skip
    parser.add_argument("--synthetic", action="store_true", help="a Zipf stream, no text")
    parser.add_argument("--rungs", nargs="+", choices=RUNGS, default=RUNGS)
    parser.add_argument("--threads", nargs="+", type=command_line.count,
                        default=sorted({1, machine.usable_cores()}))  # fmt: skip
    return parser.parse(arguments)


def rows_of(request: dict[str, Any], found: dict[str, Any]) -> list[dict[str, Any]]:
    """A row a rung for the result file."""
    rows = []
    skip_gram = request["type"].startswith("sgram")
    for name, repeats in found["rates"].items():
        rate = statistics.median(repeats)
        flops = flops_of(name, skip_gram, request["dim"], found["terms"])
        moved = bytes_of(name, skip_gram, request["dim"], found["terms"])
        rows.append(
            {
                "type": request["type"],
                "dim": request["dim"],
                "threads": request["threads"],
                "rung": name,
                "kept_tokens_per_second": rate,
                "words_per_second": rate * found["terms"]["words"] / found["terms"]["kept_tokens"],
                "flops_per_token": flops,
                "bytes_a_token": moved,
                "gflops": rate * flops / 1e9,
                "gb_per_second": rate * moved / 1e9,
                "repeats": repeats,
                "terms": found["terms"],
                "thread_layer": found["thread_layer"],
            }
        )
    return rows


def _requests(chosen: argparse.Namespace, store: str | None) -> list[dict[str, Any]]:
    return [
        {
            "type": model_type, "dim": dim, "threads": threads, "store": store,
            "rungs": [name for name in chosen.rungs if name != "reference" or threads == 1],
            "repeats": chosen.repeats, "seconds": chosen.seconds,
            "ours": command_line.parse_options(chosen.ours),
        }
        for model_type in chosen.types
        for dim in chosen.dims
        for threads in chosen.threads
    ]  # fmt: skip


def _store_of(chosen: argparse.Namespace) -> common.Corpus | None:
    if chosen.synthetic:
        return None
    try:
        shards = common.find_text(chosen.text)
    except SystemExit:
        if chosen.text:
            raise
        print("no corpus: timing on a synthetic Zipf stream", flush=True)
        return None
    shards = shards[: 1 if chosen.quick else None]
    return common.prepare_corpus(shards, with_text=False, min_count=5)


@command_line.in_one_line
def main(arguments: list[str] | None = None) -> None:
    chosen = parse_arguments(arguments)
    command_line.check_threads(max(chosen.threads))
    corpus = _store_of(chosen)
    result: dict[str, Any] = {
        "benchmark": "kernels",
        "machine": host.describe_machine(),
        "corpus": corpus.describe() if corpus else "synthetic Zipf stream",
        "settings": {"repeats": chosen.repeats, "seconds": chosen.seconds, "ours": chosen.ours},
        "ceilings": ceilings.measure(quick=chosen.quick),
        "rows": [],
    }
    print(ceilings.describe(result["ceilings"]), flush=True)
    for request in _requests(chosen, str(corpus.store) if corpus else None):
        with host.held_to(request["threads"]):
            found = common.in_own_process("bench.speed.kernels:measure", request)
        result["rows"] += rows_of(request, found)
        print(f"{request['type']} dim {request['dim']}, {request['threads']} threads", flush=True)
        results.write_partial(chosen.output, result)
    print_tables(tables.kernels(result))
    results.finish(chosen.output, result)


if __name__ == "__main__":
    main()
