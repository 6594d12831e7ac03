"""The demonstration: real English from this machine's own Python, made into word vectors.

The text is the documentation that Python and its packages carry: docstrings, the strings given to
`add_newdoc`, and the language reference in `pydoc_data.topics`. It is read from the source files
with `ast`; nothing is imported or run for it.

    DIR/fastw2v-demo.json   marks the directory as a demonstration, which may be started over
    DIR/text/docs-0.txt …   the text, a paragraph a line
    DIR/docs.store          the token store
    DIR/docs.model          the model
"""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import re
import sysconfig
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastw2v.errors import DataError, UsageError
from fastw2v.io import storage

if TYPE_CHECKING:
    from fastw2v.training.reporting import Reporter
    from fastw2v.vectors.model import Model

MARKER = "fastw2v-demo.json"
_MARKER_CONTENT = {"format": "fastw2v demo", "version": 1}
TEXT, STORE, MODEL = "text", "docs.store", "docs.model"

# fastw2v's own dependencies, so they are there; the first five have nearly all of the text.
PACKAGES = ("numpy", "scipy", "matplotlib", "numba", "pyarrow", "llvmlite", "click", "rich")
WORDS_WANTED = 1_000_000
SHARDS = 8

# A small corpus wants fewer dimensions, more passes and only words that come often enough; the
# defaults are for large ones. With --subsample 1e-4 frequent technical words ("float") would be
# dropped so often that their neighbors become function words.
TRAINING: dict[str, Any] = {
    "type": "sgram_neg",
    "vector_dim": 100,
    "epochs": 20,
    "subsample": 1e-3,
}
PREPROCESSING: dict[str, Any] = {"min_count": 20}

# fmt: off
PROBES = (
    "list", "float", "read", "thread", "array", "string", "file", "matrix", "class", "error",
    "plot", "axis", "socket", "random", "iterator", "keyword",
)
# fmt: on
PROBES_SHOWN = 12

_NOT_DOCUMENTATION = {"site-packages", "dist-packages", "__pycache__", "_vendor", "lib2to3"}
_TEST_DIRECTORIES = {"test", "tests", "testing", "idle_test"}
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_DOCUMENTING_CALLS = {"add_newdoc", "addnewdoc", "add_docstring"}
_BLANK_LINES = re.compile(r"\n\s*\n")
_WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True)
class Source:
    """The Python files of the standard library or of one package."""

    name: str
    files: tuple[Path, ...]
    test_files: tuple[Path, ...]


@dataclass(frozen=True)
class DemoResult:
    """What `run_demo` made; `words` counts those of the text before preprocessing."""

    directory: Path
    text: Path
    store: Path
    model_directory: Path
    lines: int
    words: int
    model: Model


def find_sources(packages: Iterable[str] = PACKAGES) -> list[Source]:
    """The standard library and those of `packages` that are installed, without importing them."""
    roots = {"the standard library": Path(sysconfig.get_path("stdlib"))}
    for package in packages:
        spec = importlib.util.find_spec(package)  # imports nothing for a top-level name
        if spec is not None and spec.origin is not None:
            roots[package] = Path(spec.origin).parent
    return [_source(name, root) for name, root in roots.items()]


def _source(name: str, root: Path) -> Source:
    files: list[Path] = []
    test_files: list[Path] = []
    for path in sorted(root.rglob("*.py")):
        directories = set(path.relative_to(root).parts[:-1])
        if not directories & _NOT_DOCUMENTATION:
            (test_files if directories & _TEST_DIRECTORIES else files).append(path)
    return Source(name, tuple(files), tuple(test_files))


def documentation_of(path: Path) -> list[str]:
    """Every piece of documentation in one Python file; none where the file cannot be parsed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes in other people's strings
        try:
            tree = ast.parse(path.read_bytes())
        except (OSError, SyntaxError, ValueError):
            return []
    if path.parent.name == "pydoc_data":
        return [text for node in tree.body for text in _values_of_dict(node)]
    return [text for node in ast.walk(tree) for text in _documentation_in(node)]


def _documentation_in(node: ast.AST) -> Iterator[str]:
    if isinstance(node, _DOCUMENTED):
        text = ast.get_docstring(node)
        if text:
            yield text
    elif isinstance(node, ast.Call):
        function = node.func
        name = getattr(function, "attr", None) or getattr(function, "id", None)
        if name in _DOCUMENTING_CALLS:
            for argument in node.args:
                with contextlib.suppress(ValueError):  # not a literal
                    value = ast.literal_eval(argument)
                    parts = value if isinstance(value, tuple) else (value,)
                    yield from (part for part in parts if isinstance(part, str) and " " in part)


def _values_of_dict(node: ast.AST) -> Iterator[str]:
    """The texts of `topics = {"assert": "...", ...}`."""
    value = getattr(node, "value", None)
    if isinstance(value, ast.Dict):
        for item in value.values:
            if isinstance(item, ast.Constant) and isinstance(item.value, str):
                yield item.value


def paragraphs_of(text: str) -> Iterator[str]:
    """The paragraphs of a docstring, each on one line, without examples in code and rules."""
    for paragraph in _BLANK_LINES.split(text):
        lines = (line.strip() for line in paragraph.splitlines())
        if paragraph.lstrip().startswith((">>>", "...")):
            continue
        # A line without a letter is a rule under a heading, a table's border or figures.
        joined = " ".join(line for line in lines if _WORD.search(line))
        if joined:
            yield joined


def gather_texts(
    sources: Iterable[Source],
    *,
    words_wanted: int = WORDS_WANTED,
    on_source: Callable[[str, int], None] | None = None,
) -> tuple[list[str], int]:
    """The distinct paragraphs of all documentation in `sources`, and their words.

    The files of test suites are read only where the others have fewer than `words_wanted` words.

    Args:
        on_source: called after each source with its name and the words so far.
    """
    seen: dict[str, None] = {}
    words = 0
    sources = list(sources)
    passes = [(source.name, source.files) for source in sources]
    passes += [(f"the tests of {source.name}", source.test_files) for source in sources]
    for position, (name, files) in enumerate(passes):
        if position >= len(sources) and words >= words_wanted:
            break
        for path in files:
            for text in documentation_of(path):
                for paragraph in paragraphs_of(text):
                    if paragraph not in seen:
                        seen[paragraph] = None
                        words += len(_WORD.findall(paragraph))
        if on_source:
            on_source(name, words)
    return list(seen), words


def write_shards(lines: list[str], directory: Path, shards: int = SHARDS) -> list[Path]:
    """Write `lines` as `shards` text files of about equal size in the new directory `directory`.

    Raises:
        ResourceError: the disk is full or the place not writable.
    """
    paths = []
    for shard in range(shards):
        part = lines[shard * len(lines) // shards : (shard + 1) * len(lines) // shards]
        path = directory / f"docs-{shard}.txt"
        text = "".join(f"{line}\n" for line in part)
        # Lone surrogates can stand in a docstring, but not in UTF-8.
        storage.write_text(path, text.encode("utf-8", "replace").decode("utf-8"))
        paths.append(path)
    return paths


def prepare_directory(directory: Path) -> None:
    """Make `directory` ready for a new demonstration, removing what an earlier one left there.

    Raises:
        UsageError: something that is not a demonstration is there.
    """
    marker = directory / MARKER
    if directory.exists() and not directory.is_dir():
        raise UsageError(f"{directory}: a file of this name exists; choose another `output`")
    if directory.is_dir() and any(directory.iterdir()):
        try:
            ours = storage.read_json(marker).get("format") == _MARKER_CONTENT["format"]
        except DataError:
            ours = False
        if not ours:
            raise UsageError(
                f"{directory}: exists and is not an earlier demonstration; choose another `output`"
            )
    storage.write_json(marker, _MARKER_CONTENT)
    storage.remove_leftovers(directory)
    for name in (TEXT, STORE, MODEL):
        if (directory / name).is_dir():
            storage.remove_directory(directory / name)


def run_demo(
    directory: Path,
    *,
    reporter: Reporter | None = None,
    **options: Any,
) -> DemoResult:
    """Gather text, preprocess it and train on it, all below `directory`.

    Args:
        directory: new, empty or an earlier demonstration, which is started over.
        reporter: see `train`.
        options: training options that differ from `TRAINING`; None = as there.

    Raises:
        UsageError: a wrong option, something else in `directory`, or a Python that carries no
            documentation.
    """
    from fastw2v.store.pipeline import preprocess
    from fastw2v.training.api import train
    from fastw2v.training.config import TrainConfig
    from fastw2v.training.reporting import LogReporter

    reporter = reporter or LogReporter()
    settings = TRAINING | {name: value for name, value in options.items() if value is not None}
    config = TrainConfig.create(**settings)  # a wrong option is told before any work
    prepare_directory(directory)
    reporter.info("Reading the documentation of this Python (with ast; nothing is imported)")

    def on_source(name: str, words_so_far: int) -> None:
        reporter.info(f"{words_so_far:>11,} words with {name}")

    lines, words = gather_texts(find_sources(), on_source=on_source)
    if words < WORDS_WANTED // 10:
        raise UsageError(
            f"this Python carries only {words:,} words of documentation (stripped?); "
            "use another, or your own text: fastw2v train TEXT MODEL"
        )
    paths = write_shards(lines, directory / TEXT)
    reporter.info(f"Preprocessing {len(lines):,} paragraphs in {len(paths)} shards")
    store, model_directory = directory / STORE, directory / MODEL
    preprocess(paths, store, progress=reporter.bytes, **PREPROCESSING)
    reporter.info(
        f"Training skip-gram with negative sampling, {config.vector_dim} dimensions, "
        f"{config.epochs} epochs"
    )
    model = train(store, model_directory, reporter=reporter, **settings)
    return DemoResult(
        directory=directory,
        text=directory / TEXT,
        store=store,
        model_directory=model_directory,
        lines=len(lines),
        words=words,
        model=model,
    )


def neighbors_shown(model: Model, topn: int = 6) -> list[tuple[str, list[str]]]:
    """The first of `PROBES` that the model knows, each with its `topn` nearest words."""
    vectors = model.wv
    known = [word for word in PROBES if word in vectors][:PROBES_SHOWN]
    return [
        (word, [neighbor for neighbor, _ in vectors.most_similar(word, topn=topn)])
        for word in known
    ]
