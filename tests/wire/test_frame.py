"""The frame: round trips, and that no bytes whatever get anything but a frame or a FrameError out of the reader."""

from __future__ import annotations

import contextlib
import io
import os
import random
import struct
import sys
import tracemalloc

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bluetusk.errors import FrameError
from bluetusk.wire import frame as fr
from bluetusk.wire.frame import Kind, check_fields, decode, encode, field

# The nightly run raises this (BLUETUSK_FUZZ=1000000); the unit suite does 10^5.
MUTATIONS = int(os.environ.get("BLUETUSK_FUZZ", "100000"))

leaves = st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=40) | st.binary(max_size=40)
values = leaves
for _ in range(3):
    values = leaves | st.lists(values, max_size=4) | st.dictionaries(st.text(max_size=8), values, max_size=4)
headers = st.dictionaries(st.text(max_size=8), values, max_size=6)
kinds = st.sampled_from(list(Kind))

SAMPLE = {
    "count": 1000,
    "negative": -5,
    "big": 2**64 - 1,
    "fresh": True,
    "key": bytes(range(32)),
    "sender": "bank-0 \u20ac",
    "shape": [3, 2**40, 0],
    "plan": {"base": 2, "clip": "0x4", "inner": {"deep": [1]}},
}


def raw(body: bytes, payload: bytes = b"", kind: int = 1, version: int = 1, magic: bytes = b"BTK1") -> bytes:
    """A frame around any bytes in the header's place."""
    return struct.pack("<4sHHIQ", magic, version, kind, len(body), len(payload)) + body + payload


def same(a: object, b: object) -> bool:
    """Equality that tells True from 1."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


# ------------------------------------------------------------------------------------------------- round trips


@given(kinds, headers, st.binary(max_size=200))
def test_round_trip(kind: Kind, header: dict, payload: bytes) -> None:
    data = encode(kind, header, payload)
    got = decode(data, kind, max_payload=len(payload))
    assert same(got.header, header)
    assert (got.kind, got.version, bytes(got.payload)) == (kind, 1, payload)
    assert encode(got.kind, got.header, got.payload) == data


@given(kinds, headers, st.binary(max_size=200), st.integers(1, 9))
def test_streams_agree_with_bytes(kind: Kind, header: dict, payload: bytes, step: int) -> None:
    class Dribble(io.BytesIO):
        """Short reads and short writes, as sockets give."""

        def read(self, n: int = -1) -> bytes:
            return super().read(min(n, step) if n >= 0 else step)

        def write(self, data: memoryview) -> int:
            return super().write(data[:step])

    fp = Dribble()
    n = fr.write_header(fp, kind, header, len(payload))
    fr.write_all(fp, payload)
    assert fp.getvalue() == encode(kind, header, payload)
    assert n == len(fp.getvalue()) - len(payload)
    fp.seek(0)
    got, length = fr.read_header(fp, kind)
    assert same(got, header)
    assert length == len(payload)
    buffer = bytearray(length)
    fr.read_exact(fp, buffer)
    assert bytes(buffer) == payload
    fp.seek(0)
    whole = fr.read_frame(fp, kind, max_payload=len(payload))
    assert same(whole.header, header)
    assert bytes(whole.payload) == payload


def test_the_order_of_insertion_does_not_matter() -> None:
    backwards = dict(reversed(list(SAMPLE.items())))
    assert encode(Kind.PLAN, SAMPLE) == encode(Kind.PLAN, backwards)


def test_payload_is_a_view_not_a_copy() -> None:
    data = bytearray(encode(Kind.PLAN, {}, b"abc"))
    view = decode(data).payload
    data[-1] = ord("z")
    assert bytes(view) == b"abz"


def test_golden_bytes() -> None:
    """Version 1 is fixed: these bytes stay readable, and are what is written."""
    golden = bytes.fromhex(
        "42544b31 0100 1200 31000000 0300000000000000"  # magic, version 1, kind 18, 49 bytes of header, 3 of payload
        "84 a4626f6f6c c3 a5636f756e74 d1fed4"  # bool: true, count: -300
        "a36b6579 c4080102030405060708 a57368617065 930a 81a474657874 a3c3a47a ff"  # key, shape: [10, {text: ..}, -1]
        "78797a"
    )
    header = {"bool": True, "count": -300, "key": bytes(range(1, 9)), "shape": [10, {"text": "\u00e4z"}, -1]}
    assert encode(Kind.SUM_TOTAL, header, b"xyz") == golden
    got = decode(golden, Kind.SUM_TOTAL)
    assert same(got.header, header)
    assert bytes(got.payload) == b"xyz"


# --------------------------------------------------------------------------------------------- what is refused


def test_every_prefix_is_refused() -> None:
    data = encode(Kind.CIPHER_ARRAY, SAMPLE, bytes(100))
    for n in range(len(data)):
        with pytest.raises(FrameError):
            decode(data[:n])
        with pytest.raises(FrameError):
            fr.read_frame(io.BytesIO(data[:n]), max_payload=100)
    with pytest.raises(FrameError, match="followed by other bytes"):
        decode(data + b"\0")


def test_every_bit_flip_is_refused_or_shows_in_the_frame() -> None:
    data = encode(Kind.CIPHER_ARRAY, SAMPLE, b"payload")
    accepted = 0
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << (bit % 8)
        try:
            got = decode(flipped)
        except FrameError:
            continue
        accepted += 1
        assert (got.kind, bytes(got.payload)) != (Kind.CIPHER_ARRAY, b"payload") or not same(got.header, SAMPLE)
        assert encode(got.kind, got.header, got.payload) == flipped  # canonical: what is read is what is written
    assert accepted > 0  # flips in text and in the payload do give other frames


def test_mutated_frames_never_break_the_reader() -> None:
    rng = random.Random(20240817)
    seeds = [
        encode(Kind.CIPHER_ARRAY, SAMPLE, b"payload"),
        encode(Kind.PLAN, {}),
        encode(Kind.SUM_SESSION, {"clients": {f"bank-{i}": [bytes(32), i] for i in range(4)}, "tensors": {"g": 5}}),
        encode(Kind.SUM_TOTAL, {"signed": [bytes(70)] * 3, "round": 2**40}, bytes(64)),
    ]
    interesting = [0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, *range(0xC0, 0xE0), 0x7F, 0xFF, 0]
    accepted = 0
    for _ in range(MUTATIONS):
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.randint(1, 3)):
            action, at = rng.randrange(6), rng.randrange(len(data) + 1)
            if action == 0:
                data[at : at + 1] = bytes([rng.randrange(256)])
            elif action == 1:
                data[at : at + 1] = bytes([rng.choice(interesting)])
            elif action == 2:
                del data[at : at + rng.randint(1, 8)]
            elif action == 3:
                data[at:at] = rng.randbytes(rng.randint(1, 8))
            elif action == 4:
                data[at : at + 4] = struct.pack(rng.choice("<>") + "I", rng.choice([0, 1, 2**31, 2**32 - 1, 2**16]))
            else:
                other = rng.choice(seeds)
                data[at:] = other[rng.randrange(len(other)) :]
            data = data or bytearray(1)
        if len(data) >= 20 and rng.random() < 0.7:  # most faults would else only ever meet the length check
            data[:4] = b"BTK1"
            data[8:20] = struct.pack("<IQ", max(0, len(data) - 20 - 7), min(7, len(data) - 20))
        try:
            got = decode(data)
        except FrameError:
            continue
        accepted += 1
        assert encode(got.kind, got.header, got.payload) == data
    assert accepted > MUTATIONS // 1000


@settings(max_examples=300)
@given(st.binary(max_size=300))
def test_any_bytes_as_header(body: bytes) -> None:
    try:
        got = decode(raw(body))
    except FrameError:
        return
    assert encode(got.kind, got.header) == raw(body)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "truncated"),
        (b"BTK1", "truncated"),
        (raw(b"\x80", magic=b"BTK2"), "not a bluetusk frame"),
        (raw(b"\x80", version=2), "version 2 is unknown"),
        (raw(b"\x80", version=0), "version 0 is unknown"),
        (raw(b"\x80", kind=999), "kind 999 is unknown"),
        (raw(b"\x80", kind=2), "expected PLAN"),
        (raw(b""), "truncated"),
        (raw(b"\x90"), "not a map"),
        (raw(b"\x01"), "not a map"),
        (raw(b"\x80\x80"), "followed by other bytes"),
        (raw(b"\x81\xa1a"), "truncated"),
        (raw(b"\x81\xa1a\xc0"), "nil"),
        (raw(b"\x81\xa1a\xc1"), "not allowed"),
        (raw(msgpack.packb({"a": 1.5})), "float"),
        (raw(msgpack.packb({"a": 1.5}, use_single_float=True)), "float"),
        (raw(msgpack.packb({"a": float("nan")})), "float"),
        (raw(msgpack.packb({"a": msgpack.Timestamp(1, 2)})), "extensions"),
        (raw(msgpack.packb({"a": msgpack.ExtType(5, b"xxxx")})), "extensions"),
        (raw(msgpack.packb({"a": msgpack.ExtType(5, b"xxxxx")})), "extensions"),
        (raw(msgpack.packb({1: 2})), "must be a str"),
        (raw(msgpack.packb({b"a": 2})), "must be a str"),
        (raw(b"\x81\x90\x01"), "must be a str"),
        (raw(b"\x81\xa1\xff\x01"), "malformed"),
        (raw(b"\x81\xa3\xed\xa0\x80\x01"), "malformed"),  # a lone surrogate
        (raw(b"\x82\xa1a\x01\xa1a\x01"), "canonical"),  # duplicate key, equal values
        (raw(b"\x82\xa1a\x01\xa1a\x02"), "canonical"),
        (raw(b"\x82\xa1b\x01\xa1a\x01"), "canonical"),  # order
        (raw(b"\x81\xa1a\xcc\x01"), "canonical"),  # 1 in two bytes
        (raw(b"\x81\xa1a\xd0\x01"), "canonical"),
        (raw(b"\x81\xa1a\xd9\x01b"), "canonical"),  # str8 for one character
        (raw(b"\x81\xa1a\xc5\x00\x01b"), "canonical"),
        (raw(b"\xde\x00\x01\xa1a\x01"), "canonical"),
        (raw(b"\x81\xa1a\xdc\x00\x01\x01"), "canonical"),
        (raw(b"\x81\xa1a\x91\x91\x91\x91\x01"), "nested"),
    ],
)
def test_refused(data: bytes, match: str) -> None:
    with pytest.raises(FrameError, match=match):
        decode(data, Kind.PLAN)


def test_depth_four_is_the_deepest() -> None:
    header = {"a": {"b": {"c": {"d": 1}}}}
    assert decode(encode(Kind.PLAN, header)).header == header
    with pytest.raises(ValueError, match="nested at most 4"):
        encode(Kind.PLAN, {"a": {"b": {"c": {"d": [1]}}}})


def test_payload_limit() -> None:
    data = encode(Kind.PLAN, {}, bytes(11))
    assert decode(data, max_payload=11).payload.nbytes == 11
    for read in (lambda: decode(data, max_payload=10), lambda: fr.read_header(io.BytesIO(data), max_payload=10)):
        with pytest.raises(FrameError, match="more than the 10 allowed here"):
            read()


@pytest.mark.parametrize("header", [{"a": None}, {"a": 1.0}, {1: 2}, {"a": {b"x": 1}}, {"a": {1, 2}}, [], "x"])
def test_encode_refuses_types(header: object) -> None:
    with pytest.raises(TypeError):
        encode(Kind.PLAN, header)


@pytest.mark.parametrize(
    "header",
    [
        {"a": 2**64},
        {"a": -(2**63) - 1},
        {"a": bytes(fr.MAX_HEADER)},
        {"a": [0] * fr.MAX_VALUES},
        {"a": "\ud800"},
    ],
)
def test_encode_refuses_values(header: dict) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - every one has a message of its own
        encode(Kind.PLAN, header)


def test_largest_headers_pass() -> None:
    for header in ({"a": bytes(fr.MAX_HEADER - 8)}, {"a": [0] * (fr.MAX_VALUES - 3)}):
        assert decode(encode(Kind.PLAN, header)).header == header


# ------------------------------------------------------------------------------------------------ memory bound


def bombs() -> list[bytes]:
    million = fr.MAX_HEADER
    return [
        raw(b"\x81\xa1a\xdd\xff\xff\xff\xff"),
        raw(b"\xdf\xff\xff\xff\xff"),
        raw(b"\x81\xa1a\xc6\xff\xff\xff\xff"),
        raw(b"\x81\xa1a\xdb\xff\xff\xff\xff"),
        raw((b"\xdd" + (million // 2).to_bytes(4, "big")) * 1000 + bytes(million // 2)),  # lists in lists
        raw(b"\x81\xa1a" + b"\x91" * 100_000 + b"\x01"),
        raw(b"\x81\xa1a\xdd" + (million - 8).to_bytes(4, "big") + b"\x80" * (million - 8)),  # 10^6 maps of one byte
        raw(b"\xdf" + (8000).to_bytes(4, "big") + b"\xa0\x80" * 8000),
        encode(Kind.PLAN, {"a": [{}] * (fr.MAX_VALUES - 3)}),  # accepted: the dearest header per byte
        encode(Kind.PLAN, {"a": [[2**60 + i] for i in range(fr.MAX_VALUES // 2 - 2)]}),
        encode(Kind.PLAN, {f"{i:x}": 300 + i for i in range(fr.MAX_VALUES // 2 - 1)}),
        encode(Kind.PLAN, {"a": "x" * (fr.MAX_HEADER - 100)}, bytes(1 << 20)),
        struct.pack("<4sHHIQ", b"BTK1", 1, 1, 2**32 - 1, 2**64 - 1),
        struct.pack("<4sHHIQ", b"BTK1", 1, 1, fr.MAX_HEADER, 2**64 - 1) + b"\x80",
    ]


@pytest.mark.parametrize("number", range(14))
def test_memory_stays_below_four_frames_and_a_megabyte(number: int) -> None:
    data = bombs()[number]
    for read in (decode, lambda d: fr.read_frame(io.BytesIO(d), max_payload=2**63)):
        tracemalloc.start()
        with contextlib.suppress(FrameError):
            read(data)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak <= 4 * len(data) + (1 << 20), f"{peak} bytes for a frame of {len(data)}"


@pytest.mark.parametrize(
    "header",
    [
        {"a": bytes(fr.MAX_HEADER - 8)},
        {"a": "x" * (fr.MAX_HEADER - 8)},
        {"a": "\u20ac" * ((fr.MAX_HEADER - 8) // 3)},
        {"a": "x" * (fr.MAX_HEADER - 12) + "\U0001f600"},  # one such character makes four bytes of each
        {"a": ["x" * 115 + "\U0001f600"] * 8000},
        {f"{i:x}": "\U0001f600" * 30 for i in range(4000)},
    ],
    ids=["bytes", "ascii", "three bytes each", "four bytes each", "many texts", "many fields"],
)
def test_the_largest_headers_cost_no_more(header: dict) -> None:
    """They are good frames; from a stream, the header's own bytes (at most a megabyte) are held besides."""
    data = encode(Kind.PLAN, header)
    for read, more in (
        (decode, 1 << 12),
        (lambda d: fr.read_frame(io.BytesIO(d), max_payload=0), fr.MAX_HEADER + (1 << 17)),
    ):
        tracemalloc.start()
        assert read(data).header == header
        tracemalloc.reset_peak()
        read(data)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak <= 4 * len(data) + (1 << 20) + more, f"{peak} bytes for a frame of {len(data)}"


@pytest.mark.parametrize(
    ("code", "shortest"),
    [
        (b"\xcc", 2**7),
        (b"\xcd", 2**8),
        (b"\xce", 2**16),
        (b"\xcf", 2**32),
        (b"\xd0", -33),
        (b"\xd1", -(2**7) - 1),
        (b"\xd2", -(2**15) - 1),
        (b"\xd3", -(2**31) - 1),
    ],
)
def test_numbers_have_one_encoding(code: bytes, shortest: int) -> None:
    """Every width on both sides of the least number that needs it."""
    width = 1 << (code[0] & 3)
    step = 1 if shortest > 0 else -1
    for number, good in ((shortest, True), (shortest - step, False), (shortest + step, True)):
        body = b"\x81\xa1a" + code + number.to_bytes(width, "big", signed=shortest < 0)
        if good:
            assert decode(raw(body)).header == {"a": number}
        else:
            with pytest.raises(FrameError, match="canonical"):
                decode(raw(body))


@pytest.mark.parametrize(
    ("head", "shortest", "item"),
    [
        (b"\xd9", 32, b"x"),
        (b"\xda", 2**8, b"x"),
        (b"\xdb", 2**16, b"x"),
        (b"\xc4", 0, b"x"),
        (b"\xc5", 2**8, b"x"),
        (b"\xc6", 2**16, b"x"),
        (b"\xdc", 16, b"\x01"),
    ],
)
def test_lengths_have_one_encoding(head: bytes, shortest: int, item: bytes) -> None:
    width = {0xD9: 1, 0xC4: 1, 0xDA: 2, 0xC5: 2, 0xDC: 2, 0xDB: 4, 0xC6: 4}[head[0]]
    for n in (shortest - 1, shortest, shortest + 1):
        if n < 0:
            continue
        body = b"\x81\xa1a" + head + n.to_bytes(width, "big") + item * n
        if n >= shortest:
            assert len(decode(raw(body)).header["a"]) == n
        else:
            with pytest.raises(FrameError, match="canonical"):
                decode(raw(body))


def test_keys_are_not_interned() -> None:
    """An interned key would stay in memory when its frame is gone (for ever, in Python 3.12)."""
    key = "a key of a hostile frame"
    (read,) = decode(encode(Kind.PLAN, {key[:5] + key[5:]: 1})).header
    assert read == key
    copy = "".join(reversed("".join(reversed(key))))
    assert sys.intern(copy) is not read


# ------------------------------------------------------------------------------------------------------ fields


def test_field_takes_what_it_should() -> None:
    header = decode(encode(Kind.PLAN, SAMPLE)).header
    assert field(header, "count", int, low=1000, high=1000) == 1000
    assert field(header, "fresh", bool) is True
    assert field(header, "key", bytes, length=32) == bytes(range(32))
    assert field(header, "sender", str, low=1, high=64).startswith("bank")
    assert field(header, "shape", list, items=int, length=3) == [3, 2**40, 0]
    assert field(header, "plan", dict, low=3, high=3)["base"] == 2
    check_fields(header, set(SAMPLE) - {"big"}, {"big", "absent"})


@pytest.mark.parametrize(
    ("name", "kind", "limits", "match"),
    [
        ("missing", int, {}, "lacks the field 'missing'"),
        ("fresh", int, {}, "is of type bool, not int"),
        ("count", bool, {}, "is of type int, not bool"),
        ("count", str, {}, "not str"),
        ("count", int, {"low": 1001}, "below"),
        ("count", int, {"high": 999}, "above"),
        ("count", int, {"choices": [1, 2]}, "not one of 1, 2"),
        ("key", bytes, {"length": 31}, "length 32, not 31"),
        ("sender", str, {"high": 3}, "length of frame field 'sender' is 8, above"),
        ("sender", str, {"choices": ["a"]}, "not one of 'a'"),
        ("shape", list, {"items": str}, "holds a int, takes only str"),
        ("plan", dict, {"items": int}, "takes only int"),
        ("plan", dict, {"low": 4}, "below"),
    ],
)
def test_field_refuses(name: str, kind: type, limits: dict, match: str) -> None:
    with pytest.raises(FrameError, match=match):
        field(SAMPLE, name, kind, **limits)


def test_check_fields_names_the_unknown() -> None:
    with pytest.raises(FrameError, match="unknown field 'big'"):
        check_fields(SAMPLE, set(SAMPLE) - {"big"})


def test_streams_that_cannot_go_on() -> None:
    class Full(io.RawIOBase):
        def write(self, data: memoryview) -> None:
            return None

    with pytest.raises(BlockingIOError):
        fr.write_all(Full(), b"abc")
    with pytest.raises(FrameError, match="ended 2 bytes early"):
        fr.read_exact(io.BytesIO(b"a"), bytearray(3))
    with pytest.raises(ValueError, match="payload_len"):
        fr.write_header(io.BytesIO(), Kind.PLAN, {}, -1)
