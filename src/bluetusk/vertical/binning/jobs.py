"""The two halves of the joint binning, step by step.

Step 0: the guest makes a key and says how many rows there are; hosts cut their columns. Steps 1 to 8: the guest
encrypts an eighth of its rows at a time as one number each, 1 + y 2^w, where 2^w exceeds the number of rows; hosts
add them up bin by bin. Last step: hosts pack their bins into few ciphertexts by shifts, blind them with fresh units
(afterwards only the plaintext is left of them), and the guest decrypts rows and events of every bin and answers with
weights of evidence.

That the number of rows is part of what is decrypted lets the guest check that every bin has the rows that it asks for,
and that the bins of a column add up to all rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...encoding import FixedPoint
from ...errors import BluetuskError, FrameError, ProtocolAbort
from ...paillier import array as cipherarray
from ...paillier import primes, to_shares, validate
from ...paillier.array import CipherArray
from ...paillier.keys import PrivateKey, PublicKey
from ...wire.frame import field
from ..protocol.link import Link, array_bytes, array_from
from ..protocol.state import inputs_of, pack_state, unpack_state
from ..tables.columns import Table
from .bins import ColumnBins, Ints, information_value, monotone_groups, weights_of_evidence

__all__ = ["GuestJob", "HostJob", "PeerColumn"]

_PARTS = 8
_TASK = "woe-binning"
_MAX_COLUMNS = 1 << 16
_MAX_BINS = 1 << 16
_MAX_ROWS = 1 << 30
_MAX_NAME = 256


@dataclass(frozen=True, eq=False)
class PeerColumn:
    """What the guest knows of a host's column: counts per bin, never the edges.

    Attributes
    ----------
    party, name : str
        Whose it is, and its name ("x0" and so on where the host does not show names).
    rows, events : ndarray of int64
        Of each bin, after merging.
    woe : ndarray of float64
        Weight of evidence of each bin.
    iv : float
        Information value.

    Examples
    --------
    >>> PeerColumn("host", "x0", np.array([5]), np.array([1]), np.array([0.0]), 0.0).name
    'x0'
    """

    party: str
    name: str
    rows: Ints
    events: Ints
    woe: NDArray[np.float64]
    iv: float


def _part(n: int, i: int) -> slice:
    return slice(n * i // _PARTS, n * (i + 1) // _PARTS)


def _plan() -> FixedPoint:
    return FixedPoint.integers(1, max_weight=2)


def _slot(rows: int) -> tuple[int, int]:
    """Return w, and the bits of a slot that holds the sum of all rows, at most rows (1 + 2^w) < 2^(2 w)."""
    w = rows.bit_length()
    return w, 2 * w


def _slots(pub: PublicKey, slot_bits: int) -> int:
    return (int(pub.n).bit_length() - 2) // slot_bits


def _received(data: memoryview, pub: PublicKey, count: int, bound: int, threads: int | None) -> CipherArray:
    """Return the array that a peer sent, if it is what is due: then its arithmetic cannot fail later."""
    c = CipherArray.from_bytes(data, pub, threads=threads)
    if c.packed or c.frac or c.shape != (count,) or c.bound != bound or c.plan != _plan():
        raise FrameError(f"{count} integers below {bound.bit_length()} bits are due, the other party sent {c!r}")
    return c


def _authorise(link: Link, purpose: str, columns: Sequence[str], rows: int, **details: Any) -> None:
    try:
        link.authorise(purpose, columns, rows, **details)
    except BluetuskError:
        link.abort("the policy does not allow this")
        raise


class GuestJob:
    """The guest's half: labels.

    Parameters
    ----------
    labels : ndarray of int64
        0 and 1.
    min_rows : int
        Least rows of a bin.
    smoothing : float
        Added to every count.
    key_size : int
        Bits of the key.
    threads : int or None
        For batches.
    """

    name = _TASK
    steps = 2 + _PARTS

    def __init__(
        self, labels: Ints, *, min_rows: int, smoothing: float, key_size: int, threads: int | None = None
    ) -> None:
        self._labels, self._min_rows, self._smoothing = labels, min_rows, smoothing
        self._key_size, self._threads = key_size, threads
        self.inputs = inputs_of(labels, min_rows, smoothing, key_size)
        self._primes = (0, 0)
        self._priv: PrivateKey | None = None
        self._shapes: list[dict[str, Any]] = []
        self.peers: list[list[PeerColumn]] = []

    def step(self, links: Sequence[Link], index: int) -> None:
        if index == 0:
            self._open(links)
        elif index <= _PARTS:
            self._encrypt(links, index - 1)
        else:
            self._answer(links)

    def _open(self, links: Sequence[Link]) -> None:
        n = len(self._labels)
        for link in links:
            _authorise(link, "binning", ["label"], n, min_rows=self._min_rows)
        validate.check_bits(self._key_size)
        p, q = (int(x) for x in primes.generate_primes(self._key_size // 2, threads=self._threads))
        priv = PrivateKey._generated(p, q, "djn")
        for link in links:
            link.send("labels", {"rows": n, "min_rows": self._min_rows}, [priv.public_key.to_bytes()])
            link.count("rows", n)
        self._shapes = [self._shape_of(link) for link in links]
        self._primes, self._priv = (p, q), priv

    def _shape_of(self, link: Link) -> dict[str, Any]:
        """Receive how many columns a host has, and how many bins each."""
        message = link.receive("columns", ("columns", "monotonic"), parts=3)
        columns = field(message.fields, "columns", int, low=1, high=_MAX_COLUMNS)
        bins, ordered = (array_from(part, "<u4", (columns,)).astype(np.int64) for part in message.parts[:2])
        names = bytes(message.parts[2]).decode(errors="replace").split("\0")
        if (
            len(names) != columns
            or max(map(len, names)) > _MAX_NAME
            or (bins < 1).any()
            or (ordered > bins).any()
            or bins.sum() > len(self._labels) * columns
        ):
            raise FrameError("what the host says of its columns does not fit together")
        if bins.max() > max(len(self._labels) // self._min_rows, 1):
            raise ProtocolAbort(
                f"a column has {bins.max()} bins, more than bins of {self._min_rows} rows allow", party=link.peer
            )
        return {
            "names": names,
            "bins": bins.tolist(),
            "ordered": ordered.tolist(),
            "monotonic": field(message.fields, "monotonic", bool),
        }

    def _encrypt(self, links: Sequence[Link], i: int) -> None:
        assert self._priv is not None
        w, _ = _slot(len(self._labels))
        part = self._labels[_part(len(self._labels), i)]
        bound = (1 << w) + 1
        c = cipherarray.encrypt_integers(
            self._priv, 1 + (part << w), _plan(), frac=0, bound=bound, threads=self._threads
        )
        data = c.to_bytes(bound, threads=self._threads)
        for link in links:
            link.send("encrypted", parts=[data])
            link.count("values_encrypted", len(part))

    def _answer(self, links: Sequence[Link]) -> None:
        peers = [self._counts(link, shape) for link, shape in zip(links, self._shapes, strict=True)]
        done = []
        for link, shape, counts in zip(links, self._shapes, peers, strict=True):
            columns, groups, shown = [], [], []
            for name, ordered, (rows, events) in zip(shape["names"], shape["ordered"], counts, strict=True):
                to = np.arange(len(rows), dtype=np.int64)
                if shape["monotonic"]:
                    to = monotone_groups(rows, events, ordered, self._smoothing)
                many = int(to.max()) + 1
                rows, events = (np.bincount(to, each, many).astype(np.int64) for each in (rows, events))
                woe = weights_of_evidence(rows, events, self._smoothing)
                iv = information_value(rows, events, self._smoothing)
                columns.append(PeerColumn(link.peer, name, rows, events, woe, iv))
                groups.append(to)
                shown.append(woe)
            link.send(
                "weights",
                {},
                [
                    array_bytes(np.concatenate(groups), "<u4"),
                    array_bytes(np.concatenate(shown), "<f8"),
                    array_bytes([column.iv for column in columns], "<f8"),
                ],
            )
            link.count("values_revealed", sum(map(len, shown)))
            done.append(columns)
        self.peers = done

    def _counts(self, link: Link, shape: dict[str, Any]) -> list[tuple[Ints, Ints]]:
        """Decrypt rows and events of each bin of a host's columns, and check that they can be right."""
        assert self._priv is not None
        pub, n = self._priv.public_key, len(self._labels)
        w, slot_bits = _slot(n)
        slots, total = _slots(pub, slot_bits), sum(shape["bins"])
        data = link.receive("bins", parts=1).parts[0]
        packed = _received(data, pub, -(-total // slots), 1 << (slot_bits * slots), self._threads)
        wide = self._priv.decrypt_integers(packed, threads=self._threads).tolist()
        values = [(block >> (slot_bits * j)) & ((1 << slot_bits) - 1) for block in wide for j in range(slots)][:total]
        rows = np.array([value & ((1 << w) - 1) for value in values], np.int64)
        events = np.array([value >> w for value in values], np.int64)
        ends = np.cumsum(shape["bins"])[:-1]
        columns = list(zip(np.split(rows, ends), np.split(events, ends), strict=True))
        marked = int(self._labels.sum())
        sound = all(r.sum() == n and e.sum() == marked and (e <= r).all() for r, e in columns)
        if min(wide) < 0 or not sound:
            raise ProtocolAbort("the bins of a column do not add up to all rows and events", party=link.peer)
        if rows.min() < self._min_rows:
            link.abort("a bin is smaller than min_rows")
            raise ProtocolAbort(f"a bin has {rows.min()} rows, fewer than min_rows={self._min_rows}", party=link.peer)
        return columns

    def state(self) -> bytes:
        half = self._key_size // 16
        fields = {
            "primes": [p.to_bytes(half, "little") for p in self._primes],
            "shapes": json.dumps(self._shapes),
            "peers": json.dumps([[_plain(column) for column in columns] for columns in self.peers]),
        }
        return pack_state(self.name, fields, {})

    def restore(self, state: bytes) -> None:
        fields, _ = unpack_state(state, self.name)
        p, q = (int.from_bytes(each, "little") for each in fields["primes"])
        self._primes = (p, q)
        self._priv = PrivateKey._generated(p, q, "djn") if p else None
        self._shapes = json.loads(fields["shapes"])
        self.peers = [[peer_column(plain) for plain in columns] for columns in json.loads(fields["peers"])]


def _plain(column: PeerColumn) -> dict[str, Any]:
    return {
        "party": column.party,
        "name": column.name,
        "rows": column.rows.tolist(),
        "events": column.events.tolist(),
        "woe": column.woe.tolist(),
        "iv": column.iv,
    }


def peer_column(plain: dict[str, Any]) -> PeerColumn:
    """Read what :func:`_plain` made; ValueError, TypeError or KeyError if it is something else."""
    rows, events = np.array(plain["rows"], np.int64), np.array(plain["events"], np.int64)
    woe = np.array(plain["woe"], np.float64)
    if not rows.shape == events.shape == woe.shape == (len(rows),):
        raise ValueError("bins do not fit together")
    return PeerColumn(str(plain["party"]), str(plain["name"]), rows, events, woe, float(plain["iv"]))


class HostJob:
    """A host's half: columns.

    Parameters
    ----------
    table : Table
        The columns.
    settings : object
        What `cut_all` depends on beside them.
    cut_all : callable
        Called with the guest's `min_rows`; returns the bins of all columns and the codes, shape (rows, columns).
    min_rows : int
        Least rows of a bin that this host wants.
    monotonic, show_names : bool
        As for the estimator.
    threads : int or None
        For batches.
    """

    name = _TASK
    steps = 2 + _PARTS

    def __init__(
        self,
        table: Table,
        settings: object,
        cut_all: Callable[[int], tuple[list[ColumnBins], Ints]],
        *,
        min_rows: int,
        monotonic: bool,
        show_names: bool,
        threads: int | None = None,
    ) -> None:
        self._names, self._rows, self._cut_all, self._own_min = table.names, table.rows, cut_all, min_rows
        self.inputs = inputs_of(table.names, *table.values, settings, min_rows, monotonic, show_names)
        self._monotonic, self._show_names, self._threads = monotonic, show_names, threads
        self._pub: PublicKey | None = None
        self._min_rows = 0
        self._codes: Ints = np.empty((0, 0), np.int64)
        self._sums: CipherArray | None = None
        self.bins: list[ColumnBins] = []

    def step(self, links: Sequence[Link], index: int) -> None:
        (link,) = links
        if index == 0:
            self._open(link)
        elif index <= _PARTS:
            self._add(link, index - 1)
        else:
            self._learn(link)

    def _open(self, link: Link) -> None:
        message = link.receive("labels", ("rows", "min_rows"), parts=1)
        rows = field(message.fields, "rows", int, low=1, high=_MAX_ROWS)
        if rows != self._rows:
            link.abort("the tables have different numbers of rows")
            raise ProtocolAbort(
                f"the guest has {rows} rows, this host {self._rows}: align them by intersect", party=link.peer
            )
        min_rows = max(self._own_min, field(message.fields, "min_rows", int, low=1, high=_MAX_ROWS))
        if min_rows > rows:
            link.abort("there are fewer rows than min_rows")
            raise ProtocolAbort(f"there are {rows} rows, fewer than min_rows={min_rows}")
        _authorise(link, "binning", self._names, rows, min_rows=min_rows)
        pub = PublicKey.from_bytes(message.parts[0])
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
        cut = _part(self._rows, i)
        bound = (1 << _slot(self._rows)[0]) + 1
        data = link.receive("encrypted", parts=1).parts[0]
        c = _received(data, self._pub, cut.stop - cut.start, bound, self._threads)
        if len(c):
            many = max(each.n_bins for each in self.bins)
            part = c.bincount(self._codes[cut], many, threads=self._threads)
            self._sums = part if self._sums is None else self._sums + part

    def _learn(self, link: Link) -> None:
        assert self._pub is not None
        assert self._sums is not None
        _, slot_bits = _slot(self._rows)
        slots = _slots(self._pub, slot_bits)
        sizes = [each.n_bins for each in self.bins]
        column = np.repeat(np.arange(len(sizes)), sizes)
        place = np.concatenate([np.arange(size) for size in sizes])
        summed = to_shares._shifted(self._sums[column, place], slots, slot_bits)
        limit = 1 << (slot_bits * slots)
        # r^n with a fresh unit: the guest knows its own obfuscators and could look for the rows that were added
        blinded = to_shares._masked(summed, [0] * len(summed), limit, self._threads)
        link.send("bins", {}, [blinded.to_bytes(limit, threads=self._threads)])
        link.count("values_revealed", len(column))
        self._take(link.receive("weights", parts=3).parts, link.peer)

    def _take(self, parts: Sequence[memoryview], peer: str) -> None:
        sizes = [each.n_bins for each in self.bins]
        groups = np.split(array_from(parts[0], "<u4", (sum(sizes),)).astype(np.int64), np.cumsum(sizes)[:-1])
        steps = [np.diff(to) for to in groups]
        if any(to[0] != 0 or (d < 0).any() or (d > 1).any() for to, d in zip(groups, steps, strict=True)):
            raise FrameError("the joined bins are no neighbours")
        if any((d[max(each.ordered - 1, 0) :] != 1).any() for each, d in zip(self.bins, steps, strict=True)):
            raise FrameError("only ordered bins may be joined")
        after = [int(to[-1]) + 1 for to in groups]
        woe = np.split(array_from(parts[1], "<f8", (sum(after),)), np.cumsum(after)[:-1])
        iv = array_from(parts[2], "<f8", (len(sizes),))
        if not all(np.isfinite(each).all() for each in (*woe, iv)):
            raise ProtocolAbort("a weight of evidence is no number", party=peer)
        self.bins = [
            each.merged(to).weighed(w, v) for each, to, w, v in zip(self.bins, groups, woe, iv.tolist(), strict=True)
        ]

    def state(self) -> bytes:
        arrays = {}
        if self._sums is not None:
            # the bound follows from the number of rows so far, and must not grow: the sum of all fits its slot barely
            data = self._sums.to_bytes(self._sums.bound, threads=self._threads)
            arrays["sums"] = np.frombuffer(data, np.uint8)
        done = bool(self.bins) and not np.isnan(self.bins[0].woe).any()
        fields = {
            "key": b"" if self._pub is None else self._pub.to_bytes(),
            "min_rows": self._min_rows,
            "bins": json.dumps([each.to_plain() for each in self.bins]) if done else "",
        }
        return pack_state(self.name, fields, arrays)

    def restore(self, state: bytes) -> None:
        fields, arrays = unpack_state(state, self.name)
        self._pub = PublicKey.from_bytes(fields["key"]) if fields["key"] else None
        self._min_rows, self._sums, self.bins = fields["min_rows"], None, []
        if self._pub is not None:
            self.bins, self._codes = self._cut_all(self._min_rows)
        if fields["bins"]:
            self.bins = [ColumnBins.from_plain(plain) for plain in json.loads(fields["bins"])]
        if "sums" in arrays and self._pub is not None:
            self._sums = CipherArray.from_bytes(arrays["sums"].tobytes(), self._pub, threads=self._threads)
