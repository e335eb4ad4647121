"""NumPy's linear functions and joins on encrypted arrays: what NumPy gives for the plain array, or its error."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from numpy.testing.overrides import get_overridable_numpy_array_functions, get_overridable_numpy_ufuncs

from bluetusk.encoding import FixedPoint
from bluetusk.errors import EncodingOverflow, InvalidKey
from bluetusk.paillier import PrivateKey, _join, _linear, _ufunc, encrypting
from bluetusk.paillier.array import CipherArray, concatenate, encrypt, encrypt_integers

decrypt, ints_of = PrivateKey.decrypt, PrivateKey.decrypt_integers

WHOLE = np.random.default_rng(0).permutation(60).reshape(3, 4, 5) - 20  # no value stands for another element
VIEWS: dict[str, Callable[[Any], Any]] = {
    "base": lambda a: a,
    "slice": lambda a: a[1:3, ::2, 1:4],
    "transpose": lambda a: a.T[:3],
    "reversed": lambda a: a[::-1, 1:, ::-1],
    "broadcast": lambda a: np.broadcast_to(a[0:1, :3], (2, 3, 5)),
    "matrix": lambda a: a[1, 1:, :3],
    "matrix.T": lambda a: a[1, 1:, :4].T,
    "row": lambda a: a[2, 3, ::-1],
    "0-d": lambda a: a[1, 1, 1],
    "empty": lambda a: a[:0, 1:3],
    "empty matrix": lambda a: a[1, :, 3:3],
    "empty row": lambda a: a[0, 0, :0],
}


@pytest.fixture(scope="module")
def whole(priv) -> CipherArray:
    return encrypt(priv, WHOLE)


def plain(*shape: Any) -> np.ndarray:
    return np.random.default_rng(5).integers(-9, 9, shape)


CALLS: dict[str, list[Callable[[Any], Any]]] = {
    "append": [
        lambda a: np.append(a, a),
        lambda a: np.append(a, a, axis=0),
        lambda a: np.append(arr=a, values=[1, 2]),
        lambda a: np.append(a, a, axis=5),
        lambda a: np.append([3], a),
    ],
    "insert": [
        lambda a: np.insert(a, 0, 9),
        lambda a: np.insert(a, [1, 1], [4, 5]),
        lambda a: np.insert(a, 1, 3, axis=0),
        lambda a: np.insert(a, slice(None, 2), 7, axis=-1),
        lambda a: np.insert(a, 99, 1),
        lambda a: np.insert(a, 0, a, axis=0),
        lambda a: np.insert(a, np.array([0, 0, -1]), 1),
        lambda a: np.insert(a, 0, 1, axis=9),
    ],
    "diff": [
        lambda a: np.diff(a),
        lambda a: np.diff(a, 2, 0),
        lambda a: np.diff(a, n=0),
        lambda a: np.diff(a, prepend=1, append=2, axis=0),
        lambda a: np.diff(a, axis=0, append=a),
        lambda a: np.diff(a, append=5),
        lambda a: np.diff(a, n=9),
        lambda a: np.diff(a, -1),
        lambda a: np.diff(a, axis=7),
    ],
    "trace": [
        lambda a: np.trace(a),
        lambda a: np.trace(a, offset=-1, axis1=1, axis2=0),
        lambda a: np.trace(a, 99),
        lambda a: np.trace(a, 0, 0, 0),
        lambda a: a.trace(1, 0, 1),
    ],
    "column_stack": [lambda a: np.column_stack([a, a]), lambda a: np.column_stack((a, plain(*np.shape(a))))],
    "dstack": [lambda a: np.dstack([a, a]), lambda a: np.dstack([a, plain(*np.shape(a))])],
    "block": [
        lambda a: np.block([a, a]),
        lambda a: np.block([[a, a], [a, a]]),
        lambda a: np.block([[a, 1]]),
        lambda a: np.block(a),
        lambda a: np.block([[a], []]),
        lambda a: np.block([a, [a]]),
        lambda a: np.block([(a, a)]),
    ],
    "tril": [lambda a: np.tril(a), lambda a: np.tril(a, k=-1), lambda a: np.tril(a, 99)],
    "triu": [lambda a: np.triu(a), lambda a: np.triu(a, 1), lambda a: np.triu(a, -99)],
    "compress": [
        lambda a: np.compress([True, False, True], a),
        lambda a: np.compress([0, 1], a, axis=0),
        lambda a: np.compress([[1]], a),
        lambda a: np.compress([1], a, axis=8),
        lambda a: a.compress([1, 0], axis=-1),
    ],
    "extract": [lambda a: np.extract(np.arange(np.size(a)) % 2, a)],
    "kron": [lambda a: np.kron(a, [1, 2]), lambda a: np.kron(plain(2, 3), a), lambda a: np.kron(a, 3)],
    "broadcast_arrays": [
        lambda a: np.broadcast_arrays(a, a)[1],
        lambda a: np.broadcast_arrays(np.zeros((2, *a.shape)), a)[1],
        lambda a: np.broadcast_arrays(a, np.zeros(97))[0],
    ],
    "zeros_like": [lambda a: np.zeros_like(a), lambda a: np.zeros_like(a, shape=(2, 3))],
    "ones_like": [lambda a: np.ones_like(a, None, "C"), lambda a: np.ones_like(a, shape=4)],
    "full_like": [lambda a: np.full_like(a, 7), lambda a: np.full_like(a, fill_value=[1, 2])],
    "outer": [lambda a: np.outer(a, [1, -2, 3]), lambda a: np.outer(plain(2, 2), a)],
    "inner": [
        lambda a: np.inner(a, plain(*a.shape[-1:])),
        lambda a: np.inner(plain(2, 3, *a.shape[-1:]), a),
        lambda a: np.inner(a, 3),
        lambda a: np.inner(a, plain(97)),
    ],
    "dot": [
        lambda a: np.dot(a, plain(2, *a.shape[-1:], 3)),
        lambda a: np.dot(plain(2, 3), a),
        lambda a: np.dot(a, plain(97, 2)),
    ],
    "vdot": [
        lambda a: np.vdot(a, plain(*a.shape)),
        lambda a: np.vdot(plain(a.size), a),
        lambda a: np.vdot(a, [1] * 97),
    ],
    "tensordot": [
        lambda a: np.tensordot(a, plain(*a.shape)),
        lambda a: np.tensordot(a, plain(*a.shape), axes=a.ndim),
        lambda a: np.tensordot(plain(2, *a.shape[:1]), a, axes=1),
        lambda a: np.tensordot(a, plain(2, 3), 0),
        lambda a: np.tensordot(a, plain(*a.shape), ((0, -1), (0, -1))),
        lambda a: np.tensordot(a, plain(97, 3), 1),
        lambda a: np.tensordot(a, plain(2, 3), 5),
        lambda a: np.tensordot(a, plain(*a.shape), ((0, 1), (0,))),
        lambda a: np.tensordot(a, plain(*a.shape), (0, 0)),
    ],
    "einsum": [
        lambda a: np.einsum("...i->i...", a),
        lambda a: np.einsum("...i->...", a),
        lambda a: np.einsum("i,...i", plain(*a.shape[-1:]), a),
        lambda a: np.einsum("ij , jk", a, plain(*a.shape[-1:], 3), optimize=True),
        lambda a: np.einsum("ij->ji", a),
        lambda a: np.einsum("ij,ij->ij", a, plain(*a.shape)),
        lambda a: np.einsum("ij,kl->ikjl", a, plain(2, 3)),
        lambda a: np.einsum("ijk,ikl->jl", a, plain(a.shape[0], a.shape[-1], 2)),
        lambda a: np.einsum("ii", a),
        lambda a: np.einsum("iji->ij", a),
        lambda a: np.einsum("ij,ji->", plain(*a.shape[::-1]), a),
        lambda a: np.einsum("i->ii", a),
        lambda a: np.einsum("ij->k", a),
        lambda a: np.einsum("i?", a),
        lambda a: np.einsum("ij,j->i", a, plain(97)),
        lambda a: np.einsum("ij,kk->ij", a, plain(3, 3)),
        lambda a: np.einsum("ij,k->ij", a, plain(4)),
        lambda a: np.einsum("i...,i...->i...", a, plain(*a.shape[:1], *(1,) * (a.ndim - 1))),
        lambda a: np.einsum("...,b...->b...", a, plain(2, *a.shape)),
    ],
    "where": [
        lambda a: np.where(np.arange(np.size(a)).reshape(a.shape) % 3 == 0, a, -a),
        lambda a: np.where(True, a, 0),
        lambda a: np.where(plain(*a.shape) > 0, 5, a),
        lambda a: np.where(plain(2, *a.shape), a, a + 1),
        lambda a: np.where(plain(97) > 0, a, a),
    ],
    "joins of encrypted and plain": [
        lambda a: np.concatenate([a, plain(*a.shape)]),
        lambda a: np.concatenate(([1], a), axis=None),
        lambda a: np.stack([a, plain(*a.shape)], axis=-1),
        lambda a: np.hstack([a, plain(*a.shape)]),
        lambda a: np.vstack([plain(*a.shape), a]),
        lambda a: np.stack([a, plain(3)]),
    ],
    "diagonal": [lambda a: a.diagonal(), lambda a: a.diagonal(offset=1, axis1=-1)],
}
NEWER: dict[str, list[Callable[[Any], Any]]] = {
    "unstack": [lambda a: np.unstack(a)[0], lambda a: np.unstack(a, axis=-1)[1], lambda a: np.unstack(a, axis=6)],
    "matrix_transpose": [lambda a: np.matrix_transpose(a)],
    "cumulative_sum": [
        lambda a: np.cumulative_sum(a),
        lambda a: np.cumulative_sum(a, axis=-1, include_initial=True),
        lambda a: np.cumulative_sum(a, axis=5),
    ],
    "vecdot": [
        lambda a: np.vecdot(a, plain(*a.shape)),
        lambda a: np.vecdot(plain(2, *a.shape), a, keepdims=True),
        lambda a: np.vecdot(a, plain(*a.shape), axis=0),
        lambda a: np.vecdot(a, plain(97)),
        lambda a: np.vecdot(a, plain(*a.shape), axis=9),
    ],
    "matvec": [
        lambda a: np.matvec(a, plain(*a.shape[-1:])),
        lambda a: np.matvec(plain(2, 3, *a.shape[-1:]), a),
        lambda a: np.matvec(a, plain(97)),
    ],
    "vecmat": [lambda a: np.vecmat(plain(*a.shape[-2:-1]), a), lambda a: np.vecmat(a, plain(*a.shape[-1:], 2))],
}
CALLS |= {name: calls for name, calls in NEWER.items() if hasattr(np, name)}
# what NumPy does not look at where another axis is empty: an index beyond an axis, lengths that differ
LENIENT = {("compress", "empty"), ("einsum", "empty")}


def result(use: Callable[[Any], Any], a: Any) -> Any:
    try:
        return use(a)
    except (ValueError, TypeError, IndexError, AttributeError) as error:
        return error


def test_every_function_has_calls():
    names = {*_linear.__all__, *_join.__all__} - {"contracted", "encrypted", "items_of", "joined", "zeros"}
    assert names - {"hstack", "stack", "vstack"} - set(NEWER) <= set(CALLS)


@pytest.mark.parametrize("name", CALLS)
def test_it_gives_what_numpy_gives_on_every_view(whole, priv, name):
    refused = 0
    for i, use in enumerate(CALLS[name]):
        for kind, view in VIEWS.items():
            expected, found = result(use, view(WHOLE)), result(use, view(whole))
            if isinstance(expected, Exception):
                refused += 1
                assert isinstance(found, type(expected)), (i, kind, expected, found)
                assert str(found), (i, kind)
            elif (name, kind) not in LENIENT or not isinstance(found, Exception):
                assert isinstance(found, CipherArray), (i, kind, found)
                assert found.shape == np.shape(expected), (i, kind)
                assert np.array_equal(ints_of(priv, found), expected), (i, kind)
                assert found.bound >= np.abs(expected).max(initial=0), (i, kind)
    assert refused < len(CALLS[name]) * len(VIEWS)


# --- what could show a neighbour, or what was plain -------------------------------------------------------------------


def texts(c: CipherArray) -> list[bytes]:
    """Return each ciphertext as it stands in a frame."""
    c.to_bytes()
    return [row.tobytes() for row in encrypting.canonical(c)]


@pytest.mark.parametrize(
    "use",
    [
        lambda a: np.append(a, a),
        lambda a: np.insert(a, [0, 3], a.ravel()[:2]),
        lambda a: np.block([[a[0], a[1]]]),
        lambda a: np.dstack([a, a]),
        lambda a: np.compress([0, 1], a, axis=1),
        lambda a: a.diagonal(),
        lambda a: np.broadcast_arrays(a, np.zeros((2, 1, 1, 1)))[0],
        lambda a: np.einsum("ijk->kij", a),
        lambda a: np.diff(a, n=0),
    ],
)
def test_a_move_sends_elements_of_the_view_and_no_others(priv, use):
    whole = encrypt(priv, WHOLE)
    view = whole[1:, ::-2, 1:4]
    inside = set(texts(view))
    assert len(inside) == view.size
    assert set(texts(use(view))) <= inside


def test_where_shows_nobody_what_was_chosen(priv):
    c, d = encrypt(priv, [1, 2, 3]), encrypt(priv, [4, 5, 6])
    found = np.where([True, False, True], c, d)
    assert ints_of(priv, found).tolist() == [1, 5, 3]
    assert not set(texts(found)) & {*texts(c), *texts(d)}
    triangle = np.tril(c.broadcast_to((3, 3)))
    sent = texts(triangle)
    assert len(set(sent)) == 9
    assert not set(sent) & set(texts(c))


def test_a_plain_number_leaves_under_fresh_randomness_at_every_place(priv):
    c = encrypt(priv, [1, 2, 3, 4])
    trivial = (1).to_bytes(len(texts(c)[0]), "little")  # an encrypted 0 without randomness
    for found in (
        np.insert(c, [0, 2, 4], 0),
        np.append(c, [0, 0]),
        np.zeros_like(c),
        np.block([c, 0, 0]),
        np.where([True, False, True, False], c, 0),
        np.diff(c, prepend=[0, 0], append=0) * 0,
        concatenate([c, [0, 0, 0]]),
    ):
        sent = texts(found)
        assert len(set(sent)) == len(sent) == found.size
        assert trivial not in sent
        assert not found.fresh


# --- scales and bounds ------------------------------------------------------------------------------------------------


def test_bounds_are_those_of_the_values(pub):
    c = encrypt(pub, np.zeros((3, 3), int), FixedPoint.integers(limit=10))
    assert np.where(np.eye(3), c, 7 * c).bound == 70
    assert np.where(np.zeros((3, 3)), c, 7 * c).bound == 70
    assert np.tril(c).bound == 10
    assert np.append(c, [-99]).bound == 99
    assert np.zeros_like(c).bound == 0
    assert np.trace(c).bound == 30
    assert np.diff(c, 2).bound == 40
    assert np.einsum("ij,j", c, [1, -2, 3]).bound == np.inner(c, [1, -2, 3]).bound == 60
    assert np.kron(c, [1, -5]).bound == 50


@pytest.mark.parametrize("mask", [[True, True], [False, True], [False, False]])
def test_the_bound_which_travels_does_not_tell_of_the_mask(pub, mask):
    c = encrypt(pub, [1, 2], FixedPoint.integers(limit=10))
    assert np.where(mask, c, 0).bound == 10
    assert np.where(mask, c, 7 * c).bound == np.where(mask, 7 * c, c).bound == 70


def test_errors_name_the_arguments_of_numpy(pub, priv):
    c = encrypt(pub, [1, 2])
    for use, named in (
        (lambda: np.append(c, ["a"]), "append: values must"),
        (lambda: np.append(["a"], c), "append: arr must"),
        (lambda: np.insert(c, 0, 0.5), "insert: values: the plan has no"),
        (lambda: np.full_like(c, 0.5), "fill_value: the plan has no"),
        (lambda: concatenate(5), "concatenate takes a list of arrays, not int"),  # type: ignore[arg-type]
    ):
        with pytest.raises((TypeError, ValueError), match=named):
            use()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # before NumPy 2 bools were places, with a warning
        expected = np.insert([1, 2], np.array([True, False]), 9).tolist()
        assert ints_of(priv, np.insert(c, [True, False], 9)).tolist() == expected
    assert ints_of(priv, np.insert(c, np.zeros(200, np.int8), 9)).tolist() == [9] * 200 + [1, 2]


def test_a_result_that_could_leave_the_capacity_is_refused(pub):
    most = (int(pub.n) - 1) // 2
    wide = encrypt_integers(pub, np.ones((2, 2), int), FixedPoint.integers(1), frac=0, bound=most // 2 + 1)
    for use in (
        lambda: np.trace(wide),
        lambda: np.diff(wide),
        lambda: np.kron(wide, [1, 2]),
        lambda: np.outer(wide, 2),
        lambda: np.inner(wide, [1, 1]),
        lambda: np.tensordot(wide, [1, -1], 1),
        lambda: np.einsum("ij->", wide),
        lambda: np.einsum("ij,j", wide, [1, 1]),
        lambda: np.append(wide, [most + 1]),
        lambda: np.full_like(wide, most + 1),
        lambda: np.cumulative_sum(wide, axis=0) if hasattr(np, "unstack") else np.cumsum(wide, 0),
    ):
        with pytest.raises(EncodingOverflow, match="the integers of the result may"):
            use()
    assert np.where(np.eye(2), wide, wide).bound == wide.bound  # at each place one of them only
    assert np.tril(wide).bound == wide.bound
    packed = encrypt(pub, [[0.5, 1.0]] * 2, FixedPoint(max_weight=1, guard_bits=0), packed=True)
    with pytest.raises(EncodingOverflow, match="slot of"):
        np.diff(packed, axis=0)
    assert np.where([[True], [False]], packed, packed).bound == packed.bound


def test_scales_meet_exactly(pub, priv):
    c, d = encrypt(pub, [1.5, -2.25]), 0.25 * encrypt(pub, [0.5, 3.0])
    found = np.where([False, True], c, d)
    assert found.frac == 40
    assert decrypt(priv, found).tolist() == [0.125, -2.25]
    assert decrypt(priv, np.append(d, [2.0**-40, Fraction(1, 2)])).tolist() == [0.125, 0.75, 2.0**-40, 0.5]
    assert decrypt(priv, np.insert(c, 1, Decimal("0.75"))).tolist() == [1.5, 0.75, -2.25]
    assert decrypt(priv, np.einsum("i,i->i", c, [0.5, 2.0])).tolist() == [0.75, -4.5]
    with pytest.raises(ValueError, match="no fractional digits"):
        np.append(encrypt(pub, [1, 2], FixedPoint.integers(9)), [0.5])
    money = encrypt(pub, [1.1, 2.2], FixedPoint.money())
    assert decrypt(priv, np.append(money, [3.3])).tolist() == [1.1, 2.2, 3.3]
    with pytest.raises(ValueError, match="have no common scale"):
        np.where([True, False], money, c)


def test_numbers_of_every_kind(whole, priv):
    c, x = whole[0, 0, :3], WHOLE[0, 0, :3].astype(object)
    for values in (
        np.array([2**64 - 1, 2**63, 0], np.uint64),
        np.array([-(2**63), 2**63 - 1, -1]),
        np.array([2**80, -(3**60), 0], object),
        np.array([True, False, True]),
        np.array([-0.0, 0.0, -0.0]),
    ):
        exact = np.array([int(v) for v in values], object)
        for use in (
            np.append,
            np.outer,
            np.inner,
            lambda a, b: np.einsum("i,j->ij", a, b),
            lambda a, b: np.insert(a, 0, b),
        ):
            found = use(c, values)
            assert np.array_equal(ints_of(priv, found), use(x, exact) * 2 ** int(found.frac))
    sums = np.full((2, 3), 2**62)  # their sum wraps in int64
    assert ints_of(priv, np.einsum("i,ji->i", c, sums)).tolist() == (x * 2**63).tolist()
    for bad in (np.nan, np.inf):
        for use in (lambda v: np.append(c, v), lambda v: np.insert(c, 0, v), lambda v: np.where([1, 0, 1], c, v)):
            with pytest.raises(ValueError, match="NaN or infinite"):
                use(bad)
    masked = np.ma.array([1, 2, 3], mask=[0, 1, 0])
    for use in (np.append, np.inner, np.kron, lambda a, b: np.where(b, a, a), lambda a, b: np.insert(a, b, 1)):
        with pytest.raises(TypeError, match="masked"):
            use(c, masked)
    for text in ("ab", b"ab", None, {1: 2}, object()):
        for use in (np.kron, np.inner, np.tensordot, lambda a, b: np.append(a, b), np.outer):
            with pytest.raises(TypeError):
                use(c, text)


def test_two_keys_never_meet(pub, keypair2):
    c, d = encrypt(pub, [1, 2]), encrypt(keypair2[0], [1, 2])
    for use in (
        np.append,
        lambda a, b: np.insert(a, 0, b),
        lambda a, b: np.where([1, 0], a, b),
        lambda a, b: np.block([a, b]),
    ):
        with pytest.raises(InvalidKey, match="different keys"):
            use(c, d)


# --- refused ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "use",
    [
        np.kron,
        np.outer,
        np.inner,
        np.dot,
        np.vdot,
        np.tensordot,
        np.matmul,
        np.multiply,
        lambda c, d: np.einsum("ij,jk", c, d),
        lambda c, d: np.einsum("ij,jk,kl", c, [[1]], d),
        *(getattr(np, name) for name in ("vecdot", "matvec", "vecmat") if hasattr(np, name)),
    ],
)
def test_products_of_ciphertexts_name_what_to_use(whole, use):
    with pytest.raises(TypeError, match=r"cannot be multiplied.*c\.to_shares"):
        use(whole[0], whole[1])


@pytest.mark.parametrize(
    ("use", "advice"),
    [
        (lambda c: np.where(c, c, c), "condition must be plain"),
        (lambda c: np.compress(c, c), "condition must be plain"),
        (lambda c: np.insert(c, c, 1), "obj must be plain"),
        (lambda c: np.einsum(c, [0, 1]), "subscripts as a text"),
        (lambda c: np.einsum("ij,j,j", c, [1], [1]), "combine the plain ones first"),
        (lambda c: np.einsum("ij", c, out=np.zeros(2)), "does not take out"),
        (lambda c: np.einsum("ij", c, dtype=int), "does not take dtype"),
        (lambda c: np.trace(c, dtype=int), r"does not take dtype: .* scale \(c\.frac\)"),
        (lambda c: np.trace(c, out=np.zeros(2)), "does not take out: use the array that it returns"),
        (lambda c: c.trace(0, 0, 1, int), "does not take dtype"),
        (lambda c: c.sum(out=np.zeros(2)), "does not take out"),
        (lambda c: c.sum(initial=3), "does not take initial: add it"),
        (lambda c: c.sum(where=[True, False]), r"does not take where: .*\(c \* mask\)\.sum"),
        (lambda c: np.sum(c, where=[True, False]), "does not take where"),
        (lambda c: np.sum(c, initial=1), "does not take initial"),
        (lambda c: c.cumsum(0, int), "does not take dtype"),
        (lambda c: np.outer(c, c, out=np.zeros((2, 2))), "does not take out"),
        (lambda c: np.zeros_like(c, int), "does not take dtype"),
        (lambda c: np.compress([1], c, out=c), "does not take out"),
        (lambda c: np.full_like(c, c), "fill_value must be plain"),
        (lambda c: np.diff(c, n=1.0), "n must be an int"),
        (lambda c: np.tril(c, k="1"), "k must be an int"),
        (lambda c: np.where(["a", "b"], c, c), "condition must hold True and False"),
    ],
)
def test_arguments_that_are_not_taken_are_named(whole, use, advice):
    with pytest.raises(TypeError, match=advice):
        use(whole[0, :2, :2])


def test_sparse_matrices_are_for_products_only(whole, priv):
    c, x = whole[0], WHOLE[0]
    m = scipy.sparse.csr_array(np.eye(5, 3, dtype=int) * 7)
    assert np.array_equal(ints_of(priv, c.dot(m)), x @ m.toarray())
    for use in (np.kron, np.inner, np.outer, np.tensordot, lambda a, b: np.einsum("ij,jk", a, b)):
        with pytest.raises(TypeError, match=r"is a sparse matrix, .*: give its toarray\(\)"):
            use(c, m)


def test_huge_counts_end_at_once(whole):
    c = whole[0, 0]
    assert np.diff(c, n=10**15).shape == (0,)
    assert np.tril(whole[0], 10**30).shape == np.triu(whole[0], -(10**30)).shape == (4, 5)
    for use in (
        lambda: np.repeat(c, 10**14),
        lambda: np.tile(c, 10**14),
        lambda: np.zeros_like(c, shape=(10**14,)),
        lambda: np.zeros_like(c, shape=(10**30,)),
        lambda: np.full_like(c, 1, shape=(10**7, 10**7)),
        lambda: np.insert(c, 10**20, 1),
        lambda: np.append(c.broadcast_to((10**14, 5)), 1),
    ):
        with pytest.raises((MemoryError, ValueError, IndexError, OverflowError)):
            use()


def test_packed_arrays_along_leading_axes(pub, priv):
    x = np.arange(12).reshape(3, 4) / 4
    c = encrypt(pub, x, packed=True)
    for use in (
        lambda a: np.append(a, a, axis=0),
        lambda a: np.concatenate([a, np.ones((2, 4))]),
        lambda a: np.diff(a, axis=0),
        lambda a: np.zeros_like(a),
        lambda a: np.ones_like(a, shape=(2, 2, 4)),
        lambda a: np.where([[True], [False], [True]], a, 2.0),
        lambda a: np.where(True, a, -a),
        lambda a: np.where(True, a, np.array([[1.0], [2.0], [3.0]])),
        lambda a: np.diff(a, axis=0, prepend=0.5),
        lambda a: np.compress([1, 0, 1], a, axis=0),
    ):
        assert np.array_equal(decrypt(priv, use(c)), use(x))
    for use in (
        lambda: np.diff(c),
        lambda: np.append(c, c),
        lambda: np.insert(c, 0, 1),
        lambda: np.block([[c], [c]]),
        lambda: np.trace(c),
        lambda: np.tril(c),
        lambda: np.where(x > 1, c, 0.0),
        lambda: np.einsum("ij->i", c),
        lambda: np.kron(c, 1),
        lambda: np.zeros_like(c, shape=3),
        lambda: np.column_stack([c, c]),
    ):
        with pytest.raises(ValueError, match="packed"):
            use()


def test_a_remedy_says_decrypt_first_only_where_a_key_is_needed(priv):
    """Whatever NumPy dispatches, and every name of ndarray: only comparisons take the values themselves."""
    c = encrypt(priv, [[1, 2], [3, 4]])
    seen, told = 0, set()
    functions = [*get_overridable_numpy_array_functions(), *get_overridable_numpy_ufuncs()]
    calls = [(c,), ([c],), (c, c), (c, 1), (1, c), ([1], c), (c, [1], [1]), ([1], [1], c), (1, [1], c)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for func in functions:
            for args in calls:
                if isinstance(found := result(lambda c, func=func, args=args: func(*args), c), Exception):
                    seen += "does not work on encrypted" in str(found)
                    if "decrypt first" in str(found) and "absolute value" not in str(found):  # of numpy.diag([1], c)
                        told.add(func.__name__)
    assert seen > 200
    assert told <= set(_ufunc._COMPARING.split())
    told.clear()
    for name in dir(np.ndarray):
        if not hasattr(CipherArray, name) and "decrypt first" in str(result_of_attribute(c, name)):
            told.add(name)
    assert told == {"all", "any"} | {
        name for name in _ufunc._COMPARING.split() if hasattr(np.ndarray, name) and not hasattr(CipherArray, name)
    } - {"clip"}  # which the plan does
    linear = "average convolve correlate cross diag ediff1d gradient interp mean nansum pad polyval trapezoid fft.fft"
    for name in [*linear.split(), "linalg.solve", "linalg.trace", "deg2rad", "select", "choose", "meshgrid"]:
        assert "decrypt first" not in str(_ufunc._refusal(name))
        assert "use " in str(_ufunc._refusal(name)) or "write it" in str(_ufunc._refusal(name))


def result_of_attribute(c: CipherArray, name: str) -> Any:
    try:
        return getattr(c, name)
    except AttributeError as error:
        return error


# --- spelled as in NumPy ----------------------------------------------------------------------------------------------


def signature(function: Any) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except ValueError:  # NumPy 1.26 has none for what is written in C
        return None


METHODS = "compress copy cumsum diagonal dot flatten ravel repeat reshape squeeze sum swapaxes take trace transpose"
# of NumPy 2.4, for those that have no signature
KNOWN = {
    "sum": ["axis", "dtype", "out", "keepdims", "initial", "where"],
    "cumsum": ["axis", "dtype", "out"],
    "take": ["indices", "axis", "out", "mode"],
    "trace": ["offset", "axis1", "axis2", "dtype", "out"],
    "dot": ["other", "out"],
}


@pytest.mark.parametrize("name", METHODS.split())
def test_methods_take_the_arguments_of_ndarray_in_its_order(name):
    theirs = signature(getattr(np.ndarray, name))
    ours = [p for p in list(inspect.signature(getattr(CipherArray, name)).parameters) if p != "self"]
    names = KNOWN.get(name, [])
    if theirs is not None:
        names = [p.name for p in theirs.parameters.values() if p.kind is not p.VAR_KEYWORD and p.name != "self"]
    assert [p for p in ours if p in names or p != "threads"][: len(names)] == names


@pytest.mark.parametrize("func", _ufunc._FUNCTIONS, ids=lambda func: func.__name__)
def test_functions_take_the_arguments_of_numpy_by_its_names(func):
    theirs, ours = signature(func), inspect.signature(_ufunc._FUNCTIONS[func])
    if theirs is None:
        return
    refused = {"out", "dtype", "casting", "subok", "order", "device", "initial", "where", "kwargs"}
    names = {p.name for p in theirs.parameters.values()}
    assert names - set(ours.parameters) <= refused
    assert {p.name for p in ours.parameters.values() if p.kind is not p.VAR_KEYWORD} - names <= {
        "newshape",
        "shape",
        "order",
        "copy",
    }


def test_keywords_of_numpy(whole, priv):
    a, x = whole[0], WHOLE[0]
    for use in (
        lambda a: np.concatenate([a, a], axis=1),
        lambda a: np.concatenate([a, a], 1, None),
        lambda a: np.stack([a, a], axis=1, out=None),
        lambda a: np.sum(a, axis=0, keepdims=True),
        lambda a: np.sum(a, 0, None, None, True),
        lambda a: a.sum(axis=1, keepdims=True),
        lambda a: a.sum(0, None, None, True),
        lambda a: a.cumsum(axis=1, dtype=None, out=None),
        lambda a: a.take(indices=[1, 0], axis=1, mode="wrap") if isinstance(a, CipherArray) else a.take([1, 0], 1),
        lambda a: a.trace(offset=1, dtype=None),
        lambda a: a.dot([1] * 5, None),
        lambda a: a.copy(order="F"),
        lambda a: a.reshape(5, 4, order="F"),
        lambda a: np.reshape(a, order="F", **{"shape" if hasattr(np, "unstack") else "newshape": (5, 4)}),
        lambda a: np.zeros_like(a, dtype=None, order="K", subok=True, shape=None),
        lambda a: np.cumsum(a, None, None),
        lambda a: np.outer(a, [1, 2], None),
    ):
        assert np.array_equal(ints_of(priv, use(a)), use(x))
    copied = a.reshape(20, copy=True)
    assert copied._store is not a._store
    assert np.array_equal(ints_of(priv, copied), x.ravel())
    with pytest.raises(ValueError, match="order must be one of"):
        a.copy("Z")
