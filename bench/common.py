"""What the benchmarks need: the machine described, the corpus prepared, result files.

The corpus is the directory that FASTW2V_REVIEWS names, else ../shared/data/reviews beside the
repository, else `--text PATH...`. It is preprocessed once into a token store under build/bench/;
the peers read a text file decoded from that very store, one sentence a line, so that every trainer
sees the same words.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import hashlib
import importlib.metadata
import itertools
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import ROOT, kernel_cache
from fastw2v.errors import DataError
from fastw2v.io import machine, storage

RESULTS = ROOT / "bench" / "results"
WORK = ROOT / "build" / "bench"

_LIBRARIES = (
    "numpy", "numba", "llvmlite", "scipy", "pyarrow", "isal", "gensim", "fasttext-community",
    "fasttext-wheel", "fasttext",
)  # fmt: skip
_CPU_FEATURES = {"avx2", "fma", "avx512f", "avx512_bf16", "amx_tile", "asimd", "sve"}

_THREAD_VARIABLES = ("OPENBLAS_", "OMP_", "MKL_", "NUMBA_NUM_", "NUMBA_THREADING_", "NUMBA_CPU_")


# What a commit has to agree in for results to be its own: code, not earlier results and notes.
_CODE = ("fastw2v", "bench", ":!bench/results", ":!bench/LOG.md")


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def describe_cpu() -> dict[str, Any]:
    """Model, vector instructions and caches of the first core, where the system tells."""
    facts: dict[str, str] = {}
    for line in _read(Path("/proc/cpuinfo")).splitlines():
        name, _, value = line.partition(":")
        facts.setdefault(name.strip(), value.strip())
    caches = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        kind = {"Data": "d", "Instruction": "i"}.get(_read(index / "type"), "")
        caches[f"L{_read(index / 'level')}{kind}"] = _read(index / "size")
    flags = set((facts.get("flags") or facts.get("Features") or "").split())
    return {
        "model": facts.get("model name") or platform.processor() or platform.machine(),
        "features": sorted(flags & _CPU_FEATURES),
        "caches": caches,
    }


def _git(*arguments: str) -> str:
    run = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    return run.stdout.strip()


def thread_layer() -> str:
    """Numba's thread layer in this process: the one in use, else the configured one.

    The processes that train report theirs in the runs.
    """
    import numba

    try:
        return str(numba.threading_layer())
    except ValueError:  # nothing has run in parallel here
        configured = numba.config.THREADING_LAYER  # type: ignore[attr-defined]
        return f"{configured} (configured; none in use)"


@functools.cache
def versions() -> dict[str, str]:
    """Python's version, and those of the libraries that are installed."""
    found = {"python": platform.python_version()}
    for library in _LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[library] = importlib.metadata.version(library)
    return found


def describe_machine() -> dict[str, Any]:
    """What a figure depends on besides the settings: hardware, libraries, state of the code."""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "cpu": describe_cpu(),
        "cores": machine.usable_cores(),
        "memory_available": machine.available_memory(),
        "load_average": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "thread_layer": thread_layer(),
        "environment": {
            name: value for name, value in os.environ.items() if name.startswith(_THREAD_VARIABLES)
        },
        "versions": versions(),
        "commit": _git("rev-parse", "HEAD"),
        "uncommitted_changes": bool(_git("status", "--porcelain", "--", *_CODE)),
        "kernels": kernel_cache().name,
    }


def partial_path(path: Path) -> Path:
    """Where a benchmark keeps what it has until it is done."""
    return path.with_name(f"{path.stem}.partial{path.suffix}")


def write_partial(path: Path, value: dict[str, Any]) -> None:
    """Keep what an unfinished benchmark has, beside its result file: an older one stays whole."""
    storage.write_json(partial_path(path), value)


def write_result(path: Path, value: dict[str, Any]) -> None:
    """Write the result file of a benchmark that is done; its partial one goes."""
    storage.write_json(path, value)
    storage.remove_file(partial_path(path))


def read_results(path: Path) -> list[dict[str, Any]]:
    """A result file and its partial one, those that there are and can be read."""
    found = []
    for place in (path, partial_path(path)):
        if place.is_file():
            try:
                found.append(storage.read_json(place))
            except DataError as error:
                print(f"warning: {error}", file=sys.stderr)
    return found


@contextlib.contextmanager
def held_to(cores: int | None) -> Iterator[list[int] | None]:
    """Hold this thread, and the processes that it starts, to its last so many cores.

    Gives their numbers; None where nothing is held: `cores` is None, or the system cannot.
    """
    if cores is None or not hasattr(os, "sched_setaffinity"):
        yield None
        return
    allowed = os.sched_getaffinity(0)
    chosen = sorted(allowed)[-cores:]
    os.sched_setaffinity(0, chosen)
    try:
        yield chosen
    finally:
        os.sched_setaffinity(0, allowed)


def in_own_process(
    module: str,
    request: dict[str, Any],
    without: Sequence[str] = (),
    python: str | None = None,
    **environment: str,
) -> dict[str, Any]:
    """What `python -m MODULE --child REQUEST.json ANSWER.json` answers to `request`.

    It runs in this environment, `without` these variables, and with those of `environment`;
    `python` is its interpreter, where it is not this one.

    Raises:
        RuntimeError: it failed; with the end of what it printed.
    """
    with tempfile.TemporaryDirectory(prefix="fastw2v-bench-") as scratch:
        question, answer = Path(scratch) / "request.json", Path(scratch) / "answer.json"
        question.write_text(json.dumps(request))
        kept = {name: value for name, value in os.environ.items() if name not in without}
        process = subprocess.run(
            [python or sys.executable, "-m", module, "--child", str(question), str(answer)],
            cwd=ROOT, env=kept | environment, capture_output=True, text=True,
        )  # fmt: skip
        if process.returncode != 0 or not answer.is_file():
            tail = "\n".join((process.stdout + process.stderr).splitlines()[-15:])
            raise RuntimeError(f"{module} failed:\n{tail}")
        result: dict[str, Any] = json.loads(answer.read_text())
    return result


def find_text(given: Sequence[Path] = ()) -> list[Path]:
    """The shards to train on, in order.

    Raises:
        SystemExit: there are none.
    """
    if given:
        places = list(given)
    elif os.environ.get("FASTW2V_REVIEWS"):
        places = [Path(os.environ["FASTW2V_REVIEWS"])]
    else:
        places = [ROOT.parent / "shared" / "data" / "reviews"]
    shards = [
        shard
        for place in places
        for shard in (sorted(place.glob("*.txt*")) if place.is_dir() else [place])
    ]
    missing = [str(shard) for shard in shards if not shard.is_file()]
    if missing or not shards:
        raise SystemExit(
            f"no text to train on ({', '.join(missing) or places[0]}): "
            "give --text PATH..., or set FASTW2V_REVIEWS to a directory of .txt(.gz) shards"
        )
    return shards


@dataclass(frozen=True)
class Corpus:
    """One preprocessed corpus: our token store and the same words as text for the peers."""

    store: Path
    text: Path
    words: int
    sentences: int
    vocabulary: int
    shards: list[str]
    options: dict[str, Any]

    def describe(self) -> dict[str, Any]:
        """For the result file: names and sizes, no paths of the machine."""
        return {
            "shards": self.shards,
            "options": self.options,
            "words": self.words,
            "sentences": self.sentences,
            "vocabulary": self.vocabulary,
        }


def work_place(shards: Sequence[Path], **options: Any) -> Path:
    """The directory below build/bench for what is made of these shards with these options."""
    stats = [shard.stat() for shard in shards]
    inputs = [
        [str(path.resolve()), stat.st_size, stat.st_mtime_ns]
        for path, stat in zip(shards, stats, strict=True)
    ]
    identity = json.dumps([inputs, options], sort_keys=True)
    return WORK / hashlib.sha256(identity.encode()).hexdigest()[:16]


def prepare_corpus(shards: Sequence[Path], *, with_text: bool = True, **options: Any) -> Corpus:
    """Preprocess `shards` with these options of `fastw2v.preprocess`, or reuse what is there.

    with_text: also write the text that peers read; without it, `Corpus.text` may not exist.
    """
    from fastw2v.io.store_directory import is_store
    from fastw2v.store.format import TokenStore
    from fastw2v.store.pipeline import preprocess

    place = work_place(shards, **options)
    if not is_store(place / "corpus.store"):
        print(f"preprocessing {len(shards)} shards (once)", flush=True)
        preprocess(list(shards), place / "corpus.store", **options)
    store = TokenStore.open(place / "corpus.store")
    text = place / "corpus.txt"
    if with_text and not text.is_file():
        write_text_of(store, text)
    return Corpus(
        store=store.path,
        text=text,
        words=store.num_tokens,
        sentences=store.num_sentences,
        vocabulary=len(store.vocabulary),
        shards=[shard.name for shard in shards],
        options=options,
    )


def write_text_of(store: Any, path: Path) -> None:
    """Write a token store as text: the kept words of a sentence, blanks between them, a line."""
    tokens = store.vocabulary.tokens
    with storage.atomic_file(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        for group in range(store.num_row_groups):
            ids, offsets = store.read_row_group(group)
            words = [tokens[token_id] for token_id in ids.tolist()]
            bounds = offsets.tolist()
            for start, end in itertools.pairwise(bounds):
                file.write(" ".join(words[start:end]) + "\n")
