"""Reads the dates of a table as whole days or months since a stated day, never since today."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from typing import Any

__all__ = ["ORDERS", "SINCE", "UNITS", "check_dates", "date_of", "date_reader", "dates_say", "is_date"]

SINCE = "2000-01-01"
"""The day from which dates are counted, unless another is stated: it must be the same when a model scores."""
ORDERS = ("YMD", "DMY", "MDY")
UNITS = ("days", "months")
_YEARS = range(1800, 2200)
_TIME = r"(?:[T ]+[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]+)?)?(?: ?(?:Z|UTC|[+-][0-9]{2}:?[0-9]{2}))?)?"
_YEAR_FIRST = re.compile(
    r"([0-9]{4})(?:([-/.])([0-9]{1,2})\2([0-9]{1,2})| ?年 ?([0-9]{1,2}) ?月 ?([0-9]{1,2}) ?[日号]|([0-9]{2})([0-9]{2}))"
    + _TIME
)
_YEAR_LAST = re.compile(r"([0-9]{1,2})([-/.])([0-9]{1,2})\2([0-9]{4})" + _TIME)
_MONTH = re.compile(r"([0-9]{4})(?:[-/.]([0-9]{1,2})| ?年 ?([0-9]{1,2}) ?月)")
_NAMED = re.compile(r"([0-9]{1,2})[-. ]+([A-Za-z]{3})[a-z]*[-., ]+([0-9]{4})" + _TIME)
_MONTHS = {
    name: k
    for k, name in enumerate(["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], 1)
}


def check_dates(since: str, unit: str, order: str) -> None:
    """Check the settings of dates; ValueError names the setting.

    Examples
    --------
    >>> check_dates("2026-01-01", "weeks", "YMD")
    Traceback (most recent call last):
        ...
    ValueError: date_unit must be 'days' or 'months', not 'weeks'
    """
    try:
        if not re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", since):
            raise ValueError
        datetime.date.fromisoformat(since)
    except ValueError:
        raise ValueError(f"date_since must be a day such as {SINCE!r}, not {since!r:.40}") from None
    if unit not in UNITS:
        raise ValueError(f"date_unit must be 'days' or 'months', not {unit!r:.40}")
    if order not in ORDERS:
        raise ValueError(
            f"date_format must be 'YMD' (2026-11-01), 'DMY' (01/11/2026) or 'MDY' (11/01/2026), not {order!r:.40}"
        )


def date_of(value: Any, order: str = "YMD") -> tuple[int, int, int | None]:
    """Return year, month and day of a cell; the day is None where only a month is named.

    A year of four digits may always come first: "2026-11-01", "2026/11/1", "20261101", "2026年11月1日"; a time behind
    it is left out. With the year last, only `order` says which number is the day.

    Raises
    ------
    ValueError
        If the cell is not a date, or the order is not stated; the text continues a sentence about the cell.

    Examples
    --------
    >>> date_of("2026年11月1日"), date_of("01/11/2026", "DMY"), date_of("2026-11")
    ((2026, 11, 1), (2026, 11, 1), (2026, 11, None))
    """
    if isinstance(value, datetime.date):
        return value.year, value.month, value.day
    text = str(value).strip()
    day: int | None
    if found := _YEAR_FIRST.fullmatch(text):
        year, month, day = (int(part) for k, part in enumerate(found.groups()) if part is not None and k != 1)
    elif found := _YEAR_LAST.fullmatch(text):
        if order == "YMD":
            raise ValueError("names the year last, and no date_format says which number is the day")
        first, second, year = int(found[1]), int(found[3]), int(found[4])
        day, month = (first, second) if order == "DMY" else (second, first)
    elif (found := _NAMED.fullmatch(text)) and found[2].lower() in _MONTHS:
        day, month, year = int(found[1]), _MONTHS[found[2].lower()], int(found[3])
    elif found := _MONTH.fullmatch(text):
        year, month, day = int(found[1]), int(found[2] or found[3]), None
    else:
        raise ValueError("is not a date")
    try:
        datetime.date(year, month, 1 if day is None else day)
    except ValueError:
        raise ValueError("is not a day of the calendar") from None
    if year not in _YEARS:
        raise ValueError(f"is not between {_YEARS[0]} and {_YEARS[-1]}")
    return year, month, day


def is_date(text: str) -> bool:
    """Return whether a text is a date in one of the orders.

    Examples
    --------
    >>> is_date("31.01.2025"), is_date("2026-13"), is_date("1/2")
    (True, False, False)
    """
    return any(_is(text, order) for order in ORDERS)


def _is(text: str, order: str) -> bool:
    try:
        date_of(text, order)
    except ValueError:
        return False
    return True


def dates_say(texts: list[str]) -> tuple[list[str], bool]:
    """Return the orders in which all of some texts are dates, and whether one of them has no day.

    Examples
    --------
    >>> dates_say(["01.11.2026", "31.01.2025"]), dates_say(["2026-11"])
    ((['DMY'], False), (['YMD', 'DMY', 'MDY'], True))
    """
    orders = [order for order in ORDERS if all(_is(text, order) for text in texts)]
    return orders, any(_MONTH.fullmatch(text.strip()) for text in texts)


def date_reader(since: str = SINCE, unit: str = "days", order: str = "YMD") -> Callable[[Any], float]:
    """Return a function that counts the days, or the months, from a stated day to the date of a cell.

    Months are those of the calendar: from any day of January to any day of March there are two.

    Examples
    --------
    >>> date_reader("2026-01-01")("2026-01-31"), date_reader("2026-01-01", "months")("2025-12-31")
    (30.0, -1.0)
    """
    check_dates(since, unit, order)
    start = datetime.date.fromisoformat(since)

    def read(value: Any) -> float:
        year, month, day = date_of(value, order)
        if unit == "months":
            return float(12 * (year - start.year) + month - start.month)
        if day is None:
            raise ValueError("names a month without a day")
        return float((datetime.date(year, month, day) - start).days)

    return read
