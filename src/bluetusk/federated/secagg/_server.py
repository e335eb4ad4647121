"""What the server does with each of the clients' messages, and at the end of each phase."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from numpy.typing import NDArray

from ..._kernels import ring as kernel
from ...errors import FrameError, ProtocolAbort
from ...wire.frame import Frame, Kind, check_fields, field
from ._graph import Places
from ._masks import agree, apply, derive, is_low_order, ring_dtype
from ._messages import (
    ADVERT,
    SHARE,
    bitmap,
    check_signed,
    check_tagged,
    members,
    open_box,
    signed,
    view_digest,
)
from ._peer import Words, box_bytes
from ._result import Result
from ._roster import Roster, encode_roster
from ._unmask import PRIME, Shares, add_packed, decode_sum, masks_of_dropped, masks_of_survivors
from .session import Session

__all__ = ["ENDS", "ORDER", "PHASE_OF", "TAKE", "Phases"]

ADVERTISE, SHARES, MASKED, CONSENT, UNMASK, DONE, OVER = ORDER = (
    "advertise",
    "shares",
    "masked",
    "consent",
    "unmask",
    "done",
    "over",
)


class Phases:
    """The part of a server that acts within its one round."""

    session: Session
    round: int
    _signing_key: Ed25519PrivateKey
    _phase: str
    _adverts: dict[int, tuple[bytes, bytes]]  # client -> what it advertised, its signature
    _known: set[bytes]  # public keys advertised so far
    _rejected: dict[str, str]
    _done: set[int]  # clients, by their place in the session, whose message of this phase counts
    _expected: set[int]
    # from here on clients are counted by their place in the roster
    _roster: Roster
    _holders: dict[int, Places]  # client -> who holds its shares
    _held: dict[int, Places]  # client -> whose shares it was given
    _boxes: dict[int, NDArray[np.uint8]]
    _shared: NDArray[np.bool_]
    _survivors: NDArray[np.bool_]
    _total: Words
    _view: bytes
    _consents: dict[int, bytes]
    _revealed: list[tuple[int, Places, NDArray[np.uint64]]]

    def _use_secret(self, secret: bytes) -> None:
        self._secret = secret
        self._key = X25519PrivateKey.from_private_bytes(secret)
        self._public = self._key.public_key().public_bytes_raw()
        self._pair: dict[int, bytes] = {}

    def _take_advert(self, sender: int, frame: Frame) -> None:
        check_signed(frame, ("sender",), self.session.clients[self.session.names[sender]][0])
        if frame.payload.nbytes != ADVERT:
            raise FrameError(f"a client advertises {ADVERT} bytes, not {frame.payload.nbytes}")
        advert = bytes(frame.payload)
        share_key, mask_key = advert[:32], advert[32:64]
        if share_key == mask_key or self._known & {share_key, mask_key}:
            raise FrameError("a key was advertised twice")
        if is_low_order(mask_key):
            raise FrameError("a key of low order was advertised")
        self._pair[sender] = self._pair_key(sender, share_key)
        self._known |= {share_key, mask_key}
        self._adverts[sender] = advert, frame.header["signature"]

    def _pair_key(self, sender: int, share_key: bytes) -> bytes:
        secret = agree(self._key, share_key, self.round, self.session.names[sender])
        return derive(secret, self.session.hash, self.round, b"server", share_key, self._public)

    def _take_shares(self, sender: int, frame: Frame) -> None:
        check_tagged(self.session, self.round, frame, ("sender",), self._pair[sender])
        size = 4 + box_bytes(self._roster.plan)
        if frame.payload.nbytes % size:
            raise FrameError("the shares are not whole records")
        rows = np.frombuffer(frame.payload, np.uint8).reshape(-1, size)
        to = np.ascontiguousarray(rows[:, :4]).view("<u4")[:, 0].astype(np.int64)
        me, m = self._place(sender), len(self._roster)
        if self._roster.holders is not None:
            chosen = self._roster.holders[me]
            if not np.array_equal(to, chosen[chosen != me]):
                raise FrameError("the shares are not for the holders that the graph gives this client")
        elif len(to) != self._roster.plan.neighbours or np.any(np.diff(to) <= 0) or me in to or np.any(to >= m):
            raise FrameError(f"the shares are not for {self._roster.plan.neighbours} different other clients")
        self._holders[me] = np.arange(m) if self.session.plan.complete else to
        self._boxes[me] = rows[:, 4:].copy()

    def _take_masked(self, sender: int, frame: Frame) -> None:
        session = self.session
        size, words = kernel.packed_bytes(session.length + 1, session.bits), session.length + 1
        if frame.payload.nbytes != size:
            raise FrameError(f"a masked vector takes {size} bytes, not {frame.payload.nbytes}")
        check_tagged(session, self.round, frame, ("sender",), self._pair[sender])
        used = words * session.bits % 8
        if used and frame.payload[-1] >> used:
            raise FrameError("the bits behind the last word are not 0")
        try:
            add_packed(self._total, frame.payload, session.bits)
        except BaseException:  # Ctrl-C in the middle: what was added so far cannot be told, and must not count twice
            self._end(OVER)
            raise

    def _take_consent(self, sender: int, frame: Frame) -> None:
        check_fields(frame.header, {"session", "round", "sender", "signature"})
        signature = field(frame.header, "signature", bytes, length=64)
        name = self.session.names[sender]
        try:
            Ed25519PublicKey.from_public_bytes(self.session.clients[name][0]).verify(signature, self._view)
        except (InvalidSignature, ValueError):
            raise FrameError("the signature is not the sender's, or is on another set of clients") from None
        self._consents[self._place(sender)] = signature

    def _take_reveal(self, sender: int, frame: Frame) -> None:
        check_fields(frame.header, {"session", "round", "sender"})
        plain = open_box(self._pair[sender], frame.payload, b"reveal")
        if plain is None:
            raise FrameError("the answer was not made by the sender, or was damaged on its way")
        size = 4 + SHARE
        if len(plain) % size:
            raise FrameError("the answer does not hold whole shares")
        rows = np.frombuffer(plain, np.uint8).reshape(-1, size)
        of = np.ascontiguousarray(rows[:, :4]).view("<u4")[:, 0].astype(np.int64)
        words = np.ascontiguousarray(rows[:, 4:]).view("<u8").astype(np.uint64)
        me = self._place(sender)
        if len(np.unique(of)) != len(of) or not np.isin(of, self._held[me]).all():
            raise FrameError("the answer holds shares that this client was not given, or one twice")
        if (words >= np.uint64(PRIME)).any():
            raise FrameError("the answer holds a share outside of the field")
        self._revealed.append((me, of, words))

    def _end(self, phase: str) -> None:
        self._phase = phase
        self._pair.clear()
        self._adverts.clear()
        self._expected = set()
        self._done = set()
        for name in ("_roster", "_boxes", "_holders", "_held", "_total", "_revealed", "_consents"):
            self.__dict__.pop(name, None)

    def _place(self, sender: int) -> int:
        place = self._roster.place(sender)
        assert place is not None
        return place

    def _need(self, count: int, least: int, what: str) -> None:
        if count < least:
            raise ProtocolAbort(
                f"{count} clients {what}, at least {least} are needed: start another round", round=self.round
            )

    def _signed(self, kind: Kind, header: Mapping[str, Any], payload: bytes) -> bytes:
        return signed(self.session, self.round, kind, header, payload, self._signing_key)

    def _next(self, phase: str) -> list[int]:
        """Go to the next phase with the clients that answered; return their places in the session."""
        clients = sorted(self._done)
        self._expected, self._done, self._phase = set(clients), set(), phase
        return clients

    def _flags(self, clients: list[int]) -> NDArray[np.bool_]:
        flags = np.zeros(len(self._roster), np.bool_)
        flags[[self._place(i) for i in clients]] = True
        return flags

    def _end_advertise(self) -> dict[str, bytes]:
        session = self.session
        self._need(len(self._done), session.min_advertised, "advertised keys")
        clients = self._next(SHARES)
        payload = encode_roster([(i, *self._adverts[i]) for i in clients], session.plan.malicious)
        self._roster = Roster(session, self.round, payload)
        self._holders = {}
        self._boxes = {}
        message = self._signed(Kind.SECAGG_ROSTER, {"key": self._public}, payload)
        return {session.names[i]: message for i in clients}

    def _end_shares(self) -> dict[str, bytes]:
        session, roster = self.session, self._roster
        self._need(len(self._done), max(session.min_clients, self._roster.plan.threshold), "shared their keys")
        clients = self._next(MASKED)
        self._shared = self._flags(clients)
        head = bitmap(self._shared)
        senders = sorted(self._boxes)
        counts = [len(self._boxes[place]) for place in senders]
        dealt = np.repeat(np.array(senders, np.int64), counts)
        to = np.concatenate([self._holders[place][self._holders[place] != place] for place in senders])
        boxes = np.concatenate([self._boxes.pop(place) for place in senders])
        order = np.argsort(to, kind="stable")  # within a recipient the senders stay in order
        bounds = np.searchsorted(to[order], np.arange(len(roster) + 1))
        self._held = {}
        out = {}
        for client in clients:
            me = self._place(client)
            rows = order[bounds[me] : bounds[me + 1]]
            records = np.empty((len(rows), 4 + boxes.shape[1]), np.uint8)
            records[:, :4] = dealt[rows].astype("<u4").view(np.uint8).reshape(-1, 4)
            records[:, 4:] = boxes[rows]
            own = [me] if session.plan.complete else []
            self._held[me] = np.concatenate([dealt[rows], np.array(own, np.int64)])
            payload = head + records.tobytes()
            out[session.names[client]] = self._signed(Kind.SECAGG_DELIVERY, {"to": client}, payload)
        self._total = np.zeros(session.length + 1, ring_dtype(session.bits))
        return out

    def _end_masked(self) -> dict[str, bytes]:
        session = self.session
        malicious = session.plan.malicious
        self._need(len(self._done), max(session.min_clients, self._roster.plan.threshold), "sent their masked vectors")
        clients = self._next(CONSENT if malicious else UNMASK)
        self._survivors = self._flags(clients)
        self._revealed = []
        survivors = bitmap(self._survivors)
        if malicious:
            self._consents = {}
            self._view = view_digest(session, self.round, self._roster.digest, bitmap(self._shared), survivors)
        message = self._signed(Kind.SECAGG_VIEW if malicious else Kind.SECAGG_REQUEST, {}, survivors)
        return {session.names[i]: message for i in clients}

    def _end_consent(self) -> dict[str, bytes]:
        session = self.session
        self._need(len(self._done), session.plan.quorum, "consented to the set of clients in the sum")
        clients = self._next(UNMASK)
        signatures = [place.to_bytes(4, "little") + self._consents[place] for place in sorted(self._consents)]
        payload = bitmap(self._survivors) + b"".join(signatures[: session.plan.quorum])
        message = self._signed(Kind.SECAGG_REQUEST, {}, payload)
        return {session.names[i]: message for i in clients}

    def _unmask(self) -> Result:
        session, roster = self.session, self._roster
        shares = self._collected()
        survivors = np.flatnonzero(self._survivors).tolist()
        dropped = np.flatnonzero(self._shared & ~self._survivors).tolist()
        edges = {place: others for place in dropped if (others := self._neighbours(place))}
        total = self._total
        apply(total, masks_of_survivors(session, roster, self.round, shares, survivors))
        apply(total, masks_of_dropped(session, roster, self.round, shares, edges))
        names = [roster.name(session, place) for place in survivors]
        integers, weight = decode_sum(session, total, names, self.round)
        return Result(
            self.round,
            integers,
            weight,
            tuple(names),
            tuple(roster.name(session, place) for place in dropped),
            MappingProxyType(dict(self._rejected)),
            session.encoding,
        )

    def _neighbours(self, place: int) -> list[int]:
        """Return the clients in the sum that masked against a dropped one."""
        near = np.zeros(len(self._roster), np.bool_)
        near[self._holders[place]] = True
        for other in self._held.get(place, np.empty(0, np.int64)).tolist():
            near[other] = True
        near[place] = False
        return [int(i) for i in np.flatnonzero(near & self._survivors)]

    def _collected(self) -> Shares:
        """Sort what was revealed by client, with the ids under which its holders have their shares."""
        if not self._revealed:
            return {}
        by = np.concatenate([np.full(len(of), me, np.int64) for me, of, _ in self._revealed])
        of = np.concatenate([of for _, of, _ in self._revealed])
        words = np.concatenate([words for _, _, words in self._revealed])
        self._revealed.clear()
        order = np.lexsort((by, of))
        by, of, words = by[order], of[order], words[order]
        bounds = np.searchsorted(of, np.arange(len(self._roster) + 1))
        shares: Shares = {}
        for place, holders in self._holders.items():
            part = slice(bounds[place], bounds[place + 1])
            shares[place] = np.searchsorted(holders, by[part]) + 1, words[part]
        return shares

    # -------------------------------------------------------------------------------------------------- state

    def _parts(self) -> dict[str, bytes]:
        """Return everything that the round holds, for :meth:`_use_parts`; keys shared with clients follow from it."""
        parts = {
            "secret": self._secret,
            "done": _pack_ints(sorted(self._done)),
            "expected": _pack_ints(sorted(self._expected)),
        }
        names = {name: i for i, name in enumerate(self.session.names)}
        parts |= {f"rejected {names[name]}": reason.encode() for name, reason in self._rejected.items()}
        parts |= {f"advert {i}": advert + signature for i, (advert, signature) in self._adverts.items()}
        if self._phase == ADVERTISE:
            return parts
        parts["roster"] = self._roster.payload
        for name, table in (("holders", self._holders), ("held", self.__dict__.get("_held", {}))):
            parts |= {f"{name} {place}": _pack_ints(places.tolist()) for place, places in table.items()}
        parts |= {f"boxes {place}": rows.tobytes() for place, rows in self._boxes.items()}
        if self._phase == SHARES:
            return parts
        parts["shared"] = bitmap(self._shared)
        parts["total"] = self._total.astype(self._total.dtype.newbyteorder("<"), copy=False).tobytes()
        if self._phase == MASKED:
            return parts
        parts["survivors"] = bitmap(self._survivors)
        parts |= {f"consent {place}": signature for place, signature in self.__dict__.get("_consents", {}).items()}
        for me, of, words in self._revealed:
            parts[f"revealed {me}"] = _pack_ints(of.tolist())
            parts[f"words {me}"] = words.astype("<u8", copy=False).tobytes()
        return parts

    def _use_parts(self, parts: dict[str, bytes]) -> None:
        session = self.session
        tables: dict[str, dict[int, bytes]] = {}
        for name, part in parts.items():
            kind, _, number = name.partition(" ")
            if number:
                tables.setdefault(kind, {})[int(number)] = part
        self._use_secret(parts["secret"])
        self._done, self._expected = (set(_ints(parts[name]).tolist()) for name in ("done", "expected"))
        self._rejected = {session.names[i]: part.decode() for i, part in tables.get("rejected", {}).items()}
        self._adverts = {i: (part[:ADVERT], part[ADVERT:]) for i, part in tables.get("advert", {}).items()}
        self._known = {key for advert, _ in self._adverts.values() for key in (advert[:32], advert[32:64])}
        self._pair = {i: self._pair_key(i, advert[:32]) for i, (advert, _) in self._adverts.items()}
        if self._phase == ADVERTISE:
            return
        self._roster = Roster(session, self.round, parts["roster"])
        self._holders = {place: _ints(part) for place, part in tables.get("holders", {}).items()}
        self._held = {place: _ints(part) for place, part in tables.get("held", {}).items()}
        self._boxes = {
            place: np.frombuffer(part, np.uint8).reshape(-1, box_bytes(self._roster.plan))
            for place, part in tables.get("boxes", {}).items()
        }
        if self._phase == SHARES:
            return
        m = len(self._roster)
        self._shared = members(parts["shared"], m, "shared")
        dtype = ring_dtype(session.bits)
        self._total = np.frombuffer(parts["total"], dtype.newbyteorder("<")).astype(dtype)
        if self._phase == MASKED:
            return
        self._survivors = members(parts["survivors"], m, "survivors")
        self._view = view_digest(session, self.round, self._roster.digest, parts["shared"], parts["survivors"])
        self._consents = tables.get("consent", {})
        words = tables.get("words", {})
        self._revealed = [
            (me, _ints(part), np.frombuffer(words[me], "<u8").astype(np.uint64).reshape(-1, SHARE // 8))
            for me, part in tables.get("revealed", {}).items()
        ]


def _pack_ints(values: Iterable[int]) -> bytes:
    return np.array(list(values), "<i8").tobytes()


def _ints(data: bytes) -> Places:
    return np.frombuffer(data, "<i8").astype(np.int64)


PHASE_OF = {
    Kind.SECAGG_ADVERTISE: ADVERTISE,
    Kind.SECAGG_SHARES: SHARES,
    Kind.SECAGG_MASKED: MASKED,
    Kind.SECAGG_CONSENT: CONSENT,
    Kind.SECAGG_REVEAL: UNMASK,
}
TAKE = {
    ADVERTISE: Phases._take_advert,
    SHARES: Phases._take_shares,
    MASKED: Phases._take_masked,
    CONSENT: Phases._take_consent,
    UNMASK: Phases._take_reveal,
}
ENDS = {
    ADVERTISE: Phases._end_advertise,
    SHARES: Phases._end_shares,
    MASKED: Phases._end_masked,
    CONSENT: Phases._end_consent,
}
