"""The machine described: hardware, libraries, state of the code; and processes held to cores."""

from __future__ import annotations

import contextlib
import datetime
import functools
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import ROOT, kernel_cache
from fastw2v.io import machine

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
