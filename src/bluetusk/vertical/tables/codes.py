"""Replaces categories by numbers, for trees: each text's index in a list that is kept with the model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from .cells import in_order
from .columns import Table
from .unseen import warn_of_unseen

__all__ = ["categories_of", "coded"]


def categories_of(table: Table) -> dict[str, list[str]]:
    """Return the categories of each column that is not numeric, in order: numbers by value, then texts by alphabet.

    Examples
    --------
    >>> from bluetusk.vertical.tables.columns import as_table
    >>> categories_of(as_table({"job": ["pilot", "clerk", None, "pilot"], "age": [1, 2, 3, 4]}))
    {'job': ['clerk', 'pilot']}
    """
    columns = zip(table.names, table.values, strict=True)
    return {
        name: in_order(v for v in set(values.tolist()) if v is not None) for name, values in columns if _text(values)
    }


def coded(
    table: Table,
    categories: Mapping[str, list[str]],
    unseen: dict[str, tuple[Counter[str], int, bool]] | None = None,
) -> NDArray[np.float64]:
    """Return a table as numbers: each category's index, NaN for a missing or new one; a warning counts the new ones.

    Parameters
    ----------
    table : Table
        The columns of training.
    categories : mapping of str to list of str
        From :func:`categories_of`.
    unseen : dict, optional
        Where to add the new ones of each column up, in place of a warning.

    Returns
    -------
    ndarray of float64, shape (rows, columns)

    Raises
    ------
    ValueError
        If a column that was numeric at training now holds categories.

    Examples
    --------
    >>> from bluetusk.vertical.tables.columns import as_table
    >>> coded(as_table({"job": ["pilot", None]}), {"job": ["clerk", "pilot"]}).tolist()
    [[1.0], [nan]]
    """
    out = np.empty((table.rows, len(table.names)))
    found: dict[str, tuple[Counter[str], int, bool]] = {} if unseen is None else unseen
    for j, (name, values) in enumerate(zip(table.names, table.values, strict=True)):
        if not _text(values):
            out[:, j] = values
            continue
        if name not in categories:
            raise ValueError(
                f"X[{name!r}] holds strings, but the model has no categories of it: convert it to numbers, or fit again"
            )
        place: dict[str | None, float] = {text: float(k) for k, text in enumerate(categories[name])}
        out[:, j] = [place.get(text, np.nan) for text in values.tolist()]
        new = Counter(text for text in values.tolist() if text is not None and text not in place)
        found[name] = found.get(name, (Counter(), 0, False))[0] + new, 0, False
    if unseen is None:
        warn_of_unseen(found, table.rows, "", "missing", stacklevel=6)
    return out


def _text(values: NDArray[np.generic]) -> bool:
    return values.dtype.kind == "O"
