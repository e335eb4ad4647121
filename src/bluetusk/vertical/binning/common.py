"""Shared by both halves of the joint binning: the steps, the number that encodes a row, the packing of bins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..._numeric import Ints
from ...encoding import FixedPoint
from ...errors import FrameError, ProtocolAbort
from ...evidence.book import seed_for
from ...paillier import array as arrays
from ...paillier.array import CipherArray
from ...paillier.keys import PrivateKey, PublicKey
from ...paillier.slots import Slots, width_of
from ...tasks import BINNING
from ...wire.frame import field
from ..protocol.link import Link

__all__ = ["MAX_ROWS", "REVEALABLE", "ROW", "Layout", "Terms", "encrypted_labels", "label_plan", "received"]

MAX_ROWS = 1 << 30
_W = 31
"""Bits for the number of rows: the same for all tables, so that a row's ciphertext serves in any of them."""
REVEALABLE = ("woe",)
"""What `reveal` may name."""
ROW = (1 << _W) + 1
"""The largest number that encodes a row."""


class Terms(NamedTuple):
    """What a party requires of the bins, and what of the labels the host may learn.

    Attributes
    ----------
    min_rows, min_events, min_others : int
        Least rows, events and other rows of a bin; of both parties' numbers the larger applies.
    reveal : tuple of str
        ("woe",) or (): the same at both.
    noise_sigma : int
        Of the noise on the counts from which weights are revealed: the same at both.

    Examples
    --------
    >>> Terms(50, 5, 5, (), 10).details()
    {'min_rows': 50, 'min_events': 5, 'min_others': 5}
    """

    min_rows: int
    min_events: int
    min_others: int
    reveal: tuple[str, ...]
    noise_sigma: int

    def stated(self) -> dict[str, Any]:
        """Return the fields of the guest's message."""
        return {**self._asdict(), "reveal": list(self.reveal)}

    def details(self) -> dict[str, Any]:
        """Return what a policy is asked about; nothing about revealing where nothing is revealed."""
        shown = {"reveal": self.reveal} if self.reveal else {}
        return {"min_rows": self.min_rows, "min_events": self.min_events, "min_others": self.min_others, **shown}

    def joint(self, fields: Mapping[str, Any], link: Link) -> Terms:
        """Return the terms that apply at a host, which these are of, after the guest's message.

        Raises
        ------
        ProtocolAbort
            If the parties differ in what is revealed.
        """
        least = {
            name: max(getattr(self, name), field(fields, name, int, low=name == "min_rows", high=MAX_ROWS))
            for name in ("min_rows", "min_events", "min_others")
        }
        theirs = tuple(field(fields, "reveal", list, high=len(REVEALABLE), items=str))
        sigma = field(fields, "noise_sigma", int, low=1, high=MAX_ROWS)
        if theirs != self.reveal or (theirs and sigma != self.noise_sigma):
            link.abort("the parties differ in reveal or noise_sigma")
            raise ProtocolAbort(
                f"the guest says reveal={theirs!r} and noise_sigma={sigma}, this host reveal={self.reveal!r} and "
                f"noise_sigma={self.noise_sigma}: agree on one",
                party=link.peer,
            )
        return self._replace(**least)


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
    >>> layout.w, layout.bound == 2**31 + 1, layout.slots(2048).count
    (31, True, 53)
    """

    rows: int

    @property
    def w(self) -> int:
        """Bits for the number of rows."""
        return _W

    @property
    def bound(self) -> int:
        """The largest number that encodes a row."""
        return ROW

    def slots(self, key_bits: int) -> Slots:
        """Return the slots of bins in a ciphertext: their sums are not negative, so a slot has no sign bit."""
        return Slots.fitting(key_bits, width_of(self.rows * self.bound, signed=False))


def encrypted_labels(priv: PrivateKey, labels: Ints) -> CipherArray:
    """Return the rows with these labels, encrypted."""
    ints = 1 + (labels << _W)
    seed = seed_for(priv.public_key, BINNING.name, "labels", ints)
    return arrays.encrypt_integers(priv, ints, label_plan(), frac=0, bound=ROW, seed=seed)


def received(data: memoryview, pub: PublicKey, count: int, bound: int = ROW) -> CipherArray:
    """Return the array that a peer sent, checked so that later arithmetic on it cannot fail."""
    c = CipherArray.from_bytes(data, pub)
    if c.packed or c.frac or c.shape != (count,) or c.bound != bound or c.plan != label_plan():
        raise FrameError(f"the other party must send {count} integers of at most {bound.bit_length()} bits, not {c!r}")
    return c
