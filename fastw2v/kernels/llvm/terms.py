"""Terms of the loss: one score each, turned into a gradient where it lies.

Terms lie flat in float32 arrays, scores beside weights. All works in whole vectors: up
to `simd.SHAPE.lanes` − 1 terms more than asked for are read and overwritten.

The softmax of a tile of logits, in whole vectors.

A tile lies flat in a float32 array: `rows` rows of the vocabulary, `stride` floats apart, and in
each a logit for every example. Columns are done a vector at a time: up to `simd.SHAPE.lanes` − 1
more than asked for are read and overwritten.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from fastw2v.kernels.llvm.simd import (
    INT32,
    INT64,
    SHAPE,
    VECTOR,
    broadcast,
    check_table,
    fma,
    instruction,
    int64,
    load,
    loop,
    store,
    table,
    zeros,
)
from fastw2v.kernels.primitives import EXP_LEAST, EXP_SERIES, LOG2_E

_DOUBLES = ir.VectorType(ir.DoubleType(), SHAPE.lanes)
_INTEGERS = ir.VectorType(INT32, SHAPE.lanes)


def _log_series(degree: int) -> list[float]:
    """Coefficients c_1 … of log(1 + e) ≈ Σ c_k·e**k on [0, 1]: least squares at Chebyshev points.

    Of degree 9 the absolute error is below 2e-7, float32 rounding included.
    """
    points = (1 - np.cos(np.pi * (np.arange(400) + 0.5) / 400)) / 2
    powers = points[:, None] ** np.arange(1, degree + 1)
    return [float(value) for value in np.linalg.lstsq(powers, np.log1p(points), rcond=None)[0]]


_LOG_SERIES = _log_series(9)


def _splat(value: Any, kind: Any = VECTOR) -> ir.Constant:
    """A vector of one constant; floats rounded to float32."""
    constant = float(np.float32(value)) if kind is VECTOR else int(value)
    return ir.Constant(kind, [constant] * SHAPE.lanes)


def _series(builder: Any, x: Any, coefficients: list[float]) -> Any:
    """Σ coefficients[k]·x**k (Horner)."""
    total = _splat(coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total = fma(builder, total, x, _splat(coefficient))
    return total


def _unary(builder: Any, name: str, x: Any) -> Any:
    kind = ir.FunctionType(VECTOR, [VECTOR])
    name = f"llvm.{name}.v{SHAPE.lanes}f32"
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [x])


def exp_of_minus(builder: Any, size: Any) -> Any:
    """exp(−size) for size ≥ 0, as `primitives.exp_negative`; NaN stays NaN."""
    scaled = builder.fmul(size, _splat(-LOG2_E))
    below = builder.fcmp_ordered("<", scaled, _splat(EXP_LEAST))
    scaled = builder.select(below, _splat(EXP_LEAST), scaled)
    whole = _unary(builder, "floor", builder.fadd(scaled, _splat(0.5)))
    power = _series(builder, builder.fsub(scaled, whole), [1.0, *EXP_SERIES])
    # (A NaN, which has no integer, stays in `power`.)
    number = builder.select(builder.fcmp_ordered("ord", whole, whole), whole, _splat(0.0))
    exponent = builder.add(builder.fptosi(number, _INTEGERS), _splat(127, _INTEGERS))
    bits = builder.shl(exponent, _splat(23, _INTEGERS))
    return builder.fmul(power, builder.bitcast(bits, VECTOR))


@instruction
def terms_to_gradients(typing_context, scores, weights, first, count, sign, alpha):
    """Turn each score s into sign·α·weight·σ(−sign·s); returns Σ weight·−log σ(sign·s), float64.

    scores, weights: float32 (n,), the terms first … first + count − 1. sign: +1 for positives,
    −1 for draws. alpha: learning rate.
    """
    for kind in (scores, weights):
        check_table(kind, types.float32)
    signature = types.float64(
        scores, weights, types.int64, types.int64, types.float32, types.float32
    )

    def generate(context, builder, signature, arguments):
        scores, weights, first, count, sign, alpha = arguments
        starts = [
            builder.ptrtoint(builder.gep(table(builder, context, kind, array), [first]), INT64)
            for kind, array in zip(signature.args[:2], (scores, weights), strict=True)
        ]
        flip = broadcast(builder, builder.fneg(sign))
        scale = broadcast(builder, builder.fmul(sign, alpha))
        zero, one = _splat(0.0), _splat(1.0)

        def step(index: Any, losses: list[Any]) -> list[Any]:
            offset = builder.mul(index, int64(4))
            score, weight = (load(builder, start, offset) for start in starts)
            x = builder.fmul(score, flip)
            e = exp_of_minus(builder, _unary(builder, "fabs", x))
            positive = builder.fcmp_ordered(">", x, zero)
            sigma = builder.fdiv(builder.select(positive, one, e), builder.fadd(one, e))
            gradient = builder.fmul(builder.fmul(scale, weight), sigma)
            store(builder, gradient, starts[0], offset)
            log = builder.fmul(e, _series(builder, e, _LOG_SERIES))
            loss = builder.fmul(weight, builder.fadd(builder.select(positive, x, zero), log))
            return [builder.fadd(losses[0], builder.fpext(loss, _DOUBLES))]

        (losses,) = loop(builder, count, SHAPE.lanes, [ir.Constant(_DOUBLES, None)], step)
        total = ir.Constant(ir.DoubleType(), 0.0)
        for lane in range(SHAPE.lanes):
            part = builder.extract_element(losses, ir.Constant(INT32, lane))
            total = builder.fadd(total, part)
        return total

    return signature, generate


@instruction
def fill_terms(typing_context, terms, first, count, value):
    """terms[first : first + count] = value; a whole number of vectors is."""
    check_table(terms, types.float32)
    signature = types.void(terms, types.int64, types.int64, types.float32)

    def generate(context, builder, signature, arguments):
        terms, first, count, value = arguments
        start = builder.gep(table(builder, context, signature.args[0], terms), [first])
        start = builder.ptrtoint(start, INT64)
        values = broadcast(builder, value)

        def step(index: Any, carried: list[Any]) -> list[Any]:
            store(builder, values, start, builder.mul(index, int64(4)))
            return carried

        loop(builder, count, SHAPE.lanes, [], step)
        return context.get_dummy_value()

    return signature, generate


def _address(builder: Any, context: Any, kind: Any, array: Any, place: Any) -> Any:
    """Address of array[place]."""
    return builder.ptrtoint(builder.gep(table(builder, context, kind, array), [place]), INT64)


@instruction
def exp_columns(typing_context, logits, place, rows, stride, columns, maxima, sums, at):
    """Turn each logit into exp(logit − m), m the largest of its column; NaN stays NaN.

    logits: float32 (n,), the tile's first at `place`; rows: at least 1. maxima, sums: float32
    (n,), from `at` on: m of each column, and the sum of its exponentials.
    """
    for kind in (logits, maxima, sums):
        check_table(kind, types.float32)
    numbers = types.int64
    signature = types.void(
        logits, numbers, numbers, numbers, numbers, maxima, sums, numbers
    )  # fmt: skip

    def generate(context, builder, signature, arguments):
        logits, place, rows, stride, columns, maxima, sums, at = arguments
        kinds = signature.args
        start = _address(builder, context, kinds[0], logits, place)
        tops_at = _address(builder, context, kinds[5], maxima, at)
        totals_at = _address(builder, context, kinds[6], sums, at)
        row_bytes = builder.mul(stride, int64(4))

        def column(index: Any, carried: list[Any]) -> list[Any]:
            offset = builder.mul(index, int64(4))
            here = builder.add(start, offset)

            def larger(row: Any, tops: list[Any]) -> list[Any]:
                logit = load(builder, here, builder.mul(row, row_bytes))
                above = builder.fcmp_ordered(">", logit, tops[0])
                return [builder.select(above, logit, tops[0])]

            (top,) = loop(builder, rows, 1, [load(builder, here, int64(0))], larger)

            def exponential(row: Any, totals: list[Any]) -> list[Any]:
                at_row = builder.mul(row, row_bytes)
                value = exp_of_minus(builder, builder.fsub(top, load(builder, here, at_row)))
                store(builder, value, here, at_row)
                return [builder.fadd(totals[0], value)]

            (total,) = loop(builder, rows, 1, zeros(1), exponential)
            store(builder, top, tops_at, offset)
            store(builder, total, totals_at, offset)
            return carried

        loop(builder, columns, SHAPE.lanes, [], column)
        return context.get_dummy_value()

    return signature, generate


@instruction
def scale_columns(typing_context, source, place, target, rows, stride, columns, scales):
    """target[r·stride + c] = source[place + r·stride + c] · scales[c]; all float32 (n,)."""
    for kind in (source, target, scales):
        check_table(kind, types.float32)
    numbers = types.int64
    signature = types.void(source, numbers, target, numbers, numbers, numbers, scales)

    def generate(context, builder, signature, arguments):
        source, place, target, rows, stride, columns, scales = arguments
        kinds = signature.args
        from_here = _address(builder, context, kinds[0], source, place)
        to_here = _address(builder, context, kinds[2], target, int64(0))
        scales_at = _address(builder, context, kinds[6], scales, int64(0))
        row_bytes = builder.mul(stride, int64(4))

        def row(index: Any, carried: list[Any]) -> list[Any]:
            at_row = builder.mul(index, row_bytes)
            source_row, target_row = builder.add(from_here, at_row), builder.add(to_here, at_row)

            def column(index: Any, carried: list[Any]) -> list[Any]:
                offset = builder.mul(index, int64(4))
                value = load(builder, source_row, offset)
                value = builder.fmul(value, load(builder, scales_at, offset))
                store(builder, value, target_row, offset)
                return carried

            loop(builder, columns, SHAPE.lanes, [], column)
            return carried

        loop(builder, rows, 1, [], row)
        return context.get_dummy_value()

    return signature, generate
