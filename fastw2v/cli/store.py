"""The commands on token stores and vocabularies: verify, vocab, sample."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fastw2v.cli.display import byte_progress
from fastw2v.cli.options import force_option, warn
from fastw2v.cli.tables import printable, shown
from fastw2v.errors import DataError, UsageError

if TYPE_CHECKING:
    import numpy as np

    from fastw2v.store.format import TokenStore
    from fastw2v.store.verify import Finding

_BLOCK_LINES = 100  # a write to standard output; few, so that a pipe gets lines as they are found
_MIN_WIDTH = 10


@click.command()
@click.argument("store")
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    show_default="usable cores",
    help="Threads that read.",
)
@click.option("--quiet", is_flag=True, help="No progress, and no line for a store that is sound.")
def verify(store: str, threads: int | None, quiet: bool) -> None:
    """Compare every file of a token store with its manifest, and name all that are damaged.

    Reads everything: sizes, SHA-256, page checksums, row groups, whether all ids are in the
    vocabulary, and whether its counts are those of the ids. A line for each damaged file on
    standard output, and exit code 1. Files that the manifest does not list are named as warnings.

    Example: fastw2v verify corpus.store
    """
    damaged = damaged_files(store, threads=threads, quiet=quiet)
    for finding in damaged:
        click.echo(f"{shown(finding.path)}: {finding.problem}")
    if damaged:
        files = "1 damaged file" if len(damaged) == 1 else f"{len(damaged):,} damaged files"
        raise DataError(f"{shown(store)}: {files}; make the store anew (fastw2v preprocess)")
    if not quiet:
        click.echo(verified_line(store))


def damaged_files(store: str, *, threads: int | None = None, quiet: bool = False) -> list[Finding]:
    """The findings of damage of a verification, with a warning for each file too many."""
    from fastw2v.store.verify import verify_store

    if not store:  # as a Path it would be the working directory
        raise UsageError("empty path; name a token store")
    with byte_progress(quiet) as progress:
        findings = verify_store(store, progress, threads=threads)
    for finding in findings:
        if not finding.damage:
            warn(f"{shown(finding.path)}: {finding.problem}")
    return [finding for finding in findings if finding.damage]


def verified_line(store: str) -> str:
    """What is said of a store that is sound."""
    from fastw2v.store.format import read_manifest
    from fastw2v.store.verify import listed_files

    files = len(listed_files(read_manifest(Path(store))))
    return f"{shown(store)}: verified; all {files:,} files match their SHA-256"


@click.command()
@click.argument("source", metavar="STORE|MODEL|FILE")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The file to write (.txt or .vocab, .tsv, .parquet); default: standard output.",
)
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["word2vec", "tsv", "parquet"]),
    show_default="by the suffix of --output; tsv on standard output",
    help="word2vec: lines `word count`, as word2vec.c -save-vocab writes them (the first is "
    "`</s> 0`, as its first word is the line end). tsv: token, count, id, with a header. parquet: "
    "token, count; the row is the id.",
)
@click.option("--top", type=click.IntRange(min=1), help="Only so many words, the most frequent.")
@click.option(
    "--min-count", type=click.IntRange(min=1), default=1, help="Only words that occur so often."
)
@force_option
def vocab(
    source: str, output: Path | None, file_format: str | None, top: int | None,
    min_count: int, force: bool,
) -> None:  # fmt: skip
    """Write the vocabulary of a token store, a model or a vocabulary file, in its order.

    `fastw2v preprocess --vocabulary FILE` reads each of these formats back.

    \b
    Examples: fastw2v vocab corpus.store --top 20
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
        raise UsageError("--format parquet: needs a file to write; name it with --output")
    vocabulary = files.read_vocabulary(source)
    ids = files.select_words(vocabulary, top=top, min_count=min_count)
    if not len(ids):
        most = max(vocabulary.counts, default=0)
        raise UsageError(
            f"{shown(source)}: no word occurs {min_count:,} times; the most frequent: {most:,}"
        )
    if output is None:
        file_format = file_format or "tsv"
        files.check_words((vocabulary.tokens[n] for n in ids.tolist()), file_format, shown(source))
        for block in files.text_blocks(vocabulary, ids, file_format):
            click.echo(_for_terminal(block), nl=False)
        return
    files.write_vocabulary(output, vocabulary, ids, str(file_format))
    click.echo(f"wrote {shown(output)}: {len(ids):,} words, {file_format}")


def _for_terminal(block: str) -> str:
    """Lines as they are; on a terminal without other control characters, which it would obey."""
    if sys.stdout is None or not sys.stdout.isatty():
        return block
    lines = (line.split("\t") for line in block.split("\n"))
    return "\n".join("\t".join(map(printable, fields)) for fields in lines)


@click.command()
@click.argument("store")
@click.option(
    "-n",
    "--number",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="How many sequences.",
)
@click.option(
    "--seed", type=click.INT, show_default="others each time", help="Draw the same again."
)
@click.option("--first", is_flag=True, help="The first ones instead of random ones.")
@click.option(
    "--word",
    metavar="W",
    help="Only sequences that contain this word; parts are read until enough are found.",
)
@click.option("--ids", is_flag=True, help="Print vocabulary ids, not words.")
@click.option(
    "--width",
    type=click.IntRange(min=_MIN_WIDTH),
    metavar="N",
    help="Shorten lines to so many characters (around the word, with --word).",
)
def sample(
    store: str, number: int, seed: int | None, first: bool, word: str | None, ids: bool,
    width: int | None,
) -> None:  # fmt: skip
    """Print sequences of a token store, decoded, one a line.

    Drawn at random from the whole store, of which only a little is read.

    \b
    Examples: fastw2v sample corpus.store
              fastw2v sample corpus.store -n 20 --word coffee --width 100
    """
    from fastw2v.store.format import TokenStore

    if not store:
        raise UsageError("empty path; name a token store")
    if first and seed is not None:
        raise UsageError("--first and --seed exclude each other: give one of them")
    opened = TokenStore.open(store)
    word_id = None if word is None else _id_of(word, opened)
    lines, printed = [], 0
    for sentence in _chosen(opened, number, seed, first, word_id):
        lines.append(_line(opened, sentence, word_id, ids, width))
        printed += 1
        if len(lines) == _BLOCK_LINES:
            click.echo("\n".join(lines))
            lines.clear()
    if lines:
        click.echo("\n".join(lines))
    if printed < number:
        what = "sequences in it" if word is None else f"sequences contain {word!r}"
        warn(f"{shown(store)}: only {printed:,} {what}")


def _id_of(word: str, store: TokenStore) -> int:
    """The id of a word as typed, else in lower case."""
    from fastw2v.vectors.unknown_word import UnknownWordError, match_case

    known = match_case(word, store.vocabulary.index)
    if known is None:
        raise UnknownWordError(word, store.vocabulary.index)
    return store.vocabulary.index[known]


def _chosen(
    store: TokenStore, number: int, seed: int | None, first: bool, word_id: int | None
) -> Iterator[np.ndarray]:
    from fastw2v.store import inspect as store_sample

    if word_id is not None:
        return store_sample.sentences_with(store, word_id, number, seed, in_order=first)
    if first:
        return store_sample.first_sentences(store, number)
    return store_sample.random_sentences(store, number, seed)


def _line(
    store: TokenStore, sentence: np.ndarray, word_id: int | None, ids: bool, width: int | None
) -> str:
    """One sequence as text; where it is cut, to `width` characters, there is an ellipsis."""
    known = store.vocabulary.tokens
    words = [str(n) if ids else printable(known[n]) for n in sentence.tolist()]
    line = " ".join(words)
    if width is None or len(line) <= width:
        return line
    start = 0
    if word_id is not None:
        place = len(" ".join(words[: sentence.tolist().index(word_id)]))
        start = max(0, min(place - width // 3, len(line) - width))
    cut = line[start : start + width]
    cut = "…" + cut[1:] if start else cut
    return cut if start + width >= len(line) else cut[:-1] + "…"


COMMANDS: list[click.Command] = [verify, vocab, sample]
