"""Ctrl-C and termination as a request that the training loop answers at its next step."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType


class StopRequest:
    """Whether a long run was asked to stop, and by which signal, if by one."""

    requested = False
    signal_number: int | None = None

    @property
    def exit_code(self) -> int:
        """128 + the signal's number, the shell's convention."""
        return 128 + (self.signal_number or 0)


@contextlib.contextmanager
def stop_on_signals(acknowledge: Callable[[], None]) -> Iterator[StopRequest]:
    """Catch the first SIGINT or SIGTERM as a request; a second one acts as usual, at once.

    `acknowledge` is called when the request comes, so that the user sees that it did.
    Outside the main thread signals cannot be caught, and nothing changes.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    usual = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def remember(number: int, frame: FrameType | None) -> None:
        request.requested, request.signal_number = True, number
        restore()
        acknowledge()

    def restore() -> None:
        for number, handler in usual.items():
            signal.signal(number, handler)

    for number in usual:
        signal.signal(number, remember)
    try:
        yield request
    finally:
        restore()
