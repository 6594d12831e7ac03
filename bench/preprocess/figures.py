"""From the runs of `bench/preprocess/speed.py` to medians, and their picture."""

from __future__ import annotations

import statistics
from typing import Any

from bench.report.tables import Row, ours_of, part_of
from fastw2v.io.machine import readable_bytes

SHOWN = {
    "gensim": "gensim `build_vocab`",
    "word2vec": "word2vec.c's vocabulary",
    "counter": "Python's `Counter`",
    "unpack": "unpacking gz alone",
    "disk": "writing to the disk",
}
_FACTS = ("work", "tokenizer", "form", "workers", "size")
_LARGEST = ("peak_memory", "private_memory", "process_memory", "largest_worker", "disk")
_ONCE = ("text_bytes", "store_bytes", "report", "library")


def name_of(facts: Row) -> str:
    """What a run is called in tables: its work, tokenizer, form, workers and size."""
    if facts["work"] != "fastw2v":
        return SHOWN[facts["work"]]
    parts = [facts["tokenizer"], _of(facts["workers"], "worker")]
    if facts["form"] != "shards":
        parts.append(facts["form"])
    if "size" in facts:
        parts.append(readable_bytes(facts["size"]))
    return ", ".join(parts)


def _of(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def summarize(runs: list[Row]) -> list[Row]:
    """A row for each part and each kind of run in it, in the order of their first repeats.

    Medians over the repeats of bytes_per_second (slowest, fastest: their range), seconds,
    cpu_seconds and each of the phases; the largest of what memory and disk were taken.
    """
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for run in runs:
        key = (run["part"], *(run.get(name) for name in _FACTS))
        groups.setdefault(key, []).append(run)
    rows = []
    for group in groups.values():
        rates = [run["bytes_per_second"] for run in group]
        row = {name: group[0][name] for name in ("part", *_FACTS, *_ONCE) if name in group[0]}
        row |= {
            "name": name_of(row),
            "repeats": len(group),
            "bytes_per_second": statistics.median(rates),
            "slowest": min(rates),
            "fastest": max(rates),
        }
        row |= {
            name: _median(group, name) for name in ("seconds", "process_seconds", "cpu_seconds")
        }
        row |= {name: _most(group, name) for name in _LARGEST}
        if "phases" in group[0]:
            row["phases"] = {
                phase: statistics.median(run["phases"].get(phase, 0.0) for run in group)
                for phase in group[0]["phases"]
            }
        rows.append(row)
    return rows


def _values(group: list[Row], name: str) -> list[float]:
    return [run[name] for run in group if run.get(name) is not None]


def _median(group: list[Row], name: str) -> float | None:
    values = _values(group, name)
    return statistics.median(values) if values else None


def _most(group: list[Row], name: str) -> float | None:
    return max(_values(group, name), default=None)


def disagreements(summary: list[Row]) -> list[str]:
    """Peers that did not count as many tokens as fastw2v did with `whitespace`."""
    rows = ours_of(summary, "whitespace")
    counted = rows[-1]["report"]["tokens_read"] if rows else None
    return [
        f"{row['name']} counted {found:,} tokens, fastw2v {counted:,}"
        for row in part_of(summary, "speed")
        if row["work"] in SHOWN
        and counted is not None
        and (found := row.get("report", {}).get("tokens_read", counted)) != counted
    ]
