"""Click options made from the option fields of a config dataclass.

What the commands that ask a model have in common: arguments, options, and loading it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from fastw2v.options import flag_of, option_fields

if TYPE_CHECKING:
    from fastw2v.vectors.keyed_vectors import KeyedVectors

_CLICK_TYPES = {str: click.STRING, int: click.INT, float: click.FLOAT}


class _Choice(click.Choice):  # type: ignore[type-arg]
    """A choice whose error shows the values as they are written, underscores and all."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        return f"{value!r} is not one of {', '.join(self.choices)}"


def _click_option(field: Any) -> click.Option:
    rules = field.metadata
    flag = flag_of(field.name)
    settings: dict[str, Any] = {"help": rules["help"], "default": field.default}
    if rules["kind"] is bool:
        declaration = [f"{flag}/--no-{flag[2:]}"] if field.default else [flag]
        settings["is_flag"] = True
    else:
        declaration = [flag, *(f"--{alias}" for alias in rules["aliases"])]
        settings["type"] = (
            _Choice(rules["choices"]) if rules["choices"] else _CLICK_TYPES[rules["kind"]]
        )
    settings["show_default"] = rules["shown_default"] or (
        field.default is not None and field.default is not False
    )
    if rules["metavar"] or rules["choices"]:
        # Click would show choices as it normalizes them, with dashes for underscores.
        settings["metavar"] = rules["metavar"] or f"[{'|'.join(rules['choices'])}]"
    return click.Option([*declaration, field.name], **settings)


def options_of(
    config_class: Any, leave_out: tuple[str, ...] = ()
) -> Callable[[click.Command], click.Command]:
    """Decorator: add one click option for each option field of `config_class` to a command.

    Apply it above `@click.command()`, so that it receives the finished command.
    """

    def add(command: click.Command) -> click.Command:
        command.params.extend(
            _click_option(field)
            for field in option_fields(config_class)
            if field.name not in leave_out
        )
        return command

    return add


def given_options(context: click.Context, values: Mapping[str, Any]) -> dict[str, Any]:
    """The options of `values` that the user gave, leaving out those at their defaults."""
    return {
        name: value
        for name, value in values.items()
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT
    }


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
