"""Checks and answers each of the server's messages, for one client in one round."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import NDArray

from ..._once import Uncopied
from ...errors import FrameError, ProtocolAbort
from ...wire.frame import Frame, Kind, decode, encode, field
from ..parties import signed_by
from ._graph import draw
from ._ids import ClientId, Place, Places, place_list, records
from ._messages import about, bitmap, members, tagged, view_digest
from ._notes import Memory, Notes
from ._peer import Peer, Words, box_bytes, pack
from ._roster import Roster
from .boxes import Data, sealed_box
from .masks import ring_dtype

__all__ = ["ADVERTISED", "DONE", "IDLE", "OVER", "PHASES", "TURNS", "Part"]

IDLE, ADVERTISED, SHARED, MASKED, CONSENTED, DONE, OVER = PHASES = (
    "idle",
    "advertised",
    "shared",
    "masked",
    "consented",
    "done",
    "over",
)


class Part(Uncopied):
    """A client's part in one round. Each message of the server is first taken (checked, kept), then answered.

    Parameters
    ----------
    client : ClientId
        Whose part it is.
    signing_key : Ed25519PrivateKey
        Its identity.
    notes : Notes or Memory
        Notes of what it must not do twice.
    peer : Peer
        Its secrets of the round.
    words : ndarray, optional
        Its vector, until it is masked.
    """

    roster: Roster
    me: Place
    senders: Places
    boxes: NDArray[np.uint8]
    _server_key: bytes
    _shared: NDArray[np.bool_]
    _survivors: NDArray[np.bool_]

    def __init__(
        self,
        client: ClientId,
        signing_key: Ed25519PrivateKey,
        notes: Notes | Memory,
        peer: Peer,
        words: Words | None = None,
    ) -> None:
        self.session, self.round, self.peer, self.words = peer.session, peer.round, peer, words
        self._client, self._signing_key, self._notes = client, signing_key, notes
        self.frames: dict[Kind, bytes] = {}  # the server's messages that were taken
        self._own = b""
        self._chosen: Places = np.empty(0, np.int64)

    # -------------------------------------------------------------------------------------------------- keys

    def take_roster(self, frame: Frame) -> None:
        """Take the keys that all clients advertised."""
        session = self.session
        public = field(frame.header, "key", bytes, length=32)
        roster = Roster(session, self.round, bytes(frame.payload))
        me = roster.places.get(self._client)
        if me is None or roster.share_keys[me] + roster.mask_keys[me] + roster.commitments[me] != self.peer.advert():
            raise FrameError("the roster does not hold the keys that this client advertised")
        if len(roster) < session.min_advertised:
            raise ProtocolAbort(
                f"{len(roster)} clients advertised keys, but at least {session.min_advertised} are needed",
                round=self.round,
            )
        self.roster, self.me = roster, me
        self._server_key = self.peer.server_key(public)

    def answer_roster(self) -> bytes:
        """Deal shares of this client's secrets."""
        holders = self.roster.holders
        self._chosen = (
            draw(len(self.roster), self.roster.plan.neighbours, self.me) if holders is None else holders[self.me]
        )
        payload, self._own = self.peer.share(self.roster, self.me, self._chosen)
        return self._tagged(Kind.SECAGG_SHARES, payload)

    def _tagged(self, kind: Kind, payload: Data) -> bytes:
        return tagged(self.session, self.round, kind, {"sender": self._client}, payload, self._server_key)

    # -------------------------------------------------------------------------------------------------- masked vector

    def take_delivery(self, frame: Frame) -> None:
        """Take the shares of which this client is the holder."""
        session, roster = self.session, self.roster
        m = len(roster)
        head = (m + 7) // 8
        shared = members(frame.payload[:head], m, "the set of clients that shared their keys")
        size = 4 + box_bytes(roster.plan)
        if (frame.payload.nbytes - head) % size:
            raise FrameError("the delivered shares are not a whole number of records")
        senders, boxes = records(frame.payload[head:], size)
        if np.any(np.diff(senders) <= 0) or np.any(senders >= m) or not shared[senders].all():
            raise FrameError("the delivered shares are not those of clients in the set, in their order")
        if not shared[self.me] or self.me in senders:
            raise FrameError("the delivery leaves this client out, or holds shares from itself")
        if roster.holders is not None:
            expected = roster.held_by(self.me)
            if not np.array_equal(senders, expected[shared[expected]]):
                raise FrameError("the delivered shares are not those that the graph gives this client")
        needed, there = roster.plan.threshold, int(shared[self._chosen].sum())
        if there < needed or int(shared.sum()) < session.min_clients:
            raise ProtocolAbort(
                f"{there} of this client's holders and {int(shared.sum())} clients are left, "
                f"but {needed} and {session.min_clients} are needed",
                round=self.round,
            )
        self._shared, self.senders, self.boxes = shared, senders, boxes

    def answer_delivery(self) -> bytes:
        """Send the masked vector."""
        assert self.words is not None
        mine = self._chosen[self._shared[self._chosen]]
        neighbours = sorted({*place_list(mine), *place_list(self.senders)} - {self.me})
        self._notes.spend(self.round, "mask")
        words, self.words = self.words, None
        self.peer.mask(words, self.roster, self.me, neighbours)
        return self._tagged(Kind.SECAGG_MASKED, pack(words, self.session.bits))

    # -------------------------------------------------------------------------------------------------- consent, shares

    def _check_survivors(self, data: memoryview) -> NDArray[np.bool_]:
        survivors = members(data, len(self.roster), "the set of clients in the sum")
        plan = self.roster.plan
        if (survivors & ~self._shared).any():
            raise FrameError("the set of clients in the sum holds one that shared no keys")
        if not survivors[self.me]:
            raise FrameError("the set of clients in the sum leaves this client out")
        count, near = int(survivors.sum()), int(survivors[self._chosen].sum())
        if count < self.session.min_clients or near < plan.threshold:
            raise ProtocolAbort(
                f"the sum is of {count} clients, {near} of them this client's holders: at least "
                f"{self.session.min_clients} and {plan.threshold} are needed",
                round=self.round,
            )
        return survivors

    def take_view(self, frame: Frame) -> None:
        """Take the set of clients in the sum."""
        self._survivors = self._check_survivors(frame.payload)

    def answer_view(self) -> bytes:
        """Sign it."""
        self._notes.spend(self.round, "consent")
        header = {**about(self.session, self.round), "sender": self._client}
        return encode(Kind.SECAGG_CONSENT, {**header, "signature": self._signing_key.sign(self._view())})

    def _view(self) -> bytes:
        head = (len(self.roster) + 7) // 8
        shared = decode(self.frames[Kind.SECAGG_DELIVERY]).payload[:head]
        return view_digest(self.session, self.round, self.roster.digest, shared, bitmap(self._survivors))

    def take_request(self, frame: Frame) -> None:
        """Take the request for shares."""
        head = (len(self.roster) + 7) // 8
        survivors = self._check_survivors(frame.payload[:head])
        rest = frame.payload[head:]
        if not self.session.plan.malicious:
            if rest.nbytes:
                raise FrameError("the request is followed by other bytes")
            self._survivors = survivors
            return
        if not np.array_equal(survivors, self._survivors):
            raise FrameError("the request is for another set of clients than this client consented to")
        self._check_quorum(survivors, rest)

    def _check_quorum(self, survivors: NDArray[np.bool_], data: memoryview) -> None:
        if data.nbytes % 68:
            raise FrameError("the signatures on the set of clients are not a whole number of records")
        places, signatures = records(data, 68)
        if np.any(np.diff(places) <= 0) or np.any(places >= len(survivors)) or not survivors[places].all():
            raise FrameError("the signatures on the set of clients are not those of its members, in their order")
        view = self._view()
        for place, signature in zip(place_list(places), signatures, strict=True):
            name = self.roster.name(place)
            if not signed_by(self.session.clients[name][0], signature.tobytes(), view):
                raise FrameError(f"{name!r} did not sign this set of clients")
        if len(places) < self.session.plan.quorum:
            raise FrameError(f"{len(places)} clients signed the set, but {self.session.plan.quorum} must")

    def answer_request(self) -> bytes:
        """Reveal one share for each client: of its seed if it is in the sum, else of its key."""
        plan = self.roster.plan
        out = []
        if self._own:
            out.append(self.me.to_bytes(4, "little") + self._own)
        for place, box in zip(place_list(self.senders), self.boxes, strict=True):
            opened = self.peer.open(self.roster, place, box.data)
            if opened is None:
                continue  # its dealer's fault; there are others who hold shares of it
            key_share, seed_share, chosen = opened
            alive = bool(self._survivors[place])
            if alive and plan.malicious and not plan.complete:
                valid = (
                    bool(np.all(np.diff(chosen) > 0)) and self.me in chosen and bool(np.all(chosen < len(self.roster)))
                )
                if not valid:
                    continue
                if int(self._survivors[chosen].sum()) < plan.threshold:
                    name = self.roster.name(place)
                    raise ProtocolAbort(
                        f"the set of clients in the sum leaves {name!r} too few of the neighbours that it chose",
                        round=self.round,
                        party="server",
                    )
            out.append(place.to_bytes(4, "little") + (seed_share if alive else key_share))
        self._notes.spend(self.round, "answer")
        box = sealed_box(self._server_key, b"".join(out), b"reveal")
        return encode(Kind.SECAGG_REVEAL, {**about(self.session, self.round), "sender": self._client}, box)

    # -------------------------------------------------------------------------------------------------- state

    def pack(self) -> dict[str, bytes]:
        """Return the part as parts of a client's state."""
        parts = {kind.name: raw for kind, raw in self.frames.items()}
        parts["secrets"] = self.peer.share_secret + self.peer.mask_secret + self.peer.seed
        if self.words is not None:
            parts["words"] = self.words.astype(self.words.dtype.newbyteorder("<")).tobytes()
        return parts | {"own": self._own, "chosen": self._chosen.astype("<u4").tobytes()}

    def unpack(self, parts: Mapping[str, bytes]) -> None:
        """Read what :meth:`pack` gave, but for the secrets."""
        self._own = parts["own"]
        self._chosen = np.frombuffer(parts["chosen"], "<u4").astype(np.int64)
        if "words" in parts:
            dtype = ring_dtype(self.session.bits)
            self.words = np.frombuffer(parts["words"], dtype.newbyteorder("<")).astype(dtype)
        for kind, turn in TURNS.items():
            if kind.name in parts:
                self.frames[kind] = parts[kind.name]
                turn.take(self, decode(parts[kind.name], kind))


class Turn(NamedTuple):
    """What a client does with one kind of message."""

    before: tuple[str, str]
    """The phase that the message follows on: semi-honest, malicious."""
    fields: tuple[str, ...]
    take: Callable[[Part, Frame], None]
    answer: Callable[[Part], bytes]
    after: str


TURNS = {
    Kind.SECAGG_ROSTER: Turn((ADVERTISED, ADVERTISED), ("key",), Part.take_roster, Part.answer_roster, SHARED),
    Kind.SECAGG_DELIVERY: Turn((SHARED, SHARED), ("to",), Part.take_delivery, Part.answer_delivery, MASKED),
    Kind.SECAGG_VIEW: Turn(("never", MASKED), (), Part.take_view, Part.answer_view, CONSENTED),
    Kind.SECAGG_REQUEST: Turn((MASKED, CONSENTED), (), Part.take_request, Part.answer_request, DONE),
}
