"""What a CipherArray never does: show a value, or what Paillier cannot; and what its refusals say to use instead."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bluetusk.encoding import FixedPoint
from bluetusk.paillier import PrivateKey
from bluetusk.paillier.array import CipherArray, encrypt

ints_of = PrivateKey.decrypt_integers

# --- never a value ----------------------------------------------------------------------------------------------------


def test_repr_shows_no_value(pub):
    c = encrypt(pub, [1.2345, 2.0])
    text = repr(c)
    assert text == f"<CipherArray shape=(2,), key={pub.fingerprint.hex()[:12]}, scale=2**-20>"
    assert "packed in 32-bit slots" in repr(encrypt(pub, [1.0], packed=True))
    assert "scale=10**-2" in repr(encrypt(pub, [1.0], FixedPoint.money()))
    assert str(c) == text


@pytest.mark.parametrize(
    "use",
    [
        bool,
        int,
        float,
        complex,
        hash,
        np.array,
        np.asarray,
        lambda c: [1, 2][c],
        lambda c: c == c,
        lambda c: c != 1,
        lambda c: c < 1,
        lambda c: np.array([1, 2]) >= c,
        lambda c: 1 in c,
        lambda c: c / 2,
        lambda c: c // 2,
        lambda c: c % 2,
        lambda c: 2 / c,
        lambda c: c**2,
        lambda c: 2**c,
        lambda c: divmod(c, 2),
        lambda c: c * c,
        lambda c: c @ c,
        lambda c: np.multiply(c, c),
        lambda c: c.mean(),
        lambda c: abs(c),
        lambda c: c.__setitem__(0, 1),
        lambda c: round(c),
        lambda c: np.divide(c, 2),
        lambda c: np.exp(c),
        lambda c: np.mean(c),
        lambda c: np.cumprod(c),
        lambda c: np.where(c, c, c),
        lambda c: np.array_equal(c, c),
        lambda c: np.add(c, 1, where=[True, False]),
        lambda c: np.add.accumulate(c, dtype=int),
        lambda c: np.add(np.zeros(2), c, out=np.zeros(2)),
        lambda c: np.zeros(2).__iadd__(c),
        lambda c: np.zeros(2)[c],
        lambda c: c[c],
        lambda c: np.sum(c, dtype=np.int64),
    ],
)
def test_what_paillier_cannot_do_is_a_type_error(pub, use):
    with pytest.raises(TypeError):
        use(encrypt(pub, [1, 2]))


@pytest.mark.parametrize(
    ("use", "advice"),
    [
        (lambda c: c * c, "Paillier adds ciphertexts and multiplies by plain numbers only"),
        (lambda c: np.array(c), r"priv\.decrypt"),
        (lambda c: c / 2, "reciprocal"),
        (lambda c: np.mean(c), r"c\.sum"),
        (lambda c: np.bincount([0, 1], weights=c), r"c\.bincount"),
        (lambda c: np.cumsum(c, dtype=float), "cumulative sum .* does not take dtype"),
        (lambda c: float(c), r"priv\.decrypt"),
    ],
)
def test_refusals_say_what_to_use(pub, use, advice):
    with pytest.raises(TypeError, match=advice):
        use(encrypt(pub, [1, 2]))


PLAIN = np.arange(1, 3)


@pytest.mark.parametrize(
    ("use", "advice"),
    [
        (lambda c: abs(c), r"signs of encrypted numbers are hidden; decrypt first.*priv\.decrypt"),
        (lambda c: np.abs(c), "signs of encrypted numbers"),
        (lambda c: ~c, r"1 - c for the complement"),
        (lambda c: np.invert(c), r"1 - c for the complement"),
        (lambda c: c & 1, r"c \* mask"),
        (lambda c: PLAIN | c, r"c \* mask"),
        (lambda c: c << 3, r"c \* 2\*\*k"),
        (lambda c: f"{c:.2f}", r"format as '\.2f': format what priv\.decrypt\(c\)"),
        (lambda c: format(c, "d"), "format as 'd'"),
        (lambda c: round(c), r"encrypt with a plan of fewer digits, or round what priv\.decrypt"),
        (lambda c: round(c, 2), "a plan of fewer digits"),
        (lambda c: math.floor(c), "a plan of fewer digits"),
        (lambda c: 1 / c, "divided by a CipherArray: encrypt the reciprocals"),
        (lambda c: PLAIN / c, "encrypt the reciprocals"),
        (lambda c: 7 // c, "encrypt the reciprocals"),
        (lambda c: divmod(7, c), "encrypt the reciprocals"),
        (lambda c: np.divide(1, c), "encrypt the reciprocals"),
        (lambda c: c / PLAIN, r"reciprocal \(c \* 0\.5\)"),
        (lambda c: np.true_divide(c, PLAIN), r"reciprocal \(c \* 0\.5\)"),
        (lambda c: c**2, "encrypt the powers"),
        (lambda c: 2**c, "encrypt the powers"),
        (lambda c: np.power(PLAIN, c), "encrypt the powers"),
        (lambda c: np.less(PLAIN, c), r"priv\.decrypt"),
        (lambda c: np.equal(PLAIN, c), r"priv\.decrypt"),
        (lambda c: c.__delitem__(0), r"numpy\.delete"),
        (lambda c: c.reshape(1, 2, color="red"), r"^Shape\.reshape\(\) got an unexpected keyword"),
        (lambda c: c.sum(0, 1), r"^the sum of an encrypted array does not take dtype: .* scale \(c\.frac\)"),
        (lambda c: c.sum(0, None, None, False, 0, None, 1), r"^Arith\.sum\(\) takes"),
        (lambda c: CipherArray.from_bytes(), r"^Wire\.from_bytes\(\) missing"),
    ],
)
def test_every_refusal_says_what_to_use(pub, use, advice):
    with pytest.raises(TypeError, match=advice):
        use(encrypt(pub, [1, 2]))


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("dtype", r"c\.plan and c\.frac"),
        ("astype", "choose the plan when encrypting"),
        ("tolist", r"priv\.decrypt\(c\)\.tolist\(\)"),
        ("item", r"priv\.decrypt\(c\)\.item\(\)"),
        ("max", "compare"),
        ("cumprod", "Paillier adds"),
        ("byteswap", "no NumPy buffer"),
    ],
)
def test_attributes_of_numpy_say_what_to_use(pub, name, advice):
    c = encrypt(pub, [1, 2])
    assert not hasattr(c, name)
    assert getattr(c, name, 7) == 7
    with pytest.raises(AttributeError, match=f"a CipherArray has no attribute '{name}': .*{advice}") as caught:
        getattr(c, name)
    assert (caught.value.name, caught.value.obj) == (name, c) or caught.value.obj is c


def test_every_public_name_of_ndarray_is_there_or_refused_with_advice(pub):
    c = encrypt(pub, [[1, 2]])
    for name in dir(np.ndarray):
        if not name.startswith("_") and not hasattr(CipherArray, name):
            with pytest.raises(AttributeError, match=f"no attribute '{name}': .{{10}}"):
                getattr(c, name)
    for name in ("colour", "_colour", "__array_interface__"):
        with pytest.raises(AttributeError, match=f"no attribute '{name}'$"):
            getattr(c, name)


def test_dot_take_and_repeat_are_numpys(pub, priv):
    x = np.arange(6).reshape(2, 3)
    c = encrypt(pub, x)
    for use in (
        lambda a: a.dot(np.array([1, -2, 3])),
        lambda a: a.dot(np.array([[1], [2], [3]])),
        lambda a: a.dot(4),
        lambda a: a.take([4, 0]),
        lambda a: a.take([2, 0], axis=1),
        lambda a: a.take(1, 0),
        lambda a: a.repeat(2),
        lambda a: a.repeat([1, 2], axis=0),
        lambda a: np.take(a, [[0, 1]], axis=-1),
        lambda a: np.reshape(a, (3, 2), order="F"),
        lambda a: np.reshape(a, shape=(3, 2)) if np.lib.NumpyVersion(np.__version__) >= "2.1.0" else a,
        lambda a: np.ravel(a, order="F"),
        lambda a: np.transpose(a, axes=(1, 0)),
        lambda a: np.squeeze(a[:1], axis=0),
        lambda a: np.copy(a, order="C"),
        lambda a: np.swapaxes(a, axis1=0, axis2=1),
        lambda a: np.broadcast_to(a, shape=(2, 2, 3)),
    ):
        assert np.array_equal(ints_of(priv, use(c)), use(x))
    packed = encrypt(pub, x * 0.5, packed=True)
    for use in (lambda: packed.take([0]), lambda: packed.repeat(2), lambda: packed.reshape(2, 3, order="F")):
        with pytest.raises(ValueError, match="slots of a packed array"):
            use()


# --- messages name the argument ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, -np.inf, np.float32(np.nan)])
def test_a_bad_operand_is_named_as_such(pub, bad):
    c = encrypt(pub, [1.0, 2.0])
    for use, where in (
        (lambda: c * bad, r"^c \* array: array is NaN or infinite"),
        (lambda: bad - c, r"^array - c: array is NaN"),
        (lambda: c + np.array([[0, 1], [1, bad]]), r"^c \+ array: array\[1, 1\] is NaN"),
        (lambda: np.array([1.0, bad]) @ c, r"^array @ c: array\[1\] is NaN"),
        (lambda: encrypt(pub, [2, 4]) * bad, r"^c \* array: array is NaN"),
        (lambda: c * [1, float(bad)], r"the operand of c \* array\[1\] is NaN"),
    ):
        with pytest.raises(ValueError, match=where):
            use()
