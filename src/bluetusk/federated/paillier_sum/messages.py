"""What the messages of a sum say, how they are signed and sealed, and the checks that every role makes alike."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from ...errors import FrameError, InvalidKey
from ...paillier.keys import PrivateKey
from ...paillier.proofs import require_proven
from ...wire.frame import MAX_HEADER, Frame, Kind, check_fields, decode, encode, field

if TYPE_CHECKING:
    from ...encoding import FixedPoint
    from ...paillier.array import CipherArray
    from . import PaillierSum

__all__ = [
    "MAX_REASON",
    "MAX_ROUND",
    "about",
    "check_about",
    "check_private",
    "check_sum",
    "claims",
    "max_frame",
    "require_proof",
    "seal",
    "signed_bytes",
    "unseal",
    "weight_limit",
]

MAX_ROUND = (1 << 62) - 1
MAX_REASON = 120
"""Most characters in the reason for a rejection: those of 1024 clients fit into one header."""
_SIGNED = b"bluetusk PaillierSum contribution\0"


def about(session: PaillierSum, round: int, tensor: str) -> dict[str, Any]:
    """Return the fields by which every message names its session, round and tensor."""
    plan, length = session.tensors[tensor]
    return {
        "session": session.hash,
        "id": session.session_id,
        "key": session.public_key.fingerprint,
        "round": round,
        "tensor": tensor,
        "plan": plan.hash,
        "count": length,
    }


def check_about(session: PaillierSum, header: dict[str, Any]) -> tuple[int, str]:
    """Check those fields of a received message against the session; return its round and tensor."""
    tensor = field(header, "tensor", str, choices=session.tensors)
    round = field(header, "round", int, low=0, high=MAX_ROUND)
    expected = about(session, round, tensor)
    for name, what in (("key", "under another key"), ("id", "from another session"), ("plan", "under another plan")):
        if field(header, name, bytes) != expected[name]:
            raise FrameError(f"message is {what}")
    if field(header, "session", bytes) != session.hash:
        raise FrameError("message is from a session with another configuration")
    field(header, "count", int, choices=(expected["count"],))
    return round, tensor


def claims(session: PaillierSum, round: int, tensor: str, sender: str, digest: bytes) -> dict[str, Any]:
    """Return all that a client signs: what the message is about, who sends it, its limit and its content's hash.

    The limit is that of the client's largest weight, agreed beforehand; the weight in use travels encrypted only.
    """
    plan, _ = session.tensors[tensor]
    bound = plan.limit * session.clients[sender][1]
    return {**about(session, round, tensor), "sender": sender, "bound": bound, "digest": digest}


def signed_bytes(stated: dict[str, Any]) -> bytes:
    """Return the bytes under a client's signature; frames are canonical, so all roles rebuild the same ones."""
    return _SIGNED + encode(Kind.SUM_CONTRIBUTION, stated)


def weight_limit(session: PaillierSum, senders: Collection[str]) -> int:
    """Return the largest weight that the sum over these clients can have."""
    return sum(session.clients[name][1] for name in senders)


def max_frame(session: PaillierSum) -> int:
    """Return how many bytes a frame with one encrypted vector of this session can have at most."""
    bits = session.public_key.bits
    blocks = max(-(-(length + 1) // plan.slots(bits)) for plan, length in session.tensors.values())
    return blocks * 2 * ((bits + 7) // 8 + 8) + MAX_HEADER + 64


def check_private(session: PaillierSum, private_key: PrivateKey) -> None:
    """Refuse what is not the private key of a session."""
    if not isinstance(private_key, PrivateKey):
        raise TypeError(f"private_key must be a PrivateKey, not {type(private_key).__name__}")
    if private_key.public_key.fingerprint != session.public_key.fingerprint:
        raise InvalidKey("private_key does not belong to this session's public key: open the session's own key")


def require_proof(session: PaillierSum) -> None:
    """Refuse a role of a session whose key this process does not know to be made well."""
    require_proven(
        session.public_key, "get the session from the key holder again, who sends session.prove(private_key)"
    )


def check_sum(c: CipherArray, plan: FixedPoint, length: int, bound: int) -> None:
    """Check that an array that came in is a vector of this tensor with the weight behind it, within its limit."""
    if not c.packed or c.shape != (length + 1,):
        raise FrameError(f"message holds an array of shape {c.shape}, not {length} packed values and the weight")
    if c.plan != plan or c.frac != plan.frac or c.slot_bits != plan.slot_bits:
        raise FrameError("message holds an array under another plan, scale or width of slots")
    if c.bound > bound:
        raise FrameError("message declares a larger bound than the weights agreed for its clients allow")


def seal(kind: Kind, header: dict[str, Any], payload: bytes) -> bytes:
    """Encode a message with a hash over all of it, so that damage is seen before a sum is spent on it."""
    return encode(kind, {**header, "digest": _digest(kind, header, payload)}, payload)


def unseal(data: bytes | bytearray | memoryview, kind: Kind, fields: Collection[str], max_payload: int) -> Frame:
    """Decode what :func:`seal` made."""
    frame = decode(data, kind, max_payload=max_payload)
    check_fields(frame.header, {*fields, "digest"})
    header = {name: value for name, value in frame.header.items() if name != "digest"}
    if field(frame.header, "digest", bytes) != _digest(kind, header, frame.payload):
        raise FrameError("message was damaged on its way: its hash does not match")
    return Frame(frame.kind, frame.version, header, frame.payload)


def _digest(kind: Kind, header: dict[str, Any], payload: bytes | memoryview) -> bytes:
    state = hashlib.sha256(encode(kind, header))
    state.update(payload)
    return state.digest()
