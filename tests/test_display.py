"""What is shown while text is read or scored: how far it is, and the time left."""

from __future__ import annotations

import re
import types

import pytest

from fastw2v.cli import display


@pytest.fixture
def clock(monkeypatch):
    """A time that the test sets."""
    now = types.SimpleNamespace(seconds=1000.0)
    monkeypatch.setattr(display.time, "monotonic", lambda: now.seconds)
    return now


def test_lines_tell_the_time_left_of_each_phase(clock, capsys):
    with display.training_display(quiet=False) as shown:
        for seconds, phase, done in (
            (0, "counting", 0), (10, "counting", 100), (20, "counting", 400),
            (30, "writing", 500), (40, "writing", 600), (7240, "writing", 900),
        ):  # fmt: skip
            clock.seconds = 1000.0 + seconds
            shown.preprocessing(phase, done, 1000)
    assert capsys.readouterr().err.splitlines() == [
        "counting: 10%  0:01:30 left", "counting: 40%  0:00:30 left", "writing: 50%",
        "writing: 60%  0:00:40 left", "writing: 90%  0:30:02 left",
    ]  # fmt: skip


def test_a_short_phase_has_no_line(clock, capsys):
    with display.training_display(quiet=False) as shown:
        clock.seconds += 4.9
        shown.preprocessing("scoring", 1, 1)
    assert capsys.readouterr().err == ""


def test_nothing_is_told_of_an_unknown_total(clock, capsys):
    with display.training_display(quiet=False) as shown:
        for _ in range(2):
            clock.seconds += 10
            shown.preprocessing("counting", 0, 0)
    assert capsys.readouterr().err.splitlines() == ["counting: 0%"] * 2


def test_the_bar_tells_the_time_left(clock):
    told = []
    bar = types.SimpleNamespace(
        add_task=lambda *_, **__: 0, update=lambda task, **fields: told.append(fields["figures"])
    )
    shown = display._Bar(bar)
    for seconds, done in ((0, 0), (0.5, 10), (100, 200)):
        clock.seconds = 1000.0 + seconds
        shown.preprocessing("scoring", done, 1000)
    assert told == ["", "", "0:06:40 left"]  # not from the first moments


def test_the_time_left_reaches_the_screen(clock, monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with display.training_display(quiet=False) as shown:
        shown.preprocessing("scoring", 0, 1000)
        clock.seconds += 100
        shown.preprocessing("scoring", 200, 1000)
    assert re.search(r"scoring .*20%.* 0:06:40 left", capsys.readouterr().err)
