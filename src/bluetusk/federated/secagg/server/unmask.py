"""The last phase: secrets from the shares that clients reveal, masks from the secrets, the sum from what is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from numpy.typing import NDArray

from ....errors import EncodingOverflow, FrameError, ProtocolAbort
from ....sharing import reconstruct_keys, shamir
from ....wire.frame import Frame, Kind, check_fields
from .._ids import ClientId, Place, Places, place_list, records
from .._messages import SHARE
from .._peer import Words, commitment, mask_key, self_mask_key
from .._result import Result
from .._roster import Roster
from ..boxes import open_box
from ..masks import Mask, agree, apply
from ..session import Session
from ._phase import Closed, Round, ints, pack_ints, table

__all__ = ["Found", "Unmask", "decode_sum", "masks_of_dropped", "masks_of_survivors", "recover"]

_LIMBS = 5  # elements of 2^61 - 1 to a share of 32 bytes
_PRIME = 2**61 - 1

Found = dict[Place, tuple[NDArray[np.int64], NDArray[np.uint64]]]
"""For each client the ids of the holders that answered, ascending, and their shares of one of its secrets."""


@dataclass(kw_only=True, repr=False, eq=False)
class Unmask(Closed[Result]):
    """Collects the shares that clients reveal; its end gives the result."""

    name = "unmask"
    kind = Kind.SECAGG_REVEAL
    revealed: list[tuple[Place, Places, NDArray[np.uint64]]] = field(default_factory=list)  # by whom, of whom, shares

    def take(self, sender: ClientId, frame: Frame) -> None:
        """Take the shares that a client reveals."""
        check_fields(frame.header, {"session", "round", "sender"})
        plain = open_box(self.round.pairs[sender], frame.payload, b"reveal")
        if plain is None:
            raise FrameError("the answer was not made by the sender, or was damaged in transit")
        size = 4 + SHARE
        if len(plain) % size:
            raise FrameError("the answer does not hold whole shares")
        of, shares = records(plain, size)
        words = shares.copy().view("<u8").astype(np.uint64)
        me = self.dealt.roster.places[sender]
        if len(np.unique(of)) != len(of) or not np.isin(of, self.dealt.held[me]).all():
            raise FrameError("the answer holds shares that this client was not given, or repeats one")
        if (words >= np.uint64(_PRIME)).any():
            raise FrameError("the answer holds a share outside the field")
        self.revealed.append((me, of, words))

    def end(self) -> Result:
        """Take the masks off and decode the sum."""
        session, roster = self.round.session, self.dealt.roster
        found = self._collected()
        survivors = place_list(np.flatnonzero(self.survivors))
        dropped = place_list(np.flatnonzero(self.dealt.shared & ~self.survivors))
        edges = {place: others for place in dropped if (others := self._neighbours(place))}
        total = self.dealt.total
        apply(total, masks_of_survivors(roster, found, survivors))
        apply(total, masks_of_dropped(roster, found, edges))
        names = [roster.name(place) for place in survivors]
        integers, weight = decode_sum(session, total, names, roster.round)
        return Result(
            roster.round,
            integers,
            weight,
            tuple(names),
            tuple(roster.name(place) for place in dropped),
            MappingProxyType(dict(self.round.rejected)),
            session.encoding,
        )

    def _neighbours(self, place: Place) -> list[Place]:
        """Return the clients in the sum that masked against a dropped one."""
        near = np.zeros(len(self.dealt.roster), np.bool_)
        near[self.dealt.holders[place]] = True
        near[self.dealt.held.get(place, np.empty(0, np.int64))] = True
        near[place] = False
        return place_list(np.flatnonzero(near & self.survivors))

    def _collected(self) -> Found:
        """Sort what was revealed by client, with the ids under which its holders have their shares."""
        if not self.revealed:
            return {}
        by = np.concatenate([np.full(len(of), me, np.int64) for me, of, _ in self.revealed])
        of = np.concatenate([of for _, of, _ in self.revealed])
        words = np.concatenate([words for _, _, words in self.revealed])
        self.revealed.clear()
        order = np.lexsort((by, of))
        by, of, words = by[order], of[order], words[order]
        bounds = np.searchsorted(of, np.arange(len(self.dealt.roster) + 1))
        found: Found = {}
        for place, holders in self.dealt.holders.items():
            part = slice(bounds[place], bounds[place + 1])
            found[place] = np.searchsorted(holders, by[part]) + 1, words[part]
        return found

    def pack(self) -> dict[str, bytes]:
        """Return the sum, who is in it, and what was revealed."""
        parts = super().pack()
        for me, of, words in self.revealed:
            parts[f"revealed {me}"] = pack_ints(of)
            parts[f"words {me}"] = words.astype("<u8", copy=False).tobytes()
        return parts

    @classmethod
    def unpack(cls, round: Round, parts: Mapping[str, bytes]) -> dict[str, Any]:
        """Read what :meth:`pack` gave."""
        words = table(parts, "words")
        revealed = [
            (Place(me), ints(part), np.frombuffer(words[me], "<u8").astype(np.uint64).reshape(-1, _LIMBS))
            for me, part in table(parts, "revealed").items()
        ]
        return super().unpack(round, parts) | {"revealed": revealed}


def recover(
    roster: Roster, found: Found, places: Sequence[Place], right: Callable[[Place, bytes], bool]
) -> dict[Place, bytes]:
    """Reconstruct one 32-byte secret for each of the places; `right` tells whether it is what the client advertised."""
    t = roster.plan.threshold
    groups: dict[bytes, list[Place]] = {}
    for place in places:
        ids, _ = found.get(place, (np.empty(0, np.int64), None))
        if len(ids) < t:
            raise ProtocolAbort(
                f"{len(ids)} clients gave shares of {roster.name(place)!r}: unmasking takes {t}",
                round=roster.round,
            )
        groups.setdefault(ids[:t].tobytes(), []).append(place)
    secrets: dict[Place, bytes] = {}
    for group in groups.values():
        ids = found[group[0]][0][:t].tolist()
        table = np.stack([found[place][1][:t] for place in group], axis=1)
        try:
            opened: list[bytes] = reconstruct_keys(table, ids, t, 32, check=False)
        except ProtocolAbort:  # some of them are wrong
            opened = [b""] * len(group)
        for place, secret in zip(group, opened, strict=True):
            if not right(place, secret):
                secret = _corrected(roster, found, place, right)
            secrets[place] = secret
    return secrets


def _corrected(roster: Roster, found: Found, place: Place, right: Callable[[Place, bytes], bool]) -> bytes:
    """Reconstruct although some holders' shares are wrong, as far as there are more than the threshold."""
    ids, rows = found[place]
    try:
        values, _ = shamir.correct(rows, ids.tolist(), roster.plan.threshold, _PRIME)
        data = values.astype("<u8").view(np.uint8).reshape(_LIMBS, 8)[:, :7].tobytes()
    except ProtocolAbort:
        data = b""
    if not right(place, data[:32]):
        raise ProtocolAbort(
            f"the shares of {roster.name(place)!r} do not reconstruct what it advertised: it dealt wrong ones, or too "
            "many of its holders gave wrong ones",
            round=roster.round,
        )
    return data[:32]


def masks_of_survivors(roster: Roster, found: Found, survivors: Sequence[Place]) -> Iterator[Mask]:
    """Return the self-masks of the clients in the sum, to be subtracted."""

    def right(place: Place, seed: bytes) -> bool:
        return commitment(roster.session, roster.round, seed) == roster.commitments[place]

    for place, seed in recover(roster, found, survivors, right).items():
        yield self_mask_key(roster.session, roster.round, seed, roster.mask_keys[place]), False


def masks_of_dropped(roster: Roster, found: Found, edges: dict[Place, list[Place]]) -> Iterator[Mask]:
    """Return the masks that the neighbours of dropped clients put on, with the opposite sign."""
    keys: dict[Place, X25519PrivateKey] = {}

    def right(place: Place, secret: bytes) -> bool:
        if len(secret) != 32:
            return False
        keys[place] = X25519PrivateKey.from_private_bytes(secret)
        return keys[place].public_key().public_bytes_raw() == roster.mask_keys[place]

    recover(roster, found, list(edges), right)
    for place, others in edges.items():
        mine = roster.mask_keys[place]
        for other in others:
            theirs = roster.mask_keys[other]
            secret = agree(keys[place], theirs, roster.round, roster.name(other))
            pair = (mine, theirs) if place < other else (theirs, mine)
            # `other` added the mask if it comes first
            yield mask_key(roster.session, roster.round, secret, *pair), other > place


def decode_sum(session: Session, total: Words, names: Sequence[str], round: int) -> tuple[NDArray[np.int64], int]:
    """Return the centred sums and the weight, checked against what these clients can have sent; uses up `total`."""
    spare = 8 * total.itemsize - session.bits
    if spare:
        np.left_shift(total, total.dtype.type(spare), out=total)
    signed: NDArray[Any] = total.view(np.int32 if total.itemsize == 4 else np.int64)
    if spare:
        np.right_shift(signed, spare, out=signed)  # the centred residue
    weight = int(signed[-1])
    if not len(names) <= weight <= sum(session.clients[name][1] for name in names):
        raise ProtocolAbort(
            "the sum's weight is impossible for its clients: one of them deviated from the protocol",
            round=round,
        )
    limit, values = session.encoding.limit * weight, signed[:-1]
    if int(values.max()) > limit or int(values.min()) < -limit:
        raise EncodingOverflow(
            "a sum exceeds its weight's limit: a client sent values beyond the encoding's limit; start a new round"
        )
    integers = values.astype(np.int64)
    integers.flags.writeable = False
    return integers, weight
