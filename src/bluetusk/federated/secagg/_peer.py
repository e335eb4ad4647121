"""The secrets of one client in one round, and what it does with them: share, mask, reveal."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from numpy.typing import NDArray

from ..._kernels import ring as kernel
from ..._once import Uncopied
from ...errors import ProtocolAbort
from ...sharing import share_keys
from ._ids import Place, Places, place_list
from ._messages import SHARE
from ._roster import Roster
from .boxes import open_box, sealed_box
from .masks import Mask, agree, apply, derive
from .plan import MAX_NEIGHBOURS, Plan
from .session import Session

__all__ = ["MOST_BOX", "Peer", "box_bytes", "box_key", "commitment", "mask_key", "pack", "self_mask_key"]

Words = NDArray[Any]
"""Elements of the ring in uint32 or uint64."""


MOST_BOX = 12 + 2 * SHARE + 4 * MAX_NEIGHBOURS + 16
"""Bytes of the largest encrypted share that any plan gives."""


def commitment(session: Session, round: int, seed: bytes) -> bytes:
    """Return what binds a client to its seed: whoever reconstructs the seed compares."""
    return hashlib.sha256(b"bluetusk secagg seed\0" + session.hash + round.to_bytes(8, "little") + seed).digest()


def mask_key(session: Session, round: int, secret: bytes, lower: bytes, upper: bytes) -> bytes:
    """Return the key of a pair's mask; `lower` belongs to the client that comes first."""
    return derive(secret, session.hash, round, b"mask", lower, upper)


def self_mask_key(session: Session, round: int, seed: bytes, public: bytes) -> bytes:
    """Return the key of a client's own mask."""
    return derive(seed, session.hash, round, b"self mask", public)


def box_key(session: Session, round: int, secret: bytes, sender: bytes, recipient: bytes) -> bytes:
    """Return the key under which one client's shares travel to another."""
    return derive(secret, session.hash, round, b"shares", sender, recipient)


def box_bytes(plan: Plan) -> int:
    """Return the bytes of one encrypted share: nonce, two shares, the sender's choice where it chose, tag."""
    chosen = 4 * plan.neighbours if plan.malicious and not plan.complete else 0
    return 12 + 2 * SHARE + chosen + 16


def pack(words: Words, bits: int) -> memoryview:
    """Reduce words modulo 2^bits, in place, and return them end to end."""
    if bits == 8 * words.itemsize:
        return words.astype(words.dtype.newbyteorder("<"), copy=False).view(np.uint8).data
    np.bitwise_and(words, words.dtype.type(2**bits - 1), out=words)
    out = np.empty(kernel.packed_bytes(words.size, bits), np.uint8)
    kernel.pack(words, bits, out)
    return out.data


class Peer(Uncopied):
    """One client's keys and seed of one round.

    Parameters
    ----------
    session, round
        What they are for.
    secrets : bytes, optional
        The secret of shares, the secret of masks and the seed, 32 bytes each; fresh ones from the operating system by
        default.
    """

    def __init__(self, session: Session, round: int, secrets: bytes | None = None) -> None:
        self.session, self.round = session, round
        raw = os.urandom(96) if secrets is None else secrets
        self.share_secret, self.mask_secret, self.seed = raw[:32], raw[32:64], raw[64:]
        self._share_key = X25519PrivateKey.from_private_bytes(self.share_secret)
        self._mask_key = X25519PrivateKey.from_private_bytes(self.mask_secret)
        self.share_public = self._share_key.public_key().public_bytes_raw()
        self.mask_public = self._mask_key.public_key().public_bytes_raw()
        self._agreed: dict[Place, bytes] = {}

    def advert(self) -> bytes:
        """Return what the client advertises."""
        return self.share_public + self.mask_public + commitment(self.session, self.round, self.seed)

    def server_key(self, public: bytes) -> bytes:
        """Return the key that client and server share."""
        secret = agree(self._share_key, public, self.round, "server")
        return derive(secret, self.session.hash, self.round, b"server", self.share_public, public)

    def _agree(self, roster: Roster, place: Place) -> bytes:
        if place not in self._agreed:
            party = roster.name(place)
            self._agreed[place] = agree(self._share_key, roster.share_keys[place], self.round, party)
        return self._agreed[place]

    def share(self, roster: Roster, me: Place, holders: Places) -> tuple[bytes, bytes]:
        """Share key and seed: return the holders' records, and this client's own share of its seed if it has one."""
        session = self.session
        rows = share_keys([self.mask_secret, self.seed], roster.plan.threshold, len(holders)).astype("<u8", copy=False)
        chosen = b"" if session.plan.complete or not session.plan.malicious else holders.astype("<u4").tobytes()
        out, own = [], b""
        for place, row in zip(place_list(holders), rows, strict=True):
            if place == me:
                own = row[1].tobytes()
                continue
            key = box_key(session, self.round, self._agree(roster, place), self.share_public, roster.share_keys[place])
            out += [place.to_bytes(4, "little"), sealed_box(key, row.tobytes() + chosen, b"")]
        return b"".join(out), own

    def open(self, roster: Roster, place: Place, box: bytes | memoryview) -> tuple[bytes, bytes, Places] | None:
        """Open what another client dealt: shares of its key and seed, its choice; None if it is broken."""
        key = box_key(self.session, self.round, self._agree(roster, place), roster.share_keys[place], self.share_public)
        plain = open_box(key, box, b"")
        if plain is None:
            return None
        return plain[:SHARE], plain[SHARE : 2 * SHARE], np.frombuffer(plain[2 * SHARE :], "<u4").astype(np.int64)

    def mask(self, words: Words, roster: Roster, me: Place, neighbours: list[Place]) -> None:
        """Add the masks of all pairs and the client's own, in place."""
        session, round = self.session, self.round
        masks: list[Mask] = [(self_mask_key(session, round, self.seed, self.mask_public), True)]
        for place in neighbours:
            theirs = roster.mask_keys[place]
            secret = agree(self._mask_key, theirs, round, roster.name(place))
            pair = (self.mask_public, theirs) if me < place else (theirs, self.mask_public)
            masks.append((mask_key(session, round, secret, *pair), me < place))
        if len(masks) < 2:
            raise ProtocolAbort("no other client is left to mask against", round=round)
        apply(words, masks)
