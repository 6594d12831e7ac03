"""What scanning text needs of the processor and Numba does not offer: words of eight bytes at any
place, the number of trailing zero bits, and a prefetch of a slot of a hash table.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError

from fastw2v.kernels.llvm.simd import (
    INT64,
    check_matrix,
    check_table,
    instruction,
    prefetch_line,
    table,
)

_ALL_LEVELS = 3  # locality of a slot: used at once, so it is wanted in the first-level cache


@instruction
def load_word(typing_context, values, position):
    """The eight bytes from `position` of a uint8 array (n,) in C order, little-endian, as a uint64.

    The caller answers for `position` + 8 ≤ n; nothing is checked.
    """
    check_table(values, types.uint8)
    signature = types.uint64(values, types.int64)

    def generate(context, builder, signature, arguments):
        values, position = arguments
        at = builder.gep(table(builder, context, signature.args[0], values), [position])
        return builder.load(builder.bitcast(at, INT64.as_pointer()), align=1)

    return signature, generate


@instruction
def prefetch_element(typing_context, values, element):
    """Prefetch the cache line of an element of a uint64 matrix in C order.

    element: index into the flattened matrix.
    """
    check_matrix(values, types.uint64)
    signature = types.void(values, types.int64)

    def generate(context, builder, signature, arguments):
        values, element = arguments
        at = builder.gep(table(builder, context, signature.args[0], values), [element])
        prefetch_line(builder, at, _ALL_LEVELS)
        return context.get_dummy_value()

    return signature, generate


@instruction
def trailing_zeros(typing_context, value):
    """How many low bits of a uint64 are 0; 64 for 0."""
    if value != types.uint64:
        raise TypingError(f"expected a uint64, not {value}")  # a float would be cast silently

    def generate(context, builder, signature, arguments):
        kind = ir.FunctionType(INT64, [INT64, ir.IntType(1)])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.cttz.i64")
        zero_is_defined = ir.Constant(ir.IntType(1), 0)
        return builder.call(function, [arguments[0], zero_is_defined])

    return types.uint64(types.uint64), generate
