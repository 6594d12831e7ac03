"""The loss curve: of every history that can come, readable, written whole, and quickly."""

from __future__ import annotations

import json
import time
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastw2v.errors import UsageError
from fastw2v.plots import loss as loss_plot
from fastw2v.vectors.loss_history import LossHistory, averaged_down, readable_limits, smoothed

matplotlib_image = pytest.importorskip("matplotlib.image")

HOLDOUT = ("holdout_loss", "holdout_low", "holdout_high")


def history(rows, epochs=3, holdout_every=0, total=9e6):
    made = []
    for row in range(rows):
        done = (row + 1) / rows
        loss = 2 + 2 * np.exp(-5 * done) + 0.1 * np.sin(row * 7.7)
        made.append(
            {"epoch": 1 + int(row * epochs / rows), "words": int(total * done), "seconds": done,
             "words_per_second": 1e6, "alpha": 0.025 * (1 - done), "loss": loss,
             "holdout_loss": None, "event": None}
        )  # fmt: skip
        if holdout_every and row % holdout_every == 0:
            made[-1] |= dict(zip(HOLDOUT, (loss, loss - 0.1, loss + 0.1), strict=True))
    return made


class Kept:
    """Keeps the figure that is saved, to look at what was drawn."""

    def __init__(self, monkeypatch):
        save = loss_plot.save_figure
        monkeypatch.setattr(
            loss_plot, "save_figure", lambda f, p: (setattr(self, "figure", f), save(f, p))
        )

    def panel(self, name):
        return next(axes for axes in self.figure.axes if axes.get_label() == name)

    @property
    def panels(self):
        return [axes.get_label() for axes in self.figure.axes]

    def texts(self, name="loss"):
        return [text.get_text() for text in self.panel(name).texts]

    def legend(self):
        return [text.get_text() for one in self.figure.legends for text in one.get_texts()]

    def lines(self, color, name="loss"):
        """(x, y) of the drawn lines of a color."""
        return [
            line.get_xydata().T
            for line in self.panel(name).get_lines()
            if line.get_color() == color and line.get_transform() == self.panel(name).transData
        ]


@pytest.fixture
def kept(monkeypatch):
    return Kept(monkeypatch)


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 59, 60, 5000])
def test_a_history_of_any_length_makes_a_picture(tmp_path, rows):
    path = tmp_path / "loss.png"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loss_plot.plot_loss(history(rows, holdout_every=rows // 4), path, "a $\\frac$ of_mine")
    picture = matplotlib_image.imread(path)
    assert picture.shape[1:] == (1020, 4)
    assert picture.shape[0] >= 550
    assert picture[..., :3].std() > 0.01
    assert [p.name for p in tmp_path.iterdir()] == ["loss.png"]


def test_the_loss_curve_says_what_it_shows(tmp_path, kept):
    title = loss_plot.loss_title("my.model", "sgram_neg", 300, 9_000_000)
    loss_plot.plot_loss(history(500, holdout_every=50), tmp_path / "loss.png", title, "sgram_neg")
    assert kept.figure.texts[0].get_text() == (
        "my.model: sgram_neg, 300 dimensions, 9M words trained"
    )
    assert kept.panels == ["loss", "alpha"]
    assert kept.panel("alpha").get_xlabel() == "words trained"
    assert kept.panel("loss").get_ylabel() == "loss (nats per positive pair)"
    assert kept.panel("alpha").get_ylabel() == "learning rate"
    assert kept.legend()[:2] == ["training loss, smoothed", "held-out loss, 95 % interval"]
    assert kept.texts() == ["epoch 1", "2", "3"]
    marks = [text.get_position()[0] for text in kept.panel("loss").texts]
    assert marks == pytest.approx([0, 3e6, 6e6], rel=0.02)
    ticks = [label.get_text() for label in kept.panel("alpha").get_xticklabels()]
    assert "2M" in ticks


def test_softmax_types_have_their_unit(tmp_path, kept):
    for kind, unit in (("cbow", "nats per target"), ("cbow_neg", "nats per positive pair")):
        loss_plot.plot_loss(history(3), tmp_path / "loss.png", "t", kind)
        assert kept.panel("loss").get_ylabel() == f"loss ({unit})"


def test_the_best_held_out_loss_is_ringed_and_told(tmp_path, kept):
    rows = history(400, holdout_every=40)
    rows[200] |= dict(zip(HOLDOUT, (1.875, 1.8, 1.9), strict=True))
    loss_plot.plot_loss(rows, tmp_path / "loss.png", "t")
    assert "best: 1.875 at 4.522M words" in kept.legend()
    rings = [line for line in kept.panel("loss").get_lines() if line.get_markersize() == 11]
    assert [ring.get_xydata().tolist() for ring in rings] == [[[rows[200]["words"], 1.875]]]


def test_the_band_lies_where_the_interval_is(tmp_path, kept):
    rows = history(20, holdout_every=1)
    loss_plot.plot_loss(rows, tmp_path / "loss.png", "t")
    (band,) = kept.panel("loss").collections
    edges = band.get_paths()[0].vertices
    at_row = edges[edges[:, 0] == rows[7]["words"]][:, 1]
    low, high = (rows[7][name] for name in HOLDOUT[1:])
    assert [at_row.min(), at_row.max()] == pytest.approx([low, high])


def test_without_holdout_or_alpha_neither_is_drawn(tmp_path, kept):
    rows = [{"words": 10 * n, "loss": 3.0 - n} for n in (1, 2)]
    loss_plot.plot_loss(rows, tmp_path / "loss.png", "t")
    assert kept.legend() == ["training loss"]
    assert kept.panels == ["loss"]
    loss_plot.plot_loss([], tmp_path / "loss.png", "t")
    assert kept.texts() == ["nothing trained yet"]


def test_nan_and_none_are_left_out_and_outliers_do_not_flatten_the_curve(tmp_path, kept):
    rows = history(1000, holdout_every=100)
    rows[5]["loss"] = float("nan")
    rows[6]["loss"] = None
    rows[500]["loss"] = 1e30
    rows[501]["loss"] = 30.0
    rows[300]["holdout_loss"] = rows[300]["holdout_high"] = 1e9
    loss_plot.plot_loss(rows, tmp_path / "loss.png", "t")
    raw, smooth = kept.lines(loss_plot.BLUE)
    assert raw.shape[1] == 998
    assert kept.panel("loss").get_ylim()[1] < 6
    assert np.isfinite(smooth).all()
    assert smooth[1].max() < 5
    assert "off the scale" in kept.legend()
    marks = {
        line.get_color(): line.get_xdata().tolist()
        for line in kept.panel("loss").get_lines()
        if line.get_marker() == "^"
    }
    assert marks[loss_plot.ORANGE] == [rows[300]["words"]]
    assert rows[500]["words"] in marks[loss_plot.BLUE]
    assert rows[501]["words"] not in marks[loss_plot.BLUE]  # one mark a stretch


def test_what_a_rollback_undid_stands_apart(tmp_path, kept):
    rows = history(300, holdout_every=30)
    lost = [row | {"loss": 5.0} for row in rows[100:150]]
    back = {**rows[99], "event": "rollback", "loss": None}
    rows = rows[:100] + lost + [back] + [r | {"alpha": r["alpha"] / 2} for r in rows[100:]]
    loss_plot.plot_loss(rows, tmp_path / "loss.png", "t")
    assert "undone by a rollback" in kept.legend()
    (undone,) = kept.lines(loss_plot.RED)
    assert undone[0].tolist() == [row["words"] for row in lost]
    raw = kept.lines(loss_plot.BLUE)[0]
    assert (np.diff(raw[0]) > 0).all()
    assert 5.0 not in raw[1]
    assert "rollback" in kept.texts()
    assert 5.0 not in LossHistory.of(rows).loss[~LossHistory.of(rows).given_up]


def test_events_are_marked_in_every_panel(tmp_path, kept):
    rows = history(200)
    rows[50]["event"], rows[150]["event"], rows[160]["event"] = "rollback", "cooldown", "no event"
    loss_plot.plot_loss(rows, tmp_path / "loss.png", "t")
    assert [t for t in kept.texts() if not t[-1].isdigit()] == ["rollback", "cooldown"]
    for name in ("loss", "alpha"):
        dashed = [
            line.get_xdata()[0]
            for line in kept.panel(name).get_lines()
            if line.get_linestyle() == "--" and line.get_xdata()[0] == line.get_xdata()[1]
        ]
        assert dashed == [rows[50]["words"], rows[150]["words"]]


@pytest.mark.parametrize("absolute", [True, False], ids=["words of all", "words of the corpus"])
def test_another_corpus_goes_on_after_the_words_before(tmp_path, kept, absolute):
    first, second = history(100, epochs=2, total=5e6), history(80, epochs=2, total=4e6)
    best_before = dict(zip(HOLDOUT, (1.0, 0.9, 1.1), strict=True))
    first[50] |= best_before
    second[60] |= dict(zip(HOLDOUT, (2.5, 2.4, 2.6), strict=True))
    if absolute:
        for row in second:
            row["words"] += 5_000_000
        second.insert(0, {**first[-1], "epoch": 1, "loss": None, "event": "new corpus"})
    else:
        second[0]["event"] = "new corpus"
    curves = LossHistory.of(first + second)
    assert curves.words[-1] == 9e6
    assert (np.diff(curves.words) >= 0).all()
    assert curves.epochs_done[[24, 49, 99, -40, -1]] == pytest.approx([0.5, 1, 2, 1, 2], abs=0.03)
    assert curves.holdout_loss[curves.best_row] == 2.5  # losses of two texts do not compare
    loss_plot.plot_loss(first + second, tmp_path / "loss.png", "t")
    assert [line[0][-1] for line in kept.lines(loss_plot.BLUE)[::2]] == [5e6, 9e6]
    assert kept.texts() == ["epoch 1", "2", "1", "2", "new corpus"]


def test_the_exact_softmax_loss_has_a_panel_where_its_unit_is_another(tmp_path, kept):
    rows = history(200, holdout_every=20)
    for row in rows[::20]:
        row["holdout_softmax"] = row["holdout_loss"] + 4
    loss_plot.plot_loss(rows, tmp_path / "loss.png", "t", "sgram_neg")
    assert kept.panels == ["loss", "softmax", "alpha"]
    assert kept.panel("softmax").get_ylabel() == "nats per target"
    (exact,) = kept.lines(loss_plot.GREEN, "softmax")
    assert exact[1].min() > 5
    loss_plot.plot_loss(rows, tmp_path / "loss.png", "t", "sgram")
    assert kept.panels == ["loss", "alpha"]
    assert len(kept.lines(loss_plot.GREEN)) == 1
    once = [{**row, "holdout_softmax": None} for row in rows[:-1]]
    once.append({**rows[-1], "holdout_softmax": 7.125})
    loss_plot.plot_loss(once, tmp_path / "loss.png", "t", "sgram_neg")
    assert kept.panels == ["loss", "alpha"]  # one value is no curve
    assert "exact softmax, held-out: 7.125" in kept.legend()
    for row in rows[::20]:  # what the held-out loss of a softmax type is anyway
        row["holdout_softmax"] = row["holdout_loss"]
    loss_plot.plot_loss(rows, tmp_path / "loss.png", "t", "sgram")
    assert "exact softmax, held-out" not in kept.legend()


def test_smoothing_keeps_a_straight_line_and_quiets_noise():
    line = np.linspace(3, 1, 500)
    assert np.allclose(smoothed(line), line)
    noise = np.random.default_rng(0).standard_normal(3000)
    assert smoothed(noise)[100:].std() < 0.2
    assert abs(smoothed(noise)[-1]) < 0.5
    assert smoothed(np.array([])).tolist() == []


def test_means_of_neighbors_keep_the_sum():
    places, values = np.arange(1e5), np.random.default_rng(1).standard_normal(100_000)
    values[7] = np.nan
    few, means = averaged_down(places, values, most=1000)
    assert len(few) == len(means) == 1000
    assert means.mean() == pytest.approx(np.nanmean(values), abs=1e-4)
    assert few[0] == pytest.approx(places[:101].mean(), rel=0.05)


def test_limits_leave_out_outliers_only():
    values = np.random.default_rng(0).normal(3, 0.1, 1000)
    assert readable_limits(values) == (values.min(), values.max())
    assert readable_limits(np.append(values, [50, -50])) == (values.min(), values.max())
    assert readable_limits(np.array([4.1, 3.0, 2.9])) == (2.9, 4.1)
    assert readable_limits(np.array([2.9, 2.8, 1e30])) == (2.8, 2.9)
    assert readable_limits(np.full(5, 2.0)) == (2.0, 2.0)
    assert readable_limits(np.array([np.nan])) == (0.0, 1.0)


def test_long_histories_are_averaged_down_and_drawn_quickly(tmp_path, kept):
    rows = history(50_000, holdout_every=10)
    loss_plot.plot_loss(rows[:10], tmp_path / "loss.png", "t")  # matplotlib is imported now
    start = time.thread_time()
    loss_plot.plot_loss(rows, tmp_path / "loss.png", "t")
    assert time.thread_time() - start < 1  # 0.16 s on a quiet machine
    raw = kept.lines(loss_plot.BLUE)[0]
    assert raw.shape[1] == 1500
    assert raw[1].mean() == pytest.approx(np.mean([row["loss"] for row in rows]), rel=0.01)


def test_many_epochs_are_marked_sparsely(tmp_path, kept):
    loss_plot.plot_loss(history(400, epochs=100), tmp_path / "loss.png", "t")
    assert 6 <= len(kept.texts()) <= 12


def test_epoch_labels_never_overprint(tmp_path, kept):
    for rows in (
        history(300, epochs=2),
        history(100, epochs=100),
        history(80, epochs=2, total=1e5),
    ):
        long = history(300, epochs=3, total=9e6)
        again = [row | {"words": row["words"] + 9_000_000} for row in rows]
        again[0]["event"] = "new corpus"
        loss_plot.plot_loss(long + again, tmp_path / "loss.png", "t")
        boxes = [text.get_window_extent() for text in kept.panel("loss").texts]
        for place, box in enumerate(boxes):
            assert not any(box.overlaps(other) for other in boxes[:place])


def test_the_picture_says_that_losses_are_measured_differently(tmp_path, kept):
    note = loss_plot.comparability_note(1e-4, "dynamic")
    assert "subsampled" in note
    assert "random size" in note
    assert "subsampled" not in loss_plot.comparability_note(0.0, "dynamic")
    assert loss_plot.comparability_note(0.0, "fixed") == ""
    for every, shown in ((20, True), (0, False)):
        rows = history(200, holdout_every=every)
        loss_plot.plot_loss(rows, tmp_path / "loss.png", "t", note=note)
        assert (note in [text.get_text() for text in kept.figure.texts]) == shown
        (text,) = [t for t in kept.figure.texts if t.get_text() == note] or [None]
        if text is not None:
            assert text.get_window_extent().x1 < kept.figure.bbox.x1


def test_vector_graphics_too_and_nothing_else(tmp_path):
    for suffix, magic in ((".pdf", b"%PDF"), (".svg", b"<?xml")):
        loss_plot.plot_loss(history(3), tmp_path / f"loss{suffix}", "t")
        assert (tmp_path / f"loss{suffix}").read_bytes().startswith(magic)
    for suffix in (".exe", ""):
        with pytest.raises(UsageError, match="names no picture format"):
            loss_plot.plot_loss(history(3), tmp_path / f"bad{suffix}", "t")


def test_a_failed_drawing_keeps_the_old_picture(tmp_path, monkeypatch):
    loss_plot.plot_loss(history(3), tmp_path / "loss.png", "t")
    old = (tmp_path / "loss.png").read_bytes()
    from matplotlib.figure import Figure

    def broken(_figure, path, **_options):
        path.write_bytes(b"half")
        raise RuntimeError("broken")

    monkeypatch.setattr(Figure, "savefig", broken)
    with pytest.raises(RuntimeError):
        loss_plot.plot_loss(history(5), tmp_path / "loss.png", "t")
    assert (tmp_path / "loss.png").read_bytes() == old
    assert len(list(tmp_path.iterdir())) == 1


NUMBERS = st.one_of(
    st.none(), st.floats(), st.integers(-(10**20), 10**20), st.sampled_from([0, 1, 2.5, 1e300])
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(("epoch", "words", "seconds", "alpha", "loss", *HOLDOUT), NUMBERS)
        | {
            "holdout_softmax": st.one_of(NUMBERS, st.text(max_size=3)),
            "event": st.one_of(st.none(), st.sampled_from(["rollback", "new corpus", "x"])),
        },
    ),
    max_size=8,
)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=ROWS)
def test_no_history_of_a_stranger_breaks_the_drawing(tmp_path, rows):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loss_plot.plot_loss(rows, tmp_path / "loss.png", "t")
    json.dumps(LossHistory.of(rows).events)
