"""A host's half of an alignment."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...errors import ProtocolAbort
from ...tasks import INTERSECT
from ...wire.frame import field
from ..protocol.job import PARTS, part_of
from ..protocol.link import Link, array_from
from ..protocol.state import inputs_of, pack_state, unpack_state
from .common import MAX_PEER_IDS, MAX_ROWS, PLACE, check_peer_ids, receive_points, shuffled
from .matched import check_matched
from .psi import POINT, Blinder, Points

__all__ = ["Host"]


class Host:
    """A host's half: it blinds the guest's ids and sends its own, blinded."""

    name = INTERSECT.name
    steps = 2 + 2 * PARTS

    def __init__(self, ids: list[str], least: int, threads: int | None, most: int = MAX_PEER_IDS) -> None:
        self.ids, self._least, self._threads, self.most = ids, least, threads, most
        self.inputs = inputs_of("places", ids, least)
        self._blinder = Blinder()
        self._seed = os.urandom(32)
        self.rows = 0
        self._asked: Points = np.empty((0, POINT), np.uint8)
        self.positions: NDArray[np.int64] = np.empty(0, np.int64)

    def step(self, links: Sequence[Link], index: int) -> None:
        """Take a step; see :class:`~bluetusk.vertical.protocol.job.Job`."""
        (link,) = links
        if index == 0:
            self.greet(link)
        elif index <= PARTS:
            self._offer(link, index - 1)
        elif index <= 2 * PARTS:
            cut = part_of(self.rows, index - 1 - PARTS)
            answer = self._blinder.blind_again(self._asked[cut], link.peer, self._threads)
            link.send("answer", parts=[answer.tobytes()])
        else:
            self.learn(link)

    def greet(self, link: Link) -> None:
        """Exchange set sizes and minima."""
        said = link.receive("hello", ("rows", "least"), parts=0).fields
        rows = field(said, "rows", int, low=0, high=MAX_ROWS)
        field(said, "least", int, low=0, high=MAX_ROWS)
        check_peer_ids(link, rows, self.most)
        link.authorise(INTERSECT.purpose, ["id"], len(self.ids), asked=rows, min_intersection=self._least)
        link.send("hello", {"rows": len(self.ids), "least": self._least})
        link.count("rows", len(self.ids))
        self.rows = rows

    def _offer(self, link: Link, i: int) -> None:
        # in a private order, so that the place of an id in the list reveals nothing about its row
        ids = [self.ids[k] for k in shuffled(len(self.ids), self._seed)[part_of(len(self.ids), i)]]
        link.send("setup", parts=[self._blinder.blind(ids, self._threads).tobytes()])
        cut = part_of(self.rows, i)
        self._asked = np.concatenate([self._asked, receive_points(link, "request", cut.stop - cut.start)])

    def learn(self, link: Link) -> None:
        """Find the rows at the places that the guest names, with its request for each.

        It cannot name an id, and it knows beforehand whether its message is accepted.
        """
        most = min(self.rows, len(self.ids))
        message = link.receive("common", ("rows",), parts=2, most=2 * most * np.dtype(PLACE).itemsize)
        rows = field(message.fields, "rows", int, low=self._least, high=most)
        places, requests = (array_from(part, PLACE, (rows,)).astype(np.int64) for part in message.parts)
        for named, end in ((places, len(self.ids)), (requests, self.rows)):
            if (named >= end).any() or len(np.unique(named)) < rows:
                raise ProtocolAbort(
                    "the guest named a place or request that there is not, or one twice", party=link.peer
                )
        positions = shuffled(len(self.ids), self._seed)[places]
        if rows:
            ids = [self.ids[k] for k in positions]
            check_matched(link, self._blinder, ids, self._asked[requests])
        link.count("values_revealed", rows)
        self.positions = positions

    def state(self) -> bytes:
        """Return everything that the steps so far have changed."""
        fields = {"key": self._blinder.key, "seed": self._seed, "rows": self.rows}
        return pack_state(self.name, fields, {"asked": self._asked, "positions": self.positions})

    def restore(self, state: bytes) -> None:
        """Return to a state."""
        fields, arrays = unpack_state(state, self.name)
        self._blinder = Blinder(fields["key"])
        self._seed, self.rows = fields["seed"], fields["rows"]
        self._asked, self.positions = arrays["asked"], arrays["positions"]
