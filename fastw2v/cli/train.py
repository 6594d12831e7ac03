"""The command `train`, its live progress, and the table of presets."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from fastw2v.cli.options import given_options, options_of
from fastw2v.corpus.config import PreprocessConfig
from fastw2v.training.config import PRESETS, TrainConfig

if TYPE_CHECKING:
    from fastw2v.training.monitor import Progress

_LINE_EVERY = 5.0  # seconds between progress lines where there is no terminal


def preset_table() -> str:
    """What each preset sets, one line a preset, for `--help` and the README."""
    lines = []
    for name, values in PRESETS.items():
        cells = []
        for option, value in values.items():
            if isinstance(value, dict):
                value = "/".join(str(rate) for rate in dict.fromkeys(value.values()))
                option = "alpha (sgram/cbow)" if "/" in value else option
            cells.append(f"{option.replace('_', '-')} {value}")
        lines.append(f"{name}: {', '.join(cells)}")
    return "\n\n".join(lines)


@options_of(PreprocessConfig)
@options_of(TrainConfig)
@click.command(
    epilog="\b\nExample:\n"
    "  fastw2v train --data-file 'corpus/*.txt.gz' --model-file my.model --type sgram_neg\n\n"
    "Presets (what another system does by default; --min-alpha alpha means a constant rate):\n\n"
    + preset_table()
    + "\n\nOptions from --min-count on shape the token store and apply to text only. Run the same "
    "command again to go on with an unfinished model; with --threads 1 a run is reproducible to "
    "the byte, with more threads the _neg types race and are not."
)
@click.argument("data", nargs=-1)
@click.option(
    "--data-file",
    multiple=True,
    metavar="PATH",
    help="Text files, a directory, a glob (quoted or not) or a token store; may be repeated, and "
    "more may follow as arguments.",
)
@click.option("--model-file", required=True, metavar="PATH", help="The model directory.")
@click.option(
    "--overwrite-model",
    is_flag=True,
    help="Start a new model in place of an existing one. Without it an existing model goes on.",
)
@click.option("--quiet", is_flag=True, help="No progress; warnings and errors only.")
@click.pass_context
def train(
    context: click.Context,
    data: tuple[str, ...],
    data_file: tuple[str, ...],
    model_file: str,
    overwrite_model: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Train word vectors on text or a token store, or go on training a model.

    The model is a directory: saved as it trains, with its loss curve (loss.png), its history and a
    checkpoint an epoch.
    """
    from fastw2v.training.trainer import train as run_training

    with _display(quiet) as display:
        model = run_training(
            [*data_file, *data],
            model_file,
            overwrite_model=overwrite_model,
            callback=display.training,
            notify=display.notify,
            preprocess_progress=display.preprocessing,
            **given_options(context, options),
        )
    if quiet:
        return
    loss = model.history[-1]["loss"] if model.history else None
    speed = model.words_done / model.training_seconds if model.training_seconds else math.nan
    click.echo(
        f"{model.path}: {model.words_done:,} words, {speed:,.0f} words/s"
        + ("" if loss is None else f", loss {loss:.4f}")
        + f"; loss curve: {model.path / 'loss.png'}"
    )


class _Display:
    """What the user sees while training; this base shows notices only."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet

    def notify(self, line: str) -> None:
        if not self._quiet or line.startswith("warning:"):
            click.echo(line, err=True)

    def preprocessing(self, phase: str, done: int, total: int) -> None:
        pass

    def training(self, progress: Progress) -> None:
        pass


class _Lines(_Display):
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


class _Bar(_Display):
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
            figures=_figures(progress),
        )


def _share(progress: Progress) -> float:
    return min(1.0, progress.words / max(progress.total_words, 1))


def _figures(progress: Progress) -> str:
    if math.isnan(progress.words_per_second):
        return "compiling or loading kernels" if progress.event == "start" else ""
    left = int(progress.seconds_left)
    return (
        f"{progress.words_per_second:,.0f} words/s  loss {progress.loss:.4f}  "
        f"alpha {progress.alpha:.4g}  {left // 3600}:{left // 60 % 60:02}:{left % 60:02} left"
    )


@contextmanager
def _display(quiet: bool) -> Iterator[_Display]:
    if quiet:
        yield _Display(quiet=True)
        return
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TextColumn("{task.fields[figures]}"),
        console=Console(stderr=True),
    ) as bar:
        yield _Bar(bar)


COMMANDS: list[click.Command] = [train]
