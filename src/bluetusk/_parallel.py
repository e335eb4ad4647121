"""Splits batches over threads, reports progress and honours Ctrl-C.

A batch of `n` elements is cut into slices of at most about 50 ms of work each, so that a signal is seen and progress
moves. A slice is a half-open range ``[lo, hi)``; slices begin at multiples of `align`, because a backend keeps its
elements in groups (``bt_mont.h``). Slices write to disjoint places, so results never depend on the number of threads.

The calling thread works too; its helpers are persistent threads, because a batch may take no longer than starting a
thread. Each takes the next slice when it has finished one, and slices become small towards the end, so all end
together.
"""

from __future__ import annotations

import atexit
import bisect
import contextlib
import itertools
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._numeric import as_int

__all__ = [
    "LEAST_US",
    "get_num_threads",
    "num_threads",
    "resolve_threads",
    "run",
    "run_slices",
    "set_num_threads",
    "slices_by_cost",
]

Progress = Callable[[int, int], None]
"""Called as ``progress(done, total)`` from the calling thread, after each finished slice."""
Slice = tuple[int, int]

_SLICE_US = 50_000.0
LEAST_US = 500.0
"""Of the last slices, so that threads end within so long of each other; a batch that is shorter wakes no helper."""
_MAX_THREADS = 1024
_MOMENT = 0.1  # seconds after which a waiting thread checks whether to stop waiting
_num_threads: int | None = None
_block_threads: ContextVar[int | None] = ContextVar("_block_threads", default=None)


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
    if (count := _block_threads.get()) is not None:
        return count
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


@contextlib.contextmanager
def num_threads(threads: int | None) -> Iterator[None]:
    """Set how many threads the batches of a ``with`` block use, operators too, in the thread that runs it alone.

    Parameters
    ----------
    threads : int, optional
        As for :func:`set_num_threads`; None changes nothing.

    Raises
    ------
    TypeError, ValueError
        As :func:`resolve_threads`.

    Examples
    --------
    >>> with num_threads(3):
    ...     get_num_threads()
    3
    """
    token = _block_threads.set(resolve_threads(threads) if threads is not None else _block_threads.get())
    try:
        yield
    finally:
        _block_threads.reset(token)


def resolve_threads(threads: int | None) -> int:
    """Return the number of threads for a call's argument `threads`; None means the default.

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
        thread. The first exception that it raises stops the batch and is raised here. With `progress` it may be
        called again for a slice: in a child that `progress` forked, for slices that helpers of the parent had begun.
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

    Otherwise as :func:`run`; `total` is the second argument of `progress`.
    """
    batch = _Batch(slices, work)
    try:
        _helpers.ask(batch, min(resolve_threads(threads), len(batch.slices)) - 1)
        for number in batch.take():
            work(*batch.slices[number])
            batch.finished[number] = 1
            if progress is not None:
                progress(batch.done(), total)
        while batch.missing() is not None:
            if batch.helped():
                batch.wait()
            elif (left := batch.missing()) is None:  # the last helper was just leaving
                break
            elif progress is None:
                raise RuntimeError(
                    "the process was forked in the middle of a batch, by a signal handler or a finaliser, and the "
                    "batch's other threads are missing here: compute again"
                )
            else:  # the callback forked, and the slice's thread stayed behind
                work(*batch.slices[left])
                batch.finished[left] = 1
            if progress is not None and batch.news():
                progress(batch.done(), total)
        if progress is not None and batch.news():
            progress(batch.done(), total)
    finally:
        # on Ctrl-C or an error: let the slices in flight end (<= 50 ms), start no other
        batch.open = False
        while batch.helped():
            batch.wait()
    if batch.errors:
        raise batch.errors.pop(0)


class _Batch:
    """The slices of a batch, which the calling thread and its helpers take one after the other.

    It has no lock, because a lock may stay locked: a signal may raise in the calling thread at any line, and a forked
    child has none of the threads that would unlock. Slices are given out by a counter, whose ``next`` is atomic. What
    is finished is marked slice by slice, so that a child that goes on with a batch of its parent finds which slices the
    helpers had begun.
    """

    def __init__(self, slices: Iterable[Slice], work: Callable[[int, int], None]) -> None:
        self.slices = list(slices)
        self.open = True
        self.finished = bytearray(len(self.slices))
        self.errors: list[BaseException] = []
        self._work = work
        self._sizes = [hi - lo for lo, hi in self.slices]
        self._next = itertools.count()
        self._helpers: list[_Helper] = []  # those that came
        self._reports: SimpleQueue[None] = SimpleQueue()  # one for each thing that a helper has done
        self._told = 0

    def take(self) -> Iterator[int]:
        """Yield numbers of slices that nobody else gets, until there are none or the batch is over."""
        while self.open and not self.errors and (number := next(self._next)) < len(self.slices):
            yield number

    def help(self, helper: _Helper) -> None:
        """Take slices until there are none, in a helper's thread."""
        self._helpers.append(helper)
        try:
            for number in self.take():
                self._work(*self.slices[number])
                self.finished[number] = 1
                self._reports.put(None)
        except BaseException as error:
            self.errors.append(error)

    def left(self) -> None:
        """Wake the caller: a helper has gone on to other work."""
        self._reports.put(None)

    def helped(self) -> bool:
        """Return whether helpers are still at work on it."""
        # no generator in any(): it would swallow an interrupt that comes while it is closed
        for helper in self._helpers:  # noqa: SIM110
            if helper.batch is self and helper.is_alive():
                return True
        return False

    def wait(self) -> None:
        """Wait until a helper has done something, or for a moment."""
        with contextlib.suppress(Empty):
            self._reports.get(timeout=_MOMENT)

    def missing(self) -> int | None:
        """Return the number of a slice that is not finished; None if all are, or one has failed."""
        if self.errors:
            return None
        number = self.finished.find(0)
        return None if number < 0 else number

    def done(self) -> int:
        """Return how many elements are finished."""
        self._told = sum(itertools.compress(self._sizes, self.finished))
        return self._told

    def news(self) -> bool:
        """Return whether more is finished than :meth:`done` last returned."""
        return self._told < sum(itertools.compress(self._sizes, self.finished))


class _Helper(threading.Thread):
    """A thread that waits for batches to help with."""

    def __init__(self, crew: _Helpers, place: int) -> None:
        super().__init__(name="bluetusk", daemon=True)
        self.batch: _Batch | None = None  # at work on
        self._crew, self._place = crew, place

    def run(self) -> None:
        """Help with batches until asked to end, or no longer needed."""
        while self._crew.join(self, self._place):
            asked = self._crew.asked.get()
            if isinstance(asked, _End):
                if asked.open:
                    break
                continue
            self.batch = batch = asked()
            if batch is None:
                continue  # over before this thread came to it
            batch.help(self)
            self.batch = None
            batch.left()
            del batch  # and all that it holds
            if not self._crew.wants(self):
                break
        self._crew.drop(self, self._place)


class _End:
    """Asks a thread that waits to end."""

    def __init__(self) -> None:
        self.open = True


class _Helpers:
    """The helpers of a process: as many as the largest batch asked for, until a smaller one lets the surplus go.

    Batches side by side share them. Nothing but the threads themselves is counted, so no count can be wrong.
    """

    def __init__(self) -> None:
        self.asked: SimpleQueue[weakref.ref[_Batch] | _End] = SimpleQueue()
        self._places: dict[int, _Helper] = {}
        self._wanted = 0

    def ask(self, batch: _Batch, count: int) -> None:
        """Send `count` helpers to a batch, or as many as the system allows; those at work elsewhere come later.

        None where the interpreter ends: other threads do not run any more, and Python 3.11 waits for a new one without
        end.
        """
        if count <= 0 or sys.is_finalizing():
            return
        self._wanted = count
        for place, helper in list(self._places.items()):
            if not helper.is_alive():
                self.drop(helper, place)
        there = len(self._places)
        free = [place for place in range(count) if place not in self._places]
        for place in free[: max(0, count - there)]:
            try:
                _Helper(self, place).start()
            except RuntimeError:  # no more threads
                break
            there += 1
        for _ in range(min(count, there)):
            self.asked.put(weakref.ref(batch))

    def join(self, helper: _Helper, place: int) -> bool:
        """Let a new helper take its place; False if another has it. Only the thread itself knows that it has begun."""
        return self._places.setdefault(place, helper) is helper

    def wants(self, helper: _Helper) -> bool:
        """Return whether a helper is to stay: if fewer wait than the latest batch asked for."""
        waiting = sum(other.batch is None and other is not helper for other in list(self._places.values()))
        return waiting < self._wanted

    def drop(self, helper: _Helper, place: int) -> None:
        """Forget a helper."""
        if self._places.get(place) is helper:
            self._places.pop(place, None)

    def end(self) -> None:
        """Let the threads that wait end, and wait until they have; those at work end once they have helped."""
        self._wanted = 0
        end = _End()
        threads = list(self._places.values())
        for _ in threads:
            self.asked.put(end)
        until = time.monotonic() + _MOMENT
        for thread in threads:
            while thread.batch is None and thread.is_alive() and time.monotonic() < until:
                thread.join(0.001)
        end.open = False


_helpers = _Helpers()


def _forked() -> None:
    global _helpers
    _helpers = _Helpers()  # those of the parent that were at work are not here


# a process that forks or ends has no thread of ours that waits
os.register_at_fork(before=lambda: _helpers.end(), after_in_child=_forked)
atexit.register(lambda: _helpers.end())
