"""Encrypts with given randomness and handles bare residues: replay, test vectors, other libraries' interfaces.

Nothing here protects you. Reusing randomness for two messages reveals their difference, choosing it badly reveals
the message; a bare residue carries no key, scale or bound. Use :meth:`PublicKey.encrypt` unless you replay what was
recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import gmpy2
import numpy as np

from bluetusk import _parallel
from bluetusk._integers import limbs_of, numbers_of
from bluetusk._numeric import as_int
from bluetusk.errors import InvalidCiphertext
from bluetusk.paillier.keys import PrivateKey, PublicKey
from bluetusk.paillier.seed import Seed

__all__ = ["decrypt_raw", "encrypt_with"]

Integer: TypeAlias = int | gmpy2.mpz


def _integers(values: Integer | Sequence[Integer], name: str) -> tuple[list[int], bool]:
    """Return the values as Python ints, and whether it was a single one."""
    if isinstance(values, int | gmpy2.mpz | np.integer):
        return [as_int(values, name)], True
    if isinstance(values, np.ndarray):
        if values.ndim != 1 or values.dtype.kind not in "iuO":
            raise TypeError(f"{name} must be one-dimensional and of integers, not {values.ndim}-d of {values.dtype}")
    elif not isinstance(values, Sequence) or isinstance(values, str | bytes | bytearray | memoryview):
        raise TypeError(f"{name} must be an int or a sequence of ints, not {type(values).__name__}")
    return [as_int(value, f"{name}[{i}]") for i, value in enumerate(values)], False


def _check_key(key: object, kind: type[Any], name: str) -> None:
    if not isinstance(key, kind):
        raise TypeError(f"{name} must be a {kind.__name__}, not {type(key).__name__}")


def encrypt_with(
    pub: PublicKey,
    m: Integer | Sequence[Integer],
    r: Integer | Sequence[Integer] | Seed,
    *,
    threads: int | None = None,
) -> list[gmpy2.mpz] | gmpy2.mpz:
    """Encrypt residues with the randomness given.

    Parameters
    ----------
    pub : PublicKey
        The key; its suite says what `r` is.
    m : int or sequence of int
        Plaintext residues, ``0 <= m < n``.
    r : int, sequence of int or Seed
        Suite ``djn``: exponents ``0 <= a < 2^(bits/2)``, giving ``(1 + m n) hs^a mod n^2``. Suite ``standard``: units
        of ``Z_n``, giving ``(1 + m n) r^n mod n^2``. As many as `m`. Or the seed that they expand from.
    threads : int, optional
        Overrides :func:`bluetusk.set_num_threads`.

    Returns
    -------
    mpz or list of mpz
        Ciphertexts modulo ``n^2``; a single number for a single number.

    Raises
    ------
    TypeError
        If `pub` is not a public key, a value not an integer, or only one of `m` and `r` a single number.
    ValueError
        If a value is out of range, or the lengths differ.

    References
    ----------
    P. Paillier, EUROCRYPT 1999; PPCA 10-2023 Annex A.1 for ``djn``.

    Examples
    --------
    >>> from bluetusk.paillier import hazmat
    >>> c = hazmat.encrypt_with(pub, 42, 12345)
    >>> int(c) == (1 + 42 * pub.n) * pow(pub.hs, 12345, pub.n**2) % pub.n**2
    True
    """
    _check_key(pub, PublicKey, "pub")
    kernel, blinder = pub._kernel, pub._blinder
    messages, single = _integers(m, "m")
    n, limbs = int(pub.n), kernel.n_limbs
    if any(not 0 <= value < n for value in messages):
        raise ValueError("m must hold residues 0 <= m < n; add n to a negative number")
    mont, count = kernel.mont, len(messages)
    if isinstance(r, Seed):
        random = blinder.draw(count, r.source(pub.fingerprint))
    else:
        randoms, single_r = _integers(r, "r")
        if single is not single_r:
            raise TypeError("m and r must be both one integer or both sequences: put the single one into a list")
        if count != len(randoms):
            raise ValueError(f"m and r must have the same length, not {count} and {len(randoms)}")
        scheme = pub._scheme
        scheme.check_random(randoms, n)
        random = limbs_of(randoms, scheme.random_limbs(limbs))
    blinder.prepare(count)
    rows = limbs_of(messages, limbs)
    elements = mont.empty(count)
    out = np.zeros((count, mont.limbs), dtype=np.uint64)

    def work(lo: int, hi: int) -> None:
        blinder.power(elements, lo, hi, random[lo:hi])
        kernel.mul_plain(elements, elements, None, rows, lo, hi, True)
        mont.store(out, elements, None, lo, hi)

    _parallel.run(count, work, cost_us=12_000.0, align=mont.lanes, threads=threads)
    numbers = numbers_of(out)
    return numbers[0] if single else numbers


def decrypt_raw(
    priv: PrivateKey, c: Integer | Sequence[Integer], *, threads: int | None = None
) -> list[gmpy2.mpz] | gmpy2.mpz:
    """Decrypt bare ciphertexts to residues ``0 <= m < n``.

    Parameters
    ----------
    priv : PrivateKey
        The key.
    c : int or sequence of int
        Ciphertexts, ``0 < c < n^2`` and coprime to n.
    threads : int, optional
        Overrides :func:`bluetusk.set_num_threads`.

    Returns
    -------
    mpz or list of mpz
        Residues modulo n; a single number for a single number.

    Raises
    ------
    InvalidCiphertext
        If a value is not a ciphertext.
    InvalidKey, DecryptionError
        As in :meth:`PrivateKey.decrypt`.
    TypeError
        If `priv` is not a private key, or a value not an integer.

    Examples
    --------
    >>> from bluetusk.paillier import hazmat
    >>> hazmat.decrypt_raw(priv, hazmat.encrypt_with(pub, [7, 8], [1, 2]))
    [mpz(7), mpz(8)]
    """
    _check_key(priv, PrivateKey, "priv")
    kernel, public = priv._kernel, priv.public_key
    numbers, single = _integers(c, "c")
    limbs = public._kernel.n_limbs
    fits = [0 <= number < 1 << (128 * limbs) for number in numbers]
    rows = limbs_of([number if fit else 0 for number, fit in zip(numbers, fits, strict=True)], 2 * limbs)
    bad = public._kernel.load_checked(public._kernel.mont.empty(len(numbers)), rows, 0, len(numbers))
    if bad >= 0:
        raise InvalidCiphertext(f"c[{bad}] is not a ciphertext: it must be in 1 .. n^2 - 1 and prime to n")
    out = np.zeros((len(numbers), limbs), dtype=np.uint64)
    _parallel.run(len(numbers), lambda lo, hi: kernel.decrypt(out, rows, lo, hi), cost_us=4000.0, threads=threads)
    result = numbers_of(out)
    return result[0] if single else result
