"""What Numba does not offer for memory: eight bytes as a word, prefetches, atomic counters.

Scanning text loads words of eight bytes at any offset, counts trailing zero bits, and prefetches
slots of a hash table. Threads share counters: to take tasks from, and to wait for them, without a
barrier. A thread waits only for tasks that have been taken, and a thread that takes one finishes
it. So nobody waits for a thread that never started (a threading layer may run fewer than asked for,
or one after the other), or for one that the system has suspended between two tasks.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numba.core.cgutils import get_or_insert_function
from numba.core.errors import TypingError

from fastw2v.kernels.llvm.simd import (
    INT32,
    INT64,
    check_matrix,
    check_table,
    instruction,
    prefetch_line,
    table,
)
from fastw2v.kernels.primitives import kernel

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


COUNTERS_PER_LINE = 8  # int64s in a cache line: counters this far apart are not shared falsely
_SPINS = 1 << 16  # a tenth of a millisecond: longer than tasks that are waited for should take
_SLEEP_MICROSECONDS = 50


@instruction
def fetch_and_add(typing_context, counters, place, amount):
    """counters[place] += amount as one atomic step; returns what was there before.

    counters: int64 (n,). Acquire and release: what the thread wrote before is visible to those who
    read the counter afterwards, and what they wrote is visible to this thread.
    """
    check_table(counters, types.int64)
    signature = types.int64(counters, types.int64, types.int64)

    def generate(context, builder, signature, arguments):
        counters, place, amount = arguments
        at = builder.gep(table(builder, context, signature.args[0], counters), [place])
        return builder.atomic_rmw("add", at, amount, "acq_rel")

    return signature, generate


@instruction
def load_counter(typing_context, counters, place):
    """counters[place] (int64 (n,)) as others left it; what they wrote before is visible then."""
    check_table(counters, types.int64)
    signature = types.int64(counters, types.int64)

    def generate(context, builder, signature, arguments):
        counters, place = arguments
        at = builder.gep(table(builder, context, signature.args[0], counters), [place])
        return builder.load_atomic(at, "acquire", 8)

    return signature, generate


@instruction
def _sleep(typing_context):
    """Leave the core to others for a while, such as the thread that is waited for."""
    signature = types.void()

    def generate(context, builder, signature, arguments):
        name, result, pause = "usleep", INT32, _SLEEP_MICROSECONDS
        if config.IS_WIN32:
            name, result, pause = "Sleep", ir.VoidType(), 0
        function = get_or_insert_function(builder.module, ir.FunctionType(result, [INT32]), name)
        builder.call(function, [ir.Constant(INT32, pause)])
        return context.get_dummy_value()

    return signature, generate


@kernel()
def wait_until(counters, place, minimum):
    """Return when counters[place] (int64) has reached `minimum`."""
    spins = 0
    while load_counter(counters, place) < minimum:
        spins += 1
        if spins >= _SPINS:
            _sleep()
