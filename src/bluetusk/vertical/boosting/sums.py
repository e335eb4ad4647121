"""Packs gradient and Hessian of a row into one integer; encrypts, sums and opens these integers.

Both are fixed-point numbers of f fractional bits, g in [-1, 1] and h in [0, 1/4]. A row is the integer g 2^w + h, where
w bits hold the sum of h over all rows. So a sum of rows has h in its low w bits and g above them, and one product of
ciphertexts adds both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._numeric import Floats, Ints
from ...encoding import FixedPoint
from ...errors import DecryptionError, ProtocolAbort
from ...paillier.array import CipherArray, concatenate, encrypt_integers
from ...paillier.keys import PrivateKey, PublicKey
from ...paillier.seed import Seed
from ...paillier.slots import Slots, mask, tightened, width_of
from .buckets import Cuts
from .model import Settings

__all__ = ["Layout", "gains", "histograms", "left_sums", "plain_sums"]


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
        return Slots.fitting(pub.bits, self.slot_bits)

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
        """
        c = concatenate(sums) if len(sums) > 1 else sums[0]
        slots = self.slots(c.public_key)
        # each is a sum of distinct rows, which bounds it more tightly than histogram and cumsum do
        packed = slots.shifted(tightened(c, self.rows * self.bound))
        return mask(packed, None, slots.bound).to_bytes(slots.bound)

    def unpacked(self, priv: PrivateKey, part: bytes | memoryview, count: int, party: str) -> tuple[Ints, Ints]:
        """Open the sums of a frame of :meth:`closed`; return g and h of each."""
        pub = priv.public_key
        slots = self.slots(pub)
        c = CipherArray.from_bytes(part, pub)
        if c.shape != (slots.blocks(count),) or c.packed or c.frac:
            raise ProtocolAbort(f"the host must send sums of {count} values", party=party)
        blocks = priv.decrypt_integers(c).tolist()
        try:
            sums = slots.signed(blocks, count)
        except DecryptionError:
            raise ProtocolAbort("a block of sums exceeds its slots", party=party) from None
        pairs = [self.opened(value) for value in sums]
        if any(abs(g) > self.rows << self.frac_bits for g, _ in pairs):
            raise ProtocolAbort("a sum of gradients is out of range", party=party)
        return np.array([g for g, _ in pairs], np.int64), np.array([h for _, h in pairs], np.int64)


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
