"""The machine's own ceilings, and the work that training is held against them.

    python -m bench.speed.ceilings  writes bench/results/ceilings.json
    python -m bench.speed.ceilings --output OUT.json

sgemm: the best float32 rate of NumPy's BLAS over a few shapes, on one core (the process is held to
it) and on all. OpenBLAS chooses its kernels from the CPU unless OPENBLAS_CORETYPE says otherwise,
and those for AVX2 reach half of what a CPU with AVX-512 can do. So there are two figures: `gflops`,
in the environment as it is, and `best_gflops`, the most of that, of OpenBLAS's own choice, and, on
a CPU with AVX-512, of its kernels for SkylakeX.
Bandwidth: scale and triad as in STREAM (McCalpin 1995; bytes read and written, without those that
the cache fetches to write), in arrays that a core's second-level cache holds and in arrays that no
cache does. Every measurement runs in a process of its own.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.lib import command_line, common, host, results
from fastw2v.io import machine

_SHAPES = ((512, 512, 512), (1024, 1024, 1024), (2048, 1024, 2048), (2048, 2048, 2048))
_AVX512_KERNELS = "SkylakeX"
_OPENBLAS_CHOICES = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")  # what a user can impose
_REPEATS = 7


def flops_per_token(model_type: str, dim: int, pool_size: int, mean_contexts: float) -> float:
    """Flops that a kept token counts for: those of its products, 6·D a pair of rows.

    Scores, input gradients and output gradients are 2·D each. Skip-gram: N pool rows and the
    contexts. CBOW: the N pool rows only, the part that is sgemm; averaging and the positive are
    left out.
    """
    contexts = mean_contexts if model_type.startswith("sgram") else 0.0
    return 6.0 * dim * (pool_size + contexts)


def context_count(stream: Any) -> int:
    """Pairs of a center and a context word in a stream of the kernels."""
    import numpy as np

    places = np.arange(len(stream.token_ids))
    low = np.maximum(places - stream.radii, stream.sequence_starts)
    high = np.minimum(places + stream.radii + 1, stream.sequence_ends)
    return int((high - low - 1).sum())


def stream_statistics(store: Path, **options: Any) -> dict[str, float]:
    """What subsampling and windows leave of a store in epoch 0, by the product's own draws.

    kept: share of the words that subsampling keeps; mean_contexts: context words of a kept one.
    `options` are those of `fastw2v.train`.
    """
    from fastw2v.store.format import TokenStore
    from fastw2v.training.config import TrainConfig
    from fastw2v.training.data import BatchSource, Position, keep_thresholds

    opened, config = TokenStore.open(store), TrainConfig.create(**options)
    counts = opened.vocabulary.counts
    thresholds = keep_thresholds(counts, int(counts.sum()), config.subsample or 0.0)
    kept, contexts = 0, 0
    for batch in BatchSource(opened, config, thresholds).batches(Position(), 1):
        kept += batch.centers
        contexts += context_count(batch.stream)
    return {"kept": kept / opened.num_tokens, "mean_contexts": contexts / kept}


# --- measuring; in the processes that `measure` starts ---


def _best_seconds(work: Callable[[], object], repeats: int = _REPEATS) -> list[float]:
    work()
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return seconds


def _sgemm(request: dict[str, Any]) -> dict[str, Any]:
    import numpy as np
    from threadpoolctl import threadpool_info, threadpool_limits

    threads, quick = request["threads"], request["quick"]
    generator = np.random.default_rng(1)
    rates: dict[str, list[float]] = {}
    with threadpool_limits(threads, user_api="blas"):
        for m, k, n in _SHAPES[:2] if quick else _SHAPES:
            a = generator.random((m, k), np.float32)
            b = generator.random((k, n), np.float32)
            out = np.empty((m, n), np.float32)
            seconds = _best_seconds(lambda a=a, b=b, out=out: np.dot(a, b, out=out))  # type: ignore[misc]
            rates[f"{m}x{k}x{n}"] = [2e-9 * m * k * n / second for second in seconds]
        blas = [info for info in threadpool_info() if info["user_api"] == "blas"]
    return {
        "gflops": max(max(values) for values in rates.values()),
        "architecture": blas[0].get("architecture") if blas else None,
        "blas": " ".join(str(blas[0].get(name)) for name in ("internal_api", "version"))
        if blas
        else None,
        "gflops_by_shape": rates,
    }


def _bandwidth_kernels() -> tuple[Any, Any]:
    import numba

    # The factor changes with the pass, so that no pass can be left out.
    @numba.njit(parallel=True, fastmath=True)
    def scale(a, b, c, passes):  # type: ignore[no-untyped-def]
        for thread in numba.prange(a.shape[0]):
            for number in range(passes):
                factor = a.dtype.type(number)
                for i in range(a.shape[1]):
                    a[thread, i] = factor * b[thread, i]

    @numba.njit(parallel=True, fastmath=True)
    def triad(a, b, c, passes):  # type: ignore[no-untyped-def]
        for thread in numba.prange(a.shape[0]):
            for number in range(passes):
                factor = a.dtype.type(number)
                for i in range(a.shape[1]):
                    a[thread, i] = b[thread, i] + factor * c[thread, i]

    return scale, triad


def _cache_bytes(level: str, otherwise: int) -> int:
    size = host.describe_cpu()["caches"].get(level, "")
    units = {"K": 1 << 10, "M": 1 << 20}
    return int(size[:-1]) * units[size[-1]] if size and size[-1] in units else otherwise


def _bandwidth(request: dict[str, Any]) -> dict[str, Any]:
    import numba
    import numpy as np

    threads, quick = request["threads"], request["quick"]
    numba.set_num_threads(threads)
    scale, triad = _bandwidth_kernels()
    half_of_l2 = _cache_bytes("L2", 1 << 20) // 2
    # STREAM's rule: every array at least four times the last cache; shared by the threads.
    four_l3 = 4 * _cache_bytes("L3", 32 << 20) // threads
    result: dict[str, Any] = {}
    for place, array_bytes in (("L2", half_of_l2 // 3), ("DRAM", four_l3)):
        floats = array_bytes // 4 // 16 * 16
        arrays = [np.ones((threads, floats), np.float32) for _ in range(3)]
        passes = 2 * max(1, (1 << (26 if quick else 28)) // array_bytes // 2)
        passes = passes if place == "L2" else 2
        result[place] = {"array_bytes_a_thread": 4 * floats}
        for name, kernel, streams in (("scale", scale, 2), ("triad", triad, 3)):
            seconds = _best_seconds(lambda k=kernel, a=arrays, p=passes: k(*a, p), 5)  # type: ignore[misc]
            moved = 4 * floats * streams * passes * threads
            rates = [moved / second / 1e9 for second in seconds]
            result[place][name] = {"gb_per_second": max(rates), "repeats": rates}
    return result | {"thread_layer": numba.threading_layer()}


# --- the process that asks ---


def _sgemm_rates(threads: int, quick: bool) -> dict[str, Any]:
    module, request = "bench.speed.ceilings:_sgemm", {"threads": threads, "quick": quick}
    found = common.in_own_process(module, request)
    runs = [found | {"coretype": os.environ.get("OPENBLAS_CORETYPE", "detected")}]
    if any(name in os.environ for name in _OPENBLAS_CHOICES):
        detected = common.in_own_process(module, request, without=_OPENBLAS_CHOICES)
        runs.append(detected | {"coretype": "detected"})
    if "avx512f" in host.describe_cpu()["features"]:
        choice = {"OPENBLAS_CORETYPE": _AVX512_KERNELS}
        wide = common.in_own_process(module, request, without=_OPENBLAS_CHOICES, **choice)
        runs.append(wide | {"coretype": _AVX512_KERNELS})
    return {
        "gflops": found["gflops"],
        "best_gflops": max(run["gflops"] for run in runs),
        "runs": runs,
    }


def measure(*, bandwidth: bool = True, quick: bool = False) -> dict[str, Any]:
    """The ceilings of one core and of all: `one_core` and `all_cores`, alike in shape.

    sgemm.gflops: NumPy as it comes; sgemm.best_gflops: with whichever kernels are faster.
    bandwidth: GB/s by place (L2, DRAM) and kernel (scale, triad).
    """
    result: dict[str, Any] = {}
    for name, cores in (("one_core", 1), ("all_cores", machine.usable_cores())):
        with host.held_to(cores if name == "one_core" else None) as held:
            result[name] = {"threads": cores, "held_to_cores": held}
            result[name]["sgemm"] = _sgemm_rates(cores, quick)
            if bandwidth:
                request = {"threads": cores, "quick": quick}
                result[name]["bandwidth"] = common.in_own_process(
                    "bench.speed.ceilings:_bandwidth", request
                )
    return result


def describe(ceilings: dict[str, Any]) -> str:
    """One line a group of cores."""
    lines = []
    for name, found in ceilings.items():
        sgemm = found["sgemm"]
        line = f"{name.replace('_', ' ')}: sgemm {sgemm['gflops']:.0f} GFLOP/s"
        if sgemm["best_gflops"] > sgemm["gflops"]:
            best = max(sgemm["runs"], key=lambda run: float(run["gflops"]))
            first, other = (f"{run['architecture']} kernels" for run in (sgemm["runs"][0], best))
            line += f" with {first}, {sgemm['best_gflops']:.0f} with {other}"
        for place in ("L2", "DRAM") if "bandwidth" in found else ():
            rates = found["bandwidth"][place]
            line += f"; {place} " + ", ".join(
                f"{kernel} {rates[kernel]['gb_per_second']:.0f} GB/s"
                for kernel in ("scale", "triad")
            )
        lines.append(line)
    return "\n".join(lines)


@command_line.in_one_line
def main(arguments: list[str] | None = None) -> None:
    parser = command_line.Parser(
        "bench.speed.ceilings", "ceilings", "The machine's sgemm rate and memory bandwidth.",
        quick="fewer and smaller products", ours=False,
    )  # fmt: skip
    chosen = parser.parse(arguments)
    result: dict[str, Any] = {
        "benchmark": "ceilings",
        "machine": host.describe_machine(),
        "ceilings": measure(quick=chosen.quick),
    }
    print(describe(result["ceilings"]))
    results.finish(chosen.output, result)


if __name__ == "__main__":
    main()
