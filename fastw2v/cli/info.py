"""The command `info`: what is in a token store or a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fastw2v.cli.display import byte_progress
from fastw2v.cli.options import force_option, warn
from fastw2v.cli.store import damaged_files, verified_line
from fastw2v.cli.tables import print_rows, shown
from fastw2v.errors import DataError, UsageError
from fastw2v.io.model_directory import LOSS_PLOT, is_model_directory, read_model

if TYPE_CHECKING:
    from fastw2v.io.model_directory import Generation
    from fastw2v.store.format import TokenStore
    from fastw2v.store.inspect import SentenceLengths
    from fastw2v.store.vocabulary import Vocabulary

_TOP_WORDS = 20

Rows = list[tuple[str, str, str]]


@click.command(
    epilog="\b\nExamples:\n  fastw2v info corpus.store\n  fastw2v info corpus.store --verify\n"
    "  fastw2v info corpus.store --plot corpus.png"
)
@click.argument("path", metavar="STORE|MODEL")
@click.option(
    "--verify",
    is_flag=True,
    help="Read all of a token store and compare it with its checksums (as fastw2v verify).",
)
@click.option(
    "--plot",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Draw coverage, rank and frequency (Zipf), and the sentence lengths of a store, too "
    "(.png, .pdf or .svg).",
)
@force_option
def info(path: str, verify: bool, plot: Path | None, force: bool) -> None:
    """Show what is in a token store or a model.

    Of the vocabulary: the share of tokens that the most frequent words cover, and what a
    --min-count would keep. Of a store: how long its sequences are, for which its parts are read.
    """
    from fastw2v.plots.style import check_suffix
    from fastw2v.vectors.formats import check_output

    if not path:  # as a Path it would be the working directory
        raise UsageError("empty path; name a token store or a model")
    place = Path(path)
    if plot is not None:
        check_suffix(plot)
        check_output(plot, force)
    if is_model_directory(place):
        if verify:
            raise UsageError(
                f"{path}: --verify is for token stores; a model is verified whenever it is opened"
            )
        rows, vocabulary = read_model(place, lambda g: _model_rows(place, g), on_damage=warn)
        lengths, size = None, "model"
    else:
        from fastw2v.store.format import TokenStore

        if not place.exists():
            raise UsageError(f"{path}: no such token store or model")
        if verify and (damaged := damaged_files(path)):
            more = len(damaged) - 1
            rest = f" (and {more:,} more damaged files; fastw2v verify names all)" if more else ""
            raise DataError(f"{shown(damaged[0].path)}: {damaged[0].problem}{rest}")
        store = TokenStore.open(place)
        vocabulary, lengths = store.vocabulary, _lengths_of(store)
        rows, size = _store_rows(store, lengths), f"{store.num_tokens:,} tokens"
    print_rows(("about", "what", "value"), rows)
    if verify:
        click.echo(verified_line(path))
    if plot is not None:
        from fastw2v.plots.corpus import plot_corpus

        title = f"{shown(place.resolve().name)}: {size}, {len(vocabulary):,} words"
        plot_corpus(vocabulary.counts, lengths, plot, title)
        click.echo(f"wrote {shown(plot)}")


def _lengths_of(store: TokenStore) -> SentenceLengths | None:
    """The lengths of the sentences; None, with a warning, where a part is damaged."""
    from fastw2v.store.inspect import sentence_lengths

    try:
        with byte_progress(quiet=False) as progress:
            return sentence_lengths(store, progress)
    except DataError as error:
        warn(f"{error}; how long its sentences are is not shown")
        return None


def _store_rows(store: TokenStore, lengths: SentenceLengths | None) -> Rows:
    from fastw2v.io.machine import readable_bytes

    manifest, vocabulary = store.manifest, store.vocabulary
    groups = store.row_group_tokens
    size = sum(part["bytes"] for part in manifest["parts"]) + manifest["vocabulary"]["bytes"]
    mean = f"{groups.mean():,.0f} tokens each on average" if len(groups) else ""
    rows = [
        ("store", "path", shown(store.path)),
        ("store", "tokens", f"{store.num_tokens:,}"),
        ("store", "sentences", f"{store.num_sentences:,}"),
        ("store", "parts", f"{len(manifest['parts']):,} ({readable_bytes(size)} on disk)"),
        ("store", "row groups", f"{store.num_row_groups:,}" + (f" ({mean})" if mean else "")),
        *_vocabulary_rows(vocabulary, manifest),
    ]
    if lengths is not None and lengths.total:
        rows += _length_rows(lengths)
    rows += [("settings", _dashed(name), shown(v)) for name, v in manifest["settings"].items()]
    rows.append(("report", "made from", manifest["source"]))
    rows += [("report", _spaced(name), f"{v:,}") for name, v in manifest["report"].items()]
    return rows


def _vocabulary_rows(vocabulary: Vocabulary, note: dict[str, Any]) -> Rows:
    """Of a vocabulary; `note` is what is known of its making (see `least_known_min_count`)."""
    from fastw2v.store import inspect as statistics

    counts = vocabulary.counts
    ids = (-counts).argsort(kind="stable")[:_TOP_WORDS]
    top = [(vocabulary.tokens[token_id], int(counts[token_id])) for token_id in ids]
    rows = [
        ("vocabulary", "words", f"{len(vocabulary):,}"),
        ("vocabulary", "sum of counts", f"{vocabulary.total:,}"),
        ("vocabulary", "most frequent", ", ".join(f"{word} {count:,}" for word, count in top)),
        ("vocabulary", "hash", vocabulary.hash),
    ]
    rows += [
        ("coverage", f"{size:,} words", f"{100 * share:.2f} % of the tokens")
        for size, share in statistics.coverage(counts)
    ]
    known_from = statistics.least_known_min_count(counts, note)
    for kept in statistics.kept_by_min_count(counts):
        value = f"{kept.words:,} words, {100 * kept.share:.2f} % of the tokens"
        if kept.min_count < known_from:
            value = f"not known: words that occur less than {known_from:,} times were left out"
        rows.append(("min-count", f"{kept.min_count:,}", value))
    return rows


def _length_rows(lengths: SentenceLengths) -> Rows:
    """Of the sentences, in tokens."""
    from fastw2v.store.inspect import QUANTILES

    rows = [
        ("sentence tokens", "mean", f"{lengths.mean:,.1f}"),
        ("sentence tokens", "shortest", f"{lengths.lengths[0]:,}"),
    ]
    rows += [
        ("sentence tokens", f"{100 * share:.0f} % have at most", f"{lengths.quantile(share):,}")
        for share in QUANTILES
    ]
    rows.append(("sentence tokens", "longest", f"{lengths.lengths[-1]:,}"))
    for low, high, sentences in lengths.by_powers_of_two():
        label = f"{low:,} to {high:,}" if high > low else f"{low:,}"
        share = f"{sentences:,} ({100 * sentences / lengths.total:.2f} %)"
        rows.append(("sentence lengths", label, share))
    return rows


def _model_rows(model: Path, generation: Generation) -> tuple[Rows, Vocabulary]:
    from fastw2v.training.corpus import NOTE_KEY

    config, state = generation.config, generation.state
    from fastw2v.store.vocabulary import Vocabulary

    history = generation.history()
    vocabulary = Vocabulary.load(generation.vocabulary_path)
    last = history[-1] if history else {}
    losses = [row["loss"] for row in history if row.get("loss") is not None]
    rows = [
        ("model", "path", shown(model)),
        ("model", "type", shown(config.get("type"))),
        ("model", "dimensions", shown(config.get("vector_dim"))),
        ("model", "vocabulary", shown(state.get("vocabulary_size"))),
        *_begun_with(state),
        ("training", "words done", shown(state.get("words_done"))),
        ("training", "words in all", shown(state.get("total_words"))),
        ("training", "epoch", f"{shown(last.get('epoch'))} of {shown(config.get('epochs'))}"),
        ("training", "seconds", shown(state.get("training_seconds"))),
        ("training", "last loss", shown(losses[-1] if losses else None)),
        ("training", "alpha now", shown(last.get("alpha"))),
        *_vocabulary_rows(vocabulary, state.get(NOTE_KEY, {})),
    ]
    already = ("type", "vector_dim", "epochs")
    rows += [("settings", _dashed(n), shown(v)) for n, v in config.items() if n not in already]
    rows.append(("files", "vectors and history", shown(generation.path)))
    checkpoints = sorted(model.glob("checkpoints/epoch-*"), key=lambda p: (len(p.name), p.name))
    rows += [("files", "checkpoint", shown(path)) for path in checkpoints]
    if (model / LOSS_PLOT).is_file():
        rows.append(("files", "loss curve", shown(model / LOSS_PLOT)))
    return rows, vocabulary


def _begun_with(state: dict[str, Any]) -> Rows:
    """What the present corpus was begun with, where that was no new model at random."""
    rows, note, before = [], state.get("init"), state.get("words_before")
    if isinstance(note, dict):
        words, share = shown(note.get("words")), shown(note.get("token_share"))
        vectors = f"{shown(note.get('file'))}: {words} words, {share} of the tokens"
        rows.append(("training", "began with the vectors of", vectors))
    if before:
        rows.append(("training", "words on other corpora before", shown(before)))
    return rows


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def _spaced(name: str) -> str:
    return name.replace("_", " ")


COMMANDS: list[click.Command] = [info]
