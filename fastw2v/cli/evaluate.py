"""Commands that measure a model and its probabilities: evaluate, predict."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fastw2v.cli.display import print_json, print_rows, shown
from fastw2v.cli.options import (
    force_option,
    load,
    model_argument,
    option,
    output_option,
    result_options,
    threads_option,
    topn_option,
    vectors_option,
    warn,
)
from fastw2v.errors import UsageError

if TYPE_CHECKING:
    from fastw2v.vectors.evaluation import Score
    from fastw2v.vectors.predict import Prediction


@click.command()
@model_argument
@option(
    "--pairs",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Word pairs with human scores: WordSim-353, SimLex-999, MEN or any file of two words and "
    "a score per line. May be repeated.",
)
@option(
    "--analogies",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Questions of four words per line, as in questions-words.txt. May be repeated.",
)
@option(
    "--text",
    "texts",
    multiple=True,
    metavar="FILE|STORE",
    help="Text whose exact perplexity to compute: a file, directory or glob, tokenized as the "
    "model's own corpus was, or a token store. May be repeated.",
)
@option(
    "--tokenizer",
    metavar="NAME",
    show_default="that of the model's own corpus",
    help="Tokenizer of --text, as in fastw2v preprocess. Required if the model's own corpus was "
    "tokenized by a function of yours (module:function): fastw2v never imports code named in a "
    "file.",
)
@vectors_option(default=None)
@threads_option
@result_options
def evaluate(
    model: Path,
    pairs: tuple[Path, ...],
    analogies: tuple[Path, ...],
    texts: tuple[str, ...],
    tokenizer: str | None,
    vectors: str | None,
    threads: int | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Score a model on word pairs, analogies and text.

    Word pairs: Spearman correlation. Analogies: 3CosAdd accuracy. Words are looked up as they
    stand, then in lower case. Pairs and questions with an unknown word are left out of the score;
    the last column counts them as similarity 0 or as wrong.

    Text: the exact perplexity, each probability normalized over the whole vocabulary. Skip-gram:
    the loss is the mean over the center words of the mean over their contexts of -log p(context |
    center); CBOW: of -log p(center | context); in nats, and perplexity = exp(loss). Windows are
    always whole (as with --window-sampling fixed), and unknown words are dropped before windows are
    cut, so models of one vocabulary are comparable.

    For the full-softmax types p is the softmax of the scores. Negative sampling learns scores of
    log(p / p_noise) plus a constant, so for the _neg types p is proportional to p_noise x
    exp(score), with p_noise proportional to count ** ns-exponent. This overestimates large p (it
    estimates p / (1 - p), since training drops draws of the word itself). That p is of the text as
    training saw it: if --subsample thinned it, a second line divides by the share of each word that
    was kept. It gives words the frequencies of the full text, although the windows were cut from
    the thinned one; compare this line with softmax types (cbow_neg with cbow, sgram_neg with
    sgram). The last line is the softmax of the bare scores.

    A token store has lost the words that its own --min-count or --max-vocab removed, and windows
    close over the gaps (a warning says so); make it with fastw2v preprocess --vocabulary MODEL.

    \b
    Examples: fastw2v evaluate my.model --pairs wordsim353.tsv --analogies questions-words.txt
              fastw2v evaluate my.model --text held-out.txt
    """
    if not (pairs or analogies or texts):
        raise UsageError(
            "nothing to evaluate on; give --pairs FILE, --analogies FILE or --text FILE"
        )
    if vectors is not None and not (pairs or analogies):
        raise UsageError("--vectors is for --pairs and --analogies; --text uses both matrices")
    if threads is not None and not texts:
        raise UsageError("--threads is for --text; leave it out")
    if tokenizer is not None and not texts:
        raise UsageError("--tokenizer is for --text; leave it out")
    _check_texts(texts, tokenizer)
    facts: dict[str, Any] = {}
    if pairs or analogies:
        facts["benchmarks"] = scores = _scores(model, pairs, analogies, vectors)
        if not as_json:
            _print_scores(scores, quiet)
    if texts:
        facts["texts"] = _perplexities(model, texts, threads, tokenizer, as_json, quiet)
    if as_json:
        print_json(facts)


def _scores(
    model: Path, pairs: tuple[Path, ...], analogies: tuple[Path, ...], vectors: str | None
) -> list[dict[str, Any]]:
    from fastw2v.vectors import evaluation

    pair_sets = [evaluation.read_pairs(path) for path in pairs]
    question_sets = [evaluation.read_analogies(path) for path in analogies]
    keyed_vectors = load(model, vectors)
    scores = []
    for pair_set in pair_sets:
        score = evaluation.evaluate_pairs(keyed_vectors, pair_set).score()
        scores.append(_named_score(pair_set.name, "Spearman", score))
    for question_set in question_sets:
        result = evaluation.evaluate_analogies(keyed_vectors, question_set)
        scores += [_named_score(result.name, s.name, s) for s in result.section_scores()]
        scores.append(_named_score(result.name, "total", result.score()))
    return scores


def _named_score(test: str, part: str, score: Score) -> dict[str, Any]:
    return {
        "test": test,
        "part": part,
        "items": score.items,
        "known": score.known,
        "score": score.score,
        "low": score.low,
        "high": score.high,
        "unknown_as_0": score.score_all,
    }


def _print_scores(scores: list[dict[str, Any]], quiet: bool) -> None:
    """Print scores times 100."""
    columns = ("test", "part", "items", "known", "score x100", "low", "high", "unknown as 0")
    rows = []
    for one in scores:
        figures = (one[name] for name in ("score", "low", "high", "unknown_as_0"))
        texts = ("-" if math.isnan(figure) else f"{100 * figure:.1f}" for figure in figures)
        rows.append((one["test"], one["part"], str(one["items"]), str(one["known"]), *texts))
    print_rows(columns, rows)
    if not quiet:
        click.echo(
            "Items with an unknown word are left out of the score; the last column counts them as "
            "similarity 0 or wrong. Low to high: 95 % bootstrap interval, 1,000 resamples.",
            err=True,
        )


def _check_texts(texts: tuple[str, ...], tokenizer: str | None) -> None:
    """Report a wrong name before hours of work on the others."""
    if not texts:
        return
    from fastw2v.store.known_sequences import check_source, is_store

    for text in texts:
        check_source(text)
    if tokenizer is not None and all(map(is_store, texts)):
        raise UsageError("--tokenizer is for text, not for a token store; leave it out")


def _perplexities(
    model: Path,
    texts: tuple[str, ...],
    threads: int | None,
    tokenizer: str | None,
    as_json: bool,
    quiet: bool,
) -> list[dict[str, Any]]:
    """Score each text; each is printed at once, so that no result is lost if a later one fails."""
    from fastw2v.cli.display import progress_display
    from fastw2v.store.known_sequences import is_store
    from fastw2v.training.perplexity import perplexity

    columns = ("text", "words", "known", "centers", "p is", "loss", "perplexity")
    found: list[dict[str, Any]] = []
    for number, text in enumerate(texts):
        with progress_display(quiet) as display:
            result = perplexity(
                model,
                text,
                threads=threads,
                tokenizer=None if is_store(text) else tokenizer,
                reporter=display,
            )
        readings: list[dict[str, Any]] = [
            {"p_is": one.probability, "loss": one.loss, "perplexity": one.perplexity}
            for one in result.readings
        ]
        counts = {"words": result.words, "known": result.known, "centers": result.centers}
        found.append({"text": shown(text), **counts, "readings": readings})
        if not as_json:
            about = (shown(text), *map(str, counts.values()))
            rows = [
                (*about, one["p_is"], f"{one['loss']:.4f}", f"{one['perplexity']:.2f}")
                for one in readings
            ]
            print_rows(columns, rows, header=number == 0)
    if not (as_json or quiet):
        click.echo(
            "Loss: nats per center word, over whole windows, unknown words dropped before.",
            err=True,
        )
    return found


@click.command()
@model_argument
@click.argument("words", nargs=-1, required=True, metavar="WORD...")
@topn_option()
@option(
    "--content-words",
    is_flag=True,
    help="Leave English function words (the, of, is, ...) out of the answers.",
)
@output_option("Also draw the probabilities as bars (.png, .pdf or .svg).")
@force_option
@result_options
def predict(
    model: Path,
    words: tuple[str, ...],
    topn: int,
    content_words: bool,
    output: Path | None,
    force: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Print the most probable words beside the given ones.

    CBOW: the center word of a context, exactly as the model has it. Skip-gram: the context words of
    a center, exactly for one WORD; for several, the softmax of their mean score, which is the
    normalized geometric mean of their context distributions. An _ may mark the gap; its position
    makes no difference, as these models ignore word order. The given words may be among the
    answers.

    The probability is the softmax of the scores; for the _neg types it is proportional to p_noise x
    exp(score), as negative sampling learns it (see fastw2v evaluate --help), and the last column
    is the softmax of the scores alone, which ignores how frequent a word is.

    \b
    Examples: fastw2v predict my.model the plot of the _ is very predictable
              fastw2v predict my.model coffee --content-words -n 20 --output coffee.png
    """
    from fastw2v.plots import style
    from fastw2v.plots import words as plots
    from fastw2v.text.tokenizer import ENGLISH
    from fastw2v.vectors.formats import check_output
    from fastw2v.vectors.predict import predict as most_probable

    if output is not None:
        style.check_suffix(output)
        plots.check_bars(topn)
        check_output(output, force)
    elif force:
        raise UsageError("--force is for --output; leave it out")
    if content_words:
        found = most_probable(model, words, topn + len(ENGLISH), on_damage=warn)
        found = [one for one in found if one.word.lower() not in ENGLISH][:topn]
    else:
        found = most_probable(model, words, topn, on_damage=warn)
    if as_json:
        print_json({"words": words, "predictions": [one._asdict() for one in found]})
    else:
        _print_predictions(found)
    if output is not None:
        plots.plot_bars(
            [prediction.word for prediction in found],
            [prediction.probability for prediction in found],
            output,
            f"{model.resolve().name}: {' '.join(words)}",
        )
        if not quiet:
            click.echo(f"wrote {shown(output)}", err=True)


def _print_predictions(found: list[Prediction]) -> None:
    columns, rows = ["word", "probability"], [[p.word, f"{p.probability:.6f}"] for p in found]
    if found[0].softmax is not None:
        columns.append("softmax")
        for row, prediction in zip(rows, found, strict=True):
            row.append(f"{prediction.softmax:.6f}")
    print_rows(columns, rows)


COMMANDS: list[click.Command] = [evaluate, predict]
