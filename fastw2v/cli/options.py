"""Options and arguments of the commands, and how option names read on a command line.

The options of `preprocess` and `train` are made from the fields of their config classes. Messages
and help texts name options as Python does, in backticks; `with_flags` turns them into flags.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from fastw2v.options import check_choice, check_number, flag_of, option_fields
from fastw2v.store.config import PreprocessConfig
from fastw2v.training.config import TrainConfig

if TYPE_CHECKING:
    from fastw2v.vectors.keyed_vectors import KeyedVectors

_FLAGS = {
    field.name: flag_of(field.name)
    for config_class in (PreprocessConfig, TrainConfig)
    for field in option_fields(config_class)
}
# Parameters of Python functions that are no option fields.
_FLAGS |= {name: flag_of(name) for name in ("append", "force", "new_corpus", "output", "topn")}
_FLAGS |= {"overwrite_model": "--force", "file_format": "--format"}
_FLAGS |= {"data": "DATA", "inputs": "INPUT", "model": "MODEL"}
_OPTION_NAME = re.compile(r"`([a-z_]+)(?:=([^`\s]+))?`")


def with_flags(text: str) -> str:
    """`text` with the names of options in backticks as flags.

    `min_count` becomes --min-count, `lowercase=False` --no-lowercase, `errors=strict` --errors
    strict. Other text in backticks stays.
    """

    def flag(match: re.Match[str]) -> str:
        name, value = match.groups()
        if name not in _FLAGS:
            return match[0]
        if value in (None, "True"):
            return _FLAGS[name]
        if value == "False":
            return f"--no-{_FLAGS[name][2:]}"
        return f"{_FLAGS[name]} {value}"

    return _OPTION_NAME.sub(flag, text)


class Number(click.ParamType):
    """A number in a range; an error reads as that of a Python call."""

    def __init__(self, kind: type = int, **limits: float | None) -> None:
        self.name = "integer" if kind is int else "float"
        self._kind, self._limits = kind, limits

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | float:
        """The number that `value` says."""
        with contextlib.suppress(ValueError):  # which the check reports
            value = self._kind(value)
        return check_number(_flag(param), value, self._kind, **self._limits)


class Choice(click.ParamType):
    """One of some values; an error reads as that of a Python call."""

    name = "choice"

    def __init__(self, choices: tuple[str, ...]) -> None:
        self.choices = choices

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """`value`, if it is one of the choices."""
        return check_choice(_flag(param), value, self.choices)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """As `[input|output|mean]`."""
        return f"[{'|'.join(self.choices)}]"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The choices that begin so."""
        return [CompletionItem(choice) for choice in self.choices if choice.startswith(incomplete)]


def _flag(param: click.Parameter | None) -> str:
    return "" if param is None else max(param.opts, key=len)


class Option(click.Option):
    """An option whose help shows every default in the same way: [default: 300], [default: off]."""

    def __init__(self, *declarations: Any, **settings: Any) -> None:
        settings["help"] = with_flags(settings["help"])
        if isinstance(shown := settings.get("show_default"), str):
            settings["show_default"] = with_flags(shown)
        super().__init__(*declarations, **settings)

    def get_help_extra(self, ctx: click.Context) -> Any:
        """Click's, without the parentheses around a described default."""
        extra = super().get_help_extra(ctx)
        if isinstance(self.show_default, str):
            extra["default"] = self.show_default
        return extra


option = partial(click.option, cls=Option)


def _option_of(field: Any) -> click.Option:
    rules = field.metadata
    flag, kind = flag_of(field.name), rules["kind"]
    settings: dict[str, Any] = {"help": rules["help"], "default": field.default}
    if kind is bool:
        declaration = [f"{flag}/--no-{flag[2:]}"] if field.default else [flag]
        settings["is_flag"] = True
    else:
        declaration = [flag, *(f"--{alias}" for alias in rules["aliases"])]
        if rules["choices"]:
            settings["type"] = Choice(rules["choices"])
        elif kind is str:
            settings["type"] = click.STRING
        else:
            limits = {name: rules[name] for name in ("minimum", "maximum", "above")}
            settings["type"] = Number(kind, **limits)
    settings["show_default"] = rules["shown_default"] or (
        field.default is not None and field.default is not False
    )
    return Option([*declaration, field.name], metavar=rules["metavar"], **settings)


def options_of(
    config_class: Any, leave_out: tuple[str, ...] = ()
) -> Callable[[click.Command], click.Command]:
    """Decorator: add one click option for each option field of `config_class` to a command.

    Apply it above `@click.command()`, so that it receives the finished command.
    """

    def add(command: click.Command) -> click.Command:
        command.params.extend(
            _option_of(field)
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
force_option = option("--force", is_flag=True, help="Replace the output if it exists.")
threads_option = option(
    "--threads", type=Number(minimum=1, maximum=1024), show_default="usable cores",
    help="Number of threads (preprocess: processes).",
)  # fmt: skip
_json_option = option(
    "--json", "as_json", is_flag=True, help="Print the result as one JSON object."
)
_quiet_option = option(
    "--quiet", is_flag=True, help="No progress, notes or summary: only results, warnings, errors."
)


def result_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: --json and --quiet, as `as_json` and `quiet`."""
    return _json_option(_quiet_option(command))


def topn_option(
    what: str = "words", default: int | None = 10, minimum: int = 1, **settings: Any
) -> Callable[[Any], Any]:
    """The option -n/--topn: how many of `what`."""
    settings = {"show_default": True, "help": f"How many {what}.", **settings}
    return option("-n", "--topn", type=Number(minimum=minimum), default=default, **settings)


def output_option(what: str, metavar: str = "FILE", **settings: Any) -> Callable[[Any], Any]:
    """The option -o/--output: where to write."""
    path = click.Path(path_type=Path)
    return option("-o", "--output", type=path, metavar=metavar, help=what, **settings)


def vectors_option(default: str | None = "input") -> Callable[[Any], Any]:
    """The option `--vectors`; without a default, the command can see whether it was given."""
    return option(
        "--vectors",
        type=Choice(("input", "output", "mean")),
        default=default,
        show_default="input",
        help="Matrix of a model to use: its input vectors, its output vectors or the mean of both. "
        "A vectors file has only one.",
    )


def warn(message: str) -> None:
    """Print a warning."""
    click.echo(f"fastw2v: warning: {with_flags(message)}", err=True)


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
