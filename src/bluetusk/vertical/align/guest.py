"""The guest's half of an alignment."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import ProtocolAbort
from ...tasks import INTERSECT
from ...wire.frame import field
from ..protocol.job import PARTS, part_of
from ..protocol.link import Link, array_bytes
from ..protocol.state import inputs_of, pack_state, unpack_state
from .common import MAX_PEER_IDS, MAX_ROWS, PLACE, check_peer_ids, receive_points, shuffled
from .matched import prove_matched
from .psi import POINT, Blinder, Points, places_of

__all__ = ["Guest"]


class Guest:
    """The guest's half: it sends its blinded ids, finds the matches and names the places of the common ids to hosts."""

    name = INTERSECT.name
    steps = 2 + 2 * PARTS

    def __init__(self, ids: list[str], hosts: int, least: int, threads: int | None, most: int = MAX_PEER_IDS) -> None:
        self.ids, self._own_least, self._threads, self.most = ids, least, threads, most
        self.inputs = inputs_of("places", ids, hosts, least)
        # a fresh key for each host, so that two hosts cannot compare what they see
        self._blinders = [Blinder() for _ in range(hosts)]
        self._least = least
        self._seed = os.urandom(32)
        self.rows = [0] * hosts
        self._setups: list[Points] = [np.empty((0, POINT), np.uint8)] * hosts
        self._places = np.full((hosts, len(ids)), -1, np.int64)  # of the requests in each host's list, by request
        self.positions: NDArray[np.int64] = np.empty(0, np.int64)

    @property
    def found(self) -> NDArray[np.bool_]:
        """Whether each host has each id, shape (hosts, ids)."""
        found = np.empty(self._places.shape, np.bool_)
        found[:, self._requested()] = self._places >= 0
        return found

    def _requested(self) -> NDArray[np.int64]:
        """Return the rows in the order of the requests, which is private: hosts get to know which requests match."""
        return shuffled(len(self.ids), self._seed)

    def step(self, links: Sequence[Link], index: int) -> None:
        """Take a step; see :class:`~bluetusk.vertical.protocol.job.Job`."""
        if index == 0:
            self.greet(links)
        elif index <= PARTS:
            self._ask(links, index - 1)
        elif index <= 2 * PARTS:
            self._match(links, index - 1 - PARTS)
        else:
            self._tell(links)

    def greet(self, links: Sequence[Link]) -> None:
        """Exchange set sizes and minima."""
        n, rows, least = len(self.ids), [], self._own_least
        for link in links:
            link.authorise(INTERSECT.purpose, ["id"], n, min_intersection=self._own_least)
            link.send("hello", {"rows": n, "least": self._own_least})
        for link in links:
            said = link.receive("hello", ("rows", "least"), parts=0).fields
            rows.append(field(said, "rows", int, low=0, high=MAX_ROWS))
            check_peer_ids(link, rows[-1], self.most)
            least = max(least, field(said, "least", int, low=0, high=MAX_ROWS))
            link.count("rows", n)
        self.rows, self._least = rows, least

    def _ask(self, links: Sequence[Link], i: int) -> None:
        ids = [self.ids[k] for k in self._requested()[part_of(len(self.ids), i)]]
        for blinder, link in zip(self._blinders, links, strict=True):
            link.send("request", parts=[blinder.blind(ids, self._threads).tobytes()])
        setups = []
        for link, rows, setup in zip(links, self.rows, self._setups, strict=True):
            cut = part_of(rows, i)
            setups.append(np.concatenate([setup, receive_points(link, "setup", cut.stop - cut.start)]))
        self._setups = setups

    def _match(self, links: Sequence[Link], i: int) -> None:
        cut = part_of(len(self.ids), i)
        places = []
        for blinder, link, setup in zip(self._blinders, links, self._setups, strict=True):
            answer = receive_points(link, "answer", cut.stop - cut.start)
            places.append(places_of(blinder.unblind(answer, link.peer, self._threads), setup, link.peer))
        self._places[:, cut] = places

    def _tell(self, links: Sequence[Link]) -> None:
        common = np.flatnonzero((self._places >= 0).all(axis=0))  # by request, so in no order of rows
        if len(common) < self._least:
            for link in links:
                link.abort("the intersection is smaller than min_intersection")
            raise ProtocolAbort(
                f"the intersection has {len(common)} ids, fewer than min_intersection = {self._least}: check that the "
                f"parties write ids alike"
            )
        for link, places in zip(links, self._places, strict=True):
            pairs = [array_bytes(places[common], PLACE), array_bytes(common, PLACE)]
            link.send("common", {"rows": len(common)}, pairs)
            link.count("values_revealed", len(common))
        if len(common):
            for link, blinder, setup, places in zip(links, self._blinders, self._setups, self._places, strict=True):
                prove_matched(link, blinder, setup[places[common]])
        self.positions = self._requested()[common]

    def state(self) -> bytes:
        """Return everything that the steps so far have changed."""
        fields = {"keys": [blinder.key for blinder in self._blinders], "seed": self._seed, "least": self._least}
        arrays: dict[str, NDArray[Any]] = {f"setup{k}": setup for k, setup in enumerate(self._setups)}
        arrays |= {"rows": np.array(self.rows, np.int64), "places": self._places, "positions": self.positions}
        return pack_state(self.name, fields, arrays)

    def restore(self, state: bytes) -> None:
        """Return to a state."""
        fields, arrays = unpack_state(state, self.name)
        self._blinders = [Blinder(key) for key in fields["keys"]]
        self._seed, self._least = fields["seed"], fields["least"]
        self._setups = [arrays[f"setup{k}"] for k in range(len(self._blinders))]
        self.rows, self._places, self.positions = arrays["rows"].tolist(), arrays["places"], arrays["positions"]
