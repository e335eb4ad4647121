"""The configuration: one canonical form, immutable, refused where its limits do not fit."""

from __future__ import annotations

import pickle

import pytest

from bluetusk.encoding import FixedPoint
from bluetusk.errors import EncodingOverflow, FrameError
from bluetusk.federated import secagg
from bluetusk.wire.frame import Kind, decode, encode

CLIENTS = {name: (bytes([i]) * 32, 10) for i, name in enumerate(["b", "a", "ç"], 1)}
SERVER = bytes(range(32))


def session(plan=None, encoding=None, length=4, clients=CLIENTS, server=SERVER, **options):
    options = {"session_id": bytes(16), **options}
    return secagg.Session(
        plan or secagg.plan(3), encoding or FixedPoint(max_weight=30), length, clients, server, **options
    )


def test_one_form_whatever_the_order():
    one = session()
    other = session(clients=dict(reversed(CLIENTS.items())))
    assert one == other
    assert one.hash == other.hash
    assert one.names == ("a", "b", "ç")
    back = secagg.Session.from_bytes(one.to_bytes())
    assert back == one
    assert back.clients == one.clients
    assert (back.plan, back.encoding, back.length, back.server) == (one.plan, one.encoding, 4, SERVER)
    assert pickle.loads(pickle.dumps(one)) == one


def test_every_part_is_in_the_hash():
    hashes = {
        made.hash
        for made in (
            session(),
            session(secagg.plan(3, malicious=True)),
            session(encoding=FixedPoint(max_weight=31)),
            session(length=5),
            session(clients={**CLIENTS, "a": (bytes(32), 10)}),
            session(clients={**CLIENTS, "a": (bytes([2]) * 32, 9)}),
            session(clients={**{n: v for n, v in CLIENTS.items() if n != "a"}, "d": (bytes([2]) * 32, 10)}),
            session(server=bytes(32)),
            session(min_clients=2),
            session(session_id=bytes([1] * 16)),
        )
    }
    assert len(hashes) == 10
    assert session(session_id=None).hash != session(session_id=None).hash


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"plan": 3}, TypeError, "plan must be a secagg.Plan"),
        ({"encoding": 3}, TypeError, "encoding must be a FixedPoint"),
        ({"length": 0}, ValueError, "length must be 1 to"),
        ({"length": 1.5}, TypeError, "length must be an int"),
        ({"server": b"short"}, ValueError, "server: an Ed25519 public key has 32 bytes, not 5"),
        ({"server": "text"}, TypeError, "server must be an Ed25519PublicKey or its 32 bytes, not str"),
        ({"session_id": b"short"}, ValueError, "session_id must have 16 bytes"),
        ({"min_clients": 1}, ValueError, "min_clients must be 2 to 3"),
        ({"min_clients": 4}, ValueError, "min_clients must be 2 to 3"),
        ({"plan": secagg.plan(4)}, ValueError, "the plan is for 4 clients, not 3"),
        (
            {"encoding": FixedPoint(max_weight=29)},
            ValueError,
            "largest weights add up to 30, but the encoding takes 29",
        ),
        ({"encoding": FixedPoint.integers(1, 30, 0)}, ValueError, "ring of 6 bits, below 8: raise guard_bits"),
        ({"encoding": FixedPoint.integers(2**60, 30)}, EncodingOverflow, "ring of 68 bits, above 64"),
        ({"clients": [1, 2, 3]}, TypeError, "clients must be a mapping"),
        ({"clients": {**CLIENTS, "a": (bytes(32),)}}, TypeError, "a public key, or a pair"),
        ({"clients": {**CLIENTS, "a": (bytes(31), 1)}}, ValueError, "has 32 bytes, not 31"),
        ({"clients": {**CLIENTS, "a": ("k", 1)}}, TypeError, "must be an Ed25519PublicKey or its 32 bytes, not str"),
        ({"clients": {**CLIENTS, "a": (bytes(32), 0)}}, ValueError, "largest weight must be"),
        ({"clients": {**CLIENTS, "a": CLIENTS["b"]}}, ValueError, "same public key"),
        ({"clients": {"a": CLIENTS["a"]}}, ValueError, "2 to 65536"),
        ({"clients": {"\n": CLIENTS["a"], "b": CLIENTS["b"], "c": (bytes(32), 1)}}, ValueError, "printable"),
    ],
)
def test_refusals(change, error, match):
    with pytest.raises(error, match=match):
        session(**change)


def test_it_cannot_be_changed():
    made = session()
    for name in ("plan", "_hash", "new"):
        with pytest.raises(AttributeError, match="cannot be changed"):
            setattr(made, name, 1)
    with pytest.raises(AttributeError, match="cannot be changed"):
        del made._hash
    with pytest.raises(TypeError, match="built twice"):
        made.__init__(secagg.plan(3), FixedPoint(max_weight=30), 4, CLIENTS, SERVER)
    with pytest.raises(TypeError):
        made.clients["x"] = (bytes(32), 1)


def test_malicious_sessions_ask_for_the_quorum():
    plan = secagg.plan(40, malicious=True)
    clients = {f"c{i}": (bytes([i]) * 32, 1) for i in range(40)}
    made = session(plan, FixedPoint(), clients=clients)
    assert made.min_clients >= plan.quorum
    with pytest.raises(ValueError, match=f"min_clients must be {plan.quorum} to 40"):
        session(plan, FixedPoint(), clients=clients, min_clients=plan.quorum - 1)


def test_bytes_that_are_refused():
    data = session().to_bytes()
    frame = decode(data)
    for end in range(len(data)):
        with pytest.raises(FrameError):
            secagg.Session.from_bytes(data[:end])
    for at in range(8 * len(data)):
        changed = bytearray(data)
        changed[at // 8] ^= 1 << at % 8
        try:
            other = secagg.Session.from_bytes(bytes(changed))
        except FrameError:
            continue
        assert other.hash != session().hash  # a flipped bit of a key, an id, a number: another session
        assert other.to_bytes() == bytes(changed)
    rows = bytes(frame.payload)
    for payload in (rows[43:] + rows[:43], rows + rows[:43], rows[:2] + b"\xff" + rows[3:]):
        with pytest.raises(FrameError):
            secagg.Session.from_bytes(encode(Kind.SECAGG_SESSION, frame.header, payload))
    for change in ({"length": 0}, {"min_clients": 9}, {"more": 1}, {"plan": {}}, {"length": True}):
        with pytest.raises(FrameError):
            secagg.Session.from_bytes(encode(Kind.SECAGG_SESSION, {**frame.header, **change}, rows))
