"""Every condition of a key, broken one at a time: 300 vectors and more, and none may pass."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections import Counter
from typing import Any, NamedTuple

import gmpy2
import numpy as np
import pytest
from gmpy2 import mpz

from bluetusk.errors import InvalidKey
from bluetusk.paillier import primes, validate
from bluetusk.paillier.private_key import PrivateKey
from bluetusk.paillier.public_key import PublicKey
from bluetusk.paillier.scheme import SCHEMES


class Vector(NamedTuple):
    build: type[Any]
    args: tuple[int, ...]
    suite: str
    words: str  # in the message

    def __repr__(self):
        return f"{self.build.__name__}: {self.words}"


def number(low: int = 1 << 2047, high: int = 1 << 2048) -> int:
    """A random odd number of [low, high) without a factor below 2^20."""
    while True:
        n = low + secrets.randbelow(high - low) | 1
        if n < high and gmpy2.gcd(n, primes.primorial(1 << 20)) == 1:
            return n


def prime_in(low: int, high: int, residue: int, modulus: int) -> int:
    """A random prime of [low, high) that is `residue` modulo `modulus`."""
    while True:
        p = low + secrets.randbelow(high - low)
        p += (residue - p) % modulus
        while p < high:
            if gmpy2.is_prime(p):
                return p
            p += modulus


LOW = primes.Candidates(1024).low  # two primes from here to 2^1024 have a product of exactly 2048 bits
HIGH = 1 << 1024
HALF = 1 << 512


@pytest.fixture(scope="module")
def good() -> tuple[int, int]:
    p, q = primes.generate_primes(1024)
    return int(p), int(q)


def modulus_vectors(p: int, q: int) -> list[Vector]:
    n = p * q
    vectors = []

    def add(value: int, words: str, suite: str = "djn") -> None:
        vectors.append(Vector(PublicKey, (value,), suite, words))

    for value in (0, -1, -n, -(n * n)):
        add(value, "n is not positive")
    near = [size + step for size in validate.KEY_BITS for step in (-64, -8, -2, -1, 1, 2, 8, 64)]
    for bits in (1, 2, 3, 8, 64, 128, 512, 1024, 1536, 2560, 3584, 5120, 8192, 16384, *near):
        value = (1 << bits) - 1
        add(value, f"length of n in bits is {bits}")
        add(value, f"length of n in bits is {bits}", "standard")
    for step in (1, -1, 3, 5):
        add(n + step, "n is even")
        add(n + step, "n is even", "standard")
    for bits in validate.KEY_BITS:
        add(1 << (bits - 1), "n is even")
    for factor in (
        3,
        5,
        7,
        11,
        13,
        101,
        257,
        1009,
        32771,
        65521,
        65537,
        65539,
        131071,
        262147,
        524287,
        786433,
        1048573,
    ):
        for suite in SCHEMES:
            value = factor * number(-((-1 << 2047) // factor), (1 << 2048) // factor)
            add(value, "n has a prime factor below 2^20", suite)
    for residue in (1, 3):
        prime = prime_in(1 << 2047, 1 << 2048, residue, 4)
        add(prime, "n is prime", "djn" if residue == 1 else "standard")
    for root, power in ((p, 2), (q, 2)):
        add(root**power, "n is a perfect power")
        add(root**power, "n is a perfect power", "standard")
    for power in (2, 4, 8, 16, 32, 64):
        root = prime_in(int(gmpy2.iroot(mpz(1) << 2047, power)[0]) + 1, 1 << (2048 // power), 1, 2)
        add(root**power, "n is a perfect power", "standard")
    for _ in range(8):
        value = number()
        while value % 4 != 3 or gmpy2.is_prime(value):
            value = number()
        add(value, "n is not 1 mod 4")
    for suite in ("", "DJN", "djn ", "djn\x00", "Standard", "ou", "r^n", "djn" * 40):
        add(n, "is unknown", suite)
    return vectors


def hs_vectors(p: int, q: int) -> list[Vector]:
    n = p * q
    square = n * n
    hs = validate.derive_hs(n)
    vectors = []

    def add(value: int, words: str) -> None:
        vectors.append(Vector(PublicKey, (n, value), "djn", words))

    for value in (0, -1, -hs, square, square + 1, square + hs, square << 64):
        add(value, "hs is not between 0 and n^2")
    for value in (1, square - 1):
        add(value, "hs is 1 or n^2 - 1")
    for value in (p, q, n, p * p, q * q, 2 * p, n * (n - 1), square - n, square - p, p * q * q, hs * p % square):
        add(value, "hs shares a factor with n")
    found = 0
    while found < 40:
        value = secrets.randbelow(square)
        if gmpy2.jacobi(value, n) == -1:
            add(value, "hs has Jacobi symbol -1")
            found += 1
    for _ in range(12):  # a bare ciphertext of a message, and its negative: no randomness at all
        k = secrets.randbelow(n)
        add((1 + k * n) % square, "hs is 1 or -1 modulo a factor")
        add((k * n - 1) % square, "hs is 1 or -1 modulo a factor")
    for prime, other in ((p, q), (q, p)):
        inverse = pow(prime, -1, other)
        for unit in (1, -1):
            for _ in range(3):  # unit modulo one prime, a square times unit's symbol modulo the other
                x = secrets.randbelow(other)
                want = x * x * int(gmpy2.legendre(unit % prime, prime))
                value = (unit + prime * ((want - unit) * inverse % other)) % n
                add(value, "hs is 1 or -1 modulo a factor")
    vectors.append(Vector(PublicKey, (n, hs), "standard", "suite 'standard' has none"))
    return vectors


def prime_vectors(p: int, q: int) -> list[Vector]:
    vectors = []

    def add(a: int, b: int, words: str, suite: str = "djn") -> None:
        vectors.append(Vector(PrivateKey, (a, b), suite, words))

    for suite in SCHEMES:
        for value in (0, -1, -p):
            add(value, q, "p is not positive", suite)
            add(q, value, "q is not positive", suite)
        add(p, p, "p equals q", suite)
        for other in (q >> 1, q << 1, q << 64 | 1, 7):
            add(p, other, "not the same", suite)
        add(p + 1, q, "p is even", suite)
        add(p, q + 1, "q is even", suite)
        for step in (2, 4, 6, 1 << 64, 1 << 923, 1 << 924):  # 2^924 is the first distance that is not enough
            add(p, p - step if p - step > LOW else p + step, "too close", suite)
        composite = prime_in(HALF * 9 // 10, HALF, 1, 4) * prime_in(HALF * 9 // 10, HALF, 3, 4)
        add(composite, q, "p is not prime", suite)
        add(q, composite, "q is not prime", suite)
    for bits in (256, 512, 640, 768, 1023, 1025, 1280, 2047, 2049):  # small and odd sizes
        a = (1 << bits) - 1
        add(a, a - (1 << (bits - 2)), f"length of p * q in bits is {2 * bits}")
    one = prime_in(LOW, HIGH, 1, 4)
    add(one, q, "p is not 3 mod 4")
    add(q, one, "q is not 3 mod 4")  # a deployed library's loop tests p twice and q never
    for factor in (3, 5, 7, 101, 65537, 1048583):
        a, b = (prime_in(LOW, HIGH, 2 * factor + 1, 4 * factor) for _ in range(2))
        add(a, b, "gcd(p-1, q-1) is not 2")
    short = prime_in(HIGH >> 1, (HIGH >> 1) + (1 << 1000), 3, 4)  # 1024 bits each, and a product of 2047
    add(short, prime_in(HIGH >> 1, (HIGH >> 1) + (1 << 1000), 3, 4), "length of p * q in bits is 2047")
    n, hs = p * q, validate.derive_hs(p * q)
    for _ in range(10):
        wrong = hs * (1 + (1 + secrets.randbelow(n - 1)) * n) % (n * n)
        vectors.append(Vector(PrivateKey, (p, q, wrong), "djn", "hs is not an n-th residue"))
    vectors.append(Vector(PrivateKey, (p, q, 1), "djn", "hs is 1 or n^2 - 1"))
    vectors.append(Vector(PrivateKey, (p, q, hs), "standard", "suite 'standard' has none"))
    return vectors


def refusal(vector: Vector) -> str | None:
    """The message with which a key is refused, None if it is accepted."""
    count = 2 if vector.build is PrivateKey else 1
    hs = {"hs": vector.args[count]} if len(vector.args) > count else {}
    try:
        vector.build(*vector.args[:count], **hs, suite=vector.suite)
    except InvalidKey as error:
        return str(error)
    return None


def test_none_of_300_bad_keys_is_accepted(good):
    vectors = [*modulus_vectors(*good), *hs_vectors(*good), *prime_vectors(*good)]
    accepted = []
    for vector in vectors:
        message = refusal(vector)
        if message is None:
            accepted.append(vector)
            continue
        assert vector.words in message
        # a remedy in every message, and no number of the key in any
        assert ";" in message
        assert not re.search("[0-9a-f]{17}", message)
    assert accepted == []
    assert len(vectors) >= 300
    kinds = Counter(vector.build.__name__ for vector in vectors)
    assert kinds["PublicKey"] >= 200
    assert kinds["PrivateKey"] >= 60


def test_the_good_key_behind_the_bad_ones_is_accepted(good):
    p, q = good
    key = PrivateKey(p, q)
    assert key.public_key == PublicKey(p * q) == PublicKey(p * q, key.public_key.hs)
    assert PrivateKey(q, p).public_key == key.public_key
    assert PrivateKey(p, q, hs=key.public_key.hs).public_key.given_hs is False


def test_standard_suite_takes_primes_that_djn_refuses():
    p, q = (prime_in(LOW, HIGH, 1, 4) for _ in range(2))
    key = PrivateKey(p, q, suite="standard")
    assert key.public_key.hs is None
    with pytest.raises(InvalidKey, match="p is not 3 mod 4"):
        PrivateKey(p, q)


@pytest.mark.parametrize("value", [None, 2.0**1000, "7", b"7", True, np.float64(3), [7], 7j])
def test_wrong_types_are_named(good, value):
    p, q = good
    with pytest.raises(TypeError, match=r"^n must be an int"):
        PublicKey(value)
    with pytest.raises(TypeError, match=r"^p must be an int"):
        PrivateKey(value, q)
    with pytest.raises(TypeError, match=r"^q must be an int"):
        PrivateKey(p, value)
    if value is not None:
        with pytest.raises(TypeError, match=r"^hs must be an int"):
            PublicKey(p * q, value)
    if not isinstance(value, str):
        with pytest.raises(TypeError, match=r"^suite must be a str"):
            PublicKey(p * q, suite=value)


def test_integers_of_other_kinds_are_taken(good):
    p, q = good
    assert PublicKey(mpz(p * q)) == PublicKey(p * q)
    assert type(PublicKey(mpz(p * q)).n) is int
    key = PrivateKey(mpz(p), mpz(q))
    assert key.public_key == PublicKey(p * q)
    key.close()


def derived_x(n: int) -> int:
    """x of the description of `derive_hs`, by the book."""
    size = (n.bit_length() + 7) // 8
    stream = hashlib.shake_256(b"bluetusk/paillier/djn/x/v1\x00" + n.to_bytes(size, "big")).digest(size + 32)
    return int.from_bytes(stream, "big") % n


def test_hs_is_what_the_description_says(good):
    n = good[0] * good[1]
    x = derived_x(n)
    assert validate.derive_hs(n) == pow(-x * x % n, n, n * n)
    for prime in good:
        assert pow(validate.derive_hs(n), prime - 1, prime * prime) == 1


@pytest.mark.parametrize(("n", "hs"), [(35, 999), (77, 1734)])
def test_derivation_of_hs_never_changes(n, hs):
    assert validate.derive_hs(n) == hs  # every key there is depends on it


def test_derivation_refuses_a_number_that_shares_a_factor():
    shared = [n for n in range(15, 256, 2) if gmpy2.gcd(derived_x(n), n) != 1]
    assert len(shared) > 10
    for n in shared:
        with pytest.raises(InvalidKey, match="shares a factor"):
            validate.derive_hs(n)
