"""The two ways to number a client: its id in the session, and its place among those that advertised in a round."""

from __future__ import annotations

from typing import NewType

import numpy as np
from numpy.typing import NDArray

__all__ = ["ClientId", "Place", "Places", "place_list", "records"]

ClientId = NewType("ClientId", int)
"""The position of a client's name in ``Session.names``; the same in every round."""
Place = NewType("Place", int)
"""The position of a client in the roster of one round."""
Places = NDArray[np.int64]
"""Several places."""


def place_list(places: Places) -> list[Place]:
    """Return places as Python ints."""
    listed: list[Place] = places.tolist()
    return listed


def records(data: bytes | memoryview, size: int) -> tuple[Places, NDArray[np.uint8]]:
    """Return whole records of `size` bytes as their numbers (4 bytes, little-endian) and what follows, a row each."""
    rows = np.frombuffer(data, np.uint8).reshape(-1, size)
    return np.ascontiguousarray(rows[:, :4]).view("<u4")[:, 0].astype(np.int64), rows[:, 4:]
