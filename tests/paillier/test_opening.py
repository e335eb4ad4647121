"""Single ciphertexts opened to somebody without the private key: right plaintexts, and nothing else passes."""

from __future__ import annotations

import pytest

import bluetusk as bt
from bluetusk.paillier import PrivateKey, PublicKey
from bluetusk.paillier.ephemeral import saved_key
from bluetusk.paillier.opening import opened_by, opening

VALUES = [0, 1, -1, 2**40, -(2**40)]


@pytest.mark.parametrize("suite", ["djn", "standard"])
def test_plaintexts_of_derived_arrays(keypair: tuple[PublicKey, PrivateKey], suite: str) -> None:
    p, q = (int.from_bytes(prime, "little") for prime in saved_key(keypair[1]))
    priv = PrivateKey(p, q, suite=suite)
    pub = priv.public_key
    c = 3 * pub.encrypt(VALUES, bt.FixedPoint.integers(2**40)) + 1
    assert opened_by(c, opening(priv, c)) == [3 * value + 1 for value in VALUES]


def test_randomness_of_other_ciphertexts(pub: PublicKey, priv: PrivateKey) -> None:
    c = pub.encrypt([5, 5], bt.FixedPoint.integers(9))
    first, second = opening(priv, c)
    with pytest.raises(bt.InvalidCiphertext, match="ciphertext 0"):
        opened_by(c, [second, first])


@pytest.mark.parametrize("count", [0, 1, 3])
def test_another_number_of_numbers(pub: PublicKey, count: int) -> None:
    c = pub.encrypt([5, 5], bt.FixedPoint.integers(9))
    with pytest.raises(ValueError, match=f"randomness has {count} numbers for 2 ciphertexts"):
        opened_by(c, [2] * count)
