"""Series and frames of pandas beside encrypted arrays: by position, on either side, exact; missing values by name."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bluetusk.encoding import FixedPoint
from bluetusk.paillier import PrivateKey
from bluetusk.paillier.array import CipherArray, encrypt

decrypt, decrypt_integers = PrivateKey.decrypt, PrivateKey.decrypt_integers

X = np.array([[1, -2, 3], [4, 5, -6]])
ROW = np.array([10, 20, -30])
LABELS = ["c", "a", "b"]


@pytest.fixture(scope="module")
def c(priv) -> CipherArray:
    return encrypt(priv, X)


SHAPES: dict[str, Callable[[], tuple[Any, np.ndarray]]] = {
    "series": lambda: (pd.Series(ROW, index=LABELS), ROW),
    "series of objects": lambda: (pd.Series(ROW.tolist(), dtype=object), ROW),
    "nullable series": lambda: (pd.Series(ROW, index=LABELS, dtype="Int64"), ROW),
    "array": lambda: (pd.array(ROW), ROW),
    "index": lambda: (pd.Index(ROW), ROW),
    "frame": lambda: (pd.DataFrame(X * 2, columns=LABELS, index=["y", "x"]), X * 2),
    "nullable frame": lambda: (pd.DataFrame(X * 2, columns=LABELS).astype("Int64"), X * 2),
    "frame of one row": lambda: (pd.DataFrame([ROW], columns=LABELS), ROW[None]),
    "frame of several types": lambda: (
        pd.DataFrame({"a": pd.array([1, 2], dtype="Int64"), "b": [True, False], "c": np.array([3, -4], np.int8)}),
        np.array([[1, 1, 3], [2, 0, -4]]),
    ),
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("op", [operator.add, operator.sub, operator.mul], ids=lambda op: op.__name__)
def test_operators_on_both_sides(c, priv, name, op):
    x, plain = SHAPES[name]()
    for found, expected in ((op(c, x), op(X, plain)), (op(x, c), op(plain, X))):
        assert isinstance(found, CipherArray)
        assert np.array_equal(decrypt_integers(priv, found), expected)


@pytest.mark.parametrize("name", SHAPES)
def test_functions_of_numpy_and_products(c, priv, name):
    x, plain = SHAPES[name]()
    if name != "index":  # pandas reads the dtype of what another class made of its index
        for func in (np.add, np.subtract, np.multiply):
            assert np.array_equal(decrypt_integers(priv, func(x, c)), func(plain, X))
            assert np.array_equal(decrypt_integers(priv, func(c, x)), func(X, plain))
    right = x.T if plain.ndim == 2 else x
    assert np.array_equal(decrypt_integers(priv, c @ right), X @ plain.T)
    assert np.array_equal(decrypt_integers(priv, c.multiply(x)), X * plain)


@pytest.mark.parametrize(
    "use",
    [
        lambda x, c: x @ c,
        lambda x, c: x.dot(c),
        lambda x, c: np.matmul(x, c),
        lambda x, c: pd.DataFrame([x]) @ c,
        lambda x, c: pd.DataFrame([x]).dot(c),
    ],
)
def test_pandas_product_is_refused_with_what_works(c, priv, use):
    """Its ``@`` makes a NumPy array of the right side, whatever that says about itself."""
    x = pd.Series([10, 1], index=["b", "a"])
    with pytest.raises(TypeError, match=r"write x\.to_numpy\(\) @ c for a series or frame x"):
        use(x, c)
    assert np.array_equal(decrypt_integers(priv, x.to_numpy() @ c), [10, 1] @ X)
    assert np.array_equal(decrypt_integers(priv, x.array @ c), [10, 1] @ X)


@pytest.mark.parametrize(
    ("use", "advice"),
    [
        (lambda s, c: s / c, "encrypt the reciprocals"),
        (lambda s, c: s // c, "encrypt the reciprocals"),
        (lambda s, c: s % c, "encrypt the reciprocals"),
        (lambda s, c: s**c, "encrypt the powers"),
        (lambda s, c: s == c, "no value to convert or compare"),
        (lambda s, c: s < c, "no value to convert or compare"),
        (lambda s, c: s & c, "no bits"),
        (lambda s, c: s.__iadd__(c), r"write x = x \+ c, not x \+= c"),
        (lambda s, c: s.__imul__(c), r"write x = x \+ c, not x \+= c"),
        (lambda s, c: pd.DataFrame([s]).__isub__(c), r"write x = x \+ c, not x \+= c"),
        (lambda s, c: pd.DataFrame([s]).add(c), r"write x \+ c, not x\.add\(c\)"),
        (lambda s, c: pd.DataFrame([s]).rsub(c), r"write x \+ c, not x\.add\(c\)"),
        (lambda s, c: pd.Series(c), r"priv\.decrypt\(c\) for its values"),
        (lambda s, c: pd.DataFrame(c), r"priv\.decrypt\(c\) for its values"),
        (lambda s, c: pd.isna(c), r"priv\.decrypt\(c\) for its values"),
        (lambda s, c: c + pd.NA, "unsupported operand"),
        (lambda s, c: pd.NA + c, "unsupported operand"),
        (lambda s, c: pd.NaT - c, "unsupported operand"),
        (lambda s, c: pd.Timedelta(1) * c, "unsupported operand"),
    ],
)
def test_the_rest_is_a_type_error(c, use, advice):
    with pytest.raises(TypeError, match=advice):
        use(pd.Series(ROW), c)


def test_a_missing_value_is_named_by_column_and_position(pub, c):
    frame = pd.DataFrame({"age": pd.array([31, None], dtype="Int64"), "paid": [0.5, 1.0], "old": [1, 2]})
    for use in (lambda: pub.encrypt(frame), lambda: frame * c, lambda: c + frame, lambda: FixedPoint().quantise(frame)):
        with pytest.raises(ValueError, match=r"\['age'\]\[1\] is missing \(NA\): impute or drop it first"):
            use()
    frame["age"] = [31, 32]
    frame["paid"] = ["no", "yes"]
    with pytest.raises(TypeError, match=r"array\['paid'\]\[0\] is of type str"):
        pub.encrypt(frame)
    frame["paid"] = pd.array([True, None], dtype="boolean")
    with pytest.raises(ValueError, match=r"the operand of c \* array\['paid'\]\[1\] is missing"):
        c * frame
    with pytest.raises(ValueError, match=r"codes\[1, 1\] is missing"):
        c.bincount(frame, 40)


def test_integers_beside_reals_are_not_rounded(pub, priv):
    """The common type of these columns is float64, which 2^53 + 1 does not fit."""
    big = 2**53 + 1
    frame = pd.DataFrame({"id": [big, -3], "x": [0.5, 1.25]})
    plan = FixedPoint(clip=2.0**55, frac_bits=2)
    assert plan.quantise(frame)[0].tolist() == [[4 * big, 2], [-12, 5]]
    assert decrypt_integers(priv, pub.encrypt(frame, plan)).tolist() == [[4 * big, 2], [-12, 5]]
    c = pub.encrypt([[1, 1], [1, 1]], FixedPoint(frac_bits=0))
    unsigned = pd.DataFrame({"u": np.array([2**64 - 1, 0], np.uint64), "i": [-1, 2**63 - 1]})
    assert decrypt_integers(priv, c * unsigned).tolist() == [[2**64 - 1, -1], [0, 2**63 - 1]]
    assert decrypt_integers(priv, c * pd.Series([big, big + 1], dtype="Int64")).tolist() == [[big, big + 1]] * 2
    small = pd.DataFrame({"n": np.array([1, -2], np.int8), "x": np.array([0.5, 2.5], np.float32)})
    assert decrypt(priv, pub.encrypt(small)).tolist() == [[1, 0.5], [-2, 2.5]]


def test_indices_and_codes(c, priv):
    last = pd.Series([False, True], index=["r", "s"])
    for mask in (last, last.astype("boolean"), last.to_numpy(), last.array):
        assert np.array_equal(decrypt_integers(priv, c[mask]), X[[False, True]])
    for index in (pd.Series([1, 0]), pd.Series([1, 0], dtype="Int64"), pd.Index([1, 0])):
        assert np.array_equal(decrypt_integers(priv, c[index]), X[[1, 0]])
        assert np.array_equal(decrypt_integers(priv, c.take(index, 0)), X[[1, 0]])
        assert np.array_equal(decrypt_integers(priv, c.bincount(index, 2)), X[[1, 0]])
    codes = pd.DataFrame({"a": [0, 1], "b": [1, 1]})
    for table in (codes, codes.astype("Int64"), codes.astype(np.uint8), codes.astype(bool)):
        assert np.array_equal(decrypt_integers(priv, c.bincount(table, 2)), [X, [0 * X[0], X[0] + X[1]]])
    for missing in (pd.Series([True, None], dtype="boolean"), pd.Series([0, None], dtype="Int64")):
        for use in (lambda x: c[x], lambda x: c.take(x, 0), lambda x: c.bincount(x, 2)):
            with pytest.raises(ValueError, match=r"(the index|indices|codes)\[1\] is missing \(NA\)"):
                use(missing)
    for text in (pd.Series(["a", "b"]), pd.Series(["0", "1"], dtype="string")):
        with pytest.raises(IndexError):
            c[text]
        with pytest.raises(TypeError, match=r"codes\[0\] is of type str"):
            c.bincount(text, 2)


def test_nothing_is_still_nothing(pub, priv):
    assert pub.encrypt(pd.Series([], dtype="Int64")).shape == (0,)
    assert pub.encrypt(pd.DataFrame({"a": [], "b": []})).shape == (0, 2)
    assert pub.encrypt(pd.DataFrame(index=[1, 2])).shape == (2, 0)


def test_no_ciphertext_is_compared_as_an_object(c):
    """isin() goes through the ciphertexts one by one, and would find no number among them."""
    for use in (lambda: pd.Series([1, 2]).isin(c), lambda: pd.Index([1, 2]).isin(c), lambda: pd.DataFrame([1]).isin(c)):
        with pytest.raises(TypeError, match=r"use priv\.decrypt\(c\) for the values of c"):
            use()


def test_functions_of_numpy_take_pandas_beside_ciphertexts(c, priv):
    row, frame = pd.Series(ROW, index=LABELS), pd.DataFrame(X * 2, columns=LABELS)
    d, x = c[0], X[0]
    for use in (
        lambda s, f, a, m: np.append(a, s),
        lambda s, f, a, m: np.concatenate([s, a]),
        lambda s, f, a, m: np.where(s > 0, a, 0),
        lambda s, f, a, m: np.compress(s > 0, a),
        lambda s, f, a, m: np.insert(a, 0, s),
        lambda s, f, a, m: np.outer(s, a),
        lambda s, f, a, m: np.inner(s, a),
        lambda s, f, a, m: np.kron(a, s),
        lambda s, f, a, m: np.dot(f, m.T),
        lambda s, f, a, m: np.tensordot(m, s, 1),
        lambda s, f, a, m: np.einsum("ij,j->i", f, a),
        lambda s, f, a, m: np.vdot(s, a),
        lambda s, f, a, m: (s > 0) * a,
    ):
        found = use(row, frame, d, c)
        assert isinstance(found, CipherArray)
        assert np.array_equal(decrypt_integers(priv, found), use(ROW, X * 2, x, X))
    with pytest.raises(ValueError, match=r"append: values\[1\] is missing \(NA\)"):
        np.append(d, pd.Series([1, None, 2], dtype="Int64"))
