"""The `fastw2v` command group, and how errors become one line and an exit code."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from fastw2v import __version__
from fastw2v.cli import corpus, demo, train, vectors
from fastw2v.errors import FastW2VError


def _with_dashes(name: str) -> str:
    return name.replace("_", "-")


class _Group(click.Group):
    """A group that prints errors as one line; `--debug` anywhere shows the traceback."""

    def main(self, args: Any = None, *rest: Any, **extra: Any) -> Any:
        arguments = list(sys.argv[1:] if args is None else args)
        literal = arguments.index("--") if "--" in arguments else len(arguments)
        debug = "--debug" in arguments[:literal]
        arguments = [
            word
            for position, word in enumerate(arguments)
            if word != "--debug" or position > literal
        ]
        try:
            return super().main(arguments, *rest, **extra)
        except FastW2VError as error:
            if debug:
                raise
            click.echo(f"fastw2v: {error}", err=True)
            sys.exit(error.exit_code)
        except MemoryError:
            if debug:
                raise
            click.echo("fastw2v: out of memory; close other programs or ask for less", err=True)
            sys.exit(1)
        except BrokenPipeError:  # the reader of a pipe went away (`fastw2v info | head`)
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(141)


@click.group(
    cls=_Group,
    context_settings={
        "token_normalize_func": _with_dashes,
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
    },
)
@click.version_option(__version__, prog_name="fastw2v")
@click.option(
    "--debug", is_flag=True, help="Show the traceback of an error (any command takes it)."
)
def fastw2v(debug: bool) -> None:
    """Word vectors on ordinary multicore CPUs: preprocess text, train, query, evaluate, export.

    \b
    fastw2v demo                                         see it work, no download
    fastw2v preprocess corpus/*.txt.gz --output corpus.store
    fastw2v train --data-file corpus.store --model-file my.model
    fastw2v neighbors my.model king
    """


for _module in (demo, corpus, train, vectors):
    for _command in _module.COMMANDS:
        fastw2v.add_command(_command)
