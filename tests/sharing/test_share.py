"""Shares as frames: there and back, golden bytes, and everything that is none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bluetusk as bt
from bluetusk import sharing
from bluetusk.sharing import Share, ring, shamir
from bluetusk.wire import frame

VDAF128 = 2**66 * 4611686018427387897 + 1
GOLDEN = {  # frames of version 1 stay readable
    "shamir": "42544b310100050042000000100000000000000086a56f72646572c408ffffffffffffff1fa77061727469657303a570617274"
    "7902a6736368656d65a67368616d6972a573686170659102a97468726573686f6c64020500000000000000feffffffffffff1f",
    "additive": "42544b310100050041000000080000000000000086a56f72646572c4050000000001a77061727469657302a5706172747900"
    "a6736368656d65a86164646974697665a573686170659102a97468726573686f6c640207000000ffffffff",
}


def shares_of_all_kinds():
    x = np.arange(6).reshape(2, 3)
    for p in (2**61 - 1, 2**31 - 1, 2**64 - 2**32 + 1, VDAF128, 101):
        for i, row in enumerate(shamir.share(x, 2, 3, p)):
            yield Share("shamir", p, 2, 3, i + 1, row)
    for i, row in enumerate(sharing.share_bytes(b"abc", 2, 3)):
        yield Share("shamir", 256, 2, 3, i + 1, row)
    for bits in (32, 64):
        for i, row in enumerate(ring.share(x, 3, bits)):
            yield Share("additive", 2**bits, 3, 3, i, row)
        for i, row in enumerate(ring.share_replicated(x, bits)):
            yield Share("replicated", 2**bits, 2, 3, i, row)


@pytest.mark.parametrize("share", list(shares_of_all_kinds()), ids=repr)
def test_there_and_back(share):
    data = share.to_bytes()
    got = Share.from_bytes(data)
    assert (got.scheme, got.order, got.threshold, got.parties, got.party) == (
        share.scheme,
        share.order,
        share.threshold,
        share.parties,
        share.party,
    )
    assert got.values.dtype == share.values.dtype
    assert np.array_equal(got.values, share.values)
    assert got.to_bytes() == data
    if share.order > 256:  # a value of few digits may be in "party 1, 2-of-3"
        shown = repr(share)
        assert str(int(share.values.reshape(-1)[-1])) not in shown.replace(str(share.order), "")


def test_golden_frames():
    got = Share.from_bytes(bytes.fromhex(GOLDEN["shamir"]))
    assert (got.scheme, got.order, got.threshold, got.parties, got.party) == ("shamir", 2**61 - 1, 2, 3, 2)
    assert got.values.tolist() == [5, 2**61 - 2]
    assert got.to_bytes().hex() == GOLDEN["shamir"]
    got = Share.from_bytes(bytes.fromhex(GOLDEN["additive"]))
    assert (got.scheme, got.order, got.threshold, got.parties, got.party) == ("additive", 2**32, 2, 2, 0)
    assert got.values.tolist() == [7, 2**32 - 1]
    assert got.to_bytes().hex() == GOLDEN["additive"]


HEADER = {"scheme": "shamir", "order": b"\x65", "threshold": 2, "parties": 3, "party": 1, "shape": [1]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scheme": "else"}, "order must be 2"),
        ({"order": b""}, "shortest form"),
        ({"order": b"\x65\0"}, "shortest form"),
        ({"order": b"\x64"}, "odd prime"),
        ({"order": b"\xff" * 66}, "odd prime"),
        ({"order": b"\xff" * 67}, "order"),
        ({"threshold": 0}, "threshold"),
        ({"threshold": 4}, "more than the 3 parties"),
        ({"party": 0}, "party must be 1 to 3"),
        ({"party": 4}, "party must be 1 to 3"),
        ({"shape": [2]}, "needs a payload of 16 bytes"),
        ({"shape": [-1]}, "out of range"),
        ({"shape": [2**30, 2**30]}, "out of range"),
        ({"shape": [1] * 33}, "shape"),
        ({"extra": 1}, "extra"),
        ({"scheme": "additive", "order": (2**64).to_bytes(9, "little")}, "threshold=3 and parties=3"),
        ({"scheme": "additive", "order": (2**48).to_bytes(7, "little")}, "must be 2"),
        ({"scheme": "replicated", "order": (2**64).to_bytes(9, "little")}, "first axis of two"),
    ],
)
def test_frames_that_are_no_share(change, message):
    header = HEADER | change
    with pytest.raises(bt.FrameError, match=message):
        Share.from_bytes(frame.encode(frame.Kind.SHARE, header, bytes(8)))


def test_a_value_outside_of_the_field_is_refused():
    payload = (101).to_bytes(8, "little")
    with pytest.raises(bt.FrameError, match="outside the field of order 101"):
        Share.from_bytes(frame.encode(frame.Kind.SHARE, HEADER, payload))
    assert Share.from_bytes(frame.encode(frame.Kind.SHARE, HEADER, (100).to_bytes(8, "little"))).values.tolist() == [
        100
    ]
    with pytest.raises(bt.FrameError, match="of kind MESSAGE, expected SHARE"):
        Share.from_bytes(frame.encode(frame.Kind.MESSAGE, HEADER, payload))


@given(st.data())
def test_damaged_frames_never_do_anything_else(data):
    whole = bytearray.fromhex(data.draw(st.sampled_from(list(GOLDEN.values()))))
    if data.draw(st.booleans()):
        damaged = bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    else:
        bit = data.draw(st.integers(0, 8 * len(whole) - 1))
        whole[bit // 8] ^= 1 << bit % 8
        damaged = bytes(whole)
    try:
        got = Share.from_bytes(damaged)
    except bt.FrameError:
        return
    assert got.to_bytes() == damaged


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("shamir", 2**61 - 1, 2, 3, 1, np.zeros(1, np.uint32)), TypeError, "must be of uint64"),
        (("shamir", VDAF128, 2, 3, 1, np.zeros(3, np.uint64)), ValueError, "last axis of 2 limbs"),
        (("other", 101, 2, 3, 1, np.zeros(1, np.uint64)), ValueError, "scheme must be one of"),
        (("additive", 2**64, 2, 3, 0, np.zeros(1, np.uint64)), ValueError, "needs threshold=3 and parties=3"),
    ],
)
def test_refusals(arguments, error, message):
    with pytest.raises(error, match=message):
        Share(*arguments)


@pytest.mark.parametrize("kind", [np.int64, np.uint64])
def test_numbers_of_numpy_are_kept_as_ints(kind):
    row = shamir.share([1, 2], 2, 3)[0]
    share = Share("shamir", kind(2**61 - 1), kind(2), kind(3), kind(1), row)
    assert {type(value) for value in (share.order, share.threshold, share.parties, share.party)} == {int}
    assert share.to_bytes() == Share("shamir", 2**61 - 1, 2, 3, 1, row).to_bytes()
    assert f"{share!r}" == "<Share of party 1, 2-of-3 shamir, order 2305843009213693951, shape (2,)>"


@pytest.mark.parametrize(
    ("share", "shape", "message"),
    [
        (lambda: Share("replicated", 2**64, 2, 3, 0, np.zeros((2, 2), np.uint64)), (4,), "first axis of two"),
        (
            lambda: Share("shamir", 2**127 - 1, 2, 3, 1, shamir.share([1, 2], 2, 3, 2**127 - 1)[0].copy()),
            (4,),
            "last axis of 2 limbs",
        ),
    ],
)
def test_a_share_that_was_changed_is_not_written(share, shape, message):
    """What no reader takes is refused by the writer."""
    changed = share()
    changed.values.resize(shape, refcheck=False)  # in place, past the check of the constructor
    with pytest.raises(ValueError, match=message):
        changed.to_bytes()
