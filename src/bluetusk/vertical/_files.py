"""A party's rows, from a CSV or Parquet file of its own."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["read_columns"]


def read_columns(
    path: str | os.PathLike[str], columns: Sequence[str] | None = None, *, text: Sequence[str] = ()
) -> dict[str, NDArray[Any]]:
    r"""Read a table.

    Parameters
    ----------
    path : path-like
        A CSV file in UTF-8 with the names of the columns in its first line, or a Parquet file (needs pyarrow).
    columns : sequence of str, optional
        Read these only.
    text : sequence of str
        Columns that stay text, whatever is in them: ids keep their leading zeros.

    Returns
    -------
    dict of str to ndarray
        float64 where every value is a number or missing (empty, NaN), else objects: str, or None where missing.

    Raises
    ------
    ValueError
        If the file is no such table, naming the line or the column.
    OSError
        If it cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
    ...     _ = file.write("id,age\n007,41\n008,\n")
    ...     file.flush()
    ...     read_columns(file.name, text=["id"])
    {'id': array(['007', '008'], dtype=object), 'age': array([41., nan])}
    """
    source = Path(path)
    read = _parquet if source.suffix.lower() in (".parquet", ".pq") else _csv
    raw = read(source, columns)
    if columns is not None:
        for name in columns:
            if name not in raw:
                raise ValueError(f"{source} has no column {name!r}: it has {', '.join(raw)}"[:400])
    return {name: _texts(values) if name in text else _numbers(values) for name, values in raw.items()}


def _csv(path: Path, columns: Sequence[str] | None) -> dict[str, list[Any]]:
    with open(path, newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        try:
            names = next(reader, [])
            if not names or len(set(names)) != len(names):
                raise ValueError(f"the first line of {path} must name the columns, each once")
            wanted = [j for j, name in enumerate(names) if columns is None or name in columns]
            values: dict[str, list[Any]] = {names[j]: [] for j in wanted}
            for row in reader:
                if not row and len(names) > 1:
                    continue  # an empty line, at the end as a rule
                if len(row) != len(names):
                    raise ValueError(f"line {reader.line_num} of {path} has {len(row)} fields, not {len(names)}")
                for j in wanted:
                    values[names[j]].append(row[j])
        except (UnicodeDecodeError, csv.Error) as err:
            raise ValueError(f"{path} is no CSV file in UTF-8 (line {reader.line_num}): {err}") from None
    return values


def _parquet(path: Path, columns: Sequence[str] | None) -> dict[str, list[Any]]:
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise ValueError(f"{path}: Parquet files need pyarrow: pip install pyarrow, or give a CSV file") from None
    try:
        table = parquet.read_table(path)
    except (arrow.ArrowInvalid, arrow.ArrowNotImplementedError) as err:
        raise ValueError(f"{path} is no Parquet file: {str(err)[:200]}") from None
    return {name: table.column(name).to_pylist() for name in table.column_names if columns is None or name in columns}


def _texts(values: list[Any]) -> NDArray[Any]:
    out = np.empty(len(values), dtype=object)
    out[:] = [None if v is None or v == "" else str(v) for v in values]
    return out


def _numbers(values: list[Any]) -> NDArray[Any]:
    try:
        return np.array([np.nan if v is None or v == "" else float(v) for v in values], np.float64)
    except (TypeError, ValueError):
        return _texts(values)
