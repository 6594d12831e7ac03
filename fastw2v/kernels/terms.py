"""Terms of the loss: one score each, turned into a gradient where it lies.

Terms lie flat in float32 arrays, scores beside weights. All works in whole vectors: up
to `simd.SHAPE.lanes` − 1 terms more than asked for are read and overwritten.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from fastw2v.kernels.primitives import EXP_LEAST, EXP_SERIES, LOG2_E
from fastw2v.kernels.simd import (
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
)

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
