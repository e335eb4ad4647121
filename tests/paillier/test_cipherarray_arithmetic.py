"""Arithmetic on encrypted arrays against NumPy and plain Python ints: values, scales and the proven bounds."""

from __future__ import annotations

import operator

import gmpy2
import numpy as np
import pytest

from bluetusk.encoding import FixedPoint
from bluetusk.errors import EncodingOverflow
from bluetusk.paillier import PrivateKey, _words, encrypting
from bluetusk.paillier.array import CipherArray, concatenate, encrypt, encrypt_integers

decrypt, ints_of = PrivateKey.decrypt, PrivateKey.decrypt_integers

SMALL = FixedPoint.integers(limit=1000)
rng = np.random.default_rng(7)


@pytest.fixture(scope="module")
def c(priv) -> CipherArray:
    return encrypt(priv, X, SMALL)


X = np.array([[1, -2, 3], [400, 0, -1000]])


def numbers(c: CipherArray) -> list[gmpy2.mpz]:
    """Return the ciphertexts as they are."""
    return [gmpy2.mpz(int.from_bytes(row.tobytes(), "little")) for row in encrypting.canonical(c)]


# --- the table of bounds ----------------------------------------------------------------------------------------------


def test_bounds_of_every_operation(pub, c):
    q = 1000
    assert c.bound == q
    d = encrypt(pub, [[5, 6, 7]], FixedPoint.integers(limit=7))
    assert (c + d).bound == (c - d).bound == (d - c).bound == q + 7
    assert (-c).bound == (+c).bound == c[0, ::2].bound == c.T.bound == c.reshape(6).bound == q
    assert (c + np.array([3, -9, 0])).bound == (np.array([3, -9, 0]) - c).bound == q + 9
    assert (c * np.array([3, -9, 0])).bound == 9 * q
    assert (c * 0).bound == 0
    assert (c + 0).bound == q
    assert c.sum().bound == 6 * q
    assert c.sum(0).bound == 2 * q
    assert c.sum((0, 1)).bound == 6 * q
    assert c[:0].sum().bound == 0
    assert c.T.bincount([0, 1, 0], 2).bound == 3 * q
    m = np.array([[1, -5], [2, 2], [0, 0]])
    assert (m @ c).bound == 6 * q
    assert (c.T @ m.T).bound == 6 * q
    assert (np.array([1, -1, 1]) @ c.T).bound == 3 * q
    assert concatenate([c, encrypt(pub, [[1, 2, 2000]], FixedPoint.integers(limit=2000))]).bound == 2000


def test_bounds_and_scales_with_reals(pub, priv):
    plan = FixedPoint(clip=2.0, frac_bits=8)
    c = encrypt(pub, [0.5, -1.25], plan)
    assert (c.frac, c.bound) == (8, 512)
    d = c * 2.0
    assert (d.frac, d.bound) == (16, 512 * 512)
    assert ((c * 2).frac, (c * 2).bound) == (8, 1024)
    assert ((c * np.float32(2)).frac, (c * np.int8(2)).frac) == (16, 8)
    e = c + d
    assert (e.frac, e.bound) == (16, 512 * 256 + 512 * 512)
    assert (d + 1).bound == 512 * 512 + 65536
    assert decrypt(priv, e).tolist() == [1.5, -3.75]
    m = np.array([[0.5, -0.25], [2.0, 0.0]])
    f = m @ c
    assert (f.frac, f.bound) == (16, 512 * 512)
    assert np.array_equal(decrypt(priv, f), m @ [0.5, -1.25])
    third = c * (1 / 3)  # 1/3 at 8 bits is 85 / 256
    assert ints_of(priv, third).tolist() == [128 * 85, -320 * 85]
    assert ints_of(priv, c + 1 / 3).tolist() == [128 + 85, -320 + 85]
    assert ints_of(priv, c * 0.001953125).tolist() == [0, 0]  # half of 2^-8, to even


def test_scale_depends_on_the_type_never_on_values(pub):
    c = encrypt(pub, [1.0, 2.0])
    for tiny, huge in ((1e-30, 1e30), (np.full(2, 1e-30), np.full(2, 1e30))):
        a, b = c * tiny, c * huge
        assert a.frac == b.frac == 40
        assert a.nbytes == b.nbytes
        assert a.shape == b.shape


def test_raising_a_scale_is_exact(pub, priv):
    fine, coarse = FixedPoint(clip=1.0, frac_bits=30), FixedPoint(clip=100.0, frac_bits=3)
    a, b = encrypt(pub, [0.1, -0.7], fine), encrypt(pub, [99.875, -0.125], coarse)
    for total, sign in ((a + b, 1), (a - b, -1)):
        assert total.frac == 30
        assert total.plan == fine
        assert total.bound == a.bound + (b.bound << 27)
        assert ints_of(priv, total).tolist() == [
            p + sign * (q << 27) for p, q in zip(ints_of(priv, a).tolist(), ints_of(priv, b).tolist(), strict=True)
        ]
    assert np.array_equal(ints_of(priv, b - a), -ints_of(priv, a - b))
    two, four = encrypt(pub, [1.25], FixedPoint.money(2)), encrypt(pub, [0.0001], FixedPoint.money(4))
    assert ints_of(priv, two - four).tolist() == [12499]
    assert decrypt(priv, four + two).tolist() == [1.2501]


def test_binary_with_decimal_is_refused(pub):
    with pytest.raises(ValueError, match="binary and a decimal plan"):
        encrypt(pub, [1.0]) + encrypt(pub, [1.0], FixedPoint.money())


def test_whole_plans_refuse_to_swallow_fractions(pub, priv):
    c = encrypt(pub, [2, 4], SMALL)
    for operation in (lambda: c * 0.5, lambda: c + 0.25, lambda: np.array([0.5, 1]) @ c, lambda: 0.5 - c):
        with pytest.raises(ValueError, match="no fractional digits"):
            operation()
    assert ints_of(priv, c * 2.0).tolist() == [4, 8]
    assert ints_of(priv, c + np.array([1.0, -1.0])).tolist() == [3, 3]


# --- at the limit and one past it -------------------------------------------------------------------------------------


def test_plain_capacity_at_the_limit_and_past_it(pub, priv):
    top = (int(pub.n) - 1) // 2
    c = encrypt_integers(pub, np.array([top - 5, 5 - top], dtype=object), SMALL, frac=0, bound=top - 5)
    assert ints_of(priv, c + 5).tolist() == [top, 10 - top]
    assert ints_of(priv, -5 + c).tolist() == [top - 10, -top]
    assert ints_of(priv, c + np.array([5, 0]) - 0).tolist() == [top, 5 - top]
    half = encrypt_integers(pub, np.array([top // 3, -(top // 3)], dtype=object), SMALL, frac=0, bound=top // 3)
    assert ints_of(priv, half * -3).tolist() == [top // 3 * -3, top // 3 * 3]
    assert ints_of(priv, np.array([[2, -1]]) @ half).tolist() == [top // 3 * 3]
    computed: list[int] = []
    for operation in (
        lambda: c + 6,
        lambda: 6 - c,
        lambda: c + np.array([0, 6]),
        lambda: c + c,
        lambda: c * 2,
        lambda: half * 4,
        lambda: np.array([2, 2]) @ half,
        lambda: half @ np.array([4, 0]),
        lambda: c.sum(),
        lambda: c.bincount([0, 1], 2),
        lambda: concatenate([half, half]).sum(),
    ):
        with pytest.raises(EncodingOverflow, match="holds at most about 2\\^2046") as caught:
            computed.append(operation())
        assert "fewer fractional bits" in str(caught.value)
    assert not computed


def test_one_past_the_edge_is_said_precisely(pub):
    top = (int(pub.n) - 1) // 2
    c = encrypt_integers(pub, np.array([top], dtype=object), SMALL, frac=0, bound=top)
    with pytest.raises(EncodingOverflow, match=r"may be 1 too large: a ciphertext of this key holds at most about 2\^"):
        c + 1
    with pytest.raises(EncodingOverflow, match=r"may be about 2\^70 too large"):
        c - (1 << 70)


def test_overflow_is_refused_before_anything_is_computed(pub, monkeypatch):
    c = encrypt(pub, [1, 2], SMALL) * (1 << 2000)

    def unexpected(*_: object, **__: object) -> None:
        raise AssertionError("computed before the bound was checked")

    for name in ("powers", "products", "multiexp", "row_products", "histogram", "inverses"):
        monkeypatch.setattr(_words, name, unexpected)
    for operation in (lambda: c * (1 << 60), lambda: [1 << 60, 0] @ c, lambda: c + (1 << 2047)):
        with pytest.raises(EncodingOverflow, match="about 2\\^"):
            operation()


# --- values against NumPy ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", ">i4", ">u8"])
def test_integer_operands_of_every_dtype(c, priv, dtype):
    k = np.array([0, 1, 1 if dtype == "?" else 100]).astype(dtype)
    plain = k.astype(np.int64)
    assert ints_of(priv, c[0] * k + k).tolist() == (X[0] * plain + plain).tolist()
    assert ints_of(priv, k - c[0]).tolist() == (plain - X[0]).tolist()
    assert ints_of(priv, k @ c[0]) == plain @ X[0]


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4", ">f8"])
def test_real_operands_of_every_dtype(pub, priv, dtype):
    x = np.array([1.5, -2.0, 0.25])
    k = np.array([0.5, -1.75, 3.0]).astype(dtype)
    c = encrypt(pub, x)
    assert np.array_equal(decrypt(priv, c * k), x * k)
    assert np.array_equal(decrypt(priv, k + c - k * 2), x - k)
    assert decrypt(priv, k[::-1] @ c) == k[::-1] @ x


@pytest.mark.parametrize(
    "k", [0, 1, -1, 7, -(2**31), 2**40 + 1, 2**63 - 1, -(2**63), 2**64, -(2**64), 10**30, np.int8(-3), np.uint64(2**63)]
)
def test_scalars_of_any_size(c, priv, k):
    v = [int(i) for i in X[0]]
    assert [int(i) for i in ints_of(priv, c[0] * k)] == [i * int(k) for i in v]
    assert [int(i) for i in ints_of(priv, k * c[0])] == [i * int(k) for i in v]
    assert [int(i) for i in ints_of(priv, c[0] + k)] == [i + int(k) for i in v]
    assert [int(i) for i in ints_of(priv, k - c[0])] == [int(k) - i for i in v]
    assert [int(i) for i in ints_of(priv, c[0] - k)] == [i - int(k) for i in v]


def test_extreme_arrays(c, priv):
    k = np.array([-(2**63), 2**63 - 1, 0])
    assert ints_of(priv, c[0] * k).tolist() == [int(a) * int(b) for a, b in zip(X[0], k, strict=True)]
    assert ints_of(priv, c[0] - k).tolist() == [int(a) - int(b) for a, b in zip(X[0], k, strict=True)]
    assert ints_of(priv, k @ c[0]) == sum(int(a) * int(b) for a, b in zip(X[0], k, strict=True))
    wide = np.array([2**70, -(2**65), 3], dtype=object)
    assert ints_of(priv, c[0] * wide).tolist() == [int(a) * b for a, b in zip(X[0], wide, strict=True)]
    assert ints_of(priv, np.stack([wide, -wide]) @ c[0]).tolist() == [s * sum(X[0] * wide) for s in (1, -1)]


def test_mixed_bit_lengths_and_signs_in_one_product(priv):
    k = np.array([0, 1, -1, 255, -256, 65535, 2**31, -(2**40), 2**53 + 1, -(2**62), 2**63 - 1, 0, -1, 12345] * 3)
    x = rng.integers(-1000, 1000, len(k))
    got = ints_of(priv, encrypt(priv, x, SMALL) * k)
    assert got.tolist() == [int(a) * int(b) for a, b in zip(x, k, strict=True)]


BROADCASTS = [
    ((3,), (2, 3)),
    ((2, 1), (3,)),
    ((), (4,)),
    ((2, 3), ()),
    ((1, 3), (2, 1)),
    ((0, 3), (3,)),
    ((2, 1), (2, 0)),
]


@pytest.mark.parametrize(("left", "right"), BROADCASTS)
def test_broadcasting(pub, priv, left, right):
    a, b = rng.integers(-9, 9, left), rng.integers(-9, 9, right)
    ca, cb = encrypt(pub, a, SMALL), encrypt(pub, b, SMALL)
    for got, expected in (
        (ca + cb, a + b),
        (ca - cb, a - b),
        (ca + b, a + b),
        (a - cb, a - b),
        (ca * b, a * b),
        (a * cb, a * b),
        (np.subtract(ca, b), a - b),
        (np.add(a, cb), a + b),
    ):
        assert got.shape == expected.shape
        assert np.array_equal(ints_of(priv, got), expected)


def test_shapes_that_do_not_broadcast(c):
    for operation in (lambda: c + np.ones(4, int), lambda: c * np.ones((3, 3), int), lambda: c - c[:, :2]):
        with pytest.raises(ValueError, match=r"broadcast|shape mismatch"):
            operation()


def test_numpy_on_the_left(c, priv):
    for k in (np.int64(3), np.array(3), np.array([3])):
        assert ints_of(priv, k * c).tolist() == (3 * X).tolist()
        assert ints_of(priv, k + c).tolist() == (3 + X).tolist()
        assert ints_of(priv, k - c).tolist() == (3 - X).tolist()
    assert ints_of(priv, np.negative(c)).tolist() == (-X).tolist()
    assert ints_of(priv, np.float64(2.0) * c).tolist() == (2 * X).tolist()
    assert ints_of(priv, operator.add([1, 2, 3], c)).tolist() == (np.array([1, 2, 3]) + X).tolist()
    assert ints_of(priv, [[1, 2]] @ c).tolist() == ([[1, 2]] @ X).tolist()
    assert ints_of(priv, np.matmul([[1, 2]], c)).tolist() == ([[1, 2]] @ X).tolist()
    assert ints_of(priv, np.dot([[1, 2]], c)).tolist() == ([[1, 2]] @ X).tolist()
    assert ints_of(priv, np.dot(c, 2)).tolist() == (2 * X).tolist()
    assert ints_of(priv, np.sum(c, axis=1, keepdims=True)).tolist() == X.sum(1, keepdims=True).tolist()
    assert ints_of(priv, np.add.reduce(c)).tolist() == X.sum(0).tolist()


MATMULS = [
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (3, 2)),
    ((2, 3), (3, 4)),
    ((2, 2, 3), (3, 2)),
    ((2, 3), (2, 3, 2)),
    ((2, 1, 2, 3), (3, 3, 2)),
    ((3,), (2, 3, 2)),
    ((2, 2, 3), (3,)),
    ((2, 0), (0, 3)),
    ((0, 3), (3, 2)),
    ((1, 1), (1, 1)),
]


@pytest.mark.parametrize(("left", "right"), MATMULS)
def test_matmul_is_numpys(pub, priv, left, right):
    a, b = rng.integers(-99, 99, left), rng.integers(-99, 99, right)
    expected = a @ b
    for got in (a @ encrypt(pub, b, SMALL), encrypt(pub, a, SMALL) @ b):
        assert got.shape == expected.shape
        assert np.array_equal(ints_of(priv, got), expected)


@pytest.mark.parametrize(
    ("left", "right"), [((3,), (2,)), ((2, 3), (2, 3)), ((), (3,)), ((3,), ()), ((2, 2, 2), (3, 2, 2))]
)
def test_matmul_refuses_what_numpy_refuses(pub, left, right):
    a, b = np.ones(left, dtype=int), np.ones(right, dtype=int)
    with pytest.raises(ValueError, match=r"matmul|fit|broadcast|mismatch"):
        a @ encrypt(pub, b)
    with pytest.raises(ValueError, match=r"matmul|fit|broadcast|mismatch"):
        encrypt(pub, a) @ b


@pytest.mark.parametrize("shape", [(1, 700), (40, 150), (3, 3)])
def test_larger_matrices(priv, shape):
    x = rng.integers(-1000, 1000, 30)
    c = encrypt(priv, x, SMALL)[np.arange(shape[1]) % 30]
    v = x[np.arange(shape[1]) % 30]
    m = rng.integers(-(2**20), 2**20, shape)
    m[rng.random(shape) < 0.2] = 0
    picks = slice(None, None, max(1, shape[0] // 5))
    assert np.array_equal(ints_of(priv, (m @ c)[picks]), (m @ v)[picks])
    assert np.array_equal(ints_of(priv, (np.abs(m) @ c)[picks]), (np.abs(m) @ v)[picks])


@pytest.mark.parametrize("axis", [None, 0, 1, -1, (0, 1), (0, 2), (), 2])
@pytest.mark.parametrize("keepdims", [False, True])
def test_sum_axes(priv, c, axis, keepdims):
    x = np.stack([X, -X, 2 * X])
    d = np.stack([c, -c, 2 * c])
    expected = x.sum(axis=axis, keepdims=keepdims)
    got = d.sum(axis, keepdims=keepdims)
    assert got.shape == expected.shape
    assert np.array_equal(ints_of(priv, got), expected)


def test_empty_sums(pub, priv):
    empty = encrypt(pub, np.zeros((0, 3), dtype=int), SMALL)
    assert ints_of(priv, empty.sum(0)).tolist() == [0, 0, 0]
    assert ints_of(priv, empty.sum()) == 0
    assert empty.sum(1).shape == (0,)
    assert ints_of(priv, empty.bincount([], 2)).tolist() == [[0, 0, 0]] * 2
    assert ints_of(priv, np.zeros((2, 0), dtype=int) @ empty).tolist() == [[0, 0, 0]] * 2
    assert (-empty).shape == (empty + 1).shape == (empty * 2).shape == (0, 3)
    with pytest.raises(ValueError, match="axis"):
        empty.sum(2)


def test_bincount(priv):
    x = rng.integers(-1000, 1000, (50, 3))
    codes = rng.integers(0, 5, 50)
    codes[codes == 3] = 2
    c = encrypt(priv, x, SMALL)
    expected = np.zeros((5, 3), dtype=int)
    np.add.at(expected, codes, x)
    for kind in (np.int64, np.uint8, ">i4", list):
        given = codes.tolist() if kind is list else codes.astype(kind)
        assert np.array_equal(ints_of(priv, c.bincount(given, 5)), expected)
    strided = np.repeat(codes, 2)[::2]
    assert np.array_equal(ints_of(priv, c[:, 1].bincount(strided, 5)), expected[:, 1])


@pytest.mark.parametrize(
    ("codes", "bins", "error", "match"),
    [
        ([[0, 1], [0, 3], [2, 3]], 3, ValueError, r"codes\[1, 1\] is 3, outside 0 \.\. 2"),
        ([[0, 1], [0, 1], [2, -1]], 3, ValueError, r"codes\[2, 1\] is -1"),
        ([[[0]], [[1]], [[1]]], 2, ValueError, r"shape \(3,\) or \(3, features\), .* not \(3, 1, 1\)"),
        (0, 2, ValueError, r"shape \(3,\)"),
        ([[0, 0]] * 3, 0, ValueError, "n_bins is 0, but there are 6 codes"),
        ([0, 1, 2], 2, ValueError, r"codes\[2\] is 2, outside 0 \.\. 1"),
        ([0, -1, 1], 2, ValueError, r"codes\[1\] is -1"),
        ([0, 1], 2, ValueError, r"shape \(3,\)"),
        ([[0, 1, 1]], 2, ValueError, r"shape \(3,\)"),
        ([0.0, 1.0, 1.0], 2, TypeError, "integers, not float64"),
        ([0, 0, 0], 0, ValueError, "n_bins is 0, but there are 3 codes"),
        ([0, 0, 0], -1, ValueError, "n_bins must be 0 to"),
        ([0, 0, 0], 10**20, ValueError, "n_bins must be 0 to"),
        ([0, 0, 0], 1 << 58, ValueError, "n_bins must be 0 to"),
        ([0, 0, 0], True, TypeError, "n_bins must be an int"),
        ([0, 0, 0], 2.0, TypeError, "n_bins must be an int"),
        (np.array([0, 0, 2**64 - 1], dtype=np.uint64), 5, ValueError, r"codes\[2\]"),
    ],
)
def test_bincount_checks_its_codes(pub, codes, bins, error, match):
    c = encrypt(pub, [1, 2, 3])
    with pytest.raises(error, match=match):
        c.bincount(codes, bins)
    with pytest.raises(TypeError, match="plain integers"):
        c.bincount(c, 3)
    with pytest.raises(ValueError, match="at least one axis"):
        c[0].bincount([], 1)


@pytest.mark.parametrize(
    "huge",
    [
        lambda c, empty: c.bincount([0, 1], 1 << 48),
        lambda c, empty: encrypt(c.public_key, np.zeros((1 << 58, 0), dtype=int)).sum(axis=1),
        lambda c, empty: encrypt(c.public_key, np.zeros((1 << 54, 0), dtype=int)).sum(axis=1),
        lambda c, empty: np.empty((1 << 58, 0), dtype=int) @ empty,
        lambda c, empty: np.empty((2, 1 << 58, 0), dtype=int) @ empty,
        lambda c, empty: np.empty((1 << 58, 0), dtype=int) @ empty.reshape(0, 1),
        lambda c, empty: empty.reshape(1, 0) @ np.empty((0, 1 << 58), dtype=int),
        lambda c, empty: c.broadcast_to((1 << 57, 2)) + 1,
        lambda c, empty: c.broadcast_to((1 << 57, 2)).to_bytes(),
    ],
)
def test_results_beyond_all_memory_are_memory_errors(pub, huge):
    with pytest.raises(MemoryError, match=r"more than fits in memory|allocate"):
        huge(encrypt(pub, [1, 2]), encrypt(pub, np.zeros(0, dtype=int)))


# --- packed -----------------------------------------------------------------------------------------------------------

PX = rng.integers(-64, 65, (4, 130)) / 16


@pytest.fixture(scope="module")
def packed(priv) -> CipherArray:
    return encrypt(priv, PX, FixedPoint(), packed=True)


def test_packed_arithmetic(packed, priv):
    a = rng.integers(-64, 65, 130) / 16
    k = np.array([[3], [-2], [0], [1]])
    w = np.array([[1, -2, 0, 3], [0, 0, 0, 0]])
    for got, expected in (
        (packed + packed[::-1], PX + PX[::-1]),
        (packed - packed[0], PX - PX[0]),
        (packed + a, PX + a),
        (a - packed, a - PX),
        (packed + 1.5, PX + 1.5),
        (packed + np.float32(0.5), PX + 0.5),
        (packed + k, PX + k),
        (-packed, -PX),
        (packed * 3, PX * 3),
        (packed * k, PX * k),
        (packed[0] * k, PX[0] * k),
        (packed.sum(0), PX.sum(0)),
        (packed.reshape(2, 2, 130).sum((0, 1), keepdims=True), PX.sum(0)[None, None]),
        (w @ packed, w @ PX),
        (w[0] @ packed, w[0] @ PX),
        (packed.bincount([1, 0, 1, 1], 3), np.stack([PX[1], PX[0] + PX[2] + PX[3], np.zeros(130)])),
    ):
        assert got.packed
        assert got.shape == expected.shape
        assert np.array_equal(decrypt(priv, got), expected)
    narrow = FixedPoint(clip=4.0, frac_bits=4, max_weight=1000)
    x = encrypt(priv, PX, narrow, packed=True)
    assert x.slot_bits == 19
    scaled = x * 0.25
    assert (scaled.frac, scaled.bound) == (8, 256)
    assert np.array_equal(decrypt(priv, scaled + x), PX * 1.25)


def test_packed_refusals(packed, pub):
    plain = encrypt(pub, PX)
    other = encrypt(pub, PX, FixedPoint(max_weight=50), packed=True)
    short = encrypt(pub, PX[:, :5], packed=True)
    for operation, match in (
        (lambda: packed + plain, "one array is packed"),
        (lambda: packed - other, "same plan"),
        (lambda: packed + short, "same layout"),
        (lambda: packed * np.ones(130, int), "one factor for each ciphertext"),
        (lambda: packed * np.ones((4, 130), int), "one factor for each ciphertext"),
        (lambda: packed.sum(), "last axis.*packed=False"),
        (lambda: packed.sum(-1), "last axis"),
        (lambda: packed @ np.ones((130, 2), int), "last axis"),
        (lambda: np.ones(130, int) @ packed[0], "last axis"),
        (lambda: packed[0].bincount(np.zeros(130, int), 1), "last axis"),
        (lambda: packed[:, None] + np.ones((4, 131), int), "broadcast"),
        (lambda: encrypt(pub, [1.0], packed=True) + np.ones(3), "stretching the last axis"),
    ):
        with pytest.raises(ValueError, match=match):
            operation()


def test_slots_at_the_limit_and_past_it(pub, priv):
    for bits in range(8, 65):
        limit = (1 << (bits - 1)) - 1
        # Q = limit // 2 with one guard bit fills the slot
        plan = FixedPoint.integers(limit=limit // 2, max_weight=1, guard_bits=1)
        assert plan.slot_bits == bits
        x = np.array([limit // 2, -(limit // 2), 0, 1] * (70 if bits in (8, 32, 64) else 1))
        c = encrypt(pub, x, plan, packed=True)
        twice = c + c
        assert np.array_equal(ints_of(priv, twice + 1), 2 * x + 1)
        assert (twice + 1).bound == limit
        with pytest.raises(EncodingOverflow, match=f"slot of {bits} bits"):
            twice + 2
        with pytest.raises(EncodingOverflow, match=f"slot of {bits} bits"):
            c * 3


# --- multiply ---------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_a_matrix_of_numpy_is_not_multiplied_by_elements(pub, priv):
    """There ``*`` is the product of matrices, which NumPy's own arrays give way to."""
    x, m = np.array([[1, 2], [3, 4]]), np.matrix([[5, 6], [7, 8]])
    c = encrypt(pub, x)
    for use in (lambda: c * m, lambda: m * c):
        with pytest.raises(TypeError, match=r"numpy\.matrix is the product of matrices.*use @ for the first"):
            use()
    assert np.array_equal(ints_of(priv, m @ c), m * x)
    assert np.array_equal(ints_of(priv, c @ m), x * m)
    assert np.array_equal(ints_of(priv, c + m), x + m)
    assert np.array_equal(ints_of(priv, np.multiply(m, c)), np.multiply(m, x))


@pytest.mark.parametrize("secret", [False, True])
def test_multiply_is_the_operator(c, priv, secret):
    extremes = np.array([2**63 - 1, -(2**63), 0])
    for k in (5, -7, 0, [[3], [-(2**40)]], extremes, rng.integers(-(2**62), 2**62, (2, 3))):
        got = c.multiply(k, secret=secret)
        assert ints_of(priv, got).tolist() == (X.astype(object) * np.asarray(k).astype(object)).tolist()
        assert got.bound == (c * np.asarray(k)).bound
    for wrong in ("5", None, c):
        with pytest.raises(TypeError):
            c.multiply(wrong, secret=secret)


def test_secret_factors_all_take_the_same_operations(pub, priv, monkeypatch):
    c = encrypt(pub, [1.5, -2.0, 0.25], FixedPoint())
    calls = []

    def recorded(mont, src, index, factors, *, threads=None):
        calls.append(factors.tolist())
        return powers(mont, src, index, factors, threads=threads)

    powers = _words.powers
    monkeypatch.setattr(_words, "powers", recorded)
    for k in ([0, 1, -1], [2**40, -3, 5], [0.5, 1e3, -7.25]):
        assert decrypt(priv, c.multiply(k, secret=True)).tolist() == (np.array([1.5, -2.0, 0.25]) * k).tolist()
    assert calls == [[-(2**63)] * 3] * 3  # the only powers whose time follows an exponent
    with pytest.raises(ValueError, match="at most 63 bits"):
        c.multiply([2**63, 1, 1], secret=True)
