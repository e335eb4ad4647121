"""Encodes and decodes frames, the form of everything sent or saved: a fixed header, a msgpack map, raw bytes.

Layout, little-endian::

    offset  size  field
         0     4  magic  b"BTK1"
         4     2  version (1)
         6     2  kind (:class:`Kind`)
         8     4  length of the header map in bytes, at most 1 MiB
        12     8  length of the payload in bytes
        20     .  header: one msgpack map
         .     .  payload: raw bytes, whose meaning the kind and the header give

A reader of this format meets bytes that anyone may have written, so it is *total* (every input gives a frame or a
:class:`~bluetusk.errors.FrameError`, never another exception), *bounded* (it allocates nothing because of a length
field: lengths are first compared with the bytes that are there, and the number of values in a header is limited, since
a one-byte msgpack value costs up to 80 bytes as a Python object) and *canonical* (exactly one byte string encodes a
given frame: a reader refuses keys out of order and numbers in more bytes than they need; signatures and hashes over
frames rely on it).

Header values are bool, int (-2^63 .. 2^64-1), str, bytes, list and map with str keys, nested at most four deep counting
the header itself. There is no nil (an absent field is absent), no float (no number in a header may depend on rounding)
and no extension type, timestamps included.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, BinaryIO, TypeVar

from ..errors import FrameError
from ._header import MAX_DEPTH, MAX_HEADER, MAX_VALUES, pack, unpack

__all__ = [
    "FIXED",
    "MAGIC",
    "MAX_DEPTH",
    "MAX_EMPTY",
    "MAX_HEADER",
    "MAX_NDIM",
    "MAX_SIZE",
    "MAX_VALUES",
    "VERSION",
    "Frame",
    "Kind",
    "check_fields",
    "decode",
    "encode",
    "field",
    "read_exact",
    "read_frame",
    "read_header",
    "shape_field",
    "shape_text",
    "write_all",
    "write_header",
]

MAGIC = b"BTK1"
VERSION = 1

MAX_NDIM = 32
"""Most axes of an array in a frame: what every NumPy takes."""
MAX_SIZE = 1 << 48
"""Most elements of an array in a frame."""
MAX_EMPTY = 1 << 10
"""Largest product of the other axes where an axis is 0. No byte of the payload pays for these axes, but whoever sums
over the empty one gets as many elements: 1024 ciphertexts under the longest key are one mebibyte."""

FIXED = struct.Struct("<4sHHIQ")
"""What each frame begins with: magic, version, kind, bytes of the header, bytes of the payload."""
_CHUNK = 1 << 16  # a stream is read in such steps, so a lying length costs no more than what was really sent

T = TypeVar("T", bool, int, str, bytes, list[Any], dict[str, Any])


class Kind(IntEnum):
    """What a frame holds.

    ``MESSAGE`` is a note between the processes of one job (a roster, a request, progress); its header says which.

    Examples
    --------
    >>> Kind(4).name
    'CIPHER_ARRAY'
    """

    PLAN = 1
    PUBLIC_KEY = 2
    PRIVATE_KEY = 3
    CIPHER_ARRAY = 4
    SHARE = 5
    SHARE_REQUEST = 6
    RING_ARRAY = 7
    KEY_PROOF = 8
    SUM_SESSION = 16
    SUM_CONTRIBUTION = 17
    SUM_TOTAL = 18
    SUM_RESULT = 19
    MESSAGE = 32
    SECAGG_SESSION = 40
    SECAGG_ADVERTISE = 41
    SECAGG_ROSTER = 42
    SECAGG_SHARES = 43
    SECAGG_DELIVERY = 44
    SECAGG_MASKED = 45
    SECAGG_VIEW = 46
    SECAGG_CONSENT = 47
    SECAGG_REQUEST = 48
    SECAGG_REVEAL = 49
    SECAGG_STATE = 50
    VERTICAL = 60
    WOE_BINNING = 61
    LOGISTIC_REGRESSION = 62
    GRADIENT_BOOSTING = 63
    VERTICAL_STATE = 64
    CHECKPOINT = 65
    SEALED = 66
    PARTY = 67
    EVIDENCE_IDENTITY = 70
    POLICY = 71
    POLICY_USE = 72
    EVIDENCE_RECORD = 73
    EVIDENCE_HEAD = 74
    EVIDENCE_OFFER = 75
    METER = 76
    AUDIT = 77
    AUDIT_BATCH = 78
    EVIDENCE_STATEMENT = 79
    AUDIT_BOOK = 84
    AUDIT_PAGE = 85


@dataclass(frozen=True)
class Frame:
    """One decoded frame.

    Attributes
    ----------
    kind : Kind
        What the frame holds.
    version : int
        Version of the format.
    header : dict of str to value
        The header map; check each field with :func:`field` before using it.
    payload : memoryview
        The payload, a view of the bytes given to :func:`decode` (not a copy).

    Examples
    --------
    >>> frame = decode(encode(Kind.PLAN, {"clip": 4}, b"xyz"))
    >>> frame.kind.name, frame.version, frame.header, bytes(frame.payload)
    ('PLAN', 1, {'clip': 4}, b'xyz')
    """

    kind: Kind
    version: int
    header: dict[str, Any]
    payload: memoryview


def encode(kind: Kind, header: Mapping[str, Any], payload: bytes | bytearray | memoryview = b"") -> bytes:
    """Encode one frame.

    Parameters
    ----------
    kind : Kind
        What the frame holds.
    header : mapping of str to value
        Values of the types named in the module's description.
    payload : bytes-like, optional
        Raw bytes after the header, copied once.

    Returns
    -------
    bytes
        The frame; equal arguments give equal bytes.

    Raises
    ------
    TypeError
        If a header value is of a type that no header may hold.
    ValueError
        If an integer exceeds 64 bits, or the header is too large or nested too deep.

    Examples
    --------
    >>> encode(Kind.PLAN, {"b": 1, "a": True}).hex(" ", -4)
    '42544b31 01000100 07000000 00000000 00000000 82a161c3 a16201'
    >>> encode(Kind.PLAN, {"b": 1, "a": True}) == encode(Kind.PLAN, {"a": True, "b": 1})
    True
    """
    body = memoryview(payload).cast("B")
    return b"".join((_head(kind, header, body.nbytes), body))


def decode(data: bytes | bytearray | memoryview, kind: Kind | None = None, *, max_payload: int | None = None) -> Frame:
    """Decode exactly one frame from bytes that anyone may have written.

    Parameters
    ----------
    data : bytes-like
        The whole frame and nothing after it.
    kind : Kind, optional
        The kind that is expected here; None takes any known one.
    max_payload : int, optional
        Refuse a longer payload, in bytes.

    Returns
    -------
    Frame
        Its payload is a view of `data`.

    Raises
    ------
    FrameError
        If `data` is anything but one canonical frame of the expected kind.
    TypeError
        If `data` is not bytes-like.

    Examples
    --------
    >>> decode(b"BTK1" + bytes(99), Kind.PLAN)
    Traceback (most recent call last):
        ...
    bluetusk.errors.FrameError: frame version 0 is unknown; this release reads version 1: upgrade bluetusk
    """
    try:
        view = memoryview(data).cast("B")
    except TypeError:
        kind_of = "a view that is not contiguous" if isinstance(data, memoryview) else type(data).__name__
        raise TypeError(f"data must be bytes, a bytearray or a contiguous view of them, not {kind_of}") from None
    got, header_len, payload_len = _fixed(bytes(view[: FIXED.size]), kind, max_payload)
    there = view.nbytes - FIXED.size
    if header_len + payload_len != there:
        what = "truncated" if header_len + payload_len > there else "followed by other bytes"
        raise FrameError(f"frame is {what}: its header gives {header_len + payload_len} bytes, {there} are there")
    header = unpack(view[FIXED.size : FIXED.size + header_len])
    return Frame(got, VERSION, header, view[FIXED.size + header_len :])


def write_header(fp: BinaryIO, kind: Kind, header: Mapping[str, Any], payload_len: int) -> int:
    """Write the start of a frame; the caller then writes exactly `payload_len` bytes.

    Parameters
    ----------
    fp : binary file object
        The stream to write to.
    kind : Kind
        What the frame holds.
    header : mapping of str to value
        As in :func:`encode`.
    payload_len : int
        Bytes that will follow.

    Returns
    -------
    int
        Bytes written.

    Raises
    ------
    TypeError, ValueError
        As :func:`encode`.

    Examples
    --------
    >>> import io
    >>> fp = io.BytesIO()
    >>> write_header(fp, Kind.PLAN, {}, 3), fp.write(b"xyz")
    (21, 3)
    >>> bytes(decode(fp.getvalue()).payload)
    b'xyz'
    """
    head = _head(kind, header, payload_len)
    write_all(fp, head)
    return len(head)


def read_header(
    fp: BinaryIO, kind: Kind | None = None, *, max_payload: int | None = None
) -> tuple[dict[str, Any], int]:
    """Read the start of a frame from a stream; the payload is left to :func:`read_exact`.

    Parameters
    ----------
    fp : binary file object
        The stream to read from.
    kind : Kind, optional
        The kind that is expected; None takes any known one.
    max_payload : int, optional
        Refuse a longer payload, in bytes.

    Returns
    -------
    header : dict
        The header map.
    payload_len : int
        Bytes that follow. The writer states it: compare it with what the header implies before allocating.

    Raises
    ------
    FrameError
        If the stream does not hold the start of a canonical frame of the expected kind.

    Examples
    --------
    >>> import io
    >>> read_header(io.BytesIO(encode(Kind.PLAN, {"clip": 4}, b"xyz")))
    ({'clip': 4}, 3)
    """
    _, header, payload_len = _read_head(fp, kind, max_payload)
    return header, payload_len


def read_frame(fp: BinaryIO, kind: Kind | None = None, *, max_payload: int) -> Frame:
    """Read one whole frame from a stream and leave the stream right behind it.

    Parameters
    ----------
    fp : binary file object
        The stream to read from.
    kind : Kind, optional
        The kind that is expected; None takes any known one.
    max_payload : int
        Refuse a longer payload, in bytes.

    Returns
    -------
    Frame
        Its payload is in new memory, which grows with the bytes that arrive, not with the length that is claimed.

    Raises
    ------
    FrameError
        If the stream does not start with a canonical frame of the expected kind.

    Examples
    --------
    >>> import io
    >>> fp = io.BytesIO(encode(Kind.PLAN, {"clip": 4}, b"xyz") + b"next")
    >>> bytes(read_frame(fp, Kind.PLAN, max_payload=1 << 20).payload), fp.read()
    (b'xyz', b'next')
    """
    got, header, payload_len = _read_head(fp, kind, max_payload)
    return Frame(got, VERSION, header, memoryview(_read_bytes(fp, payload_len)))


def read_exact(fp: BinaryIO, view: bytearray | memoryview) -> None:
    """Fill a buffer from a stream.

    Parameters
    ----------
    fp : binary file object
        The stream to read from; short reads are repeated.
    view : writable bytes-like
        What to fill.

    Raises
    ------
    FrameError
        If the stream ends before the buffer is full.
    OSError
        If the stream is non-blocking and empty (BlockingIOError), or returns more bytes than requested.

    Examples
    --------
    >>> import io
    >>> buffer = bytearray(3)
    >>> read_exact(io.BytesIO(b"xyz"), buffer)
    >>> buffer
    bytearray(b'xyz')
    """
    rest = memoryview(view).cast("B")
    while rest.nbytes:
        part = _part(fp, min(rest.nbytes, 16 * _CHUNK), rest.nbytes)
        rest[: len(part)] = part
        rest = rest[len(part) :]


def write_all(fp: BinaryIO, data: bytes | bytearray | memoryview) -> None:
    """Write a buffer to a stream, repeating the short writes of unbuffered files.

    Parameters
    ----------
    fp : binary file object
        The stream to write to.
    data : bytes-like
        What to write.

    Raises
    ------
    BlockingIOError
        If the stream is non-blocking and full.
    OSError
        If ``write`` returns anything but the number of bytes that it wrote, at least one.

    Examples
    --------
    >>> import io
    >>> fp = io.BytesIO()
    >>> write_all(fp, b"xyz")
    >>> fp.getvalue()
    b'xyz'
    """
    rest = memoryview(data).cast("B")
    while rest.nbytes:
        part = rest[: 16 * _CHUNK]
        done = fp.write(part)
        if done is None:
            raise BlockingIOError("the stream is non-blocking and full: give a blocking one")
        if isinstance(done, bool) or not isinstance(done, int) or not 0 < done <= part.nbytes:
            raise OSError(
                f"write() of the stream returned {done!r} for {part.nbytes} bytes instead of how many it wrote: "
                "give a file object of the io module, or one that follows its rules"
            )
        rest = rest[done:]


def check_fields(header: Mapping[str, Any], required: Collection[str], optional: Collection[str] = ()) -> None:
    """Refuse a header that lacks a field or has one that is not known.

    Parameters
    ----------
    header : mapping
        A decoded header, or a map inside one.
    required, optional : collection of str
        The names that must and that may be there.

    Raises
    ------
    FrameError
        Naming the missing or the unknown field.

    Examples
    --------
    >>> check_fields({"round": 1}, ["round", "sender"])
    Traceback (most recent call last):
        ...
    bluetusk.errors.FrameError: frame header lacks the field 'sender'
    """
    for name in required:
        if name not in header:
            raise FrameError(f"frame header lacks the field {name!r}")
    for name in header:
        if name not in required and name not in optional:
            raise FrameError(f"frame header has the unknown field {name[:64]!r}")


def field(
    header: Mapping[str, Any],
    name: str,
    type: type[T],
    *,
    low: int | None = None,
    high: int | None = None,
    length: int | None = None,
    choices: Collection[T] | None = None,
    items: type[Any] | None = None,
) -> T:
    """Return one field of a header, checked.

    Parameters
    ----------
    header : mapping
        A decoded header, or a map inside one.
    name : str
        The field's name.
    type : type
        bool, int, str, bytes, list or dict; a bool is not taken for an int.
    low, high : int, optional
        Limits, both inclusive, of an int, or of the length of anything else (str: characters; list, map: entries).
    length : int, optional
        Exact length of a str, bytes, list or map.
    choices : collection, optional
        The values that are allowed.
    items : type, optional
        Type of every item of a list, or of every value of a map.

    Returns
    -------
    bool, int, str, bytes, list or dict
        The field's value, of type `type`.

    Raises
    ------
    FrameError
        Naming the field and what is wrong with it.

    Examples
    --------
    >>> field({"round": 7}, "round", int, low=0)
    7
    >>> field({"round": -1}, "round", int, low=0)
    Traceback (most recent call last):
        ...
    bluetusk.errors.FrameError: frame field 'round' is -1, below the least allowed, 0
    """
    if name not in header:
        raise FrameError(f"frame header lacks the field {name!r}")
    value: Any = header[name]
    got = value.__class__
    if got is not type:
        raise FrameError(f"frame field {name!r} is of type {got.__name__}, not {type.__name__}")
    if isinstance(value, int):
        size, what = value, ""
    else:
        size, what = len(value), "length of "
    if length is not None and size != length:
        raise FrameError(f"frame field {name!r} has length {size}, not {length}")
    if low is not None and size < low:
        raise FrameError(f"{what}frame field {name!r} is {size}, below the least allowed, {low}")
    if high is not None and size > high:
        raise FrameError(f"{what}frame field {name!r} is {size}, above the largest allowed, {high}")
    if choices is not None and value not in choices:
        raise FrameError(f"frame field {name!r} is {repr(value)[:64]}, not one of {', '.join(map(repr, choices))}")
    if items is not None:
        inside: Collection[Any] = value.values() if isinstance(value, dict) else value
        for item in inside:
            if item.__class__ is not items:
                raise FrameError(f"frame field {name!r} holds a {item.__class__.__name__}, takes only {items.__name__}")
    return value  # type: ignore[no-any-return]


def shape_field(
    header: Mapping[str, Any],
    name: str = "shape",
    *,
    ndim: int = MAX_NDIM,
    size: int = MAX_SIZE,
    empty: int = MAX_EMPTY,
    payload: int | None = None,
    itemsize: int = 1,
) -> tuple[int, ...]:
    """Return the shape of an array that a header states, before anything is allocated for it.

    Parameters
    ----------
    header : mapping
        A decoded header, or a map inside one.
    name : str
        The field's name.
    ndim : int
        Most axes.
    size : int
        Most elements; also the largest length of an axis.
    empty : int
        Largest product of the other axes where an axis is 0 (:data:`MAX_EMPTY`).
    payload, itemsize : int, optional
        Bytes that are there for the elements, and bytes of each: they must agree.

    Returns
    -------
    tuple of int
        Its product, with zeros counted as ones, is at most `size`: no product of axes overflows.

    Raises
    ------
    FrameError
        If the field is missing, not a list of non-negative ints, beyond a limit, or disagrees with the payload.

    Examples
    --------
    >>> shape_field({"shape": [2, 3]}, payload=48, itemsize=8)
    (2, 3)
    >>> shape_field({"shape": [0, 2**64 - 1]})
    Traceback (most recent call last):
        ...
    bluetusk.errors.FrameError: frame field 'shape' is out of range: axes and their product are 0 to 2^48; where an \
axis is 0, the product of the others is at most 2^10
    """
    shape = tuple(field(header, name, list, high=ndim, items=int))
    most = empty if 0 in shape else size
    if any(not 0 <= d <= size for d in shape) or math.prod(max(d, 1) for d in shape) > most:
        raise FrameError(f"frame field {name!r} is out of range: {shape_text(size, empty)}")
    if payload is not None and math.prod(shape) * itemsize != payload:
        raise FrameError(f"frame field {name!r} needs a payload of {math.prod(shape) * itemsize} bytes, not {payload}")
    return shape


def shape_text(size: int = MAX_SIZE, empty: int = MAX_EMPTY) -> str:
    """Return the rule of :func:`shape_field` for messages.

    Examples
    --------
    >>> shape_text(100, 10)
    'axes and their product are 0 to 100; where an axis is 0, the product of the others is at most 10'
    """
    most, others = (f"2^{n.bit_length() - 1}" if n & (n - 1) == 0 and n > 256 else str(n) for n in (size, empty))
    return f"axes and their product are 0 to {most}; where an axis is 0, the product of the others is at most {others}"


# ---------------------------------------------------------------------------------------------------- internals


def _head(kind: Kind, header: Mapping[str, Any], payload_len: int) -> bytes:
    """Encode the fixed header and the header map."""
    if not 0 <= payload_len < 1 << 64:
        raise ValueError(f"payload_len is {payload_len}: it must be a length in bytes")
    body = pack(header)
    return FIXED.pack(MAGIC, VERSION, Kind(kind), len(body), payload_len) + body


def _fixed(view: bytes, kind: Kind | None, max_payload: int | None) -> tuple[Kind, int, int]:
    """Parse the fixed header: kind, length of the header map, length of the payload."""
    if len(view) < FIXED.size:
        raise FrameError(f"frame is truncated: {len(view)} bytes are fewer than its fixed header of {FIXED.size}")
    magic, version, code, header_len, payload_len = FIXED.unpack(view)
    if magic != MAGIC:
        raise FrameError(f"not a bluetusk frame: it starts with {magic.hex()}, not {MAGIC.hex()}")
    if version != VERSION:
        raise FrameError(f"frame version {version} is unknown; this release reads version {VERSION}: upgrade bluetusk")
    try:
        got = Kind(code)
    except ValueError:
        raise FrameError(f"frame kind {code} is unknown to this release") from None
    if kind is not None and got is not kind:
        raise FrameError(f"frame is of kind {got.name}, expected {kind.name}")
    if header_len > MAX_HEADER:
        raise FrameError(f"frame header claims {header_len} bytes, more than {MAX_HEADER}")
    if max_payload is not None and payload_len > max_payload:
        raise FrameError(f"frame payload claims {payload_len} bytes, more than the {max_payload} allowed here")
    return got, header_len, payload_len


def _read_head(fp: BinaryIO, kind: Kind | None, max_payload: int | None) -> tuple[Kind, dict[str, Any], int]:
    got, header_len, payload_len = _fixed(bytes(_read_bytes(fp, FIXED.size)), kind, max_payload)
    return got, unpack(_read_bytes(fp, header_len)), payload_len


def _read_bytes(fp: BinaryIO, n: int) -> bytearray:
    """Read exactly n bytes into memory that grows with what arrives."""
    data = bytearray()
    while len(data) < n:
        data += _part(fp, min(n - len(data), _CHUNK), n - len(data))
    return data


def _part(fp: BinaryIO, most: int, missing: int) -> bytes:
    """Read at least one and at most `most` bytes."""
    part = fp.read(most)
    if part is None:
        raise BlockingIOError("the stream is non-blocking and empty: give a blocking one")
    if not part:
        raise FrameError(f"the stream ended {missing} bytes early: the frame is truncated")
    if len(part) > most:
        raise OSError(
            f"read({most}) of the stream returned {len(part)} bytes: give a file object of the io module, or one that "
            "keeps to its rules"
        )
    return part
