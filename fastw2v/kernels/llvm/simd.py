"""The parts that kernels are generated from with llvmlite: vectors, loops, checks of arguments.

Numba compiles loops over arrays well, but it has no vector type, so it cannot keep a tile of sums
in registers, and an index that might be negative makes it scatter what could be stored at once.
Where that decides the speed, the code is generated here with llvmlite, Numba's own way to LLVM.
Everything is written for vectors of `SHAPE.lanes` floats; LLVM fits them to the processor.

Generated code reads and writes memory by address: nothing checks it at run time. So each
instruction checks the types of its arrays when it is compiled (`check_table`, `check_matrix`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.codegen import get_host_cpu_features
from numba.core.errors import TypingError
from numba.extending import intrinsic

# As Any: a type checker would ask callers for the typing context, which Numba adds.
instruction: Any = intrinsic

LINE_BYTES = 64  # of a cache line
ROW_FLOATS = LINE_BYTES // 4  # rows are whole cache lines, which are the widest vector


class Shape(NamedTuple):
    """What fits the vector registers of a kind of processor.

    lanes: floats a vector. dots, sums: sums kept at a time, (rows, columns) of scores, and (rows,
    vectors a row) of output rows.
    """

    lanes: int
    dots: tuple[int, int]
    sums: tuple[int, int]


def _shape() -> Shape:
    """32 registers of 512 bits with AVX-512, else 16 of 256 bits (or 32 of 128: the same room)."""
    # What Numba compiles for, which NUMBA_CPU_FEATURES and NUMBA_ENABLE_AVX change.
    features = numba.config.CPU_FEATURES  # type: ignore[attr-defined]
    wide = "+avx512f" in (features or get_host_cpu_features()).split(",")
    return Shape(16, (4, 4), (4, 4)) if wide else Shape(8, (2, 4), (2, 5))


SHAPE = _shape()
FLOAT, INT32, INT64 = ir.FloatType(), ir.IntType(32), ir.IntType(64)
VECTOR = ir.VectorType(FLOAT, SHAPE.lanes)
VECTOR_BYTES = 4 * SHAPE.lanes


def int64(value: int) -> ir.Constant:
    """A constant."""
    return ir.Constant(INT64, value)


def pointer(builder: Any, address: Any, kind: Any) -> Any:
    """An address as a pointer to values of `kind`."""
    return builder.inttoptr(address, kind.as_pointer())


def load(builder: Any, address: Any, offset: Any) -> Any:
    """The vector at `offset` bytes from a row's address."""
    return builder.load(pointer(builder, builder.add(address, offset), VECTOR), align=4)


def store(builder: Any, value: Any, address: Any, offset: Any) -> None:
    """Write a vector at `offset` bytes from a row's address."""
    builder.store(value, pointer(builder, builder.add(address, offset), value.type), align=4)


def fma(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """a·b + c, in one instruction where there is one."""
    kind = ir.FunctionType(VECTOR, [VECTOR] * 3)
    function = cgutils.get_or_insert_function(
        builder.module, kind, f"llvm.fmuladd.v{SHAPE.lanes}f32"
    )  # fmt: skip
    return builder.call(function, [a, b, c])


def shuffle(builder: Any, a: Any, b: Any, lanes: Sequence[int]) -> Any:
    """The vector of these lanes of `a` and then `b`, counted through."""
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(INT32, len(lanes)), list(lanes)))


def broadcast(builder: Any, value: Any) -> Any:
    """A vector of one float."""
    none = ir.Constant(VECTOR, ir.Undefined)
    first = builder.insert_element(none, value, ir.Constant(INT32, 0))
    return shuffle(builder, first, none, [0] * SHAPE.lanes)


def zeros(count: int) -> list[Any]:
    """`count` vectors of zeros, to begin sums with."""
    return [ir.Constant(VECTOR, [0.0] * SHAPE.lanes)] * count


def lane_sums(builder: Any, vectors: Sequence[Any]) -> Any:
    """One vector with the sum over the lanes of each vector; their number is a power of two.

    Two vectors become one by adding their halves, again and again: 2 shuffles and an addition a
    step for both, where each alone would take as many.
    """

    def halves_added(a: Any, b: Any, segments: int, joined: bool) -> Any:
        width = a.type.count // segments
        low = [s * width + lane for s in range(segments) for lane in range(width // 2)]
        high = [lane + width // 2 for lane in low]
        more = [a.type.count + lane for lane in low] if joined else []
        more_high = [a.type.count + lane for lane in high] if joined else []
        return builder.fadd(
            shuffle(builder, a, b, low + more), shuffle(builder, a, b, high + more_high)
        )

    vectors, segments = list(vectors), 1
    while len(vectors) > 1:
        pairs = zip(vectors[::2], vectors[1::2], strict=True)
        vectors = [halves_added(a, b, segments, True) for a, b in pairs]
        segments *= 2
    total = vectors[0]
    while total.type.count > segments:
        total = halves_added(total, total, segments, False)
    return total


def loop(
    builder: Any,
    stop: Any,
    step: int,
    carried: Sequence[Any],
    body: Callable[[Any, list[Any]], Sequence[Any]],
) -> list[Any]:
    """for i in range(0, stop, step): carried = body(i, carried); returns the last `carried`."""
    before = builder.block
    head, inside, after = (builder.append_basic_block(name) for name in ("head", "body", "after"))
    builder.branch(head)
    builder.position_at_end(head)
    index = builder.phi(INT64)
    index.add_incoming(int64(0), before)
    held = [builder.phi(value.type) for value in carried]
    for phi, value in zip(held, carried, strict=True):
        phi.add_incoming(value, before)
    builder.cbranch(builder.icmp_signed("<", index, stop), inside, after)
    builder.position_at_end(inside)
    results = body(index, held)
    index.add_incoming(builder.add(index, int64(step)), builder.block)
    for phi, value in zip(held, results, strict=True):
        phi.add_incoming(value, builder.block)
    builder.branch(head)
    builder.position_at_end(after)
    return held


def by_count(builder: Any, count: Any, most: int, body: Callable[[int], None]) -> None:
    """body(count) for a `count` known at run time only, 1 … most; other counts do nothing."""
    after = builder.append_basic_block("after")
    choice = builder.switch(count, after)
    for number in range(1, most + 1):
        choice.add_case(int64(number), builder.append_basic_block(f"count{number}"))
        builder.position_at_end(choice.cases[-1][1])
        body(number)
        builder.branch(after)
    builder.position_at_end(after)


def check_table(kind: Any, dtype: Any) -> None:
    """Refuse, at compile time, what would be read as something else.

    Raises:
        TypingError: not a one-dimensional array of `dtype` in C order.
    """
    _check_array(kind, dtype, 1, "one")


def check_matrix(kind: Any, dtype: Any) -> None:
    """`check_table` for two dimensions.

    Raises:
        TypingError: not a two-dimensional array of `dtype` in C order.
    """
    _check_array(kind, dtype, 2, "two")


def _check_array(kind: Any, dtype: Any, ndim: int, word: str) -> None:
    found = (kind.dtype, kind.ndim, kind.layout) if isinstance(kind, types.Array) else None
    if found != (dtype, ndim, "C"):
        raise TypingError(f"expected a {word}-dimensional {dtype} array in C order, not {kind}")


def table(builder: Any, context: Any, kind: Any, array: Any) -> Any:
    """Pointer to the data of an array."""
    return context.make_array(kind)(context, builder, array).data


def entries(builder: Any, table: Any, first: Any, count: int) -> list[Any]:
    """`count` entries of a table of addresses."""
    return [builder.load(builder.gep(table, [builder.add(first, int64(k))])) for k in range(count)]


def prefetch_line(builder: Any, at: Any, locality: int) -> None:
    """Ask for the cache line of a pointer, to be read; it may point anywhere.

    locality: 3 for the first-level cache and all below it, 2 for the second-level cache.
    """
    byte = builder.bitcast(at, ir.IntType(8).as_pointer())
    kind = ir.FunctionType(ir.VoidType(), [byte.type, INT32, INT32, INT32])
    function = builder.module.declare_intrinsic("llvm.prefetch", [byte.type], kind)
    read, data = 0, 1
    builder.call(function, [byte, *(ir.Constant(INT32, hint) for hint in (read, locality, data))])
