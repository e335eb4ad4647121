"""A host's half of a boosted training: it sums encrypted gradients by bucket, and keeps its splits."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field as _field

import numpy as np
from numpy.typing import NDArray

from ..._numeric import Floats, Ints
from ..._random import Stream
from ...errors import FrameError, ProtocolAbort
from ...paillier.array import CipherArray
from ...paillier.ephemeral import restored_peer_key
from ...paillier.keys import PublicKey
from ...tasks import BOOSTING
from ...wire.frame import Kind, encode, field
from ..protocol.keys import KEY_PARTS, peer_key
from ..protocol.link import Link, array_from
from ..protocol.sizes import KEY_BYTES, MAX_COLUMNS, cipher_bytes
from ..protocol.state import inputs_of, state_of
from .buckets import Allowed, Buckets, Cuts, counted, first_alike, offered
from .model import Half, Settings, bits_from, extended
from .sums import MOST_BYTES, Layout, histograms, left_sums

__all__ = ["SERIAL", "HostJob"]

SERIAL = 16
"""Bytes of what tells a host's training from others with the same trees."""


@dataclass
class _Growth:
    """A tree that is being grown: its half, each row's place, the encrypted rows, the histograms of a level."""

    half: Half
    where: Ints
    rows: Ints  # which were sampled
    c: CipherArray
    codes: NDArray[np.uint8]  # of the sampled rows
    histograms: dict[int, CipherArray] = _field(default_factory=dict)
    allowed: dict[int, Allowed] = _field(default_factory=dict)
    active: list[int] = _field(default_factory=list)
    revealed: int = 0  # sums that were sent


class HostJob:
    """A host's job. Step 0 takes the offer; each later step helps to grow a tree.

    Parameters
    ----------
    settings : Settings
        The parameters.
    table : ndarray of float64, shape (n, features)
        The host's columns.
    names : list of str
        Names of the columns.
    """

    name = BOOSTING.name
    purpose = BOOSTING.purpose

    def __init__(self, settings: Settings, table: Floats, names: list[str]) -> None:
        if not table.shape[1]:
            raise ValueError("a host needs at least one column")
        if table.shape[1] > MAX_COLUMNS:
            raise ValueError(f"X has {table.shape[1]} columns: a host has at most {MAX_COLUMNS}")
        self.settings, self.names = settings, names
        self.sample_size = settings.sample_of(len(table))
        self.buckets = Buckets.of(table, settings.max_bins)
        self.codes = self.buckets.codes(table)
        self.cuts = self.buckets.splits(table, settings.min_bucket_rows)  # of a node: two sums each
        self.layout = Layout(len(table), settings.frac_bits)
        self.pub: PublicKey | None = None
        self.half = Half.empty(0, settings.places, 1)
        self.half.serial = os.urandom(SERIAL)
        self.inputs = inputs_of(settings.to_fields(), table)

    @property
    def steps(self) -> int:
        """Number of steps: the offer and the trees."""
        return 1 + self.settings.n_estimators

    def shows(self, index: int) -> tuple[int, int]:
        """Return the most sums and bits that the guest learns in a step; other gradients have other sums."""
        if index <= self.settings.first_tree_local:
            return 0, 0
        depth = self.settings.max_depth
        return 2 * ((1 << depth) - 1) * self.cuts, depth * len(self.codes)

    # --- recovery -----------------------------------------------------------------------------------------------------

    def state(self) -> bytes:
        """Return the guest's key and the trees so far."""
        listed, payload = self.half.to_parts()
        key = b"" if self.pub is None else self.pub.to_bytes()
        header = {"task": BOOSTING.name, "role": "host", "key": key, "arrays": listed, "serial": self.half.serial}
        return encode(Kind.VERTICAL_STATE, header, payload)

    def restore(self, state: bytes) -> None:
        """Return to a state."""
        got = state_of(state, BOOSTING.name, ("role", "key", "arrays", "serial"))
        field(got.header, "role", str, choices=("host",))
        listed = field(got.header, "arrays", list)
        self.half = Half.from_parts(listed, got.payload, self.settings, len(self.names))
        self.half.serial = field(got.header, "serial", bytes, length=SERIAL)
        key = field(got.header, "key", bytes)
        self.pub = restored_peer_key(key) if key else None

    # --- steps --------------------------------------------------------------------------------------------------------

    def step(self, links: Sequence[Link], index: int) -> None:
        """Take the offer, or help to grow the next tree."""
        (link,) = links
        if index == 0:
            self._offer(link)
        elif index == 1 and self.settings.first_tree_local:
            self.half = self.half.extended_by(self._blank())
        else:
            self.half = self.half.extended_by(self._grown(link, index - 1))

    def _blank(self) -> Half:
        half = Half.empty(1, self.settings.places, 1)
        half.digests = self.half.digests.copy()
        return half

    def _offer(self, link: Link) -> None:
        rows = len(self.codes)
        message = link.receive("offer", ["rows", "host", "settings"], parts=KEY_PARTS, most=KEY_BYTES)
        theirs = field(message.fields, "rows", int, low=1)
        field(message.fields, "host", int, low=1, high=1 << 14)
        self.settings.check_agreed(field(message.fields, "settings", dict), link.peer)
        if theirs != rows:
            raise ProtocolAbort(f"the guest has {theirs} rows, this host {rows}: align them first", party=link.peer)
        pub = peer_key(message.parts, link, BOOSTING.name)
        if pub.bits != self.settings.key_size:
            raise ProtocolAbort(f"the guest's key has {pub.bits} bits, not {self.settings.key_size}", party=link.peer)
        if not self.layout.slots(pub).count:
            raise ProtocolAbort(f"sums of {rows} rows need a key_size above {pub.bits}", party=link.peer)
        link.authorise(
            BOOSTING.purpose,
            self.names,
            rows,
            min_rows=self.settings.min_bucket_rows,
            min_events=self.settings.min_events,
            min_others=self.settings.min_others,
            trees=self.settings.n_estimators,
            depth=self.settings.max_depth,
            cuts=self.cuts,
            key_bits=pub.bits,
        )
        # the guest bounds the sums that it takes by them: settings and names, not data
        link.send("ready", {"rows": rows, "columns": len(self.names), "max_bins": self.settings.max_bins})
        link.count("rows", rows)
        self.pub = pub

    def _grown(self, link: Link, number: int) -> Half:
        tree = self._received(link)
        split: list[int] = []
        for depth in range(self.settings.max_depth):
            self._move(link, tree, depth, split)
            if not tree.active:
                break
            cuts, orders = self._offered(link, tree)
            split = self._chosen(link, tree, number, cuts, orders)
        link.count("values_revealed", tree.revealed)
        return tree.half

    def _received(self, link: Link) -> _Growth:
        """Receive which rows are in the tree's sample, and their encrypted gradients."""
        assert self.pub is not None
        rows = len(self.codes)
        most = -(-rows // 8) + cipher_bytes(rows, self.pub.bits)
        message = link.receive("gradients", ["rows"], parts=2, most=most)
        count = field(message.fields, "rows", int, low=1, high=rows)
        at = np.arange(rows)
        if self.settings.subsample < 1:
            at = np.flatnonzero(bits_from(message.parts[0], rows))
        elif message.parts[0]:
            raise FrameError("the guest sent a sample of rows, but subsample is 1")
        if len(at) != count or count != self.sample_size:
            raise ProtocolAbort("the size of the guest's sample does not match subsample", party=link.peer)
        c = self.layout.received(message.parts[1], self.pub, count, link.peer)
        half = self._blank()
        tree = _Growth(half, np.zeros(rows, np.int64), at, c, self.codes[at])
        tree.allowed[0] = Allowed.everything(self.codes.shape[1], self.buckets.count)
        return tree

    def _move(self, link: Link, tree: _Growth, depth: int, mine: list[int]) -> None:
        """Receive the rows' places after the level above, and the places that may be split at this level.

        They tell at most one bit of each place of the level above, whether it was split, and one of each row there, its
        side. This party knows both where the split was its own. Which places may be split follows from their sizes.
        """
        message = link.receive("level", ["active", "split"], parts=1, most=-(-len(self.codes) // 8))
        fields, first = message.fields, (1 << depth) - 1
        active = field(fields, "active", list, high=first + 1, items=int)
        split = field(fields, "split", list, high=first + 1, items=int)
        if active != sorted(set(active)) or split != sorted(set(split)):
            raise FrameError("places must be in order, each once")
        children = [child for place in split for child in (2 * place + 1, 2 * place + 2)] if depth else [0]
        if (not depth and split) or not set(split) <= set(tree.active) or not set(active) <= set(children):
            raise FrameError("a place cannot be split at this level")
        if active and not set(mine) <= set(split):
            raise FrameError("a place that was split here is missing")
        above = np.flatnonzero(np.isin(tree.where, split))
        left = bits_from(message.parts[0], len(above))
        others = len(set(tree.active) - set(mine)) + int((~np.isin(tree.where[above], mine)).sum())
        link.count("bits_learned", others)
        tree.where[above] = 2 * tree.where[above] + np.where(left, 1, 2)
        tree.active = active
        sizes = np.bincount(tree.where[tree.rows], minlength=self.settings.places)
        if split and sizes[children].min() < self.settings.min_samples_leaf:
            raise ProtocolAbort("a node has fewer rows than min_samples_leaf", party=link.peer)

    def _offered(self, link: Link, tree: _Growth) -> tuple[dict[int, Cuts], dict[int, Ints]]:
        """Send the sums of every split of every place, in a separate random order for each place."""
        s, width = self.settings, self.buckets.count + 1
        sampled = tree.where[tree.rows]
        before, tree.histograms = tree.histograms, {}
        allowed, tree.allowed = tree.allowed, {}
        cuts: dict[int, Cuts] = {}
        for parent in sorted({(place - 1) // 2 for place in tree.active}):
            pair = [2 * parent + 1, 2 * parent + 2] if parent >= 0 else [0]
            members = {place: np.flatnonzero(sampled == place) for place in pair}
            counts = np.stack([counted(tree.codes[at], width) for at in members.values()])
            rule, found = offered(counts, allowed[max(parent, 0)], least=s.min_bucket_rows, leaf=s.min_samples_leaf)
            offers = {place: some for place, some in zip(pair, found, strict=True) if place in tree.active}
            cuts |= offers
            self._check_size(sum(map(len, cuts.values())))
            small = min(pair, key=lambda place: len(members[place]))
            at = members[small]
            sums = {small: histograms(tree.c[at], tree.codes[at], width)}
            for place in offers:
                tree.allowed[place] = rule
                tree.histograms[place] = sums[small] if place == small else before[parent] - sums[small]
        orders = {place: np.argsort(Stream().uint64(len(cuts[place])), kind="stable") for place in tree.active}
        sums_of = [left_sums(tree.histograms[p], cuts[p], orders[p]) for p in tree.active if len(cuts[p])]
        data = self.layout.closed(sums_of) if sums_of else b""
        link.send("candidates", {"counts": [len(cuts[place]) for place in tree.active]}, [data])
        tree.revealed += sum(map(len, cuts.values()))
        return cuts, orders

    def _check_size(self, count: int) -> None:
        """Refuse to send more sums of a level than the guest takes."""
        assert self.pub is not None
        size = cipher_bytes(self.layout.slots(self.pub).blocks(count), self.pub.bits)
        if size > MOST_BYTES:
            s = self.settings
            raise ProtocolAbort(
                f"a level of a tree has {count} splits or more of this host's {len(self.names)} columns, whose sums "
                f"take {size} bytes, but a message has at most {MOST_BYTES}: lower max_bins={s.max_bins} at this host "
                f"or max_depth={s.max_depth} at all parties, or raise min_bucket_rows={s.min_bucket_rows}"
            )

    def _chosen(
        self, link: Link, tree: _Growth, number: int, cuts: dict[int, Cuts], orders: dict[int, Ints]
    ) -> list[int]:
        """Receive the splits that are taken, record them, and send which rows go left; return the places."""
        most = 4 * sum(map(len, orders.values())) + 8 * len(tree.active)
        message = link.receive("choice", ["places", "handles"], parts=2, most=most)
        places = field(message.fields, "places", list, high=len(tree.active), items=int)
        numbers = field(message.fields, "handles", list, length=len(places), items=int)
        if places != sorted(set(places)) or not set(places) <= set(tree.active) or any(n < 1 for n in numbers):
            raise FrameError("the guest chose splits that were not offered")
        handles = array_from(message.parts[0], "<u4", (sum(numbers),)).astype(np.int64)
        told = len(places) if self.settings.share_gain else 0
        gains = array_from(message.parts[1], "<f8", (told,))
        if not np.isfinite(gains).all():
            raise FrameError("a gain is not a finite number")
        bits: list[NDArray[np.bool_]] = []
        # of each place a list of handles and its end, in the code of so many words
        chosen = dict(zip(places, numbers, strict=True))
        learned = sum((chosen.get(place, 0) + 1) * len(orders[place]).bit_length() for place in tree.active)
        link.count("bits_learned", learned + 64 * told)
        for k, (place, count) in enumerate(zip(places, numbers, strict=True)):
            mine, handles = handles[:count], handles[count:]
            if mine.max() >= len(orders[place]):
                raise FrameError("the guest chose splits that were not offered")
            # of splits into the same sides this party's first, so that the shuffle does not affect the model
            at = np.flatnonzero(tree.where[tree.rows] == place)
            index = first_alike(cuts[place], int(orders[place][mine].min()), tree.codes[at], self.buckets.count)
            bits.append(self._note(tree, number, place, cuts[place], index, float(gains[k]) if told else 0.0))
        if places:
            link.send("partition", {}, [np.packbits(np.concatenate(bits)).tobytes()])
        return places

    def _note(self, tree: _Growth, number: int, place: int, cuts: Cuts, index: int, gain: float) -> NDArray[np.bool_]:
        half = tree.half
        half.party[0, place] = 0
        half.feature[0, place] = cuts.feature[index]
        half.threshold[0, place] = self.buckets.threshold(int(cuts.feature[index]), int(cuts.cut[index]))
        half.missing_left[0, place] = cuts.missing_left[index]
        half.gain[0, place] = gain
        here = np.flatnonzero(tree.where == place)
        left = cuts.goes_left(index, self.codes[here], self.buckets.count)
        half.digests[0] = extended(half.digests[0], number, place, left)
        return left
