"""The command `preprocess`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fastw2v.cli.display import byte_progress
from fastw2v.cli.options import given_options, options_of
from fastw2v.cli.tables import print_rows, shown
from fastw2v.store.config import PreprocessConfig


@options_of(PreprocessConfig)
@click.command(
    epilog="\b\nExample:\n  fastw2v preprocess corpus/*.txt.gz --output corpus.store\n\n"
    "A run that was stopped goes on when the same command is given again. The store does not "
    "depend on the number of threads."
)
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("--output", required=True, metavar="STORE", help="The token store to make.")
@click.option(
    "--threads",
    type=click.INT,
    show_default="usable cores, fewer for little text",
    help="Processes that read text at the same time.",
)
@click.option(
    "--force",
    is_flag=True,
    help="Replace a token store that is there already, once the new one is complete.",
)
@click.option(
    "--append",
    is_flag=True,
    help="Add text to a finished token store, with its vocabulary and its other options; files "
    "that are in it already are left out.",
)
@click.option("--quiet", is_flag=True, help="No progress and no report.")
@click.pass_context
def preprocess(
    context: click.Context,
    inputs: tuple[str, ...],
    output: str,
    threads: int | None,
    force: bool,
    append: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Turn text into a token store, ready to train on.

    INPUT is a text file (UTF-8, a line a sequence), a directory, a glob pattern, a URL (s3://,
    gs://, hf://, https://, with the extra `remote`) or - for standard input. Files may be
    compressed: gz, bz2, xz, zst. JSON Lines, Parquet and datasets saved by Hugging Face are read
    with --text-column or --ids-column.
    """
    from fastw2v.store.pipeline import preprocess as run

    try:
        with byte_progress(quiet) as progress:
            report = run(
                list(inputs),
                output,
                threads=threads,
                force=force,
                append=append,
                progress=progress,
                **given_options(context, options),
            )
    except KeyboardInterrupt:
        again = " (give standard input anew, from its beginning)" if "-" in inputs else ""
        click.echo(f"\nstopped; the same command goes on from here{again}", err=True)
        context.exit(130)
    for file in _bad_files(output) if report.bad_files else []:
        click.echo(f"left out: {file['name']}: {file['reason']}", err=True)
    if quiet:
        return
    rows = [(about, label, f"{value:,}", share) for about, label, value, share in report.rows()]
    print_rows(("about", "what", "number", "share"), rows)
    click.echo(f"{shown(output)}: {report.tokens_kept:,} tokens in {report.seconds:.1f} s")


def _bad_files(store: str) -> list[dict[str, str]]:
    from fastw2v.store.format import read_manifest

    files: list[dict[str, str]] = read_manifest(Path(store))["bad_files"]
    return files


COMMANDS: list[click.Command] = [preprocess]
