"""The command `info`: what is in a token store or a model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fastw2v.cli.display import print_json, print_rows, progress_display, shown
from fastw2v.cli.options import force_option, output_option, result_options, warn
from fastw2v.errors import DataError, UsageError
from fastw2v.io.model_directory import LOSS_PLOT, is_model_directory, read_model

if TYPE_CHECKING:
    from fastw2v.io.model_directory import Generation
    from fastw2v.store.format import TokenStore
    from fastw2v.store.inspect import SentenceLengths
    from fastw2v.store.vocabulary import Vocabulary

_TOP_WORDS = 20

Facts = dict[str, Any]  # by section, as --json prints them


@click.command(
    epilog="\b\nExamples:\n  fastw2v info corpus.store\n"
    "  fastw2v info corpus.store --output corpus.png\n  fastw2v info my.model --json"
)
@click.argument("path", metavar="STORE|MODEL")
@output_option(
    "Also draw coverage, word frequency by rank (Zipf), and the sequence lengths of a store (.png, "
    ".pdf or .svg)."
)
@force_option
@result_options
def info(path: str, output: Path | None, force: bool, as_json: bool, quiet: bool) -> None:
    """Show what is in a token store or a model.

    For the vocabulary: the share of tokens that the most frequent words cover, and what a larger
    --min-count would keep. For a store: the lengths of its sequences, which reads all its parts.
    """
    from fastw2v.plots.style import check_suffix
    from fastw2v.vectors.formats import check_output

    if not path:  # as a Path it would be the working directory
        raise UsageError("empty path; name a token store or a model")
    directory = Path(path)
    if output is not None:
        check_suffix(output)
        check_output(output, force)
    lengths = None
    if is_model_directory(directory):
        facts, vocabulary = read_model(
            directory, lambda saved: _model_facts(directory, saved), on_damage=warn
        )
        size = "model"
    else:
        from fastw2v.store.format import TokenStore

        if not directory.exists():
            raise UsageError(f"{path}: no such token store or model")
        store = TokenStore.open(directory)
        vocabulary, lengths = store.vocabulary, _lengths_of(store, quiet)
        facts, size = _store_facts(store, lengths), f"{store.num_tokens:,} tokens"
    if as_json:
        print_json(facts)
    else:
        print_rows(("about", "what", "value"), list(_rows(facts)))
    if output is not None:
        from fastw2v.plots.corpus import plot_corpus

        title = f"{shown(directory.resolve().name)}: {size}, {len(vocabulary):,} words"
        plot_corpus(vocabulary.counts, lengths, output, title)
        if not quiet:
            click.echo(f"wrote {shown(output)}", err=True)


def _lengths_of(store: TokenStore, quiet: bool) -> SentenceLengths | None:
    """The lengths of the sequences; None, with a warning, where a part is damaged."""
    from fastw2v.store.inspect import sentence_lengths

    try:
        with progress_display(quiet) as display:
            return sentence_lengths(store, display.bytes)
    except DataError as error:
        warn(f"{error}; the sequence lengths are not shown")
        return None


def _store_facts(store: TokenStore, lengths: SentenceLengths | None) -> Facts:
    manifest, groups = store.manifest, store.row_group_tokens
    facts = {
        "store": {
            "path": store.path,
            "tokens": store.num_tokens,
            "sequences": store.num_sentences,
            "parts": len(manifest["parts"]),
            "bytes": sum(part["bytes"] for part in manifest["parts"])
            + manifest["vocabulary"]["bytes"],
            "row_groups": store.num_row_groups,
            "tokens_per_row_group": round(float(groups.mean())) if len(groups) else 0,
        },
        **_vocabulary_facts(store.vocabulary, manifest),
    }
    if lengths is not None and lengths.total:
        facts |= _length_facts(lengths)
    return facts | {
        "settings": manifest["settings"],
        "report": {"made_from": manifest["source"], **manifest["report"]},
    }


def _vocabulary_facts(vocabulary: Vocabulary, note: dict[str, Any]) -> Facts:
    """Of a vocabulary; `note` is what is known of its making (see `least_known_min_count`)."""
    from fastw2v.store import inspect as statistics

    counts = vocabulary.counts
    known_from = statistics.least_known_min_count(counts, note)
    most_frequent = (-counts).argsort(kind="stable")[:_TOP_WORDS].tolist()
    return {
        "vocabulary": {
            "words": len(vocabulary),
            "sum_of_counts": vocabulary.total,
            "most_frequent": [
                {"word": vocabulary.tokens[n], "count": int(counts[n])} for n in most_frequent
            ],
            "hash": vocabulary.hash,
        },
        "coverage": [
            {"words": size, "share": share} for size, share in statistics.coverage(counts)
        ],
        "min_count": [
            {"min_count": kept.min_count, "words": kept.words, "share": kept.share}
            if kept.min_count >= known_from
            else {"min_count": kept.min_count, "words": None, "known_from": known_from}
            for kept in statistics.kept_by_min_count(counts)
        ],
    }


def _length_facts(lengths: SentenceLengths) -> Facts:
    """Of the sequences, in tokens."""
    from fastw2v.store.inspect import QUANTILES

    return {
        "sequence_tokens": {
            "mean": lengths.mean,
            "shortest": int(lengths.lengths[0]),
            **{f"{100 * share:g}_%_have_at_most": lengths.quantile(share) for share in QUANTILES},
            "longest": int(lengths.lengths[-1]),
        },
        "sequence_lengths": [
            {"low": low, "high": high, "sequences": found, "share": found / lengths.total}
            for low, high, found in lengths.by_powers_of_two()
        ],
    }


def _model_facts(model: Path, generation: Generation) -> tuple[Facts, Vocabulary]:
    from fastw2v.store.vocabulary import Vocabulary
    from fastw2v.training.corpus import NOTE_KEY

    config, state, history = generation.config, generation.state, generation.history()
    vocabulary = Vocabulary.load(generation.vocabulary_path)
    last = history[-1] if history else {}
    losses = [row["loss"] for row in history if row.get("loss") is not None]
    checkpoints = sorted(model.glob("checkpoints/epoch-*"), key=lambda p: (len(p.name), p.name))
    apart = ("type", "vector_dim", "epochs")
    facts = {
        "model": {
            "path": model,
            "type": config.get("type"),
            "dimensions": config.get("vector_dim"),
            "vocabulary": state.get("vocabulary_size"),
        },
        "training": {
            **_started_from(state),
            "words_done": state.get("words_done"),
            "total_words": state.get("total_words"),
            "epoch": last.get("epoch"),
            "epochs": config.get("epochs"),
            "seconds": state.get("training_seconds"),
            "last_loss": losses[-1] if losses else None,
            "alpha_now": last.get("alpha"),
        },
        **_vocabulary_facts(vocabulary, state.get(NOTE_KEY, {})),
        "settings": {name: value for name, value in config.items() if name not in apart},
        "files": {"vectors_and_history": generation.path, "checkpoints": checkpoints},
    }
    if (model / LOSS_PLOT).is_file():
        facts["files"]["loss_curve"] = model / LOSS_PLOT
    return facts, vocabulary


def _started_from(state: dict[str, Any]) -> Facts:
    """What training on the present corpus started from, unless from random vectors."""
    facts: Facts = {}
    if isinstance(note := state.get("init"), dict):
        names = ("file", "words", "token_share")
        facts = {f"initial_vectors_{name}": note.get(name) for name in names}
    if state.get("words_before"):
        facts["words_on_earlier_corpora"] = state["words_before"]
    return facts


def _rows(facts: Facts) -> Iterator[tuple[str, str, str]]:
    """The facts as a table of (section, name, value)."""
    for section, values in facts.items():
        about = section if section == "settings" else section.replace("_", " ")
        if section == "coverage":
            for one in values:
                yield about, f"{one['words']:,} words", _of_tokens(one["share"])
        elif section == "min_count":
            for one in values:
                yield "min-count", f"{one['min_count']:,}", _kept(one)
        elif section == "sequence_lengths":
            for one in values:
                low, high = one["low"], one["high"]
                label = f"{low:,} to {high:,}" if high > low else f"{low:,}"
                yield about, label, f"{one['sequences']:,} ({100 * one['share']:.2f} %)"
        else:
            for name, value in values.items():
                yield from ((about, _label(section, name), one) for one in _texts(value))


def _label(section: str, name: str) -> str:
    if section == "settings":
        return name.replace("_", "-")
    return "sequences" if name == "sentences" else name.replace("_", " ")


def _texts(value: Any) -> list[str]:
    """A value as text; a list of paths as one text each."""
    if not isinstance(value, list):
        return [shown(value)]
    if value and isinstance(value[0], dict):
        return [", ".join(f"{one['word']} {one['count']:,}" for one in value)]
    return [shown(one) for one in value]


def _of_tokens(share: float) -> str:
    return f"{100 * share:.2f} % of the tokens"


def _kept(one: dict[str, Any]) -> str:
    if one["words"] is None:
        return f"unknown: words that occur less than {one['known_from']:,} times were left out"
    return f"{one['words']:,} words, {_of_tokens(one['share'])}"


COMMANDS: list[click.Command] = [info]
