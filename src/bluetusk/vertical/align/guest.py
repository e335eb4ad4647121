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
from ..protocol.link import Link
from ..protocol.state import inputs_of, pack_state, unpack_state
from .common import MAX_ROWS, NONCE, receive_points, tags
from .psi import POINT, Asker, Points

__all__ = ["Guest"]


class Guest:
    """The guest's half: it sends its blinded ids, finds the matches and names the common ids to all hosts."""

    name = INTERSECT.name
    steps = 2 + 2 * PARTS

    def __init__(self, ids: list[str], hosts: int, least: int, threads: int | None) -> None:
        self.ids, self._own_least, self._threads = ids, least, threads
        self.inputs = inputs_of(ids, hosts, least)
        # a fresh key for each host, so that two hosts cannot compare what they see
        self._askers = [Asker() for _ in range(hosts)]
        self._least = least
        self._nonces = b""
        self.rows = [0] * hosts
        self._setups: list[Points] = [np.empty((0, POINT), np.uint8)] * hosts
        self.found = np.zeros((hosts, len(ids)), np.bool_)
        self.positions: NDArray[np.int64] = np.empty(0, np.int64)

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
        """Exchange set sizes and make the key of the common order."""
        n, nonces, rows, least = len(self.ids), [os.urandom(NONCE)], [], self._own_least
        for link in links:
            link.authorise(INTERSECT.purpose, ["id"], n, min_intersection=self._own_least)
            link.send("hello", {"rows": n, "least": self._own_least})
        for link in links:
            said = link.receive("hello", ("rows", "least", "nonce"), parts=0).fields
            rows.append(field(said, "rows", int, low=0, high=MAX_ROWS))
            least = max(least, field(said, "least", int, low=0, high=MAX_ROWS))
            nonces.append(field(said, "nonce", bytes, length=NONCE))
        for link in links:
            link.send("terms", {"least": least}, [b"".join(nonces)])
            link.count("rows", n)
        self._nonces, self.rows, self._least = b"".join(nonces), rows, least

    def _ask(self, links: Sequence[Link], i: int) -> None:
        ids = self.ids[part_of(len(self.ids), i)]
        for asker, link in zip(self._askers, links, strict=True):
            link.send("request", parts=[asker.request(ids, self._threads).tobytes()])
        setups = []
        for link, rows, setup in zip(links, self.rows, self._setups, strict=True):
            cut = part_of(rows, i)
            setups.append(np.concatenate([setup, receive_points(link, "setup", cut.stop - cut.start)]))
        self._setups = setups

    def _match(self, links: Sequence[Link], i: int) -> None:
        cut = part_of(len(self.ids), i)
        found = []
        for asker, link, setup in zip(self._askers, links, self._setups, strict=True):
            answer = receive_points(link, "answer", cut.stop - cut.start)
            found.append(asker.matches(setup, answer, link.peer, self._threads))
        self.found[:, cut] = found

    def _tell(self, links: Sequence[Link]) -> None:
        common = np.flatnonzero(self.found.all(axis=0))
        if len(common) < self._least:
            for link in links:
                link.abort("the intersection is smaller than min_intersection")
            raise ProtocolAbort(
                f"the intersection has {len(common)} ids, fewer than min_intersection = {self._least}: check that the "
                f"parties write ids alike"
            )
        named = tags([self.ids[i] for i in common], self._nonces)
        order = sorted(range(len(named)), key=named.__getitem__)
        for link in links:
            link.send("common", {"rows": len(named)}, [b"".join(named[k] for k in order)])
            link.count("values_revealed", len(named))
        self.positions = common[order].astype(np.int64)

    def state(self) -> bytes:
        """Return everything that the steps so far have changed."""
        fields = {"keys": [asker.key for asker in self._askers], "nonces": self._nonces, "least": self._least}
        arrays: dict[str, NDArray[Any]] = {f"setup{k}": setup for k, setup in enumerate(self._setups)}
        arrays |= {"rows": np.array(self.rows, np.int64), "found": self.found, "positions": self.positions}
        return pack_state(self.name, fields, arrays)

    def restore(self, state: bytes) -> None:
        """Return to a state."""
        fields, arrays = unpack_state(state, self.name)
        self._askers = [Asker(key) for key in fields["keys"]]
        self._nonces, self._least = fields["nonces"], fields["least"]
        self._setups = [arrays[f"setup{k}"] for k in range(len(self._askers))]
        self.rows, self.found, self.positions = arrays["rows"].tolist(), arrays["found"], arrays["positions"]
