"""Arithmetic on numbers that two parties share: words of Z_2^96 as Python integers in object arrays.

Why 96 bits: each party truncates its share locally, which fails with probability |x| / 2^96 for a number x of the
fixed point. In Z_2^64 the gradients of a batch, of about 50 bits, would fail once in thousands of times; here it is
once in 2^46. The arrays are short (a batch of rows at most), and the ciphertexts around them cost a thousand times as
much as their arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["RING_BITS", "WORD_BYTES", "centred", "dot", "from_bytes", "to_bytes", "truncate", "words", "zeros"]

RING_BITS = 96
WORD_BYTES = 12
_MASK = (1 << RING_BITS) - 1
_LIMB = 32

Ring = NDArray[Any]
"""Object array of Python integers in [0, 2^96)."""


def words(values: Iterable[int]) -> Ring:
    """Return integers of any size modulo 2^96.

    Examples
    --------
    >>> words([-1])[0] == 2**96 - 1
    True
    """
    reduced = [int(v) & _MASK for v in values]
    out = np.empty(len(reduced), dtype=object)
    out[:] = reduced
    return out


def zeros(n: int) -> Ring:
    """Return n zeros."""
    return words([0] * n)


def centred(share: Ring) -> list[int]:
    """Return the integers nearest to 0 that the words stand for.

    Examples
    --------
    >>> centred(words([5, -7]))
    [5, -7]
    """
    return [v - (1 << RING_BITS) if v >> (RING_BITS - 1) else v for v in share.tolist()]


def truncate(share: Ring, k: int, leader: bool) -> Ring:
    """Return this party's share of a shared number divided by 2^k.

    The sum of both parties' results is the quotient rounded down, or one more or less, except with probability
    ``|x| / 2^96``.

    Examples
    --------
    >>> a, b = words([12345]), words([1000 - 12345])
    >>> abs(centred(truncate(a, 3, True) + truncate(b, 3, False))[0] - 125) <= 1
    True
    """
    values = share.tolist()
    if leader:
        return words(v >> k for v in values)
    return words(-((-v & _MASK) >> k) for v in values)


def dot(matrix: NDArray[np.int64], share: Ring) -> Ring:
    """Return a plain matrix times a shared vector, exactly: entries below 2^20 in size, at most 2^10 columns at a time.

    The words are cut into limbs of 32 bits, so that every sum stays below 2^62.

    Examples
    --------
    >>> centred(dot(np.array([[2, -3]]), words([10**20, 1])))
    [199999999999999999997]
    """
    total: Any = np.zeros(len(matrix), dtype=object)
    for lo in range(0, matrix.shape[1], 1024):
        part, values = matrix[:, lo : lo + 1024], share[lo : lo + 1024].tolist()
        limbs = np.array([[v >> (_LIMB * i) & 0xFFFFFFFF for i in range(3)] for v in values], dtype=np.int64)
        sums = (part @ limbs.reshape(-1, 3)).astype(object)
        total = total + sums[:, 0] + (sums[:, 1] << _LIMB) + (sums[:, 2] << 2 * _LIMB)
    return words(total.tolist())


def to_bytes(share: Ring) -> bytes:
    """Return the words, 12 bytes each, little-endian."""
    return b"".join(v.to_bytes(WORD_BYTES, "little") for v in share.tolist())


def from_bytes(data: bytes | memoryview) -> Ring:
    """Return the words in a string of a multiple of 12 bytes.

    Examples
    --------
    >>> centred(from_bytes(to_bytes(words([-3, 4]))))
    [-3, 4]
    """
    raw = bytes(data)
    return words(int.from_bytes(raw[i : i + WORD_BYTES], "little") for i in range(0, len(raw), WORD_BYTES))
