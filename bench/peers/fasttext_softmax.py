"""fastText with `loss="softmax"`, stopped after a while: a whole epoch would take it a day.

It trains on the whole text, so that its vocabulary is that of the others, and line ends are words
to it (`</s>`), with a softmax each. Timed is what it prints as it goes: words/s a thread since its
threads started; times the threads, it is the rate. It counts a thread's words a hundred at a time,
so what it prints falls between two counts: taken is the highest of the second half of the time.
Contexts are 1 to 3 words to each side, drawn (it has no fixed windows); no subwords, no subsampling
(`t=1`: with `t=0` it would drop every word).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import ROOT

_RATE = re.compile(r"words/sec/thread:\s*(\d+)")
_WORDS = re.compile(r"Number of words:\s*(\d+)")
_TAIL = 4000  # characters of what it printed that are kept


def run(
    text: Path, *, dim: int, reach: int, alpha: float, threads: int, seconds: float
) -> dict[str, Any]:
    """Train CBOW on `text` for `seconds` from the first rate that it prints.

    Returns:
        `words_per_second`, `seconds`, `own_vocabulary` (with `</s>`), `printed` (the rates a
        thread in the second half of the time).

    Raises:
        RuntimeError: it failed, or printed no rate; with the end of what it printed.
    """
    arguments = [str(text), str(dim), str(reach), str(alpha), str(threads)]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "bench.peers.fasttext_softmax", *arguments],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        try:
            rates, printed = _watch(process, seconds)
        finally:
            process.kill()
    if not rates:
        tail = "\n".join(printed.replace("\r", "\n").splitlines()[-15:])
        raise RuntimeError(f"fastText with loss=softmax printed no rate:\n{tail}")
    began, ended = rates[0][0], rates[-1][0]
    later = [rate for moment, rate in rates if moment >= (began + ended) / 2]
    found = _WORDS.search(printed)
    return {
        "words_per_second": float(max(later) * threads),
        "seconds": ended - began,
        "own_vocabulary": int(found[1]) if found else None,
        "printed": later,
    }


def _watch(process: subprocess.Popen[bytes], seconds: float) -> tuple[list[tuple[float, int]], str]:
    """(moments and rates a thread, distinct one after the other; the beginning of what it printed)

    Ends when it has trained for `seconds`, or by itself.
    """
    rates: list[tuple[float, int]] = []
    head, tail = "", ""
    for chunk in _chunks(process):
        head, tail = (head + chunk)[:_TAIL], (tail + chunk)[-_TAIL:]
        found = _RATE.findall(tail)
        if found:
            rates.append((time.perf_counter(), int(found[-1])))
            if rates[-1][0] - rates[0][0] >= seconds:
                break
    return rates, head + tail


def _chunks(process: subprocess.Popen[bytes]) -> Iterator[str]:
    assert process.stdout is not None
    while chunk := os.read(process.stdout.fileno(), 1 << 16):
        yield chunk.decode("utf-8", "replace")


def main(text: str, dim: str, reach: str, alpha: str, threads: str) -> None:
    """Train until somebody ends this process."""
    import fasttext

    fasttext.train_unsupervised(
        text,
        model="cbow",
        loss="softmax",
        dim=int(dim),
        ws=int(reach),
        lr=float(alpha),
        thread=int(threads),
        t=1.0,
        minCount=1,
        minn=0,
        maxn=0,
        epoch=1,
        verbose=2,  # prints the rates that `run` reads
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
