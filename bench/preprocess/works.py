"""What `bench/preprocess/speed.py` times, each in a process of its own.

fastw2v     `fastw2v.preprocess` from its call to the finished store: starting workers, counting,
            encoding, writing, checksums. Phases by its progress callback.
gensim      `Word2Vec.build_vocab(corpus_file=...)`, with vectors of one dimension: it counts words
            between white space, in one process, and keeps nothing of the text.
counter     `collections.Counter`, fed with the words of each line by `str.split`.
word2vec    a compiled word2vec.c with -save-vocab and no -output: it counts and ends.
unpack      the gz shards unpacked by the library that fastw2v uses, to nowhere: a ceiling.
disk        1 GB written and synced to the scratch directory: another.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.lib import common, host, memory
from bench.lib.memory import Watch

MIN_COUNT = 5
_PIECE = 1 << 20


class Timeline:
    """Wall-clock by phase, from the calls of a progress callback."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._spans: dict[str, tuple[float, float]] = {}

    def note(self, phase: str, done: int, total: int) -> None:
        """The callback."""
        now = time.perf_counter() - self._began
        first, _ = self._spans.get(phase, (now, now))
        self._spans[phase] = (first, now)

    def phases(self, whole: float) -> dict[str, float]:
        """Seconds of each phase and of what lies between them; their sum is `whole`.

        "before X" is before the first phase, "after X" between the last call of X and the next
        phase's first, or the end.
        """
        found: dict[str, float] = {}
        place, open_name = 0.0, ""
        for name, (first, last) in self._spans.items():
            found[open_name or f"before {name}"] = first - place
            found[name] = last - first
            place, open_name = last, f"after {name}"
        if open_name:
            found[open_name] = whole - place
        return found


# --- in the process that works ---


def _fastw2v(request: dict[str, Any]) -> dict[str, Any]:
    from fastw2v.store.pipeline import preprocess

    timeline, began = Timeline(), time.perf_counter()
    report = preprocess(
        request["inputs"],
        request["output"],
        threads=request["workers"],
        progress=timeline.note,
        **request["options"],
    )
    seconds = time.perf_counter() - began
    found = dataclasses.asdict(report)
    return {
        "seconds": seconds,
        "text_bytes": found["text_bytes"],
        "phases": timeline.phases(seconds),
        "report": found,
        "store_bytes": sum(
            path.stat().st_size for path in Path(request["output"]).rglob("*") if path.is_file()
        ),
    }


def _gensim(request: dict[str, Any]) -> dict[str, Any]:
    from gensim.models import word2vec

    model = word2vec.Word2Vec(vector_size=1, min_count=MIN_COUNT)
    began = time.perf_counter()
    model.build_vocab(corpus_file=request["text"])
    seconds = time.perf_counter() - began
    found = {"tokens_read": int(model.corpus_total_words), "vocabulary_size": len(model.wv)}
    return {"seconds": seconds, "report": found}


def _counter(request: dict[str, Any]) -> dict[str, Any]:
    from collections import Counter

    began = time.perf_counter()
    counts: Counter[str] = Counter()
    with open(request["text"], encoding="utf-8", errors="replace", newline="\n") as lines:
        for line in lines:
            counts.update(line.split())
    seconds = time.perf_counter() - began
    found = {
        "tokens_read": sum(counts.values()),
        "different_tokens": len(counts),
        "vocabulary_size": sum(count >= MIN_COUNT for count in counts.values()),
    }
    return {"seconds": seconds, "report": found}


def _unpack(request: dict[str, Any]) -> dict[str, Any]:
    from concurrent.futures import ThreadPoolExecutor

    from fastw2v.text import streams as unpack

    def one(path: str) -> int:
        with open(path, "rb") as file:
            packed = iter(lambda: file.read(unpack.PACKED_BYTES), b"")
            return sum(map(len, unpack.unpacked(packed, "gzip", _PIECE)))

    began = time.perf_counter()
    with ThreadPoolExecutor(request["workers"]) as threads:  # it lets go of Python's lock
        plain_bytes = sum(threads.map(one, request["inputs"]))
    seconds = time.perf_counter() - began
    library = "isal" if "isal" in sys.modules else "zlib"  # as fastw2v chose
    return {"seconds": seconds, "text_bytes": plain_bytes, "library": library}


def _disk(request: dict[str, Any]) -> dict[str, Any]:
    piece = os.urandom(_PIECE)
    began = time.perf_counter()
    with open(request["output"], "wb") as file:
        for _ in range(-(-request["bytes"] // _PIECE)):
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    return {"seconds": time.perf_counter() - began, "text_bytes": file_bytes(request["output"])}


def file_bytes(path: str) -> int:
    """The size of a file."""
    return Path(path).stat().st_size


WORKS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "fastw2v": _fastw2v,
    "gensim": _gensim,
    "counter": _counter,
    "unpack": _unpack,
    "disk": _disk,
}


def measure(request: dict[str, Any]) -> dict[str, Any]:
    found = WORKS[request["work"]](request)
    return {**found, **_usage(), "process_memory": memory.peak_memory()}


def _usage() -> dict[str, Any]:
    """Processor seconds of this process and of all that it waited for; its largest worker."""
    try:
        import resource
    except ImportError:
        return {}
    own, workers = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss
    return {
        "cpu_seconds": own.ru_utime + own.ru_stime + workers.ru_utime + workers.ru_stime,
        "largest_worker": workers.ru_maxrss * unit or None,
    }


# --- in the process that asks ---


def perform(request: dict[str, Any], scratch: Path, cores: int | None) -> dict[str, Any]:
    """Do one thing in a new process, watched; what it wrote is removed.

    Returns:
        `seconds`, `text_bytes`, what the work found, and the memory of all its processes.

    Raises:
        RuntimeError: it failed; with the end of what it printed.
    """
    os.sync()  # else what came before is still being written to disk
    output = scratch / "output"
    try:
        with host.held_to(cores) as held, Watch(scratch) as watch:
            began = time.perf_counter()
            if request["work"] == "word2vec":
                found = _word2vec(request)
            else:
                request = {**request, "output": str(output)}
                found = common.in_own_process("bench.preprocess.works:measure", request)
            whole = time.perf_counter() - began
    finally:
        if output.is_dir():
            shutil.rmtree(output)
        else:
            output.unlink(missing_ok=True)
    found.setdefault("text_bytes", file_bytes(request["text"]) if "text" in request else None)
    return {"held_to_cores": held, **found, "process_seconds": whole, **watch.describe()}


def _word2vec(request: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="fastw2v-bench-") as scratch:
        # (it holds paths of at most 99 characters)
        os.symlink(request["text"], Path(scratch) / "corpus.txt")
        values = {"-train": "corpus.txt", "-save-vocab": "counts.txt", "-min-count": MIN_COUNT}
        command = [request["binary"], *(str(word) for pair in values.items() for word in pair)]
        began = time.perf_counter()
        process = subprocess.run(command, cwd=scratch, capture_output=True, text=True)
        seconds = time.perf_counter() - began
        counts = Path(scratch) / "counts.txt"
        if process.returncode != 0 or not counts.is_file():
            tail = "\n".join((process.stdout + process.stderr).splitlines()[-15:])
            raise RuntimeError(f"{request['binary']} wrote no vocabulary:\n{tail}")
        with open(counts, "rb") as lines:
            words = [int(line.split()[1]) for line in lines if not line.startswith(b"</s> ")]
    return {
        "seconds": seconds,
        "report": {"tokens_kept": sum(words), "vocabulary_size": len(words)},
    }
