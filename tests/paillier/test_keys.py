from __future__ import annotations

import os
import warnings

import gmpy2
import numpy as np
import pytest
from gmpy2 import mpz

from bluetusk.errors import InvalidKey
from bluetusk.paillier import primes, validate
from bluetusk.paillier.keys import PrivateKey, PublicKey, generate_keypair

SMALL = primes.primorial(1 << 16)
KEYS = int(os.environ.get("BLUETUSK_KEYS", "25"))  # 200 in the nightly run


def check_conditions(pub: PublicKey, priv: PrivateKey, bits: int) -> tuple[mpz, mpz]:
    """Every condition that promise M1 makes for generated keys, computed afresh."""
    p, q = (mpz(int.from_bytes(prime, "little")) for prime in priv._kernel.export_primes())
    assert p * q == pub.n
    assert pub.bits == pub.n.bit_length() == bits
    assert p.bit_length() == q.bit_length() == bits // 2
    assert gmpy2.is_prime(p, 25)
    assert gmpy2.is_prime(q, 25)
    assert p % 4 == 3
    assert q % 4 == 3
    assert gmpy2.gcd(p - 1, q - 1) == 2
    assert gmpy2.gcd((p - 1) * (q - 1) // 4, SMALL) == 1
    assert abs(p - q) > mpz(2) ** (bits // 2 - 100)
    return p, q


def test_keys_satisfy_every_condition():
    seen = set()
    for number in range(KEYS):
        with pytest.warns(UserWarning, match="112-bit security"):
            pub, priv = generate_keypair(2048)
        p, q = check_conditions(pub, priv, 2048)
        assert not pub.given_hs
        if number < 20:  # the rest follows from n alone, without a further choice
            assert pub.hs == validate.derive_hs(pub.n)
            for prime in (p, q):
                assert gmpy2.powmod(pub.hs, prime - 1, prime * prime) == 1
        seen |= {p, q}
        priv.close()
    assert len(seen) == 2 * KEYS


@pytest.mark.parametrize("bits", [3072, 4096])
@pytest.mark.parametrize("suite", ["djn", "standard"])
def test_larger_keys_and_both_suites(bits, suite):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # only 2048 bits warn
        pub, priv = generate_keypair(bits, suite=suite)
    check_conditions(pub, priv, bits)
    assert pub.suite == suite
    assert (pub.hs is None) is (suite == "standard")
    assert priv.decrypt_integers(pub.encrypt([1, -2])).tolist() == [1, -2]
    assert PublicKey.from_bytes(pub.to_bytes()) == pub
    assert PublicKey.from_json(pub.to_json()) == pub
    priv.close()


def test_the_default_is_3072_bits_of_djn():
    pub, priv = generate_keypair()
    assert (pub.bits, pub.suite) == (3072, "djn")
    priv.close()


def test_the_warning_points_at_the_caller_and_loading_does_not_warn(pub):
    with pytest.warns(UserWarning, match="bits=3072") as caught:
        generate_keypair(2048)[1].close()
    assert [warning.filename for warning in caught] == [__file__]
    PublicKey.from_bytes(pub.to_bytes())  # warnings are errors here


@pytest.mark.parametrize("bits", [-2048, 0, 1, 512, 1024, 1536, 2047, 2049, 3000, 8192, 1 << 70])
def test_other_sizes_are_refused(bits):
    with pytest.raises(InvalidKey, match="use a key of 2048, 3072 or 4096 bits"):
        generate_keypair(bits)


@pytest.mark.parametrize("bits", [None, "2048", 2048.0, True, [2048]])
def test_wrong_types_of_bits_are_named(bits):
    with pytest.raises(TypeError, match="bits must be an int"):
        generate_keypair(bits)


def test_wrong_suites_are_named_before_any_work(monkeypatch):
    monkeypatch.setattr(primes, "generate_primes", None)
    with pytest.raises(InvalidKey, match="suite 'DJN' is unknown"):
        generate_keypair(3072, suite="DJN")
    with pytest.raises(TypeError, match="suite must be a str"):
        generate_keypair(3072, suite=None)


@pytest.mark.parametrize(("threads", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), ("2", TypeError)])
def test_wrong_threads_are_named(threads, error):
    with pytest.raises(error, match="threads must be"):
        generate_keypair(3072, threads=threads)


def test_numpy_integers_are_sizes_too():
    pub, priv = generate_keypair(np.int64(3072), threads=1)
    assert pub.bits == 3072
    priv.close()
