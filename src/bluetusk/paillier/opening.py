"""Opens single ciphertexts to somebody who has the public key only: shows their plaintexts, and that these are right.

The key's owner gives the randomness r of a ciphertext ``c = (1 + n)^m r^n``, which is the n-th root of c modulo n. Who
has it computes m. It shows nothing of other ciphertexts, and the private key stays where it is. The key must be one
for which r is unique (:mod:`.proofs`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from gmpy2 import mpz

from .._integers import limbs_of, numbers_of
from ..errors import InvalidCiphertext, InvalidKey
from ..modexp import powmod
from . import encrypting
from .array import CipherArray
from .keys import PrivateKey

__all__ = ["opened_by", "opening"]

_TOGETHER = 16  # roots of one call


def opening(priv: PrivateKey, c: CipherArray) -> list[int]:
    """Return the randomness of each ciphertext of an array, as the key's owner.

    Parameters
    ----------
    priv : PrivateKey
    c : CipherArray, shape (n,)

    Returns
    -------
    list of int
        For :func:`opened_by`. As secret as the plaintexts.

    Raises
    ------
    InvalidKey
        If the key is closed, or another one than the array's.

    Examples
    --------
    >>> import bluetusk as bt
    >>> c = pub.encrypt([7, -3], bt.FixedPoint.integers(9))
    >>> opened_by(c, opening(priv, c))
    [7, -3]
    >>> opened_by(c, [2, 3])
    Traceback (most recent call last):
        ...
    bluetusk.errors.InvalidCiphertext: ciphertext 0 was not made with the randomness that is said to open it
    """
    if priv.public_key.fingerprint != c.public_key.fingerprint:
        raise InvalidKey("the array is under another key: give the one that it was made with")
    n, limbs = c.public_key.n, c.public_key.bits // 64
    numbers = [value % n for value in numbers_of(encrypting.canonical(c))]
    found: list[int] = []
    for lo in range(0, len(numbers), _TOGETHER):
        part = numbers[lo : lo + _TOGETHER]
        roots = np.empty((len(part), limbs), np.uint64)
        priv._roots(limbs_of(part, limbs), roots)
        found += [int(root) for root in numbers_of(roots)]
    return found


def opened_by(c: CipherArray, randomness: Sequence[int]) -> list[int]:
    """Return the plaintexts of an array, centred around 0, by the randomness of its ciphertexts.

    Parameters
    ----------
    c : CipherArray, shape (n,)
    randomness : sequence of int
        From :func:`opening`.

    Raises
    ------
    InvalidCiphertext
        If a ciphertext has other randomness.
    ValueError
        If there are more or fewer numbers than ciphertexts.

    Examples
    --------
    >>> import bluetusk as bt
    >>> opened_by(pub.encrypt([7, -3], bt.FixedPoint.integers(9)), [2])
    Traceback (most recent call last):
        ...
    ValueError: randomness has 1 numbers for 2 ciphertexts: give one for each
    """
    if len(randomness) != c.size:
        raise ValueError(f"randomness has {len(randomness)} numbers for {c.size} ciphertexts: give one for each")
    n, square = mpz(c.public_key.n), mpz(c.public_key.n) ** 2
    found = []
    powers = powmod([mpz(r) for r in randomness], n, square)
    for at, (value, power) in enumerate(zip(numbers_of(encrypting.canonical(c)), powers, strict=True)):
        if (value - power) % n:
            raise InvalidCiphertext(f"ciphertext {at} was not made with the randomness that is said to open it")
        plain = (value * _inverse(power, square) % square - 1) // n
        found.append(int(plain - n if 2 * plain > n else plain))
    return found


def _inverse(value: mpz, modulus: mpz) -> mpz:
    try:
        return mpz(pow(value, -1, modulus))
    except (ValueError, ZeroDivisionError):
        raise InvalidCiphertext("a ciphertext is not a unit") from None
