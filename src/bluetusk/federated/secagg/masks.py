"""Keys from key agreements, and masks from keys: X25519, HKDF-SHA256, AES-256-CTR on the whole ring.

Every derived key is bound to the session (the salt: its hash covers encoding, length and clients), the round, the
purpose and the public keys involved, in the clients' order. Masks are words of 32 or 64 bits, uniform; taken modulo
2^l, which divides 2^32 and 2^64, they are uniform on the ring of l bits.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from numpy.typing import NDArray

from ..._random import Stream
from ...errors import ProtocolAbort
from ...storage.sealed import derived

__all__ = ["Mask", "agree", "apply", "derive", "is_low_order", "ring_dtype"]

_BLOCK = 1 << 15  # words of the ring at a time: they and the stream's stay in the second cache
_AT_ONCE = 32  # streams open at a time: a block is read and written once for all of them

Mask = tuple[bytes, bool]
"""A key and whether its stream is added (or else subtracted)."""


def ring_dtype(bits: int) -> np.dtype[Any]:
    """Return the words that hold a ring of that many bits."""
    return np.dtype(np.uint32) if bits <= 32 else np.dtype(np.uint64)


_P = 2**255 - 19
_LOW_ORDER = frozenset(
    {
        0,
        1,
        _P - 1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
    }
)
"""The u-coordinates of the points of Curve25519 and its twist whose order divides 8 (RFC 7748, section 7)."""


def is_low_order(public: bytes) -> bool:
    """Whether X25519 with this public key gives zero, whatever the private key is."""
    return (int.from_bytes(public, "little") & (2**255 - 1)) % _P in _LOW_ORDER


def agree(mine: X25519PrivateKey, theirs: bytes, round: int, party: str | None) -> bytes:
    """Return the raw shared secret of X25519; refuse a public key of low order, which gives zero."""
    try:
        return mine.exchange(X25519PublicKey.from_public_bytes(theirs))
    except ValueError:
        raise ProtocolAbort("a public key of low order was sent", round=round, party=party) from None


def derive(secret: bytes, salt: bytes, round: int, purpose: bytes, *public: bytes) -> bytes:
    """Return 32 bytes by HKDF-SHA256 (RFC 5869), bound to what they are for."""
    info = b"bluetusk secagg " + purpose + b"\0" + round.to_bytes(8, "little") + b"".join(public)
    return derived(secret, info, salt)


def apply(words: NDArray[Any], masks: Iterable[Mask]) -> None:
    """Add and subtract the streams of masks, in place, modulo the size of a word."""
    scratch = np.empty(min(_BLOCK, words.size), words.dtype)
    waiting: list[tuple[Stream, bool]] = []
    for key, add in masks:
        waiting.append((Stream(key), add))
        if len(waiting) == _AT_ONCE:
            _run(words, waiting, scratch)
            waiting = []
    _run(words, waiting, scratch)


def _run(
    words: NDArray[Any],
    streams: list[tuple[Stream, bool]],
    scratch: NDArray[Any],
) -> None:
    for at in range(0, words.size, _BLOCK):
        part = words[at : at + _BLOCK]
        mask = scratch[: part.size]
        for stream, add in streams:
            stream.fill(mask)
            (np.add if add else np.subtract)(part, mask, out=part)
