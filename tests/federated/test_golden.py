"""Messages of a sum that version 1 of the format wrote stay readable, and mean what they meant."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bluetusk.errors import FrameError, InvalidKey
from bluetusk.federated import PaillierSum, SumResult
from bluetusk.paillier.keys import PrivateKey

VECTORS = Path(__file__).parents[1] / "vectors"


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    return json.loads((VECTORS / "paillier_sum_v1.json").read_text())


@pytest.fixture(scope="module")
def session(golden: dict[str, Any]) -> PaillierSum:
    return PaillierSum.from_bytes(bytes.fromhex(golden["session"]))


@pytest.fixture
def priv(golden: dict[str, Any]) -> Iterator[PrivateKey]:
    with PrivateKey(int(golden["p"], 16), int(golden["q"], 16)) as priv:
        yield priv


def check(result: SumResult, golden: dict[str, Any]) -> None:
    assert result.integers.tolist() == golden["integers"] == [30 * 2**20, -75 * 2**20, 80 * 2**20]
    assert result.weight == golden["weight"] == 60
    assert result.mean.tolist() == golden["mean"] == [0.5, -1.25, 80 / 60]
    assert result.clients == ("north", "south", "west")


def test_the_session_is_written_as_it_was(golden: dict[str, Any], session: PaillierSum, priv: PrivateKey) -> None:
    assert session.to_bytes().hex() == golden["session"]
    assert {name: limit for name, (_, limit) in session.clients.items()} == {"north": 10, "south": 20, "west": 30}
    for name, seed in golden["signing_seeds"].items():
        assert session.client(name, bytes.fromhex(seed)).name == name


def test_the_session_of_an_earlier_version_has_no_proof(golden: dict[str, Any], session: PaillierSum) -> None:
    session.public_key._blinder.proven = False
    with pytest.raises(InvalidKey, match=r"from the key holder again, who sends session\.prove\("):
        session.client("north", bytes.fromhex(golden["signing_seeds"]["north"]))
    with pytest.raises(InvalidKey, match=r"session\.prove\("):
        session.aggregator()


def test_the_session_with_its_proof(session: PaillierSum, priv: PrivateKey) -> None:
    """A key and a session have one proof, so its bytes can be told in advance."""
    data = session.prove(priv).to_bytes()
    assert hashlib.sha256(data).hexdigest() == "66f36b1239b726e3dda637ef540b9acc9c7c0673baa297e880ce7d1dc4d9c80c"
    session.public_key._blinder.proven = False
    PaillierSum.from_bytes(data).aggregator()


def test_the_contributions_still_count(
    golden: dict[str, Any], session: PaillierSum, priv: PrivateKey, tmp_path: Path
) -> None:
    aggregator = session.aggregator()
    for message in golden["contributions"].values():
        assert aggregator.add(bytes.fromhex(message))
    with session.key_holder(priv, state=tmp_path / "sums") as holder:
        check(holder.open(aggregator.finish(0, "grad")), golden)


def test_the_total_still_opens(golden: dict[str, Any], session: PaillierSum, priv: PrivateKey, tmp_path: Path) -> None:
    with session.key_holder(priv, state=tmp_path / "sums") as holder:
        check(holder.open(bytes.fromhex(golden["total"])), golden)


def test_the_result_still_reads(golden: dict[str, Any], session: PaillierSum) -> None:
    result = SumResult.from_bytes(bytes.fromhex(golden["result"]), session)
    check(result, golden)
    assert result.to_bytes(session).hex() == golden["result"]


def test_the_next_version_is_refused(golden: dict[str, Any]) -> None:
    data = bytearray.fromhex(golden["session"])
    data[4] = 2
    with pytest.raises(FrameError, match="version 2 is unknown"):
        PaillierSum.from_bytes(data)
