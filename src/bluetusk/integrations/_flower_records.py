"""Reads and writes the records inside Flower's messages, and flattens arrays into one vector."""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..encoding import FixedPoint
from ..errors import FrameError

__all__ = [
    "KEY",
    "LEGACY",
    "LOG",
    "Layout",
    "encoding_from",
    "encoding_text",
    "field_of",
    "flatten",
    "flower_app",
    "is_train",
]

KEY = "bluetusk.secagg"
"""The one config record of ours in a message, and the one that a client keeps in its context."""
LEGACY = "fitres."
"""How the records of a reply begin that came from Flower's older clients."""
LOG = logging.getLogger("flwr")  # so that these lines appear among Flower's own
_MAX_TEXT = 1 << 24
_DTYPE = re.compile(r"[<>|][fiu][1248]")


def flower_app() -> ModuleType:
    """Return `flwr.app`."""
    try:
        import flwr.app
    except ImportError as err:
        raise ImportError(
            f"Flower cannot be imported ({err}): pip install 'bluetusk[flower]', on CPython 3.11 or newer"
        ) from None
    module: ModuleType = flwr.app
    return module


def is_train(message_type: str) -> bool:
    """Return whether a message asks for training: its type is "train", or "train." and the name of an action."""
    return message_type.partition(".")[0] == "train"


def field_of(record: Mapping[str, Any], name: str, kind: type) -> Any:
    """Return a field of a record that a peer sent."""
    value = record.get(name)
    if type(value) is not kind:
        raise FrameError(f"the message's record {KEY!r} has no field {name!r} of type {kind.__name__}")
    return value


def encoding_text(encoding: FixedPoint) -> str:
    """Return an encoding as text, for a record."""
    return json.dumps(encoding.to_dict())


def encoding_from(said: str) -> FixedPoint:
    """Read it, with every check."""
    return FixedPoint.from_dict(_load(said))


def _load(said: str) -> Any:
    if len(said) > _MAX_TEXT:
        raise FrameError("a record's text is too long")
    try:
        return json.loads(said)
    except (ValueError, RecursionError):
        raise FrameError("a record's text is not JSON") from None


@dataclass(frozen=True)
class Layout:
    """Names, types and shapes of a model's arrays: how one vector is cut into them."""

    record: str
    arrays: tuple[tuple[str, str, tuple[int, ...]], ...]

    @classmethod
    def of(cls, record: str, arrays: Mapping[str, NDArray[Any]]) -> Layout:
        """Return the layout of these arrays."""
        return cls(record, tuple((name, array.dtype.str, array.shape) for name, array in arrays.items()))

    @classmethod
    def from_text(cls, said: str) -> Layout:
        """Read what a client sent."""
        try:
            record, rows = _load(said)
            layout = cls(_str(record), tuple((_str(name), _str(dtype), _shape(shape)) for name, dtype, shape in rows))
        except (TypeError, ValueError):
            raise FrameError("a client's list of arrays is not one of names, types and shapes") from None
        if not all(_DTYPE.fullmatch(dtype) for _, dtype, _ in layout.arrays) or not layout.length:
            raise FrameError("a client's arrays are empty, or not of real numbers of at most 64 bits")
        return layout

    @property
    def length(self) -> int:
        """How many numbers all arrays hold."""
        return sum(math.prod(shape) for _, _, shape in self.arrays)

    def to_text(self) -> str:
        """Return it for a record."""
        return json.dumps([self.record, self.arrays])

    def cut(self, vector: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
        """Cut a vector into arrays: of their floating type, float64 for integers, whose mean is none."""
        out: dict[str, NDArray[Any]] = {}
        at = 0
        for name, said, shape in self.arrays:
            dtype = np.dtype(said)
            part = vector[at : at + math.prod(shape)].reshape(shape)
            out[name] = part.astype(dtype if dtype.kind == "f" else np.float64)
            at += part.size
        return out


def flatten(arrays: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """Return all numbers of the arrays in one vector, of a type that holds them."""
    for name, array in arrays.items():
        if not _DTYPE.fullmatch(array.dtype.str):
            raise TypeError(f"array {name!r} is of {array.dtype}: send real numbers of at most 64 bits")
    if not sum(array.size for array in arrays.values()):
        raise ValueError("the update holds no numbers")
    return np.concatenate([array.ravel() for array in arrays.values()])


def _str(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _shape(value: object) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(type(length) is int and 0 <= length < 1 << 32 for length in value):
        raise TypeError
    return tuple(value)
