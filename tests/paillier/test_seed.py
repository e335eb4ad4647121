"""Randomness from a seed: what it gives by Python's own integers, for one array only, for one key and purpose only."""

from __future__ import annotations

import contextlib
import copy
import pickle
import threading
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

import bluetusk as bt
from bluetusk._parallel import num_threads
from bluetusk.errors import InvalidKey, ProtocolAbort
from bluetusk.paillier import PublicKey, hazmat
from bluetusk.paillier.array import encrypt_integers
from bluetusk.paillier.ephemeral import restored_key, saved_key
from bluetusk.paillier.seed import Seed
from bluetusk.storage import sealed

SECRET = bytes(range(32))
PLAN = bt.FixedPoint.integers(1 << 20)


def made(key: Any, values: Any, seed: Seed | None) -> bytes:
    return encrypt_integers(key, np.array(values), PLAN, frac=0, bound=1 << 20, seed=seed).to_bytes()


def tail(pub: Any, numbers: Any) -> bytes:
    return b"".join(int(each).to_bytes(pub.bits // 4, "little") for each in numbers)


def test_ciphertexts_by_python(pub: Any, priv: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Obfuscators are hs^a, a the next bits/2 bits of AES-256-CTR under the derived key."""
    key = bytes(range(100, 132))
    monkeypatch.setattr(sealed, "derived", lambda secret, info: key)
    n, square, half = int(pub.n), int(pub.n) ** 2, pub.bits // 16
    for values in ([5, -3], list(range(-20, 20))):
        stream = Cipher(AES(key), CTR(bytes(16))).encryptor().update(bytes(half * len(values)))
        powers = [int.from_bytes(stream[i * half : (i + 1) * half], "little") for i in range(len(values))]
        due = [(1 + m * n) * pow(int(pub.hs), a, square) % square for m, a in zip(values, powers, strict=True)]
        for maker in (pub, priv):
            data = made(maker, values, Seed(SECRET))
            assert data.endswith(tail(pub, due))
            assert priv.decrypt_integers(bt.CipherArray.from_bytes(data, pub)).tolist() == values
        assert hazmat.encrypt_with(pub, [m % n for m in values], Seed(SECRET)) == due


def test_threads_and_owner_give_the_same(pub: Any, priv: Any) -> None:
    values = np.arange(300)
    whole = made(pub, values, Seed(SECRET, "a"))
    for threads in (1, 2):
        with num_threads(threads):
            assert made(priv, values, Seed(SECRET, "a")) == whole


def test_suite_standard(pub: Any) -> None:
    standard = PublicKey(int(pub.n), suite="standard")
    data = made(standard, [1, 2, 3], Seed(SECRET))
    assert data == made(standard, [1, 2, 3], Seed(SECRET))
    assert data.endswith(tail(pub, hazmat.encrypt_with(standard, [1, 2, 3], Seed(SECRET))))
    assert data != made(standard, [1, 2, 3], Seed(SECRET, "other"))


def test_other_names_and_keys_give_other_randomness(pub: Any, keypair2: Any) -> None:
    seeds = [
        (SECRET,),
        (SECRET, "labels"),
        (SECRET, "label", "s"),
        (SECRET, "labels", 1),
        (SECRET, "labels", "1"),
        (SECRET, b"labels"),
        (SECRET, "labels", 1, 2),
        (SECRET, "labels", 12),
        (bytes(32), "labels"),
    ]
    drawn = {Seed(*each).source(pub.fingerprint)(64) for each in seeds}
    drawn |= {Seed(*each).source(keypair2[0].fingerprint)(64) for each in seeds}
    assert len(drawn) == 2 * len(seeds)


def test_a_seed_serves_one_array(pub: Any) -> None:
    seed = Seed(SECRET)
    first = made(pub, [1, 2], seed)
    for use in (lambda: made(pub, [1, 2], seed), lambda: hazmat.encrypt_with(pub, [1], seed)):
        with pytest.raises(ProtocolAbort, match="was used for another array"):
            use()
    assert repr(seed) == "<Seed used>"
    for copied in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="cannot be pickled or copied"):
            copied(Seed(SECRET))
    assert first == made(pub, [1, 2], Seed(SECRET))


def test_of_many_threads_one_gets_it(pub: Any) -> None:
    seed, won, start = Seed(SECRET), [], threading.Barrier(8)

    def use() -> None:
        start.wait()
        with contextlib.suppress(ProtocolAbort):
            won.append(seed.source(pub.fingerprint))

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1


def test_bad_seeds(pub: Any, priv: Any) -> None:
    for secret in (b"", bytes(31), "x" * 32, bytearray(32)):
        with pytest.raises(ValueError, match="secret must be 32 bytes"):
            Seed(secret)  # type: ignore[arg-type]
    for name in (np.int64(7), np.str_("labels"), 7.0, True, None):
        with pytest.raises(TypeError, match="context must hold bytes, str and int, not"):
            Seed(SECRET, name)  # type: ignore[arg-type]
    assert "\\x00\\x01" not in repr(Seed(SECRET))
    closed = restored_key(*saved_key(priv))
    closed.close()
    with pytest.raises(InvalidKey, match="closed"):
        made(closed, [1], Seed(SECRET))


def test_without_a_seed_arrays_differ(pub: Any) -> None:
    assert len({made(pub, [1, 2], None) for _ in range(4)} | {made(pub, [1, 2], Seed(SECRET))}) == 5
