"""The guest's half of a boosted training: it has the labels and the private key, and chooses every split.

What a host sends may be false, and whether it fits the gradients can be made to depend on one label. So nothing that
the guest finds out with its key or its labels ends the task or changes a message: a sum that is impossible is left out,
rows go where the host says, and :attr:`GuestJob.false` shows at the end, to the guest alone, which hosts were false.
Only sizes, which the host knows, are refused. Of equally good splits the guest names one: the list of all would tell a
host that makes up sums, one for each row, which of these rows have the same label.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..._numeric import Bools, Floats, Ints
from ..._random import Stream
from ...errors import FrameError, ProtocolAbort
from ...evidence.book import auditing
from ...paillier.ephemeral import ephemeral_key, restored_key, saved_key
from ...paillier.keys import PrivateKey
from ...tasks import BOOSTING
from ...wire.frame import Kind, encode, field
from ..protocol.keys import key_parts
from ..protocol.link import Link, array_bytes
from ..protocol.sizes import MAX_COLUMNS, cipher_bytes
from ..protocol.state import inputs_of, state_of
from .arrays import described, joined, parted
from .buckets import Allowed, Buckets, Cuts, counted, most_splits, offered
from .model import TYPES, Half, Settings, bits_from, extended, probabilities
from .sums import MOST_BYTES, Layout, gains, least_of_class, plain_sums

__all__ = ["GuestJob"]

_STATE = {"primes": "|u1", "seed": "|u1", "scores": "<f8", "shapes": "<i4"}


@dataclass
class _Growth:
    """A tree that is being grown: its half, each row's place, the gradients of the sampled rows."""

    half: Half
    where: Ints
    g: Ints
    h: Ints
    sampled: Bools


class GuestJob:
    """The guest's job. Step 0 makes the offer; each later step grows a tree.

    Parameters
    ----------
    settings : Settings
        The parameters.
    table : ndarray of float64, shape (n, features)
        The guest's columns.
    labels : ndarray of bool, shape (n,)
        The labels.
    names : list of str
        Names of the columns.
    hosts : int
        Number of hosts.
    """

    name = BOOSTING.name
    purpose = BOOSTING.purpose

    def __init__(
        self,
        settings: Settings,
        table: Floats,
        labels: Bools,
        names: list[str],
        hosts: int,
    ) -> None:
        self.settings, self.labels, self.names = settings, labels, names
        self.buckets = Buckets.of(table, settings.max_bins)
        self.codes = self.buckets.codes(table)
        if settings.first_tree_local and not table.shape[1]:
            raise ValueError("X has no column to grow the first tree from: set first_tree_local=False at all parties")
        rows = len(labels)
        if rows << settings.frac_bits >= 1 << 53:
            raise ValueError(f"sums of {rows} rows at frac_bits={settings.frac_bits} exceed 53 bits: lower frac_bits")
        self.layout = Layout(rows, settings.frac_bits)
        self.sample_size = settings.sample_of(rows)
        self.priv: PrivateKey | None = None
        self.seed = b""
        self.shapes = np.zeros((hosts, 2), np.int32)  # of each host: number of columns, most buckets of one
        share = float(labels.mean()) if settings.base_score is None else settings.base_score
        self.half = Half.empty(0, settings.places, hosts, base=float(np.log(share / (1 - share))))
        self.scores = np.full(rows, self.half.base[0])
        self.false: set[int] = set()  # hosts, from 1, whose rows did not have the sums that they had sent
        self.inputs = inputs_of(settings.to_fields(), table, labels)

    @property
    def steps(self) -> int:
        """Number of steps: the offer and the trees."""
        return 1 + self.settings.n_estimators

    def shows(self, index: int) -> tuple[int, int]:
        """Return the most sums and bits that a host learns in a step; other cuts have other winners."""
        return 0, 0 if index <= self.settings.first_tree_local else self.settings.max_depth * len(self.labels)

    # --- recovery -----------------------------------------------------------------------------------------------------

    def state(self) -> bytes:
        """Return the key's primes, the seed, the scores and the trees so far."""
        primes = b"" if self.priv is None else b"".join(saved_key(self.priv))
        own = {
            "primes": np.frombuffer(primes, np.uint8),
            "seed": np.frombuffer(self.seed, np.uint8),
            "scores": self.scores,
            "shapes": self.shapes,
        }
        arrays = own | self.half.arrays()
        header = {"task": BOOSTING.name, "role": "guest", "arrays": described(arrays), "false": sorted(self.false)}
        return encode(Kind.VERTICAL_STATE, header, joined(arrays))

    def restore(self, state: bytes) -> None:
        """Return to a state."""
        got = state_of(state, BOOSTING.name, ("role", "arrays"), ("false",))
        field(got.header, "role", str, choices=("guest",))
        listed = field(got.header, "arrays", list)
        if len(listed) == len(_STATE | TYPES) - 1:
            raise FrameError(
                "the state of this training is of an earlier version, which did not keep the number of the hosts' "
                "columns: start the training again, under a new job name and with new state directories"
            )
        arrays = parted(listed, got.payload, _STATE | TYPES)
        hosts = self.shapes.shape
        self.half = Half.empty(0, 1, 0)
        for name in TYPES:
            setattr(self.half, name, arrays[name])
        self.half.check(self.settings, len(self.names))
        self.scores, self.seed, self.shapes = arrays["scores"], arrays["seed"].tobytes(), arrays["shapes"]
        if self.shapes.shape != hosts:
            raise FrameError("the state is of a training with another number of hosts")
        if "false" in got.header:  # what was found in a step that is taken again is not forgotten
            self.false |= set(field(got.header, "false", list, high=len(self.half.digests), items=int))
        primes = arrays["primes"].tobytes()
        half = len(primes) // 2
        self.priv = restored_key(primes[:half], primes[half:], self.priv) if primes else None

    # --- steps --------------------------------------------------------------------------------------------------------

    def step(self, links: Sequence[Link], index: int) -> None:
        """Make the offer, or grow the next tree."""
        if index == 0:
            self._offer(links)
            return
        tree = self._grown(links, index - 1)
        self.half, self.scores = self.half.extended_by(tree.half), self.scores + tree.half.value[0][tree.where]

    def _offer(self, links: Sequence[Link]) -> None:
        rows = len(self.labels)
        for link in links:
            # the smallest groups that hosts see are nodes
            link.authorise(
                BOOSTING.purpose,
                self.names,
                rows,
                min_rows=self.settings.min_samples_leaf,
                min_events=self.settings.min_events,
                min_others=self.settings.min_others,
                trees=self.settings.n_estimators,
                depth=self.settings.max_depth,
                sums=0,
                key_bits=self.settings.key_size,
            )
        priv = ephemeral_key(self.settings.key_size)
        for number, link in enumerate(links, 1):
            fields = {"rows": rows, "host": number, "settings": self.settings.agreed()}
            link.send("offer", fields, key_parts(priv, link, BOOSTING.name))
        shapes = np.zeros_like(self.shapes)
        for k, link in enumerate(links):
            said = link.receive("ready", ["rows", "columns", "max_bins"], parts=0).fields
            theirs = field(said, "rows", int)
            shapes[k, 0] = field(said, "columns", int, low=1, high=MAX_COLUMNS)
            shapes[k, 1] = field(said, "max_bins", int, low=2, high=255)
            if theirs != rows:
                raise ProtocolAbort(f"the guest has {rows} rows, the host {theirs}: align them first", party=link.peer)
            link.count("rows", rows)
        state = self.settings.random_state
        self.seed = os.urandom(32) if state is None else hashlib.sha256(f"bluetusk boosting {state}".encode()).digest()
        self.priv, self.shapes = priv, shapes
        if (book := auditing()) is not None:
            facts = {"settings": self.settings.to_fields(), "base": float(self.half.base[0])}
            book.note(BOOSTING.name, "labels", facts=facts, arrays={"labels": self.labels})

    def _grown(self, links: Sequence[Link], number: int) -> _Growth:
        s = self.settings
        local = s.first_tree_local and number == 0
        peers = [] if local else list(links)
        tree, book = self._start(number), auditing()
        if peers:
            assert self.priv is not None
            mask = np.packbits(tree.sampled).tobytes() if s.subsample < 1 else b""
            at = np.flatnonzero(tree.sampled)
            seed = None
            if book is not None:
                packed, about = self.layout.packed(tree.g[at], tree.h[at]), {"step": 1 + number}
                kept = {"scores": self.scores, "sampled": tree.sampled}
                pub = self.priv.public_key
                seed = book.array(pub, BOOSTING.name, "gradients", number, packed, facts=about, arrays=kept)
            data = self.layout.encrypted(self.priv, tree.g[at], tree.h[at], seed)
            for link in peers:
                link.send("gradients", {"rows": len(at)}, [mask, data])
                link.count("values_encrypted", len(at))
        level: list[int] = [0]
        told: list[int] = []  # the places that were split one level above
        for _ in range(s.max_depth):
            sizes = np.bincount(tree.where[tree.sampled], minlength=s.places)
            active = [place for place in level if sizes[place] >= 2 * s.min_samples_leaf]
            told = told if active else []
            below = (tree.where > 0) & np.isin((tree.where - 1) // 2, told)
            moved = np.packbits(tree.where[below] % 2 == 1).tobytes()
            for link in peers:
                link.send("level", {"active": active, "split": told}, [moved])
            if not active:
                break
            told = self._split(peers, tree, number, active)
            level = [child for place in told for child in (2 * place + 1, 2 * place + 2)]
        self._leaves(tree)
        if book is not None:
            half = {"value": tree.half.value[0], "party": tree.half.party[0], "sampled": tree.sampled}
            book.note(BOOSTING.name, "tree", number, arrays=half | {"where": tree.where.astype(np.int16)})
        return tree

    def _start(self, number: int) -> _Growth:
        """Draw the rows of a tree and compute their gradients."""
        s, rows = self.settings, len(self.labels)
        sampled = np.ones(rows, np.bool_)
        if s.subsample < 1:
            seed = hashlib.sha256(self.seed + number.to_bytes(8, "little")).digest()
            order = np.argsort(Stream(seed).uint64(rows), kind="stable")
            sampled[order[self.sample_size :]] = False
        p = probabilities(self.scores)
        unit = float(1 << s.frac_bits)
        g = np.rint((p - self.labels) * unit).astype(np.int64)
        h = np.rint(p * (1.0 - p) * unit).astype(np.int64)
        half = Half.empty(1, s.places, len(self.half.digests))
        half.digests = self.half.digests.copy()
        return _Growth(half, np.zeros(rows, np.int64), g, h, sampled)

    def _split(self, peers: Sequence[Link], tree: _Growth, number: int, active: list[int]) -> list[int]:
        """Choose the best split of each place and move its rows; return the places that were split."""
        s = self.settings
        totals = {place: self._total(tree, place) for place in active}
        mine = [self._own(tree, place) for place in active]
        # a host sees the sides of its own splits; those of others only if a level of splits follows
        seen = [bool(peers) and 2 * active[-1] + 2 < s.places // 2] + [True] * len(peers)
        sums = [[(g, h) for _, g, h in mine]]
        sizes = [int((tree.sampled & (tree.where == place)).sum()) for place in active]
        sums += [self._candidates(link, self.shapes[k], sizes) for k, link in enumerate(peers)]
        wanted: list[list[tuple[int, int, float]]] = [[] for _ in peers]
        owners: dict[int, int] = {}
        for k, place in enumerate(active):
            best, owner, chosen = s.min_gain, -1, -1
            for party, theirs in enumerate(sums):
                found = gains(*theirs[k], totals[place], s)
                if seen[party]:
                    better = np.flatnonzero(found > best)
                    cuts = None if party else mine[k][0]
                    found[better[~self._enough(tree, place, cuts, *theirs[k], better)]] = -np.inf
                top = float(found.max()) if len(found) else -np.inf
                if top > best:  # of equal ones the first party's, and the first in the order in which it sent them
                    best, owner, chosen = top, party, int(found.argmax())
            if owner < 0:
                continue
            owners[place] = owner
            tree.half.party[0, place], tree.half.gain[0, place] = owner, best
            if owner:
                wanted[owner - 1].append((k, chosen, best))
            else:
                self._take_own(tree, place, mine[k][0], chosen)
        for link, choices in zip(peers, wanted, strict=True):
            self._choose(link, active, choices)
        for party, (link, choices) in enumerate(zip(peers, wanted, strict=True), 1):
            if choices:
                opened = {}
                for k, index, _ in choices:
                    # of splits into the same two sides the host takes its first, which may be the mirror image
                    left, total = tuple(int(values[index]) for values in sums[party][k]), totals[active[k]]
                    opened[active[k]] = {left, (total[0] - left[0], total[1] - left[1])}
                self._take_theirs(link, party, tree, number, opened)
        return sorted(owners)

    def _total(self, tree: _Growth, place: int) -> tuple[int, int]:
        here = tree.sampled & (tree.where == place)
        return int(tree.g[here].sum()), int(tree.h[here].sum())

    def _own(self, tree: _Growth, place: int) -> tuple[Cuts, Ints, Ints]:
        """Return this party's splits of a place, and g and h of their left sides."""
        at = np.flatnonzero(tree.sampled & (tree.where == place))
        codes, width = self.codes[at], self.buckets.count + 1
        counts = counted(codes, width)
        everything = Allowed.everything(codes.shape[1], self.buckets.count)
        _, (cuts,) = offered(counts[None], everything, least=1, leaf=self.settings.min_samples_leaf)
        return cuts, plain_sums(tree.g[at], codes, width, cuts), plain_sums(tree.h[at], codes, width, cuts)

    def _enough(self, tree: _Growth, place: int, cuts: Cuts | None, g: Ints, h: Ints, chosen: Ints) -> Bools:
        """Return which of the chosen splits leave `min_events` and `min_others` on both sides.

        Of this party's own splits, `cuts`, the rows are known; of a host's, None, only the sums g and h on the left.
        """
        s, enough = self.settings, np.ones(len(chosen), np.bool_)
        at = np.flatnonzero(tree.sampled & (tree.where == place))
        unit, events, totals = 2.0**-s.frac_bits, self.labels[at], self._total(tree, place)
        for member, sign, least in ((events, -unit, s.min_events), (~events, unit, s.min_others)):
            if not least or not len(chosen):
                continue
            if cuts is not None:
                left = plain_sums(member.astype(np.int64), self.codes[at], self.buckets.count + 1, cuts)[chosen]
                fewest = np.minimum(left, int(member.sum()) - left).astype(np.float64)
            else:
                both_g, both_h = (np.r_[v[chosen], t - v[chosen]] for v, t in zip((g, h), totals, strict=True))
                found = least_of_class(member, sign * tree.g[at], unit * tree.h[at], sign * both_g, unit * both_h)
                fewest = found.reshape(2, -1).min(axis=0)
            enough &= fewest > least - 0.99  # counts are whole, and bounds at most 0.01 too high
        return enough

    def _candidates(self, link: Link, shape: NDArray[np.int32], sizes: list[int]) -> list[tuple[Ints, Ints]]:
        """Receive and open the sums of a host's splits, place by place; `sizes` are the rows of the places."""
        assert self.priv is not None
        columns, buckets = shape.tolist()
        pub, most = self.priv.public_key, [most_splits(columns, buckets, size) for size in sizes]
        largest = cipher_bytes(self.layout.slots(pub).blocks(sum(most)), pub.bits)
        message = link.receive("candidates", ["counts"], parts=1, most=min(largest, MOST_BYTES))
        counts = field(message.fields, "counts", list, length=len(sizes), items=int)
        if any(not 0 <= count <= high for count, high in zip(counts, most, strict=True)):
            raise FrameError(
                f"frame field 'counts' from {link.peer!r} is out of range: {columns} columns of at most {buckets} "
                f"buckets have fewer splits"
            )
        total = sum(counts)
        if not total:
            if message.parts[0]:
                raise FrameError("the host offered no splits but sent sums")
            return [(np.zeros(0, np.int64), np.zeros(0, np.int64)) for _ in counts]
        g, h = self.layout.unpacked(self.priv, message.parts[0], total, link.peer)
        link.count("sums_learned", 2 * total)
        ends = np.cumsum(counts)[:-1]
        return list(zip(np.split(g, ends), np.split(h, ends), strict=True))

    def _choose(self, link: Link, active: list[int], choices: list[tuple[int, int, float]]) -> None:
        """Send a host the splits that are taken, one at each place."""
        handles = [index for _, index, _ in choices]
        told = [gain for _, _, gain in choices] if self.settings.share_gain else []
        fields = {"places": [active[k] for k, _, _ in choices], "handles": [1] * len(choices)}
        link.send("choice", fields, [array_bytes(handles, "<u4"), array_bytes(np.array(told, float), "<f8")])

    def _take_own(self, tree: _Growth, place: int, cuts: Cuts, index: int) -> None:
        half = tree.half
        half.feature[0, place] = cuts.feature[index]
        half.threshold[0, place] = self.buckets.threshold(int(cuts.feature[index]), int(cuts.cut[index]))
        half.missing_left[0, place] = cuts.missing_left[index]
        here = np.flatnonzero(tree.where == place)
        left = cuts.goes_left(index, self.codes[here], self.buckets.count)
        tree.where[here] = np.where(left, 2 * place + 1, 2 * place + 2)

    def _take_theirs(
        self, link: Link, party: int, tree: _Growth, number: int, opened: dict[int, set[tuple[int, ...]]]
    ) -> None:
        """Receive a host's partitions and move the rows; note it if their sums are not those that were opened."""
        rows = {place: np.flatnonzero(tree.where == place) for place in opened}
        message = link.receive("partition", parts=1, most=-(-sum(map(len, rows.values())) // 8))
        bits = bits_from(message.parts[0], sum(map(len, rows.values())))
        link.count("bits_learned", len(bits))
        for place, chosen in opened.items():
            here = rows[place]
            left, bits = bits[: len(here)], bits[len(here) :]
            at = here[left & tree.sampled[here]]
            others = here[~left & tree.sampled[here]]
            if (int(tree.g[at].sum()), int(tree.h[at].sum())) not in chosen:
                self.false.add(party)  # in silence: the host may have made this depend on a label
            if min(len(at), len(others)) < self.settings.min_samples_leaf:
                raise ProtocolAbort("a partition leaves fewer rows than min_samples_leaf", party=link.peer)
            tree.where[here] = np.where(left, 2 * place + 1, 2 * place + 2)
            digests = tree.half.digests
            digests[party - 1] = extended(digests[party - 1], number, place, left)

    def _leaves(self, tree: _Growth) -> None:
        """Set the values of the leaves that rows have reached."""
        s = self.settings
        unit = float(1 << s.frac_bits)
        for place in np.unique(tree.where).tolist():
            g, h = self._total(tree, place)
            weight = h / unit + s.reg_lambda
            tree.half.value[0, place] = -s.learning_rate * (g / unit) / weight if weight > 0 else 0.0
