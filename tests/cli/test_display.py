"""What is shown while text is read or scored, and a model trains."""

from __future__ import annotations

import math
import os
import pty
import re
import subprocess
import sys
import types

import pytest

from fastw2v.cli import display
from fastw2v.cli import display as sparkline
from fastw2v.training.reporting import Progress


@pytest.fixture
def clock(monkeypatch):
    """A time that the test sets."""
    now = types.SimpleNamespace(seconds=1000.0)
    monkeypatch.setattr(display.time, "monotonic", lambda: now.seconds)
    return now


def test_lines_tell_the_time_left_of_each_phase(clock, capsys):
    with display.progress_display(quiet=False) as shown:
        for seconds, phase, done in (
            (0, "counting", 0), (10, "counting", 100), (20, "counting", 400),
            (30, "writing", 500), (40, "writing", 600), (7240, "writing", 900),
        ):  # fmt: skip
            clock.seconds = 1000.0 + seconds
            shown.items(phase, done, 1000)
    assert capsys.readouterr().err.splitlines() == [
        "counting: 10%  0:01:30 left", "counting: 40%  0:00:30 left", "writing: 50%",
        "writing: 60%  0:00:40 left", "writing: 90%  0:30:02 left",
    ]  # fmt: skip


def test_lines_tell_bytes_and_their_rate(clock, capsys):
    with display.progress_display(quiet=False) as shown:
        for seconds, phase, done, total in (
            (0, "reading", 0, 0), (6, "reading", 12_000_000, 0), (12, "writing", 0, 9_000_000),
            (18, "writing", 6_000_000, 9_000_000),
        ):  # fmt: skip
            clock.seconds = 1000.0 + seconds
            shown.bytes(phase, done, total)
    assert capsys.readouterr().err.splitlines() == [
        "reading: 12.0 MB  2.0 MB/s", "writing: 0%  0.0 of 9.0 MB",
        "writing: 67%  6.0 of 9.0 MB  1.0 MB/s  0:00:03 left",
    ]  # fmt: skip


def test_quiet_shows_warnings_with_flags_only(capsys):
    with display.progress_display(quiet=True) as shown:
        shown.info("a notice")
        shown.warning("`min_count` is large")
        shown.bytes("reading", 1, 2)
    assert capsys.readouterr().err == "warning: --min-count is large\n"


def test_what_is_done_after_the_last_word_is_told():
    told = []
    bar = types.SimpleNamespace(
        add_task=lambda *_, **__: 0, update=lambda task, **fields: told.append(fields["figures"])
    )
    shown = display._Bar(bar, display._LossLine(), 80)
    for event, words in (
        ("start", 0), ("interval", 500), ("interval", 1000), ("evaluation", 1000), ("save", 1000),
        ("end", 1000),
    ):  # fmt: skip
        shown.training(progress(event, words, holdout=3.4))
    assert told == [
        "compiling or loading kernels", "alpha 0.0125  1,234,567 words/s  0:01:30 left",
        "evaluating", "saving", "drawing the loss curve",
        "alpha 0.0125  1,234,567 words/s  in 0:01:00",
    ]  # fmt: skip


def test_the_last_epoch_has_one_line(capsys):
    with display.progress_display(quiet=False) as shown:
        for event in ("epoch", "end"):
            shown.training(progress(event, 1000, holdout=3.4))
    (line,) = capsys.readouterr().err.splitlines()
    assert "held-out" in line
    assert line.endswith("in 0:01:00")


def test_a_short_phase_has_no_line(clock, capsys):
    with display.progress_display(quiet=False) as shown:
        clock.seconds += 4.9
        shown.items("scoring", 1, 1)
    assert capsys.readouterr().err == ""


def test_nothing_is_told_of_an_unknown_total(clock, capsys):
    with display.progress_display(quiet=False) as shown:
        for _ in range(2):
            clock.seconds += 10
            shown.items("counting", 0, 0)
    assert capsys.readouterr().err.splitlines() == ["counting"] * 2


def test_the_bar_tells_the_time_left(clock):
    told = []
    bar = types.SimpleNamespace(
        add_task=lambda *_, **__: 0, update=lambda task, **fields: told.append(fields["figures"])
    )
    shown = display._Bar(bar, display._LossLine(), 80)
    for seconds, done in ((0, 0), (0.5, 10), (100, 200)):
        clock.seconds = 1000.0 + seconds
        shown.items("scoring", done, 1000)
    assert told == ["", "", "0:06:40 left"]  # not from the first moments


def test_the_time_left_reaches_the_screen(clock, monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with display.progress_display(quiet=False) as shown:
        shown.items("scoring", 0, 1000)
        clock.seconds += 100
        shown.items("scoring", 200, 1000)
    assert re.search(r"scoring .*20%.* 0:06:40 left", capsys.readouterr().err)


def progress(event="interval", words=0, loss=2.5, holdout=None, half=0.011, **more):
    interval = () if holdout is None else (holdout, holdout - half, holdout + half)
    return Progress(
        event, 2, 3, words, 1000, more.pop("speed", 1234567.0), loss, 0.0125, 60.0, 90.0,
        *interval, **more,
    )  # fmt: skip


def test_lines_tell_the_held_out_loss_with_its_interval(clock, capsys):
    with display.progress_display(quiet=False) as shown:
        shown.training(progress("start", loss=None, speed=None))
        for event, words, holdout in (
            ("interval", 100, None), ("evaluation", 200, 3.4119), ("evaluation", 201, 9.0),
            ("cooldown", 202, 3.4), ("epoch", 500, 3.4), ("end", 500, 3.4),
        ):  # fmt: skip
            clock.seconds += 1 if words in (201, 202) else 6
            shown.training(progress(event, words, holdout=holdout))
    assert capsys.readouterr().err.splitlines() == [
        "epoch 2/3  10%  1,234,567 words/s  loss 2.5000  alpha 0.0125  0:01:30 left",
        "epoch 2/3  20%  1,234,567 words/s  loss 2.5000  held-out 3.412 ± 0.011  alpha 0.0125  "
        "0:01:30 left",
        "epoch 2/3  50%  1,234,567 words/s  loss 2.5000  held-out 3.400 ± 0.011  alpha 0.0125  "
        "0:01:30 left",
    ]


@pytest.mark.parametrize(
    ("half", "encoding", "text"),
    [
        (0.011, "utf-8", "held-out 3.412 ± 0.011"),
        (0.011, "ascii", "held-out 3.412 +/- 0.011"),
        (0.00042, "utf-8", "held-out 3.41190 ± 0.00042"),
        (0.5, "utf-8", "held-out 3.41 ± 0.50"),
        (12.0, "utf-8", "held-out 3.41 ± 12.00"),
        (0.0, "utf-8", "held-out 3.4119"),
        (math.nan, "utf-8", "held-out 3.4119"),
        (1e-9, "utf-8", "held-out 3.41190 ± 0.00000"),
    ],
)
def test_the_interval_decides_the_digits(half, encoding, text):
    assert display._holdout(progress(holdout=3.4119, half=half), encoding) == text


def test_progress_without_a_loss_has_none():
    assert display._holdout(progress(), "utf-8") == ""
    assert display._loss(progress(loss=None)) == ""


def falling(count):
    trace = sparkline.LossTrace()
    for place in range(count):
        trace.add(5 - 4 * place / count)
    return trace


def test_the_sparkline_falls_as_the_loss_does():
    assert falling(8).sparkline(8, "utf-8") == "█▇▆▅▄▃▂▁"
    assert falling(8).sparkline(8, "ascii") == "#%*=~-._"
    levels = [
        sparkline._BLOCKS.index(character) for character in falling(500).sparkline(40, "utf8")
    ]
    assert len(levels) == 40
    assert levels == sorted(levels, reverse=True)
    assert (levels[0], levels[-1]) == (7, 0)


def test_a_steep_start_leaves_the_rest_readable():
    trace = sparkline.LossTrace()
    for loss in [50.0, 20.0, *(3 - place / 100 for place in range(40))]:
        trace.add(loss)
    assert len(set(trace.sparkline(42, "utf-8"))) == 8


def test_a_trace_is_bounded_and_leaves_out_what_is_not_finite():
    trace = sparkline.LossTrace()
    for place in range(10_001):
        trace.add(math.nan if place % 10 == 3 else 5 - place / 2500)
    assert len(trace._means) <= 256
    assert trace._means == sorted(trace._means, reverse=True)
    assert trace._means[0] == pytest.approx(5, abs=0.02)
    assert len(trace.sparkline(48, "utf-8")) == 48


def test_too_little_makes_no_sparkline():
    assert falling(1).sparkline(40, "utf-8") == ""
    assert falling(9).sparkline(1, "utf-8") == ""
    assert falling(2).sparkline(40, "utf-8") == "█▁"
    flat = sparkline.LossTrace()
    for _ in range(5):
        flat.add(2.0)
    assert flat.sparkline(40, "utf-8") == "▁▁▁▁▁"
    assert flat.sparkline(40, "no such encoding") == "_____"


@pytest.mark.parametrize(
    ("width", "length"), [(120, 48), (80, 43), (45, 8), (44, 0), (40, 0), (20, 0)]
)
def test_a_narrow_terminal_drops_the_sparkline(width, length):
    line = display._LossLine()
    for place in range(100):
        line.take(progress(loss=5 - place / 25, holdout=3.412))
    text = line.line(width, "utf-8")
    assert len(text) <= width
    assert sum(character in sparkline._BLOCKS for character in text) == length
    assert text.startswith("loss 1.0400")
    assert text.endswith("held-out 3.412 ± 0.011") or width < 40


SCRIPT = """
import sys, time
from fastw2v.cli.display import progress_display
from fastw2v.training.reporting import Progress
with progress_display(quiet=False) as shown:
    for n in range(60):
        held_out = (3.412, 3.401, 3.423) if n > 30 else ()
        shown.training(Progress("interval", 1, 1, n, 60, 1e6, 5 - n / 15, .02, n, 60 - n,
                                *held_out))
    shown.info("a notice")
    shown.training(Progress("end", 1, 1, 60, 60, 1e6, 1.0, 0.0, 60, 0, 3.4, 3.389, 3.411))
"""


def on_a_terminal(columns, encoding):
    """What a terminal of so many columns gets."""
    ours, theirs = pty.openpty()
    environment = os.environ | {
        "COLUMNS": str(columns), "PYTHONIOENCODING": encoding, "TERM": "xterm", "NO_COLOR": "1",
    }  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stderr=theirs, stdout=theirs, env=environment
    ) as process:
        os.close(theirs)
        parts = []
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            parts.append(part)
        assert process.wait() == 0
    os.close(ours)
    text = b"".join(parts).decode("utf-8")
    return [line.strip() for line in re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*\w", "", text))]


@pytest.mark.parametrize(
    ("columns", "encoding", "line"),
    [
        (100, "utf-8", r"loss 1\.0000  [▁▂▃▄▅▆▇█]{48}  held-out 3\.400 ± 0\.011"),
        (100, "ascii", r"loss 1\.0000  [_.=~*%#-]{48}  held-out 3\.400 \+/- 0\.011"),
        (80, "utf-8", r"loss 1\.0000  [▁▂▃▄▅▆▇█]{43}  held-out 3\.400 ± 0\.011"),
        (40, "utf-8", r"loss 1\.0000  held-out 3\.400 ± 0\.011"),
    ],
)
def test_a_terminal_gets_the_bar_and_the_losses_below(columns, encoding, line):
    lines = on_a_terminal(columns, encoding)
    assert any(re.fullmatch(line, shown) for shown in lines[-4:]), lines[-4:]
    assert any(shown.startswith("epoch 1/1") and "100%" in shown for shown in lines[-4:])
    assert "a notice" in lines
    assert max(map(len, lines)) <= columns
    assert sum("in 0:01:00" in shown for shown in lines[-4:]) == 1
    bar = next(shown for shown in lines[-4:] if "100%" in shown)
    assert len(bar) >= columns - 2
