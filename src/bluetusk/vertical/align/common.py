"""Shared by both halves of an alignment: the parts of a set, the tags that name common ids, the points received."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

import numpy as np

from ...errors import ProtocolAbort
from ..protocol.link import Link, array_from
from .psi import POINT, Points

__all__ = ["MAX_PARTIES", "MAX_ROWS", "NONCE", "TAG", "receive_points", "tags"]

MAX_ROWS = 1 << 32
MAX_PARTIES = 64
NONCE = 32
TAG = 32
_LABEL = b"bluetusk/vertical/intersect/order/v1\0"


def tags(ids: Sequence[str], nonces: bytes) -> list[bytes]:
    """Return each id's tag: its name among the common ids, under a key to which all parties contributed."""
    key = hashlib.sha256(_LABEL + nonces).digest()
    return [hmac.digest(key, text.encode(), "sha256") for text in ids]


def receive_points(link: Link, topic: str, rows: int) -> Points:
    """Receive one compressed point for each row."""
    points = array_from(link.receive(topic, parts=1, most=rows * POINT).parts[0], "|u1", (rows, POINT))
    if not np.isin(points[:, 0], (2, 3)).all():  # the library checks the rest when it computes
        raise ProtocolAbort("the peer did not send a list of compressed points", party=link.peer)
    return points
