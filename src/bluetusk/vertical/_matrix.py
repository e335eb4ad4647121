"""A party's columns as one table of real numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._columns import as_table

__all__ = ["real_table"]


def real_table(X: Any, columns: Sequence[str] | None, most: int) -> tuple[list[str], NDArray[np.float64]]:
    """Return the names of the columns and the rows as float64, shape (n, d).

    Raises
    ------
    ValueError
        If it has no row, no column or more than `most`, or a value that is missing or infinite.
    TypeError
        If it holds anything but numbers.
    """
    table = as_table(X, columns)
    if not 1 <= len(table.names) <= most:
        raise ValueError(f"X has {len(table.names)} columns: each party needs 1 to {most}")
    if not table.rows:
        raise ValueError("X has no rows")
    if any(column.dtype == object for column in table.values):
        raise TypeError("X must hold numbers: bin or encode categories first (WoEBinning)")
    values = np.column_stack(table.values)
    if not (finite := np.isfinite(values)).all():
        row, column = (int(i) for i in np.argwhere(~finite)[0])
        raise ValueError(f"X[{row}, {column}] is NaN or infinite: impute it, or bin the columns first (WoEBinning)")
    return table.names, values
