"""Bytes over GF(2^8) and keys over 2^61 - 1."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bluetusk as bt
from bluetusk import sharing


def times(a, b):
    t = 0
    for i in range(8):
        t ^= (a << i) * (b >> i & 1)
    for i in range(14, 7, -1):
        t ^= (0x11B << (i - 8)) * (t >> i & 1)
    return t


INVERSE = {a: b for a in range(1, 256) for b in range(1, 256) if times(a, b) == 1}


@pytest.mark.parametrize(("threshold", "parties"), [(1, 1), (2, 3), (3, 5), (255, 255)])
def test_bytes_by_hand(threshold, parties):
    secret = bytes(range(250, 256)) + b"abc" * 20
    shares = sharing.share_bytes(secret, threshold, parties)
    assert shares.shape == (parties, len(secret))
    chosen = list(range(parties))[-threshold:]
    assert sharing.reconstruct_bytes(shares[chosen], [i + 1 for i in chosen], threshold).tobytes() == secret
    if threshold <= 3:
        for chosen in itertools.combinations(range(parties), threshold):
            got = bytearray(len(secret))
            for i in chosen:
                weight = 1
                for j in chosen:
                    if j != i:
                        weight = times(weight, times(j + 1, INVERSE[(i + 1) ^ (j + 1)]))
                for at in range(len(secret)):
                    got[at] ^= times(weight, int(shares[i, at]))
            assert bytes(got) == secret


def test_wrong_bytes_are_named():
    shares = sharing.share_bytes(b"a secret of some length", 3, 7)
    shares[5, 3] ^= 0x40
    with pytest.raises(bt.ProtocolAbort, match="party 6") as caught:
        sharing.reconstruct_bytes(shares, range(1, 8), 3)
    assert caught.value.party == "6"


@given(st.data())
def test_keys_of_any_length(data):
    length = data.draw(st.integers(1, 70))
    keys = data.draw(st.lists(st.binary(min_size=length, max_size=length), min_size=1, max_size=3))
    parties = data.draw(st.integers(1, 9))
    threshold = data.draw(st.integers(1, parties))
    shares = sharing.share_keys(keys, threshold, parties)
    assert shares.shape == (parties, len(keys), -(-length // 7))
    ids = data.draw(st.permutations(range(1, parties + 1)))[:threshold]
    assert sharing.reconstruct_keys(shares[[i - 1 for i in ids]], ids, threshold, length) == keys


def test_keys_among_a_thousand():
    shares = sharing.share_keys([bytes(range(32))], 600, 1000)
    assert sharing.reconstruct_keys(shares[300:900], range(301, 901), 600, 32) == [bytes(range(32))]


def test_what_gives_no_key_is_an_abort():
    shares = sharing.share_keys([b"\xff" * 32, bytes(32)], 2, 3)
    for limb in range(5):
        wrong = shares.copy()
        wrong[0, 1, limb] = (int(wrong[0, 1, limb]) + 2**56) % (2**61 - 1)
        with pytest.raises(bt.ProtocolAbort, match="do not reconstruct to a key of 32 bytes"):
            sharing.reconstruct_keys(wrong[:2], [1, 2], 2, 32)
    with pytest.raises(bt.ProtocolAbort, match="do not reconstruct to a key of 31 bytes"):
        sharing.reconstruct_keys(shares, [1, 2, 3], 2, 31)  # the last byte of the first key is not 0


def test_refusals():
    for data in ("text", [0.5], np.zeros(3, np.int64)):
        with pytest.raises(TypeError, match="data must be bytes or an array of uint8"):
            sharing.share_bytes(data, 2, 3)
    with pytest.raises(ValueError, match=r"room for at most 255: use share_keys\(\)"):
        sharing.share_bytes(b"x", 2, 256)
    for keys in (b"one", "one", ["one"], [1]):
        with pytest.raises(TypeError, match="sequence of bytes"):
            sharing.share_keys(keys, 2, 3)
    for keys in ([], [b"1", b"12"], [b""]):
        with pytest.raises(ValueError, match="one or more bytes of equal length"):
            sharing.share_keys(keys, 2, 3)
    with pytest.raises(ValueError, match=r"must have the shape \(parties, keys, 5\)"):
        sharing.reconstruct_keys(np.zeros((3, 2, 4), np.uint64), [1, 2, 3], 2, 32)


def test_memoryviews_count_as_the_arrays_that_they_show():
    grid = np.arange(6, dtype=np.uint8).reshape(2, 3)
    for view, expected in (
        (memoryview(grid), grid),
        (memoryview(bytearray(range(6)))[::2], np.array([0, 2, 4], np.uint8)),
        (memoryview(b"key"), np.frombuffer(b"key", np.uint8)),
    ):
        shares = sharing.share_bytes(view, 2, 3)
        assert shares.shape == (3, *expected.shape)
        assert np.array_equal(sharing.reconstruct_bytes(shares[1:], [2, 3], 2), expected)
    with pytest.raises(TypeError, match="data must be bytes or an array of uint8, not uint16"):
        sharing.share_bytes(memoryview(np.arange(3, dtype=np.uint16)), 2, 3)
