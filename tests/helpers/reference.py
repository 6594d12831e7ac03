"""Slow float64 twins of the kernels, from the formulae, one center and one context at a time.

Each has its production function's name. They take the draws as an argument, change nothing, and
return an `Update`: losses by center, and what is to be added to each matrix, with what is needed to
say how far a float32 computation may be from it.

Loss of one center (Mikolov et al. 2013, eq. 4), h its hidden vector, c output vectors:
−log σ(c_pos·h) − Σ weight · log σ(−c_neg·h).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

MASK_64 = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15


def sigmoid(x):
    return np.exp(-np.logaddexp(0.0, -x))


def softplus(x):
    """log(1 + exp(x)) = −log σ(−x)."""
    return np.logaddexp(0.0, x)


class Change:
    """What is added to a matrix: the sum, the sum of the terms' absolute values, terms a row."""

    def __init__(self, matrix):
        self.total = np.zeros(matrix.shape)
        self.magnitude = np.zeros(matrix.shape)
        self.terms = np.zeros(len(matrix), int)

    def add(self, row, vector, magnitude=None):
        self.total[row] += vector
        self.magnitude[row] += np.abs(vector) if magnitude is None else magnitude
        self.terms[row] += 1


class Update(NamedTuple):
    losses: np.ndarray
    positives: int
    input: Change
    output: Change

    @property
    def loss(self):
        return self.losses.sum()


def contexts_of(stream, pos):
    """Positions of the context words of the center at `pos`: near it, in its sentence."""
    return [
        other
        for other in range(len(stream.token_ids))
        if other != pos
        and abs(other - pos) <= stream.radii[pos]
        and stream.sequence_starts[other] == stream.sequence_starts[pos]
    ]


def _float64(weights):
    return weights.input_vectors.astype(float), weights.output_vectors.astype(float)


def sgram_neg_update(weights, stream, first, count, settings, alpha, pool_ids):
    """Each pool word stands, with weight K/N, against each positive of a center, and is dropped
    where it equals that positive (`per_pair`); else against the window, unless it is in it."""
    inputs, outputs = _float64(weights)
    update = Update(np.zeros(count), 0, Change(inputs), Change(outputs))
    share = settings.negatives / len(pool_ids)
    positives = 0
    for row in range(count):
        center_id = stream.token_ids[first + row]
        context_ids = [stream.token_ids[pos] for pos in contexts_of(stream, first + row)]
        h = inputs[center_id]

        def step(output_id, weight, target, row=row, h=h, center_id=center_id):
            score = h @ outputs[output_id]
            update.losses[row] += weight * (softplus(-score) if target else softplus(score))
            coefficient = alpha * weight * (sigmoid(-score) if target else -sigmoid(score))
            update.input.add(center_id, coefficient * outputs[output_id])
            update.output.add(output_id, coefficient * h)

        for context_id in context_ids:
            step(context_id, 1.0, 1)
        positives += len(context_ids)
        for pool_id in pool_ids:
            if settings.per_pair:
                stands_against = sum(pool_id != context_id for context_id in context_ids)
            else:
                stands_against = int(len(context_ids) > 0 and pool_id not in context_ids)
            if stands_against:
                step(pool_id, share * stands_against, 0)
    return update._replace(positives=positives)


def cbow_neg_update(weights, stream, first, count, settings, alpha, pool_ids):
    """h is the mean of the context words' input vectors; the positive is the center word."""
    inputs, outputs = _float64(weights)
    update = Update(np.zeros(count), 0, Change(inputs), Change(outputs))
    positives = 0
    for row in range(count):
        center_id = stream.token_ids[first + row]
        context_ids = [stream.token_ids[pos] for pos in contexts_of(stream, first + row)]
        if not context_ids:
            continue
        positives += 1
        h = np.mean([inputs[context_id] for context_id in context_ids], axis=0)
        h_magnitude = np.mean([abs(inputs[context_id]) for context_id in context_ids], axis=0)
        score = h @ outputs[center_id]
        update.losses[row] += softplus(-score)
        dh = alpha * sigmoid(-score) * outputs[center_id]
        dh_magnitude = np.abs(dh)
        update.output.add(
            center_id, alpha * sigmoid(-score) * h, alpha * sigmoid(-score) * h_magnitude
        )
        for pool_id in pool_ids:
            if pool_id == center_id:
                continue
            weight = settings.negatives / len(pool_ids)
            score = h @ outputs[pool_id]
            update.losses[row] += weight * softplus(score)
            coefficient = -alpha * weight * sigmoid(score)
            dh = dh + coefficient * outputs[pool_id]
            dh_magnitude = dh_magnitude + np.abs(coefficient * outputs[pool_id])
            update.output.add(pool_id, coefficient * h, abs(coefficient) * h_magnitude)
        share = 1.0 if settings.undivided else 1.0 / len(context_ids)
        for context_id in context_ids:
            update.input.add(context_id, share * dh, share * dh_magnitude)
    return update._replace(positives=positives)


def softmax_batch_update(weights, stream, first, count, settings, skip_gram, alpha):
    """Cross-entropy of softmax(O·h) against the center word (CBOW), or against the mean of the
    context words' one-hots (skip-gram: h is the center word's input vector)."""
    inputs, outputs = _float64(weights)
    update = Update(np.zeros(count), 0, Change(inputs), Change(outputs))
    update.output.terms += 1  # every word is in every softmax
    positives = 0
    for row in range(count):
        center_id = stream.token_ids[first + row]
        context_ids = [stream.token_ids[pos] for pos in contexts_of(stream, first + row)]
        if not context_ids:
            continue
        positives += 1
        target = np.zeros(len(outputs))
        if skip_gram:
            h = inputs[center_id]
            for context_id in context_ids:
                target[context_id] += 1.0 / len(context_ids)
        else:
            h = np.mean([inputs[context_id] for context_id in context_ids], axis=0)
            target[center_id] = 1.0
        scores = outputs @ h
        log_p = scores - np.logaddexp.reduce(scores)
        update.losses[row] = -(target @ log_p)
        g = np.exp(log_p) - target
        g_magnitude = np.exp(log_p) + target
        update.output.total[:] -= alpha * np.outer(g, h)
        update.output.magnitude[:] += alpha * np.outer(g_magnitude, np.abs(h))
        dh, dh_magnitude = -alpha * g @ outputs, alpha * g_magnitude @ np.abs(outputs)
        if skip_gram:
            update.input.add(center_id, dh, dh_magnitude)
            continue
        share = 1.0 if settings.undivided else 1.0 / len(context_ids)
        for context_id in context_ids:
            update.input.add(context_id, share * dh, share * dh_magnitude)
    return update._replace(positives=positives)


# --- the methods that the block updates must equal, at a point or in expectation ---


def classic_sgram_neg_update(weights, stream, first, count, alpha, draws, per_pair):
    """word2vec.c's skip-gram at frozen weights: fresh draws for each positive pair, or, not
    `per_pair`, for each center. `draws` yields the K word ids of the next pair (or center)."""
    inputs, outputs = _float64(weights)
    new_inputs, new_outputs = np.zeros_like(inputs), np.zeros_like(outputs)
    for pos in range(first, first + count):
        center_id = stream.token_ids[pos]
        context_ids = [stream.token_ids[other] for other in contexts_of(stream, pos)]
        h = inputs[center_id]
        labeled = []
        for context_id in context_ids:
            labeled.append((context_id, 1))
            if per_pair:
                labeled += [(word_id, 0) for word_id in next(draws) if word_id != context_id]
        if context_ids and not per_pair:
            labeled += [(word_id, 0) for word_id in next(draws) if word_id not in context_ids]
        for word_id, label in labeled:
            g = alpha * (label - sigmoid(h @ outputs[word_id]))
            new_inputs[center_id] += g * outputs[word_id]
            new_outputs[word_id] += g * h
    return new_inputs, new_outputs


def classic_cbow_neg_update(weights, stream, first, count, alpha, draws, undivided):
    """word2vec.c's CBOW at frozen weights; `draws` yields the K word ids of the next center."""
    inputs, outputs = _float64(weights)
    new_inputs, new_outputs = np.zeros_like(inputs), np.zeros_like(outputs)
    for pos in range(first, first + count):
        context_ids = [stream.token_ids[other] for other in contexts_of(stream, pos)]
        if not context_ids:
            continue
        center_id = stream.token_ids[pos]
        h = sum(inputs[context_id] for context_id in context_ids) / len(context_ids)
        neu1e = np.zeros_like(h)
        labeled = [(center_id, 1)]
        labeled += [(word_id, 0) for word_id in next(draws) if word_id != center_id]
        for word_id, label in labeled:
            g = alpha * (label - sigmoid(h @ outputs[word_id]))
            neu1e += g * outputs[word_id]
            new_outputs[word_id] += g * h
        for context_id in context_ids:
            new_inputs[context_id] += neu1e if undivided else neu1e / len(context_ids)
    return new_inputs, new_outputs


def seed_gradients(h, c_pos, c_neg):
    """The seed's formulae: loss, ∂L/∂h, ∂L/∂c_pos (P, D), ∂L/∂c_neg (K, D)."""
    loss = -np.log(sigmoid(c_pos @ h)).sum() - np.log(sigmoid(-(c_neg @ h))).sum()
    dh = (sigmoid(c_pos @ h) - 1) @ c_pos + (1 - sigmoid(-(c_neg @ h))) @ c_neg
    dc_pos = np.outer(sigmoid(c_pos @ h) - 1, h)
    dc_neg = np.outer(1 - sigmoid(-(c_neg @ h)), h)
    return loss, dh, dc_pos, dc_neg


# --- random numbers, in Python's integers ---


def random_bits(key, counter):
    """Output number `counter` of SplitMix64 from state `key`."""
    z = (int(key) + (int(counter) + 1) * GOLDEN) & MASK_64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK_64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK_64
    return z ^ (z >> 31)


def derive_key(key, number):
    return random_bits(random_bits(key, number), 0x5851F42D4C957F2D)


def draw_noise(noise, key, block, size, noise_stream):
    stream_key = derive_key(derive_key(key, noise_stream), block)
    ids = []
    for n in range(size):
        bits = random_bits(stream_key, n)
        column = ((bits >> 32) * len(noise.thresholds)) >> 32
        kept = (bits & 0xFFFFFFFF) < noise.thresholds[column]
        ids.append(column if kept else int(noise.aliases[column]))
    return ids


def noise_distribution(noise):
    """The probabilities that an alias table gives, exactly but for float64."""
    count = len(noise.thresholds)
    kept = noise.thresholds.astype(float) / 2.0**32
    return (kept + np.bincount(noise.aliases, 1.0 - kept, count)) / count


def fill_stream(token_ids, offsets, order, keep_thresholds, key, subsample_stream):
    """(ids, sentence starts, sentence ends, word positions) of the kept tokens."""
    stream_key = derive_key(key, subsample_stream)
    ids, starts, ends, word_positions, words = [], [], [], [], 0
    for sentence in order:
        kept = []
        for pos in range(offsets[sentence], offsets[sentence + 1]):
            if random_bits(stream_key, pos) >> 32 < int(keep_thresholds[token_ids[pos]]):
                kept.append(int(token_ids[pos]))
                word_positions.append(words)
            words += 1
        starts += [len(ids)] * len(kept)
        ends += [len(ids) + len(kept)] * len(kept)
        ids += kept
    return ids, starts, ends, [*word_positions, words]
