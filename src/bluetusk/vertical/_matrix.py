"""One party's table: numbers with names, from an array or a pandas DataFrame, which is never imported here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["column_names", "real_table"]


def column_names(table: Any, columns: Sequence[str] | None, count: int) -> list[str]:
    """Return the names of the columns: the caller's, else a DataFrame's, else x0, x1, ...

    Raises
    ------
    ValueError
        If they are not `count` different strings.
    """
    if columns is None:
        own = getattr(table, "columns", None)
        columns = [f"x{j}" for j in range(count)] if own is None else [str(name) for name in own]
    names = list(columns)
    if len(names) != count or len(set(names)) != count or not all(isinstance(name, str) for name in names):
        raise ValueError(f"columns must be {count} different names, one for each column of X, not {names!r:.80}")
    return names


def real_table(table: ArrayLike | Any) -> NDArray[np.float64]:
    """Return a table as float64 with two axes.

    Raises
    ------
    ValueError
        If it has other axes, no row, or a value that is NaN or infinite.
    TypeError
        If it holds anything but numbers.
    """
    array = np.asarray(table.to_numpy() if hasattr(table, "to_numpy") else table)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"X must hold numbers, not {array.dtype}: bin or encode categories first (WoEBinning)")
    if array.ndim != 2 or not len(array):
        raise ValueError(f"X must have two axes and at least one row, not the shape {array.shape}")
    values = array.astype(np.float64)
    if not (finite := np.isfinite(values)).all():
        row, column = (int(i) for i in np.argwhere(~finite)[0])
        raise ValueError(f"X[{row}, {column}] is NaN or infinite: impute it, or bin the columns first (WoEBinning)")
    return values
