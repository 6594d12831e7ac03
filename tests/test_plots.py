"""The pictures: written whole, of every history that can come, without pyplot, quickly."""

from __future__ import annotations

import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
from vectors_helper import WORDS, royal

from fastw2v import plots
from fastw2v.errors import UsageError
from fastw2v.vectors.keyed_vectors import KeyedVectors, UnknownWordError

matplotlib_image = pytest.importorskip("matplotlib.image")


def history(rows, epochs=3, holdout_every=0):
    made = []
    for row in range(rows):
        done = (row + 1) / rows
        loss = 2 + 2 * np.exp(-5 * done) + 0.1 * np.sin(row * 7.7)
        made.append(
            {"epoch": 1 + int(row * epochs / rows), "words": int(9e6 * done), "seconds": done,
             "words_per_second": 1e6, "alpha": 0.025 * (1 - done), "loss": loss,
             "holdout_loss": None}
        )  # fmt: skip
        if holdout_every and row % holdout_every == 0:
            made[-1] |= {
                "holdout_loss": loss,
                "holdout_low": loss - 0.1,
                "holdout_high": loss + 0.1,
            }
    return made


class Kept:
    """Keeps the figure that is saved, to look at what was drawn."""

    def __init__(self, monkeypatch):
        save = plots._save
        monkeypatch.setattr(plots, "_save", lambda f, p: (setattr(self, "figure", f), save(f, p)))

    @property
    def axes(self):
        return self.figure.axes[0]

    def texts(self):
        return [text.get_text() for text in self.axes.texts]

    def legend(self):
        legend = self.axes.get_legend()
        return [text.get_text() for text in legend.get_texts()] if legend else []


@pytest.fixture
def kept(monkeypatch):
    return Kept(monkeypatch)


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 59, 60, 5000])
def test_a_history_of_any_length_makes_a_picture(tmp_path, rows):
    path = tmp_path / "loss.png"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plots.plot_loss(history(rows, holdout_every=rows // 4), path, "a $\\frac$ of_mine")
    picture = matplotlib_image.imread(path)
    assert picture.shape == (600, 1020, 4)
    assert picture[..., :3].std() > 0.01
    assert [p.name for p in tmp_path.iterdir()] == ["loss.png"]


def test_the_loss_curve_says_what_it_shows(tmp_path, kept):
    plots.plot_loss(history(500, holdout_every=50), tmp_path / "loss.png", "my.model: sgram_neg")
    assert kept.axes.get_title() == "my.model: sgram_neg"
    assert kept.axes.get_xlabel() == "words read"
    assert "loss" in kept.axes.get_ylabel()
    assert kept.legend() == [
        "training loss", "training loss, smoothed", "held-out loss", "held-out, 95 % interval",
        "learning rate",
    ]  # fmt: skip
    top = next(child for child in kept.axes.child_axes if child.get_xlabel() == "epoch")
    assert [label.get_text() for label in top.get_xticklabels()] == ["1", "2", "3"]
    assert top.get_xticks() == pytest.approx([0, 3e6, 6e6], rel=0.02)
    ticks = [label.get_text() for label in kept.axes.get_xticklabels()]
    assert "2M" in ticks


def test_without_holdout_or_alpha_neither_is_drawn(tmp_path, kept):
    rows = [{"words": 10 * n, "loss": 3.0 - n} for n in (1, 2)]
    plots.plot_loss(rows, tmp_path / "loss.png", "t")
    assert kept.legend() == ["training loss"]
    plots.plot_loss([], tmp_path / "loss.png", "t")
    assert kept.texts() == ["nothing trained yet"]


def test_nan_and_none_are_left_out_and_outliers_do_not_flatten_the_curve(tmp_path, kept):
    rows = history(1000)
    rows[5]["loss"] = float("nan")
    rows[6]["loss"] = None
    rows[500]["loss"] = 30.0
    plots.plot_loss(rows, tmp_path / "loss.png", "t")
    raw, smooth = kept.axes.get_lines()[:2]
    assert len(raw.get_xdata()) == 998
    assert kept.axes.get_ylim()[1] < 6
    assert np.isfinite(smooth.get_ydata()).all()


def test_smoothing_keeps_a_straight_line_and_quiets_noise():
    line = np.linspace(3, 1, 500)
    assert np.allclose(plots._smoothed(line), line)
    noise = np.random.default_rng(0).standard_normal(3000)
    assert plots._smoothed(noise)[100:-100].std() < 0.15


def test_long_histories_are_averaged_down_and_drawn_quickly(tmp_path, kept):
    rows = history(50_000)
    plots.plot_loss(rows[:10], tmp_path / "loss.png", "t")  # matplotlib is imported now
    start = time.perf_counter()
    plots.plot_loss(rows, tmp_path / "loss.png", "t")
    assert time.perf_counter() - start < 2
    raw = kept.axes.get_lines()[0]
    assert len(raw.get_xdata()) == 1500
    assert raw.get_ydata().mean() == pytest.approx(np.mean([row["loss"] for row in rows]), rel=0.01)


def test_many_epochs_are_marked_sparsely(tmp_path, kept):
    plots.plot_loss(history(400, epochs=100), tmp_path / "loss.png", "t")
    top = next(child for child in kept.axes.child_axes if child.get_xlabel() == "epoch")
    assert 6 <= len(top.get_xticks()) <= 12


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (950, "950"), (1500, "1.5k"), (2_000_000, "2M"), (1.25e10, "12.5G")],
)
def test_readable_counts(count, text):
    assert plots.readable_count(count) == text


def test_vector_graphics_too_and_nothing_else(tmp_path):
    for suffix, magic in ((".pdf", b"%PDF"), (".svg", b"<?xml")):
        plots.plot_loss(history(3), tmp_path / f"loss{suffix}", "t")
        assert (tmp_path / f"loss{suffix}").read_bytes().startswith(magic)
    for suffix in (".exe", ""):
        with pytest.raises(UsageError, match="names no picture format"):
            plots.plot_loss(history(3), tmp_path / f"bad{suffix}", "t")


def test_a_failed_drawing_keeps_the_old_picture(tmp_path, monkeypatch):
    plots.plot_loss(history(3), tmp_path / "loss.png", "t")
    old = (tmp_path / "loss.png").read_bytes()
    from matplotlib.figure import Figure

    def broken(_figure, path, **_options):
        path.write_bytes(b"half")
        raise RuntimeError("broken")

    monkeypatch.setattr(Figure, "savefig", broken)
    with pytest.raises(RuntimeError):
        plots.plot_loss(history(5), tmp_path / "loss.png", "t")
    assert (tmp_path / "loss.png").read_bytes() == old
    assert len(list(tmp_path.iterdir())) == 1


def test_the_map_shows_every_word_that_has_room(tmp_path, kept):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plots.plot_map(royal(), [*WORDS, "the"], tmp_path / "map.png", "ten words")
    assert sorted(kept.texts()) == sorted(WORDS)
    boxes = [text.get_window_extent() for text in kept.axes.texts]
    for place, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:place])
    assert matplotlib_image.imread(tmp_path / "map.png").shape == (960, 1200, 4)


def test_labels_of_a_crowd_do_not_overlap(tmp_path, kept):
    rng = np.random.default_rng(0)
    words = [f"word{n}" for n in range(300)]
    crowd = KeyedVectors(words, rng.standard_normal((300, 20)))
    plots.plot_map(crowd, words, tmp_path / "map.png", "crowd")
    texts = kept.texts()
    assert 100 < len(texts) < 300
    assert "word0" in texts  # the first words have the choice
    boxes = np.array([text.get_window_extent().extents for text in kept.axes.texts])
    low, high = boxes[:, None, :2], boxes[None, :, 2:]
    apart = (low >= high).any(axis=2)
    overlaps = ~(apart | apart.T)
    assert overlaps.sum() == len(boxes)  # each with itself only


def test_odd_words_are_drawn_as_they_are(tmp_path, kept):
    words = ["$x_1$", "$", "猫", "नमस्ते", "مرحبا", "a_b^c", "$\\frac$"]
    vectors = KeyedVectors(words, np.random.default_rng(0).standard_normal((7, 5)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plots.plot_map(vectors, words, tmp_path / "map.png", "odd $\\frac$ words")
    assert kept.texts() == words


def test_alike_vectors_lie_together_and_signs_are_fixed():
    rows = np.float32([[5, 0, 0], [5, 0.1, 0], [-5, 0, 0.1], [-5, 0, 0]])
    plane = plots.principal_plane(rows)
    assert np.sign(plane[:, 0]).tolist() in ([1, 1, -1, -1], [-1, -1, 1, 1])
    assert np.allclose(plane, plots.principal_plane(rows + 7), atol=1e-5)
    distances = np.linalg.norm(plane[0] - plane, axis=1)
    assert distances == pytest.approx(np.linalg.norm(rows[0] - rows, axis=1), abs=0.05)
    largest = np.abs(plane).argmax(axis=0)
    assert (plane[largest, [0, 1]] > 0).all()


def test_maps_of_too_little_are_refused(tmp_path):
    vectors = KeyedVectors(["a", "b", "c"], [[np.nan, 1], [1, 2], [0, 0]])
    for words, message in ((["b"], "two words"), (["b", "b"], "two words"), (["a", "b"], "finite")):
        with pytest.raises(UsageError, match=message):
            plots.plot_map(vectors, words, tmp_path / "map.png", "t")
    with pytest.raises(UnknownWordError):
        plots.plot_map(vectors, ["b", "none"], tmp_path / "map.png", "t")
    plots.plot_map(KeyedVectors(["a", "b"], [[1.0], [2.0]]), ["a", "b"], tmp_path / "m.png", "1-D")
    assert [p.name for p in tmp_path.iterdir()] == ["m.png"]


def test_pyplot_is_never_loaded():
    code = (
        "import sys, tempfile, pathlib\nfrom fastw2v import plots\n"
        "with tempfile.TemporaryDirectory() as d:\n"
        "    plots.plot_loss([{'words': 1, 'loss': 1.0}], pathlib.Path(d) / 'l.png', 't')\n"
        "assert 'matplotlib' in sys.modules and 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
