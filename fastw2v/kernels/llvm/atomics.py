"""Tasks that threads take and wait for, without a barrier.

A thread waits only for tasks that somebody has taken, and who takes one goes on with it. So nobody
waits for a thread that never came (a layer may run fewer than asked for, or one after the other),
or for one that the system has put aside between two tasks.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import config
from numba.core.cgutils import get_or_insert_function

from fastw2v.kernels.llvm.simd import INT32, check_table, instruction, int64, table
from fastw2v.kernels.primitives import kernel

COUNTERS = 8  # int64s: a cache line, so that threads do not share one
_LOOKS = 1 << 16  # a tenth of a millisecond: longer than tasks that are waited for should take
_REST = 50  # microseconds


def _atomic(operate: Any) -> Any:
    @instruction
    def atomic(typing_context, counters, place):
        check_table(counters, types.int64)
        signature = types.int64(counters, types.int64)

        def generate(context, builder, signature, arguments):
            counters, place = arguments
            start = table(builder, context, signature.args[0], counters)
            return operate(builder, builder.gep(start, [place]))

        return signature, generate

    return atomic


# counters[place] += 1 (int64), returning what was there; what the thread wrote before is there for
# those who see it, and what they wrote for this thread.
add_one: Any = _atomic(lambda builder, at: builder.atomic_rmw("add", at, int64(1), "acq_rel"))
# counters[place], as others have left it, with what they wrote before.
look_at: Any = _atomic(lambda builder, at: builder.load_atomic(at, "acquire", 8))


@instruction
def _rest(typing_context):
    """Leave the core to others for a while, such as the thread that is waited for."""
    signature = types.void()

    def generate(context, builder, signature, arguments):
        if config.IS_WIN32:
            kind = ir.FunctionType(ir.VoidType(), [INT32])
            sleep = get_or_insert_function(builder.module, kind, "Sleep")
            builder.call(sleep, [ir.Constant(INT32, 0)])
        else:
            kind = ir.FunctionType(INT32, [INT32])
            sleep = get_or_insert_function(builder.module, kind, "usleep")
            builder.call(sleep, [ir.Constant(INT32, _REST)])
        return context.get_dummy_value()

    return signature, generate


@kernel()
def wait_until(counters, place, least):
    """Return when counters[place] has reached `least`."""
    looks = 0
    while look_at(counters, place) < least:
        looks += 1
        if looks >= _LOOKS:
            _rest()
