"""Exit statuses: one number for each kind of end, so that a supervisor need not read messages."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from ..errors import PolicyRefused, ProtocolAbort
from ..storage import files
from ..vertical.protocol.refusal import Terminated

__all__ = ["KINDS", "PERMANENT", "kind_of_end", "quick_second_signal", "stop_if_asked"]

KINDS = {
    "done": 0,
    "error": 1,
    "usage": 2,
    "policy": 3,
    "absent": 4,
    "peer": 5,
    "certificate": 6,
    "settings": 7,
    "disk": 8,
    "busy": 9,
    "interrupted": 130,
    "terminated": 143,
}
"""Kind of an end and its exit status. ``docs/how-to/operate.md`` lists both with their remedies."""

PERMANENT = ("error", "usage", "policy", "certificate", "settings")
"""Kinds that the same command meets again at once: a person has to change something first."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def kind_of_end(error: BaseException) -> str:
    """Return the kind of an end, a key of :data:`KINDS`.

    Examples
    --------
    >>> kind_of_end(PolicyRefused("all 20 uses are spent", clause="uses")), kind_of_end(ValueError("rows"))
    ('policy', 'error')
    """
    if isinstance(error, Terminated):
        return "terminated"
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and files.is_full(cause):
            return "disk"
        if isinstance(cause, OSError) and cause.errno == errno.EADDRINUSE:
            return "busy"
        cause = cause.__cause__
    if isinstance(error, PolicyRefused):
        return "policy"
    if isinstance(error, ProtocolAbort):
        return error.kind or ("peer" if error.party is not None else "error")
    return "error"


_asked: list[int] = []  # signals that have come


def stop_if_asked() -> None:
    """Raise what a signal that has come raises.

    The handler's exception is lost where Python runs it within a finalizer or a callback of C, which print exceptions
    and go on; so each step asks again.
    """
    for number in _asked:
        raise KeyboardInterrupt if number == signal.SIGINT else Terminated(128 + number)


@contextlib.contextmanager
def quick_second_signal() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the command cleanly, and a second one end it at once.

    What a party has kept is on disk whole at any moment, so ending at once loses nothing but the step under way.
    """

    def at_once(number: int, _: FrameType | None) -> None:
        os._exit(128 + number)

    def first(number: int, _: FrameType | None) -> None:
        for each in _SIGNALS:
            signal.signal(each, at_once)
        _asked.append(number)
        stop_if_asked()

    if threading.current_thread() is not threading.main_thread():  # only that one may set handlers
        yield
        return
    _asked.clear()
    before = [signal.signal(each, first) for each in _SIGNALS]
    try:
        yield
    finally:
        for each, handler in zip(_SIGNALS, before, strict=True):
            signal.signal(each, handler)
        _asked.clear()
