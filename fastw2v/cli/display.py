"""What the user sees: results on standard output, progress on standard error.

Results are tables on a terminal, tab-separated lines elsewhere, or JSON. Progress is a live bar on
a terminal, with the loss below it in training, and a line now and then elsewhere; with --quiet only
notices.
"""

from __future__ import annotations

import itertools
import json
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fastw2v.cli.options import with_flags

if TYPE_CHECKING:
    from fastw2v.training.reporting import Progress

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


_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII = "_.-~=*%#"
_MAX_BUCKETS = 256
_LONGEST_SPARKLINE, _SHORTEST_SPARKLINE = 48, 8  # characters
_MIN_BAR = 10  # columns
_LINE_EVERY = 5.0  # seconds between progress lines where there is no terminal
_MIN_SECONDS = 1.0  # of a phase, before the time left is estimated


class LossTrace:
    """The losses of a run in at most 256 means of equally many, however long it becomes."""

    def __init__(self) -> None:
        self._means: list[float] = []
        self._size = 1  # losses a mean
        self._sum, self._count = 0.0, 0

    def add(self, loss: float) -> None:
        """Add the loss of the next interval, if it is finite."""
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


class Display:
    """What the user sees of a command, as its `Reporter`; this base shows lines only."""

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet

    def info(self, line: str) -> None:
        """Show a line for the user."""
        if not self._quiet:
            self._write(with_flags(line))

    def warning(self, line: str) -> None:
        """Show a warning, also when quiet."""
        self._write(f"warning: {with_flags(line)}")

    def _write(self, line: str) -> None:
        click.echo(line, err=True)

    def bytes(self, phase: str, done: int, total: int) -> None:
        """Show how many bytes of a phase are done; `total` is 0 where it is unknown."""

    def items(self, phase: str, done: int, total: int) -> None:
        """Show which share of a phase is done."""

    def training(self, progress: Progress) -> None:
        """Show `train`'s progress."""


class _Phases(Display):
    """Words the state of a phase, for a bar or a line."""

    def __init__(self) -> None:
        super().__init__()
        self._phase, self._began, self._done_before = "", 0.0, 0

    def bytes(self, phase: str, done: int, total: int) -> None:
        speed = self._speed(phase, done)
        amount = f"{done / 1e6:,.1f} of {total / 1e6:,.1f} MB" if total else f"{done / 1e6:,.1f} MB"
        rate = f"{speed / 1e6:,.1f} MB/s" if speed else ""
        self._show(phase, done, total, [amount, rate, _left(done, total, speed)])

    def items(self, phase: str, done: int, total: int) -> None:
        self._show(phase, done, total, [_left(done, total, self._speed(phase, done))])

    def _speed(self, phase: str, done: int) -> float:
        """Units a second since the phase began; 0 while that is unknown."""
        now = time.monotonic()
        if phase != self._phase:
            self._phase, self._began, self._done_before = phase, now, done
        seconds = now - self._began
        return max(0, done - self._done_before) / seconds if seconds >= _MIN_SECONDS else 0.0

    def _show(self, phase: str, done: int, total: int, figures: list[str]) -> None:
        """Show a phase; the last of `figures` matter most."""
        raise NotImplementedError


class _Lines(_Phases):
    """Plain lines, a few a minute."""

    def __init__(self) -> None:
        super().__init__()
        self._last_line, self._last_words = time.monotonic(), -1

    def _show(self, phase: str, done: int, total: int, figures: list[str]) -> None:
        if time.monotonic() - self._last_line >= _LINE_EVERY:
            share = f"{done / total:.0%}" if total else ""
            state = "  ".join(filter(None, [share, *figures]))
            self._print(f"{phase}: {state}" if state else phase)

    def _print(self, line: str) -> None:
        self._last_line = time.monotonic()
        click.echo(line, err=True)

    def training(self, progress: Progress) -> None:
        if progress.event == "start":
            self._last_line = time.monotonic()
            return
        due = time.monotonic() - self._last_line >= _LINE_EVERY
        if progress.event in ("epoch", "end"):  # the last epoch's line is that of the end
            over = progress.event == "epoch" and progress.words >= progress.total_words
            due = progress.words != self._last_words and not over
        elif progress.event not in ("interval", "evaluation"):
            return
        if due:
            self._last_words = progress.words
            encoding = getattr(sys.stderr, "encoding", None)
            share = min(1.0, progress.words / max(progress.total_words, 1))
            parts = [
                _epoch(progress), f"{share:.0%}", _words_per_second(progress), _loss(progress),
                _holdout(progress, encoding), f"alpha {progress.alpha:.4g}", _clock(progress),
            ]  # fmt: skip
            self._print("  ".join(filter(None, parts)))


class _Bar(_Phases):
    """A live bar on a terminal, and below it the loss: now, so far, and on the held-out text."""

    def __init__(self, bar: Any, loss_line: _LossLine, width: int) -> None:
        super().__init__()
        self._bar, self._loss_line, self._width = bar, loss_line, width
        self._task = bar.add_task("starting", total=None, figures="")
        self.trained = False

    def _write(self, line: str) -> None:
        self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _show(self, phase: str, done: int, total: int, figures: list[str]) -> None:
        room = self._width - len(phase) - len(" 100% ") - _MIN_BAR - 2
        parts = list(filter(None, figures))
        while parts and len("  ".join(parts)) > room:
            parts.pop(0)
        self._bar.update(
            self._task, description=phase, completed=done, total=total or None,
            figures="  ".join(parts),
        )  # fmt: skip

    def training(self, progress: Progress) -> None:
        self.trained = True
        self._loss_line.take(progress)
        figures = [f"alpha {progress.alpha:.4g}", _words_per_second(progress), _clock(progress)]
        if activity := _activity(progress):
            figures = [activity]
        self._show(_epoch(progress), progress.words, progress.total_words, figures)


def _activity(progress: Progress) -> str:
    """What is done besides training; "" during training and at the end."""
    if progress.event == "start":
        return "compiling or loading kernels"
    if progress.words < progress.total_words or progress.event == "end":
        return ""
    if progress.event == "save":
        return "drawing the loss curve"
    evaluated = progress.event == "evaluation" or progress.holdout_loss is None
    return "saving" if evaluated else "evaluating"


class _LossLine:
    """`loss 2.4123  █▆▄▃▂▂▁▁  held-out 3.412 ± 0.011`, drawn whenever the bar is."""

    def __init__(self) -> None:
        self._trace = LossTrace()
        self._progress: Progress | None = None

    def take(self, progress: Progress) -> None:
        """Show the losses of this."""
        self._progress = progress
        if progress.event == "interval" and progress.loss is not None:
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


def _epoch(progress: Progress) -> str:
    return f"epoch {progress.epoch}/{progress.epochs}"


def _words_per_second(progress: Progress) -> str:
    speed = progress.words_per_second
    return "" if speed is None else f"{speed:,.0f} words/s"


def _loss(progress: Progress) -> str:
    return "" if progress.loss is None else f"loss {progress.loss:.4f}"


def _holdout(progress: Progress, encoding: str | None) -> str:
    """`held-out 3.412 ± 0.011`; empty while the held-out loss is unknown."""
    loss, low, high = progress.holdout_loss, progress.holdout_low, progress.holdout_high
    if loss is None:
        return ""
    half = math.nan if low is None or high is None else (high - low) / 2
    if not (math.isfinite(half) and half > 0):
        return f"held-out {loss:.4f}"
    digits = min(5, max(2, 1 - math.floor(math.log10(half))))
    sign = "±" if can_show("±", encoding) else "+/-"
    return f"held-out {loss:.{digits}f} {sign} {half:.{digits}f}"


def _clock(progress: Progress) -> str:
    """The time left, or at the end the time that training took."""
    if progress.event == "end":
        return f"in {_hours(progress.seconds)}"
    return "" if progress.seconds_left is None else f"{_hours(progress.seconds_left)} left"


def _left(done: int, total: int, speed: float) -> str:
    return f"{_hours(max(0, total - done) / speed)} left" if speed and total else ""


def _hours(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


@contextmanager
def progress_display(quiet: bool) -> Iterator[Display]:
    """A live bar on a terminal, plain lines elsewhere, warnings only when `quiet`."""
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
        BarColumn(bar_width=None),
        TaskProgressColumn(),
        TextColumn("{task.fields[figures]}"),
        console=console,
        expand=True,
    )
    with Live(Group(bar, loss_line), console=console, refresh_per_second=10) as live:
        display = _Bar(bar, loss_line, console.width)
        yield display
        live.transient = not display.trained  # what follows training is its last frame
