"""The state that the phases of a round share: the round's keys, who has answered, and what one phase hands to the next.

A phase takes one kind of message, each client's once. Its end gives the next phase and a message for every client that
goes on.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from numpy.typing import NDArray

from ....errors import ProtocolAbort
from ....wire.frame import Frame, Kind
from .._ids import ClientId, Place, Places
from .._messages import ADVERT, bitmap, members, signed
from .._peer import Words
from .._roster import Roster
from ..masks import agree, derive, ring_dtype
from ..session import Session

__all__ = ["Closed", "Dealt", "Masking", "Out", "Phase", "Round", "ints", "pack_ints", "placed", "table"]

Out = dict[str, bytes]
"""A message for each client, by name."""
R = TypeVar("R")


@dataclass(repr=False, eq=False)
class Round:
    """What every phase of a round needs: the server's key for the clients, and what they advertised."""

    session: Session
    number: int
    signing_key: Ed25519PrivateKey
    secret: bytes = field(default_factory=lambda: os.urandom(32))
    adverts: dict[ClientId, tuple[bytes, bytes]] = field(default_factory=dict)  # what it advertised, its signature
    pairs: dict[ClientId, bytes] = field(default_factory=dict)  # the key that client and server share
    rejected: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._key = X25519PrivateKey.from_private_bytes(self.secret)
        self.public = self._key.public_key().public_bytes_raw()

    def admit(self, client: ClientId, advert: bytes, signature: bytes) -> None:
        """Keep what a client advertised, with the key that follows from it."""
        share_key = advert[:32]
        secret = agree(self._key, share_key, self.number, self.session.names[client])
        self.pairs[client] = derive(secret, self.session.hash, self.number, b"server", share_key, self.public)
        self.adverts[client] = advert, signature

    def to_all(self, clients: Iterable[ClientId], kind: Kind, header: Mapping[str, Any], payload: bytes) -> Out:
        """Return one signed message for all of these clients."""
        message = self.sign(kind, header, payload)
        return {self.session.names[client]: message for client in clients}

    def sign(self, kind: Kind, header: Mapping[str, Any], payload: bytes) -> bytes:
        """Return a signed message."""
        return signed(self.session, self.number, kind, header, payload, self.signing_key)

    def pack(self) -> dict[str, bytes]:
        """Return the round's state; keys shared with clients follow from it."""
        parts = {"secret": self.secret}
        ids = {name: i for i, name in enumerate(self.session.names)}
        parts |= {f"rejected {ids[name]}": reason.encode() for name, reason in self.rejected.items()}
        return parts | {f"advert {i}": advert + signature for i, (advert, signature) in self.adverts.items()}

    @classmethod
    def unpack(cls, session: Session, number: int, key: Ed25519PrivateKey, parts: Mapping[str, bytes]) -> Round:
        """Read what :meth:`pack` gave."""
        round = cls(session, number, key, parts["secret"])
        round.rejected = {session.names[i]: part.decode() for i, part in table(parts, "rejected").items()}
        for i, part in table(parts, "advert").items():
            round.admit(ClientId(i), part[:ADVERT], part[ADVERT:])
        return round


@dataclass(kw_only=True, repr=False, eq=False)
class Phase(ABC, Generic[R]):
    """One phase: `R` is what its end gives."""

    name: ClassVar[str]
    kind: ClassVar[Kind]
    round: Round
    expected: set[ClientId]
    done: set[ClientId] = field(default_factory=set)  # clients whose message of this phase counts
    broken: bool = False  # a message was taken in half: the round cannot go on

    @abstractmethod
    def take(self, sender: ClientId, frame: Frame) -> None:
        """Check a message of this phase's kind and keep it; FrameError or ProtocolAbort leave no trace."""

    @abstractmethod
    def end(self) -> R:
        """Close the phase without those that have not answered; ProtocolAbort if they leave too few."""

    def pack(self) -> dict[str, bytes]:
        """Return what this phase holds beside the round."""
        return {}

    @classmethod
    def unpack(cls, round: Round, parts: Mapping[str, bytes]) -> dict[str, Any]:
        """Read what :meth:`pack` gave, by the names of the fields that hold it."""
        return {}

    def _need(self, least: int, what: str) -> list[ClientId]:
        """Return the clients that answered, in order, if they are enough."""
        if len(self.done) < least:
            raise ProtocolAbort(
                f"{len(self.done)} clients {what}; at least {least} are needed: start another round",
                round=self.round.number,
            )
        return sorted(self.done)


@dataclass(repr=False, eq=False)
class Dealt:
    """What a round holds from the delivery of shares on: who holds whose shares, and the sum of the masked vectors."""

    roster: Roster
    holders: dict[Place, Places]  # client -> who holds its shares
    held: dict[Place, Places]  # client -> whose shares it was given
    shared: NDArray[np.bool_]
    total: Words

    def pack(self) -> dict[str, bytes]:
        """Return it as parts of a state."""
        parts = {"roster": self.roster.payload}
        for name, places in (("holders", self.holders), ("held", self.held)):
            parts |= {f"{name} {place}": pack_ints(row) for place, row in places.items()}
        parts["shared"] = bitmap(self.shared)
        return parts | {"total": self.total.astype(self.total.dtype.newbyteorder("<"), copy=False).tobytes()}

    @classmethod
    def unpack(cls, round: Round, parts: Mapping[str, bytes]) -> Dealt:
        """Read what :meth:`pack` gave."""
        roster = Roster(round.session, round.number, parts["roster"])
        dtype = ring_dtype(round.session.bits)
        return cls(
            roster,
            placed(parts, "holders"),
            placed(parts, "held"),
            members(parts["shared"], len(roster), "shared"),
            np.frombuffer(parts["total"], dtype.newbyteorder("<")).astype(dtype),
        )


@dataclass(kw_only=True, repr=False, eq=False)
class Masking(Phase[R]):
    """A phase in which clients hold shares of each other's keys."""

    dealt: Dealt

    def pack(self) -> dict[str, bytes]:
        """Return the sum and who holds whose shares."""
        return self.dealt.pack()

    @classmethod
    def unpack(cls, round: Round, parts: Mapping[str, bytes]) -> dict[str, Any]:
        """Read what :meth:`pack` gave."""
        return {"dealt": Dealt.unpack(round, parts)}


@dataclass(kw_only=True, repr=False, eq=False)
class Closed(Masking[R]):
    """A phase in which the clients in the sum are known."""

    survivors: NDArray[np.bool_]

    def pack(self) -> dict[str, bytes]:
        """Return the sum and who is in it."""
        return super().pack() | {"survivors": bitmap(self.survivors)}

    @classmethod
    def unpack(cls, round: Round, parts: Mapping[str, bytes]) -> dict[str, Any]:
        """Read what :meth:`pack` gave."""
        held = super().unpack(round, parts)
        return held | {"survivors": members(parts["survivors"], len(held["dealt"].roster), "survivors")}


def table(parts: Mapping[str, bytes], kind: str) -> dict[int, bytes]:
    """Return the numbered parts of one kind."""
    named = ((name.partition(" "), part) for name, part in parts.items())
    return {int(number): part for (found, _, number), part in named if found == kind and number}


def placed(parts: Mapping[str, bytes], kind: str) -> dict[Place, Places]:
    """Return the places under each place."""
    return {Place(place): ints(part) for place, part in table(parts, kind).items()}


def pack_ints(values: Iterable[int]) -> bytes:
    """Return 8 bytes for each."""
    return np.array(list(values), "<i8").tobytes()


def ints(data: bytes) -> Places:
    """Read what :func:`pack_ints` gave."""
    return np.frombuffer(data, "<i8").astype(np.int64)
