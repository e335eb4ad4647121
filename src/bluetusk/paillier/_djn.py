"""Suite ``djn``: Paillier's scheme with short obfuscators hs^a, ciphertexts ``(1 + m n) hs^a mod n^2``.

The base hs is an n-th residue, derived from n in keys of this package, and the exponents have half the bits of n: a
comb table of powers of hs makes an obfuscator several times faster than r^n, and the key's owner is faster still.

References: I. Damgard, M. Jurik, J. B. Nielsen, 2010, section 4.2; PPCA 10-2023 Annex A.1.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np

from .._kernels.paillier import PaillierPublic
from .._powers import product_us
from . import validate
from ._scheme import Scheme
from ._store import Words

__all__ = ["Djn"]


class Djn(Scheme):
    """Obfuscators hs^a."""

    name = "djn"
    has_base = True
    owner_encrypts = True

    def check_public(self, n: int, base: int | None) -> tuple[int | None, bool]:
        """Check a public key; return its base, and whether its maker chose that."""
        validate.check_modulus(n, blum=True)
        if base is not None:
            validate.check_hs(base, n)  # before the costly step
        derived = validate.derive_hs(n)
        if base is None:
            validate.check_hs(derived, n)
            return derived, False
        return base, base != derived

    def check_primes(self, p: int, q: int) -> None:
        """Check the primes of a private key."""
        validate.check_primes(p, q, blum=True)

    def cost_us(self, kernel: PaillierPublic) -> float:
        """Return the rough microseconds of an obfuscator by the table."""
        return 64 * kernel.n_limbs / 2 / 5 * product_us(kernel.mont)

    def random_limbs(self, n_limbs: int) -> int:
        """Return the limbs of an exponent."""
        return n_limbs // 2

    def check_random(self, values: list[int], n: int) -> None:
        """Refuse exponents out of range."""
        half = n.bit_length() // 2
        if any(not 0 <= value < 1 << half for value in values):
            raise ValueError(f"r must hold exponents 0 <= a < 2^{half} for the suite djn")

    def draw(self, kernel: PaillierPublic, count: int, source: Callable[[int], bytes] = os.urandom) -> Words:
        """Return exponents, one row each."""
        limbs = self.random_limbs(kernel.n_limbs)
        return np.frombuffer(source(8 * limbs * count), dtype=np.uint64).reshape(count, limbs)

    def power(self, kernel: PaillierPublic, base: int | None, dst: Words, lo: int, hi: int, random: Words) -> None:
        """Write the obfuscators of given exponents to elements ``lo .. hi - 1``; without a base, by its table."""
        if base is None:
            kernel.blind_table(dst, lo, hi, random)
        else:
            kernel.blind_power(dst, lo, hi, base, random)
