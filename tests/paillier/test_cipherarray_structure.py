"""Shapes and indexing of encrypted arrays, compared with NumPy's on an array of the same values."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bluetusk.encoding import FixedPoint
from bluetusk.paillier import PrivateKey
from bluetusk.paillier._base import Packing
from bluetusk.paillier.array import CipherArray, concatenate, encrypt

decrypt, ints_of = PrivateKey.decrypt, PrivateKey.decrypt_integers

SHAPE = (2, 3, 4)
X = np.arange(24).reshape(SHAPE) - 7


@pytest.fixture(scope="module")
def c(priv) -> CipherArray:
    return encrypt(priv, X)


@pytest.fixture(scope="module")
def packed(priv) -> CipherArray:
    """Two blocks along the last axis: shape (2, 3, 70)."""
    return encrypt(priv, PX, FixedPoint(), packed=True)


PX = (np.arange(2 * 3 * 70).reshape(2, 3, 70) - 200) / 128


def same(c: CipherArray, x: np.ndarray, priv) -> None:
    """Compare the order of elements by the index; that the index shows what it should is tested by decrypting."""
    assert c.shape == x.shape
    assert np.array_equal(c._index - 7, x)


KEYS = [
    0,
    -1,
    (1,),
    (0, 2),
    (1, 2, 3),
    (-1, -1, -1),
    slice(None),
    slice(1, None),
    slice(None, None, -1),
    (slice(None), 1),
    (slice(None), slice(0, 2), slice(None, None, 2)),
    (..., 0),
    (0, ..., 1),
    (slice(None), ..., slice(1, 3)),
    ...,
    (),
    None,
    (None, 0, None, slice(None)),
    (..., None),
    [1, 0, 1],
    np.array([[0, 1], [1, 0]]),
    ([0, 1], [2, 0]),
    ([0, 1], slice(None), [3, 0]),
    (slice(None), [[0], [2]], [1, 3]),
    (0, [2, 1], slice(None)),
    np.array([True, False]),
    (slice(None), np.array([True, False, True])),
    (np.array([True, False]), 0),
    X % 3 == 0,
    np.zeros(SHAPE, dtype=bool),
    (X[0] > -5)[None].repeat(2, 0),
    np.int64(1),
    np.uint8(1),
    (slice(None), -1, [-1, 0]),
    [],
    np.array([], dtype=int),
    True,
    False,
    slice(0, 0),
    (slice(5, 9), slice(None, None, 3)),
    np.ix_([0, 1], [2, 1], [0]),
]


@pytest.mark.parametrize("key", KEYS, ids=repr)
def test_indexing_is_numpys(c, priv, key):
    same(c[key], X[key], priv)


@pytest.mark.parametrize(
    "key", [2, (0, 3), (0, 0, 0, 0), [2], (slice(None),) * 4, np.array([True] * 3), 1.0, "a", ([0, 1], [0, 1, 2])]
)
def test_bad_indices_raise_what_numpy_raises(c, key):
    with pytest.raises(IndexError) as expected:
        X[key]
    with pytest.raises(type(expected.value)):
        c[key]


def test_values_follow_the_index(c, priv):
    for key in ((1, 2, 3), (0, [2, 1], 1), (slice(None), 0, 0), np.array([False, True])):
        assert np.array_equal(ints_of(priv, c[key]), X[key])


MOVES = [
    lambda a: a.T,
    lambda a: a.transpose(),
    lambda a: a.transpose(2, 0, 1),
    lambda a: a.transpose((1, 0, 2)),
    lambda a: a.transpose(None),
    lambda a: a.transpose(-1, 0, 1),
    lambda a: a.swapaxes(0, -1),
    lambda a: a.reshape(6, 4),
    lambda a: a.reshape((4, -1)),
    lambda a: a.reshape(-1),
    lambda a: a.reshape([2, 12]),
    lambda a: a.ravel(),
    lambda a: a.T.ravel(),
    lambda a: a[:1].squeeze(),
    lambda a: a[:1].squeeze(0),
    lambda a: a[:1].squeeze(axis=(0,)),
    lambda a: a.reshape(1, 24, 1).squeeze(-1),
    lambda a: np.transpose(a, (1, 2, 0)),
    lambda a: np.reshape(a, (3, 8)),
    lambda a: np.ravel(a),
    lambda a: np.squeeze(a[:1]),
    lambda a: np.swapaxes(a, 0, 1),
    lambda a: np.moveaxis(a, 0, -1),
    lambda a: np.expand_dims(a, 1),
    lambda a: np.flip(a),
    lambda a: np.flip(a, 1),
    lambda a: np.roll(a, 2, axis=1),
    lambda a: np.rot90(a),
    lambda a: np.repeat(a, 2, axis=0),
    lambda a: np.tile(a, (2, 1, 1)),
    lambda a: np.take(a, [2, 0], axis=1),
    lambda a: np.diagonal(a),
    lambda a: np.atleast_3d(a[0, 0]),
    lambda a: np.broadcast_to(a, (2, 2, 3, 4)),
    lambda a: np.delete(a, 1, axis=1),
    lambda a: np.split(a, 2)[1],
    lambda a: np.array_split(a, 2, axis=1)[1],
    lambda a: np.stack([a, a[::-1]]),
    lambda a: np.stack([a, a[::-1]], axis=-1),
    lambda a: np.stack(a, axis=1),
    lambda a: np.vstack([a[0], a[1]]),
    lambda a: np.vstack([a[0, 0], a[1, 1]]),
    lambda a: np.hstack([a[0], a[1]]),
    lambda a: np.hstack([a[0, 0], a[1, 1]]),
    lambda a: np.concatenate([a, a[:, ::-1]], axis=1),
    lambda a: np.concatenate([a, a[0]], axis=None) if a.ndim == 1 else np.concatenate([a, a], axis=None),
    lambda a: +a,
    lambda a: np.positive(a),
    lambda a: a.reshape(np.array([6, 4])),
    lambda a: a.reshape(np.int64(24)),
    lambda a: a.reshape(6, np.uint8(4)),
    lambda a: a.reshape(range(4, 7, 2)),
    lambda a: a.reshape((4, 6), order="F"),
    lambda a: a.ravel(order="F"),
    lambda a: np.broadcast_to(a[0, 0, 0], np.int64(2)),
    lambda a: np.broadcast_to(a, np.array([2, 2, 3, 4])),
    lambda a: a.transpose(np.array([2, 1, 0])),
    lambda a: a[0, 0, 0].transpose(()),
]


@pytest.mark.parametrize("wrong", [2.0, "24", (6, 4.0), None, {24}, (24, None), np.array([24.0])])
def test_shapes_must_be_ints(c, packed, wrong):
    for array in (c, packed):
        for use in (array.reshape, array.broadcast_to):
            with pytest.raises(TypeError, match=r"(reshape|broadcast_to): each length must be an int, not"):
                use(wrong)
    with pytest.raises(TypeError, match="transpose: each length"):
        c.transpose((2.0, 0, 1))


@pytest.mark.parametrize("move", range(len(MOVES)))
def test_moves_are_numpys_and_free(c, priv, move):
    moved = MOVES[move](c)
    same(moved, MOVES[move](X), priv)
    assert moved._store is c._store
    assert moved.fresh


@pytest.mark.parametrize("shape", [(5, 5), (-1, 5), (-1, -1), (24, 2), -2, (-2, 24), (0, -1)])
def test_bad_reshapes(c, packed, shape):
    with pytest.raises(ValueError, match=r"reshape|dimension"):
        c.reshape(shape)
    with pytest.raises(ValueError, match=r"reshape|dimension"):
        packed.reshape(shape)


def test_attributes_and_numpys_questions(c):
    assert (c.shape, c.ndim, c.size, len(c)) == (SHAPE, 3, 24, 2)
    assert (np.shape(c), np.ndim(c), np.size(c), np.size(c, 1)) == (SHAPE, 3, 24, 3)
    assert c.nbytes == 24 * 512
    assert not c.packed
    assert c.slot_bits == 0
    assert not hasattr(c, "dtype")


def test_iteration(c, priv, packed):
    assert [row.shape for row in c] == [(3, 4)] * 2
    for row, x in zip(c[0, 0], X[0, 0], strict=True):
        assert row.shape == ()
        assert row._index - 7 == x
    assert [row.shape for row in packed] == [(3, 70)] * 2
    single = c[0, 0, 0]
    with pytest.raises(TypeError, match="single number"):
        len(single)
    with pytest.raises(TypeError, match="single number"):
        iter(single)
    with pytest.raises(ValueError, match="slots"):
        iter(packed[0, 0])


def test_copies_have_ciphertexts_of_their_own(c, priv):
    for one in (c[0, 1:].copy(), c[0, 1:].flatten().reshape(2, 4), copy.deepcopy(c[0, 1:]), np.copy(c[0, 1:])):
        assert one._store is not c._store
        assert one._store.n == 8
        assert np.array_equal(ints_of(priv, one[0]), X[0, 1])
        assert one.fresh
    shallow = copy.copy(c)
    assert shallow is not c
    assert shallow._store is c._store


def test_rebinding_leaves_other_names_alone(priv):
    c = d = encrypt(priv, [1, 2])
    c += 1
    c *= 3
    c -= d
    c @= np.array([1, 10])
    assert ints_of(priv, c) == (2 * 3 - 1) + 10 * (3 * 3 - 2)
    assert ints_of(priv, d).tolist() == [1, 2]


# --- packed: leading axes only ----------------------------------------------------------------------------------------

PACKED_KEYS = [
    0,
    -1,
    (1, 2),
    slice(None, None, -1),
    (slice(None), 1),
    (..., slice(None)),
    (0, ..., slice(None)),
    (slice(None),) * 3,
    (0, 1, slice(None)),
    ...,
    (),
    None,
    (None, 0, slice(None), slice(None)),
    [1, 0],
    ([0, 1], [2, 0]),
    (slice(None), [2, 0]),
    np.array([True, False]),
    np.array([[True, False, True], [False, True, False]]),
    (0, ...),
]


@pytest.mark.parametrize("key", PACKED_KEYS, ids=repr)
def test_packed_indexing_of_leading_axes(packed, key):
    marks = packed._index[..., 0] // 2
    got = packed[key]
    whole = np.broadcast_to(np.arange(6).reshape(2, 3)[..., None], packed.shape)[key]
    assert got.shape == whole.shape
    assert np.array_equal(marks, np.arange(6).reshape(2, 3))
    assert np.array_equal(got._index[..., 0] // 2, whole[..., 0])
    assert np.array_equal(got._index[..., 1], got._index[..., 0] + 1)


@pytest.mark.parametrize(
    "key",
    [(0, 0, 0), (..., 0), (..., slice(1, None)), (0, 0, [0, 1]), (..., None), (0, 0, slice(None, None, -1)), PX > 0],
    ids=lambda key: repr(key)[:40],
)
def test_packed_indexing_of_the_last_axis_is_refused(packed, key):
    with pytest.raises(ValueError, match=r"slots.*leading axes.*packed=False"):
        packed[key]


class Mask:
    """An index only by its __array__."""

    def __init__(self, mask: object) -> None:
        self.mask = mask

    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        return np.asarray(self.mask, dtype=dtype)


WHOLE = ((False, True), (True, False))  # of two rows of two blocks each


@pytest.mark.parametrize(
    "key",
    [
        (WHOLE,),
        [list(row) for row in WHOLE],
        np.array(WHOLE),
        Mask(WHOLE),
        (Mask(WHOLE),),
        (WHOLE, None),
        (None, WHOLE),
    ],
    ids=repr,
)
def test_no_mask_of_any_type_cuts_into_blocks(packed, key):
    two = packed[0, :2]
    assert two._index.shape == (2, 2)
    with pytest.raises(ValueError, match=r"slots.*leading axes"):
        two[key]


@pytest.mark.parametrize(
    "key",
    [
        ((True, False),),
        Mask([True, False]),
        (Mask([True, False]), Mask([0, 2])),
        ((0, 1), (2, 0)),
        (((True, False, True), (False, True, False)),),
        range(2),
        [],
        ([], 1),
        np.array(1),
        np.array(True),
        (None, np.False_),
    ],
    ids=repr,
)
def test_indices_of_any_type_address_leading_axes(packed, key):
    whole = np.broadcast_to(np.arange(6).reshape(2, 3)[..., None], packed.shape)[key]
    got = packed[key]
    assert got.shape == whole.shape
    assert np.array_equal(got._index[..., 0] // 2, whole[..., 0])
    assert np.array_equal(got._index[..., 1], got._index[..., 0] + 1)


PARTS = st.one_of(
    st.sampled_from([None, Ellipsis, True, False, slice(None), slice(1), slice(None, None, -1), [], 0, 1, np.array(0)]),
    st.lists(st.integers(-2, 1), max_size=3),
    st.lists(st.booleans(), min_size=2, max_size=3).map(tuple),
    st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=2).map(tuple),
    st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=2).map(Mask),
)


@settings(max_examples=1000)
@given(key=st.lists(PARTS, max_size=5).map(tuple))
def test_any_index_of_a_packed_array_is_refused_or_numpys(key):
    """2 x 2 rows of 2 blocks: a result has whole rows of blocks and NumPy's shape, or there is an error."""
    index = np.arange(8).reshape(2, 2, 2)
    whole = np.broadcast_to(index[..., :1], (2, 2, 70))
    array = CipherArray._make(None, index, None, None, 0, 0, Packing(32, 63, 70))
    try:
        got = array[key]
    except (IndexError, ValueError):
        return
    expected = whole[key]
    assert got.shape == expected.shape
    assert np.array_equal(got._index[..., 0], expected[..., 0])
    assert np.array_equal(got._index[..., 1], expected[..., 0] + 1)


@pytest.mark.parametrize(
    "move",
    [
        lambda a: a.transpose(1, 0, 2),
        lambda a: a.swapaxes(0, 1),
        lambda a: a.reshape(6, 70),
        lambda a: a.reshape(-1, 70),
        lambda a: a.reshape(3, 2, 70),
        lambda a: a[:1].squeeze(0),
        lambda a: np.squeeze(a[:1, :1]),
        lambda a: np.stack([a, a]),
        lambda a: np.stack([a, a], axis=1),
        lambda a: np.concatenate([a, a[:1]]),
        lambda a: np.concatenate([a, a], axis=1),
        lambda a: np.vstack([a[0, 0], a[1, 1]]),
        lambda a: np.broadcast_to(a[0], (2, 3, 70)),
        lambda a: a[1, 1].T,
        lambda a: a[1, 1].ravel(),
        lambda a: np.copy(a),
    ],
)
def test_packed_moves_of_leading_axes(packed, priv, move):
    got, expected = move(packed), move(PX)
    assert got.shape == expected.shape
    assert np.array_equal(decrypt(priv, got[..., :].reshape(-1, 70)[-1]), expected.reshape(-1, 70)[-1])
    assert np.array_equal(decrypt(priv, got.reshape(-1, 70)[0]), expected.reshape(-1, 70)[0])


@pytest.mark.parametrize(
    "move",
    [
        lambda a: a.T,
        lambda a: a.ravel(),
        lambda a: a.flatten(),
        lambda a: a.reshape(2, 210),
        lambda a: a.reshape(-1),
        lambda a: a.swapaxes(0, 2),
        lambda a: np.flip(a),
        lambda a: np.moveaxis(a, 0, 2),
        lambda a: np.concatenate([a, a], axis=2),
        lambda a: np.concatenate([a, a], axis=-1),
        lambda a: np.concatenate([a, a], axis=None),
        lambda a: np.stack([a, a], axis=-1),
        lambda a: np.hstack([a[0, 0], a[0, 1]]),
        lambda a: a.broadcast_to((2, 3, 140)),
        lambda a: a[0, 0].squeeze(-1) if a.shape[-1] == 1 else a.transpose(0, 2, 1),
    ],
)
def test_packed_moves_of_the_last_axis_are_refused(packed, move):
    with pytest.raises(ValueError, match="slots"):
        move(packed)


# --- concatenate ------------------------------------------------------------------------------------------------------


def test_concatenate_of_different_stores(pub, priv):
    a, b = encrypt(pub, [[1, 2], [3, 4]]), encrypt(pub, [[5], [6]])
    joint = concatenate([a, b], axis=1)
    assert ints_of(priv, joint).tolist() == [[1, 2, 5], [3, 4, 6]]
    assert joint.fresh
    mixed = concatenate([a[0], a[1] + a[0]])
    assert ints_of(priv, mixed).tolist() == [1, 2, 4, 6]
    assert not mixed.fresh
    assert mixed[:2].fresh
    assert concatenate(a).shape == (4,)


def test_concatenate_raises_scales_exactly(pub, priv):
    plan = FixedPoint(clip=100.0, frac_bits=10)
    a, b = encrypt(pub, [1.5, -2.25], plan), encrypt(pub, [0.5], FixedPoint())
    joint = concatenate([a, b])
    assert joint.frac == 20
    assert decrypt(priv, joint).tolist() == [1.5, -2.25, 0.5]
    assert joint.bound == max(a.bound << 10, b.bound)
    assert concatenate([b, a]).plan == joint.plan


def test_concatenate_refuses(pub, packed):
    a = encrypt(pub, [1, 2])
    with pytest.raises(ValueError, match="at least one"):
        concatenate([])
    with pytest.raises(TypeError, match="none that is encrypted"):
        concatenate([[1.0], np.zeros(2)])
    with pytest.raises(ValueError, match="packed"):
        concatenate([a.reshape(1, 1, 2), packed])
    with pytest.raises(ValueError, match="binary and a decimal"):
        concatenate([a, encrypt(pub, [1.0], FixedPoint.money())])
    with pytest.raises(ValueError, match="dimension"):
        concatenate([a, a.reshape(2, 1)])
    with pytest.raises(ValueError, match=r"shape \(\)"):
        concatenate([a[0], a[1]])
    with pytest.raises(ValueError, match="axis"):
        concatenate([a, a], axis=1)


@pytest.mark.parametrize("order", ["C", "F", "A", "K"])
def test_views_are_ravelled_in_every_order_of_numpy(pub, priv, order):
    x = np.arange(12).reshape(2, 3, 2)
    c = pub.encrypt(x)
    for view in (
        lambda a: a,
        lambda a: a.T,
        lambda a: a.transpose(1, 0, 2),
        lambda a: a[:, ::-1],
        lambda a: a[[1, 0]].T,
        lambda a: a.T[::2],
    ):
        expected = np.ravel(view(x), order=order)
        assert np.array_equal(priv.decrypt_integers(np.ravel(view(c), order=order)), expected)
        assert np.array_equal(priv.decrypt_integers(view(c).flatten(order)), expected)
