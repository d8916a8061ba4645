"""
Whether the operator has asked to stop, also where Salt loses it.

Salt turns Ctrl-C and SIGTERM into SystemExit. Raised in the middle of its own network code, that can come out as
another exception, or not at all; so the signal itself is remembered, for as long as a phase runs.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_told: list[int] = []


@contextlib.contextmanager
def remembered() -> Iterator[None]:
    """
    Remember Ctrl-C and SIGTERM while the block lasts; what they did before they still do. Not in a thread, where
    none arrive.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def remember(number: int, frame: FrameType | None) -> None:
        _told.append(number)
        handler = before[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    _told.clear()
    for number, handler in before.items():
        # None is a handler that was not set from Python: left alone.
        if handler not in (None, signal.SIG_IGN):
            signal.signal(number, remember)
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)
        _told.clear()


def check() -> None:
    """Raise SystemExit when the operator has asked to stop."""
    if _told:
        raise SystemExit(1)


def heeded() -> None:
    """What the operator has asked for is being done: what that needs may go on."""
    _told.clear()
