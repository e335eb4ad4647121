"""The one place that splits a batch over threads, reports progress and honours Ctrl-C.

A batch of `n` elements is cut into slices of at most about 50 ms of work each, so that a signal is seen and progress
moves. A slice is a half-open range ``[lo, hi)``; slices begin at multiples of `align`, because a backend keeps its
elements in groups (``bt_mont.h``). Slices write to disjoint places, so results never depend on the number of threads.

The calling thread works too; its helpers are threads that stay, because a batch may take no longer than starting one.
Each takes the next slice when it has finished one, and slices become small towards the end, so all end together.
"""

from __future__ import annotations

import atexit
import bisect
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from queue import SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._numeric import as_int

__all__ = ["LEAST_US", "get_num_threads", "resolve_threads", "run", "run_slices", "set_num_threads", "slices_by_cost"]

Progress = Callable[[int, int], None]
"""Called as ``progress(done, total)`` from the calling thread, after each finished slice."""
Slice = tuple[int, int]

_SLICE_US = 50_000.0
LEAST_US = 500.0
"""Of the last slices, so that threads end within so long of each other; a batch that is shorter wakes no helper."""
_MAX_THREADS = 1024
_num_threads: int | None = None


def set_num_threads(n: int) -> None:
    """Set how many threads batches use when a call does not say.

    Parameters
    ----------
    n : int
        At least 1. The start value is the environment variable ``BLUETUSK_NUM_THREADS``, else the CPUs that this
        process may run on. Results never depend on it.

    Raises
    ------
    TypeError, ValueError
        If `n` is not an integer between 1 and 1024.

    Examples
    --------
    >>> import bluetusk as bt
    >>> bt.set_num_threads(2)
    """
    global _num_threads
    _num_threads = as_int(n, "n", 1, _MAX_THREADS)


def get_num_threads() -> int:
    """Return the number of threads that a batch uses when the call does not say.

    Returns
    -------
    int
        At least 1.
    """
    global _num_threads
    if _num_threads is None:
        text = os.environ.get("BLUETUSK_NUM_THREADS", "")
        if text:
            if not text.isdecimal() or len(text) > 9:
                raise ValueError(f"BLUETUSK_NUM_THREADS must be 1 to {_MAX_THREADS}, not {text[:40]!r}")
            _num_threads = as_int(int(text), "BLUETUSK_NUM_THREADS", 1, _MAX_THREADS)
        elif hasattr(os, "sched_getaffinity"):
            _num_threads = len(os.sched_getaffinity(0))
        else:
            _num_threads = os.cpu_count() or 1
    return _num_threads


def resolve_threads(threads: int | None) -> int:
    """Return the number of threads that a call uses which was given `threads`; None stands for the default.

    Raises
    ------
    TypeError, ValueError
        If `threads` is neither None nor an integer between 1 and 1024.
    """
    return get_num_threads() if threads is None else as_int(threads, "threads", 1, _MAX_THREADS)


def _equal_slices(n: int, cost_us: float, align: int, count: int, slice_us: float) -> Iterator[Slice]:
    """Cut ``range(n)`` into slices about as long as each other, the same number for each of `count` threads."""
    slices = -(-n // max(1, int(slice_us / max(cost_us, 1e-3))))
    slices = -(-slices // count) * count
    size = -(-n // slices)
    size = -(-size // align) * align
    for lo in range(0, n, size):
        yield lo, min(lo + size, n)


def _falling_slices(n: int, cost_us: float, align: int, count: int) -> Iterator[Slice]:
    """Cut ``range(n)`` into slices for `count` threads, each at most half of a thread's share of what is left."""
    most = max(align, int(_SLICE_US / max(cost_us, 1e-3)) // align * align)
    least = -(-max(1, int(LEAST_US / max(cost_us, 1e-3))) // align) * align
    lo = 0
    while lo < n:
        share = (n - lo) // (2 * count) // align * align
        hi = min(n, lo + min(most, max(least, share)))
        yield lo, hi
        lo = hi


def slices_by_cost(costs_us: NDArray[np.floating[Any]], count: int, *, falling: bool) -> Iterator[Slice]:
    """Cut ``range(len(costs_us))`` by the microseconds of each element, for `count` threads.

    Falling, as :func:`run` does, or into as few slices as can be, about equally long, where each slice costs something.
    """
    ends = costs_us.cumsum().tolist()
    total = ends[-1] if ends else 0.0
    pieces = int(-(-total // (count * _SLICE_US)) * count) if total > LEAST_US else 1
    lo, begin = 0, 0.0
    while lo < len(ends):
        if falling and count > 1:
            end = begin + min(_SLICE_US, max(LEAST_US, (total - begin) / (2 * count)))
        else:
            end = begin + (total - begin) / max(1, pieces)
            pieces -= 1
        hi = bisect.bisect_right(ends, end + (ends[lo] - begin) / 2, lo + 1)  # to the nearest
        yield lo, hi
        lo, begin = hi, ends[hi - 1]


def run(
    n: int,
    work: Callable[[int, int], None],
    *,
    cost_us: float,
    align: int = 1,
    slice_us: float | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Call ``work(lo, hi)`` for slices that cover ``range(n)``.

    Parameters
    ----------
    n : int
        Number of elements.
    work : callable
        Computes elements ``lo .. hi - 1``; must release the GIL to profit from threads, and may be called from any
        thread. The first exception that it raises stops the batch and is raised here.
    cost_us : float
        Rough microseconds per element, for the size of a slice.
    align : int
        Slices begin at multiples of this.
    slice_us : float, optional
        Microseconds that a slice may take, at most 100,000: more than usual where each slice pays for a check. Slices
        are then equally long, as few as there can be.
    threads : int, optional
        Overrides :func:`set_num_threads`.
    progress : callable, optional
        Called as ``progress(done, n)`` in the calling thread.
    """
    count = resolve_threads(threads)
    if n <= 0:
        return
    if n * cost_us <= LEAST_US:
        count = 1
    slices: Iterable[Slice]
    if count == 1 or slice_us is not None:
        slices = _equal_slices(n, cost_us, align, count, slice_us or _SLICE_US)
    else:
        slices = _falling_slices(n, cost_us, align, count)
    run_slices(slices, work, threads=count, progress=progress, total=n)


def run_slices(
    slices: Iterable[Slice],
    work: Callable[[int, int], None],
    *,
    threads: int | None = None,
    progress: Progress | None = None,
    total: int = 0,
) -> None:
    """Call ``work(lo, hi)`` for the slices given, begun in their order: the longest first, so that all end together.

    Otherwise as :func:`run`; `total` is what `progress` is told.
    """
    batch = _Batch(slices, work)
    try:
        _helpers.ask(batch, resolve_threads(threads) - 1)
        for lo, hi in batch:
            work(lo, hi)
            batch.done += hi - lo
            if progress is not None:
                batch.hear_all()
                progress(batch.done, total)
        batch.stop()
        while batch.hear():
            if progress is not None:
                progress(batch.done, total)
    finally:
        # on Ctrl-C or an error: let the slices in flight end (<= 50 ms), start no other
        batch.stop()
        while batch.hear():
            pass
    batch.raise_error()


class _Batch:
    """The slices of a batch, which the calling thread and its helpers take one after the other."""

    def __init__(self, slices: Iterable[Slice], work: Callable[[int, int], None]) -> None:
        self._slices, self._work = iter(slices), work
        self._lock = threading.Lock()
        self._open = True
        self._joined, self._left = 0, 0  # helpers
        self._reports: SimpleQueue[int | None] = SimpleQueue()  # elements done; None from a helper that leaves
        self._error: BaseException | None = None
        self.done = 0

    def __iter__(self) -> Iterator[Slice]:
        return self

    def __next__(self) -> Slice:
        with self._lock:
            return next(self._slices)

    def help(self) -> bool:
        """Take slices until there are none, if there are any; a helper that did says :meth:`leave`."""
        with self._lock:
            if not self._open:
                return False
            self._joined += 1
        try:
            for lo, hi in self:
                self._work(lo, hi)
                self._reports.put(hi - lo)
        except BaseException as error:
            self._error = error if self._error is None else self._error
            self.stop()
        return True

    def leave(self) -> None:
        """Tell the caller that one helper less works for it."""
        self._reports.put(None)

    def stop(self) -> None:
        """Give out no more slices; no helper may join any more."""
        with self._lock:
            self._open = False
            self._slices = iter(())

    def hear_all(self) -> None:
        """Add up what helpers have reported."""
        while not self._reports.empty():
            self._add(self._reports.get())

    def hear(self) -> bool:
        """Wait for a report, after :meth:`stop`; return False if none will come."""
        if self._left == self._joined:
            return False
        self._add(self._reports.get())
        return True

    def _add(self, report: int | None) -> None:
        if report is None:
            self._left += 1
        else:
            self.done += report

    def raise_error(self) -> None:
        """Raise what a helper raised."""
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # its traceback holds this frame


class _Helpers:
    """Threads that wait for batches to help with. One that has helped stays if the latest batch asked for as many."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked: SimpleQueue[_Batch | SimpleQueue[threading.Thread]] = SimpleQueue()
        self._free = 0  # threads that wait, less the batches that wait for one
        self._kept = 0

    def ask(self, batch: _Batch, count: int) -> None:
        """Send `count` helpers to a batch, or as many as the system allows."""
        if count <= 0:
            return
        with self._lock:
            self._kept = count
            while self._free < count:
                try:
                    threading.Thread(target=self._serve, name="bluetusk", daemon=True).start()
                except RuntimeError:  # no more threads, or the interpreter is ending
                    break
                self._free += 1
            for _ in range(min(count, self._free)):
                self._free -= 1
                self._asked.put(batch)

    def end(self) -> None:
        """Let the threads that wait end, and wait until they have; the others end once they have helped."""
        ended: SimpleQueue[threading.Thread] = SimpleQueue()
        with self._lock:
            self._kept = 0
            waiting, self._free = self._free, 0
            for _ in range(waiting):
                self._asked.put(ended)
        for _ in range(waiting):
            ended.get().join()

    def _serve(self) -> None:
        while isinstance(asked := self._asked.get(), _Batch):
            joined = asked.help()
            with self._lock:
                stay = self._free < self._kept
                self._free += stay
            if joined:
                asked.leave()
            del asked  # and all that it holds
            if not stay:
                return
        asked.put(threading.current_thread())


_helpers = _Helpers()


def _forked() -> None:
    global _helpers
    _helpers = _Helpers()  # those of the parent that were at work are not here


# a process that forks or ends has no thread of ours that waits
os.register_at_fork(before=lambda: _helpers.end(), after_in_child=_forked)
atexit.register(lambda: _helpers.end())
