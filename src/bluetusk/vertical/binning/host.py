"""A host's half of the joint binning: it cuts its columns and sums encrypted labels by bin; see :mod:`.guest`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..._numeric import Ints
from ...errors import ProtocolAbort
from ...paillier.array import CipherArray
from ...paillier.ephemeral import restored_peer_key
from ...paillier.keys import PublicKey
from ...paillier.slots import mask
from ...tasks import BINNING
from ...wire.frame import field
from ..protocol.job import PARTS, part_of
from ..protocol.keys import KEY_PARTS, peer_key
from ..protocol.link import Link, array_bytes, array_from
from ..protocol.sizes import KEY_BYTES, cipher_bytes
from ..protocol.state import inputs_of, pack_state, unpack_state
from ..tables.columns import Table
from .bins import ColumnBins
from .common import MAX_ROWS, Layout, Terms, received
from .labels import KnownRows, chained, hashes_of

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
    terms : Terms
        What this host requires and allows.
    monotonic, show_names : bool
        As for the estimator.
    known : KnownRows, optional
        What is noted about the labels of these rows.
    """

    name = BINNING.name
    purpose = BINNING.purpose
    steps = 2 + PARTS

    def __init__(
        self,
        table: Table,
        settings: object,
        cut_all: Callable[[int], tuple[list[ColumnBins], Ints]],
        terms: Terms,
        *,
        monotonic: bool,
        show_names: bool,
        known: KnownRows | None = None,
    ) -> None:
        self._names, self._rows, self._cut_all, self._terms = table.names, table.rows, cut_all, terms
        digest = b"" if known is None else known.digest
        self.inputs = inputs_of(table.names, *table.values, settings, terms, monotonic, show_names, digest)
        self._monotonic, self._show_names, self._known = monotonic, show_names, known
        self._pub: PublicKey | None = None
        self._min_rows = 0
        self._codes: Ints = np.empty((0, 0), np.int64)
        self._sums: CipherArray | None = None
        self._marks: NDArray[np.uint8] = np.empty((0, 16), np.uint8)
        self._second = 0
        self.digest = b""
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

    def shows(self, index: int) -> tuple[int, int]:
        """Return the most sums and bits that the guest learns in a step: of noted labels always the same sums."""
        new = self._known is None and index == self.steps - 1
        return 2 * sum(each.n_bins for each in self.bins) if new else 0, 0

    def _open(self, link: Link) -> None:
        message = link.receive("labels", ("rows", *self._terms.stated()), parts=KEY_PARTS, most=KEY_BYTES)
        rows = field(message.fields, "rows", int, low=1, high=MAX_ROWS)
        if rows != self._rows:
            link.abort("the tables have different numbers of rows")
            raise ProtocolAbort(
                f"the guest has {rows} rows, this host has {self._rows}: align them with intersect", party=link.peer
            )
        terms = self._terms.joint(message.fields, link)
        if terms.min_rows > rows:
            link.abort("there are fewer rows than min_rows")
            raise ProtocolAbort(
                f"there are {rows} rows, fewer than min_rows={terms.min_rows}: lower it at both parties"
            )
        pub = peer_key(message.parts, link, BINNING.name)
        bins, codes = self._cut_all(terms.min_rows)
        again = 0 if self._known is None else self._known.under_other_keys(pub.fingerprint)
        second = {"second_labels": again} if again else {}
        largest = max(each.n_bins for each in bins)
        link.authorise(BINNING.purpose, self._names, rows, bins=largest, **terms.details(), **second)
        if self._known is not None and again and not self._known.second_labels:
            link.abort("these rows had other labels before")
            raise ProtocolAbort(
                f"{again} of {rows} rows had labels under another key before: the guest must give the LabelArray of "
                "that time, or this host allow LabelBook(second_labels=True)",
                party=link.peer,
            )
        self._second = again
        shown = self._names if self._show_names else [f"x{j}" for j in range(len(bins))]
        link.send(
            "columns",
            {
                "columns": len(bins),
                "monotonic": self._monotonic,
                "min_events": terms.min_events,
                "min_others": terms.min_others,
            },
            [
                array_bytes([each.n_bins for each in bins], "<u4"),
                array_bytes([each.ordered for each in bins], "<u4"),
                "\0".join(shown).encode(),
            ],
        )
        link.count("rows", rows)
        self._pub, self._min_rows, self.bins, self._codes = pub, terms.min_rows, bins, codes
        self.digest = hashlib.sha256(pub.fingerprint).digest()

    def _add(self, link: Link, i: int) -> None:
        assert self._pub is not None
        cut = part_of(self._rows, i)
        most = cipher_bytes(cut.stop - cut.start, self._pub.bits)
        data = link.receive("encrypted", parts=1, most=most).parts[0]
        c = received(data, self._pub, cut.stop - cut.start)
        self.digest = chained(self.digest, data)
        if self._known is not None:
            self._marks = np.concatenate([self._marks, hashes_of(self._pub, data, len(c))])
        if len(c):
            many = max(each.n_bins for each in self.bins)
            part = c.bincount(self._codes[cut], many)
            self._sums = part if self._sums is None else self._sums + part

    def _learn(self, link: Link) -> None:
        assert self._pub is not None
        assert self._sums is not None
        if self._known is not None:
            self._note(link, self._known, self._pub.fingerprint)
        slots = Layout(self._rows).slots(self._pub.bits)
        sizes = [each.n_bins for each in self.bins]
        column = np.repeat(np.arange(len(sizes)), sizes)
        place = np.concatenate([np.arange(size) for size in sizes])
        # blind with r^n for a fresh unit r: the guest knows its obfuscators and could otherwise find the rows in a sum
        blinded = mask(slots.shifted(self._sums[column, place]), None, slots.bound)
        link.send("bins", {}, [blinded.to_bytes(slots.bound)])
        link.count("values_revealed", len(column))
        link.count("sums_learned", 2 * len(column) if self._terms.reveal else 0)
        link.count("bits_learned", 1)  # that the guest goes on
        if self._terms.reveal:
            most = 8 * (sum(sizes) + len(sizes))
            self._take(link.receive("weights", parts=2, most=most).parts, sizes, link.peer)
        else:
            link.receive("done", parts=0)

    def _note(self, link: Link, known: KnownRows, key: bytes) -> None:
        """Note the labels' ciphertexts before anything that depends on them leaves."""
        other = known.take(self._marks, key, self._second)
        if other:
            link.abort("these rows had other labels before")
            raise ProtocolAbort(
                f"{other} of {self._rows} rows had other encrypted labels before: the guest must give the LabelArray "
                "of that time",
                party=link.peer,
            )

    def _take(self, parts: Sequence[memoryview], sizes: list[int], peer: str) -> None:
        woe = np.split(array_from(parts[0], "<f8", (sum(sizes),)), np.cumsum(sizes)[:-1])
        iv = array_from(parts[1], "<f8", (len(sizes),))
        if not all(np.isfinite(each).all() for each in (*woe, iv)):
            raise ProtocolAbort("a weight of evidence or an information value is not finite", party=peer)
        self.bins = [each.weighed(w, v) for each, w, v in zip(self.bins, woe, iv.tolist(), strict=True)]

    def state(self) -> bytes:
        """Return the guest's key, the sums so far, what is to be noted of the labels and, at the end, revealed bins."""
        arrays = {"marks": self._marks}
        if self._sums is not None:
            # the bound follows from the number of rows so far and must not grow: the sum of all rows only just fits its
            # slot
            data = self._sums.to_bytes(self._sums.bound)
            arrays["sums"] = np.frombuffer(data, np.uint8)
        revealed = bool(self.bins) and self.bins[0].known
        fields = {
            "key": b"" if self._pub is None else self._pub.to_bytes(),
            "min_rows": self._min_rows,
            "digest": self.digest,
            "second": self._second,
            "bins": json.dumps([each.to_plain() for each in self.bins]) if revealed else "",
        }
        return pack_state(self.name, fields, arrays)

    def restore(self, state: bytes) -> None:
        """Return to a state of this job."""
        fields, arrays = unpack_state(state, self.name)
        self._pub = restored_peer_key(fields["key"]) if fields["key"] else None
        self._min_rows, self._sums, self.bins = fields["min_rows"], None, []
        self._marks, self.digest, self._second = arrays["marks"], fields["digest"], fields["second"]
        if self._pub is not None:
            self.bins, self._codes = self._cut_all(self._min_rows)
        if fields["bins"]:
            self.bins = [ColumnBins.from_plain(plain) for plain in json.loads(fields["bins"])]
        if "sums" in arrays and self._pub is not None:
            self._sums = CipherArray.from_bytes(arrays["sums"].tobytes(), self._pub)
