"""Many numbers in one ciphertext: decides how wide a slot is, shifts values together, masks and opens them.

Every protocol that lets a key holder open several numbers at once comes through here: :mod:`.to_shares`,
:mod:`.masked`, and the sums and products of :mod:`bluetusk.vertical`. What a slot holds, and so its largest sum, is
theirs to prove; width, layout and declared bound follow from it here, from numbers that both parties know. Nothing is
masked under a key without a proof (:mod:`.proofs`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .._kernels import pack
from .._numeric import as_int
from .._powers import product_us
from ..errors import DecryptionError, EncodingOverflow
from . import encrypting
from ._base import CipherBase
from ._join import joined
from ._standard import random_units
from ._store import DERIVED, Store, build, gathered
from .proofs import require_proven

if TYPE_CHECKING:
    from . import CipherArray, PrivateKey

__all__ = [
    "IDLE_BITS",
    "STATISTICAL_BITS",
    "Slots",
    "draw",
    "hide",
    "mask",
    "opened",
    "room",
    "tightened",
    "uniform",
    "width_of",
]

IDLE_BITS = 64
"""Bits that stay free above a plaintext under a uniform mask: their sum wraps modulo n with probability below 2^-64."""

STATISTICAL_BITS = 104
"""Bits by which a mask that is not uniform modulo n is longer than what it hides (:meth:`.RingArray.to_bytes`)."""


def width_of(bound: int, *, signed: bool = True, spare: int = 0) -> int:
    """Return the bits of a slot for sums of at most `bound` in size, with their sign, and `spare` more.

    Examples
    --------
    >>> width_of(1000), width_of(1000, signed=False)
    (11, 10)
    """
    return bound.bit_length() + signed + spare


def room(key_bits: int, *, masked: bool = False) -> int:
    """Return how many bits of a plaintext slots may fill; with `masked` :data:`IDLE_BITS` stay free above them.

    Examples
    --------
    >>> room(2048), room(2048, masked=True)
    (2046, 1983)
    """
    return key_bits - 1 - IDLE_BITS if masked else key_bits - 2


@dataclass(frozen=True)
class Slots:
    """How values lie in a plaintext: value j begins at bit ``j * width``.

    Attributes
    ----------
    width : int
        Bits of a slot.
    count : int
        Values to a ciphertext; 0 where not even one fits.
    crossed : bool
        Whether the plaintext becomes a product of two that hold `count` values each: it then has
        ``2 * count - 1`` places, and the result lies in the middle one.

    Examples
    --------
    >>> slots = Slots.fitting(2048, width_of(1000))
    >>> slots.count, slots.blocks(400)
    (186, 3)
    >>> slots.signed(slots.packed([5, -7, 0]), 3)
    [5, -7, 0]
    """

    width: int
    count: int
    crossed: bool = False

    @classmethod
    def fitting(cls, key_bits: int, width: int, *, masked: bool = False, crossed: bool = False) -> Slots:
        """Return the layout with as many slots as the key has room for."""
        places = room(key_bits, masked=masked) // width
        return cls(width, (places + 1) // 2 if crossed else places, crossed)

    @property
    def bits(self) -> int:
        """Bits of the plaintext that leaves, all its places together."""
        return self.width * (2 * self.count - 1 if self.crossed else self.count)

    @property
    def bound(self) -> int:
        """The bound that frames of such plaintexts declare: a power of two, the same whatever they hold."""
        return 1 << (self.width * self.count)

    def blocks(self, n: int) -> int:
        """Return how many ciphertexts n values take."""
        return -(-n // self.count)

    def packed(self, values: Sequence[int]) -> list[int]:
        """Return plaintexts that hold the values."""
        k = self.count
        return [sum(v << (self.width * j) for j, v in enumerate(values[i : i + k])) for i in range(0, len(values), k)]

    def shifted(self, c: CipherArray) -> CipherArray:
        """Shift encrypted values together: block by block the sum of value j times ``2^(width j)``, by Horner's rule.

        The result is what arithmetic makes of `c`, with its proven bound; :func:`mask` hides where it came from.
        """
        flat = c.reshape(-1)
        whole = len(flat) - len(flat) % self.count
        parts = [part for part in (flat[:whole].reshape(-1, self.count), flat[whole:].reshape(1, -1)) if part.size]
        step = 1 << self.width
        return joined([reduce(lambda total, column: total * step + column, rows.T[::-1]) for rows in parts], 0)

    def signed(self, blocks: Sequence[int], n: int) -> list[int]:
        """Return the n values of opened plaintexts, exactly, each with its own sign.

        Raises
        ------
        DecryptionError
            If a plaintext goes on beyond its last value.
        """
        values: list[int] = []
        half = 1 << (self.width - 1)
        for block in blocks:
            rest = block
            for _ in range(min(self.count, n - len(values))):
                value = ((rest + half) & (2 * half - 1)) - half
                values.append(value)
                rest = (rest - value) >> self.width
            if rest:
                raise DecryptionError("a block of values goes on beyond its last value")
        return values

    def floors(self, blocks: Sequence[int], n: int) -> list[int]:
        """Return n numbers ``floor(block / 2^(width j))``: modulo 2^width the values, or one less by what lies below.

        For shares of what one mask covers, and for slots without signs, which nothing borrows from.
        """
        return [block >> (self.width * j) for block in blocks for j in range(self.count)][:n]


def draw(bits: int, count: int, source: Callable[[int], bytes] = os.urandom) -> list[int]:
    """Return masks: integers uniform below 2^bits."""
    width = -(-bits // 8)
    data, low = source(width * count), (1 << bits) - 1
    return [int.from_bytes(data[i : i + width], "little") & low for i in range(0, len(data), width)]


def uniform(n: int, count: int, source: Callable[[int], bytes] = os.urandom) -> list[int]:
    """Return masks: integers uniform on [0, n)."""
    masks: list[int] = []
    while len(masks) < count:
        masks += [rho for rho in draw(n.bit_length(), count - len(masks), source) if rho < n]
    return masks


def hide(
    c: CipherArray,
    masks: Sequence[int],
    *,
    source: Callable[[int], bytes] = os.urandom,
    threads: int | None = None,
) -> CipherArray:
    """Add a mask that is uniform modulo n to each plaintext, and multiply by r^n with a fresh unit r.

    What the key holder opens is uniform on [0, n) and independent of the plaintext, whatever it had encrypted: also for
    a plaintext beyond every bound. The ciphertext is a uniform encryption of it if gcd(n, phi(n)) = 1
    (:mod:`.proofs`).

    Parameters
    ----------
    c : CipherArray, shape (k,)
        Of integers.
    masks : sequence of int
        From :func:`uniform`, one for each ciphertext.
    source : callable
        Where r comes from.
    threads : int, optional
        Overrides :func:`bluetusk.set_num_threads`.

    Returns
    -------
    CipherArray
        To leave by ``to_bytes()``; its bound is the key's capacity.

    Raises
    ------
    InvalidKey
        If the key is not proven.

    Examples
    --------
    >>> import bluetusk as bt
    >>> masks = uniform(pub.n, 1)
    >>> (opened(priv, hide(pub.encrypt([-3], bt.FixedPoint.integers(9)), masks))[0] - masks[0]) % pub.n == pub.n - 3
    True
    """
    n = c.public_key.n
    return _blinded(c, [rho - n if rho > n // 2 else rho for rho in masks], c._capacity(), threads, source)


def mask(c: CipherArray, masks: Sequence[int] | None, bound: int, *, threads: int | None = None) -> CipherArray:
    """Add a mask to each encrypted integer, and multiply by r^n with a fresh unit r.

    Under suite ``djn`` whoever encrypted the operands knows their randomness, and could infer from that of a result how
    it was computed. After r^n the ciphertext is any encryption of its plaintext.

    Parameters
    ----------
    c : CipherArray, shape (n,)
        Of integers.
    masks : sequence of int or None
        Not negative, one a ciphertext; None for plaintexts that the key holder may learn.
    bound : int
        Bound of the sums, from numbers that both parties know.
    threads : int, optional
        Overrides :func:`bluetusk.set_num_threads`.

    Returns
    -------
    CipherArray
        To leave by ``to_bytes(bound)``.

    Raises
    ------
    EncodingOverflow
        If the array's proven bound and the largest mask exceed `bound`.
    InvalidKey
        If the key is not proven.
    ValueError
        If the number of masks is not that of the ciphertexts.

    Examples
    --------
    >>> import bluetusk as bt
    >>> slots = Slots.fitting(2048, width_of(100))
    >>> c = mask(slots.shifted(pub.encrypt([70, -3], bt.FixedPoint.integers(100))), None, slots.bound)
    >>> slots.signed(opened(priv, c), 2)
    [70, -3]
    """
    if (reached := c.bound + max(masks or (), default=0)) > bound:
        raise EncodingOverflow(f"masked values have {reached.bit_length()} bits, but bound has {bound.bit_length()}")
    return _blinded(c, [0] * c.size if masks is None else masks, bound, threads)


def _blinded(
    c: CipherArray,
    masks: Sequence[int],
    bound: int,
    threads: int | None,
    source: Callable[[int], bytes] = os.urandom,
) -> CipherArray:
    """Add integers of at most the key's capacity in size, and multiply by r^n."""
    pub, n = c.public_key, c.size
    require_proven(pub)
    kernel, mont = pub._kernel, pub._kernel.mont
    if len(masks) != n:
        raise ValueError(f"masks has {len(masks)} numbers for {n} ciphertexts: give one for each")
    values = np.empty(n, dtype=object)
    values[:] = masks
    rows = encrypting.residue_rows(pub, values, None)
    plain = gathered(c._store, c._flat(), threads=threads)
    # of a seed the units are drawn in order, whichever thread works on which rows
    units = None if source is os.urandom else random_units(kernel, n, source)

    def work(dst: NDArray[np.uint64], lo: int, hi: int) -> None:
        kernel.blind_standard(dst, 0, hi - lo, random_units(kernel, hi - lo) if units is None else units[lo:hi])
        kernel.mul_plain(dst, dst, None, rows(lo, hi), 0, hi - lo, True)
        mont.mul(dst, dst, None, plain.words, np.arange(lo, hi, dtype=np.int64), 0, hi - lo)

    cost_us = 1.25 * pub.bits * product_us(mont)
    words = build(mont, n, work, cost_us=cost_us, threads=threads)
    return type(c)._make(Store(mont, words, n, DERIVED), np.arange(n, dtype=np.int64), pub, c.plan, c.frac, bound, None)


def opened(priv: PrivateKey, c: CipherBase, *, threads: int | None = None) -> list[int]:
    """Return the plaintexts, centred around 0, whatever bound the array declares: the caller checks their range."""
    rows = encrypting._decrypted_rows(priv, c, threads, None)
    return [int(v) for v in pack.ints_from_residues(rows, int(priv.public_key.n))]


def tightened(c: CipherArray, bound: int) -> CipherArray:
    """Return a view with a tighter proven bound, one that the caller has proved and arithmetic could not know.

    A sum of different rows, say, stays below their number times their bound, however it was put together. The bound
    only ever falls: one above the array's own changes nothing.

    Examples
    --------
    >>> import bluetusk as bt
    >>> c = pub.encrypt([1, 2], bt.FixedPoint.integers(10))
    >>> tightened(c - c[::-1], 9).bound, tightened(c, 99).bound
    (9, 10)
    """
    view = c._view(c._index)
    view._bound = min(c.bound, as_int(bound, "bound", 0))
    return view
