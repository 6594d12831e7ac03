"""Tables of figures, written as Markdown or as plain text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple


class Table(NamedTuple):
    """Cells as text; the caption says what the columns are."""

    caption: str
    titles: Sequence[str]
    rows: Sequence[Sequence[str]]


def markdown(table: Table) -> list[str]:
    """The lines of the caption and the table."""
    caption = [table.caption, ""] if table.caption else []
    cells = [table.titles, ["---"] * len(table.titles), *table.rows]
    return [*caption, *(f"| {' | '.join(row)} |" for row in cells)]


def plain(table: Table) -> str:
    """The table with aligned columns: text to the left, figures to the right."""
    cells = [table.titles, *table.rows]
    columns = [
        [cell.rjust(width) if _is_figure(column[1:]) else cell.ljust(width) for cell in column]
        for column in zip(*cells, strict=True)
        for width in [max(map(len, column))]
    ]
    return "\n".join("  ".join(row).rstrip() for row in zip(*columns, strict=True))


def _is_figure(cells: Sequence[str]) -> bool:
    filled = [cell for cell in cells if cell]
    return bool(filled) and all(cell[0].isdigit() or cell[0] in "+-" for cell in filled)


def print_tables(tables: Iterable[Table]) -> None:
    """Print the tables that have rows, with their captions."""
    for table in tables:
        if table.rows:
            print(f"\n{table.caption}\n{plain(table)}" if table.caption else f"\n{plain(table)}")


def rate(value: float) -> str:
    """Words per second: 8.10 M, or all digits below 100,000."""
    return f"{value / 1e6:.2f} M" if value >= 1e5 else f"{value:,.0f}"


def megabytes(value: float | None) -> str:
    """Bytes, or bytes per second, in millions."""
    if value is None:
        return ""
    return f"{value / 1e6:,.0f}" if value >= 100e6 else f"{value / 1e6:.1f}"


def percent(share: float | None, digits: int = 0) -> str:
    """0.5 as 50 %; a share below one percent keeps a digit that is not 0."""
    if share is None:
        return ""
    value = 100 * share
    return f"{value:.1g} %" if not digits and 0 < value < 1 else f"{value:.{digits}f} %"


def interval(row: dict[str, Any], digits: int, scale: float = 1.0) -> str:
    """A difference with its 95 % interval."""
    value, low, high = (
        f"{scale * row[name]:+.{digits}f}" for name in ("difference", "low", "high")
    )
    return f"{value} ({low} to {high})"
