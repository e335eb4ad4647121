"""Packs gradient and Hessian of a row into one integer; encrypts, sums and opens these integers.

Both are fixed-point numbers of f fractional bits, g in [-1, 1] and h in [0, 1/4]. A row is the integer g 2^w + h, where
w bits hold the sum of h over all rows. So a sum of rows has h in its low w bits and g above them, and one product of
ciphertexts adds both.

What the guest encrypts is what it says only if it follows the protocol. :meth:`Layout.closed` limits what another guest
can open, whatever it encrypted.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._numeric import Bools, Floats, Ints
from ...encoding import FixedPoint
from ...errors import ProtocolAbort
from ...paillier.array import CipherArray, concatenate, encrypt_integers
from ...paillier.keys import PrivateKey, PublicKey
from ...paillier.seed import Seed
from ...paillier.slots import Slots, hide, opened, tightened, uniform, width_of
from .buckets import Cuts
from .model import Settings

__all__ = ["MOST_BYTES", "Layout", "gains", "histograms", "least_of_class", "left_sums", "plain_sums"]

MOST_BYTES = 1 << 30
"""Most bytes of the sums of a level, whatever a host states of its columns."""
_OPENED = 512  # ciphertexts at a time
_Reals = NDArray[np.floating[Any]]
_PLAN = FixedPoint.integers(limit=1, max_weight=1)


@dataclass(frozen=True)
class Layout:
    """Widths for a number of rows.

    Attributes
    ----------
    rows : int
        Number of rows of the training.
    frac_bits : int
        Fractional bits, the f of the module's docstring.

    Examples
    --------
    >>> layout = Layout(rows=100, frac_bits=10)
    >>> layout.opened(sum(layout.packed(np.array([5, -9]), np.array([3, 4]))))
    (-4, 7)
    """

    rows: int
    frac_bits: int

    @property
    def h_bits(self) -> int:
        """The width w: bits of the largest sum of h."""
        return (self.rows << (self.frac_bits - 2)).bit_length()

    @property
    def bound(self) -> int:
        """Largest absolute value of a row."""
        return (1 << (self.frac_bits + self.h_bits)) + (1 << (self.frac_bits - 2))

    @property
    def slot_bits(self) -> int:
        """Bits of a sum with its sign, when several are shifted into one ciphertext."""
        return width_of(self.rows * self.bound)

    def slots(self, pub: PublicKey) -> Slots:
        """Return the slots of sums in a ciphertext."""
        return Slots.fitting(pub.bits - 3, self.slot_bits)  # 4 idle bits and more, for the proof of closed()

    def packed(self, g: Ints, h: Ints) -> NDArray[Any]:
        """Return rows as Python integers."""
        return np.asarray((g.astype(object) << self.h_bits) + h.astype(object))

    def opened(self, value: int) -> tuple[int, int]:
        """Return g and h of a sum."""
        return value >> self.h_bits, value & ((1 << self.h_bits) - 1)

    def encrypted(self, priv: PrivateKey, g: Ints, h: Ints, seed: Seed | None = None) -> bytes:
        """Encrypt rows with the private key and return the frame to send."""
        c = encrypt_integers(priv, self.packed(g, h), _PLAN, frac=0, bound=self.bound, seed=seed)
        return c.to_bytes(bound=self.bound)

    def received(self, part: bytes | memoryview, pub: PublicKey, rows: int, party: str) -> CipherArray:
        """Read and check encrypted rows: one ciphertext each, freshly encrypted."""
        c = CipherArray.from_bytes(part, pub)
        if c.shape != (rows,) or c.packed or c.frac or not c.fresh or c.bound != self.bound:
            raise ProtocolAbort(f"the guest must send {rows} freshly encrypted rows of gradients", party=party)
        return c

    def closed(self, sums: list[CipherArray]) -> bytes:
        """Shift sums together and return the frame for the key's owner, who learns only the sums from it.

        Under suite ``djn`` the owner knows the randomness of its encryptions, and could find the rows in a sum from the
        sum's randomness. So each ciphertext is multiplied by r^n, r a fresh unit: it is then a uniform encryption of
        its plaintext.

        An owner that encrypted other numbers than it declared would read more than sums: one that encrypts 2^i for row
        i finds the rows of a sum in its bits, and a plaintext that holds few sums has room for 2000 rows. So above the
        k sums of a plaintext a random number fills all bits that are left. Then the owner learns at most
        ``k * slot_bits + 2`` bits from it, whatever it had encrypted:

        Let v in [0, n) be the plaintext, W = 2^(k slot_bits) and M = floor(n / W), at least 16 by :meth:`slots`. It
        opens x = v + R W mod n, with R uniform on the M - 2 values from 1. The low bits l = v mod W are k slot_bits
        bits. Given them, x is congruent modulo W to l or, after a wrap, to l - n: at most 2 (M + 1) values. Given v, x
        is uniform on M - 2 values. So x tells about v at most log2(2 (M + 1) / (M - 2)) < 2 bits besides l.

        For an honest owner |v| < W / 2, so v + R W lies in [0, n) and never wraps: the sums stay exact.
        """
        c = concatenate(sums) if len(sums) > 1 else sums[0]
        pub, count = c.public_key, c.size
        slots = self.slots(pub)
        # each is a sum of distinct rows, which bounds it more tightly than histogram and cumsum do
        packed = slots.shifted(tightened(c, self.rows * self.bound))
        above: list[int] = []
        for block in range(packed.size):
            first = slots.width * min(slots.count, count - block * slots.count)
            above.append((1 + uniform((pub.n >> first) - 2, 1)[0]) << first)
        hidden = hide(packed, above)
        return hidden.to_bytes(hidden.bound)

    def unpacked(self, priv: PrivateKey, part: bytes | memoryview, count: int, party: str) -> tuple[Ints, Ints]:
        """Open the sums of a frame of :meth:`closed`; return g and h of each.

        Whatever was encrypted, this ends in numbers: a host that computes on the gradients could make an error depend
        on a label. A sum whose g is out of range gets -1 as its h, which no split can have (:func:`gains`).
        """
        pub = priv.public_key
        slots = self.slots(pub)
        c = CipherArray.from_bytes(part, pub)
        if c.shape != (slots.blocks(count),) or c.packed or c.frac:
            raise ProtocolAbort(f"the host must send sums of {count} values", party=party)
        half = 1 << (slots.width - 1)
        raised = sum(half << (slots.width * j) for j in range(slots.count))  # so that no slot borrows from the next
        low = 2 * half - 1  # what the host put above the sums is left out
        most = self.rows << self.frac_bits
        sums = np.empty((2, count), np.int64)
        for first in range(0, c.size, _OPENED):  # Python's integers take many times the size of the frame
            wide = [v % int(pub.n) + raised for v in opened(priv, c[first : first + _OPENED])]
            start = first * slots.count
            values = slots.floors(wide, count - start)
            pairs = [self.opened((value & low) - half) for value in values]
            sums[:, start : start + len(pairs)] = np.transpose([p if abs(p[0]) <= most else (0, -1) for p in pairs])
        return sums[0], sums[1]


def histograms(c: CipherArray, codes: NDArray[np.uint8], width: int) -> CipherArray:
    """Return the sums of each feature's buckets, shape (features, width)."""
    return c.bincount(codes, width)


def left_sums(histogram: CipherArray, cuts: Cuts, order: Ints) -> CipherArray:
    """Return the sums of the rows that go left by each split, in a given order.

    `histogram` has shape (features, buckets + 1), with missing values last.
    """
    buckets = histogram.shape[1] - 1
    plain = histogram[:, :buckets].cumsum(axis=1)
    feature, cut, with_missing = cuts.feature[order], cuts.cut[order], cuts.missing_left[order]
    if not with_missing.any():
        return plain[feature, cut]
    wanted = np.unique(feature[with_missing])
    more = plain[wanted] + histogram[wanted, buckets:]
    both = concatenate([plain.reshape(-1), more.reshape(-1)])
    at = np.where(with_missing, plain.size + np.searchsorted(wanted, feature) * buckets + cut, feature * buckets + cut)
    return both[at]


def plain_sums(values: Ints, codes: NDArray[np.uint8], width: int, cuts: Cuts) -> Ints:
    """Return the same sums for plain integers, whose sums are below 2^53."""
    features = codes.shape[1]
    if not features:
        return np.zeros(0, np.int64)
    flat = codes.astype(np.int64) + width * np.arange(features)
    weights = np.repeat(values.astype(np.float64), features)
    table = np.bincount(flat.reshape(-1), weights=weights, minlength=features * width).reshape(features, width)
    below = table[:, :-1].cumsum(axis=1)[cuts.feature, cuts.cut]
    return (below + np.where(cuts.missing_left, table[cuts.feature, -1], 0.0)).astype(np.int64)


_ANCHORS = np.linspace(0.0, 1.0, 9)


def least_of_class(member: Bools, d: _Reals, h: _Reals, left_d: _Reals, left_h: _Reals) -> Floats:
    """Return how many rows of a class lie left of each split at least, as far as its two sums tell.

    Before a host has sent the rows of a split, the guest knows only the sums of g and h on its left. They bound the
    rows of a class there: with m_i = 1 for a row of the class and 0 for another, and e_i = a d_i + b h_i - m_i for any
    numbers a and b,

        sum_left m_i  =  a sum_left d_i + b sum_left h_i - sum_left e_i
                     >=  a sum_left d_i + b sum_left h_i - sum_node max(0, e_i).

    The best a and b of this linear program have two rows with e_i = 0. Tried are those for a row of the class and one
    of the others, each at 9 quantiles of its probability.

    Parameters
    ----------
    member : ndarray of bool, shape (rows,)
        Which rows of the node are of the class.
    d, h : ndarray of float64, shape (rows,)
        By row the class, 1 or 0, less its probability p, and p (1 - p).
    left_d, left_h : ndarray of float64, shape (splits,)
        Their sums on the left.

    Returns
    -------
    ndarray of float64, shape (splits,)
        Bounds, which may exceed the truth by rounding, less than 0.01.

    Examples
    --------
    >>> member = np.arange(20) < 10
    >>> d, h = member - 0.5, np.full(20, 0.25)
    >>> least_of_class(member, d, h, np.array([1.5]), np.array([1.75])).tolist()  # 5 rows of the class, 2 others
    [5.0]
    """
    best, p = np.zeros(len(left_d)), member - d
    anchors = [np.quantile(p[m] if m.any() else p, _ANCHORS) for m in (member, ~member)]
    for one, other in itertools.product(*(np.unique(np.clip(q, 0.0, 1.0 - 1e-6)) for q in anchors)):
        b = 1.0 / ((1.0 - one) * (1.0 + one - other))
        a = b * (1.0 - other)
        best = np.maximum(best, a * left_d + b * left_h - np.maximum(a * d + b * h - member, 0.0).sum())
    return best


def gains(g: Ints, h: Ints, total: tuple[int, int], settings: Settings) -> Floats:
    """Return the gain of each split from g and h of its left side; -inf where a side has too small a sum of Hessians.

    Adding the terms of both sides in either order gives the same float, so a split and its mirror image are equal.
    """
    unit, reg_lambda, least = 2.0**-settings.frac_bits, settings.reg_lambda, settings.min_child_weight
    left, right = g * unit, (total[0] - g) * unit
    weight_left, weight_right = h * unit, (total[1] - h) * unit
    whole = (total[0] * unit) ** 2 / (total[1] * unit + reg_lambda) if total[1] * unit + reg_lambda > 0 else 0.0
    fits = (weight_left >= least) & (weight_right >= least)
    fits &= (weight_left + reg_lambda > 0) & (weight_right + reg_lambda > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = left**2 / (weight_left + reg_lambda) + right**2 / (weight_right + reg_lambda) - whole
    return np.where(fits, found, -np.inf)
