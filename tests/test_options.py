"""Options defined once: checks, errors, and the click options made of them."""

from __future__ import annotations

import ast
import dataclasses
import re
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

import fastw2v
from fastw2v.cli.options import given_options, options_of, with_flags
from fastw2v.errors import UsageError
from fastw2v.options import check_options, flag_of, make_config, option, option_fields


@dataclasses.dataclass(frozen=True)
class Config:
    vector_dim: int = option(300, "Length.", kind=int, minimum=1, maximum=1000)
    alpha: float = option(0.025, "Rate.", kind=float, above=0.0)
    kind: str = option("words", "Kind.", choices=("words", "bytes"))
    fast: bool = option(False, "Fast?", kind=bool)
    lowercase: bool = option(True, "Lower-case?", kind=bool)
    neg_samples: int | None = option(
        None, "Draws.", kind=int, minimum=1, aliases=("k",), shown_default="chosen", metavar="K"
    )
    internal: int = 7

    def __post_init__(self) -> None:
        check_options(self)


def test_flags_and_fields():
    assert flag_of("vector_dim") == "--vector-dim"
    assert [field.name for field in option_fields(Config)] == [
        "vector_dim", "alpha", "kind", "fast", "lowercase", "neg_samples",
    ]  # fmt: skip


def test_defaults_and_good_values_pass():
    assert Config().neg_samples is None
    assert Config(vector_dim=1, alpha=1e-9, kind="bytes", fast=True, neg_samples=1).fast is True
    assert Config(vector_dim=1000).vector_dim == 1000


@pytest.mark.parametrize("value", [np.int64(5), 5.0, np.float32(5)])
def test_whole_numbers_of_other_types_are_stored_as_int(value):
    stored = Config(vector_dim=value).vector_dim
    assert type(stored) is int
    assert stored == 5


def test_ints_given_for_floats_are_stored_as_float():
    assert type(Config(alpha=1).alpha) is float


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vector_dim": 0}, "`vector_dim` must be at least 1; got 0"),
        ({"vector_dim": -3}, "`vector_dim` must be at least 1; got -3"),
        ({"vector_dim": 1001}, "`vector_dim` must be at most 1000; got 1001"),
        ({"vector_dim": 2.5}, "`vector_dim` must be a whole number; got 2.5"),
        ({"vector_dim": "many"}, "`vector_dim` must be a whole number; got 'many'"),
        ({"vector_dim": True}, "`vector_dim` must be a whole number; got True"),
        ({"vector_dim": None}, "`vector_dim` must be a whole number; got None"),
        ({"vector_dim": float("nan")}, "`vector_dim` must be a whole number; got nan"),
        ({"vector_dim": float("inf")}, "`vector_dim` must be a whole number; got inf"),
        ({"alpha": float("nan")}, "`alpha` must be a finite number; got nan"),
        ({"alpha": float("inf")}, "`alpha` must be a finite number; got inf"),
        ({"alpha": 0}, "`alpha` must be greater than 0.0; got 0.0"),
        ({"kind": "letters"}, "`kind` must be one of words, bytes; got 'letters'"),
        ({"kind": 3}, "`kind` must be a string; got 3"),
        ({"fast": 1}, "`fast` must be True or False; got 1"),
        ({"neg_samples": 0}, "`neg_samples` must be at least 1; got 0"),
    ],
)
def test_bad_values_are_refused_with_the_option_named(options, message):
    with pytest.raises(UsageError, match=message) as caught:
        Config(**options)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_unknown_options_are_refused_with_the_nearest_name():
    with pytest.raises(UsageError, match="'vectordim'; did you mean vector_dim"):
        make_config(Config, {"vectordim": 3})
    with pytest.raises(UsageError, match="unknown option 'zzz'; known: vector_dim, alpha"):
        make_config(Config, {"zzz": 3})
    with pytest.raises(UsageError, match="unknown option 'internal'"):
        make_config(Config, {"internal": 3})
    assert make_config(Config, {"vector_dim": 3}).vector_dim == 3


@pytest.fixture
def run():
    """A function that parses arguments with a command made of Config; returns what it got."""
    got = {}

    @options_of(Config, leave_out=("kind",))
    @click.command()
    @click.pass_context
    def command(context, **values):
        got["values"] = values
        got["given"] = given_options(context, values)

    def call(*arguments):
        result = CliRunner().invoke(command, arguments)
        return result, got

    return call


def test_command_line_defaults_are_the_config_defaults(run):
    result, got = run()
    assert result.exit_code == 0, result.output
    assert got["values"] == {
        field.name: field.default for field in option_fields(Config) if field.name != "kind"
    }
    assert got["given"] == {}


def test_only_what_the_user_gave_is_given_even_at_its_default(run):
    _, got = run("--vector-dim", "300", "--k=4", "--no-lowercase", "--fast")
    assert got["given"] == {
        "vector_dim": 300, "neg_samples": 4, "lowercase": False, "fast": True,
    }  # fmt: skip


def test_help_shows_text_default_alias_and_metavar(run):
    text = " ".join(run("--help")[0].output.split())
    assert "--vector-dim INTEGER Length. [default: 300]" in text
    assert "--neg-samples, --k K Draws. [default: chosen]" in text
    assert "--lowercase / --no-lowercase" in text
    assert "--kind" not in text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("`min_count` must be at least 1", "--min-count must be at least 1"),
        ("leave out `lowercase=False` or `force`", "leave out --no-lowercase or --force"),
        ("unless `errors=strict`", "unless --errors strict"),
        ("lines `word count`, the extra `remote`", "lines `word count`, the extra `remote`"),
        ("name `data` before `model`", "name DATA before MODEL"),
    ],
)
def test_the_command_line_shows_option_names_as_flags(text, shown):
    assert with_flags(text) == shown


def test_bad_values_read_alike_on_the_command_line(run):
    for arguments, option_values in (
        (("--vector-dim", "0"), {"vector_dim": 0}), (("--vector-dim", "x"), {"vector_dim": "x"}),
        (("--alpha", "nan"), {"alpha": float("nan")}), (("--alpha", "0"), {"alpha": 0}),
    ):  # fmt: skip
        with pytest.raises(UsageError) as caught:
            Config(**option_values)
        name = arguments[0][2:].replace("-", "_")
        said = str(run(*arguments)[0].exception)
        assert said == str(caught.value).replace(f"`{name}`", arguments[0])


COMMAND = re.compile(r"fastw2v (preprocess|train|vocab|verify|evaluate|export)\b.*")


def test_messages_and_help_outside_the_command_line_name_no_flags():
    """Only a command line that a message proposes has any."""
    package = Path(fastw2v.__file__).parent
    for path in package.rglob("*.py"):
        if path.parent.name == "cli" or path.name == "options.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                text = COMMAND.sub("", node.value)
                assert not re.search(r"--[a-z]", text), (path.name, node.value)
