"""docs/benchmarks.md and the README's table, from the files in bench/results/."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from bench import ROOT
from bench.lib import results, tables
from bench.lib.results import origin
from bench.report import pictures
from bench.report.pictures import PICTURES
from bench.report.tables import MEAN, SECTIONS, SHOWN, TESTS
from fastw2v.errors import DataError
from fastw2v.io import storage

DOCUMENT, README, IMAGES = ROOT / "docs/benchmarks.md", ROOT / "README.md", ROOT / "docs/images"
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
_HEAD = """\
<!-- Written by `python -m bench.report` from bench/results/*.json. Do not edit. -->

# Benchmarks

Every figure comes from a result file in `bench/results/`, written by the command below its table:
the file has every repeat, the settings, the machine and the commit. All trainers of a table run on
the same words in one session. `bench/LOG.md` has what was tried and what the defaults rest on.

![Training speed against gensim and fastText](images/speed.png)"""
_ROWS = [("sgram_neg", "skip-gram"), ("cbow_neg", "CBOW")]
_TRAINERS = ("fastw2v", "gensim", "fasttext")


def read_result(name: str) -> dict[str, Any] | None:
    """A result file; None, with a warning, where it is damaged or has another layout."""
    path = results.RESULTS / f"{name}.json"
    if not path.exists():
        return None
    try:
        result = storage.read_json(path)
        if result.get("version", 1) == SECTIONS[name].version:
            return result
        _left_out(name, "it has another layout")
    except DataError as error:
        _left_out(name, str(error))
    return None


def _left_out(name: str, reason: str) -> None:
    print(f"warning: {name}.json is left out: {reason}", file=sys.stderr)


def section(name: str) -> list[str]:
    """The lines of one benchmark; none where its file is missing, damaged or empty."""
    result, about = read_result(name), SECTIONS[name]
    if result is None:
        return []
    try:
        found = [table for table in about.tables(result) if table.rows]
        machines = result.get("machines") or {"": result["machine"]}  # parts measured apart
        origins = list(dict.fromkeys(origin({**result, "machine": m}) for m in machines.values()))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        _left_out(name, f"it is damaged or of another layout ({type(error).__name__}: {error})")
        return []
    if not found:
        return []
    lines = ["", f"## {about.title}"]
    if name in PICTURES:
        lines += ["", f"![{about.title}](images/{name}.png)"]
    for table in found:
        lines += ["", *tables.markdown(table)]
    return [*lines, "", f"`python -m {about.command}`: {'; '.join(origins)}."]


def document() -> str:
    """The whole text of docs/benchmarks.md."""
    lines = [line for name in SECTIONS for line in section(name)]
    return "\n".join([_HEAD, *lines, ""])


def readme_table() -> list[str]:
    """Speed beside quality at dim 300, a row for each model and trainer."""
    speed, quality = read_result("throughput"), read_result("quality")
    if not (speed and quality):
        return []
    rates = {(row["type"], row["trainer"]): row for row in speed["summary"] if row["dim"] == 300}
    scores = {
        (row["model"], row["trainer"]): row
        for row in quality["summary"]
        if (row["dim"], row["epochs"]) == (300, 5)
    }
    rows = []
    for model, name in _ROWS:
        for trainer in _TRAINERS:
            fast, good = rates[model, trainer], scores.get((model, trainer))
            cells = [
                f"{100 * good['scores'][test]:.1f}" if good else "–" for test in (*TESTS, MEAN)
            ]
            shown = SHOWN.get(trainer, trainer)
            rows.append([name, shown, tables.rate(fast["median"]), *cells])
    titles = ["dim 300", "trainer", "words/s", *TESTS, "mean"]
    repeats, seeds = (rates["sgram_neg", "fastw2v"]["repeats"],
                      scores["sgram_neg", "fastw2v"]["seeds"])  # fmt: skip
    note = (
        f"Words/s: medians of {repeats} runs ({origin(speed)}). Scores: times 100, after 5 epochs "
        f"at equal hyperparameters, means over {seeds} seeds; –: not measured."
    )
    return [*tables.markdown(tables.Table("", titles, rows)), "", note]


def readme() -> str | None:
    """The README with its table in place; None where it has no markers for one."""
    text = README.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        return None
    return "\n".join([before + BEGIN, "", *readme_table(), "", END + after])


def write() -> list[str]:
    """Write everything; the names of the files."""
    storage.write_text(DOCUMENT, document())
    written = [DOCUMENT]
    if (text := readme()) is not None:
        storage.write_text(README, text)
        written.append(README)
    for name, draw in {"throughput": pictures.speed, **PICTURES}.items():
        result = read_result(name)
        figure = None if result is None else draw(result)
        if figure is not None:
            written.append(_picture(name))
            pictures.save(figure, written[-1])
    return [str(path.relative_to(ROOT)) for path in written]


def _picture(name: str) -> Path:
    return IMAGES / f"{'speed' if name == 'throughput' else name}.png"


def differences() -> list[str]:
    """The files that `write` would change; of pictures, those that are missing.

    (Their bytes depend on matplotlib's version and on fonts.)
    """
    expected = {DOCUMENT: document(), README: readme()}  # None without its markers: differs
    found = [path for path, text in expected.items() if _text_of(path) != text]
    names = [name for name in ("throughput", *PICTURES) if read_result(name) is not None]
    found += [path for path in map(_picture, names) if not path.exists()]
    return [str(path.relative_to(ROOT)) for path in found]


def _text_of(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None
