"""Read word-pair and analogy benchmarks in the layouts in which their authors give them out."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fastw2v.errors import DataError, UsageError

# What published files call the column of human scores, in the order of preference.
_SCORE_COLUMNS = (
    "human (mean)", "simlex999", "score", "mean", "rating", "similarity", "relatedness",
    "human", "gold",
)  # fmt: skip
_LEMMA_TAG = re.compile(r".+-[a-z]$")


@dataclasses.dataclass(frozen=True)
class PairBenchmark:
    """Word pairs with human scores: `gold[n]` says how alike the two words of `pairs[n]` are."""

    name: str
    pairs: list[tuple[str, str]]
    gold: np.ndarray


@dataclasses.dataclass(frozen=True)
class AnalogyBenchmark:
    """Questions "a is to b as c is to d"; `section_ids[n]` indexes `sections`."""

    name: str
    questions: list[tuple[str, str, str, str]]
    sections: list[str]
    section_ids: np.ndarray


def _lines(path: Path) -> list[tuple[int, str]]:
    """(line number, line) of a text file, without empty lines and `#` comments."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (FileNotFoundError, IsADirectoryError):
        raise UsageError(f"{path}: no such file") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text, so not a benchmark file") from error
    numbered = enumerate((line.strip() for line in text.splitlines()), start=1)
    return [(number, line) for number, line in numbered if line and not line.startswith("#")]


def _cells(line: str) -> list[str]:
    for delimiter in ("\t", ",", ";"):
        if line.count(delimiter) >= 2:
            return [cell.strip().strip('"') for cell in line.split(delimiter)]
    return line.split()


def _number(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _score_column(header: Sequence[str]) -> int | None:
    names = [name.lower() for name in header]
    known = (names.index(name) for name in _SCORE_COLUMNS if name in names[2:])
    return next(known, None)


def _first_number(cells: Sequence[str]) -> int | None:
    numbers = (place for place in range(2, len(cells)) if _number(cells[place]) is not None)
    return next(numbers, None)


def read_pairs(path: str | Path) -> PairBenchmark:
    """Read WordSim-353, SimLex-999, MEN (natural or lemma form), or any `word word ... score` file.

    Cells are separated by tabs, commas, semicolons or white space. A header line names the score's
    column; without one it is the first that holds a number after the two words.

    Raises:
        UsageError: no such file.
        DataError: a line that is not two words and a score, or no pairs at all.
    """
    path = Path(path)
    expected = "expected two words and a score"
    pairs: list[tuple[str, str]] = []
    gold: list[float] = []
    column: int | None = None
    for place, (number, line) in enumerate(_lines(path)):
        cells = _cells(line)
        if column is None:
            column = _score_column(cells)
            if column is not None:
                continue  # a header with a name that we know
            column = _first_number(cells)
            if column is None and place == 0 and len(cells) > 2 and cells != line.split():
                continue  # a header with other names
        score = _number(cells[column]) if column is not None and column < len(cells) else None
        if score is None or not cells[0] or not cells[1]:
            raise DataError(f"{path}, line {number}: {expected}, found {line[:60]!r}")
        pairs.append((cells[0], cells[1]))
        gold.append(score)
    if not pairs:
        raise DataError(f"{path}: {expected} a line, found no pair")
    if all(_LEMMA_TAG.match(word) for pair in pairs for word in pair):  # MEN: sun-n sunlight-n
        pairs = [(first[:-2], second[:-2]) for first, second in pairs]
    return PairBenchmark(path.stem, pairs, np.array(gold))


def read_analogies(path: str | Path) -> AnalogyBenchmark:
    """Read a file in the layout of `questions-words.txt`: `: section` lines, then four words each.

    Raises:
        UsageError: no such file.
        DataError: a line that is not four words, or no question at all.
    """
    path = Path(path)
    sections: dict[str, int] = {}
    questions: list[tuple[str, str, str, str]] = []
    section_ids: list[int] = []
    section = "questions"
    for number, line in _lines(path):
        if line.startswith(":"):
            section = line[1:].strip()
            continue
        words = line.split()
        if len(words) != 4:
            raise DataError(f"{path}, line {number}: expected four words, found {line[:60]!r}")
        questions.append((words[0], words[1], words[2], words[3]))
        section_ids.append(sections.setdefault(section, len(sections)))
    if not questions:
        raise DataError(f"{path}: expected four words a line, found no question")
    return AnalogyBenchmark(path.stem, questions, list(sections), np.array(section_ids))
