"""Describes a party's columns in a line each: shown before the first message, and kept with the models."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from .cells import number_texts, reads_as_number

__all__ = ["ColumnProfile", "describe", "show"]

_KINDS = ("numeric", "text", "categorical")
_LEAST_IDS = 20
"""Least number of distinct rows for which a column may count as one of ids."""
_HEAD = ("column", "kind", "rows", "missing", "distinct", "numeric", "least", "largest", "note")


@dataclass(frozen=True)
class ColumnProfile:
    """The content of a column.

    Attributes
    ----------
    name : str
        The column.
    kind : {"numeric", "text", "categorical"}
        Numbers; texts; or declared categories, even if they look like numbers. The models treat texts as categories.
    rows, missing : int
        Number of cells, and of missing ones.
    distinct : int
        Number of distinct values, without missing ones.
    numeric : float
        Share of the non-missing cells that read as numbers; 0 if all are missing.
    least, largest : float or None
        Least and largest value of a numeric column; None without one.
    whole : bool
        Whether all values of a numeric column are whole numbers.

    Examples
    --------
    >>> ColumnProfile.of("age", np.array([41.0, 23.0, np.nan]))  # doctest: +NORMALIZE_WHITESPACE
    ColumnProfile(name='age', kind='numeric', rows=3, missing=1, distinct=2, numeric=1.0, least=23.0, largest=41.0,
                  whole=True)
    """

    name: str
    kind: str
    rows: int
    missing: int
    distinct: int
    numeric: float
    least: float | None = None
    largest: float | None = None
    whole: bool = False

    @classmethod
    def of(
        cls, name: str, values: NDArray[Any], kind: str | None = None, *, numeric: float | None = None
    ) -> ColumnProfile:
        """Return the profile of a column as the models see it.

        Parameters
        ----------
        name : str
            The column.
        values : ndarray
            float64 with NaN where missing, or objects: texts, and None where missing.
        kind : str, optional
            By default "numeric" or "text".
        numeric : float, optional
            The share of numbers, if cells that are not numbers were left out before.

        Returns
        -------
        ColumnProfile
        """
        if values.dtype.kind == "f":
            there = values[~np.isnan(values)]
            distinct = np.unique(there)
            counts = (len(values), len(values) - len(there), len(distinct))
            if not there.size:
                return cls(name, kind or "numeric", *counts, 0.0 if numeric is None else numeric)
            whole = bool((np.floor(distinct) == distinct).all())
            share, ends = 1.0 if numeric is None else numeric, (float(distinct[0]), float(distinct[-1]))
            return cls(name, kind or "numeric", *counts, share, *ends, whole)
        texts = [v for v in values.tolist() if v is not None]
        of = {text: reads_as_number(text) for text in set(texts)}
        share = sum(of[text] for text in texts) / len(texts) if texts else 0.0
        return cls(name, kind or "text", len(values), len(values) - len(texts), len(of), share)

    @property
    def constant(self) -> bool:
        """Whether all values are equal, or all are missing: no model can use the column."""
        return self.distinct < 2

    @property
    def id_like(self) -> bool:
        """Whether nearly every row has a different text or whole number, as ids have: it identifies rows, not risks."""
        there = self.rows - self.missing
        return there >= _LEAST_IDS and self.distinct >= 0.95 * there and (self.kind != "numeric" or self.whole)

    def to_plain(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> ColumnProfile:
        """Read what :meth:`to_plain` wrote; ValueError, TypeError or KeyError if it is malformed."""
        made = cls(**{item.name: plain[item.name] for item in fields(cls)})
        counts = (made.rows, made.missing, made.distinct)
        ends = [v for v in (made.least, made.largest) if v is not None]
        if (
            not isinstance(made.name, str)
            or made.kind not in _KINDS
            or any(isinstance(v, bool) or not isinstance(v, int) or v >> 63 for v in counts)
            or any(isinstance(v, bool) or not isinstance(v, int | float) for v in (made.numeric, *ends))
            or not isinstance(made.whole, bool)
            or not 0 <= made.missing <= made.rows
            or not 0 <= made.distinct <= made.rows - made.missing
            or not 0 <= made.numeric <= 1
            or not np.isfinite(ends).all()
        ):
            raise ValueError("the counts of a column's profile do not match")
        return made

    def cells(self) -> list[str]:
        """Return the line of a table under ``column, kind, rows, missing, distinct, numeric, least, largest, note``."""
        ends = ["" if v is None else number_texts([v])[0] for v in (self.least, self.largest)]
        notes = ["all missing"] * (self.rows == self.missing > 0) or ["constant"] * self.constant
        notes += ["id-like"] * self.id_like
        counts = [f"{self.rows:,}", f"{self.missing:,}", f"{self.distinct:,}", f"{100 * self.numeric:.0f} %"]
        return [self.name, self.kind, *counts, *ends, ", ".join(notes)]


def describe(profiles: Sequence[ColumnProfile]) -> str:
    """Return the profiles as a table in plain text.

    Examples
    --------
    >>> print(describe([ColumnProfile.of("age", np.array([41.0, 23.0, np.nan]))]))
    column     kind  rows  missing  distinct  numeric  least  largest  note
    age     numeric     3        1         2    100 %     23       41
    """
    lines = [list(_HEAD), *(each.cells() for each in profiles)]
    widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
    ready = []
    for line in lines:
        middle = [text.rjust(width) for text, width in zip(line[1:-1], widths[1:-1], strict=True)]
        name = line[0] + " " * (widths[0] - _width(line[0]))
        ready.append("  ".join([name, *middle, line[-1]]).rstrip())
    return "\n".join(ready)


def _width(text: str) -> int:
    """Return how many columns of a terminal a text takes: two for a Chinese character, none for a combining mark."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.category(c) in ("Mn", "Me", "Cf") for c in text)


def show(profiles: Sequence[ColumnProfile], file: TextIO) -> None:
    """Print the profiles as a table, with rich where it is installed and the file is a terminal."""
    try:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except ImportError:
        print(describe(profiles), file=file, flush=True)
        return
    console = Console(file=file)
    if not console.is_terminal:  # in a log, lines must not be cut at 80 characters
        print(describe(profiles), file=file, flush=True)
        return
    table = Table(box=None)
    for k, name in enumerate(_HEAD):
        table.add_column(name, justify="left" if k in (0, len(_HEAD) - 1) else "right")
    for each in profiles:
        table.add_row(*map(Text, each.cells()), style="yellow" if each.constant or each.id_like else None)
    console.print(table)
