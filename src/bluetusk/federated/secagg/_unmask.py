"""The last step of the server: secrets from shares, masks from secrets, the sum from what is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from numpy.typing import NDArray

from ..._kernels import ring as kernel
from ...errors import EncodingOverflow, ProtocolAbort
from ...sharing import reconstruct_keys, shamir
from ._graph import Places
from ._masks import Mask, agree
from ._peer import Words, commitment, mask_key, self_mask_key
from ._roster import Roster
from .session import Session

__all__ = ["Shares", "add_packed", "decode_sum", "masks_of_dropped", "masks_of_survivors", "recover"]

_LIMBS = 5  # elements of 2^61 - 1 to a share of 32 bytes
_BLOCK = 1 << 15
PRIME = 2**61 - 1

Shares = dict[int, tuple[Places, NDArray[np.uint64]]]
"""For each client the ids of the holders that answered, ascending, and their shares of one of its secrets."""


def add_packed(total: Words, payload: memoryview, bits: int) -> None:
    """Add a packed vector, block by block, so that no second vector is ever held."""
    if bits == 8 * total.itemsize:
        np.add(total, np.frombuffer(payload, total.dtype.newbyteorder("<")), out=total)
        return
    data = np.frombuffer(payload, np.uint8)
    scratch = np.empty(min(_BLOCK, total.size), total.dtype)
    step = _BLOCK * bits // 8
    for number, at in enumerate(range(0, total.size, _BLOCK)):
        part = total[at : at + _BLOCK]
        words = scratch[: part.size]
        lo = number * step
        kernel.unpack(data[lo : lo + kernel.packed_bytes(part.size, bits)], bits, words)
        np.add(part, words, out=part)


def recover(
    session: Session,
    roster: Roster,
    round: int,
    shares: Shares,
    places: Sequence[int],
    right: Callable[[int, bytes], bool],
) -> dict[int, bytes]:
    """Reconstruct one 32-byte secret for each of the places; `right` tells whether it is what the client advertised."""
    t = roster.plan.threshold
    groups: dict[bytes, list[int]] = {}
    for place in places:
        ids, _ = shares.get(place, (np.empty(0, np.int64), None))
        if len(ids) < t:
            raise ProtocolAbort(
                f"{len(ids)} clients gave shares of {roster.name(session, place)!r}, {t} are needed to unmask the sum",
                round=round,
            )
        groups.setdefault(ids[:t].tobytes(), []).append(place)
    secrets: dict[int, bytes] = {}
    for group in groups.values():
        ids = shares[group[0]][0][:t].tolist()
        table = np.stack([shares[place][1][:t] for place in group], axis=1)
        try:
            found: list[bytes] = reconstruct_keys(table, ids, t, 32, check=False)
        except ProtocolAbort:  # some of them are wrong
            found = [b""] * len(group)
        for place, secret in zip(group, found, strict=True):
            if not right(place, secret):
                secret = _corrected(session, roster, round, shares[place], place, right)
            secrets[place] = secret
    return secrets


def _corrected(
    session: Session,
    roster: Roster,
    round: int,
    given: tuple[Places, NDArray[np.uint64]],
    place: int,
    right: Callable[[int, bytes], bool],
) -> bytes:
    """Reconstruct although some holders' shares are wrong, as far as there are more than the threshold."""
    name = roster.name(session, place)
    ids, rows = given
    try:
        values, _ = shamir.correct(rows, ids.tolist(), roster.plan.threshold, PRIME)
        data = values.astype("<u8").view(np.uint8).reshape(_LIMBS, 8)[:, :7].tobytes()
    except ProtocolAbort:
        data = b""
    if not right(place, data[:32]):
        raise ProtocolAbort(
            f"the shares of {name!r} do not give what it advertised: it dealt wrong ones, or too many of its holders "
            "gave wrong ones",
            round=round,
        )
    return data[:32]


def masks_of_survivors(
    session: Session, roster: Roster, round: int, shares: Shares, survivors: Sequence[int]
) -> Iterator[Mask]:
    """Return the self-masks of the clients in the sum, to be subtracted."""

    def right(place: int, seed: bytes) -> bool:
        return commitment(session, round, seed) == roster.commitments[place]

    for place, seed in recover(session, roster, round, shares, survivors, right).items():
        yield self_mask_key(session, round, seed, roster.mask_keys[place]), False


def masks_of_dropped(
    session: Session, roster: Roster, round: int, shares: Shares, edges: dict[int, list[int]]
) -> Iterator[Mask]:
    """Return the masks that the neighbours of dropped clients put on, with the opposite sign."""
    keys: dict[int, X25519PrivateKey] = {}

    def right(place: int, secret: bytes) -> bool:
        if len(secret) != 32:
            return False
        keys[place] = X25519PrivateKey.from_private_bytes(secret)
        return keys[place].public_key().public_bytes_raw() == roster.mask_keys[place]

    recover(session, roster, round, shares, list(edges), right)
    for place, others in edges.items():
        mine = roster.mask_keys[place]
        for other in others:
            theirs = roster.mask_keys[other]
            secret = agree(keys[place], theirs, round, roster.name(session, other))
            pair = (mine, theirs) if place < other else (theirs, mine)
            # `other` added the mask if it comes first
            yield mask_key(session, round, secret, *pair), other > place


def decode_sum(session: Session, total: Words, names: Sequence[str], round: int) -> tuple[NDArray[np.int64], int]:
    """Return the centred sums and the weight, checked against what these clients can have sent; uses up `total`."""
    spare = 8 * total.itemsize - session.bits
    if spare:
        np.left_shift(total, total.dtype.type(spare), out=total)
    signed: NDArray[Any] = total.view(np.int32 if total.itemsize == 4 else np.int64)
    if spare:
        np.right_shift(signed, spare, out=signed)  # the centred residue
    weight = int(signed[-1])
    limits: list[int] = [session.clients[name][1] for name in names]
    if not len(names) <= weight <= sum(limits):
        raise ProtocolAbort(
            "the sum's weight is not one that its clients can have: one of them did not keep to the protocol",
            round=round,
        )
    limit, values = session.encoding.limit * weight, signed[:-1]
    if int(values.max()) > limit or int(values.min()) < -limit:
        raise EncodingOverflow(
            "a sum exceeds what its weight allows: a client sent values beyond the encoding's limit; start a new round"
        )
    integers = values.astype(np.int64)
    integers.flags.writeable = False
    return integers, weight
