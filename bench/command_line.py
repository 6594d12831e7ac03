"""What the command lines of the benchmarks share: types, defaults, errors in one line."""

from __future__ import annotations

import argparse
import functools
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench import common
from fastw2v.errors import FastW2VError, UsageError
from fastw2v.io import machine


def count(text: str) -> int:
    """An argparse type: a whole number, 1 or more."""
    return _at_least(1, text)


def seed(text: str) -> int:
    """An argparse type: a whole number, 0 or more."""
    return _at_least(0, text)


def _at_least(least: int, text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, {least} or more")
    return number


def amount(text: str) -> float:
    """An argparse type: a finite number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def set_defaults(chosen: argparse.Namespace, name: str, **defaults: tuple[Any, Any]) -> None:
    """Fill the options that were not given: (with --quick, without); `name` is the benchmark's."""
    for option, values in defaults.items():
        if getattr(chosen, option) is None:
            setattr(chosen, option, values[0 if chosen.quick else 1])
    if chosen.output is None:
        chosen.output = common.RESULTS / f"{name}{'-quick' if chosen.quick else ''}.json"


def check_threads(threads: int) -> None:
    """A benchmark on more threads than cores would time their switching.

    Raises:
        UsageError: more than this process may use.
    """
    cores = machine.usable_cores()
    if threads > cores:
        raise UsageError(f"--threads {threads}: this process may use {cores} cores")


def in_one_line(main: Callable[[list[str] | None], None]) -> Callable[..., None]:
    """`main` with foreseen failures ending in one line; what a child printed comes before it."""

    @functools.wraps(main)
    def reporting(arguments: list[str] | None = None) -> None:
        try:
            main(arguments)
        except (FastW2VError, RuntimeError) as error:
            lines = str(error).splitlines() or [type(error).__name__]
            if len(lines) > 1:
                print(*lines[1:], sep="\n", file=sys.stderr)
            last = f" {lines[-1].strip()}" if len(lines) > 1 else ""
            name = Path(main.__code__.co_filename).stem
            raise SystemExit(f"python -m bench.{name}: {lines[0]}{last}") from error

    return reporting


def parse_options(pairs: Sequence[str]) -> dict[str, Any]:
    """`["block_size=64", "alpha=0.05"]` as options; numbers become numbers.

    Raises:
        SystemExit: not NAME=VALUE.
    """
    options: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise SystemExit(f"--ours {pair}: expected NAME=VALUE, as in block_size=64")
        try:
            options[name.replace("-", "_")] = json.loads(text)
        except ValueError:
            options[name.replace("-", "_")] = text
    return options
