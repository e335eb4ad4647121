"""What a client does with each of the server's messages: check it, and answer it."""

from __future__ import annotations

import numpy as np
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from numpy.typing import NDArray

from ...errors import FrameError, ProtocolAbort
from ...wire.frame import Frame, Kind, decode, encode, field
from ._graph import draw
from ._ids import ClientId, Place, Places, place_list, records
from ._messages import about, members, tagged, view_digest
from ._notes import Memory, Notes
from ._peer import Peer, Words, box_bytes, pack
from ._roster import Roster
from .boxes import Data, sealed_box
from .session import Session

__all__ = ["PHASES", "TURNS", "Steps"]

IDLE, ADVERTISED, SHARED, MASKED, CONSENTED, DONE, OVER = PHASES = (
    "idle",
    "advertised",
    "shared",
    "masked",
    "consented",
    "done",
    "over",
)


class Steps:
    """The part of a client that acts within one round. Each message is first taken (checked, kept), then answered."""

    session: Session
    round: int | None
    _signing_key: Ed25519PrivateKey
    _index: ClientId
    _notes: Notes | Memory
    _roster: Roster
    _server_key: bytes
    _me: Place
    _shared: NDArray[np.bool_]
    _senders: Places
    _boxes: NDArray[np.uint8]
    _survivors: NDArray[np.bool_]

    def _reset(self, phase: str) -> None:
        """Forget everything of the round but its number."""
        self._phase = phase
        self._peer: Peer | None = None
        self._words: Words | None = None
        self._own = b""
        self._chosen: Places = np.empty(0, np.int64)
        self._frames: dict[Kind, bytes] = {}
        self._seen: dict[Kind, bytes] = {}

    # -------------------------------------------------------------------------------------------------- keys

    def _take_roster(self, frame: Frame) -> None:
        assert self._peer is not None
        session = self.session
        self._server_public = field(frame.header, "key", bytes, length=32)
        roster = Roster(session, self._peer.round, bytes(frame.payload))
        me = roster.places.get(self._index)
        if me is None or roster.share_keys[me] + roster.mask_keys[me] + roster.commitments[me] != self._peer.advert():
            raise FrameError("the roster does not hold the keys that this client advertised")
        if len(roster) < session.min_advertised:
            raise ProtocolAbort(
                f"{len(roster)} clients advertised keys, at least {session.min_advertised} are needed",
                round=self._peer.round,
            )
        self._roster, self._me = roster, me
        self._server_key = self._peer.server_key(self._server_public)

    def _answer_roster(self, round: int) -> list[bytes]:
        assert self._peer is not None
        holders = self._roster.holders
        plan = self._roster.plan
        self._chosen = draw(len(self._roster), plan.neighbours, self._me) if holders is None else holders[self._me]
        payload, self._own = self._peer.share(self._roster, self._me, self._chosen)
        self._phase = SHARED
        return [self._tagged(round, Kind.SECAGG_SHARES, payload)]

    def _tagged(self, round: int, kind: Kind, payload: Data) -> bytes:
        return tagged(self.session, round, kind, {"sender": self._index}, payload, self._server_key)

    # -------------------------------------------------------------------------------------------------- masked vector

    def _take_delivery(self, frame: Frame) -> None:
        session, roster = self.session, self._roster
        m = len(roster)
        head = (m + 7) // 8
        shared = members(frame.payload[:head], m, "the set of clients that shared their keys")
        size = 4 + box_bytes(roster.plan)
        if (frame.payload.nbytes - head) % size:
            raise FrameError("the delivered shares are not whole records")
        senders, boxes = records(frame.payload[head:], size)
        if np.any(np.diff(senders) <= 0) or np.any(senders >= m) or not shared[senders].all():
            raise FrameError("the delivered shares are not those of clients in the set, in their order")
        if not shared[self._me] or self._me in senders:
            raise FrameError("the delivery leaves this client out, or holds shares from itself")
        if roster.holders is not None:
            expected = roster.held_by(self._me)
            if not np.array_equal(senders, expected[shared[expected]]):
                raise FrameError("the delivered shares are not those that the graph gives this client")
        needed, there = roster.plan.threshold, int(shared[self._chosen].sum())
        if there < needed or int(shared.sum()) < session.min_clients:
            raise ProtocolAbort(
                f"{there} of this client's holders and {int(shared.sum())} clients are left, "
                f"{needed} and {session.min_clients} are needed",
                round=roster.round,
            )
        self._shared, self._senders, self._boxes = shared, senders, boxes

    def _answer_delivery(self, round: int) -> list[bytes]:
        assert self._peer is not None
        assert self._words is not None
        mine = self._chosen[self._shared[self._chosen]]
        neighbours = sorted({*place_list(mine), *place_list(self._senders)} - {self._me})
        self._notes.spend(round, "mask")
        words, self._words = self._words, None
        self._peer.mask(words, self._roster, self._me, neighbours)
        payload = pack(words, self.session.bits)
        self._phase = MASKED
        return [self._tagged(round, Kind.SECAGG_MASKED, payload)]

    # -------------------------------------------------------------------------------------------------- consent, shares

    def _check_survivors(self, data: memoryview) -> NDArray[np.bool_]:
        survivors = members(data, len(self._roster), "the set of clients in the sum")
        plan = self._roster.plan
        if (survivors & ~self._shared).any():
            raise FrameError("the set of clients in the sum holds one that shared no keys")
        if not survivors[self._me]:
            raise FrameError("the set of clients in the sum leaves this client out")
        count, near = int(survivors.sum()), int(survivors[self._chosen].sum())
        if count < self.session.min_clients or near < plan.threshold:
            raise ProtocolAbort(
                f"the sum is of {count} clients, {near} of them this client's holders: at least "
                f"{self.session.min_clients} and {plan.threshold} are needed",
                round=self._roster.round,
            )
        return survivors

    def _take_view(self, frame: Frame) -> None:
        self._survivors = self._check_survivors(frame.payload)

    def _answer_view(self, round: int) -> list[bytes]:
        self._notes.spend(round, "consent")
        self._phase = CONSENTED
        header = {**about(self.session, round), "sender": self._index}
        signature = self._signing_key.sign(self._view())
        return [encode(Kind.SECAGG_CONSENT, {**header, "signature": signature})]

    def _view(self) -> bytes:
        head = (len(self._roster) + 7) // 8
        shared = decode(self._frames[Kind.SECAGG_DELIVERY]).payload[:head]
        survivors = np.packbits(self._survivors, bitorder="little").tobytes()
        return view_digest(self.session, self._roster.round, self._roster.digest, shared, survivors)

    def _take_request(self, frame: Frame) -> None:
        head = (len(self._roster) + 7) // 8
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
            raise FrameError("the signatures on the set of clients are not whole records")
        view, last = self._view(), -1
        for at in range(0, data.nbytes, 68):
            place = Place(int.from_bytes(data[at : at + 4], "little"))
            if not last < place < len(survivors) or not survivors[place]:
                raise FrameError("the signatures on the set of clients are not those of its members, in their order")
            last = place
            name = self._roster.name(self.session, place)
            try:
                Ed25519PublicKey.from_public_bytes(self.session.clients[name][0]).verify(
                    bytes(data[at + 4 : at + 68]), view
                )
            except (InvalidSignature, ValueError):
                raise FrameError(f"{name!r} did not sign this set of clients") from None
        if data.nbytes // 68 < self.session.plan.quorum:
            raise FrameError(f"{data.nbytes // 68} clients signed the set, {self.session.plan.quorum} must")

    def _answer_request(self, round: int) -> list[bytes]:
        assert self._peer is not None
        plan = self._roster.plan
        out = []
        if self._own:
            out.append(self._me.to_bytes(4, "little") + self._own)
        for place, box in zip(place_list(self._senders), self._boxes, strict=True):
            opened = self._peer.open(self._roster, place, box.data)
            if opened is None:
                continue  # its dealer's fault; there are others who hold shares of it
            key_share, seed_share, chosen = opened
            alive = bool(self._survivors[place])
            if alive and plan.malicious and not plan.complete:
                valid = (
                    bool(np.all(np.diff(chosen) > 0))
                    and self._me in chosen
                    and bool(np.all(chosen < len(self._roster)))
                )
                if not valid:
                    continue
                if int(self._survivors[chosen].sum()) < plan.threshold:
                    name = self._roster.name(self.session, place)
                    raise ProtocolAbort(
                        f"the set of clients in the sum leaves {name!r} too few of the neighbours that it chose",
                        round=round,
                        party="server",
                    )
            out.append(place.to_bytes(4, "little") + (seed_share if alive else key_share))
        payload = b"".join(out)
        self._notes.spend(round, "answer")
        key = self._server_key
        box_ = sealed_box(key, payload, b"reveal")
        message = encode(Kind.SECAGG_REVEAL, {**about(self.session, round), "sender": self._index}, box_)
        seen = self._seen
        self._reset(DONE)
        self._seen = seen
        return [message]


# For each kind of message: the phase that it follows on (semi-honest, malicious), its fields, what reads and what
# answers it.
TURNS = {
    Kind.SECAGG_ROSTER: ((ADVERTISED, ADVERTISED), ("key",), Steps._take_roster, Steps._answer_roster),
    Kind.SECAGG_DELIVERY: ((SHARED, SHARED), ("to",), Steps._take_delivery, Steps._answer_delivery),
    Kind.SECAGG_VIEW: (("never", MASKED), (), Steps._take_view, Steps._answer_view),
    Kind.SECAGG_REQUEST: ((MASKED, CONSENTED), (), Steps._take_request, Steps._answer_request),
}
