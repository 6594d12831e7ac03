"""The commands `preprocess` and `info`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fastw2v.cli.options import given_options, options_of
from fastw2v.cli.tables import print_rows
from fastw2v.corpus.config import PreprocessConfig
from fastw2v.errors import UsageError
from fastw2v.model_directory import LOSS_PLOT, is_model_directory, open_model

if TYPE_CHECKING:
    from fastw2v.corpus.token_store import TokenStore
    from fastw2v.model_directory import Generation

_LINE_EVERY = 5.0  # seconds between progress lines where there is no terminal
_TOP_WORDS = 20

Progress = Callable[[str, int, int], None]


@options_of(PreprocessConfig)
@click.command(
    epilog="\b\nExample:\n  fastw2v preprocess corpus/*.txt.gz --output corpus.store\n\n"
    "A run that was stopped goes on when the same command is given again. The store does not "
    "depend on the number of workers."
)
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("--output", required=True, metavar="STORE", help="The token store to make.")
@click.option(
    "--workers", type=click.INT, show_default="usable cores", help="Processes that read text."
)
@click.option(
    "--force",
    is_flag=True,
    help="Replace a token store that is there already, once the new one is complete.",
)
@click.option("--quiet", is_flag=True, help="No progress and no report.")
@click.pass_context
def preprocess(
    context: click.Context,
    inputs: tuple[str, ...],
    output: str,
    workers: int | None,
    force: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Turn text into a token store, ready to train on.

    INPUT is a text file (UTF-8, plain or .gz, a line a sequence), a directory or a glob pattern.
    """
    from fastw2v.corpus.preprocess import preprocess as run

    try:
        with _display(quiet) as progress:
            report = run(
                list(inputs),
                output,
                workers=workers,
                force=force,
                progress=progress,
                **given_options(context, options),
            )
    except KeyboardInterrupt:
        click.echo("\nstopped; the same command goes on from here", err=True)
        context.exit(130)
    if quiet:
        return
    rows = [(about, label, f"{value:,}", share) for about, label, value, share in report.rows()]
    print_rows(("about", "what", "number", "share"), rows)
    click.echo(f"{_shown(output)}: {report.tokens_kept:,} tokens in {report.seconds:.1f} s")


@contextmanager
def _display(quiet: bool) -> Iterator[Progress | None]:
    """What the user sees of the work: nothing, a bar on a terminal, or a line now and then."""
    if quiet:
        yield None
    elif sys.stderr is not None and sys.stderr.isatty():
        with _bar() as progress:
            yield progress
    else:
        yield _lines()


@contextmanager
def _bar() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    with Bar(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        tasks: dict[str, Any] = {}

        def show(phase: str, done: int, total: int) -> None:
            if phase not in tasks:
                tasks[phase] = bar.add_task(phase, total=total or None)
            bar.update(tasks[phase], completed=done)

        yield show


def _lines() -> Progress:
    last = time.monotonic()

    def show(phase: str, done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _LINE_EVERY:
            last = time.monotonic()
            share = f" of {total / 1e6:,.1f} MB ({done / total:.0%})" if total else " MB"
            click.echo(f"{phase}: {done / 1e6:,.1f}{share}", err=True)

    return show


@click.command(
    epilog="\b\nExamples:\n  fastw2v info corpus.store\n  fastw2v info corpus.store --verify"
)
@click.argument("path", metavar="STORE|MODEL")
@click.option(
    "--verify", is_flag=True, help="Read all of a token store and compare it with its checksums."
)
def info(path: str, verify: bool) -> None:
    """Show what is in a token store or a model."""
    if not path:  # as a Path it would be the working directory
        raise UsageError("empty path; name a token store or a model")
    place = Path(path)
    if is_model_directory(place):
        if verify:
            raise UsageError(
                f"{path}: --verify is for token stores; a model is verified whenever it is opened"
            )
        warn = lambda line: click.echo(f"warning: {line}", err=True)  # noqa: E731
        print_rows(
            ("about", "what", "value"), _model_rows(place, open_model(place, on_damage=warn))
        )
        return
    from fastw2v.corpus.token_store import TokenStore

    if not place.exists():
        raise UsageError(f"{path}: no such token store or model")
    store = TokenStore.open(place)
    if verify:
        store.verify()
    print_rows(("about", "what", "value"), _store_rows(store))
    if verify:
        files = 1 + len(store.manifest["parts"])
        click.echo(f"{_shown(path)}: verified; all {files:,} files match their SHA-256")


def _store_rows(store: TokenStore) -> list[tuple[str, str, str]]:
    from fastw2v.machine import readable_bytes

    manifest, vocabulary = store.manifest, store.vocabulary
    groups = store.row_group_tokens
    size = sum(part["bytes"] for part in manifest["parts"]) + manifest["vocabulary"]["bytes"]
    top = zip(vocabulary.tokens[:_TOP_WORDS], vocabulary.counts[:_TOP_WORDS].tolist(), strict=True)
    mean = f"{groups.mean():,.0f} tokens each on average" if len(groups) else ""
    rows = [
        ("store", "path", _shown(store.path)),
        ("store", "tokens", f"{store.num_tokens:,}"),
        ("store", "sentences", f"{store.num_sentences:,}"),
        ("store", "parts", f"{len(manifest['parts']):,} ({readable_bytes(size)} on disk)"),
        ("store", "row groups", f"{store.num_row_groups:,}" + (f" ({mean})" if mean else "")),
        ("vocabulary", "words", f"{len(vocabulary):,}"),
        ("vocabulary", "sum of counts", f"{vocabulary.total:,}"),
        ("vocabulary", "most frequent", ", ".join(f"{word} {count:,}" for word, count in top)),
        ("vocabulary", "hash", vocabulary.hash),
    ]
    rows += [("settings", _dashed(name), _shown(v)) for name, v in manifest["settings"].items()]
    rows.append(("report", "made from", manifest["source"]))
    rows += [("report", _spaced(name), f"{v:,}") for name, v in manifest["report"].items()]
    return rows


def _model_rows(model: Path, generation: Generation) -> list[tuple[str, str, str]]:
    config, state = generation.config, generation.state
    history = generation.history()
    last = history[-1] if history else {}
    losses = [row["loss"] for row in history if row.get("loss") is not None]
    rows = [
        ("model", "path", _shown(model)),
        ("model", "type", _shown(config.get("type"))),
        ("model", "dimensions", _shown(config.get("vector_dim"))),
        ("model", "vocabulary", _shown(state.get("vocabulary_size"))),
        ("training", "words done", _shown(state.get("words_done"))),
        ("training", "words in all", _shown(state.get("total_words"))),
        ("training", "epoch", f"{_shown(last.get('epoch'))} of {_shown(config.get('epochs'))}"),
        ("training", "seconds", _shown(state.get("training_seconds"))),
        ("training", "last loss", _shown(losses[-1] if losses else None)),
        ("training", "alpha now", _shown(last.get("alpha"))),
    ]
    shown = ("type", "vector_dim", "epochs")
    rows += [("settings", _dashed(n), _shown(v)) for n, v in config.items() if n not in shown]
    rows.append(("files", "vectors and history", _shown(generation.path)))
    checkpoints = sorted(model.glob("checkpoints/epoch-*"), key=lambda p: (len(p.name), p.name))
    rows += [("files", "checkpoint", _shown(path)) for path in checkpoints]
    if (model / LOSS_PLOT).is_file():
        rows.append(("files", "loss curve", _shown(model / LOSS_PLOT)))
    return rows


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _shown(value: Any) -> str:
    """A value of a settings file, or a path, for people."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.6g}"
    return click.format_filename(str(value))  # bytes of a name that are no UTF-8 become U+FFFD


COMMANDS: list[click.Command] = [preprocess, info]
