"""What both halves of the joint binning agree on: its steps, what a row is encrypted as, how bins are packed."""

from __future__ import annotations

from dataclasses import dataclass

from ...encoding import FixedPoint
from ...errors import FrameError
from ...paillier.array import CipherArray
from ...paillier.keys import PublicKey
from ...paillier.slots import Slots, width_of

__all__ = ["MAX_ROWS", "PARTS", "Layout", "label_plan", "part_of", "received"]

PARTS = 8
"""Steps in which the labels are sent."""
MAX_ROWS = 1 << 30


def part_of(n: int, i: int) -> slice:
    """Return which of n rows are encrypted in step i + 1."""
    return slice(n * i // PARTS, n * (i + 1) // PARTS)


def label_plan() -> FixedPoint:
    """Return the plan that encrypted labels carry."""
    return FixedPoint.integers(1, max_weight=2)


@dataclass(frozen=True)
class Layout:
    """One row is the number ``1 + y 2^w``, a bin their sum: rows in its low w bits, events above them.

    Attributes
    ----------
    rows : int
        All rows of the tables.

    Examples
    --------
    >>> layout = Layout(100)
    >>> layout.w, layout.bound, layout.slots(2048).count
    (7, 129, 146)
    """

    rows: int

    @property
    def w(self) -> int:
        """Bits of a number of rows."""
        return self.rows.bit_length()

    @property
    def bound(self) -> int:
        """Largest number of a row."""
        return (1 << self.w) + 1

    def slots(self, key_bits: int) -> Slots:
        """Return how bins lie in a ciphertext: their sums are not negative, so a slot has no sign."""
        return Slots.fitting(key_bits, width_of(self.rows * self.bound, signed=False))


def received(data: memoryview, pub: PublicKey, count: int, bound: int) -> CipherArray:
    """Return the array that a peer sent, if it is what is due: then its arithmetic cannot fail later."""
    c = CipherArray.from_bytes(data, pub)
    if c.packed or c.frac or c.shape != (count,) or c.bound != bound or c.plan != label_plan():
        raise FrameError(f"{count} integers below {bound.bit_length()} bits are due, the other party sent {c!r}")
    return c
