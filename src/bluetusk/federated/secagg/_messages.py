"""Builds, signs and checks the messages of secure aggregation, for all parties alike.

Clients sign what they advertise with their identity key, and in malicious mode the view that they consent to. The
server signs all it sends. Everything else that a client sends is authenticated under a key that it shares with the
server since the server advertised one: a Poly1305 tag costs a seventh of a hash that a signature could cover.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.poly1305 import Poly1305
from numpy.typing import NDArray

from ...errors import FrameError
from ...wire.frame import Frame, Kind, check_fields, encode, field
from ..parties import signed_by
from ._ids import ClientId
from .boxes import Data
from .masks import derive
from .session import Session

__all__ = [
    "ADVERT",
    "MAX_ROUND",
    "SHARE",
    "about",
    "bitmap",
    "check_about",
    "check_signed",
    "check_tagged",
    "members",
    "sender_of",
    "signed",
    "tagged",
    "view_digest",
]

MAX_ROUND = (1 << 62) - 1
ADVERT = 96
"""Bytes that a client advertises: its key for shares, its key for masks, the commitment to its seed."""
SHARE = 40
"""Bytes of a share of a 32-byte key."""
_SIGNED = b"bluetusk secagg "


def about(session: Session, round: int) -> dict[str, Any]:
    """Return the fields by which every message names its session and round."""
    return {"session": session.hash, "round": round}


def check_about(session: Session, header: Mapping[str, Any]) -> int:
    """Check them, and return the round."""
    round = field(header, "round", int, low=0, high=MAX_ROUND)
    if field(header, "session", bytes) != session.hash:
        raise FrameError("message is from a session with another configuration")
    return round


def sender_of(session: Session, header: Mapping[str, Any]) -> ClientId:
    """Return the client that a message names as its sender."""
    return ClientId(field(header, "sender", int, low=0, high=len(session.names) - 1))


# ------------------------------------------------------------------------------------------------- signatures


def signed(
    session: Session, round: int, kind: Kind, header: Mapping[str, Any], payload: Data, key: Ed25519PrivateKey
) -> bytes:
    """Return a message with its maker's signature over all of it."""
    stated = {**about(session, round), **header, "digest": hashlib.sha256(payload).digest()}
    return encode(kind, {**stated, "signature": key.sign(_SIGNED + encode(kind, stated))}, payload)


def check_signed(frame: Frame, fields: Collection[str], key: bytes) -> None:
    """Check the fields and the signature of what :func:`signed` made."""
    check_fields(frame.header, {"session", "round", "digest", "signature", *fields})
    stated = {name: value for name, value in frame.header.items() if name != "signature"}
    signature = field(frame.header, "signature", bytes, length=64)
    if not signed_by(key, signature, _SIGNED + encode(frame.kind, stated)):
        raise FrameError("the signature is not the sender's")
    if hashlib.sha256(frame.payload).digest() != field(frame.header, "digest", bytes, length=32):
        raise FrameError("message was damaged on its way: its hash does not match")


# ------------------------------------------------------------------------------------------------- tags


def tagged(session: Session, round: int, kind: Kind, header: Mapping[str, Any], payload: Data, key: bytes) -> bytes:
    """Return a message with a Poly1305 tag under a one-time key from the key that client and server share."""
    stated = {**about(session, round), **header, "nonce": os.urandom(16)}
    mac = Poly1305(_one_time(session, round, kind, stated["nonce"], key))
    mac.update(encode(kind, stated))
    mac.update(payload)
    return encode(kind, {**stated, "tag": mac.finalize()}, payload)


def check_tagged(session: Session, round: int, frame: Frame, fields: Collection[str], key: bytes) -> None:
    """Check the fields and the tag of what :func:`tagged` made."""
    check_fields(frame.header, {"session", "round", "nonce", "tag", *fields})
    stated = {name: value for name, value in frame.header.items() if name != "tag"}
    mac = Poly1305(_one_time(session, round, frame.kind, field(frame.header, "nonce", bytes, length=16), key))
    mac.update(encode(frame.kind, stated))
    mac.update(frame.payload)
    try:
        mac.verify(field(frame.header, "tag", bytes, length=16))
    except InvalidSignature:
        raise FrameError("the tag is not the sender's, or the message was damaged on its way") from None


def _one_time(session: Session, round: int, kind: Kind, nonce: bytes, key: bytes) -> bytes:
    return derive(key, session.hash, round, b"tag", int(kind).to_bytes(2, "little"), nonce)


# ------------------------------------------------------------------------------------------------- sets of clients


def bitmap(chosen: NDArray[np.bool_]) -> bytes:
    """Return a set of clients, a bit for each that advertised, the first in the lowest bit of the first byte."""
    return np.packbits(chosen, bitorder="little").tobytes()


def members(data: Data, m: int, what: str) -> NDArray[np.bool_]:
    """Return the set that a bitmap of m clients holds."""
    if len(data) != (m + 7) // 8:
        raise FrameError(f"{what} takes {(m + 7) // 8} bytes for {m} clients, not {len(data)}")
    bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little").astype(np.bool_)
    if bits[m:].any():
        raise FrameError(f"{what} names clients that did not advertise")
    return bits[:m]


def view_digest(session: Session, round: int, roster: bytes, shared: Data, survivors: Data) -> bytes:
    """Return the bytes that a client signs to say: these advertised, these shared their keys, these are in the sum."""
    state = hashlib.sha256(_SIGNED + b"view\0" + session.hash + round.to_bytes(8, "little") + roster)
    state.update(shared)
    state.update(survivors)
    return _SIGNED + b"view\0" + state.digest()
