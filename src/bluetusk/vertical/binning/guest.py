"""The guest's half of the joint binning, with labels and key, and the protocol between the two halves.

Step 0: the guest makes a key and sends the number of rows; hosts cut their columns. Steps 1 to 8: the guest
encrypts an eighth of its rows at a time as one number each, 1 + y 2^w, where 2^w exceeds the number of rows; hosts
add them up bin by bin. Last step: hosts pack their bins into few ciphertexts by shifts, blind them with fresh units
(which leaves only their plaintexts), and the guest decrypts rows and events of every bin. It answers that it is done,
before it computes anything from them: the weights of evidence stay with it. Only where both parties have agreed to
reveal them, a host gets weights made from counts with noise.

The guest checks that every bin has its `min_rows` rows, and that rows and events of a column's bins add up. A column
where they do not gets no weight, and the host does not learn of it: nothing that was opened ends the task, because a
host that computes on the labels can make any of these checks depend on one label.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._numeric import Ints, as_bool
from ...errors import FrameError, ProtocolAbort
from ...evidence.book import auditing, note_sent
from ...paillier.ephemeral import ephemeral_key, restored_key, saved_key
from ...paillier.keys import PrivateKey, PublicKey
from ...paillier.opening import opened_by, opening
from ...paillier.slots import opened
from ...tasks import BINNING
from ...wire.frame import field
from ..protocol.job import PARTS, part_of
from ..protocol.keys import key_parts
from ..protocol.link import Link, array_bytes, array_from
from ..protocol.sizes import MAX_BINS, MAX_COLUMNS, cipher_bytes
from ..protocol.state import inputs_of, pack_state, unpack_state
from ..tables.plain import ints, number, reals, text
from .bins import weigh
from .common import MAX_ROWS, ROW, Layout, Terms, encrypted_labels, received
from .labels import LabelArray, chained
from .noised import noised

__all__ = ["GuestJob", "PeerColumn"]

_MAX_NAME = 256
_MOST_SHAPE = MAX_COLUMNS * (8 + 4 * _MAX_NAME + 1)  # bytes of the names, bins and order of columns


@dataclass(frozen=True, eq=False)
class PeerColumn:
    """What the guest knows about a host's column: counts per bin, never the edges.

    Attributes
    ----------
    party, name : str
        The host, and the column's name ("x0" and so on where the host does not show names).
    rows, events : ndarray of int64
        Rows and events of each of the host's bins.
    woe : ndarray of float64
        Weight of evidence of each; bins that the guest has joined have the same. In a file of version 2 and before,
        `rows`, `events` and `woe` are those of the joined bins.
    iv : float
        Information value.
    sound : bool
        Whether the events add up to all events. If not, the host's sums are wrong, and the bins have no weight.

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
    sound: bool = True

    def to_plain(self) -> dict[str, Any]:
        """Return the column as plain values for JSON."""
        return vars(self) | {each: getattr(self, each).tolist() for each in ("rows", "events", "woe")}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> PeerColumn:
        """Read what :meth:`to_plain` wrote; ValueError, TypeError or KeyError if it is malformed."""
        rows, events, woe = ints(plain["rows"], "rows"), ints(plain["events"], "events"), reals(plain["woe"], "woe")
        sound = as_bool(plain.get("sound", True), "sound")
        if not 1 <= len(rows) == len(events) == len(woe) or (sound and (events > rows).any()):
            raise ValueError("rows, events and weights of the bins do not match")
        names = text(plain["party"], "party"), text(plain["name"], "name")
        return cls(*names, rows, events, woe, number(plain["iv"], "iv"), sound)


class GuestJob:
    """The guest's half: labels.

    Parameters
    ----------
    labels : ndarray of int64
        0 and 1.
    terms : Terms
        What this guest requires and allows.
    smoothing : float
        Added to every count.
    key_size : int
        Bits of the key.
    source : LabelArray, optional
        The same labels, encrypted before.
    """

    name = BINNING.name
    purpose = BINNING.purpose
    steps = 2 + PARTS

    def __init__(
        self, labels: Ints, terms: Terms, *, smoothing: float, key_size: int, source: LabelArray | None = None
    ) -> None:
        self._labels, self._terms, self._smoothing, self._source = labels, terms, smoothing, source
        self._key_size = key_size if source is None else source.public_key.bits
        once = b"" if source is None else source.public_key.fingerprint
        self.inputs = inputs_of(labels, terms, smoothing, self._key_size, once)
        self._priv: PrivateKey | None = None
        self._shapes: list[dict[str, Any]] = []
        self._seed = b""
        self.digest = b""
        self.peers: list[list[PeerColumn]] = []

    def step(self, links: Sequence[Link], index: int) -> None:
        """Take a step; the module's docstring lists them."""
        if index == 0:
            self._open(links)
        elif index <= PARTS:
            self._encrypt(links, index - 1)
        else:
            self._answer(links)

    def shows(self, index: int) -> tuple[int, int]:
        """Return the most sums and bits that a host learns in a step: of weights that open, other sums have others."""
        opens = self._terms.reveal and index == self.steps - 1
        return 2 * max(sum(shape["bins"]) for shape in self._shapes) if opens else 0, 0

    def _open(self, links: Sequence[Link]) -> None:
        n, terms = len(self._labels), self._terms
        priv = ephemeral_key(self._key_size) if self._source is None else self._source._priv
        # the request goes before the data. How many bins hosts have is not known yet: where weights open, two sums for
        # each label are stated, which is more than bins of any use have
        shown = {"sums": 2 * n if terms.reveal else 0}
        for link in links:
            link.authorise(
                BINNING.purpose, ["label"], n, total_events=int(self._labels.sum()), **terms.details(), **shown
            )
        for link in links:
            link.send("labels", {"rows": n, **terms.stated()}, key_parts(priv, link, BINNING.name))
        shapes = [self._shape_of(link) for link in links]
        for link in links:
            link.count("rows", n)
        self._shapes, self._priv, self._seed = shapes, priv, os.urandom(32)
        self.digest = hashlib.sha256(priv.public_key.fingerprint).digest()

    def _shape_of(self, link: Link) -> dict[str, Any]:
        """Receive the number of a host's columns, and the bins of each."""
        message = link.receive(
            "columns", ("columns", "min_events", "min_others", "monotonic"), parts=3, most=_MOST_SHAPE
        )
        columns = field(message.fields, "columns", int, low=1, high=MAX_COLUMNS)
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
        min_rows = self._terms.min_rows
        if bins.max() > max(len(self._labels) // min_rows, 1):
            raise ProtocolAbort(f"a column has {bins.max()} bins, too many for min_rows={min_rows}", party=link.peer)
        if bins.sum() > MAX_BINS:
            raise ProtocolAbort(
                f"{link.peer!r} has {bins.sum()} bins in {columns} columns, more than {MAX_BINS}: raise min_rows, or "
                f"leave out columns of many categories there",
                party=link.peer,
            )
        shape = {
            "names": names,
            "bins": bins.tolist(),
            "ordered": ordered.tolist(),
            "monotonic": field(message.fields, "monotonic", bool),
        }
        for name in ("min_events", "min_others"):
            shape[name] = max(getattr(self._terms, name), field(message.fields, name, int, low=0, high=MAX_ROWS))
        return shape

    def _encrypt(self, links: Sequence[Link], i: int) -> None:
        assert self._priv is not None
        rows = part_of(len(self._labels), i)
        if self._source is None:
            data = encrypted_labels(self._priv, self._labels[rows]).to_bytes(ROW)
        else:
            data = self._source.part(rows)
        note_sent(self.name, "sent", i, data, rows=len(self._labels), first=rows.start, step=1 + i)
        for link in links:
            link.send("encrypted", parts=[data])
            link.count("values_encrypted", rows.stop - rows.start)
        self.digest = chained(self.digest, data)

    def _answer(self, links: Sequence[Link]) -> None:
        found = [self._counts(link, i) for i, link in enumerate(links)]
        for link, shape in zip(links, self._shapes, strict=True):
            link.count("sums_learned", 2 * sum(shape["bins"]))
            if not self._terms.reveal:  # first, so that the time of what follows does not show
                link.send("done")
        done = []
        for link, shape, counts in zip(links, self._shapes, found, strict=True):
            columns = self._weighed(link.peer, shape, counts)
            if self._terms.reveal:
                values = np.concatenate([column.woe for column in columns])
                link.send(
                    "weights",
                    {},
                    [array_bytes(values, "<f8"), array_bytes([column.iv for column in columns], "<f8")],
                )
                link.count("values_revealed", len(values))
            done.append(columns)
        self.peers = done

    def _weighed(self, peer: str, shape: dict[str, Any], counts: list[tuple[Ints, Ints]]) -> list[PeerColumn]:
        """Weigh the bins of a host, from noised counts if it gets to see the weights."""
        marked, columns = int(self._labels.sum()), []
        weighed = [events for _, events in counts]
        if self._terms.reveal:
            weighed = noised(counts, self._terms.noise_sigma, self._seed)
        for name, ordered, (rows, events), used in zip(shape["names"], shape["ordered"], counts, weighed, strict=True):
            whole = int(rows.sum()) == len(self._labels) and int(rows.min()) >= self._terms.min_rows
            sound = whole and int(events.sum()) == marked and bool((events <= rows).all())
            woe, iv = np.zeros(len(rows)), 0.0
            if sound or self._terms.reveal:  # what is revealed depends on noised counts and on nothing else
                woe, iv = weigh(
                    rows,
                    used,
                    ordered,
                    monotonic=shape["monotonic"],
                    smoothing=self._smoothing,
                    min_events=shape["min_events"],
                    min_others=shape["min_others"],
                )
            columns.append(PeerColumn(peer, name, rows, events, woe, iv, sound))
        return columns

    def _counts(self, link: Link, i: int) -> list[tuple[Ints, Ints]]:
        """Receive the sums of a host's bins; in audit mode keep what shows what they, and the weights, are."""
        assert self._priv is not None
        bits, shape = self._priv.public_key.bits, self._shapes[i]
        blocks = Layout(len(self._labels)).slots(bits).blocks(sum(shape["bins"]))
        data = link.receive("bins", parts=1, most=cipher_bytes(blocks, bits)).parts[0]
        packed = received(data, self._priv.public_key, blocks, Layout(len(self._labels)).slots(bits).bound)
        if (book := auditing()) is not None:
            opens = b"".join(r.to_bytes(bits // 8, "little") for r in opening(self._priv, packed))
            kept = {"opens": opens, "seed": self._seed, "sums": bytes(data)}
            book.note(
                self.name,
                "bins",
                i,
                facts={"shape": shape, "smoothing": self._smoothing, "terms": self._terms.stated(), "peer": link.peer},
                arrays={name: np.frombuffer(each, np.uint8) for name, each in kept.items()},
            )
        wide = opened(self._priv, packed)  # whatever its size: not even that a sum is beyond the bound ends the task
        return self._counted(wide, shape, bits)

    def replayed(
        self, pub: PublicKey, seed: bytes, peer: str, shape: dict[str, Any], data: bytes, opens: bytes
    ) -> list[PeerColumn]:
        """Return, to an auditor, the columns that follow from what a host sent.

        Parameters
        ----------
        pub : PublicKey
            The key of the labels.
        seed : bytes
            Of the noise.
        peer, shape
            The host, and its columns.
        data, opens : bytes
            Its sums, and what opens them.
        """
        self._seed, width, slots = seed, pub.bits // 8, Layout(len(self._labels)).slots(pub.bits)
        packed = received(memoryview(data), pub, slots.blocks(sum(shape["bins"])), slots.bound)
        randomness = [int.from_bytes(opens[i : i + width], "little") for i in range(0, len(opens), width)]
        return self._weighed(peer, shape, self._counted(opened_by(packed, randomness), shape, pub.bits))

    def _counted(self, wide: list[int], shape: dict[str, Any], bits: int) -> list[tuple[Ints, Ints]]:
        """Return rows and events of each bin of a host's columns."""
        n = len(self._labels)
        w, slots, total = Layout(n).w, Layout(n).slots(bits), sum(shape["bins"])
        values = [value & ((1 << slots.width) - 1) for value in slots.floors(wide, total)]
        rows = np.array([value & ((1 << w) - 1) for value in values], np.int64)
        events = np.array([value >> w for value in values], np.int64)
        ends = np.cumsum(shape["bins"])[:-1]
        # a host that computes on the labels can make a sum that is possible or not depending on one of them, so what
        # was opened ends nothing: a column that cannot be right has no weights (:meth:`_weighed`)
        return list(zip(np.split(rows, ends), np.split(events, ends), strict=True))

    def state(self) -> bytes:
        """Return the key's primes, the hosts' columns, the digest of the labels sent and the counts opened."""
        none = bytes(self._key_size // 16)
        fields = {
            "primes": [none, none] if self._priv is None else [*saved_key(self._priv)],
            "shapes": json.dumps(self._shapes),
            "digest": self.digest,
            "seed": self._seed,
            "peers": json.dumps([[column.to_plain() for column in columns] for columns in self.peers]),
        }
        return pack_state(self.name, fields, {})

    def restore(self, state: bytes) -> None:
        """Return to a state of this job."""
        fields, _ = unpack_state(state, self.name)
        p, q = fields["primes"]
        current = self._priv if self._source is None else self._source._priv
        self._priv = restored_key(p, q, current) if any(p) else None
        self._shapes, self.digest, self._seed = json.loads(fields["shapes"]), fields["digest"], fields["seed"]
        self.peers = [[PeerColumn.from_plain(plain) for plain in columns] for columns in json.loads(fields["peers"])]
