"""Frames that version 1 of the format wrote stay readable, and mean what they meant (M20)."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bluetusk._selftest import _P, _Q
from bluetusk.encoding import FixedPoint
from bluetusk.errors import FrameError
from bluetusk.paillier.array import CipherArray
from bluetusk.paillier.keys import PrivateKey, PublicKey

decrypt = PrivateKey.decrypt

VECTORS = Path(__file__).parents[1] / "vectors"
GOLDEN: dict[str, Any] = json.loads((VECTORS / "paillier_frames_v1.json").read_text())

# said again here, so that neither the file nor the reader can change alone
VALUES = {
    "plain": [[0.5, -1.25], [3.75, 0.0]],
    "packed": [-0.75, -0.5, -0.25, 0.0, 0.25],
    "derived": [4.75, -5.75],
    "decimal": [10.1, -0.055],
    "standard": [1099511627776.0, -1.0],
    "empty": [[], []],
}
PLANS = {
    "default": FixedPoint(clip=4.0, frac_bits=20, max_weight=100, guard_bits=2),
    "money": FixedPoint.decimal(clip=1e6, digits=3, max_weight=30_000, on_clip="clip"),
    "integers": FixedPoint(clip=2**40, frac_bits=0),
    "l2": FixedPoint(clip=0.3, frac_bits=30, guard_bits=5, on_clip="l2", rounding="stochastic"),
}
OF_ARRAY = {"decimal": "money", "standard": "integers"}


@pytest.fixture(scope="module", params=["djn", "standard"])
def key(request: pytest.FixtureRequest) -> Iterator[PrivateKey]:
    with PrivateKey(_P, _Q, suite=request.param) as priv:
        yield priv


@pytest.mark.parametrize("name", sorted(PLANS))
def test_plans_read_and_write_as_they_did(name: str) -> None:
    data = bytes.fromhex(GOLDEN["plans"][name])
    assert FixedPoint.from_bytes(data) == PLANS[name]
    assert PLANS[name].to_bytes() == data


def test_public_keys_read_and_write_as_they_did(key: PrivateKey) -> None:
    pub = key.public_key
    data = bytes.fromhex(GOLDEN["public_key"][pub.suite])
    read = PublicKey.from_bytes(data)
    assert read == pub
    assert (int(read.n), read.suite, read.fingerprint) == (_P * _Q, pub.suite, pub.fingerprint)
    assert pub.to_bytes() == data


def test_arrays_decrypt_to_what_was_encrypted(key: PrivateKey) -> None:
    pub = key.public_key
    assert sorted(GOLDEN["arrays"]) == sorted(VALUES)
    mine = [name for name in VALUES if (name == "standard") == (pub.suite == "standard")]
    assert mine
    for name in mine:
        said = GOLDEN["arrays"][name]
        data = bytes.fromhex(said["frame"])
        plan = PLANS[OF_ARRAY.get(name, "default")]
        for c in (CipherArray.from_bytes(data, pub, plan), CipherArray.read_from(io.BytesIO(data), pub)):
            assert decrypt(key, c).tolist() == VALUES[name] == said["values"]
            assert (c.plan, c.frac, c.packed, c.fresh) == (plan, said["frac"], said["packed"], said["fresh"])
            assert c.to_bytes(c.bound) == data  # passed on as it came


def test_the_key_file_still_opens(tmp_path: Path) -> None:
    path = tmp_path / "old.key"
    path.write_bytes(bytes.fromhex(GOLDEN["private_key"]))
    with PrivateKey.load(path, GOLDEN["passphrase"]) as priv:
        assert priv.public_key.to_bytes().hex() == GOLDEN["public_key"]["djn"]
        c = CipherArray.from_bytes(bytes.fromhex(GOLDEN["arrays"]["plain"]["frame"]), priv.public_key)
        assert decrypt(priv, c).tolist() == VALUES["plain"]


def test_the_next_version_is_refused(key: PrivateKey) -> None:
    for read, text in (
        (FixedPoint.from_bytes, GOLDEN["plans"]["default"]),
        (PublicKey.from_bytes, GOLDEN["public_key"]["djn"]),
        (lambda data: CipherArray.from_bytes(data, key.public_key), GOLDEN["arrays"]["plain"]["frame"]),
    ):
        data = bytearray.fromhex(text)
        data[4] = 2
        with pytest.raises(FrameError, match="version 2 is unknown"):
            read(data)
