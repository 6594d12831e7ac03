"""The command `compare`: several models side by side."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fastw2v.cli.display import can_show, print_json, print_rows, shown
from fastw2v.cli.options import Choice, force_option, option, output_option, result_options, warn
from fastw2v.errors import UsageError

if TYPE_CHECKING:
    from fastw2v.vectors.comparison import Benchmark, Row, Table

_BEST = " *"


@click.command()
@click.argument(
    "models", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="MODEL..."
)
@output_option(
    "The picture of the loss curves to write (.png, .pdf or .svg).",
    default=Path("compare.png"),
    show_default=True,
)
@option(
    "--against",
    type=Choice(("words", "seconds", "epochs")),
    default="words",
    show_default=True,
    help="The x axis of the curves.",
)
@option(
    "--quality/--no-quality",
    default=None,
    show_default="if word pairs or analogies are found",
    help="Score the vectors on word pairs and analogies, as fastw2v evaluate does: on the given "
    "files, else on WordSim-353, SimLex-999 and the Google analogies if gensim, which contains "
    "them, is installed.",
)
@option(
    "--pairs", multiple=True, type=click.Path(path_type=Path), metavar="FILE",
    help="Word pairs to score on instead. May be repeated.",
)  # fmt: skip
@option(
    "--analogies", multiple=True, type=click.Path(path_type=Path), metavar="FILE",
    help="Analogy questions, four words a line, to score on instead. May be repeated.",
)  # fmt: skip
@force_option
@result_options
def compare(
    models: tuple[Path, ...],
    output: Path,
    against: str,
    quality: bool | None,
    pairs: tuple[Path, ...],
    analogies: tuple[Path, ...],
    force: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Plot the losses of several models and tabulate their metrics.

    MODEL is a model directory or one of its checkpoints; it may be in training. The table has
    words, time and speed, the training loss (mean over the last 5 % of the words), the held-out
    loss of the last evaluation with its 95 % interval, quality, and the settings that differ; a *
    marks the best of a row. Held-out losses are comparable between models of one type with the same
    held-out text. Their difference from the first of these models is paired by sequence, so its
    interval is narrower than theirs. Where losses are not comparable, a note says why.

    \b
    Examples: fastw2v compare a.model b.model
              fastw2v compare runs/*.model --against seconds --output runs.png --no-quality
              fastw2v compare a.model b.model --json > comparison.json
    """
    from fastw2v.plots.comparison import plot_runs
    from fastw2v.plots.style import check_suffix
    from fastw2v.vectors import comparison
    from fastw2v.vectors.comparison import compare_runs
    from fastw2v.vectors.formats import check_output

    if len(models) < 2:
        raise UsageError("compare needs at least two models")
    if quality is False and (pairs or analogies):
        raise UsageError("--no-quality excludes --pairs and --analogies; leave it out")
    check_suffix(output)
    check_output(output, force)
    names = comparison.names_of(models)
    benchmarks = {} if quality is False else _benchmarks(pairs, analogies)
    if quality and not benchmarks:
        raise UsageError(
            "--quality: found no benchmark; give --pairs FILE or --analogies FILE, or install "
            "gensim"
        )
    runs = [
        comparison.read_run(path, name, benchmarks, warn)
        for path, name in zip(models, names, strict=True)
    ]
    table = compare_runs(runs)
    plot_runs(runs, output, against)
    if as_json:
        print_json(table.as_json() | {"output": output})
    else:
        _print(table, quiet)
    if not quiet:
        click.echo(f"wrote {shown(output)}", err=True)


def _benchmarks(pairs: tuple[Path, ...], analogies: tuple[Path, ...]) -> dict[str, Benchmark]:
    """The given ones by name, or those that are found."""
    from fastw2v.vectors import comparison
    from fastw2v.vectors.evaluation import read_analogies, read_pairs

    found: dict[str, Benchmark] = {}
    given: list[Benchmark] = [*map(read_pairs, pairs), *map(read_analogies, analogies)]
    for benchmark in given:
        if benchmark.name in found:
            raise UsageError(f"two benchmarks are called {benchmark.name}; rename one of the files")
        found[benchmark.name] = benchmark
    return found or comparison.common_benchmarks()


def _print(table: Table, quiet: bool) -> None:
    print_rows(
        ("about", "what", *(run.name for run in table.runs)),
        [(row.about, row.name, *_cells(row)) for row in table.rows],
    )
    for note in [] if quiet else table.notes:
        click.echo(f"note: {note}", err=True)


def _cells(row: Row) -> list[str]:
    encoding = getattr(sys.stdout, "encoding", None)
    sign = "±" if can_show("±", encoding) else "+/-"
    return [
        (text.replace("±", sign) or "-") + (_BEST if place in row.best else "")
        for place, text in enumerate(row.texts)
    ]


COMMANDS: list[click.Command] = [compare]
