"""What the user sees while text is preprocessed and a model trains."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from fastw2v.training.monitor import Progress

_NARROW = 90  # columns below which the bar leaves figures out
_LINE_EVERY = 5.0  # seconds between progress lines where there is no terminal


class Display:
    """What the user sees while training; this base shows notices only."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet

    def notify(self, line: str) -> None:
        """Show a line meant for the user."""
        if not self._quiet or line.startswith("warning:"):
            click.echo(line, err=True)

    def preprocessing(self, phase: str, done: int, total: int) -> None:
        """Take `preprocess`'s progress."""

    def training(self, progress: Progress) -> None:
        """Take `train`'s progress."""


class _Lines(Display):
    """Plain lines on standard error, a few a minute."""

    def __init__(self) -> None:
        super().__init__(quiet=False)
        self._last = 0.0
        self._last_words = -1

    def preprocessing(self, phase: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._last >= _LINE_EVERY:
            self._last = now
            click.echo(f"{phase}: {done / max(total, 1):.0%}", err=True)

    def training(self, progress: Progress) -> None:
        if progress.event == "start":
            self._last = time.monotonic()
            return
        now = time.monotonic()
        due = progress.event == "interval" and now - self._last >= _LINE_EVERY
        last = progress.event in ("epoch", "end") and progress.words != self._last_words
        if due or last:
            self._last, self._last_words = now, progress.words
            click.echo(
                f"epoch {progress.epoch}/{progress.epochs}  {_share(progress):.0%}  "
                f"{_figures(progress)}",
                err=True,
            )


class _Bar(Display):
    """A live bar on a terminal."""

    def __init__(self, bar: Any) -> None:
        super().__init__(quiet=False)
        self._bar = bar
        self._task = bar.add_task("starting", total=None, figures="")

    def notify(self, line: str) -> None:
        self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def preprocessing(self, phase: str, done: int, total: int) -> None:
        self._bar.update(self._task, description=phase, completed=done, total=total, figures="")

    def training(self, progress: Progress) -> None:
        self._bar.update(
            self._task,
            description=f"epoch {progress.epoch}/{progress.epochs}",
            completed=progress.words,
            total=progress.total_words,
            figures=_figures(progress, narrow=self._bar.console.width < _NARROW),
        )


def _share(progress: Progress) -> float:
    return min(1.0, progress.words / max(progress.total_words, 1))


def _figures(progress: Progress, *, narrow: bool = False) -> str:
    if math.isnan(progress.words_per_second):
        return "compiling or loading kernels" if progress.event == "start" else ""
    left = 0 if math.isnan(progress.seconds_left) else int(progress.seconds_left)
    clock = f"{left // 3600}:{left // 60 % 60:02}:{left % 60:02} left"
    if narrow:
        return clock
    return (
        f"{progress.words_per_second:,.0f} words/s  loss {progress.loss:.4f}  "
        f"alpha {progress.alpha:.4g}  {clock}"
    )


@contextmanager
def training_display(quiet: bool) -> Iterator[Display]:
    """A live bar on a terminal, plain lines elsewhere, notices only when `quiet`."""
    if quiet:
        yield Display(quiet=True)
        return
    if sys.stderr is None or not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=6 if console.width < _NARROW else 24),
        TaskProgressColumn(),
        TextColumn("{task.fields[figures]}"),
        console=console,
    ) as bar:
        yield _Bar(bar)
