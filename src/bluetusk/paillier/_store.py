"""The buffer behind encrypted arrays: ciphertexts in the backend's layout, and what each one's history demands.

A store holds n ciphertexts in one contiguous buffer. Arrays that show the same ciphertexts (slices, reshapes,
transposes) share the store, so when an element is re-randomised before it leaves, every view leaves with the same
bytes. Except for that, a store never changes.

A store has no lock: see :class:`Store`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .. import _parallel
from .._powers import product_us
from ..errors import InvalidCiphertext

if TYPE_CHECKING:
    from .._kernels.modexp import Montgomery
    from . import PublicKey

__all__ = [
    "DERIVED",
    "FRESH",
    "PENDING",
    "Store",
    "build",
    "canonical_slices",
    "current",
    "empty",
    "gather",
    "gathered",
    "load_checked",
    "ones",
    "part",
    "picked",
    "rerandomise",
]

Words = NDArray[np.uint64]
Index = NDArray[np.int64]
State = NDArray[np.uint8]

FRESH = 0
"""Came from an encryption, so its randomness is fresh."""
DERIVED = 1
"""Result of arithmetic that was re-randomised since, or came in a frame that marks it so: its bytes do not change."""
PENDING = 2
"""Result of arithmetic: its randomness is that of its operands, so it must be re-randomised before it leaves."""

_CHUNK = 2048


def part(mont: Montgomery, words: Words, lo: int, hi: int) -> Words:
    """Return elements ``lo .. hi - 1`` of a buffer, a view; `lo` is a multiple of the lanes."""
    return words[mont.words(lo) : mont.words(hi)]


def empty(mont: Montgomery, n: int) -> Words:
    """Return a zeroed buffer for n elements.

    Raises
    ------
    MemoryError
        If the buffer does not fit in memory; the message names its size.
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
        raise MemoryError(f"the result has {n} ciphertexts of {width} bytes, more than fits in memory: make it smaller")


class Shown:
    """What a store shows: ciphertexts and the state of each. Neither ever changes.

    Where elements were re-randomised, `leaving` has those that may leave; arithmetic may go on with these.
    """

    __slots__ = ("_leaving", "state", "words")

    def __init__(self, words: Words, state: State) -> None:
        self.words, self.state = words.view(), state.view()
        self.words.flags.writeable = self.state.flags.writeable = False
        self._leaving: dict[int, _Leaving] = {}

    @property
    def leaving(self) -> _Leaving | None:
        """What was re-randomised of it, if anything was."""
        return self._leaving.get(0)

    def begin(self, mont: Montgomery, n: int) -> _Leaving:
        """Return `leaving`, the same to every caller."""
        return self._leaving.get(0) or self._leaving.setdefault(0, _Leaving(mont, n, self))


class Store:
    """`n` ciphertexts in the layout of `mont`, and their state.

    `shown` is the one reference to both, so a reader that takes it needs no lock. To re-randomise, new ciphertexts are
    made beside those shown; when all are new, `shown` is replaced.

    There is no lock because no lock is safe here: a signal may raise between any two lines, a callback or a finaliser
    may come back to the same store on the same thread, and a fork leaves the threads behind that would have unlocked.
    Instead every step that counts is one call of ``dict.setdefault``, which is atomic: the first to offer something
    wins, and all others take what it offered.
    """

    __slots__ = ("mont", "n", "shown")

    def __init__(self, mont: Montgomery, words: Words, n: int, state: int | State = PENDING) -> None:
        self.mont = mont
        self.n = n
        self.shown = Shown(words, np.full(n, state, dtype=np.uint8) if isinstance(state, int) else state)

    @property
    def words(self) -> Words:
        """The ciphertexts, for arithmetic: what is to leave, or to be copied, is found by :func:`current`."""
        return self.shown.words


class _Block:
    """One chunk of a store as it may leave; `home` if it lies where the whole store is put together."""

    __slots__ = ("_later", "home", "state", "words")

    def __init__(self, words: Words, state: State, *, home: bool = False) -> None:
        self.words, self.state, self.home = words, state, home
        self._later: dict[int, _Block] = {}

    def newest(self) -> _Block:
        """Return the block that has replaced this one, or itself."""
        block = self
        while (later := block._later.get(0)) is not None:
            block = later
        return block

    def replace(self, block: _Block) -> bool:
        """Let another block follow; False if one does already."""
        return self._later.setdefault(0, block) is block


class _Leaving:
    """The elements of a store as they may leave, chunk by chunk.

    A store that leaves as a whole is put together in one new buffer, each chunk by whoever claims it first. A claim is
    only for that and for the order of work: if nothing comes of it, because of an interrupt or a fork or because it
    takes too long, others make the chunk elsewhere. The first block that replaces another counts, and threads that come
    too late find their elements done.
    """

    def __init__(self, mont: Montgomery, n: int, base: Shown) -> None:
        self.mont, self.n = mont, n
        self.size = -(-_CHUNK // mont.lanes) * mont.lanes
        self.words = empty(mont, n)
        self._claims: dict[int, object] = {}
        self._blocks = [
            _Block(part(mont, base.words, lo, min(lo + self.size, n)), base.state[lo : lo + self.size])
            for lo in range(0, n, self.size)
        ]

    def block(self, chunk: int) -> _Block:
        """Return a chunk as it is now."""
        block = self._blocks[chunk] = self._blocks[chunk].newest()
        return block

    def claim(self, chunk: int) -> bool:
        """Return whether the caller is the first to ask for a chunk."""
        mine = object()
        return self._claims.setdefault(chunk, mine) is mine

    def advance(self, chunk: int, at: Index, key: PublicKey, *, claimed: bool, threads: int | None) -> None:
        """Re-randomise those elements ``at`` of a chunk that still are to be."""
        mont, block = self.mont, self.block(chunk)
        at = at[block.state[at] == PENDING]
        if not len(at):
            return
        whole, lo = len(at) == len(block.state), chunk * self.size
        home = whole and claimed
        made = part(mont, self.words, lo, lo + len(at)) if home else empty(mont, len(at))
        _blinded(key, mont, made, block.words, at, threads)
        slots = np.arange(len(at))
        while len(at):
            state = block.state.copy()
            state[at] = DERIVED
            words = made if len(at) == len(state) else _merged(mont, block, at, made, slots)
            if block.replace(_Block(words, state, home=home)):
                return
            block, home = block.newest(), False  # another was faster: what it did counts
            left = block.state[at] == PENDING
            at, slots = at[left], slots[left]

    def whole(self) -> Shown | None:
        """Return all elements as they may leave, once none is pending."""
        blocks = [self.block(chunk) for chunk in range(len(self._blocks))]
        state = np.concatenate([block.state for block in blocks])
        if (state == PENDING).any():
            return None
        at_home = all(block.home for block in blocks)
        return Shown(self.words if at_home else np.concatenate([block.words for block in blocks]), state)

    def current(self, index: Index) -> tuple[Words, Index, State]:
        """See :func:`current`."""
        chunk, inside = np.divmod(index, self.size)
        chunks = np.unique(chunk)
        blocks = [self.block(int(each)) for each in chunks]
        first = np.searchsorted(chunks, chunk) * self.size
        words = np.concatenate([block.words for block in blocks])
        return words, first + inside, np.concatenate([block.state for block in blocks])[first + inside]


def _blinded(key: PublicKey, mont: Montgomery, out: Words, source: Words, at: Index, threads: int | None) -> None:
    """Write the elements ``at`` of a buffer, each times a fresh obfuscator."""

    def work(lo: int, hi: int) -> None:
        here = part(mont, out, lo, hi)
        key._blind(here, 0, hi - lo)
        mont.mul(here, here, None, source, at[lo:hi], 0, hi - lo)

    cost_us = key._blinder.cost_us + product_us(mont)
    _parallel.run(len(at), work, cost_us=cost_us, align=mont.lanes, threads=threads)


def _merged(mont: Montgomery, block: _Block, at: Index, made: Words, slots: Index) -> Words:
    """Return a block's ciphertexts, with elements ``slots`` of another buffer at the places ``at``."""
    n = len(block.state)
    which = np.arange(n, dtype=np.int64)
    which[at] = -(-n // mont.lanes) * mont.lanes + slots
    words = empty(mont, n)
    mont.gather(words, np.concatenate([block.words, made]), which, 0, n)
    return words


def current(store: Store, index: Index) -> tuple[Words, Index, State]:
    """Return a buffer with the elements ``index`` (flat) as they may leave, their places in it, and their states."""
    shown = store.shown
    leaving = shown.leaving
    if leaving is None or not len(index):
        return shown.words, index, shown.state[index]
    return leaving.current(index)


def gathered(store: Store, index: Index, *, threads: int | None = None) -> Store:
    """Return a compact store of the elements ``index`` (flat), in that order, each with its state."""
    source, at, state = current(store, index)
    return Store(store.mont, picked(store.mont, source, at, threads), len(index), state)


def picked(mont: Montgomery, source: Words, index: Index, threads: int | None = None) -> Words:
    """Return a buffer of the elements ``index`` of another one, in that order."""
    words = empty(mont, len(index))
    gather(mont, words, source, index, threads)
    return words


def gather(mont: Montgomery, words: Words, source: Words, index: Index, threads: int | None = None) -> None:
    """Copy the elements ``index`` of another buffer to the beginning of ``words``, slice by slice."""

    def work(lo: int, hi: int) -> None:
        mont.gather(part(mont, words, lo, hi), source, index[lo:hi], 0, hi - lo)

    _parallel.run(len(index), work, cost_us=0.02 * mont.limbs, align=mont.lanes, threads=threads)


def rerandomise(store: Store, index: Index, key: PublicKey, *, threads: int | None = None) -> None:
    """Multiply every element of ``index`` that is still pending by a fresh obfuscator, once.

    A store of which all elements leave takes a second buffer while they are made; after that the first one is let go.
    If only some leave, chunks that hold them are copied. What an interrupt finds done stays done.
    """
    shown = store.shown
    wanted = np.zeros(store.n, dtype=bool)
    wanted[index] = True
    wanted &= shown.state == PENDING
    if not wanted.any():
        return
    leaving = shown.begin(store.mont, store.n)
    parts = [
        (chunk, at)
        for chunk, lo in enumerate(range(0, store.n, leaving.size))
        if len(at := np.flatnonzero(wanted[lo : lo + leaving.size]))
    ]
    key._blinder.prepare(sum(int((leaving.block(chunk).state[at] == PENDING).sum()) for chunk, at in parts))
    later = []
    for chunk, at in parts:  # first what no other thread has begun
        if leaving.claim(chunk):
            leaving.advance(chunk, at, key, claimed=True, threads=threads)
        else:
            later.append((chunk, at))
    for chunk, at in later:
        leaving.advance(chunk, at, key, claimed=False, threads=threads)
    if store.shown is shown and (whole := leaving.whole()) is not None:
        store.shown = whole


def canonical_slices(
    store: Store, index: Index, *, threads: int | None = None, chunk: int = _CHUNK
) -> Iterator[tuple[int, Words]]:
    """Yield ``(first, canonical)`` for consecutive pieces of the elements ``index``, canonical of shape (k, limbs)."""
    mont = store.mont
    source, places, _ = current(store, index)
    for first in range(0, len(index), chunk):
        piece = np.ascontiguousarray(places[first : first + chunk])
        canon = np.empty((len(piece), mont.limbs), dtype=np.uint64)

        def work(lo: int, hi: int, canon: Words = canon, piece: Index = piece) -> None:
            mont.store(canon[lo:hi], source, piece[lo:hi], 0, hi - lo)

        _parallel.run(len(piece), work, cost_us=product_us(mont), align=mont.lanes, threads=threads)
        yield first, canon


def load_checked(key: PublicKey, words: Words, canon: Words, first: int, *, threads: int | None = None) -> None:
    """Convert canonical numbers from outside into a buffer, refusing any that is not a ciphertext.

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
            f"ciphertext {first + min(bad)} is invalid under this key (0, at least n^2, not prime to n): the data is "
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
