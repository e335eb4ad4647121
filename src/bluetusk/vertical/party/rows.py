"""Reads a party's rows from its file."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._spelling import did_you_mean
from ..tables.files import File
from ..tables.profile import ColumnProfile
from .config import Config

__all__ = ["Rows"]


@dataclass
class Rows:
    """A party's table.

    Attributes
    ----------
    ids : ndarray of object
        The ids, as texts.
    names : list of str
        Names of the columns.
    values : list of ndarray
        The columns: float64 with NaN where missing; or objects: texts, and None where missing.
    labels : ndarray or None
        The labels, at the guest.
    profile : list of ColumnProfile
        Descriptions of the columns.
    """

    ids: NDArray[Any]
    names: list[str]
    values: list[NDArray[Any]]
    labels: NDArray[np.int64] | None
    profile: list[ColumnProfile] = field(default_factory=list)

    @classmethod
    def read(cls, config: Config, *, tell: Callable[[str], None] | None = None) -> Rows:
        """Read the file that a configuration names.

        Parameters
        ----------
        config : Config
            The party's.
        tell : callable, optional
            Takes the texts of what is otherwise a :class:`~bluetusk.DataWarning`.

        Returns
        -------
        Rows

        Raises
        ------
        ValueError
            If the file lacks a column, an id or a label, has a label other than 0 and 1, or has a column that
            contradicts its declaration. The error names file, line, column and value.
        """
        data = config.data
        wanted = None
        if data.columns is not None:
            wanted = [data.id, *([data.label] if data.label else []), *data.columns]
        named = dict.fromkeys(data.columns or (), "data.columns") | {data.id: "data.id"}
        named |= {data.label: "data.label"} if data.label else {}
        file = File(data.file, wanted, named=named, **data.opening())
        for name in (data.id, data.label):
            if name is not None:
                file.require(name)
        if not len(file):
            raise ValueError(f"{data.file} has a line of column names, and no rows: give a file with rows")
        ids = file.ids(data.id, once=True)
        labels = file.labels(data.label, words=data.label_words, ids=data.id) if data.label else None
        others = [name for name in file.raw if name not in (data.id, data.label)]
        names = list(data.columns) if data.columns is not None else others
        if len(set(names)) != len(names) or {data.id, data.label} & set(names):
            raise ValueError(f"data.columns must name each column once, and neither {data.id!r} nor the label")
        for kind in ("categorical", "text", "numeric", "dates"):
            for name in getattr(data, kind):
                if name not in names:
                    close = did_you_mean(name, names) or f": {', '.join(names)}"[:300]
                    raise ValueError(
                        f"data.{kind} names {name!r}, which is not among the columns of {data.file}{close}"
                    )
        values, profile = file.columns(
            names,
            categorical=data.categorical,
            text=data.text,
            numeric=data.numeric,
            dates=data.dates,
            tell=tell,
            **data.reading(),
        )
        return cls(ids, names, values, labels, profile)

    def matrix(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Return the columns of some rows as one array: float64, or objects if there are texts."""
        columns = [values[rows] for values in self.values]
        kind = np.float64 if all(c.dtype.kind == "f" for c in columns) else object
        return np.column_stack([c.astype(kind) for c in columns])

    def categorical(self, declared: Collection[str] = ()) -> list[str]:
        """Return the names of the columns of categories, including the declared ones."""
        pairs = zip(self.names, self.values, strict=True)
        return [name for name, values in pairs if name in declared or values.dtype.kind == "O"]
