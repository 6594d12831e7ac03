"""Options defined once: checks, errors, and the click options made of them."""

from __future__ import annotations

import dataclasses

import click
import numpy as np
import pytest
from click.testing import CliRunner

from fastw2v.cli.options import given_options, options_of
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
        ({"vector_dim": 0}, r"--vector-dim: 0 is too small; the least is 1"),
        ({"vector_dim": -3}, r"--vector-dim: -3 is too small"),
        ({"vector_dim": 1001}, r"--vector-dim: 1001 is too large; the most is 1000"),
        ({"vector_dim": 2.5}, r"--vector-dim: 2.5 is not a whole number"),
        ({"vector_dim": "many"}, r"--vector-dim: 'many' is not a number"),
        ({"vector_dim": True}, r"--vector-dim: True is not a whole number"),
        ({"vector_dim": None}, r"--vector-dim: None is not a number"),
        ({"vector_dim": float("nan")}, r"--vector-dim: nan is not a number"),
        ({"vector_dim": float("inf")}, r"--vector-dim: inf is not a number"),
        ({"alpha": float("nan")}, r"--alpha: nan is not a finite number"),
        ({"alpha": float("inf")}, r"--alpha: inf is not a finite number"),
        ({"alpha": 0}, r"--alpha: 0.0 is too small; it must be more than 0.0"),
        ({"kind": "letters"}, r"--kind: 'letters' is not one of words, bytes"),
        ({"kind": 3}, r"--kind: expected str, found 3"),
        ({"fast": 1}, r"--fast: expected bool, found 1"),
        ({"neg_samples": 0}, r"--neg-samples: 0 is too small"),
    ],
)
def test_bad_values_are_refused_with_the_flag_named(options, message):
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
    assert "--neg-samples, --k K Draws. [default: (chosen)]" in text
    assert "--lowercase / --no-lowercase" in text
    assert "--kind" not in text
