"""Frames of shares that version 1 of the format wrote stay readable, and mean what they meant (M20)."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bluetusk._selftest import _P, _Q
from bluetusk.errors import FrameError
from bluetusk.paillier import RingArray, open_shares
from bluetusk.paillier.keys import PrivateKey
from bluetusk.sharing import Share, reconstruct_bytes, ring, shamir

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "share_frames_v1.json").read_text())

# said again here, so that neither the file nor the reader can change alone
SHAMIR = {
    "2^31 - 1": (2**31 - 1, 3, 5),
    "2^61 - 1": (2**61 - 1, 3, 5),
    "goldilocks": (2**64 - 2**32 + 1, 3, 5),
    "vdaf 128": (2**128 - 7 * 2**66 + 1, 3, 5),
    "bytes": (256, 2, 3),
}


@pytest.fixture(scope="module")
def key() -> Iterator[PrivateKey]:
    with PrivateKey(_P, _Q) as priv:
        yield priv


def read(name: str) -> list[Share]:
    frames = [bytes.fromhex(text) for text in GOLDEN["shares"][name]]
    shares = [Share.from_bytes(frame) for frame in frames]
    assert [share.to_bytes() for share in shares] == frames
    return shares


@pytest.mark.parametrize("name", sorted(SHAMIR))
def test_any_threshold_of_the_shares_reconstructs(name: str) -> None:
    prime, threshold, parties = SHAMIR[name]
    shares = read(name)
    about = [(share.scheme, share.order, share.threshold, share.parties, share.party) for share in shares]
    assert about == [("shamir", prime, threshold, parties, i + 1) for i in range(parties)]
    expected = [*b"seven quiet otters"] if prime == 256 else [[0, 1, 2], [3, 4, prime - 1]]
    for some in itertools.combinations(shares, threshold):
        values, ids = [share.values for share in some], [share.party for share in some]
        if prime == 256:
            got = reconstruct_bytes(values, ids, threshold)
        else:
            got = shamir.reconstruct(values, ids, threshold, prime)
        assert got.tolist() == expected


def test_additive_and_replicated_shares_reconstruct() -> None:
    for bits in (32, 64):
        shares = read(f"ring {bits}")
        assert [(share.order, share.party) for share in shares] == [(2**bits, i) for i in range(3)]
        assert ring.reconstruct(np.stack([s.values for s in shares]), signed=True).tolist() == [-1, 0, 2**31 - 1]
    shares = read("replicated")
    got = ring.reconstruct_replicated([s.values for s in shares[1:]], [s.party for s in shares[1:]], signed=True)
    assert got.tolist() == [5, -6]


def test_requests_still_become_shares(key: PrivateKey) -> None:
    wide, narrow = GOLDEN["requests"]["64 bits"], GOLDEN["requests"]["32 bits, truncated"]
    theirs = open_shares(key, bytes.fromhex(wide["frame"]))
    assert theirs.shape == (2, 2)
    total = np.array(wide["mine"], np.uint64) + theirs.ravel()
    assert total.view(np.int64).tolist() == [3, -4, 5, 2**40]
    theirs = open_shares(key, bytes.fromhex(narrow["frame"]))
    assert theirs.dtype == np.uint32
    total = (np.array(narrow["mine"], np.uint32) + theirs).view(np.int32)
    assert np.isin(total - np.array([56, -52]), [0, 1]).all()  # 3.5 and -3.25 at 2^20, shifted down to 2^4


def test_ring_arrays_still_decrypt(key: PrivateKey) -> None:
    array = RingArray.from_bytes(bytes.fromhex(GOLDEN["ring_array"]), key.public_key)
    assert (array.bits, array.decrypt(key).tolist()) == (64, [20, -25])


def test_the_next_version_is_refused(key: PrivateKey) -> None:
    readers: list[tuple[str, Callable[[bytes], Any]]] = [
        (GOLDEN["shares"]["bytes"][0], Share.from_bytes),
        (GOLDEN["requests"]["64 bits"]["frame"], lambda data: open_shares(key, data)),
        (GOLDEN["ring_array"], lambda data: RingArray.from_bytes(data, key.public_key)),
    ]
    for text, reader in readers:
        data = bytearray.fromhex(text)
        data[4] = 2
        with pytest.raises(FrameError, match="version 2 is unknown"):
            reader(bytes(data))
