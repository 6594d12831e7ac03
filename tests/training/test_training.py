from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import planted
import pytest
from recorder import Recorder

import fastw2v
from fastw2v.errors import DataError, DivergenceError, ResourceError, UsageError
from fastw2v.io import model_directory as layout
from fastw2v.kernels.blocks import Weights
from fastw2v.kernels.primitives import new_matrix
from fastw2v.kernels.streams import Noise
from fastw2v.text.config import Layout
from fastw2v.training import data as batches
from fastw2v.training import reporting, resources
from fastw2v.training import steppers as steps
from fastw2v.training.config import TYPES, TrainConfig
from fastw2v.training.reporting import Progress

pytestmark = pytest.mark.usefixtures("quick_plots")

# Row groups are one here; alphas suit 20 words and batches of 64.
SMALL: dict[str, Any] = {
    "vector_dim": 20, "window": 5, "batch_size": 64, "subsample": 0.0, "threads": 2,
}  # fmt: skip
ALPHAS = {"cbow": 0.01, "cbow_neg": 0.1, "sgram": 0.01, "sgram_neg": 0.05}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return planted.make_store(tmp_path_factory.mktemp("planted") / "store")


def train(store: Path, model: Path, model_type: str, **options: Any) -> fastw2v.Model:
    values = {**SMALL, "alpha": ALPHAS[model_type], "epochs": 10, "holdout": 0, **options}
    return fastw2v.train(store, model, type=model_type, **values)


def bytes_of(model: Path) -> dict[str, str]:
    """Checksums of what a model is, without its times."""
    checksums = layout.open_model(model).state["sha256"]
    return {name: checksums[name] for name in ("input_vectors.npy", "output_vectors.npy")}


@pytest.mark.parametrize(
    ("model_type", "gradient"),
    [
        *((model_type, "mean") for model_type in TYPES),
        ("cbow", "word2vec"),
        ("cbow_neg", "word2vec"),
    ],
)
def test_planted_structure_is_recovered(
    store: Path, tmp_path: Path, model_type: str, gradient: str
) -> None:
    model = train(store, tmp_path / "m", model_type, cbow_gradient=gradient)
    assert planted.separation(model) > 0.5
    losses = [row["loss"] for row in model.history]
    assert losses[-1] < losses[0]
    near = [word for word, _ in model.wv.most_similar("fruit0", topn=3)]
    assert all(word.startswith("fruit") for word in near)
    assert (tmp_path / "m" / "loss.png").exists()
    assert model.words_done == 10 * 3600


@pytest.mark.parametrize("model_type", TYPES)
def test_one_thread_is_reproducible_and_resumes_exactly(
    store: Path, tmp_path: Path, model_type: str
) -> None:
    options: dict[str, Any] = {"threads": 1, "epochs": 3, "subsample": 1e-2}
    train(store, tmp_path / "whole", model_type, **options)
    train(store, tmp_path / "again", model_type, **options)
    assert bytes_of(tmp_path / "whole") == bytes_of(tmp_path / "again")

    # Stopped at the second save of the middle of an epoch, over and over, until it is done.
    stops = 0
    while stops < 50:
        saves = 0

        def stop(progress: Progress) -> None:
            nonlocal saves
            saves += progress.event == "save"
            if saves == 3:
                raise KeyboardInterrupt

        try:
            train(
                store, tmp_path / "parts", model_type, **options,
                save_every=7, save_interval=0, callback=stop,
            )  # fmt: skip
            break
        except KeyboardInterrupt:
            stops += 1
    assert 2 < stops < 50
    assert bytes_of(tmp_path / "whole") == bytes_of(tmp_path / "parts")


def test_batches_that_reuse_memory_train_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More row groups than there are batches at once, and a reader that is ahead of training."""
    small = planted.make_store(tmp_path / "store", layout=Layout(row_group_tokens=300))
    assert fastw2v.TokenStore.open(small).num_row_groups > 3 * batches.BATCHES_AT_ONCE
    trained = steps.NegativeSamplingStepper.train

    def slowly(self: Any, *arguments: Any) -> steps.StepResult:
        time.sleep(0.005)
        return trained(self, *arguments)

    monkeypatch.setattr(steps.NegativeSamplingStepper, "train", slowly)
    options: dict[str, Any] = {"threads": 1, "epochs": 2}
    train(small, tmp_path / "reused", "sgram_neg", **options)
    monkeypatch.setattr(batches.BatchSource, "reuse", lambda self, batch: None)
    train(small, tmp_path / "fresh", "sgram_neg", **options)
    assert bytes_of(tmp_path / "reused") == bytes_of(tmp_path / "fresh")


def test_another_seed_gives_another_model(store: Path, tmp_path: Path) -> None:
    train(store, tmp_path / "a", "sgram_neg", threads=1, epochs=1, seed=1)
    train(store, tmp_path / "b", "sgram_neg", threads=1, epochs=1, seed=2)
    assert bytes_of(tmp_path / "a") != bytes_of(tmp_path / "b")


def test_softmax_does_not_depend_on_threads(store: Path, tmp_path: Path) -> None:
    for threads in (1, 2):
        train(store, tmp_path / str(threads), "cbow", threads=threads, epochs=2)
    assert bytes_of(tmp_path / "1") == bytes_of(tmp_path / "2")


def test_a_finished_model_is_left_alone(store: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    train(store, tmp_path / "m", "sgram_neg", epochs=2)
    before = sorted(path.name for path in (tmp_path / "m").rglob("*"))
    model = train(store, tmp_path / "m", "sgram_neg", epochs=2, reporter=Recorder(lines))
    assert sorted(path.name for path in (tmp_path / "m").rglob("*")) == before
    assert model.words_done == 2 * 3600
    assert "`epochs`" in lines[-1]


def test_more_epochs_go_on(store: Path, tmp_path: Path) -> None:
    train(store, tmp_path / "m", "sgram_neg", epochs=2)
    lines: list[str] = []
    model = fastw2v.train(store, tmp_path / "m", epochs=4, reporter=Recorder(lines))
    assert model.words_done == 4 * 3600
    assert model.config["vector_dim"] == SMALL["vector_dim"]
    assert [row["epoch"] for row in model.history] == sorted(row["epoch"] for row in model.history)
    assert any("new learning rate" in line for line in lines)
    names = sorted(path.name for path in (tmp_path / "m" / "checkpoints").iterdir())
    assert names == ["epoch-0002", "epoch-0003", "epoch-0004"]


@pytest.mark.parametrize("max_words", [4000, 7200])  # within an epoch, and all of two
@pytest.mark.parametrize("model_type", TYPES)
def test_max_words_stops_and_can_be_lifted(
    store: Path, tmp_path: Path, model_type: str, max_words: int
) -> None:
    model = train(store, tmp_path / "m", model_type, epochs=3, max_words=max_words, holdout=0)
    assert max_words <= model.words_done < max_words + 64
    assert layout.open_model(tmp_path / "m").state["finished"]
    assert train(store, tmp_path / "m", model_type, epochs=3, max_words=max_words).words_done < 7300
    model = train(store, tmp_path / "m", model_type, epochs=3)
    assert model.words_done == 3 * 3600


def test_other_settings_and_other_vocabulary_are_refused(store: Path, tmp_path: Path) -> None:
    train(store, tmp_path / "m", "sgram_neg", epochs=1)
    saved = bytes_of(tmp_path / "m")
    with pytest.raises(UsageError, match="`window` 7"):
        train(store, tmp_path / "m", "sgram_neg", epochs=2, window=7)
    other = planted.make_store(tmp_path / "other", count=100)
    with pytest.raises(UsageError, match="another vocabulary"):
        train(other, tmp_path / "m", "sgram_neg", epochs=2)
    assert bytes_of(tmp_path / "m") == saved


def test_overwrite_starts_anew(store: Path, tmp_path: Path) -> None:
    train(store, tmp_path / "m", "sgram_neg", epochs=2)
    model = train(store, tmp_path / "m", "cbow", epochs=1, overwrite_model=True)
    assert (model.config["type"], model.words_done) == ("cbow", 3600)
    assert [path.name for path in (tmp_path / "m" / "checkpoints").iterdir()] == ["epoch-0001"]


def test_divergence_stops_and_keeps_the_last_good_save(store: Path, tmp_path: Path) -> None:
    with pytest.raises(DivergenceError, match=r"epoch \d+ at learning rate"):
        train(store, tmp_path / "m", "sgram_neg", alpha=1e6, min_alpha=1e6)
    kept = fastw2v.Model.load(tmp_path / "m")
    assert np.isfinite(kept.input_vectors).all()
    assert np.abs(kept.input_vectors).max() < 1


def test_divergence_suggests_a_rate_that_trains(store: Path, tmp_path: Path) -> None:
    with pytest.raises(DivergenceError, match=r"at learning rate 5: .*`alpha`, such as 0.025"):
        train(store, tmp_path / "m", "sgram_neg", alpha=5.0, epochs=1)


def test_nan_weights_are_noticed() -> None:
    good = np.ones((3000, 4), np.float32)
    bad = good.copy()
    bad[2999, 1] = np.nan
    reporting.check_weights(Weights(good, good), all_rows=True)
    with pytest.raises(DivergenceError, match="output vectors"):
        reporting.check_weights(Weights(good, bad), all_rows=True)


def read_only(matrix: np.ndarray) -> np.ndarray:
    matrix.flags.writeable = False
    return matrix


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((4, 20), np.float32),
        np.zeros((4, 32)),
        np.zeros(32, np.float32),
        np.zeros((4, 32), np.float32, order="F"),
        new_matrix(4, 30)[:, :16],
        np.frombuffer(bytes(4 * 32 * 4 + 1), np.uint8)[1:].view(np.float32).reshape(4, 32),
        read_only(np.zeros((4, 32), np.float32)),
    ],
)
@pytest.mark.parametrize(
    "options", [{"type": "cbow_neg"}, {"type": "cbow_neg", "deterministic": True}, {"type": "cbow"}]
)
def test_steppers_refuse_rows_that_kernels_would_read_past(
    bad: np.ndarray, options: dict[str, Any]
) -> None:
    config = TrainConfig.create(vector_dim=20, **options).with_blocks(0.25, 0.25)
    noise, good = Noise(np.zeros(4, np.uint32), np.zeros(4, np.int32)), new_matrix(4, 20)
    steps.new_stepper(Weights(good, good), noise, config, 1)
    for weights, name in ((Weights(bad, good), "input"), (Weights(good, bad), "output")):
        with pytest.raises(ValueError, match=f"{name}_vectors: expected .* multiple of 16"):
            steps.new_stepper(weights, noise, config, 1)


def test_saves_follow_batches_and_interval(store: Path, tmp_path: Path) -> None:
    def saves(**options: Any) -> int:
        events: list[str] = []
        train(
            store, tmp_path / "m", "sgram_neg", epochs=2, overwrite_model=True,
            callback=lambda progress: events.append(progress.event), **options,
        )  # fmt: skip
        assert events[0] == "save"
        assert events[-1] == "end"
        assert events.count("epoch") == 2
        return events.count("save")

    fixed = saves(checkpoint_epochs=0)  # at the start and at the end
    assert fixed == 2
    assert saves(checkpoint_epochs=1) == 3  # the last epoch's is the one at the end
    # 112.5 batches of 64 in the two epochs; what an epoch leaves over counts for the next save.
    assert saves(checkpoint_epochs=0, save_every=20, save_interval=0) == 2 + 5


def test_checkpoints_are_kept_as_asked(store: Path, tmp_path: Path) -> None:
    train(store, tmp_path / "m", "sgram_neg", epochs=6, checkpoint_epochs=2, keep_checkpoints=2)
    names = sorted(path.name for path in (tmp_path / "m" / "checkpoints").iterdir())
    assert names == ["epoch-0004", "epoch-0006"]
    early = fastw2v.Model.load(tmp_path / "m" / "checkpoints" / "epoch-0004")
    assert early.words_done == 4 * 3600


def test_callback_can_stop(store: Path, tmp_path: Path) -> None:
    seen: list[Progress] = []

    def stop(progress: Progress) -> bool:
        seen.append(progress)
        return len(seen) < 10 or progress.event != "interval"

    model = train(store, tmp_path / "m", "sgram_neg", epochs=1000, callback=stop)
    assert 0 < model.words_done < 1000 * 3600
    assert fastw2v.Model.load(tmp_path / "m").words_done == model.words_done
    assert all(0 <= p.words <= p.total_words == 3_600_000 for p in seen)


@pytest.mark.parametrize("event", ["start", "save", "epoch", "evaluation"])
def test_false_stops_at_any_event_with_a_save(store: Path, tmp_path: Path, event: str) -> None:
    stopped_at: list[int] = []

    def stop(progress: Progress) -> bool:
        if progress.event == event and progress.words >= (3600 if event == "epoch" else 0):
            stopped_at.append(progress.words)
        return not stopped_at

    model = train(store, tmp_path / "m", "sgram_neg", epochs=5, holdout=0.1, callback=stop)
    assert model.words_done <= stopped_at[0] + 64  # a step of a batch at most
    assert fastw2v.Model.load(tmp_path / "m").words_done == model.words_done
    train(store, tmp_path / "m", "sgram_neg", epochs=5, holdout=0.1)
    assert layout.open_model(tmp_path / "m").state["finished"]


def test_what_is_not_measured_yet_is_none(store: Path, tmp_path: Path) -> None:
    seen: list[Progress] = []
    train(store, tmp_path / "m", "sgram_neg", epochs=1, holdout=0.1, callback=seen.append)
    first = seen[0]
    assert (first.words_per_second, first.loss, first.seconds_left) == (None, None, None)
    assert first.holdout_loss is first.holdout_low is first.holdout_high is None
    assert all(value == value for event in seen for value in vars(event).values())  # no NaN
    assert seen[-1].holdout_loss is not None
    assert seen[-1].seconds_left == 0


def test_a_refused_text_leaves_no_store(store: Path, tmp_path: Path) -> None:
    train(store, tmp_path / "m", "sgram_neg", epochs=1)
    before = sorted(path.name for path in tmp_path.rglob("*"))
    text = tmp_path.parent / f"{tmp_path.name}.txt"
    text.write_text("some other text\n" * 20)
    with pytest.raises(UsageError, match="trained with another vocabulary"):
        fastw2v.train(text, tmp_path / "m", epochs=2)
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


def test_missing_text_is_an_error_before_preprocessing_is_announced(tmp_path: Path) -> None:
    recorder = Recorder()
    with pytest.raises(UsageError, match="no such file"):
        fastw2v.train(tmp_path / "missing.txt", tmp_path / "m", reporter=recorder)
    assert recorder.lines == []
    (tmp_path / "text.txt").write_text("a b a b a b\n" * 200)
    fastw2v.train(tmp_path / "text.txt", tmp_path / "m", reporter=recorder, **SMALL, epochs=1)
    assert recorder.lines[0] == f"preprocessing the text into {tmp_path / 'm.store'}"
    assert [event.event for event in recorder.events][-1] == "end"


def test_text_is_preprocessed_once_and_again_when_it_changes(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("\n".join(" ".join(words) for words in planted.sentences(60)))
    lines: list[str] = []
    options: dict[str, Any] = {**SMALL, "epochs": 1, "reporter": Recorder(lines), "min_count": 1}
    fastw2v.train(text, tmp_path / "m", **options)
    place = tmp_path / "m.store"
    stamp = (place / "manifest.json").stat().st_mtime_ns
    fastw2v.train(text, tmp_path / "m", **options)
    assert (place / "manifest.json").stat().st_mtime_ns == stamp
    text.write_text(text.read_text() + "\nfruit0 fruit1 fruit2 novelty\n")
    with pytest.raises(UsageError, match="have changed since"):
        fastw2v.train(text, tmp_path / "m", **options)
    assert (place / "manifest.json").stat().st_mtime_ns == stamp
    fastw2v.train(text, tmp_path / "m", overwrite_model=True, **options)
    assert "novelty" in fastw2v.Model.load(tmp_path / "m").wv
    # Options not given are the defaults again, not those of the store that lies there.
    del options["min_count"]
    fastw2v.train(text, tmp_path / "m", overwrite_model=True, **options)
    assert "novelty" not in fastw2v.Model.load(tmp_path / "m").wv


def test_a_store_of_the_users_beside_the_model_is_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("\n".join(" ".join(words) for words in planted.sentences(60)))
    mine = planted.make_store(tmp_path / "m.store")
    before = (mine / "manifest.json").read_bytes()
    with pytest.raises(UsageError, match="not made for"):
        fastw2v.train(text, tmp_path / "m", **SMALL, epochs=1)
    assert (mine / "manifest.json").read_bytes() == before
    assert not (tmp_path / "m").exists()


def test_an_unfinished_store_is_not_text(tmp_path: Path) -> None:
    store = planted.make_store(tmp_path / "s.store")
    plan = {"format": "fastw2v token store"}
    (store / "unfinished").mkdir()
    (store / "unfinished" / "plan.json").write_text(json.dumps(plan))
    (store / "manifest.json").unlink()
    with pytest.raises(UsageError, match="unfinished token store"):
        fastw2v.train(store, tmp_path / "m", **SMALL)


def test_other_text_with_the_same_vocabulary_is_refused(store: Path, tmp_path: Path) -> None:
    train(store, tmp_path / "m", "sgram_neg", epochs=1)
    fastw2v.preprocess(planted.sentences(seed=7), tmp_path / "other", vocabulary=str(store))
    with pytest.raises(UsageError, match="trained on other text"):
        train(tmp_path / "other", tmp_path / "m", "sgram_neg", epochs=2)


def test_a_checkpoint_is_not_trained_in(store: Path, tmp_path: Path) -> None:
    train(store, tmp_path / "m", "sgram_neg", epochs=1)
    checkpoint = tmp_path / "m" / "checkpoints" / "epoch-0001"
    names = sorted(path.name for path in checkpoint.iterdir())
    with pytest.raises(UsageError, match="a checkpoint, which is never changed"):
        train(store, checkpoint, "sgram_neg", epochs=2)
    assert sorted(path.name for path in checkpoint.iterdir()) == names


def test_the_same_command_goes_on_whatever_it_says(store: Path, tmp_path: Path) -> None:
    """Block sizes are capped by the batch size, and options without effect are no difference."""
    for model_type in ("sgram_neg", "cbow"):
        model = tmp_path / model_type
        options: dict[str, Any] = {"batch_size": 16, "block_size": 64, "pool_size": 3}
        train(store, model, model_type, epochs=2, max_words=3000, **options)
        assert train(store, model, model_type, epochs=2, **options).words_done == 2 * 3600


def test_text_options_on_a_store_are_refused(store: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="`min_count`"):
        train(store, tmp_path / "m", "sgram_neg", min_count=2)
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("subsample", [1e-15, 1e-300])
def test_subsampling_that_leaves_nothing_is_refused(
    store: Path, tmp_path: Path, subsample: float
) -> None:
    with pytest.raises(UsageError, match="leaves no words"):
        train(store, tmp_path / "m", "sgram_neg", subsample=subsample)
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("data", [None, [["a", "b"]], 5, ""])
def test_data_that_is_no_path_is_refused(tmp_path: Path, data: Any) -> None:
    with pytest.raises(UsageError, match="`data` must be paths"):
        fastw2v.train(data, tmp_path / "m")


@pytest.mark.parametrize("lost", ["CURRENT", "generation"])
def test_a_lost_newest_save_is_told(store: Path, tmp_path: Path, lost: str) -> None:
    train(store, tmp_path / "m", "sgram_neg", epochs=2)
    if lost == "CURRENT":
        (tmp_path / "m" / "CURRENT").unlink()
    else:
        shutil.rmtree(layout.generations(tmp_path / "m")[-1])
    lines: list[str] = []
    model = fastw2v.train(store, tmp_path / "m", epochs=3, reporter=Recorder(lines))
    assert any("CURRENT: names no save that is there" in line for line in lines)
    assert model.words_done == 3 * 3600


def test_wrong_options_leave_nothing_behind(store: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        train(store, tmp_path / "m", "sgram_neg", window=4)
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_cannot_fit_is_refused(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "available_memory", lambda: 1000)
    with pytest.raises(ResourceError, match="are available"):
        train(store, tmp_path / "m", "cbow")
    for need, words in (((9_000, 10, 1), "`vector_dim`"), ((10, 9_000, 1), "`batch_size`")):
        with pytest.raises(ResourceError, match=words):
            resources.check_resources(resources.Estimate(*need), tmp_path / "m")
    monkeypatch.undo()
    monkeypatch.setattr(resources, "free_disk", lambda path: 1000)
    with pytest.raises(ResourceError, match="`keep_checkpoints`"):
        train(store, tmp_path / "m", "sgram_neg")
    assert not (tmp_path / "m").exists()


def test_more_threads_than_cores_is_a_warning(store: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    model = train(store, tmp_path / "m", "sgram_neg", threads=500, reporter=Recorder(lines))
    assert any(line.startswith("warning: `threads`: 500") for line in lines)
    assert planted.separation(model) > 0.5


def test_damaged_model_falls_back_to_the_checkpoint(store: Path, tmp_path: Path) -> None:
    train(store, tmp_path / "m", "sgram_neg", epochs=2)
    generation = layout.generations(tmp_path / "m")[-1]
    (generation / "history.jsonl").unlink()
    lines: list[str] = []
    model = fastw2v.train(store, tmp_path / "m", epochs=3, reporter=Recorder(lines))
    assert any("history.jsonl" in line and line.startswith("warning") for line in lines)
    assert model.words_done == 3 * 3600
    for directory in (tmp_path / "m").rglob("input_vectors.npy"):
        directory.unlink()
    with pytest.raises(DataError, match="no good checkpoint"):
        fastw2v.train(store, tmp_path / "m", epochs=4)


def test_history_on_disk_is_plain_json(store: Path, tmp_path: Path) -> None:
    model = train(store, tmp_path / "m", "cbow_neg", epochs=3)
    file = layout.generations(tmp_path / "m")[-1] / "history.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert rows == model.history
    assert {"epoch", "words", "seconds", "words_per_second", "alpha", "loss"} <= set(rows[0])


def test_a_start_says_what_a_killed_save_left(store: Path, tmp_path: Path) -> None:
    model, lines = tmp_path / "m", []
    train(store, model, "sgram_neg", epochs=1, reporter=Recorder(lines))
    assert not any("left unfinished" in line for line in lines)
    (model / ".gen-000009.77.partial").mkdir()
    train(store, model, "sgram_neg", epochs=2, reporter=Recorder(lines))
    told = [line for line in lines if "left unfinished" in line]
    assert len(told) == 1
    assert "gen-000009" in told[0]
    assert not (model / ".gen-000009.77.partial").exists()
