"""Identifies this process: what may be used once must not be used in a parent and in its fork as well.

A process id does not tell: ids repeat, and the first child in a new pid namespace may have the number of its parent.
"""

from __future__ import annotations

import os

__all__ = ["process"]


class _Process:
    """One process, told apart from others by identity."""

    __slots__ = ("pid",)

    def __init__(self) -> None:
        self.pid = os.getpid()


_here = _Process()


def process() -> object:
    """Return an object for this process; a forked child gets another one than its parent.

    Examples
    --------
    >>> process() is process()
    True
    """
    if _here.pid != os.getpid():  # a hook that runs in the child before ours, or a fork that bypassed Python
        _forked()
    return _here


def _forked() -> None:
    global _here
    _here = _Process()


os.register_at_fork(after_in_child=_forked)
