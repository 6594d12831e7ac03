"""The `fastw2v` command group, and how errors become one line and an exit code."""

from __future__ import annotations

import errno
import sys
from typing import Any

import click

from fastw2v import __version__
from fastw2v.cli import compare, demo, evaluate, info, store, train, vectors
from fastw2v.cli.options import option, with_flags
from fastw2v.errors import FastW2VError, ResourceError, UsageError

_WRONG_PATH = (errno.ENOENT, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG)


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
            result = super().main(arguments, *rest, **{**extra, "standalone_mode": False})
        except Exception as error:
            if debug and not isinstance(error, click.ClickException | click.Abort):
                raise
            sys.exit(_report(error))
        sys.exit(result if isinstance(result, int) else 0)


def _report(error: Exception) -> int:
    """Print an error that a user can cause as one line; returns its exit code.

    Raises:
        Exception: any other error, as it is.
    """
    exit_code = ResourceError.exit_code
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return error.exit_code
    if isinstance(error, click.ClickException):
        line, exit_code = _line_of(error), error.exit_code
    elif isinstance(error, FastW2VError):
        line, exit_code = with_flags(str(error)), error.exit_code
    elif isinstance(error, click.Abort):  # Ctrl-C where nothing else catches it
        line, exit_code = "stopped; run the same command again to continue", 130
    elif isinstance(error, MemoryError):
        line = "out of memory; close other programs or ask for less"
    elif isinstance(error, OSError):
        name = f"{error.filename}: " if error.filename is not None else ""
        line = f"{name}{error.strerror or error}; check the path and its permissions"
        if error.errno in _WRONG_PATH:
            exit_code = UsageError.exit_code
    else:
        raise error
    click.echo(f"fastw2v: {line}", err=True)
    return exit_code


def _line_of(error: click.ClickException) -> str:
    """An error of click's in the style of our own, with the command whose help explains more."""
    line = " ".join(error.format_message().split())
    if isinstance(error, click.BadParameter) and error.param and error.message:
        line = f"{max(error.param.opts, key=len)}: {error.message}"
    if line:
        line = (line[0].lower() + line[1:]).removesuffix(".")
    if isinstance(error, click.UsageError) and error.ctx:
        line += f"; see {error.ctx.command_path} --help"
    return line


@click.group(
    cls=_Group,
    context_settings={
        "token_normalize_func": _with_dashes,
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
    },
)
@click.version_option(__version__, prog_name="fastw2v")
@option("--debug", is_flag=True, help="Show the traceback of an error (any command takes it).")
def fastw2v(debug: bool) -> None:
    """Word vectors on ordinary multicore CPUs: preprocess text, train, query, evaluate, export.

    \b
    fastw2v demo                                       see it work, no download
    fastw2v preprocess corpus/*.txt.gz --output corpus.store
    fastw2v train corpus.store my.model
    fastw2v neighbors my.model king

    Exit codes: 0 success, 1 damaged data or a failed check, 2 wrong usage, 3 the machine lacks
    something (memory, disk space, a permission), 4 training diverged, 130 interrupted.
    """


for _module in (demo, info, store, train, vectors, evaluate, compare):
    for _command in _module.COMMANDS:
        fastw2v.add_command(_command)
