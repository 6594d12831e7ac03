"""The section of the README about preprocessing, from its result file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.preprocess_columns import (
    NEW_WORDS_TITLES,
    SIZE_TITLES,
    SPEED_TITLES,
    new_words_cells,
    phase_cells,
    phase_titles,
    size_lines,
    speed_cells,
)
from bench.preprocess_summary import disagreements, find, megabytes, notes, ours, part_of
from bench.readme_speed import prose, table, where
from fastw2v.io.machine import readable_bytes

Row = dict[str, Any]


def preprocess_section(result: Row) -> list[str]:
    """Speed beside the peers, phases, cost by size, and the text whose words are all new."""
    summary, settings = result["summary"], result["settings"]
    if not summary:
        return []
    parts = [_speed(summary, settings), _size(summary, settings), _new_words(summary)]
    lines = ["**Preprocessing**"]
    for part in parts:
        lines += ["", *part] if part else []
    if found := [*notes(summary), *(f"{text}." for text in disagreements(summary))]:
        lines += ["", *prose(*found)]
    return [*lines, "", f"`python -m bench.preprocess`, {where(result)}."]


def _speed(summary: list[Row], settings: Row) -> list[str]:
    rows = [row for row in part_of(summary, "speed") if row["work"] != "disk"]
    if not rows:
        return []
    disk = find(summary, work="disk")
    writes = f" The disk takes {megabytes(disk['bytes_per_second'])} MB/s." if disk else ""
    lines = [
        *prose(
            "Text to a finished token store, MB/s of uncompressed text over the whole call:",
            "the start of workers, counting, encoding, writing, with lower-casing.",
            f"{settings['size']:g} GB in {settings['shards']} shards of review text over and over,",
            "read from the page cache. The peers only count what stands between white space, and",
            "keep nothing of the text; at the end: our `whitespace` as a multiple, store and all.",
            "Medians of interleaved repeats; peak MB: resident in all processes together, pages",
            f"that they share counted in each.{writes}",
        ),
        "",
        *table(["", *SPEED_TITLES], [[row["name"], *speed_cells(summary, row)] for row in rows]),
    ]
    timed = ours(summary, "words") + ours(summary, "whitespace")
    if titles := phase_titles(timed):
        phases = [[row["name"], *phase_cells(row, titles)] for row in timed]
        lines += ["", "Seconds by phase:", "", *table(["", *titles], phases)]
    return lines


def _size(summary: list[Row], settings: Row) -> list[str]:
    rows = [[name, *cells] for name, cells in size_lines(summary)]
    if not rows:
        return []
    lines = prose(
        f"Cost by the size of the text, in shards of {readable_bytes(settings['size_shard'])}.",
        "private: memory that no file backs; disk: what the run took at the most, its store",
        "included, its text not:",
    )
    return [*lines, "", *table(["text", *SIZE_TITLES], rows)]


def _new_words(summary: list[Row]) -> list[str]:
    rows = part_of(summary, "new_words")
    if not rows:
        return []
    exact = next((row for row in rows if row["form"] == "exact"), None)
    checked = " Exact counts were checked against the known ones." if exact else ""
    lines = prose(
        "Random words, nearly each of them new, and --min-count 5: how much memory and time that",
        f"takes at its worst.{checked}",
    )
    titles = ["counts", *NEW_WORDS_TITLES]
    return [*lines, "", *table(titles, [[row["form"], *new_words_cells(row)] for row in rows])]


SECTIONS: dict[str, Callable[[Row], list[str]]] = {"preprocess": preprocess_section}
