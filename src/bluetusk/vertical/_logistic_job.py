"""The training of a shared logistic regression, one party's half: its steps, its state, its fixed point.

Fixed point, in binary digits after the point: rows 12, weights 20, residuals 20, gradients 20 (``docs/vertical/
logistic.md`` has the bounds). Scores are rows times weights, so they have 32; the linear sigmoid's division by 8 is a
matter of reading: three more. Truncations are local to each party (:func:`._ring.truncate`).
"""

from __future__ import annotations

import hashlib
import itertools
import math
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._random import SEED_BYTES, Stream
from ..errors import EncodingOverflow, FrameError, ProtocolAbort
from ..wire.frame import Kind, check_fields, decode, encode, field
from . import _products as products
from . import _ring as ring
from ._link import Link
from ._ring import Ring
from ._state import inputs_of

if TYPE_CHECKING:
    from ..paillier import PrivateKey, PublicKey

__all__ = ["COEF_BITS", "LARGEST_BITS", "MOST_COLUMNS", "ROW_BITS", "TASK", "Config", "LogisticJob"]

TASK = "logistic_regression"
"""The task, and the purpose that owners are asked for."""

ROW_BITS = 12
"""Fractional bits of the rows; with 6 bits before the point they stay below 2^18."""
COEF_BITS = 20
"""Fractional bits of the weights; residuals and gradients have as many."""
CLASS_BITS = 8
"""Fractional bits of class weights, which are below 2^8."""

_SCORE_BITS = ROW_BITS + COEF_BITS
_CUBIC_BITS = 12  # of the scores in the cubic
_CUBIC_SCALE = 16  # of its coefficients
_CUBIC = (round(0.197 * (1 << _CUBIC_SCALE)), round(0.004 * (1 << _CUBIC_SCALE)))
_LOSS_BITS = 16  # of what is revealed of an epoch's loss
_STEP_BITS = 16  # of the learning rate over the rows of a batch, leading zeros not counted
LARGEST_BITS = 10
"""Coefficients stay below 2^10."""
MOST_COLUMNS = 8000
"""Their names fit a header, and sums over them fit 64 bits where scores are computed in the plain."""
_MOST_ROWS = 1 << 32
_MOST_BATCH = 1 << 16
_MOST_EPOCHS = 1000
_RATES = (2.0**-20, 64.0)

SIGMOIDS = ("linear", "cubic")


@dataclass(frozen=True)
class Config:
    """What the guest decides about a training, and the host is told."""

    epochs: int
    batch_size: int
    learning_rate: float
    l2: float
    sigmoid: str
    weighted: bool
    intercept: bool
    tol: float | None

    def to_fields(self) -> dict[str, Any]:
        """Return it as values of a header: floats as hexadecimal text, no tolerance as ""."""
        told = {f.name: getattr(self, f.name) for f in fields(self)}
        told |= {name: float.hex(told[name]) for name in ("learning_rate", "l2")}
        return told | {"tol": "" if self.tol is None else float.hex(self.tol)}

    @classmethod
    def from_fields(cls, told: dict[str, Any]) -> Config:
        """Check what another party or a file says."""
        check_fields(told, [f.name for f in fields(cls)])
        tol = field(told, "tol", str, high=32)
        config = cls(
            field(told, "epochs", int, low=1, high=_MOST_EPOCHS),
            field(told, "batch_size", int, low=1, high=_MOST_BATCH),
            _real(told, "learning_rate", *_RATES),
            _real(told, "l2", 0.0, 1.0),
            field(told, "sigmoid", str, choices=SIGMOIDS),
            field(told, "weighted", bool),
            field(told, "intercept", bool),
            None if not tol else _real(told, "tol", 0.0, 1.0),
        )
        if config.to_fields() != told:
            raise FrameError("the frame's real numbers are not in their one form")
        return config


def _real(told: dict[str, Any], name: str, low: float, high: float) -> float:
    text = field(told, name, str, high=32)
    try:
        value = float.fromhex(text)
    except (ValueError, OverflowError):
        raise FrameError(f"frame field {name!r} is no number") from None
    if not low <= value <= high:
        raise FrameError(f"frame field {name!r} is {value:g}, beyond {low:g} to {high:g}")
    return value


class LogisticJob:
    """One party's half of the training; see :class:`~bluetusk.vertical.LogisticRegression`.

    Parameters
    ----------
    role : {"guest", "host"}
    matrix : ndarray of int64, shape (n, d)
        The party's rows in fixed point; the guest's last column is 1 if there is an intercept.
    names : list of str
        Its columns, for its own observer.
    key_size : int
    config : Config, optional
        The guest's; the host gets it.
    labels : ndarray of int64, shape (n,), optional
        The guest's, 0 or 1.
    class_weights : tuple of int, optional
        The guest's factors of the labels 0 and 1, with 8 fractional bits.
    seed : bytes, optional
        Of the order of rows, 32 bytes; the guest's, fresh by default.
    """

    name = TASK

    def __init__(
        self,
        role: str,
        matrix: NDArray[np.int64],
        names: Sequence[str],
        key_size: int,
        *,
        config: Config | None = None,
        labels: NDArray[np.int64] | None = None,
        class_weights: tuple[int, int] | None = None,
        seed: bytes | None = None,
    ) -> None:
        self.role, self.leader = role, role == "guest"
        self.matrix, self.names, self.key_size = matrix, list(names), key_size
        self.labels, self.class_weights = labels, class_weights
        self.inputs = inputs_of(matrix, list(names), key_size, config, labels, class_weights, seed)
        self.config = config
        self.seed = (os.urandom(SEED_BYTES) if seed is None else seed) if self.leader else b""
        self.key: PrivateKey | None = None
        self.peer: PublicKey | None = None
        self.own, self.theirs = ring.zeros(matrix.shape[1]), ring.zeros(0)
        self.loss, self.losses = 0, list[int]()
        self.taken, self.stopped = 0, False
        self._order: tuple[int, NDArray[np.int64]] | None = None

    # --- the row of steps ---

    @property
    def batches(self) -> int:
        """Batches of an epoch, of equal size but for one row."""
        assert self.config is not None
        return -(-len(self.matrix) // self.config.batch_size)

    @property
    def steps(self) -> int:
        """The set-up, the batches and the exchange of coefficients; 2 until the host knows how many batches."""
        if self.config is None:
            return 2
        epochs = len(self.losses) if self.stopped else self.config.epochs
        return 2 + self.batches * epochs

    def step(self, links: Sequence[Link], index: int) -> None:
        """Take a step: all that it changes is set at its end."""
        (link,) = links
        if index == 0:
            self._set_up(link)
        elif index == self.steps - 1:
            self._finish(link)
        else:
            self._batch(link, index - 1)
        self.taken = index + 1

    def _set_up(self, link: Link) -> None:
        from ..paillier import PublicKey

        rows, columns = self.matrix.shape
        key = _new_key(self.key_size)
        about = {"rows": rows, "columns": columns}
        parts = [key.public_key.to_bytes()]
        if self.leader:
            assert self.config is not None
            self._authorise(link, self.config)
            link.send("setup", about | {"config": self.config.to_fields(), "seed": self.seed}, parts)
            got = link.receive("setup", ["rows", "columns"], parts=1)
            config, seed = self.config, self.seed
        else:
            got = link.receive("setup", ["rows", "columns", "config", "seed"], parts=1)
            config = Config.from_fields(field(got.fields, "config", dict))
            seed = field(got.fields, "seed", bytes, length=SEED_BYTES)
            self._authorise(link, config)
            link.send("setup", about, parts)
        if field(got.fields, "rows", int, low=1, high=_MOST_ROWS) != rows:
            raise ProtocolAbort(
                f"this party has {rows} rows, the other {got.fields['rows']}: align them first", party=link.peer
            )
        theirs = field(got.fields, "columns", int, low=1, high=MOST_COLUMNS + 1)
        peer = PublicKey.from_bytes(got.parts[0])
        link.count("rows", rows)
        self.config, self.seed, self.key, self.peer, self._order = config, seed, key, peer, None
        self.theirs = ring.zeros(theirs)

    def _authorise(self, link: Link, config: Config) -> None:
        link.authorise(TASK, self.names, len(self.matrix), epochs=config.epochs)

    def _finish(self, link: Link) -> None:
        link.send("coefficients", parts=[ring.to_bytes(self.theirs)])
        got = link.receive("coefficients", parts=1)
        if len(got.parts[0]) != ring.WORD_BYTES * len(self.own):
            raise FrameError(f"message 'coefficients' holds no {len(self.own)} shares")
        own = ring.words((self.own + ring.from_bytes(got.parts[0])).tolist())
        if any(abs(v) >> (COEF_BITS + LARGEST_BITS) for v in ring.centred(own)):
            raise EncodingOverflow("the coefficients left the fixed point: train with a smaller learning_rate")
        self.own, self.theirs = own, ring.zeros(len(self.theirs))

    @property
    def model(self) -> bytes:
        """Names this training: the same at both parties, 32 bytes."""
        assert self.config is not None
        priv, pub = self._keys()
        keys = sorted([priv.public_key.fingerprint, pub.fingerprint])
        return hashlib.sha256(b"bluetusk logistic model" + self.seed + b"".join(keys)).digest()

    @property
    def reported(self) -> list[float]:
        """The losses that were opened."""
        return [v / (1 << _LOSS_BITS) for v in self.losses]

    @property
    def coefficients(self) -> NDArray[np.float64]:
        """The coefficients of this party's columns, after the last step."""
        return np.array(ring.centred(self.own), dtype=np.float64) / (1 << COEF_BITS)

    # --- one batch ---

    def _rows_of(self, number: int) -> NDArray[np.int64]:
        """Return the rows of a batch: each epoch is cut from an order of its own, which the seed gives both parties."""
        epoch, batch = divmod(number, self.batches)
        n = len(self.matrix)
        if self._order is None or self._order[0] != epoch:
            seed = hashlib.sha256(b"bluetusk logistic order" + self.seed + epoch.to_bytes(8, "little")).digest()
            self._order = epoch, np.argsort(Stream(seed).uint64(n), kind="stable")
        return self._order[1][n * batch // self.batches : n * (batch + 1) // self.batches]

    def _batch(self, link: Link, number: int) -> None:
        assert self.config is not None
        config = self.config
        rows = self._rows_of(number)
        matrix = np.ascontiguousarray(self.matrix[rows])
        residuals = self._residuals(link, self._scores(link, matrix), rows)
        pulls = residuals if not config.weighted else self._weighed(link, residuals, rows)
        own, theirs, loss = self._gradients(link, matrix, pulls, residuals)
        own, theirs = self._moved(self.own, own, len(rows), True), self._moved(self.theirs, theirs, len(rows), False)
        loss = (self.loss + loss) & ((1 << ring.RING_BITS) - 1)
        losses, stopped = self.losses, False
        if config.tol is not None and (number + 1) % self.batches == 0:
            losses = [*losses, self._revealed(link, loss)]
            loss = 0
            stopped = len(losses) > 1 and (losses[-2] - losses[-1]) / (1 << _LOSS_BITS) < config.tol
        self.own, self.theirs, self.loss, self.losses, self.stopped = own, theirs, loss, losses, stopped

    def _keys(self) -> tuple[PrivateKey, PublicKey]:
        assert self.key is not None
        assert self.peer is not None
        return self.key, self.peer

    def _exchange(self, link: Link, topic: str, *parts: bytes) -> list[memoryview]:
        link.send(topic, parts=parts)
        return link.receive(topic, parts=len(parts)).parts

    def _scores(self, link: Link, matrix: NDArray[np.int64]) -> Ring:
        """Return this party's share of the scores: all rows times all weights."""
        priv, pub = self._keys()
        n = len(matrix)
        (got,) = self._exchange(link, "weights", products.encrypted(priv, self.theirs))
        link.count("values_encrypted", len(self.theirs))
        layout = products.rows_layout(pub.bits, len(self.own))
        mine, message = products.rows_times(matrix, products.receive_encrypted(got, pub, len(self.own)), layout)
        (got,) = self._exchange(link, "scores", message)
        opened = products.open_places(priv, got, n, products.rows_layout(priv.public_key.bits, len(self.theirs)))
        return ring.words((ring.dot(matrix, self.own) + mine + opened).tolist())

    def _residuals(self, link: Link, scores: Ring, rows: NDArray[np.int64]) -> Ring:
        """Return this party's share of sigmoid(z) - y."""
        assert self.config is not None
        if self.config.sigmoid == "linear":
            values, bits = scores, _SCORE_BITS + 3
        else:
            values, bits = self._cubic(link, ring.truncate(scores, _SCORE_BITS - _CUBIC_BITS, self.leader))
        if self.leader:
            assert self.labels is not None
            values = ring.words((values + (1 - 2 * self.labels[rows]).astype(object) * (1 << (bits - 1))).tolist())
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
            crossed = products.open_places(priv, link.receive("cubes", parts=1).parts[0], n, layout)
        else:
            got = link.receive("powers", parts=2).parts
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
            assert self.labels is not None
            assert self.class_weights is not None
            weights = [self.class_weights[label] for label in self.labels[rows].tolist()]
            c = products.receive_encrypted(link.receive("to weigh", parts=1).parts[0], pub, n)
            layout = products.values_layout(pub.bits, 2 * CLASS_BITS)
            crossed, message = products.values_times([(c, weights)], n, layout)
            link.send("weighed", parts=[message])
            share = crossed + residuals * np.array(weights, dtype=object)
        else:
            link.send("to weigh", parts=[products.encrypted(priv, residuals)])
            link.count("values_encrypted", n)
            layout = products.values_layout(priv.public_key.bits, 2 * CLASS_BITS)
            share = products.open_places(priv, link.receive("weighed", parts=1).parts[0], n, layout)
        return ring.truncate(ring.words(share.tolist()), CLASS_BITS, self.leader)

    def _gradients(self, link: Link, matrix: NDArray[np.int64], pulls: Ring, residuals: Ring) -> tuple[Ring, Ring, int]:
        """Return this party's shares of both gradients, and of the sum of pulls times residuals if that is wanted."""
        assert self.config is not None
        priv, pub = self._keys()
        n, tracked = len(pulls), self.config.tol is not None
        entries = ring.RING_BITS if tracked else products.ENTRY_BITS
        mine, other = (products.columns_layout(key.bits, n, entries) for key in (priv.public_key, pub))
        (got,) = self._exchange(link, "residuals", products.encrypted_packed(priv, pulls, mine))
        link.count("values_encrypted", n)
        c = products.receive_packed(got, pub, n, other)
        crossed, message = products.columns_times(matrix, c, other)
        messages, loss = [message], 0
        if tracked:
            column = np.array(ring.centred(residuals), dtype=object).reshape(-1, 1)
            part, message = products.columns_times(column, c, other)
            messages.append(message)
            loss = part.tolist()[0] + sum(u * r for u, r in zip(pulls.tolist(), residuals.tolist(), strict=True))
        opened = self._exchange(link, "gradients", *messages)
        theirs = products.open_columns(priv, opened[0], len(self.theirs), mine)
        if tracked:
            loss += products.open_columns(priv, opened[1], 1, mine).tolist()[0]
        return ring.words((ring.dot(matrix.T, pulls) + crossed).tolist()), theirs, loss

    def _moved(self, weights: Ring, gradient: Ring, n: int, own: bool) -> Ring:
        """Return this party's share of the weights after the step: w - rate (gradient / n + l2 w).

        The gradient's shares are uniform modulo 2^96, after the first truncation below 2^84 in size; times the rate of
        16 bits they cover Z_2^96 evenly again, which the second truncation needs.
        """
        assert self.config is not None
        rate = self.config.learning_rate / n
        shift = _STEP_BITS - math.frexp(rate)[1]
        step, decay = (
            round(math.ldexp(rate, shift)),
            round(math.ldexp(self.config.learning_rate * self.config.l2, shift)),
        )
        decays = [decay] * len(weights)
        if self.config.intercept and own == self.leader:
            decays[-1] = 0  # the guest's last column is 1: its weight is the intercept
        pulled = ring.truncate(gradient, ROW_BITS, self.leader) * step + weights * np.array(decays, dtype=object)
        return ring.words((weights - ring.truncate(ring.words(pulled.tolist()), shift, self.leader)).tolist())

    def _revealed(self, link: Link, loss: int) -> int:
        """Open the loss of an epoch, and nothing below its last digit."""
        share = ring.truncate(ring.words([loss]), 2 * COEF_BITS - _LOSS_BITS, self.leader)
        (got,) = self._exchange(link, "loss", ring.to_bytes(share))
        if len(got) != ring.WORD_BYTES:
            raise FrameError("message 'loss' holds no share")
        link.count("values_revealed", 1)
        total = ring.centred(ring.words((share + ring.from_bytes(got)).tolist()))[0]
        return total // len(self.matrix)

    # --- the state ---

    def state(self) -> bytes:
        """Return everything that the steps so far have changed, one frame; the same bytes for the same state."""
        header: dict[str, Any] = {
            "task": self.name,
            "role": self.role,
            "taken": self.taken,
            "stopped": self.stopped,
            "losses": self.losses,
            "seed": self.seed,
            "config": {} if self.config is None else self.config.to_fields(),
        }
        parts = [b"", b"", b""]
        if self.key is not None and self.peer is not None:
            parts = [*self.key._kernel.export_primes(), self.peer.to_bytes()]
        parts += [ring.to_bytes(self.own), ring.to_bytes(self.theirs), ring.to_bytes(ring.words([self.loss]))]
        header["parts"] = [len(part) for part in parts]
        return encode(Kind.VERTICAL_STATE, header, b"".join(parts))

    def restore(self, state: bytes) -> None:
        """Go back to a state of this job."""
        from ..paillier import PrivateKey, PublicKey

        got = decode(state, Kind.VERTICAL_STATE)
        head = got.header
        check_fields(head, ("task", "role", "taken", "stopped", "losses", "seed", "config", "parts"))
        if head["task"] != self.name or head["role"] != self.role:
            raise FrameError(f"the state is of {head['task']!r} at the {head['role']}, not of {self.name!r} here")
        lengths = field(head, "parts", list, high=6, items=int)
        if len(lengths) != 6 or min(lengths) < 0 or sum(lengths) != len(got.payload):
            raise FrameError("frame field 'parts' does not add up to the payload")
        ends = np.cumsum([0, *lengths]).tolist()
        p, q, peer, own, theirs, loss = (bytes(got.payload[a:b]) for a, b in itertools.pairwise(ends))
        if len(own) != ring.WORD_BYTES * self.matrix.shape[1]:
            raise FrameError(f"the state is of another number of columns than {self.matrix.shape[1]}")
        told = field(head, "config", dict)
        self.config = Config.from_fields(told) if told else None
        self.seed, self._order = field(head, "seed", bytes), None
        if not p:
            self.key = self.peer = None
        elif self.key is None or self.key._kernel.export_primes() != (p, q):
            self.key = PrivateKey._generated(int.from_bytes(p, "little"), int.from_bytes(q, "little"), "djn")
        self.peer = PublicKey.from_bytes(peer) if peer else None
        self.own, self.theirs = ring.from_bytes(own), ring.from_bytes(theirs)
        self.loss = ring.from_bytes(loss).tolist()[0]
        self.losses = field(head, "losses", list, high=_MOST_EPOCHS, items=int)
        self.taken, self.stopped = field(head, "taken", int, low=0), field(head, "stopped", bool)


def _new_key(bits: int) -> PrivateKey:
    from ..paillier import generate_keypair

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of 2048 bits: the estimator's constructor was told
        return generate_keypair(bits)[1]
