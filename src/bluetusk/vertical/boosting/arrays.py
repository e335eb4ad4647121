"""Stores named arrays in one frame, for models and states: the header lists them, the payload holds them end to end."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import FrameError
from ...wire.frame import MAX_SIZE, shape_field

__all__ = ["described", "joined", "parted"]


def described(arrays: Mapping[str, NDArray[Any]]) -> list[Any]:
    """Return name, type and shape of each array, for a header."""
    return [[name, a.dtype.newbyteorder("<").str, [int(d) for d in a.shape]] for name, a in arrays.items()]


def joined(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return the arrays as a payload, little-endian."""
    return b"".join(np.ascontiguousarray(a, a.dtype.newbyteorder("<")).tobytes() for a in arrays.values())


def parted(listed: list[Any], payload: bytes | memoryview, expected: Mapping[str, str]) -> dict[str, NDArray[Any]]:
    """Return the arrays of a payload.

    Parameters
    ----------
    listed : list
        The header's list, unchecked.
    payload : bytes-like
        The arrays, end to end.
    expected : mapping of str to str
        Name and type of each array that must be there, in this order.

    Returns
    -------
    dict of str to ndarray
        Copies.

    Raises
    ------
    FrameError
        If the list has other names, types or shapes than expected, or does not add up to the payload.

    Examples
    --------
    >>> arrays = {"a": np.array([[1, 2]], np.uint8)}
    >>> parted(described(arrays), joined(arrays), {"a": "|u1"})["a"].tolist()
    [[1, 2]]
    """
    out: dict[str, NDArray[Any]] = {}
    at = 0
    if len(listed) != len(expected):
        raise FrameError(f"frame field 'arrays' lists {len(listed)} arrays, not {len(expected)}")
    for entry, (name, dtype) in zip(listed, expected.items(), strict=True):
        if entry.__class__ is not list or len(entry) != 3 or entry[:2] != [name, dtype]:
            raise FrameError(f"frame field 'arrays' must list {name!r} of type {dtype} at this place")
        what = f"shape of {name}"
        shape = shape_field({what: entry[2]}, what, ndim=4, empty=MAX_SIZE)  # without trees, arrays have no rows
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if at + size > len(payload):
            raise FrameError(f"array {name!r} is longer than the payload")
        piece = np.frombuffer(payload[at : at + size], dtype=dtype).reshape(shape)
        out[name] = piece.astype(np.dtype(dtype).newbyteorder("="))
        at += size
    if at != len(payload):
        raise FrameError("frame field 'arrays' does not add up to the payload")
    return out
