"""Scores of a joint logistic regression: computed on shares, opened to the guest as points modulo 2^10.

Both parties hold shares of all weights. The scores are products of rows and weights as in the training
(:mod:`.columns`), times a factor that only the guest knows, and stay shared. Each party rounds its share to whole
points; the host's, modulo 2^10, goes to the guest. It is uniform to whoever does not know the other's share of the
product, so 10 bits of a row are all that the guest gets, whatever it had encrypted: each row has a ciphertext, so a
number that overflows reaches no other row. Rounding on shares is off by one point at random. Several roundings of one
score would show more of it, so a host keeps which rows a model has scored (:mod:`.book`).

An exact score, where both policies grant it, opens with 20 binary digits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._numeric import Floats, Ints
from ...errors import FrameError, ProtocolAbort
from ...evidence.book import auditing
from ...paillier import PrivateKey, PublicKey
from ...paillier.ephemeral import ephemeral_key, saved_key
from ...tasks import LOGISTIC_SCORES
from ...wire.frame import Kind, encode, field
from ..book import Book
from ..protocol.keys import KEY_PARTS, key_parts, peer_key
from ..protocol.link import Link, array_bytes, array_from
from ..protocol.sizes import KEY_BYTES, cipher_bytes
from ..protocol.state import inputs_of, state_of
from . import ring
from .half import COEF_BITS, EXACT_BITS, POINTS, ROW_BITS, Half, Points, point_share

__all__ = ["ScoreJob", "learned_bits", "opened", "probabilities", "scored", "shared"]

_TURN = 4.05
"""The turning point of the cubic, 0.197 = 0.012 z^2: beyond it the cubic keeps its value."""
_CHUNK = 4096
_WORD = (1 << 64) - 1


def probabilities(scores: NDArray[np.float64], sigmoid: str) -> NDArray[np.float64]:
    """Return uncalibrated probabilities of the labels 0 and 1, by the sigmoid of the training; shape (n, 2)."""
    if sigmoid == "linear":
        one = 0.5 + 0.125 * scores
    else:
        z = np.clip(scores, -_TURN, _TURN)
        one = 0.5 + 0.197 * z - 0.004 * z**3
    one = np.clip(one, 0.0, 1.0)
    return np.column_stack([1.0 - one, one])


def learned_bits(exact: bool) -> int:
    """Return the bits of a row that the guest learns from a score."""
    return 64 if exact else POINTS


def scored(
    link: Link, priv: PrivateKey, pub: PublicKey, half: Half, table: Any, points: Points | None, *, exact: bool
) -> Ints:
    """Return this party's share of the points of rows, or of exact scores in units of 2^-20 modulo 2^64.

    Parameters
    ----------
    link : Link
        To the other party.
    priv, pub : PrivateKey, PublicKey
        This party's key and the other's.
    half : Half
        This party's.
    table : ndarray
        Its rows, or the codes of binned columns.
    points : Points or None
        At the guest.
    exact : bool
        Whether exact scores are opened.
    """
    factor = 1 if exact or points is None else points.factor
    mine, peer, n = half.columns(table, pub), half.peer(priv), len(table)
    link.send("weights", parts=peer.weights(half.theirs, factor))
    count = 1 if half.guest else 2
    got = link.receive("weights", parts=count, most=count * cipher_bytes(mine.words, pub.bits)).parts
    weights = mine.weighted(half.own, got, factor)
    shares: list[int] = []
    for lo in range(0, n, _CHUNK):
        rows = np.arange(lo, min(lo + _CHUNK, n))
        share, message = mine.scores(rows, weights)
        link.send("scores", parts=[message])
        most = cipher_bytes(len(rows), priv.public_key.bits)
        opened_share = peer.open_scores(len(rows), link.receive("scores", parts=1, most=most).parts[0], factor)
        shares += (share + opened_share).tolist()
    product = ring.words(shares)
    if not exact:
        return point_share(product, half.guest, 0.0 if points is None else points.offset)
    cut = ring.truncate(product, ROW_BITS + COEF_BITS - EXACT_BITS, half.guest)
    return np.array([v & _WORD for v in cut.tolist()], np.uint64).view(np.int64)


def shared(link: Link, share: Ints, guest: bool, *, exact: bool) -> Ints | None:
    """Send the host's share of points or scores to the guest, who adds its own."""
    kind = "<i8" if exact else "<u2"
    if not guest:
        link.count("values_revealed", len(share))
        link.send("points", parts=[array_bytes(share, kind)])
        return None
    most = np.dtype(kind).itemsize * len(share)
    theirs = array_from(link.receive("points", parts=1, most=most).parts[0], kind, share.shape).astype(np.int64)
    link.count("bits_learned", len(share) * learned_bits(exact))
    if exact:
        return share + theirs
    if int(theirs.max(initial=0)) >> POINTS:
        raise FrameError(f"message 'points' contains a number of more than {POINTS} bits")
    return (share + theirs) & ((1 << POINTS) - 1)


def opened(values: Ints, points: Points, *, exact: bool) -> Floats:
    """Return the scores that opened values stand for."""
    return values / float(1 << EXACT_BITS) if exact else points.scores(values)


class ScoreJob:
    """One party's half of the scoring: the shares, and then their opening, which a retake repeats to the byte.

    Parameters
    ----------
    half : Half
    model, counted : bytes
        The training's name; that under which this party's policy counts what it scores.
    table : ndarray
        This party's rows, or the codes of binned columns.
    names : sequence of str
        Its columns.
    key_size : int
    points : Points, optional
        At the guest.
    exact : bool
        Whether exact scores are opened.
    book : Book, optional
        At the host: what the model has scored.
    marks : sequence of bytes
        Of the rows; the host's must be there.
    """

    name = LOGISTIC_SCORES.name
    steps = 3

    def __init__(
        self,
        half: Half,
        model: bytes,
        counted: bytes,
        table: Any,
        names: Sequence[str],
        key_size: int,
        *,
        points: Points | None = None,
        exact: bool = False,
        book: Book | None = None,
        marks: Sequence[bytes] = (),
    ) -> None:
        self.half, self.model, self.counted, self.table, self.names = half, model, counted, table, list(names)
        self.key_size, self.points, self.exact, self.book, self.marks = key_size, points, exact, book, list(marks)
        self.inputs = inputs_of(model, table, exact, b"".join(self.marks))
        self.share: Ints | None = None
        self.scores: Floats | None = None

    def step(self, links: Sequence[Link], index: int) -> None:
        """Compute shares of the scores; do nothing; open them to the guest.

        Parties go back by one step at most: from the opening to the step before it, where the shares are kept. Shares
        that were computed anew after an opening would show another rounding: the host's book refuses them, whatever a
        peer or an old state directory says.
        """
        (link,) = links
        book = auditing() if self.half.guest else None
        if book is None:
            return self._step(link, index)
        facts, arrays = self._given(link) if index == 0 else ({}, {})
        with book.step(self.name, index, facts=facts, arrays=arrays) as link.heard:
            try:
                return self._step(link, index)
            finally:
                link.heard = None

    def _step(self, link: Link, index: int) -> None:
        if index == 0:
            self._compute(link)
        if index < self.steps - 1:
            return
        assert self.share is not None
        if self.book is not None:
            self.book.take(self.marks, self.share.tobytes())  # on disk before the points leave
        values = shared(link, self.share, self.half.guest, exact=self.exact)
        if values is not None:
            assert self.points is not None
            self.scores = opened(values, self.points, exact=self.exact)

    @property
    def order(self) -> bytes:
        """What the parties compare of the rows' ids; empty without ids."""
        return hashlib.sha256(b"".join(self.marks)).digest() if self.marks else b""

    def _given(self, link: Link) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what the guest brings into the scoring, for its audit book."""
        facts: dict[str, Any] = {"me": link.me, "peer": link.peer, "session": link.session.hex(), "signs": link.signs}
        facts |= {"model": self.model.hex(), "exact": self.exact, "ids": self.order.hex(), "key_size": self.key_size}
        return facts, {"matrix": self.half.rows(self.table).astype(np.int32)}

    def _new_key(self) -> PrivateKey:
        key = ephemeral_key(self.key_size)
        if self.half.guest and (book := auditing()) is not None:
            book.note(self.name, "key", arrays={"primes": np.frombuffer(b"".join(saved_key(key)), np.uint8)})
        return key

    def _compute(self, link: Link) -> None:
        n, key = len(self.table), self._new_key()
        parts = key_parts(key, link, self.name)
        about = {"rows": n, "model": self.model, "exact": self.exact, "ids": self.order}
        if self.half.guest:
            self._authorise(link)
            link.send("rows", about, parts)
            got = link.receive("key", parts=KEY_PARTS, most=KEY_BYTES)
        else:
            got = link.receive("rows", ["rows", "model", "exact", "ids"], parts=KEY_PARTS, most=KEY_BYTES)
            asked = field(got.fields, "rows", int, low=1)
            if field(got.fields, "model", bytes, length=32) != self.model:
                raise ProtocolAbort(
                    "the halves are of different models: load those that were trained together", party=link.peer
                )
            if field(got.fields, "exact", bool) != self.exact:
                raise ProtocolAbort(
                    'the parties do not agree whether exact scores are opened: give both the same reveal="scores"',
                    party=link.peer,
                )
            if asked != n:
                raise ProtocolAbort(f"this party has {n} rows, the other {asked}: align them first", party=link.peer)
            theirs = field(got.fields, "ids", bytes, high=32)
            if theirs and self.marks and theirs != about["ids"]:
                raise ProtocolAbort(
                    "the parties give other ids, or another order: align the rows first", party=link.peer
                )
            if self.book is not None:
                self.book.refuse(self.marks)
            self._authorise(link)
            link.send("key", parts=parts)
        pub = peer_key(got.parts, link, self.name)
        self.share = scored(link, key, pub, self.half, self.table, self.points, exact=self.exact)
        key.close()
        link.count("rows", n)

    def _authorise(self, link: Link) -> None:
        n = len(self.table)
        more: dict[str, Any] = {"bits": n * learned_bits(self.exact), "model": self.counted}
        more |= {"reveal": ("scores",)} if self.exact else {}
        link.authorise(LOGISTIC_SCORES.purpose, self.names, n, **more)

    def state(self) -> bytes:
        """Return the share and the scores, as far as there are any."""
        parts = [b"" if each is None else each.tobytes() for each in (self.share, self.scores)]
        header: dict[str, Any] = {"task": self.name, "parts": [len(part) for part in parts]}
        return encode(Kind.VERTICAL_STATE, header, b"".join(parts))

    def restore(self, state: bytes) -> None:
        """Return to a state."""
        got = state_of(state, self.name, ("parts",))
        first, second = field(got.header, "parts", list, low=2, high=2, items=int)
        if min(first, second) < 0 or first + second != len(got.payload):
            raise FrameError("frame field 'parts' does not add up to the payload")
        n = len(self.table)
        self.share = array_from(got.payload[:first], "<i8", (n,)).astype(np.int64) if first else None
        self.scores = array_from(got.payload[first:], "<f8", (n,)).astype(np.float64) if second else None
