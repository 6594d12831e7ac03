"""Register tiles: the dense products of the block kernels.

Each keeps a rectangle of sums in vector registers, loads a vector of a row once and uses it for
every sum of the rectangle (Goto and van de Geijn 2008). They take tables of row addresses, so that
rows are used where they lie, uncopied.

Rows are float32, and of a length that is a multiple of `simd.ROW_FLOATS` floats: see
`training.steppers`, which checks the weights for that. Addresses are int64, made by `address_of`;
nothing checks them. Rows may repeat in a table, also among outputs: each output row is read
and written before the next.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from fastw2v.kernels.llvm.simd import (
    INT64,
    ROW_FLOATS,
    SHAPE,
    VECTOR_BYTES,
    broadcast,
    by_count,
    check_matrix,
    check_table,
    entries,
    fma,
    instruction,
    int64,
    lane_sums,
    load,
    loop,
    pointer,
    prefetch_line,
    shuffle,
    store,
    table,
    zeros,
)

# Tables of row addresses are padded to whole tiles of any shape with the address of a spare row.
TILE_ROWS = 4
_SECOND_LEVEL = 2  # locality of a prefetched row: a block of rows is more than the first level has
(DOT_ROWS, DOT_COLUMNS), SUM_ROWS = SHAPE.dots, SHAPE.sums[0]


def _dots_of(builder: Any, rows: list[Any], columns: list[Any], row_bytes: Any) -> list[Any]:
    """Vectors whose lane sums are rows[r] · columns[c], in the order of r, then c."""

    def step(offset: Any, sums: list[Any]) -> list[Any]:
        row_parts = [load(builder, row, offset) for row in rows]
        sums = list(sums)
        for c, column in enumerate(columns):
            part = load(builder, column, offset)
            for r, row_part in enumerate(row_parts):
                place = r * len(columns) + c
                sums[place] = fma(builder, row_part, part, sums[place])
        return sums

    return loop(builder, row_bytes, VECTOR_BYTES, zeros(len(rows) * len(columns)), step)


@instruction
def address_of(typing_context, matrix, row):
    """int64 address of a row of a float32 matrix in C order."""
    check_matrix(matrix, types.float32)
    signature = types.int64(matrix, types.int64)

    def generate(context, builder, signature, arguments):
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        start = builder.ptrtoint(array.data, INT64)
        stride = builder.extract_value(array.strides, 0)
        return builder.add(start, builder.mul(arguments[1], stride))

    return signature, generate


@instruction
def dot_tile(typing_context, row_ptr, row, column_ptr, column, row_bytes, scores, place, stride):
    """scores[place + r·stride + c] = row r · column c, for a tile of `SHAPE.dots`.

    row_ptr, column_ptr: int64 tables of addresses, the tile's begin at `row` and `column`.
    row_bytes: length of a row. scores: float32 (n,).
    """
    for kind in (row_ptr, column_ptr):
        check_table(kind, types.int64)
    check_table(scores, types.float32)
    numbers = types.int64
    signature = types.void(
        row_ptr, numbers, column_ptr, numbers, numbers, scores, numbers, numbers
    )  # fmt: skip

    def generate(context, builder, signature, arguments):
        row_ptr, row, column_ptr, column, row_bytes, scores, place, stride = arguments
        kinds = signature.args
        row_count, column_count = SHAPE.dots
        rows = entries(builder, table(builder, context, kinds[0], row_ptr), row, row_count)
        columns = entries(
            builder, table(builder, context, kinds[2], column_ptr), column, column_count
        )
        sums = _dots_of(builder, rows, columns, row_bytes)
        found: list[Any] = []
        most = SHAPE.lanes // column_count  # rows whose sums fill a vector
        for first in range(0, row_count, most):
            group = sums[first * column_count : (first + most) * column_count]
            total = lane_sums(builder, group)
            found += [
                shuffle(builder, total, total, range(c, c + column_count))
                for c in range(0, len(group), column_count)
            ]
        target = table(builder, context, kinds[5], scores)
        for r, part in enumerate(found):
            at = builder.add(place, builder.mul(int64(r), stride))
            store(builder, part, builder.ptrtoint(builder.gep(target, [at]), INT64), int64(0))
        return context.get_dummy_value()

    return signature, generate


@instruction
def dots_of_row(typing_context, row, column_ptr, first, count, row_bytes, scores, place):
    """scores[place + k] = row · columns[first + k] for k in 0 … count − 1.

    row: an address. Scores up to the next multiple of 8 are overwritten with undefined values.
    """
    check_table(column_ptr, types.int64)
    check_table(scores, types.float32)
    numbers = types.int64
    signature = types.void(numbers, column_ptr, numbers, numbers, numbers, scores, numbers)

    def generate(context, builder, signature, arguments):
        row, column_ptr, first, count, row_bytes, scores, place = arguments
        addresses = table(builder, context, signature.args[1], column_ptr)
        target = table(builder, context, signature.args[5], scores)

        def part(start: Any, size: int) -> None:
            columns = entries(builder, addresses, builder.add(first, start), size)
            sums = _dots_of(builder, [row], columns, row_bytes)
            room = 1 << (size - 1).bit_length()
            total = lane_sums(builder, sums + zeros(room - size))
            at = builder.gep(target, [builder.add(place, start)])
            store(builder, total, builder.ptrtoint(at, INT64), int64(0))

        def eight(start: Any, carried: list[Any]) -> list[Any]:
            part(start, 8)
            return carried

        whole = builder.and_(count, int64(-8))
        loop(builder, whole, 8, [], eight)
        by_count(builder, builder.sub(count, whole), 7, lambda size: part(whole, size))
        return context.get_dummy_value()

    return signature, generate


def _sums(rows: int, width: int, add: bool) -> Any:
    @instruction
    def sums(
        typing_context, output_ptr, first, outputs, source_ptr, sources, weights, place,
        source_stride, output_stride, row_bytes,
    ):  # fmt: skip
        for kind in (output_ptr, source_ptr):
            check_table(kind, types.int64)
        check_table(weights, types.float32)
        numbers = types.int64
        signature = types.void(
            output_ptr, numbers, numbers, source_ptr, numbers, weights, numbers, numbers, numbers,
            numbers,
        )  # fmt: skip

        def generate(context, builder, signature, arguments):
            (output_ptr, first, outputs, source_ptr, sources, weights, place, source_stride,
             output_stride, row_bytes) = arguments  # fmt: skip
            kinds = signature.args
            output_table = table(builder, context, kinds[0], output_ptr)
            source_table = table(builder, context, kinds[3], source_ptr)
            scalars = builder.gep(table(builder, context, kinds[5], weights), [place])

            def tile(output: Any, start: Any, vectors: int) -> None:
                """`rows` outputs from `output` on, `vectors` vectors from byte `start` on."""
                targets = entries(builder, output_table, builder.add(first, output), rows)
                places = [
                    builder.mul(builder.add(output, int64(r)), output_stride) for r in range(rows)
                ]
                offsets = [builder.add(start, int64(v * VECTOR_BYTES)) for v in range(vectors)]

                def source(k: Any, held: list[Any]) -> list[Any]:
                    address = builder.load(builder.gep(source_table, [k]))
                    own = builder.mul(k, source_stride)
                    values = [
                        broadcast(
                            builder, builder.load(builder.gep(scalars, [builder.add(own, at)]))
                        )
                        for at in places
                    ]
                    held = list(held)
                    for v, offset in enumerate(offsets):
                        part = load(builder, address, offset)
                        for r, value in enumerate(values):
                            held[r * vectors + v] = fma(builder, value, part, held[r * vectors + v])
                    return held

                totals = loop(builder, sources, 1, zeros(rows * vectors), source)
                for r, target in enumerate(targets):
                    for v, offset in enumerate(offsets):
                        total = totals[r * vectors + v]
                        if add:
                            total = builder.fadd(load(builder, target, offset), total)
                        store(builder, total, target, offset)

            def stripe(start: Any, vectors: int) -> None:
                def tiles(output: Any, carried: list[Any]) -> list[Any]:
                    tile(output, start, vectors)
                    return carried

                loop(builder, outputs, rows, [], tiles)

            def whole_stripe(start: Any, carried: list[Any]) -> list[Any]:
                stripe(start, width)
                return carried

            step = width * VECTOR_BYTES
            whole = builder.mul(builder.udiv(row_bytes, int64(step)), int64(step))
            loop(builder, whole, step, [], whole_stripe)
            rest = builder.udiv(builder.sub(row_bytes, whole), int64(VECTOR_BYTES))
            by_count(builder, rest, width - 1, lambda vectors: stripe(whole, vectors))
            return context.get_dummy_value()

        return signature, generate

    return sums


# Each: outputs[first + r] (+)= Σ_k weights[place + k·source_stride + r·output_stride] · sources[k],
# k in 0 … sources − 1, r in 0 … outputs − 1 (rounded up to whole tiles of `SUM_ROWS`). output_ptr,
# source_ptr: int64 tables of addresses; weights: float32 (n,); row_bytes: length of a row. One
# stripe of columns is done for all outputs before the next, so that the sources' stay in cache.
set_sums = _sums(*SHAPE.sums, add=False)
add_sums = _sums(*SHAPE.sums, add=True)


def _sum_few(
    builder: Any, output: Any, sources: list[Any], weights: list[Any], row_bytes: Any, add: bool
) -> None:
    """output (+)= Σ weights[k]·sources[k], the weights held in registers, all in one pass."""

    def step(offset: Any, carried: list[Any]) -> list[Any]:
        total = load(builder, output, offset) if add else zeros(1)[0]
        for source, weight in zip(sources, weights, strict=True):
            total = fma(builder, weight, load(builder, source, offset), total)
        store(builder, total, output, offset)
        return carried

    loop(builder, row_bytes, VECTOR_BYTES, [], step)


def _row_sum(add: bool) -> Any:
    @instruction
    def row_sum(
        typing_context, output, source_ptr, first, count, weights, place, stride, row_bytes
    ):
        check_table(source_ptr, types.int64)
        check_table(weights, types.float32)
        numbers = types.int64
        signature = types.void(
            numbers, source_ptr, numbers, numbers, weights, numbers, numbers, numbers
        )

        def generate(context, builder, signature, arguments):
            output, source_ptr, first, count, weights, place, stride, row_bytes = arguments
            addresses = table(builder, context, signature.args[1], source_ptr)
            scalars = table(builder, context, signature.args[4], weights)

            def part(start: Any, size: int, add: bool) -> None:
                sources = entries(builder, addresses, builder.add(first, start), size)
                places = [builder.mul(builder.add(start, int64(k)), stride) for k in range(size)]
                values = [
                    broadcast(builder, builder.load(builder.gep(scalars, [builder.add(place, at)])))
                    for at in places
                ]
                _sum_few(builder, output, sources, values, row_bytes, add)

            if not add:
                none = builder.icmp_signed("==", count, int64(0))
                with builder.if_then(none):
                    _sum_few(builder, output, [], [], row_bytes, add=False)
            # 1 … 8 sources first, so that what is left are eights.
            few = builder.and_(builder.sub(count, int64(1)), int64(7))
            few = builder.add(few, int64(1))
            few = builder.select(builder.icmp_signed("==", count, int64(0)), int64(0), few)
            by_count(builder, few, 8, lambda size: part(int64(0), size, add))

            def eight(start: Any, carried: list[Any]) -> list[Any]:
                part(builder.add(few, start), 8, add=True)
                return carried

            loop(builder, builder.sub(count, few), 8, [], eight)
            return context.get_dummy_value()

        return signature, generate

    return row_sum


# Each: output (+)= Σ_k weights[place + k·stride] · sources[first + k], k in 0 … count − 1, for one
# output row, given by its address. Made for the few, ever changing numbers of rows that a window
# has: there is code for each number up to eight, so that one jump decides.
set_row = _row_sum(add=False)
add_to_row = _row_sum(add=True)


@instruction
def copy_row_at(typing_context, target, source, row_bytes):
    """target = source, both addresses of rows."""
    signature = types.void(types.int64, types.int64, types.int64)

    def generate(context, builder, signature, arguments):
        target, source, row_bytes = arguments

        def step(offset: Any, carried: list[Any]) -> list[Any]:
            store(builder, load(builder, source, offset), target, offset)
            return carried

        loop(builder, row_bytes, VECTOR_BYTES, [], step)
        return context.get_dummy_value()

    return signature, generate


@instruction
def prefetch_row(typing_context, address, row_bytes):
    """Ask for a row to be brought into the second-level cache."""
    signature = types.void(types.int64, types.int64)

    def generate(context, builder, signature, arguments):
        address, row_bytes = arguments

        def line(offset: Any, carried: list[Any]) -> list[Any]:
            at = pointer(builder, builder.add(address, offset), ir.IntType(8))
            prefetch_line(builder, at, _SECOND_LEVEL)
            return carried

        loop(builder, row_bytes, 4 * ROW_FLOATS, [], line)
        return context.get_dummy_value()

    return signature, generate
