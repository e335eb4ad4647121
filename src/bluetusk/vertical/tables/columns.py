"""Reads a party's columns from an array, a list, a DataFrame or a mapping; all cells follow the same rules."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._numeric import Floats, as_array, as_numbers, index_text, refuse_masks
from .advice import look
from .cells import MISSING_TEXTS, category_text, is_missing, looks_like, number_of, number_reader
from .dates import is_date
from .profile import ColumnProfile

__all__ = [
    "Place",
    "Table",
    "as_classes",
    "as_labels",
    "as_reals",
    "as_scores",
    "as_table",
    "column_names",
    "column_of",
    "texts_of",
]

_NAMED = 5
"""Largest number of cells that an error names."""


@dataclass(frozen=True)
class Table:
    """Columns by name.

    Attributes
    ----------
    names : list of str
        Distinct.
    values : list of ndarray
        float64 with NaN for missing values, or for categories an object array of texts, with None for missing ones.
    kinds : list of str
        "numeric", "text" or "categorical", as in :class:`~bluetusk.vertical.tables.profile.ColumnProfile`.
    rows : int
        The length of the columns.
    """

    names: list[str]
    values: list[NDArray[Any]]
    kinds: list[str]
    rows: int

    def profile(self) -> list[ColumnProfile]:
        """Return the profile of each column."""
        columns = zip(self.names, self.values, self.kinds, strict=True)
        return [ColumnProfile.of(name, values, kind) for name, values, kind in columns]


@dataclass(frozen=True)
class Place:
    """Names a column and its cells in errors, and gives the remedy.

    Attributes
    ----------
    column : str
        The column's name in errors, such as "X['age']".
    cell : callable
        Names the cell of a row, such as "row 3".
    advice : str
        The remedy: how to declare a column of numbers and texts.
    remedy : callable, optional
        Returns a better one for the texts that are not numbers, those that are, and the declared kind.
    """

    column: str
    cell: Callable[[int], str]
    advice: str
    remedy: Callable[[Sequence[str], Sequence[str], str | None], str] | None = None

    def advise(self, odd: Sequence[str], numbers: Sequence[str] = (), kind: str | None = None) -> str:
        """Return the remedy for texts that are not numbers, in a column of some that are."""
        return self.advice if self.remedy is None else self.remedy(odd, numbers, kind)

    def at(self, i: int) -> str:
        """Name one cell."""
        return f"{self.cell(i)} of {self.column}"


def texts_of(
    cells: Iterable[Any], place: Place | None = None, missing: frozenset[str] = MISSING_TEXTS
) -> NDArray[np.object_]:
    """Return cells as texts of categories (:func:`category_text`), None where one is missing.

    Examples
    --------
    >>> texts_of(["a", 1, 1.0, None, float("nan"), "NA", "007"]).tolist()
    ['a', '1', '1', None, None, None, '007']
    """
    given = list(cells)
    out = np.empty(len(given), dtype=object)
    for i, value in enumerate(given):
        if not is_missing(value, missing):
            try:
                out[i] = category_text(value)
            except (TypeError, ValueError) as error:
                raise type(error)(f"{place.at(i) if place else f'value {i}'} {error}") from None
    return out


def column_of(
    cells: Sequence[Any],
    place: Place,
    kind: str | None = None,
    *,
    parse: bool = False,
    missing: frozenset[str] = MISSING_TEXTS,
    read: Callable[[str], float | None] | None = None,
    strict: bool = False,
) -> tuple[NDArray[Any], str, int]:
    """Determine a column's kind, and return its values.

    Parameters
    ----------
    cells : sequence
        Numbers, strings and missing values.
    place : Place
        Names the column and its cells in errors.
    kind : {"numeric", "text", "categorical"}, optional
        The column's declared kind. By default it must hold numbers only, or texts only.
    parse : bool
        Whether a column of strings that are all numbers is one of numbers, as in a CSV file; else they stay categories.
    missing : frozenset of str
        Texts that stand for missing values.
    read : callable, optional
        From :func:`number_reader`.
    strict : bool
        Whether to refuse undeclared numbers that are rather codes (leading zeros) or dates ("20261101").

    Returns
    -------
    values : ndarray
        As in :class:`Table`.
    kind : str
        The column's kind.
    left_out : int
        In a column declared numeric: the number of texts that count as missing.

    Raises
    ------
    ValueError
        If numbers and texts are mixed, a number is infinite, or float64 would round an integer; the error names the
        cells.
    TypeError
        If a cell is neither a number nor a text.
    """
    if kind in ("text", "categorical"):
        return texts_of(cells, place, missing), str(kind), 0
    read = read or number_reader()
    numbers = np.full(len(cells), np.nan)
    known: dict[str, float | None] = {}
    plain: list[int] = []  # cells that are numbers by type, numbers by text, and other texts
    spelled: list[int] = []
    texts: list[int] = []
    for i, value in enumerate(cells):
        text = isinstance(value, str)
        if text and value in known:
            number = known[value]
        elif is_missing(value, missing):
            continue
        else:
            number = _number(value, place, i, read, kind != "numeric")
            if text:
                known[value] = number
        if number is None:
            texts.append(i)
            continue
        (spelled if text else plain).append(i)
        numbers[i] = number
    if texts and (kind == "numeric" or plain or spelled):
        seen = [i for i in texts if kind != "numeric" or look(cells[i])]
        if seen:
            raise ValueError(_mixed(cells, place, sorted(plain + spelled), seen, kind))
    elif texts:
        looks = {text: look(text) for text, number in known.items() if number is None}
        seen = [i for i in texts if looks[cells[i]] is not None]
        if 2 * len(seen) > len(texts):  # numbers or dates in another notation, and a few words
            of = "that all" if len(seen) == len(texts) else f"of which {len(seen)} of {len(texts)}"
            named = " or ".join(sorted({str(what) for what in looks.values() if what is not None}))
            raise ValueError(
                f"{place.column} holds texts {of} look like {named}: {_cells(cells, place, seen)}; "
                f"{place.advise([cells[i] for i in texts])}"
            )
        return texts_of(cells, place, missing), "text", 0
    if spelled and not parse:
        if plain:
            raise ValueError(
                f"{place.column} mixes numbers and strings of numbers: {_cells(cells, place, plain[:1] + spelled)}; "
                f"convert all to one of them, or {place.advice}"
            )
        return texts_of(cells, place, missing), "text", 0
    if strict and kind is None:
        _refuse_codes(cells, place, spelled, numbers)
    return _finite(numbers, place), "numeric", len(texts)


_ZEROS = re.compile(r"\s*[+-]?0[0-9]+\s*")


def _refuse_codes(cells: Sequence[Any], place: Place, spelled: list[int], numbers: NDArray[np.float64]) -> None:
    """Raise ValueError for numbers of a file that would lose their leading zeros, or that are all dates."""
    zeros = [i for i in spelled if _ZEROS.fullmatch(cells[i])]
    if zeros:
        raise ValueError(
            f"{place.column} holds numbers with leading zeros, as codes have them: {_cells(cells, place, zeros)}; "
            f"{place.advise(['codes'], (), 'zeros')}"
        )
    there = np.flatnonzero(~np.isnan(numbers))
    values = numbers[there]
    like_days = values.size and ((values >= 19000101) & (values < 22000101) & (values == np.floor(values))).all()
    if like_days and all(is_date(str(int(value))) for value in np.unique(values)):
        raise ValueError(
            f"{place.column} holds numbers that are all dates: {_cells(cells, place, there.tolist())}; "
            f"{place.advise([str(int(value)) for value in values[:_NAMED]], (), 'dates')}"
        )


def _cells(cells: Sequence[Any], place: Place, found: Sequence[int]) -> str:
    shown = []
    for i in found[:_NAMED]:
        looks = looks_like(cells[i]) if isinstance(cells[i], str) else None
        shown.append(f"{cells[i]!r:.60} in {place.cell(i)}" + (f" ({looks})" if looks else ""))
    return ", ".join(shown) + (f", and {len(found) - _NAMED} more" if len(found) > _NAMED else "")


def _mixed(cells: Sequence[Any], place: Place, numbers: list[int], texts: list[int], kind: str | None) -> str:
    spelled = all(looks_like(cells[i]) for i in texts)  # numbers in another notation are the ones to show
    few, what = (texts, "are not") if len(texts) <= len(numbers) or kind or spelled else (numbers, "are")
    count = len(numbers) + len(texts)
    shown = [cells[i] for i in numbers if isinstance(cells[i], str)]
    return (
        f"{place.column} mixes numbers and texts: of {count} cells {len(few)} {what} numbers: "
        f"{_cells(cells, place, few)}; {place.advise([cells[i] for i in texts], shown, kind)}"
    )


# -------------------------------------------------------------------------------------------------- tables of a caller


def as_table(
    X: Any,
    columns: Sequence[str] | None = None,
    categorical: Collection[str] = (),
    *,
    only: Collection[str] | None = None,
    what: str = "X",
) -> Table:
    """Return the columns of a table.

    Parameters
    ----------
    X : array_like of shape (n, k), DataFrame, or mapping of str to array_like of shape (n,)
        An object with ``.columns`` and ``.to_numpy()`` has its own names, and so does a mapping. Columns of strings and
        of pandas' dtype "category" are columns of categories.
    columns : sequence of str, optional
        Names; by default the DataFrame's, else "x0", "x1" and so on.
    categorical : collection of str
        Names of the columns whose numbers are codes, or that mix numbers and texts.
    only : collection of str, optional
        Read only those of these columns that exist.
    what : str
        The table's name in errors.

    Returns
    -------
    Table

    Raises
    ------
    TypeError, ValueError
        If `X` does not have two axes, columns have different lengths, names repeat or do not match the columns,
        `categorical` names an unknown column, or a column is not one that :func:`column_of` accepts.

    Examples
    --------
    >>> table = as_table([[1, 2], [3, float("nan")]], ["age", "code"], ["code"])
    >>> table.names, table.values[0].tolist(), table.values[1].tolist()
    (['age', 'code'], [1.0, 3.0], ['2', None])
    """
    if isinstance(categorical, str):
        raise TypeError(
            f"categorical must be a collection of names, not the text {categorical!r}: give [{categorical!r}]"
        )
    if not isinstance(categorical, Collection):
        raise TypeError(f"categorical must be a collection of names, not {type(categorical).__name__}")
    own, raw = _parts(X, what)
    names = own if columns is None else column_names(columns)
    if len(names) != len(raw):
        raise ValueError(
            f"columns has {len(names)} names, but {what} has {len(raw)} columns: give one name for each column"
        )
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"columns of {what} must have distinct names: {twice!r} comes twice; give different names")
    for name in categorical:
        if name not in names:
            raise ValueError(
                f"categorical names {name!r}, but {what} has no column of that name: {', '.join(names[:20])}"
            )
    values, kinds = [], []
    if only is not None:
        places = [j for j, name in enumerate(names) if name in only]
        names, raw = [names[j] for j in places], [raw[j] for j in places]
    for name, column in zip(names, raw, strict=True):
        cells, kind = _column(column, name in categorical, f"{what}[{name!r}]")
        values.append(cells)
        kinds.append(kind)
    rows = len(values[0]) if values else len(next(iter(X.values()), ())) if isinstance(X, Mapping) else len(X)
    if any(len(column) != rows for column in values):
        raise ValueError(f"the columns of {what} have different lengths: {', '.join(str(len(c)) for c in values[:20])}")
    return Table(names, values, kinds, rows)


def column_names(columns: object) -> list[str]:
    """Return the names of columns that a caller gave; TypeError for one text, which is a sequence of letters.

    Examples
    --------
    >>> column_names("age")
    Traceback (most recent call last):
        ...
    TypeError: columns must be a sequence of names, not the text 'age': give ['age']
    """
    if isinstance(columns, str):
        raise TypeError(f"columns must be a sequence of names, not the text {columns!r}: give [{columns!r}]")
    if not isinstance(columns, Collection):
        raise TypeError(f"columns must be a sequence of names, not {type(columns).__name__}")
    return [str(name) for name in columns]


def _parts(X: Any, what: str) -> tuple[list[str], list[Any]]:
    """Return the names and the columns as given."""
    if isinstance(X, Mapping):
        return [str(name) for name in X], list(X.values())
    if hasattr(X, "columns") and hasattr(X, "to_numpy"):
        own = [str(name) for name in X.columns]
        if hasattr(X, "iloc"):
            return own, [X.iloc[:, j] for j in range(len(own))]
        if hasattr(X, "__getitem__"):
            return own, [X[name] for name in X.columns]
        X = X.to_numpy()
    else:
        own = []
    array = as_array(X, what, object if isinstance(X, list | tuple) else None)
    if array.ndim != 2:
        raise ValueError(f"{what} must have two axes, rows and columns, not shape {array.shape}")
    return own or [f"x{j}" for j in range(array.shape[1])], list(array.T)


def _column(column: Any, coded: bool, what: str) -> tuple[NDArray[Any], str]:
    refuse_masks(column, what)
    place = Place(
        what,
        "row {}".format,
        "mark what is missing as None, correct the cells, or name the column in categorical if it holds categories",
    )
    dtype = getattr(column, "dtype", None)
    if hasattr(column, "cat") and hasattr(column.cat, "codes"):  # pandas' category: the dtype declares the kind
        known = texts_of(column.cat.categories.tolist(), place, frozenset())
        codes = as_array(column.cat.codes, what)
        return np.append(known, [None])[codes], "categorical"  # the code of a missing value is -1, the last
    if not isinstance(column, np.ndarray):
        if isinstance(dtype, np.dtype) and dtype.kind in "biuf":
            column = column.to_numpy() if hasattr(column, "to_numpy") else as_array(column, what)
        elif hasattr(column, "to_list"):
            column = column.to_list()  # a nullable column of integers would become floats as an array
        else:
            column = column.to_numpy() if hasattr(column, "to_numpy") else as_array(column, what, object)
    if isinstance(column, np.ndarray) and column.ndim != 1:
        raise ValueError(f"{what} must have one axis, not shape {column.shape}")
    if not isinstance(column, np.ndarray):
        return column_of(column, place, "categorical" if coded else None)[:2]
    if column.dtype.kind not in "biufOU" or (column.dtype.kind == "f" and column.dtype.itemsize > 8):
        advice = {"S": ": decode them to str", "M": ": convert to days or months", "m": ": convert to numbers"}
        raise TypeError(f"{what} is of {column.dtype}, not numbers or strings{advice.get(column.dtype.kind, '')}")
    if column.dtype.kind == "O" and not coded and {*map(type, column)} <= {float, type(None)}:
        column = column.astype(np.float64)  # the same result as below, vectorised
    if coded or column.dtype.kind in "OU":
        narrow = column.dtype.kind == "f" and column.dtype.itemsize < 8  # for which tolist() would add wrong digits
        return column_of(list(column) if narrow else column.tolist(), place, "categorical" if coded else None)[:2]
    values = column.astype(np.float64)
    for i in np.flatnonzero(np.abs(values) >= 2.0**53).tolist() if column.dtype.kind in "iu" else ():
        _number(column[i].item(), place, i)  # refuses rounded integers
    return _finite(values, place), "numeric"


def _number(
    value: Any, place: Place, i: int, read: Callable[[str], float | None] | None = None, exact: bool = True
) -> float | None:
    try:
        return read(value) if read and isinstance(value, str) else number_of(value, exact)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{place.at(i)} {error}") from None


def _finite(values: NDArray[np.float64], place: Place) -> NDArray[np.float64]:
    infinite = np.flatnonzero(np.isinf(values)).tolist()
    if infinite:
        more = f", one of {len(infinite)}" if len(infinite) > 1 else ""
        raise ValueError(f"{place.at(infinite[0])} is infinite{more}: clip it, or mark it as missing")
    return values


def as_labels(y: Any, rows: int, of: str = "rows of X") -> NDArray[np.int64]:
    """Return labels 0 and 1; both must occur.

    Parameters
    ----------
    y : array_like of shape (rows,)
        0 or 1, as int, float or bool.
    rows : int
        The required number of labels.

    Returns
    -------
    ndarray of int64

    Raises
    ------
    ValueError
        If the shape differs, a label is missing or not 0 or 1, or all labels are equal.
    TypeError
        If labels are masked (:mod:`numpy.ma`).

    Examples
    --------
    >>> as_labels([True, False], 2)
    array([1, 0])
    """
    values = as_array(y, "y")
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.shape != (rows,):
        raise ValueError(f"y must have one label for each of the {rows} {of}, not shape {values.shape}")
    if values.dtype.kind == "O" and not any(isinstance(v, str) or is_missing(v) for v in values):
        values = np.array([number_of(v) for v in values])  # of a nullable column
    wrong = np.ones(rows, np.bool_) if values.dtype.kind not in "biuf" else (values != 0) & (values != 1)
    if wrong.any():
        at = int(wrong.argmax())
        raise ValueError(
            f"y must hold 0 and 1 only: 1 for the event, such as a default; y[{at}] is {values.item(at)!r:.40}"
        )
    labels = values.astype(np.int64)
    if not 0 < labels.sum() < rows:
        raise ValueError("y holds only one label: both 0 and 1 are needed")
    return labels


def as_scores(score: Any, name: str = "score") -> Floats:
    """Return scores as float64, shape (n,); TypeError or ValueError if one is masked, not real or not finite.

    Examples
    --------
    >>> as_scores([0.5, float("nan")], "scores")
    Traceback (most recent call last):
        ...
    ValueError: scores[1] is NaN or infinite: leave such rows out
    """
    values = as_reals(score, name, "leave such rows out")
    if values.ndim != 1 or not len(values):
        raise ValueError(f"{name} must have one axis and at least one value, not the shape {values.shape}")
    return values


def as_reals(x: Any, name: str, remedy: str = "give finite numbers") -> Floats:
    """Return finite numbers as float64, of any shape."""
    values = as_array(as_numbers(x, name), name, np.float64)
    if not np.isfinite(values).all():
        k = int(np.isfinite(values.reshape(-1)).argmin())
        raise ValueError(f"{index_text(name, values.shape, k)} is NaN or infinite: {remedy}")
    return values


def as_classes(y: Any, rows: int) -> tuple[NDArray[np.bool_], NDArray[Any]]:
    """Return which rows have the second of two classes, and the sorted classes.

    Parameters
    ----------
    y : array_like of shape (rows,)
        Integers, booleans, whole floats, or strings; not a mix of strings and numbers.
    rows : int
        The required number of labels.

    Returns
    -------
    second : ndarray of bool
    classes : ndarray of shape (2,)
        Of int64, bool or str.

    Raises
    ------
    ValueError
        If `y` is None or has another shape, a label is missing or of another type, types are mixed, or there are not
        exactly two classes.
    TypeError
        If labels are masked (:mod:`numpy.ma`).

    Examples
    --------
    >>> as_classes(["good", "bad"], 2)
    (array([ True, False]), array(['bad', 'good'], dtype='<U4'))
    """
    if y is None:
        raise ValueError("the guest needs labels: give y")
    listed = isinstance(y, list | tuple)
    given = as_array(y, "y", object if listed else None)
    if given.shape != (rows,):
        raise ValueError(f"y must have shape ({rows},), one label for each row, not {given.shape}")
    if given.dtype.kind == "O":
        if any(is_missing(v) and not isinstance(v, str) for v in given):
            raise ValueError("y must hold integers, booleans or strings, none missing")
        kinds = {"str" if isinstance(v, str) else "bool" if isinstance(v, bool | np.bool_) else "int" for v in given}
        if len(kinds) != 1:
            raise ValueError(f"y mixes {' and '.join(sorted(kinds))}: 1 and '1' would be one class; give one type")
        given = np.array(given.tolist())
    if given.dtype.kind not in "biuU" and not (given.dtype.kind == "f" and np.isfinite(given).all()):
        raise ValueError(f"y must hold integers, booleans or strings, none missing, not {given.dtype}")
    if given.dtype.kind == "f":
        if (given != np.floor(given)).any() or (np.abs(given) >= 2.0**53).any():
            raise ValueError("floats in y must be whole numbers below 2^53, since they name classes")
        given = given.astype(np.int64)
    classes = np.unique(given)
    if len(classes) != 2:
        raise ValueError(f"y must have two classes, not {len(classes)}")
    return given == classes[1], classes
