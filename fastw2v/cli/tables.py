"""Results on standard output: tables on a terminal, tab-separated lines elsewhere, or JSON."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}


def printable(text: str) -> str:
    """Text from a file with its control characters escaped, so that no terminal obeys them."""
    return text.translate(_CONTROL)


def _is_terminal() -> bool:
    return sys.stdout.isatty()


def print_rows(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, header: bool = True
) -> None:
    """A table on a terminal (a rule where the first column changes), tab-separated lines elsewhere.

    Without `header` tab-separated lines have none: they continue a table that was begun before.
    Words come from files, so control characters in them are escaped.
    """
    if sys.stdout is None:  # closed (`>&-`)
        return
    columns, *clean = [[printable(cell) for cell in row] for row in (columns, *rows)]
    if not _is_terminal():
        for row in (columns, *clean) if header else clean:
            click.echo("\t".join(row))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    for number, column in enumerate(columns):
        numeric = all(row[number].strip("-.%0123456789") == "" for row in clean)
        table.add_column(column, justify="right" if numeric else "left", no_wrap=numeric)
    for row, following in zip(clean, [*clean[1:], None], strict=True):
        changes = following is not None and following[0] != row[0]
        table.add_row(*(Text(cell) for cell in row), end_section=changes)
    Console().print(table)


def print_json(value: Mapping[str, Any]) -> None:
    """One JSON object; NaN and infinity become null."""
    click.echo(json.dumps(_plain(value), indent=2, allow_nan=False))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, Path):
        return click.format_filename(value)
    if hasattr(value, "item"):  # a NumPy scalar
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def shown(value: Any) -> str:
    """A setting, a number or a path as text for people."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.6g}"
    return click.format_filename(str(value))  # bytes that are not UTF-8 become U+FFFD
