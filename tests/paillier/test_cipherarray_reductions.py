"""Histograms of many features and cumulative sums, against loops over plain integers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bluetusk.encoding import FixedPoint
from bluetusk.errors import EncodingOverflow
from bluetusk.paillier import PrivateKey
from bluetusk.paillier.array import CipherArray, encrypt, encrypt_integers

ints_of = PrivateKey.decrypt_integers

SMALL = FixedPoint.integers(limit=1000)
rng = np.random.default_rng(12)


def histograms(x: np.ndarray, codes: np.ndarray, bins: int) -> np.ndarray:
    """One histogram for each column of codes, row by row."""
    out = np.zeros((codes.shape[1], bins, *x.shape[1:]), dtype=np.int64)
    for row, chosen in zip(x, codes, strict=True):
        for f, code in enumerate(chosen):
            out[f, code] += row
    return out


def test_bincount_of_many_features(priv):
    x = rng.integers(-1000, 1000, (60, 2))
    c = encrypt(priv, x, SMALL)
    codes = rng.integers(0, 4, (60, 9))
    codes[:, 3] = 2
    expected = histograms(x, codes, 5)
    for kind in (np.uint8, ">i2", np.uint64, list):
        given = codes.tolist() if kind is list else codes.astype(kind)
        found = c.bincount(given, 5)
        assert found.bound == 60 * c.bound
        assert np.array_equal(ints_of(priv, found), expected)
    assert np.array_equal(ints_of(priv, c.bincount(np.asfortranarray(codes), 5, threads=3)), expected)
    assert np.array_equal(ints_of(priv, c[:, 1].bincount(codes[:, ::-2], 5)), expected[::-2, :, 1])
    assert np.array_equal(ints_of(priv, c.bincount(codes[:, :1], 5)[0]), ints_of(priv, c.bincount(codes[:, 0], 5)))
    repeated = c[[0, 0, 5]]  # a view that shows a ciphertext twice
    assert np.array_equal(ints_of(priv, repeated.bincount(codes[:3], 5)), histograms(x[[0, 0, 5]], codes[:3], 5))
    packed = encrypt(priv, x, SMALL, packed=True)
    assert np.array_equal(ints_of(priv, packed.bincount(codes, 5)), expected)
    assert c.bincount(np.zeros((60, 0), dtype=int), 0).shape == (0, 0, 2)
    assert ints_of(priv, c[:0].bincount(np.zeros((0, 3), dtype=int), 2)).tolist() == [[[0, 0]] * 2] * 3


@pytest.fixture(scope="module")
def column(priv) -> tuple[np.ndarray, CipherArray]:
    x = np.arange(-20, 20)
    return x, encrypt(priv, x, SMALL)


@settings(max_examples=15)
@given(st.data())
def test_bincount_of_any_shape(column, priv, data):
    x, c = column
    rows, features = data.draw(st.integers(0, 12)), data.draw(st.integers(0, 6))
    bins, width = data.draw(st.integers(1, 9)), data.draw(st.integers(0, 2))
    seed = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    pick = seed.integers(0, len(x), (rows, width))
    codes = seed.integers(0, bins, (rows, features))
    found = c[pick].bincount(codes, bins, threads=data.draw(st.integers(1, 3)))
    assert np.array_equal(ints_of(priv, found), histograms(x[pick], codes, bins))


@settings(max_examples=15)
@given(st.data())
def test_cumulative_sums(column, priv, data):
    x, c = column
    shape = tuple(data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=3)))
    pick = np.random.default_rng(data.draw(st.integers(0, 2**32))).integers(0, len(x), shape)
    axis = data.draw(st.one_of(st.none(), st.integers(-len(shape), len(shape) - 1)))
    found = c[pick].cumsum(axis, threads=data.draw(st.integers(1, 3)))
    assert np.array_equal(ints_of(priv, found), np.cumsum(x[pick], axis))
    assert found.bound == c.bound * (pick.size if axis is None else shape[axis])


def test_cumulative_sums_of_long_rows(priv, column):
    x, c = column
    for rows in (1, 2, 9):
        pick = rng.integers(0, len(x), (rows, 37))
        for threads in (1, 2):
            found = c[pick].cumsum(1, threads=threads)
            assert np.array_equal(ints_of(priv, found), np.cumsum(x[pick], 1))


def test_cumulative_sums_by_numpy_and_of_packed_arrays(pub, priv, column):
    x, c = column
    c, x = c[:6].reshape(2, 3), x[:6].reshape(2, 3)
    for sums in (np.cumsum(c, 1), np.cumsum(c, axis=-1), np.add.accumulate(c, axis=1)):
        assert np.array_equal(ints_of(priv, sums), np.cumsum(x, 1))
    assert np.array_equal(ints_of(priv, np.add.accumulate(c)), np.cumsum(x, 0))
    assert np.array_equal(ints_of(priv, np.cumsum(c)), np.cumsum(x))
    assert ints_of(priv, c[0, 0].cumsum()).tolist() == [int(x[0, 0])]
    packed = encrypt(priv, x, SMALL, packed=True)
    assert np.array_equal(ints_of(priv, packed.cumsum(0)), np.cumsum(x, 0))
    for refused in (lambda: packed.cumsum(1), packed.cumsum, packed[0].cumsum, lambda: np.cumsum(packed, -1)):
        with pytest.raises(ValueError, match="packed array"):
            refused()
    with pytest.raises(ValueError, match="axis 2 is out of bounds"):
        c.cumsum(2)
    for axis in ((0, 1), 1.0, True):
        with pytest.raises(TypeError, match="axis must be an int"):
            c.cumsum(axis)
    with pytest.raises(TypeError, match="does not take out"):
        np.cumsum(c, out=np.zeros(6))
    wide = encrypt_integers(pub, np.array([1, 1]), SMALL, frac=0, bound=(int(pub.n) - 1) // 7)
    assert ints_of(priv, wide.cumsum()).tolist() == [1, 2]
    with pytest.raises(EncodingOverflow, match="cumsum"):
        wide[[0, 1, 0, 1]].cumsum()
