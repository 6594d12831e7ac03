"""The perplexity of a text: exact, whatever the source of the text and the way it is cut."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from recorder import Recorder
from scoring_helper import (
    TOKENS,
    log_noise,
    log_softmax,
    random_weights,
    save_model,
    vocabulary,
)

import fastw2v
from fastw2v.cli.main import fastw2v as cli
from fastw2v.errors import DataError, ResourceError, UsageError
from fastw2v.kernels.blocks import Weights
from fastw2v.store.config import PreprocessConfig
from fastw2v.store.known_sequences import check_source, open_sequences
from fastw2v.store.vocabulary import Vocabulary
from fastw2v.text.config import Layout
from fastw2v.training import perplexity as module
from fastw2v.training.config import NEGATIVE_TYPES, SGRAM_TYPES, TYPES
from fastw2v.training.perplexity import SOFTMAX, UNTHINNED, WITH_NOISE, perplexity

HALF = 2
UNKNOWN = ["Quartz", "ruby"]
DEFAULTS = {
    "source": "text",
    "settings": {
        "lowercase": True, "strip_accents": False, "tokenizer": "words", "errors": "replace",
        "min_sequence_length": 1, "max_sequence_length": 10000, "stopwords": None,
    },
    "setting_files": {},
}  # fmt: skip


def corpus_with(**settings):
    files = settings.pop("setting_files", {})
    return {**DEFAULTS, "settings": {**DEFAULTS["settings"], **settings}, "setting_files": files}


def lines(seed=0, count=60):
    """Lines of 1 to 12 words, some of them unknown, some capital; repeated words are many."""
    generator = np.random.default_rng(seed)
    words = [*TOKENS, *(token.title() for token in TOKENS[:3]), *UNKNOWN]
    lengths = generator.integers(1, 13, count)
    return [" ".join(generator.choice(words, length)) for length in lengths]


def known_sentences(text):
    """The ids of the known words of each line."""
    split = (line.lower().split() for line in text)
    return [[TOKENS.index(word) for word in line if word in TOKENS] for line in split]


def naive_loss(weights, sentences, skip_gram, extra=0.0):
    """(nats summed over centers, centers), one softmax a center in float64."""
    inputs, outputs = (matrix.astype(np.float64) for matrix in weights)
    total, centers = 0.0, 0
    for sentence in sentences:
        for pos, center_id in enumerate(sentence):
            context = sentence[max(0, pos - HALF) : pos] + sentence[pos + 1 : pos + 1 + HALF]
            if not context:
                continue
            hidden = inputs[center_id] if skip_gram else inputs[context].mean(axis=0)
            log_p = log_softmax(outputs @ hidden + extra)
            total -= log_p[context].mean() if skip_gram else log_p[center_id]
            centers += 1
    return total, centers


def write(path: Path, text) -> Path:
    path.write_text("\n".join(text), encoding="utf-8")  # the last line is not ended
    return path


@pytest.fixture
def text(tmp_path):
    return write(tmp_path / "text.txt", lines())


def log_kept(subsample):
    """Of word2vec.c's subsampling, log of the chance that an occurrence stays."""
    counts = vocabulary().counts
    share = subsample * counts.sum() / counts
    return np.log(np.minimum(1, np.sqrt(share) + share))


@pytest.mark.parametrize("subsample", [0.0, 0.02])
@pytest.mark.parametrize("model_type", TYPES)
def test_it_is_that_of_a_softmax_a_center(tmp_path, text, model_type, subsample):
    # Trained with dynamic windows; scored with whole ones.
    model = save_model(tmp_path / "m", model_type, random_weights(), DEFAULTS, subsample=subsample)
    result = perplexity(model, text)
    sentences = known_sentences(lines())
    extra = {SOFTMAX: 0.0}
    if model_type in NEGATIVE_TYPES:
        extra[WITH_NOISE] = log_noise()
        if subsample:
            extra[UNTHINNED] = log_noise() - log_kept(subsample)
            assert np.ptp(log_kept(subsample)) > 1
    order = [name for name in (WITH_NOISE, UNTHINNED, SOFTMAX) if name in extra]
    assert [reading.probability for reading in result.readings] == order
    for reading in result.readings:
        total, centers = naive_loss(
            random_weights(), sentences, model_type in SGRAM_TYPES, extra[reading.probability]
        )
        assert result.centers == centers
        assert reading.loss == pytest.approx(total / centers, rel=2e-6)
        assert reading.perplexity == pytest.approx(np.exp(total / centers), rel=1e-5)
    assert (result.loss, result.perplexity) == (
        result.readings[0].loss, result.readings[0].perplexity,
    )  # fmt: skip


def test_unknown_words_are_counted_and_dropped_before_windows(tmp_path):
    model = save_model(tmp_path / "m", "sgram", random_weights(), DEFAULTS)
    text = write(tmp_path / "a.txt", ["pear quartz ruby iron ruby fig", "ruby", "zinc"])
    result = perplexity(model, text)
    assert (result.words, result.known, result.centers) == (8, 4, 3)
    assert result.coverage == 0.5
    total, _ = naive_loss(random_weights(), [[0, 1, 2]], True)
    assert result.loss == pytest.approx(total / 3, rel=2e-6)


@pytest.mark.parametrize("model_type", TYPES)
def test_a_model_that_knows_nothing_is_uniform_or_the_noise(tmp_path, text, model_type):
    weights = random_weights()
    weights.output_vectors[:] = 0
    model = save_model(tmp_path / "m", model_type, weights, DEFAULTS)
    by_name = {r.probability: r for r in perplexity(model, text).readings}
    assert by_name[SOFTMAX].perplexity == pytest.approx(len(TOKENS), rel=1e-6)
    if model_type == "cbow_neg":  # of its targets, the cross-entropy with p_noise
        centers = [c for s in known_sentences(lines()) if len(s) > 1 for c in s]
        assert by_name[WITH_NOISE].loss == pytest.approx(-log_noise()[centers].mean(), rel=1e-6)


def test_large_scores_do_not_overflow(tmp_path, text):
    weights = random_weights(scale=40)
    model = save_model(tmp_path / "m", "cbow", weights, DEFAULTS)
    total, centers = naive_loss(weights, known_sentences(lines()), False)
    result = perplexity(model, text)
    assert result.loss == pytest.approx(total / centers, rel=1e-5)
    assert result.loss > 1000
    assert result.perplexity == np.inf


@pytest.mark.parametrize("model_type", ["sgram_neg", "cbow"])
def test_a_store_with_its_own_ids_gives_what_its_text_gives(tmp_path, text, model_type):
    model = save_model(tmp_path / "m", model_type, random_weights(), DEFAULTS)
    fastw2v.preprocess(text, tmp_path / "s", min_count=1)
    tokens = fastw2v.TokenStore.open(tmp_path / "s").vocabulary.tokens
    assert {TOKENS.index(t) - row for row, t in enumerate(tokens) if t in TOKENS} != {0}
    assert perplexity(model, tmp_path / "s") == perplexity(model, text)
    fastw2v.preprocess(text, tmp_path / "same", vocabulary=model)
    assert perplexity(model, tmp_path / "same") == perplexity(model, text)


def test_what_a_store_has_pruned_is_counted_as_unknown(tmp_path, text):
    model = save_model(tmp_path / "m", "cbow", random_weights(), DEFAULTS)
    report = fastw2v.preprocess(text, tmp_path / "s", max_vocab=4, min_count=1)
    result = perplexity(model, tmp_path / "s")
    assert result.words == report.tokens_read == perplexity(model, text).words
    assert 0 < result.known <= report.tokens_kept < result.words


def test_a_store_that_leaves_out_words_of_the_model_is_told(tmp_path, text):
    model = save_model(tmp_path / "m", "cbow", random_weights(), DEFAULTS)
    (tmp_path / "few.txt").write_text("pear 5\nruby 4\n")
    (tmp_path / "more.txt").write_text("".join(f"{token} 2\n" for token in ["ruby", *TOKENS]))
    made = {  # the last two have all words that the model knows
        "few": {"max_vocab": 4, "min_count": 1}, "rare": {"min_count": 40},
        "foreign": {"vocabulary": tmp_path / "few.txt"},
        "same": {"vocabulary": model}, "more": {"vocabulary": tmp_path / "more.txt"},
    }  # fmt: skip
    for name, options in made.items():
        report = fastw2v.preprocess(text, tmp_path / name, **options)
        lost = report.tokens_read - report.tokens_kept
        assert lost > 0
        said = []
        result = perplexity(model, tmp_path / name, reporter=Recorder(said))
        if name in ("same", "more"):
            assert said == []
            assert result == perplexity(model, text)
            continue
        assert len(said) == 1
        assert said[0].startswith(f"warning: {tmp_path / name}: ")
        assert f" {lost:,} of {report.tokens_read:,} words" in said[0]
        assert f"preprocess the text with `vocabulary` {model}" in said[0]
        assert "\n" not in said[0]
    run("preprocess", text, "--vocabulary", model, "--output", tmp_path / "as-told", "--quiet")
    told = run("evaluate", model, "--text", tmp_path / "as-told").stderr
    assert "warning" not in told
    assert "warning: " in run("evaluate", model, "--text", tmp_path / "few").stderr


def test_compressed_text_and_directories_are_read_and_nothing_is_written(tmp_path, text):
    model = save_model(tmp_path / "m", "cbow", random_weights(), DEFAULTS)
    (tmp_path / "shards").mkdir()
    half = len(lines()) // 2
    (tmp_path / "shards" / "a.txt.gz").write_bytes(
        gzip.compress("\n".join(lines()[:half]).encode())
    )
    write(tmp_path / "shards" / "b.txt", lines()[half:])
    before = sorted(tmp_path.rglob("*"))
    whole = perplexity(model, text)
    assert perplexity(model, tmp_path / "shards") == whole
    assert perplexity(model, str(tmp_path / "shards" / "*")) == whole
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("model_type", TYPES)
def test_how_the_text_is_cut_and_the_threads_make_no_difference(
    tmp_path, text, model_type, monkeypatch
):
    model = save_model(tmp_path / "m", model_type, random_weights(), DEFAULTS)
    fastw2v.preprocess(text, tmp_path / "s", vocabulary=model)
    whole = perplexity(model, tmp_path / "s", threads=2)
    monkeypatch.setattr(module, "STREAM_TOKENS", 50)
    monkeypatch.setattr(module, "BATCH_CENTERS", 7)
    for source, threads in ((tmp_path / "s", 1), (text, 2)):
        cut = perplexity(model, source, threads=threads)
        assert (cut.words, cut.known, cut.centers) == (whole.words, whole.known, whole.centers)
        losses = [reading.loss for reading in cut.readings]
        assert losses == pytest.approx([reading.loss for reading in whole.readings], rel=1e-6)


def test_pieces_of_a_text_end_with_sequences(monkeypatch):
    monkeypatch.setattr(module, "STREAM_TOKENS", 4)
    ids = np.arange(9, dtype=np.int32)
    pieces = [module.Piece(ids[:3], np.array([1, 2]), 1), module.Piece(ids[:0], ids[:0], 2),
              module.Piece(ids[3:5], np.array([2]), 3), module.Piece(ids[5:], np.array([4]), 4),
              module.Piece(ids[:1], np.array([1]), 5)]  # fmt: skip
    gathered = list(module._gathered(iter(pieces)))
    assert [(p.ids.tolist(), p.lengths.tolist(), p.done) for p in gathered] == [
        ([0, 1, 2, 3, 4], [1, 2, 2], 3), ([5, 6, 7, 8], [4], 4), ([0], [1], 5),
    ]  # fmt: skip


def test_progress_goes_to_the_end(tmp_path, text, monkeypatch):
    monkeypatch.setattr(module, "BATCH_CENTERS", 7)
    monkeypatch.setattr(module, "STREAM_TOKENS", 50)
    model = save_model(tmp_path / "m", "cbow_neg", random_weights(), DEFAULTS)
    fastw2v.preprocess(text, tmp_path / "s", vocabulary=model, layout=Layout(row_group_tokens=60))
    known = perplexity(model, text).known
    for source, end in ((text, text.stat().st_size), (tmp_path / "s", known)):
        heard = Recorder()
        perplexity(model, source, reporter=heard)
        told = heard.phases
        done = [figures[1] for figures in told]
        assert done == sorted(done)
        assert len(set(done)) > 10
        assert done[-1] == told[-1][2] == end


# --- how text is tokenized ---


def test_text_is_tokenized_as_the_corpus_of_the_model_was(tmp_path):
    corpus = ["Pear|Tree|iron fig ,"] * 3 + ["the Iron"]
    text = write(tmp_path / "corpus.txt", corpus)
    model = tmp_path / "m"
    options = {"type": "cbow", "vector_dim": 8, "batch_size": 16, "epochs": 1, "threads": 1}
    fastw2v.train(
        text, model, **options, min_count=1, tokenizer="whitespace", lowercase=False,
        stopwords="english", min_sequence_length=2,
    )  # fmt: skip
    said = []
    result = perplexity(model, text, reporter=Recorder(said))
    assert said == []
    assert (result.words, result.known, result.centers) == (9, 9, 9)  # not "the", not "Iron"
    assert perplexity(model, f"{model}.store") == result
    upper = write(tmp_path / "upper.txt", ["IRON PEAR|TREE|IRON fig ,"])
    assert perplexity(model, upper).known == 2


def test_a_model_that_does_not_say_gets_the_defaults_and_a_warning(tmp_path, text):
    told = {}
    for name, corpus in (("known", DEFAULTS), ("old", None), ("tokens", {"source": "tokens"})):
        said = told[name] = []
        model = save_model(tmp_path / name, "sgram", random_weights(), corpus)
        result = perplexity(model, text, reporter=Recorder(said))
        assert result == perplexity(tmp_path / "known", text)
    assert told["known"] == []
    for name in ("old", "tokens"):
        assert len(told[name]) == 1
        assert told[name][0].startswith("warning: ")
        assert "defaults" in told[name][0]
    fastw2v.preprocess(text, tmp_path / "s", min_count=1)
    said = []
    perplexity(tmp_path / "old", tmp_path / "s", reporter=Recorder(said))
    assert said == []  # a store is tokenized already


def test_a_function_as_tokenizer_is_run_when_it_is_named_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dot_cut.py").write_text("def f(line):\n    return line.split('.')\n")
    text = write(tmp_path / "text.txt", ["Pear.Fig.no one", "fig.pear"])
    model = save_model(
        tmp_path / "m", "sgram", random_weights(), corpus_with(tokenizer="dot_cut:f")
    )
    with pytest.raises(UsageError, match="add `tokenizer` dot_cut:f"):
        perplexity(model, text)
    said = []
    result = perplexity(model, text, tokenizer="dot_cut:f", reporter=Recorder(said))
    assert (result.words, result.known) == (5, 4)
    output = run("evaluate", model, "--text", text, "--tokenizer", "dot_cut:f").stdout
    assert f"{result.perplexity:.2f}" in output
    assert said == []
    perplexity(model, text, tokenizer="words", reporter=Recorder(said))
    assert said == [f"warning: {model}: its own text was tokenized by dot_cut:f, not by words"]


def test_a_tokenizer_is_not_for_stores(tmp_path, text):
    model = save_model(tmp_path / "m", "sgram", random_weights(), DEFAULTS)
    store = tmp_path / "s"
    fastw2v.preprocess(text, store, min_count=1)
    with pytest.raises(UsageError, match="is a token store; leave it out"):
        perplexity(model, store, tokenizer="words")
    told = run("evaluate", model, "--text", store, "--tokenizer", "words", code=2).stderr
    assert "--tokenizer is for text" in told
    both = run("evaluate", model, "--text", store, "--text", text, "--tokenizer", "words").stdout
    assert both.count("softmax") == 2


def test_lines_that_nobody_takes_are_logged(tmp_path, text, caplog):
    perplexity(save_model(tmp_path / "old", "sgram", random_weights(), None), text)
    assert [(r.name, r.levelname) for r in caplog.records] == [("fastw2v", "WARNING")]
    with caplog.at_level("INFO", "fastw2v"):
        fastw2v.train(text, tmp_path / "new", type="cbow", vector_dim=8, epochs=1, min_count=1)
    assert {(r.name, r.levelname) for r in caplog.records[1:]} == {("fastw2v", "INFO")}
    lines = [record.getMessage() for record in caplog.records[1:]]
    assert any(re.match(r"epoch 1/1, loss \d\.\d+, .* words/s, ", line) for line in lines)
    assert re.match(r"end after .* words in .* s, loss \d\.\d+, ", lines[-1])


def test_a_stop_word_stays_one_also_where_the_vocabulary_has_it(tmp_path):
    text = write(tmp_path / "a.txt", ["the pear the", "iron the fig"])
    config = PreprocessConfig(stopwords="english")
    source = open_sequences(text, Vocabulary(["fig", "the", "pear"], [3, 2, 1]), lambda: config)
    *_, piece = module._gathered(source.pieces())
    assert (piece.ids.tolist(), piece.lengths.tolist(), source.words) == ([2, 0], [1, 1], 3)
    assert piece.done == source.total == text.stat().st_size


def test_a_stop_list_that_is_not_kept_is_told(tmp_path, text):
    corpus = corpus_with(stopwords="stop.txt", setting_files={"stopwords": "0" * 64})
    model = save_model(tmp_path / "m", "sgram", random_weights(), corpus)
    said = []
    perplexity(model, text, reporter=Recorder(said))
    assert len(said) == 1
    assert "stop.txt" in said[0]


def test_bytes_that_are_not_utf8_separate_words_also_after_a_strict_corpus(tmp_path):
    model = save_model(tmp_path / "m", "sgram", random_weights(), corpus_with(errors="strict"))
    (tmp_path / "a.txt").write_bytes(b"pear\xffiron\n")
    assert perplexity(model, tmp_path / "a.txt").known == 2


# --- what cannot be ---


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "an empty file"),
        ("...\n", "no word in it"),
        ("ruby quartz\n", "none of its 2 words is in the model's vocabulary"),
        ("pear\nruby\niron\n", "no known word has another in its window"),
    ],
)
def test_a_text_with_nothing_to_score_is_refused(tmp_path, content, message):
    model = save_model(tmp_path / "m", "sgram", random_weights(), DEFAULTS)
    (tmp_path / "a.txt").write_text(content)
    with pytest.raises(UsageError, match=message):
        perplexity(model, tmp_path / "a.txt")


def test_other_misuse_is_refused(tmp_path, text):
    model = save_model(tmp_path / "m", "sgram", random_weights(), DEFAULTS)
    (tmp_path / "v.bin").write_bytes(b"1 1\n")
    with pytest.raises(UsageError, match=r"v\.bin: a file of vectors has one matrix"):
        perplexity(tmp_path / "v.bin", text)
    with pytest.raises(UsageError, match="no such model"):
        perplexity(tmp_path / "none", text)
    with pytest.raises(UsageError, match="no such file"):
        perplexity(model, tmp_path / "none")
    with pytest.raises(UsageError, match="is a model, not text"):
        perplexity(model, model)
    with pytest.raises(UsageError, match="`threads` must be at least 1; got 0"):
        perplexity(model, text, threads=0)
    broken = Weights(*(matrix * np.float32(np.nan) for matrix in random_weights()))
    with pytest.raises(DataError, match="not finite"):
        perplexity(save_model(tmp_path / "nan", "sgram", broken, DEFAULTS), text)


@pytest.mark.parametrize("value", [["a.txt"], "", 5, None, b"a.txt"], ids=repr)
def test_what_is_no_path_is_refused_in_one_line(tmp_path, text, monkeypatch, value):
    model = save_model(tmp_path / "m", "sgram", random_weights(), DEFAULTS)
    fastw2v.preprocess(text, tmp_path / "s", min_count=1)
    for place in ("s", "m"):  # which "" as a path would name
        monkeypatch.chdir(tmp_path / place)
        for arguments, name in (((model, value), "text"), ((value, text), "model")):
            with pytest.raises(UsageError, match=f"^{name}: .* is not a path; .*[^\n]$"):
                perplexity(*arguments)


@pytest.mark.parametrize("threads", [1.5, "2", [1]], ids=repr)
def test_threads_are_a_whole_number(tmp_path, text, threads):
    model = save_model(tmp_path / "m", "sgram", random_weights(), DEFAULTS)
    with pytest.raises(UsageError, match="`threads` must be a whole number"):
        perplexity(model, text, threads=threads)


def test_a_name_that_the_system_refuses_is_misuse(tmp_path):
    model = save_model(tmp_path / "m", "sgram", random_weights(), DEFAULTS)
    with pytest.raises(UsageError, match="cannot be read"):
        perplexity(model, "x" * 5000)


def test_memory_that_is_not_there_is_told_before_it_is_taken(tmp_path, text, monkeypatch):
    model = save_model(tmp_path / "m", "sgram_neg", random_weights(), DEFAULTS)
    loaded = module.Model.load(model, memory_map=True)
    need = module._memory_need(loaded, 2)
    scorer = module._Scorer(loaded)
    assert need.matrices == sum(matrix.nbytes for matrix in scorer._weights)
    assert need.buffers > sum(array.nbytes for array in scorer._workspace.slabs[:4])
    for available, fits in ((sum(need), True), (None, True), (sum(need) - 1, False)):
        monkeypatch.setattr(module, "available_memory", lambda bytes_=available: bytes_)
        if fits:
            assert perplexity(model, text, threads=2).known
            continue
        monkeypatch.setattr(module, "new_matrix", pytest.fail)
        message = r"needs .* of memory \(.* for the two matrices\) and .* are available; .*[^\n]$"
        with pytest.raises(ResourceError, match=message):
            perplexity(model, text, threads=2)


# --- the command ---


def run(*arguments, code=0):
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


def test_evaluate_prints_every_reading(tmp_path, text, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_model(tmp_path / "m", "sgram_neg", random_weights(), DEFAULTS)
    (tmp_path / "pairs.tsv").write_text("pear\tiron\t8\nfig\tzinc\t1\ntin\tgold\t3\n")
    wanted = perplexity("m", text.name)
    output = run("evaluate", "m", "--text", text.name, "--text", text.name, "--threads", 1).stdout
    header, *rows = [line.split("\t") for line in output.splitlines()]
    assert header == ["text", "words", "known", "centers", "p is", "loss", "perplexity"]
    counts = [str(n) for n in (wanted.words, wanted.known, wanted.centers)]
    assert rows[:3] == [
        ["text.txt", *counts, r.probability, f"{r.loss:.4f}", f"{r.perplexity:.2f}"]
        for r in wanted.readings
    ]
    assert rows[3:] == rows[:3]
    both = run("evaluate", "m", "--pairs", "pairs.tsv", "--text", text.name).stdout
    assert both.splitlines()[0].startswith("test\tpart")
    assert "\t".join(rows[0]) in both
    softmax = save_model(tmp_path / "soft", "sgram", random_weights(), None)
    result = run("evaluate", softmax, "--text", text.name)
    assert len(result.stdout.splitlines()) == 2
    assert "warning: " in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("v.bin", "--text", "text.txt"), "a file of vectors has one matrix"),
        (("m", "--text", "none.txt"), "none.txt: no such file"),
        (("m", "--text", "text.txt", "--vectors", "mean"), "--text uses both matrices"),
        (("m", "--threads", "1"), "give --pairs FILE, --analogies FILE or --text FILE"),
        (("m", "--pairs", "none.tsv", "--threads", "1"), "--threads is for --text"),
        (("m", "--pairs", "none.tsv", "--tokenizer", "words"), "--tokenizer is for --text"),
        (("m", "--text", "text.txt", "--tokenizer", "spacy"), "'spacy' is not one of"),
        (("f", "--text", "text.txt"), "add --tokenizer evil_cut:f (tokenizer= in Python)"),
    ],
)
def test_misuse_of_evaluate_is_one_line(tmp_path, text, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    save_model(tmp_path / "m", "sgram_neg", random_weights(), DEFAULTS)
    (tmp_path / "v.bin").write_bytes(b"1 1\n")
    (tmp_path / "evil_cut.py").write_text("raise AssertionError('imported')\n")
    save_model(tmp_path / "f", "sgram", random_weights(), corpus_with(tokenizer="evil_cut:f"))
    stderr = run("evaluate", *arguments, code=2).stderr
    assert message in stderr
    assert len(stderr.strip().splitlines()) == 1


def test_a_text_that_cannot_be_opened_is_told_before_any_is_scored(tmp_path, text, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_model(tmp_path / "m", "sgram", random_weights(), DEFAULTS)
    monkeypatch.setattr(module, "perplexity", pytest.fail)
    fastw2v.preprocess(text, tmp_path / "s", min_count=1)
    (tmp_path / "s" / "vocabulary.parquet").write_bytes(b"PAR1")
    for wrong, message, code in (("typo.txt", "no such file", 2), ("s", "vocabulary.parquet", 1)):
        result = run("evaluate", "m", "--text", text.name, "--text", wrong, code=code)
        assert message in result.stderr
        assert result.stdout == ""


def test_opening_is_checked_as_it_is_done(tmp_path, text):
    fastw2v.preprocess(text, tmp_path / "s", min_count=1)
    for source in (text, str(text), tmp_path / "s", str(tmp_path / "*.txt")):
        check_source(source)
    (tmp_path / "empty").mkdir()
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "manifest.json").write_text("{}")
    for source in ("none", "empty", "foreign"):
        errors = []
        for opened in (
            check_source, lambda s: open_sequences(s, Vocabulary(["a"], [1]), PreprocessConfig)
        ):  # fmt: skip
            with pytest.raises((UsageError, DataError)) as error:
                opened(tmp_path / source)
            errors.append((error.type, str(error.value)))
        assert errors[0] == errors[1]


@pytest.mark.parametrize("stop", ["nothing to score", "Ctrl-C"])
def test_what_is_finished_is_printed_when_a_later_text_fails(tmp_path, text, monkeypatch, stop):
    monkeypatch.chdir(tmp_path)
    save_model(tmp_path / "m", "sgram_neg", random_weights(), DEFAULTS)
    write(tmp_path / "later.txt", ["ruby quartz"])
    alone = run("evaluate", "m", "--text", text.name).stdout
    if stop == "Ctrl-C":

        def interrupted(model, source, **options):
            if source == "later.txt":
                raise KeyboardInterrupt
            return perplexity(model, source, **options)

        monkeypatch.setattr(module, "perplexity", interrupted)
    code = {"Ctrl-C": 130}.get(stop, 2)
    texts = [part for name in (text.name, text.name, "later.txt") for part in ("--text", name)]
    rows = run("evaluate", "m", *texts, code=code).stdout.splitlines()
    assert rows == alone.splitlines() + alone.splitlines()[1:]
