"""Reads a party's rows from a CSV or Parquet file, by the same rules for cells as frames and arrays."""

from __future__ import annotations

import contextlib
import csv
import io
import numbers
import os
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._spelling import did_you_mean
from ...errors import DataWarning
from .advice import Declared, date_faults, label_lines, sentence
from .cells import MISSING_TEXTS, category_text, is_missing, number_reader
from .columns import Place, column_of
from .dates import SINCE, date_reader
from .profile import ColumnProfile
from .sniffing import HEAD, check_encoding, line_text, not_in, not_text, other_delimiter, wide

__all__ = ["File", "check_delimiter", "read_columns", "refuse_twice"]


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
    encoding, delimiter : str
        Of a CSV file.
    named : mapping of str to str, optional
        The setting by which a column was named, for errors.

    Raises
    ------
    ValueError, OSError
        As for :func:`read_columns`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        columns: Sequence[str] | None = None,
        *,
        missing: Collection[str] = (),
        encoding: str = "utf-8",
        delimiter: str = ",",
        named: Mapping[str, str] | None = None,
    ) -> None:
        self.path = Path(path)
        part = next(_parts(self.path, columns, None, encoding, delimiter))
        self._before = 0  # rows of earlier pieces
        self._complete(part, columns, missing, named or {}, delimiter)

    def _complete(
        self,
        part: _Raw,
        columns: Sequence[str] | None,
        missing: Collection[str],
        named: Mapping[str, str],
        delimiter: str,
    ) -> None:
        self.raw, self._lines = part[0], part[1]
        self.names = part[2] if len(part) > 2 else [*self.raw]
        self._named, self._delimiter, self._given = named, delimiter, tuple(missing)
        self.missing = MISSING_TEXTS.union(text.strip() for text in missing)
        for name in columns or ():
            self.require(name)

    @classmethod
    def pieces(
        cls,
        path: str | os.PathLike[str],
        columns: Sequence[str],
        *,
        missing: Collection[str] = (),
        encoding: str = "utf-8",
        delimiter: str = ",",
        named: Mapping[str, str] | None = None,
        size: int,
    ) -> Iterator[File]:
        """Yield the table by pieces of so many rows, of which one is in memory; at least one piece, perhaps empty."""
        place, before = Path(path), 0
        for part in _parts(place, columns, size, encoding, delimiter):
            piece = cls.__new__(cls)
            piece.path, piece._before = place, before
            piece._complete(part, columns, missing, named or {}, delimiter)
            before += len(next(iter(piece.raw.values()), ()))
            yield piece

    def require(self, name: str) -> None:
        """Raise ValueError if the table lacks this column."""
        if name in self.raw:
            return
        which = f", which {self._named[name]} names" if name in self._named else ""
        padded = next((each for each in self.names if each.strip() == name.strip()), None)
        mark = other_delimiter(self.names, self._delimiter)
        if padded is not None:
            which += f", but {padded!r} with blanks around it: take them away in the first line, or write it so"
        elif mark is not None:
            which += f"; {_divided(mark)}"
        else:
            which += did_you_mean(name, self.names)
        raise ValueError(
            f"{self.path} has no column {name!r}{which}{' It' if which[-1:] == '?' else ': it'} has "
            f"{', '.join(self.names)}"[:600]
        )

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._lines) or len(next(iter(self.raw.values()), ()))

    def cell(self, i: int) -> str:
        """Return the location of a row in the file."""
        return f"line {self._lines[i]}" if self._lines else f"row {self._before + i}"

    def places(self, rows: Sequence[int], ids: str | None = None) -> str:
        """Return the locations of some rows, with the ids that a column holds."""
        shown = []
        for i in rows[:_NAMED]:
            of = "" if ids is None or ids not in self.raw else f" ({ids} {self.raw[ids][i]!r:.60})"
            shown.append(f"{self.cell(i)}{of}")
        return ", ".join(shown) + (f" and {len(rows) - _NAMED} more" if len(rows) > _NAMED else "")

    def place(self, name: str, declared: Declared | None = None) -> Place:
        """Return the names of a column and its cells for errors."""
        known = declared or Declared()

        def remedy(odd: Sequence[str], numbers: Sequence[str], kind: str | None) -> str:
            return sentence(name, odd, numbers, kind, known)

        advice = (
            f"correct the cells, or write {known.line('categorical', name)} in [data] if the cells are categories; "
            f"missing names the texts that mean missing, decimal and thousands the marks in numbers"
        )
        return Place(f"column {name!r} in {self.path}", self.cell, advice, remedy)

    def ids(self, name: str, *, once: bool = False) -> NDArray[np.object_]:
        """Return a column of ids as texts: those of the file, or the digits of an integer.

        Parameters
        ----------
        name : str
            The column.
        once : bool
            Whether to refuse an id that comes twice.

        Raises
        ------
        ValueError
            If a row has no id, one that is neither text nor integer, or one with blanks at its ends; the error names
            its line.
        """
        self.require(name)
        out = np.empty(len(self.raw[name]), dtype=object)
        padded = []
        for i, value in enumerate(self.raw[name]):
            if is_missing(value, self.missing):
                absent = [k for k, v in enumerate(self.raw[name]) if is_missing(v, self.missing)]
                raise ValueError(
                    f"{self.path}: {len(absent)} rows have no {name!r}, the first is {self.cell(i)}: rows without an "
                    f"id cannot match; give each an id, or leave them out"
                )
            if isinstance(value, bool) or not isinstance(value, str | numbers.Integral):
                raise ValueError(
                    f"{self.path}: {value!r} in {self.cell(i)} of {name!r} is of type {type(value).__name__}: write "
                    f"ids as texts or integers, as the other party does"
                )
            out[i] = value if isinstance(value, str) else str(int(value))
            if out[i] != out[i].strip():
                padded.append(i)
        if padded:
            raise ValueError(
                f"{self.path}: {len(padded)} of the ids in {name!r} have blanks at an end, such as "
                f"{out[padded[0]]!r:.60} in {self.cell(padded[0])}: 'A1 ' and 'A1' do not match at the other party; "
                f"take the blanks away"
            )
        if once:
            refuse_twice(f"{self.path}: rows of {name!r}", out.tolist(), self.cell)
        return out

    def labels(self, name: str, *, words: Mapping[str, int] | None = None, ids: str | None = None) -> NDArray[np.int64]:
        """Return a column of 0 and 1; ValueError names the first lines with another value.

        Parameters
        ----------
        name : str
            The column.
        words : mapping of str to int, optional
            What the cells hold instead of 0 and 1, and which of the two each stands for.
        ids : str, optional
            The column of ids, for errors.
        """
        self.require(name)
        read = number_reader()
        out = np.empty(len(self.raw[name]), np.int64)
        known: dict[Any, int | None] = {}
        wrong: dict[str, list[int]] = {}
        gaps = []
        for i, value in enumerate(self.raw[name]):
            if value in known:
                label = known[value]
            elif words:
                label = known[value] = _word_label(value, words, self.missing)
            else:
                number = read(value) if isinstance(value, str) else value
                fits = isinstance(number, numbers.Real) and number in (0, 1)
                label = known[value] = int(number == 1) if fits else None
            if label is not None:
                out[i] = label
            elif is_missing(value, self.missing):
                gaps.append(i)
            else:
                wrong.setdefault(_word(value), []).append(i)
        if wrong or gaps:
            raise ValueError(self._wrong_labels(name, wrong, gaps, words, ids))
        return out

    def _wrong_labels(
        self, name: str, wrong: dict[str, list[int]], gaps: list[int], words: Mapping[str, int] | None, ids: str | None
    ) -> str:
        """Return the error for labels that are not those declared, or missing."""
        must = f"{' and '.join(map(repr, words))}, as label_words says," if words else "0 and 1"
        start = f"{self.path}: the column {name!r} must hold {must} only, but"
        if not wrong:
            many = f"{len(gaps)} rows have none" if len(gaps) > 1 else "1 row has none"
            return (
                f"{start} {self.cell(gaps[0])} holds nothing: {many}: {self.places(gaps, ids)}; leave such rows out, "
                f"or give them labels"
            )
        rows = sorted(i for found in wrong.values() for i in found)
        counts = ", ".join(f"{word!r:.40}: {len(found)}" for word, found in [*wrong.items()][:_NAMED])
        counts += f", and {len(wrong) - _NAMED} other texts" if len(wrong) > _NAMED else ""
        first = next(word for word, found in wrong.items() if rows[0] in found)
        nothing = f"; {len(gaps)} more have no label: {self.places(gaps, ids)}" if gaps else ""
        every = [*dict.fromkeys(_word(value) for value in self.raw[name] if not is_missing(value, self.missing))]
        lines = "" if words else label_lines(every)
        remedy = lines or (
            "correct them, or leave these rows out"
            if words or len(every) <= _NAMED
            else "name the column of labels in [data]: label"
        )
        return (
            f"{start} {self.cell(rows[0])} holds {first!r:.60}. Such cells ({counts}) are in "
            f"{self.places(rows, ids)}{nothing}; 1 stands for the event, such as a default; {remedy}"
        )

    def columns(
        self,
        names: Sequence[str],
        *,
        categorical: Collection[str] = (),
        text: Collection[str] = (),
        numeric: Collection[str] = (),
        decimal: str = ".",
        thousands: str = "",
        dates: Collection[str] = (),
        date_since: str = SINCE,
        date_unit: str = "days",
        date_format: str = "YMD",
        strict: bool = True,
        only: str | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> tuple[list[NDArray[Any]], list[ColumnProfile]]:
        """Return columns and their profiles; the arguments are those of :func:`read_columns`.

        `strict` is False where it is known that undeclared numbers are neither codes nor dates. `only` is the one of
        these columns that is read. `tell` takes what is otherwise a warning: a caller that wants its text cannot catch
        warnings, which all threads of a process share.
        """
        kinds: dict[str, str] = {}
        for kind, given in (("categorical", categorical), ("text", text), ("numeric", numeric), ("dates", dates)):
            for name in given:
                if name not in names:
                    raise ValueError(
                        f"{kind} names {name!r}, which is not among the columns read from {self.path}"
                        f"{did_you_mean(name, names)}"
                    )
                if kinds.setdefault(name, kind) != kind:
                    raise ValueError(f"the column {name!r} is declared both {kinds[name]} and {kind}: name it once")
        declared = Declared(
            categorical, numeric, self._given, decimal, thousands, dates, date_since, date_unit, date_format
        )
        counted = date_reader(date_since, date_unit, date_format)
        column: NDArray[Any]
        values: list[NDArray[Any]] = []
        profiles = []
        for name in names if only is None else [only]:
            if kinds.get(name) == "dates":
                values.append(self._dates(name, counted, declared))
                profiles.append(ColumnProfile.of(name, values[-1], "numeric"))
                continue
            read = number_reader(decimal, thousands, kinds.get(name) != "numeric")
            try:
                column, kind, left = column_of(
                    self.raw[name],
                    self.place(name, declared),
                    kinds.get(name),
                    parse=True,
                    missing=self.missing,
                    read=read,
                    strict=strict,
                )
            except TypeError as error:  # a date of a Parquet file: the fault is in the file, not in an argument
                remedy = f"; write {declared.line('dates', name)} in [data]" if "dates" in str(error) else ""
                raise ValueError(f"{error}{remedy}") from None
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
            if column.dtype.kind == "O":
                column = _stripped(column)
            values.append(column)
            profiles.append(ColumnProfile.of(name, column, kind, numeric=share))
        return values, profiles

    def _dates(self, name: str, read: Callable[[Any], float], declared: Declared) -> NDArray[np.float64]:
        """Return a column of dates as numbers; ValueError names the cells that are none."""
        out = np.full(len(self.raw[name]), np.nan)
        wrong: dict[int, str] = {}
        for i, value in enumerate(self.raw[name]):
            if not is_missing(value, self.missing):
                try:
                    out[i] = read(value)
                except ValueError as error:
                    wrong[i] = str(error)
        if wrong:
            rows = list(wrong)
            cells = [str(self.raw[name][i]).strip() for i in rows]
            shown = ", ".join(
                f"{cell!r:.60} in {self.cell(i)} {wrong[i]}" for i, cell in zip(rows[:_NAMED], cells, strict=False)
            )
            more = f", and {len(rows) - _NAMED} more" if len(rows) > _NAMED else ""
            raise ValueError(
                f"column {name!r} in {self.path} is declared in dates, but {shown}{more}; "
                f"{date_faults(name, cells, declared)}"
            )
        return out


_NAMED = 5
"""Most cells that an error names."""


def refuse_twice(what: str, ids: Sequence[str], cell: Callable[[int], str]) -> None:
    """Raise ValueError if an id comes twice, which names the places.

    Examples
    --------
    >>> refuse_twice("t.csv: rows of 'id'", ["a", "b", "a"], "row {}".format)
    Traceback (most recent call last):
        ...
    ValueError: t.csv: rows of 'id' are the same id: 'a' in row 0 and row 2 (1 too many in all): keep one row for each
    """
    if len(set(ids)) == len(ids):
        return
    places: dict[str, list[int]] = {}
    for i, text in enumerate(ids):
        places.setdefault(text, []).append(i)
    twice = {text: rows for text, rows in places.items() if len(rows) > 1}
    shown = ", ".join(
        f"{text!r:.60} in {' and '.join(cell(i) for i in rows[:_NAMED])}" for text, rows in [*twice.items()][:_NAMED]
    )
    more = f", and {len(twice) - _NAMED} more ids" if len(twice) > _NAMED else ""
    raise ValueError(
        f"{what} are the same id: {shown}{more} ({len(ids) - len(places)} too many in all): keep one row for each"
    )


def _word(value: Any) -> str:
    """Return a label as the key of label_words would name it."""
    if isinstance(value, str):
        return value.strip()
    try:
        return category_text(value)
    except (TypeError, ValueError):
        return str(value)


def _word_label(value: Any, words: Mapping[str, int], missing: frozenset[str]) -> int | None:
    word = _word(value)
    if word in words:
        return words[word]
    if is_missing(value, missing):
        return None
    number = number_reader()(word) if len(word) < 40 else None
    return None if number is None or not np.isfinite(number) else words.get(category_text(number))


def _stripped(column: NDArray[np.object_]) -> NDArray[np.object_]:
    """Return texts without the blanks at their ends, which exports add to fill a width: "x " and "x" are one."""
    cut = {text: text.strip() for text in set(column.tolist()) if text is not None}
    if all(text == short for text, short in cut.items()):
        return column
    out = np.empty(len(column), dtype=object)
    out[:] = [None if text is None else cut[text] for text in column.tolist()]
    return out


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
    dates: Collection[str] = (),
    date_since: str = SINCE,
    date_unit: str = "days",
    date_format: str = "YMD",
    encoding: str = "utf-8",
    delimiter: str = ",",
) -> dict[str, NDArray[Any]]:
    r"""Read a table as ``bluetusk party`` does.

    Parameters
    ----------
    path : path-like
        A CSV file with the names of the columns in its first line, or a Parquet file (needs pyarrow). A row of a CSV
        file is one line: a line break within quotes is refused, since it usually comes from a stray quote, which would
        swallow rows. Blanks at the ends of a text do not count; at an end of an id they are refused.
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
    dates : collection of str
        Columns of dates, such as "2026-11-01", "2026/11/1", "20261101" or "2026年11月1日": they become the number of
        days since `date_since`, negative before it. A time of day is left out.
    date_since : str
        The day from which `dates` count. It is never today, since a model must count alike when it scores.
    date_unit : {"days", "months"}
        What `dates` count; months are those of the calendar, whatever the day.
    date_format : {"YMD", "DMY", "MDY"}
        The order of dates whose year is last: 01/11/2026 is refused unless "DMY" or "MDY" is stated.
    encoding : str
        Of a CSV file, such as "gb18030" or "utf-16".
    delimiter : str
        Of a CSV file, one character.

    Returns
    -------
    dict of str to ndarray
        float64 with NaN where missing; or objects: str, and None where missing. :meth:`WoEBinning.transform` and the
        models accept it unchanged.

    Raises
    ------
    ValueError
        If the file is not a well-formed table, lacks a column, or a declaration contradicts itself; if an undeclared
        column mixes numbers and texts, holds texts most of which look like numbers or dates, numbers with leading zeros
        or that are all dates (20261101), an infinite number or an integer that float64 would round. The error names the
        file, the line, the column and the value, and the declaration that is missing.
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
    check_encoding(encoding)
    check_delimiter(delimiter)
    file = File(path, columns, missing=missing, encoding=encoding, delimiter=delimiter)
    rest = [name for name in file.raw if name not in ids]
    values, _ = file.columns(
        rest,
        categorical=categorical,
        text=text,
        numeric=numeric,
        decimal=decimal,
        thousands=thousands,
        dates=dates,
        date_since=date_since,
        date_unit=date_unit,
        date_format=date_format,
    )
    found = {**dict(zip(rest, values, strict=True)), **{name: file.ids(name) for name in ids}}
    return {name: found[name] for name in (columns if columns is not None else file.raw)}


_Raw = tuple[dict[str, list[Any]], list[int]] | tuple[dict[str, list[Any]], list[int], list[str]]
"""The cells by column, the line of each row if there are lines, and the names of all columns of the file."""


def check_delimiter(mark: str) -> None:
    """Check a delimiter; ValueError for what cannot be one.

    Examples
    --------
    >>> check_delimiter(", ")
    Traceback (most recent call last):
        ...
    ValueError: delimiter must be one character other than a digit, a letter, a quote or a line break, not ', '
    """
    if len(mark) != 1 or mark.isalnum() or mark in "\"'\r\n\0.+-":
        raise ValueError(
            f"delimiter must be one character other than a digit, a letter, a quote or a line break, not {mark!r:.40}"
        )


def _parts(
    path: Path, columns: Sequence[str] | None, size: int | None, encoding: str, delimiter: str
) -> Iterator[_Raw]:
    if path.suffix.lower() in (".parquet", ".pq"):
        return _parquet(path, columns, size)
    return _csv(path, columns, size, encoding, delimiter)


def _csv(
    path: Path, columns: Sequence[str] | None, size: int | None, encoding: str = "utf-8", delimiter: str = ","
) -> Iterator[_Raw]:
    encoding = check_encoding(encoding)
    with io.BufferedReader(io.FileIO(os.fspath(path)), HEAD) as binary:
        head = binary.peek(HEAD)[:HEAD]  # a pipe can be read only once
        if (fault := not_text(path, head, encoding)) is not None:
            raise ValueError(fault)
        file = io.TextIOWrapper(binary, "utf-8-sig" if encoding == "utf-8" else encoding, newline="")
        reader = csv.reader(_lines(file, path, head), strict=True, delimiter=delimiter)
        last = 0
        try:
            names = _header(path, next(reader, None), columns, delimiter)
            _one_line(path, 1, reader.line_num)
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
                    remedy = _ragged(row, names, delimiter)
                    raise ValueError(f"line {last} of {path} has {len(row)} fields, not {len(names)}: {remedy}")
                lines.append(last)
                for j in wanted:
                    values[names[j]].append(row[j])
                if len(lines) == size:
                    yield values, lines, names
                    values, lines = {names[j]: [] for j in wanted}, []
        except UnicodeError:  # UTF-16 without a mark of its order raises this one
            raise ValueError(not_in(path, encoding, head)) from None
        except csv.Error as err:
            raise ValueError(_broken(path, last + 1, str(err))) from None
    if lines or size is None or last < 2:
        yield values, lines, names


def _lines(file: Iterable[str], path: Path, head: bytes) -> Iterator[str]:
    """Yield the lines of a file, which hold no zero bytes."""
    for number, line in enumerate(file, 1):
        if "\0" in line:
            if wide(head) is not None:
                raise ValueError(not_in(path, "utf-8", head))
            raise ValueError(
                f"line {number} of {path} holds a zero byte: the file is damaged, or no table: write it again"
            )
        yield line


def _header(path: Path, names: list[str] | None, columns: Sequence[str] | None, delimiter: str) -> list[str]:
    """Return the names of the columns in the first line; ValueError if these are none."""
    must = "must name the columns, each once"
    if names is None:
        raise ValueError(f"{path} is empty: its first line {must}")
    if not names:
        raise ValueError(f"the first line of {path} is empty: it {must}")
    names[0] = names[0].removeprefix("\ufeff")
    if names[0].lower().startswith("sep=") and len(names) <= 2:
        raise ValueError(
            f"the first line of {path} is {delimiter.join(names)!r}, which only Excel knows: take the line away, and "
            f"name the mark in [data]: delimiter"
        )
    mark = other_delimiter(names, delimiter) if len(names) == 1 else None
    if mark is not None:
        raise ValueError(f"{path} has one column of the name {names[0]!r:.200}: {_divided(mark)}")
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        places = " and ".join(str(j + 1) for j, name in enumerate(names) if name == twice)
        what = f"{twice!r} is the name of the columns" if twice else "there is no name for the columns"
        raise ValueError(f"the first line of {path} {must}: {what} {places}; give each its own name")
    if any(not name.strip() and (columns is None or name in columns) for name in names):
        place = next(j for j, name in enumerate(names) if not name.strip())
        others = [name for name in names if name.strip()]
        raise ValueError(
            f"the first line of {path} {must}: column {place + 1} has no name (its neighbours: "
            f"{', '.join(others[max(0, place - 1) : place + 1])}). Name it, take it away "
            f"(pandas: to_csv(index=False)), or name in [data] the columns that take part: columns"
        )
    return names


def _divided(mark: str) -> str:
    if mark in "，；":
        return f"it is divided by the full-width mark {mark}: replace it by a comma"
    return f"write `delimiter = {line_text(mark)}` in [data]"


def _ragged(row: list[str], names: list[str], delimiter: str) -> str:
    if (mark := other_delimiter(names, delimiter)) is not None and mark not in "，；":
        return _divided(mark)
    if len(row) > len(names):
        return f"put a text or number that holds {delimiter!r} between quotes"
    return "add the fields that are missing, with nothing between the delimiters, or take the line away"


def _broken(path: Path, line: int, why: str) -> str:
    """Return the error for a line that is no CSV."""
    if "field limit" in why:
        return (
            f"line {line} of {path} has a cell of more than {csv.field_size_limit():,} characters: shorten it; or a "
            f"quote before it is not closed: close each quote in the line that opens it"
        )
    return (
        f"line {line} of {path} is not a valid CSV line ({why}): close each quote in the line that opens it, and "
        f"double the quotes within a quoted field"
    )


def _one_line(path: Path, first: int, last: int) -> None:
    """Raise ValueError for a row of several lines: two stray quotes turn all rows between them into one."""
    if last > first:
        raise ValueError(
            f"line {first} of {path} opens a quote that ends in line {last}: close each quote in its line, and write "
            f"texts without line breaks"
        )


def _parquet(path: Path, columns: Sequence[str] | None, size: int | None) -> Iterator[_Raw]:
    with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
        start = file.read(200)
        if not start.startswith(b"PAR1"):
            begins = start.decode("utf-8", "replace").splitlines()[:1]
            raise ValueError(
                f"{path} is no Parquet file: it begins with {begins[0] if begins else ''!r:.80}; name a CSV "
                f"file with the ending .csv"
            )
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise ValueError(f"{path}: Parquet files need pyarrow: pip install pyarrow, or give a CSV file") from None
    try:
        with parquet.ParquetFile(path) as table:
            every = list(table.schema_arrow.names)
            names = [name for name in every if columns is None or name in columns]
            batches = [table.read(names)] if size is None else table.iter_batches(size, columns=names)
            empty = True
            for batch in batches:
                empty = False
                yield {name: batch.column(name).to_pylist() for name in names}, [], every
            if empty:
                yield {name: [] for name in names}, [], every
    except (arrow.ArrowInvalid, arrow.ArrowNotImplementedError) as err:
        raise ValueError(f"{path} is not a Parquet file: {str(err)[:200]}") from None
