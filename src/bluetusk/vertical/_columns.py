"""A party's columns, from a NumPy array or a DataFrame."""

from __future__ import annotations

import numbers
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["MISSING", "Table", "as_labels", "as_table", "keys_of"]

MISSING = ""
"""The key of a missing value among categories."""


@dataclass(frozen=True)
class Table:
    """Columns by name.

    Attributes
    ----------
    names : list of str
        Distinct.
    values : list of ndarray
        float64 with NaN for missing values, or for categories an object array of keys (see :func:`keys_of`).
    rows : int
        Their length.
    """

    names: list[str]
    values: list[NDArray[Any]]
    rows: int


def keys_of(column: Iterable[Any]) -> NDArray[np.object_]:
    """Return what tells categories apart: "s" and the text, "n" and the number, or MISSING for None and NaN.

    Examples
    --------
    >>> keys_of(["a", 1, 1.0, None, float("nan")]).tolist()
    ['sa', 'n1.0', 'n1.0', '', '']
    """
    out: list[str] = []
    for value in column:
        if isinstance(value, str):
            out.append("s" + value)
        elif value is None or value != value:
            out.append(MISSING)
        else:
            out.append(f"n{float(value)!r}")
    return np.array(out, dtype=object)


def as_table(
    X: Any, columns: Sequence[str] | None = None, categorical: Collection[str] = (), *, what: str = "X"
) -> Table:
    """Return the columns of a table.

    Parameters
    ----------
    X : array_like of shape (n, k), or DataFrame
        What has ``.columns`` and ``.to_numpy()`` brings its own names. A column of strings is one of categories.
    columns : sequence of str, optional
        Names; by default the DataFrame's, else "x0", "x1" and so on.
    categorical : collection of str
        Names of the columns whose numbers are codes.
    what : str
        What errors call the table.

    Returns
    -------
    Table

    Raises
    ------
    TypeError, ValueError
        If the shapes do not fit, names repeat, or a value is neither number nor string.

    Examples
    --------
    >>> table = as_table([[1, 2], [3, float("nan")]], ["age", "code"], ["code"])
    >>> table.names, table.values[0].tolist(), table.values[1].tolist()
    (['age', 'code'], [1.0, 3.0], ['n2.0', ''])
    """
    named = hasattr(X, "columns") and hasattr(X, "to_numpy")
    if named:
        own = [str(name) for name in X.columns]
        raw = [X.iloc[:, j].to_numpy() if hasattr(X, "iloc") else X[X.columns[j]].to_numpy() for j in range(len(own))]
    else:
        array = np.asarray(X, dtype=object) if isinstance(X, list | tuple) else np.asarray(X)
        if array.ndim != 2:
            raise ValueError(f"{what} must have two axes, rows and columns, not {array.ndim}")
        own, raw = [f"x{j}" for j in range(array.shape[1])], list(array.T)
    names = own if columns is None else [str(name) for name in columns]
    if len(names) != len(raw):
        raise ValueError(f"columns has {len(names)} names, {what} {len(raw)} columns")
    if len(set(names)) != len(names):
        raise ValueError(f"columns of {what} must have distinct names")
    for name in categorical:
        if name not in names:
            raise ValueError(f"categorical names {name!r}, which is no column of {what}: {', '.join(names[:20])}")
    values = [
        _column(column, name in categorical, f"{what}[{name!r}]") for column, name in zip(raw, names, strict=True)
    ]
    return Table(names, values, len(raw[0]) if raw else 0)


def _column(column: NDArray[Any], coded: bool, what: str) -> NDArray[Any]:
    if column.dtype.kind not in "biufOUS":
        raise TypeError(f"{what} is of {column.dtype}: numbers or strings are needed")
    if column.dtype.kind == "S":
        raise TypeError(f"{what} holds bytes: decode them to str")
    if coded or column.dtype.kind == "U" or (column.dtype.kind == "O" and any(isinstance(v, str) for v in column)):
        try:
            return keys_of(column.tolist())
        except (TypeError, ValueError):
            raise TypeError(f"{what} holds values that are neither numbers nor strings") from None
    if column.dtype.kind == "O":
        if not all(v is None or isinstance(v, numbers.Real | np.bool_) for v in column):
            raise TypeError(f"{what} holds values that are neither numbers nor strings")
        return np.array([np.nan if v is None else float(v) for v in column], np.float64)
    return column.astype(np.float64)


def as_labels(y: Any, rows: int) -> NDArray[np.int64]:
    """Return labels 0 and 1, of which both must be there.

    Parameters
    ----------
    y : array_like of shape (rows,)
        0 or 1, as int, float or bool.
    rows : int
        How many there must be.

    Returns
    -------
    ndarray of int64

    Raises
    ------
    ValueError
        If something else comes.

    Examples
    --------
    >>> as_labels([True, False], 2)
    array([1, 0])
    """
    values = np.asarray(y)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.shape != (rows,):
        raise ValueError(f"y has the shape {values.shape}, X has {rows} rows")
    if values.dtype.kind not in "biuf" or not np.isin(values, (0, 1)).all():
        raise ValueError("y must hold 0 and 1 only: 1 for the event, such as a default")
    labels = values.astype(np.int64)
    if not 0 < labels.sum() < rows:
        raise ValueError("y holds one label only: there is nothing to tell apart")
    return labels
