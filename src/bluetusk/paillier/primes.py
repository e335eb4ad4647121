"""Prime numbers for Paillier keys: uniform candidates without small factors, and the tests that they must pass.

A key in DJN form (PPCA 10-2023 Annex A.1) needs p = q = 3 mod 4 with gcd(p-1, q-1) = 2, and we require more:
(p-1)(q-1)/4 has no factor below 2^16, so that the group of obfuscators has no small subgroup. Only one integer in 591
qualifies as a candidate, and of 1024-bit candidates one in 36 is prime, so candidates are not drawn and sieved but
built: a residue modulo M = 4 * 3 * 5 * ... * l is chosen uniformly among the admissible ones, then the multiple of M
that is added to it. Every admissible number of the interval is equally likely, because the pair (residue, multiple)
determines it and pairs outside the interval are drawn again.

All randomness is the operating system's (:mod:`secrets`). Candidates and primes are Python and gmpy2 integers, which
cannot be wiped, and GMP's powers leak through timing: generate keys where nobody else can measure.
"""

from __future__ import annotations

import secrets
from functools import cache

import gmpy2
from gmpy2 import mpz

from .. import _parallel

__all__ = ["Candidates", "generate_primes", "is_generated_prime", "primorial", "strong_test"]

FACTOR_BOUND = 1 << 16
"""(p-1)(q-1)/4 of a generated key has no factor below this."""

DISTANCE_BITS = 100
"""abs(p - q) > 2^(len(p) - DISTANCE_BITS): beyond Fermat's and Coppersmith's methods for close primes."""

GENERATED_ROUNDS = 5
"""Strong tests with random bases on top of BPSW for a candidate generated here."""

FOREIGN_ROUNDS = 64
"""Strong tests with random bases for a prime that somebody else chose: a composite passes with at most 4^-64."""


@cache
def primorial(bound: int) -> mpz:
    """Return the product of all primes up to `bound`, computed once per process.

    Parameters
    ----------
    bound : int
        Inclusive bound.

    Returns
    -------
    gmpy2.mpz
        The primorial.

    Examples
    --------
    >>> primorial(10)
    mpz(210)
    """
    return gmpy2.primorial(bound)


def distance_ok(p: mpz, q: mpz) -> bool:
    """Tell whether two primes of one length are far enough apart (PPCA 10 A.1: "abs(p - q) large").

    Parameters
    ----------
    p, q : gmpy2.mpz
        Of equal length in bits, more than 100.

    Returns
    -------
    bool
        abs(p - q) > 2^(len(p) - 100).

    Examples
    --------
    >>> distance_ok(mpz(2**1023 + 2**924), mpz(2**1023))
    False
    >>> distance_ok(mpz(2**1023 + 2**924 + 1), mpz(2**1023))
    True
    """
    return bool(abs(p - q) > mpz(1) << (p.bit_length() - DISTANCE_BITS))


class Candidates:
    """Uniform numbers p of one length with p = 3 mod 4 and no small factor in p or (p-1)/2.

    The interval is [2^(bits-1/2), 2^bits), so the product of two such numbers has exactly ``2 * bits`` bits.

    Parameters
    ----------
    bits : int
        Length of the numbers in bits, at least 16.

    Attributes
    ----------
    bits : int
        Length of the numbers in bits.
    low : int
        Least number of the interval: ceil(2^(bits-1/2)).
    primes : tuple of int
        The odd primes l with p mod l not in {0, 1}, that is, dividing neither p nor (p-1)/2.

    Examples
    --------
    >>> source = Candidates(1024)
    >>> p = source.draw()
    >>> p.bit_length(), p % 4, p % 3, p * p >> 2047
    (1024, 3, 2, 1)
    """

    def __init__(self, bits: int) -> None:
        self.bits = bits
        self.low = int(gmpy2.isqrt(mpz(1) << (2 * bits - 1))) + 1  # 2^(2 bits - 1) is not a square: this is the ceiling
        modulus, primes, prime = 4, [], 3
        # M <= 2^(bits/2): with more primes, composing a candidate would cost more than the sieving that it saves
        while (modulus * prime).bit_length() <= bits // 2:
            modulus *= prime
            primes.append(prime)
            prime = int(gmpy2.next_prime(prime))
        self.primes = tuple(primes)
        self._modulus = modulus
        # p = sum over l of (2 + digit_l) * e_l + 3 * e_4 mod M, with e_l = 1 mod l and 0 modulo the others
        idempotent = {m: modulus // m * pow(modulus // m, -1, m) for m in (4, *primes)}
        self._base = 3 * idempotent[4] + 2 * sum(idempotent[prime] for prime in primes)
        self._digits = tuple((prime - 2, idempotent[prime]) for prime in primes)
        self._residues = 1
        for radix, _ in self._digits:
            self._residues *= radix
        self._first = self.low // modulus
        self._multiples = (1 << bits) // modulus + 1 - self._first

    def draw(self) -> int:
        """Draw one candidate.

        Returns
        -------
        int
            Uniform among all numbers that the class's description allows.

        Examples
        --------
        >>> Candidates(64).draw() % 4
        3
        """
        while True:
            index, residue = secrets.randbelow(self._residues), self._base
            for radix, unit in self._digits:
                index, digit = divmod(index, radix)
                residue += digit * unit
            candidate = residue % self._modulus + (self._first + secrets.randbelow(self._multiples)) * self._modulus
            if self.low <= candidate < 1 << self.bits:
                return candidate


def strong_test(n: mpz, rounds: int) -> bool:
    """Run strong probable-prime tests (Miller-Rabin) with bases from the operating system.

    GMP's own test takes its bases from a fixed seed, so somebody who chooses n can prepare a composite that passes it;
    nobody can prepare for these.

    Parameters
    ----------
    n : gmpy2.mpz
        The number to test.
    rounds : int
        Number of bases, uniform in [2, n - 2].

    Returns
    -------
    bool
        False: n is composite (or below 5 and not prime). True: n is prime, up to an error probability of at most
        ``4**-rounds``.

    Examples
    --------
    >>> strong_test(mpz(2**127 - 1), 8), strong_test(mpz(2**128 + 1), 8)
    (True, False)
    """
    if n < 5 or not n.is_odd():
        return n in (2, 3)
    for _ in range(rounds):
        base = 2 + secrets.randbelow(int(n) - 3)
        if gmpy2.gcd(base, n) != 1 or not gmpy2.is_strong_prp(n, base):
            return False
    return True


def is_generated_prime(n: mpz, rounds: int = GENERATED_ROUNDS) -> bool:
    """Test a number by BPSW and then by strong tests with bases from the operating system.

    Parameters
    ----------
    n : gmpy2.mpz
        The number to test.
    rounds : int, optional
        Number of random bases: 5 for a candidate drawn at random (the error is then far below ``4**-rounds``), 64 for a
        number that somebody else chose.

    Returns
    -------
    bool
        Whether n passes every test.

    References
    ----------
    FIPS 186-5 appendix B.3 and table B.1: 4 rounds for random 1024-bit candidates at error 2^-112 or better.

    Examples
    --------
    >>> is_generated_prime(mpz(2**127 - 1)), is_generated_prime(mpz(2**127 + 1))
    (True, False)
    """
    return bool(n > 1 and gmpy2.is_strong_bpsw_prp(n) and strong_test(n, rounds))


def generate_primes(bits: int, *, threads: int | None = None) -> tuple[mpz, mpz]:
    """Generate the two primes of a key.

    Parameters
    ----------
    bits : int
        Length of each prime in bits, at least 128.
    threads : int, optional
        Threads that search together; see :func:`bluetusk.set_num_threads`.

    Returns
    -------
    p, q : gmpy2.mpz
        Independent and uniform among the primes of the interval of :class:`Candidates`, with the conditions of the
        module's description and abs(p - q) > 2^(bits - 100). Which prime is found first depends on the threads, and
        nothing else does.

    Raises
    ------
    ValueError
        If `bits` is below 128.

    References
    ----------
    PPCA 10-2023 Annex A.1. The search by residues follows the idea of M. Joye and P. Paillier, "Fast generation of
    prime numbers on portable devices: an update", CHES 2006.

    Examples
    --------
    >>> p, q = generate_primes(256)
    >>> (p * q).bit_length(), p % 4, q % 4, gmpy2.gcd(p - 1, q - 1)
    (512, mpz(3), mpz(3), mpz(2))
    """
    if bits < 128:
        raise ValueError(f"bits must be at least 128, not {bits}")
    source = Candidates(bits)
    # two steps, because the small product rejects 4 of 10 survivors of the residues at a tenth of the large one's cost
    reach = source.primes[-1]
    near = primorial(1 << 12) // primorial(reach) if reach < 1 << 12 else mpz(1)
    far = primorial(FACTOR_BOUND) // primorial(max(reach, 1 << 12))
    found: list[mpz] = []

    def search(lo: int, hi: int) -> None:
        for _ in range(lo, hi):
            if len(found) >= 2:
                return
            candidate = mpz(source.draw())
            half = candidate >> 1
            both = candidate * half
            if gmpy2.gcd(near, both) != 1 or not _long_tests(far, both, candidate, half):
                continue
            if is_generated_prime(candidate):
                found.append(candidate)

    while True:
        # some 40 ms of work a slice, for Ctrl-C; slices that start after the second prime return at once
        _parallel.run(1 << 12, search, cost_us=200.0 * (bits / 1024) ** 2, threads=threads)
        if len(found) < 2:
            continue
        p, q = found[:2]
        found.clear()
        if gmpy2.gcd(p - 1, q - 1) == 2 and distance_ok(p, q):
            return p, q


def _long_tests(far: mpz, both: mpz, candidate: mpz, half: mpz) -> bool:
    """Run the two costly tests, a gcd and a strong test with base 2, with the GIL released.

    Since candidate = 3 mod 4, the strong test is one power: 2^((p-1)/2) must be 1 or -1. gmpy2's own strong test keeps
    the GIL. Cheaper steps keep it too: giving it up and waiting for it costs more than they do.
    """
    with gmpy2.context(gmpy2.get_context(), allow_release_gil=True):
        if gmpy2.gcd(far, both) != 1:
            return False
        root = gmpy2.powmod(2, half, candidate)
    return root in (1, candidate - 1)
