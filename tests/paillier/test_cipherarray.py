"""Encryption and decryption of arrays: input of every kind, the refusals, and what a CipherArray never does."""

from __future__ import annotations

import logging
import os
import warnings

import numpy as np
import pytest

from bluetusk.encoding import FixedPoint
from bluetusk.errors import DecryptionError, EncodingOverflow, InvalidKey
from bluetusk.paillier import encrypting
from bluetusk.paillier.array import CipherArray, encrypt, encrypt_integers
from bluetusk.paillier.keys import PrivateKey

decrypt, ints_of = PrivateKey.decrypt, PrivateKey.decrypt_integers

INTEGER_DTYPES = ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", ">i2", ">i4", ">i8", ">u4", ">u8"]
FLOAT_DTYPES = ["f2", "f4", "f8", ">f2", ">f4", ">f8"]


@pytest.mark.parametrize("dtype", INTEGER_DTYPES)
def test_every_integer_dtype_is_exact(pub, priv, dtype):
    low = 0 if "u" in dtype else -128 if "1" in dtype else -30000
    x = np.array([[low, 0], [7, 100]]).astype(dtype)
    c = encrypt(pub, x)
    assert ints_of(priv, c).tolist() == x.tolist()
    assert c.frac == 0
    assert c.shape == (2, 2)


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_every_float_dtype_at_the_default_plan(pub, priv, dtype):
    x = np.array([0.5, -2.25, 3.75, -0.0]).astype(dtype)
    c = encrypt(pub, x)
    assert c.plan == FixedPoint()
    back = decrypt(priv, c)
    assert back.dtype == np.float64
    assert back.tolist() == [0.5, -2.25, 3.75, 0.0]


@pytest.mark.parametrize(
    "x",
    [
        np.arange(12).reshape(3, 4)[::2, ::-1],
        np.arange(12).reshape(3, 4).T,
        np.broadcast_to(np.array([1, 2]), (3, 2)),
        np.arange(3)[:, None][:, [0, 0]],
        [[1, 2], [3, 4]],
        5,
        np.int16(-3),
        np.zeros((0,), dtype=int),
        np.zeros((2, 0, 3), dtype=int),
    ],
)
def test_any_layout_and_shape(pub, priv, x):
    a = np.asarray(x)
    c = encrypt(pub, x)
    assert c.shape == a.shape
    assert c.ndim == a.ndim
    assert c.size == a.size
    assert np.array_equal(ints_of(priv, c), a)
    assert c.nbytes == a.size * 512


def test_int64_extremes_survive_the_default_plan(pub, priv):
    x = np.array([2**63 - 1, -(2**63) + 1, 2**53 + 1])
    c = encrypt(pub, x)
    assert c.bound == 2**63 - 1
    got = ints_of(priv, c)
    assert got.dtype == np.int64
    assert np.array_equal(got, x)
    wide = ints_of(priv, c + c)
    assert wide.dtype == object
    assert wide.tolist() == [2 * int(v) for v in x]


@pytest.mark.parametrize("n", [1, 15, 16, 40, 511, 513])
def test_owner_and_public_encryption_agree(pub, priv, n):
    x = np.linspace(-4, 4, n)
    assert np.array_equal(decrypt(priv, encrypt(priv, x)), decrypt(priv, encrypt(pub, x)))


def test_encryption_is_probabilistic(pub, priv):
    for key in (pub, priv):
        canon = encrypting.canonical(encrypt(key, np.zeros(40)))
        assert len({row.tobytes() for row in canon}) == 40


def test_plans(pub, priv):
    money = FixedPoint.money()
    c = encrypt(pub, [10.10, -0.05, 3], money)
    assert ints_of(priv, c).tolist() == [1010, -5, 300]
    assert decrypt(priv, c * 3).tolist() == [30.3, -0.15, 9.0]
    clipped = FixedPoint(clip=1.0, on_clip="clip")
    d = encrypt(pub, [5.0, -0.5, -1.5], clipped)
    assert decrypt(priv, d).tolist() == [1.0, -0.5, -1.0]
    assert (d.clipped, d[:1].clipped, c.clipped) == (2, 0, 0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused(pub, bad):
    with pytest.raises(ValueError, match=r"NaN|infinite"):
        encrypt(pub, [0.0, bad])
    c = encrypt(pub, [1.0, 2.0])
    for operation in (lambda: c + bad, lambda: c * bad, lambda: np.array([bad, 1.0]) @ c, lambda: bad - c):
        with pytest.raises(ValueError, match=r"NaN|infinite"):
            operation()


def test_beyond_the_clip_is_refused(pub):
    with pytest.raises(EncodingOverflow):
        encrypt(pub, [4.1])
    assert encrypt(pub, [4.0]).bound == 4 << 20


@pytest.mark.parametrize("bad", [np.array([1j]), np.array(["1"]), np.array(["2020-01-01"], "M8[D]"), [None], "text"])
def test_wrong_dtypes_are_refused_by_type(pub, bad):
    with pytest.raises(TypeError):
        encrypt(pub, bad)


@pytest.mark.parametrize("bad", [1j, np.array([1j]), np.array(["a"]), np.longdouble(1), "text", None, object()])
def test_wrong_operands_are_refused_by_type(pub, bad):
    if isinstance(bad, np.longdouble) and np.dtype(np.longdouble).itemsize == 8:
        return
    c = encrypt(pub, [1, 2])
    with pytest.raises(TypeError):
        c + bad
    with pytest.raises(TypeError):
        bad * c
    with pytest.raises(TypeError):
        c - bad


def test_wrong_arguments_are_refused(pub, priv):
    with pytest.raises(TypeError, match="key must be"):
        encrypt("key", [1])
    with pytest.raises(TypeError, match="plan must be"):
        encrypt(pub, [1], plan=20)
    with pytest.raises(TypeError, match="plan must be"):
        CipherArray.from_bytes(encrypt(pub, [1]).to_bytes(), pub, 20)
    with pytest.raises(TypeError, match="encrypted already"):
        encrypt(pub, encrypt(pub, [1]))
    with pytest.raises(TypeError, match="pub must be"):
        CipherArray.from_bytes(b"", priv)
    with pytest.raises(TypeError, match="CipherArray"):
        decrypt(priv, np.zeros(3))
    with pytest.raises(TypeError, match="made by"):
        CipherArray(3)
    with pytest.raises(ValueError, match="at least one axis"):
        encrypt(pub, 1.0, packed=True)


def test_other_key_is_refused(pub, priv, keypair2):
    other_pub, other_priv = keypair2
    c, d = encrypt(pub, [1, 2]), encrypt(other_pub, [1, 2])
    with pytest.raises(InvalidKey, match="different keys"):
        c + d
    with pytest.raises(InvalidKey, match="different keys"):
        c - d
    with pytest.raises(InvalidKey, match="different keys"):
        np.concatenate([c, d])
    with pytest.raises(InvalidKey, match="private key of the array"):
        decrypt(other_priv, c)
    with pytest.raises(InvalidKey):
        CipherArray.from_bytes(c.to_bytes(), other_pub)


def test_an_equal_key_from_elsewhere_is_the_same_key(pub, priv):
    again = type(pub).from_bytes(pub.to_bytes())
    assert again is not pub
    assert ints_of(priv, encrypt(again, [1, 2]) + encrypt(pub, [10, 20])).tolist() == [11, 22]


def test_default_key_size():
    from bluetusk.paillier.keys import generate_keypair

    pub, priv = generate_keypair()
    x = np.array([[1.5, -2.0], [0.25, 3.0]])
    c = encrypt(priv, x)
    assert c.nbytes == 4 * 768
    back = CipherArray.from_bytes((c * np.array([2, -3]) + x).to_bytes(), pub)
    assert np.array_equal(decrypt(priv, back), x * [2, -3] + x)
    packed = encrypt(pub, np.tile(x, 60), packed=True)
    assert packed._packing.slots == 95
    assert np.array_equal(decrypt(priv, packed[0] - packed[1]), np.tile(x[0] - x[1], 60))


def test_standard_suite():
    from bluetusk.paillier.keys import generate_keypair

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pub, priv = generate_keypair(2048, suite="standard")
    x = np.arange(-10, 10)
    for key in (pub, priv):
        c = encrypt(key, x)
        assert np.array_equal(ints_of(priv, CipherArray.from_bytes((c * 3 - 1).to_bytes(2**80), pub)), x * 3 - 1)
    priv.close()
    with pytest.raises(InvalidKey):
        decrypt(priv, c)
    with pytest.raises(InvalidKey):
        encrypt(priv, [1])


@pytest.mark.parametrize("suite", ["djn", "standard"])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_is_told_that_the_key_is_its_parents(priv, suite):
    p, q = (int.from_bytes(prime, "little") for prime in priv._kernel.export_primes())
    key = PrivateKey(p, q, suite=suite)
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            for n in (1, 40):
                with pytest.raises(InvalidKey) as caught:
                    encrypt(key, np.zeros(n, dtype=int))
                os.write(writer, f"{caught.value}\n".encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader) as fp:
        said = fp.read().splitlines()
    os.waitpid(pid, 0)
    assert len(said) == 2
    assert all("process" in line and "load it again" in line for line in said)
    key.close()
    with pytest.raises(InvalidKey, match="closed"):
        encrypt(key, [1])


# --- packed ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("m", [0, 1, 62, 63, 64, 126, 127])
def test_packed_round_trip_at_block_borders(pub, priv, m):
    rng = np.random.default_rng(m)
    x = rng.integers(-(4 << 20), (4 << 20) + 1, (2, m)) / 2**20
    c = encrypt(pub, x, FixedPoint(), packed=True)
    assert c.slot_bits == 32
    assert c.shape == (2, m)
    assert c._index.shape == (2, -(-m // 63))
    assert np.array_equal(decrypt(priv, c), x)


def test_packed_limits(pub, priv):
    plan = FixedPoint(clip=4.0, frac_bits=4, max_weight=1, guard_bits=0)  # Q = 64, slots of 8 bits hold 127
    x = np.array([4.0, -4.0] * 200)
    c = encrypt(pub, x, plan, packed=True)
    assert c.slot_bits == 8
    with pytest.raises(EncodingOverflow, match=r"128.*slot of 8 bits.*127"):
        c + c
    d = c + 63 / 16
    assert d.bound == 127
    assert np.array_equal(decrypt(priv, d), x + 63 / 16)
    with pytest.raises(EncodingOverflow, match="128"):
        c + 4.0
    with pytest.raises(EncodingOverflow, match="128"):
        c * 2


def test_default_integers_do_not_fit_slots(pub):
    with pytest.raises(EncodingOverflow, match="smaller limit"):
        encrypt(pub, [1, 2, 3], packed=True)


def test_wide_slots(pub, priv):
    plan = FixedPoint.integers(limit=2**54)
    x = np.array([2**54, -(2**54), 0, 1, -1] * 20)
    c = encrypt(pub, x, plan, packed=True)
    assert c.slot_bits == 64
    assert np.array_equal(ints_of(priv, c), x)


# --- integers that a plan made ----------------------------------------------------------------------------------------


def test_encrypt_integers_checks_its_bound(pub, priv):
    plan = FixedPoint()
    big = np.array([10**30, -(10**30), 0], dtype=object)
    c = encrypt_integers(pub, big, plan, frac=40, bound=10**30)
    assert c.frac == 40
    assert ints_of(priv, c).tolist() == big.tolist()
    assert decrypt(priv, c).tolist() == [10**30 / 2**40, -(10**30) / 2**40, 0.0]
    with pytest.raises(EncodingOverflow, match="stated bound"):
        encrypt_integers(pub, np.array([9]), plan, frac=0, bound=8)
    with pytest.raises(EncodingOverflow, match="ciphertext of this key"):
        encrypt_integers(pub, np.array([9]), plan, frac=0, bound=int(pub.n) // 2 + 1)
    top = (int(pub.n) - 1) // 2
    edge = encrypt_integers(pub, np.array([top, -top], dtype=object), plan, frac=0, bound=top)
    assert ints_of(priv, edge).tolist() == [top, -top]


def test_threads_and_progress(pub, priv):
    seen: list[tuple[int, int]] = []
    c = encrypt(pub, np.arange(300), threads=2, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (300, 300)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert np.array_equal(ints_of(priv, c), np.arange(300))
    with pytest.raises(ValueError, match="threads"):
        encrypt(pub, [1], threads=0)


# --- decryption fails in one way only ---------------------------------------------------------------------------------


def _lying(c: CipherArray, bound: int) -> CipherArray:
    return CipherArray._make(c._store, c._index, c._pub, c._plan, c._frac, bound, c._packing)


def test_one_message_for_every_failure(pub, priv, caplog):
    small = encrypt(pub, [100, 7])
    huge = encrypt_integers(pub, np.array([2**70, 1], dtype=object), FixedPoint(), frac=0, bound=2**70)
    packed = encrypt(pub, [3.0, 1.0], packed=True)
    # 2^70 stands in the third slot of 32 bits, the array has two
    residue = CipherArray._make(huge._store, huge._index[:1], pub, packed._plan, 20, 1 << 30, packed._packing)
    cases = [_lying(small, 99), _lying(huge, 2**62), _lying(huge, 2**69), _lying(packed, 3 << 19), residue]
    messages = set()
    with caplog.at_level(logging.WARNING, logger="bluetusk"):
        for c in cases:
            with pytest.raises(DecryptionError) as caught:
                decrypt(priv, c)
            messages.add(str(caught.value))
            assert caught.value.__cause__ is None
    assert len(messages) == 1
    assert len(caplog.records) == len(cases)
    assert ints_of(priv, _lying(small, 100)).tolist() == [100, 7]
