"""The command `preprocess`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fastw2v.cli.display import progress_display
from fastw2v.cli.options import (
    force_option,
    given_options,
    option,
    options_of,
    result_options,
    threads_option,
    with_flags,
)
from fastw2v.cli.tables import print_json, print_rows, shown
from fastw2v.store.config import PreprocessConfig


@options_of(PreprocessConfig)
@click.command(
    epilog="\b\nExample:\n  fastw2v preprocess corpus/*.txt.gz --output corpus.store\n\n"
    "Run the same command again to continue a run that was stopped. The store does not depend on "
    "the number of threads."
)
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@option("-o", "--output", required=True, metavar="STORE", help="The token store to write.")
@threads_option
@force_option
@option(
    "--append",
    is_flag=True,
    help="Add text to a finished token store, with its vocabulary and its other options; files "
    "already in it are skipped.",
)
@result_options
@click.pass_context
def preprocess(
    context: click.Context,
    inputs: tuple[str, ...],
    output: str,
    threads: int | None,
    force: bool,
    append: bool,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Turn text into a token store, ready to train on.

    INPUT is a text file (UTF-8, one sequence per line), a directory, a glob pattern, a URL (s3://,
    gs://, hf://, https://, with the extra fastw2v[remote]) or - for standard input. Files may be
    compressed: gz, bz2, xz, zst. JSON Lines, Parquet and datasets saved by Hugging Face are read
    with --text-column or --ids-column.
    """
    from fastw2v.store.pipeline import preprocess as run

    try:
        with progress_display(quiet) as display:
            report = run(
                list(inputs),
                output,
                threads=threads,
                force=force,
                append=append,
                progress=display.bytes,
                **given_options(context, options),
            )
    except KeyboardInterrupt:
        again = " (give standard input again, from its beginning)" if "-" in inputs else ""
        click.echo(f"\nstopped; run the same command again to continue{again}", err=True)
        context.exit(130)
    bad_files = _bad_files(output) if report.bad_files else []
    for file in bad_files:
        click.echo(f"skipped: {shown(file['name'])}: {with_flags(file['reason'])}", err=True)
    if as_json:
        counts = report.as_manifest()
        print_json(
            {"store": output, "seconds": report.seconds, "report": counts, "bad_files": bad_files}
        )
    elif not quiet:
        rows = [(about, label, f"{value:,}", share) for about, label, value, share in report.rows()]
        print_rows(("about", "what", "number", "share"), rows)
        click.echo(f"{shown(output)}: {report.tokens_kept:,} tokens in {report.seconds:.1f} s")


def _bad_files(store: str) -> list[dict[str, str]]:
    from fastw2v.store.format import read_manifest

    files: list[dict[str, str]] = read_manifest(Path(store))["bad_files"]
    return files


COMMANDS: list[click.Command] = [preprocess]
