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
from ...wire.frame import field
from ..book import Book
from ..protocol.job import pieces_of
from ..protocol.keys import KEY_PARTS, key_parts, peer_key
from ..protocol.link import Link, array_bytes, array_from
from ..protocol.sizes import KEY_BYTES, cipher_bytes
from ..protocol.state import inputs_of, pack_state, unpack_state
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
    """One party's half of the scoring, in pieces: shares, and then their opening, which a retake repeats to the byte.

    Parameters
    ----------
    half : Half
    model, counted : bytes
        The training's name; that under which this party's policy counts what it scores.
    table : ndarray, or a sequence of rows whose slices are
        This party's rows, or the codes of binned columns.
    names : sequence of str
        Its columns.
    key_size : int
    inputs : bytes
        What stands for the rows if `table` is not an array.
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
        inputs: bytes = b"",
    ) -> None:
        self.half, self.model, self.counted, self.table, self.names = half, model, counted, table, list(names)
        self.key_size, self.points, self.exact, self.book, self.marks = key_size, points, exact, book, list(marks)
        self.inputs = inputs_of(model, inputs or table, exact, b"".join(self.marks))
        self.rows = len(table)
        self.pieces = pieces_of(self.rows)
        self.shares: dict[int, Ints] = {}  # of the last pieces
        self.found: list[Floats] = []  # the scores of each piece that is opened
        self.opened = 0  # pieces

    @property
    def steps(self) -> int:
        """Each piece is opened two steps after its shares were computed, so there are two more."""
        return len(self.pieces) + 2

    @property
    def scores(self) -> Floats | None:
        """The scores at the guest, as far as they are opened."""
        return np.concatenate(self.found) if self.found else None

    def step(self, links: Sequence[Link], index: int) -> None:
        """Compute shares of the scores of a piece, and open those of the piece before the last to the guest.

        Parties go back by one step at most: from an opening to the step before it, at whose beginning the shares are
        kept. Shares that were computed anew after an opening would show another rounding: the host's book refuses them,
        whatever a peer or an old state directory says.
        """
        (link,) = links
        book = auditing() if self.half.guest else None
        if book is None:
            return self._step(link, index)
        facts, arrays = self._given(link, index) if index < len(self.pieces) else ({}, {})
        with book.step(self.name, index, facts=facts, arrays=arrays) as link.heard:
            try:
                return self._step(link, index)
            finally:
                link.heard = None

    def _step(self, link: Link, index: int) -> None:
        if index < len(self.pieces):
            self._compute(link, index)
        if index >= 2:
            self._open(link, index - 2)
        self.shares = {k: share for k, share in self.shares.items() if k >= index - 2}

    def _open(self, link: Link, k: int) -> None:
        share = self.shares[k]
        if self.book is not None:
            self.book.take(self.marks[self.pieces[k]], share.tobytes(), link.run)  # on disk before the points leave
        values = shared(link, share, self.half.guest, exact=self.exact)
        if values is not None:
            assert self.points is not None
            self.found.append(opened(values, self.points, exact=self.exact))
        self.opened = k + 1

    def _piece(self, k: int) -> Any:
        """Return this party's rows of a piece."""
        return self.table[self.pieces[k]]

    @property
    def order(self) -> bytes:
        """What the parties compare of the rows' ids; empty without ids."""
        return hashlib.sha256(b"".join(self.marks)).digest() if self.marks else b""

    def _given(self, link: Link, k: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what the guest brings into the scoring of a piece, for its audit book."""
        arrays = {"matrix": self.half.rows(self._piece(k)).astype(np.int32)}
        if k:
            return {}, arrays
        facts: dict[str, Any] = {"me": link.me, "peer": link.peer, "session": link.session.hex(), "signs": link.signs}
        facts |= {"model": self.model.hex(), "exact": self.exact, "ids": self.order.hex(), "key_size": self.key_size}
        return facts | {"rows": self.rows}, arrays

    def _new_key(self) -> PrivateKey:
        key = ephemeral_key(self.key_size)
        if self.half.guest and (book := auditing()) is not None:
            book.note(self.name, "key", arrays={"primes": np.frombuffer(b"".join(saved_key(key)), np.uint8)})
        return key

    def _compute(self, link: Link, k: int) -> None:
        key, table = self._new_key(), self._piece(k)
        parts = key_parts(key, link, self.name)
        got = self._begin(link, parts) if k == 0 else self._keys(link, parts)
        pub = peer_key(got, link, self.name)
        self.shares[k] = scored(link, key, pub, self.half, table, self.points, exact=self.exact)
        key.close()
        link.count("rows", len(table))

    def _keys(self, link: Link, parts: list[bytes]) -> list[memoryview]:
        """Exchange the keys of a piece."""
        if self.half.guest:
            link.send("key", parts=parts)
        got = link.receive("key", parts=KEY_PARTS, most=KEY_BYTES)
        if not self.half.guest:
            link.send("key", parts=parts)
        return got.parts

    def _begin(self, link: Link, parts: list[bytes]) -> list[memoryview]:
        """Compare models and rows, have both policies asked, and exchange the keys of the first piece."""
        n = self.rows
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
        return got.parts

    def _authorise(self, link: Link) -> None:
        n = self.rows
        more: dict[str, Any] = {"bits": n * learned_bits(self.exact), "model": self.counted}
        more |= {"reveal": ("scores",)} if self.exact else {}
        link.authorise(LOGISTIC_SCORES.purpose, self.names, n, **more)

    def state(self) -> bytes:
        """Return the shares of the last pieces, and the scores so far."""
        arrays: dict[str, NDArray[Any]] = {f"share{k}": share for k, share in self.shares.items()}
        if self.found:
            arrays["scores"] = np.concatenate(self.found)
        return pack_state(self.name, {"opened": self.opened}, arrays)

    def restore(self, state: bytes) -> None:
        """Return to a state; at the host its book must have the rows that were opened by then."""
        fields, arrays = unpack_state(state, self.name)
        self.opened = field(fields, "opened", int, low=0, high=len(self.pieces))
        end = self.pieces[self.opened - 1].stop if self.opened else 0
        scores = arrays.pop("scores", np.empty(0))
        if len(scores) != (end if self.half.guest else 0):
            raise FrameError("the scores in the kept steps are not those of the rows that were opened")
        self.found = [scores] if len(scores) else []
        self.shares = {int(name.removeprefix("share")): share for name, share in arrays.items()}
        for k, share in self.shares.items():
            if share.shape != (self.pieces[k].stop - self.pieces[k].start,):
                raise FrameError("the shares in the kept steps are of another number of rows")
        if self.book is not None and end:
            last = self.opened - 1
            sent = self.shares[last].tobytes() if last in self.shares else b""
            self.book.require(self.marks[:end], self.marks[self.pieces[last]], sent)
