"""Secret sharing; figures are per batch of the size in the test's name."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

import bluetusk as bt

VDAF128 = 2**66 * 4611686018427387897 + 1
N = 10_000


@pytest.mark.parametrize("prime", [2**61 - 1, 2**31 - 1, 2**64 - 2**32 + 1, VDAF128], ids=["p61", "p31", "p64", "p128"])
def test_shamir_share_10000(benchmark: Any, prime: int) -> None:
    x = np.arange(N, dtype=np.uint32 if prime == 2**31 - 1 else np.uint64)
    shares = benchmark(bt.sharing.shamir.share, x, 7, 10, prime)
    assert np.array_equal(bt.sharing.shamir.reconstruct(shares, range(1, 11), 7, prime).astype(np.uint64), x)


@pytest.mark.parametrize("given", [7, 10])
def test_shamir_reconstruct_10000(benchmark: Any, given: int) -> None:
    """Ten shares of which seven are needed: the others are checked."""
    x = np.arange(N, dtype=np.uint64)
    shares = bt.sharing.shamir.share(x, 7, 10)[:given]
    assert np.array_equal(benchmark(bt.sharing.shamir.reconstruct, shares, range(1, given + 1), 7), x)


def test_shamir_correct_10000(benchmark: Any) -> None:
    """One party is wrong everywhere."""
    x = np.arange(N, dtype=np.uint64)
    shares = bt.sharing.shamir.share(x, 7, 10)
    shares[4] ^= np.uint64(1)
    values, wrong = benchmark(bt.sharing.shamir.correct, shares, range(1, 11), 7)
    assert wrong == [5]
    assert np.array_equal(values, x)


def test_share_keys_51_of_100(benchmark: Any) -> None:
    keys = [os.urandom(32), os.urandom(32)]
    shares = benchmark(bt.sharing.share_keys, keys, 51, 100)
    assert bt.sharing.reconstruct_keys(shares[:51], range(1, 52), 51, 32) == keys


def test_share_bytes_100000(benchmark: Any) -> None:
    data = os.urandom(100_000)
    shares = benchmark(bt.sharing.share_bytes, data, 3, 5)
    assert bt.sharing.reconstruct_bytes(shares[2:], [3, 4, 5], 3).tobytes() == data


@pytest.mark.parametrize("bits", [32, 64])
def test_additive_share_100000(benchmark: Any, bits: int) -> None:
    x = np.arange(100_000, dtype=np.uint32 if bits == 32 else np.uint64)
    shares = benchmark(bt.sharing.ring.share, x, 3, bits)
    assert np.array_equal(bt.sharing.ring.reconstruct(shares), x)


@pytest.mark.parametrize("dtype", [np.uint32, np.uint64])
def test_matmul_256(benchmark: Any, dtype: Any) -> None:
    a, b = (np.random.default_rng(i).integers(0, 2**31, (256, 256), dtype) for i in range(2))
    assert np.array_equal(benchmark(bt.sharing.ring.matmul, a, b), a @ b)


@pytest.mark.parametrize("bits", [20, 26, 32])
def test_pack_100000(benchmark: Any, bits: int) -> None:
    x = np.random.default_rng(1).integers(0, 2**bits, 100_000, np.uint32)
    assert np.array_equal(bt.sharing.ring.unpack(benchmark(bt.sharing.ring.pack, x, bits), bits, len(x)), x)


@pytest.mark.parametrize("bits", [20, 26, 32])
def test_unpack_100000(benchmark: Any, bits: int) -> None:
    x = np.random.default_rng(1).integers(0, 2**bits, 100_000, np.uint32)
    data = bt.sharing.ring.pack(x, bits)
    assert np.array_equal(benchmark(bt.sharing.ring.unpack, data, bits, len(x)), x)


def test_beaver_multiply_100000(benchmark: Any) -> None:
    """Three parties in one process; triples are made outside of the timing."""
    x = bt.sharing.ring.share(np.arange(100_000), 3)
    benchmark.pedantic(
        bt.sharing.beaver.multiply,
        setup=lambda: ((x, x, bt.sharing.beaver.triple(100_000, 3)), {}),
        rounds=10,
        iterations=1,
    )


def test_to_shares_64(benchmark: Any, keys: Any) -> None:
    """From ciphertexts to the evaluator's shares and the message; mostly r^n, once for ten values."""
    c = keys[0].encrypt(np.arange(64), bt.FixedPoint.integers(limit=2**40))
    mine, message = benchmark(c.to_shares)
    assert np.array_equal((mine + bt.paillier.open_shares(keys[1], message)).astype(np.int64), np.arange(64))


def test_open_shares_64(benchmark: Any, keys: Any) -> None:
    c = keys[0].encrypt(np.arange(64), bt.FixedPoint.integers(limit=2**40))
    mine, message = c.to_shares()
    assert np.array_equal((mine + benchmark(bt.paillier.open_shares, keys[1], message)).astype(np.int64), np.arange(64))
