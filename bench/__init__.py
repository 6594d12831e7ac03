"""Benchmarks, each a module to run; all have --quick, for a look in place of figures to quote.

    python -m bench                        all of them, then the report
    python -m bench.report                 docs/benchmarks.md and the README's table, from results/

    python -m bench.speed.throughput       words/s against the peers, flops, memory, start-up
    python -m bench.speed.kernels          the ladder of kernels, each validated before it is timed
    python -m bench.speed.ceilings         the machine's sgemm rate and memory bandwidth
    python -m bench.speed.scaling          cost by threads and by size of the corpus
    python -m bench.speed.deterministic    the price of deterministic training
    python -m bench.speed.costs            what saves and the held-out loss take of a run's time
    python -m bench.speed.estimates        memory and disk as checked before a run, and as they were
    python -m bench.quality.quality        benchmarks of the vectors, ours and the peers'
    python -m bench.quality.sweep          quality over block and pool sizes
    python -m bench.quality.robustness     small corpora and large learning rates
    python -m bench.softmax.speed          the full softmax against sgemm, PyTorch, NumPy, fastText
    python -m bench.softmax.quality        ... and its quality beside negative sampling's
    python -m bench.preprocess.speed       text to token store: MB/s, memory, workers, peers, sizes

They run from the repository with the `bench` extra installed, print tables, and write JSON with
every repeat and a description of the machine to bench/results/. LOG.md keeps what was learned.

Importing this package points Numba's cache at a folder of its own for the present kernels and rungs
(fastw2v/kernels/cache.py says why).
"""

from __future__ import annotations

import os
from pathlib import Path

from fastw2v.kernels.cache import source_hash

ROOT = Path(__file__).resolve().parent.parent


def kernel_cache() -> Path:
    """The folder for compiled kernels, named by the hash of all kernel sources, rungs included."""
    rungs = ROOT / "bench" / "speed" / "rungs.py"
    return ROOT / ".numba-cache" / source_hash(ROOT / "fastw2v" / "kernels", rungs)


os.environ.setdefault("NUMBA_CACHE_DIR", str(kernel_cache()))
