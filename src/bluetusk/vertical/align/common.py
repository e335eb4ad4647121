"""What both halves of an alignment share: parts of a set, tags that name common ids, points that arrive."""

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
    """Return the name of each id among the common ones, under a key that all parties made."""
    key = hashlib.sha256(_LABEL + nonces).digest()
    return [hmac.digest(key, text.encode(), "sha256") for text in ids]


def receive_points(link: Link, topic: str, rows: int) -> Points:
    """Receive as many compressed points as there are rows."""
    points = array_from(link.receive(topic, parts=1).parts[0], "|u1", (rows, POINT))
    if not np.isin(points[:, 0], (2, 3)).all():  # the rest of the check is the library's, when it computes
        raise ProtocolAbort("what came is no list of compressed points", party=link.peer)
    return points
