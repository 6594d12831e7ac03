"""What the user sees while text is preprocessed or scored, and a model trains."""

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
_LEAST_SECONDS = 1.0  # of a phase, before the time left is told


class Display:
    """What the user sees while training; this base shows notices only."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet

    def notify(self, line: str) -> None:
        """Show a line meant for the user."""
        if not self._quiet or line.startswith("warning:"):
            click.echo(line, err=True)

    def preprocessing(self, phase: str, done: int, total: int) -> None:
        """Take the progress of `preprocess` or `perplexity`."""

    def training(self, progress: Progress) -> None:
        """Take `train`'s progress."""


class _PhaseClock:
    """The time left of a phase, if it goes on as it has since it was first heard of."""

    def __init__(self) -> None:
        self._phase: tuple[str, int] | None = None
        self._began, self._done_at_first = 0.0, 0

    def left(self, phase: str, done: int, total: int) -> str:
        """`0:12:34 left`; empty as long as that cannot be told."""
        now = time.monotonic()
        if (phase, total) != self._phase:
            self._phase, self._began, self._done_at_first = (phase, total), now, done
        gone, seconds = done - self._done_at_first, now - self._began
        if gone <= 0 or seconds < _LEAST_SECONDS:
            return ""
        return _clock(seconds * max(0, total - done) / gone)


class _Lines(Display):
    """Plain lines on standard error, a few a minute."""

    def __init__(self) -> None:
        super().__init__(quiet=False)
        self._last = time.monotonic()
        self._last_words = -1
        self._phase_clock = _PhaseClock()

    def preprocessing(self, phase: str, done: int, total: int) -> None:
        now, left = time.monotonic(), self._phase_clock.left(phase, done, total)
        if now - self._last >= _LINE_EVERY:
            self._last = now
            click.echo(f"{phase}: {done / max(total, 1):.0%}  {left}".rstrip(), err=True)

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
        self._phase_clock = _PhaseClock()

    def notify(self, line: str) -> None:
        self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def preprocessing(self, phase: str, done: int, total: int) -> None:
        left = self._phase_clock.left(phase, done, total)
        self._bar.update(self._task, description=phase, completed=done, total=total, figures=left)

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
    clock = _clock(0 if math.isnan(progress.seconds_left) else progress.seconds_left)
    if narrow:
        return clock
    return (
        f"{progress.words_per_second:,.0f} words/s  loss {progress.loss:.4f}  "
        f"alpha {progress.alpha:.4g}  {clock}"
    )


def _clock(seconds: float) -> str:
    left = int(seconds)
    return f"{left // 3600}:{left // 60 % 60:02}:{left % 60:02} left"


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
