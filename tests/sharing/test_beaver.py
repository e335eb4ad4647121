"""Beaver's products against Python's integers; a triple serves once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bluetusk as bt
from bluetusk.sharing import beaver, ring


def as_ints(x):
    return [int(v) for v in np.asarray(x).reshape(-1).tolist()]


@settings(max_examples=50)
@given(st.data())
def test_products(data):
    bits = data.draw(st.sampled_from([32, 64]))
    parties = data.draw(st.integers(1, 4))
    shape = data.draw(st.lists(st.integers(0, 4), max_size=3).map(tuple))
    n = int(np.prod(shape, dtype=int))
    numbers = st.lists(st.integers(0, 2**bits - 1), min_size=n, max_size=n)
    a, b = data.draw(numbers), data.draw(numbers)
    x, y = (ring.share(np.array(v, np.uint64).reshape(shape), parties, bits) for v in (a, b))
    z = beaver.multiply(x, y, beaver.triple(shape, parties, bits))
    assert z.shape == x.shape
    assert as_ints(ring.reconstruct(z)) == [u * v % 2**bits for u, v in zip(a, b, strict=True)]


@pytest.mark.parametrize("shapes", [((2, 3), (3, 4)), ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 4)), ((0, 2), (2, 2))])
@pytest.mark.parametrize("parties", [1, 2, 3])
@pytest.mark.parametrize("bits", [32, 64])
def test_matrix_products(shapes, parties, bits):
    rng = np.random.default_rng(3)
    a, b = (rng.integers(-(2**31), 2**31, shape) for shape in shapes)
    x, y = ring.share(a, parties, bits), ring.share(b, parties, bits)
    z = beaver.multiply(x, y, beaver.triple(shapes[0], parties, bits, other=shapes[1]))
    want = a.astype(object) @ b.astype(object)
    assert as_ints(ring.reconstruct(z)) == [int(v) % 2**bits for v in np.asarray(want, object).reshape(-1)]


def test_each_party_by_itself():
    t = beaver.triple((5,), 3)
    parts = [t.party(i) for i in range(3)]
    x, y = ring.share(range(5), 3), ring.share(range(5, 10), 3)
    opened = [part.mask(x[i], y[i]) for i, part in enumerate(parts)]
    d, e = (ring.reconstruct(np.stack([pair[k] for pair in opened])) for k in range(2))
    z = [part.finish(d, e, leader=i == 2) for i, part in enumerate(parts)]
    assert as_ints(ring.reconstruct(z)) == [i * (i + 5) for i in range(5)]


def test_what_is_opened_is_uniform():
    x = ring.share(np.zeros(20_000, np.int64), 2)
    t = beaver.triple(20_000, 2)
    d, e = (ring.reconstruct(part) for part in t.mask(x, x))
    for opened in (d, e):
        counts = np.bincount(opened.view(np.uint8), minlength=256)
        assert float(((counts - 625) ** 2 / 625).sum()) < 255 + 8 * 510**0.5


def test_a_triple_serves_once():
    x = ring.share([1], 2)
    t = beaver.triple(1, 2)
    assert "spent" not in repr(t)
    beaver.multiply(x, x, t)
    assert "spent" in repr(t)
    with pytest.raises(bt.ProtocolAbort, match="was already used"):
        beaver.multiply(x, x, t)


def test_refusals():
    x = ring.share([1, 2], 2)
    with pytest.raises(ValueError, match=r"the triple is for \(2, 3\) and \(2, 3\)"):
        beaver.multiply(x, x, beaver.triple(3, 2))
    with pytest.raises(TypeError, match="must have one dtype"):
        beaver.Triple(np.zeros(1, np.uint32), np.zeros(1, np.uint64), np.zeros(1, np.uint64))
    with pytest.raises(TypeError, match="array of uint32 or uint64"):
        beaver.Triple(*(np.zeros(1, np.int64) for _ in range(3)))
    with pytest.raises(ValueError, match="do not fit"):
        beaver.triple((2, 3), 2, other=(2, 3))
    with pytest.raises(ValueError, match="bits must be 32 or 64"):
        beaver.triple(3, 2, 63)
