"""Which process this is: what serves once must not serve in a parent and in its fork as well.

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
    """Return what stands for this process; in a forked child it ``is not`` what it was in the parent.

    Examples
    --------
    >>> process() is process()
    True
    """
    if _here.pid != os.getpid():  # a hook that runs in the child before ours, or a fork that Python was not told of
        _forked()
    return _here


def _forked() -> None:
    global _here
    _here = _Process()


os.register_at_fork(after_in_child=_forked)
