"""Options defined once: a frozen dataclass field carries its default, help text and checks.

The command line makes its flags from these fields and the Python functions take them as keyword
arguments, so names, defaults and checks cannot differ between the two.

Checks of what Python callers give; the command line checks its own.
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
        default: value when not given; None means "chosen by the program" (say how in `help`).
        help: what it does, in a sentence or two, for `--help`.
        kind: `str`, `int`, `float` or `bool` (a flag).
        choices: the only values allowed.
        minimum, maximum: smallest and largest value allowed; `above`: must be larger than this.
        aliases: further names on the command line, without dashes.
        shown_default: what `--help` shows as the default when None means something.
        metavar: what `--help` shows for the value.
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
    rules, flag = field.metadata, flag_of(field.name)
    kind = rules["kind"]
    if kind in (int, float):
        try:
            number = kind(value)
        except (TypeError, ValueError, OverflowError):
            raise UsageError(f"{flag}: {value!r} is not a number") from None
        if isinstance(value, bool) or (kind is int and number != value):
            raise UsageError(f"{flag}: {value!r} is not a whole number")
        value = number
    elif not isinstance(value, kind):
        raise UsageError(f"{flag}: expected {kind.__name__}, found {value!r}")
    if rules["choices"] and value not in rules["choices"]:
        raise UsageError(f"{flag}: {value!r} is not one of {', '.join(rules['choices'])}")
    _check_range(flag, value, rules)
    return value


def _check_range(flag: str, value: Any, rules: Mapping[str, Any]) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"{flag}: {value} is not a finite number")
    if rules["minimum"] is not None and value < rules["minimum"]:
        raise UsageError(f"{flag}: {value} is too small; the least is {rules['minimum']}")
    if rules["above"] is not None and value <= rules["above"]:
        raise UsageError(f"{flag}: {value} is too small; it must be more than {rules['above']}")
    if rules["maximum"] is not None and value > rules["maximum"]:
        raise UsageError(f"{flag}: {value} is too large; the most is {rules['maximum']}")


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
    """Check that `value` is a path, which "" is not: as a `Path` it would be the working directory.

    Raises:
        UsageError: it is none; says what to give `instead`.
    """
    if not isinstance(value, str | Path) or not str(value):
        raise UsageError(f"{name}: {shown(value)} is not a path; {instead}")


def whole_number(name: str, value: Any) -> int:
    """`value` as an int.

    Raises:
        UsageError: not a whole number.
    """
    try:
        return operator.index(value)
    except TypeError:
        raise UsageError(f"{name}: {shown(value)} is not a whole number") from None


def shown(value: Any) -> str:
    """`repr` on one line, shortened."""
    return " ".join(reprlib.repr(value).split())
