"""Benchmarks: `throughput` (words/s against the peers) and `quality` (benchmarks of the vectors).

    python -m bench.throughput --quick      a few minutes; drop --quick for figures to quote
    python -m bench.quality                 trains fastw2v and gensim, scores both alike

Both run from the repository with the `bench` extra installed, print a table, and write JSON with
every repeat and a description of the machine under bench/results/. LOG.md keeps what was learned.

Importing this package points Numba's cache at a folder of its own for the present kernels: Numba
does not notice when a function that a cached kernel calls has changed in another file.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def kernel_cache() -> Path:
    """The folder for compiled kernels, named by the hash of all kernel sources."""
    digest = hashlib.sha256()
    for path in sorted((ROOT / "fastw2v" / "kernels").glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return ROOT / ".numba-cache" / digest.hexdigest()[:16]


os.environ.setdefault("NUMBA_CACHE_DIR", str(kernel_cache()))
