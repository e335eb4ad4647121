"""Says how to declare a column whose cells are not as expected: the lines for ``[data]``, ready to paste.

A line stands between backquotes, and holds what was declared before too, since a setting stands once in a file.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import product

from .cells import looks_like, number_reader, reads_as_number
from .dates import SINCE, dates_say
from .sniffing import line_text

__all__ = ["Declared", "date_faults", "label_lines", "look", "sentence", "setting_lines"]

_FEW = 6
"""Most different texts that an error proposes to count as missing."""
_DECIMALS = ".,"
_THOUSANDS = ("", ",", ".", " ", "'", "\u2019", "\u00a0", "\u202f", "_")
_REWRITE = {
    "a percentage": "take the % sign away (12% becomes 12)",
    "an amount of money": "take the currency away (¥1,200 becomes 1,200)",
    "a number with a unit": "write the number out (3万 becomes 30000)",
    "a negative number in parentheses": "write -1200 for (1,200)",
    "a number with the minus behind it": "write -1200 for 1200-",
    "a number with another sign than -": "write the sign - (hyphen-minus)",
    "a number in full-width characters": "write half-width digits and marks (in Excel: the function ASC)",
}
_EVENTS = frozenset(
    [
        *("bad", "true", "yes", "y", "t", "default", "defaulted", "event", "fraud", "churn", "positive"),
        *("是", "坏", "违约", "逾期", "有", "阳性"),
    ]
)
_OTHERS = frozenset(
    [
        *("good", "false", "no", "n", "f", "paid", "repaid", "none", "negative"),
        *("否", "好", "正常", "履约", "未违约", "未逾期", "无", "阴性"),
    ]
)


@dataclass(frozen=True)
class Declared:
    """What is declared already."""

    categorical: Collection[str] = ()
    numeric: Collection[str] = ()
    missing: Collection[str] = ()
    decimal: str = "."
    thousands: str = ""
    dates: Collection[str] = ()
    date_since: str = SINCE
    date_unit: str = "days"
    date_format: str = "YMD"

    def line(self, setting: str, *new: str) -> str:
        """Return a line that adds to a list.

        Examples
        --------
        >>> Declared(missing=["?"]).line("missing", "-")
        '`missing = ["?", "-"]`'
        """
        known = [*dict.fromkeys([*getattr(self, setting), *new])]
        return f"`{setting} = [{', '.join(map(line_text, known))}]`"


def look(text: str) -> str | None:
    """Return what a text that the declared marks do not read looks like.

    Examples
    --------
    >>> look("12,5"), look("12.5"), look("clerk")
    ('a number with a decimal comma', 'a number with a decimal point', None)
    """
    return looks_like(text) or ("a number with a decimal point" if reads_as_number(text) else None)


def sentence(name: str, odd: Sequence[str], numbers: Sequence[str], kind: str | None, declared: Declared) -> str:
    """Return the remedy for a column of numbers that holds other texts.

    Parameters
    ----------
    name : str
        The column.
    odd : sequence of str
        The texts that are not numbers.
    numbers : sequence of str
        The texts that are.
    kind : str or None
        The declared kind; "zeros" for numbers with leading zeros, "dates" for numbers that are all dates.
    declared : Declared
        The other declarations.
    """
    if kind == "zeros":
        return (
            f"write {declared.line('categorical', name)} in [data] if they are codes, or "
            f"{declared.line('numeric', name)} if they are numbers"
        )
    if kind == "dates":
        told = date_lines(name, list(odd), declared)
        return f"{told}, or {declared.line('numeric', name)} if they are numbers"
    looks = {text: look(text) for text in dict.fromkeys(odd)}
    words = [text.strip() for text, what in looks.items() if what is None]
    spelled = [text for text, what in looks.items() if what is not None]
    missing = declared.line("missing", *words) if words and len(words) <= _FEW else ""
    first = _spelled(name, spelled, [*dict.fromkeys(numbers)], declared) if spelled else ""
    ways = []
    if first.startswith("write `"):
        ways.append(f"{first}, and {missing} if these mean missing" if missing else first)
    elif missing:
        ways.append(f"write {missing} in [data] if {'these mean' if len(words) > 1 else 'that means'} missing")
    if kind is None:
        ways.append(f"{declared.line('categorical', name)} if the cells are categories")
        if not spelled:
            ways.append(f"{declared.line('numeric', name)} if all other texts count as missing")
        if len(ways) < 3 - bool(spelled) and not first:
            ways[0] = f"write {ways[0]}"
    told = f"correct the cells: {first}" if first and not first.startswith("write `") else "correct the cells"
    return ", or ".join([told, *ways])


def _spelled(name: str, texts: list[str], numbers: list[str], declared: Declared) -> str:
    """Return the remedy for texts that look like numbers in another notation, or like dates."""
    kinds = {look(text) for text in texts}
    if kinds == {"a date"}:
        return date_lines(name, texts, declared)
    if "a date" in kinds:
        return "write all cells as dates, or all as numbers"
    rewrite = [_REWRITE[kind] for kind in sorted(map(str, kinds)) if kind in _REWRITE]
    if rewrite:
        return ", ".join(rewrite)
    fitting: dict[tuple[float | None, ...], tuple[str, str]] = {}
    for decimal, thousands in product(_DECIMALS, _THOUSANDS):  # those that need no thousands separator come first
        if decimal != thousands:
            read = number_reader(decimal, thousands, False)
            values = tuple(read(text) for text in (*texts, *numbers))
            if None not in values:
                fitting.setdefault(values, (decimal, thousands))
    if not fitting:
        return "write all numbers of the file with the same marks"
    lines = []
    for decimal, thousands in [*fitting.values()][:2]:
        settings = [("decimal", decimal, declared.decimal), ("thousands", thousands, declared.thousands)]
        changed = [f"`{key} = {line_text(mark)}`" for key, mark, now in settings if mark != now]
        value = number_reader(decimal, thousands, False)(texts[0])
        lines.append(f"{' and '.join(changed)} in [data] if {texts[0].strip()!r:.40} is {value:g}")
    return f"write {' or '.join(lines)}"


def date_lines(name: str, texts: list[str], declared: Declared) -> str:
    """Return the lines that declare a column of dates."""
    line = declared.line("dates", name)
    orders, no_day = dates_say([text for text in texts if looks_like(text) in ("a date", None)])
    unit = ' and `date_unit = "months"`' if no_day and declared.date_unit != "months" else ""
    counted = f"they are then {'months' if unit else declared.date_unit} since {declared.date_since}"
    counted += " (another day: date_since)" if declared.date_since == SINCE else ""
    if "YMD" in orders or declared.date_format in orders:
        return f"write {line}{unit} in [data]: {counted}"
    if not orders:
        return f"write {line} in [data], and all dates with four digits of the year, such as 2026-11-01: {counted}"
    told = {"DMY": "the day stands first", "MDY": "the month stands first"}
    if len(orders) == 1:
        return f'write {line} and `date_format = "{orders[0]}"`{unit} in [data]: {counted}'
    ways = [f'{line} and `date_format = "{order}"`{unit} in [data] if {told[order]}' for order in orders]
    return f"write {' or '.join(ways)}: {counted}"


def date_faults(name: str, cells: list[str], declared: Declared) -> str:
    """Return the remedy for cells of a column of dates that are none, or only a month."""
    dates = [cell for cell in cells if looks_like(cell) == "a date" and dates_say([cell])[0]]
    if len(dates) < len(cells):
        words = [*dict.fromkeys(cell for cell in cells if cell not in dates)]
        if len(words) <= _FEW:
            return f"correct the cells, or write {declared.line('missing', *words)} in [data] if that means missing"
        return "correct the cells, or leave the column out"
    orders, no_day = dates_say(dates)
    if no_day and declared.date_unit == "days":
        return 'write `date_unit = "months"` in [data], or give the days'
    if not orders:
        return "write all dates in one order, such as 2026-11-01"
    lines = [f'`date_format = "{order}"`' for order in orders]
    told = {"DMY": "day", "MDY": "month"}
    if len(lines) == 1:
        return f"write {lines[0]} in [data]"
    return "write " + " or ".join(
        f"{line} in [data] if the {told[order]} stands first" for line, order in zip(lines, orders, strict=True)
    )


def label_lines(words: Sequence[str]) -> str:
    """Return the line that declares two words as labels; "" where there are not two.

    Examples
    --------
    >>> print(label_lines(["good", "bad"]))
    write `label_words = {good = 0, bad = 1}` in [data]
    >>> print(label_lines(["1", "2"])[:78])
    write `label_words = {1 = 0, 2 = 1}` in [data] if '2' stands for the event, or
    """
    if len(words) != 2:
        return ""
    meant = [_meaning(word) for word in words]
    if meant in ([0, 1], [None, 1], [0, None]):
        return f"write {_words(words)} in [data]"
    if meant in ([1, 0], [1, None], [None, 0]):
        return f"write {_words(words[::-1])} in [data]"
    first, second = sorted(words)
    return (
        f"write {_words([first, second])} in [data] if {second!r:.40} stands for the event, or "
        f"{_words([second, first])} if {first!r:.40} does"
    )


def _meaning(word: str) -> int | None:
    plain = word.strip().lower()
    return 1 if plain in _EVENTS else 0 if plain in _OTHERS else None


def _words(words: Sequence[str]) -> str:
    keys = [word if re.fullmatch("[A-Za-z0-9_-]+", word) else line_text(word) for word in words]
    return f"`label_words = {{{keys[0]} = 0, {keys[1]} = 1}}`"


def setting_lines(text: str) -> list[str]:
    r"""Return the lines that an error proposes first, without the backquotes.

    Examples
    --------
    >>> setting_lines("correct the cells, or write `decimal = \",\"` and `thousands = \".\"` in [data], or `a = 1`")
    ['decimal = ","', 'thousands = "."']
    """
    found = re.search(r"write (`[a-z_]+ = [^`]+`(?: and `[a-z_]+ = [^`]+`)*)", text)
    return re.findall(r"`([a-z_]+ = [^`]+)`", found[1]) if found else []
