"""Finds what a misspelt name was meant to be, for the errors of commands, options, settings and clauses."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["closest", "did_you_mean"]

_ALIKE = 0.6  # of all pairs of letters; "seed" and "speed" have 0.89, "job" and "log" 0.67, "job" and "data" 0


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a question to put behind an error, or nothing if no known name resembles the word.

    Examples
    --------
    >>> did_you_mean("min_row", ["min_rows", "max_bins"])
    '; did you mean min_rows?'
    >>> did_you_mean("zebra", ["min_rows"])
    ''
    """
    name = closest(word, known)
    return "" if name is None else f"; did you mean {name}?"


def closest(word: str, known: Iterable[str]) -> str | None:
    """Return the known name that resembles the word most, or None if none does."""
    names = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), names, 1, _ALIKE)
    return names[close[0]] if close else None
