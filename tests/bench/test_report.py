"""docs/benchmarks.md and the README's table: from the result files, complete, and never stale."""

from __future__ import annotations

import json

import pytest

from bench.lib import results, tables
from bench.lib.results import origin
from bench.report import __main__, document, pictures
from bench.report import tables as report

MACHINE = {"date": "2026-01-02", "cpu": {"model": "CPU"}, "cores": 2, "commit": "abcdefghij"}


def test_the_written_figures_are_those_of_the_result_files():
    assert document.differences() == []
    text = document.document()
    for name, section in report.SECTIONS.items():
        assert f"\n## {section.title}\n" in text, name
        assert f"`python -m {section.command}`: 20" in text, name


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Another repository, with no results yet."""
    (tmp_path / "docs").mkdir()
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    monkeypatch.setattr(document, "ROOT", tmp_path)
    monkeypatch.setattr(document, "DOCUMENT", tmp_path / "docs/benchmarks.md")
    monkeypatch.setattr(document, "IMAGES", tmp_path / "docs/images")
    monkeypatch.setattr(document, "README", tmp_path / "README.md")
    (tmp_path / "README.md").write_text(f"before\n{document.BEGIN}\nold\n{document.END}\nafter\n")
    return tmp_path


def test_the_check_names_what_differs_and_write_mends_it(places, capsys):
    with pytest.raises(SystemExit, match=r"would change docs/benchmarks\.md, README\.md"):
        __main__.main(["--check"])
    ended = {"diverged": None, "loss": 2.0}
    cell = {"corpus": "c", "model": "m", "verdict": "worse", "alpha_times": 2.0, "blocks": ended,
            "classic": ended}  # fmt: skip
    result = {"machine": MACHINE, "cells": [cell, {**cell, "verdict": "both train"}]}
    (places / "robustness.json").write_text(json.dumps(result))
    (places / "throughput.json").write_text(json.dumps({"machine": MACHINE, "summary": [
        {"type": kind, "dim": 300, "trainer": name, "median": rate, "slowest": rate,
         "fastest": rate, "repeats": 1, "fastw2v_is_times": 9e6 / rate}
        for kind in ("sgram_neg", "cbow_neg") for name, rate in [("fastw2v", 9e6), ("gensim", 1e6)]
    ]}))  # fmt: skip
    __main__.main([])
    __main__.main(["--check"])
    text = (places / "docs/benchmarks.md").read_text()
    assert "| c | m | 1 | 1 | 0 | 0 | 0 | 0 |" in text
    assert "`python -m bench.quality.robustness`: 2026-01-02, CPU, 2 cores, commit abcdefg." in text
    assert "| sgram_neg | 300 | gensim | 1.00 M | 1.00 M to 1.00 M | 9.0 times |" in text
    assert "images/robustness.png" in text
    assert (places / "docs/images/speed.png").read_bytes()[:4] == b"\x89PNG"
    readme = (places / "README.md").read_text()
    assert readme.startswith("before\n")
    assert readme.endswith("after\n")
    assert "old" not in readme
    (places / "docs/images/robustness.png").unlink()
    with pytest.raises(SystemExit, match=r"would change docs/images/robustness\.png$"):
        __main__.main(["--check"])
    (places / "README.md").write_text("without markers\n")
    assert "README.md" in document.differences()


def test_damaged_and_foreign_result_files_are_left_out(places, capsys):
    (places / "throughput.json").write_text("{")
    (places / "kernels.json").write_text("{}")
    (places / "scaling.json").write_text('{"rows": 3}')
    (places / "sweep.json").write_text('{"version": 3}')
    (places / "quality.json").write_text('{"version": 2, "runs": []}')
    text = document.document()
    told = capsys.readouterr().err
    for name in ("throughput", "kernels", "scaling", "sweep", "quality"):
        assert report.SECTIONS[name].command not in text
        assert f"{name}.json is left out" in told


def test_the_readmes_table_has_speed_beside_quality_in_six_rows():
    lines = document.readme_table()
    assert len(lines) == 2 + 6 + 2
    assert lines[2].startswith("| skip-gram | fastw2v | ")
    assert lines[4].endswith("| – | – | – | – |")  # fastText has no scores at equal settings


@pytest.mark.parametrize("name", pictures.PICTURES)
def test_pictures_are_drawn_from_the_committed_results(name, tmp_path):
    result = json.loads((results.RESULTS / f"{name}.json").read_text())
    pictures.save(pictures.PICTURES[name](result), tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 10_000


def test_origins_have_days_machines_and_commits():
    shown = {
        "dates": ["2026-01-02", "2026-01-05"], "machines": [["some CPU", 2]],
        "commits": ["0123456789"], "uncommitted_changes": True,
    }  # fmt: skip
    assert origin({"machine": MACHINE, "shown": shown}) == (
        "2026-01-02 to 2026-01-05, some CPU, 2 cores, commit 0123456, with uncommitted changes"
    )


def test_tables_are_markdown_or_aligned_text():
    table = tables.Table("What it is.", ["name", "figure"], [["a", "1.5"], ["long", "20 %"]])
    assert tables.markdown(table) == [
        "What it is.", "", "| name | figure |", "| --- | --- |", "| a | 1.5 |", "| long | 20 % |"
    ]  # fmt: skip
    assert tables.plain(table) == "name  figure\na        1.5\nlong    20 %"


def test_figures_are_written_in_few_digits():
    assert [tables.rate(value) for value in (8_097_706, 99_999, 151.2)] == [
        "8.10 M",
        "99,999",
        "151",
    ]
    assert [tables.megabytes(value) for value in (None, 1.25e6, 1.5e9)] == ["", "1.2", "1,500"]
    assert [tables.percent(value) for value in (None, 0.0, 0.004, 0.5)] == [
        "",
        "0 %",
        "0.4 %",
        "50 %",
    ]


def test_one_core_and_what_was_not_measured_are_no_rows_and_no_cells():
    row = {"type": "sgram_neg", "dim": 9, "median": 9e6, "slowest": 8e6, "fastest": 1e7}
    summary = [row | {"trainer": "fastw2v", "fastw2v_is_times": 1.0},
               row | {"trainer": report.ONE_CORE, "fastw2v_is_times": 2.0}]  # fmt: skip
    ours = [{"type": "sgram_neg", "dim": 9, "beyond": None}]
    trainers, second = report.throughput({"summary": summary, "ours": ours})
    assert len(trainers.rows) == 1
    assert second.rows == [["sgram_neg", "9", *[""] * 7]]
