"""Integers of any length between Python and the kernels: the arguments of :mod:`bluetusk.modexp`, and rows of limbs."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import gmpy2
import numpy as np
import numpy.typing as npt

from ._numeric import as_array, refuse_masks, refuse_missing

__all__ = ["Integer", "Integers", "integer", "integers", "limbs_of", "numbers_of", "rows_of"]

Integer: TypeAlias = "int | gmpy2.mpz | np.integer[Any]"
Integers: TypeAlias = "Integer | Sequence[Integer] | npt.NDArray[Any]"


def integer(x: Any, name: str) -> gmpy2.mpz:
    """Return `x` as an mpz; a bool or a float is refused here."""
    if isinstance(x, np.ma.MaskedArray):
        refuse_masks(x, name)
    if isinstance(x, bool | np.bool_) or not hasattr(x, "__index__"):
        raise TypeError(f"{name} must be an int or a gmpy2.mpz, not {type(x).__name__}")
    return x if isinstance(x, gmpy2.mpz) else gmpy2.mpz(operator.index(x))


def integers(x: Any, name: str) -> tuple[list[gmpy2.mpz], bool]:
    """Return the numbers of `x`, and whether it was a single one."""
    refuse_masks(x, name)
    if hasattr(x, "__array__") and not isinstance(x, np.generic):  # a frame of pandas would iterate over its labels
        refuse_missing(x, name)
        x = as_array(x, name)
    if isinstance(x, np.ndarray):
        if x.dtype.kind not in "iuO":
            raise TypeError(f"{name} must be an array of integers, not {x.dtype}; round it first if that is meant")
        if x.ndim > 1:
            raise ValueError(f"{name} must be one number or one-dimensional, not of shape {x.shape}")
        single, items = x.ndim == 0, x.reshape(-1).tolist()
        return [integer(v, name if single else f"{name}[{i}]") for i, v in enumerate(items)], single
    if isinstance(x, str | bytes | bytearray | dict | set | frozenset) or not isinstance(x, Iterable):
        return [integer(x, name)], True
    return [integer(v, f"{name}[{i}]") for i, v in enumerate(x)], False


def limbs_of(values: Sequence[gmpy2.mpz] | Sequence[int], limbs: int) -> npt.NDArray[np.uint64]:
    """Return the values, none negative, as rows of `limbs` limbs, the least significant first."""
    data = b"".join([v.to_bytes(8 * limbs, "little") for v in values])
    return np.frombuffer(data, np.uint64).reshape(len(values), limbs)


def numbers_of(rows: npt.NDArray[np.uint64]) -> list[gmpy2.mpz]:
    """Return the numbers whose limbs are the rows."""
    step, data = 8 * rows.shape[1], rows.tobytes()
    return [gmpy2.mpz.from_bytes(data[i : i + step], "little") for i in range(0, len(data), step)]


def rows_of(exponents: Any) -> tuple[list[list[gmpy2.mpz]], bool]:
    """Return the exponents row by row, and whether they are a single row."""
    if isinstance(exponents, np.ndarray) and exponents.ndim == 2:
        return [integers(row, f"exponents[{r}]")[0] for r, row in enumerate(exponents)], False
    if not isinstance(exponents, np.ndarray) and isinstance(exponents, Iterable):
        exponents = list(exponents)
        if any(isinstance(v, Sequence) or (isinstance(v, np.ndarray) and v.ndim == 1) for v in exponents):
            rows = [integers(v, f"exponents[{r}]") for r, v in enumerate(exponents)]
            for r, (_, single) in enumerate(rows):
                if single:
                    raise TypeError(f"exponents[{r}] must be a row of integers, like its neighbours")
            return [row for row, _ in rows], False
    values, single = integers(exponents, "exponents")
    if single:
        raise TypeError("exponents must be a sequence of integers or a two-dimensional array, not a single number")
    return [values], True
