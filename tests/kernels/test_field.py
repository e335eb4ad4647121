"""The field kernel against Python's integers, and GF(2^8) against a product bit by bit."""

from __future__ import annotations

import numpy as np
import pytest

from bluetusk._kernels.field import Field
from bluetusk.sharing._field import field_of
from bluetusk.sharing._field import gf256 as byte_field

PRIMES = {
    "p31": 2**31 - 1,
    "p61": 2**61 - 1,
    "p64": 2**64 - 2**32 + 1,
    "vdaf128": 2**66 * 4611686018427387897 + 1,
    "google": 2**31 + 11,
    "three": 3,
    "full64": 2**64 - 59,
    "p255": 2**255 - 19,
    "p521": 2**521 - 1,
}


def gf256(a, b):
    t = 0
    for i in range(8):
        t ^= (a << i) * (b >> i & 1)
    for i in range(14, 7, -1):
        t ^= (0x11B << (i - 8)) * (t >> i & 1)
    return t


def draw(p, n, seed):
    rng = np.random.default_rng(seed)
    values = [int.from_bytes(rng.bytes(80), "little") % p for _ in range(n)]
    values[: min(n, 3)] = [0, p - 1, p - 1][: min(n, 3)]
    return values


@pytest.mark.parametrize("p", PRIMES.values(), ids=PRIMES)
def test_elementwise(p):
    field = field_of(p)
    a, b = draw(p, 50, 1), draw(p, 50, 2)
    x, y, out = field.from_ints(a), field.from_ints(b), field.empty(50)
    for name, exact in [("add", int.__add__), ("sub", int.__sub__), ("mul", int.__mul__)]:
        getattr(field.kernel, name)(x, y, out)
        assert field.to_ints(out) == [exact(u, v) % p for u, v in zip(a, b, strict=True)]


@pytest.mark.parametrize("p", [*PRIMES.values(), 256], ids=[*PRIMES, "gf256"])
@pytest.mark.parametrize(("rows", "k", "n"), [(1, 1, 1), (3, 7, 41), (2, 130, 9), (5, 3, 0), (2, 0, 4)])
def test_product(p, rows, k, n):
    field = byte_field() if p == 256 else field_of(p)
    m, s = draw(p, rows * k, 3), draw(p, k * n, 4)
    if p != 256:
        m[: k // 2] = [p - 1] * (k // 2)
    out = field.product(field.from_ints(m).reshape(rows, k, *field.tail), field.from_ints(s).reshape(k, n, *field.tail))
    want = []
    for r in range(rows):
        for i in range(n):
            terms = [(m[r * k + j], s[j * n + i]) for j in range(k)]
            total = 0
            for u, v in terms:
                total = total ^ gf256(u, v) if p == 256 else (total + u * v) % p
            want.append(total)
    assert field.to_ints(out) == want


def test_all_products_of_gf256():
    field = Field(256)
    a, b = (grid.astype(np.uint8).reshape(-1) for grid in np.meshgrid(np.arange(256), np.arange(256)))
    out = np.empty_like(a)
    field.mul(a, b, out)
    assert out.tolist() == [gf256(u, v) for u, v in zip(a.tolist(), b.tolist(), strict=True)]


@pytest.mark.parametrize("p", [p for p in PRIMES.values() if p > 100], ids=[n for n, p in PRIMES.items() if p > 100])
def test_lagrange_moves_values_of_a_polynomial(p):
    field = field_of(p)
    coefficients = draw(p, 6, 5)
    value = lambda x: sum(c * x**i for i, c in enumerate(coefficients)) % p  # noqa: E731
    ids, to = (1, 3, 4, 9, 77, p - 1), (0, 2, 3, p - 2)
    weights = field.lagrange(to, ids)
    got = field.product(weights, field.from_ints(map(value, ids)).reshape(6, 1, *field.tail))
    assert field.to_ints(got) == [value(x) for x in to]
    powers = field.product(field.powers(to, 6), field.from_ints(coefficients).reshape(6, 1, *field.tail))
    assert field.to_ints(powers) == [value(x) for x in to]
    assert field.kernel.lagrange(field.from_ints([0]), field.from_ints([5, 6, 5])) is None


@pytest.mark.parametrize("p", PRIMES.values(), ids=PRIMES)
def test_the_modulus_itself_is_no_element(p):
    field = field_of(p)
    good = field.from_ints([0, p - 1])
    assert field.kernel.canonical(good)
    bad = good.copy()
    bad[1] = field.from_ints([p])[0]
    assert not field.kernel.canonical(bad)
    bad[1] = np.iinfo(field.dtype).max
    assert not field.kernel.canonical(bad)


def test_accepting_keeps_order_and_drops_what_is_beyond():
    field = field_of(2**61 - 1)
    words = np.array([2**61 - 1, 5, 2**64 - 1, 2**62 + 9, 7], np.uint64)
    assert field.kernel.accept(words) == 3
    assert words[:3].tolist() == [5, 9, 7]


def test_wrong_buffers_are_refused():
    field = Field(2**61 - 1)
    a = np.zeros(4, np.uint64)
    with pytest.raises(TypeError, match="C-contiguous array of uint64"):
        field.add(a[::2], a[:2], np.zeros(2, np.uint64))
    with pytest.raises(TypeError, match="not of int64"):
        field.add(a.astype(np.int64), a, a)
    with pytest.raises(ValueError, match="b: got 3 items, need 4"):
        field.add(a, a[:3], a)
    frozen = a.copy()
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="out is read-only"):
        field.add(a, a, frozen)
    m = np.zeros((2, 3), np.uint64)
    with pytest.raises(ValueError, match="out: got 5 items, need 10"):
        field.matmul(m, np.zeros((3, 5), np.uint64), np.zeros((1, 5), np.uint64), 0, 0, 5)
    with pytest.raises(ValueError, match="outside of s or out"):
        field.matmul(m, np.zeros((3, 5), np.uint64), np.zeros((2, 5), np.uint64), 3, 0, 3)
    for order in (0, 2, 4, 2**4097 - 1):
        with pytest.raises(ValueError, match="odd prime of at most 4096 bits"):
            Field(order)


@pytest.mark.parametrize("p", [2**31 - 1, 2**61 - 1, 2**127 - 1, 256])
def test_arrays_of_too_few_axes_are_refused(p):
    """A tuple that is indexed beyond its end is read out of bounds where the compiler does not check: CPython 3.10."""
    f = Field(p)
    flat, point = np.zeros(4, f.dtype), np.zeros((), f.dtype)
    square = np.zeros((2, 2, *((f.limbs,) if f.limbs > 1 else ())), f.dtype)
    for m, s, out in ((flat, square, square), (square, flat, square), (square, square, flat), (point, point, point)):
        with pytest.raises(ValueError, match=r"has [01] axes, need [12]"):
            f.matmul(m, s, out.copy(), 0, 0, 2)
    with pytest.raises(ValueError, match="x has 0 axes"):
        f.powers(point, 3)
    for z, x in ((point, flat), (flat, point)):
        with pytest.raises(ValueError, match="has 0 axes, need 1"):
            f.lagrange(z, x)
