"""One party's half of the training of a shared logistic regression: its steps, state and fixed-point formats.

Each party brings its own columns into a form for which one step size fits all data (:mod:`.whitening`); weights and
gradients are those of that form until the end. Rows are taken in batches, in another order each epoch; the result is
the mean of the weights over an epoch's steps. The training ends when an epoch lowers the loss by too little; it then
returns the result of the epoch before: of the shared losses only that comparison is opened (:mod:`.comparing`).

Fixed point, in binary digits after the point: rows 12, weights 20, residuals 20, gradients 20
(``docs/how-to/logistic.md`` has the bounds). Scores are rows times weights, so they have 32; the linear sigmoid's
division by 8 is a matter of reading: three more. Truncations are local to each party (:func:`.ring.truncate`).
"""

from __future__ import annotations

import hashlib
import itertools
import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._numeric import Floats, Ints
from ..._random import SEED_BYTES, Stream
from ...errors import EncodingOverflow, FrameError, ProtocolAbort
from ...evidence.book import auditing
from ...paillier import PrivateKey, PublicKey
from ...paillier.ephemeral import ephemeral_key, restored_key, restored_peer_key, saved_key
from ...tasks import LOGISTIC, LOGISTIC_SCORES
from ...wire.frame import Kind, check_fields, decode, encode, field
from ..book import Book, beside, marks_of
from ..protocol.keys import KEY_PARTS, key_parts, peer_key
from ..protocol.link import Link, array_bytes, array_from
from ..protocol.sizes import KEY_BYTES, cipher_bytes
from ..protocol.state import inputs_of
from . import products, ring
from .columns import BinnedColumns, BinnedPeer, Bins, Columns, Peer, PlainColumns, PlainPeer
from .comparing import most_learned, negative
from .config import (
    CLASS_BITS,
    MOST_COLUMNS,
    MOST_ROWS,
    SLOPES,
    TOL_BITS,
    Config,
    HostBins,
    real_field,
)
from .curvature import curvature, standardised
from .half import COEF_BITS, ROW_BITS, Half, Points
from .ring import Ring
from .score import learned_bits, opened, scored, shared
from .whitening import Whitening, whitening

__all__ = ["LogisticJob"]

_PRODUCT_BITS = ROW_BITS + COEF_BITS
_CUBIC_BITS = 12  # of the scores in the cubic
_CUBIC_SCALE = 16  # of its coefficients
_CUBIC = (round(0.197 * (1 << _CUBIC_SCALE)), round(0.004 * (1 << _CUBIC_SCALE)))
_AHEAD_BITS = 16
_MEAN_BITS = 24  # of one over the steps of an epoch
_WORD = (1 << ring.RING_BITS) - 1
_PARTS = 17  # of a state
_LARGEST_BITS = 10
_STEP_BITS = 16  # of the learning rate over the rows of a batch, leading zeros not counted
_LARGEST_ROW = float(1 << (products.ENTRY_BITS - ROW_BITS)) - 2.0**-ROW_BITS
_CURVED = 1.75  # largest ratio of a batch's curvature to that of all rows; steps overshoot from 2 on
_MOST_CURVATURE = float(1 << 20)
_CURVATURE_BITS = 8
"""Bits of a bound of the curvature, one of 161 powers of 2^(1/8)."""
_MOST_STEPS = 4096
"""Steps on bins: the host bounds the curvature of each batch before it begins."""
_BINNED = (0.5, 2.0, 1.5)
"""Curvature of the guest's columns, and of the host's binned ones with one batch and with several.

Whitened columns need few steps, those of bins, which are not decorrelated, need longer ones. With one batch, steps run
ahead (:meth:`LogisticJob._ahead`) and are stable while the step times the curvature is below 4/3: here it is at most
(0.5 + 2) / 2. With several it must be below 2, and is at most 1.75 (0.5 + 1.5) / 2.
"""


class LogisticJob:
    """One party's half of the training; see :class:`~bluetusk.vertical.LogisticRegression`.

    Parameters
    ----------
    role : {"guest", "host"}
    table : ndarray of float64, shape (n, d)
        The party's rows.
    names : list of str
        Its columns, for its own observer.
    key_size : int
    config : Config, optional
        The guest's parameters; the host receives them.
    labels : ndarray of int64, shape (n,), optional
        The guest's, 0 or 1.
    class_weights : tuple of int, optional
        The guest's factors of the labels 0 and 1, with 16 fractional bits.
    seed : bytes, optional
        32 bytes that determine the order of rows. The guest's is fresh by default; if the host gives one, the guest's
        must be equal.
    held_back : ndarray of int64, optional
        Rows to hold back from the training, the same at both parties; by default the seed draws them.
    bins : HostBins, optional
        If the host's columns are binned; the host's `table` then holds codes.
    reveal : tuple of str
        At the host: what it agrees to open.
    ids : list of str, optional
        At the host: the ids of its rows, by which it will know those whose points were opened.
    expected : Config, optional
        At the host: the parameters that the guest must send.
    place : path-like, optional
        At the host: beside what its book of scored rows is to be, before points leave (:func:`.book.beside`).
    once : bytes
        Random bytes of a training that no keeper resumes: a policy counts its model as another one than that of any
        other training. Where it may be resumed, the link's session tells trainings apart.

    Attributes
    ----------
    held : ndarray of int64
        Rows held back from the training.
    scores : ndarray of float64 or None
        Joint scores of these rows, at the guest, at the end.
    """

    name = LOGISTIC.name
    purpose = LOGISTIC.purpose

    def __init__(
        self,
        role: str,
        table: NDArray[Any],
        names: Sequence[str],
        key_size: int,
        *,
        config: Config | None = None,
        labels: NDArray[np.int64] | None = None,
        class_weights: tuple[int, int] | None = None,
        seed: bytes | None = None,
        held_back: NDArray[np.int64] | None = None,
        bins: HostBins | None = None,
        reveal: tuple[str, ...] = (),
        ids: list[str] | None = None,
        expected: Config | None = None,
        place: str | os.PathLike[str] | None = None,
        once: bytes = b"",
    ) -> None:
        self.role, self.leader, self.ids, self.place, self.once = role, role == "guest", ids, place, once
        self.bins, self.reveal = bins, reveal if config is None else config.reveal
        self.curvature, self.values = 1.0, b""  # of the host's binned columns; their encrypted values
        self.table, self.names, self.key_size = table, list(names), key_size
        self.labels, self.class_weights = labels, class_weights
        known: tuple[Any, ...] = (reveal,) if bins is None else (reveal, bins.digest, *(bins.values or ()))
        known += () if ids is None else (ids,)
        self.inputs = inputs_of(table, list(names), key_size, config, labels, class_weights, seed, held_back, *known)
        self.config, self.chosen = config, held_back
        self.seed = (os.urandom(SEED_BYTES) if seed is None else seed) if self.leader else b""
        self.due = None if self.leader else seed
        self.expected = expected
        self.key: PrivateKey | None = None
        self.counted = bytes(32)  # the name under which this party's policy counts what the model scores
        self.peer: PublicKey | None = None
        self.own = self.theirs = ring.zeros(0)  # shares of this party's weights, of the other's
        self.last = (self.own, self.theirs)  # the weights after the last step; the next step may start ahead of them
        self.sums = self.result = (self.own, self.theirs)  # the epoch's sum of weights; the last good epoch's mean
        self.loss = self.before = 0  # shares of the sums of squared residuals: of this epoch, of the one before
        self.taken, self.stopped = 0, 0  # steps taken; the epoch after which it stopped, if it did
        self.shown: Ints | None = None  # this party's share of the points of the rows held back
        self.scores: NDArray[np.float64] | None = None
        self.opened: Ring | None = None  # this party's weights, if coefficients are opened
        self.units: Floats | None = None  # at the host of bins, if coefficients are opened: their units
        self._sides: tuple[Columns, Peer] | None = None
        self._order: tuple[int, NDArray[np.int64]] | None = None
        self._prepared: tuple[Config, bytes] | None = None
        if config is not None:
            self._prepare()

    @property
    def _agreed(self) -> Config:
        """The guest's settings, once they are known here."""
        assert self.config is not None
        return self.config

    def _prepare(self) -> None:
        """Divide the rows and whiten the columns, once the configuration and the seed are known."""
        n, config = len(self.table), self._agreed
        if self._prepared == (config, self.seed):
            return
        self._prepared = config, self.seed
        if self.chosen is None:
            seed = hashlib.sha256(b"bluetusk logistic held back" + self.seed).digest()
            self.held = np.sort(np.argsort(Stream(seed).uint64(n), kind="stable")[: config.held_back])
        else:
            self.held = self.chosen
        self.used = np.setdiff1d(np.arange(n), self.held)
        self._order = self._sides = None
        self.targets = np.zeros(0, np.int64) if self.labels is None else self.labels[self.used]
        self.whitening: Whitening | None = None
        self.unit = 1.0
        if self.bins is not None and not self.leader:
            steps = (self._rows_of(k) for k in range(self.batches * config.epochs if self.batches > 1 else 0))
            self.curvature = curvature(self.table[self.used], self.bins.counts, steps, _CURVED)
            self.matrix = self.table[self.used]
            return
        rows = self.table[self.used]
        self.whitening = whitening(rows, _LARGEST_ROW, centre=config.intercept)
        matrix = self.whitening.rows(rows)
        if config.intercept and self.leader:
            matrix = np.column_stack([matrix, np.ones(len(matrix))])
        self.unit = self._steady(matrix) * (1.0 if self.bins is None else math.sqrt(_BINNED[0]))
        self.matrix = np.rint(matrix * (self.unit * (1 << ROW_BITS))).astype(np.int64)

    def _steady(self, matrix: NDArray[np.float64]) -> float:
        """Return the factor on rows that keeps each batch's curvature within 1.75 times the bound for all rows.

        With heavy tails a few batches can have many times the curvature of all rows: steps that fit all rows would
        overshoot there and diverge. Scaled, the curvature of both parties' batches is at most 1.75 (1 + 1) s; times the
        step 1 / (2 s) that is below 2, where descent is stable.
        """
        if self.batches == 1:
            return 1.0
        most = 1.0
        for number in range(self.batches * self._agreed.epochs):
            part = matrix[self._rows_of(number)]
            most = max(most, float(np.linalg.eigvalsh(part.T @ part / len(part))[-1]))
        return min(1.0, math.sqrt(_CURVED / most))

    # --- the row of steps ---

    @property
    def batches(self) -> int:
        """Number of batches of an epoch; their sizes differ by at most one row."""
        return -(-(len(self.table) - self._agreed.held_back) // self._agreed.batch_size)

    @property
    def epochs(self) -> int:
        """Number of epochs, as far as is known now."""
        return self.stopped or self._agreed.epochs

    @property
    def steps(self) -> int:
        """Number of steps: set-up, batches, end, scores, a pause, their opening; 2 until the host knows the batches."""
        if self.config is None:
            return 2
        return 2 + self.batches * self.epochs + 3 * (self.config.held_back > 0)

    def step(self, links: Sequence[Link], index: int) -> None:
        """Take a step; the state changes only at its end. A guest in audit mode keeps what a replay needs."""
        (link,) = links
        book = auditing() if self.leader else None
        if book is None:
            self._step(link, index)
        else:
            facts, arrays = self._given(link) if index == 0 else ({}, {})
            with book.step(self.name, index, facts=facts, arrays=arrays) as link.heard:
                try:
                    self._step(link, index)
                finally:
                    link.heard = None
        self.taken = index + 1

    def _step(self, link: Link, index: int) -> None:
        if index == 0:
            self._set_up(link)
        elif index <= self.batches * self.epochs:
            self._batch(link, index - 1)
        elif index == self.batches * self.epochs + 1:
            self._finish(link)
        elif index == self.batches * self.epochs + 2:
            priv, pub = self._keys()
            link.count("rows", len(self.held))
            self.shown = scored(link, priv, pub, self.half, self.table[self.held], self.points, exact=self._exact)
        elif index == self.batches * self.epochs + 3:
            pass  # parties go back by one step at most: from the opening to here, where the shares are kept
        else:
            self._show(link)

    def _given(self, link: Link) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return what the guest brings into the training, for its audit book."""
        assert self.labels is not None
        config, bins = self._agreed, self.bins
        facts: dict[str, Any] = {"me": link.me, "peer": link.peer, "session": link.session.hex(), "signs": link.signs}
        facts |= {"config": config.to_fields(), "seed": self.seed.hex(), "key_size": self.key_size}
        facts |= {"class_weights": None if self.class_weights is None else list(self.class_weights)}
        matrix = np.zeros((len(self.table), self.matrix.shape[1]), np.int32)
        matrix[self.used] = self.matrix
        if len(self.held):
            matrix[self.held] = self.half.rows(self.table[self.held])
        arrays: dict[str, NDArray[Any]] = {"labels": self.labels.astype(np.int16), "held": self.held.astype(np.int64)}
        arrays["matrix"] = matrix
        if bins is not None:
            assert bins.values is not None
            facts |= {"bins": bins.name.hex(), "sizes": list(map(len, bins.counts))}
            arrays |= {"counts": np.concatenate(bins.counts), "values": np.concatenate(bins.values)}
        return facts, arrays

    def _new_key(self) -> PrivateKey:
        key = ephemeral_key(self.key_size)
        if self.leader and (book := auditing()) is not None:
            book.note(self.name, "key", arrays={"primes": np.frombuffer(b"".join(saved_key(key)), np.uint8)})
        return key

    def shows(self, index: int) -> tuple[int, int]:
        """Return the most sums and bits that the peer learns in a step: a bound, a comparison, what opens exactly."""
        if index == 0:  # of other batches another bound
            return 0, _CURVATURE_BITS if self.bins is not None and not self.leader else 0
        last = self.batches * self.epochs
        if index <= last:
            compared = self._agreed.tol > 0 and index > self.batches and index % self.batches == 0
            return 0, most_learned(not self.leader) * compared
        return len(self.theirs) if index == last + 1 and "coefficients" in self.reveal else 0, 0

    def _set_up(self, link: Link) -> None:
        rows, columns = len(self.table), len(self.names)
        key = self._new_key()
        parts = key_parts(key, link, LOGISTIC.name)
        about = {"rows": rows, "columns": columns}
        if self.leader:
            config, seed = self._agreed, self.seed
            about["columns"] += config.intercept
            self._authorise(link, config)
            link.send("setup", about | {"config": config.to_fields(), "seed": seed, "held": self._held_digest}, parts)
            got = link.receive("setup", ["rows", "columns", "bins", "curvature"], parts=KEY_PARTS, most=KEY_BYTES)
        else:
            got = link.receive("setup", ["rows", "columns", "config", "seed", "held"], parts=KEY_PARTS, most=KEY_BYTES)
            config = Config.from_fields(field(got.fields, "config", dict))
            seed = field(got.fields, "seed", bytes, length=SEED_BYTES)
            if self.due is not None and seed != self.due:
                raise ProtocolAbort("the guest's random_state differs from this host's", party=link.peer)
            self._check_rows(link, got.fields)  # before the rows held back, which differ with them
            if self.expected is not None:
                config.check_expected(self.expected, link.peer)
            self._authorise(link, config)
            self.config, self.seed = config, seed
            self._check_batches(link)
            self._prepare()
            if field(got.fields, "held", bytes, length=32) != self._held_digest:
                raise ProtocolAbort(
                    "the parties hold back other rows: give the same held_back to both", party=link.peer
                )
            link.send("setup", about | {"bins": self._bins_digest, "curvature": self.curvature.hex()}, parts)
        self._check_rows(link, got.fields)
        theirs = field(got.fields, "columns", int, low=1, high=MOST_COLUMNS + 1)
        peer = peer_key(got.parts, link, LOGISTIC.name)
        if self.expected is not None and peer.bits != self.key_size:
            raise ProtocolAbort(
                f"the guest trains with key_size = {peer.bits}, and {self.key_size} was agreed: give both the same",
                party=link.peer,
            )
        link.count("rows", rows)
        if self.leader:
            if field(got.fields, "bins", bytes, high=32) != self._bins_digest:
                raise ProtocolAbort(
                    "the parties do not train on the same bins: give both halves of one binning", party=link.peer
                )
            self.curvature = real_field(got.fields, "curvature", 1.0, _MOST_CURVATURE)
            if self.bins is not None:
                link.count("bits_learned", _CURVATURE_BITS)
        self.config, self.seed, self.key, self.peer = config, seed, key, peer
        self._prepare()
        if self.bins is not None:
            if self.leader:
                link.send("values", parts=[BinnedPeer(key, self._bins, self._worth()[0]).values()])
            else:
                most = cipher_bytes(self._bins.entries, peer.bits)
                self.values = bytes(link.receive("values", parts=1, most=most).parts[0])
        self.own, self.theirs = ring.zeros(self.matrix.shape[1]), ring.zeros(theirs)
        self.last = self.sums = self.result = (self.own, self.theirs)

    def _check_rows(self, link: Link, told: dict[str, Any]) -> None:
        rows, theirs = len(self.table), field(told, "rows", int, low=1, high=MOST_ROWS)
        if theirs != rows:
            raise ProtocolAbort(f"this party has {rows} rows, the other {theirs}: align them first", party=link.peer)

    def _authorise(self, link: Link, config: Config) -> None:
        """Ask the policy about everything that this training reveals, before any computation."""
        rows = len(self.table)
        if not config.held_back < rows:
            raise FrameError(f"frame field 'held_back' must be below the {rows} rows, not {config.held_back}")
        if self.chosen is not None and len(self.chosen) != config.held_back:
            raise ProtocolAbort(
                f"the guest holds back {config.held_back} rows, this host {len(self.chosen)}: give the same held_back",
                party=link.peer,
            )
        if config.binned != (self.bins is not None):
            raise ProtocolAbort(
                "one party trains on bins, the other does not: give both halves of the binning, or neither",
                party=link.peer,
            )
        if config.reveal != self.reveal:
            raise ProtocolAbort(
                f"the guest sets reveal={config.reveal!r}, this host {self.reveal!r}: agree on one", party=link.peer
            )
        if config.held_back and not self.leader and self.ids is None:
            raise ProtocolAbort(
                f"this host gives no ids, and the guest holds back {config.held_back} rows, whose points open at the "
                "end: give fit(..., ids=...), so that they are not scored again, or have the guest set calibrate=False",
                party=link.me,
            )
        opened = {"reveal": config.reveal} if config.reveal else {}
        said = repr(sorted(config.to_fields().items())).encode()
        # the same when the set-up is taken again, so that a policy sees the same use, and another in another training
        run = hashlib.sha256(link.session).digest() + self.once
        self.counted = hashlib.sha256(b"bluetusk logistic counted" + self.inputs + run + said).digest()
        # the peer sees a comparison after each epoch but the first, and in any case that the training goes on
        bits = max(1, most_learned(not self.leader) * (config.epochs - 1) * (config.tol > 0)) + self.shows(0)[1]
        link.authorise(LOGISTIC.purpose, self.names, rows, epochs=config.epochs, bits=bits, **opened)
        if config.held_back:
            exact = "scores" in config.reveal
            more = {"bits": config.held_back * learned_bits(exact), "model": self.counted}
            more |= {"reveal": ("scores",)} if exact else {}
            link.authorise(LOGISTIC_SCORES.purpose, self.names, config.held_back, **more)

    def _finish(self, link: Link) -> None:
        """Keep the result's shares; if both have agreed to it, open each party's coefficients to it."""
        share, theirs = self.result
        if "coefficients" in self._agreed.reveal:
            units = self._worth()[2] if self.leader and self.bins is not None else np.zeros(0)
            link.send("coefficients", parts=[ring.to_bytes(theirs), array_bytes(units, "<f8")])
            bins = len(share) if self.bins is not None and not self.leader else 0
            got = link.receive("coefficients", parts=2, most=ring.WORD_BYTES * len(share) + 8 * bins)
            if len(got.parts[0]) != ring.WORD_BYTES * len(share):
                raise FrameError(f"message 'coefficients' must contain {len(share)} shares")
            self.units = array_from(got.parts[1], "<f8", (bins,))
            if not np.isfinite(self.units).all():
                raise FrameError(f"message 'coefficients' from {link.peer!r} holds a unit that is not finite")
            self.opened = ring.words((share + ring.from_bytes(got.parts[0])).tolist())
            if any(abs(v) >> (COEF_BITS + _LARGEST_BITS) for v in ring.centred(self.opened)):
                raise EncodingOverflow(
                    'the training diverged: leave out learning_rate or lower it, and use sigmoid="linear"'
                )
            link.count("values_revealed", len(theirs))
            link.count("sums_learned", len(share))
        self.own, self.theirs = share, theirs

    def _show(self, link: Link) -> None:
        """Open the points of the rows held back to the guest."""
        assert self.shown is not None
        if not self.leader:
            self.book(create=True)  # on disk before the points leave
        values = shared(link, self.shown, self.leader, exact=self._exact)
        if values is not None:
            assert self.points is not None
            self.scores = opened(values, self.points, exact=self._exact)

    def book(self, *, create: bool) -> Book:
        """Return the book of scored rows, in which the host's held back are noted with the share that opens.

        A share that was computed anew, from an older state, is another rounding: a book on disk refuses it.
        """
        book = Book(self.half, self.model)
        if self.shown is not None and self.ids is not None:
            if self.place is not None:
                book.keep(beside(self.place, self.model), create=create)
            book.take(marks_of(self.model, [self.ids[k] for k in self.held.tolist()]), self.shown.tobytes())
        return book

    @property
    def _held_digest(self) -> bytes:
        return hashlib.sha256(b"bluetusk held back" + array_bytes(self.held, "<i8")).digest()

    def _check_batches(self, link: Link) -> None:
        """Refuse, at the host of bins, more steps than it can bound the curvature of."""
        steps = self.batches * self._agreed.epochs
        if self.bins is not None and self.batches > 1 and steps > _MOST_STEPS:
            raise ProtocolAbort(
                f"{steps} steps on bins are more than {_MOST_STEPS}: raise batch_size, or lower epochs",
                party=link.peer,
            )

    # --- the half ---

    @property
    def _exact(self) -> bool:
        return "scores" in self._agreed.reveal

    @property
    def _bins(self) -> Bins:
        assert self.bins is not None
        return Bins(tuple(map(len, self.bins.counts)))

    @property
    def _bins_digest(self) -> bytes:
        return b"" if self.bins is None else self.bins.digest

    def _worth(self) -> tuple[Ints, Floats, Floats]:
        """Return the value of each entry of the host's bins in fixed point, and the means and units of the columns."""
        assert self.bins is not None
        assert self.bins.values is not None
        entries, means, units = [], [], []
        bound = self.curvature / (_BINNED[1] if self.batches == 1 else _BINNED[2])
        for values, counts in zip(self.bins.values, self.bins.counts, strict=True):
            moved, mean, unit = standardised(values, counts, bound, _LARGEST_ROW)
            entries.append(np.append(moved, 0.0))  # a value not seen counts as the mean: the bound holds for it, too
            means.append(mean)
            units.append(unit)
        worth = np.rint(np.concatenate(entries) * (1 << ROW_BITS)).astype(np.int64)
        return worth, np.array(means), np.array(units)

    @property
    def half(self) -> Half:
        """The half of the model, at the end."""
        bins = None if self.bins is None else self._bins
        worth = self._worth()[0] if self.leader and self.bins is not None else None
        intercept = self._agreed.intercept
        return Half(self.role, self.own, self.theirs, self.whitening, self.unit, intercept, bins, worth)

    @property
    def points(self) -> Points | None:
        """The guest's scale of points."""
        if self.labels is None:
            return None
        low, high = self.class_weights or (1, 1)
        events, others = high * int(self.targets.sum()), low * int(len(self.targets) - self.targets.sum())
        slope = SLOPES[self._agreed.sigmoid]
        return Points.of(events / max(events + others, 1), slope, intercept=self._agreed.intercept)

    @property
    def model(self) -> bytes:
        """32 bytes that identify this training, the same at both parties."""
        priv, pub = self._keys()
        keys = sorted([priv.public_key.fingerprint, pub.fingerprint])
        return hashlib.sha256(b"bluetusk logistic model" + self.seed + b"".join(keys)).digest()

    @property
    def coefficients(self) -> tuple[NDArray[np.float64], float] | None:
        """Coefficients and constant for this party's original columns, if they were opened to it.

        At the host of binned columns they are those of the guest's weights of evidence, and the constant is 0: of the
        means by which the training has centred these it does not know.
        """
        if self.opened is None:
            return None
        weights = np.array(ring.centred(self.opened), dtype=np.float64) / (1 << COEF_BITS)
        if self.whitening is None:
            assert self.units is not None
            return weights * self.units, 0.0
        coefficients, constant = self.whitening.coefficients(weights[: len(self.names)] * self.unit)
        return coefficients, constant + float(weights[len(self.names) :].sum()) * self.unit

    @property
    def rate(self) -> float:
        """The step size: the inverse of the largest curvature that any columns of both parties can have.

        Each party's rows U satisfy U'U / n <= I, so the curvature of both together is at most 2 s, s the sigmoid's
        slope; see :data:`_BINNED` for binned columns.
        """
        if self._agreed.learning_rate is not None:
            return self._agreed.learning_rate
        return 1.0 / (2.0 * SLOPES[self._agreed.sigmoid] + self._agreed.l2)

    # --- one batch ---

    def _rows_of(self, number: int) -> NDArray[np.int64]:
        """Return the rows of a batch: each epoch has a new order, which both parties derive from the seed."""
        epoch, batch = divmod(number, self.batches)
        n = len(self.used)
        if self._order is None or self._order[0] != epoch:
            seed = hashlib.sha256(b"bluetusk logistic order" + self.seed + epoch.to_bytes(8, "little")).digest()
            self._order = epoch, np.argsort(Stream(seed).uint64(n), kind="stable")
        return self._order[1][n * batch // self.batches : n * (batch + 1) // self.batches]

    def _batch(self, link: Link, number: int) -> None:
        config = self._agreed
        rows = self._rows_of(number)
        residuals = self._residuals(link, self._scores(link, rows), rows)
        pulls = residuals if not config.weighted else self._weighed(link, residuals, rows)
        own, theirs, loss = self._gradients(link, rows, pulls, residuals)
        own, theirs = self._moved(self.own, own, len(rows), True), self._moved(self.theirs, theirs, len(rows), False)
        sums = ring.words((self.sums[0] + own).tolist()), ring.words((self.sums[1] + theirs).tolist())
        last = own, theirs
        if self.batches == 1:
            own, theirs = self._ahead(own, self.last[0], number), self._ahead(theirs, self.last[1], number)
        loss, before, result, stopped = (self.loss + loss) & _WORD, self.before, self.result, 0
        epoch, batch = divmod(number, self.batches)
        if batch == self.batches - 1:
            if config.tol and epoch and self._enough(link, before, loss):
                stopped = epoch + 1
            else:
                result = self._mean(sums[0]), self._mean(sums[1])
            sums = ring.zeros(len(own)), ring.zeros(len(theirs))
            loss, before = 0, loss
        self.own, self.theirs, self.last, self.sums, self.result = own, theirs, last, sums, result
        self.loss, self.before, self.stopped = loss, before, stopped

    def _ahead(self, weights: Ring, last: Ring, number: int) -> Ring:
        """Return this party's share of the point from which the next step is taken: ahead of the weights.

        Used when steps take all rows and are exact; where the parties' columns are nearly the same, it saves most steps
        (Y. Nesterov, Soviet Mathematics Doklady 27, 1983).
        """
        factor = round((number + 1) / (number + 4) * (1 << _AHEAD_BITS))
        moved = ring.truncate(ring.words(((weights - last) * factor).tolist()), _AHEAD_BITS, self.leader)
        return ring.words((weights + moved).tolist())

    def _enough(self, link: Link, before: int, now: int) -> bool:
        """Open whether an epoch lowered the loss by less than the share `tol`: (before - now) < tol now."""
        one = 1 << TOL_BITS
        share = before * one - now * (one + max(1, round(self._agreed.tol * one)))
        link.count("bits_learned", most_learned(self.leader))
        return negative(link, share & _WORD, self.leader, *self._keys())

    def _mean(self, sums: Ring) -> Ring:
        """Return this party's share of the mean over an epoch's steps."""
        factor = round((1 << _MEAN_BITS) / self.batches)
        return ring.truncate(ring.words((sums * factor).tolist()), _MEAN_BITS, self.leader)

    def _keys(self) -> tuple[PrivateKey, PublicKey]:
        assert self.key is not None
        assert self.peer is not None
        return self.key, self.peer

    def _exchange(self, link: Link, topic: str, parts: Sequence[bytes], most: int) -> list[memoryview]:
        link.send(topic, parts=parts)
        return link.receive(topic, parts=len(parts), most=most).parts

    def _columns(self) -> tuple[Columns, Peer]:
        """Return this party's columns and the other's, in the products of the training."""
        if self._sides is None:
            priv, pub = self._keys()
            mine: Columns
            peer: Peer
            if self.bins is not None and not self.leader:
                mine = BinnedColumns(self._bins, self.matrix, pub, self.values)
            else:
                mine = PlainColumns(self.matrix, pub, guest=self.leader)
            if self.bins is not None and self.leader:
                peer = BinnedPeer(priv, self._bins, self._worth()[0])
            else:
                peer = PlainPeer(priv, len(self.theirs), guest=self.leader)
            self._sides = mine, peer
        return self._sides

    def _scores(self, link: Link, rows: NDArray[np.int64]) -> Ring:
        """Return this party's share of the scores: all rows times all weights."""
        mine, peer = self._columns()
        own, theirs = (key.bits for key in (self._keys()[0].public_key, self._keys()[1]))
        (got,) = self._exchange(link, "weights", peer.weights(self.theirs, None), cipher_bytes(mine.words, theirs))
        link.count("values_encrypted", peer.words)
        share, message = mine.scores(rows, mine.weighted(self.own, [got], None))
        (got,) = self._exchange(link, "scores", [message], cipher_bytes(len(rows), own))
        return ring.words((share + peer.open_scores(len(rows), got, None)).tolist())

    def _residuals(self, link: Link, scores: Ring, rows: NDArray[np.int64]) -> Ring:
        """Return this party's share of sigmoid(z) - y."""
        if self._agreed.sigmoid == "linear":
            values, bits = scores, _PRODUCT_BITS + 3
        else:
            values, bits = self._cubic(link, ring.truncate(scores, _PRODUCT_BITS - _CUBIC_BITS, self.leader))
        if self.leader:
            values = ring.words((values + (1 - 2 * self.targets[rows]).astype(object) * (1 << (bits - 1))).tolist())
        return ring.truncate(values, bits - COEF_BITS, self.leader)

    def _cubic(self, link: Link, z: Ring) -> tuple[Ring, int]:
        """Return this party's share of 0.197 z - 0.004 z^3, and its fractional bits.

        With z = a + b, the guest's share and the host's: z^3 = a^3 + b^3 + 3 a^2 b + 3 a b^2. The guest encrypts 3 a^2
        and 3 a, the host multiplies by b and b^2.
        """
        priv, pub = self._keys()
        n, bits = len(z), 3 * _CUBIC_BITS
        ours = z.tolist()
        if self.leader:
            powers = [ring.words(3 * a * a for a in ours), ring.words(3 * a for a in ours)]
            parts = [products.encrypted(priv, power) for power in powers]
            link.send("powers", parts=parts)
            link.count("values_encrypted", 2 * n)
            layout = products.values_layout(priv.public_key.bits, ring.RING_BITS)
            most = cipher_bytes(n, priv.public_key.bits)
            crossed = products.open_places(priv, link.receive("cubes", parts=1, most=most).parts[0], n, layout)
        else:
            got = link.receive("powers", parts=2, most=cipher_bytes(2 * n, pub.bits, 2)).parts
            encrypted = [products.receive_encrypted(part, pub, n) for part in got]
            factors = [ring.centred(z), ring.centred(ring.words(b * b for b in ours))]
            layout = products.values_layout(pub.bits, ring.RING_BITS)
            crossed, message = products.values_times(list(zip(encrypted, factors, strict=True)), n, layout)
            link.send("cubes", parts=[message])
        one, three = _CUBIC
        share = [
            (one << (2 * _CUBIC_BITS)) * v - three * (v * v * v + c)
            for v, c in zip(ours, crossed.tolist(), strict=True)
        ]
        return ring.words(share), bits + _CUBIC_SCALE

    def _weighed(self, link: Link, residuals: Ring, rows: NDArray[np.int64]) -> Ring:
        """Return this party's share of the residuals times the class weights, which only the guest knows."""
        priv, pub = self._keys()
        n = len(residuals)
        if self.leader:
            assert self.class_weights is not None
            weights = [self.class_weights[label] for label in self.targets[rows].tolist()]
            most = cipher_bytes(n, pub.bits)
            c = products.receive_encrypted(link.receive("to weigh", parts=1, most=most).parts[0], pub, n)
            layout = products.values_layout(pub.bits, CLASS_BITS + 1)
            crossed, message = products.values_times([(c, weights)], n, layout)
            link.send("weighed", parts=[message])
            share = crossed + residuals * np.array(weights, dtype=object)
        else:
            link.send("to weigh", parts=[products.encrypted(priv, residuals)])
            link.count("values_encrypted", n)
            layout = products.values_layout(priv.public_key.bits, CLASS_BITS + 1)
            most = cipher_bytes(n, priv.public_key.bits)
            share = products.open_places(priv, link.receive("weighed", parts=1, most=most).parts[0], n, layout)
        return ring.truncate(ring.words(share.tolist()), CLASS_BITS, self.leader)

    def _gradients(self, link: Link, rows: NDArray[np.int64], pulls: Ring, residuals: Ring) -> tuple[Ring, Ring, int]:
        """Return this party's shares of both gradients, and of the sum of pulls times residuals (0 if unneeded)."""
        mine, peer = self._columns()
        tracked = self._agreed.tol > 0
        priv, pub = self._keys()
        got = self._exchange(link, "residuals", peer.residuals(pulls, tracked), cipher_bytes(len(pulls), pub.bits))
        link.count("values_encrypted", len(pulls))
        own, messages, loss = mine.gradients(rows, pulls, residuals if tracked else None, got)
        link.send("gradients", parts=messages)
        parts = peer.parts + tracked
        most = cipher_bytes(peer.words + peer.width + 1, priv.public_key.bits, parts)
        got = link.receive("gradients", parts=parts, most=most).parts
        theirs, crossed = peer.open_gradients(len(rows), got, tracked)
        if tracked:
            loss += crossed + sum(u * r for u, r in zip(pulls.tolist(), residuals.tolist(), strict=True))
        return own, theirs, loss

    def _moved(self, weights: Ring, gradient: Ring, n: int, own: bool) -> Ring:
        """Return this party's share of the weights after the step: w - rate (gradient / n + l2 w).

        The gradient's shares are uniform modulo 2^96, after the first truncation below 2^84 in size; multiplied by the
        rate of 16 bits they cover Z_2^96 evenly again, which the second truncation needs.
        """
        rate = self.rate / n
        shift = _STEP_BITS - math.frexp(rate)[1]
        step, decay = (round(math.ldexp(part, shift)) for part in (rate, self.rate * self._agreed.l2))
        decays = [decay] * len(weights)
        if self._agreed.intercept and own == self.leader:
            decays[-1] = 0  # the guest's last column is 1: its weight is the intercept
        pulled = ring.truncate(gradient, ROW_BITS, self.leader) * step + weights * np.array(decays, dtype=object)
        return ring.words((weights - ring.truncate(ring.words(pulled.tolist()), shift, self.leader)).tolist())

    # --- the state ---

    def state(self) -> bytes:
        """Return everything that the steps so far have changed, one frame; the same bytes for the same state."""
        header: dict[str, Any] = {
            "task": self.name,
            "role": self.role,
            "taken": self.taken,
            "stopped": self.stopped,
            "seed": self.seed,
            "config": {} if self.config is None else self.config.to_fields(),
            "curvature": self.curvature.hex(),
            "counted": self.counted,
        }
        parts = [b"", b"", b""]
        if self.key is not None and self.peer is not None:
            parts = [*saved_key(self.key), self.peer.to_bytes()]
        pairs = (self.own, self.theirs), self.last, self.sums, self.result
        parts += [ring.to_bytes(share) for pair in pairs for share in pair]
        parts.append(ring.to_bytes(ring.words([self.loss, self.before])))
        parts.append(b"" if self.scores is None else self.scores.astype("<f8").tobytes())
        parts.append(b"" if self.shown is None else self.shown.astype("<i8").tobytes())
        parts += [self.values, b"" if self.opened is None else ring.to_bytes(self.opened)]
        parts.append(b"" if self.units is None else self.units.astype("<f8").tobytes())
        header["parts"] = [len(part) for part in parts]
        return encode(Kind.VERTICAL_STATE, header, b"".join(parts))

    def restore(self, state: bytes) -> None:
        """Return to a state of this job."""
        got = decode(state, Kind.VERTICAL_STATE)
        head = got.header
        check_fields(head, ("task", "role", "taken", "stopped", "seed", "config", "parts", "curvature", "counted"))
        if head["task"] != self.name or head["role"] != self.role:
            raise FrameError(f"the state is of {head['task']!r} at the {head['role']}, not of {self.name!r} here")
        lengths = field(head, "parts", list, high=_PARTS, items=int)
        if len(lengths) != _PARTS or min(lengths) < 0 or sum(lengths) != len(got.payload):
            raise FrameError("frame field 'parts' does not add up to the payload")
        ends = np.cumsum([0, *lengths]).tolist()
        p, q, peer, *shares, losses, scores, shown, values, weights, units = (
            bytes(got.payload[a:b]) for a, b in itertools.pairwise(ends)
        )
        told = field(head, "config", dict)
        self.config = Config.from_fields(told) if told else None
        self.seed, self._order = field(head, "seed", bytes), None
        columns = 0
        if self.config is not None:
            self._prepare()
            columns = self.matrix.shape[1]
        if any(len(share) not in (0, ring.WORD_BYTES * columns) for share in shares[::2]):
            raise FrameError(f"the state does not have {columns} columns")
        self.key = restored_key(p, q, self.key) if p else None
        self.peer = restored_peer_key(peer) if peer else None
        own, theirs, *more = (ring.from_bytes(share) for share in shares)
        self.own, self.theirs = own, theirs
        self.last, self.sums, self.result = (more[0], more[1]), (more[2], more[3]), (more[4], more[5])
        self.loss, self.before = ring.from_bytes(losses).tolist()
        self.scores = array_from(scores, "<f8", (len(self.held),)) if scores else None
        self.shown = array_from(shown, "<i8", (len(self.held),)).astype(np.int64) if shown else None
        self.counted = field(head, "counted", bytes, length=32)
        self.values, self.curvature = values, real_field(head, "curvature", 1.0, _MOST_CURVATURE)
        self.opened = ring.from_bytes(weights) if weights else None
        self.units = array_from(units, "<f8", (len(units) // 8,)).copy() if self.opened is not None else None
        self._sides = None
        self.taken, self.stopped = field(head, "taken", int, low=0), field(head, "stopped", int, low=0)
