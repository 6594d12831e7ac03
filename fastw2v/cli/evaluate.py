"""Commands that measure a model and its probabilities: evaluate, predict."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fastw2v.cli.options import (
    force_option,
    load,
    model_argument,
    topn_option,
    vectors_option,
    warn,
)
from fastw2v.cli.tables import print_rows
from fastw2v.errors import UsageError

if TYPE_CHECKING:
    from fastw2v.vectors.evaluation import Score
    from fastw2v.vectors.predict import Prediction


@click.command()
@model_argument
@click.option(
    "--pairs",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Word pairs with human scores: WordSim-353, SimLex-999, MEN or any file of two words and "
    "a score a line. May be repeated.",
)
@click.option(
    "--analogies",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Questions of four words a line, as questions-words.txt. May be repeated.",
)
@click.option(
    "--text",
    "texts",
    multiple=True,
    metavar="FILE|STORE",
    help="The exact perplexity of a text: a file, directory or glob, tokenized as the model's own "
    "corpus was, or a token store. May be repeated.",
)
@click.option(
    "--tokenizer",
    metavar="NAME",
    show_default="as the model's own text",
    help="How to tokenize --text, as in fastw2v preprocess. To be given where the model's own text "
    "was tokenized by a function of yours, module:function: no file can have it run.",
)
@vectors_option(default=None)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    show_default="usable cores",
    help="Threads to score --text with.",
)
def evaluate(
    model: Path,
    pairs: tuple[Path, ...],
    analogies: tuple[Path, ...],
    texts: tuple[str, ...],
    tokenizer: str | None,
    vectors: str | None,
    threads: int | None,
) -> None:
    """Score a model on word pairs (Spearman) and analogies (3CosAdd accuracy), and on text.

    Words are looked up as they stand, then in lower case. Pairs and questions with an unknown word
    are left out of the score; the last column counts them as similarity 0 or as wrong.

    The perplexity of a text is exact: each probability is over the whole vocabulary. Skip-gram: the
    loss is the mean over the center words of the mean over their contexts of -log p(context |
    center); CBOW: of -log p(center | context); in nats, and perplexity = exp(loss). Windows are
    always whole (as --window-sampling fixed), whatever the model was trained with, and unknown
    words are dropped before them, so that models of one vocabulary compare. For the full-softmax
    types p is the softmax of the scores. Negative sampling learns scores of log(p / p_noise) plus
    a constant, so for the _neg types p is proportional to p_noise x exp(score), with p_noise
    proportional to count ** ns-exponent; where p is large that is too much (it becomes p / (1 - p),
    as draws of the word itself are dropped in training). That p is of the text as training saw it:
    where --subsample thinned it, a second line divides by the share of each word that was kept.
    Words are then as frequent as in the text as it stands, though the windows were cut from the
    thinned one; it is the line to compare with softmax types (cbow_neg with cbow, sgram_neg with
    sgram). The softmax of the bare scores stands last.

    A token store has lost the words that its own --min-count or --max-vocab left out, and windows
    close over them (a warning tells); make it with fastw2v preprocess --vocabulary MODEL.

    \b
    Examples: fastw2v evaluate my.model --pairs wordsim353.tsv --analogies questions-words.txt
              fastw2v evaluate my.model --text held-out.txt
    """
    if not (pairs or analogies or texts):
        raise UsageError(
            "nothing to evaluate on: give --pairs FILE or --analogies FILE, or --text FILE"
        )
    if vectors is not None and not (pairs or analogies):
        raise UsageError("--vectors is for --pairs and --analogies; --text takes both matrices")
    if threads is not None and not texts:
        raise UsageError("--threads is for --text; leave it out")
    if tokenizer is not None and not texts:
        raise UsageError("--tokenizer is for --text; leave it out")
    if texts:
        _check_texts(texts, tokenizer)
    if pairs or analogies:
        _print_benchmarks(model, pairs, analogies, vectors)
    if texts:
        _print_perplexities(model, texts, threads, tokenizer)


def _print_benchmarks(
    model: Path, pairs: tuple[Path, ...], analogies: tuple[Path, ...], vectors: str | None
) -> None:
    from fastw2v.vectors import evaluation

    pair_sets = [evaluation.read_pairs(path) for path in pairs]
    question_sets = [evaluation.read_analogies(path) for path in analogies]
    keyed_vectors = load(model, vectors)
    rows = []
    for pair_set in pair_sets:
        score = evaluation.evaluate_pairs(keyed_vectors, pair_set).score()
        rows.append(_score_row(pair_set.name, "Spearman x100", score))
    for question_set in question_sets:
        result = evaluation.evaluate_analogies(keyed_vectors, question_set)
        rows += [_score_row(result.name, s.name, s) for s in result.section_scores()]
        rows.append(_score_row(result.name, "total, % right", result.score()))
    columns = ("test", "part", "items", "known", "score", "low", "high", "unknown as 0")
    print_rows(columns, rows)
    click.echo(
        "Items with an unknown word are left out of the score; the last column counts them as "
        "similarity 0 or wrong. Low to high: 95 % bootstrap interval, 1,000 resamples.",
        err=True,
    )


def _score_row(test: str, part: str, score: Score) -> tuple[str, ...]:
    figures = (score.score, score.low, score.high, score.score_all)
    shown = ("-" if math.isnan(figure) else f"{100 * figure:.1f}" for figure in figures)
    return (test, part, str(score.items), str(score.known), *shown)


def _check_texts(texts: tuple[str, ...], tokenizer: str | None) -> None:
    """Tell a wrong name before hours of work on the others."""
    from fastw2v.store.known_sequences import check_source, is_store

    for text in texts:
        check_source(text)
    if tokenizer is not None and all(map(is_store, texts)):
        raise UsageError("--tokenizer is for text, not for a token store; leave it out")


def _print_perplexities(
    model: Path, texts: tuple[str, ...], threads: int | None, tokenizer: str | None
) -> None:
    """Print what is known of a text at once, so that it is not lost when a later one fails."""
    from fastw2v.cli.display import training_display
    from fastw2v.store.known_sequences import is_store
    from fastw2v.training.perplexity import perplexity

    columns = ("text", "words", "known", "centers", "p is", "loss", "perplexity")
    for number, text in enumerate(texts):
        with training_display(quiet=False) as display:
            result = perplexity(
                model,
                text,
                threads=threads,
                tokenizer=None if is_store(text) else tokenizer,
                notify=display.notify,
                progress=display.preprocessing,
            )
        counts = (str(n) for n in (result.words, result.known, result.centers))
        about = (click.format_filename(text), *counts)
        rows = [
            (*about, reading.probability, f"{reading.loss:.4f}", f"{reading.perplexity:.2f}")
            for reading in result.readings
        ]
        print_rows(columns, rows, header=number == 0)
    click.echo(
        "Loss: nats a center word, over whole windows; words that the model does not know are "
        "dropped before.",
        err=True,
    )


@click.command()
@model_argument
@click.argument("words", nargs=-1, required=True, metavar="WORD...")
@topn_option
@click.option(
    "--plot",
    "picture",
    type=click.Path(path_type=Path),
    metavar="FILE.png",
    help="Draw the probabilities as bars, too (.png, .pdf or .svg).",
)
@force_option
def predict(
    model: Path, words: tuple[str, ...], topn: int, picture: Path | None, force: bool
) -> None:
    """The most probable words beside the given WORDs, with their probabilities.

    CBOW: the center word of a context, exactly as the model has it. Skip-gram: the context words of
    a center, exactly for one WORD; for several, the softmax of their mean score, which is the
    normalized geometric mean of their context distributions. An _ may mark the gap; where makes no
    difference, as these models do not see the order of words. The given words may be among the
    answers.

    The probability is the softmax of the scores; for the _neg types it is proportional to p_noise x
    exp(score), as negative sampling learns it (see fastw2v evaluate --help), and the last column
    is the softmax of the scores alone, which leaves out how frequent a word is.

    \b
    Examples: fastw2v predict my.model the cat _ on the mat
              fastw2v predict my.model coffee --topn 20 --plot coffee.png
    """
    from fastw2v.plots import style as figures
    from fastw2v.plots import words as plots
    from fastw2v.vectors.formats import check_output
    from fastw2v.vectors.predict import predict as most_probable

    if picture is not None:
        figures.check_suffix(picture)
        plots.check_bars(topn)
        check_output(picture, force)
    elif force:
        raise UsageError("--force is for --plot; leave it out")
    found = most_probable(model, words, topn, on_damage=warn)
    _print_predictions(found)
    if picture is not None:
        plots.plot_bars(
            [prediction.word for prediction in found],
            [prediction.probability for prediction in found],
            picture,
            f"{model.resolve().name}: {' '.join(words)}",
        )
        click.echo(f"wrote {picture}", err=True)


def _print_predictions(found: list[Prediction]) -> None:
    columns, rows = ["word", "probability"], [[p.word, f"{p.probability:.6f}"] for p in found]
    if found[0].softmax is not None:
        columns.append("softmax")
        for row, prediction in zip(rows, found, strict=True):
            row.append(f"{prediction.softmax:.6f}")
    print_rows(columns, rows)


COMMANDS: list[click.Command] = [evaluate, predict]
