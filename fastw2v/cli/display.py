"""What the user sees while text is preprocessed or scored, and a model trains."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from fastw2v.cli.sparkline import LossTrace, can_show

if TYPE_CHECKING:
    from fastw2v.training.monitor import Progress

_WIDE, _NARROW = 90, 60  # columns from which the bar has all its figures, and below which one
_LONGEST_SPARKLINE, _SHORTEST_SPARKLINE = 48, 8  # characters
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
        often = progress.event in ("interval", "evaluation")
        due = often and now - self._last >= _LINE_EVERY
        last = progress.event in ("epoch", "end") and progress.words != self._last_words
        if due or last:
            self._last, self._last_words = now, progress.words
            encoding = getattr(sys.stderr, "encoding", None)
            parts = [
                f"epoch {progress.epoch}/{progress.epochs}", f"{_share(progress):.0%}",
                _speed(progress), _loss(progress), _holdout(progress, encoding),
                f"alpha {progress.alpha:.4g}", _time_left(progress),
            ]  # fmt: skip
            click.echo("  ".join(part for part in parts if part), err=True)


class _Bar(Display):
    """A live bar on a terminal, and below it the loss: now, so far, and on the held-out text."""

    def __init__(self, bar: Any, loss_line: _LossLine) -> None:
        super().__init__(quiet=False)
        self._bar, self._loss_line = bar, loss_line
        self._task = bar.add_task("starting", total=None, figures="")
        self._phase_clock = _PhaseClock()

    def notify(self, line: str) -> None:
        self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def preprocessing(self, phase: str, done: int, total: int) -> None:
        left = self._phase_clock.left(phase, done, total)
        self._bar.update(self._task, description=phase, completed=done, total=total, figures=left)

    def training(self, progress: Progress) -> None:
        self._loss_line.take(progress)
        self._bar.update(
            self._task,
            description=f"epoch {progress.epoch}/{progress.epochs}",
            completed=progress.words,
            total=progress.total_words,
            figures=_figures(progress, self._bar.console.width),
        )


class _LossLine:
    """`loss 2.4123  █▆▄▃▂▂▁▁  held-out 3.412 ± 0.011`, drawn anew whenever the bar is."""

    def __init__(self) -> None:
        self._trace = LossTrace()
        self._progress: Progress | None = None

    def take(self, progress: Progress) -> None:
        """Show the losses of this."""
        self._progress = progress
        if progress.event == "interval":
            self._trace.add(progress.loss)

    def line(self, width: int, encoding: str | None) -> str:
        """What fits into `width` columns; a sparkline only where there is room for one."""
        if self._progress is None:
            return ""
        loss, holdout = _loss(self._progress), _holdout(self._progress, encoding)
        room = width - len(loss) - len(holdout) - 4
        drawn = ""
        if room >= _SHORTEST_SPARKLINE:
            drawn = self._trace.sparkline(min(room, _LONGEST_SPARKLINE), encoding)
        return "  ".join(part for part in (loss, drawn, holdout) if part)[:width]

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
        if line := self.line(options.max_width, console.encoding):
            from rich.text import Text

            yield Text(line, no_wrap=True)


def _share(progress: Progress) -> float:
    return min(1.0, progress.words / max(progress.total_words, 1))


def _figures(progress: Progress, width: int) -> str:
    """What stands beside the bar of a terminal of `width` columns."""
    if math.isnan(progress.words_per_second):
        return "compiling or loading kernels" if progress.event == "start" else ""
    clock = _time_left(progress)
    if width < _NARROW:
        return clock
    alpha = f"alpha {progress.alpha:.4g}  " if width >= _WIDE else ""
    return f"{_speed(progress)}  {alpha}{clock}"


def _speed(progress: Progress) -> str:
    speed = progress.words_per_second
    return "" if math.isnan(speed) else f"{speed:,.0f} words/s"


def _loss(progress: Progress) -> str:
    return "" if math.isnan(progress.loss) else f"loss {progress.loss:.4f}"


def _holdout(progress: Progress, encoding: str | None) -> str:
    """`held-out 3.412 ± 0.011`; empty where the loss on the held-out text is not known."""
    loss, low, high = (
        getattr(progress, f"holdout_{name}", math.nan) for name in ("loss", "low", "high")
    )
    if math.isnan(loss):
        return ""
    half = (high - low) / 2
    if not (math.isfinite(half) and half > 0):
        return f"held-out {loss:.4f}"
    digits = min(5, max(2, 1 - math.floor(math.log10(half))))
    sign = "±" if can_show("±", encoding) else "+/-"
    return f"held-out {loss:.{digits}f} {sign} {half:.{digits}f}"


def _time_left(progress: Progress) -> str:
    seconds = progress.seconds_left
    if math.isnan(seconds) and math.isnan(progress.words_per_second):
        return ""
    return _clock(0 if math.isnan(seconds) else seconds)


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
    from rich.console import Console, Group
    from rich.live import Live
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    console, loss_line = Console(stderr=True), _LossLine()
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=6 if console.width < _WIDE else 24),
        TaskProgressColumn(),
        TextColumn("{task.fields[figures]}"),
        console=console,
    )
    with Live(Group(bar, loss_line), console=console, refresh_per_second=10):
        yield _Bar(bar, loss_line)
