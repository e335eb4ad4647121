"""Reads a party's rows from a CSV or Parquet file, by the same rules for cells as frames and arrays."""

from __future__ import annotations

import csv
import json
import numbers
import os
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DataWarning
from .cells import MISSING_TEXTS, is_missing, number_reader
from .columns import Place, column_of
from .profile import ColumnProfile

__all__ = ["File", "read_columns"]


class File:
    """A table of a file, before its cells are read.

    Parameters
    ----------
    path : path-like
        A CSV or Parquet file.
    columns : sequence of str, optional
        Read only these.
    missing : collection of str
        Texts that stand for missing values, besides those that pandas reads as missing.

    Raises
    ------
    ValueError, OSError
        As for :func:`read_columns`.
    """

    def __init__(
        self, path: str | os.PathLike[str], columns: Sequence[str] | None = None, *, missing: Collection[str] = ()
    ) -> None:
        self.path = Path(path)
        self.raw, self._lines = next(_reader(self.path)(self.path, columns, None))
        self._before = 0  # rows of earlier pieces
        self._complete(columns, missing)

    def _complete(self, columns: Sequence[str] | None, missing: Collection[str]) -> None:
        self.missing = MISSING_TEXTS.union(text.strip() for text in missing)
        for name in columns or ():
            self.require(name)

    @classmethod
    def pieces(
        cls, path: str | os.PathLike[str], columns: Sequence[str], *, missing: Collection[str] = (), size: int
    ) -> Iterator[File]:
        """Yield the table by pieces of so many rows, of which one is in memory; at least one piece, perhaps empty."""
        place, before = Path(path), 0
        for raw, lines in _reader(place)(place, columns, size):
            piece = cls.__new__(cls)
            piece.path, piece.raw, piece._lines, piece._before = place, raw, lines, before
            piece._complete(columns, missing)
            before += len(next(iter(raw.values()), ()))
            yield piece

    def require(self, name: str) -> None:
        """Raise ValueError if the table lacks this column."""
        if name not in self.raw:
            raise ValueError(f"{self.path} has no column {name!r}: it has {', '.join(self.raw)}"[:400])

    def cell(self, i: int) -> str:
        """Return the location of a row in the file."""
        return f"line {self._lines[i]}" if self._lines else f"row {self._before + i}"

    def place(self, name: str) -> Place:
        """Return the names of a column and its cells for errors."""
        advice = (
            f"correct the cells, or declare them in [data] or as arguments: missing = [...] for texts that mean "
            f"missing, categorical = [{json.dumps(name)}] for categories, decimal and thousands for the "
            f"marks in numbers"
        )
        return Place(f"column {name!r} in {self.path}", self.cell, advice)

    def ids(self, name: str) -> NDArray[np.object_]:
        """Return a column of ids as texts: those of the file, or the digits of an integer.

        Raises
        ------
        ValueError
            If a row has no id, or one that is neither text nor integer; the error names its line.
        """
        self.require(name)
        out = np.empty(len(self.raw[name]), dtype=object)
        for i, value in enumerate(self.raw[name]):
            if is_missing(value, self.missing):
                count = sum(is_missing(v, self.missing) for v in self.raw[name])
                raise ValueError(
                    f"{self.path}: {count} rows have no {name!r}, the first is {self.cell(i)}: rows without an id "
                    f"cannot match; give each an id, or leave them out"
                )
            if isinstance(value, bool) or not isinstance(value, str | numbers.Integral):
                raise ValueError(
                    f"{self.path}: {value!r} in {self.cell(i)} of {name!r} is of type {type(value).__name__}: write "
                    f"ids as texts or integers, as the other party does"
                )
            out[i] = value if isinstance(value, str) else str(int(value))
        return out

    def labels(self, name: str) -> NDArray[np.int64]:
        """Return a column of 0 and 1; ValueError names the first line with another value."""
        self.require(name)
        read = number_reader()
        out = np.empty(len(self.raw[name]), np.int64)
        for i, value in enumerate(self.raw[name]):
            number = read(value) if isinstance(value, str) else value
            if not isinstance(number, numbers.Real) or number not in (0, 1):
                shown = "nothing" if is_missing(value, self.missing) else repr(value)[:60]
                raise ValueError(
                    f"{self.path}: the column {name!r} must hold 0 and 1 only, but {self.cell(i)} holds {shown}: 1 "
                    f"stands for the event, such as a default"
                )
            out[i] = number == 1
        return out

    def columns(
        self,
        names: Sequence[str],
        *,
        categorical: Collection[str] = (),
        text: Collection[str] = (),
        numeric: Collection[str] = (),
        decimal: str = ".",
        thousands: str = "",
        tell: Callable[[str], None] | None = None,
    ) -> tuple[list[NDArray[Any]], list[ColumnProfile]]:
        """Return columns and their profiles; the arguments are those of :func:`read_columns`.

        `tell` takes what is otherwise a warning: a caller that wants its text cannot catch warnings, which all threads
        of a process share.
        """
        kinds: dict[str, str] = {}
        for kind, declared in (("categorical", categorical), ("text", text), ("numeric", numeric)):
            for name in declared:
                if name not in names:
                    raise ValueError(f"{kind} names {name!r}, which is not among the columns read from {self.path}")
                if kinds.setdefault(name, kind) != kind:
                    raise ValueError(f"the column {name!r} is declared both {kinds[name]} and {kind}: name it once")
        values, profiles = [], []
        for name in names:
            read = number_reader(decimal, thousands, kinds.get(name) != "numeric")
            try:
                column, kind, left = column_of(
                    self.raw[name], self.place(name), kinds.get(name), parse=True, missing=self.missing, read=read
                )
            except TypeError as error:  # a date of a Parquet file: the fault is in the file, not in an argument
                raise ValueError(str(error)) from None
            share = None
            if left:
                there = int((~np.isnan(column)).sum())
                share = there / (there + left)
                lost = (
                    f"{left} cells of column {name!r} in {self.path}, which is declared numeric, are not numbers: they "
                    f"count as missing"
                )
                if tell is None:
                    warnings.warn(lost, DataWarning, stacklevel=3)
                else:
                    tell(lost)
            values.append(column)
            profiles.append(ColumnProfile.of(name, column, kind, numeric=share))
        return values, profiles


def read_columns(
    path: str | os.PathLike[str],
    columns: Sequence[str] | None = None,
    *,
    ids: Collection[str] = (),
    categorical: Collection[str] = (),
    text: Collection[str] = (),
    numeric: Collection[str] = (),
    missing: Collection[str] = (),
    decimal: str = ".",
    thousands: str = "",
) -> dict[str, NDArray[Any]]:
    r"""Read a table as ``bluetusk party`` does.

    Parameters
    ----------
    path : path-like
        A CSV file in UTF-8 with the names of the columns in its first line, or a Parquet file (needs pyarrow). A row of
        a CSV file is one line: a line break within quotes is refused, since it usually comes from a stray quote, which
        would swallow rows.
    columns : sequence of str, optional
        Read only these.
    ids : collection of str
        Columns of ids: texts exactly as in the file, with leading zeros; every row must have one.
    categorical, text : collection of str
        Columns whose cells are categories, even if they look like numbers: "007" and "7" differ.
    numeric : collection of str
        Columns of numbers. Any other text counts as missing, with a warning, and long integers are rounded; texts that
        look like a number in another notation, or like a date, are refused.
    missing : collection of str
        Texts that stand for a missing value, such as "?", besides those that pandas reads as missing (empty, "NA",
        "NULL", "None", "nan" and others).
    decimal, thousands : str
        The decimal mark and the thousands separator in numbers: "," and "." read "1.169,50".

    Returns
    -------
    dict of str to ndarray
        float64 with NaN where missing; or objects: str, and None where missing. :meth:`WoEBinning.transform` and the
        models accept it unchanged.

    Raises
    ------
    ValueError
        If the file is not a well-formed table, lacks a column, or a declaration contradicts itself; if an undeclared
        column mixes numbers and texts, or holds an infinite number or an integer that float64 would round. The error
        names the file, the line, the column and the value.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
    ...     _ = file.write("id,age,job\n007,41,clerk\n008,NA,\n")
    ...     file.flush()
    ...     read_columns(file.name, ids=["id"])
    {'id': array(['007', '008'], dtype=object), 'age': array([41., nan]), 'job': array(['clerk', None], dtype=object)}
    """
    file = File(path, columns, missing=missing)
    rest = [name for name in file.raw if name not in ids]
    values, _ = file.columns(
        rest, categorical=categorical, text=text, numeric=numeric, decimal=decimal, thousands=thousands
    )
    found = {**dict(zip(rest, values, strict=True)), **{name: file.ids(name) for name in ids}}
    return {name: found[name] for name in (columns if columns is not None else file.raw)}


_Raw = tuple[dict[str, list[Any]], list[int]]


def _reader(path: Path) -> Callable[[Path, Sequence[str] | None, int | None], Iterator[_Raw]]:
    return _parquet if path.suffix.lower() in (".parquet", ".pq") else _csv


def _csv(path: Path, columns: Sequence[str] | None, size: int | None) -> Iterator[_Raw]:
    with open(path, newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file, strict=True)
        last = 0
        try:
            names = next(reader, [])
            _one_line(path, 1, reader.line_num)
            if not names or len(set(names)) != len(names):
                raise ValueError(f"the first line of {path} must name the columns, each once")
            wanted = [j for j, name in enumerate(names) if columns is None or name in columns]
            values: dict[str, list[Any]] = {names[j]: [] for j in wanted}
            lines: list[int] = []
            last = reader.line_num
            for row in reader:
                _one_line(path, last + 1, reader.line_num)
                last = reader.line_num
                if not row and len(names) > 1:
                    continue  # an empty line, usually at the end
                if len(row) != len(names):
                    raise ValueError(f"line {last} of {path} has {len(row)} fields, not {len(names)}")
                lines.append(last)
                for j in wanted:
                    values[names[j]].append(row[j])
                if len(lines) == size:
                    yield values, lines
                    values, lines = {names[j]: [] for j in wanted}, []
        except UnicodeDecodeError as err:
            raise ValueError(f"{path} is not a CSV file in UTF-8 (line {reader.line_num}): {err}") from None
        except csv.Error as err:
            raise ValueError(
                f"line {last + 1} of {path} is not a valid CSV line ({err}): close each quote in the line that opens "
                f"it, and double the quotes within a quoted field"
            ) from None
    if lines or size is None or last < 2:
        yield values, lines


def _one_line(path: Path, first: int, last: int) -> None:
    """Raise ValueError for a row of several lines: two stray quotes turn all rows between them into one."""
    if last > first:
        raise ValueError(
            f"line {first} of {path} opens a quote that ends in line {last}: close each quote in its line, and write "
            f"texts without line breaks"
        )


def _parquet(path: Path, columns: Sequence[str] | None, size: int | None) -> Iterator[_Raw]:
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise ValueError(f"{path}: Parquet files need pyarrow: pip install pyarrow, or give a CSV file") from None
    try:
        with parquet.ParquetFile(path) as file:
            names = [name for name in file.schema_arrow.names if columns is None or name in columns]
            batches = [file.read(names)] if size is None else file.iter_batches(size, columns=names)
            empty = True
            for batch in batches:
                empty = False
                yield {name: batch.column(name).to_pylist() for name in names}, []
            if empty:
                yield {name: [] for name in names}, []
    except (arrow.ArrowInvalid, arrow.ArrowNotImplementedError) as err:
        raise ValueError(f"{path} is not a Parquet file: {str(err)[:200]}") from None
