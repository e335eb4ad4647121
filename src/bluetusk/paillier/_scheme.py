"""What an encryption scheme gives to keys and arrays; the table of schemes is in :mod:`bluetusk.paillier.scheme`."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

from .._kernels.paillier import PaillierPrivate, PaillierPublic
from . import primes, validate
from ._store import Words
from .fingerprint import fingerprint

__all__ = ["Scheme"]


class Scheme(ABC):
    """A scheme: one object without state for all of its keys.

    A public key is the modulus n and, where the scheme has one, the base of the obfuscators. A kernel is the arithmetic
    of one key: that of :meth:`public` adds plaintexts to ciphertexts and checks ciphertexts from outside, that of
    :meth:`private` decrypts and, where the owner is faster, encrypts.

    Plaintexts pass as residues modulo n, ``n + v`` for a negative v. What is not abstract here holds for every kind of
    Paillier's scheme, ``n = p q`` and ciphertexts modulo n^2; a scheme of another kind overrides these methods, too.
    """

    name: ClassVar[str]
    """The suite's name in keys, frames and files."""
    has_base: ClassVar[bool]
    """Whether obfuscators are powers of a base, of which there may be a table; a key's maker may choose it."""
    owner_encrypts: ClassVar[bool]
    """Whether the private key encrypts long arrays faster than the public one."""

    # --- keys --------------------------------------------------------------------------------------------------------

    def generate(self, bits: int, threads: int | None) -> tuple[int, int]:
        """Return the primes of a new key."""
        p, q = primes.generate_primes(bits // 2, threads=threads)
        return int(p), int(q)

    def modulus(self, p: int, q: int) -> int:
        """Return n."""
        return p * q

    @abstractmethod
    def check_public(self, n: int, base: int | None) -> tuple[int | None, bool]:
        """Check a public key; return its base, and whether the key's maker chose that."""

    @abstractmethod
    def check_primes(self, p: int, q: int) -> None:
        """Check the primes of a private key."""

    def check_chosen(self, base: int, p: int, q: int) -> None:
        """Check what only the private key can tell of a base that somebody chose."""
        validate.check_residue(base, p, q)

    def fingerprint(self, n: int, base: int | None) -> bytes:
        """Hash all that makes a public key."""
        return fingerprint(self.name, n, base)

    # --- numbers -----------------------------------------------------------------------------------------------------

    def ciphertext_modulus(self, n: int) -> int:
        """Return the modulus of ciphertexts."""
        return n * n

    def capacity(self, n: int) -> int:
        """Return the largest absolute value that a ciphertext holds."""
        return (n - 1) // 2

    def room(self, n: int) -> int:
        """Return how many bits of a plaintext slots may fill."""
        return n.bit_length() - 2

    # --- arithmetic --------------------------------------------------------------------------------------------------

    def public(self, n: int) -> PaillierPublic:
        """Return the kernel of a public key."""
        return PaillierPublic(n)

    def private(self, public: PaillierPublic, p: int, q: int, base: int | None) -> PaillierPrivate:
        """Return the kernel of a private key."""
        return PaillierPrivate(public, p, q, base)

    # --- obfuscators -------------------------------------------------------------------------------------------------

    @abstractmethod
    def cost_us(self, kernel: PaillierPublic) -> float:
        """Return the rough microseconds of an obfuscator."""

    @abstractmethod
    def random_limbs(self, n_limbs: int) -> int:
        """Return the limbs of the randomness of an obfuscator, for an n of `n_limbs`."""

    @abstractmethod
    def check_random(self, values: list[int], n: int) -> None:
        """Refuse randomness out of range by a ValueError."""

    @abstractmethod
    def draw(self, kernel: PaillierPublic, count: int, source: Callable[[int], bytes] = os.urandom) -> Words:
        """Return randomness for obfuscators, one row each, from the uniform bytes of a source."""

    @abstractmethod
    def power(self, kernel: PaillierPublic, base: int | None, dst: Words, lo: int, hi: int, random: Words) -> None:
        """Write the obfuscators of given randomness to elements ``lo .. hi - 1``; without a base, by its table."""
