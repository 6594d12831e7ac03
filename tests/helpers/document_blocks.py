"""The code blocks of the documents, and how the tests run them."""

from __future__ import annotations

import glob
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from click.testing import CliRunner

from fastw2v.cli.main import fastw2v

ROOT = Path(__file__).resolve().parent.parent.parent
_BLOCK = re.compile(
    r"(?:<!-- not run: (?P<why>.+?) -->\n)?^```(?P<kind>\w*)\n(?P<text>.*?)^```", re.M | re.S
)
# What `everything` makes by commands; pages that make it themselves begin without.
MADE = ("corpus.store", "my.model", "vectors.bin", "vectors.vec", "vectors.txt", "vocabulary.txt")


class Block(NamedTuple):
    """A fenced block. why: the reason for which it is not run, or None."""

    page: str
    line: int
    kind: str
    text: str
    why: str | None


def blocks_of(page: Path) -> list[Block]:
    """All fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            page.name,
            text[: found.start("kind")].count("\n") + 1,
            found["kind"],
            found["text"],
            found["why"],
        )
        for found in _BLOCK.finditer(text)
    ]


def run_block(block: Block) -> None:
    """Run a block in the working directory; an assertion fails where it does."""
    if block.kind == "python":
        exec(compile(block.text, f"{block.page}:{block.line}", "exec"), {"__name__": "__main__"})
    elif block.kind == "console":
        for command, shown in console_steps(block.text):
            output = run_line(command)
            pattern = "".join(
                "(.*\n)*" if line == "..." else re.escape(mask(line)) + "\n" for line in shown
            )
            lines = "".join(mask(line) + "\n" for line in output.splitlines())
            assert re.fullmatch(pattern, lines), f"$ {command}\n{output}"
    elif block.kind == "sh":
        for line in block.text.replace("\\\n", " ").splitlines():
            run_line(line)
    else:
        assert block.kind == "text", f"{block.page}:{block.line}: a block of kind {block.kind!r}"


def console_steps(text: str) -> list[tuple[str, list[str]]]:
    """The commands behind `$ `, each with the lines that it prints; "..." is any lines."""
    steps: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            steps.append((line[2:], []))
        elif line.strip():
            steps[-1][1].append(line)
    return steps


def mask(line: str) -> str:
    """A line of output without what other text or another machine changes.

    That is: numbers, the width of columns, and the answer before the last number.
    """
    line = re.sub(r"\S+(?= -?[\d.]+$)", "WORD", " ".join(line.split()))
    return re.sub(r"-?\d[\d.,]*( [kMG]?B\b)?", "0", line)


def run_line(line: str) -> str:
    """Run one line of a shell block; what it prints to standard output."""
    words = shlex.split(line, comments=True)
    if not words:
        return ""
    if "|" in words:
        program = (
            f'fastw2v() {{ {shlex.quote(sys.executable)} -m fastw2v "$@"; }}\nset -o pipefail\n'
        )
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            ["bash", "-c", program + line], env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        return done.stdout
    if words[0].startswith("scripts/"):
        assert (ROOT / words[0]).stat().st_mode & 0o111, f"{words[0]} cannot be executed"
        return ""
    assert words[0] == "fastw2v", f"{line}: not a command that a test can run"
    result = CliRunner().invoke(fastw2v, expanded(words[1:]))
    assert result.exit_code == 0, f"{line}\n{result.output}"
    return result.stdout


def expanded(words: list[str]) -> list[str]:
    """`words` with glob patterns replaced by the files that match."""
    return [name for word in words for name in sorted(glob.glob(word)) or [word]]
