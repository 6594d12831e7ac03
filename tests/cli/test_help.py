"""The command line explains itself, quickly."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from fastw2v.cli.main import fastw2v

ROOT = Path(__file__).resolve().parent.parent.parent
HEAVY = ("numpy", "numba", "llvmlite", "pyarrow", "matplotlib", "scipy", "rich")
COMMANDS = sorted(fastw2v.commands)
EXPECTED = {
    "analogy", "demo", "evaluate", "export", "info", "neighbors", "plot", "predict", "preprocess",
    "similarity", "train",
}  # fmt: skip


def loaded_after(code: str) -> set[str]:
    """The heavy packages that are loaded after `code`."""
    script = f"import sys\n{code}\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    return set(run.stdout.splitlines()[-1].split())


def test_the_probe_sees_what_is_loaded():
    assert "numpy" in loaded_after("import numpy")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["train", "--help"]])
def test_help_loads_nothing_heavy(arguments):
    code = (
        "from fastw2v.cli.main import fastw2v\n"
        f"try:\n    fastw2v({arguments!r}, prog_name='fastw2v')\n"
        "except SystemExit as end:\n    assert not end.code, end.code"
    )
    assert loaded_after(code) == set()


def test_importing_the_package_loads_nothing_heavy():
    assert loaded_after("import fastw2v; fastw2v.__version__") == set()


def test_every_command_of_the_main_job_is_there():
    assert set(COMMANDS) >= EXPECTED


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_has_help(name):
    command = fastw2v.commands[name]
    assert command.help
    assert command.get_short_help_str(), name
    silent = [
        parameter.opts[-1]
        for parameter in command.params
        if isinstance(parameter, click.Option) and not (parameter.help or "").strip()
    ]
    assert silent == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_shows_its_help_with_an_example(name):
    result = CliRunner().invoke(fastw2v, [name, "--help"])
    assert result.exit_code == 0
    usage, _, rest = result.output.partition("\n")
    assert usage.startswith(f"Usage: fastw2v {name} ")
    assert f"fastw2v {name}" in rest


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["no-such-command"], "no such command"), (["demo", "--no-such-option"], "no such option")],
)
def test_misuse_is_exit_code_2_without_a_traceback(arguments, message):
    result = CliRunner().invoke(fastw2v, arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert "Traceback" not in result.output


def test_what_fixes_the_bytes_is_told_where_it_is_looked_for():
    helps = {p.name: p.help for p in fastw2v.commands["train"].params if hasattr(p, "help")}
    assert "at any number of threads" in helps["deterministic"]
    assert "--deterministic" in helps["seed"]
    assert "--deterministic a seed" in fastw2v.commands["train"].epilog


def test_every_summary_fits_its_line():
    output = CliRunner().invoke(fastw2v, ["--help"], terminal_width=80).output
    commands = output[output.index("Commands:") :].splitlines()[1:]
    assert [line.split()[0] for line in commands] == COMMANDS
    assert not any("..." in line for line in commands)
    assert max(map(len, output.splitlines())) <= 80


ONE_NAME = {"-n": "--topn", "-o": "--output"}


@pytest.mark.parametrize("name", COMMANDS)
def test_one_name_for_one_thing(name):
    """Every command prints and takes --json and --quiet; other names for these things are gone."""
    options = [p for p in fastw2v.commands[name].params if isinstance(p, click.Option)]
    flags = {flag for option in options for flag in option.opts}
    assert {"--json", "--quiet"} <= flags
    assert not flags & {"--top", "--number", "--plot", "--workers", "--verify"}
    for option in options:
        for short, long in ONE_NAME.items():
            assert (short in option.opts) == (long in option.opts)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_defaults_in_one_way_and_no_option_in_backticks(name):
    output = CliRunner().invoke(fastw2v, [name, "--help"]).output
    assert "[default: (" not in output
    assert not re.search(r"`[a-z_]+`", output)
