"""Commands that ask a model: neighbors, analogy, similarity, plot, evaluate, export."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fastw2v.cli.tables import print_rows
from fastw2v.errors import UsageError

if TYPE_CHECKING:
    from fastw2v.vectors.evaluate import Score
    from fastw2v.vectors.keyed_vectors import KeyedVectors

_MAP_WORDS = 150

_model_argument = click.argument("model", type=click.Path(path_type=Path))
_topn_option = click.option(
    "--topn", type=click.IntRange(min=1), default=10, show_default=True, help="How many words."
)


def _vectors_option(default: str | None = "input") -> Callable[[Any], Any]:
    return click.option(
        "--vectors",
        type=click.Choice(["input", "output", "mean"]),
        default=default,
        show_default=True if default else "input",
        help="Which matrix of a model directory: its input vectors, its output vectors, or the "
        "mean of both. A vectors file has one only.",
    )


_force_option = click.option("--force", is_flag=True, help="Replace the output if it exists.")


def _warn(message: str) -> None:
    click.echo(f"fastw2v: warning: {message}", err=True)


def _load(model: Path, vectors: str | None) -> KeyedVectors:
    from fastw2v.vectors.keyed_vectors import KeyedVectors

    return KeyedVectors.load(model, vectors or "input", on_damage=_warn)


def _known(keyed_vectors: KeyedVectors, word: str) -> str:
    """The word as typed, else in lower case; raises UnknownWordError if neither is known."""
    found = keyed_vectors.match_case(word)
    if found is None:
        keyed_vectors.get_index(word)  # raises, with the nearest spellings
    return found or word


@click.command()
@_model_argument
@click.argument("words", nargs=-1, required=True, metavar="WORD...")
@_topn_option
@_vectors_option()
def neighbors(model: Path, words: tuple[str, ...], topn: int, vectors: str) -> None:
    """The words nearest to each WORD, with the cosine.

    MODEL is a model directory or a vectors file (.bin .txt .vec .parquet .npy).

    Example: fastw2v neighbors my.model king queen --topn 5
    """
    keyed_vectors = _load(model, vectors)
    known = [_known(keyed_vectors, word) for word in words]
    rows = [
        (word, near, f"{cosine:.4f}")
        for word in known
        for near, cosine in keyed_vectors.most_similar(word, topn=topn)
    ]
    print_rows(("word", "neighbor", "cosine"), rows)


@click.command()
@_model_argument
@click.argument("a")
@click.argument("b")
@click.argument("c")
@_topn_option
@_vectors_option()
def analogy(model: Path, a: str, b: str, c: str, topn: int, vectors: str) -> None:
    """A is to B as C is to ... (the words nearest to B - A + C).

    Example: fastw2v analogy my.model man king woman
    """
    keyed_vectors = _load(model, vectors)
    a, b, c = (_known(keyed_vectors, word) for word in (a, b, c))
    answers = keyed_vectors.most_similar(positive=[b, c], negative=[a], topn=topn)
    question = f"{a} : {b} = {c} : ?"
    rows = [(question, answer, f"{cosine:.4f}") for answer, cosine in answers]
    print_rows(("question", "answer", "cosine"), rows)


@click.command()
@_model_argument
@click.argument("a")
@click.argument("b")
@_vectors_option()
def similarity(model: Path, a: str, b: str, vectors: str) -> None:
    """The cosine between the vectors of A and B.

    Example: fastw2v similarity my.model good great
    """
    keyed_vectors = _load(model, vectors)
    a, b = _known(keyed_vectors, a), _known(keyed_vectors, b)
    print_rows(("word", "other", "cosine"), [(a, b, f"{keyed_vectors.similarity(a, b):.4f}")])


@click.command()
@_model_argument
@click.option("--map", "as_map", is_flag=True, help="Draw a 2-D map of words instead (PCA).")
@click.option(
    "--words",
    multiple=True,
    metavar="W1,W2,...",
    help="The words of the map, separated by commas; may be repeated. Implies --map.",
)
@click.option(
    "--top",
    type=click.IntRange(min=2),
    help="Map so many of the most frequent words. Implies --map.",
    show_default=str(_MAP_WORDS),
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="The picture to write (.png, .pdf or .svg); default: MODEL/loss.png, redrawn, or "
    "MODEL-map.png.",
)
@_vectors_option(default=None)
@_force_option
def plot(
    model: Path,
    as_map: bool,
    words: tuple[str, ...],
    top: int | None,
    output: Path | None,
    vectors: str | None,
    force: bool,
) -> None:
    """Draw the loss curve of a model, or a map of its words.

    \b
    Examples: fastw2v plot my.model
              fastw2v plot my.model --words king,queen,man,woman --output royal.png
    """
    if words and top is not None:
        raise UsageError("--words and --top exclude each other: give one of them")
    if as_map or words or top is not None:
        written = _plot_map(model, words, top or _MAP_WORDS, output, vectors, force)
    elif vectors is not None:
        raise UsageError("--vectors is for maps: add --map")
    else:
        written = _plot_loss(model, output, force)
    click.echo(f"wrote {written}")


def _plot_map(
    model: Path,
    words: tuple[str, ...],
    top: int,
    output: Path | None,
    vectors: str | None,
    force: bool,
) -> Path:
    from fastw2v import plots
    from fastw2v.vectors.formats import check_output

    output = output or Path(f"{model}-map.png")
    plots.check_suffix(output)
    check_output(output, force)
    keyed_vectors = _load(model, vectors)
    listed = [word for group in words for word in group.split(",") if word]
    if listed:
        shown = [_known(keyed_vectors, word) for word in listed]
        title = f"{model.name}: {len(set(shown))} words"
    else:
        shown = keyed_vectors.index_to_key[:top]
        title = f"{model.name}: the {len(shown)} most frequent words"
    plots.plot_map(keyed_vectors, shown, output, title)
    return output


def _plot_loss(model: Path, output: Path | None, force: bool) -> Path:
    from fastw2v import plots
    from fastw2v.model_directory import CURRENT, LOSS_PLOT, open_model
    from fastw2v.vectors.formats import check_output

    if output is not None:
        plots.check_suffix(output)
        check_output(output, force)
    generation = open_model(model, on_damage=_warn)
    if output is None:
        if not (model / CURRENT).is_file():  # a checkpoint's files are never changed
            raise UsageError(f"{model}: is a checkpoint; say where to draw with --output FILE.png")
        output = model / LOSS_PLOT
    config = generation.config
    title = f"{model.resolve().name}: {config.get('type', 'model')}, {config['vector_dim']} dims"
    plots.plot_loss(generation.history(), output, title)
    return output


@click.command()
@_model_argument
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
@_vectors_option()
def evaluate(
    model: Path, pairs: tuple[Path, ...], analogies: tuple[Path, ...], vectors: str
) -> None:
    """Score a model on word pairs (Spearman) and analogies (3CosAdd accuracy).

    Words are looked up as they stand, then in lower case. Pairs and questions with an unknown word
    are left out of the score; the last column counts them as similarity 0 or as wrong.

    Example: fastw2v evaluate my.model --pairs wordsim353.tsv --analogies questions-words.txt
    """
    if not pairs and not analogies:
        raise UsageError("nothing to evaluate on: give --pairs FILE or --analogies FILE")
    from fastw2v.vectors import evaluate as evaluation

    pair_sets = [evaluation.read_pairs(path) for path in pairs]
    question_sets = [evaluation.read_analogies(path) for path in analogies]
    keyed_vectors = _load(model, vectors)
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


@click.command()
@_model_argument
@click.argument("out", type=click.Path(path_type=Path))
@_vectors_option()
@_force_option
def export(model: Path, out: Path, vectors: str, force: bool) -> None:
    """Write the vectors of MODEL to OUT; the suffix of OUT chooses the format.

    \b
    .bin      word2vec binary (gensim: load_word2vec_format(OUT, binary=True))
    .txt      word2vec text
    .vec      fastText text
    .parquet  columns token, count, vector
    .npy      NumPy matrix, with OUT's name .vocab.tsv beside it

    Example: fastw2v export my.model vectors.bin
    """
    from fastw2v.machine import readable_bytes
    from fastw2v.vectors.formats import check_writable

    check_writable(out, [], force)  # before a large model is read
    keyed_vectors = _load(model, vectors)
    keyed_vectors.save(out, force=force)
    click.echo(
        f"wrote {out}: {len(keyed_vectors):,} words, {keyed_vectors.vector_size} dimensions, "
        f"{readable_bytes(out.stat().st_size)}"
    )


COMMANDS: list[click.Command] = [neighbors, analogy, similarity, plot, evaluate, export]
