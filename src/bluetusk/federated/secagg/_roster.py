"""Who takes part in a round: the keys that clients advertised, as the server publishes them to all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ...errors import FrameError, ProtocolAbort
from ...wire.frame import Frame, Kind
from ._graph import hashed
from ._ids import ClientId, Place, Places, records
from ._messages import ADVERT, about, check_signed
from .session import Session

__all__ = ["Roster", "advert_frame", "encode_roster"]

_SIGNATURE = 64


def advert_frame(session: Session, round: int, sender: ClientId, advert: bytes, signature: bytes) -> Frame:
    """Return the message that a client signed when it advertised, rebuilt from what the roster says."""
    digest = hashlib.sha256(advert).digest()
    header = {**about(session, round), "sender": sender, "digest": digest, "signature": signature}
    return Frame(Kind.SECAGG_ADVERTISE, 1, header, memoryview(advert))


class Roster:
    """The clients of one round, in the session's order; a client's *place* is its position here (:attr:`places`).

    Parameters
    ----------
    session : Session
        The configuration.
    round : int
        The round.
    payload : bytes
        One record for each client: its place in the session (4 bytes), what it advertised (96), in malicious mode its
        signature on that (64).

    Raises
    ------
    FrameError
        If the payload is not such a list, or repeats a client or a key.
    ProtocolAbort
        If they are too few for the session's plan.
    """

    def __init__(self, session: Session, round: int, payload: bytes) -> None:
        malicious = session.plan.malicious
        size = 4 + ADVERT + (_SIGNATURE if malicious else 0)
        if len(payload) % size:
            raise FrameError(f"the roster has {len(payload)} bytes, not a multiple of {size}")
        self.session, self.round, self.payload = session, round, payload
        self.digest = hashlib.sha256(payload).digest()
        self.clients, rows = records(payload, size)
        if len(self.clients) < 2 or np.any(np.diff(self.clients) <= 0) or self.clients[-1] >= len(session.names):
            raise FrameError("the roster does not name clients of the session in their order")
        adverts = [bytes(row) for row in rows[:, :ADVERT]]
        self.share_keys = [advert[:32] for advert in adverts]
        self.mask_keys = [advert[32:64] for advert in adverts]
        self.commitments = [advert[64:] for advert in adverts]
        if len({*self.share_keys, *self.mask_keys}) != 2 * len(adverts):
            raise FrameError("the roster repeats a key")
        if malicious:
            for client, advert, row in zip(self.clients.tolist(), adverts, rows, strict=True):
                name = session.names[client]
                frame = advert_frame(session, round, client, advert, bytes(row[ADVERT:]))
                try:
                    check_signed(frame, ("sender",), session.clients[name][0])
                except FrameError:
                    raise FrameError(f"the roster holds keys that {name!r} did not sign") from None
        self.places = {ClientId(client): Place(place) for place, client in enumerate(self.clients.tolist())}
        try:
            self.plan = session.plan.at(len(self))
        except ValueError as err:
            raise ProtocolAbort(
                f"{len(self)} clients advertised keys, too few for the session's plan: {err}", round=round
            ) from None
        self.holders = self._graph()

    def __len__(self) -> int:
        return len(self.clients)

    def flags(self, clients: Iterable[ClientId]) -> NDArray[np.bool_]:
        """Return a set of clients, a flag for each place."""
        flags = np.zeros(len(self), np.bool_)
        flags[[self.places[client] for client in clients]] = True
        return flags

    def name(self, place: Place) -> str:
        """Return a client's name."""
        return self.session.names[int(self.clients[place])]

    def _graph(self) -> Places | None:
        """Return every client's holders, or None where each draws its own."""
        m, plan = len(self), self.plan
        if plan.complete:
            return np.broadcast_to(np.arange(m), (m, m))
        if plan.malicious:
            return None
        about_round = self.session.hash + self.round.to_bytes(8, "little")
        state = hashlib.sha256(b"bluetusk secagg graph\0" + about_round + self.digest)
        return hashed(state.digest(), m, plan.neighbours)

    def held_by(self, me: Place) -> Places:
        """Return the places whose shares a client holds, without its own, where the graph is fixed."""
        if self.holders is None:
            raise ValueError("the graph is not known: each client draws its own holders")
        if self.holders.strides[0] == 0:  # the complete graph: one row for all
            return np.delete(self.holders[0], me)
        others: Places = np.flatnonzero((self.holders == me).any(axis=1))
        return np.delete(others, np.flatnonzero(others == me))


def encode_roster(entries: Sequence[tuple[ClientId, bytes, bytes]], malicious: bool) -> bytes:
    """Return the payload of a roster from (client, advert, signature), in the clients' order."""
    return b"".join(
        client.to_bytes(4, "little") + advert + (signature if malicious else b"")
        for client, advert, signature in entries
    )
