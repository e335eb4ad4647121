"""The ring kernel against Python's integers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluetusk._kernels import ring

DTYPES = [np.uint32, np.uint64]


def bits_of(dtype):
    return 8 * np.dtype(dtype).itemsize


def words(dtype, n, seed=0):
    rng = np.random.default_rng([seed, n])
    out = rng.integers(0, 2 ** bits_of(dtype), n, dtype=dtype)
    out[: n // 8] = np.iinfo(dtype).max
    return out


def ints(a):
    return [int(v) for v in a.reshape(-1)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("parties", [1, 2, 3, 7])
@pytest.mark.parametrize("n", [0, 1, 5, 1000])
def test_shares_sum_to_the_secret_and_others_stay_as_drawn(dtype, parties, n):
    x, rows = words(dtype, n), words(dtype, parties * n, 1).reshape(parties, n)
    before = rows.copy()
    ring.share(rows, x, 0, n // 2)
    ring.share(rows, x, n // 2, n)
    modulus = 2 ** bits_of(dtype)
    assert [sum(column) % modulus for column in rows.T.tolist()] == ints(x)
    assert np.array_equal(rows[:-1], before[:-1])
    out = np.full(n, 7, dtype)
    ring.total(rows, out, 0, n)
    assert np.array_equal(out, x)
    if n > 3:
        out[:] = 7
        ring.total(rows, out, 2, n - 1)
        assert np.array_equal(out[2:-1], x[2:-1])
        assert ints(out[[0, 1, -1]]) == [7, 7, 7]


@pytest.mark.parametrize("dtype", DTYPES)
def test_arithmetic_wraps_as_python_says(dtype):
    n, modulus = 100, 2 ** bits_of(dtype)
    a, b, c, d, e = (words(dtype, n, seed) for seed in range(5))
    out = np.empty(n, dtype)
    for name, exact in [("add", int.__add__), ("sub", int.__sub__), ("mul", int.__mul__)]:
        getattr(ring, name)(a, b, out)
        assert ints(out) == [exact(x, y) % modulus for x, y in zip(ints(a), ints(b), strict=True)]
    ring.scale(a, 2**63 + 12345, out)
    assert ints(out) == [x * (2**63 + 12345) % modulus for x in ints(a)]
    assert ring.dot(a, b) == sum(x * y for x, y in zip(ints(a), ints(b), strict=True)) % modulus
    for leader in (False, True):
        ring.beaver(d, e, a, b, c, leader, out)
        rows = zip(*map(ints, (a, b, c, d, e)), strict=True)
        assert ints(out) == [(z + u * y + v * x + leader * u * v) % modulus for x, y, z, u, v in rows]


@given(st.data())
def test_truncation_errs_by_one_at_most_unless_the_sharing_wraps(data):
    dtype = data.draw(st.sampled_from(DTYPES))
    bits = bits_of(dtype)
    v = data.draw(st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1))
    x0 = data.draw(st.integers(0, 2**bits - 1))
    k = data.draw(st.integers(0, bits - 1))
    parts = [np.array([s % 2**bits], dtype) for s in (x0, v - x0)]
    for party, part in enumerate(parts):
        ring.truncate(part, k, party, part)
    got = (int(parts[0][0]) + int(parts[1][0])) % 2**bits
    wraps = not 0 <= x0 - v < 2**bits
    exact = [(v >> k) % 2**bits, ((v >> k) + 1) % 2**bits]
    assert got in exact or wraps


@pytest.mark.parametrize("dtype", DTYPES)
@given(data=st.data())
def test_packing_is_the_bit_string(dtype, data):
    width = data.draw(st.integers(1, bits_of(dtype)))
    values = data.draw(st.lists(st.integers(0, 2**width - 1), max_size=40))
    x = np.array(values, dtype)
    packed = np.full(ring.packed_bytes(len(x), width), 0xAA, np.uint8)
    ring.pack(x, width, packed)
    assert int.from_bytes(packed.tobytes(), "little") == sum(v << (width * i) for i, v in enumerate(values))
    back = np.empty(len(x), dtype)
    assert ring.unpack(packed, width, back)
    assert ints(back) == values
    if len(x) * width % 8:
        packed[-1] |= 0x80
        assert not ring.unpack(packed, width, back)


@pytest.mark.parametrize("dtype", DTYPES)
def test_masks_cancel_in_narrow_words(dtype):
    a, b = words(dtype, 50), words(dtype, 50, 1)
    for width in range(1, bits_of(dtype) + 1):
        out = np.empty_like(a)
        ring.mask(a, b, width, out)
        assert ints(out) == [(x + y) % 2**width for x, y in zip(ints(a), ints(b), strict=True)]
        ring.unmask(out, b, width, out)
        assert ints(out) == [x % 2**width for x in ints(a)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 0, 2), (7, 5, 9), (65, 300, 33), (4, 513, 600)])
def test_product_of_matrices(dtype, shape):
    m, k, n = shape
    a, b = words(dtype, m * k).reshape(m, k), words(dtype, k * n, 1).reshape(k, n)
    out = np.full((m, n), 9, dtype)
    ring.matmul(a, b, out, 0, m)
    want = a @ b  # NumPy's own product of integers wraps as well
    if m * n * k < 10**4:
        exact = a.astype(object) @ b.astype(object) if k else np.zeros((m, n), object)
        assert (exact % 2 ** bits_of(dtype) == want).all()
    assert np.array_equal(out, want)
    out[:] = 9
    ring.matmul(a, b, out, m // 2, m)
    assert (out[: m // 2] == 9).all()
    assert np.array_equal(out[m // 2 :], want[m // 2 :])


def test_sizes_are_checked_before_anything_is_touched():
    a, b = np.zeros(3, np.uint64), np.zeros(4, np.uint64)
    with pytest.raises(ValueError, match="length of b"):
        ring.add(a, b, a)
    with pytest.raises(ValueError, match="columns of rows"):
        ring.share(np.zeros((2, 3), np.uint64), b, 0, 3)
    with pytest.raises(ValueError, match="outside the rows"):
        ring.share(np.zeros((2, 3), np.uint64), a, 0, 4)
    with pytest.raises(ValueError, match="at least one party"):
        ring.share(np.zeros((0, 3), np.uint64), a, 0, 3)
    with pytest.raises(ValueError, match="k must be 0 to 63"):
        ring.truncate(a, 64, False, a)
    with pytest.raises(ValueError, match="bits must be 1 to 64, not 65"):
        ring.mask(a, a, 65, a)
    with pytest.raises(ValueError, match="length of out"):
        ring.pack(a, 7, np.zeros(4, np.uint8))
    with pytest.raises(ValueError, match="more than 7 bits"):
        ring.pack(a + np.uint64(128), 7, np.zeros(3, np.uint8))
    with pytest.raises(ValueError, match="rows of b"):
        ring.matmul(np.zeros((2, 3), np.uint64), np.zeros((4, 2), np.uint64), np.zeros((2, 2), np.uint64), 0, 2)
    with pytest.raises(ValueError, match="outside of a"):
        ring.matmul(np.zeros((2, 3), np.uint64), np.zeros((3, 2), np.uint64), np.zeros((2, 2), np.uint64), 0, 3)
    with pytest.raises(ValueError, match="outside the rows"):
        ring.total(np.zeros((2, 3), np.uint64), np.zeros(3, np.uint64), 1, 4)
