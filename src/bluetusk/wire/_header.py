"""The header map of a frame: canonical msgpack, written and read within the limits of :mod:`bluetusk.wire.frame`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgpack  # type: ignore[import-untyped]

from ..errors import FrameError

__all__ = ["MAX_DEPTH", "MAX_HEADER", "MAX_VALUES", "pack", "unpack"]

MAX_HEADER = 1 << 20
"""Largest header in bytes."""
MAX_DEPTH = 4
"""Deepest nesting of maps and lists in a header, the header map itself included."""
MAX_VALUES = 8192
"""Most values (keys, leaves, lists and maps all counted) in one header: at about 100 bytes of Python object each, what
a header costs beyond its own bytes stays below 1 MB."""

_INT_LOW, _INT_HIGH = -(1 << 63), (1 << 64) - 1

# msgpack codes with an explicit width: code -> (bytes of the number that follows, what the number is, the least (for
# signed ones the largest) number that has no shorter encoding). What is neither here nor a one-byte value (nil C0,
# never-used C1, ext C7-C9 and D4-D8, float CA-CB) is not allowed in a header.
_UNSIGNED, _SIGNED, _BYTES, _TEXT, _LIST, _MAP = range(6)
_WIDE = {
    **{0xCC + i: (1 << i, _UNSIGNED, (1 << 7, 1 << 8, 1 << 16, 1 << 32)[i]) for i in range(4)},
    **{0xD0 + i: (1 << i, _SIGNED, (-33, -(1 << 7) - 1, -(1 << 15) - 1, -(1 << 31) - 1)[i]) for i in range(4)},
    **{0xC4 + i: (1 << i, _BYTES, (0, 1 << 8, 1 << 16)[i]) for i in range(3)},
    **{0xD9 + i: (1 << i, _TEXT, (32, 1 << 8, 1 << 16)[i]) for i in range(3)},
    **{0xDC + i: (2 << i, _LIST, (16, 1 << 16)[i]) for i in range(2)},
    **{0xDE + i: (2 << i, _MAP, (16, 1 << 16)[i]) for i in range(2)},
}


def pack(header: Mapping[str, Any]) -> bytes:
    """Encode a header map canonically: keys sorted, every number and length in its shortest form."""
    if not isinstance(header, Mapping):
        raise TypeError(f"header must be a mapping of str to value, not {header.__class__.__name__}")
    packer = msgpack.Packer(use_bin_type=True, autoreset=False, buf_size=4096)
    count = _put(packer, header, 1)
    if count > MAX_VALUES:
        raise ValueError(f"frame header holds {count} values, more than {MAX_VALUES}: put bulk data in the payload")
    body: bytes = packer.bytes()
    if len(body) > MAX_HEADER:
        raise ValueError(f"frame header takes {len(body)} bytes, more than {MAX_HEADER}: put bulk data in the payload")
    return body


def _put(packer: msgpack.Packer, value: Any, depth: int) -> int:
    """Pack one value and return how many values it holds; value by value, so no sorted copy of a header is made."""
    if isinstance(value, bool | str | bytes):
        packer.pack(value)
        return 1
    if isinstance(value, int):
        if not _INT_LOW <= value <= _INT_HIGH:
            raise ValueError("an int in a frame header exceeds 64 bits: encode it as bytes")
        packer.pack(int(value))
        return 1
    if not isinstance(value, Mapping | list | tuple):
        kind = value.__class__.__name__
        raise TypeError(f"a frame header cannot hold a {kind}: use bool, int, str, bytes, list, map")
    if depth > MAX_DEPTH:
        raise ValueError(f"a frame header is nested at most {MAX_DEPTH} deep")
    count = 1
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("a key in a frame header must be a str")
        packer.pack_map_header(len(value))
        for key in sorted(value):
            packer.pack(key)
            count += 1 + _put(packer, value[key], depth + 1)
    else:
        packer.pack_array_header(len(value))
        for item in value:
            count += _put(packer, item, depth + 1)
    return count


def unpack(body: bytes | bytearray | memoryview) -> dict[str, Any]:
    """Decode a header map; refuse any encoding of it but the canonical one.

    One pass, from the bytes as they lie there. msgpack's own reader would make room for as many items as a list claims
    before it has seen one, and interns every key of a map, which Python 3.12 never frees: a peer could fill the memory
    with frames that are refused.
    """
    return _Reader(memoryview(body)).header()


class _Reader:
    """Walks over msgpack values that anyone may have written.

    What passes holds only allowed types, at most MAX_DEPTH deep and MAX_VALUES in all, every length within the bytes
    that are there, every number in its shortest form and every map in the order of its keys, and ends at the end.
    """

    __slots__ = ("_end", "_pos", "_seen", "_view")

    def __init__(self, view: memoryview) -> None:
        self._view, self._end, self._pos, self._seen = view, view.nbytes, 0, 0

    def header(self) -> dict[str, Any]:
        """Return the only value, which must be a map."""
        header = self._value(1)
        if not isinstance(header, dict):
            raise FrameError("frame header is not a map")
        if self._pos != self._end:
            raise FrameError("frame header is followed by other bytes")
        return header

    def _value(self, depth: int) -> Any:
        self._seen += 1
        if self._seen > MAX_VALUES:
            raise FrameError(f"frame header holds more than {MAX_VALUES} values")
        pos = self._pos
        if pos >= self._end:
            raise FrameError("frame header is truncated")
        code = self._view[pos]
        self._pos = pos + 1
        if code < 0x80:
            return code
        if code >= 0xE0:
            return code - 0x100
        if code < 0x90:
            return self._map(code & 0x0F, depth)
        if code < 0xA0:
            return self._list(code & 0x0F, depth)
        if code < 0xC0:
            return self._text(code & 0x1F)
        if code in (0xC2, 0xC3):
            return code == 0xC3
        if code not in _WIDE:
            raise FrameError(f"frame header holds msgpack type {code:#04x}: nil, float and extensions are not allowed")
        width, what, least = _WIDE[code]
        number = int.from_bytes(self._take(width), "big", signed=what == _SIGNED)
        if number > least if what == _SIGNED else number < least:
            raise FrameError("frame header is not in canonical form: a number or a length has a shorter encoding")
        if what in (_UNSIGNED, _SIGNED):
            return number
        if what == _BYTES:
            return bytes(self._take(number))
        if what == _TEXT:
            return self._text(number)
        return self._list(number, depth) if what == _LIST else self._map(number, depth)

    def _take(self, n: int) -> memoryview:
        """Return the next n bytes, of which a copy is made only once they are known to be there."""
        if n > self._end - self._pos:
            raise FrameError("frame header is truncated")
        self._pos += n
        return self._view[self._pos - n : self._pos]

    def _text(self, n: int) -> str:
        try:
            return str(self._take(n), "utf-8")
        except UnicodeDecodeError as err:
            raise FrameError(f"frame header is malformed: {str(err)[:120]}") from None

    def _enter(self, values: int, depth: int) -> None:
        if values > self._end - self._pos:  # a value takes at least one byte
            raise FrameError("frame header is truncated")
        if depth > MAX_DEPTH:
            raise FrameError(f"frame header is nested more than {MAX_DEPTH} deep")

    def _list(self, n: int, depth: int) -> list[Any]:
        self._enter(n, depth)
        return [self._value(depth + 1) for _ in range(n)]

    def _map(self, n: int, depth: int) -> dict[str, Any]:
        self._enter(2 * n, depth)
        header: dict[str, Any] = {}
        last: str | None = None
        for _ in range(n):
            key = self._value(depth + 1)
            if not isinstance(key, str):
                raise FrameError("frame header is malformed: a key must be a str")
            if last is not None and key <= last:  # by code points, which is by the bytes of UTF-8
                raise FrameError("frame header is not in canonical form: keys are out of order or repeated")
            header[key] = self._value(depth + 1)
            last = key
        return header
