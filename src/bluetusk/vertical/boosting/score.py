"""Predicts jointly: rows walk down all trees at once; a host answers only for rows that reach its splits."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._numeric import Floats
from ...errors import FrameError, ProtocolAbort
from ...tasks import BOOSTING_SCORES
from ...wire.frame import field
from ..book import MARK, Book
from ..protocol.job import pieces_of
from ..protocol.link import Link, array_bytes, array_from
from ..protocol.state import inputs_of, pack_state, unpack_state
from .model import Half, Settings, bits_from

__all__ = ["GuestWalk", "HostWalk"]


_TOKEN = 16


class _Walk:
    """A job of a step for the offer, one that does nothing, and one for each piece of rows, which walk in it.

    Parties go back by one step at most, so from no walk to the offer, in which the host draws a token. The host's book
    notes, before an answer leaves, a hash of the token and the question: in a step that is taken again the guest gets
    the same answers, and no others.
    """

    name = BOOSTING_SCORES.name
    purpose = BOOSTING_SCORES.purpose

    def __init__(
        self,
        settings: Settings,
        half: Half,
        table: Any,
        names: list[str],
        marks: Sequence[bytes] = (),
        *,
        book: Book | None = None,
        inputs: bytes = b"",
    ) -> None:
        self.settings, self.half, self.table, self.names = settings, half, table, names
        self.marks, self.book = list(marks), book
        self.rows = len(table)
        self.pieces = pieces_of(self.rows)
        self.found: list[Floats] = []  # the scores of each piece
        self.leaves: list[NDArray[np.uint32]] | None = None  # the leaf of each tree and row, if they are kept
        self.walked = 0  # pieces
        self.token = b""
        self.inputs = inputs_of(settings.to_fields(), inputs or table, half.party, half.digests, b"".join(self.marks))

    @property
    def steps(self) -> int:
        """Number of steps."""
        return len(self.pieces) + 2

    @property
    def scores(self) -> Floats | None:
        """The scores at the guest, as far as the rows have walked."""
        return np.concatenate(self.found) if self.found else None

    @property
    def bits(self) -> int:
        """The most bits that a peer learns: the side of each row at each level, the splits met by each piece."""
        return sum(self.shows(index)[1] for index in range(2, self.steps))

    def shows(self, index: int) -> tuple[int, int]:
        """Return the most sums and bits that a peer learns in a step."""
        if index < 2:
            return 0, 0
        depth, piece = self.settings.max_depth, self.pieces[index - 2]
        return 0, len(self.half.party) * (depth * (piece.stop - piece.start) + (1 << depth) - 1)

    @property
    def order(self) -> bytes:
        """What the parties compare of the rows' ids; empty without ids."""
        return hashlib.sha256(b"".join(self.marks)).digest() if self.marks else b""

    def state(self) -> bytes:
        """Return the scores so far, and a host's token."""
        arrays: dict[str, NDArray[Any]] = {"scores": np.concatenate(self.found)} if self.found else {}
        if self.leaves:
            arrays["leaves"] = np.concatenate(self.leaves, axis=1)
        return pack_state(self.name, {"walked": self.walked, "token": self.token}, arrays)

    def restore(self, state: bytes) -> None:
        """Return to a state; a host's book must have the rows that had walked by then."""
        fields, arrays = unpack_state(state, self.name)
        self.walked = field(fields, "walked", int, low=0, high=len(self.pieces))
        self.token = field(fields, "token", bytes, high=_TOKEN)
        end = self.pieces[self.walked - 1].stop if self.walked else 0
        self.found = [arrays["scores"]] if "scores" in arrays else []
        if len(arrays.get("scores", ())) not in (0, end):
            raise FrameError("the scores in the kept steps are not those of the rows that have walked")
        if self.leaves is not None:
            self.leaves = [arrays["leaves"].astype(np.uint32)] if "leaves" in arrays else []
            if self.found and [each.shape for each in self.leaves] != [(len(self.half.party), end)]:
                raise FrameError("the leaves in the kept steps are not those of the rows that have walked")
        if self.book is not None and end:
            self.book.require(self.marks[:end])


class GuestWalk(_Walk):
    """The guest's side: it learns the leaf of each row, and so the score."""

    def step(self, links: Sequence[Link], index: int) -> None:
        """Offer the rows, or walk those of a piece down all trees."""
        if index == 0:
            self._offer(links)
        elif index >= 2:
            self._walk(links, self.table[self.pieces[index - 2]])
            self.walked = index - 1

    def _offer(self, links: Sequence[Link]) -> None:
        rows, half = self.rows, self.half
        for number, link in enumerate(links):
            model = half.digests[number].tobytes()
            link.authorise(BOOSTING_SCORES.purpose, self.names, rows, model=model, bits=self.bits)
            link.send("offer", {"rows": rows, "model": model, "ids": self.order})
        for link in links:
            if field(link.receive("ready", ["rows"], parts=0).fields, "rows", int) != rows:
                raise ProtocolAbort("the parties have different numbers of rows: align them first", party=link.peer)
            link.count("rows", rows)

    def _walk(self, links: Sequence[Link], table: Floats) -> None:
        rows, half = len(table), self.half
        trees = len(half.party)
        where = np.zeros((trees, rows), np.int16)
        for depth in range(self.settings.max_depth):
            level = slice((1 << depth) - 1, (2 << depth) - 1)
            asked = [self._ask(link, number, where, level) for number, link in enumerate(links, 1)]
            for tree, place in np.argwhere(half.party[:, level] == 0).tolist():
                self._go(where, table, tree, place + level.start, None)
            for link, places in zip(links, asked, strict=True):
                self._hear(link, where, table, places)
        scores = np.full(rows, half.base[0])
        for tree in range(trees):  # in the order of the training, so that both give the same floats
            scores = scores + half.value[tree][where[tree]]
        self.found.append(scores)
        if self.leaves is not None:
            self.leaves.append(where.astype(np.uint32))

    def _ask(self, link: Link, party: int, where: NDArray[np.int16], level: slice) -> list[tuple[int, int]]:
        """Send a host the rows that are at its splits of a level; return the splits."""
        found = [(t, p + level.start) for t, p in np.argwhere(self.half.party[:, level] == party).tolist()]
        found = [(tree, place) for tree, place in found if (where[tree] == place).any()]
        masks = [np.packbits(where[tree] == place).tobytes() for tree, place in found]
        keys = [tree * self.settings.places + place for tree, place in found]
        link.send("ask", {}, [array_bytes(np.array(keys, np.int64), "<u4"), b"".join(masks)])
        return found

    def _hear(self, link: Link, where: NDArray[np.int16], table: Floats, places: list[tuple[int, int]]) -> None:
        if not places:
            return
        sizes = [int((where[tree] == place).sum()) for tree, place in places]
        got = link.receive("answer", parts=1, most=-(-sum(sizes) // 8))
        bits = bits_from(got.parts[0], sum(sizes))
        link.count("bits_learned", len(bits))
        for (tree, place), piece in zip(places, np.split(bits, np.cumsum(sizes)[:-1]), strict=True):
            self._go(where, table, tree, place, piece)

    def _go(
        self, where: NDArray[np.int16], table: Floats, tree: int, place: int, left: NDArray[np.bool_] | None
    ) -> None:
        here = np.flatnonzero(where[tree] == place)
        if left is None:
            left = self.half.goes_left(tree, place, table[here])
        where[tree, here] = np.where(left, 2 * place + 1, 2 * place + 2)


class HostWalk(_Walk):
    """A host's side: it learns which rows reach its splits, and answers which of them go left."""

    def step(self, links: Sequence[Link], index: int) -> None:
        """Take the offer, or answer for all trees about the rows of a piece."""
        (link,) = links
        if index == 0:
            self._offer(link)
        elif index >= 2:
            self._answer(link, index - 2)
            self.walked = index - 1

    def _offer(self, link: Link) -> None:
        rows, model = self.rows, self.half.digests[0].tobytes()
        message = link.receive("offer", ["rows", "model", "ids"], parts=0)
        if field(message.fields, "model", bytes, length=32) != model:
            raise ProtocolAbort(
                "the halves are of different models: load those that were trained together", party=link.peer
            )
        if field(message.fields, "rows", int) != rows:
            raise ProtocolAbort("the parties have different numbers of rows: align them first", party=link.peer)
        theirs = field(message.fields, "ids", bytes, high=32)
        if theirs and self.marks and theirs != self.order:
            raise ProtocolAbort("the parties give other ids, or another order: align the rows first", party=link.peer)
        if self.book is not None:
            self.book.refuse(self.marks)
        link.authorise(BOOSTING_SCORES.purpose, self.names, rows, model=model, bits=self.bits)
        self.token = os.urandom(_TOKEN)
        link.send("ready", {"rows": rows})
        link.count("rows", rows)

    def _note(self, link: Link, marks: list[bytes], depth: int, asked: Sequence[bytes | memoryview]) -> None:
        """Note what is asked about rows at a level, or refuse: once each, and the same whenever it is asked again."""
        if self.book is None:
            return
        if depth:  # all rows are noted at the roots: one mark stands for them here
            marks = [hashlib.sha256(b"level %d of " % depth + b"".join(marks)).digest()[:MARK]]
        self.book.take(marks, self.token + b"".join(asked), link.run)

    def _answer(self, link: Link, k: int) -> None:
        marks, table = self.marks[self.pieces[k]], self.table[self.pieces[k]]
        rows, half, places = len(table), self.half, self.settings.places
        each, revealed = -(-rows // 8), 0
        for depth in range(self.settings.max_depth):
            first, end = (1 << depth) - 1, (2 << depth) - 1
            own = int((half.feature[:, first:end] >= 0).sum())
            message = link.receive("ask", parts=2, most=own * (4 + each))
            count = len(message.parts[0]) // 4
            keys = array_from(message.parts[0], "<u4", (count,)).astype(np.int64)
            if (np.diff(keys) <= 0).any() or len(message.parts[1]) != count * each:
                raise FrameError("the requested splits are not in order, or their rows do not match")
            self._note(link, marks, depth, message.parts)  # on disk before the answer leaves
            # of each own split whether rows reach it, and then which; all rows reach a root
            link.count("bits_learned", own + rows * count if depth else 0)
            if not count:
                continue
            seen: dict[int, NDArray[np.bool_]] = {}
            answers = []
            for k, key in enumerate(keys.tolist()):
                tree, place = divmod(key, places)
                if tree >= len(half.feature) or not first <= place < end or half.feature[tree, place] < 0:
                    raise FrameError("a requested split is not one of this party's at this level")
                mask = bits_from(message.parts[1][k * each : (k + 1) * each], rows)
                if (seen.get(tree, np.zeros(rows, np.bool_)) & mask).any():
                    raise FrameError("a row is at two places of the same tree")
                seen[tree] = seen.get(tree, np.zeros(rows, np.bool_)) | mask
                answers.append(half.goes_left(tree, place, table[mask]))
            bits = np.concatenate(answers)
            link.send("answer", {}, [np.packbits(bits).tobytes()])
            revealed += len(bits)
        link.count("values_revealed", revealed)
