"""The guest's half of the joint binning, with labels and key, and the protocol between the two halves.

Step 0: the guest makes a key and sends the number of rows; hosts cut their columns. Steps 1 to 8: the guest
encrypts an eighth of its rows at a time as one number each, 1 + y 2^w, where 2^w exceeds the number of rows; hosts
add them up bin by bin. Last step: hosts pack their bins into few ciphertexts by shifts, blind them with fresh units
(which leaves only their plaintexts), and the guest decrypts rows and events of every bin and answers with
weights of evidence.

Since the plaintexts hold numbers of rows, the guest can check that every bin has at least its `min_rows` rows,
and that the bins of a column add up to all rows.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._numeric import Ints
from ...errors import FrameError, ProtocolAbort
from ...evidence.book import note_sent, seed_for
from ...paillier import array as arrays
from ...paillier.ephemeral import ephemeral_key, restored_key, saved_key
from ...paillier.keys import PrivateKey
from ...tasks import BINNING
from ...wire.frame import field
from ..protocol.job import PARTS, part_of
from ..protocol.keys import key_parts
from ..protocol.link import Link, array_bytes, array_from
from ..protocol.state import inputs_of, pack_state, unpack_state
from .bins import information_value, monotone_groups, weights_of_evidence
from .common import Layout, label_plan, received

__all__ = ["GuestJob", "PeerColumn"]

_MAX_COLUMNS = 1 << 16
_MAX_NAME = 256


@dataclass(frozen=True, eq=False)
class PeerColumn:
    """What the guest knows about a host's column: counts per bin, never the edges.

    Attributes
    ----------
    party, name : str
        The host, and the column's name ("x0" and so on where the host does not show names).
    rows, events : ndarray of int64
        Rows and events of each bin, after merging.
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

    def to_plain(self) -> dict[str, Any]:
        """Return the column as plain values for JSON."""
        return vars(self) | {each: getattr(self, each).tolist() for each in ("rows", "events", "woe")}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> PeerColumn:
        """Read what :meth:`to_plain` wrote; ValueError, TypeError or KeyError if it is malformed."""
        rows, events = np.array(plain["rows"], np.int64), np.array(plain["events"], np.int64)
        woe = np.array(plain["woe"], np.float64)
        if not rows.shape == events.shape == woe.shape == (len(rows),):
            raise ValueError("rows, events and weights of the bins do not match")
        return cls(str(plain["party"]), str(plain["name"]), rows, events, woe, float(plain["iv"]))


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
    """

    name = BINNING.name
    steps = 2 + PARTS

    def __init__(self, labels: Ints, *, min_rows: int, smoothing: float, key_size: int) -> None:
        self._labels, self._min_rows, self._smoothing = labels, min_rows, smoothing
        self._key_size = key_size
        self.inputs = inputs_of(labels, min_rows, smoothing, key_size)
        self._priv: PrivateKey | None = None
        self._shapes: list[dict[str, Any]] = []
        self.peers: list[list[PeerColumn]] = []

    def step(self, links: Sequence[Link], index: int) -> None:
        """Take a step; the module's docstring lists them."""
        if index == 0:
            self._open(links)
        elif index <= PARTS:
            self._encrypt(links, index - 1)
        else:
            self._answer(links)

    def _open(self, links: Sequence[Link]) -> None:
        n = len(self._labels)
        for link in links:
            link.authorise(BINNING.purpose, ["label"], n, min_rows=self._min_rows)
        priv = ephemeral_key(self._key_size)
        for link in links:
            link.send("labels", {"rows": n, "min_rows": self._min_rows}, key_parts(priv, link, BINNING.name))
            link.count("rows", n)
        self._shapes = [self._shape_of(link) for link in links]
        self._priv = priv

    def _shape_of(self, link: Link) -> dict[str, Any]:
        """Receive the number of a host's columns, and the bins of each."""
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
            raise FrameError("the host's names, bins and order of columns do not match")
        if bins.max() > max(len(self._labels) // self._min_rows, 1):
            raise ProtocolAbort(
                f"a column has {bins.max()} bins, too many for min_rows={self._min_rows}", party=link.peer
            )
        return {
            "names": names,
            "bins": bins.tolist(),
            "ordered": ordered.tolist(),
            "monotonic": field(message.fields, "monotonic", bool),
        }

    def _encrypt(self, links: Sequence[Link], i: int) -> None:
        assert self._priv is not None
        layout = Layout(len(self._labels))
        cut = part_of(layout.rows, i)
        part = self._labels[cut]
        ints = 1 + (part << layout.w)
        seed = seed_for(self._priv.public_key, self.name, "labels", ints)
        c = arrays.encrypt_integers(self._priv, ints, label_plan(), frac=0, bound=layout.bound, seed=seed)
        data = c.to_bytes(layout.bound)
        note_sent(self.name, "sent", i, data, rows=layout.rows, first=cut.start, step=1 + i)
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
        """Decrypt rows and events of each bin of a host's columns, and check that they add up."""
        assert self._priv is not None
        pub, n = self._priv.public_key, len(self._labels)
        w, slots, total = Layout(n).w, Layout(n).slots(pub.bits), sum(shape["bins"])
        data = link.receive("bins", parts=1).parts[0]
        packed = received(data, pub, slots.blocks(total), slots.bound)
        wide = self._priv.decrypt_integers(packed).tolist()
        values = [value & ((1 << slots.width) - 1) for value in slots.floors(wide, total)]
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
        """Return the key's primes, the hosts' columns and the counts opened."""
        none = bytes(self._key_size // 16)
        fields = {
            "primes": [none, none] if self._priv is None else [*saved_key(self._priv)],
            "shapes": json.dumps(self._shapes),
            "peers": json.dumps([[column.to_plain() for column in columns] for columns in self.peers]),
        }
        return pack_state(self.name, fields, {})

    def restore(self, state: bytes) -> None:
        """Return to a state of this job."""
        fields, _ = unpack_state(state, self.name)
        p, q = fields["primes"]
        self._priv = restored_key(p, q, self._priv) if any(p) else None
        self._shapes = json.loads(fields["shapes"])
        self.peers = [[PeerColumn.from_plain(plain) for plain in columns] for columns in json.loads(fields["peers"])]
