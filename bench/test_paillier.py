"""Encrypted arrays; figures are per batch of the size in the test's name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse

import bluetusk as bt

Keys = tuple[Any, Any]


@pytest.fixture(scope="module")
def encrypted(keys: Keys, plan: bt.FixedPoint, values: np.ndarray) -> Any:
    c = keys[0].encrypt(values[:128], plan)
    np.testing.assert_allclose(keys[1].decrypt(c), values[:128], atol=2**-21)
    return c


def test_encrypt_64(benchmark: Any, keys: Keys, plan: bt.FixedPoint, values: np.ndarray) -> None:
    keys[0].encrypt(values[:1], plan)  # builds the table
    benchmark(keys[0].encrypt, values[:64], plan)


def test_encrypt_owner_64(benchmark: Any, keys: Keys, plan: bt.FixedPoint, values: np.ndarray) -> None:
    keys[1].encrypt(values[:1], plan)
    benchmark(keys[1].encrypt, values[:64], plan)


def test_encrypt_packed_1024(benchmark: Any, keys: Keys, plan: bt.FixedPoint, values: np.ndarray) -> None:
    c = benchmark(lambda: keys[0].encrypt(values, plan, packed=True))
    np.testing.assert_allclose(keys[1].decrypt(c), values, atol=2**-21)


def test_encrypt_standard_1(benchmark: Any, keys: Keys, plan: bt.FixedPoint) -> None:
    """The suite without short obfuscators: r^n."""
    pub = bt.paillier.PublicKey(keys[0].n, suite="standard")
    benchmark.pedantic(pub.encrypt, args=([1.5], plan), rounds=10, iterations=1)


def test_precompute_64(benchmark: Any, keys: Keys) -> None:
    pub = bt.paillier.PublicKey.from_bytes(keys[0].to_bytes())
    benchmark.pedantic(pub.precompute, args=(64,), rounds=10, iterations=1)
    pub.encrypt([0.0] * 64 * 10)  # equal keys share a pool: leave it empty


def test_encrypt_from_pool_64(benchmark: Any, keys: Keys, plan: bt.FixedPoint, values: np.ndarray) -> None:
    """With obfuscators made ahead: what is left is one product a value."""
    benchmark.pedantic(
        lambda: keys[0].encrypt(values[:64], plan), setup=lambda: keys[0].precompute(64), rounds=10, iterations=1
    )


def test_decrypt_64(benchmark: Any, keys: Keys, encrypted: Any) -> None:
    benchmark(keys[1].decrypt, encrypted[:64])


def test_decrypt_1(benchmark: Any, keys: Keys, encrypted: Any) -> None:
    """Alone, the check of the result costs as much as the decryption."""
    benchmark(keys[1].decrypt, encrypted[:1])


def test_decrypt_packed_1024(benchmark: Any, keys: Keys, plan: bt.FixedPoint, values: np.ndarray) -> None:
    c = keys[0].encrypt(values, plan, packed=True)
    got = benchmark(keys[1].decrypt, c)
    np.testing.assert_allclose(got, values, atol=2**-21)


def test_decrypt_integers_64(benchmark: Any, keys: Keys, encrypted: Any) -> None:
    benchmark(keys[1].decrypt_integers, encrypted[:64])


def test_add_128(benchmark: Any, encrypted: Any) -> None:
    benchmark(lambda: encrypted + encrypted)


def test_add_plain_128(benchmark: Any, encrypted: Any, values: np.ndarray) -> None:
    benchmark(lambda: encrypted + values[:128])


def test_subtract_128(benchmark: Any, encrypted: Any) -> None:
    """Inversions, all at once."""
    benchmark(lambda: encrypted - encrypted)


def test_negate_128(benchmark: Any, encrypted: Any) -> None:
    benchmark(lambda: -encrypted)


def test_concatenate_128(benchmark: Any, encrypted: Any) -> None:
    benchmark(bt.concatenate, [encrypted[:64], encrypted[64:]])


def test_sum_128(benchmark: Any, encrypted: Any) -> None:
    benchmark(encrypted.sum)


@pytest.mark.parametrize("bits", [16, 40])
def test_scale_128(benchmark: Any, encrypted: Any, bits: int) -> None:
    k = np.random.default_rng(8).integers(-(2**bits), 2**bits, size=128)
    benchmark(lambda: encrypted * k)


def test_matvec_16x128(benchmark: Any, encrypted: Any) -> None:
    matrix = np.random.default_rng(9).integers(-(2**40), 2**40, size=(16, 128))
    benchmark(lambda: matrix @ encrypted)


def test_sparse_matvec_64x128(benchmark: Any, encrypted: Any) -> None:
    """820 entries of signed 40 bits."""
    matrix = scipy.sparse.random(64, 128, 0.1, format="csr", rng=np.random.default_rng(12))
    matrix.data = np.random.default_rng(13).integers(-(2**40), 2**40, size=matrix.nnz)
    benchmark(lambda: matrix @ encrypted)


def test_matmat_4x32x8(benchmark: Any, encrypted: Any) -> None:
    """From the right: c @ M."""
    matrix = np.random.default_rng(9).integers(-(2**40), 2**40, size=(32, 8))
    benchmark(lambda: encrypted.reshape(4, 32) @ matrix)


def test_bincount_128(benchmark: Any, encrypted: Any) -> None:
    codes = np.random.default_rng(10).integers(0, 16, size=128)
    benchmark(encrypted.bincount, codes, 16)


def test_bincount_128_by_50_features(benchmark: Any, encrypted: Any) -> None:
    """6400 sums: the histograms of gradient boosting."""
    codes = np.random.default_rng(11).integers(0, 32, size=(128, 50)).astype(np.uint8)
    benchmark(encrypted.bincount, codes, 32)


@pytest.mark.parametrize("rows", [1, 16])
def test_cumsum_128(benchmark: Any, encrypted: Any, rows: int) -> None:
    benchmark(encrypted.reshape(rows, -1).cumsum, 1)


def test_serialise_128(benchmark: Any, encrypted: Any) -> None:
    benchmark(encrypted.to_bytes)


def test_serialise_derived_128(benchmark: Any, encrypted: Any) -> None:
    """A sum leaves: it is re-randomised first."""
    benchmark.pedantic(lambda c: c.to_bytes(), setup=lambda: ((encrypted + encrypted,), {}), rounds=10, iterations=1)


def test_parse_128(benchmark: Any, keys: Keys, encrypted: Any) -> None:
    data = encrypted.to_bytes()
    benchmark(bt.CipherArray.from_bytes, data, keys[0])


def test_encrypt_with_8(benchmark: Any, keys: Keys) -> None:
    """Given randomness, for replay."""
    m, r = list(range(8)), [3 + i for i in range(8)]
    benchmark(bt.paillier.hazmat.encrypt_with, keys[0], m, r)


def test_decrypt_raw_8(benchmark: Any, keys: Keys) -> None:
    c = bt.paillier.hazmat.encrypt_with(keys[0], list(range(8)), [3 + i for i in range(8)])
    assert benchmark(bt.paillier.hazmat.decrypt_raw, keys[1], c) == list(range(8))


def test_load_public_key(benchmark: Any, keys: Keys) -> None:
    """Every check, and hs derived again."""
    data = keys[0].to_bytes()
    assert benchmark(bt.paillier.PublicKey.from_bytes, data) == keys[0]


def test_prove_modulus(benchmark: Any, keys: Keys) -> None:
    assert benchmark(bt.paillier.prove_modulus, keys[1], b"session", b"holder")


def test_verify_modulus(benchmark: Any, keys: Keys) -> None:
    proof = bt.paillier.prove_modulus(keys[1], b"session", b"holder")
    benchmark(bt.paillier.verify_modulus, keys[0], proof, b"session", b"holder")


def test_generate_keypair(benchmark: Any) -> None:
    """3072 bits, the default."""
    benchmark.pedantic(bt.paillier.generate_keypair, rounds=5, iterations=1)
