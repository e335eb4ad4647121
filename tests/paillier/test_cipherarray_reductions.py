"""Histograms of many features and cumulative sums, against loops over plain integers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bluetusk.encoding import FixedPoint
from bluetusk.paillier.cipherarray import CipherArray, encrypt
from bluetusk.paillier.cipherarray import decrypt_integers as ints_of

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


@settings(max_examples=30)
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
