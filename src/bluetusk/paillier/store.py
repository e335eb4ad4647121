"""The buffer behind encrypted arrays: ciphertexts in the backend's layout, and what each one's history demands.

A store holds n ciphertexts in one contiguous buffer. Arrays that show the same ciphertexts (slices, reshapes,
transposes) share the store, so when an element is re-randomised before it leaves, every view leaves with the same
bytes. Except for that, a store never changes.
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .. import _parallel
from .._powers import product_us
from ..errors import InvalidCiphertext

if TYPE_CHECKING:
    from .._kernels.modexp import Montgomery
    from .keys import PublicKey

__all__ = [
    "DERIVED",
    "FRESH",
    "PENDING",
    "Store",
    "build",
    "canonical_slices",
    "empty",
    "gathered",
    "load_checked",
    "ones",
    "part",
    "reading",
    "rerandomise",
]

Words = NDArray[np.uint64]
Index = NDArray[np.int64]

FRESH = 0
"""Came from an encryption, so its randomness is its own."""
DERIVED = 1
"""Result of arithmetic that was re-randomised since, or came in a frame that says so: its bytes stay as they are."""
PENDING = 2
"""Result of arithmetic: its randomness is that of its operands, so it must be re-randomised before it leaves."""

_CHUNK = 2048


def part(mont: Montgomery, words: Words, lo: int, hi: int) -> Words:
    """Return elements ``lo .. hi - 1`` of a buffer as a buffer of their own; `lo` is a multiple of the lanes."""
    return words[mont.words(lo) : mont.words(hi)]


def empty(mont: Montgomery, n: int) -> Words:
    """Return a zeroed buffer for n elements.

    Raises
    ------
    MemoryError
        Naming the number, if no machine has that much memory, or this one has not.
    """
    _check_room(mont, n)
    return mont.empty(n)


def ones(mont: Montgomery, n: int) -> Words:
    """Return a buffer of n elements that are 1; raises as :func:`empty`."""
    _check_room(mont, n)
    return mont.ones(n)


def _check_room(mont: Montgomery, n: int) -> None:
    width = 8 * mont.limbs
    if (n + mont.lanes) * width > sys.maxsize:
        raise MemoryError(f"the result has {n} ciphertexts of {width} bytes, beyond all memory: make it smaller")


class Store:
    """`n` ciphertexts in the layout of `mont`, their state, and a lock between readers and the one in-place writer.

    Any number of threads may read; re-randomisation waits until none does. Readers hold several stores at a time but
    never write, and a writer holds one store only, so no cycle of waits can form.

    A child that is forked while other threads of its parent read or write has none of these threads, so there the lock
    starts anew. Elements and their state change together and never during a fork (:meth:`commit`), so the child finds
    each either as it was or as it became.
    """

    __slots__ = ("__weakref__", "_cond", "_readers", "_writing", "mont", "n", "state", "words")

    def __init__(self, mont: Montgomery, words: Words, n: int, state: int = PENDING) -> None:
        self.mont = mont
        self.words = words
        self.n = n
        self.state: NDArray[np.uint8] = np.full(n, state, dtype=np.uint8) if state else np.zeros(n, dtype=np.uint8)
        self._reset()
        _stores.add(self)

    def _reset(self) -> None:
        self._cond = threading.Condition()
        self._readers = 0
        self._writing = False

    @contextmanager
    def read(self) -> Iterator[Words]:
        """Hold the buffer still while its elements are read."""
        with self._cond:
            while self._writing:
                self._cond.wait()
            self._readers += 1
        try:
            yield self.words
        finally:
            with self._cond:
                self._readers -= 1
                self._cond.notify_all()

    @contextmanager
    def write(self) -> Iterator[Words]:
        """Change elements in place with no reader about."""
        with self._cond:
            while self._writing or self._readers:
                self._cond.wait()
            self._writing = True
        try:
            yield self.words
        finally:
            with self._cond:
                self._writing = False
                self._cond.notify_all()

    def commit(self, lo: int, hi: int, words: Words, at: Index) -> None:
        """Replace elements ``lo .. hi - 1``, of which those at ``lo + at`` were re-randomised; the caller writes."""
        with _commits:
            part(self.mont, self.words, lo, hi)[:] = words
            self.state[lo + at] = DERIVED


_stores: weakref.WeakSet[Store] = weakref.WeakSet()
_commits = threading.RLock()
"""Held for the copying of one chunk, and by whoever forks."""


def _forked() -> None:
    for store in list(_stores):
        store._reset()
    _commits.release()


os.register_at_fork(before=_commits.acquire, after_in_parent=_commits.release, after_in_child=_forked)


@contextmanager
def reading(*stores: Store) -> Iterator[None]:
    """Hold several stores still."""
    if not stores:
        yield
        return
    with stores[0].read(), reading(*stores[1:]):
        yield


def gathered(store: Store, index: Index, *, threads: int | None = None) -> Store:
    """Return a compact store of the elements ``index`` (flat), in that order, each with its state."""
    mont = store.mont
    n = len(index)
    words = empty(mont, n)

    def work(lo: int, hi: int) -> None:
        mont.gather(part(mont, words, lo, hi), source, index[lo:hi], 0, hi - lo)

    with store.read() as source:
        _parallel.run(n, work, cost_us=0.02 * mont.limbs, align=mont.lanes, threads=threads)
        state = store.state[index]
    out = Store(mont, words, n, FRESH)
    out.state = state
    return out


def rerandomise(store: Store, index: Index, key: PublicKey, *, threads: int | None = None) -> None:
    """Multiply every element of ``index`` that is still pending by a fresh obfuscator, in place, once.

    Nothing is lost when it is interrupted: a chunk is as it was, or done.
    """
    if not (store.state[index] == PENDING).any():
        return
    mont = store.mont
    wanted = np.zeros(store.n, dtype=bool)
    wanted[index] = True
    chunk = -(-_CHUNK // mont.lanes) * mont.lanes
    key._blinder.prepare(int((wanted & (store.state == PENDING)).sum()))
    with store.write() as words:
        wanted &= store.state == PENDING  # another thread may have done some of them meanwhile
        for lo in range(0, store.n, chunk):
            hi = min(lo + chunk, store.n)
            at = np.flatnonzero(wanted[lo:hi])
            if len(at):
                blinded = part(mont, words, lo, hi).copy()
                _multiply_by_obfuscators(key, mont, blinded, at, hi - lo, threads)
                store.commit(lo, hi, blinded, at)


def _multiply_by_obfuscators(
    key: PublicKey, mont: Montgomery, words: Words, at: Index, n: int, threads: int | None
) -> None:
    # the neighbours that stay as they are meet a one, kept in a group of its own before the obfuscators
    first = mont.lanes
    blinds = ones(mont, first + len(at))

    def fill(lo: int, hi: int) -> None:
        key._blind(part(mont, blinds, first + lo, first + hi), 0, hi - lo)

    def multiply(lo: int, hi: int) -> None:
        here = part(mont, words, lo, hi)
        mont.mul(here, here, None, blinds, which[lo:hi], 0, hi - lo)

    which = np.zeros(n, dtype=np.int64)
    which[at] = first + np.arange(len(at))
    _parallel.run(len(at), fill, cost_us=key._blinder.cost_us, align=mont.lanes, threads=threads)
    _parallel.run(n, multiply, cost_us=product_us(mont), align=mont.lanes, threads=threads)


def canonical_slices(
    store: Store, index: Index, *, threads: int | None = None, chunk: int = _CHUNK
) -> Iterator[tuple[int, Words]]:
    """Yield ``(first, canonical)`` for consecutive pieces of the elements ``index``, canonical of shape (k, limbs)."""
    mont = store.mont
    for first in range(0, len(index), chunk):
        piece = np.ascontiguousarray(index[first : first + chunk])
        canon = np.empty((len(piece), mont.limbs), dtype=np.uint64)
        with store.read() as source:
            _store_into(mont, canon, source, piece, threads)
        yield first, canon


def _store_into(mont: Montgomery, canon: Words, source: Words, piece: Index, threads: int | None) -> None:
    def work(lo: int, hi: int) -> None:
        mont.store(canon[lo:hi], source, piece[lo:hi], 0, hi - lo)

    _parallel.run(len(piece), work, cost_us=product_us(mont), align=mont.lanes, threads=threads)


def load_checked(key: PublicKey, words: Words, canon: Words, first: int, *, threads: int | None = None) -> None:
    """Convert canonical numbers from outside into a buffer, refusing what is no ciphertext.

    A ciphertext is an integer c with 0 < c < n^2 and gcd(c, n) = 1. The product of a slice is prime to n exactly if
    every factor is, so one product each and one gcd serve the whole slice.

    Raises
    ------
    InvalidCiphertext
        Naming the first bad element, counted from `first`.
    """
    kernel = key._kernel
    mont = kernel.mont
    bad: list[int] = []

    def work(lo: int, hi: int) -> None:
        found = kernel.load_checked(part(mont, words, lo, hi), canon[lo:hi], 0, hi - lo)
        if found >= 0:
            bad.append(lo + found)

    _parallel.run(len(canon), work, cost_us=2 * product_us(mont), align=mont.lanes, threads=threads)
    if bad:
        raise InvalidCiphertext(
            f"ciphertext {first + min(bad)} is none under this key (0, not below n^2, or not prime to n): the data is "
            "damaged, made under another key, or its sender must not be trusted"
        )


def build(
    mont: Montgomery,
    n: int,
    work: Callable[[Words, int, int], None],
    *,
    cost_us: float,
    slice_us: float | None = None,
    threads: int | None = None,
    progress: _parallel.Progress | None = None,
) -> Words:
    """Return a new buffer of n elements that ``work(buffer of lo..hi-1, lo, hi)`` fills slice by slice."""
    words = empty(mont, n)

    def one(lo: int, hi: int) -> None:
        work(part(mont, words, lo, hi), lo, hi)

    _parallel.run(n, one, cost_us=cost_us, align=mont.lanes, slice_us=slice_us, threads=threads, progress=progress)
    return words
