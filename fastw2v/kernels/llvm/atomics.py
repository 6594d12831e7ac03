"""Counters that threads share: to take tasks from, and to wait for them, without a barrier.

A thread waits only for tasks that have been taken, and a thread that takes one finishes it. So
nobody waits for a thread that never started (a threading layer may run fewer than asked for, or one
after the other), or for one that the system has suspended between two tasks.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import config
from numba.core.cgutils import get_or_insert_function

from fastw2v.kernels.llvm.simd import INT32, check_table, instruction, table
from fastw2v.kernels.primitives import kernel

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
