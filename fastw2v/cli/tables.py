"""Tables on standard output: drawn on a terminal, tab-separated lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}


def printable(text: str) -> str:
    """Text from a file with its control characters shown, so that no terminal obeys them."""
    return text.translate(_CONTROL)


def _is_terminal() -> bool:
    return sys.stdout.isatty()


def print_rows(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, header: bool = True
) -> None:
    """A table on a terminal (a rule where the first column changes), tab-separated lines elsewhere.

    Without `header` lines have none, for such as go on with a table; on a terminal each has one.
    Words come from files: control characters in them are shown, not obeyed.
    """
    if sys.stdout is None:  # closed (`>&-`): nobody to print for
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


def shown(value: Any) -> str:
    """A value of a settings file, or a path, for people."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.6g}"
    return click.format_filename(str(value))  # bytes of a name that are no UTF-8 become U+FFFD
