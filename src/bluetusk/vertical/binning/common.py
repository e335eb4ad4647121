"""Shared by both halves of the joint binning: the steps, the number that encodes a row, the packing of bins."""

from __future__ import annotations

from dataclasses import dataclass

from ...encoding import FixedPoint
from ...errors import FrameError
from ...paillier.array import CipherArray
from ...paillier.keys import PublicKey
from ...paillier.slots import Slots, width_of

__all__ = ["MAX_ROWS", "Layout", "label_plan", "received"]

MAX_ROWS = 1 << 30


def label_plan() -> FixedPoint:
    """Return the plan that encrypted labels carry."""
    return FixedPoint.integers(1, max_weight=2)


@dataclass(frozen=True)
class Layout:
    """One row is the number ``1 + y 2^w``, a bin their sum: rows in its low w bits, events above them.

    Attributes
    ----------
    rows : int
        Number of rows of the tables.

    Examples
    --------
    >>> layout = Layout(100)
    >>> layout.w, layout.bound, layout.slots(2048).count
    (7, 129, 146)
    """

    rows: int

    @property
    def w(self) -> int:
        """Bits of the number of rows."""
        return self.rows.bit_length()

    @property
    def bound(self) -> int:
        """The largest number that encodes a row."""
        return (1 << self.w) + 1

    def slots(self, key_bits: int) -> Slots:
        """Return the slots of bins in a ciphertext: their sums are not negative, so a slot has no sign bit."""
        return Slots.fitting(key_bits, width_of(self.rows * self.bound, signed=False))


def received(data: memoryview, pub: PublicKey, count: int, bound: int) -> CipherArray:
    """Return the array that a peer sent, checked so that later arithmetic on it cannot fail."""
    c = CipherArray.from_bytes(data, pub)
    if c.packed or c.frac or c.shape != (count,) or c.bound != bound or c.plan != label_plan():
        raise FrameError(f"the other party must send {count} integers of at most {bound.bit_length()} bits, not {c!r}")
    return c
