"""Finds out what a file is that is not the CSV file it was said to be: its encoding, its delimiter, another format."""

from __future__ import annotations

import codecs
from pathlib import Path

__all__ = ["HEAD", "check_encoding", "line_text", "not_in", "not_text", "other_delimiter", "wide"]

HEAD = 1 << 16
"""Bytes by which a file is judged."""
_MOST = 1 << 26  # bytes in which a wrong character is looked for
_SHOWN = 80
_NO_TEXTS = frozenset(["idna", "punycode", "raw_unicode_escape", "undefined", "unicode_escape", "utf-7"])
_DELIMITERS = (";", "\t", "|", ",", "，", "；")

_SHEET = "save it as CSV UTF-8 in the program that made it (Excel: Save As, CSV UTF-8), and name that file"
_PARQUET = "name it with the ending .parquet"
_FORMATS = (
    (b"PK\x03\x04", "an Excel workbook (.xlsx) or another zip archive", _SHEET),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook (.xls)", _SHEET),
    (b"PAR1", "a Parquet file", _PARQUET),
    (b"\x1f\x8b", "compressed with gzip", "decompress it (gunzip)"),
    (b"BZh", "compressed with bzip2", "decompress it (bunzip2)"),
    (b"\xfd7zXZ", "compressed with xz", "decompress it (unxz)"),
    (b"7z\xbc\xaf", "a 7z archive", "extract it"),
    (b"%PDF-", "a PDF file", "export the table as CSV"),
    (b"<", "a page in HTML or XML", _SHEET),
)


def line_text(text: str) -> str:
    r"""Write a text as TOML does, such that every character can be seen.

    Examples
    --------
    >>> print(line_text('\t'), line_text('\xa0'), line_text('职业"'))
    "\t" "\u00a0" "职业\""
    """
    special = {'"': '\\"', "\\": "\\\\", "\t": "\\t"}
    shown = (
        special.get(c) or (c if c == " " or (c.isprintable() and not c.isspace()) else f"\\u{ord(c):04x}") for c in text
    )
    return f'"{"".join(shown)}"'


def check_encoding(name: str) -> str:
    """Return Python's name of a text encoding; ValueError for an unknown one.

    Examples
    --------
    >>> check_encoding("GBK"), check_encoding("utf8")
    ('gbk', 'utf-8')
    """
    try:
        found = codecs.lookup(name)
        "".encode(name)  # LookupError for a codec of bytes
        if found.name in _NO_TEXTS:
            raise LookupError
    except (LookupError, ValueError):  # ValueError: a zero byte in the name
        raise ValueError(
            f"encoding must name an encoding of texts, such as 'utf-8', 'gb18030', 'utf-16' or 'cp1252', not "
            f"{name!r:.40}"
        ) from None
    return found.name


def _guess(data: bytes, whole: bool) -> str | None:
    """Return the encoding in which bytes are most likely texts."""
    if (found := wide(data)) is not None:
        return found
    for name in ("utf-8", "gb18030"):
        text = _decoded(data, name, whole)
        if text is None:
            continue
        foreign = [c for c in text if c > "\x7f"]
        # most Chinese texts are of the characters of GB 2312; other encodings would show rare ones
        if name == "utf-8" or sum(_common(c) for c in foreign) >= 0.9 * len(foreign):
            return name
    return "cp1252" if _decoded(data, "cp1252", whole) is not None else None


def wide(data: bytes) -> str | None:
    """Return the encoding of two or four bytes a character in which bytes are, if they are.

    Examples
    --------
    >>> wide("id,y".encode("utf-16-le")), wide(b"id,y")
    ('utf-16-le', None)
    """
    if data.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return "utf-32"
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    start = data[:2000]
    for first, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        if len(start) > 3 and start[first::2].count(0) > 0.4 * len(start[first::2]):
            return name
    return None


def _common(c: str) -> bool:
    try:
        return bool(c.encode("gb2312"))
    except UnicodeEncodeError:
        return False


def _decoded(data: bytes, encoding: str, whole: bool = True) -> str | None:
    try:
        return codecs.getincrementaldecoder(encoding)().decode(data, whole)
    except UnicodeDecodeError:
        return None


def not_text(path: Path, head: bytes, encoding: str) -> str | None:
    """Return the error if a file begins like another format, or is certainly in another encoding than the stated one.

    Examples
    --------
    >>> not_text(Path("t.csv"), bytes([31, 139, 8]), "utf-8")
    't.csv is no CSV file: it is compressed with gzip: decompress it (gunzip)'
    """
    if encoding.startswith(("utf-16", "utf-32")):
        return None
    for magic, what, remedy in _FORMATS:
        if head.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(magic) if magic == b"<" else head.startswith(magic):
            return f"{path} is no CSV file: it is {what}: {remedy}"
    if encoding == "utf-8" or head.isascii():
        return None
    text = _decoded(head, "utf-8", len(head) < HEAD)
    if text is None:
        return None
    return f'{path} is in UTF-8, not in {encoding}: write `encoding = "utf-8"` in [data]{_reads(text)}'


def not_in(path: Path, encoding: str, head: bytes) -> str:
    """Return the error for a file that is not in its encoding: where, what it may be in, and how it then reads."""
    data, whole = head, len(head) < HEAD
    if path.is_file():
        with open(path, "rb") as file:
            data = file.read(_MOST)
        whole = len(data) < _MOST
    guess = _guess(data, whole)
    spoken = "UTF-8" if encoding == "utf-8" else encoding
    line = ""
    try:
        codecs.getincrementaldecoder(encoding)().decode(data, whole)
    except UnicodeDecodeError as error:
        line = f" (line {data[: error.start].count(10) + 1})" if not guess or "-16" not in guess else ""
    if guess is None or guess == encoding:
        return f"{path} is not in {spoken}{line}: save it in UTF-8, or name its encoding in [data]: encoding"
    remedy = f'write `encoding = "{guess}"` in [data], or save it in UTF-8'
    text = _decoded(data, guess, whole) or ""
    return f"{path} is not in {spoken}{line}: {remedy}{_reads(text)}"


def _reads(text: str) -> str:
    """Return how the first line, and the first line with a character that is not ASCII, then read."""
    lines = text.removeprefix("\ufeff").splitlines() or [""]
    other = next((k for k, line in enumerate(lines) if not line.isascii()), 0)
    shown = [(0, "first line"), *([(other, f"line {other + 1}")] if other else [])]
    return "; then its " + " and its ".join(f"{name} is {lines[k][:_SHOWN]!r}" for k, name in shown)


def other_delimiter(names: list[str], delimiter: str) -> str | None:
    r"""Return the mark that seems to divide the first line, if it is more frequent there than the stated one.

    Examples
    --------
    >>> other_delimiter(["id;y;a"], ","), other_delimiter(["id", "a;b"], ",")
    (';', None)
    """
    header = "".join(names)
    counts = {mark: header.count(mark) for mark in _DELIMITERS if mark != delimiter}
    most = max(counts, key=lambda mark: counts[mark])
    return most if counts[most] > len(names) - 1 else None
