"""The command `demo`."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fastw2v.cli.display import print_json
from fastw2v.cli.options import Number, option, output_option, result_options, threads_option
from fastw2v.errors import TrainingInterrupted

if TYPE_CHECKING:
    from fastw2v.demo import DemoResult


@click.command()
@output_option(
    "Directory for the text, the token store and the model. An earlier demonstration there is "
    "replaced; anything else is left alone and refused.",
    metavar="DIRECTORY",
    default=Path("fastw2v-demo"),
    show_default=True,
)
@option(
    "--epochs",
    type=Number(minimum=1),
    show_default="20, as the text is small",
    help="Passes over the text.",
)
@threads_option
@result_options
def demo(output: Path, epochs: int | None, threads: int | None, as_json: bool, quiet: bool) -> None:
    """See everything work on text from this machine, no download.

    Gathers a million words of English from the documentation of the installed Python and its
    packages, preprocesses them, trains skip-gram with negative sampling, and shows what the vectors
    know. It takes a minute or two.

    \b
    fastw2v demo
    fastw2v demo --output words-demo --epochs 3
    """
    from fastw2v.cli.display import progress_display
    from fastw2v.demo import run_demo

    with progress_display(quiet) as display:
        try:
            result = run_demo(
                output,
                reporter=display,
                epochs=epochs,
                threads=threads,
            )
        except TrainingInterrupted as stopped:
            stopped.args = ("stopped; the same command starts the demonstration over",)
            raise
    if as_json:
        print_json(_as_json(result))
    else:
        _show(result, quiet)


def _program() -> str:
    """How this program is called from here: its name, or its path where that is not on the PATH."""
    beside = Path(sys.executable).with_name("fastw2v")
    if shutil.which("fastw2v") or not beside.exists():
        return "fastw2v"
    return shlex.quote(os.path.relpath(beside))


def _as_json(result: DemoResult) -> dict[str, object]:
    from fastw2v.demo import neighbors_shown

    return {
        "text": result.text,
        "store": result.store,
        "model": result.model_directory,
        "words": result.model.words_done,
        "seconds": result.model.training_seconds,
        "neighbors": dict(neighbors_shown(result.model)),
    }


def _show(result: DemoResult, quiet: bool) -> None:
    from fastw2v.demo import neighbors_shown
    from fastw2v.io.model_directory import LOSS_PLOT

    model = result.model
    seconds = model.training_seconds
    click.echo(
        f"\nTrained on {model.words_done:,} words in {seconds:.1f} s: "
        f"{model.words_done / max(seconds, 1e-9):,.0f} words/s\n"
    )
    click.echo("Nearest neighbors:")
    for word, neighbors in neighbors_shown(model):
        click.echo(f"  {word:<10} {', '.join(neighbors)}")
    if quiet:
        return
    name, program = shlex.quote(str(result.model_directory)), _program()
    click.echo(
        f"\nWhere everything is:\n"
        f"  text         {result.text}  ({result.words:,} words)\n"
        f"  token store  {result.store}\n"
        f"  model        {result.model_directory}\n"
        f"  loss curve   {result.model_directory / LOSS_PLOT}\n"
        f"\nWhat to try next:\n"
        f"  {program} neighbors {name} tuple\n"
        f"  {program} analogy {name} rows row columns\n"
        f"  {program} plot {name} --map\n"
        f"  {program} export {name} --output docs.vec\n"
        f"  {program} train YOUR-TEXT my.model"
    )


COMMANDS: list[click.Command] = [demo]
