"""A host's half of an alignment."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..._random import Stream
from ...errors import ProtocolAbort
from ...tasks import INTERSECT
from ...wire.frame import field
from ..protocol.job import PARTS, part_of
from ..protocol.link import Link, array_from
from ..protocol.state import inputs_of, pack_state, unpack_state
from .common import MAX_PARTIES, MAX_ROWS, NONCE, TAG, receive_points, tags
from .psi import POINT, Answerer, Points

__all__ = ["Host"]


class Host:
    """A host's half: it blinds the guest's ids and sends its own, blinded."""

    name = INTERSECT.name
    steps = 2 + 2 * PARTS

    def __init__(self, ids: list[str], least: int, threads: int | None) -> None:
        self.ids, self._least, self._threads = ids, least, threads
        self.inputs = inputs_of(ids, least)
        self._answerer = Answerer()
        self._seed = os.urandom(32)
        self._nonces = b""
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
            answer = self._answerer.answer(self._asked[cut], link.peer, self._threads)
            link.send("answer", parts=[answer.tobytes()])
        else:
            self.learn(link)

    def greet(self, link: Link) -> None:
        """Exchange set sizes and contribute to the key of the common order."""
        said = link.receive("hello", ("rows", "least"), parts=0).fields
        rows = field(said, "rows", int, low=0, high=MAX_ROWS)
        field(said, "least", int, low=0, high=MAX_ROWS)
        link.authorise(INTERSECT.purpose, ["id"], len(self.ids), asked=rows, min_intersection=self._least)
        nonce = os.urandom(NONCE)
        link.send("hello", {"rows": len(self.ids), "least": self._least, "nonce": nonce})
        terms = link.receive("terms", ("least",), parts=1, most=MAX_PARTIES * NONCE)
        if field(terms.fields, "least", int, low=0, high=MAX_ROWS) < self._least:
            raise ProtocolAbort("the guest applied a min_intersection below this host's", party=link.peer)
        nonces = bytes(terms.parts[0])
        split = [nonces[k : k + NONCE] for k in range(0, len(nonces), NONCE)]
        if len(nonces) % NONCE or not 2 <= len(split) <= MAX_PARTIES or nonce not in split[1:]:
            raise ProtocolAbort("the guest made the key of the common order without this host", party=link.peer)
        link.count("rows", len(self.ids))
        self.rows, self._nonces = rows, nonces

    def _offer(self, link: Link, i: int) -> None:
        # in a private order, so that the part in which an id travels reveals nothing about its row
        order = np.argsort(Stream(self._seed).uint64(len(self.ids)), kind="stable")
        ids = [self.ids[k] for k in order[part_of(len(self.ids), i)]]
        link.send("setup", parts=[self._answerer.setup(ids, self._threads).tobytes()])
        cut = part_of(self.rows, i)
        self._asked = np.concatenate([self._asked, receive_points(link, "request", cut.stop - cut.start)])

    def learn(self, link: Link) -> None:
        """Find the rows that the guest names."""
        message = link.receive("common", ("rows",), parts=1, most=min(self.rows, len(self.ids)) * TAG)
        rows = field(message.fields, "rows", int, low=self._least, high=min(self.rows, len(self.ids)))
        told = array_from(message.parts[0], "|u1", (rows, TAG))
        place = {tag: i for i, tag in enumerate(tags(self.ids, self._nonces))}
        positions = [place.get(row.tobytes(), -1) for row in told]
        named = [row.tobytes() for row in told]
        if -1 in positions or any(a >= b for a, b in itertools.pairwise(named)):
            raise ProtocolAbort("the guest named an id that this host does not have, or an id twice", party=link.peer)
        link.count("values_revealed", rows)
        self.positions = np.array(positions, np.int64)

    def state(self) -> bytes:
        """Return everything that the steps so far have changed."""
        fields = {"key": self._answerer.key, "seed": self._seed, "nonces": self._nonces, "rows": self.rows}
        return pack_state(self.name, fields, {"asked": self._asked, "positions": self.positions})

    def restore(self, state: bytes) -> None:
        """Return to a state."""
        fields, arrays = unpack_state(state, self.name)
        self._answerer = Answerer(fields["key"])
        self._seed, self._nonces, self.rows = fields["seed"], fields["nonces"], fields["rows"]
        self._asked, self.positions = arrays["asked"], arrays["positions"]
