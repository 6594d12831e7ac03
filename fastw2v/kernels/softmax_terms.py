"""The softmax of a tile of logits, in whole vectors.

A tile lies flat in a float32 array: `rows` rows of the vocabulary, `stride` floats apart, and in
each a logit for every example. Columns are done a vector at a time: up to `simd.SHAPE.lanes` − 1
more than asked for are read and overwritten.
"""

from __future__ import annotations

from typing import Any

from numba import types

from fastw2v.kernels.simd import (
    INT64,
    SHAPE,
    check_table,
    instruction,
    int64,
    load,
    loop,
    store,
    table,
    zeros,
)
from fastw2v.kernels.terms import exp_of_minus


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
