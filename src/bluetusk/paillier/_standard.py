"""Suite ``standard``: Paillier's scheme as he published it, ciphertexts ``(1 + m n) r^n mod n^2``, r a unit of Z_n."""

from __future__ import annotations

import os
from collections.abc import Callable

import gmpy2
import numpy as np

from .._kernels.paillier import PaillierPublic
from .._powers import product_us
from ..errors import InvalidKey
from . import validate
from ._scheme import Scheme
from ._store import Words

__all__ = ["Standard", "random_units"]


def random_units(kernel: PaillierPublic, count: int, source: Callable[[int], bytes] = os.urandom) -> Words:
    """Uniform units of Z_n, by rejection, one canonical row each; a multiple of p or q has probability 2^-1000."""
    modulus, limbs = kernel.n, kernel.n_limbs
    rows: list[bytes] = []
    while len(rows) < count:
        row = source(8 * limbs)
        if 0 < int.from_bytes(row, "little") < modulus:
            rows.append(row)
    return np.frombuffer(b"".join(rows), dtype=np.uint64).reshape(count, limbs)


class Standard(Scheme):
    """Obfuscators r^n: the plain assumption of Paillier's paper, several times slower."""

    name = "standard"
    has_base = False
    owner_encrypts = False

    def check_public(self, n: int, base: int | None) -> tuple[int | None, bool]:
        """Check a public key; return its base, and whether its maker chose that."""
        validate.check_modulus(n, blum=False)
        if base is not None:
            raise InvalidKey("hs was given, but suite 'standard' has none; leave it out or use suite='djn'")
        return None, False

    def check_primes(self, p: int, q: int) -> None:
        """Check the primes of a private key."""
        validate.check_primes(p, q, blum=False)

    def cost_us(self, kernel: PaillierPublic) -> float:
        """Return the rough microseconds of an obfuscator."""
        return 1.25 * 64 * kernel.n_limbs * product_us(kernel.mont)

    def random_limbs(self, n_limbs: int) -> int:
        """Return the limbs of the randomness of an obfuscator."""
        return n_limbs

    def check_random(self, values: list[int], n: int) -> None:
        """Refuse randomness out of range."""
        if any(not 0 < value < n or gmpy2.gcd(value, n) != 1 for value in values):
            raise ValueError("r must hold units of Z_n for the suite standard")

    def draw(self, kernel: PaillierPublic, count: int, source: Callable[[int], bytes] = os.urandom) -> Words:
        """Return randomness for obfuscators, one row each."""
        return random_units(kernel, count, source)

    def power(self, kernel: PaillierPublic, base: int | None, dst: Words, lo: int, hi: int, random: Words) -> None:
        """Write the obfuscators of given randomness to elements ``lo .. hi - 1``."""
        kernel.blind_standard(dst, lo, hi, random)
