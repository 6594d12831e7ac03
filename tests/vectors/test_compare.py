"""`fastw2v compare`: what differs between models, what it cost, and what came of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from vectors_helper import royal_vectors, write_generation

from fastw2v.cli.main import fastw2v
from fastw2v.errors import UsageError
from fastw2v.io import model_directory, storage
from fastw2v.plots import comparison as comparison_plot
from fastw2v.vectors import comparison
from fastw2v.vectors.comparison import compare_runs

matplotlib_image = pytest.importorskip("matplotlib.image")

SEQUENCES = 200


def rows_of(count, loss=2.0, holdout=None, epochs=2, total=20_000):
    rows = []
    for n in range(1, count + 1):
        words = total * n // count
        rows.append({
            "epoch": 1 + (n - 1) * epochs // count, "words": words, "seconds": n / 10,
            "alpha": 0.02, "loss": loss + 1 / n, "holdout_loss": None, "holdout_low": None,
            "holdout_high": None, "event": None,
        })  # fmt: skip
        if holdout is not None and n % 5 == 0:
            value = holdout + 1 / n - 1 / count
            rows[-1] |= {
                "holdout_loss": value, "holdout_low": value - 0.1, "holdout_high": value + 0.1
            }  # fmt: skip
    return rows


def losses_of(mean, seed=0):
    """float32 (2, m): sequences of very different loss, the same for every model but for `mean`."""
    rng = np.random.default_rng(7)
    positives = rng.integers(1, 50, SEQUENCES)
    nats = positives * (mean + rng.normal(0, 1, SEQUENCES))
    nats += positives * np.random.default_rng(seed).normal(0, 0.01, SEQUENCES)
    return np.stack([nats, positives]).astype(np.float32)


def make_model(path, *, rows=None, losses=None, config=None, state=None, vectors=None):
    """A model directory as a finished run leaves it."""
    vectors = royal_vectors() if vectors is None else vectors
    generation = path / "gen-000003"
    write_generation(generation, vectors, -vectors)
    rows = rows_of(20) if rows is None else rows
    options = {
        "type": "sgram_neg", "vector_dim": vectors.shape[1], "epochs": 2, "window": 11,
        "neg_samples": 5, "alpha": 0.025, "holdout": 0.005,
    } | (config or {})  # fmt: skip
    storage.write_json(generation / "config.json", options)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    storage.write_text(generation / "history.jsonl", text)
    files = list(model_directory.CHECKED_FILES)
    if losses is not None:
        np.save(generation / "holdout_losses.npy", losses)
        files.append("holdout_losses.npy")
    saved = storage.read_json(generation / "state.json")
    saved |= {
        "words_done": rows[-1]["words"] if rows else 0, "total_words": 20_000,
        "corpus_words": 10_000, "training_seconds": rows[-1]["seconds"] if rows else 0.0,
        "corpus_hash": "c" * 64, "vocabulary_hash": "v" * 64,
        "corpus": {"source": "text", "settings": {"min_count": 5, "lowercase": True}},
    } | (state or {})  # fmt: skip
    saved["sha256"] = {name: storage.sha256_of(generation / name) for name in files}
    storage.write_json(generation / "state.json", saved)
    storage.write_text(path / "CURRENT", "gen-000003\n")
    return path


@pytest.fixture
def two(tmp_path):
    """Models of one held-out text, of which b is a little better."""
    a = make_model(tmp_path / "a.model", rows=rows_of(20, 2.0, 3.0), losses=losses_of(3.0, 1))
    b = make_model(
        tmp_path / "b.model", rows=rows_of(40, 1.9, 2.95), losses=losses_of(2.95, 2),
        config={"alpha": 0.05, "window": 11},
        state={"corpus": {"source": "text", "settings": {"min_count": 5, "lowercase": False}}},
    )  # fmt: skip
    return a, b


def run(*arguments, code=0):
    result = CliRunner().invoke(fastw2v, ["compare", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


def table_of(*models):
    names = comparison.names_of(models)
    return compare_runs(
        [comparison.read_run(path, name, {}) for path, name in zip(models, names, strict=True)]
    )


def row(table, name):
    return next(row for row in table.rows if row.name == name)


def test_the_table_has_the_figures_and_marks_the_best(two, tmp_path):
    result = run(*two, "--output", tmp_path / "c.png", "--no-quality")
    lines = {line.split("\t")[1]: line.split("\t")[2:] for line in result.stdout.splitlines()}
    assert lines["what"] == ["a.model", "b.model"]
    assert lines["words trained"] == ["20,000", "20,000"]
    assert lines["epochs"] == ["2", "2"]
    assert lines["training seconds"] == ["2.0", "4.0"]
    assert lines["words/s"] == ["10,000 *", "5,000"]
    assert lines["vocabulary"] == ["10", "10"]
    assert lines["dimensions"] == ["12", "12"]
    assert lines["held-out loss"] == ["3.0000 ± 0.1000", "2.9500 ± 0.1000 *"]
    assert lines["training loss"] == ["2.0500", "1.9253 *"]
    assert "wrote" in result.stderr
    assert "the same sequences" in result.stderr
    assert matplotlib_image.imread(tmp_path / "c.png")[..., :3].std() > 0.01


def test_only_settings_that_differ_are_shown(two, tmp_path):
    table = table_of(*two)
    settings = {row.name: row.texts for row in table.rows if row.about == "settings"}
    assert settings == {"alpha": ["0.025", "0.05"], "text: lowercase": ["yes", "no"]}


def test_losses_of_the_same_sequences_are_compared_pair_by_pair(two):
    table = table_of(*two)
    differences = row(table, "held-out, minus a.model's")
    assert differences.values[0] is None
    found = differences.values[1]
    assert found["value"] == pytest.approx(-0.05, abs=0.005)
    assert found["low"] < found["value"] < found["high"] < 0
    assert found["high"] - found["low"] < 0.01  # their own intervals are 0.2 wide
    assert row(table, "held-out loss").best == (1,)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"state": {"corpus_hash": "d" * 64}}, "the held-out sequences differ"),
        ({"config": {"holdout": 0.01}}, "the held-out sequences differ"),
        ({"config": {"type": "cbow_neg"}}, "its own loss (cbow_neg, sgram_neg)"),
        ({"config": {"type": "sgram"}}, "its own loss (sgram, sgram_neg)"),
    ],
)
def test_other_held_out_losses_are_not_compared(two, tmp_path, change, why):
    other = make_model(
        tmp_path / "o.model", rows=rows_of(20, 2.0, 2.0), losses=losses_of(2.0), **change
    )
    table = table_of(*two, other)
    assert any(
        "held-out losses are not all comparable" in note and why in note for note in table.notes
    )
    assert row(table, "held-out loss").best == ()
    assert row(table, "held-out, minus a.model's").values[2] is None
    assert row(table, "held-out, minus a.model's").values[1] is not None
    assert [r.name for r in table.rows if "minus" in r.name] == ["held-out, minus a.model's"]
    assert comparison.holdout_difference(table.runs[2], table.runs[0]) is None
    assert comparison.holdout_difference(table.runs[1], table.runs[0]) is not None


def test_the_softmax_loss_compares_between_types(tmp_path):
    models = []
    for kind, loss in (("sgram_neg", 7.5), ("sgram", 7.25), ("cbow_neg", 7.0)):
        rows = rows_of(20, 2.0, 3.0)
        rows[-1]["holdout_softmax"] = loss
        models.append(make_model(tmp_path / kind, rows=rows, config={"type": kind}))
    found = row(table_of(*models[:2]), "held-out softmax loss")
    assert (found.texts, found.best) == (["7.5000", "7.2500"], (1,))
    assert row(table_of(*models), "held-out softmax loss").best == ()  # CBOW has other targets
    other = make_model(tmp_path / "o", rows=rows, config={"type": "sgram", "holdout": 0.1})
    assert row(table_of(models[0], other), "held-out softmax loss").best == ()


def test_other_sequences_in_the_save_are_not_paired(two, tmp_path):
    shifted = losses_of(2.0)
    shifted[1, 3] += 1
    short = losses_of(2.0)[:, :-1]
    for name, losses in (("s", shifted), ("t", short), ("n", None)):
        other = make_model(tmp_path / name, rows=rows_of(20, 2.0, 2.0), losses=losses)
        assert not [r for r in table_of(two[0], other).rows if "minus" in r.name]


def test_training_losses_of_other_measures_have_no_best(two, tmp_path):
    assert row(table_of(*two), "training loss").best == (1,)
    for number, config in enumerate(({"window": 5}, {"neg_samples": 10}, {"type": "sgram"})):
        other = make_model(tmp_path / str(number), config=config, rows=rows_of(20, 1.5))
        table = table_of(two[0], other)
        assert row(table, "training loss").best == ()
        assert any("training losses are not comparable" in note for note in table.notes)
    softmax = [{"type": "cbow", "neg_samples": n} for n in (5, 7)]  # which do not matter there
    models = [make_model(tmp_path / f"m{n}", config=c) for n, c in enumerate(softmax)]
    assert not any("training losses" in note for note in table_of(*models).notes)


def test_quality_is_as_evaluate_has_it(two, tmp_path):
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("king\tqueen\t9\napple\tpear\t8\nking\tapple\t1\nman\tunheard\t2\n")
    blank = make_model(tmp_path / "blank", vectors=np.zeros((10, 12), np.float32))
    result = run(two[0], blank, "--pairs", pairs, "--output", tmp_path / "c.png")
    (line,) = (line for line in result.stdout.splitlines() if line.startswith("quality"))
    score = CliRunner().invoke(fastw2v, ["evaluate", str(two[0]), "--pairs", str(pairs)])
    figures = score.stdout.splitlines()[1].split("\t")
    assert line.split("\t")[1] == f"pairs x100, of {figures[3]}"
    assert line.split("\t")[2].startswith(f"{figures[4]} ± ")
    assert line.split("\t")[3] == "-"  # zeros have no order


def test_models_that_know_other_items_say_so(two, tmp_path):
    benchmark = comparison.read_pairs(_pairs(tmp_path))
    runs = [comparison.read_run(path, path.name, {"p": benchmark}) for path in two]
    score = runs[1].scores["p"]
    runs[1].scores["p"] = score._replace(known=score.known - 1)
    table = compare_runs(runs)
    assert row(table, "p, known of 3").values == [3, 2]
    assert any("know different items" in note for note in table.notes)


def _pairs(tmp_path):
    path = tmp_path / "p.tsv"
    path.write_text("king\tqueen\t9\napple\tpear\t8\nking\tapple\t1\n")
    return path


def test_json_is_the_same_table_and_nothing_else(two, tmp_path):
    result = run(*two, "--json", "--no-quality", "--output", tmp_path / "c.svg")
    value = json.loads(result.stdout)
    assert [model["name"] for model in value["models"]] == ["a.model", "b.model"]
    rows = {row["name"]: row for row in value["rows"]}
    assert rows["words/s"] == {
        "about": "run", "name": "words/s", "best": ["a.model"],
        "values": {"a.model": 10000.0, "b.model": 5000.0},
    }  # fmt: skip
    assert rows["held-out loss"]["values"]["b.model"]["low"] == pytest.approx(2.85)
    assert rows["text: lowercase"]["values"] == {"a.model": True, "b.model": False}
    assert value["notes"] == list(table_of(*two).notes)


def test_models_without_history_or_holdout_have_gaps(two, tmp_path):
    fresh = make_model(tmp_path / "fresh", rows=[])
    table = table_of(two[0], fresh)
    assert row(table, "training loss").texts[1] == ""
    assert row(table, "words/s").values[1] is None
    assert row(table, "held-out loss").values[1] is None
    run(two[0], fresh, "--no-quality", "--output", tmp_path / "c.png", "--json")


def test_names_are_short_and_tell_models_apart(tmp_path):
    paths = [tmp_path / "one" / "m", tmp_path / "two" / "m"]
    assert comparison.names_of(paths) == ["one/m", "two/m"]
    assert comparison.names_of([tmp_path / "a", tmp_path / "b"]) == ["a", "b"]
    with pytest.raises(UsageError, match="given twice"):
        comparison.names_of([tmp_path / "a", tmp_path / "b" / ".." / "a"])


def test_the_last_training_loss_is_a_mean_weighted_by_words(tmp_path):
    rows = rows_of(4, total=10_000)
    rows += [
        {**rows[-1], "words": words, "loss": loss}
        for words, loss in ((19_300, 1.0), (19_900, 3.0), (20_000, 9.0))
    ]
    model = make_model(tmp_path / "m", rows=rows)
    # Of the rows after 19,000 words: 9,300, 600 and 100 words long.
    expected = (9300 * 1 + 600 * 3 + 100 * 9) / 10_000
    assert comparison.read_run(model, "m", {}).training_loss == pytest.approx(expected)


def test_the_best_held_out_loss_stands_beside_the_last(tmp_path):
    rows = rows_of(20, 2.0, 3.0)
    rows[9] |= {"holdout_loss": 2.5}
    model, other = make_model(tmp_path / "m", rows=rows), make_model(tmp_path / "n")
    assert row(table_of(model, other), "best held-out loss").texts == ["2.5000", ""]


def test_losses_of_an_earlier_corpus_are_not_those_of_the_present_one(tmp_path):
    rows = rows_of(20, 2.0, 3.0)
    begun = [*rows, {**rows[-1], "loss": None, "holdout_loss": None, "event": "new corpus"}]
    more = [*begun, {**begun[-1], "words": 20_100, "loss": 7.0, "event": None}]
    model = make_model(tmp_path / "m", rows=begun)
    later, other = make_model(tmp_path / "l", rows=more), make_model(tmp_path / "n", rows=rows)
    table = table_of(model, later, other)
    assert row(table, "training loss").texts == ["", "7.0000", "2.0500"]
    assert row(table, "held-out loss").values[:2] == [None, None]
    assert not any("held-out losses are comparable" in note for note in table.notes)


def test_a_model_that_saves_while_it_is_read_is_read_again(two, monkeypatch):
    """A save removes an older generation, at any moment."""
    place, history = two[0], model_directory.Generation.history
    old, new = place / "gen-000003", place / "gen-000004"

    def saved_meanwhile(generation):
        if generation.path == old:
            storage.link_or_copy_directory(old, new)
            storage.write_text(place / "CURRENT", new.name + "\n")
            storage.remove_directory(old)
        return history(generation)

    monkeypatch.setattr(model_directory.Generation, "history", saved_meanwhile)
    assert table_of(*two).runs[0].words == 20_000
    assert not old.exists()


class Panels:
    def __init__(self, monkeypatch):
        save = comparison_plot.save_figure
        monkeypatch.setattr(
            comparison_plot, "save_figure", lambda f, p: (setattr(self, "figure", f), save(f, p))
        )

    def titles(self):
        return [axes.get_title(loc="left") for axes in self.figure.axes]

    def ends(self):
        """Where the curves of the first panel end."""
        return [float(line.get_xdata()[-1]) for line in self.figure.axes[0].get_lines()]


@pytest.fixture
def panels(monkeypatch):
    return Panels(monkeypatch)


@pytest.mark.parametrize(
    ("against", "label", "ends"),
    [
        ("words", "words trained", [20_000, 20_000]),
        ("seconds", "seconds of training", [2, 4]),
        ("epochs", "epochs", [2, 2]),
    ],
)
def test_curves_lie_over_each_other(two, tmp_path, panels, against, label, ends):
    run(*two, "--no-quality", "--against", against, "--output", tmp_path / "c.png")
    assert panels.titles() == ["training loss", "held-out loss, 95 % interval"]
    assert [axes.get_xlabel() for axes in panels.figure.axes] == [label] * 2
    assert panels.ends() == ends
    assert [text.get_text() for text in panels.figure.legends[0].get_texts()] == [
        "a.model", "b.model"
    ]  # fmt: skip
    assert len(panels.figure.axes[1].collections) == 2  # the bands


def test_losses_of_another_unit_have_panels_of_their_own(two, tmp_path, panels):
    other = make_model(tmp_path / "$o_$", config={"type": "sgram"}, rows=rows_of(200, 7.0, 8.0))
    run(*two, other, "--no-quality", "--output", tmp_path / "c.png")
    units = [axes.get_ylabel() for axes in panels.figure.axes]
    assert units == ["loss (nats per positive pair)"] * 2 + ["loss (nats per target)"] * 2
    assert panels.figure.legends[0].get_texts()[-1].get_text() == "$o_$"


def test_held_out_losses_that_do_not_compare_are_marked_so(two, tmp_path, panels):
    other = make_model(tmp_path / "o", rows=rows_of(20, 2, 3), state={"corpus_hash": "other"})
    run(*two, other, "--no-quality", "--output", tmp_path / "c.png")
    assert panels.titles()[1] == "held-out loss (not all comparable), 95 % interval"


def test_misuse_is_told_in_one_line(two, tmp_path):
    a, b = two
    output = tmp_path / "c.png"
    for arguments, message in (
        ([a], "at least two models"),
        ([a, a], "given twice"),
        ([a, tmp_path / "none"], "no such model"),
        ([a, b, "--output", tmp_path / "c.exe"], "names no picture format"),
        ([a, b, "--no-quality", "--pairs", _pairs(tmp_path)], "--no-quality excludes"),
        ([a, b, "--pairs", tmp_path / "none.tsv"], "no such file"),
        ([a, b, "--pairs", _pairs(tmp_path), "--pairs", _pairs(tmp_path)], "are called p"),
        ([a, b, "--against", "days"], "--against"),
    ):
        given = [*arguments, *([] if "--output" in arguments else ["--output", output])]
        result = run(*given, code=2)
        assert message in result.stderr
        assert len(result.stderr.splitlines()) == 1
        assert not output.exists()
    output.write_bytes(b"mine")
    assert "exists already" in run(a, b, "--output", output, code=2).stderr
    assert output.read_bytes() == b"mine"
    run(a, b, "--output", output, "--force", "--no-quality")


def test_damage_is_told_in_one_line(two, tmp_path):
    with open(two[0] / "gen-000003" / "holdout_losses.npy", "r+b") as file:
        file.write(b"x")
    result = run(*two, "--output", tmp_path / "c.png", code=1)
    assert len(result.stderr.splitlines()) == 1
    assert "no good checkpoint is left" in result.stderr


def test_benchmarks_are_found_where_gensim_is(monkeypatch):
    found = comparison.common_benchmarks()
    assert set(found) <= {"WordSim-353", "SimLex-999", "analogies"}
    monkeypatch.setattr(comparison.importlib.util, "find_spec", lambda name: None)
    assert comparison.common_benchmarks() == {}


def test_without_benchmarks_quality_is_left_out_or_asked_for_in_vain(two, tmp_path, monkeypatch):
    monkeypatch.setattr(comparison, "common_benchmarks", dict)
    assert "quality" not in run(*two, "--output", tmp_path / "c.png").stdout
    asked = run(*two, "--quality", "--output", tmp_path / "d.png", code=2)
    assert "found no benchmark" in asked.stderr


def test_the_paths_of_models_are_kept(two):
    assert [Path(m["path"]).name for m in table_of(*two).as_json()["models"]] == [
        "a.model", "b.model"
    ]  # fmt: skip
