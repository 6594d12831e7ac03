"""The command `train`, and the table of presets."""

from __future__ import annotations

import glob
import math
from pathlib import Path
from typing import Any

import click

from fastw2v.cli.display import print_json, progress_display, shown
from fastw2v.cli.options import given_options, option, options_of, result_options
from fastw2v.errors import UsageError
from fastw2v.store.config import PreprocessConfig
from fastw2v.training.config import PRESETS, TrainConfig


def preset_table() -> str:
    """What each preset sets, one line a preset, for `--help` and the documents."""
    lines = []
    for name, values in PRESETS.items():
        cells = []
        for name_of_option, value in values.items():
            if isinstance(value, dict):
                value = "/".join(str(rate) for rate in dict.fromkeys(value.values()))
                name_of_option = "alpha (sgram/cbow)" if "/" in value else name_of_option
            cells.append(f"{name_of_option.replace('_', '-')} {value}")
        lines.append(f"{name}: {', '.join(cells)}")
    return "\n\n".join(lines)


@options_of(PreprocessConfig)
@options_of(TrainConfig)
@click.command(
    epilog="\b\nExamples:\n"
    "  fastw2v train corpus.store my.model\n"
    "  fastw2v train 'corpus/*.txt.gz' --output my.model --type cbow_neg --epochs 10\n\n"
    "Presets (the defaults of other systems; --min-alpha alpha means a constant rate):\n\n"
    + preset_table()
    + "\n\nOptions from --min-count on shape the token store and apply to text only. Run the same "
    "command again to continue an unfinished model. With --threads 1 or --deterministic a seed "
    "fixes every bit of the vectors; with more threads the _neg types race and differ slightly "
    "from run to run."
)
@click.argument("paths", nargs=-1, metavar="DATA... [MODEL]")
@option(
    "--data-file",
    multiple=True,
    metavar="PATH",
    help="Another way to give DATA; may be repeated.",
)
@option(
    "-o",
    "--output",
    "--model-file",
    "output",
    metavar="MODEL",
    show_default="the last argument",
    help="The model directory.",
)
@option(
    "--force",
    "--overwrite-model",
    "force",
    is_flag=True,
    help="Replace an existing model by a new one. Without it the existing model is continued.",
)
@option(
    "--new-corpus",
    is_flag=True,
    help="Train an existing model on another corpus: start from its vectors and its vocabulary "
    "(see --update-vocab) and train for --epochs, the learning rate starting at --alpha again. The "
    "same command continues a run that was stopped.",
)
@result_options
@click.pass_context
def train(
    context: click.Context,
    paths: tuple[str, ...],
    data_file: tuple[str, ...],
    output: str | None,
    force: bool,
    new_corpus: bool,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Train word vectors, or continue training a model.

    DATA is a token store, or text: files, directories, glob patterns (quoted or not). MODEL is a
    directory: it is saved during training, with its loss curve (loss.png), its history and a
    checkpoint per epoch.
    """
    data, model_path = _data_and_model(paths, data_file, output)
    from fastw2v.training.api import train as run_training

    with progress_display(quiet) as display:
        model = run_training(
            data,
            model_path,
            overwrite_model=force,
            new_corpus=new_corpus,
            reporter=display,
            **given_options(context, options),
        )
    last = model.history[-1] if model.history else {}
    words, loss = last.get("words", 0), last.get("loss")  # on all corpora, as the seconds are
    speed = words / model.training_seconds if model.training_seconds else math.nan
    loss_curve = model.path / "loss.png"
    if as_json:
        print_json(
            {
                "model": model.path,
                "words": model.words_done,
                "seconds": model.training_seconds,
                "words_per_second": speed,
                "loss": loss,
                "loss_curve": loss_curve,
            }
        )
    elif not quiet:
        click.echo(
            f"{shown(model.path)}: {model.words_done:,} words, {speed:,.0f} words/s"
            + ("" if loss is None else f", loss {loss:.4f}")
            + f"; loss curve: {shown(loss_curve)}"
        )


def _data_and_model(
    paths: tuple[str, ...], data_file: tuple[str, ...], output: str | None
) -> tuple[list[str], str]:
    """The data and the model directory, which is the last of `paths` where `output` is not given.

    Raises:
        UsageError: one of them is missing, or the last of `paths` is data.
    """
    data, model = [*data_file, *paths], output
    if model is None:
        if not paths:
            raise UsageError("MODEL is missing; name the model directory last or with --output")
        model = data.pop()
        if data_kind := _data_kind(model):
            raise UsageError(
                f"{model}: is {data_kind}, not a model; name the model directory last or with "
                "--output"
            )
    if not data:
        raise UsageError("DATA is missing; name text files or a token store before the model")
    return data, model


def _data_kind(path: str) -> str:
    """What the data at `path` is; "" for a model or anything that is not data."""
    if path == "-":
        return "standard input"
    if "://" in path:
        return "a URL"
    if Path(path).is_file():
        return "a file"
    if (Path(path) / "manifest.json").is_file():
        return "a token store"
    return "a pattern of files" if glob.has_magic(path) and not Path(path).is_dir() else ""


COMMANDS: list[click.Command] = [train]
