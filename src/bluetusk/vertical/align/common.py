"""Shared by both halves of an alignment: its limits, the points received, a private order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..._random import Stream
from ...errors import ProtocolAbort
from ..protocol.link import Link, array_from
from .psi import POINT, Points

__all__ = ["MAX_PARTIES", "MAX_PEER_IDS", "MAX_ROWS", "PLACE", "check_peer_ids", "receive_points", "shuffled"]

MAX_ROWS = 1 << 32
MAX_PARTIES = 64
MAX_PEER_IDS = 1 << 24
"""Largest number of ids of a peer, by default."""
_MEMORY = 190
"""Bytes that a party needs for each id of a peer while it looks for its own among them, with copies and states."""
PLACE = "<u4"
"""The type in which places in a list of at most `MAX_ROWS` ids travel."""


def shuffled(n: int, seed: bytes) -> NDArray[np.int64]:
    """Return the numbers below n in an order that follows from 32 secret bytes."""
    return np.argsort(Stream(seed).uint64(n), kind="stable").astype(np.int64)


def check_peer_ids(link: Link, rows: int, most: int) -> None:
    """Refuse a peer that states more ids than this party wants to keep the points of."""
    if rows > most:
        link.abort("more ids than max_peer_ids allows")
        raise ProtocolAbort(
            f"{link.peer!r} has {rows} ids, more than max_peer_ids = {most}: each takes up to {_MEMORY} bytes of this "
            "party's memory; raise it if so many are expected",
            party=link.peer,
        )


def receive_points(link: Link, topic: str, rows: int) -> Points:
    """Receive one compressed point for each row."""
    points = array_from(link.receive(topic, parts=1, most=rows * POINT).parts[0], "|u1", (rows, POINT))
    if not np.isin(points[:, 0], (2, 3)).all():  # the library checks the rest when it computes
        raise ProtocolAbort("the peer did not send a list of compressed points", party=link.peer)
    return points
