"""The saved state of a party: named parts in one frame, encrypted under a key that the caller keeps."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from ...errors import FrameError
from ...wire.frame import Kind, check_fields, decode, encode, field
from .boxes import Data, open_box, sealed_box
from .session import Session

__all__ = ["seal", "unseal"]

_HEAD = struct.Struct("<HQ")  # lengths of a part's name (ASCII) and of the part


def seal(session: Session, role: str, header: Mapping[str, Any], parts: Mapping[str, bytes], key: bytes) -> bytes:
    """Return the encrypted state."""
    rows = []
    for name, part in parts.items():
        rows += [_HEAD.pack(len(name), len(part)), name.encode(), part]
    inner = encode(Kind.SECAGG_STATE, header, b"".join(rows))
    outer = {"session": session.hash, "role": role}
    return encode(Kind.SECAGG_STATE, outer, sealed_box(_key(key), inner, encode(Kind.SECAGG_STATE, outer)))


def unseal(data: Data, session: Session, role: str, key: bytes) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return header and parts of an encrypted state."""
    frame = decode(data, Kind.SECAGG_STATE)
    check_fields(frame.header, {"session", "role"})
    if field(frame.header, "session", bytes) != session.hash or field(frame.header, "role", str) != role:
        raise FrameError(f"the state is of another session or role than this {role}'s")
    plain = open_box(_key(key), frame.payload, encode(Kind.SECAGG_STATE, frame.header))
    if plain is None:
        raise FrameError("the state was saved under another key, or damaged")
    inner = decode(plain, Kind.SECAGG_STATE)
    parts: dict[str, bytes] = {}
    at = 0
    while at < inner.payload.nbytes:  # what was authenticated is what seal() wrote
        name_len, size = _HEAD.unpack(inner.payload[at : at + _HEAD.size])
        at += _HEAD.size
        parts[bytes(inner.payload[at : at + name_len]).decode()] = bytes(inner.payload[at + name_len :][:size])
        at += name_len + size
    return inner.header, parts


def _key(key: bytes) -> bytes:
    if not isinstance(key, bytes) or len(key) != 32:
        raise ValueError("key must be 32 bytes")
    return key
