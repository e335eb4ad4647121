"""NumPy's functions on a view of an encrypted array: each gives NumPy's result, none shows what is not in the view."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluetusk.paillier import PrivateKey, _linear, _ufunc
from bluetusk.paillier.array import CipherArray, encrypt

ints_of = PrivateKey.decrypt_integers

WHOLE = np.arange(48).reshape(3, 4, 4) + 100  # no value is that of another element, or a place in the store


def view(a: Any) -> Any:
    """Rows in another order, without the first ones of the store."""
    return a[1:, ::-1, 1:]


V = view(WHOLE)  # shape (2, 4, 3)


@pytest.fixture(scope="module")
def whole(priv) -> CipherArray:
    return encrypt(priv, WHOLE)


@pytest.fixture(scope="module")
def c(whole) -> CipherArray:
    return view(whole)


@pytest.fixture(scope="module")
def other(priv) -> CipherArray:
    """The same values in a store of their own."""
    return view(encrypt(priv, WHOLE))


def same(found: Any, expected: Any, priv) -> None:
    if isinstance(expected, list | tuple) and not isinstance(found, tuple):
        assert len(found) == len(expected)
        for one, wanted in zip(found, expected, strict=True):
            same(one, wanted, priv)
    elif isinstance(found, CipherArray):
        assert found.shape == expected.shape
        assert np.array_equal(ints_of(priv, found), expected)
    else:
        assert found == expected


# Every function that is taken over from NumPy, with calls that use all of its arguments; `a` is a view of three axes.
CASES: dict[Callable[..., Any], list[Callable[[Any], Any]]] = {
    np.array_split: [
        lambda a: np.array_split(a[0], 3),
        lambda a: np.array_split(a, [1, 2], axis=1),
        lambda a: np.array_split(a[0], np.array([1, 9]), 1),
    ],
    np.atleast_1d: [lambda a: np.atleast_1d(a[1, 1, 1]), lambda a: np.atleast_1d(a[1])],
    np.atleast_2d: [lambda a: np.atleast_2d(a[1, 1]), lambda a: np.atleast_2d(a[1, 1, 0])],
    np.atleast_3d: [lambda a: np.atleast_3d(a[1]), lambda a: np.atleast_3d(a[0, 1])],
    np.broadcast_to: [
        lambda a: np.broadcast_to(a[1], (2, 4, 3)),
        lambda a: np.broadcast_to(array=a[1, 1, 1], shape=3),
        lambda a: np.broadcast_to(a[0, 0], (0, 3), subok=True),
    ],
    np.concatenate: [
        lambda a: np.concatenate([a, a[:1]]),
        lambda a: np.concatenate((a[0], a[1]), axis=-1),
        lambda a: np.concatenate([a[0], a[0, 0]] if a.ndim == 1 else [a[0], a[1, :1]], axis=None),
        lambda a: np.concatenate([a[0, :0], a[1, :0]]),
    ],
    np.copy: [lambda a: np.copy(a[1]), lambda a: np.copy(a[1, 0], order="F", subok=True)],
    np.cumsum: [lambda a: np.cumsum(a[0]), lambda a: np.cumsum(a[1], axis=1), lambda a: np.cumsum(a[1], 0)],
    np.delete: [
        lambda a: np.delete(a[1], 1),
        lambda a: np.delete(a, [0, -1], axis=1),
        lambda a: np.delete(a[1], slice(None, None, 2), 0),
        lambda a: np.delete(a[1, 1], np.array([True, False, True])),
        lambda a: np.delete(a[1, 1], [0, 1, 2]),
    ],
    np.diagonal: [
        lambda a: np.diagonal(a),
        lambda a: np.diagonal(a[1], -1),
        lambda a: np.diagonal(a, offset=1, axis1=2, axis2=1),
        lambda a: np.diagonal(a[1], 7),
    ],
    np.dot: [lambda a: np.dot(a[1], [1, -2, 3]), lambda a: np.dot([1, 2, 3, 4], a[1]), lambda a: np.dot(a[0, 0], 3)],
    np.dsplit: [lambda a: np.dsplit(a, 3), lambda a: np.dsplit(a, [2])],
    np.expand_dims: [lambda a: np.expand_dims(a[1], 0), lambda a: np.expand_dims(a[1, 1], axis=(0, 2))],
    np.flip: [lambda a: np.flip(a[1]), lambda a: np.flip(a, axis=(0, 2)), lambda a: np.flip(a, 1)],
    np.fliplr: [lambda a: np.fliplr(a[1])],
    np.flipud: [lambda a: np.flipud(a[1])],
    np.hsplit: [lambda a: np.hsplit(a[1], 3), lambda a: np.hsplit(a[1, 1], [1])],
    np.hstack: [
        lambda a: np.hstack([a[0], a[1]]),
        lambda a: np.hstack([a[0, 0], a[1, 1, :2]]),
        lambda a: np.hstack([a[0, 0, 0], a[1, 1, 1]]),
    ],
    np.moveaxis: [lambda a: np.moveaxis(a, 0, -1), lambda a: np.moveaxis(a, source=[0, 1], destination=[2, 0])],
    np.ndim: [lambda a: np.ndim(a), lambda a: np.ndim(a[0, 0, 0])],
    np.ravel: [lambda a: np.ravel(a), lambda a: np.ravel(a[1], order="F")],
    np.repeat: [
        lambda a: np.repeat(a[1, 1], 2),
        lambda a: np.repeat(a[1], [0, 2, 1, 0], axis=0),
        lambda a: np.repeat(a[1, 1], 0),
    ],
    np.reshape: [
        lambda a: np.reshape(a, (4, -1)),
        lambda a: np.reshape(a[1], 12, order="F"),
        lambda a: np.reshape(a[1], (2, 6), copy=True) if np.lib.NumpyVersion(np.__version__) >= "2.1.0" else a,
    ],
    np.roll: [
        lambda a: np.roll(a[1], 2),
        lambda a: np.roll(a, (1, -1), axis=(0, 2)),
        lambda a: np.roll(a, np.array([1, 2]), 1),
    ],
    np.rollaxis: [lambda a: np.rollaxis(a, 2), lambda a: np.rollaxis(a, axis=0, start=2)],
    np.rot90: [lambda a: np.rot90(a[1]), lambda a: np.rot90(a, k=3, axes=(1, 2))],
    np.shape: [lambda a: np.shape(a)],
    np.size: [lambda a: np.size(a), lambda a: np.size(a, 1), lambda a: np.size(a[0], axis=0)],
    np.split: [lambda a: np.split(a, 2), lambda a: np.split(a[1], [1, 3], axis=0), lambda a: np.split(a, 3, 2)],
    np.squeeze: [lambda a: np.squeeze(a[:1, :1]), lambda a: np.squeeze(a[:1, :1], axis=1)],
    np.stack: [
        lambda a: np.stack([a[0], a[1]]),
        lambda a: np.stack([a[0, 0], a[1, 1]], axis=-1),
        lambda a: np.stack(a, axis=1),
    ],
    np.sum: [lambda a: np.sum(a[1]), lambda a: np.sum(a, axis=(0, 2)), lambda a: np.sum(a[1], 0, keepdims=True)],
    np.swapaxes: [lambda a: np.swapaxes(a, 0, 2), lambda a: np.swapaxes(a, axis1=1, axis2=-1)],
    np.take: [
        lambda a: np.take(a[1], [3, 0]),
        lambda a: np.take(a, indices=[[0, -1]], axis=1),
        lambda a: np.take(a[1, 1], [-9, 1, 9], mode="clip"),
        lambda a: np.take(a[1, 1], np.array([-4, 5]), 0, None, "wrap"),
        lambda a: np.take(a=a[1], indices=1),
    ],
    np.take_along_axis: [
        lambda a: np.take_along_axis(a[1], np.array([[2, 0, 1]] * 4), axis=1),
        lambda a: np.take_along_axis(a[1], np.array([3, -12]), None),
    ],
    np.tile: [lambda a: np.tile(a[1, 1], 2), lambda a: np.tile(a[1], (2, 1, 2)), lambda a: np.tile(a[1, 1], reps=[0])],
    np.transpose: [lambda a: np.transpose(a), lambda a: np.transpose(a, axes=(1, 2, 0))],
    np.vsplit: [lambda a: np.vsplit(a[1], 2), lambda a: np.vsplit(a, [1])],
    np.vstack: [lambda a: np.vstack([a[0], a[1]]), lambda a: np.vstack([a[0, 0], a[1, 1]])],
}


def test_every_function_taken_over_has_its_cases():
    """Those that compute or join in other ways have theirs in test_cipherarray_numpy.py."""
    others = {func for func, ours in _ufunc._FUNCTIONS.items() if ours.__name__ in OTHERS}
    assert set(CASES) | others == set(_ufunc._MOVES) | set(_ufunc._FUNCTIONS)
    assert all(CASES.values())


OTHERS = {*_linear.__all__, "append", "block", "column_stack", "dstack", "_insert"}


@pytest.mark.parametrize(
    ("func", "case"),
    [(func, i) for func in CASES for i in range(len(CASES[func]))],
    ids=lambda p: getattr(p, "__name__", p),
)
def test_on_a_view_it_gives_what_numpy_gives(c, priv, func, case):
    same(CASES[func][case](c), CASES[func][case](V), priv)


@pytest.mark.parametrize("func", _ufunc._MOVES, ids=lambda func: func.__name__)
def test_parameters_are_numpys_in_its_order(func):
    theirs = list(inspect.signature(func).parameters.values())
    ours = _ufunc._MOVES[func]
    if theirs[0].kind is inspect.Parameter.VAR_POSITIONAL:
        assert len(ours) == len(theirs) == 1
    else:
        assert list(ours) == [p.name for p in theirs][: len(ours)]


INTS = st.integers(-9, 9)
AXES = st.sampled_from([None, 0, 1, -1, -3, 2])
RANDOM: dict[Callable[..., Any], st.SearchStrategy[tuple[Any, ...]]] = {
    np.array_split: st.tuples(st.integers(0, 5) | st.lists(INTS, max_size=3), AXES),
    np.delete: st.tuples(INTS | st.lists(INTS, max_size=4) | st.builds(slice, INTS, INTS, INTS), AXES),
    np.diagonal: st.tuples(INTS, AXES, AXES),
    np.moveaxis: st.tuples(AXES, AXES),
    np.repeat: st.tuples(st.integers(-1, 3) | st.lists(st.integers(0, 3), max_size=4), AXES),
    np.roll: st.tuples(INTS | st.lists(INTS, max_size=2), AXES | st.lists(AXES, max_size=2)),
    np.rot90: st.tuples(INTS, st.tuples(AXES, AXES)),
    np.take: st.tuples(INTS | st.lists(INTS, max_size=4), AXES, st.none(), st.sampled_from(["raise", "wrap", "clip"])),
    np.tile: st.tuples(st.integers(-1, 3) | st.lists(st.integers(0, 2), max_size=3)),
}


@given(
    data=st.data(), shape=st.sampled_from([(), (0,), (5,), (2, 3), (3, 0), (2, 1, 2)]), func=st.sampled_from([*RANDOM])
)
def test_any_call_is_numpys_on_the_index_or_an_error(data, shape, func):
    """Indices of a view from the middle of a store: a result holds those that NumPy moves there, or both refuse."""
    size = int(np.prod(shape))
    index = np.array(data.draw(st.permutations(range(40, 40 + size))), dtype=np.int64).reshape(shape)
    args = data.draw(RANDOM[func])
    array = CipherArray._make(None, index, None, None, 0, 0, None)
    try:
        expected = func(index, *args)
    except (ValueError, TypeError, IndexError):
        with pytest.raises((ValueError, TypeError, IndexError)):
            func(array, *args)
        return
    found = func(array, *args)
    for one, wanted in zip(found, expected, strict=True) if isinstance(expected, list) else [(found, expected)]:
        assert np.array_equal(one._index, wanted)
        assert one.shape == np.shape(wanted)


# --- joins ------------------------------------------------------------------------------------------------------------

JOINS: list[Callable[[Any, Any], Any]] = [
    lambda a, b: np.concatenate([a, b]),
    lambda a, b: np.concatenate([a[0], b[1, 1:], a[1]]),
    lambda a, b: np.concatenate([a[:, :, :1], b], axis=2),
    lambda a, b: np.concatenate([b[0], a[1]], axis=None),
    lambda a, b: np.concatenate([a[:0], b[:1], a[:0]]),
    lambda a, b: np.stack([a[1], b[0]]),
    lambda a, b: np.stack([b[1], a[0], b[0]], axis=-1),
    lambda a, b: np.hstack([a[1], b[1]]),
    lambda a, b: np.hstack([b[0, 0], a[1, 1, 1:]]),
    lambda a, b: np.vstack([a[1, 1], b[0]]),
]


@pytest.mark.parametrize("join", range(len(JOINS)))
def test_joins_of_views_of_one_store_and_of_several(c, other, priv, join):
    for b, y in ((c, V), (other, V), (c + 1, V + 1), (other.T.T, V)):
        same(JOINS[join](c, b), JOINS[join](V, y), priv)


# --- what could show a neighbour --------------------------------------------------------------------------------------

REMOVED: list[tuple[Callable[[Any], Any], str, Callable[[Any], Any]]] = [
    # a call of a view, what its error names, and that on the view: it must give what NumPy's own call gives
    (lambda a: np.diag(a[1]), r"numpy\.diagonal", lambda a: np.diagonal(a[1])),
    (lambda a: np.diag(a[1, 1]), r"c\[:, None\] \* numpy\.eye", lambda a: a[1, 1][:, None] * np.eye(3, dtype=int)),
    (lambda a: np.diagflat(a[1, 1]), r"numpy\.eye", lambda a: a[1, 1][:, None] * np.eye(3, dtype=int)),
    (lambda a: np.resize(a[1], 24), r"numpy\.tile", lambda a: np.tile(a[1].ravel(), 2)),
    (lambda a: np.resize(a[1], (2, 6)), r"c\.reshape", lambda a: a[1].reshape(2, 6)),
    (
        lambda a: np.choose([0, 1, 0], [a[1, 1], a[0, 0]]),
        r"numpy\.where\(mask, c, d\)",
        lambda a: a[1, 1] * np.array([1, 0, 1]) + a[0, 0] * np.array([0, 1, 0]),
    ),
]


@pytest.mark.parametrize("which", range(len(REMOVED)))
def test_what_fills_in_or_joins_is_refused_and_its_error_names_what_works(c, priv, which):
    use, named, instead = REMOVED[which]
    with pytest.raises(TypeError, match=named):
        use(c)
    same(instead(c), use(V), priv)


def test_pad_has_its_way(c, priv):
    row = c[1, 1]
    with pytest.raises(TypeError, match=r"numpy\.concatenate\(\[numpy\.zeros\(n\), c\]\)"):
        np.pad(row, (2, 0))
    same(np.concatenate([np.zeros(2), row]), np.pad(V[1, 1], (2, 0)), priv)
    with pytest.raises(TypeError, match=r"numpy\.zeros_like"):
        np.empty_like(row)


def test_no_elements_stay_none(c):
    """numpy.resize of nothing gives zeros, and of the index it gave element 0 of the store."""
    for use in (lambda a: np.resize(a[1, 1, :0], 2), lambda a: np.diag(a[1, 1, :0], 1)):
        with pytest.raises(TypeError, match="does not work on encrypted arrays"):
            use(c)


@pytest.mark.parametrize("func", [np.atleast_1d, np.atleast_2d, np.atleast_3d])
def test_one_array_at_a_time(c, func):
    for more in (np.array([0, 1]), [0], c):
        with pytest.raises(
            TypeError, match=f"numpy.{func.__name__} of an encrypted array takes one encrypted array at a"
        ):
            func(c[1], more)
        with pytest.raises(TypeError, match="takes one encrypted array at a time"):
            func(np.array([0, 1]), c[1])


def test_nothing_is_written_out(c):
    out = np.full(2, -1)
    for use in (
        lambda: np.take(c[1, 1], [0, 1], out=out),
        lambda: np.take(c[1, 1], [0, 1], None, out),
        lambda: np.concatenate([c[1, 1, :1], c[1, 1, :1]], out=out),
        lambda: np.stack([c[1, 1, 0], c[1, 1, 1]], out=out),
        lambda: np.dot(c[1], [1, 2, 3], out=out),
        lambda: np.cumsum(c[1, 1, :2], out=out),
        lambda: np.sum(c[1, :, :2], axis=0, out=out),
        lambda: np.add(c[1, 1, :2], 1, out=out),
        lambda: np.copyto(out, c[1, 1, :2]),
        lambda: np.compress([1, 1, 0], c[1, 1], out=out),
        lambda: np.put_along_axis(out, np.array([0, 1]), c[1, 1, :2], 0),
        lambda: np.add.at(out, [0, 1], c[1, 1, :2]),
    ):
        with pytest.raises(TypeError):
            use()
    assert out.tolist() == [-1, -1]


@pytest.mark.parametrize(
    ("use", "advice"),
    [
        (lambda c: np.take(c), "missing|indices"),
        (lambda c: np.take(c, [0], color=1), "unexpected|color"),
        (lambda c: np.flip(c, 0, 1), "flip"),
        (lambda c: np.take(np.arange(9), c), "cannot become a NumPy array"),
        (lambda c: np.take(c, c), "indices must be plain: the values"),
        (lambda c: np.repeat(c, [c]), r"repeats\[0\] must be plain"),
        (lambda c: np.take(c, [0, 0.5]), r"indices\[1\] must hold ints, not float64"),
        (lambda c: np.take(c, np.array([1.0])), "indices must hold ints, not float64"),
        (lambda c: np.repeat(c, 1.5), "repeats must hold ints, not float64"),
        (lambda c: np.roll(c, 0.5), "shift must hold ints, not float64"),
        (lambda c: np.linalg.norm(c), r"numpy\.linalg\.norm does not work"),
        (lambda c: np.linalg.det(c), r"numpy\.linalg\.det does not work"),
        (lambda c: np.fft.fft(c), r"numpy\.fft\.fft does not work"),
        (lambda c: np.concatenate([c, c], dtype=int), "dtype"),
        (lambda c: np.concatenate([c, "ab"]), r"concatenate: arrays\[1\] must be an encrypted array or plain numbers"),
        (
            lambda c: np.stack([c, None]),
            r"stack: arrays\[1\] must be an encrypted array or plain numbers, not NoneType",
        ),
    ],
)
def test_arguments_that_are_not_taken_are_named(c, use, advice):
    with pytest.raises(TypeError, match=advice):
        use(c)


class Spy(np.ndarray):
    """An index that looks at, and writes to, what it is used on."""

    seen: ClassVar[list[Any]] = []

    def __array_function__(self, func, types, args, kwargs):
        Spy.seen.append(args[0])
        args[0][...] = 0
        return args[0]


@pytest.mark.parametrize(
    "use",
    [
        lambda a, by: np.take(a[1, 1], by([2, 0])),
        lambda a, by: np.take_along_axis(a[1, 1], by([2, 0]), 0),
        lambda a, by: np.delete(a[1, 1], by([1])),
        lambda a, by: np.repeat(a[1, 1], by([1, 2, 0])),
        lambda a, by: np.tile(a[1, 1], by([2])),
        lambda a, by: np.roll(a[1, 1], by(1)),
        lambda a, by: np.split(a[1, 1], by([1, 2])),
        lambda a, by: a[by([1, 0])],
        lambda a, by: a[1, by([[True, False, True, False]])[0]],
        lambda a, by: a[1, 1].reshape(by([3, 1])),
        lambda a, by: np.broadcast_to(a[1, 1], by([2, 3])),
    ],
)
def test_classes_of_arguments_have_no_say(whole, priv, use):
    """A subclass of ndarray with methods of its own sees no index, changes no view, and does what its numbers say."""
    mine, before = view(whole), view(whole)._index.copy()
    Spy.seen.clear()
    same(use(mine, lambda values: np.array(values).view(Spy)), use(V, np.array), priv)
    assert not Spy.seen
    assert np.array_equal(mine._index, before)


@pytest.mark.parametrize("func", [np.diag, np.diagflat, np.triu])
def test_a_function_that_fills_in_zeros_is_caught_even_if_somebody_adds_it(c, monkeypatch, func):
    monkeypatch.setitem(_ufunc._MOVES, func, tuple(inspect.signature(func).parameters))
    monkeypatch.delitem(_ufunc._FUNCTIONS, func, raising=False)
    with pytest.raises(TypeError, match=f"numpy.{func.__name__} does not work on encrypted arrays"):
        func(c[1] if func is np.triu else c[1, 1])


def test_a_function_that_brings_in_numbers_is_caught_even_if_somebody_adds_it(c, monkeypatch):
    monkeypatch.setitem(_ufunc._MOVES, np.append, ("arr", "values", "axis"))
    monkeypatch.delitem(_ufunc._FUNCTIONS, np.append)
    for values in ([0], [13], [-1], [2**40]):  # the view has 12 elements
        with pytest.raises(TypeError, match=r"numpy\.append does not work"):
            np.append(c[1], values)
