"""Predicts jointly: rows walk down all trees at once; a host answers only for rows that reach its splits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..._numeric import Floats
from ...errors import FrameError, ProtocolAbort
from ...tasks import BOOSTING_SCORES
from ...wire.frame import Kind, encode, field
from ..protocol.link import Link, array_bytes, array_from
from ..protocol.state import inputs_of, state_of
from .model import Half, Settings, bits_from

__all__ = ["GuestWalk", "HostWalk"]


class _Walk:
    """A job of one step, the whole walk. Its state is the result alone."""

    name = BOOSTING_SCORES.name
    purpose = BOOSTING_SCORES.purpose
    steps = 1

    def __init__(self, settings: Settings, half: Half, table: Floats, names: list[str]) -> None:
        self.settings, self.half, self.table, self.names = settings, half, table, names
        self.scores: Floats | None = None
        self.inputs = inputs_of(settings.to_fields(), table, half.party, half.digests)

    def shows(self, index: int) -> tuple[int, int]:
        """Return the most sums and bits that a peer learns: the side of each row at each level, the splits met."""
        depth = self.settings.max_depth
        return 0, len(self.half.party) * (depth * len(self.table) + (1 << depth) - 1)

    def state(self) -> bytes:
        """Return the scores, if there are any."""
        scores = b"" if self.scores is None else self.scores.astype("<f8").tobytes()
        return encode(Kind.VERTICAL_STATE, {"task": BOOSTING_SCORES.name}, scores)

    def restore(self, state: bytes) -> None:
        """Return to a state."""
        scores = state_of(state, BOOSTING_SCORES.name, ()).payload
        self.scores = array_from(scores, "<f8", (len(self.table),)) if scores else None


class GuestWalk(_Walk):
    """The guest's side: it learns the leaf of each row, and so the score."""

    def step(self, links: Sequence[Link], index: int) -> None:
        """Walk all rows down all trees."""
        rows, half = len(self.table), self.half
        for number, link in enumerate(links):
            model = half.digests[number].tobytes()
            link.authorise(BOOSTING_SCORES.purpose, self.names, rows, model=model, bits=self.shows(index)[1])
            link.send("offer", {"rows": rows, "model": model})
        for link in links:
            if field(link.receive("ready", ["rows"], parts=0).fields, "rows", int) != rows:
                raise ProtocolAbort("the parties have different numbers of rows: align them first", party=link.peer)
            link.count("rows", rows)
        trees = len(half.party)
        where = np.zeros((trees, rows), np.int16)
        for depth in range(self.settings.max_depth):
            level = slice((1 << depth) - 1, (2 << depth) - 1)
            asked = [self._ask(link, number, where, level) for number, link in enumerate(links, 1)]
            for tree, place in np.argwhere(half.party[:, level] == 0).tolist():
                self._go(where, tree, place + level.start, None)
            for link, places in zip(links, asked, strict=True):
                self._hear(link, where, places)
        scores = np.full(rows, half.base[0])
        for tree in range(trees):  # in the order of the training, so that both give the same floats
            scores = scores + half.value[tree][where[tree]]
        self.scores = scores

    def _ask(self, link: Link, party: int, where: NDArray[np.int16], level: slice) -> list[tuple[int, int]]:
        """Send a host the rows that are at its splits of a level; return the splits."""
        found = [(t, p + level.start) for t, p in np.argwhere(self.half.party[:, level] == party).tolist()]
        found = [(tree, place) for tree, place in found if (where[tree] == place).any()]
        masks = [np.packbits(where[tree] == place).tobytes() for tree, place in found]
        keys = [tree * self.settings.places + place for tree, place in found]
        link.send("ask", {}, [array_bytes(np.array(keys, np.int64), "<u4"), b"".join(masks)])
        return found

    def _hear(self, link: Link, where: NDArray[np.int16], places: list[tuple[int, int]]) -> None:
        if not places:
            return
        sizes = [int((where[tree] == place).sum()) for tree, place in places]
        got = link.receive("answer", parts=1, most=-(-sum(sizes) // 8))
        bits = bits_from(got.parts[0], sum(sizes))
        link.count("bits_learned", len(bits))
        for (tree, place), piece in zip(places, np.split(bits, np.cumsum(sizes)[:-1]), strict=True):
            self._go(where, tree, place, piece)

    def _go(self, where: NDArray[np.int16], tree: int, place: int, left: NDArray[np.bool_] | None) -> None:
        here = np.flatnonzero(where[tree] == place)
        if left is None:
            left = self.half.goes_left(tree, place, self.table[here])
        where[tree, here] = np.where(left, 2 * place + 1, 2 * place + 2)


class HostWalk(_Walk):
    """A host's side: it learns which rows reach its splits, and answers which of them go left."""

    def step(self, links: Sequence[Link], index: int) -> None:
        """Answer for all trees."""
        (link,) = links
        rows, half, places = len(self.table), self.half, self.settings.places
        message, model = link.receive("offer", ["rows", "model"], parts=0), half.digests[0].tobytes()
        if field(message.fields, "model", bytes, length=32) != model:
            raise ProtocolAbort(
                "the halves are of different models: load those that were trained together", party=link.peer
            )
        if field(message.fields, "rows", int) != rows:
            raise ProtocolAbort("the parties have different numbers of rows: align them first", party=link.peer)
        link.authorise(BOOSTING_SCORES.purpose, self.names, rows, model=model, bits=self.shows(index)[1])
        link.send("ready", {"rows": rows})
        link.count("rows", rows)
        each, revealed = -(-rows // 8), 0
        for depth in range(self.settings.max_depth):
            first, end = (1 << depth) - 1, (2 << depth) - 1
            own = int((half.feature[:, first:end] >= 0).sum())
            message = link.receive("ask", parts=2, most=own * (4 + each))
            count = len(message.parts[0]) // 4
            keys = array_from(message.parts[0], "<u4", (count,)).astype(np.int64)
            if (np.diff(keys) <= 0).any() or len(message.parts[1]) != count * each:
                raise FrameError("the requested splits are not in order, or their rows do not match")
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
                answers.append(half.goes_left(tree, place, self.table[mask]))
            bits = np.concatenate(answers)
            link.send("answer", {}, [np.packbits(bits).tobytes()])
            revealed += len(bits)
        link.count("values_revealed", revealed)
