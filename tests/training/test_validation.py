"""Which sequences are held out, and the loss on them against a float64 twin."""

from __future__ import annotations

from types import SimpleNamespace

import numba
import numpy as np
import pytest
import reference

from fastw2v.errors import UsageError
from fastw2v.kernels.validation import Sequences
from fastw2v.training import validation as holdout
from fastw2v.training.validation import Holdout

V = 40
HASH_KEY = 0x6A09E667F3BCC909


def store_of(groups: list[list[list[int]]]) -> SimpleNamespace:
    """What `Holdout.of` asks of a token store, of these row groups of sequences."""

    def read_row_group(group):
        lengths = [len(sequence) for sequence in groups[group]]
        ids = np.array([word for sequence in groups[group] for word in sequence], np.int32)
        return ids, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)

    return SimpleNamespace(
        num_row_groups=len(groups),
        num_sentences=sum(map(len, groups)),
        read_row_group=read_row_group,
        vocabulary=SimpleNamespace(counts=np.arange(V, 0, -1) ** 2),
    )


def corpus(sentences: int = 3000, seed: int = 1) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [rng.integers(V, size=rng.integers(1, 13)).tolist() for _ in range(sentences)]


def sequences_of(held: Holdout) -> list[list[int]]:
    ids, offsets, _ = held.sequences
    return [part.tolist() for part in np.split(ids, offsets[1:-1])]


def hash_of(sequence: list[int]) -> int:
    state = HASH_KEY
    for word_id in sequence:
        state = reference.random_bits(state, word_id)
    return reference.derive_key(state, len(sequence))


def test_hashes_are_of_ids_order_and_length():
    sequences = [[3, 1, 2], [3, 1, 2, 0], [1, 3, 2], [3, 1, 2], [0], [0, 0], []]
    ids, offsets = store_of([sequences]).read_row_group(0)
    hashes = holdout.hashes_of(ids, offsets)
    assert hashes.tolist() == [hash_of(sequence) for sequence in sequences]
    assert len(set(hashes.tolist())) == len(sequences) - 1  # the first and the fourth are equal


def test_the_share_is_about_that_of_the_sequences():
    held = Holdout.of(store_of([corpus(20_000)]), 0.1)
    assert abs(held.num_sequences - 2000) < 6 * np.sqrt(20_000 * 0.1 * 0.9)
    more = Holdout.of(store_of([corpus(20_000)]), 0.2)
    kept = set(held.sequences.hashes.tolist())
    assert kept < set(more.sequences.hashes.tolist())


@pytest.mark.parametrize("max_tokens", [10**9, 400, 30])
def test_the_choice_depends_on_the_sequences_alone(max_tokens):
    sentences = corpus()
    # The first comes again several times: equal sequences must go together.
    sentences += [min(sentences, key=hash_of)] * 2
    order = np.random.default_rng(2).permutation(len(sentences))
    shuffled = [sentences[place] for place in order]
    one_group = store_of([sentences])
    parts = store_of([shuffled[:100], shuffled[100:101], [], shuffled[101:2500], shuffled[2500:]])
    first, second = (Holdout.of(store, 0.1, max_tokens) for store in (one_group, parts))
    assert first.limit == second.limit
    for one, other in zip(first.sequences, second.sequences, strict=True):
        assert np.array_equal(one, other)
    assert sequences_of(first) == sequences_of(second)


def test_the_cap_keeps_the_lowest_hashes():
    sentences = corpus()
    lowest = sorted(sentences, key=hash_of)
    for cap in (100, 333, 1000):
        held = Holdout.of(store_of([sentences[:999], sentences[999:]]), 0.5, cap)
        found = sequences_of(held)
        assert found == lowest[: len(found)]
        assert cap - 24 < held.num_tokens <= cap  # the next one, and its like, would not fit
        exact = Holdout.of(store_of([sentences]), 0.5, held.num_tokens)  # they fit to the token
        assert exact.limit <= held.limit
        assert sequences_of(exact) == found
        ids, offsets = store_of([sentences]).read_row_group(0)
        out = held.is_held_out(ids, offsets)
        assert sorted(map(hash_of, found)) == sorted(
            hash_of(sentence) for sentence, is_out in zip(sentences, out, strict=True) if is_out
        )


def test_nothing_held_out_is_an_error():
    with pytest.raises(UsageError, match="selects no sequence"):
        Holdout.of(store_of([corpus(5)]), 1e-6)
    for share in (0.0, 1.0, -0.1, float("nan")):
        with pytest.raises(UsageError, match="must be a share"):
            Holdout.of(store_of([corpus(5)]), share)


def draws_of(noise, key: int, first: int) -> list[int]:
    words = []
    for number in range(first, first + 5):
        bits = reference.random_bits(key, number)
        column = ((bits >> 32) * V) >> 32
        kept = (bits & 0xFFFFFFFF) < noise.thresholds[column]
        words.append(column if kept else int(noise.aliases[column]))
    return words


def twin(held: Holdout, inputs, outputs, skip_gram: bool):
    """float64: (loss, positives) of each sequence."""
    losses, positives = [], []
    for sequence in sequences_of(held):
        key = reference.derive_key(hash_of(sequence), 1 if skip_gram else 2)
        loss, found = 0.0, 0
        for place, center_id in enumerate(sequence):
            near = [p for p in range(len(sequence)) if p != place and abs(p - place) <= 5]
            if not near:
                continue
            if skip_gram:
                jobs = [(inputs[center_id], sequence[p], place) for p in near]
            else:
                h = np.mean([inputs[sequence[p]] for p in near], axis=0)
                jobs = [(h, center_id, place)]
            for h, positive_id, number in jobs:
                loss += reference.softplus(-(h @ outputs[positive_id]))
                for word_id in draws_of(held.noise, key, number * 5):
                    if word_id != positive_id:
                        loss += reference.softplus(h @ outputs[word_id])
                found += 1
        losses.append(loss)
        positives.append(found)
    return np.array(losses), np.array(positives)


@pytest.mark.parametrize("skip_gram", [True, False])
@pytest.mark.parametrize("dim", [1, 13, 16])
def test_the_loss_is_the_twins(skip_gram, dim):
    rng = np.random.default_rng(3)
    held = Holdout.of(store_of([corpus(400)]), 0.15)
    inputs, outputs = (rng.normal(size=(V, dim)).astype(np.float32) for _ in range(2))
    found = held.evaluate(inputs, outputs, skip_gram=skip_gram)
    losses, positives = twin(held, inputs.astype(float), outputs.astype(float), skip_gram)
    assert np.array_equal(found.positives, positives)
    assert 0 in positives  # a sequence of one word is among them
    np.testing.assert_allclose(found.losses, losses, rtol=1e-5, atol=1e-5)
    assert found.loss == pytest.approx(losses.sum() / positives.sum(), rel=1e-6)
    assert found.low < found.loss < found.high


def test_untrained_outputs_cost_ln_2_a_target():
    held = Holdout.of(store_of([corpus(400)]), 0.2)
    rng = np.random.default_rng(4)
    inputs, zeros = rng.normal(size=(V, 8)).astype(np.float32), np.zeros((V, 8), np.float32)
    loss = held.evaluate(inputs, zeros, skip_gram=True).loss
    assert 5 * np.log(2) < loss < 6 * np.log(2)  # a few draws equal their positive


def test_any_layout_of_the_matrices_and_any_threads_give_the_same_loss():
    held = Holdout.of(store_of([corpus(400)]), 0.2)
    rng = np.random.default_rng(5)
    padded = [rng.normal(size=(V, 16)).astype(np.float32) for _ in range(2)]
    plain = [matrix[:, :9].copy() for matrix in padded]
    expected = held.evaluate(*plain, skip_gram=True)
    threads = numba.get_num_threads()
    try:
        for number in {1, threads}:
            numba.set_num_threads(number)
            for matrices in (
                [matrix[:, :9] for matrix in padded],
                [np.asfortranarray(matrix) for matrix in plain],
                [matrix.astype(np.float64) for matrix in plain],
            ):
                again = held.evaluate(*matrices, skip_gram=True)
                assert np.array_equal(again.losses, expected.losses)
                assert again[:3] == expected[:3]
    finally:
        numba.set_num_threads(threads)


def test_matrices_of_another_vocabulary_are_refused():
    held = Holdout.of(store_of([corpus(400)]), 0.2)
    good, bad = np.zeros((V, 4), np.float32), np.zeros((V - 1, 4), np.float32)
    for matrices in ((good, bad), (bad, bad), (good, np.zeros((V, 5), np.float32))):
        with pytest.raises(UsageError, match="held-out loss"):
            held.evaluate(*matrices, skip_gram=True)


def test_intervals_are_those_of_the_bootstrap():
    rng = np.random.default_rng(6)
    positives = rng.integers(1, 30, size=500)
    losses = positives * 2.0 + rng.normal(size=500) * np.sqrt(positives)
    ratio, low, high = holdout.ratio_interval(losses, positives, 4000)
    assert ratio == pytest.approx(losses.sum() / positives.sum(), rel=1e-12)
    weights = rng.multinomial(500, np.full(500, 1 / 500), size=4000)
    expected = np.percentile((weights @ losses) / (weights @ positives), [2.5, 97.5])
    np.testing.assert_allclose([low, high], expected, atol=0.08 * (high - low))
    assert np.isnan(holdout.ratio_interval(np.zeros(3), np.zeros(3, np.int64))).all()


def test_a_real_store_can_be_split(tmp_path):
    import planted

    store = planted.open_store(tmp_path / "store", count=500, length=7)
    held = Holdout.of(store, 0.1)
    out = [held.is_held_out(*store.read_row_group(g)) for g in range(store.num_row_groups)]
    assert sum(map(np.sum, out)) == held.num_sequences
    assert held.describe()["tokens"] == 7 * held.num_sequences
    assert isinstance(held.sequences, Sequences)
