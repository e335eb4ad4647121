"""Reads a party's columns as one table of real numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .columns import as_table

__all__ = ["matching_table", "real_table"]


def real_table(X: Any, columns: Sequence[str] | None, most: int) -> tuple[list[str], NDArray[np.float64]]:
    """Return the names of the columns and the rows as float64, shape (n, d).

    Raises
    ------
    ValueError
        If `X` has no row, no column or more than `most`, or a value that is missing or infinite.
    TypeError
        If `X` holds anything other than numbers.
    """
    table = as_table(X, columns)
    if not 1 <= len(table.names) <= most:
        raise ValueError(f"X must have 1 to {most} columns at each party, not {len(table.names)}")
    return table.names, _real(table.names, table.values, table.rows)


def matching_table(X: Any, fitted: Sequence[str]) -> NDArray[np.float64]:
    """Return the rows of a table with a model's columns in their order, shape (n, d).

    Parameters
    ----------
    X : array_like, DataFrame or mapping
        Columns of a DataFrame or a mapping are matched by name, and further ones are ignored; an array's are matched by
        position.
    fitted : sequence of str
        Names of the columns at training.

    Raises
    ------
    ValueError
        If a column is missing, or an array has another number of columns.
    TypeError
        As for :func:`real_table`.
    """
    named = isinstance(X, Mapping) or (hasattr(X, "columns") and hasattr(X, "to_numpy"))
    table = as_table(X, only=fitted if named else None)
    places = list(range(len(table.names)))
    if named:
        missing = [name for name in fitted if name not in table.names]
        if missing:
            raise ValueError(f"X lacks the columns {missing!r:.200} that the model was fitted to")
        places = [table.names.index(name) for name in fitted]
    elif len(places) != len(fitted):
        raise ValueError(f"X has {len(places)} columns, the model {len(fitted)}: {list(fitted)!r:.200}")
    return _real(fitted, [table.values[j] for j in places], table.rows)


def _real(names: Sequence[str], columns: Sequence[NDArray[Any]], rows: int) -> NDArray[np.float64]:
    if not rows:
        raise ValueError("X must have at least one row")
    for name, column in zip(names, columns, strict=True):
        if column.dtype == object:
            raise TypeError(f"X[{name!r}] must hold numbers: bin or encode categories first (WoEBinning)")
    values = np.column_stack(columns)
    if not (finite := np.isfinite(values)).all():
        row, place = np.argwhere(~finite)[0].tolist()
        raise ValueError(
            f"X[{row}, {place}], of the column {names[place]!r}, is NaN or infinite: impute it, or bin the columns "
            "first (WoEBinning)"
        )
    return values
