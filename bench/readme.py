"""Writes the README's results section from the committed files in bench/results/.

python -m bench.readme
"""

from __future__ import annotations

import sys

from bench import (
    ROOT,
    common,
    identity,
    readme_preprocess,
    readme_quality,
    readme_runs,
    readme_softmax,
    readme_speed,
)
from fastw2v.errors import DataError
from fastw2v.io import storage

README = ROOT / "README.md"
BEGIN = "<!-- results: begin (written by `python -m bench.readme` from bench/results/) -->"
END = "<!-- results: end -->"
SECTIONS = (
    readme_speed.SECTIONS
    | readme_preprocess.SECTIONS
    | readme_softmax.SECTIONS
    | readme_runs.SECTIONS
    | readme_quality.SECTIONS
)
# Versions of the files; one of another layout is left out.
_VERSIONS = dict.fromkeys(readme_quality.SECTIONS, identity.VERSION)


def section_of(name: str) -> list[str]:
    """The lines of one benchmark; [] where its file is missing, of another layout or damaged."""
    path = common.RESULTS / f"{name}.json"
    if not path.exists():
        return []
    try:
        result = storage.read_json(path)
        if result.get("version", 1) == _VERSIONS.get(name, 1):
            return SECTIONS[name](result)
        reason = "it has another layout"
    except (DataError, LookupError, TypeError, ValueError) as error:
        reason = f"it is damaged or of another layout ({type(error).__name__}: {error})"
    print(f"warning: {path.name} is left out of the README: {reason}", file=sys.stderr)
    return []


def results_section() -> str:
    """The whole section, from whichever result files there are."""
    lines = [BEGIN]
    for name in SECTIONS:
        section = section_of(name)
        lines += ["", *section] if section else []
    return "\n".join([*lines, "", END])


def rewrite() -> None:
    """Put the section in its place in the README.

    Raises:
        DataError: the README has no such place.
    """
    text = README.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise DataError(f"{README.name}: no place for the results ({BEGIN} ... {END})")
    storage.write_text(README, before + results_section() + after)


if __name__ == "__main__":
    rewrite()
