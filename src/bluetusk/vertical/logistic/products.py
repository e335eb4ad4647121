"""Products of one party's plain rows with numbers that both share, under Paillier: nobody sees a factor or a result.

A party P has plain rows X; of a vector v that the two share, P multiplies its own share by itself, and the other party
Q's share comes encrypted under Q's key. P computes on it, masks the result and sends it back; afterwards both hold
shares of X v. Three forms, each with many values to a ciphertext before it is masked and decrypted:

* ``rows_times``: X v for a short v (the weights). The ciphertext of v_c is shifted to k places (multiplied by 2^(l j));
  then row j of a block of k rows has its sum in place j, without any shift of its own.
* ``columns_times``: X' v for a long v (the residuals). Q packs k of its values in a ciphertext, ``sum_j v_j 2^(l j)``;
  times ``sum_j x_j 2^(l (k-1-j))`` the place k-1 holds ``sum_j x_j v_j``, and the other 2k-2 places hold crossed terms
  that are masked with it and then dropped.
* ``values_times``: products value by value, with k of them shifted into one ciphertext.

**Bounds.** Shares are centred words, below 2^95 in size. A place is wide enough for any sum in it, with a sign and one
bit to spare, so the places of a plaintext V below the top never reach it: ``|V| < 2^(l places - 1)``. A place begins at
a bit s; ``floor(V / 2^s)`` modulo 2^96 is its value, or one less where the places below it are negative (the places
above vanish, because l >= 96). See :mod:`bluetusk.paillier.masked` for the mask and the one unit that it may add.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import EncodingOverflow
from ...paillier.array import concatenate
from ...paillier.masked import fresh, largest_bits, mask, received, unmask
from ...paillier.to_shares import _shifted
from .ring import RING_BITS, Ring, centred, words

if TYPE_CHECKING:
    from ...paillier import CipherArray, PrivateKey, PublicKey

__all__ = [
    "ENTRY_BITS",
    "Layout",
    "columns_layout",
    "columns_times",
    "encrypted",
    "encrypted_packed",
    "open_columns",
    "open_places",
    "receive_encrypted",
    "receive_packed",
    "rows_layout",
    "rows_times",
    "values_layout",
    "values_times",
]

ENTRY_BITS = 18
"""Size of the entries of plain rows: below 2^18."""

SHARE_BITS = RING_BITS - 1


@dataclass(frozen=True)
class Layout:
    """How values lie in a plaintext, from numbers that both parties know.

    Attributes
    ----------
    slots : int
        Values to a ciphertext.
    width : int
        Bits of a place.
    places : int
        Places of the plaintext that is masked.
    """

    slots: int
    width: int
    places: int

    @property
    def bits(self) -> int:
        """Bits of the plaintext that is masked, its sign included."""
        return self.width * self.places

    def blocks(self, n: int) -> int:
        """Return how many ciphertexts n values take."""
        return -(-n // self.slots)


def _layout(key_bits: int, width: int, crossed: bool) -> Layout:
    places = largest_bits(key_bits) // width
    slots = (places + 1) // 2 if crossed else places
    if slots < 1:
        raise EncodingOverflow(f"values of {width} bits do not fit a key of {key_bits}: use a larger key_size")
    return Layout(slots, width, 2 * slots - 1 if crossed else slots)


def rows_layout(key_bits: int, columns: int) -> Layout:
    """For ``rows_times``: a place holds a sum over the columns."""
    return _layout(key_bits, SHARE_BITS + ENTRY_BITS + columns.bit_length() + 2, False)


def columns_layout(key_bits: int, rows: int, entry_bits: int = ENTRY_BITS) -> Layout:
    """For ``columns_times``: a place holds a sum over the rows."""
    return _layout(key_bits, SHARE_BITS + entry_bits + rows.bit_length() + 2, True)


def values_layout(key_bits: int, factor_bits: int) -> Layout:
    """For ``values_times``: a place holds a share times a factor, or two such."""
    return _layout(key_bits, SHARE_BITS + factor_bits + 3, False)


# --- the key holder's side ---


def encrypted(priv: PrivateKey, share: Ring) -> bytes:
    """Encrypt a share, one word to a ciphertext."""
    return fresh(priv, centred(share), SHARE_BITS)


def encrypted_packed(priv: PrivateKey, share: Ring, layout: Layout) -> bytes:
    """Encrypt a share, ``layout.slots`` words to a ciphertext."""
    values, k = centred(share), layout.slots
    blocks = [sum(v << (layout.width * j) for j, v in enumerate(values[i : i + k])) for i in range(0, len(values), k)]
    return fresh(priv, blocks, layout.width * k)


def open_places(priv: PrivateKey, message: bytes | memoryview, n: int, layout: Layout) -> Ring:
    """Open n values that lie ``layout.slots`` to a ciphertext: what ``rows_times`` or ``values_times`` sent."""
    opened = unmask(priv, message, layout.blocks(n), layout.bits)
    return words([v >> (layout.width * j) for v in opened for j in range(layout.slots)][:n])


def open_columns(priv: PrivateKey, message: bytes | memoryview, n: int, layout: Layout) -> Ring:
    """Open n values of one ciphertext each, in the middle place: what ``columns_times`` sent."""
    return words(v >> (layout.width * (layout.slots - 1)) for v in unmask(priv, message, n, layout.bits))


# --- the side of who has the rows ---


def receive_encrypted(message: bytes | memoryview, pub: PublicKey, n: int) -> CipherArray:
    """Read what :func:`encrypted` made of n words."""
    return received(message, pub, n, SHARE_BITS)


def receive_packed(message: bytes | memoryview, pub: PublicKey, n: int, layout: Layout) -> CipherArray:
    """Read what :func:`encrypted_packed` made of n words."""
    return received(message, pub, layout.blocks(n), layout.width * layout.slots)


def _padded(matrix: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """Return the rows in blocks, with rows of zeros at the end; shape (blocks, slots, columns)."""
    n, d = matrix.shape
    out = np.zeros((layout.blocks(n) * layout.slots, d), dtype=matrix.dtype)
    out[:n] = matrix
    return out.reshape(-1, layout.slots, d)


def rows_times(matrix: NDArray[np.int64], c: CipherArray, layout: Layout) -> tuple[Ring, bytes]:
    """Return this party's share of `matrix` times the encrypted vector, and the message for :func:`open_places`."""
    blocks = _padded(matrix, layout)
    shifted = [c]
    for _ in range(layout.slots - 1):
        shifted.append(shifted[-1] * (1 << layout.width))
    sums = blocks.reshape(len(blocks), -1) @ concatenate(shifted)
    return _places(sums, len(matrix), layout)


def values_times(terms: Sequence[tuple[CipherArray, Sequence[int]]], n: int, layout: Layout) -> tuple[Ring, bytes]:
    """Return this party's share of the sum of encrypted vectors times plain ones, for :func:`open_places`."""
    total: Any = None
    for c, factors in terms:
        plain = np.empty(n, dtype=object)
        plain[:] = list(factors)
        product = c * plain
        total = product if total is None else total + product
    return _places(_shifted(total, layout.slots, layout.width), n, layout)


def _places(c: CipherArray, n: int, layout: Layout) -> tuple[Ring, bytes]:
    masks, message = mask(c, layout.bits)
    share = words([-(rho >> (layout.width * j)) for rho in masks for j in range(layout.slots)][:n])
    return share, message


def columns_times(matrix: NDArray[Any], c: CipherArray, layout: Layout) -> tuple[Ring, bytes]:
    """Return this party's share of ``matrix.T`` times the packed vector, and the message for :func:`open_columns`."""
    blocks = _padded(matrix, layout)
    k, d = layout.slots, matrix.shape[1]
    sums = (np.ascontiguousarray(blocks.transpose(1, 2, 0)).reshape(k * d, -1) @ c).reshape(k, d)
    total = sums[0]
    for j in range(1, k):
        total = total * (1 << layout.width) + sums[j]
    masks, message = mask(total, layout.bits)
    return words(-(rho >> (layout.width * (k - 1))) for rho in masks), message
