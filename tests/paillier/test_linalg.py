"""Products, powers and multi-exponentiations over toy moduli: the real kernel, and a backend of four lanes in Python.

The Python backend keeps the contract of a Montgomery backend to the letter: slices begin at multiples of the lanes, and
whatever pads the last group of an output is spoiled, so nothing may depend on it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from bluetusk._kernels.modexp import Montgomery
from bluetusk.paillier import _bounds, _sparse, _words
from bluetusk.paillier._store import DERIVED, FRESH, PENDING, Store, current, gathered, rerandomise

LANES = 4


class FourLanes:
    """Arithmetic modulo a toy number on arrays of one word an element, in groups of four."""

    lanes = LANES
    backend = "mpn"
    limbs = 1
    nbytes = 8

    def __init__(self, modulus: int) -> None:
        self.modulus = modulus

    def words(self, n: int) -> int:
        return -(-n // LANES) * LANES

    def empty(self, n: int) -> np.ndarray:
        return np.zeros(self.words(n), dtype=np.uint64)

    def ones(self, n: int) -> np.ndarray:
        return np.ones(self.words(n), dtype=np.uint64)

    def _write(self, name: str, dst: np.ndarray, lo: int, hi: int, values: Any) -> None:
        assert lo % LANES == 0
        assert 0 <= lo <= hi
        assert self.words(hi) <= len(dst)
        out = [int(value) % self.modulus for value in values]
        assert len(out) == hi - lo
        dst[lo:hi] = out
        dst[hi : self.words(hi)] = 0  # spoiled: a zero has no inverse

    @staticmethod
    def _take(src: np.ndarray, index: np.ndarray | None, lo: int, hi: int) -> list[int]:
        at = range(lo, hi) if index is None else index[lo:hi]
        return [int(src[i]) for i in at]

    def gather(self, dst: np.ndarray, src: np.ndarray, idx: np.ndarray | None, lo: int, hi: int) -> None:
        self._write("gather", dst, lo, hi, self._take(src, idx, lo, hi))

    def mul(self, dst: Any, a: Any, ia: Any, b: Any, ib: Any, lo: int, hi: int) -> None:
        pairs = zip(self._take(a, ia, lo, hi), self._take(b, ib, lo, hi), strict=True)
        self._write("mul", dst, lo, hi, [x * y for x, y in pairs])

    @staticmethod
    def _exponent(row: np.ndarray, bits: int) -> int:
        value = sum(int(limb) << (64 * i) for i, limb in enumerate(row))
        assert value < 1 << bits
        return value

    def pow(self, dst: Any, a: Any, ia: Any, exps: np.ndarray, ebits: int, lo: int, hi: int) -> None:
        assert exps.flags.c_contiguous
        values = zip(self._take(a, ia, lo, hi), exps[lo:hi], strict=True)
        self._write(f"pow{ebits}", dst, lo, hi, [pow(x, self._exponent(e, ebits), self.modulus) for x, e in values])

    def prod(self, dst: Any, src: Any, idx: np.ndarray, m: int, lo: int, hi: int) -> None:
        rows = [math.prod(int(src[j]) for j in idx[r * m : (r + 1) * m]) for r in range(lo, hi)]
        self._write("prod", dst, lo, hi, rows)

    def bincount(self, dst: Any, bins: int, width: int, src: Any, idx: Any, codes: Any, lo: int, hi: int) -> None:
        rows = self._take(src, idx, lo * width, hi * width)
        for i, row in enumerate(codes[lo:hi]):
            for f, code in enumerate(row):
                assert 0 <= code < bins
                for t in range(width):
                    at = (f * bins + code) * width + t
                    dst[at] = int(dst[at]) * rows[i * width + t] % self.modulus
        cells = codes.shape[1] * bins * width
        dst[cells : self.words(cells)] = 0

    def scan(self, dst: Any, src: Any, idx: np.ndarray, first: int, last: int, lo: int, hi: int) -> None:
        assert idx.flags.c_contiguous
        stride = self.words(idx.shape[1])
        for s in range(first, last):
            values = self._take(src, idx[s], lo, hi)
            if s:
                before = dst[(s - 1) * stride + lo : (s - 1) * stride + hi]
                values = [v * int(w) for v, w in zip(values, before, strict=True)]
            self._write("scan", dst, s * stride + lo, s * stride + hi, values)

    def multiexp(self, dst: Any, src: Any, idx: Any, exps: np.ndarray, ebits: int, lo: int, hi: int) -> None:
        out = []
        for row in exps[lo:hi]:
            value = 1
            for j, e in zip(idx, row, strict=True):
                value = value * pow(int(src[j]), self._exponent(e, ebits), self.modulus) % self.modulus
            out.append(value)
        self._write("multiexp", dst, lo, hi, out)

    def multiexp_sparse(
        self, dst: Any, src: Any, idx: Any, start: Any, row: Any, exps: np.ndarray, ebits: int, rows: int
    ) -> None:
        out = [1] * rows
        for j, base in enumerate(self._take(src, idx, 0, len(idx))):
            for k in range(start[j], start[j + 1]):
                out[row[k]] = out[row[k]] * pow(base, self._exponent(exps[k], ebits), self.modulus) % self.modulus
        self._write("multiexp_sparse", dst, 0, rows, out)

    def invert(self, buf: np.ndarray, n: int) -> None:
        self._write("invert", buf, 0, n, [pow(int(v), -1, self.modulus) for v in buf[:n]])

    def store(self, out: np.ndarray, src: np.ndarray, idx: Any, lo: int, hi: int) -> None:
        out[lo:hi, 0] = self._take(src, idx, lo, hi)


MODULI = [35 * 35, 77 * 77, 221 * 221]


@pytest.fixture(params=[Montgomery, FourLanes], ids=["kernel", "four lanes"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    if request.param is FourLanes:  # which knows no tables shared by rows
        monkeypatch.setattr(_words._straus, "cost", lambda *_: math.inf)
    return request.param


def units(modulus: int, n: int, rng: np.random.Generator) -> list[int]:
    pool = [v for v in range(1, modulus) if math.gcd(v, modulus) == 1]
    return [pool[i] for i in rng.integers(0, len(pool), n)]


def put(mont: Any, values: list[int]) -> np.ndarray:
    if isinstance(mont, FourLanes):
        words = mont.empty(len(values))
        words[: len(values)] = values
        return words
    words = mont.empty(len(values))
    mont.load(words, np.array(values, dtype=np.uint64).reshape(-1, 1), 0, len(values))
    return words


def get(mont: Any, words: np.ndarray, index: np.ndarray) -> list[int]:
    out = np.zeros((index.size, 1), dtype=np.uint64)
    mont.store(out, words, np.ascontiguousarray(index.reshape(-1)), 0, index.size)
    return [int(v) for v in out[:, 0]]


@pytest.mark.parametrize("modulus", MODULI)
@pytest.mark.parametrize("n", [0, 1, 3, 4, 5, 301])
def test_powers_of_every_sign_and_size(backend, modulus, n):
    rng = np.random.default_rng(n)
    mont, values = backend(modulus), units(modulus, 20, rng)
    src, index = put(mont, values), rng.integers(0, 20, n)
    sizes = rng.integers(0, 64, n)
    k = (rng.integers(0, 1 << 62, n) >> sizes) * rng.choice([-1, 1], n)
    k[: n // 10] = 0
    wide = np.array([int(v) << int(s) * 3 for v, s in zip(k, sizes, strict=True)], dtype=object)
    for factors in (k, np.abs(k), -np.abs(k), np.ones(n, dtype=np.int64), wide):
        words, at = _words.powers(mont, src, index, factors)
        expected = [pow(values[i], int(e), modulus) for i, e in zip(index, factors, strict=True)]
        assert get(mont, words, at) == expected


@pytest.mark.parametrize("threads", [1, 3])
def test_powers_by_threads(monkeypatch, threads):
    """So many slices that helpers take some: the negative ones, each inverted at once, and the others."""
    monkeypatch.setattr(_words, "product_us", lambda mont: 10.0)
    rng = np.random.default_rng(threads)
    mont, values = Montgomery(35 * 35), units(35 * 35, 20, rng)
    src, index = put(mont, values), rng.integers(0, 20, 3001)
    for signs in ([-1, 1], [-1], [1]):
        k = rng.integers(0, 1 << 40, 3001) * rng.choice(signs, 3001)
        words, at = _words.powers(mont, src, index, k, threads=threads)
        assert get(mont, words, at) == [pow(values[i], int(e), 35 * 35) for i, e in zip(index, k, strict=True)]


def test_a_short_factor_does_not_pay_for_its_neighbours():
    """The kernel takes a group of lanes by the longest of its exponents: factors go by sign and length."""
    mont = FourLanes(35 * 35)
    src = put(mont, [2, 3])
    rng = np.random.default_rng(0)
    k = (rng.integers(0, 1 << 62, 203) >> rng.integers(0, 62, 203)) * rng.choice([-1, 1], 203)
    _, at = _words.powers(mont, src, np.zeros(203, dtype=np.int64), k)
    placed = k[np.argsort(at)]
    under = int((k < 0).sum())
    assert (placed[:under] < 0).all()
    assert (placed[under:] >= 0).all()
    for part in (placed[:under], placed[under:]):
        lengths = [abs(int(v)).bit_length() for v in part]
        assert lengths == sorted(lengths, reverse=True)
    assert at.min() == 0
    assert sorted(at[k >= 0])[0] == -(-under // 4) * 4  # the negative ones fill groups of their own


@pytest.mark.parametrize("modulus", MODULI[:2])
@pytest.mark.parametrize(("rows", "m"), [(0, 3), (1, 0), (3, 1), (7, 3), (1, 2500), (3, 1100), (5, 257)])
@pytest.mark.parametrize("threads", [1, 3])
def test_row_products_of_any_length(backend, modulus, rows, m, threads):
    rng = np.random.default_rng(m)
    mont, values = backend(modulus), units(modulus, 30, rng)
    index = rng.integers(0, 30, (rows, m))
    words, at = _words.row_products(mont, put(mont, values), index, threads=threads)
    expected = []
    for row in index:
        product = 1
        for i in row:
            product = product * values[i] % modulus
        expected.append(product)
    assert get(mont, words, at) == expected


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize(
    ("rows", "features", "width", "bins"),
    [(20_000, 1, 1, 7), (3000, 3, 1, 40), (700, 11, 2, 5), (40, 30, 1, 300), (0, 2, 3, 4), (5, 0, 1, 4), (5, 2, 0, 4)],
)
def test_histograms(backend, threads, rows, features, width, bins, monkeypatch):
    monkeypatch.setattr(_words, "_BINS_BYTES", 3000)  # several blocks of features
    monkeypatch.setattr(_words, "_SLICE_US", 5.0)  # and many slices
    rng = np.random.default_rng(5)
    modulus = 77 * 77
    mont, values = backend(modulus), units(modulus, 30, rng)
    index = rng.integers(0, 30, (rows, width))
    codes = rng.integers(0, max(1, bins - 1), (rows, features)).astype(np.uint16)
    words, at = _words.histogram(mont, put(mont, values), index, codes, bins, threads=threads)
    assert at.shape == (features, bins, width)
    expected = np.ones(at.shape, dtype=np.int64)
    for row, chosen in zip(index, codes, strict=True):
        for f, code in enumerate(chosen):
            for t, i in enumerate(row):
                expected[f, code, t] = expected[f, code, t] * values[i] % modulus
    assert get(mont, words, at) == expected.reshape(-1).tolist()


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(("rows", "m"), [(0, 3), (2, 0), (1, 1), (1, 500), (2, 37), (3, 100), (5, 9), (70, 6)])
def test_running_products(backend, threads, rows, m, monkeypatch):
    monkeypatch.setattr(_words, "_SLICE_US", 1.0)  # steps in several slices
    rng = np.random.default_rng(m)
    modulus = 35 * 35
    mont, values = backend(modulus), units(modulus, 30, rng)
    index = rng.integers(0, 30, (rows, m))
    words, at = _words.running_products(mont, put(mont, values), index, threads=threads)
    assert at.shape == (rows, m)
    expected = []
    for row in index:
        product = 1
        for i in row:
            product = product * values[i] % modulus
            expected.append(product)
    assert get(mont, words, at) == expected


@pytest.mark.parametrize(
    ("problems", "rows", "m"),
    [(1, 1, 1), (2, 3, 5), (1, 0, 3), (0, 2, 3), (1, 2, 0), (1, 90, 200), (3, 5, 70), (1, 1, 900)],
)
@pytest.mark.parametrize("signs", ["plus", "minus", "both", "zero"])
def test_multiexp(backend, problems, rows, m, signs, monkeypatch):
    monkeypatch.setattr(_words, "_SLICE_US", 40.0)  # many blocks and strips, as a long computation has
    rng = np.random.default_rng(m)
    modulus = 35 * 35
    mont, values = backend(modulus), units(modulus, 25, rng)
    columns = rng.integers(0, 25, (problems, m))
    matrices = rng.integers(0, 9, (2, rows, m)) * {"plus": 1, "minus": -1, "both": 1, "zero": 0}[signs]
    if signs == "both":
        matrices *= rng.choice([-1, 1], matrices.shape)
    which = rng.integers(0, 2, problems)
    words, at = _words.multiexp(mont, put(mont, values), columns, which, matrices, threads=2)
    expected = []
    for problem, chosen in zip(columns, which, strict=True):
        for row in matrices[chosen]:
            product = 1
            for i, e in zip(problem, row, strict=True):
                product = product * pow(values[i], int(e), modulus) % modulus
            expected.append(product)
    assert get(mont, words, at) == expected


def test_multiexp_with_wide_and_extreme_exponents(backend):
    modulus = 221 * 221
    mont, values = backend(modulus), units(modulus, 4, np.random.default_rng(1))
    for row in ([-(2**63), 2**63 - 1, 0, -1], [2**64, -(2**200), 7, 0]):
        matrix = np.array([[row]], dtype=object if row[0] > 2**63 else np.int64)
        words, at = _words.multiexp(mont, put(mont, values), np.arange(4)[None], np.array([0]), matrix)
        assert get(mont, words, at) == [
            math.prod(pow(v, int(e), modulus) for v, e in zip(values, row, strict=True)) % modulus
        ]


@pytest.mark.parametrize(
    ("problems", "rows", "m", "n"),
    [(1, 1, 1, 1), (2, 7, 5, 9), (3, 90, 60, 900), (1, 5000, 8, 400), (1, 1, 300, 800), (0, 3, 2, 4), (2, 3, 4, 0)],
)
@pytest.mark.parametrize("signs", ["plus", "minus", "both"])
def test_sparse_multiexp(backend, problems, rows, m, n, signs, monkeypatch):
    monkeypatch.setattr(_sparse, "_SLICE_US", 40.0)  # many calls
    rng = np.random.default_rng(n)
    modulus = 35 * 35
    mont, values = backend(modulus), units(modulus, 25, rng)
    columns = rng.integers(0, 25, (problems, m))
    row, column = rng.integers(0, rows, n), rng.integers(0, m, n)  # places repeat
    short, wide = rng.integers(1, 200, n), np.array([int(v) << 70 for v in rng.integers(1, 9, n)], dtype=object)
    for sizes in (short, wide[: n // 9]):
        k = len(sizes)
        factors = sizes * {"plus": 1, "minus": -1, "both": rng.choice([-1, 1], k)}[signs]
        entries = _sparse.Entries(rows, row[:k], column[:k], factors)
        words, at = _sparse.multiexp(mont, put(mont, values), columns, entries, threads=2)
        expected = np.ones((problems, rows), dtype=np.int64)
        for p, problem in enumerate(columns):
            for r, c, e in zip(row, column, factors, strict=False):
                expected[p, r] = expected[p, r] * pow(values[problem[c]], int(e), modulus) % modulus
        assert get(mont, words, at) == expected.reshape(-1).tolist()
        totals = np.zeros(rows, dtype=object)
        np.add.at(totals, row[:k], np.abs(factors.astype(object)))
        assert entries.largest_row_sum() == totals.max(initial=0)


def test_inverses_are_computed_once_for_each_element():
    mont = FourLanes(35 * 35)
    src = put(mont, [2, 3, 4])
    words, at = _words.inverses(mont, src, np.array([2, 0, 2, 2, 0]))
    assert get(mont, words, at) == [pow(v, -1, 35 * 35) for v in (4, 2, 4, 4, 2)]
    assert len(words) == LANES


class Key:
    """Obfuscators of a toy key: the n-th powers, each used once."""

    def __init__(self, mont: FourLanes, n: int) -> None:
        self.mont, self.n, self.drawn, self.expected = mont, n, 0, 0
        self._blinder = self
        self.cost_us = 1000.0

    def prepare(self, n: int) -> None:
        self.expected = n

    def _blind(self, dst: np.ndarray, lo: int, hi: int) -> None:
        values = [pow(2, self.n * (self.drawn + i + 1), self.mont.modulus) for i in range(hi - lo)]
        self.drawn += hi - lo
        self.mont._write("blind", dst, lo, hi, values)


@pytest.mark.parametrize("n", [1, 4, 9, 5000])
def test_rerandomising_touches_pending_elements_only(n):
    rng = np.random.default_rng(n)
    mont = FourLanes(35 * 35)
    values = units(35 * 35, n, rng)
    before = rng.choice(np.array([FRESH, DERIVED, PENDING], dtype=np.uint8), n)
    store = Store(mont, put(mont, values), n, before.copy())
    index = rng.permutation(n)[: -(-2 * n // 3)]
    key = Key(mont, 35)
    rerandomise(store, index, key, threads=1)
    changed = np.zeros(n, dtype=bool)
    changed[index] = before[index] == PENDING
    assert key.drawn == key.expected == changed.sum()
    words, places, state = current(store, np.arange(n))
    assert np.array_equal(state, np.where(changed, DERIVED, before))
    residues = {pow(2, 35 * (i + 1), 1225) for i in range(1000)}
    for i, value in enumerate(values):
        now = int(words[places[i]])
        assert now * pow(value, -1, 1225) % 1225 in residues if changed[i] else now == value
    rerandomise(store, index, key, threads=1)
    assert key.drawn == changed.sum()


def test_gathered_keeps_states():
    mont = FourLanes(35 * 35)
    state = np.array([FRESH, DERIVED, PENDING, FRESH, PENDING], dtype=np.uint8)
    store = Store(mont, put(mont, [2, 3, 4, 6, 8]), 5, state)
    copy = gathered(store, np.array([4, 1, 1, 0, 2]))
    assert copy.words[:5].tolist() == [8, 3, 3, 2, 4]
    assert copy.shown.state.tolist() == [PENDING, DERIVED, DERIVED, FRESH, PENDING]


# --- the plain side ---------------------------------------------------------------------------------------------------


def test_bit_lengths_never_fall_short():
    values = [0, 1, -1, 2**53 - 1, 2**53 + 1, 2**54 - 1, -(2**63), 2**63 - 1, *(2**i - 1 for i in range(63))]
    for kind in (np.int64, object):
        got = _bounds.bit_lengths(np.array(values, dtype=kind))
        exact = [abs(v).bit_length() for v in values]
        assert all(e <= g <= e + 1 for g, e in zip(got, exact, strict=True))
        assert got.max() <= 64


def test_exact_sizes_and_signs_at_the_ends_of_int64():
    ends = np.array([-(2**63), 2**63 - 1, 0])
    assert _bounds.largest(ends) == 2**63
    assert _bounds.largest_row_sum(ends) == 2**64 - 1
    assert _bounds.negated(ends).tolist() == [2**63, 1 - 2**63, 0]
    assert _bounds.negated(np.array(-(2**63))).item() == 2**63
    assert _bounds.raised(ends, 10).tolist() == [-10 * 2**63, 10 * (2**63 - 1), 0]
    assert _bounds.exponent_limbs(ends, 1).reshape(-1).tolist() == [2**63, 2**63 - 1, 0]
    assert _bounds.exponent_limbs(np.array([2**64 + 5, -3], dtype=object), 2).tolist() == [[5, 1], [3, 0]]
    assert _bounds.narrow(np.array([2**63], dtype=np.uint64)).dtype == object
    assert _bounds.narrow(np.array([2**63 - 1], dtype=np.uint64)).dtype == np.int64
    for empty in (np.zeros(0, dtype=np.int64), np.zeros((3, 0), dtype=np.int64)):
        assert _bounds.largest(empty) == _bounds.largest_row_sum(empty) == 0
