"""Answers NumPy's functions on encrypted arrays: computes those that can be, and names what to use for the others."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._numeric import as_array, axis_index, refuse_masks, refuse_missing
from . import _bounds, _words
from ._base import CipherBase
from ._store import DERIVED, PENDING, State, Store, Words, current, gather, ones, part

if TYPE_CHECKING:
    from typing_extensions import Self

    from . import CipherArray

__all__ = ["Ufunc", "joined"]

_OPERATORS: dict[Any, str] = {np.add: "+", np.subtract: "-", np.multiply: "*", np.matmul: "@"}

# ufuncs that are operators of Python's: the method that refuses, with its advice, for c on the left and on the right
_REFUSED: dict[Any, tuple[str, str]] = {
    np.absolute: ("_no_absolute", "_no_absolute"),
    np.bitwise_and: ("__and__", "__rand__"),
    np.bitwise_or: ("__or__", "__ror__"),
    np.bitwise_xor: ("__xor__", "__rxor__"),
    np.divide: ("__truediv__", "__rtruediv__"),
    np.divmod: ("__divmod__", "__rdivmod__"),
    np.equal: ("__eq__", "__eq__"),
    np.floor_divide: ("__floordiv__", "__rfloordiv__"),
    np.greater: ("__gt__", "__lt__"),
    np.greater_equal: ("__ge__", "__le__"),
    np.invert: ("_no_bits", "_no_bits"),
    np.left_shift: ("__lshift__", "__rlshift__"),
    np.less: ("__lt__", "__gt__"),
    np.less_equal: ("__le__", "__ge__"),
    np.not_equal: ("__ne__", "__ne__"),
    np.power: ("__pow__", "__rpow__"),
    np.remainder: ("__mod__", "__rmod__"),
    np.right_shift: ("__rshift__", "__rrshift__"),
}

# Functions that select or permute the elements of one array, whatever their arguments, and their parameters in NumPy's
# order, the array first. A function that fills in values or joins several arrays does not belong here.
_MOVES: dict[Callable[..., Any], tuple[str, ...]] = {
    np.array_split: ("ary", "indices_or_sections", "axis"),
    np.atleast_1d: ("array",),
    np.atleast_2d: ("array",),
    np.atleast_3d: ("array",),
    np.delete: ("arr", "obj", "axis"),
    np.diagonal: ("a", "offset", "axis1", "axis2"),
    np.dsplit: ("ary", "indices_or_sections"),
    np.expand_dims: ("a", "axis"),
    np.flip: ("m", "axis"),
    np.fliplr: ("m",),
    np.flipud: ("m",),
    np.hsplit: ("ary", "indices_or_sections"),
    np.moveaxis: ("a", "source", "destination"),
    np.repeat: ("a", "repeats", "axis"),
    np.roll: ("a", "shift", "axis"),
    np.rollaxis: ("a", "axis", "start"),
    np.rot90: ("m", "k", "axes"),
    np.split: ("ary", "indices_or_sections", "axis"),
    np.take: ("a", "indices", "axis", "out", "mode"),
    np.take_along_axis: ("arr", "indices", "axis"),
    np.tile: ("A", "reps"),
    np.vsplit: ("ary", "indices_or_sections"),
}

_JOIN = "use bt.concatenate or numpy.stack of encrypted arrays"
_MASK = "use c * mask + d * (1 - mask) with a plain 0/1 mask"
_SAME = "an encrypted array cannot be changed in place: build a new one with bt.concatenate, indexing or c + array"
_ORDER = "encrypted numbers cannot be compared: decrypt first where that is allowed (priv.decrypt)"
_LIKE = "encrypt a plain array of the same shape: pub.encrypt(numpy.zeros(c.shape), c.plan)"
_INSTEAD = {
    "append": _JOIN,
    "array_equal": "decrypt both and compare",
    "average": "decrypt (weights @ c) and divide",
    "bincount": "use c.bincount(codes, n_bins)",
    "block": _JOIN,
    "broadcast_arrays": "use c.broadcast_to(shape)",
    "choose": _MASK,
    "column_stack": _JOIN,
    "compress": "use c[mask]",
    "copyto": _SAME,
    "cumulative_sum": "use c.cumsum(axis)",
    "diag": "use numpy.diagonal(c, k) for a diagonal, c[:, None] * numpy.eye(len(c), dtype=int) for a matrix of one",
    "diagflat": "use c[:, None] * numpy.eye(len(c), dtype=int)",
    "diff": "use c[1:] - c[:-1]",
    "divide": "multiply by the reciprocal (c * 0.5), or divide after decryption",
    "dstack": _JOIN,
    "ediff1d": "use c[1:] - c[:-1]",
    "einsum": "use M @ c, c @ M and sum",
    "empty_like": _LIKE,
    "extract": "use c[mask]",
    "fill_diagonal": _SAME,
    "full_like": _LIKE,
    "inner": "use c @ array",
    "insert": "join the parts: bt.concatenate([c[:i], d, c[i:]]) with an encrypted d",
    "matrix_transpose": "use c.swapaxes(-1, -2)",
    "mean": "decrypt c.sum(axis) and divide",
    "ones_like": _LIKE,
    "outer": "use c[:, None] * array",
    "pad": "join c with encrypted values: bt.concatenate([c, pub.encrypt(numpy.zeros(n), c.plan)])",
    "place": _SAME,
    "put": _SAME,
    "put_along_axis": _SAME,
    "putmask": _SAME,
    "resize": "use c.reshape(shape) for the same elements, numpy.tile(c, reps) or c[index] to repeat some",
    "save": "use c.write_to(fp)",
    "select": _MASK,
    "sort": _ORDER,
    "square": "Paillier adds ciphertexts and multiplies by plain numbers only",
    "tensordot": "use M @ c with reshape",
    "trace": "use numpy.diagonal(c).sum()",
    "tril": "use c * numpy.tri(*c.shape, dtype=int)",
    "triu": "use c * (1 - numpy.tri(*c.shape, -1, dtype=int))",
    "unique": _ORDER,
    "unstack": "use list(c) for its rows",
    "vdot": "use c.ravel() @ array",
    "where": _MASK,
    "zeros_like": _LIKE,
}


def _refusal(name: str) -> TypeError:
    instead = _INSTEAD.get(name, "decrypt first where that is allowed; Paillier offers + - * @, sum, cumsum, bincount")
    return TypeError(f"numpy.{name} does not work on encrypted arrays: {instead}")


class Ufunc(CipherBase):
    """The part of an encrypted array that answers NumPy's own functions."""

    __slots__ = ()
    __pandas_priority__ = 5000  # above its own kinds, so that pandas leaves x + c to c

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if kwargs.pop("out", None) is not None:
            raise TypeError("a NumPy array cannot take encrypted results in place: write a = a + c, not a += c")
        if ufunc is np.add and method == "reduce":
            kwargs.setdefault("axis", 0)
            return _sum(*inputs, **kwargs)
        if ufunc is np.add and method == "accumulate":
            return _cumsum(*inputs, **{"axis": 0, **kwargs})
        if kwargs or method != "__call__":
            extra = ", ".join(kwargs) or f".{method}"
            raise TypeError(f"numpy.{ufunc.__name__} of an encrypted array does not take {extra}")
        if ufunc is np.negative:
            return -inputs[0]
        if ufunc is np.positive:
            return +inputs[0]
        if ufunc in _REFUSED:
            which = 0 if isinstance(inputs[0], CipherBase) else -1
            return getattr(inputs[which], _REFUSED[ufunc][which])(inputs[which - 1])
        if ufunc not in _OPERATORS:
            raise _refusal(ufunc.__name__)
        a, b = inputs
        name = _OPERATORS[ufunc]
        left = not isinstance(a, CipherBase)
        result = b._apply(name, a, left=True) if left else a._apply(name, b)
        if result is NotImplemented:
            other = a if left else b
            raise TypeError(f"numpy.{ufunc.__name__} of an encrypted array and {type(other).__name__} is not defined")
        return result

    def __array_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if func in _FUNCTIONS:
            _check_call(func.__name__, _FUNCTIONS[func], args, kwargs)
            return _FUNCTIONS[func](*args, **kwargs)
        if func in _MOVES:
            return _move(func, args, kwargs)
        raise _refusal(f"{func.__module__}.{func.__name__}".removeprefix("numpy."))

    def dot(self, other: Any) -> Self:
        """Return the product with a plain array by the rules of numpy.dot: ``c @ other``; for a number ``c * other``.

        Parameters
        ----------
        other : array_like
            A number, or a plain array of one or two axes.

        Returns
        -------
        CipherArray

        Raises
        ------
        TypeError, ValueError, EncodingOverflow
            As ``@`` and ``*``.

        Examples
        --------
        >>> priv.decrypt(pub.encrypt([[1, 2], [3, 4]]).dot([10, 1]))
        array([12., 34.])
        """
        return _dot(self, other)  # type: ignore[no-any-return]

    def take(self, indices: Any, axis: int | None = None) -> Self:
        """Return elements by their index along an axis, as numpy.take.

        Parameters
        ----------
        indices : array_like of int
            Which elements.
        axis : int, optional
            The axis; the ravelled array by default.

        Returns
        -------
        CipherArray
            A view.

        Raises
        ------
        IndexError
            If an index is out of range.
        ValueError
            For a packed array: use an index on its leading axes, such as ``c[[2, 0]]``.

        Examples
        --------
        >>> priv.decrypt_integers(pub.encrypt([5, 6, 7]).take([2, 0]))
        array([7, 5])
        """
        return _move(np.take, (self, indices, axis), {})  # type: ignore[no-any-return]

    def repeat(self, repeats: Any, axis: int | None = None) -> Self:
        """Return the array with each element repeated, as numpy.repeat.

        Parameters
        ----------
        repeats : int or array_like of int
            How often.
        axis : int, optional
            The axis; the ravelled array by default.

        Returns
        -------
        CipherArray
            A view: the same ciphertexts more than once.

        Raises
        ------
        ValueError
            For a packed array: use an index on its leading axes, such as ``c[[0, 0, 1, 1]]``.

        Examples
        --------
        >>> priv.decrypt_integers(pub.encrypt([5, 6]).repeat(2))
        array([5, 5, 6, 6])
        """
        return _move(np.repeat, (self, repeats, axis), {})  # type: ignore[no-any-return]

    def _moved(self, func: Callable[..., Any], others: dict[str, Any]) -> Self | list[Self]:
        self._refuse_packed(f"numpy.{func.__name__}", "use the array's own methods and indices on its leading axes")
        # NumPy moves places of this view, counted from 1, and never sees where in the store they are
        found = func(np.arange(1, self._index.size + 1, dtype=np.int64).reshape(self._index.shape), **others)
        if isinstance(found, list | tuple):
            return [self._shown(places, func.__name__) for places in found]
        return self._shown(found, func.__name__)

    def _shown(self, places: Any, name: str) -> Self:
        """Return the elements at places of this view, counted from 1; a place outside of it, such as 0, is refused."""
        places = np.asarray(places)
        if places.dtype != np.int64:
            raise _refusal(name)
        if places.size and not 1 <= places.min() <= places.max() <= self._index.size:
            raise _refusal(name)
        return self._view(self._index.reshape(-1)[places - 1])


def _move(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Apply one of :data:`_MOVES` to its first argument, with plain others."""
    name, names = func.__name__, _MOVES[func]
    if len(args) > len(names):
        many = "one encrypted array at a time" if len(names) == 1 else ", ".join(names)
        raise TypeError(f"numpy.{name} of an encrypted array takes {many}, not {len(args)} arguments")
    given = dict(zip(names, args, strict=False))
    for key, value in kwargs.items():
        if key not in names or key in given:
            raise TypeError(f"numpy.{name} of an encrypted array does not take {key}: it takes {', '.join(names[1:])}")
        given[key] = value
    if given.pop("out", None) is not None:
        raise TypeError(f"numpy.{name} of an encrypted array does not take out: use the array that it returns")
    array = given.pop(names[0], None)
    others = {key: _plain(value, key) for key, value in given.items()}
    return _one(array, name)._moved(func, others)


def _plain(value: Any, name: str) -> Any:
    """Return an argument beside the array as NumPy takes it: plain, not masked, its class's own methods stripped."""
    if isinstance(value, CipherBase):
        raise TypeError(f"{name} must be plain: the values of an encrypted array are hidden")
    refuse_masks(value, name)
    if value is None or isinstance(value, str | int | slice):
        return value
    if type(value) in (list, tuple):
        if all(issubclass(kind, int | np.integer) for kind in set(map(type, value))):
            return value
        return type(value)(_plain(item, f"{name}[{i}]") for i, item in enumerate(value))
    refuse_missing(value, name)
    found = as_array(value, name)
    if found.size and found.dtype.kind not in "biu":
        raise TypeError(f"{name} must hold ints, not {found.dtype}: round it first if that is meant")
    return found


def _check_call(name: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Refuse arguments that only NumPy's function has."""
    signature = inspect.signature(function)
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(
            f"numpy.{name} of encrypted arrays: {error}; it takes {', '.join(signature.parameters)}"
        ) from None


def _sum(c: Any, axis: Any = None, *, keepdims: bool = False, **others: Any) -> Any:
    unknown = [name for name, value in others.items() if value is not None and value is not np._NoValue]
    if unknown:
        raise TypeError(f"the sum of an encrypted array does not take {', '.join(unknown)}: it takes axis and keepdims")
    return c.sum(axis, keepdims=bool(keepdims))


def _cumsum(c: Any, axis: Any = None, **others: Any) -> Any:
    unknown = [name for name, value in others.items() if value is not None]
    if unknown:
        raise TypeError(f"the cumulative sum of an encrypted array does not take {', '.join(unknown)}: it takes axis")
    return _one(c, "cumsum").cumsum(axis)


def _dot(a: Any, b: Any) -> Any:
    a, b = (_operand(x, name) for x, name in ((a, "a"), (b, "b")))
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return a * b
    if np.ndim(b) > 2:
        raise TypeError("numpy.dot of an encrypted array takes at most two axes on the right: use @")
    return a @ b


def _operand(x: Any, name: str) -> Any:
    """Return plain numbers as an array, and anything else as it is."""
    plain = None if isinstance(x, CipherBase) else _bounds.as_operand(x, name)
    return x if plain is None else plain


def _one(c: Any, name: str) -> Any:
    """Return the encrypted array that a function is about, which must not be another of its arguments."""
    if not isinstance(c, CipherBase):
        raise _refusal(name)
    return c


def _reshape(a: Any, shape: Any, order: Any = "C", *, copy: bool | None = None) -> Any:
    moved = _one(a, "reshape").reshape(shape, order=order)
    return moved.copy() if copy else moved


def _stack(arrays: Sequence[CipherArray], axis: int = 0) -> CipherArray:
    return joined([_with_axis(c, axis) for c in _arrays(arrays, "stack")], axis)


def _vstack(arrays: Sequence[CipherArray]) -> CipherArray:
    return joined([c if c.ndim > 1 else _with_axis(c, 0) for c in _arrays(arrays, "vstack")], 0)


def _hstack(arrays: Sequence[CipherArray]) -> CipherArray:
    items = [c if c.ndim else c.reshape(1) for c in _arrays(arrays, "hstack")]
    return joined(items, 0 if items[0].ndim == 1 else 1)


def _concatenate(arrays: Sequence[CipherArray], axis: int | None = 0) -> CipherArray:
    return joined(_arrays(arrays, "concatenate"), axis)


def _with_axis(c: CipherArray, axis: int) -> CipherArray:
    at = axis_index(axis, c.ndim + 1)
    if at == c.ndim:
        c._refuse_packed("a new last axis", "put the new axis before it")
    return c._view(np.expand_dims(c._index, at))


def _arrays(arrays: Sequence[CipherArray], name: str) -> list[CipherArray]:
    if isinstance(arrays, CipherBase):
        return list(arrays)
    items = list(arrays)
    for item in items:
        if not isinstance(item, CipherBase):
            raise TypeError(f"{name} joins encrypted arrays, not {type(item).__name__}: encrypt it first")
    return items


_FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.broadcast_to: lambda array, shape, subok=False: _one(array, "broadcast_to").broadcast_to(shape),
    np.concatenate: _concatenate,
    np.copy: lambda a, order="K", subok=False: _one(a, "copy").copy(),
    np.cumsum: _cumsum,
    np.dot: _dot,
    np.hstack: _hstack,
    np.ndim: lambda a: a.ndim,
    np.ravel: lambda a, order="C": _one(a, "ravel").ravel(order),
    np.reshape: _reshape,
    np.shape: lambda a: a.shape,
    np.size: lambda a, axis=None: np.size(np.broadcast_to(np.int8(0), a.shape), axis),
    np.squeeze: lambda a, axis=None: _one(a, "squeeze").squeeze(axis),
    np.stack: _stack,
    np.sum: _sum,
    np.swapaxes: lambda a, axis1, axis2: _one(a, "swapaxes").swapaxes(axis1, axis2),
    np.transpose: lambda a, axes=None: _one(a, "transpose").transpose(axes),
    np.vstack: _vstack,
}


def joined(items: Sequence[CipherArray], axis: int | None) -> CipherArray:
    """Join encrypted arrays along an axis; see :func:`bluetusk.paillier.array.concatenate`."""
    if not items:
        raise ValueError("need at least one array to concatenate")
    if axis is None:
        items, axis = [c.ravel() for c in items], 0
    first = items[0]
    if not first.ndim:
        raise ValueError("encrypted arrays of shape () cannot be concatenated: use numpy.stack, or reshape(1)")
    at = axis_index(axis, first.ndim)
    for c in items[1:]:
        first._check_join(c, "concatenate")
    if at == first.ndim - 1:
        first._refuse_packed("joining along the last axis", "join along a leading axis")
    if all(c._store is first._store and c._frac == first._frac and c._plan == first._plan for c in items):
        joint = first._view(np.concatenate([c._index for c in items], axis=at))
        joint._bound = max(c._bound for c in items)
        return joint
    frac = max(c._frac for c in items)
    lifts = [first._plan.base ** (frac - c._frac) for c in items]
    bound = first._check(max(c._bound * lift for c, lift in zip(items, lifts, strict=True)), "concatenate")
    mont = first._mont
    # each array's elements begin a new group
    starts = np.cumsum([0, *(-(-c._index.size // mont.lanes) * mont.lanes for c in items)])
    indices = [
        start + np.arange(c._index.size, dtype=np.int64).reshape(c._index.shape)
        for c, start in zip(items, starts, strict=False)
    ]
    index = np.concatenate(indices, axis=at)
    words = ones(mont, int(starts[-1]))
    state = np.full(int(starts[-1]), DERIVED, dtype=np.uint8)  # what fills a group up never leaves
    plan = first._plan
    for c, start, lift in zip(items, starts, lifts, strict=False):
        _gather_into(c, words, state, int(start), lift)
        plan = first._common_plan(plan, c._plan)
    store = Store(mont, words, len(state), state)
    return first._make(store, index, first._pub, plan, frac, bound, first._packing)


def _gather_into(c: CipherBase, words: Words, state: State, start: int, lift: int) -> None:
    mont, n = c._mont, c._index.size
    if lift == 1:
        src, idx, state[start : start + n] = current(c._store, c._flat())
    else:
        src, idx = _words.lifted(mont, c._store.words, c._index, lift)
        state[start : start + n] = PENDING
    gather(mont, part(mont, words, start, start + n), src, idx)
