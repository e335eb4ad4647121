"""Reads TOML on every supported CPython, and writes texts in it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

__all__ = ["load", "loaded", "text", "texts"]

_LARGEST = 1 << 24


def load(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a TOML file; ValueError, with the line, if it is malformed, or if it is too long or nested too deep."""
    with Path(path).open("rb") as file:
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise ValueError(f"{os.fspath(path)} is longer than {_LARGEST >> 20} MiB, too long for settings")
    try:
        return loaded(data.decode())
    except UnicodeDecodeError:
        raise ValueError(f"{os.fspath(path)} is not a TOML file: it is not in UTF-8: save it in UTF-8") from None
    except ValueError as err:
        raise ValueError(f"{os.fspath(path)} is not a TOML file: {err}") from None


def loaded(text: str) -> dict[str, Any]:
    """Read TOML from a text; ValueError, with the line, if it is malformed."""
    try:
        import tomllib
    except ModuleNotFoundError:  # CPython 3.10
        import tomli as tomllib  # type: ignore[no-redef,import-not-found,unused-ignore]
    try:
        return dict(tomllib.loads(text))
    except RecursionError:  # of CPython's own reader
        raise ValueError("it is nested too deep") from None


def text(value: str) -> str:
    r"""Write a text as TOML, in quotes.

    Raises
    ------
    ValueError
        If it holds half of a surrogate pair, which no TOML file can.

    Examples
    --------
    >>> print(text('a "b" \\ \n'))
    "a \"b\" \\ \u000a"
    """
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{value!a} is not Unicode text: rename it") from None
    special = {'"': '\\"', "\\": "\\\\"}
    return '"' + "".join(special.get(c) or (f"\\u{ord(c):04x}" if _control(c) else c) for c in value) + '"'


def texts(values: Iterable[str], indent: str = "    ", width: int = 100) -> str:
    """Write a list of texts as TOML, on several lines where it is long."""
    items = [text(value) for value in values]
    if sum(map(len, items)) + 2 * len(items) <= width:
        return f"[{', '.join(items)}]"
    lines = [""]
    for item in items:
        if lines[-1] and len(lines[-1]) + len(item) + 2 > width:
            lines.append("")
        lines[-1] += f"{item}, "
    return "[\n" + "".join(f"{indent}{line.rstrip()}\n" for line in lines) + "]"


def _control(c: str) -> bool:
    """Tell whether TOML has a character escaped, or a reader of the file would not see it."""
    return ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or c in "\u2028\u2029"
