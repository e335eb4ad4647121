"""What the two parties of a logistic regression agree on before they train: parameters, limits, bins."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._numeric import Floats, Ints, as_real
from ...errors import FrameError, ProtocolAbort
from ...wire.frame import check_fields, field
from ..protocol.link import array_bytes

__all__ = [
    "CLASS_BITS",
    "EXACT",
    "MOST_BATCH",
    "MOST_COLUMNS",
    "MOST_EPOCHS",
    "MOST_ROWS",
    "RATES",
    "SIGMOIDS",
    "SLOPES",
    "TOL_BITS",
    "Config",
    "HostBins",
    "class_weights",
    "held_back",
    "plan_steps",
    "real_field",
]

CLASS_BITS = 16
"""Fractional bits of class weights, which are at most 1."""

TOL_BITS = 16
"""Fractional bits of the share of the loss that the rule to stop compares with."""

MOST_COLUMNS = 8000
"""Limit of columns: their names fit a header, and sums over them fit 64 bits where scores are computed in plaintext."""
MOST_ROWS = 1 << 32
MOST_BATCH = 1 << 16
MOST_EPOCHS = 1000
RATES = (2.0**-20, 64.0)
"""Least and largest learning rate."""

EXACT = ("coefficients", "scores")
"""What both parties' policies may grant to be opened."""

SIGMOIDS = ("linear", "cubic")
SLOPES = {"linear": 0.125, "cubic": 0.197}
"""Slope of each sigmoid at 0, where it is steepest."""

_WHOLE = 2048  # rows up to which a step takes all of them
_BATCHES = (1024, 8192)
_LEAST_STEPS = 60
_EPOCHS = (5, 60)
_HELD_BACK = (20, 2000)
_MOST_RATIO = 1 << (CLASS_BITS - 4)  # of class weights


def plan_steps(rows: int) -> tuple[int, int]:
    """Return the default batch size and number of epochs for a number of rows.

    If rows are few, every step takes all of them and is exact; of many rows a 64th, between 1024 and 8192, gives a good
    enough direction. Five epochs, or as many as give some 60 steps; most trainings end earlier.

    Examples
    --------
    >>> plan_steps(700), plan_steps(18_000), plan_steps(1_000_000)
    ((700, 60), (1024, 5), (8192, 5))
    """
    batch = rows if rows <= _WHOLE else min(max(-(-rows // 64), _BATCHES[0]), _BATCHES[1])
    return batch, min(max(-(-_LEAST_STEPS // -(-rows // batch)), _EPOCHS[0]), _EPOCHS[1])


def held_back(rows: int) -> int:
    """Return the number of rows to hold back for the calibration: a tenth, at least 20 or a quarter, at most 2000.

    Examples
    --------
    >>> held_back(40), held_back(700), held_back(18_000), held_back(10**6)
    (10, 70, 1800, 2000)
    """
    least, most = _HELD_BACK
    return min(max(rows // 10, min(least, rows // 4)), most)


@dataclass(frozen=True)
class Config:
    """The guest's parameters of a training, which it sends to the host."""

    epochs: int
    batch_size: int
    learning_rate: float | None
    l2: float
    sigmoid: str
    weighted: bool
    intercept: bool
    tol: float
    held_back: int
    binned: bool
    reveal: tuple[str, ...]

    def to_fields(self) -> dict[str, Any]:
        """Return the parameters for a header: floats as hexadecimal text, a default learning rate as ""."""
        told = {f.name: getattr(self, f.name) for f in fields(self)}
        told |= {name: float.hex(told[name]) for name in ("tol", "l2")}
        told["reveal"] = list(self.reveal)
        return told | {"learning_rate": "" if self.learning_rate is None else float.hex(self.learning_rate)}

    @classmethod
    def from_fields(cls, told: dict[str, Any]) -> Config:
        """Read and check the parameters of another party or of a file; FrameError if they are invalid."""
        check_fields(told, [f.name for f in fields(cls)])
        rate = field(told, "learning_rate", str, high=32)
        config = cls(
            field(told, "epochs", int, low=1, high=MOST_EPOCHS),
            field(told, "batch_size", int, low=1, high=MOST_BATCH),
            None if not rate else real_field(told, "learning_rate", *RATES),
            real_field(told, "l2", 0.0, 1.0),
            field(told, "sigmoid", str, choices=SIGMOIDS),
            field(told, "weighted", bool),
            field(told, "intercept", bool),
            real_field(told, "tol", 0.0, 1.0),
            field(told, "held_back", int, low=0, high=MOST_ROWS),
            field(told, "binned", bool),
            tuple(field(told, "reveal", list, high=len(EXACT), items=str)),
        )
        if config.reveal != tuple(sorted({*config.reveal} & {*EXACT})):
            raise FrameError(f"frame field 'reveal' must name some of {', '.join(EXACT)}, sorted")
        if config.to_fields() != told:
            raise FrameError("the frame's real numbers must be in canonical hexadecimal form")
        return config

    def check_expected(self, mine: Config, peer: str) -> None:
        """Raise ProtocolAbort, naming the parameter, if the guest's are not those that both agreed on."""
        for each in fields(self):
            theirs, due = getattr(self, each.name), getattr(mine, each.name)
            if theirs != due:
                raise ProtocolAbort(
                    f"the guest trains with {each.name} = {theirs!r}, and {due!r} was agreed: give both the same",
                    party=peer,
                )


def real_field(told: dict[str, Any], name: str, low: float, high: float) -> float:
    """Return a real number of a header, which holds it as hexadecimal text."""
    text = field(told, name, str, high=32)
    try:
        value = float.fromhex(text)
    except (ValueError, OverflowError):
        raise FrameError(f"frame field {name!r} must be a number") from None
    if not low <= value <= high:
        raise FrameError(f"frame field {name!r} must be between {low:g} and {high:g}, not {value:g}")
    return value


@dataclass(frozen=True, eq=False)
class HostBins:
    """What a party knows of the host's binned columns.

    Attributes
    ----------
    counts : list of ndarray of int64
        Rows of each bin in the binning; both know them.
    values : list of ndarray of float64 or None
        At the guest: what each bin is worth.
    name : bytes
        Names the fit of the binning: the digest of its labels.
    """

    counts: list[Ints]
    values: list[Floats] | None = None
    name: bytes = b""

    @property
    def digest(self) -> bytes:
        """32 bytes by which the parties see that they mean the same binning."""
        counts = b"".join(array_bytes([len(rows), *rows], "<u8") for rows in self.counts)
        return hashlib.sha256(b"bluetusk bins" + self.name + counts).digest()


def class_weights(class_weight: object, labels: NDArray[np.int64]) -> tuple[int, int] | None:
    """Return the factors of the labels 0 and 1 with 16 fractional bits, or None; `class_weight` as the user gave it."""
    if class_weight is None:
        return None
    if isinstance(class_weight, str):
        if class_weight != "balanced":
            raise ValueError(f'class_weight must be None, "balanced" or a dict, not {class_weight!r:.64}')
        counts = np.bincount(labels, minlength=2)
        given = {k: len(labels) / (2 * max(1, int(counts[k]))) for k in (0, 1)}
        # the host would learn from an error how rare events are, so larger ratios end here without one
        given = {k: max(factor, max(given.values()) / _MOST_RATIO) for k, factor in given.items()}
    elif isinstance(class_weight, Mapping):
        if unknown := [label for label in class_weight if not _is_label(label)]:
            raise ValueError(f"class_weight names {unknown[0]!r:.64}: its labels are the numbers 0 and 1")
        named = {int(label): factor for label, factor in class_weight.items()}
        given = {k: as_real(named.get(k, 1.0), f"class_weight[{k}]", 0.0, 1e12) for k in (0, 1)}
    else:
        raise TypeError(
            f'class_weight must be None, "balanced" or a dict such as {{0: 1.0, 1: 5.0}}, not {class_weight!r:.64}'
        )
    largest, least = max(given.values()), min(given.values())
    if not largest:
        raise ValueError(f"class_weight must be above 0 for one label, not {given}")
    if 0 < least < largest / _MOST_RATIO:
        raise ValueError(f"class_weight must differ by a factor of at most {_MOST_RATIO}, not {given}")
    return round(given[0] / largest * (1 << CLASS_BITS)), round(given[1] / largest * (1 << CLASS_BITS))


def _is_label(label: object) -> bool:
    """Return whether a key of a dict is the number 0 or 1, of any numeric type, as scikit-learn has it."""
    return isinstance(label, int | float | np.integer | np.floating) and label in (0, 1)
