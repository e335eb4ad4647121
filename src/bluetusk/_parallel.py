"""The one place that splits a batch over threads, reports progress and honours Ctrl-C.

A batch of `n` elements is cut into slices of at most about 50 ms of work each, so that a signal is seen and progress
moves. A slice is a half-open range ``[lo, hi)``; slices begin at multiples of `align`, because a backend keeps its
elements in groups (``bt_mont.h``). Slices write to disjoint places, so results never depend on the number of threads.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from ._numeric import as_int

__all__ = ["get_num_threads", "resolve_threads", "run", "set_num_threads"]

Progress = Callable[[int, int], None]
"""Called as ``progress(done, total)`` from the calling thread, after each finished slice."""

_SLICE_US = 50_000.0
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


def _slices(n: int, size: int) -> Iterator[tuple[int, int]]:
    for lo in range(0, n, size):
        yield lo, min(lo + size, n)


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
    """Call ``work(lo, hi)`` for slices that cover ``range(n)``, about as long as each other.

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
        Microseconds that a slice may take, at most 100,000: more than usual where each slice pays for a check.
    threads : int, optional
        Overrides :func:`set_num_threads`.
    progress : callable, optional
        Called as ``progress(done, n)`` in the calling thread.
    """
    count = resolve_threads(threads)
    if n <= 0:
        return
    slices = -(-n // max(1, int((slice_us or _SLICE_US) / max(cost_us, 1e-3))))
    slices = -(-slices // count) * count  # every thread the same number of them
    size = -(-n // slices)
    size = -(-size // align) * align
    if count == 1 or n <= size:
        for lo, hi in _slices(n, size):
            work(lo, hi)
            if progress is not None:
                progress(hi, n)
        return
    stop = threading.Event()

    def guarded(lo: int, hi: int) -> int:
        if not stop.is_set():
            work(lo, hi)
        return hi - lo

    done = 0
    parts = _slices(n, size)
    executor = ThreadPoolExecutor(max_workers=count, thread_name_prefix="bluetusk")
    running: set[Future[int]] = set()
    try:
        for lo, hi in parts:
            running.add(executor.submit(guarded, lo, hi))
            if len(running) < 2 * count:
                continue
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                done += future.result()
            if progress is not None:
                progress(done, n)
        while running:
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                done += future.result()
            if progress is not None:
                progress(done, n)
    finally:
        # on Ctrl-C or an error: let the slices in flight end (<= 50 ms), start no other
        stop.set()
        executor.shutdown(wait=True, cancel_futures=True)
