"""How far work on bytes is: what the user sees of `preprocess`, `verify` and `info`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

_LINE_EVERY = 5.0  # seconds between progress lines where there is no terminal

Progress = Callable[[str, int, int], None]


@contextmanager
def byte_progress(quiet: bool) -> Iterator[Progress | None]:
    """What the user sees of work on bytes: nothing, a bar on a terminal, or a line now and then."""
    if quiet:
        yield None
    elif sys.stderr is not None and sys.stderr.isatty():
        with _bar() as progress:
            yield progress
    else:
        yield _lines()


@contextmanager
def _bar() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.progress import Progress as Bar

    with Bar(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        tasks: dict[str, Any] = {}

        def show(phase: str, done: int, total: int) -> None:
            if phase not in tasks:
                tasks[phase] = bar.add_task(phase, total=total or None)
            bar.update(tasks[phase], completed=done)

        yield show


def _lines() -> Progress:
    last = time.monotonic()
    began: dict[str, tuple[float, int]] = {}  # of each phase: when, and what was done then

    def show(phase: str, done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        start, done_before = began.setdefault(phase, (now, done))
        if now - last >= _LINE_EVERY:
            last = now
            share = f" of {total / 1e6:,.1f} MB ({done / total:.0%})" if total else " MB"
            speed = (done - done_before) / (now - start) if now > start else 0.0
            rate = f", {speed / 1e6:,.1f} MB/s" if speed else ""
            left = f", {(total - done) / speed:,.0f} s left" if speed and total > done else ""
            click.echo(f"{phase}: {done / 1e6:,.1f}{share}{rate}{left}", err=True)

    return show
