"""A host's half of the joint binning: it cuts its columns and sums encrypted labels by bin; see :mod:`.guest`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import numpy as np

from ..._numeric import Ints
from ...errors import FrameError, ProtocolAbort
from ...paillier.array import CipherArray
from ...paillier.keys import PublicKey
from ...paillier.slots import mask
from ...tasks import BINNING
from ...wire.frame import field
from ..protocol.job import PARTS, part_of
from ..protocol.keys import KEY_PARTS, peer_key
from ..protocol.link import Link, array_bytes, array_from
from ..protocol.state import inputs_of, pack_state, unpack_state
from ..tables.columns import Table
from .bins import ColumnBins
from .common import MAX_ROWS, Layout, received

__all__ = ["HostJob"]


class HostJob:
    """A host's half: columns.

    Parameters
    ----------
    table : Table
        The columns.
    settings : object
        The settings on which `cut_all` depends.
    cut_all : callable
        Called with the guest's `min_rows`; returns the bins of all columns and the codes, shape (rows, columns).
    min_rows : int
        Least rows of a bin that this host requires.
    monotonic, show_names : bool
        As for the estimator.
    """

    name = BINNING.name
    steps = 2 + PARTS

    def __init__(
        self,
        table: Table,
        settings: object,
        cut_all: Callable[[int], tuple[list[ColumnBins], Ints]],
        *,
        min_rows: int,
        monotonic: bool,
        show_names: bool,
    ) -> None:
        self._names, self._rows, self._cut_all, self._own_min = table.names, table.rows, cut_all, min_rows
        self.inputs = inputs_of(table.names, *table.values, settings, min_rows, monotonic, show_names)
        self._monotonic, self._show_names = monotonic, show_names
        self._pub: PublicKey | None = None
        self._min_rows = 0
        self._codes: Ints = np.empty((0, 0), np.int64)
        self._sums: CipherArray | None = None
        self.bins: list[ColumnBins] = []

    def step(self, links: Sequence[Link], index: int) -> None:
        """Take a step; the docstring of :mod:`.guest` lists them."""
        (link,) = links
        if index == 0:
            self._open(link)
        elif index <= PARTS:
            self._add(link, index - 1)
        else:
            self._learn(link)

    def _open(self, link: Link) -> None:
        message = link.receive("labels", ("rows", "min_rows"), parts=KEY_PARTS)
        rows = field(message.fields, "rows", int, low=1, high=MAX_ROWS)
        if rows != self._rows:
            link.abort("the tables have different numbers of rows")
            raise ProtocolAbort(
                f"the guest has {rows} rows, this host has {self._rows}: align them with intersect", party=link.peer
            )
        min_rows = max(self._own_min, field(message.fields, "min_rows", int, low=1, high=MAX_ROWS))
        if min_rows > rows:
            link.abort("there are fewer rows than min_rows")
            raise ProtocolAbort(f"there are {rows} rows, fewer than min_rows={min_rows}: lower it at both parties")
        link.authorise(BINNING.purpose, self._names, rows, min_rows=min_rows)
        pub = peer_key(message.parts, link, BINNING.name)
        bins, codes = self._cut_all(min_rows)
        shown = self._names if self._show_names else [f"x{j}" for j in range(len(bins))]
        link.send(
            "columns",
            {"columns": len(bins), "monotonic": self._monotonic},
            [
                array_bytes([each.n_bins for each in bins], "<u4"),
                array_bytes([each.ordered for each in bins], "<u4"),
                "\0".join(shown).encode(),
            ],
        )
        link.count("rows", rows)
        self._pub, self._min_rows, self.bins, self._codes = pub, min_rows, bins, codes

    def _add(self, link: Link, i: int) -> None:
        assert self._pub is not None
        cut = part_of(self._rows, i)
        data = link.receive("encrypted", parts=1).parts[0]
        c = received(data, self._pub, cut.stop - cut.start, Layout(self._rows).bound)
        if len(c):
            many = max(each.n_bins for each in self.bins)
            part = c.bincount(self._codes[cut], many)
            self._sums = part if self._sums is None else self._sums + part

    def _learn(self, link: Link) -> None:
        assert self._pub is not None
        assert self._sums is not None
        slots = Layout(self._rows).slots(self._pub.bits)
        sizes = [each.n_bins for each in self.bins]
        column = np.repeat(np.arange(len(sizes)), sizes)
        place = np.concatenate([np.arange(size) for size in sizes])
        # blind with r^n for a fresh unit r: the guest knows its obfuscators and could otherwise find the rows in a sum
        blinded = mask(slots.shifted(self._sums[column, place]), None, slots.bound)
        link.send("bins", {}, [blinded.to_bytes(slots.bound)])
        link.count("values_revealed", len(column))
        self._take(link.receive("weights", parts=3).parts, link.peer)

    def _take(self, parts: Sequence[memoryview], peer: str) -> None:
        sizes = [each.n_bins for each in self.bins]
        groups = np.split(array_from(parts[0], "<u4", (sum(sizes),)).astype(np.int64), np.cumsum(sizes)[:-1])
        steps = [np.diff(to) for to in groups]
        if any(to[0] != 0 or (d < 0).any() or (d > 1).any() for to, d in zip(groups, steps, strict=True)):
            raise FrameError("the guest joined bins that are not neighbours")
        if any((d[max(each.ordered - 1, 0) :] != 1).any() for each, d in zip(self.bins, steps, strict=True)):
            raise FrameError("the guest joined unordered bins: only ordered ones may be joined")
        after = [int(to[-1]) + 1 for to in groups]
        woe = np.split(array_from(parts[1], "<f8", (sum(after),)), np.cumsum(after)[:-1])
        iv = array_from(parts[2], "<f8", (len(sizes),))
        if not all(np.isfinite(each).all() for each in (*woe, iv)):
            raise ProtocolAbort("a weight of evidence or an information value is not finite", party=peer)
        self.bins = [
            each.merged(to).weighed(w, v) for each, to, w, v in zip(self.bins, groups, woe, iv.tolist(), strict=True)
        ]

    def state(self) -> bytes:
        """Return the guest's key, the sums so far and, at the end, the bins."""
        arrays = {}
        if self._sums is not None:
            # the bound follows from the number of rows so far and must not grow: the sum of all rows only just fits its
            # slot
            data = self._sums.to_bytes(self._sums.bound)
            arrays["sums"] = np.frombuffer(data, np.uint8)
        done = bool(self.bins) and not np.isnan(self.bins[0].woe).any()
        fields = {
            "key": b"" if self._pub is None else self._pub.to_bytes(),
            "min_rows": self._min_rows,
            "bins": json.dumps([each.to_plain() for each in self.bins]) if done else "",
        }
        return pack_state(self.name, fields, arrays)

    def restore(self, state: bytes) -> None:
        """Return to a state of this job."""
        fields, arrays = unpack_state(state, self.name)
        self._pub = PublicKey.from_bytes(fields["key"]) if fields["key"] else None
        self._min_rows, self._sums, self.bins = fields["min_rows"], None, []
        if self._pub is not None:
            self.bins, self._codes = self._cut_all(self._min_rows)
        if fields["bins"]:
            self.bins = [ColumnBins.from_plain(plain) for plain in json.loads(fields["bins"])]
        if "sums" in arrays and self._pub is not None:
            self._sums = CipherArray.from_bytes(arrays["sums"].tobytes(), self._pub)
