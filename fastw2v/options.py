"""Options defined once: a frozen dataclass field carries its default, help text and checks.

The command line makes its flags from these fields and the Python functions take them as keyword
arguments, so names, defaults and checks cannot differ between the two. Messages and help texts name
an option in Python's spelling, in backticks, which the command line turns into a flag.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import operator
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from fastw2v.errors import UsageError

Config = TypeVar("Config")


def option(
    default: Any,
    help: str,  # noqa: A002 - click's word for it
    *,
    kind: type = str,
    choices: Sequence[str] = (),
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    aliases: Sequence[str] = (),
    shown_default: str | None = None,
    metavar: str | None = None,
) -> Any:
    """A dataclass field that is an option of the command line and of the Python function.

    Args:
        default: value when not given; None means "chosen by the program" (see `shown_default`).
        help: what it does, in a sentence or two.
        kind: `str`, `int`, `float` or `bool` (a flag).
        choices: the only values allowed.
        minimum, maximum, above: see `check_number`.
        aliases: further names on the command line, without dashes.
        shown_default: what help shows as the default where None stands for one.
        metavar: what help shows for the value.
    """
    return dataclasses.field(
        default=default,
        metadata={
            "help": help,
            "kind": kind,
            "choices": tuple(choices),
            "minimum": minimum,
            "maximum": maximum,
            "above": above,
            "aliases": tuple(aliases),
            "shown_default": shown_default,
            "metavar": metavar,
        },
    )


def flag_of(name: str) -> str:
    """`vector_dim` -> `--vector-dim`."""
    return "--" + name.replace("_", "-")


def quoted(name: str) -> str:
    """An option's name as messages show it."""
    return f"`{name}`"


def option_fields(config_class: Any) -> list[dataclasses.Field[Any]]:
    """The fields of a config class that are options."""
    return [field for field in dataclasses.fields(config_class) if "help" in field.metadata]


def check_options(config: Any) -> None:
    """Check every option of a config object by what its field says; call from `__post_init__`.

    Integers given as `numpy` integers or whole floats are stored as `int`.

    Raises:
        UsageError: a value of the wrong type, not among the choices, NaN, or out of range.
    """
    for field in option_fields(type(config)):
        value = getattr(config, field.name)
        if value is None and field.default is None:
            continue
        object.__setattr__(config, field.name, _checked(field, value))


def _checked(field: dataclasses.Field[Any], value: Any) -> Any:
    rules, label = field.metadata, quoted(field.name)
    kind = rules["kind"]
    if kind in (int, float):
        limits = {name: rules[name] for name in ("minimum", "maximum", "above")}
        return check_number(label, value, kind, **limits)
    if not isinstance(value, kind):
        wanted = "True or False" if kind is bool else "a string"
        raise UsageError(f"{label} must be {wanted}; got {shown(value)}")
    return check_choice(label, value, rules["choices"]) if rules["choices"] else value


def check_number(
    label: str,
    value: Any,
    kind: type = int,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
) -> Any:
    """`value` as an `int` or a `float`, which it must be without loss.

    Args:
        label: how the error names the option.
        minimum, maximum: smallest and largest value allowed; `above`: must be larger than this.

    Raises:
        UsageError: not a number, not whole, not finite, or out of range.
    """
    wanted = "a whole number" if kind is int else "a number"
    try:
        number = kind(value)
    except (TypeError, ValueError, OverflowError):
        raise UsageError(f"{label} must be {wanted}; got {shown(value)}") from None
    if isinstance(value, bool) or (kind is int and number != value):
        raise UsageError(f"{label} must be {wanted}; got {shown(value)}")
    if kind is float and not math.isfinite(number):
        raise UsageError(f"{label} must be a finite number; got {number}")
    for limit, inside, rule in (
        (minimum, operator.ge, "at least"),
        (above, operator.gt, "greater than"),
        (maximum, operator.le, "at most"),
    ):
        if limit is not None and not inside(number, limit):
            raise UsageError(f"{label} must be {rule} {limit}; got {number}")
    return number


def check_choice(label: str, value: Any, choices: Sequence[str]) -> str:
    """`value`, which must be one of `choices`.

    Raises:
        UsageError: it is not.
    """
    if value not in choices:
        raise UsageError(f"{label} must be one of {', '.join(choices)}; got {shown(value)}")
    return str(value)


def reject_unknown_options(config_class: Any, names: Iterable[str]) -> None:
    """Check that `config_class` has all these options.

    Raises:
        UsageError: names the first that it does not have, and the nearest that it has.
    """
    known = [field.name for field in option_fields(config_class)]
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
            raise UsageError(f"unknown option {name!r}; {hint}")


def make_config(config_class: type[Config], options: Mapping[str, Any]) -> Config:
    """Build a config from keyword options.

    Raises:
        UsageError: an option that the class does not have (with the nearest name), or a bad value.
    """
    reject_unknown_options(config_class, options)
    return config_class(**options)


def check_path(name: str, value: Any, instead: str) -> None:
    """Check that `value` is a path; "" is none, although `Path("")` is the working directory.

    Raises:
        UsageError: it is not; says what to give `instead`.
    """
    if not isinstance(value, str | Path) or not str(value):
        raise UsageError(f"{name}: {shown(value)} is not a path; {instead}")


def shown(value: Any) -> str:
    """`repr` on one line, shortened."""
    return " ".join(reprlib.repr(value).split())
