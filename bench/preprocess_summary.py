"""From the runs of `bench/preprocess.py` to medians, ratios and tables."""

from __future__ import annotations

import statistics
from typing import Any

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
Row = dict[str, Any]


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


def part_of(summary: list[Row], part: str) -> list[Row]:
    """The rows of a part; those of part size from the smallest text on."""
    rows = [row for row in summary if row["part"] == part]
    return sorted(rows, key=lambda row: row["size"]) if part == "size" else rows


def find(summary: list[Row], **facts: Any) -> Row | None:
    """The first row of part speed with these facts."""
    for row in part_of(summary, "speed"):
        if all(row.get(name) == value for name, value in facts.items()):
            return row
    return None


def ours(summary: list[Row], tokenizer: str, form: str = "shards") -> list[Row]:
    """fastw2v's rows of part speed, from the fewest workers on."""
    rows = [
        row
        for row in part_of(summary, "speed")
        if (row["work"], row.get("tokenizer"), row.get("form")) == ("fastw2v", tokenizer, form)
    ]
    return sorted(rows, key=lambda row: row["workers"])


def speed_up(summary: list[Row], tokenizer: str) -> tuple[int, float] | None:
    """(workers, how many times as fast as one): of the most workers."""
    rows = ours(summary, tokenizer)
    if len(rows) < 2 or rows[0]["workers"] != 1:
        return None
    return rows[-1]["workers"], rows[-1]["bytes_per_second"] / rows[0]["bytes_per_second"]


def times_of(summary: list[Row], row: Row) -> list[float]:
    """fastw2v with `whitespace` as a multiple of a peer, with all workers and with one."""
    if row["work"] not in ("gensim", "word2vec", "counter"):
        return []
    found = ours(summary, "whitespace")
    return [
        each["bytes_per_second"] / row["bytes_per_second"] for each in (*found[-1:], *found[:1])
    ]


def of_gz(summary: list[Row]) -> dict[str, float] | None:
    """gz against its bound: unpacking alone, and then the same text as it is, on all cores.

    unpack, gz: bytes/s of text. bound: what would be reached if nothing overlapped nor cost more.
    """
    plain = ours(summary, "words")
    packed, unpack = ours(summary, "words", "gz"), find(summary, work="unpack")
    if not (plain and packed and unpack):
        return None
    rates = [row["bytes_per_second"] for row in (plain[-1], unpack)]
    bound = 1 / sum(1 / rate for rate in rates)
    gz = packed[-1]["bytes_per_second"]
    return {"unpack": rates[1], "gz": gz, "bound": bound, "of_bound": gz / bound}


def disagreements(summary: list[Row]) -> list[str]:
    """Peers that did not count as many tokens as fastw2v did with `whitespace`."""
    rows = ours(summary, "whitespace")
    counted = rows[-1]["report"]["tokens_read"] if rows else None
    return [
        f"{row['name']} counted {found:,} tokens, fastw2v {counted:,}"
        for row in part_of(summary, "speed")
        if row["work"] in SHOWN
        and counted is not None
        and (found := row.get("report", {}).get("tokens_read", counted)) != counted
    ]


def megabytes(value: float | None) -> str:
    """Bytes, or bytes/s, in millions."""
    if value is None:
        return ""
    return f"{value / 1e6:,.0f}" if value >= 100e6 else f"{value / 1e6:.1f}"


def cost(row: Row) -> float:
    """Nanoseconds a byte."""
    return 1e9 / float(row["bytes_per_second"])


def notes(summary: list[Row]) -> list[str]:
    """What the tables come to, a sentence each."""
    found = []
    for tokenizer in ("words", "whitespace"):
        if times := speed_up(summary, tokenizer):
            found.append(
                f"{times[0]} workers are {times[1]:.2f} times as fast as 1 (`{tokenizer}`)."
            )
    shards, whole = ours(summary, "words"), ours(summary, "words", "one file")
    if shards and whole:
        share = whole[-1]["bytes_per_second"] / shards[-1]["bytes_per_second"]
        found.append(f"One file is read at {share:.2f} times the rate of shards.")
    if gz := of_gz(summary):
        found.append(
            f"gz: {megabytes(gz['gz'])} MB/s; unpacking alone {megabytes(gz['unpack'])}, and with "
            f"the plain text's time after it {megabytes(gz['bound'])} "
            f"({gz['of_bound']:.2f} of that is reached)."
        )
    sizes = part_of(summary, "size")
    if len(sizes) > 1:
        first, last = sizes[0], sizes[-1]
        found.append(
            f"From {readable_bytes(first['size'])} to {readable_bytes(last['size'])} a byte costs "
            f"{cost(last) / cost(first):.2f} times as much."
        )
    return found
