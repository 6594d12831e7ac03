"""Commands: demo."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fastw2v.errors import TrainingInterrupted

if TYPE_CHECKING:
    from fastw2v.demo import DemoResult


@click.command()
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=Path("fastw2v-demo"),
    show_default=True,
    help="Directory for the text, the token store and the model; an earlier demonstration there is "
    "started over, anything else is left alone and refused.",
)
@click.option(
    "--epochs", type=int, help="Passes over the text.  [default: 20, as the text is small]"
)
@click.option("--threads", type=int, help="Threads to train with.  [default: all usable cores]")
@click.option("--quiet", is_flag=True, help="Only the result, no progress.")
def demo(output: Path, epochs: int | None, threads: int | None, quiet: bool) -> None:
    """See the whole of it work, without a download.

    Gathers a million words of English from the documentation that Python and its packages carry on
    this machine, preprocesses them, trains skip-gram with negative sampling, and shows what the
    vectors know. It takes a minute or two.

    \b
    fastw2v demo
    fastw2v demo --output words-demo --epochs 3
    """
    from fastw2v.cli.display import training_display
    from fastw2v.demo import run_demo

    with training_display(quiet) as display:
        try:
            result = run_demo(
                output,
                notify=display.notify,
                preprocess_progress=display.preprocessing,
                callback=display.training,
                epochs=epochs,
                threads=threads,
            )
        except TrainingInterrupted as stopped:
            stopped.args = ("stopped; the same command starts the demonstration over",)
            raise
    _show(result)


def _program() -> str:
    """How this program is called from here: its name, or its path where that is not on the PATH."""
    beside = Path(sys.executable).with_name("fastw2v")
    if shutil.which("fastw2v") or not beside.exists():
        return "fastw2v"
    return shlex.quote(os.path.relpath(beside))


def _show(result: DemoResult) -> None:
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
    name, program = shlex.quote(str(result.model_directory)), _program()
    click.echo(
        f"\nWhere everything lies:\n"
        f"  text         {result.text}  ({result.words:,} words)\n"
        f"  token store  {result.store}\n"
        f"  model        {result.model_directory}\n"
        f"  loss curve   {result.model_directory / LOSS_PLOT}\n"
        f"\nWhat to try next:\n"
        f"  {program} neighbors {name} tuple\n"
        f"  {program} analogy {name} rows row columns\n"
        f"  {program} plot {name} --map\n"
        f"  {program} export {name} docs.vec\n"
        f"  {program} train --data-file YOUR-TEXT --model-file my.model"
    )


COMMANDS: list[click.Command] = [demo]
