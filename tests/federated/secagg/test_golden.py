"""Messages and states of secure aggregation of version 1 stay readable, and mean what they meant (M20)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bluetusk.errors import FrameError
from bluetusk.federated import secagg
from bluetusk.wire.frame import Kind, decode

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[2] / "vectors" / "secagg_v1.json").read_text())
ROUNDS = sorted(GOLDEN["rounds"])
STATE_KEY, SERVER_KEY = bytes.fromhex(GOLDEN["state_key"]), bytes.fromhex(GOLDEN["server_seed"])

# said again here, so that neither the file nor the reader can change alone
CLIENTS = {"complete": 4, "sparse, malicious": 9}
TO_SERVER = {
    "advertise": Kind.SECAGG_ADVERTISE,
    "shares": Kind.SECAGG_SHARES,
    "masked": Kind.SECAGG_MASKED,
    "consent": Kind.SECAGG_CONSENT,
    "unmask": Kind.SECAGG_REVEAL,
}
STATES = {"advertise": "advertised", "shares": "shared", "masked": "masked", "consent": "consented", "unmask": "done"}


def transcript(name: str) -> tuple[dict[str, Any], secagg.Session]:
    golden = GOLDEN["rounds"][name]
    return golden, secagg.Session.from_bytes(bytes.fromhex(golden["session"]))


def check(name: str, result: secagg.Result) -> None:
    golden, _ = transcript(name)
    n = CLIENTS[name]
    total = sum(i * (1 + i % 3) for i in range(n - 1))
    scale = 2**20 if "sparse" in name else 1
    assert result.integers.tolist() == golden["integers"] == [total * scale, -total * scale]
    assert result.weight == golden["weight"] == sum(1 + i % 3 for i in range(n - 1))
    assert list(result.clients) == golden["clients"] == [f"c{i}" for i in range(n - 1)]
    assert list(result.dropped) == golden["dropped"] == [f"c{n - 1}"]


@pytest.mark.parametrize("name", ROUNDS)
def test_every_kind_is_there(name: str) -> None:
    golden, session = transcript(name)
    assert session.to_bytes().hex() == golden["session"]
    assert len(session.names) == CLIENTS[name]
    for phase in golden["phases"]:
        kinds = {decode(bytes.fromhex(text)).kind for text in phase["sent"].values()}
        assert kinds == {TO_SERVER[phase["phase"]]}
    answered = [
        {decode(bytes.fromhex(text)).kind for text in phase.get("answers", {}).values()} for phase in golden["phases"]
    ]
    last = [{Kind.SECAGG_REQUEST}, set()]
    if session.plan.malicious:
        last = [{Kind.SECAGG_VIEW}, *last]
    assert answered == [{Kind.SECAGG_ROSTER}, {Kind.SECAGG_DELIVERY}, *last]


@pytest.mark.parametrize("name", ROUNDS)
def test_a_server_restored_at_any_phase_goes_on_as_it_did(name: str) -> None:
    golden, session = transcript(name)
    for begun in range(len(golden["phases"])):
        state = bytes.fromhex(golden["phases"][begun]["server_state"])
        server = secagg.Server.from_bytes(state, session, SERVER_KEY, STATE_KEY)
        for phase in golden["phases"][begun:]:
            assert server.phase == phase["phase"]
            for text in phase["sent"].values():
                assert server.step(bytes.fromhex(text))
            if not server.last:
                assert {who: data.hex() for who, data in server.advance().items()} == phase["answers"]
        check(name, server.finish())


@pytest.mark.parametrize("name", ROUNDS)
def test_a_client_restored_at_any_phase_says_what_it_said(name: str, tmp_path: Path) -> None:
    golden, session = transcript(name)
    seed = bytes.fromhex(golden["seeds"]["c0"])
    for before, after in zip(golden["phases"], golden["phases"][1:], strict=False):
        state = bytes.fromhex(before["client_state"])
        journal = tmp_path / before["phase"]
        with secagg.Client.from_bytes(state, session, seed, STATE_KEY, journal=journal) as client:
            assert client.phase == STATES[before["phase"]]
            (answer,) = client.step(bytes.fromhex(before["answers"]["c0"]))
            new, old = decode(answer), decode(bytes.fromhex(after["sent"]["c0"]))
            assert (new.kind, len(answer), client.phase) == (
                old.kind,
                len(bytes.fromhex(after["sent"]["c0"])),
                STATES[after["phase"]],
            )
            if new.kind in (Kind.SECAGG_MASKED, Kind.SECAGG_CONSENT):  # the others hold fresh shares or nonces
                assert new.payload == old.payload
                assert new.header.get("signature") == old.header.get("signature")


@pytest.mark.parametrize("name", ROUNDS)
def test_the_next_version_and_another_session_are_refused(name: str) -> None:
    golden, session = transcript(name)
    other = GOLDEN["rounds"][next(each for each in ROUNDS if each != name)]
    for phase in golden["phases"]:
        state = bytes.fromhex(phase["server_state"])
        server = secagg.Server.from_bytes(state, session, SERVER_KEY, STATE_KEY)
        data = bytearray.fromhex(phase["sent"]["c0"])
        data[4] = 2
        assert "version 2 is unknown" in server.step(data).reason
        foreign = next(each for each in other["phases"] if each["phase"] == "shares")["sent"]["c0"]
        assert "another configuration" in server.step(bytes.fromhex(foreign)).reason
        with pytest.raises(FrameError, match="another session or role"):
            secagg.Server.from_bytes(bytes.fromhex(other["phases"][0]["server_state"]), session, SERVER_KEY, STATE_KEY)
    data = bytearray.fromhex(golden["session"])
    data[4] = 2
    with pytest.raises(FrameError, match="version 2 is unknown"):
        secagg.Session.from_bytes(data)
