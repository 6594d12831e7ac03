"""The vector map, and what all the pictures have in common (the loss curve: test_loss_plot)."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
from vectors_helper import WORDS, royal

from fastw2v.errors import UsageError
from fastw2v.plots import style as figures
from fastw2v.plots import words as plots
from fastw2v.vectors.keyed_vectors import KeyedVectors, UnknownWordError

matplotlib_image = pytest.importorskip("matplotlib.image")


class Kept:
    """Keeps the figure that is saved, to look at what was drawn."""

    def __init__(self, monkeypatch):
        save = plots.save_figure
        monkeypatch.setattr(
            plots, "save_figure", lambda f, p: (setattr(self, "figure", f), save(f, p))
        )

    @property
    def axes(self):
        return self.figure.axes[0]

    def texts(self):
        return [text.get_text() for text in self.axes.texts]


@pytest.fixture
def kept(monkeypatch):
    return Kept(monkeypatch)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (950, "950"), (1500, "1.5k"), (2_000_000, "2M"), (1.25e10, "12.5G")],
)
def test_readable_counts(count, text):
    assert figures.readable_count(count) == text


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
        "import sys, tempfile, pathlib\nfrom fastw2v.plots import loss as plots\n"
        "with tempfile.TemporaryDirectory() as d:\n"
        "    plots.plot_loss([{'words': 1, 'loss': 1.0}], pathlib.Path(d) / 'l.png', 't')\n"
        "assert 'matplotlib' in sys.modules and 'matplotlib.pyplot' not in sys.modules\n"
    )
    for backend in ("", "module://not_installed.backend_inline"):  # as a notebook sets it
        environment = os.environ | {"MPLBACKEND": backend}
        subprocess.run([sys.executable, "-c", code], check=True, env=environment)
