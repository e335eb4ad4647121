"""Checks and converts the numbers that callers give: exact integers and floats, and nothing that would be rounded."""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from numbers import Number
from typing import Any, SupportsIndex, TypeAlias, cast

import gmpy2
import numpy as np
import numpy.typing as npt

__all__ = [
    "Bools",
    "Floats",
    "Ints",
    "NumberArray",
    "as_array",
    "as_bool",
    "as_int",
    "as_numbers",
    "as_real",
    "axis_index",
    "axis_tuple",
    "index_text",
    "is_real",
    "refuse_masks",
    "refuse_missing",
]

NumberArray: TypeAlias = (
    "npt.NDArray[np.int64] | npt.NDArray[np.uint64] | npt.NDArray[np.float64] | npt.NDArray[np.object_]"
)

Floats: TypeAlias = "npt.NDArray[np.float64]"
Ints: TypeAlias = "npt.NDArray[np.int64]"
Bools: TypeAlias = "npt.NDArray[np.bool_]"

_MAX_EXPONENT = 400
"""Beyond every double; a Decimal may have an exponent whose power of ten does not fit in memory."""


def as_int(value: object, name: str, low: int | None = None, high: int | None = None) -> int:
    """Return `value` as an int within [low, high]; a bool or a float is refused here. `high` needs a `low`."""
    if isinstance(value, np.ma.MaskedArray):
        refuse_masks(value, name)
    if isinstance(value, bool | np.bool_) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    try:
        number = int(value.__index__())
    except TypeError as error:  # an array of several elements, or of floats
        raise TypeError(f"{name} must be an int: {error}") from None
    if low is not None and (number < low or (high is not None and number > high)):
        shown = str(number) if number.bit_length() <= 128 else f"one of {number.bit_length()} bits"
        raise ValueError(f"{name} must be {f'at least {low}' if high is None else f'{low} to {high}'}, not {shown}")
    return number


def as_bool(value: object, name: str) -> bool:
    """Return `value` as a bool: a flag given as a text or a number, such as "no", would count as True.

    Examples
    --------
    >>> as_bool("no", "calibrate")
    Traceback (most recent call last):
        ...
    TypeError: calibrate must be True or False, not 'no'
    """
    if not isinstance(value, bool | np.bool_):
        shown = repr(value) if isinstance(value, str | int | float | None) else type(value).__name__
        raise TypeError(f"{name} must be True or False, not {shown[:64]}")
    return bool(value)


def as_real(value: object, name: str, low: float, high: float, *, above: bool = False) -> float:
    """Return one finite number within [low, high], or (low, high] with `above`, as a float; no bool and no text.

    Examples
    --------
    >>> as_real(float("nan"), "l2", 0.0, 1.0)
    Traceback (most recent call last):
        ...
    ValueError: l2 must be a number from 0 to 1, not nan
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{name} must be a number, not {type(value).__name__}")
    most = sys.float_info.max
    if not max(low, -most) <= value <= min(high, most) or (above and value == low):  # exact for ints; NaN is outside
        shown = f"one of {value.bit_length()} bits" if isinstance(value, int) and abs(value) >> 64 else f"{value:g}"
        lower = "" if low == -math.inf else f" above {low:g}" if above else f" from {low:g}"
        upper = "" if high == math.inf else f" and at most {high:g}" if above else f" to {high:g}"
        finite = " finite" if math.inf in (high, -low) else ""
        raise ValueError(f"{name} must be a{finite} number{lower}{upper}, not {shown}")
    return float(value)


def axis_index(axis: SupportsIndex, ndim: int) -> int:
    """Return an axis counted from the front, as NumPy counts; NumPy 1.26 has no public function for it.

    Raises
    ------
    numpy.exceptions.AxisError
        If an array of `ndim` axes does not have it.
    TypeError
        If `axis` is not an int.

    Examples
    --------
    >>> axis_index(-1, 3)
    2
    """
    at = as_int(axis, "axis")
    if not -ndim <= at < ndim:
        raise np.exceptions.AxisError(at, ndim)
    return at % ndim


def axis_tuple(axis: SupportsIndex | Sequence[SupportsIndex], ndim: int) -> tuple[int, ...]:
    """Return one axis, or a list or tuple of different ones, counted from the front.

    Raises
    ------
    numpy.exceptions.AxisError, TypeError
        As :func:`axis_index`.
    ValueError
        If an axis is repeated.

    Examples
    --------
    >>> axis_tuple((-1, 0), 3)
    (2, 0)
    """
    axes = tuple(axis_index(each, ndim) for each in (axis if isinstance(axis, list | tuple) else (axis,)))
    if len(set(axes)) != len(axes):
        raise ValueError("repeated axis")
    return axes


def index_text(name: str, shape: tuple[int, ...], flat: int) -> str:
    """Name one element of an argument, as ``x[1, 2]``."""
    at = np.unravel_index(flat, shape)
    return f"{name}[{', '.join(str(int(i)) for i in at)}]" if at else name


def refuse_masks(x: object, name: str) -> None:
    """Refuse what :mod:`numpy.ma` masks, also inside lists and slices: ``numpy.asarray`` drops the mask silently.

    Raises
    ------
    TypeError
        Naming the argument, or the element of a list.

    Examples
    --------
    >>> refuse_masks([1, np.ma.masked], "x")
    Traceback (most recent call last):
        ...
    TypeError: x[1] is masked (numpy.ma): fill or drop what is masked first
    """
    _look_into(x, name, _MOST_AXES, numbers=False)


def _look_into(x: object, name: str, axes: int, *, numbers: bool) -> None:
    """Refuse what is masked in `x`, down to as many axes as NumPy makes, and with `numbers` bytes in lists as well."""
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(f"{name} is masked (numpy.ma): fill or drop what is masked first")
    if numbers and isinstance(x, bytearray):
        raise TypeError(
            f"{name} must hold integers or floats, not bytes: use numpy.frombuffer if its bytes are numbers"
        )
    if isinstance(x, slice):
        x = (x.start, x.stop, x.step)
    if isinstance(x, np.ndarray):
        elements: list[Any] = x.ravel().tolist() if x.dtype.kind == "O" else []
    else:
        elements = _listed(x)
    if axes and elements and any(map(_may_hold, set(map(type, elements)))):  # a list of plain numbers costs no loop
        for i, element in enumerate(elements):
            at = index_text(name, x.shape, i) if isinstance(x, np.ndarray) else f"{name}[{i}]"
            _look_into(element, at, axes - 1, numbers=numbers)


def _listed(x: Any) -> list[Any]:
    """Return the elements that NumPy would iterate over: none for an object without a length, as a sparse matrix."""
    if not _is_listed(type(x)):  # type: ignore[arg-type]  # types are hashable
        return []
    try:
        len(x)
    except Exception:
        return []
    return list(x)


@functools.lru_cache(maxsize=256)  # of types: asked once for each list in a list
def _may_hold(kind: type[Any]) -> bool:
    """Return whether an object of this type may hold a mask or anything else to refuse."""
    return issubclass(kind, np.ndarray | bytearray) or _is_listed(kind)  # type: ignore[arg-type]


@functools.lru_cache(maxsize=256)
def _is_listed(kind: type[Any]) -> bool:
    """Return whether NumPy iterates over such objects element by element: they need not be a Sequence.

    An integer of gmpy2 has a length and bits to index, but no elements; before 2.3 it has no `__array__` either.
    """
    if issubclass(kind, _FLAT) or any(hasattr(kind, name) for name in _AS_ARRAYS):
        return False
    return issubclass(kind, Sequence) or (hasattr(kind, "__getitem__") and hasattr(kind, "__len__"))


_FLAT = (str, bytes, bytearray, memoryview, range, Mapping, Number, type(gmpy2.xmpz()))
_AS_ARRAYS = ("__array__", "__array_interface__", "__array_struct__", "__buffer__")
_MOST_AXES = 64


def refuse_missing(x: object, name: str) -> None:
    """Refuse what pandas counts as missing, in one of its arrays, series or frames: NumPy has no value for it.

    Raises
    ------
    ValueError
        Naming the element by its position.
    """
    if hasattr(x, "isna"):
        missing = np.asarray(x.isna(), dtype=bool)
        if missing.any():
            where = index_text(name, missing.shape, int(np.argmax(missing)))
            raise ValueError(f"{where} is missing (NA): impute or drop it first")


def as_array(x: Any, name: str, dtype: npt.DTypeLike | None = None) -> npt.NDArray[Any]:
    """Return ``numpy.asarray(x, dtype)`` of what a caller gave: used for every argument that becomes an array.

    Raises
    ------
    TypeError
        If anything in `x` is masked (:func:`refuse_masks`).
    ValueError, TypeError
        As ``numpy.asarray``, naming the argument: ragged lists, values that `dtype` does not hold.

    Examples
    --------
    >>> as_array(np.ma.array([1, 2], mask=[0, 1]), "codes")
    Traceback (most recent call last):
        ...
    TypeError: codes is masked (numpy.ma): fill or drop what is masked first
    """
    return _converted(x, name, dtype, numbers=False)


def _converted(x: Any, name: str, dtype: npt.DTypeLike | None, *, numbers: bool) -> npt.NDArray[Any]:
    _look_into(x, name, _MOST_AXES, numbers=numbers)
    try:
        array = np.asanyarray(x, dtype)
    except (ValueError, TypeError, OverflowError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{name} cannot be converted to an array: {error}") from None
    if array is not x and (array.dtype.kind == "O" or isinstance(array, np.ma.MaskedArray)):
        refuse_masks(array, name)  # what an __array__ gave
    return np.asarray(array)


def as_numbers(x: Any, name: str) -> NumberArray:
    """Return `x` as a C-contiguous array that holds exactly the same numbers: the rule for all numbers of callers.

    Parameters
    ----------
    x : array_like
        Anything that NumPy converts to an array of numbers: any bool, integer or float dtype up to 64 bits in any byte
        order and layout, a Python or NumPy number, sequences of them (lists, ranges, ``array.array``) and memoryviews,
        object arrays of ints, floats, :class:`~fractions.Fraction` and :class:`~decimal.Decimal`, series and frames of
        pandas without missing values. True counts as 1 and False as 0, as in NumPy's arithmetic.
    name : str
        The argument's name, for messages.

    Returns
    -------
    ndarray
        Of dtype int64, uint64, float64, or object (then of ints and Fractions). May share memory with `x`.

    Raises
    ------
    TypeError
        For complex, long double, text, bytes, dates, structures and masked arrays, naming what to use instead.
    ValueError
        For ragged lists, missing values of pandas, and NaN or infinity in an object array.

    Examples
    --------
    >>> as_numbers([2**63 + 1, -1], "x")
    array([9223372036854775809, -1], dtype=object)
    >>> as_numbers([True, False], "x")
    array([1, 0])
    """
    if hasattr(x, "iloc") and getattr(x, "ndim", 0) == 2:
        return _from_frame(x, name)
    refuse_missing(x, name)
    array = _converted(x, name, None, numbers=True)
    if not isinstance(x, np.ndarray | np.generic) and array.dtype.kind == "f":
        array = _from_python(x, array)
    dtype = array.dtype
    if dtype.kind in "biu":
        wide = np.uint64 if dtype.kind == "u" and dtype.itemsize == 8 else np.int64
        return cast(NumberArray, np.ascontiguousarray(array, dtype=wide).reshape(array.shape))
    if dtype.kind == "f" and dtype.itemsize <= 8:
        return np.ascontiguousarray(array, dtype=np.float64).reshape(array.shape)
    if dtype.kind == "O":
        return _from_objects(array, name)
    remedy = {
        "c": "encode its real and imaginary parts",
        "f": "use .astype(numpy.float64) if its precision is enough",
    }.get(dtype.kind, "give integers or floats")
    raise TypeError(f"{name} must hold integers or floats up to 64 bits, not {dtype}: {remedy}")


def is_real(a: npt.NDArray[Any]) -> bool:
    """Tell whether an operand counts as real numbers: its type decides, never its values."""
    return a.dtype.kind == "f" or (a.dtype == object and any(isinstance(v, Fraction) for v in a.flat))


def _from_python(x: Any, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Keep Python's ints beside floats exact: NumPy rounds those beyond 2^53."""
    if hasattr(x, "__array__") or hasattr(x, "__array_interface__") or hasattr(x, "__buffer__"):
        return array
    objects = np.asarray(x, dtype=object)
    kinds = set(map(type, objects.ravel().tolist()))
    return array if all(issubclass(kind, float | np.floating) for kind in kinds) else objects


def _from_frame(x: Any, name: str) -> NumberArray:
    """Return a frame of pandas, column by column: its own common dtype would round integers beside floats."""
    columns = [as_numbers(x.iloc[:, i], f"{name}[{label!r}]") for i, label in enumerate(x.columns)]
    dtypes = {column.dtype for column in columns}
    if len(dtypes) <= 1:
        return cast(NumberArray, np.stack(columns, axis=1)) if columns else np.empty(x.shape)
    if np.dtype(np.float64) in dtypes and all(map(_fits_double, columns)):
        return np.stack([column.astype(np.float64) for column in columns], axis=1)
    objects = np.empty(x.shape, dtype=object)
    for i, column in enumerate(columns):
        objects[:, i] = column.tolist()
    return _from_objects(objects, name)


def _fits_double(column: NumberArray) -> bool:
    """Return whether a double holds every number exactly."""
    if column.dtype.kind in "iu":
        return not column.size or max(int(column.max()), -int(column.min())) <= 1 << 53
    return column.dtype.kind == "f"


def _from_objects(array: npt.NDArray[Any], name: str) -> npt.NDArray[np.object_]:
    exact = np.empty(array.size, dtype=object)
    for i, value in enumerate(array.ravel().tolist()):
        if isinstance(value, float | Fraction | Decimal | np.float16 | np.float32):
            if isinstance(value, Decimal) and value.is_finite() and value and abs(value.adjusted()) > _MAX_EXPONENT:
                raise ValueError(f"{index_text(name, array.shape, i)} is beyond 10^+-{_MAX_EXPONENT}: scale the data")
            try:
                exact[i] = Fraction(float(value) if isinstance(value, np.floating) else value)
            except (ValueError, OverflowError):
                raise ValueError(f"{index_text(name, array.shape, i)} is NaN or infinite: impute or drop it") from None
        elif isinstance(value, np.bool_) or (hasattr(value, "__index__") and not isinstance(value, np.ndarray)):
            exact[i] = int(value)
        else:
            where = index_text(name, array.shape, i)
            raise TypeError(f"{where} is of type {type(value).__name__}: give integers or floats up to 64 bits")
    return exact.reshape(array.shape)
