"""Given randomness: exactly the textbook formulas, and nothing else accepted."""

from __future__ import annotations

import secrets

import gmpy2
import numpy as np
import pytest

from bluetusk import InvalidCiphertext
from bluetusk.paillier import PublicKey, hazmat


def test_djn_is_the_formula(pub, priv):
    n = int(pub.n)
    messages = [0, 1, n - 1, *(secrets.randbelow(n) for _ in range(5))]
    exponents = [1, 2**1024 - 1, 0, *(secrets.randbits(1024) for _ in range(5))]
    numbers = hazmat.encrypt_with(pub, messages, exponents)
    expected = [(1 + m * n) * pow(int(pub.hs), a, n * n) % (n * n) for m, a in zip(messages, exponents, strict=True)]
    assert numbers == expected
    assert hazmat.decrypt_raw(priv, numbers) == messages
    assert hazmat.decrypt_raw(priv, numbers[1]) == 1


def test_standard_is_the_formula(pub):
    standard = PublicKey(int(pub.n), suite="standard")
    n = int(pub.n)
    messages, units = [5, n - 7], [gmpy2.mpz(3), n - 2]
    numbers = hazmat.encrypt_with(standard, messages, units)
    assert numbers == [(1 + m * n) * pow(int(r), n, n * n) % (n * n) for m, r in zip(messages, units, strict=True)]


def test_one_number_in_one_number_out(pub):
    assert isinstance(hazmat.encrypt_with(pub, 3, 4), gmpy2.mpz)
    one = hazmat.encrypt_with(pub, 3, 4)
    assert isinstance(hazmat.encrypt_with(pub, np.int64(3), gmpy2.mpz(4)), gmpy2.mpz)
    for m, r in (([np.int64(3)], [4]), ((3,), range(4, 5)), (np.array([3]), np.array([4], object))):
        assert hazmat.encrypt_with(pub, m, r) == [one]
    assert hazmat.encrypt_with(pub, [], []) == []


def test_what_is_refused(pub, priv):
    n = int(pub.n)
    for m, r, error in (
        ([-1], [1], ValueError),
        ([n], [1], ValueError),
        ([1], [-1], ValueError),
        ([1], [2 ** (pub.bits // 2)], ValueError),
        ([1, 2], [1], ValueError),
        ([1.0], [1], TypeError),
        ([True], [1], TypeError),
        (["1"], [1], TypeError),
        (True, 1, TypeError),
        (1.5, 1, TypeError),
        (1, None, TypeError),
        (np.float64(1), 1, TypeError),
        (b"1", [1], TypeError),
        ("1", [1], TypeError),
        ({1}, [1], TypeError),
        (np.array(5), 1, TypeError),
        (np.array([[5]]), [1], TypeError),
        (np.array([5.0]), [1], TypeError),
        (5, [3], TypeError),
        ([5], 3, TypeError),
    ):
        with pytest.raises(error, match=r"^(m|r)(\[0\])? "):
            hazmat.encrypt_with(pub, m, r)
    for key in (priv, None, int(pub.n)):
        with pytest.raises(TypeError, match=r"^pub must be a PublicKey, not "):
            hazmat.encrypt_with(key, 1, 1)
    for key in (pub, None):
        with pytest.raises(TypeError, match=r"^priv must be a PrivateKey, not "):
            hazmat.decrypt_raw(key, 1)
    for c in (1.5, None, "1", [2.0]):
        with pytest.raises(TypeError, match=r"^c(\[0\])? must be "):
            hazmat.decrypt_raw(priv, c)
    standard = PublicKey(n, suite="standard")
    (p, _) = (int.from_bytes(x, "little") for x in priv._kernel.export_primes())
    for r in (0, n, p, 3 * p):
        with pytest.raises(ValueError, match="units"):
            hazmat.encrypt_with(standard, [1], [r])
    for c in (0, n * n, -1, p, n, 2**5000):
        with pytest.raises(InvalidCiphertext, match=r"c\[1\]"):
            hazmat.decrypt_raw(priv, [1, c])
