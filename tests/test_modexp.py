"""bt.modexp against Python's pow: every shape of argument, every size, every number of threads."""

from __future__ import annotations

import random
import threading

import gmpy2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bluetusk import modexp
from bluetusk._kernels.modexp import MAX_BITS

RNG = random.Random(20240607)


def odd(bits: int) -> int:
    return RNG.getrandbits(bits) | 1 << (bits - 1) | 1


def product(bases, exponents, m):
    out = 1 % m
    for b, e in zip(bases, exponents, strict=True):
        out = out * pow(b, e, m) % m
    return out


integers = st.one_of(st.integers(-(2**70), 2**70), st.integers(-(2**600), 2**600), st.sampled_from([0, 1, -1, 2]))
exponents = st.one_of(st.integers(0, 20), st.integers(0, 2**130))
moduli = st.one_of(st.integers(1, 300), st.integers(1, 2**200), st.integers(0, 2**500).map(lambda k: 2 * k + 1))


@given(st.lists(st.tuples(integers, exponents), max_size=8), moduli, st.booleans(), st.sampled_from([1, 2, 3, 4]))
def test_powmod_is_pow(pairs, modulus, secret, threads):
    secret = secret and modulus % 2 == 1
    got = modexp.powmod([b for b, _ in pairs], [e for _, e in pairs], modulus, secret_exponents=secret, threads=threads)
    assert got == [pow(b, e, modulus) for b, e in pairs]
    assert all(isinstance(v, gmpy2.mpz) for v in got)


@given(integers, st.integers(-(2**70), 2**70), moduli.filter(lambda m: m % 2 == 1))
def test_negative_exponents_invert_or_raise(base, exponent, modulus):
    try:
        want = [pow(base, exponent, modulus)]
    except ValueError:
        want = None
    for secret in (True, False):
        if want is None:
            with pytest.raises(ValueError, match=r"bases\[0\] has no inverse"):
                modexp.powmod(base, exponent, modulus, secret_exponents=secret)
        else:
            assert modexp.powmod(base, exponent, modulus, secret_exponents=secret) == want
            assert modexp.FixedBase(base, modulus, 71).powmod(exponent) == want


@pytest.mark.parametrize("bits", [3, 4, 63, 64, 65, 127, 128, 129, 1023, 1024, 1025, 2048, 3072, 4096, 6144])
def test_sizes(bits):
    m = odd(bits)
    bases = [RNG.getrandbits(bits + 9) for _ in range(3)]
    powers = [RNG.getrandbits(min(bits, 300)) for _ in range(3)]
    want = [pow(b, e, m) for b, e in zip(bases, powers, strict=True)]
    assert modexp.powmod(bases, powers, m) == want
    assert modexp.powmod(bases, powers, m, secret_exponents=False) == want
    fixed = modexp.FixedBase(bases[0], m, 300, table_bytes=1 << 20)
    assert fixed.powmod(powers) == [pow(bases[0], e, m) for e in powers]
    assert fixed.table_bytes <= 1 << 20
    assert modexp.multiexp(bases, powers, m) == product(bases, powers, m)


def test_largest_modulus_and_one_beyond():
    largest, beyond = odd(MAX_BITS), odd(MAX_BITS + 1)
    assert modexp.powmod(3, 70001, largest) == [pow(3, 70001, largest)]
    with pytest.raises(ValueError, match=r"16385 bits.*secret_exponents=False"):
        modexp.powmod(3, 70001, beyond)
    with pytest.raises(ValueError, match="16385 bits"):
        modexp.FixedBase(3, beyond, 64)
    assert modexp.powmod(3, 70001, beyond, secret_exponents=False) == [pow(3, 70001, beyond)]
    assert modexp.multiexp([3, 5], [700, -9], beyond) == product([3, 5], [700, -9], beyond)


def test_even_moduli_are_for_public_exponents():
    for m in (2, 10, 2**64, 2**200 + 6):
        with pytest.raises(ValueError, match=r"modulus is even.*secret_exponents=False"):
            modexp.powmod(3, 5, m)
        with pytest.raises(ValueError, match="modulus is even"):
            modexp.FixedBase(3, m, 64)
        assert modexp.powmod([3, -7, 2**99], [5, 0, 3], m, secret_exponents=False) == [
            pow(3, 5, m),
            pow(-7, 0, m),
            pow(2**99, 3, m),
        ]
        assert modexp.multiexp([3, 7], [2, 1], m) == 63 % m
    assert modexp.powmod(3, -1, 10, secret_exponents=False) == [7]
    with pytest.raises(ValueError, match=r"bases\[1\] has no inverse"):
        modexp.powmod([3, 4], -1, 10, secret_exponents=False)


def test_modulus_one():
    assert modexp.powmod([5, 0, 3], [0, 0, -7], 1) == [0, 0, 0]
    assert modexp.FixedBase(7, 1, 8).powmod([0, 1, -5]) == [0, 0, 0]
    assert modexp.FixedBase(7, 1, 8).table_bytes == 0
    assert modexp.multiexp([5, 6], [1, 2], 1) == 0


@pytest.mark.parametrize("secret", [True, False])
def test_shapes(secret):
    def power(b, e):
        return modexp.powmod(b, e, 1001, secret_exponents=secret)

    assert power(2, 10) == [23]
    assert power([], []) == power([], 3) == power(3, []) == power(np.zeros(0, np.int64), 3) == []
    assert power([2, 3], 2) == power((2, 3), np.array([2, 2], ">u2")) == power(np.array([2, 3]), 2) == [4, 9]
    assert power(2, range(4)) == [1, 2, 4, 8]
    assert power(gmpy2.mpz(2), np.int8(3)) == power(np.uint64(2), np.array(3)) == [8]
    assert (
        power([gmpy2.xmpz(2), gmpy2.mpz(3)], gmpy2.xmpz(2)) == power(np.array([gmpy2.xmpz(2), 3], object), 2) == [4, 9]
    )
    assert power(np.array([2, 2**70], object)[::-1], 1) == [2**70 % 1001, 2]
    assert power(np.array([2**64 - 1, 2**63], np.uint64), 1) == [(2**64 - 1) % 1001, 2**63 % 1001]


@pytest.mark.parametrize(
    ("bases", "powers", "modulus", "error", "message"),
    [
        (2.0, 1, 7, TypeError, "bases must be an int"),
        (True, 1, 7, TypeError, "bases must be an int"),
        ([2, 3.5], 1, 7, TypeError, r"bases\[1\] must be an int"),
        ([2, np.bool_(1)], 1, 7, TypeError, r"bases\[1\]"),
        (2, [1, True], 7, TypeError, r"exponents\[1\]"),
        (2, np.array([1.0]), 7, TypeError, "exponents must be an array of integers"),
        (2, np.array([True]), 7, TypeError, "exponents must be an array of integers"),
        (2, np.array(["1"]), 7, TypeError, "exponents must be an array of integers"),
        (2, "12", 7, TypeError, "exponents must be an int"),
        (2, b"12", 7, TypeError, "exponents must be an int"),
        (2, {1: 2}, 7, TypeError, "exponents must be an int"),
        (2, None, 7, TypeError, "exponents must be an int"),
        (2, 1, 7.0, TypeError, "modulus must be an int"),
        (2, 1, [7], TypeError, "modulus must be an int"),
        (2, 1, 0, ValueError, "modulus must be at least 1"),
        (2, 1, -7, ValueError, "modulus must be at least 1"),
        ([2, 3], [1, 2, 3], 7, ValueError, "bases has 2 numbers and exponents 3"),
        ([2], [1, 2, 3], 7, ValueError, "bases has 1 numbers and exponents 3"),
        (np.zeros((2, 2), np.int64), 1, 7, ValueError, "one-dimensional"),
    ],
)
def test_bad_arguments(bases, powers, modulus, error, message):
    for secret in (True, False):
        with pytest.raises(error, match=message):
            modexp.powmod(bases, powers, modulus, secret_exponents=secret)


def test_threads_do_not_change_results():
    m = odd(2048)
    bases = [RNG.getrandbits(2048) for _ in range(40)]
    powers = [RNG.getrandbits(200) for _ in range(40)]
    want = [pow(b, e, m) for b, e in zip(bases, powers, strict=True)]
    fixed = modexp.FixedBase(bases[0], m, 200)
    for threads in (1, 2, 3, 4):
        assert modexp.powmod(bases, powers, m, threads=threads) == want
        assert modexp.powmod(bases, powers, m, secret_exponents=False, threads=threads) == want
        assert fixed.powmod(powers, threads=threads) == [pow(bases[0], e, m) for e in powers]
        assert modexp.multiexp(bases, [powers, powers[::-1]], m, threads=threads) == [
            product(bases, powers, m),
            product(bases, powers[::-1], m),
        ]
    for bad in (0, -1, 1.5, True):
        with pytest.raises((TypeError, ValueError), match="threads"):
            modexp.powmod(bases, powers, m, threads=bad)


def test_fixed_base_shared_by_threads():
    m = int(gmpy2.next_prime(odd(1023)))
    fixed = modexp.FixedBase(3, m, 128)
    powers = [RNG.getrandbits(128) - (1 << 127) for _ in range(30)]
    want = [pow(3, e, m) for e in powers]
    got: list[object] = []
    workers = [threading.Thread(target=lambda: got.append(fixed.powmod(powers, threads=1))) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert got == [want] * 4


@given(integers, st.lists(st.integers(-(2**77) + 1, 2**77 - 1), max_size=9), st.integers(1, 2**90))
def test_fixed_base_is_pow(base, powers, half):
    modulus = 2 * half + 1
    fixed = modexp.FixedBase(base, modulus, 77)
    if gmpy2.gcd(base, modulus) != 1:
        powers = [abs(e) for e in powers]
    assert fixed.powmod(powers) == [pow(base, e, modulus) for e in powers]


def test_fixed_base_windows_and_refusals():
    m = odd(256)
    for budget in (1 << 12, 1 << 13, 1 << 14, 1 << 15, 1 << 17):
        fixed = modexp.FixedBase(7, m, 60, table_bytes=budget)
        assert 0 < fixed.table_bytes <= budget
        assert fixed.powmod([0, 1, 2**60 - 1]) == [1, 7, pow(7, 2**60 - 1, m)]
    assert modexp.FixedBase(7, m, 1).powmod([0, 1]) == [1, 7]
    with pytest.raises(ValueError, match=r"table_bytes = 100 is too small: the smallest table takes \d+ bytes"):
        modexp.FixedBase(7, m, 60, table_bytes=100)
    with pytest.raises(ValueError, match=r"exponents\[1\] has 61 bits"):
        modexp.FixedBase(7, m, 60).powmod([1, 1 << 60])
    with pytest.raises(ValueError, match="base has no inverse"):
        modexp.FixedBase(9, 33, 60).powmod([2, -2])
    for bad in (0, -3, 1 << 30):
        with pytest.raises(ValueError, match="exponent_bits"):
            modexp.FixedBase(7, m, bad)
    for bad in (1.0, True, "8"):
        with pytest.raises(TypeError, match="exponent_bits"):
            modexp.FixedBase(7, m, bad)
    assert "256 bits" in repr(modexp.FixedBase(7, m, 60))


rows = st.integers(0, 6).flatmap(
    lambda m: st.tuples(
        st.lists(integers, min_size=m, max_size=m),
        st.lists(
            st.lists(st.one_of(st.just(0), st.integers(-9, 9), st.integers(-(2**80), 2**80)), min_size=m, max_size=m),
            min_size=1,
            max_size=5,
        ),
    )
)


@given(rows, st.one_of(st.integers(1, 50), st.integers(1, 2**130)))
@settings(max_examples=200)
def test_multiexp_is_the_product_of_powers(case, modulus):
    bases, exps = case
    try:
        want = [product(bases, row, modulus) for row in exps]
    except ValueError:
        with pytest.raises(ValueError, match=r"bases\[\d+\] has no inverse"):
            modexp.multiexp(bases, exps, modulus)
        return
    assert modexp.multiexp(bases, exps, modulus) == want
    assert modexp.multiexp(bases, exps[0], modulus) == want[0]


@pytest.mark.parametrize(("n", "m", "bits"), [(1, 3000, 40), (70, 90, 24), (130, 5, 8), (2, 40, 1000)])
def test_multiexp_in_blocks(n, m, bits):
    modulus = int(gmpy2.next_prime(odd(1023)))
    bases = [RNG.getrandbits(1024) for _ in range(m)]
    exps = [[RNG.getrandbits(bits) - (1 << (bits - 1)) * (j % 2) for j in range(m)] for _ in range(n)]
    want = [product(bases, row, modulus) for row in exps]
    assert modexp.multiexp(bases, exps, modulus, threads=2) == want


def test_multiexp_arguments():
    exps = np.array([[1, 2], [3, -4]], np.int8)
    want = [2 * 3**2 % 1001, product([2, 3], [3, -4], 1001)]
    assert modexp.multiexp([2, 3], exps, 1001) == modexp.multiexp(np.array([2, 3]), exps.tolist(), 1001) == want
    assert modexp.multiexp((2, 3), [exps[0], exps[1]], 1001) == want
    assert modexp.multiexp([], [], 1001) == 1
    assert modexp.multiexp([], [[], []], 1001) == [1, 1]
    assert modexp.multiexp([2, 3], np.zeros((0, 2), np.int64), 1001) == []
    for bases, bad, error, message in [
        (2, [1], TypeError, "bases must be a sequence"),
        ([2], 1, TypeError, "exponents must be a sequence"),
        ([2], [1, 2], ValueError, "exponents has 2 numbers, but bases has 1"),
        ([2, 3], [[1, 2], [3]], ValueError, r"exponents\[1\] has 1 numbers, but bases has 2"),
        ([2, 3], [[1, 2], 3], TypeError, r"exponents\[1\] must be a row"),
        ([2, 3], [[1, 2], [3, 1.5]], TypeError, r"exponents\[1\]\[1\] must be an int"),
        ([2, 3], np.zeros((2, 2)), TypeError, r"exponents\[0\] must be an array of integers"),
        ([2, 3], np.zeros((1, 1, 2), np.int64), ValueError, "one-dimensional"),
    ]:
        with pytest.raises(error, match=message):
            modexp.multiexp(bases, bad, 1001)
