"""The file of one party's half of a regression."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import FrameError
from ...paillier import validate
from ...wire.frame import Frame, Kind, check_fields, encode, field
from .calibration import Calibration
from .config import MOST_COLUMNS, MOST_EPOCHS, SIGMOIDS
from .half import Half, Points, from_hex

__all__ = ["SavedHalf"]

_FIELDS = (
    "binning",
    "calibration",
    "columns",
    "counted",
    "epochs",
    "exact",
    "half",
    "key_size",
    "model",
    "parts",
    "points",
    "role",
    "sigmoid",
)
_PARTS = 5
_LONGEST = 1 << 15  # bytes of a path


@dataclass(frozen=True, eq=False)
class SavedHalf:
    """What the file holds.

    Attributes
    ----------
    counted : bytes
        Digest of the inputs that the training was counted for.
    binning : bytes
        Digest of the labels of the binning that the half was trained with, or b"".
    book : bytes or None
        Path of the host's book when the half was saved, b"" at a guest; None in files of a version that kept the rows
        in the half alone.
    scored : bytes
        What the book held then.
    certificate : str
        Fingerprint of the certificate of the peer of the training, where it is known.
    """

    role: str
    columns: list[str]
    sigmoid: str
    model: bytes
    counted: bytes
    epochs: int
    key_size: int
    exact: bool
    calibration: Calibration | None
    points: Points | None
    binning: bytes
    half: Half
    book: bytes | None
    scored: bytes
    certificate: str = ""

    def to_frame(self) -> bytes:
        """Return the file's bytes."""
        half, parts = self.half.to_parts()
        parts.append(self.scored)
        found = self.calibration
        head: dict[str, Any] = {
            "role": self.role,
            "columns": self.columns,
            "sigmoid": self.sigmoid,
            "model": self.model,
            "counted": self.counted,
            "epochs": self.epochs,
            "key_size": self.key_size,
            "exact": self.exact,
            "calibration": [] if found is None else [found.intercept.hex(), found.slope.hex()],
            "binning": self.binning,
            "book": self.book,
            "certificate": self.certificate,
            "points": [] if self.points is None else [float(self.points.factor).hex(), self.points.offset.hex()],
            "half": half,
            "parts": [len(part) for part in parts],
        }
        return encode(Kind.LOGISTIC_REGRESSION, head, b"".join(parts))

    @classmethod
    def from_frame(cls, got: Frame) -> SavedHalf:
        """Read and check a file; FrameError if it is invalid."""
        head = got.header
        if "half" not in head and "sigmoid" in head:
            raise FrameError(
                "the file is a half with open coefficients, of a version in which each party saw its own: train again, "
                "or predict with the version that made it"
            )
        check_fields(head, _FIELDS, ("book", "certificate"))
        role = field(head, "role", str, choices=("guest", "host"))
        columns = field(head, "columns", list, low=1, high=MOST_COLUMNS, items=str)
        lengths = field(head, "parts", list, low=_PARTS, high=_PARTS, items=int)
        if min(lengths) < 0 or sum(lengths) != len(got.payload):
            raise FrameError("frame field 'parts' does not add up to the payload")
        ends = np.cumsum([0, *lengths]).tolist()
        *parts, scored = (bytes(got.payload[a:b]) for a, b in itertools.pairwise(ends))
        half = Half.from_parts(role, field(head, "half", dict), parts)
        if len({*columns}) != len(columns) or len(columns) != half.width:
            raise FrameError("frame field 'columns' must hold one name for each weight, all different")
        binning = field(head, "binning", bytes, high=32)
        if len(binning) not in (0, 32):
            raise FrameError("frame field 'binning' must be 32 bytes or none")
        points = _points(field(head, "points", list, high=2, items=str))
        if (points is None) == (role == "guest"):
            raise FrameError("frame field 'points' must hold two numbers at the guest, and none at the host")
        book = field(head, "book", bytes, high=_LONGEST) if "book" in head else None
        if role == "host" and book is not None and (not book or 0 in book):
            raise FrameError("frame field 'book' must be the path of a file at the host")
        return cls(
            role=role,
            columns=columns,
            sigmoid=field(head, "sigmoid", str, choices=SIGMOIDS),
            model=field(head, "model", bytes, length=32),
            counted=field(head, "counted", bytes, length=32),
            epochs=field(head, "epochs", int, low=1, high=MOST_EPOCHS),
            key_size=field(head, "key_size", int, choices=validate.KEY_BITS),
            exact=field(head, "exact", bool),
            calibration=_calibration(field(head, "calibration", list, high=2, items=str)),
            points=points,
            binning=binning,
            half=half,
            book=book,
            scored=scored,
            certificate=field(head, "certificate", str, high=64) if "certificate" in head else "",
        )


def _points(given: list[str]) -> Points | None:
    """Read the scale of points from a file's header: two reals as hexadecimal text, or nothing."""
    if not given:
        return None
    try:
        factor, offset = map(from_hex, given)
    except ValueError:
        raise FrameError("frame field 'points' must hold two numbers") from None
    if not (math.isfinite(offset) and 1 <= factor < 1 << 16 and factor.is_integer()):
        raise FrameError("frame field 'points' must hold a whole factor below 2^16 and a finite offset")
    return Points(int(factor), offset)


def _calibration(given: list[str]) -> Calibration | None:
    """Read a map from scores to probabilities from a file's header: two reals as hexadecimal text, or nothing."""
    if not given:
        return None
    try:
        intercept, slope = map(from_hex, given)
    except ValueError:
        raise FrameError("frame field 'calibration' must hold two numbers") from None
    if not (math.isfinite(intercept) and 0.0 < slope < math.inf):
        raise FrameError("frame field 'calibration' must hold a finite intercept and a positive slope")
    return Calibration(intercept, slope)
