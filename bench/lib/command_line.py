"""What the command lines of the benchmarks share: options, types, errors in one line."""

from __future__ import annotations

import argparse
import functools
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bench import ROOT
from bench.lib import results
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


class Parser(argparse.ArgumentParser):
    """The parser of one benchmark, with the options that all of them have.

    `name` is that of its result file; `defaults` maps an option to its value with --quick, its
    value without, and the argparse type of a value or the tuple of its choices.
    """

    def __init__(
        self, module: str, name: str, description: str, *, quick: str, ours: bool = True,
        **defaults: tuple[Any, Any, Callable[[str], Any] | tuple[str, ...]],
    ) -> None:  # fmt: skip
        super().__init__(prog=f"python -m {module}", description=description)
        self._result_name, self._by_length = name, defaults
        self.add_argument("--text", type=Path, nargs="+", default=[], metavar="PATH",
                          help="text files or a directory of shards")  # fmt: skip
        for option, (short, full, kind) in defaults.items():
            self.add_argument(
                f"--{option.replace('_', '-')}",
                type=str if isinstance(kind, tuple) else kind,
                choices=kind if isinstance(kind, tuple) else None,
                nargs="+" if isinstance(full, (list, tuple)) else None,
                help=f"default: {_shown(full)}; {_shown(short)} with --quick",
            )  # fmt: skip
        if ours:
            self.add_argument("--ours", nargs="+", default=[], metavar="NAME=VALUE",
                              help="further options of fastw2v")  # fmt: skip
        self.add_argument("--quick", action="store_true", help=quick)
        self.add_argument("--output", type=Path, help="result file (.json)")

    def parse(self, arguments: list[str] | None) -> argparse.Namespace:
        """The options, those that were not given filled in."""
        chosen = self.parse_args(arguments)
        for option, (short, full, _) in self._by_length.items():
            if getattr(chosen, option) is None:
                setattr(chosen, option, short if chosen.quick else full)
        if chosen.output is None:
            chosen.output = (
                results.RESULTS / f"{self._result_name}{'-quick' if chosen.quick else ''}.json"
            )
        return chosen

    def error(self, message: str) -> Any:
        """As argparse, without the usage of a dozen lines."""
        self.exit(2, f"{self.prog}: {message}\n")


def _shown(value: Any) -> str:
    if value is None:
        return "all"
    return " ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def check_threads(threads: int) -> None:
    """A benchmark on more threads than cores would time their switching.

    Raises:
        UsageError: more than this process may use.
    """
    cores = machine.usable_cores()
    if threads > cores:
        raise UsageError(f"--threads {threads}: this process may use {cores} cores")


def thread_counts(cores: int) -> list[int]:
    """1, 2, 4 … and all cores."""
    powers = [1 << power for power in range(cores.bit_length()) if 1 << power < cores]
    return [*powers, cores]


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
            file = Path(main.__code__.co_filename).relative_to(ROOT).with_suffix("")
            raise SystemExit(f"python -m {'.'.join(file.parts)}: {lines[0]}{last}") from error

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


def turned(runs: Sequence[Any], places: int) -> list[Any]:
    """The runs of a repeat turned round, so that none always comes after the same one.

    What comes after a trainer that heats the machine, or always last, would pay for its place.
    """
    first = places % len(runs)
    return [*runs[first:], *runs[:first]]


def repeats(count: int) -> Iterator[tuple[int, str]]:
    """(number, "repeat n of N") for each repeat."""
    return ((number, f"repeat {number} of {count}") for number in range(1, count + 1))
