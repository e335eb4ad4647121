"""Answers NumPy's functions on encrypted arrays: computes those that can be, and names what to use for the others."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .._numeric import as_array, refuse_masks, refuse_missing
from . import _join, _linear
from ._base import CipherBase, refuse_given

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Ufunc"]

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

# What to use instead, by NumPy's name. "decrypt first" stands only where nothing can be had without the private key.
_SAME = "an encrypted array cannot be changed in place: build a new one with bt.concatenate, indexing or c + array"
_CHOOSE = "use numpy.where(mask, c, d) with a plain mask"
_FINITE = "encrypted numbers are never NaN or infinite: use c itself"
_REAL = "encrypted numbers are real: use c itself"
_PARTS = "list(c) is its rows, numpy.stack joins what you make of them"
_MATRIX = "it is linear: use M @ c with its plain matrix M, the real and the imaginary part apart"
_QUOTIENT = "ciphertexts cannot be divided: use {} * (1 / n), which the plan rounds, or divide once it is decrypted"
_SQUARES = "ciphertexts cannot be squared: encrypt x and x * x, and decrypt their sums"
_INSTEAD = {
    "apply_along_axis": _PARTS,
    "apply_over_axes": _PARTS,
    "array_equal": "equality shows in the values only: decrypt c - d where that is allowed (priv.decrypt)",
    "array_equiv": "equality shows in the values only: decrypt c - d where that is allowed (priv.decrypt)",
    "astype": "choose the plan when encrypting (pub.encrypt(array, plan))",
    "average": _QUOTIENT.format("(weights @ c)"),
    "bincount": "use c.bincount(codes, n_bins)",
    "choose": _CHOOSE,
    "conjugate": _REAL,
    "convolve": "it is linear: use M @ c with the plain band matrix M of the kernel",
    "copyto": _SAME,
    "correlate": "it is linear: use M @ c with the plain band matrix M of the kernel",
    "corrcoef": _SQUARES,
    "cov": _SQUARES,
    "cross": "write it in components, as in c[1] * a[2] - c[2] * a[1]",
    "cumulative_prod": "Paillier adds ciphertexts and multiplies by plain numbers only",
    "cumprod": "Paillier adds ciphertexts and multiplies by plain numbers only",
    "deg2rad": "use c * (numpy.pi / 180)",
    "degrees": "use c * (180 / numpy.pi)",
    "diag": "use numpy.diagonal(c, k) for a diagonal, c[:, None] * numpy.eye(len(c), dtype=int) for a matrix of one",
    "diagflat": "use c[:, None] * numpy.eye(len(c), dtype=int)",
    "ediff1d": "use numpy.diff(c.ravel())",
    "empty_like": "use numpy.zeros_like(c)",
    "fill_diagonal": _SAME,
    "gradient": "use numpy.diff(c) * (1 / h)",
    "imag": _REAL,
    "interp": "it is linear in the values: use M @ c with the plain matrix M of the weights",
    "iscomplex": _REAL,
    "iscomplexobj": _REAL,
    "isfinite": _FINITE,
    "isinf": _FINITE,
    "isnan": _FINITE,
    "isreal": _REAL,
    "isrealobj": _REAL,
    "ldexp": "use c * 2.0**k",
    "linalg.cross": "write it in components, as in c[1] * a[2] - c[2] * a[1]",
    "linalg.diagonal": "use numpy.diagonal(c, offset, -2, -1)",
    "linalg.lstsq": "it is linear in the right side: use numpy.linalg.pinv(a) @ c",
    "linalg.matmul": "use @",
    "linalg.matrix_transpose": "use c.mT",
    "linalg.multi_dot": "use @, the plain matrices first",
    "linalg.outer": "use numpy.outer(c, array)",
    "linalg.solve": "it is linear in the right side: use numpy.linalg.inv(a) @ c",
    "linalg.tensordot": "use numpy.tensordot(c, array, axes)",
    "linalg.tensorsolve": "it is linear in the right side: use numpy.linalg.tensorinv(a)",
    "linalg.trace": "use numpy.trace(c, offset, -2, -1)",
    "linalg.vecdot": "use (c * array).sum(axis)",
    "linspace": "it is linear in its ends: use c * (1 - t) + d * t with plain t",
    "mean": _QUOTIENT.format("c.sum(axis)"),
    "meshgrid": "use numpy.broadcast_arrays or c.broadcast_to(shape)",
    "nan_to_num": _FINITE,
    "nancumsum": "encrypted numbers are never NaN: use c.cumsum(axis)",
    "nanmean": _QUOTIENT.format("c.sum(axis)"),
    "nanstd": _SQUARES,
    "nansum": "encrypted numbers are never NaN: use c.sum(axis)",
    "nanvar": _SQUARES,
    "pad": "use numpy.concatenate([numpy.zeros(n), c]), along each axis in turn",
    "place": _SAME,
    "polyval": "it is linear in the coefficients: use numpy.vander(x, len(c)) @ c",
    "put": _SAME,
    "put_along_axis": _SAME,
    "putmask": _SAME,
    "rad2deg": "use c * (180 / numpy.pi)",
    "radians": "use c * (numpy.pi / 180)",
    "real": _REAL,
    "real_if_close": _REAL,
    "resize": "use c.reshape(shape) for the same elements, numpy.tile(c, reps) or c[index] to repeat some",
    "save": "use c.write_to(fp)",
    "savetxt": "use c.write_to(fp)",
    "savez": "use c.write_to(fp)",
    "savez_compressed": "use c.write_to(fp)",
    "select": _CHOOSE,
    "sort_complex": _REAL,
    "square": "Paillier adds ciphertexts and multiplies by plain numbers only; encrypt x * x beside x",
    "std": _SQUARES,
    "trapezoid": "it is linear: use weights @ c with the plain weights of the rule",
    "trapz": "it is linear: use weights @ c with the plain weights of the rule",
    "var": _SQUARES,
}
_ORDER = "encrypted numbers cannot be compared: decrypt first where that is allowed (priv.decrypt)"
_COMPARING = (
    "allclose amax amin argmax argmin argpartition argsort argwhere clip count_nonzero digitize fmax fmin flatnonzero "
    "heaviside histogram in1d intersect1d isclose isin isneginf isposinf lexsort max maximum median min minimum "
    "nanargmax nanargmin nanmax nanmedian nanmin nanpercentile nanquantile nonzero partition percentile ptp quantile "
    "searchsorted setdiff1d setxor1d sign signbit sort trim_zeros union1d unique unique_all unique_counts "
    "unique_inverse unique_values"
)
_INSTEAD |= dict.fromkeys(_COMPARING.split(), _ORDER)


def _refusal(name: str) -> TypeError:
    instead = _INSTEAD.get(name) or (_MATRIX if name.startswith("fft.") else _OTHER)
    return TypeError(f"numpy.{name} does not work on encrypted arrays: {instead}")


_OTHER = "what is linear can be written with + - * @, sums, joins and moves; what is not takes what priv.decrypt gives"


class Ufunc(CipherBase):
    """The part of an encrypted array that answers NumPy's own functions."""

    __slots__ = ()

    @property
    def __pandas_priority__(self) -> int:
        """Above pandas' own kinds, so that it leaves x + c to c."""
        if sys._getframe(2).f_code.co_name == "_inplace_method":  # it would look for labels on what is NotImplemented
            raise TypeError("a series or frame of pandas cannot hold encrypted numbers: write x = x + c, not x += c")
        return 5000

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if kwargs.pop("out", None) is not None:
            raise TypeError("a NumPy array cannot take encrypted results in place: write a = a + c, not a += c")
        if ufunc is np.add and method == "reduce":
            kwargs.setdefault("axis", 0)
            return _sum(*inputs, **kwargs)
        if ufunc is np.add and method == "accumulate":
            return _one(inputs[0], "cumsum").cumsum(**{"axis": 0, **kwargs})
        if ufunc in _PRODUCTS and method == "__call__":
            return _product(ufunc, inputs, kwargs)
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
            return _call(func, args, kwargs)
        if func in _MOVES:
            return _move(func, args, kwargs)
        raise _refusal(f"{func.__module__}.{func.__name__}".removeprefix("numpy."))

    def dot(self, other: Any, out: None = None) -> Self:
        """Return the product with a plain array by the rules of numpy.dot: ``c @ other``; for a number ``c * other``.

        Parameters
        ----------
        other : array_like
            A number or a plain array.
        out
            In NumPy's place; refused unless None.

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
        refuse_given("dot", out=out)
        return _linear.dot(self, other)  # type: ignore[return-value]

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Self:
        """Return diagonals, as numpy.diagonal.

        Parameters
        ----------
        offset : int
            Which diagonal, 0 for the main one.
        axis1, axis2 : int
            The axes of the matrices.

        Returns
        -------
        CipherArray
            A view; the diagonals lie along its last axis.

        Raises
        ------
        ValueError
            If there are not two axes, or the array is packed.

        Examples
        --------
        >>> priv.decrypt_integers(pub.encrypt([[1, 2], [3, 4]]).diagonal())
        array([1, 4])
        """
        return _move(np.diagonal, (self, offset, axis1, axis2), {})  # type: ignore[no-any-return]

    def trace(self, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: None = None, out: None = None) -> Self:
        """Return the sums of diagonals, as numpy.trace.

        Parameters
        ----------
        offset, axis1, axis2 : int
            As in :meth:`diagonal`.
        dtype, out
            In NumPy's places; refused unless None.

        Returns
        -------
        CipherArray

        Raises
        ------
        EncodingOverflow
            If the bound times the length of the diagonal exceeds the capacity.
        ValueError
            As :meth:`diagonal`.

        Examples
        --------
        >>> int(priv.decrypt_integers(pub.encrypt([[1, 2], [3, 4]]).trace()))
        5
        """
        refuse_given("the trace", dtype=dtype, out=out)
        return _linear.trace(self, offset, axis1, axis2)  # type: ignore[return-value]

    def compress(self, condition: Any, axis: int | None = None, out: None = None) -> Self:
        """Return the elements for which a plain condition holds, as numpy.compress.

        Parameters
        ----------
        condition : array_like of bool
            Of one axis.
        axis : int, optional
            The axis along which it chooses; the ravelled array by default.
        out
            In NumPy's place; refused unless None.

        Returns
        -------
        CipherArray
            A view.

        Raises
        ------
        IndexError
            If it chooses beyond the axis.
        ValueError
            If `condition` has more axes, or a packed array would be cut.

        Examples
        --------
        >>> priv.decrypt_integers(pub.encrypt([5, 6, 7]).compress([True, False, True]))
        array([5, 7])
        """
        refuse_given("compress", out=out)
        return _linear.compress(condition, self, axis)  # type: ignore[return-value]

    def take(self, indices: Any, axis: int | None = None, out: None = None, mode: str = "raise") -> Self:
        """Return elements by their index along an axis, as numpy.take.

        Parameters
        ----------
        indices : array_like of int
            Which elements.
        axis : int, optional
            The axis; the ravelled array by default.
        out
            In NumPy's place; refused unless None.
        mode : {"raise", "wrap", "clip"}
            What to do with an index that is out of range.

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
        return _move(np.take, (self, indices, axis, out, mode), {})  # type: ignore[no-any-return]

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


def _product(ufunc: np.ufunc, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return what one of :data:`_PRODUCTS` gives, with the keywords that it shares with NumPy's."""
    ours, name = _PRODUCTS[ufunc], ufunc.__name__
    refuse_given(f"numpy.{name}", **{k: v for k, v in kwargs.items() if k not in inspect.signature(ours).parameters})
    return ours(*inputs, **kwargs)


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


_LAYOUT = {"device", "order", "subok"}
"""Arguments of NumPy's that change no value: where an array lies, in which order of memory, under which class."""


@functools.cache
def _parameters(function: Callable[..., Any]) -> inspect.Signature | None:
    """Return the signature of a function; None of those of NumPy 1.26 that are written in C."""
    try:
        return inspect.signature(function)
    except ValueError:
        return None


def _call(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call one of :data:`_FUNCTIONS`, arguments spelled as NumPy spells them; refuse those that only NumPy takes."""
    ours, theirs, name = _FUNCTIONS[func], _parameters(func), func.__name__
    mine = inspect.signature(ours)
    taken = ", ".join(mine.parameters)
    if any(p.kind is p.VAR_POSITIONAL for p in mine.parameters.values()):
        theirs = None
    try:
        bound = (theirs or mine).bind(*args, **{k: v for k, v in kwargs.items() if theirs or k in mine.parameters})
    except TypeError as error:
        raise TypeError(f"numpy.{name} of encrypted arrays: {error}; it takes {taken}") from None
    extra = {} if theirs else {k: v for k, v in kwargs.items() if k not in mine.parameters}
    if theirs is None:
        refuse_given(f"numpy.{name}", **extra)
        return ours(*bound.args, **bound.kwargs)
    given = {key: None if value is np._NoValue else value for key, value in bound.arguments.items()}
    usual = {key for key in given if given[key] is theirs.parameters[key].default}
    skipped = usual | _LAYOUT
    refuse_given(f"numpy.{name}", **{k: v for k, v in given.items() if k not in mine.parameters and k not in skipped})
    return ours(**{k: v for k, v in given.items() if k in mine.parameters and not (k in usual and v is None)})


def _sum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = None, **others: Any) -> Any:
    refuse_given("the sum", dtype=dtype, out=out, **others)
    return _one(a, "sum").sum(axis, keepdims=bool(keepdims) and keepdims is not np._NoValue)


def _one(c: Any, name: str) -> Any:
    """Return the encrypted array that a function is about, which must not be another of its arguments."""
    if not isinstance(c, CipherBase):
        raise _refusal(name)
    return c


def _reshape(a: Any, shape: Any = None, order: Any = "C", newshape: Any = None, copy: bool | None = None) -> Any:
    wanted = newshape if shape is None else shape
    return _one(a, "reshape").reshape(wanted, order=order, copy=copy)


def _concatenate(arrays: Any, axis: Any = 0, out: Any = None) -> Any:
    refuse_given("numpy.concatenate", out=out)
    return _join.joined(arrays, axis)


def _insert(arr: Any, obj: Any, values: Any, axis: Any = None) -> Any:
    return _join.insert(arr, _plain(obj, "obj"), values, axis)


_FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.append: _join.append,
    np.block: _join.block,
    np.broadcast_arrays: _linear.broadcast_arrays,
    np.broadcast_to: lambda array, shape, subok=False: _one(array, "broadcast_to").broadcast_to(shape),
    np.column_stack: _join.column_stack,
    np.compress: _linear.compress,
    np.concatenate: _concatenate,
    np.copy: lambda a, order="K", subok=False: _one(a, "copy").copy(order),
    np.cumsum: lambda a, axis=None, dtype=None, out=None: _one(a, "cumsum").cumsum(axis, dtype, out),
    np.diff: _linear.diff,
    np.dot: _linear.dot,
    np.dstack: _join.dstack,
    np.einsum: _linear.einsum,
    np.extract: _linear.extract,
    np.full_like: _linear.full_like,
    np.hstack: _join.hstack,
    np.inner: _linear.inner,
    np.insert: _insert,
    np.kron: _linear.kron,
    np.ndim: lambda a: a.ndim,
    np.ones_like: _linear.ones_like,
    np.outer: _linear.outer,
    np.ravel: lambda a, order="C": _one(a, "ravel").ravel(order),
    np.reshape: _reshape,
    np.shape: lambda a: a.shape,
    np.size: lambda a, axis=None: np.size(np.broadcast_to(np.int8(0), a.shape), axis),
    np.squeeze: lambda a, axis=None: _one(a, "squeeze").squeeze(axis),
    np.stack: _join.stack,
    np.sum: _sum,
    np.swapaxes: lambda a, axis1, axis2: _one(a, "swapaxes").swapaxes(axis1, axis2),
    np.tensordot: _linear.tensordot,
    np.trace: _linear.trace,
    np.transpose: lambda a, axes=None: _one(a, "transpose").transpose(axes),
    np.tril: _linear.tril,
    np.triu: _linear.triu,
    np.vdot: _linear.vdot,
    np.vstack: _join.vstack,
    np.where: _linear.where,
    np.zeros_like: _linear.zeros_like,
}
# those that came with NumPy 2
_NEWER = {name: getattr(_linear, name) for name in ("cumulative_sum", "matrix_transpose", "unstack")}
_FUNCTIONS |= {getattr(np, name): ours for name, ours in _NEWER.items() if hasattr(np, name)}
_PRODUCTS: dict[Any, Callable[..., Any]] = {
    getattr(np, name): getattr(_linear, name) for name in ("matvec", "vecdot", "vecmat") if hasattr(np, name)
}
