"""Locks that interrupts, finalisers and forks cannot leave locked.

A lock is taken by ``with`` alone, and must be one of C's: between its ``__enter__`` and the body, and between the body
and its ``__exit__``, CPython handles no signal (bpo-29988), so that an interrupt cannot leave it locked. This does not
hold for a :class:`threading.Condition` or a generator, whose ``__enter__`` is Python itself.
"""

from __future__ import annotations

import os
import threading
import weakref

from .errors import ProtocolAbort

__all__ = ["Locked", "UnderWay", "refuse_reentry"]


class UnderWay(ProtocolAbort):
    """Refuses a call from within another one on this thread; not a fault of the other party, nor an answer to it."""


class Locked:
    """Has a lock, `_lock`, that is open in a forked child: the thread that held it in the parent does not exist there.

    What the lock guards must change in one step, so that an interrupt or a fork finds it as it was or as it became.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        _locked.add(self)


def refuse_reentry(lock: threading.RLock, what: str) -> None:
    """Refuse a call from within another one on this thread; called before ``with lock``, which would let it in.

    A signal handler, a finaliser or a callback runs on the thread that it interrupts. It cannot wait for the end of
    what it interrupted; other threads do wait, in ``with lock``.

    Parameters
    ----------
    lock : threading.RLock
        The lock held during `what`.
    what : str
        The operation, for the message: "another `what` is under way on this thread".

    Raises
    ------
    UnderWay
        If this thread holds the lock.
    """
    try:
        threading.Condition(lock).notify(0)  # wakes nobody, but is an error for a thread that does not hold the lock
    except RuntimeError:
        return
    raise UnderWay(
        f"another {what} is under way on this thread, which a signal handler, a finaliser or a callback has "
        "interrupted: do it after that one has returned, or on another thread"
    )


_locked: weakref.WeakSet[Locked] = weakref.WeakSet()


def _forked() -> None:
    for each in list(_locked):
        each._lock = threading.RLock()


os.register_at_fork(after_in_child=_forked)
