"""Plain rows times shared numbers: equal to Python's integers to one unit, with everything at its largest."""

from __future__ import annotations

import secrets

import numpy as np
import pytest

import bluetusk as bt
from bluetusk.paillier import slots
from bluetusk.vertical.logistic import products, ring

TOP = (1 << products.ENTRY_BITS) - 1
EDGE = [(1 << 95) - 1, 1 << 95, 0, (1 << 96) - 1, 1]


def shares(n, kind):
    return ring.words([EDGE[i % 5] if kind == "edge" else secrets.randbits(96) for i in range(n)])


def rows(n, d, kind):
    if kind == "edge":
        return np.where(np.arange(n * d).reshape(n, d) % 3, TOP, -TOP)
    return np.random.default_rng(n).integers(-TOP, TOP + 1, (n, d))


def off(mine, theirs, exact):
    """How far two shares are from numbers, all modulo 2^96."""
    got = ring.words((mine + theirs).tolist()) - ring.words(exact)
    return {abs(v) for v in ring.centred(ring.words(got.tolist()))}


@pytest.mark.parametrize(("n", "d"), [(1, 1), (17, 3), (33, 40)])
@pytest.mark.parametrize("kind", ["random", "edge"])
def test_rows_times_a_short_vector(pub, priv, n, d, kind):
    matrix, v = rows(n, d, kind), shares(d, kind)
    layout = products.rows_layout(2048, d)
    c = products.receive_encrypted(products.encrypted(priv, v), pub, d)
    mine, message = products.rows_times(matrix, c, layout)
    theirs = products.open_places(priv, message, n, layout)
    exact = [sum(x * w for x, w in zip(row, ring.centred(v), strict=True)) for row in matrix.tolist()]
    assert off(mine, theirs, exact) <= {0, 1}
    assert off(ring.dot(matrix, v), ring.zeros(n), exact) == {0}


@pytest.mark.parametrize("entry_bits", [products.ENTRY_BITS, ring.RING_BITS])
@pytest.mark.parametrize(("n", "kind"), [(1, "edge"), (70, "random"), (70, "edge")])
def test_columns_times_a_long_vector(pub, priv, n, kind, entry_bits):
    if entry_bits == ring.RING_BITS:
        column = ring.centred(shares(n, kind))
        matrix = np.empty((n, 1), dtype=object)
        matrix[:, 0] = column
    else:
        matrix = rows(n, 3, kind)
    v = shares(n, kind)
    layout = products.columns_layout(2048, n, entry_bits)
    c = products.receive_packed(products.encrypted_packed(priv, v, layout), pub, n, layout)
    mine, message = products.columns_times(matrix, c, layout)
    theirs = products.open_columns(priv, message, matrix.shape[1], layout)
    exact = [sum(x * w for x, w in zip(column, ring.centred(v), strict=True)) for column in matrix.T.tolist()]
    assert off(mine, theirs, exact) <= {0, 1}


@pytest.mark.parametrize("kind", ["random", "edge"])
def test_products_value_by_value(pub, priv, kind):
    n = 21
    v, w = shares(n, kind), shares(n, kind)
    factors = ring.centred(shares(n, kind))
    layout = products.values_layout(2048, ring.RING_BITS)
    cs = [products.receive_encrypted(products.encrypted(priv, share), pub, n) for share in (v, w)]
    mine, message = products.values_times([(cs[0], factors), (cs[1], factors)], n, layout)
    theirs = products.open_places(priv, message, n, layout)
    exact = [f * (a + b) for f, a, b in zip(factors, v.tolist(), w.tolist(), strict=True)]
    assert off(mine, theirs, exact) <= {0, 1}


def test_layouts_hold_what_they_must():
    for key in (2048, 3072, 4096):
        for n in (1, 512, 65536):
            for layout, most in (
                (products.rows_layout(key, n), n * TOP << 95),
                (products.columns_layout(key, n), n * TOP << 95),
                (products.columns_layout(key, n, 96), n << 190),
                (products.values_layout(key, 96), 2 << 190),
            ):
                assert layout.width >= ring.RING_BITS
                assert 2 * most < 1 << (layout.width - 1)
                assert layout.bits <= slots.room(key, masked=True)
    with pytest.raises(bt.EncodingOverflow, match="larger key_size"):
        products._layout(2048, 1 << 1984)


def test_local_truncation():
    values = [0, 1, -1, 7, -8, 1 << 40, -(1 << 40), 3 * 2**45 + 5]
    for k in (0, 3, 20, 44):
        a = shares(len(values), "random")
        b = ring.words([v - x for v, x in zip(values, a.tolist(), strict=True)])
        got = ring.centred(ring.words((ring.truncate(a, k, True) + ring.truncate(b, k, False)).tolist()))
        assert all(abs(g - (v >> k)) <= (k > 0) for g, v in zip(got, values, strict=True))


def test_words_travel():
    v = shares(7, "edge")
    assert ring.from_bytes(ring.to_bytes(v)).tolist() == v.tolist()


@pytest.mark.parametrize("bits", [2048, 3072, 4096])
@pytest.mark.parametrize("entries", [products.ENTRY_BITS, ring.RING_BITS])
def test_packed_words_times_a_column_fit_every_key(bits, entries):
    """Of 64 to 127 rows the declared bound of a pack, times a column of words, was beyond a key of 3072 bits."""
    for n in [*range(1, 700), 1023, 1024, 2048, 8192, 65536]:
        layout = products.columns_layout(bits, n, entries)
        packed = products._packed_bits(layout)
        column = layout.width * (layout.count - 1) + entries  # the other factor's bits
        assert packed + column + layout.blocks(n).bit_length() <= bits - 2
