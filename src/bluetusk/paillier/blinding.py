"""Fresh obfuscators for encryption: the comb table of a public key, and the pool that idle time fills.

An obfuscator is ``hs^a mod n^2`` with `a` uniform below ``2^ceil(|n|/2)`` (suite ``djn``; PPCA 10-2023 Annex A.1), or
``r^n mod n^2`` with `r` uniform in ``Z_n^*`` (suite ``standard``). Each is used once.
"""

from __future__ import annotations

import os
import sys
import time
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from bluetusk import _parallel
from bluetusk._fork import process
from bluetusk._kernels.paillier import PaillierPublic
from bluetusk._once import Uncopied
from bluetusk.paillier._scheme import Scheme

__all__ = ["TABLE_BYTES", "Blinder", "shared_blinder"]

TABLE_BYTES = 8 << 20
"""Budget of a key's comb table."""

# A power without the table costs about seven table powers, the table about 60 of them: below this many, no table.
_TABLE_PAYS_FROM = 10
_STEP_S = 0.001  # about a step of the table's making
_PIECE = 256  # obfuscators that threads take out of a pool at once
_SPARES = 8  # rests of groups that are kept

_blinders: weakref.WeakSet[Blinder] = weakref.WeakSet()
_shared: weakref.WeakValueDictionary[bytes, Blinder] = weakref.WeakValueDictionary()


def shared_blinder(fingerprint: bytes, n: int, scheme: Scheme, hs: int | None) -> Blinder:
    """Return the blinder of a checked key: one for all equal keys of the process, so that its table is built once."""
    blinder = _shared.get(fingerprint)
    if blinder is None:
        blinder = _shared.setdefault(fingerprint, Blinder(scheme.public(n), scheme, hs))
    return blinder


@dataclass(frozen=True)
class _Piece:
    """Unused obfuscators: elements ``first .. last - 1`` of a buffer, and the process that made them."""

    words: NDArray[np.uint64]
    first: int
    last: int
    process: object

    @property
    def size(self) -> int:
        return self.last - self.first


class Blinder(Uncopied):
    """Makes obfuscators for one public key; thread-safe, and its pool is emptied in a forked child.

    There is no lock that an interrupt or a fork could leave locked. The pool is a queue of pieces: who takes one out
    has it alone and puts back what is left of it, so an interrupt may lose a piece, but nothing is used twice. The
    table is built in steps by whoever needs it; a thread that finds another at a step waits for its end. It never waits
    for itself: a step runs no Python code, so a finaliser or a signal handler never finds its own thread at work.

    Parameters
    ----------
    kernel : PaillierPublic
        The key's arithmetic.
    scheme : Scheme
        How obfuscators are drawn and made.
    hs : int or None
        The base of the obfuscators, where the scheme has one.

    Attributes
    ----------
    proven : bool
        Whether this process knows that n is coprime to phi(n) and hs an n-th residue; it holds for all equal keys.
    """

    _no_copy = "two pools could blind two ciphertexts with the same obfuscator"

    def __init__(self, kernel: PaillierPublic, scheme: Scheme, hs: int | None) -> None:
        self.kernel = kernel
        self._scheme = scheme
        self._hs = hs
        self._used = 0
        self._ready = False
        self.proven = False
        self._pool: deque[_Piece] = deque()
        self._spare: deque[_Piece] = deque(maxlen=_SPARES)
        _blinders.add(self)

    @property
    def cost_us(self) -> float:
        """Rough microseconds of one obfuscator, for the size of a slice."""
        return self._scheme.cost_us(self.kernel)

    @property
    def pooled(self) -> int:
        """Obfuscators that wait in the pool."""
        return sum(piece.size for piece in list(self._pool))

    def prepare(self, n: int) -> None:
        """Build the comb table if `n` more obfuscators make it worth while (interruptible)."""
        if not self._scheme.has_base or self._ready or self._used + n < _TABLE_PAYS_FROM:
            return
        self.kernel.table_open(TABLE_BYTES)
        while not self._ready:
            try:
                self._ready = self.kernel.table_build(self._hs)
            except RuntimeError:  # noqa: PERF203  (another thread takes a step)
                if sys.is_finalizing():
                    return  # that thread does not run any more: the table stays as it is, powers need none
                time.sleep(_STEP_S)

    def fill(self, dst: NDArray[np.uint64], lo: int, hi: int) -> None:
        """Write fresh obfuscators to elements ``lo .. hi - 1`` of `dst` (the kernel's layout).

        Parameters
        ----------
        dst : ndarray of uint64
            An array of ``mont.words(n)`` words.
        lo, hi : int
            The slice; `lo` is a multiple of ``mont.lanes``.
        """
        here = None
        while here is not process():  # a fork meanwhile: the parent uses these
            here = process()
            first = self._take(dst, lo, hi)
            if first < hi:
                self._fresh(dst, first, hi)

    def precompute(self, k: int, *, threads: int | None = None, progress: _parallel.Progress | None = None) -> None:
        """Add `k` obfuscators to the pool; see :meth:`PublicKey.precompute`."""
        mont = self.kernel.mont
        self.prepare(k)
        here = None
        while here is not process():  # in a child that was forked meanwhile, some of them are the parent's
            here, fresh = process(), mont.empty(k)
            _parallel.run(
                k,
                partial(self._fresh, fresh),
                cost_us=self.cost_us,
                align=mont.lanes,
                threads=threads,
                progress=progress,
            )
        size = -(-_PIECE // mont.lanes) * mont.lanes
        self._pool.extend([_Piece(fresh, first, min(first + size, k), here) for first in range(0, k, size)])

    def clear(self) -> None:
        """Throw the pool away."""
        self._pool.clear()
        self._spare.clear()

    def _take(self, dst: NDArray[np.uint64], lo: int, hi: int) -> int:
        """Move obfuscators from the pool to the front of ``[lo, hi)``; return where the rest begins."""
        mont = self.kernel.mont
        while lo < hi and (piece := self._pop(self._pool)) is not None:
            count = min(hi - lo, piece.size)
            if lo + count < hi:
                count -= count % mont.lanes  # what follows must begin a group
                if count == 0:
                    continue  # fewer than a group are left: not worth a separate path
            self._use(self._pool, piece, count, dst, lo)
            lo += count
        return lo

    def _pop(self, pieces: deque[_Piece]) -> _Piece | None:
        """Take out the first piece that this process made, for the caller alone."""
        while True:
            try:
                piece = pieces.popleft()
            except IndexError:
                return None
            if piece.process is process():
                return piece

    def _use(self, pieces: deque[_Piece], piece: _Piece, count: int, dst: NDArray[np.uint64], at: int) -> None:
        """Write the first `count` elements of a piece that was taken out to ``at ..``, put back what follows them."""
        if count < piece.size:
            pieces.appendleft(_Piece(piece.words, piece.first + count, piece.last, piece.process))
        index = np.arange(at + count, dtype=np.int64) + (piece.first - at)
        self.kernel.mont.gather(dst, piece.words, index, at, at + count)

    def _fresh(self, dst: NDArray[np.uint64], lo: int, hi: int) -> None:
        """Compute obfuscators; those that do not fill a group of lanes come from one whose rest the next call gets."""
        mont = self.kernel.mont
        rest = (hi - lo) % mont.lanes
        if hi - rest > lo:
            self._compute(dst, lo, hi - rest)
        if not rest:
            return
        spare = self._pop(self._spare)
        if spare is None or spare.size < rest:
            here = process()
            words = mont.empty(mont.lanes)
            self._compute(words, 0, mont.lanes)
            spare = _Piece(words, 0, mont.lanes, here)
        self._use(self._spare, spare, rest, dst, hi - rest)

    def _compute(self, dst: NDArray[np.uint64], lo: int, hi: int) -> None:
        n = hi - lo
        self.prepare(n)
        scheme, kernel = self._scheme, self.kernel
        scheme.power(kernel, None if self._ready else self._hs, dst, lo, hi, scheme.draw(kernel, n))
        self._used += n

    def power(self, dst: NDArray[np.uint64], lo: int, hi: int, random: NDArray[np.uint64]) -> None:
        """Write the obfuscators of given randomness, one row each, as the scheme draws it."""
        self._scheme.power(self.kernel, None if self._ready else self._hs, dst, lo, hi, random)

    def draw(self, n: int, source: Callable[[int], bytes] = os.urandom) -> NDArray[np.uint64]:
        """Return randomness for :meth:`power`, one row for each of n obfuscators, from the bytes of a source."""
        return self._scheme.draw(self.kernel, n, source)


def _forked() -> None:
    """In a forked child: a pool shared with the parent would blind two ciphertexts with the same obfuscator."""
    for blinder in list(_blinders):
        blinder.clear()


os.register_at_fork(after_in_child=_forked)
