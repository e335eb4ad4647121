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

# msgpack codes with an explicit width: code -> (bytes of the number that follows, what the number is). What is neither
# here nor a one-byte value (nil C0, never-used C1, ext C7-C9 and D4-D8, float CA-CB) is not allowed in a header.
_INT, _SKIP, _LIST, _MAP = 0, 1, 2, 3
_WIDE = {
    **{0xCC + i: (1 << i, _INT) for i in range(4)},  # uint 8..64
    **{0xD0 + i: (1 << i, _INT) for i in range(4)},  # int 8..64
    **{0xC4 + i: (1 << i, _SKIP) for i in range(3)},  # bin 8..32
    **{0xD9 + i: (1 << i, _SKIP) for i in range(3)},  # str 8..32
    **{0xDC + i: (2 << i, _LIST) for i in range(2)},
    **{0xDE + i: (2 << i, _MAP) for i in range(2)},
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


def unpack(body: bytes) -> dict[str, Any]:
    """Decode a header map and insist that it is the canonical encoding of what it says."""
    _scan(body)
    n = max(len(body), 1)
    unpacker = msgpack.Unpacker(
        raw=False,
        strict_map_key=True,
        max_buffer_size=n,
        max_str_len=n,
        max_bin_len=n,
        max_array_len=min(n, MAX_VALUES),
        max_map_len=min(n, MAX_VALUES),
        max_ext_len=0,
    )
    unpacker.feed(body)
    try:
        header = _take(unpacker, body)
    except (ValueError, msgpack.UnpackException) as err:  # not UTF-8, or one of msgpack's own limits
        raise FrameError(f"frame header is malformed: {str(err)[:120]}") from None
    if not isinstance(header, dict):
        raise FrameError("frame header is not a map")
    if pack(header) != body:
        raise FrameError("frame header is not in canonical form (key order, duplicate keys, or a longer encoding)")
    return header


def _take(unpacker: msgpack.Unpacker, body: bytes) -> Any:
    """Decode the next value of a header that was scanned; maps and lists item by item.

    msgpack's own reader of maps interns every key, and in Python 3.12 an interned string is never freed: a
    peer could fill the memory with frames that are refused. Read like this, keys are plain strings.
    """
    code = body[unpacker.tell()]
    if code & 0xF0 == 0x80 or code in (0xDE, 0xDF):
        header = {}
        for _ in range(unpacker.read_map_header()):
            key = unpacker.unpack()
            if not isinstance(key, str):
                raise FrameError("frame header is malformed: a key must be a str")
            header[key] = _take(unpacker, body)
        return header
    if code & 0xF0 == 0x90 or code in (0xDC, 0xDD):
        return [_take(unpacker, body) for _ in range(unpacker.read_array_header())]
    return unpacker.unpack()


def _scan(body: bytes) -> None:
    """Walk over the msgpack values of a header without building any of them.

    What passes holds only allowed types, at most MAX_DEPTH deep and MAX_VALUES in all, every length within the bytes
    that are there, and ends exactly at the end: so decoding it afterwards is bounded. (msgpack itself makes room for as
    many items as a list claims, at every level of up to 1024, before it has seen one.)
    """
    end = len(body)
    pos = seen = 0
    open_levels = [1]  # values still to come, for every list or map not yet complete
    while open_levels:
        if not open_levels[-1]:
            open_levels.pop()
            continue
        open_levels[-1] -= 1
        seen += 1
        if seen > MAX_VALUES:
            raise FrameError(f"frame header holds more than {MAX_VALUES} values")
        if pos >= end:
            raise FrameError("frame header is truncated")
        code = body[pos]
        pos += 1
        inside = -1
        if code < 0x80 or code >= 0xE0 or code in (0xC2, 0xC3):  # small ints, false, true
            pass
        elif code < 0x90:
            inside = 2 * (code & 0x0F)
        elif code < 0xA0:
            inside = code & 0x0F
        elif code < 0xC0:
            pos += code & 0x1F
        elif code in _WIDE:
            width, what = _WIDE[code]
            number = int.from_bytes(body[pos : pos + width], "big")
            pos += width
            if what == _SKIP:
                pos += number
            elif what != _INT:
                inside = number * (2 if what == _MAP else 1)
        else:
            raise FrameError(f"frame header holds msgpack type {code:#04x}: nil, float and extensions are not allowed")
        if pos > end or inside > end - pos:  # a value takes at least one byte
            raise FrameError("frame header is truncated")
        if inside >= 0:
            if len(open_levels) > MAX_DEPTH:
                raise FrameError(f"frame header is nested more than {MAX_DEPTH} deep")
            open_levels.append(inside)
        elif seen == 1:
            raise FrameError("frame header is not a map")
    if pos != end:
        raise FrameError("frame header is followed by other bytes")
