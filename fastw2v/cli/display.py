"""The loss so far as one line of characters.

How far work on bytes is: what the user sees of `preprocess`, `verify` and `info`.

What the user sees while text is preprocessed or scored, and a model trains.
"""

from __future__ import annotations

import itertools
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from fastw2v.training.monitor import Progress

_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII = "_.-~=*%#"
_MAX_BUCKETS = 256


class LossTrace:
    """The losses of a run in at most 256 means of equally many, however long it becomes."""

    def __init__(self) -> None:
        self._means: list[float] = []
        self._size = 1  # losses a mean
        self._sum, self._count = 0.0, 0

    def add(self, loss: float) -> None:
        """Take the loss of the next interval; one that is not finite is left out."""
        if not math.isfinite(loss):
            return
        self._sum, self._count = self._sum + loss, self._count + 1
        if self._count < self._size:
            return
        self._means.append(self._sum / self._count)
        self._sum, self._count = 0.0, 0
        if len(self._means) == _MAX_BUCKETS:
            pairs = zip(self._means[::2], self._means[1::2], strict=True)
            self._means = [(first + second) / 2 for first, second in pairs]
            self._size *= 2

    def sparkline(self, width: int, encoding: str | None) -> str:
        """The losses in at most `width` characters that `encoding` has; "" for fewer than two."""
        means = list(self._means)
        if self._count:
            means.append(self._sum / self._count)
        if width < 2 or len(means) < 2:
            return ""
        return _drawn(_at_most(means, width), _BLOCKS if can_show(_BLOCKS, encoding) else _ASCII)


def can_show(text: str, encoding: str | None) -> bool:
    """Whether `text` can be written in this encoding."""
    try:
        text.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _at_most(means: Sequence[float], width: int) -> list[float]:
    """Means of neighbors, `width` of them or as many as there are."""
    count = min(width, len(means))
    bounds = [place * len(means) // count for place in range(count + 1)]
    spans = itertools.pairwise(bounds)
    return [sum(means[first:last]) / (last - first) for first, last in spans]


def _drawn(values: Sequence[float], levels: str) -> str:
    """A character a value, the lowest first; the steep start does not flatten what follows."""
    low, high = min(values), sorted(values)[math.ceil(0.9 * (len(values) - 1))]
    scale = (len(levels) - 1) / (high - low) if high > low else 0.0
    return "".join(levels[round((min(value, high) - low) * scale)] for value in values)


ByteProgress = Callable[[str, int, int], None]


@contextmanager
def byte_progress(quiet: bool) -> Iterator[ByteProgress | None]:
    """What the user sees of work on bytes: nothing, a bar on a terminal, or a line now and then."""
    if quiet:
        yield None
    elif sys.stderr is not None and sys.stderr.isatty():
        with _bar() as progress:
            yield progress
    else:
        yield _lines()


@contextmanager
def _bar() -> Iterator[ByteProgress]:
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


def _lines() -> ByteProgress:
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


_WIDE, _NARROW = 90, 60  # columns from which the bar has all its figures, and below which one
_LONGEST_SPARKLINE, _SHORTEST_SPARKLINE = 48, 8  # characters
_LINE_EVERY = 5.0  # seconds between progress lines where there is no terminal
_MIN_SECONDS = 1.0  # of a phase, before the time left is told


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
        if gone <= 0 or seconds < _MIN_SECONDS:
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
