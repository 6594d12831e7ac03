"""Which kept runs of the quality benchmarks still hold, and where every run comes from.

A run of an earlier result file is kept only where the present settings, corpus, scoring, code,
libraries and CPU would make it again; and a result says of which days and commits its runs are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from bench import ROOT
from bench.lib import host, results, split
from bench.peers import trainers

VERSION = 3  # of the layout of the result files
LIBRARIES = ("python", "numpy", "numba", "scipy", "gensim")
_SCORED_BY = (
    "bench/lib/split.py", "bench/lib/scoring.py", "fastw2v/training/validation.py",
    "fastw2v/kernels/validation.py", "fastw2v/vectors/evaluation.py",
)  # fmt: skip
# What the results of any trainer depend on, and those of ours besides.
_TRAINERS = ("bench/peers/trainers.py",)
_OURS = ("bench/speed/rungs.py", "fastw2v/kernels/**/*.py", "fastw2v/training/*.py")


def hash_of(*values: Any) -> str:
    """A short hash of plain values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def sources(*patterns: str) -> dict[str, str]:
    """The files of the repository that match, by name.

    Raises:
        FileNotFoundError: none matches a pattern: its file was moved, and the hash lacks it.
    """
    paths = set()
    for pattern in patterns:
        found = set(ROOT.glob(pattern))
        if not found:
            raise FileNotFoundError(
                f"{pattern}: no such file; mend the lists of bench.lib.identity"
            )
        paths |= found
    return {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in sorted(paths)}


def code_of(trainer: str) -> str:
    """A hash of the code in this repository that makes a trainer's results."""
    return hash_of(sources(*_TRAINERS, *(_OURS if trainer in trainers.OURS else ())))


def identity_of(settings: dict[str, Any], data: split.Split) -> dict[str, Any]:
    """What a kept run must agree in."""
    names = (*LIBRARIES, *(("fasttext-community",) if settings["trainer"] == "fasttext" else ()))
    installed = host.versions()
    return {
        "settings": settings,
        "corpus": hash_of(data.describe(), sources(*_SCORED_BY)),
        "code": code_of(settings["trainer"]),
        "libraries": {name: installed[name] for name in names if name in installed},
        "cpu": host.describe_cpu()["model"],
    }


def origin() -> dict[str, Any]:
    """Day, cores and commit of a run that begins now; its CPU is in its identity."""
    machine = host.describe_machine()
    return {name: machine[name] for name in ("date", "cores", "commit", "uncommitted_changes")}


def origins_of(runs: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The days, machines and commits of the runs that a result shows."""
    runs = list(runs)
    return {
        "dates": sorted({run["date"] for run in runs}),
        "machines": sorted({(run["cpu"], run["cores"]) for run in runs}),
        "commits": list(dict.fromkeys(run["commit"] for run in runs)),
        "uncommitted_changes": any(run["uncommitted_changes"] for run in runs),
    }


def kept_runs(
    path: Path, same: Callable[[dict[str, Any]], dict[str, Any]], version: int = VERSION
) -> list[dict[str, Any]]:
    """The runs of a result file, or of its partial one, that would come out the same today.

    `same` gives what a run with these settings must agree in. Runs that are not planned now are
    kept too; of two with the same settings, the partial file's.
    """
    found: dict[str, dict[str, Any]] = {}
    for result in results.read_results(path):
        if result.get("version") != version:
            continue
        for run in result["runs"]:
            wanted = same(run["settings"])
            if all(run.get(name) == value for name, value in wanted.items()):
                found[json.dumps(run["settings"], sort_keys=True)] = run
    return list(found.values())


def planned(
    runs: Iterable[dict[str, Any]], settings: Iterable[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The runs of the present plan: what was kept beside them is neither summed up nor shown."""
    wanted = list(settings)
    return [run for run in runs if run["settings"] in wanted]
