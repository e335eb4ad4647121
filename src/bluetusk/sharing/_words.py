"""Checks arrays of words of the rings Z_2^32 and Z_2^64, and packs words of any number of bits for the wire."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._kernels import ring as kernel
from .._numeric import as_array, as_int, as_numbers, index_text, is_real, refuse_masks
from ..errors import FrameError

__all__ = ["bits_of", "dtype_of", "pack", "shape_of", "shares_of", "unpack", "words_like", "words_of"]

_DTYPES: dict[int, np.dtype[Any]] = {32: np.dtype(np.uint32), 64: np.dtype(np.uint64)}


def dtype_of(bits: int) -> np.dtype[Any]:
    """Return the dtype of a ring's words."""
    width = as_int(bits, "bits")
    if width not in _DTYPES:
        raise ValueError(f"bits must be 32 or 64, not {width}")
    return _DTYPES[width]


def shape_of(shape: int | Sequence[int], name: str) -> tuple[int, ...]:
    """Return a shape that a caller gave, an int for one axis, as a tuple."""
    if hasattr(shape, "__index__"):
        return (as_int(shape, name, 0),)
    if isinstance(shape, str | bytes) or not isinstance(shape, Iterable):
        raise TypeError(f"{name} must be an int or a tuple of ints, not {type(shape).__name__}")
    return tuple(as_int(d, f"{name}[{i}]", 0) for i, d in enumerate(shape))


def bits_of(dtype: np.dtype[Any], name: str) -> int:
    """Return the width of the words of an array of shares."""
    if dtype not in (np.uint32, np.uint64) or not dtype.isnative:
        raise TypeError(f"{name} must be an array of uint32 or uint64, not {dtype}")
    return 8 * dtype.itemsize


def shares_of(shares: ArrayLike, name: str = "shares", parties: int | None = None) -> NDArray[Any]:
    """Return shares as a C-contiguous array with a leading axis of parties."""
    array = as_array(shares, name)
    bits_of(array.dtype, name)
    if array.ndim < 1 or len(array) == 0 or (parties is not None and len(array) != parties):
        wanted = "a leading axis of parties" if parties is None else f"a leading axis of {parties} parties"
        raise ValueError(f"{name} must have {wanted}, not the shape {array.shape}")
    return np.ascontiguousarray(array)


def words_like(x: Any, name: str, dtype: np.dtype[Any] | None = None) -> NDArray[Any]:
    """Return words as a C-contiguous array of unchanged shape; refuse any dtype but a ring's, or but `dtype`."""
    array = as_array(x, name)
    bits_of(array.dtype, name)
    if dtype is not None and array.dtype != dtype:
        raise TypeError(f"{name} must be an array of {dtype}, not {array.dtype}")
    return np.ascontiguousarray(array).reshape(array.shape)


def words_of(x: ArrayLike, bits: int, name: str = "x") -> NDArray[Any]:
    """Return integers as words of the ring, negative ones in two's complement; refuse what it does not hold."""
    dtype = dtype_of(bits)
    bits = 8 * dtype.itemsize  # Python's int: powers of numpy.int64(2) wrap
    refuse_masks(x, name)
    if isinstance(x, np.ndarray) and x.dtype == dtype:
        return np.ascontiguousarray(x).reshape(x.shape)
    numbers = as_numbers(x, name)
    if is_real(numbers):
        raise TypeError(f"{name} must hold integers: encode reals by a FixedPoint plan")
    fits = numbers.dtype.kind in "iu" and bits == 64
    if numbers.size and not fits and not (-(2 ** (bits - 1)) <= int(numbers.min()) and int(numbers.max()) < 2**bits):
        bad = next(i for i, v in enumerate(numbers.reshape(-1).tolist()) if not -(2 ** (bits - 1)) <= v < 2**bits)
        remedy = "reduce it" if bits == 64 else "reduce it, or use bits=64"
        raise ValueError(f"{index_text(name, numbers.shape, bad)} does not fit {bits} bits: {remedy}")
    if numbers.dtype.kind == "O":
        numbers = np.asarray(numbers % 2**bits, dtype=object).astype(np.uint64)
    return numbers.astype(dtype)


# ---------------------------------------------------------------------------------------------------


def pack(x: NDArray[Any], bits: int) -> bytes:
    """Write words of `bits` bits end to end.

    Parameters
    ----------
    x : ndarray of uint32 or uint64
        Words below 2^bits, of any shape.
    bits : int
        1 to the width of the dtype.

    Returns
    -------
    bytes
        ``ceil(x.size * bits / 8)``: the first word in the lowest bits of the first byte, the unused bits
        of the last byte are 0.

    Raises
    ------
    TypeError, ValueError
        If a word is 2^bits or larger, `bits` is out of range, or the dtype is not uint32 or uint64.

    Examples
    --------
    >>> import numpy as np, bluetusk as bt
    >>> bt.sharing.ring.pack(np.array([1, 2, 3], np.uint32), 12).hex()
    '0120000300'
    """
    array = np.ascontiguousarray(as_array(x, "x"))
    width = bits_of(array.dtype, "x")
    bits = as_int(bits, "bits", 1, width)
    out = np.empty(kernel.packed_bytes(array.size, bits), np.uint8)
    kernel.pack(array.reshape(-1), bits, out)
    return out.tobytes()


def unpack(data: bytes | bytearray | memoryview, bits: int, count: int) -> NDArray[Any]:
    """Read `count` words of `bits` bits.

    Parameters
    ----------
    data : bytes-like
        The output of :func:`pack`, with nothing after it.
    bits : int
        1 to 64.
    count : int
        How many words.

    Returns
    -------
    ndarray
        One axis; uint32 up to 32 bits, uint64 above.

    Raises
    ------
    FrameError
        If `data` has another length, or a bit after the last word is not 0.
    TypeError, ValueError
        If an argument is of a wrong type or out of range.

    Examples
    --------
    >>> import bluetusk as bt
    >>> bt.sharing.ring.unpack(bytes.fromhex("0120000300"), 12, 3)
    array([1, 2, 3], dtype=uint32)
    """
    bits, count = as_int(bits, "bits", 1, 64), as_int(count, "count", 0)
    try:
        view = memoryview(data).cast("B")
    except TypeError:
        raise TypeError(f"data must be bytes or a contiguous view of them, not {type(data).__name__}") from None
    needed = -(-count * bits // 8)  # by Python's integers: the kernel takes no count of 2^63
    if len(view) != needed:
        raise FrameError(f"data has {len(view)} bytes, but {count} words of {bits} bits take {needed}")
    out = np.empty(count, np.uint32 if bits <= 32 else np.uint64)
    if not kernel.unpack(np.frombuffer(view, np.uint8), bits, out):
        raise FrameError("data has non-zero bits after the last word: the words are not in canonical form")
    return out
