"""One party's half of a trained model: its shares of all weights, and how its columns become rows of fixed point.

Neither half alone says anything of a coefficient: shares are uniform modulo 2^96.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..._numeric import Floats, Ints
from ...errors import FrameError
from ...paillier import PrivateKey, PublicKey
from ...wire.frame import field
from ..protocol.link import array_from
from . import products, ring
from .columns import BinnedColumns, BinnedPeer, Bins, Columns, Peer, PlainColumns, PlainPeer
from .ring import Ring
from .whitening import Whitening

__all__ = ["COEF_BITS", "EXACT_BITS", "POINTS", "ROW_BITS", "Half", "Points", "from_hex", "point_share"]

ROW_BITS = 12
"""Fractional bits of the rows; with 6 bits before the point they stay below 2^18."""
COEF_BITS = 20
"""Fractional bits of the weights, residuals and gradients."""
EXACT_BITS = 20
"""Fractional bits of exact scores."""
POINTS = 10
"""Bits of the points of a score: they open modulo 2^10, whatever the score is."""

_MOST = (1 << products.ENTRY_BITS) - 1
_FACTOR_DIGITS = 6
_TO_DOUBLE = 20.0
_AVERAGE = 256
_MOST_UNIT = 92.0  # so that probabilities from 0.33 below the average to 1.04 above it do not meet modulo 2^10


@dataclass(frozen=True)
class Points:
    """How the guest turns scores into points; the host does not know it.

    Attributes
    ----------
    factor : int
        Points of a unit of the score, with 6 binary digits.
    offset : float
        Points of the score 0.

    Examples
    --------
    >>> scale = Points.of(0.5, 0.125, intercept=True)
    >>> scale.unit, scale.offset, scale.scores(np.array([256, 276]))
    (14.421875, 256.0, array([0.        , 1.38678223]))
    """

    factor: int
    offset: float

    @classmethod
    def of(cls, rate: float, slope: float, *, intercept: bool) -> Points:
        """Return the scale with which 20 points double the odds near the average customer, who has 256 of 1024.

        Fewer where events are rarer than some 4 %, or others are: at most 92 points a unit of the score.

        For a linear probability p = 1/2 + slope z the log odds have the derivative ``slope / (p (1 - p))``. `rate` is
        the share of events, by their weights.
        """
        rate = min(max(rate, 1e-3), 1.0 - 1e-3)
        unit = min(_TO_DOUBLE / np.log(2.0) * slope / (rate * (1.0 - rate)), _MOST_UNIT)
        factor = round(unit * (1 << _FACTOR_DIGITS))
        centre = (rate - 0.5) / slope if intercept else 0.0
        return cls(factor, _AVERAGE - factor / (1 << _FACTOR_DIGITS) * centre)

    @property
    def unit(self) -> float:
        """Points of a unit of the score."""
        return self.factor / (1 << _FACTOR_DIGITS)

    def scores(self, points: Ints) -> Floats:
        """Return the scores that points stand for."""
        return np.asarray((points - self.offset) / self.unit, np.float64)

    def points(self, scores: Floats) -> Ints:
        """Return the points of scores, modulo 2^10."""
        return np.rint(scores * self.unit + self.offset).astype(np.int64) & ((1 << POINTS) - 1)


def from_hex(text: str) -> float:
    """Return the finite number that :meth:`float.hex` wrote so; ValueError if it would have written otherwise."""
    try:
        value = float.fromhex(text)
    except OverflowError:
        raise ValueError("beyond every double") from None
    if not math.isfinite(value) or value.hex() != text:
        raise ValueError("not a finite number in canonical hexadecimal form")
    return value


def point_share(product: Ring, guest: bool, offset: float) -> Ints:
    """Return this party's share, modulo 2^10, of the points.

    Rounded on shares: up or down at random, and right in the mean.

    Parameters
    ----------
    product : Ring
        Its share of the scores times the factor.
    guest : bool
        Whether this is the guest's, which brings in the offset.
    offset : float
        Of :class:`Points`.
    """
    digits = ROW_BITS + COEF_BITS + _FACTOR_DIGITS
    if guest:
        product = ring.words((product + round(offset * (1 << digits))).tolist())
    cut = ring.truncate(product, digits, guest)
    return np.array([v & ((1 << POINTS) - 1) for v in cut.tolist()], np.int64)


@dataclass(frozen=True, eq=False)
class Half:
    """One party's half.

    Attributes
    ----------
    role : {"guest", "host"}
    own, theirs : Ring
        This party's shares of the weights of its columns and of the other's.
    whitening : Whitening or None
        Of its columns; None at the host of binned columns.
    unit : float
        Factor of whitened rows.
    intercept : bool
        Whether the guest's last weight is the intercept.
    bins : Bins or None
        Of the host's columns, if they are binned.
    worth : ndarray of int64 or None
        At the guest, the value of each bin of the host.
    """

    role: str
    own: Ring
    theirs: Ring
    whitening: Whitening | None
    unit: float
    intercept: bool
    bins: Bins | None = None
    worth: Ints | None = None

    @property
    def guest(self) -> bool:
        """Whether this is the guest's."""
        return self.role == "guest"

    @property
    def width(self) -> int:
        """The number of this party's columns: its weights but the intercept."""
        return len(self.own) - (self.intercept and self.guest)

    @property
    def secret(self) -> bytes:
        """See :class:`~bluetusk.vertical.book.Secretive`."""
        return ring.to_bytes(self.own) + ring.to_bytes(self.theirs)

    def rows(self, table: Floats) -> Ints:
        """Return rows in fixed point; those far outside of the training's are cut off at 64 deviations."""
        assert self.whitening is not None
        matrix = self.whitening.rows(table)
        if self.intercept and self.guest:
            matrix = np.column_stack([matrix, np.ones(len(matrix))])
        return np.rint(np.clip(matrix * (self.unit * (1 << ROW_BITS)), -_MOST, _MOST)).astype(np.int64)

    def columns(self, table: Any, pub: PublicKey) -> Columns:
        """Return this party's columns in the products, for its rows or, at the host of bins, their codes."""
        if self.bins is not None and not self.guest:
            return BinnedColumns(self.bins, table, pub)
        return PlainColumns(self.rows(table), pub, guest=self.guest)

    def peer(self, priv: PrivateKey) -> Peer:
        """Return the other party's columns in the products."""
        if self.bins is not None and self.guest:
            assert self.worth is not None
            return BinnedPeer(priv, self.bins, self.worth)
        return PlainPeer(priv, len(self.theirs), guest=self.guest)

    def to_parts(self) -> tuple[dict[str, Any], list[bytes]]:
        """Return the half for a file: fields of a header, and parts."""
        d = 0 if self.whitening is None else len(self.whitening.mean)
        head = {
            "intercept": self.intercept,
            "unit": self.unit.hex(),
            "whitened": d,
            "bins": [] if self.bins is None else list(self.bins.sizes),
        }
        form = b"" if self.whitening is None else _floats(self.whitening.mean) + _floats(self.whitening.factor)
        worth = b"" if self.worth is None else self.worth.astype("<i8").tobytes()
        return head, [ring.to_bytes(self.own), ring.to_bytes(self.theirs), form, worth]

    @classmethod
    def from_parts(cls, role: str, head: dict[str, Any], parts: list[bytes]) -> Half:
        """Read what :meth:`to_parts` made; FrameError if it is damaged."""
        own, theirs, form, worth = parts
        d = field(head, "whitened", int, low=0, high=1 << 16)
        sizes = field(head, "bins", list, items=int)
        try:
            unit = from_hex(field(head, "unit", str, high=32))
        except ValueError:
            raise FrameError("frame field 'unit' must be a number") from None
        if len(own) % ring.WORD_BYTES or len(theirs) % ring.WORD_BYTES or any(size < 1 for size in sizes):
            raise FrameError("the file's shares or bins are damaged")
        if bool(form) != (d > 0):
            raise FrameError("frame field 'whitened' must be the number of whitened columns")
        bins = Bins(tuple(sizes)) if sizes else None
        values = array_from(form, "<f8", (d + d * d,)) if form else None
        if not unit > 0 or (values is not None and not np.isfinite(values).all()):
            raise FrameError("the file contains a number that is not finite")
        white = None if values is None else Whitening(values[:d], values[d:].reshape(d, d))
        half = cls(
            role,
            ring.from_bytes(own),
            ring.from_bytes(theirs),
            white,
            unit,
            field(head, "intercept", bool),
            bins,
            None if not worth or bins is None else array_from(worth, "<i8", (bins.entries,)),
        )
        half._check(d)
        return half

    def _check(self, d: int) -> None:
        binned_host = self.bins is not None and not self.guest
        mine = len(self.bins.sizes) if binned_host and self.bins is not None else d + (self.intercept and self.guest)
        if len(self.own) != mine or binned_host != (self.whitening is None):
            raise FrameError("the file must hold one share of a weight for each column")
        if self.guest and self.bins is not None:
            if self.worth is None or len(self.theirs) != len(self.bins.sizes):
                raise FrameError("the file must hold one value for each of the host's bins")
            if int(np.abs(self.worth).max(initial=0)) > _MOST:
                raise FrameError("the file holds a value of a bin that is out of range")


def _floats(values: Floats) -> bytes:
    return np.ascontiguousarray(values, "<f8").tobytes()
