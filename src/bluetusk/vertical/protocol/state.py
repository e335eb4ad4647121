"""Packs the state of a job into one canonical frame: small values and arrays by name."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import FrameError
from ...wire.frame import MAX_SIZE, Frame, Kind, check_fields, decode, encode, field, shape_field

__all__ = ["inputs_of", "pack_state", "state_of", "unpack_state"]

_TYPES = ("<f8", "<i8", "<u4", "|u1", "|b1")


def inputs_of(*values: Any) -> bytes:
    """Return a SHA-256 hash of arrays (of objects: by repr), bytes, and other values whose repr describes them fully.

    Examples
    --------
    >>> len(inputs_of("align", np.arange(3)))
    32
    >>> inputs_of(["a", "b"]) == inputs_of(["a, b"])
    False
    """
    digest = hashlib.sha256()
    for value in values:
        if isinstance(value, np.ndarray) and value.dtype.kind != "O":
            kind, data = f"{value.dtype.str} {value.shape}", np.ascontiguousarray(value).tobytes()
        elif isinstance(value, np.ndarray):
            kind, data = f"object {value.shape}", repr(value.tolist()).encode()
        else:
            kind, data = type(value).__name__, value if isinstance(value, bytes) else repr(value).encode()
        digest.update(f"{kind} {len(data)} ".encode() + data)
    return digest.digest()


def pack_state(task: str, fields: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return the frame.

    Parameters
    ----------
    task : str
        The job's name.
    fields : mapping
        Values that a header can hold.
    arrays : mapping of str to ndarray
        Arrays of float64, int64, uint32, uint8 or bool, of any shape.

    Returns
    -------
    bytes
        For :func:`unpack_state`.

    Examples
    --------
    >>> unpack_state(pack_state("t", {"n": 1}, {"x": np.arange(2)}), "t")
    ({'n': 1}, {'x': array([0, 1])})
    """
    names = sorted(arrays)
    ready = [np.ascontiguousarray(arrays[name]) for name in names]
    for name, a in zip(names, ready, strict=True):
        if a.dtype.str not in _TYPES:
            raise TypeError(f"array {name!r} is of {a.dtype}: a state holds {', '.join(_TYPES)}")
    kinds = [[name, a.dtype.str, list(a.shape)] for name, a in zip(names, ready, strict=True)]
    header = {"task": task, "fields": dict(fields), "arrays": kinds}
    return encode(Kind.VERTICAL_STATE, header, b"".join(a.tobytes() for a in ready))


def state_of(data: bytes | memoryview, task: str, fields: Collection[str], optional: Collection[str] = ()) -> Frame:
    """Return the frame of a state, which must be of this task and have these other fields."""
    got = decode(data, Kind.VERTICAL_STATE)
    check_fields(got.header, ("task", *fields), optional)
    field(got.header, "task", str, choices=(task,))
    return got


def unpack_state(data: bytes | memoryview, task: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return fields and arrays (copies); FrameError if the bytes are not a state of this task."""
    got = state_of(data, task, ("fields", "arrays"))
    shapes: list[tuple[str, np.dtype[Any], tuple[int, ...]]] = []
    for entry in field(got.header, "arrays", list, items=list):
        name, kind, shape = entry if len(entry) == 3 else ("", "", None)
        if not isinstance(name, str) or kind not in _TYPES:
            raise FrameError("frame field 'arrays' does not describe arrays")
        # a state is this party's own, so an array without columns may have any number of rows
        shapes.append((name, np.dtype(kind), shape_field({"arrays": shape}, "arrays", empty=MAX_SIZE)))
    sizes = [dtype.itemsize * math.prod(shape) for _, dtype, shape in shapes]
    if sum(sizes) != got.payload.nbytes:
        raise FrameError("frame field 'arrays' does not add up to the payload")
    ends = itertools.pairwise(itertools.accumulate(sizes, initial=0))
    arrays = {
        name: np.frombuffer(got.payload[lo:hi], dtype).reshape(shape).copy()
        for (name, dtype, shape), (lo, hi) in zip(shapes, ends, strict=True)
    }
    return field(got.header, "fields", dict), arrays
