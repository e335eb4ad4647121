"""One party's columns in the shared products, seen by the party that has them and by its peer.

Two products are taken of each party's columns X, with vectors that both parties share: the scores X w, and the
gradients X' r. The owner of the columns computes on ciphertexts of the peer's share, the peer is the key holder. There
are two forms of columns.

**Plain**: the owner knows the numbers. :class:`PlainColumns` and :class:`PlainPeer`, by :mod:`.products`.

**Binned**: the host knows in which bin each value lies, and the guest alone what a bin is worth, its value v (a weight
of evidence). One weight w a column; the score of a row is the sum of ``w_c v_cb``, b its bin in column c.
:class:`BinnedColumns` at the host, :class:`BinnedPeer` at the guest, G and H below. The host holds Enc(v) under the
guest's key from the beginning.

* *Scores.* G sends ``Enc(w_G v_cb)`` for each bin, modulo 2^96. H adds ``Enc(v_cb)^(w_H)``, which makes a table of
  ``w_c v_cb``; a row's score is the sum of one entry a column. H packs the scores and masks them. In scoring, where
  points open to G, each row has a ciphertext: whatever G has encrypted, a row's word depends on that row only.
* *Gradients.* G sends ``Enc(r_G)``, one a row. H sums them by bin: ``Enc(s_cb)``, packs and masks the sums, and so G
  opens a share g of them; H's share h is the rest, with the sums of its own r_H. The gradient is
  ``sum_b v_cb (g_cb + h_cb)``. G computes the first part; H computes ``Enc(sum_b v_cb h_cb)`` from the powers
  ``Enc(v_cb)^(h_cb)``, and masks it.

H sees ciphertexts under G's key. What G opens has a mask that is uniform modulo n. So neither view depends on anything
but sizes (semantic security of Paillier; :mod:`bluetusk.paillier.masked`).

**Bounds.** Shares are centred words, below 2^95; values are below 2^18 (:data:`~.products.ENTRY_BITS`), times a
factor of scoring below 2^16. A table's entry is below ``2^95 + 2^95 2^18``, and a sum over d columns below
``(d + 1) 2^113``, which is what :func:`~.products.rows_layout` takes for d + 1 columns. Sums of n residuals are below
``n 2^95``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..._numeric import Ints
from ...paillier import CipherArray, PrivateKey, PublicKey
from ...paillier.masked import fresh, received
from ...paillier.slots import Slots, width_of
from . import products, ring
from .ring import RING_BITS, Ring

__all__ = [
    "FACTOR_BITS",
    "BinnedColumns",
    "BinnedPeer",
    "Bins",
    "Columns",
    "Peer",
    "PlainColumns",
    "PlainPeer",
    "Weighted",
    "residuals_layout",
]


FACTOR_BITS = 16
"""Bits of the guest's factor on scores."""


@dataclass(frozen=True, eq=False)
class Weighted:
    """Both shares of the weights, as the owner of the columns has them.

    Attributes
    ----------
    c : CipherArray
        Encrypted; of binned columns the table.
    own : Ring
        This party's share, where `c` is only the peer's.
    factor : int
        Of the rows.
    layout : Slots
    """

    c: CipherArray
    own: Ring
    factor: int
    layout: Slots


class Columns(Protocol):
    """The owner's side."""

    @property
    def width(self) -> int:
        """Number of weights."""

    @property
    def words(self) -> int:
        """Number of ciphertexts in which the peer's share of the weights comes."""

    def weighted(self, own: Ring, parts: Sequence[memoryview], factor: int | None) -> Weighted:
        """Return the weights that :meth:`scores` takes.

        Parameters
        ----------
        own : Ring
            This party's share of the weights.
        parts : sequence of bytes-like
            The peer's :meth:`Peer.weights`.
        factor : int or None
            Multiplies the scores; None in the training, which has no factor. The host does not know the guest's, and
            gives any number in its place.
        """

    def scores(self, rows: Ints, weights: Weighted) -> tuple[Ring, bytes]:
        """Return this party's share of the scores of rows, given by their places, and the message to the peer."""

    def gradients(
        self, rows: Ints, pulls: Ring, residuals: Ring | None, parts: Sequence[memoryview]
    ) -> tuple[Ring, list[bytes], int]:
        """Return this party's shares of X' pulls and of pulls times residuals (0 without residuals), and the message.

        `parts` is the peer's :meth:`Peer.residuals`.
        """


class Peer(Protocol):
    """The key holder's side."""

    @property
    def width(self) -> int:
        """Number of weights."""

    parts: int
    """Parts of the owner's message of gradients."""

    @property
    def words(self) -> int:
        """Number of ciphertexts of the weights."""

    def weights(self, share: Ring, factor: int | None) -> list[bytes]:
        """Return the message for :meth:`Columns.scores`: this party's share of the weights, encrypted."""

    def open_scores(self, n: int, message: memoryview, factor: int | None) -> Ring:
        """Return this party's share of the scores of n rows."""

    def residuals(self, pulls: Ring, tracked: bool) -> list[bytes]:
        """Return the message for :meth:`Columns.gradients`."""

    def open_gradients(self, n: int, parts: Sequence[memoryview], tracked: bool) -> tuple[Ring, int]:
        """Return this party's shares of the gradients and of the products of the loss (0 unless `tracked`)."""


def _scores_layout(pub: PublicKey, width: int, factor: int | None, *, to_guest: bool) -> Slots:
    """Return the layout of the scores of rows: one a block where the guest opens them in scoring, which has a factor.

    In one block a number that the guest made too large for its place would reach into those of other rows, whose bits
    of points would then tell of one row.
    """
    layout = products.rows_layout(pub.bits, width + 1, products.ENTRY_BITS + (0 if factor is None else FACTOR_BITS))
    return Slots(layout.width, 1) if to_guest and factor is not None else layout


class PlainColumns:
    """The owner's side of plain columns.

    Parameters
    ----------
    matrix : ndarray of int64, shape (n, d)
        Rows with :data:`~.products.ENTRY_BITS` bits.
    pub : PublicKey
        The peer's.
    guest : bool
        Whether the owner is the guest, who knows the factor.
    """

    def __init__(self, matrix: Ints, pub: PublicKey, *, guest: bool) -> None:
        self._matrix, self._pub, self._guest = matrix, pub, guest
        self.width = self.words = matrix.shape[1]

    def weighted(self, own: Ring, parts: Sequence[memoryview], factor: int | None) -> Weighted:
        """See :meth:`Columns.weighted`."""
        pub, d = self._pub, self.width
        layout = _scores_layout(pub, d, factor, to_guest=not self._guest)
        c = products.receive_encrypted(parts[0], pub, d)
        if factor is None or self._guest:
            return Weighted(c, own, 1 if factor is None else factor, layout)
        times = received(parts[1], pub, 1, FACTOR_BITS)
        whole = np.empty(d, dtype=object)
        whole[:] = ring.centred(own)
        return Weighted(c + times[np.zeros(d, np.int64)] * whole, ring.zeros(d), 1, layout)

    def scores(self, rows: Ints, weights: Weighted) -> tuple[Ring, bytes]:
        """See :meth:`Columns.scores`."""
        matrix = np.ascontiguousarray(self._matrix[rows])
        share, message = products.rows_times(matrix * weights.factor, weights.c, weights.layout)
        return ring.words((ring.dot(matrix, weights.own) * weights.factor + share).tolist()), message

    def gradients(
        self, rows: Ints, pulls: Ring, residuals: Ring | None, parts: Sequence[memoryview]
    ) -> tuple[Ring, list[bytes], int]:
        """See :meth:`Columns.gradients`."""
        n, matrix = len(rows), np.ascontiguousarray(self._matrix[rows])
        layout = residuals_layout(self._pub.bits, n, tracked=residuals is not None)
        c = products.receive_packed(parts[0], self._pub, n, layout)
        share, message = products.columns_times(matrix, c, layout)
        messages, loss = [message], 0
        if residuals is not None:
            column = np.array(ring.centred(residuals), dtype=object).reshape(-1, 1)
            part, message = products.columns_times(column, c, layout)
            messages.append(message)
            loss = part.tolist()[0]
        return ring.words((ring.dot(matrix.T, pulls) + share).tolist()), messages, loss


class PlainPeer:
    """The key holder's side of plain columns.

    Parameters
    ----------
    priv : PrivateKey
    width : int
        Number of the owner's columns.
    guest : bool
        Whether the key holder is the guest, who knows the factor.
    """

    parts = 1

    def __init__(self, priv: PrivateKey, width: int, *, guest: bool) -> None:
        self._priv, self.width, self._guest = priv, width, guest
        self.words = width

    def weights(self, share: Ring, factor: int | None) -> list[bytes]:
        """See :meth:`Peer.weights`."""
        if factor is None or not self._guest:
            return [products.encrypted(self._priv, share)]
        whole = products.encrypted(self._priv, ring.words((share * factor).tolist()))
        return [whole, fresh(self._priv, [factor], FACTOR_BITS)]

    def open_scores(self, n: int, message: memoryview, factor: int | None) -> Ring:
        """See :meth:`Peer.open_scores`."""
        layout = _scores_layout(self._priv.public_key, self.width, factor, to_guest=self._guest)
        return products.open_places(self._priv, message, n, layout)

    def residuals(self, pulls: Ring, tracked: bool) -> list[bytes]:
        """See :meth:`Peer.residuals`."""
        layout = residuals_layout(self._priv.public_key.bits, len(pulls), tracked=tracked)
        return [products.encrypted_packed(self._priv, pulls, layout)]

    def open_gradients(self, n: int, parts: Sequence[memoryview], tracked: bool) -> tuple[Ring, int]:
        """See :meth:`Peer.open_gradients`."""
        layout = residuals_layout(self._priv.public_key.bits, n, tracked=tracked)
        share = products.open_columns(self._priv, parts[0], self.width, layout)
        return share, products.open_columns(self._priv, parts[1], 1, layout).tolist()[0] if tracked else 0


def residuals_layout(key_bits: int, n: int, *, tracked: bool) -> Slots:
    """Return the layout in which the residuals of a batch are packed for plain columns."""
    return products.columns_layout(key_bits, n, RING_BITS if tracked else products.ENTRY_BITS)


@dataclass(frozen=True, eq=False)
class Bins:
    """How many bins each column has; entries are bins, column by column, each column with one more for unseen values.

    Attributes
    ----------
    sizes : tuple of int
        Bins of each column, without those for unseen values.
    """

    sizes: tuple[int, ...]

    @property
    def entries(self) -> int:
        """Number of all entries."""
        return sum(self.sizes) + len(self.sizes)

    @property
    def column(self) -> Ints:
        """The column of each entry."""
        return np.repeat(np.arange(len(self.sizes)), np.array(self.sizes) + 1)

    @property
    def place(self) -> Ints:
        """The bin of each entry in its column."""
        return np.concatenate([np.arange(size + 1) for size in self.sizes])

    @property
    def first(self) -> Ints:
        """Each column's first entry."""
        return np.cumsum([0, *(size + 1 for size in self.sizes[:-1])])

    def columns(self, codes: Ints) -> Ints:
        """Return codes in which unseen values, -1, have their column's last bin; shape (n, d)."""
        return np.where(codes < 0, np.array(self.sizes), codes)

    def sums_layout(self, key_bits: int, n: int) -> Slots:
        """Return the layout of sums of residuals over n rows."""
        width = width_of(n << (RING_BITS - 1), spare=1)
        return Slots.fitting(key_bits, width, masked=True)

    def gradients_layout(self, key_bits: int) -> Slots:
        """Return the layout of a column's sum of values times words."""
        return products.rows_layout(key_bits, max(self.sizes) + 1)


def _loss_layout(n: int) -> Slots:
    """Return the layout of a product of residuals, one number."""
    return Slots(width_of(n << (2 * RING_BITS - 2), spare=1), 1)


class BinnedColumns:
    """The host's side of binned columns.

    Parameters
    ----------
    bins : Bins
    codes : ndarray of int64, shape (n, d)
        The bin of each value; -1 for a value that the binning has not seen.
    pub : PublicKey
        The guest's.
    values : bytes-like, optional
        The guest's :meth:`BinnedPeer.values`; scoring with a factor does without.
    """

    def __init__(self, bins: Bins, codes: Ints, pub: PublicKey, values: bytes | memoryview = b"") -> None:
        self._bins, self._codes, self._pub = bins, bins.columns(codes), pub
        self._values = received(values, pub, bins.entries, products.ENTRY_BITS) if values else None
        self.words, self.width = bins.entries, len(bins.sizes)

    def weighted(self, own: Ring, parts: Sequence[memoryview], factor: int | None) -> Weighted:
        """See :meth:`Columns.weighted`."""
        bins = self._bins
        weights = np.empty(bins.entries, dtype=object)
        weights[:] = np.array(ring.centred(own), dtype=object)[bins.column].tolist()
        values = self._values
        if factor is not None:
            values = received(parts[1], self._pub, bins.entries, products.ENTRY_BITS + FACTOR_BITS)
        assert values is not None
        table = products.receive_encrypted(parts[0], self._pub, bins.entries) + values * weights
        return Weighted(table, own, 1, _scores_layout(self._pub, self.width, factor, to_guest=True))

    def scores(self, rows: Ints, weights: Weighted) -> tuple[Ring, bytes]:
        """See :meth:`Columns.scores`."""
        sums = weights.c[self._codes[rows] + self._bins.first].sum(axis=1)
        return products.places(weights.layout.shifted(sums), len(rows), weights.layout)

    def gradients(
        self, rows: Ints, pulls: Ring, residuals: Ring | None, parts: Sequence[memoryview]
    ) -> tuple[Ring, list[bytes], int]:
        """See :meth:`Columns.gradients`."""
        bins, codes, n = self._bins, self._codes[rows], len(rows)
        c = products.receive_encrypted(parts[0], self._pub, n)
        sums = c.bincount(codes, max(bins.sizes) + 1)[bins.column, bins.place]
        layout = bins.sums_layout(self._pub.bits, n)
        opened, first = products.places(layout.shifted(sums), bins.entries, layout)
        own = np.zeros((self.width, max(bins.sizes) + 1), dtype=object)
        for j in range(self.width):
            np.add.at(own[j], codes[:, j], pulls)
        rest = np.empty(bins.entries, dtype=object)
        rest[:] = ring.centred(ring.words((own[bins.column, bins.place] + opened).tolist()))
        layout = bins.gradients_layout(self._pub.bits)
        assert self._values is not None
        parts_of = (self._values * rest).bincount(bins.column, self.width)
        share, second = products.places(layout.shifted(parts_of), self.width, layout)
        messages, loss = [first, second], 0
        if residuals is not None:
            layout = _loss_layout(n)
            factors = np.empty((1, n), dtype=object)
            factors[0] = ring.centred(residuals)
            part, message = products.places((factors @ c).reshape(-1), 1, layout)
            messages.append(message)
            loss = part.tolist()[0]
        return share, messages, loss


class BinnedPeer:
    """The guest's side of the host's binned columns.

    Parameters
    ----------
    priv : PrivateKey
    bins : Bins
    worth : ndarray of int64, shape (entries,)
        The value of each entry, with :data:`~.products.ENTRY_BITS` bits.
    """

    parts = 2

    def __init__(self, priv: PrivateKey, bins: Bins, worth: Ints) -> None:
        self._priv, self._bins, self._worth = priv, bins, worth.astype(object)
        self.words = bins.entries
        self.width = len(bins.sizes)

    def values(self) -> bytes:
        """Return the encrypted values, which the host keeps."""
        return fresh(self._priv, self._worth.tolist(), products.ENTRY_BITS)

    def weights(self, share: Ring, factor: int | None) -> list[bytes]:
        """See :meth:`Peer.weights`."""
        worth = self._worth * (1 if factor is None else factor)
        parts = [products.encrypted(self._priv, ring.words((share[self._bins.column] * worth).tolist()))]
        if factor is not None:
            parts.append(fresh(self._priv, worth.tolist(), products.ENTRY_BITS + FACTOR_BITS))
        return parts

    def open_scores(self, n: int, message: memoryview, factor: int | None) -> Ring:
        """See :meth:`Peer.open_scores`."""
        layout = _scores_layout(self._priv.public_key, self.width, factor, to_guest=True)
        return products.open_places(self._priv, message, n, layout)

    def residuals(self, pulls: Ring, tracked: bool) -> list[bytes]:
        """See :meth:`Peer.residuals`."""
        return [products.encrypted(self._priv, pulls)]

    def open_gradients(self, n: int, parts: Sequence[memoryview], tracked: bool) -> tuple[Ring, int]:
        """See :meth:`Peer.open_gradients`."""
        bins, bits = self._bins, self._priv.public_key.bits
        sums = products.open_places(self._priv, parts[0], bins.entries, bins.sums_layout(bits, n))
        rest = products.open_places(self._priv, parts[1], self.width, bins.gradients_layout(bits))
        total = rest.copy()
        np.add.at(total, bins.column, sums * self._worth)
        loss = 0
        if tracked:
            loss = products.open_places(self._priv, parts[2], 1, _loss_layout(n)).tolist()[0]
        return ring.words(total.tolist()), loss
