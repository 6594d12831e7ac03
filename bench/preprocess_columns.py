"""The tables of `bench/preprocess.py`: what they and the README have alike."""

from __future__ import annotations

from typing import Any

from bench.preprocess_summary import cost, disagreements, megabytes, notes, part_of, times_of
from fastw2v.io.machine import readable_bytes

Row = dict[str, Any]

SPEED_TITLES = ["MB/s", "range", "MB/s a core", "processor s/GB", "peak MB", "whitespace is"]
SIZE_TITLES = [
    "seconds", "MB/s", "ns a byte", "ns a further byte", "peak MB", "private", "disk, MB",
]  # fmt: skip
NEW_WORDS_TITLES = [
    "text, MB", "seconds", "MB/s", "peak MB", "private", "disk, MB", "different", "vocabulary",
    "counts too low by",
]  # fmt: skip


def speed_cells(summary: list[Row], row: Row) -> list[str]:
    """The columns of `SPEED_TITLES`."""
    rate = row["bytes_per_second"]
    a_core = rate / row["workers"] if "workers" in row else None
    processor = row["cpu_seconds"] and 1e9 * row["cpu_seconds"] / row["text_bytes"]
    memory = row["peak_memory"] if row["work"] != "disk" else None
    times = times_of(summary, row)
    return [
        megabytes(rate),
        f"{megabytes(row['slowest'])}–{megabytes(row['fastest'])}",
        megabytes(a_core),
        "" if processor is None or row["work"] == "disk" else f"{processor:.1f}",
        megabytes(memory),
        "" if not times else f"{times[0]:.1f} times (1 worker: {times[-1]:.1f})",
    ]


def further_cost(rows: list[Row], place: int) -> float | None:
    """Nanoseconds for each byte that a text is larger than the one before: without start-up."""
    if place == 0:
        return None
    before, row = rows[place - 1], rows[place]
    return 1e9 * (row["seconds"] - before["seconds"]) / float(row["size"] - before["size"])


def size_cells(rows: list[Row], place: int) -> list[str]:
    """The columns of `SIZE_TITLES`, of the row at `place`."""
    row, further = rows[place], further_cost(rows, place)
    return [
        f"{row['seconds']:.1f}",
        megabytes(row["bytes_per_second"]),
        f"{cost(row):.2f}",
        "" if further is None else f"{further:.2f}",
        megabytes(row["peak_memory"]),
        megabytes(row["private_memory"]),
        megabytes(row["disk"]),
    ]


def size_lines(summary: list[Row]) -> list[tuple[str, list[str]]]:
    """The name and the cells of every row of part size."""
    rows = part_of(summary, "size")
    return [
        (readable_bytes(row["size"]), size_cells(rows, place)) for place, row in enumerate(rows)
    ]


def new_words_cells(row: Row) -> list[str]:
    """The columns of `NEW_WORDS_TITLES`."""
    report = row["report"]
    rate, text = megabytes(row["bytes_per_second"]), megabytes(row["text_bytes"])
    memory = [megabytes(row[name]) for name in ("peak_memory", "private_memory", "disk")]
    counts = [
        f"{report[name]:,}" for name in ("different_tokens", "vocabulary_size", "count_error")
    ]
    return [text, f"{row['seconds']:.1f}", rate, *memory, *counts]


def phase_titles(rows: list[Row]) -> list[str]:
    """All phases of these rows, in order."""
    return list(dict.fromkeys(phase for row in rows for phase in row["phases"]))


def phase_cells(row: Row, titles: list[str]) -> list[str]:
    """Seconds of each phase."""
    return [f"{row['phases'].get(title, 0.0):.2f}" for title in titles]


def print_tables(summary: list[Row]) -> None:
    """All parts, their notes, and warnings."""
    speed = part_of(summary, "speed")
    _print_table("speed", SPEED_TITLES, [(row["name"], speed_cells(summary, row)) for row in speed])
    timed = [row for row in speed if "phases" in row]
    titles = phase_titles(timed)
    _print_table("seconds", titles, [(row["name"], phase_cells(row, titles)) for row in timed])
    _print_table("size", SIZE_TITLES, size_lines(summary))
    hard = [(row["form"], new_words_cells(row)) for row in part_of(summary, "new_words")]
    _print_table("new words", NEW_WORDS_TITLES, hard)
    print()
    for note in notes(summary):
        print(note)
    for warning in disagreements(summary):
        print(f"warning: {warning}")


def _print_table(title: str, titles: list[str], rows: list[tuple[str, list[str]]]) -> None:
    if not rows:
        return
    table = [[title, *titles], *([name, *cells] for name, cells in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    print()
    for name, *cells in table:
        rest = "".join(f"  {cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=True))
        print(f"{name:<{widths[0]}}{rest}".rstrip())
