"""No two-party task answers to a key that its owner does not prove for this task, this peer and itself."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bluetusk as bt
from bluetusk.paillier import PrivateKey, prove_modulus
from bluetusk.vertical import GradientBoosting, LogisticRegression, WoEBinning, local_links
from bluetusk.vertical.binning import guest as _binning
from bluetusk.vertical.boosting import guest as _boosting
from bluetusk.vertical.logistic import job as _logistic
from bluetusk.vertical.party import Identity, Party, make_certificate
from bluetusk.vertical.protocol import keys
from bluetusk.vertical.protocol.link import Link

X = np.arange(240.0).reshape(120, 2) % 17
Y = (np.arange(120) % 3 == 0).astype(int)

Maker = Callable[..., Any]
TASKS: dict[str, tuple[Any, Maker, str]] = {
    "binning": (_binning, lambda role: WoEBinning(role, min_rows=5, key_size=2048), "labels"),
    "logistic": (_logistic, lambda role: LogisticRegression(role, epochs=1, calibrate=False, key_size=2048), "setup"),
    "boosting": (_boosting, lambda role: GradientBoosting(role, n_estimators=1, key_size=2048), "offer"),
}


def flipped(proof: bytes) -> bytes:
    return proof[:-1] + bytes([proof[-1] ^ 1])


def session(task: str, receiver: str) -> bytes:
    return f"bluetusk/vertical/{task}\0{receiver}\0".encode()


BAD: dict[str, Callable[[PrivateKey, Link, str, list[bytes]], list[bytes]]] = {
    "missing": lambda priv, link, task, parts: parts[:1],
    "empty": lambda priv, link, task, parts: [parts[0], b""],
    "forged": lambda priv, link, task, parts: [parts[0], flipped(parts[1])],
    "of another task": lambda priv, link, task, parts: keys.key_parts(priv, link, "another task"),
    "for another peer": lambda priv, link, task, parts: [
        parts[0],
        prove_modulus(priv, session(task, "host-2"), link.me.encode()),
    ],
    "of another holder": lambda priv, link, task, parts: [
        parts[0],
        prove_modulus(priv, session(task, link.peer), link.peer.encode()),
    ],
    "of another key": lambda priv, link, task, parts: [parts[0], keys.key_parts(OTHER[0], link, task)[1]],
}
OTHER: list[PrivateKey] = []


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("task", TASKS)
def test_a_key_without_its_proof_is_refused(
    monkeypatch: pytest.MonkeyPatch, keypair: Any, keypair2: Any, task: str, bad: str
) -> None:
    module, make, topic = TASKS[task]
    OTHER[:] = [keypair2[1]]
    whole = keys.key_parts

    def key_parts(priv: PrivateKey, link: Link, name: str) -> list[bytes]:
        parts = whole(priv, link, name)
        return BAD[bad](priv, link, name, parts) if link.me == "guest" else parts

    monkeypatch.setattr(module, "key_parts", key_parts)
    monkeypatch.setattr(module, "ephemeral_key", lambda bits, **_: keypair[1])
    mine, theirs = local_links(seconds=20)
    sent: list[str] = []
    send = theirs.send
    monkeypatch.setattr(theirs, "send", lambda said, *rest: (sent.append(said), send(said, *rest))[1])
    errors: list[Exception] = []

    def host() -> None:
        try:
            make("host").fit(X, link=theirs)
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=host)
    thread.start()
    with pytest.raises(bt.BluetuskError):
        make("guest").fit(X, Y, link=mine)
    thread.join()
    (error,) = errors
    assert isinstance(error, bt.ProtocolAbort | bt.FrameError)
    if bad == "missing":
        assert f"message '{topic}' from 'guest' must contain 2 arrays, not 1" in str(error)
    else:
        assert error.party == "guest"
        assert "the key of 'guest': " in str(error)
    assert set(sent) <= {topic, "abort"}  # in a regression its own key, which depends on no data


def test_a_proof_of_another_run_is_refused(priv: PrivateKey) -> None:
    mine, theirs = local_links()
    mine.session = theirs.session = b"monday"
    parts = keys.key_parts(priv, mine, "a task")
    keys.peer_key(parts, theirs, "a task")
    theirs.session = b"tuesday"
    with pytest.raises(bt.ProtocolAbort, match="the key of 'guest'") as caught:
        keys.peer_key(parts, theirs, "a task")
    assert caught.value.party == "guest"


def test_the_run_of_two_processes_is_known_to_both(tmp_path: Path) -> None:
    """Job and both certificates: a proof for one job, or made between others, is none for this one."""
    files = {name: make_certificate(name, tmp_path) for name in ("bank", "network", "other")}

    def session(role: str, job: str, me: str, peer: str) -> bytes:
        identity = Identity.load(files[me][1], files[me][0], files[peer][1])
        folder = tmp_path / f"{role}-{job}-{me}-{peer}"
        way = {"listen": "127.0.0.1:0"} if role == "host" else {"connect": "127.0.0.1:1"}
        with Party(role, job=job, identity=identity, state=folder, **way) as party:
            return party.link.session

    same = session("guest", "a", "bank", "network")
    assert same == session("host", "a", "network", "bank")
    others = [
        session("guest", "b", "bank", "network"),
        session("guest", "a", "network", "bank"),
        session("guest", "a", "bank", "other"),
        session("guest", "a", "other", "network"),
    ]
    assert len({same, *others}) == 5


def test_a_key_with_its_proof() -> None:
    mine, theirs = local_links()
    _, priv = bt.paillier.generate_keypair()
    with priv:
        parts = keys.key_parts(priv, mine, "a task")
        assert len(parts) == keys.KEY_PARTS
        pub = keys.peer_key(parts, theirs, "a task")
        assert pub == priv.public_key
        assert pub.proven
        with pytest.raises(bt.ProtocolAbort, match="the key of 'host'"):  # sent back
            keys.peer_key(parts, mine, "a task")


def test_no_other_place_reads_a_peer_s_key() -> None:
    """A key that is read elsewhere would come without its proof; one from the party's own state is restored by name."""
    package = Path(bt.__file__).parent / "vertical"
    found = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if "PublicKey.from_bytes" in path.read_text() or "PublicKey.from_json" in path.read_text()
    }
    assert found == {"protocol/keys.py"}
