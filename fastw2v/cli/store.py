"""The commands that make and examine token stores: preprocess, verify, vocab, sample."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fastw2v.cli.display import print_json, print_rows, printable, progress_display, shown
from fastw2v.cli.options import (
    Choice,
    Number,
    force_option,
    given_options,
    option,
    options_of,
    output_option,
    result_options,
    threads_option,
    topn_option,
    warn,
    with_flags,
)
from fastw2v.errors import DataError, UsageError
from fastw2v.store.config import PreprocessConfig

if TYPE_CHECKING:
    import numpy as np

    from fastw2v.store.format import TokenStore


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
        reason = file["reason"].removeprefix(f"{file['name']}: ")
        click.echo(f"skipped: {shown(file['name'])}: {with_flags(reason)}", err=True)
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


_BLOCK_LINES = 100  # a write to standard output; few, so that a pipe gets lines as they are found
_MIN_WIDTH = 10


@click.command()
@click.argument("path", metavar="STORE|MODEL")
@threads_option
@result_options
def verify(path: str, threads: int | None, as_json: bool, quiet: bool) -> None:
    """Compare the files of a store or a model with their checksums.

    Reads everything. Store: sizes, SHA-256, page checksums, row groups, whether all ids are in the
    vocabulary, and whether its counts are those of the ids. Model: SHA-256 of every save and
    checkpoint, shapes, finite vectors. Prints one line for each damaged file; the exit code is 1
    then. Files that do not belong there are warnings.

    \b
    Examples: fastw2v verify corpus.store
              fastw2v verify my.model
    """
    from fastw2v.io.model_directory import is_generation, is_model_directory
    from fastw2v.store.verify import verify_model, verify_store

    if not path:  # as a Path it would be the working directory
        raise UsageError("empty path; name a token store or a model")
    directory = Path(path)
    if not directory.exists():
        raise UsageError(f"{path}: no such token store or model")
    is_model = is_model_directory(directory) or is_generation(directory)
    with progress_display(quiet) as display:
        run = verify_model if is_model else verify_store
        findings = run(directory, display.bytes, threads=threads)
    damaged = [finding for finding in findings if finding.damage]
    for finding in findings:
        if not finding.damage:
            warn(f"{shown(finding.path)}: {finding.problem}")
        elif not as_json:
            click.echo(f"{shown(finding.path)}: {with_flags(finding.problem)}")
    if as_json:
        found = [
            {"path": one.path, "problem": one.problem, "damage": one.damage} for one in findings
        ]
        print_json({"path": path, "sound": not damaged, "findings": found})
    if damaged:
        number = "1 damaged file" if len(damaged) == 1 else f"{len(damaged):,} damaged files"
        remedy = "" if is_model else "; make the store again (fastw2v preprocess)"
        raise DataError(f"{shown(path)}: {number}{remedy}")
    if not (as_json or quiet):
        click.echo(f"{shown(path)}: verified; all files match their SHA-256")


@click.command()
@click.argument("source", metavar="STORE|MODEL|FILE")
@output_option(
    "The file to write (.txt or .vocab, .tsv, .parquet).", show_default="standard output"
)
@option(
    "--format",
    "file_format",
    type=Choice(("word2vec", "tsv", "parquet")),
    show_default="by the suffix of --output; tsv on standard output",
    help="word2vec: lines of word and count, as word2vec.c -save-vocab writes them (the first is "
    "</s> 0, as its first word is the line end). tsv: token, count, id, with a header. parquet: "
    "token, count; the row is the id.",
)
@topn_option(default=None, show_default="all", help="How many words, the most frequent ones.")
@option(
    "--min-count",
    type=Number(minimum=1),
    default=1,
    show_default=True,
    help="Leave out words that occur less often.",
)
@force_option
@result_options
def vocab(
    source: str, output: Path | None, file_format: str | None, topn: int | None,
    min_count: int, force: bool, as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Write the vocabulary of a token store, a model or a file.

    Words keep their order. `fastw2v preprocess --vocabulary FILE` reads each of the formats.

    \b
    Examples: fastw2v vocab corpus.store -n 20
              fastw2v vocab corpus.store --output vocabulary.tsv
              fastw2v vocab vocabulary.txt --output vocabulary.parquet
    """
    from fastw2v.store import vocabulary_files as files
    from fastw2v.vectors.formats import check_output

    if not source:
        raise UsageError("empty path; name a token store, a model or a vocabulary file")
    if output is not None:
        file_format = file_format or files.format_of_suffix(output)
        check_output(output, force)
    elif file_format == "parquet":
        raise UsageError("--format parquet needs a file to write; name it with --output")
    elif file_format and as_json:
        raise UsageError("--format and --json exclude each other without --output")
    vocabulary = files.read_vocabulary(source)
    ids = files.select_words(vocabulary, top=topn, min_count=min_count)
    if not len(ids):
        most = max(vocabulary.counts, default=0)
        raise UsageError(
            f"{shown(source)}: no word occurs {min_count:,} times; the most frequent: {most:,}"
        )
    if output is not None:
        files.write_vocabulary(output, vocabulary, ids, str(file_format))
        if as_json:
            print_json({"output": output, "words": len(ids), "format": file_format})
        elif not quiet:
            click.echo(f"wrote {shown(output)}: {len(ids):,} words, {file_format}")
    elif as_json:
        words = [
            {"word": vocabulary.tokens[n], "count": int(vocabulary.counts[n]), "id": n}
            for n in ids.tolist()
        ]
        print_json({"vocabulary": words})
    else:
        file_format = file_format or "tsv"
        files.check_words((vocabulary.tokens[n] for n in ids.tolist()), file_format, shown(source))
        for block in files.text_blocks(vocabulary, ids, file_format):
            click.echo(_for_terminal(block), nl=False)


def _for_terminal(block: str) -> str:
    """Lines as they are; on a terminal with other control characters escaped."""
    if sys.stdout is None or not sys.stdout.isatty():
        return block
    lines = (line.split("\t") for line in block.split("\n"))
    return "\n".join("\t".join(map(printable, fields)) for fields in lines)


@click.command()
@click.argument("store")
@topn_option("sequences")
@option("--seed", type=Number(), show_default="random", help="Random seed.")
@option("--first", is_flag=True, help="The first sequences instead of random ones.")
@option(
    "--word",
    metavar="W",
    help="Only sequences that contain this word; parts are read until enough are found.",
)
@option("--ids", is_flag=True, help="Print vocabulary ids instead of words.")
@option(
    "--width",
    type=Number(minimum=_MIN_WIDTH),
    metavar="N",
    help="Shorten lines to N characters (around the word, with --word).",
)
@result_options
def sample(
    store: str, topn: int, seed: int | None, first: bool, word: str | None, ids: bool,
    width: int | None, as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Print sequences of a token store, one per line.

    They are drawn at random from the whole store, of which only a little is read.

    \b
    Examples: fastw2v sample corpus.store
              fastw2v sample corpus.store -n 20 --word coffee --width 100
    """
    from fastw2v.store.format import TokenStore

    if not store:
        raise UsageError("empty path; name a token store")
    if first and seed is not None:
        raise UsageError("--first and --seed exclude each other; give one of them")
    if as_json and width is not None:
        raise UsageError("--json and --width exclude each other; give one of them")
    opened = TokenStore.open(store)
    word_id = None if word is None else _id_of(word, opened)
    drawn = _drawn(opened, topn, seed, first, word_id)
    if as_json:
        tokens = opened.vocabulary.tokens
        found = [[n if ids else tokens[n] for n in sequence.tolist()] for sequence in drawn]
        print_json({"sequences": found})
        printed = len(found)
    else:
        printed = _print_lines(_line(opened, sequence, word_id, ids, width) for sequence in drawn)
    if printed < topn and not quiet:
        what = "sequences in it" if word is None else f"sequences contain {word!r}"
        warn(f"{shown(store)}: only {printed:,} {what}")


def _print_lines(lines: Iterator[str]) -> int:
    """Print some lines at a time; returns how many there were."""
    block, printed = [], 0
    for line in lines:
        block.append(line)
        printed += 1
        if len(block) == _BLOCK_LINES:
            click.echo("\n".join(block))
            block.clear()
    if block:
        click.echo("\n".join(block))
    return printed


def _id_of(word: str, store: TokenStore) -> int:
    """The id of a word as typed, else in lower case."""
    from fastw2v.vectors.unknown_word import UnknownWordError, match_case

    known = match_case(word, store.vocabulary.index)
    if known is None:
        raise UnknownWordError(word, store.vocabulary.index)
    return store.vocabulary.index[known]


def _drawn(
    store: TokenStore, count: int, seed: int | None, first: bool, word_id: int | None
) -> Iterator[np.ndarray]:
    from fastw2v.store import inspect

    if word_id is not None:
        return inspect.sentences_with(store, word_id, count, seed, in_order=first)
    if first:
        return inspect.first_sentences(store, count)
    return inspect.random_sentences(store, count, seed)


def _line(
    store: TokenStore, sequence: np.ndarray, word_id: int | None, ids: bool, width: int | None
) -> str:
    """One sequence as text, at most `width` characters; an ellipsis stands where it is cut."""
    known = store.vocabulary.tokens
    words = [str(n) if ids else printable(known[n]) for n in sequence.tolist()]
    line = " ".join(words)
    if width is None or len(line) <= width:
        return line
    start = 0
    if word_id is not None:
        position = len(" ".join(words[: sequence.tolist().index(word_id)]))
        start = max(0, min(position - width // 3, len(line) - width))
    cut = line[start : start + width]
    cut = "…" + cut[1:] if start else cut
    return cut if start + width >= len(line) else cut[:-1] + "…"


COMMANDS: list[click.Command] = [preprocess, verify, vocab, sample]
