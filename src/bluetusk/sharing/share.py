"""Writes one party's share as a frame, for a dealer to send and for whoever reconstructs to collect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._numeric import as_array, as_int
from ..errors import FrameError
from ..wire import frame
from ._field import GF256, ShareField, field_of, gf256
from ._words import dtype_of

__all__ = ["Share"]

_FIELDS = ("order", "parties", "party", "scheme", "shape", "threshold")
_MAX_ORDER = 66  # bytes: a reader should not test longer numbers of strangers for being prime
_MAX_PARTIES = (1 << 63) - 1
_SCHEMES = ("shamir", "additive", "replicated")


@dataclass(frozen=True, eq=False)
class Share:
    """A share with the parameters of its sharing.

    Attributes
    ----------
    scheme : {"shamir", "additive", "replicated"}
        What it is a share of: a Shamir sharing of numbers or (with order 256) bytes, an additive or a replicated one
        over a ring.
    order : int
        The prime, 256 for GF(2^8), or 2^32 or 2^64 for a ring.
    threshold : int
        How many shares are needed to reconstruct: all of them in an additive sharing, two in a replicated one.
    parties : int
        How many shares there are.
    party : int
        The party's number: from 1 in a Shamir sharing, from 0 in the others.
    values : ndarray
        Words or elements as the functions of :mod:`bluetusk.sharing` give them, without the axis of parties. A
        replicated share has a first axis of two.

    Raises
    ------
    TypeError, ValueError
        If an attribute has the wrong type or value, or the attributes disagree.

    Examples
    --------
    >>> import bluetusk as bt
    >>> rows = bt.sharing.shamir.share([[1, 2], [3, 4]], threshold=2, parties=3)
    >>> sent = [bt.sharing.Share("shamir", 2**61 - 1, 2, 3, i + 1, row).to_bytes() for i, row in enumerate(rows)]
    >>> got = [bt.sharing.Share.from_bytes(data) for data in sent[1:]]
    >>> bt.sharing.shamir.reconstruct([share.values for share in got], [share.party for share in got], got[0].threshold)
    array([[1, 2],
           [3, 4]], dtype=uint64)
    """

    scheme: str
    order: int
    threshold: int
    parties: int
    party: int
    values: NDArray[Any]

    def __post_init__(self) -> None:
        if not isinstance(self.scheme, str) or self.scheme not in _SCHEMES:
            raise ValueError(f"scheme must be one of {', '.join(_SCHEMES)}, not {self.scheme!r}")
        parties = as_int(self.parties, "parties", 1, _MAX_PARTIES)
        threshold = as_int(self.threshold, "threshold", 1, _MAX_PARTIES)
        first = 1 if self.scheme == "shamir" else 0
        party = as_int(self.party, "party", first, parties - 1 + first)
        order = as_int(self.order, "order", 3)
        if threshold > parties:
            raise ValueError(f"threshold is {threshold}, more than the {parties} parties")
        fixed = {"additive": (parties, parties), "replicated": (2, 3)}.get(self.scheme)
        if fixed is not None and (threshold, parties) != fixed:
            raise ValueError(
                f"{self.scheme} needs threshold={fixed[0]} and parties={fixed[1]}, not {threshold} and {parties}"
            )
        _, field = _layout(self.scheme, order)
        if field is not None and parties >= field.order:
            raise ValueError(f"parties is {parties}, but {field!r} has {field.order - 1} points for them")
        checked = {"order": order, "threshold": threshold, "parties": parties, "party": party}
        for name, value in {**checked, "values": as_array(self.values, "values")}.items():
            object.__setattr__(self, name, value)
        self._check_values()

    def _check_values(self) -> None:
        """Refuse values that :meth:`from_bytes` would refuse: another dtype or shape, an element outside the field."""
        dtype, field = _layout(self.scheme, self.order)
        values, shape = self.values, self.values.shape
        if values.dtype != dtype:
            raise TypeError(f"values must be of {dtype} for order {self.order}, not {values.dtype}")
        tail = () if field is None else field.tail
        if tail and shape[-1:] != tail:
            raise ValueError(f"values must have a last axis of {tail[0]} limbs, not the shape {shape}")
        if self.scheme == "replicated" and shape[:1] != (2,):
            raise ValueError(f"a replicated share has a first axis of two, not the shape {shape}")
        try:
            frame.shape_field({"shape": list(shape)})
        except FrameError:
            raise ValueError(f"values of shape {shape} do not fit a frame: {frame.shape_text()}") from None
        if field is not None and not field.kernel.canonical(np.ascontiguousarray(values)):
            raise ValueError(f"values has an element outside the field of order {self.order}: reduce it")

    def __repr__(self) -> str:
        what = f"{self.threshold}-of-{self.parties} {self.scheme}"
        return f"<Share of party {self.party}, {what}, order {self.order}, shape {self.values.shape}>"

    def to_bytes(self) -> bytes:
        """Return the share as one frame. It is a secret: send it to its party alone, encrypted.

        Returns
        -------
        bytes

        Raises
        ------
        TypeError, ValueError
            If `values` was changed to a dtype, shape or element that a share cannot have.

        Examples
        --------
        >>> import bluetusk as bt
        >>> rows = bt.sharing.share_bytes(b"secret", 2, 3)
        >>> len(bt.sharing.Share("shamir", 256, 2, 3, 1, rows[0]).to_bytes())
        86
        """
        self._check_values()
        header = {
            "scheme": self.scheme,
            "order": self.order.to_bytes(-(-self.order.bit_length() // 8), "little"),
            "threshold": self.threshold,
            "parties": self.parties,
            "party": self.party,
            "shape": [int(d) for d in self.values.shape],
        }
        little = np.ascontiguousarray(self.values).astype(self.values.dtype.newbyteorder("<"), copy=False)
        return frame.encode(frame.Kind.SHARE, header, little.tobytes())

    @classmethod
    def from_bytes(cls, data: bytes | bytearray | memoryview) -> Share:
        """Read a share from a frame that anyone may have written.

        Parameters
        ----------
        data : bytes-like
            One whole frame.

        Returns
        -------
        Share
            All values are elements of the field or ring. Compare scheme, order, threshold and parties with yours.

        Raises
        ------
        FrameError
            If the bytes are not a well-formed frame of a share.

        Examples
        --------
        >>> import bluetusk as bt
        >>> rows = bt.sharing.ring.share([5, 6], parties=2)
        >>> bt.sharing.Share.from_bytes(bt.sharing.Share("additive", 2**64, 2, 2, 0, rows[0]).to_bytes())
        <Share of party 0, 2-of-2 additive, order 18446744073709551616, shape (2,)>
        """
        got = frame.decode(data, frame.Kind.SHARE)
        frame.check_fields(got.header, _FIELDS)
        scheme = frame.field(got.header, "scheme", str, high=16)
        raw = frame.field(got.header, "order", bytes, high=_MAX_ORDER)
        order = int.from_bytes(raw, "little")
        if not raw or raw[-1] == 0:
            raise FrameError("frame field 'order' is not in its shortest form")
        threshold = frame.field(got.header, "threshold", int, low=1)
        parties = frame.field(got.header, "parties", int, low=1)
        party = frame.field(got.header, "party", int, low=0)
        shape = frame.shape_field(got.header)
        try:
            dtype, _ = _layout(scheme, order)
            frame.shape_field(got.header, payload=len(got.payload), itemsize=dtype.itemsize)
            values = np.frombuffer(got.payload, dtype.newbyteorder("<")).astype(dtype).reshape(shape)
            return cls(scheme, order, threshold, parties, party, values)
        except (TypeError, ValueError) as error:
            raise FrameError(f"the frame does not hold a valid share: {error}") from None


def _layout(scheme: str, order: int) -> tuple[np.dtype[Any], ShareField | None]:
    """Return dtype of the words or elements, and the field; refuse an order that the scheme does not have."""
    order = as_int(order, "order", 3)
    if scheme == "shamir":
        if order.bit_length() > 8 * _MAX_ORDER:
            raise ValueError(f"order has {order.bit_length()} bits, but fields in frames have at most {8 * _MAX_ORDER}")
        field = gf256() if order == GF256 else field_of(order)
        return field.dtype, field
    if order not in (1 << 32, 1 << 64):
        raise ValueError(f"order must be 2^32 or 2^64 for a ring, not {order}")
    return dtype_of(order.bit_length() - 1), None
