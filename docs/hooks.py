"""The command line reference of docs/cli.md, made from click when the site is built."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from fastw2v.cli.main import fastw2v  # noqa: E402

MARKER = "<!-- commands -->"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the reference in the place of its marker (called by mkdocs for each page)."""
    return markdown.replace(MARKER, reference()) if MARKER in markdown else markdown


def reference() -> str:
    """All commands, in Markdown."""
    return "\n\n".join(command_section(name, fastw2v.commands[name]) for name in fastw2v.commands)


def command_section(name: str, command: click.Command) -> str:
    """One command: usage, description, options, examples."""
    context = click.Context(command, info_name=f"fastw2v {name}")
    usage = command.get_usage(context).removeprefix("Usage: ")
    options = [
        definition(parameter, context)
        for parameter in command.get_params(context)
        if isinstance(parameter, click.Option) and not parameter.hidden
    ]
    parts = [f"## {name}", code(" ".join(usage.split())), *prose(command.help or "")]
    parts += ["**Options**", *options, *prose(command.epilog or "")]
    return "\n\n".join(parts)


def definition(option: click.Option, context: click.Context) -> str:
    """An option as a definition list entry: its names and value, then what `--help` says."""
    record = option.get_help_record(context)
    assert record is not None  # hidden options have none
    names, text = record
    return f"`{' '.join(names.split())}`\n:   {escaped(' '.join(text.split()))}"


def prose(text: str) -> list[str]:
    """Paragraphs of a help text; those that click prints as they are become code."""
    paragraphs = [part.strip("\n") for part in inspect.cleandoc(text).split("\n\n") if part.strip()]
    return [
        code(inspect.cleandoc(part.partition("\b")[2]))
        if part.startswith("\b")
        else escaped(" ".join(part.split()))
        for part in paragraphs
    ]


def code(text: str) -> str:
    """A block that is shown as it is."""
    return f"```text\n{text}\n```"


def escaped(text: str) -> str:
    """`text` with what Markdown and HTML would read as markup escaped, but for `code`."""
    pieces = text.split("`")
    for place in range(0, len(pieces), 2):
        for mark in "\\*_<>[]|":
            pieces[place] = pieces[place].replace(mark, f"\\{mark}")
    return "`".join(pieces)
