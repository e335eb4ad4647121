"""Every check of a Paillier key, in one place and by name.

A key that came from elsewhere is an input like any other. A modulus of the wrong size makes wrong limb counts, an even
or a prime one makes decryption trivial, an `hs` of order one or two encrypts with no randomness at all, and a private
key whose q was never tested for q = 3 mod 4 (a fault found in a deployed library) is not the scheme it says it is.

What a holder of the public key alone *cannot* check: that n is coprime to phi(n), which the key's owner proves
(:mod:`.proofs`); that n has exactly two prime factors of one length and far apart,
that they are 3 mod 4, and that hs is an n-th residue (deciding that is the assumption on which Paillier's security
rests). Whoever makes a key can make a bad one for his own data to be read by others; keys of this package leave him no
choice of hs at all, because it is derived from n (:func:`derive_hs`) and a receiver derives it again.
"""

from __future__ import annotations

import hashlib
from typing import Final

import gmpy2
from gmpy2 import mpz

from ..errors import InvalidKey
from . import primes

__all__ = [
    "KEY_BITS",
    "check_bits",
    "check_hs",
    "check_modulus",
    "check_primes",
    "check_residue",
    "derive_hs",
]

KEY_BITS: Final = (2048, 3072, 4096)
"""Sizes of n in bits. PPCA 8-2023 6.2.1 requires 2048 or 3072; 112 bits of security need 2048, 128 bits need 3072."""

PUBLIC_FACTOR_BOUND: Final = 1 << 20
"""n has no prime factor below this."""

_HS_DOMAIN = b"bluetusk/paillier/djn/x/v1\x00"
_HS_EXTRA = 32  # bytes of SHAKE output beyond the length of n: x is then within 2^-256 of uniform modulo n


def check_bits(bits: int, name: str = "bits") -> None:
    """Refuse a key size that is not offered.

    Parameters
    ----------
    bits : int
        Size of n in bits.
    name : str, optional
        What to call it in the message.

    Raises
    ------
    InvalidKey
        If `bits` is not one of :data:`KEY_BITS`.

    Examples
    --------
    >>> check_bits(1024)
    Traceback (most recent call last):
        ...
    bluetusk.errors.InvalidKey: bits is 1024: too short to be secure; use a key of 2048, 3072 or 4096 bits
    """
    if bits not in KEY_BITS:
        why = "too short to be secure" if bits < KEY_BITS[0] else "not a size in use"
        shown = bits if bits < 1 << 64 else "above 2^64"
        raise InvalidKey(f"{name} is {shown}: {why}; use a key of 2048, 3072 or 4096 bits")


def check_modulus(n: int, *, blum: bool) -> None:
    """Check all that the public may know of a modulus.

    Parameters
    ----------
    n : int
        The modulus.
    blum : bool
        Whether p = q = 3 mod 4 and gcd(p-1, q-1) = 2 are demanded, as in suite ``djn``.

    Raises
    ------
    InvalidKey
        If n is not of an exact size of :data:`KEY_BITS`, is even, has a factor below 2^20, is prime or a perfect
        power, or is not 1 mod 4 where `blum` is set (p = q = 3 mod 4 implies it).

    Examples
    --------
    >>> check_modulus(2**2047, blum=True)
    Traceback (most recent call last):
        ...
    bluetusk.errors.InvalidKey: n is even: not a product of two large primes; ask the key's owner for the right key
    """
    if n <= 0:
        raise InvalidKey("n is not positive; ask the key's owner for the right key")
    check_bits(n.bit_length(), "length of n in bits")
    remedy = "not a product of two large primes; ask the key's owner for the right key"
    if n % 2 == 0:
        raise InvalidKey(f"n is even: {remedy}")
    z = mpz(n)
    if gmpy2.gcd(z, primes.primorial(PUBLIC_FACTOR_BOUND)) != 1:
        raise InvalidKey(f"n has a prime factor below 2^20: {remedy}")
    # every prime passes a strong test, so no prime gets through; a good n passes by chance only (2^-900 and less)
    if gmpy2.is_strong_prp(z, 2):
        raise InvalidKey(f"n is prime: {remedy}")
    if gmpy2.is_power(z):
        raise InvalidKey(f"n is a perfect power: {remedy}")
    if blum and n % 4 != 1:
        raise InvalidKey("n is not 1 mod 4, so p = q = 3 mod 4 cannot hold; use suite='standard' for this key")


def derive_hs(n: int) -> int:
    """Derive DJN's hs from the modulus, so that nobody can choose it.

    x is SHAKE-256 of a domain label and n (big-endian), len(n) + 256 bits read as a big-endian integer and reduced
    modulo n; then h = -x^2 mod n and hs = h^n mod n^2.

    Parameters
    ----------
    n : int
        A modulus that :func:`check_modulus` accepts.

    Returns
    -------
    int
        hs, in (1, n^2).

    Raises
    ------
    InvalidKey
        If gcd(x, n) is not 1, which factors n: it does not happen to a product of two large primes.

    References
    ----------
    PPCA 10-2023 Annex A.1 (h = -x^2 mod n, hs = h^n mod n^2); I. Damgard, M. Jurik, J. B. Nielsen, "A generalization of
    Paillier's public-key system with applications to electronic voting", 2010, section 4.2.

    Examples
    --------
    >>> derive_hs(35)
    999
    """
    size = (n.bit_length() + 7) // 8
    stream = hashlib.shake_256(_HS_DOMAIN + n.to_bytes(size, "big")).digest(size + _HS_EXTRA)
    x = mpz(int.from_bytes(stream, "big")) % n
    if gmpy2.gcd(x, n) != 1:
        raise InvalidKey("n shares a factor with a number derived from it; ask the key's owner for the right key")
    return int(gmpy2.powmod(-x * x % n, n, mpz(n) * n))


def check_hs(hs: int, n: int) -> None:
    """Check all that the public may know of an hs that somebody chose.

    Parameters
    ----------
    hs : int
        The base of the obfuscators.
    n : int
        A modulus that :func:`check_modulus` accepts.

    Raises
    ------
    InvalidKey
        If hs is not in (1, n^2 - 1), not invertible, of Jacobi symbol -1, or congruent to 1 or -1 modulo a factor of n:
        such a power hides nothing. 1 and n^2 - 1 themselves, with which everybody could read every ciphertext, are
        among these.

    Examples
    --------
    >>> check_hs(1, 35)
    Traceback (most recent call last):
        ...
    bluetusk.errors.InvalidKey: hs is 1 or n^2 - 1, so ciphertexts would hide nothing; ask the owner for the right key
    """
    remedy = "ask the owner for the right key"
    z, nsquare = mpz(hs), mpz(n) * n
    if not 0 < z < nsquare:
        raise InvalidKey(f"hs is not between 0 and n^2; {remedy}")
    if z in (1, nsquare - 1):
        raise InvalidKey(f"hs is 1 or n^2 - 1, so ciphertexts would hide nothing; {remedy}")
    if gmpy2.gcd(z, n) != 1:
        raise InvalidKey(f"hs shares a factor with n; {remedy}")
    if gmpy2.jacobi(z, n) != 1:
        raise InvalidKey(f"hs has Jacobi symbol -1, so it is not -x^2 to the n-th power; {remedy}")
    if gmpy2.gcd(z - 1, n) != 1 or gmpy2.gcd(z + 1, n) != 1:
        raise InvalidKey(f"hs is 1 or -1 modulo a factor of n, so ciphertexts would hide nothing; {remedy}")


def check_primes(p: int, q: int, *, blum: bool) -> None:
    """Check a private key that somebody else may have made.

    Costs 64 strong tests of p and of q: about 0.06 s at 2048 bits and 0.4 s at 4096.

    Parameters
    ----------
    p, q : int
        The primes.
    blum : bool
        Whether p = q = 3 mod 4 and gcd(p-1, q-1) = 2 are demanded, as in suite ``djn``.

    Raises
    ------
    InvalidKey
        Naming the first condition that fails: lengths, p != q, the distance, p = 3 mod 4 and q = 3 mod 4 (each by its
        name) and gcd(p-1, q-1) = 2 where `blum` is set, primality of each.

    Examples
    --------
    >>> check_primes(2**1024 - 105, 2**1024 - 105, blum=True)
    Traceback (most recent call last):
        ...
    bluetusk.errors.InvalidKey: p equals q; make a new key
    """
    for name, prime in (("p", p), ("q", q)):
        if prime <= 0:
            raise InvalidKey(f"{name} is not positive; make a new key")
    if p.bit_length() != q.bit_length():
        raise InvalidKey(f"p has {p.bit_length()} bits and q has {q.bit_length()}, not the same; make a new key")
    check_bits((p * q).bit_length(), "length of p * q in bits")
    if p == q:
        raise InvalidKey("p equals q; make a new key")
    zp, zq = mpz(p), mpz(q)
    if not primes.distance_ok(zp, zq):
        raise InvalidKey("p and q are too close to each other, n can be factored; make a new key")
    for name, prime in (("p", p), ("q", q)):
        if prime % 2 == 0:
            raise InvalidKey(f"{name} is even; make a new key")
        if blum and prime % 4 != 3:
            raise InvalidKey(f"{name} is not 3 mod 4, as suite 'djn' demands; make a new key, or use suite='standard'")
    if blum and gmpy2.gcd(zp - 1, zq - 1) != 2:
        raise InvalidKey("gcd(p-1, q-1) is not 2, as suite 'djn' demands; make a new key, or use suite='standard'")
    # gcd(n, (p-1)(q-1)) = 1, on which decryption rests, holds for any two primes of one length: p | q-1 needs q > 2p
    for name, prime in (("p", zp), ("q", zq)):
        if not primes.is_generated_prime(prime, primes.FOREIGN_ROUNDS):
            raise InvalidKey(f"{name} is not prime; make a new key")


def check_residue(hs: int, p: int, q: int) -> None:
    """Check what only the private key can tell of an hs that somebody chose.

    Parameters
    ----------
    hs : int
        The base of the obfuscators; one that is derived from n needs no check.
    p, q : int
        Primes that :func:`check_primes` accepts.

    Raises
    ------
    InvalidKey
        If hs is not an n-th residue modulo n^2.

    Examples
    --------
    >>> check_residue(derive_hs(77), 7, 11)
    >>> check_residue(derive_hs(77) * (1 + 77), 7, 11)
    Traceback (most recent call last):
        ...
    bluetusk.errors.InvalidKey: hs is not an n-th residue, so ciphertexts would decrypt wrongly; make a new key
    """
    for prime in (p, q):
        # hs mod p^2 is an n-th residue exactly if it is a p-th power, which is: of an order that divides p - 1
        if gmpy2.powmod(hs, prime - 1, prime * prime) != 1:
            raise InvalidKey("hs is not an n-th residue, so ciphertexts would decrypt wrongly; make a new key")
