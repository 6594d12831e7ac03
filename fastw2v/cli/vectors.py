"""Commands that ask a model's vectors: neighbors, analogy, similarity, plot, export."""

from __future__ import annotations

from pathlib import Path

import click

from fastw2v.cli.options import (
    force_option,
    known,
    load,
    model_argument,
    topn_option,
    vectors_option,
    warn,
)
from fastw2v.cli.tables import print_rows
from fastw2v.errors import UsageError

_MAP_WORDS = 150


@click.command()
@model_argument
@click.argument("words", nargs=-1, required=True, metavar="WORD...")
@topn_option
@vectors_option()
def neighbors(model: Path, words: tuple[str, ...], topn: int, vectors: str) -> None:
    """The words nearest to each WORD, with the cosine.

    WORDs that are a phrase of the model count as one (new york as new_york); so does one WORD with
    spaces in it, here and wherever a word is asked for.

    MODEL is a model directory or a vectors file (.bin .txt .vec .parquet .npy).

    Example: fastw2v neighbors my.model king queen --topn 5
    """
    keyed_vectors = load(model, vectors)
    asked = [known(keyed_vectors, word) for word in keyed_vectors.join_phrases(words)]
    rows = [
        (word, near, f"{cosine:.4f}")
        for word in asked
        for near, cosine in keyed_vectors.most_similar(word, topn=topn)
    ]
    print_rows(("word", "neighbor", "cosine"), rows)


@click.command()
@model_argument
@click.argument("a")
@click.argument("b")
@click.argument("c")
@topn_option
@vectors_option()
def analogy(model: Path, a: str, b: str, c: str, topn: int, vectors: str) -> None:
    """A is to B as C is to ... (the words nearest to B - A + C).

    Example: fastw2v analogy my.model man king woman
    """
    keyed_vectors = load(model, vectors)
    a, b, c = (known(keyed_vectors, word) for word in (a, b, c))
    answers = keyed_vectors.most_similar(positive=[b, c], negative=[a], topn=topn)
    question = f"{a} : {b} = {c} : ?"
    rows = [(question, answer, f"{cosine:.4f}") for answer, cosine in answers]
    print_rows(("question", "answer", "cosine"), rows)


@click.command()
@model_argument
@click.argument("a")
@click.argument("b")
@vectors_option()
def similarity(model: Path, a: str, b: str, vectors: str) -> None:
    """The cosine between the vectors of A and B.

    Example: fastw2v similarity my.model good great
    """
    keyed_vectors = load(model, vectors)
    a, b = known(keyed_vectors, a), known(keyed_vectors, b)
    print_rows(("word", "other", "cosine"), [(a, b, f"{keyed_vectors.similarity(a, b):.4f}")])


@click.command()
@model_argument
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
@vectors_option(default=None)
@force_option
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
    from fastw2v.plots import style as figures
    from fastw2v.plots import words as plots
    from fastw2v.vectors.formats import check_output

    output = output or Path(f"{model}-map.png")
    figures.check_suffix(output)
    check_output(output, force)
    keyed_vectors = load(model, vectors)
    listed = [word for group in words for word in group.split(",") if word]
    if listed:
        shown = [known(keyed_vectors, word) for word in listed]
        title = f"{model.name}: {len(set(shown))} words"
    else:
        shown = keyed_vectors.most_frequent(top)
        title = f"{model.name}: the {len(shown)} most frequent words"
    plots.plot_map(keyed_vectors, shown, output, title)
    return output


def _plot_loss(model: Path, output: Path | None, force: bool) -> Path:
    from fastw2v.io.model_directory import CURRENT, LOSS_PLOT, open_model
    from fastw2v.plots.loss import loss_title, plot_loss
    from fastw2v.plots.style import check_suffix
    from fastw2v.vectors.formats import check_output

    if output is not None:
        check_suffix(output)
        check_output(output, force)
    generation = open_model(model, on_damage=warn)
    if output is None:
        if not (model / CURRENT).is_file():  # a checkpoint's files are never changed
            raise UsageError(f"{model}: is a checkpoint; say where to draw with --output FILE.png")
        output = model / LOSS_PLOT
    config, state = generation.config, generation.state
    words = int(state.get("words_before", 0)) + int(state.get("words_done", 0))
    title = loss_title(model.resolve().name, config["type"], config["vector_dim"], words)
    plot_loss(generation.history(), output, title, config["type"])
    return output


@click.command()
@model_argument
@click.argument("out", type=click.Path(path_type=Path))
@vectors_option()
@force_option
def export(model: Path, out: Path, vectors: str, force: bool) -> None:
    """Write the vectors of MODEL to OUT; the suffix of OUT chooses the format.

    \b
    .bin      word2vec binary (gensim: load_word2vec_format(OUT, binary=True))
    .txt      word2vec text
    .vec      fastText text
    .parquet  columns token, count, vector
    .npy      NumPy matrix, with OUT's name .vocab.tsv beside it

    The most frequent words come first; those by which a vocabulary has grown (--update-vocab) come
    last, however frequent they are.

    Example: fastw2v export my.model vectors.bin
    """
    from fastw2v.io.machine import readable_bytes
    from fastw2v.vectors.formats import check_writable

    check_writable(out, [], force)  # before a large model is read
    keyed_vectors = load(model, vectors)
    keyed_vectors.save(out, force=force)
    click.echo(
        f"wrote {out}: {len(keyed_vectors):,} words, {keyed_vectors.vector_size} dimensions, "
        f"{readable_bytes(out.stat().st_size)}"
    )


COMMANDS: list[click.Command] = [neighbors, analogy, similarity, plot, export]
