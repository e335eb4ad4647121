"""Products of sparse matrices and encrypted arrays, against the dense ones of NumPy and plain Python ints."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from bluetusk.encoding import FixedPoint
from bluetusk.errors import EncodingOverflow
from bluetusk.paillier import PrivateKey
from bluetusk.paillier.array import CipherArray, encrypt, encrypt_integers

decrypt, ints_of = PrivateKey.decrypt, PrivateKey.decrypt_integers

SMALL = FixedPoint.integers(limit=1000)
FORMATS = ["bsr", "coo", "csc", "csr", "dia", "dok", "lil"]
X = np.arange(-12, 12).reshape(8, 3) * 7


@pytest.fixture(scope="module")
def c(priv) -> CipherArray:
    return encrypt(priv, X, SMALL)


def dense_of(rows: int, columns: int, seed: int) -> np.ndarray:
    """Two thirds zeros, an empty row and an empty column where there is room."""
    rng = np.random.default_rng(seed)
    m = rng.integers(-500, 500, (rows, columns)) * (rng.random((rows, columns)) < 1 / 3)
    m[rows // 2] = 0
    m[:, columns // 2] = 0
    return m


@pytest.mark.parametrize("kind", ["array", "matrix"])
@pytest.mark.parametrize("form", FORMATS)
def test_every_format_on_both_sides(priv, c, form, kind):
    dense = dense_of(5, 8, 1)
    m = getattr(sp, f"{form}_{kind}")(dense)
    for left in (m @ c, np.matmul(m, c), np.dot(m, c)):
        assert isinstance(left, CipherArray)
        assert np.array_equal(ints_of(priv, left), dense @ X)
    for right in (c.T @ m.T, np.matmul(c.T, m.T), c.T.dot(m.T)):
        assert np.array_equal(ints_of(priv, right), X.T @ dense.T)
    for other in (dense @ c, c.T @ dense.T):
        assert (m @ c).bound == other.bound
    assert np.array_equal(ints_of(priv, m @ c[:, 0]), dense @ X[:, 0])
    assert np.array_equal(ints_of(priv, c[:, 0] @ m.T), dense @ X[:, 0])


@settings(max_examples=25)
@given(st.data())
def test_any_entries(priv, c, data):
    """Entries in any order, of one place more than once, zeros among them: they add up."""
    rows, n = data.draw(st.integers(0, 6)), data.draw(st.integers(0, 30))
    value = st.integers(-(2**40), 2**40) | st.just(0)
    entries = data.draw(
        st.lists(st.tuples(st.integers(0, rows - 1), st.integers(0, 7), value), max_size=n) if rows else st.just([])
    )
    row, column, values = (np.array([e[k] for e in entries], dtype=np.int64) for k in range(3))
    m = sp.coo_array((values, (row, column)), shape=(rows, 8))
    expected, sizes = np.zeros((rows, 3), dtype=np.int64), [0] * rows
    for r, j, v in entries:
        expected[r] += v * X[j]
        sizes[r] += abs(v)
    for found in (m @ c, (c.T @ m.T).T):
        assert np.array_equal(ints_of(priv, found), expected)
        assert found.bound == c.bound * max(sizes, default=0)


def test_duplicates_do_not_wrap_around_in_a_narrow_type(priv, c):
    m = sp.coo_array((np.array([100, 100, 27], dtype=np.int8), ([0, 0, 0], [1, 1, 1])), shape=(1, 8))
    assert np.array_equal(ints_of(priv, m @ c), 227 * X[1:2])
    assert (m @ c).bound == 227 * c.bound


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.int32, np.uint64, np.float32, np.float64])
def test_dtypes(priv, dtype):
    x = np.array([0.5, -1.25, 2.0, 3.75])
    c = encrypt(priv, x, FixedPoint(clip=4.0))
    dense = np.array([[1, 0, 0, 1], [0, 0, 0, 0], [0, 1, 1, 0]]).astype(dtype)
    m = sp.csr_array(dense)
    real = np.dtype(dtype).kind == "f"
    assert (m @ c).frac == (40 if real else 20)
    assert decrypt(priv, m @ c).tolist() == [4.25, 0.0, 0.75]


def test_reals_are_encoded_entry_by_entry(priv):
    plan = FixedPoint(clip=4.0, frac_bits=10)
    x = np.array([0.5, -1.25, 3.0])
    c = encrypt(priv, x, plan)
    m = sp.csc_array(np.array([[0.1, 0.0, -2.7], [0.0, 1 / 3, 0.0]]))
    exact = [
        sum(Fraction(round(Fraction(float(w)) * 1024), 1024) * Fraction(float(v)) for w, v in zip(row, x, strict=True))
        for row in m.toarray()
    ]
    assert decrypt(priv, m @ c).tolist() == [float(v) for v in exact]
    assert np.array_equal(ints_of(priv, m @ c), ints_of(priv, m.toarray() @ c))


def test_more_axes_and_packed_arrays(priv):
    x = np.arange(2 * 4 * 3).reshape(2, 4, 3) - 11
    dense = dense_of(5, 4, 3)
    m = sp.csr_array(dense)
    c = encrypt(priv, x, SMALL)
    assert np.array_equal(ints_of(priv, m @ c), dense @ x)
    assert np.array_equal(ints_of(priv, c.swapaxes(1, 2) @ m.T), x.swapaxes(1, 2) @ dense.T)
    packed = encrypt(priv, x, SMALL, packed=True)
    assert np.array_equal(ints_of(priv, m @ packed), dense @ x)
    with pytest.raises(ValueError, match="packed array"):
        packed @ sp.csr_array(np.eye(3, dtype=int))
    one = sp.coo_array(np.array([0, 5, 0, -2]))  # of one axis
    assert np.array_equal(ints_of(priv, one @ c[0]), np.array([0, 5, 0, -2]) @ x[0])
    assert np.array_equal(ints_of(priv, c[0].T @ one), x[0].T @ np.array([0, 5, 0, -2]))
    assert ints_of(priv, one @ c[0, :, 1]) == np.array([0, 5, 0, -2]) @ x[0, :, 1]


def test_empty_matrices(priv, c):
    for rows in (0, 4):
        found = sp.csr_array((rows, 8), dtype=int) @ c
        assert np.array_equal(ints_of(priv, found), np.zeros((rows, 3)))
        assert found.bound == 0
    none = encrypt(priv, np.zeros((0, 3), dtype=int), SMALL)
    assert ints_of(priv, sp.csr_array((2, 0), dtype=int) @ none).tolist() == [[0, 0, 0]] * 2
    explicit = sp.coo_array((np.zeros(2, dtype=int), ([0, 1], [3, 3])), shape=(2, 8))
    assert ints_of(priv, explicit @ c).tolist() == [[0, 0, 0]] * 2


def test_values_beyond_int64(pub, priv):
    c = encrypt_integers(pub, np.array([3, -5]), SMALL, frac=0, bound=5)
    m = sp.coo_array((np.array([2**64 - 1, 2**63], dtype=np.uint64), ([0, 0], [0, 1])))
    assert ints_of(priv, m @ c).tolist() == [3 * (2**64 - 1) - 5 * 2**63]
    assert (m @ c).bound == 5 * (2**64 - 1 + 2**63)
    least = sp.coo_array((np.array([-(2**63)] * 2), ([0, 0], [0, 1])))
    assert ints_of(priv, least @ c).tolist() == [2 * 2**63]


def test_what_is_refused(pub, c):
    m = sp.csr_array(dense_of(5, 8, 1))
    for product in (lambda: m @ c.T, lambda: c @ m, lambda: m.T @ c):
        with pytest.raises(ValueError, match="do not fit: the contracted axes have lengths"):
            product()
    with pytest.raises(ValueError, match="use \\* for a single number"):
        m @ c[0, 0]
    bad = sp.csr_array(np.where(np.arange(16).reshape(2, 8) == 11, np.nan, 0.0))
    for product, where in ((lambda: bad @ c, r"array\[1, 3\]"), (lambda: c.T @ bad.T, r"array\[3, 1\]")):
        with pytest.raises(ValueError, match=where + " is NaN or infinite"):
            product()
    with pytest.raises(TypeError, match="complex128"):
        m.astype(complex) @ c
    for other in (
        lambda: c * m,
        lambda: m + c,
        lambda: c + m,
        lambda: c - m,
        lambda: m - c,
        lambda: sp.csr_matrix(m) * c,
    ):
        with pytest.raises(TypeError, match=r"is an operand of @ only: use its toarray\(\)"):
            other()
    with pytest.raises(ValueError, match="one or two axes, not 3"):
        c.T @ sp.coo_array(np.ones((2, 8, 8), dtype=int))
    wide = encrypt_integers(pub, np.array([1, 1]), SMALL, frac=0, bound=(int(pub.n) - 1) // 5)
    with pytest.raises(EncodingOverflow, match="array @ c"):
        sp.csr_array([[2, -1]]) @ wide
    with pytest.raises(TypeError, match="cannot become a NumPy array"):
        np.asarray(c)


def test_scipy_is_not_imported(pub):
    code = (
        "import sys, numpy as np, bluetusk as bt; "
        "key = bt.paillier.PublicKey.from_bytes(sys.stdin.buffer.read()); "
        "np.ones((1, 2), dtype=int) @ key.encrypt([1, 2]); print('scipy' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], input=pub.to_bytes(), capture_output=True, timeout=60
    )
    assert run.stdout.strip() == b"False", run.stderr
