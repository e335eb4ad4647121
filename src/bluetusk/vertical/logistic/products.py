"""Multiplies one party's plain rows with shared numbers, under Paillier: nobody sees the other's factor or the result.

A party P has plain rows X; of a vector v that the two share, P multiplies its own share by itself, and the other party
Q's share comes encrypted under Q's key. P computes on it, masks the result and sends it back; afterwards both hold
shares of X v. Three forms, each with many values to a ciphertext before it is masked and decrypted:

* ``rows_times``: X v for a short v (the weights). The ciphertext of v_c is shifted to k places (multiplied by 2^(l j));
  then row j of a block of k rows has its sum in place j without a shift.
* ``columns_times``: X' v for a long v (the residuals). Q packs k of its values in a ciphertext, ``sum_j v_j 2^(l j)``;
  times ``sum_j x_j 2^(l (k-1-j))`` the place k-1 holds ``sum_j x_j v_j``, and the other 2k-2 places hold crossed terms
  that are masked with it and then dropped.
* ``values_times``: products value by value, with k of them shifted into one ciphertext.

**Bounds.** Shares are centred words, below 2^95 in size. A place is wide enough for any sum in it, with a sign and one
bit to spare, so the places of a plaintext V below the top never reach it: ``|V| < 2^(l places - 1)``. A place begins at
a bit s; ``floor(V / 2^s)`` modulo 2^96 is its value, or one less where the places below it are negative (the places
above vanish, because l >= 96). See :mod:`bluetusk.paillier.masked` for the mask, which is uniform modulo n, and the one
unit that it may add.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import EncodingOverflow
from ...paillier import CipherArray, PrivateKey, PublicKey, concatenate
from ...paillier.masked import fresh, mask, received, unmask
from ...paillier.slots import Slots, width_of
from .ring import RING_BITS, Ring, centred, words

__all__ = [
    "ENTRY_BITS",
    "columns_layout",
    "columns_times",
    "encrypted",
    "encrypted_packed",
    "open_columns",
    "open_places",
    "places",
    "receive_encrypted",
    "receive_packed",
    "rows_layout",
    "rows_times",
    "values_layout",
    "values_times",
]

ENTRY_BITS = 18
"""Bits of the entries of plain rows, which are below 2^18 in size."""

SHARE_BITS = RING_BITS - 1


def _layout(key_bits: int, bound: int, crossed: bool = False) -> Slots:
    width = width_of(bound, spare=1)
    layout = Slots.fitting(key_bits, width, masked=True, crossed=crossed)
    if layout.count < 1:
        raise EncodingOverflow(f"values of {width} bits do not fit a key of {key_bits}: use a larger key_size")
    return layout


def rows_layout(key_bits: int, columns: int, entry_bits: int = ENTRY_BITS) -> Slots:
    """Return the layout for :func:`rows_times`: a place holds a sum over the columns."""
    return _layout(key_bits, columns << (SHARE_BITS + entry_bits))


def columns_layout(key_bits: int, rows: int, entry_bits: int = ENTRY_BITS) -> Slots:
    """Return the layout for :func:`columns_times`: a place holds a sum over the rows."""
    return _layout(key_bits, rows << (SHARE_BITS + entry_bits), crossed=True)


def values_layout(key_bits: int, factor_bits: int) -> Slots:
    """Return the layout for :func:`values_times`: a place holds one or the sum of two products of share and factor."""
    return _layout(key_bits, (2 << (SHARE_BITS + factor_bits)) - 1)


# --- the key holder's side ---


def encrypted(priv: PrivateKey, share: Ring) -> bytes:
    """Encrypt a share, one word to a ciphertext."""
    return fresh(priv, centred(share), SHARE_BITS)


def encrypted_packed(priv: PrivateKey, share: Ring, layout: Slots) -> bytes:
    """Encrypt a share, ``layout.count`` words to a ciphertext."""
    return fresh(priv, layout.packed(centred(share)), _packed_bits(layout))


def _packed_bits(layout: Slots) -> int:
    """Return the bits of a plaintext of packed shares: the last one needs no more than its own."""
    return layout.width * (layout.count - 1) + RING_BITS


def open_places(priv: PrivateKey, message: bytes | memoryview, n: int, layout: Slots) -> Ring:
    """Open n values, ``layout.count`` to a ciphertext, from the message of ``rows_times`` or ``values_times``."""
    return words(layout.floors(unmask(priv, message, layout.blocks(n)), n))


def open_columns(priv: PrivateKey, message: bytes | memoryview, n: int, layout: Slots) -> Ring:
    """Open n values, one to a ciphertext in the middle place, from the message of ``columns_times``."""
    return words(v >> (layout.width * (layout.count - 1)) for v in unmask(priv, message, n))


# --- the side of the party that has the rows ---


def receive_encrypted(message: bytes | memoryview, pub: PublicKey, n: int) -> CipherArray:
    """Read the ciphertexts of n words that :func:`encrypted` made."""
    return received(message, pub, n, SHARE_BITS)


def receive_packed(message: bytes | memoryview, pub: PublicKey, n: int, layout: Slots) -> CipherArray:
    """Read the ciphertexts of n words that :func:`encrypted_packed` made."""
    return received(message, pub, layout.blocks(n), _packed_bits(layout))


def _padded(matrix: NDArray[Any], layout: Slots) -> NDArray[Any]:
    """Return the rows in blocks, with rows of zeros at the end; shape (blocks, slots, columns)."""
    n, d = matrix.shape
    out = np.zeros((layout.blocks(n) * layout.count, d), dtype=matrix.dtype)
    out[:n] = matrix
    return out.reshape(-1, layout.count, d)


def rows_times(matrix: NDArray[np.int64], c: CipherArray, layout: Slots) -> tuple[Ring, bytes]:
    """Return this party's share of `matrix` times the encrypted vector, and the message for :func:`open_places`."""
    blocks = _padded(matrix, layout)
    shifted = [c]
    for _ in range(layout.count - 1):
        shifted.append(shifted[-1] * (1 << layout.width))
    sums = blocks.reshape(len(blocks), -1) @ concatenate(shifted)
    return places(sums, len(matrix), layout)


def values_times(terms: Sequence[tuple[CipherArray, Sequence[int]]], n: int, layout: Slots) -> tuple[Ring, bytes]:
    """Return this party's share of the sum of encrypted vectors times plain ones, for :func:`open_places`."""
    total: Any = None
    for c, factors in terms:
        plain = np.empty(n, dtype=object)
        plain[:] = list(factors)
        product = c * plain
        total = product if total is None else total + product
    return places(layout.shifted(total), n, layout)


def places(c: CipherArray, n: int, layout: Slots) -> tuple[Ring, bytes]:
    """Mask n packed values: return this party's share of them, and the message for :func:`open_places`."""
    masks, message = mask(c, layout.bits)
    return words(-rho for rho in layout.floors(masks, n)), message


def columns_times(matrix: NDArray[Any], c: CipherArray, layout: Slots) -> tuple[Ring, bytes]:
    """Return this party's share of ``matrix.T`` times the packed vector, and the message for :func:`open_columns`."""
    blocks = _padded(matrix, layout)
    k, d = layout.count, matrix.shape[1]
    sums = (np.ascontiguousarray(blocks.transpose(1, 2, 0)).reshape(k * d, -1) @ c).reshape(k, d)
    masks, message = mask(layout.shifted(sums[::-1].T), layout.bits)  # each column's k sums, the last one lowest
    return words(-(rho >> (layout.width * (k - 1))) for rho in masks), message
