"""The command `train`, and the table of presets."""

from __future__ import annotations

import math
from typing import Any

import click

from fastw2v.cli.display import training_display
from fastw2v.cli.options import given_options, options_of
from fastw2v.store.config import PreprocessConfig
from fastw2v.training.config import PRESETS, TrainConfig


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
    "command again to go on with an unfinished model. With --threads 1 or --deterministic a seed "
    "fixes every bit of the vectors; with more threads the _neg types race and differ slightly "
    "from run to run."
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
@click.option(
    "--new-corpus",
    is_flag=True,
    help="Train an existing model on other text: from its vectors, with its vocabulary (see "
    "--update-vocab), --epochs times, the learning rate planned anew. Given again, it goes on.",
)
@click.option("--quiet", is_flag=True, help="No progress; warnings and errors only.")
@click.pass_context
def train(
    context: click.Context,
    data: tuple[str, ...],
    data_file: tuple[str, ...],
    model_file: str,
    overwrite_model: bool,
    new_corpus: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Train word vectors on text or a token store, or go on training a model.

    The model is a directory: saved as it trains, with its loss curve (loss.png), its history and a
    checkpoint an epoch.
    """
    from fastw2v.training.api import train as run_training

    with training_display(quiet) as display:
        model = run_training(
            [*data_file, *data],
            model_file,
            overwrite_model=overwrite_model,
            new_corpus=new_corpus,
            callback=display.training,
            notify=display.notify,
            preprocess_progress=display.preprocessing,
            **given_options(context, options),
        )
    if quiet:
        return
    loss = model.history[-1]["loss"] if model.history else None
    # On all corpora, as the seconds are.
    words = model.history[-1]["words"] if model.history else 0
    speed = words / model.training_seconds if model.training_seconds else math.nan
    click.echo(
        f"{model.path}: {model.words_done:,} words, {speed:,.0f} words/s"
        + ("" if loss is None else f", loss {loss:.4f}")
        + f"; loss curve: {model.path / 'loss.png'}"
    )


COMMANDS: list[click.Command] = [train]
