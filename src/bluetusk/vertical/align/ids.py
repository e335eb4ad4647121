"""Reads identifiers such that both parties get the same strings."""

from __future__ import annotations

import numbers
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..._numeric import as_array, refuse_masks
from ..tables.cells import is_missing

__all__ = ["as_ids"]


def as_ids(ids: Iterable[Any], name: str = "ids") -> list[str]:
    """Return identifiers as distinct strings.

    Parameters
    ----------
    ids : iterable of str or int
        A list, an array, a pandas Series. An integer stands for its decimal digits: 7 and "7" are the same id. Strings
        are not changed: both parties must agree on case, blanks and leading zeros beforehand.
    name : str
        The argument's name in errors.

    Returns
    -------
    list of str

    Raises
    ------
    TypeError
        If `ids` is one string, or an id is neither str nor int. A float is refused because 1.0, "1.0" and 1 would be
        three ids.
    ValueError
        If an id comes twice, is not valid Unicode, or stands for a missing value ("", "NA", "nan" and what else pandas
        reads so): the rows of two customers would match.

    Examples
    --------
    >>> as_ids(["B7", 12])
    ['B7', '12']
    """
    if isinstance(ids, str | bytes) or not isinstance(ids, Iterable):
        raise TypeError(f"{name} must be a sequence of ids, not one {type(ids).__name__}")
    if hasattr(ids, "__array__"):
        values = as_array(ids, name).tolist()
    else:
        values = list(ids)
        refuse_masks(values, name)
    if not isinstance(values, list) or any(isinstance(value, list) for value in values):
        raise TypeError(f"{name} must have one axis")
    found: list[str] = []
    for i, value in enumerate(values):
        if isinstance(value, bool | np.bool_) or not isinstance(value, str | numbers.Integral):
            raise TypeError(
                f"{name}[{i}] is of type {type(value).__name__}: an id must be a str, or an int, which stands for its "
                f"digits; convert other types to str as the other party does"
            )
        text = str(value) if isinstance(value, str) else str(int(value))
        if is_missing(text):
            raise ValueError(f"{name}[{i}] is {text!r}, a missing value: give each row an id, or leave it out")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{name}[{i}] contains a lone surrogate, not a Unicode character: remove it") from None
        found.append(text)
    seen: dict[str, int] = {}
    for i, text in enumerate(found):
        if seen.setdefault(text, i) != i:
            more = len(found) - len(set(found))
            raise ValueError(
                f"{name}[{seen[text]}] and {name}[{i}] are the same id ({more} too many in all): keep one row for each"
            )
    return found
