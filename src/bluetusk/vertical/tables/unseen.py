"""Warns of values that training has not seen, counted by column, in one warning."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping

from ...errors import DataWarning

__all__ = ["warn_of_unseen"]

_SHOWN = 3


def warn_of_unseen(
    found: Mapping[str, tuple[Counter[str], int, bool]], rows: int, as_rare: str, as_none: str, *, stacklevel: int = 4
) -> None:
    """Warn if a table holds categories, or missing values, that training has not seen.

    Parameters
    ----------
    found : mapping
        For each column: its unseen categories with their counts, the number of unseen missing values, and whether the
        categories count as `as_rare`, else as `as_none`.
    rows : int
        Number of rows of the table.
    as_rare, as_none : str
        Texts for what they count as. Missing values count as `as_none`.
    stacklevel : int
        As for :func:`warnings.warn`, from here.

    Examples
    --------
    >>> import warnings
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     warn_of_unseen({"job": (Counter(["pilot"]), 0, False)}, 10, "others", "0")
    >>> print(caught[0].message)
    training has not seen: X['job']: 1 of 10 values in 1 categories ('pilot'), counted as 0
    """
    parts = []
    for name, (texts, absent, rare) in found.items():
        if texts:
            shown = ", ".join(f"{text!r:.40}" for text, _ in texts.most_common(_SHOWN))
            more = ", ..." if len(texts) > _SHOWN else ""
            parts.append(
                f"X[{name!r}]: {texts.total()} of {rows} values in {len(texts)} categories ({shown}{more}), counted as "
                f"{as_rare if rare else as_none}"
            )
        if absent:
            parts.append(f"X[{name!r}]: {absent} of {rows} values missing, counted as {as_none}")
    if parts:
        warnings.warn(f"training has not seen: {'; '.join(parts)}", DataWarning, stacklevel=stacklevel)
