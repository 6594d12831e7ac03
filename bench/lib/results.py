"""Result files: whole and partial ones, packed arrays in them, and where their figures come from.

Arrays are a line of base64 in place of a line for each number.
"""

from __future__ import annotations

import base64
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from bench import ROOT
from fastw2v.errors import DataError
from fastw2v.io import storage

RESULTS = ROOT / "bench" / "results"


def partial_path(path: Path) -> Path:
    """Where a benchmark keeps what it has until it is done."""
    return path.with_name(f"{path.stem}.partial{path.suffix}")


def write_partial(path: Path, value: dict[str, Any]) -> None:
    """Keep what an unfinished benchmark has, beside its result file: an older one stays whole."""
    storage.write_json(partial_path(path), value)


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


def finish(path: Path, result: dict[str, Any]) -> None:
    """Write the result file of a benchmark that is done and say so; its partial one goes."""
    storage.write_json(path, result)
    storage.remove_file(partial_path(path))
    print(f"\nwritten: {path}")


def origin(result: dict[str, Any]) -> str:
    """The days, the machine and the commits of the runs that a result shows."""
    machine = result["machine"]
    shown = result.get("shown") or {
        "dates": [machine["date"]],
        "machines": [(machine["cpu"]["model"], machine["cores"])],
        "commits": [machine["commit"]] if machine.get("commit") else [],
        "uncommitted_changes": machine.get("uncommitted_changes"),
    }
    dates = dict.fromkeys((shown["dates"][0], shown["dates"][-1]))
    parts = [" to ".join(dates), *(f"{cpu}, {cores} cores" for cpu, cores in shown["machines"])]
    if commits := [commit[:7] for commit in shown["commits"]]:
        parts.append(f"commit{'s' if len(commits) > 1 else ''} {', '.join(commits)}")
    return ", ".join(parts + ["with uncommitted changes"] * bool(shown["uncommitted_changes"]))


def pack(values: np.ndarray, dtype: str) -> str:
    """The values as `dtype` (with its byte order), compressed, in base64."""
    return base64.b64encode(zlib.compress(values.astype(dtype).tobytes(), 9)).decode("ascii")


def unpack(text: str, dtype: str) -> np.ndarray:
    """What `pack` was given, one-dimensional."""
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype)


def pack_bits(values: np.ndarray) -> str:
    """Bools, eight a byte."""
    return pack(np.packbits(values), "u1")


def unpack_bits(text: str, count: int) -> np.ndarray:
    """The `count` bools that `pack_bits` was given."""
    return np.unpackbits(unpack(text, "u1"), count=count).astype(bool)


def pack_ranks(values: np.ndarray) -> str:
    """The order of at most 65,534 values, equal ones included; NaN stays NaN."""
    _, ranks = np.unique(values, return_inverse=True)
    return pack(np.where(np.isnan(values), 65535, ranks.reshape(values.shape)), "<u2")


def unpack_ranks(text: str) -> np.ndarray:
    """float64 ranks from 0, with the order of the values; NaN where they were NaN."""
    ranks = unpack(text, "<u2").astype(np.float64)
    ranks[ranks == 65535] = np.nan
    return ranks
