"""What the commands that ask a model have in common: arguments, options, and loading it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from fastw2v.vectors.keyed_vectors import KeyedVectors

model_argument = click.argument("model", type=click.Path(path_type=Path))
topn_option = click.option(
    "--topn", type=click.IntRange(min=1), default=10, show_default=True, help="How many words."
)
force_option = click.option("--force", is_flag=True, help="Replace the output if it exists.")


def vectors_option(default: str | None = "input") -> Callable[[Any], Any]:
    """The option `--vectors`; without a default, whether it was given can be told."""
    return click.option(
        "--vectors",
        type=click.Choice(["input", "output", "mean"]),
        default=default,
        show_default=True if default else "input",
        help="Which matrix of a model directory: its input vectors, its output vectors, or the "
        "mean of both. A vectors file has one only.",
    )


def warn(message: str) -> None:
    """Show a warning."""
    click.echo(f"fastw2v: warning: {message}", err=True)


def load(model: Path, vectors: str | None) -> KeyedVectors:
    """The vectors of a model directory or file, with a warning where a save is damaged."""
    from fastw2v.vectors.keyed_vectors import KeyedVectors

    return KeyedVectors.load(model, vectors or "input", on_damage=warn)


def known(keyed_vectors: KeyedVectors, word: str) -> str:
    """The word as typed, else in lower case; raises UnknownWordError if neither is known."""
    found = keyed_vectors.match_case(word)
    if found is None:
        keyed_vectors.get_index(word)  # raises, with the nearest spellings
    return found or word
