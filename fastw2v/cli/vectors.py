"""Commands that query a model's vectors: neighbors, analogy, similarity, plot, export."""

from __future__ import annotations

from pathlib import Path

import click

from fastw2v.cli.display import print_json, print_rows, shown
from fastw2v.cli.options import (
    force_option,
    known,
    load,
    model_argument,
    option,
    output_option,
    result_options,
    topn_option,
    vectors_option,
    warn,
)
from fastw2v.errors import UsageError

_MAP_WORDS = 150


@click.command()
@model_argument
@click.argument("words", nargs=-1, required=True, metavar="WORD...")
@topn_option("neighbors")
@vectors_option()
@result_options
def neighbors(
    model: Path, words: tuple[str, ...], topn: int, vectors: str, as_json: bool, quiet: bool
) -> None:
    """Print the words nearest to each WORD, by cosine.

    WORDs that form a phrase of the model count as one (new york as new_york), and so does one WORD
    with spaces in it, here and in the other commands.

    MODEL is a model directory or a vectors file (.bin .txt .vec .parquet .npy).

    Example: fastw2v neighbors my.model king queen -n 5
    """
    keyed_vectors = load(model, vectors)
    asked = [known(keyed_vectors, word) for word in keyed_vectors.join_phrases(words)]
    found = [(word, keyed_vectors.most_similar(word, topn=topn)) for word in asked]
    if as_json:
        print_json({"results": [{"word": word, "neighbors": _named(near)} for word, near in found]})
        return
    rows = [(word, other, f"{cosine:.4f}") for word, near in found for other, cosine in near]
    print_rows(("word", "neighbor", "cosine"), rows)


def _named(words: list[tuple[str, float]]) -> list[dict[str, object]]:
    return [{"word": word, "cosine": cosine} for word, cosine in words]


@click.command()
@model_argument
@click.argument("a")
@click.argument("b")
@click.argument("c")
@topn_option("answers")
@vectors_option()
@result_options
def analogy(
    model: Path, a: str, b: str, c: str, topn: int, vectors: str, as_json: bool, quiet: bool
) -> None:
    """Solve A : B = C : ?, by the words nearest to B - A + C.

    Example: fastw2v analogy my.model man king woman
    """
    keyed_vectors = load(model, vectors)
    a, b, c = (known(keyed_vectors, word) for word in (a, b, c))
    answers = keyed_vectors.most_similar(positive=[b, c], negative=[a], topn=topn)
    if as_json:
        print_json({"a": a, "b": b, "c": c, "answers": _named(answers)})
        return
    question = f"{a} : {b} = {c} : ?"
    rows = [(question, answer, f"{cosine:.4f}") for answer, cosine in answers]
    print_rows(("question", "answer", "cosine"), rows)


@click.command()
@model_argument
@click.argument("a")
@click.argument("b")
@vectors_option()
@result_options
def similarity(model: Path, a: str, b: str, vectors: str, as_json: bool, quiet: bool) -> None:
    """Print the cosine between the vectors of A and B.

    Example: fastw2v similarity my.model good great
    """
    keyed_vectors = load(model, vectors)
    a, b = known(keyed_vectors, a), known(keyed_vectors, b)
    cosine = keyed_vectors.similarity(a, b)
    if as_json:
        print_json({"a": a, "b": b, "cosine": cosine})
        return
    print_rows(("word", "other", "cosine"), [(a, b, f"{cosine:.4f}")])


@click.command()
@model_argument
@option("--map", "as_map", is_flag=True, help="Draw a 2-D map of words instead (PCA).")
@option(
    "--words",
    multiple=True,
    metavar="W1,W2,...",
    help="The words of the map, separated by commas; may be repeated. Implies --map.",
)
@topn_option(
    default=None,
    minimum=2,
    show_default=str(_MAP_WORDS),
    help="Map this many of the most frequent content words. Implies --map.",
)
@option(
    "--function-words",
    is_flag=True,
    help="Do not leave English function words (the, of, is, ...) out of the map.",
)
@output_option(
    "The picture to write (.png, .pdf or .svg).", show_default="MODEL/loss.png or MODEL-map.png"
)
@vectors_option(default=None)
@force_option
@result_options
def plot(
    model: Path, as_map: bool, words: tuple[str, ...], topn: int | None, function_words: bool,
    output: Path | None, vectors: str | None, force: bool, as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Draw the loss curve of a model, or a map of its words.

    \b
    Examples: fastw2v plot my.model
              fastw2v plot my.model --words king,queen,man,woman --output royal.png
    """
    if words and topn is not None:
        raise UsageError("--words and --topn exclude each other; give one of them")
    if as_map or words or topn is not None or function_words:
        written = _plot_map(
            model, words, topn or _MAP_WORDS, function_words, output, vectors, force
        )
    elif vectors is not None:
        raise UsageError("--vectors is for maps; add --map")
    else:
        written = _plot_loss(model, output, force)
    if as_json:
        print_json({"output": written})
    elif not quiet:
        click.echo(f"wrote {shown(written)}")


def _plot_map(
    model: Path,
    words: tuple[str, ...],
    topn: int,
    function_words: bool,
    output: Path | None,
    vectors: str | None,
    force: bool,
) -> Path:
    from fastw2v.plots.style import check_suffix
    from fastw2v.plots.words import plot_map
    from fastw2v.text.tokenizer import ENGLISH
    from fastw2v.vectors.formats import check_output

    output = output or Path(f"{model}-map.png")
    check_suffix(output)
    check_output(output, force)
    keyed_vectors = load(model, vectors)
    listed = [word for group in words for word in group.split(",") if word]
    if listed:
        drawn = [known(keyed_vectors, word) for word in listed]
        title = f"{model.name}: {len(set(drawn))} words"
    else:
        drawn, what = keyed_vectors.most_frequent(topn + len(ENGLISH)), "words"
        if not function_words:
            drawn, what = [word for word in drawn if word.lower() not in ENGLISH], "content words"
        drawn = drawn[:topn]
        title = f"{model.name}: the {len(drawn)} most frequent {what}"
    plot_map(keyed_vectors, drawn, output, title)
    return output


def _plot_loss(model: Path, output: Path | None, force: bool) -> Path:
    from fastw2v.io.model_directory import CURRENT, LOSS_PLOT, open_model
    from fastw2v.plots.loss import comparability_note, loss_title, plot_loss
    from fastw2v.plots.style import check_suffix
    from fastw2v.vectors.formats import check_output

    if output is not None:
        check_suffix(output)
        check_output(output, force)
    generation = open_model(model, on_damage=warn)
    if output is None:
        if not (model / CURRENT).is_file():  # a checkpoint's files are never changed
            raise UsageError(f"{model}: is a checkpoint; name a file to draw to with --output")
        output = model / LOSS_PLOT
    config, state = generation.config, generation.state
    words = int(state.get("words_before", 0)) + int(state.get("words_done", 0))
    title = loss_title(model.resolve().name, config["type"], config["vector_dim"], words)
    note = comparability_note(config.get("subsample"), str(config.get("window_sampling")))
    plot_loss(generation.history(), output, title, config["type"], note)
    return output


@click.command()
@model_argument
@output_option("The file to write; its suffix chooses the format.", required=True)
@vectors_option()
@force_option
@result_options
def export(
    model: Path, output: Path, vectors: str, force: bool, as_json: bool, quiet: bool
) -> None:
    """Write the vectors of a model to a file of another format.

    \b
    .bin      word2vec binary (gensim: load_word2vec_format(FILE, binary=True))
    .txt      word2vec text
    .vec      fastText text
    .parquet  columns token, count, vector
    .npy      NumPy matrix, with the words in OUT.vocab.tsv beside OUT.npy

    The most frequent words come first; words added by --update-vocab come last, however frequent
    they are.

    Example: fastw2v export my.model --output vectors.bin
    """
    from fastw2v.io.machine import readable_bytes
    from fastw2v.vectors.formats import check_writable

    check_writable(output, [], force)  # before a large model is read
    keyed_vectors = load(model, vectors)
    keyed_vectors.save(output, force=force)
    words, dimensions, size = len(keyed_vectors), keyed_vectors.vector_size, output.stat().st_size
    if as_json:
        print_json({"output": output, "words": words, "dimensions": dimensions, "bytes": size})
    elif not quiet:
        click.echo(
            f"wrote {shown(output)}: {words:,} words, {dimensions} dimensions, "
            f"{readable_bytes(size)}"
        )


COMMANDS: list[click.Command] = [neighbors, analogy, similarity, plot, export]
