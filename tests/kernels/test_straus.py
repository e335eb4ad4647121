"""Tables shared by all rows of a matrix: against plain integers, and every wrong size refused before C sees it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bluetusk._kernels import straus
from bluetusk._kernels.modexp import Montgomery
from bluetusk.paillier import _straus as shared

MODULI = [(1 << 89) - 1, (1 << 1279) - 1]  # primes: one for mpn alone, one for every backend


def loaded(mont, values):
    data = b"".join(value.to_bytes(8 * mont.limbs, "little") for value in values)
    words = mont.empty(len(values))
    mont.load(words, np.frombuffer(data, np.uint64).reshape(len(values), -1), 0, len(values))
    return words


def stored(mont, words, n):
    out = np.zeros((n, mont.limbs), np.uint64)
    mont.store(out, words, None, 0, n)
    return [int.from_bytes(row.tobytes(), "little") for row in out]


@st.composite
def problems(draw):
    rows, m = draw(st.integers(1, 9)), draw(st.integers(1, 12))
    bits = draw(st.sampled_from([1, 2, 7, 40, 63, 64, 65, 200]))
    limit = 2**bits - 1
    edges = st.sampled_from([0, 1, -1, limit, -limit, limit - limit // 3, 2 ** (bits - 1)])
    entries = draw(st.lists(st.integers(-limit, limit) | edges, min_size=rows * m, max_size=rows * m))
    matrix = np.array(entries, dtype=np.int64 if bits <= 63 else object).reshape(rows, m)
    return bits, matrix


@pytest.mark.parametrize("modulus", MODULI, ids=["mpn", "any backend"])
@settings(max_examples=60, deadline=None)
@given(problem=problems(), threads=st.integers(1, 2), small=st.booleans())
def test_rows_of_signed_powers(modulus, problem, threads, small):
    bits, matrix = problem
    mont = Montgomery(modulus)
    values = [pow(7, 100 + i, modulus) for i in range(15)]
    columns = np.array([(5 * j + 3) % 15 for j in range(matrix.shape[1])])
    with pytest.MonkeyPatch.context() as patch:
        if small:  # many blocks of columns and of rows, as a large matrix has
            patch.setattr(shared, "_TABLE_BYTES", 1)
            patch.setattr(shared, "_CELL_BYTES", 1)
        plus, minus = shared.powers_of_rows(mont, loaded(mont, values), columns, matrix, bits, threads=threads)
    got = [
        p * pow(q, -1, modulus) % modulus
        for p, q in zip(stored(mont, plus, len(matrix)), stored(mont, minus, len(matrix)), strict=True)
    ]
    want = [math.prod(pow(values[c], int(e), modulus) for c, e in zip(columns, row, strict=True)) for row in matrix]
    assert got == [value % modulus for value in want]


def test_arguments_are_checked():
    mont = Montgomery(MODULI[1])
    lanes, each = mont.lanes, straus.cells_of_row(40)
    src, powers = mont.ones(4), mont.empty(8 * straus.entries(5))
    idx, cells, used = np.zeros(8, np.int64), mont.ones(2 * each), np.zeros(2 * each, np.uint8)
    exps, signs = np.ones((2, 8, 1), np.uint64), np.zeros((2, 8), np.uint8)
    for window in (1, 11):
        with pytest.raises(ValueError, match="window"):
            straus.table(mont, powers, 8, src, idx, window, 0, 8)
    with pytest.raises(ValueError, match="too few for"):
        straus.table(mont, powers[1:], 8, src, idx, 5, 0, 8)
    with pytest.raises(IndexError):
        straus.table(mont, powers, 8, src, idx + 4 * lanes, 5, 0, 8)
    with pytest.raises(IndexError):
        straus.table(mont, powers, 8, src, idx[:3], 5, 0, 8)
    with pytest.raises(ValueError, match="outside"):
        straus.table(mont, powers, 8, src, idx, 5, 0, 8 + lanes)
    for first in (-1, 1, 2**62):
        with pytest.raises(ValueError, match="outside cells"):
            straus.collect(mont, cells, used, powers, 8, exps, signs, 40, 5, first)
    with pytest.raises(ValueError, match="outside cells"):
        straus.collect(mont, cells, used[1:], powers, 8, exps, signs, 40, 5, 0)
    with pytest.raises(ValueError, match="do not match"):
        straus.collect(mont, cells, used, powers, 4, exps, signs, 40, 5, 0)
    with pytest.raises(ValueError, match="do not match"):
        straus.collect(mont, cells, used, powers, 8, exps, signs[:, :7].copy(), 40, 5, 0)
    with pytest.raises(ValueError, match="ebits"):
        straus.collect(mont, cells, used, powers, 8, exps, signs, 65, 5, 0)
    with pytest.raises(ValueError, match="outside"):
        straus.join(mont, mont.empty(1), cells, used, 40, False, 0, lanes + 1)
    for ebits in (-1, 1 << 33):
        with pytest.raises(ValueError, match="ebits"):
            straus.cells_of_row(ebits)
