"""Every block of the documents runs, and everything that a user can call is in them."""

from __future__ import annotations

import re
import shutil
import sys

import click
import pytest
from document_blocks import MADE, ROOT, blocks_of, console_steps, mask, run_block

import fastw2v
from fastw2v.cli.main import fastw2v as program

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
# Pages whose commands make the store and the model themselves.
FROM_NOTHING = ("README.md", "index.md", "guide.md", "python-api.md")
MAX_NOT_RUN = 5
sys.path.append(str(DOCS))
import hooks  # noqa: E402 - of the site; not a module of the package


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_runs(page, place):
    if page.name in FROM_NOTHING:
        for name in MADE:
            made = place / name
            shutil.rmtree(made) if made.is_dir() else made.unlink()
    for block in blocks_of(page):
        if block.why is None:
            run_block(block)


def test_blocks_that_are_not_run_are_few():
    left_out = [block for page in PAGES for block in blocks_of(page) if block.why is not None]
    assert len(left_out) <= MAX_NOT_RUN


def test_the_runner_compares_what_commands_print():
    assert console_steps("$ a\nb 1\n$ c\n") == [("a", ["b 1"]), ("c", [])]
    assert mask("king   0.71") == mask("tea 0.5") != mask("king 0.5 queen")
    assert mask("wrote 1,234 words") == mask("wrote 5 words") != mask("wrote 5 lines")


def test_fences_are_pairs():
    for page in PAGES:
        fences = re.findall(r"^```", page.read_text(encoding="utf-8"), re.M)
        assert len(fences) == 2 * len(blocks_of(page)), page.name


@pytest.mark.parametrize("name", sorted(program.commands))
def test_every_command_is_in_the_guide(name):
    guides = [(ROOT / "README.md"), DOCS / "guide.md"]
    assert any(f"fastw2v {name}" in page.read_text(encoding="utf-8") for page in guides)


@pytest.mark.parametrize("name", sorted(program.commands))
def test_every_option_is_in_the_reference(name):
    section = hooks.command_section(name, program.commands[name])
    options = [p for p in program.commands[name].params if isinstance(p, click.Option)]
    missing = [flag for option in options for flag in option.opts if flag not in section]
    assert missing == []
    assert hooks.MARKER in (DOCS / "cli.md").read_text(encoding="utf-8")


def test_help_texts_come_out_as_they_are():
    assert hooks.escaped("a_b * <c> `d_e`") == r"a\_b \* \<c\> `d_e`"
    assert hooks.prose("One\ntwo.\n\n\b\nx  y\nz") == ["One two.", "```text\nx  y\nz\n```"]


def public_names() -> list[str]:
    return [name for name in fastw2v.__all__ if not name.startswith("__")]


@pytest.mark.parametrize("name", public_names())
def test_every_public_name_is_in_the_reference(name):
    page = (DOCS / "python-api.md").read_text(encoding="utf-8")
    assert f"::: fastw2v.{name}\n" in page
    thing = getattr(fastw2v, name)
    assert thing.__doc__
    if isinstance(thing, type):
        # The generated page leaves out what has no docstring.
        methods = [value for key, value in vars(thing).items() if not key.startswith("_")]
        assert [m for m in methods if callable(m) and not getattr(m, "__doc__", None)] == []


def test_the_readme_is_short_and_its_links_lead_somewhere():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.count("\n") <= 200
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
        assert [link for link in links if not (ROOT / link).exists()] == [], page.name
    assert "scripts/demo" in text[:1000]
    assert "scripts/test" in text[:1000]


def test_files_that_contributors_are_sent_to_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:fastw2v|tests|bench|docs|scripts)/[\w./-]*)`", text)
    assert len(named) > 20
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_table_of_kernels_names_every_module():
    text = (DOCS / "kernels.md").read_text(encoding="utf-8")
    table = text.split("| file | content |")[1].split("## ")[0]
    there = {path.name for path in (ROOT / "fastw2v" / "kernels").glob("*.py")} - {"__init__.py"}
    assert set(re.findall(r"`(\w+\.py)`", table)) == there
