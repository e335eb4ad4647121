"""Batches of modular powers; figures are per batch of the size in the test's name."""

from __future__ import annotations

from typing import Any

import gmpy2
import numpy as np
import pytest

import bluetusk as bt


def numbers(count: int, bits: int, seed: int) -> list[int]:
    rng = np.random.default_rng(seed)
    return [int.from_bytes(rng.bytes(bits // 8), "little") | 1 for _ in range(count)]


@pytest.mark.parametrize("bits", [2048, 4096])
@pytest.mark.parametrize("secret", [True, False], ids=["secret", "public"])
def test_powmod_16(benchmark: Any, bits: int, secret: bool) -> None:
    modulus = numbers(1, bits, 1)[0] | (1 << (bits - 1))
    bases, exponents = numbers(16, bits, 2), numbers(16, 1024, 3)
    got = benchmark(bt.modexp.powmod, bases, exponents, modulus, secret_exponents=secret)
    assert got == [gmpy2.powmod(b, e, modulus) for b, e in zip(bases, exponents, strict=True)]


@pytest.mark.parametrize("bits", [2048, 4096])
def test_gmpy2_powmod_16(benchmark: Any, bits: int) -> None:
    """GMP's own batch, to compare with."""
    modulus = numbers(1, bits, 1)[0] | (1 << (bits - 1))
    bases, exponents = numbers(16, bits, 2), numbers(16, 1024, 3)
    benchmark(lambda: [gmpy2.powmod(b, e, modulus) for b, e in zip(bases, exponents, strict=True)])


def test_fixed_base_64(benchmark: Any, modulus: int) -> None:
    fixed = bt.modexp.FixedBase(3, modulus, 1024)
    exponents = numbers(64, 1024, 4)
    got = benchmark(fixed.powmod, exponents)
    assert got[0] == gmpy2.powmod(3, exponents[0], modulus)


def test_fixed_base_table(benchmark: Any, modulus: int) -> None:
    """The table alone: built when first used."""
    benchmark(lambda: bt.modexp.FixedBase(3, modulus, 1024).powmod([1]))


@pytest.mark.parametrize("rows", [1, 16])
def test_multiexp_128(benchmark: Any, modulus: int, rows: int) -> None:
    bases = numbers(128, 4096, 5)
    exponents = np.random.default_rng(6).integers(0, 2**40, size=(rows, 128))
    got = benchmark(bt.modexp.multiexp, bases, exponents, modulus)
    want = gmpy2.mpz(1)
    for base, exponent in zip(bases, exponents[0], strict=True):
        want = want * gmpy2.powmod(base, int(exponent), modulus) % modulus
    assert got[0] == want
