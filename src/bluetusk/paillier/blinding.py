"""Fresh obfuscators for encryption: the comb table of a public key, and the pool that idle time fills.

An obfuscator is ``hs^a mod n^2`` with `a` uniform below ``2^ceil(|n|/2)`` (suite ``djn``; PPCA 10-2023 Annex A.1), or
``r^n mod n^2`` with `r` uniform in ``Z_n^*`` (suite ``standard``). Each is used once.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bluetusk import _parallel
from bluetusk._kernels.paillier import PaillierPublic
from bluetusk._once import Uncopied
from bluetusk._powers import product_us

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["TABLE_BYTES", "Blinder", "shared_blinder"]

TABLE_BYTES = 8 << 20
"""Budget of a key's comb table."""

# A power without the table costs about seven table powers, the table about 60 of them: below this many, no table.
_TABLE_PAYS_FROM = 10

_blinders: weakref.WeakSet[Blinder] = weakref.WeakSet()
_shared: weakref.WeakValueDictionary[bytes, Blinder] = weakref.WeakValueDictionary()
_shared_lock = threading.Lock()


def shared_blinder(fingerprint: bytes, n: int, suite: str, hs: int | None) -> Blinder:
    """Return the blinder of a checked key: one for all equal keys of the process, so that its table is built once."""
    with _shared_lock:
        blinder = _shared.get(fingerprint)
        if blinder is None:
            blinder = _shared[fingerprint] = Blinder(PaillierPublic(n), suite, hs)
        return blinder


@dataclass
class _Chunk:
    """Precomputed obfuscators, those before `next` used, and the process that made them."""

    words: NDArray[np.uint64]
    next: int
    size: int
    pid: int


class Blinder(Uncopied):
    """Makes obfuscators for one public key; thread-safe, and its pool is emptied in a forked child.

    Parameters
    ----------
    kernel : PaillierPublic
        The key's arithmetic.
    suite : {"djn", "standard"}
        How obfuscators are drawn.
    hs : int or None
        The base of the ``djn`` suite.
    """

    _no_copy = "two pools could blind two ciphertexts with the same obfuscator"

    def __init__(self, kernel: PaillierPublic, suite: str, hs: int | None) -> None:
        self._kernel = kernel
        self._suite = suite
        self._hs = hs
        self._used = 0
        self._ready = False
        self._table_lock = threading.Lock()
        self._pool_lock = threading.Lock()
        self._pool: deque[_Chunk] = deque()
        self._spare: _Chunk | None = None
        _blinders.add(self)

    @property
    def kernel(self) -> PaillierPublic:
        """The key's arithmetic."""
        return self._kernel

    @property
    def cost_us(self) -> float:
        """Rough microseconds of one obfuscator, for the size of a slice."""
        bits = 64 * self._kernel.n_limbs
        return product_us(self._kernel.mont) * (1.25 * bits if self._suite == "standard" else bits / 2 / 5)

    @property
    def pooled(self) -> int:
        """Obfuscators that wait in the pool."""
        return sum(chunk.size - chunk.next for chunk in list(self._pool))

    def prepare(self, n: int) -> None:
        """Build the comb table if `n` more obfuscators make it worth while (interruptible)."""
        if self._suite != "djn" or self._ready:
            return
        with self._table_lock:
            if not self._ready and self._used + n >= _TABLE_PAYS_FROM:
                self._kernel.table_open(TABLE_BYTES)
                while not self._kernel.table_build(self._hs):
                    pass
                self._ready = True

    def fill(self, dst: NDArray[np.uint64], lo: int, hi: int) -> None:
        """Write fresh obfuscators to elements ``lo .. hi - 1`` of `dst` (the kernel's layout).

        Parameters
        ----------
        dst : ndarray of uint64
            An array of ``mont.words(n)`` words.
        lo, hi : int
            The slice; `lo` is a multiple of ``mont.lanes``.
        """
        lo = self._take(dst, lo, hi)
        if lo < hi:
            self._fresh(dst, lo, hi)

    def precompute(self, k: int, *, threads: int | None = None, progress: _parallel.Progress | None = None) -> None:
        """Add `k` obfuscators to the pool; see :meth:`PublicKey.precompute`."""
        mont = self._kernel.mont
        fresh = mont.empty(k)
        pid = os.getpid()  # a child forked meanwhile would otherwise fill its pool with the same obfuscators
        self.prepare(k)
        _parallel.run(
            k,
            lambda lo, hi: self._fresh(fresh, lo, hi),
            cost_us=self.cost_us,
            align=mont.lanes,
            threads=threads,
            progress=progress,
        )
        with self._pool_lock:
            self._pool.append(_Chunk(fresh, 0, k, pid))

    def clear(self) -> None:
        """Throw the pool away."""
        with self._pool_lock:
            self._pool.clear()
            self._spare = None

    def _take(self, dst: NDArray[np.uint64], lo: int, hi: int) -> int:
        """Move obfuscators from the pool to the front of ``[lo, hi)``; return where the rest begins."""
        mont = self._kernel.mont
        while lo < hi:
            with self._pool_lock:
                while self._pool and self._pool[0].pid != os.getpid():
                    self._pool.popleft()
                if not self._pool:
                    break
                chunk = self._pool[0]
                first = chunk.next
                count = min(hi - lo, chunk.size - first)
                if lo + count < hi:
                    count -= count % mont.lanes  # what follows must begin a group
                    if count == 0:
                        self._pool.popleft()  # fewer than a group are left: not worth a way of their own
                        continue
                chunk.next += count
                if chunk.next == chunk.size:
                    self._pool.popleft()
            # these elements are this call's alone now
            mont.gather(dst, chunk.words, np.arange(hi, dtype=np.int64) + (first - lo), lo, lo + count)
            lo += count
        return lo

    def _fresh(self, dst: NDArray[np.uint64], lo: int, hi: int) -> None:
        """Compute obfuscators; those that do not fill a group of lanes come from one whose rest the next call gets."""
        mont = self._kernel.mont
        rest = (hi - lo) % mont.lanes
        if hi - rest > lo:
            self._compute(dst, lo, hi - rest)
        if not rest:
            return
        with self._pool_lock:
            spare = self._spare
            if spare is not None and (spare.pid != os.getpid() or spare.size - spare.next < rest):
                spare = None
            first = 0 if spare is None else spare.next
            if spare is not None:
                spare.next += rest
        if spare is None:
            pid = os.getpid()
            spare = _Chunk(mont.empty(mont.lanes), rest, mont.lanes, pid)
            self._compute(spare.words, 0, mont.lanes)
            with self._pool_lock:
                self._spare = spare
        # these elements are this call's alone now
        mont.gather(dst, spare.words, np.arange(hi, dtype=np.int64) + (first - hi + rest), hi - rest, hi)

    def _compute(self, dst: NDArray[np.uint64], lo: int, hi: int) -> None:
        n = hi - lo
        self.prepare(n)
        self.power(dst, lo, hi, self.draw(n))
        if self._suite == "djn":
            self._used += n

    def power(self, dst: NDArray[np.uint64], lo: int, hi: int, a: NDArray[np.uint64]) -> None:
        """Write the obfuscators of given randomness, one row each: exponents, or units in suite ``standard``."""
        if self._suite == "standard":
            self._kernel.blind_standard(dst, lo, hi, a)
        elif self._ready:
            self._kernel.blind_table(dst, lo, hi, a)
        else:
            self._kernel.blind_power(dst, lo, hi, self._hs, a)

    def draw(self, n: int) -> NDArray[np.uint64]:
        """Return fresh randomness for :meth:`power`, one row for each of n obfuscators."""
        if self._suite == "standard":
            return self._random_units(n)
        limbs = self._kernel.n_limbs
        return np.frombuffer(os.urandom(4 * limbs * n), dtype=np.uint64).reshape(n, limbs // 2)

    def _random_units(self, n: int) -> NDArray[np.uint64]:
        """Uniform units of Z_n, by rejection, one canonical row each; a multiple of p or q has probability 2^-1000."""
        modulus, limbs = self._kernel.n, self._kernel.n_limbs
        rows: list[bytes] = []
        while len(rows) < n:
            row = os.urandom(8 * limbs)
            if 0 < int.from_bytes(row, "little") < modulus:
                rows.append(row)
        return np.frombuffer(b"".join(rows), dtype=np.uint64).reshape(n, limbs)


def _forked() -> None:
    """In a forked child: a pool shared with the parent would blind two ciphertexts with the same obfuscator."""
    global _shared_lock
    _shared_lock = threading.Lock()
    for blinder in list(_blinders):
        blinder._pool_lock = threading.Lock()
        blinder._table_lock = threading.Lock()
        blinder.clear()


os.register_at_fork(after_in_child=_forked)
