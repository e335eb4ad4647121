"""Reads one cell of a table: missing, a number, or a text. All cells of files, frames and arrays are read here."""

from __future__ import annotations

import functools
import math
import numbers
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from .dates import is_date

__all__ = [
    "MISSING_TEXTS",
    "category_text",
    "in_order",
    "is_missing",
    "looks_like",
    "number_of",
    "number_reader",
    "number_texts",
    "reads_as_number",
]

MISSING_TEXTS = frozenset(
    [
        *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A"),
        *("NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
    ]
)
"""Texts that stand for a missing value: the default ``na_values`` of :func:`pandas.read_csv`."""

_EXACT = 1 << 53
"""Float64 holds every integer up to this one."""
_INEXACT = (
    "an integer that float64 does not hold: name the column in categorical if it is a code, leave it out, or give "
    "floats (in a file: declare it numeric) if rounding does no harm"
)


def is_missing(value: Any, texts: frozenset[str] = MISSING_TEXTS) -> bool:
    """Return whether a cell is missing: None, NaN, NaT, pandas.NA, or one of `texts`, also between blanks.

    Examples
    --------
    >>> [is_missing(v) for v in (None, float("nan"), " NA ", "", "none", 0)]
    [True, True, True, True, False, False]
    """
    if isinstance(value, str):
        return value.strip() in texts
    if value is None or type(value).__name__ == "NAType":  # a comparison with pandas.NA has no truth value
        return True
    try:
        return bool(value != value)
    except (TypeError, ValueError, ArithmeticError):  # an array, or a signalling NaN of decimal
        return isinstance(value, Decimal)


# ------------------------------------------------------------------------------------------------------------- numbers


@functools.cache
def number_reader(decimal: str = ".", thousands: str = "", exact: bool = True) -> Callable[[str], float | None]:
    """Return a function that reads a text as a number, or returns None where it is another text.

    Parameters
    ----------
    decimal : str
        The decimal mark, one character.
    thousands : str
        The mark between groups of three digits, one character; "" for none.
    exact : bool
        Whether to refuse an integer that float64 would round.

    Returns
    -------
    callable
        Accepts blanks around the number, and exponents; "inf" and numbers that overflow become infinite. Rejects
        Python's underscores and digits other than 0 to 9. If `exact`, raises ValueError for an integer beyond 2^53 that
        float64 does not hold: two codes could become one.

    Raises
    ------
    ValueError
        If a mark is not one character, or a digit, letter or sign, or both marks are equal.

    Examples
    --------
    >>> number_reader()(" 1.5e3 "), number_reader()("1,169"), number_reader(",", ".")("1.169,5")
    (1500.0, None, 1169.5)
    """
    for name, mark in (("decimal", decimal), ("thousands", thousands)):
        if len(mark) > 1 or mark.isalnum() or mark in ("+", "-", '"'):
            raise ValueError(f"{name} must be one character other than a digit, a letter or a sign, not {mark!r}")
    if not decimal or decimal == thousands:
        raise ValueError(f"decimal is {decimal!r} and thousands {thousands!r}: they must be two different marks")
    d, t = re.escape(decimal), re.escape(thousands)
    whole = rf"(?:[0-9]{{1,3}}(?:{t}[0-9]{{3}})+|[0-9]+)" if thousands else "[0-9]+"
    pattern = re.compile(rf"[+-]?(?:{whole}(?:{d}[0-9]*)?|{d}[0-9]+)(?:[eE][+-]?[0-9]+)?")
    infinite = re.compile(r"[+-]?inf(?:inity)?", re.IGNORECASE)

    def read(text: str) -> float | None:
        text = text.strip()
        if pattern.fullmatch(text):
            clean = text.replace(thousands, "") if thousands else text
            number = float(clean if decimal == "." else clean.replace(decimal, "."))
            if (
                exact
                and _EXACT <= abs(number) < math.inf
                and (clean.lstrip("+-").isdecimal() and int(clean) != int(number))
            ):
                raise ValueError(f"is {_short(text)}, {_INEXACT}")
            return number
        return float(text) if infinite.fullmatch(text) else None

    return read


def reads_as_number(text: str) -> bool:
    """Return whether a text is a number, even one that float64 does not hold, such as "9007199254740993"."""
    try:
        return number_reader()(text) is not None
    except ValueError:
        return True


def number_of(value: Any, exact: bool = True) -> float:
    """Return a number of any type except str as a float.

    Raises
    ------
    TypeError
        If the value is not a real number.
    ValueError
        If `exact`, and the value is an integer beyond 2^53 that float64 does not hold: two of them could become one.

    Examples
    --------
    >>> number_of(True), number_of(7), number_of(Decimal("1.5"))
    (1.0, 7.0, 1.5)
    """
    if not isinstance(value, numbers.Real | Decimal | np.bool_) or isinstance(value, np.longdouble):
        raise TypeError(f"is of type {type(value).__name__}: numbers, texts or None are needed{_dated(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if exact and isinstance(value, numbers.Integral) and abs(int(value)) > _EXACT and number != int(value):
        raise ValueError(f"is {_short(value)}, {_INEXACT}")
    return number


def _dated(value: Any) -> str:
    dates = isinstance(value, np.datetime64 | np.timedelta64) or hasattr(value, "isoformat")
    return " (convert dates to days or months first)" if dates else ""


_PLAIN = r"[0-9]+(?:[.,][0-9]+)*"
_CURRENCY = "[$\u20ac\u00a3\u00a5\uffe5]|[A-Z]{3}"
_FORMS = (
    (r"[+-]?[0-9]{1,3},[0-9]{3}", "a number with a thousands separator or a decimal comma"),
    (r"[+-]?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?", "a number with thousands separators"),
    (r"[+-]?[0-9]{1,3}(?:[ '_\u00a0\u202f\u2019][0-9]{3})+(?:[.,][0-9]+)?", "a number with thousands separators"),
    (r"[+-]?[0-9]{1,3}(?:\.[0-9]{3})+,[0-9]+", "a number with thousands separators and a decimal comma"),
    (r"[+-]?[0-9]{1,3}(?:\.[0-9]{3}){2,}", "a number with thousands separators"),
    (r"[+-]?[0-9]*,[0-9]+", "a number with a decimal comma"),
    (rf"[+-]?{_PLAIN} ?[%\u2030]", "a percentage"),
    (rf"[+-]?(?:{_CURRENCY} |[$\u20ac\u00a3\u00a5\uffe5]) ?{_PLAIN}", "an amount of money"),
    (rf"[+-]?{_PLAIN} ?(?:{_CURRENCY}|[\u5143\u5706\u5186\u5757])", "an amount of money"),
    (rf"[+-]?{_PLAIN} ?[\u5341\u767e\u5343\u4e07\u842c\u4ebf\u5104]+[\u5143\u5706]?", "a number with a unit"),
    (rf"[(\uff08]{_PLAIN}[)\uff09]", "a negative number in parentheses"),
    (rf"{_PLAIN}[-\u2212]", "a number with the minus behind it"),
    (rf"[\u2212\u2010-\u2015\ufe63]{_PLAIN}", "a number with another sign than -"),
    (r"[0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}(?:[T ].*)?", "a date"),
    (r"[0-9]{1,2}[-/.][0-9]{1,2}[-/.](?:[0-9]{4}|[0-9]{2})(?:[T ].*)?", "a date"),
    (r"[0-9]{1,2}[- ][A-Za-z]{3}[a-z]*[- ](?:[0-9]{4}|[0-9]{2})", "a date"),
)
_LOOKS = [(re.compile(pattern), what) for pattern, what in _FORMS]


def looks_like(text: str) -> str | None:
    """Return the kind of a text that looks like a number in another notation, or like a date; None for other texts.

    Examples
    --------
    >>> [looks_like(text) for text in ("12,5", "2026-11-29", "15 %", "clerk")]
    ['a number with a decimal comma', 'a date', 'a percentage', None]
    >>> [looks_like(text) for text in ("2026\u5e7411\u67081\u65e5", "3\u4e07", "(1,200)", "\uff11\uff12")]
    ['a date', 'a number with a unit', 'a negative number in parentheses', 'a number in full-width characters']
    """
    text = text.strip()
    found = next((what for pattern, what in _LOOKS if pattern.fullmatch(text)), None)
    if found is not None:
        return found
    if text[:1].isdigit() and not text.isdecimal() and is_date(text):
        return "a date"
    if text.isascii() or not any(c.isdigit() for c in text):
        return None
    half = unicodedata.normalize("NFKC", text)
    if half != text and (reads_as_number(half) or any(pattern.fullmatch(half) for pattern, _ in _LOOKS)):
        return "a number in full-width characters"
    return None


# ---------------------------------------------------------------------------------------------------------- categories


def category_text(value: Any) -> str:
    """Return the text of a category, the same whether it comes from a file, a frame or a list.

    A string stays unchanged. An integer, or a whole float, becomes its decimal digits; another float the shortest text
    that reads back as it; True and False become "True" and "False".

    Raises
    ------
    TypeError
        If the value is neither a number nor a string.
    ValueError
        If the value is infinite, or a float from 2^53 on, which may have been another integer.

    Examples
    --------
    >>> [category_text(v) for v in ("007", 7, 7.0, 2**53 + 1, 0.1, True)]
    ['007', '7', '7', '9007199254740993', '0.1', 'True']
    """
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    if isinstance(value, numbers.Integral):
        return str(int(value))
    if not isinstance(value, numbers.Real | Decimal) or isinstance(value, np.longdouble):
        raise TypeError(f"is of type {type(value).__name__}: numbers, texts or None are needed{_dated(value)}")
    if isinstance(value, np.floating):
        value = float(str(value))  # the digits that a narrow float type shows: 0.1, not 0.10000000149
    if not math.isfinite(value):
        raise ValueError(f"is {value}: a category must be a finite number or a text")
    if value == (whole := math.floor(value)):
        if isinstance(value, float) and abs(value) >= _EXACT:
            raise ValueError(f"is the float {value!r}: from 2^53 on floats merge integers; give codes as int or str")
        return str(whole)
    return repr(value) if isinstance(value, float) else str(value)


def in_order(texts: Iterable[str]) -> list[str]:
    """Return distinct texts in the order of categories: those of numbers by value, then the others by alphabet.

    Examples
    --------
    >>> in_order({"10", "9", "b", "a", "09"})
    ['09', '9', '10', 'a', 'b']
    """

    def key(text: str) -> tuple[bool, float, str]:
        return (False, float(text), text) if reads_as_number(text) else (True, 0.0, text)

    return sorted(set(texts), key=key)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:20]}... of {len(text)} characters"


def number_texts(values: Sequence[float]) -> list[str]:
    """Return distinct numbers as texts: six digits, more where two would read alike, and whole digits before the point.

    Examples
    --------
    >>> number_texts([0.1234567, 202402.5, 20240314.0]), number_texts([1.7000001, 1.7000002])
    (['0.123457', '202402.5', '20240314'], ['1.7000001', '1.7000002'])
    """
    texts: list[str] = []
    for digits in range(6, 18):  # 17 digits are exact
        texts = [_number_text(value, digits) for value in values]
        if len(set(texts)) == len(texts):
            break
    return texts


def _number_text(value: float, digits: int) -> str:
    if 1e5 <= abs(value) < 1e15:  # dates as numbers, amounts: no exponent, and half of a unit is not rounded away
        digits = max(digits, len(f"{abs(value):.0f}") + 1)
    return f"{value:.{digits}g}"
