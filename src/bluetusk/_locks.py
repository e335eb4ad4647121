"""Locks that survive what Python does to them.

A lock is taken by ``with`` alone, and must be one of C's: between its ``__enter__`` and the body, and between the body
and its ``__exit__``, CPython handles no signal (bpo-29988), so that an interrupt cannot leave it locked. This does not
hold for a :class:`threading.Condition` or a generator, whose ``__enter__`` is Python itself.
"""

from __future__ import annotations

import os
import threading
import weakref

__all__ = ["Locked"]


class Locked:
    """Has a lock, `_lock`, that a forked child finds open: the thread that held it in the parent is not there.

    What the lock guards must change in one step, so that an interrupt or a fork finds it as it was or as it became.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        _locked.add(self)


_locked: weakref.WeakSet[Locked] = weakref.WeakSet()


def _forked() -> None:
    for each in list(_locked):
        each._lock = threading.RLock()


os.register_at_fork(after_in_child=_forked)
