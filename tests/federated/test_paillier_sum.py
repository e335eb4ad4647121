"""Sums under Paillier with real keys: exact, or refused by name; every sum decrypted once."""

from __future__ import annotations

import copy
import hashlib
import itertools
import os
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bluetusk.encoding import FixedPoint
from bluetusk.errors import (
    DecryptionError,
    EncodingOverflow,
    FrameError,
    InvalidKey,
    ProtocolAbort,
)
from bluetusk.federated import Accepted, Aggregator, PaillierSum, Rejected, SumResult
from bluetusk.federated.paillier_sum.messages import claims, seal, signed_bytes, unseal
from bluetusk.paillier import prove_modulus
from bluetusk.paillier.array import encrypt_integers
from bluetusk.wire import frame
from bluetusk.wire.frame import Kind

NAMES = ("bank-0", "bank-1", "bank-2", "bank-3", "bank-4")
LIMITS = (10, 20, 5, 1, 30)
SEEDS = {name: hashlib.sha256(name.encode()).digest() for name in NAMES}
GRAD = FixedPoint(clip=4.0, frac_bits=20, max_weight=100)
COUNTS = FixedPoint.integers(limit=10**6, max_weight=100)
LENGTH = 70  # two ciphertexts at 2048 bits
TENSORS = {"grad": (GRAD, LENGTH), "counts": (COUNTS, 3)}
ABOUT = {"session", "id", "key", "round", "tensor", "plan", "count"}


def public(seed: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


CLIENTS = {name: (public(SEEDS[name]), limit) for name, limit in zip(NAMES, LIMITS, strict=True)}
numbers = itertools.count()


@dataclass
class World:
    """One session with its keys, and a fresh state file for every key holder asked for."""

    session: PaillierSum
    priv: Any
    folder: Path

    def contribute(self, name: str, round: int = 0, tensor: str = "grad", values: Any = None, weight: int = 1) -> bytes:
        length = self.session.tensors[tensor][1]
        values = np.arange(length) % 3 if values is None else values
        return self.session.client(name, SEEDS[name]).contribute(round, tensor, values, weight)

    def path(self) -> Path:
        return self.folder / f"sums-{next(numbers)}"

    def open(self, total: bytes) -> SumResult:
        with self.session.key_holder(self.priv, state=self.path()) as holder:
            return holder.open(total)


@pytest.fixture(scope="module")
def world(keypair: Any, tmp_path_factory: pytest.TempPathFactory) -> World:
    pub, priv = keypair
    return World(PaillierSum(pub, TENSORS, CLIENTS, session_id=bytes(16)), priv, tmp_path_factory.mktemp("sums"))


@pytest.fixture(scope="module")
def messages(world: World) -> dict[str, bytes]:
    """One contribution of each client to ("grad", round 0): client i sends i + 1 with weight i % limit + 1."""
    return {
        name: world.contribute(name, values=np.full(LENGTH, (i + 1) / 8), weight=i % LIMITS[i] + 1)
        for i, name in enumerate(NAMES)
    }


@pytest.fixture(scope="module")
def total(world: World, messages: dict[str, bytes]) -> bytes:
    return total_of(world.session, messages.values())


def total_of(session: PaillierSum, contributions: Any, round: int = 0, tensor: str = "grad") -> bytes:
    aggregator = session.aggregator(first_round=round)
    for message in contributions:
        assert aggregator.add(message)
    return aggregator.finish(round, tensor)


# --------------------------------------------------------------------------------------------------- exactness


@pytest.mark.parametrize("tensor", ["grad", "counts"])
def test_exact_against_python_ints(world: World, tensor: str) -> None:
    rng = np.random.default_rng(7)
    plan, length = TENSORS[tensor]
    aggregator = world.session.aggregator()
    ints, weights = [0] * length, []
    for name, limit in zip(NAMES, LIMITS, strict=True):
        values = rng.uniform(-4, 4, length) if tensor == "grad" else rng.integers(-(10**6), 10**6 + 1, length)
        if name == "bank-0":  # the budget reached exactly
            values[:] = plan.limit / 2**plan.frac
        weight = limit if name in ("bank-0", "bank-1") else int(rng.integers(1, limit + 1))
        weights.append(weight)
        # Python's own round() of the exact product is half-even
        ints = [s + weight * round(Fraction(float(v)) * 2**plan.frac) for s, v in zip(ints, values, strict=True)]
        accepted = aggregator.add(world.contribute(name, 0, tensor, values, weight))
        assert accepted == Accepted(name, 0, tensor, len(weights))
    assert aggregator.clients(0, tensor) == NAMES
    result = world.open(aggregator.finish(0, tensor))
    assert result.integers.tolist() == ints
    assert result.integers.dtype == np.int64
    assert result.weight == sum(weights)
    assert result.sum.tolist() == [float(Fraction(s, 2**plan.frac)) for s in ints]
    assert result.mean.tolist() == [float(Fraction(s, 2**plan.frac * sum(weights))) for s in ints]
    assert (result.round, result.tensor, result.clients, dict(result.rejected)) == (0, tensor, NAMES, {})


def test_every_limit_at_once(keypair: Any, world: World) -> None:
    """Every client at its largest weight with the largest values of both signs: nothing overflows a slot."""
    pub, priv = keypair
    for frac in (0, 20, 53):
        plan = FixedPoint(clip=4.0, frac_bits=frac, max_weight=sum(LIMITS), guard_bits=0)
        session = PaillierSum(pub, {"x": (plan, 5)}, CLIENTS)
        aggregator = session.aggregator()
        for name, (_, limit) in session.clients.items():
            assert aggregator.add(
                session.client(name, SEEDS[name]).contribute(0, "x", [4.0, -4.0, 4, -4, 0], weight=limit)
            )
        with session.key_holder(priv, state=world.path()) as holder:
            result = holder.open(aggregator.finish(0, "x"))
        most = 4 * 2**frac * sum(LIMITS)
        assert result.integers.tolist() == [most, -most, most, -most, 0]
        assert result.mean.tolist() == [4, -4, 4, -4, 0]


def test_those_who_drop_out_are_not_in_the_sum(world: World, messages: dict[str, bytes]) -> None:
    for some in (("bank-0", "bank-1", "bank-2"), ("bank-4", "bank-1", "bank-3")):
        result = world.open(total_of(world.session, [messages[name] for name in some]))
        members = [NAMES.index(name) for name in sorted(some)]
        expected = sum((i + 1) * 2**17 * (i % LIMITS[i] + 1) for i in members)
        assert result.integers.tolist() == [expected] * LENGTH
        assert result.weight == sum(i % LIMITS[i] + 1 for i in members)
        assert result.clients == tuple(sorted(some))


def test_the_order_of_arrival_changes_nothing(world: World, messages: dict[str, bytes]) -> None:
    results = [
        world.open(total_of(world.session, [messages[name] for name in order]))
        for order in (NAMES, NAMES[::-1], NAMES[2:] + NAMES[:2])
    ]
    assert all(np.array_equal(results[0].integers, other.integers) for other in results)


def test_rounds_and_tensors_at_the_same_time(world: World) -> None:
    aggregator = world.session.aggregator()
    clients = {name: world.session.client(name, SEEDS[name]) for name in NAMES[:3]}
    plan = [(round, tensor) for round in range(3) for tensor in ("counts", "grad")]
    for round, tensor in plan:
        for i, (name, client) in enumerate(clients.items()):
            message = client.contribute(round, tensor, np.full(TENSORS[tensor][1], round + 0.0), weight=i + 1)
            assert aggregator.add(message), name
    with world.session.key_holder(world.priv, state=world.path()) as holder:
        for round, tensor in plan[::-1]:
            result = holder.open(aggregator.finish(round, tensor))
            assert (result.round, result.tensor) == (round, tensor)
            assert result.mean.tolist() == [round] * TENSORS[tensor][1]


def test_clipped_values_are_counted(keypair: Any) -> None:
    plan = FixedPoint(clip=1.0, frac_bits=8, max_weight=100, on_clip="clip")
    session = PaillierSum(keypair[0], {"x": (plan, 4)}, CLIENTS)
    client = session.client("bank-0", SEEDS["bank-0"])
    client.contribute(0, "x", [0.5, 1.5, -7.0, 1.0])
    assert client.clipped == 2
    client.contribute(1, "x", [0.5, 0.5, 0.5, 1.0])
    assert client.clipped == 0


def test_the_weight_does_not_show(world: World) -> None:
    """Messages of one client with its smallest and its largest weight differ in nothing but hash, signature, bytes."""
    light, heavy = (
        frame.decode(world.contribute("bank-4", 3, values=np.full(LENGTH, x), weight=w)) for x, w in ((0, 1), (4, 30))
    )
    for key in light.header:
        assert (light.header[key] == heavy.header[key]) is (key not in ("digest", "signature"))
    inner = [frame.decode(message.payload) for message in (light, heavy)]
    assert inner[0].header == inner[1].header
    assert inner[0].payload.nbytes == inner[1].payload.nbytes


def test_the_total_leaves_with_fresh_randomness(world: World, messages: dict[str, bytes], total: bytes) -> None:
    again = total_of(world.session, messages.values())
    payloads = [frame.decode(frame.decode(t).payload).payload for t in (total, again)]
    assert payloads[0] != payloads[1]


# ---------------------------------------------------------------------------------------- what the aggregator refuses


def refused(aggregator: Aggregator, message: bytes, match: str, sender: str | None = "bank-0") -> None:
    answer = aggregator.add(message)
    assert isinstance(answer, Rejected)
    assert not answer
    assert match in answer.reason
    assert answer.sender == sender


def resigned(session: PaillierSum, message: bytes, name: str, **changes: Any) -> bytes:
    """The message with changed fields, signed by a client that deviates."""
    got = frame.decode(message)
    header = {**got.header, **changes}
    payload = changes.pop("payload", bytes(got.payload))
    header.pop("payload", None)
    header.pop("signature")
    header["digest"] = hashlib.sha256(payload).digest()
    key = Ed25519PrivateKey.from_private_bytes(SEEDS[name])
    return frame.encode(Kind.SUM_CONTRIBUTION, {**header, "signature": key.sign(signed_bytes(header))}, payload)


def test_duplicates_and_replays(world: World, messages: dict[str, bytes]) -> None:
    aggregator = world.session.aggregator()
    for name in NAMES[:3]:
        assert aggregator.add(messages[name])
    refused(aggregator, messages["bank-0"], "duplicate")
    other = world.contribute("bank-0", values=np.zeros(LENGTH))  # validly signed, other content
    refused(aggregator, other, "duplicate")
    total = aggregator.finish(0, "grad")
    refused(aggregator, messages["bank-0"], "late or replayed")
    refused(aggregator, messages["bank-3"], "late or replayed", "bank-3")
    result = world.open(total)
    assert result.clients == NAMES[:3]
    assert dict(result.rejected) == {}
    assert result.integers[0] == 2**17 * (1 * 1 + 2 * 2 + 3 * 3)
    with pytest.raises(ProtocolAbort, match="round 0: the sum of tensor 'grad' is closed"):
        aggregator.finish(0, "grad")


def test_the_window_of_rounds(world: World) -> None:
    aggregator = world.session.aggregator(first_round=5, open_rounds=2)
    sent = {round: [world.contribute(name, round, "counts") for name in NAMES[:3]] for round in (4, 5, 6, 7, 8)}
    refused(aggregator, sent[4][0], "late")
    refused(aggregator, sent[7][0], "not open yet")
    for round in (5, 6):
        for message in sent[round]:
            assert aggregator.add(message)
    with pytest.raises(ProtocolAbort, match="not open"):
        aggregator.finish(7, "counts")
    aggregator.finish(6, "counts")  # round 5 is still within the window
    assert aggregator.clients(5, "counts") == NAMES[:3]
    for message in sent[7]:
        assert aggregator.add(message)
    aggregator.finish(7, "counts")  # now round 5 has fallen behind
    assert aggregator.clients(5, "counts") == ()
    with pytest.raises(ProtocolAbort, match="closed"):
        aggregator.finish(5, "counts")
    refused(aggregator, sent[5][0], "late")
    assert aggregator.add(sent[8][0])
    aggregator.give_up(8)
    refused(aggregator, sent[8][1], "late", "bank-1")
    with pytest.raises(ProtocolAbort, match="already closed or not open"):
        aggregator.give_up(20)
    assert len(aggregator._running) + len(aggregator._rejected) == 0
    assert all(round > 6 for round, _ in aggregator._closed)


def test_too_few_to_finish(world: World, messages: dict[str, bytes]) -> None:
    aggregator = world.session.aggregator()
    with pytest.raises(ProtocolAbort, match="holds 0 clients, but at least 3"):
        aggregator.finish(0, "grad")
    for name in NAMES[:2]:
        aggregator.add(messages[name])
    with pytest.raises(ProtocolAbort, match="holds 2 clients, but at least 3"):
        aggregator.finish(0, "grad")
    assert aggregator.add(messages["bank-2"])  # it stayed open
    assert world.open(aggregator.finish(0, "grad")).clients == NAMES[:3]


def test_wrong_session_key_plan_length_sender(
    keypair: Any, keypair2: Any, world: World, messages: dict[str, bytes]
) -> None:
    pub, _ = keypair
    grad, length = TENSORS["grad"]

    def foreign(key: Any = pub, tensors: Any = TENSORS, clients: Any = CLIENTS, id: bytes = bytes(16)) -> bytes:
        session = PaillierSum(key, tensors, clients, session_id=id)
        return session.client("bank-0", SEEDS["bank-0"]).contribute(0, "grad", np.zeros(tensors["grad"][1]))

    aggregator = world.session.aggregator()
    refused(aggregator, foreign(key=keypair2[0]), "another key")
    refused(aggregator, foreign(id=b"another session!"), "another session")
    other_plan = FixedPoint(clip=4.0, frac_bits=19, max_weight=100)
    refused(aggregator, foreign(tensors={**TENSORS, "grad": (other_plan, length)}), "another plan")
    refused(aggregator, foreign(tensors={**TENSORS, "grad": (grad, length + 1)}), "another configuration")
    refused(aggregator, foreign(clients={**CLIENTS, "bank-4": (CLIENTS["bank-4"][0], 29)}), "another configuration")
    refused(aggregator, resigned(world.session, messages["bank-0"], "bank-0", tensor="nope"), "'tensor'")
    refused(aggregator, resigned(world.session, messages["bank-0"], "bank-0", count=LENGTH + 1), "'count'")
    refused(aggregator, resigned(world.session, messages["bank-0"], "bank-0", round=-1), "'round'")
    refused(aggregator, resigned(world.session, messages["bank-0"], "bank-0", round=2**63), "'round'")
    refused(aggregator, resigned(world.session, messages["bank-0"], "bank-0", extra=1), "unknown field 'extra'")
    refused(aggregator, resigned(world.session, messages["bank-0"], "bank-0", bound=1), "another bound")
    refused(aggregator, resigned(world.session, messages["bank-0"], "bank-0", sender="eve"), "not a client", None)
    refused(aggregator, resigned(world.session, messages["bank-0"], "bank-0", sender=7), "not a client", None)
    assert aggregator.clients(0, "grad") == ()


def test_forged_signatures_and_borrowed_names(world: World, messages: dict[str, bytes]) -> None:
    aggregator = world.session.aggregator()
    got = frame.decode(messages["bank-0"])
    true = got.header["signature"]
    for signature in (bytes(64), bytes([true[0] ^ 1]) + true[1:], true[:40] + bytes([true[40] ^ 128]) + true[41:]):
        forged = frame.encode(got.kind, {**got.header, "signature": signature}, got.payload)
        refused(aggregator, forged, "signature is not the sender's")
    # one client signs under another's name, and a signature is taken to another round
    bound = claims(world.session, 0, "grad", "bank-1", bytes(32))["bound"]
    refused(
        aggregator,
        resigned(world.session, messages["bank-0"], "bank-0", sender="bank-1", bound=bound),
        "signature is not",
        "bank-1",
    )
    moved = frame.encode(got.kind, {**got.header, "round": 1}, got.payload)
    refused(aggregator, moved, "signature is not")
    swapped = frame.encode(got.kind, got.header, frame.decode(messages["bank-1"]).payload)
    refused(aggregator, swapped, "hash does not match")
    assert aggregator.add(messages["bank-0"])  # none of that locked the true message out
    assert aggregator.clients(0, "grad") == ("bank-0",)


def test_arrays_that_do_not_belong(world: World, keypair2: Any, messages: dict[str, bytes]) -> None:
    """A client that signs an array of another form is rejected before anything is added."""
    pub, plan = world.session.public_key, GRAD
    bound = plan.limit * LIMITS[0]
    zeros = np.zeros(LENGTH + 1, np.int64)

    def array(
        key: Any = pub, ints: Any = zeros, plan: Any = plan, packed: bool = True, bound: int = bound, **more: int
    ) -> bytes:
        c = encrypt_integers(key, ints, plan, bound=bound, packed=packed, **{"frac": plan.frac, **more})
        return bytes(c.to_bytes(bound=bound))

    aggregator = world.session.aggregator()
    narrow = FixedPoint(clip=4.0, frac_bits=19, max_weight=100)
    for payload, match in (
        (array(packed=False), "shape"),
        (array(ints=zeros[:-1]), "shape"),
        (array(ints=zeros.reshape(1, -1)), "shape"),
        (array(plan=narrow), "another plan"),
        (array(frac=19), "scale"),
        (array(slot_bits=33), "width of slots"),
        (array(bound=bound + 1), "larger bound"),
        (array(key=keypair2[0]), "key"),
        (b"", "truncated"),
        (plan.to_bytes(), "kind"),
    ):
        refused(aggregator, resigned(world.session, messages["bank-0"], "bank-0", payload=payload), match)
    good = frame.decode(frame.decode(messages["bank-0"]).payload)
    size = 512  # of one ciphertext at 2048 bits
    n = int(pub.n)
    for value in (0, n * n, n * n - 0 + 1, n, 2**4096 - 1):  # none of them a ciphertext
        bad = value.to_bytes(size, "little") + bytes(good.payload[size:])
        payload = frame.encode(good.kind, good.header, bad)
        answer = aggregator.add(resigned(world.session, messages["bank-0"], "bank-0", payload=payload))
        assert isinstance(answer, Rejected), value
    assert aggregator.clients(0, "grad") == ()


def test_the_rejected_are_named_in_the_result(world: World, messages: dict[str, bytes]) -> None:
    aggregator = world.session.aggregator()
    bad = bytearray(messages["bank-1"])
    bad[-1] ^= 1
    for name in ("bank-0", "bank-2", "bank-3"):
        assert aggregator.add(messages[name])
    refused(aggregator, bytes(bad), "hash does not match", "bank-1")
    got = frame.decode(messages["bank-4"])
    refused(aggregator, frame.encode(got.kind, {**got.header, "signature": bytes(64)}, got.payload), "sig", "bank-4")
    assert aggregator.add(messages["bank-4"])  # came in the end
    result = world.open(aggregator.finish(0, "grad"))
    assert dict(result.rejected) == {"bank-1": "message was damaged on its way: its hash does not match"}
    assert result.clients == ("bank-0", "bank-2", "bank-3", "bank-4")


def test_bit_flips_through_a_whole_message(world: World, messages: dict[str, bytes]) -> None:
    aggregator = world.session.aggregator()
    message = messages["bank-0"]
    head = len(message) - frame.decode(message).payload.nbytes
    # every bit of the headers; in the raw bytes, which the hash covers, one bit of every 5th byte
    bits = list(range(8 * head)) + [8 * at + at % 8 for at in range(head, len(message), 5)]
    for bit in bits:
        flipped = bytearray(message)
        flipped[bit // 8] ^= 1 << bit % 8
        assert isinstance(aggregator.add(flipped), Rejected), bit
    for end in itertools.chain(range(0, head + 200), range(head + 200, len(message), 41)):
        assert isinstance(aggregator.add(message[:end]), Rejected), end
    assert aggregator.clients(0, "grad") == ()
    assert set(aggregator._rejected.get((0, "grad"), {})) <= set(NAMES)
    assert aggregator.add(message)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_answered(world: World, data: bytes) -> None:
    aggregator = world.session.aggregator()
    assert isinstance(aggregator.add(data), Rejected)
    assert isinstance(aggregator.add(frame.encode(Kind.SUM_CONTRIBUTION, {"sender": "bank-0"}, data)), Rejected)


def test_an_interrupted_addition_leaves_the_sum_as_it_was(
    world: World, messages: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    from bluetusk.paillier.array import CipherArray

    aggregator = world.session.aggregator()
    for name in NAMES[:2]:
        aggregator.add(messages[name])

    for error in (KeyboardInterrupt, MemoryError):

        def interrupted(self: object, other: object, error: type[BaseException] = error) -> None:
            raise error

        monkeypatch.setattr(CipherArray, "__add__", interrupted)
        with pytest.raises(error):
            aggregator.add(messages["bank-2"])
        monkeypatch.undo()
        assert aggregator.clients(0, "grad") == NAMES[:2]
    assert aggregator.add(messages["bank-2"])
    assert world.open(aggregator.finish(0, "grad")).integers[0] == 2**17 * (1 + 4 + 9)


# --------------------------------------------------------------------------------------- what the key holder refuses


def forged(session: PaillierSum, total: bytes, **changes: Any) -> bytes:
    """A total with changed fields, sealed anew, as an aggregator that deviates would send it."""
    got = frame.decode(total)
    header = {key: value for key, value in got.header.items() if key != "digest"}
    payload = changes.pop("payload", bytes(got.payload))
    return seal(Kind.SUM_TOTAL, {**header, **changes}, payload)


def test_one_decryption_also_after_a_restart(world: World, messages: dict[str, bytes], total: bytes) -> None:
    state = world.path()
    smaller = total_of(world.session, [messages[name] for name in NAMES[:4]])  # the difference would be bank-4's vector
    with world.session.key_holder(world.priv, state=state) as holder:
        holder.open(total)
        for again in (total, smaller):
            with pytest.raises(ProtocolAbort, match="already decrypted"):
                holder.open(again)
    with world.session.key_holder(world.priv, state=state) as holder:
        for again in (total, smaller):
            with pytest.raises(ProtocolAbort, match="round 0: the sum of tensor 'grad' was already decrypted"):
                holder.open(again)
        with pytest.raises(ProtocolAbort, match="in use"):
            world.session.key_holder(world.priv, state=state)


def test_spent_before_the_key_is_used(world: World, total: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    from bluetusk.paillier.keys import PrivateKey

    state = world.path()

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with world.session.key_holder(world.priv, state=state) as holder:
        monkeypatch.setattr(PrivateKey, "decrypt_integers", killed)
        with pytest.raises(KeyboardInterrupt):
            holder.open(total)
        monkeypatch.undo()
    with (
        world.session.key_holder(world.priv, state=state) as holder,
        pytest.raises(ProtocolAbort, match="already decrypted"),
    ):
        holder.open(total)


def test_a_full_disk_means_no_decryption(world: World, total: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    from bluetusk.paillier.keys import PrivateKey

    used: list[object] = []
    monkeypatch.setattr(PrivateKey, "decrypt_integers", lambda *a, **k: used.append(a))
    with world.session.key_holder(world.priv, state=world.path()) as holder:
        monkeypatch.setattr(os, "fsync", lambda fd: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(ProtocolAbort, match="No space left on device"):
            holder.open(total)
    assert not used


def test_totals_that_are_refused_before_the_key_is_used(
    keypair: Any, world: World, messages: dict[str, bytes], total: bytes
) -> None:
    session = world.session
    signed = frame.decode(total).header["signed"]
    some = dict(list(signed.items())[:2])
    other = PaillierSum(keypair[0], TENSORS, CLIENTS)
    foreign = [other.client(name, SEEDS[name]).contribute(0, "grad", np.zeros(LENGTH)) for name in NAMES[:3]]
    stranger = {**signed, "eve": signed["bank-0"]}
    borrowed = {**some, "bank-2": signed["bank-3"]}
    replayed = {
        name: (lambda h: h["digest"] + h["signature"])(frame.decode(world.contribute(name, 9)).header)
        for name in NAMES[:3]
    }
    wide = encrypt_integers(
        session.public_key, np.zeros(LENGTH + 1, np.int64), GRAD, frac=20, bound=GRAD.bound, packed=True
    )
    for bad, match in (
        (b"", "truncated"),
        (messages["bank-0"], "SUM_CONTRIBUTION"),
        (total[:-1], "truncated"),
        (total_of(other, foreign), "another session"),
        (forged(session, total, tensor="counts"), "another plan"),
        (forged(session, total, round=-1), "round"),
        (forged(session, total, count=1), "count"),
        (forged(session, total, extra=1), "unknown field"),
        (forged(session, total, signed={}), "fewer than 3"),
        (forged(session, total, signed=some), "fewer than 3 is not decrypted"),
        (forged(session, total, signed=stranger), "not a client"),
        (forged(session, total, signed=borrowed), "party at fault: bank-2"),
        (forged(session, total, signed=replayed), "party at fault: bank-0"),
        (forged(session, total, signed={**some, "bank-2": bytes(96)}), "party at fault: bank-2"),
        (forged(session, total, signed={**some, "bank-2": bytes(95)}), "length 95, not 96"),
        (forged(session, total, signed={**some, "bank-2": 5}), "holds a int"),
        (forged(session, total, round=1), "signature"),
        (forged(session, total, rejected={"eve": "x"}), "rejected"),
        (forged(session, total, rejected={"bank-0": "x"}), "rejected"),
        (forged(session, total, signed=dict(list(signed.items())[:4]), rejected={"bank-4": "a\nb"}), "printable"),
        (forged(session, total, payload=b""), "truncated"),
        (forged(session, total, payload=bytes(wide.to_bytes(bound=GRAD.bound))), "larger bound"),
    ):
        with (
            world.session.key_holder(world.priv, state=world.path()) as holder,
            pytest.raises(ProtocolAbort, match=match),
        ):
            holder.open(bad)
        assert not holder._journal._spent, match
    assert world.open(total).clients == NAMES


def test_bit_flips_through_a_whole_total(world: World, total: bytes) -> None:
    """Damage is seen before the sum is spent on it."""
    with world.session.key_holder(world.priv, state=world.path()) as holder:
        for at in range(0, len(total), 3):
            flipped = bytearray(total)
            flipped[at] ^= 1 << at % 8
            with pytest.raises(ProtocolAbort):
                holder.open(flipped)
        assert holder.open(total).clients == NAMES


def lying_payloads(world: World, total: bytes) -> Iterator[tuple[str, bytes]]:
    """Valid ciphertexts under an honest header whose content is no sum of these clients."""
    pub = world.session.public_key
    inner = frame.decode(frame.decode(total).payload)
    most = GRAD.limit * sum(LIMITS)

    def packed(values: int, weight: int) -> bytes:
        ints = np.full(LENGTH + 1, values, np.int64)
        ints[-1] = weight
        c = encrypt_integers(pub, ints, GRAD, frac=20, bound=2**30, packed=True)
        return bytes(frame.decode(c.to_bytes(bound=2**30)).payload)

    def plain(value: int) -> bytes:
        ints = np.empty(2, object)
        ints[:] = [value, value]
        big = (int(pub.n) - 1) // 2
        c = encrypt_integers(pub, ints, GRAD, frac=20, bound=big, packed=False)
        return bytes(frame.decode(c.to_bytes(bound=big)).payload)

    for what, rows in (
        ("weight 0", packed(0, 0)),
        ("weight below the number of clients", packed(0, 4)),
        ("weight above the limits", packed(0, sum(LIMITS) + 1)),
        ("negative weight", packed(0, -5)),
        ("value above what the weight allows", packed(GRAD.limit * 5 + 1, 5)),
        ("value above the bound", packed(most + 1, sum(LIMITS))),
        ("negative value below the bound", packed(-most - 1, sum(LIMITS))),
        ("bits beyond the slots", plain(2 ** (pub.bits - 3))),
        ("garbage", plain(int.from_bytes(os.urandom(250), "little"))),
    ):
        yield what, frame.encode(inner.kind, inner.header, rows)


def test_every_failure_of_decryption_looks_alike(world: World, total: bytes) -> None:
    seen = set()
    for what, payload in lying_payloads(world, total):
        with world.session.key_holder(world.priv, state=world.path()) as holder:
            with pytest.raises(DecryptionError) as caught:
                holder.open(forged(world.session, total, payload=payload))
            seen.add((type(caught.value), str(caught.value), repr(caught.value.__cause__), caught.value.args))
            with pytest.raises(ProtocolAbort, match="already decrypted"):  # no second guess
                holder.open(total)
        assert len(seen) == 1, what


def test_a_true_sum_under_fewer_names_is_no_sum(world: World, messages: dict[str, bytes], total: bytes) -> None:
    """The aggregator names three of five clients for the sum over all: the bound of those three gives it away."""
    signed = dict(list(frame.decode(total).header["signed"].items())[2:])
    with pytest.raises(ProtocolAbort, match="larger bound"):
        world.open(forged(world.session, total, signed=signed))


def test_the_key_must_be_the_sessions(keypair2: Any, world: World) -> None:
    state = world.path()
    with pytest.raises(InvalidKey, match="does not belong"):
        world.session.key_holder(keypair2[1], state=state)
    with pytest.raises(TypeError, match="private_key"):
        world.session.key_holder(world.session.public_key, state=state)
    assert not state.exists()


def test_a_closed_key_spends_nothing(keypair: Any, world: World, total: bytes) -> None:
    from bluetusk.paillier.keys import PrivateKey

    p, q = (int.from_bytes(prime, "little") for prime in world.priv._kernel.export_primes())
    state = world.path()
    with PrivateKey(p, q) as copy, world.session.key_holder(copy, state=state) as holder:
        copy.close()
        with pytest.raises(InvalidKey, match="closed"):
            holder.open(total)
    with world.session.key_holder(world.priv, state=state) as holder:
        assert holder.open(total).clients == NAMES


def test_a_closed_holder_refuses(world: World, total: bytes) -> None:
    with world.session.key_holder(world.priv, state=world.path()) as holder:
        pass
    with pytest.raises(ProtocolAbort, match="closed"):
        holder.open(total)


# ----------------------------------------------------------------------------------------------------- client


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"weight": 0}, ValueError, "weight must be 1 to 10, not 0"),
        ({"weight": 11}, ValueError, "weight must be 1 to 10, not 11"),
        ({"weight": True}, TypeError, "weight must be an int"),
        ({"weight": 1.0}, TypeError, "weight must be an int"),
        ({"round": -1}, ValueError, "round"),
        ({"round": 2**62}, ValueError, "round"),
        ({"round": "1"}, TypeError, "round"),
        ({"tensor": "nope"}, ValueError, "'nope' is not a tensor"),
        ({"values": np.zeros(LENGTH - 1)}, ValueError, "shape"),
        ({"values": np.zeros((1, LENGTH))}, ValueError, "shape"),
        ({"values": 1.0}, ValueError, "shape"),
        ({"values": np.zeros(LENGTH, complex)}, TypeError, "complex"),
        ({"values": np.full(LENGTH, np.nan)}, ValueError, "(?i)nan"),
        ({"values": np.full(LENGTH, -np.inf)}, ValueError, "(?i)inf"),
        ({"values": np.full(LENGTH, 4.1)}, EncodingOverflow, "clip"),
    ],
)
def test_what_a_client_refuses(world: World, change: dict[str, Any], error: type[Exception], match: str) -> None:
    client = world.session.client("bank-0", SEEDS["bank-0"])
    arguments = {"round": 0, "tensor": "grad", "values": np.zeros(LENGTH), "weight": 1, **change}
    with pytest.raises(error, match=match):
        client.contribute(**arguments)
    client.contribute(0, "counts", [1, 2, 3])  # and it goes on


def test_a_client_contributes_once(world: World) -> None:
    client = world.session.client("bank-0", Ed25519PrivateKey.from_private_bytes(SEEDS["bank-0"]))
    client.contribute(3, "counts", [1, 2, 3], np.int64(2))
    for round in (3, 2):
        with pytest.raises(ProtocolAbort, match="already contributed") as caught:
            client.contribute(round, "counts", [1, 2, 3])
        assert caught.value.party == "bank-0"
    client.contribute(3, "grad", np.zeros(LENGTH))
    client.contribute(4, "counts", [1, 2, 3])


def test_who_may_be_a_client(world: World) -> None:
    for name, key, error, match in (
        ("eve", SEEDS["bank-0"], ValueError, "'eve' is not a client"),
        ("bank-1", SEEDS["bank-0"], ValueError, "does not belong"),
        ("bank-0", SEEDS["bank-0"][:-1], ValueError, "32 bytes, not 31"),
        ("bank-0", "secret", TypeError, "signing_key must be"),
    ):
        with pytest.raises(error, match=match):
            world.session.client(name, key)


# ---------------------------------------------------------------------------------------------------- session


def test_sessions_travel(world: World) -> None:
    data = world.session.to_bytes()
    again = PaillierSum.from_bytes(data)
    assert again == world.session
    assert again.to_bytes() == data
    assert hash(again) == hash(world.session)
    assert again != PaillierSum(world.session.public_key, TENSORS, CLIENTS)
    assert again != data
    assert SEEDS["bank-0"].hex() not in repr(again)
    backwards = PaillierSum(
        world.session.public_key,
        dict(reversed(TENSORS.items())),
        dict(reversed(CLIENTS.items())),
        session_id=bytes(16),
    )
    assert backwards.hash == world.session.hash


def test_every_setting_changes_the_hash(keypair: Any, keypair2: Any, world: World) -> None:
    pub = keypair[0]
    fewer = {name: CLIENTS[name] for name in NAMES[:4]}
    lighter = {**CLIENTS, "bank-0": (CLIENTS["bank-0"][0], 9)}
    sessions = [
        world.session,
        PaillierSum(keypair2[0], TENSORS, CLIENTS, session_id=bytes(16)),
        PaillierSum(pub, {"grad": TENSORS["grad"]}, CLIENTS, session_id=bytes(16)),
        PaillierSum(pub, {**TENSORS, "grad": (GRAD, LENGTH + 1)}, CLIENTS, session_id=bytes(16)),
        PaillierSum(pub, {**TENSORS, "grad": (COUNTS, LENGTH)}, CLIENTS, session_id=bytes(16)),
        PaillierSum(pub, TENSORS, fewer, session_id=bytes(16)),
        PaillierSum(pub, TENSORS, lighter, session_id=bytes(16)),
        PaillierSum(pub, TENSORS, CLIENTS, 4, session_id=bytes(16)),
        PaillierSum(pub, TENSORS, CLIENTS),
        PaillierSum(pub, TENSORS, CLIENTS),
    ]
    assert len({session.hash for session in sessions}) == len(sessions)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"public_key": 7}, TypeError, "public_key"),
        ({"tensors": {}}, ValueError, "tensors"),
        ({"tensors": []}, TypeError, "tensors must be a mapping"),
        ({"tensors": {"x": GRAD}}, TypeError, r"plan without a shape: give \(plan, shape\)"),
        ({"tensors": {"x": (5, GRAD)}}, TypeError, r"pair \(plan, shape\), in this order"),
        ({"tensors": {"x": (GRAD, 0)}}, ValueError, "length"),
        ({"tensors": {"x": (GRAD, 2.0)}}, TypeError, "must be an array, a shape or a pair"),
        ({"tensors": {"": (GRAD, 1)}}, ValueError, "name"),
        ({"tensors": {"a\nb": (GRAD, 1)}}, ValueError, "printable"),
        ({"tensors": {1: (GRAD, 1)}}, TypeError, "name"),
        ({"tensors": {"x": (FixedPoint(max_weight=65), 1)}}, ValueError, "add up to 66, above max_weight=65"),
        ({"tensors": {"x": (FixedPoint(clip=2**40, frac_bits=22, max_weight=66), 1)}}, EncodingOverflow, "slot"),
        ({"tensors": {str(i): (GRAD, 1) for i in range(129)}}, ValueError, "1 to 128"),
        ({"clients": {"a": CLIENTS["bank-0"]}}, ValueError, "2 to 1024"),
        ({"clients": ["a", "b"]}, TypeError, "clients must be a mapping"),
        ({"clients": {"a": CLIENTS["bank-0"], "b": CLIENTS["bank-0"]}}, ValueError, "same public key"),
        ({"clients": {"a": (bytes(31), 1), "b": CLIENTS["bank-0"]}}, ValueError, "32 bytes, not 31"),
        ({"clients": {"a": ("x", 1), "b": CLIENTS["bank-0"]}}, TypeError, "Ed25519PublicKey or its 32 bytes, not str"),
        ({"clients": {"a": (bytes(32), 0), "b": CLIENTS["bank-0"]}}, ValueError, "largest weight"),
        ({"clients": {"a": (bytes(32), 1.5), "b": CLIENTS["bank-0"]}}, TypeError, "largest weight"),
        ({"clients": {"a": 5, "b": CLIENTS["bank-0"]}}, TypeError, "Ed25519PublicKey or its 32 bytes, not int"),
        ({"clients": {"a": (bytes(32), 1, 1), "b": CLIENTS["bank-0"]}}, TypeError, "pair"),
        ({"clients": {"x" * 65: (bytes(32), 1), "b": CLIENTS["bank-0"]}}, ValueError, "1 to 64"),
        ({"min_clients": 1}, ValueError, "min_clients must be 2 to 5"),
        ({"min_clients": 6}, ValueError, "min_clients"),
        ({"min_clients": True}, TypeError, "min_clients"),
        ({"session_id": b"short"}, ValueError, "16 bytes"),
        ({"session_id": "x" * 16}, TypeError, "session_id"),
    ],
)
def test_what_a_session_refuses(world: World, change: dict[str, Any], error: type[Exception], match: str) -> None:
    arguments = {"public_key": world.session.public_key, "tensors": TENSORS, "clients": CLIENTS, **change}
    with pytest.raises(error, match=match):
        PaillierSum(**arguments)


def test_a_session_cannot_be_changed(world: World) -> None:
    """The key holder takes the least number of clients from it, under the hash that the clients signed."""
    session = world.session
    before = session.to_bytes()
    for name in ("min_clients", "clients", "tensors", "public_key", "session_id", "hash", "_min_clients", "other"):
        with pytest.raises(AttributeError, match="cannot be changed"):
            setattr(session, name, 0)
        with pytest.raises(AttributeError, match="cannot be changed"):
            delattr(session, name)
    with pytest.raises(TypeError, match="cannot be built twice"):
        session.__init__(session.public_key, TENSORS, CLIENTS, 2)  # type: ignore[misc]
    for mapping in (session.clients, session.tensors):
        with pytest.raises(TypeError):
            mapping["x"] = 1  # type: ignore[index]
    assert session.to_bytes() == before
    for again in (copy.copy(session), copy.deepcopy(session)):
        assert again == session
        assert again.min_clients == session.min_clients


def test_sessions_from_hostile_bytes(world: World, keypair2: Any) -> None:
    data = world.session.to_bytes()
    got = frame.decode(data)
    for change, match in (
        ({"min_clients": 1}, "not allowed: min_clients"),
        ({"min_clients": "3"}, "min_clients"),
        ({"id": bytes(15)}, "'id'"),
        ({"key": bytes(32)}, "does not match its fingerprint field"),
        ({"clients": {"a": [bytes(32)], "b": [bytes(32), 1]}}, "not a pair"),
        ({"clients": {"a": [bytes(32), 1], "b": [bytes(32), 1]}}, "same public key"),
        ({"clients": {}}, "'clients'"),
        ({"tensors": {"x": [{}, 5]}}, "frame header lacks"),
        ({"tensors": {"x": [GRAD.to_dict(), True]}}, "not a pair"),
        ({"tensors": {"x": [GRAD.to_dict(), 0]}}, "not allowed: tensors"),
        ({"extra": 1}, "unknown field"),
    ):
        with pytest.raises(FrameError, match=match):
            PaillierSum.from_bytes(frame.encode(got.kind, {**got.header, **change}, got.payload))
    with pytest.raises(FrameError, match="does not match its fingerprint field"):
        PaillierSum.from_bytes(frame.encode(got.kind, got.header, keypair2[0].to_bytes()))
    with pytest.raises(FrameError):
        PaillierSum.from_bytes(frame.encode(got.kind, got.header, b""))
    head = len(data) - got.payload.nbytes
    for bit in range(0, 8 * head, 61):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            other = PaillierSum.from_bytes(flipped)
        except FrameError:
            continue
        assert other.hash != world.session.hash


# ------------------------------------------------------------------------------------------- the key's proof


def roles(session: PaillierSum) -> list[Any]:
    return [lambda: session.client("bank-0", SEEDS["bank-0"]), session.aggregator]


def test_no_role_but_the_key_holder_takes_a_session_without_a_proof(
    world: World, unproven: Any, tmp_path: Path
) -> None:
    """The earlier form: it can be read, and the error says what to do."""
    session = PaillierSum.from_bytes(PaillierSum(unproven, TENSORS, CLIENTS).to_bytes())
    for role in roles(session):
        with pytest.raises(InvalidKey, match=r"without a proof .* key holder again, who sends session\.prove\("):
            role()
    session.key_holder(world.priv, state=tmp_path / "sums").close()
    assert not unproven.proven


def test_a_session_carries_its_proof(world: World, unproven: Any) -> None:
    plain = PaillierSum(unproven, TENSORS, CLIENTS)
    proved = plain.prove(world.priv)
    assert proved == plain
    assert proved.hash == plain.hash
    data = proved.to_bytes()
    session = PaillierSum.from_bytes(data)
    assert unproven.proven  # and all equal keys
    assert session.to_bytes() == data
    assert copy.deepcopy(session).to_bytes() == data
    for role in roles(session):
        role()


def test_a_forged_or_replayed_proof_of_the_session(world: World, unproven: Any, keypair2: Any) -> None:
    session, other = (PaillierSum(unproven, TENSORS, CLIENTS) for _ in range(2))
    plain = frame.decode(session.to_bytes())
    key = bytes(plain.payload)
    proof = prove_modulus(world.priv, session.hash, b"key holder")
    for bad in (
        bytes(frame.decode(other.prove(world.priv).to_bytes()).payload)[len(key) :],  # of another session
        prove_modulus(world.priv, session.hash, b"bank-0"),
        prove_modulus(keypair2[1], session.hash, b"key holder"),
        proof[:-1] + bytes([proof[-1] ^ 1]),
        proof[:-1],
        proof + proof,
        key,
    ):
        with pytest.raises((InvalidKey, FrameError), match="proof of the key holder's key is refused"):
            PaillierSum.from_bytes(frame.encode(plain.kind, plain.header, key + bad))
        assert not unproven.proven
    PaillierSum.from_bytes(frame.encode(plain.kind, plain.header, key + proof))


def test_only_the_session_s_own_key_proves_it(world: World, keypair2: Any) -> None:
    with pytest.raises(InvalidKey, match="does not belong to this session"):
        world.session.prove(keypair2[1])
    with pytest.raises(TypeError, match="private_key must be a PrivateKey"):
        world.session.prove(world.session.public_key)  # type: ignore[arg-type]


def test_arguments_of_the_aggregator(world: World) -> None:
    for change, error in (({"first_round": -1}, ValueError), ({"open_rounds": 0}, ValueError)):
        with pytest.raises(error):
            world.session.aggregator(**change)
    with pytest.raises(ValueError, match="'nope' is not a tensor"):
        world.session.aggregator().finish(0, "nope")


# ----------------------------------------------------------------------------------------------------- result


def test_results_travel(world: World, total: bytes) -> None:
    result = world.open(total)
    data = result.to_bytes(world.session)
    again = SumResult.from_bytes(data, world.session)
    for name in ("integers", "sum", "mean"):
        np.testing.assert_array_equal(getattr(again, name), getattr(result, name))
    assert (again.round, again.tensor) == (0, "grad")
    assert (again.weight, again.clients, again.rejected) == (result.weight, result.clients, result.rejected)
    for at in range(len(data)):
        flipped = bytearray(data)
        flipped[at] ^= 1 << at % 8
        with pytest.raises(FrameError):
            SumResult.from_bytes(flipped, world.session)


def test_results_of_another_length(world: World) -> None:
    with pytest.raises(ValueError, match=r"integers must have the shape of the tensor, \(70,\), not \(69,\)"):
        SumResult.from_integers(world.session, 0, "grad", [0] * 69, 3, NAMES[:3])


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"integers": [1.7] * LENGTH}, ValueError, "integers must be whole numbers"),
        ({"integers": np.ones(LENGTH)}, ValueError, "integers must be whole numbers"),
        ({"integers": [Fraction(1, 2)] * LENGTH}, ValueError, "integers must be whole numbers"),
        ({"integers": [2**70] * LENGTH}, ValueError, "integers: a value exceeds"),
        ({"integers": [-(2**63)] * LENGTH}, ValueError, "integers: a value exceeds"),
        ({"integers": np.full(LENGTH, 2**64 - 1, np.uint64)}, ValueError, "integers: a value exceeds"),
        ({"integers": ["1"] * LENGTH}, TypeError, "integers"),
        ({"tensor": "nope"}, ValueError, "tensor: 'nope' is not a tensor"),
        ({"round": -1}, ValueError, "round must be"),
        ({"round": 0.0}, TypeError, "round must be an int"),
        ({"weight": 3.5}, TypeError, "weight must be an int"),
        ({"weight": 2}, ValueError, "weight is outside the range"),
        ({"clients": "bank-0"}, TypeError, "clients must be"),
        ({"clients": [["bank-0"], "bank-1", "bank-2"]}, TypeError, "clients must be"),
        ({"clients": []}, ValueError, "clients has 0 names, fewer than"),
    ],
)
def test_what_a_result_is_not_made_of(world: World, change: dict[str, Any], error: type[Exception], match: str) -> None:
    """Nothing is truncated to an integer unseen, and every argument is refused by its name."""
    arguments = {"round": 0, "tensor": "grad", "integers": [1] * LENGTH, "weight": 3, "clients": NAMES[:3]}
    with pytest.raises(error, match=match):
        SumResult.from_integers(world.session, **{**arguments, **change})


@pytest.mark.parametrize("integers", [np.full(LENGTH, 7, np.uint64), np.full(LENGTH, 7, object), (7,) * LENGTH])
def test_integers_of_any_type_make_a_result(world: World, integers: Any) -> None:
    result = SumResult.from_integers(world.session, 0, "grad", integers, 3, iter(NAMES[:3]))
    assert result.integers.dtype == np.int64
    assert result.integers.tolist() == [7] * LENGTH
    assert result.clients == NAMES[:3]


def test_no_repr_shows_a_secret_or_a_value(world: World, messages: dict[str, bytes]) -> None:
    aggregator = world.session.aggregator()
    aggregator.add(messages["bank-0"])
    with world.session.key_holder(world.priv, state=world.path()) as holder:
        assert repr(holder) == f"<KeyHolder of {world.session!r}>"
    assert repr(aggregator) == f"<Aggregator of {world.session!r}, 1 open sums>"
    client = world.session.client("bank-0", SEEDS["bank-0"])
    assert repr(client) == f"<Client 'bank-0' of {world.session!r}>"


def test_results_outside_the_limits(world: World, total: bytes) -> None:
    data = world.open(total).to_bytes(world.session)
    got = unseal(data, Kind.SUM_RESULT, {*ABOUT, "weight", "clients", "rejected"}, 10**6)
    for change, match in (
        ({"weight": 4}, "weight"),
        ({"weight": 67}, "weight"),
        ({"clients": ["bank-0", "bank-1"]}, "fewer than min_clients=3"),
        ({"clients": ["bank-0", "bank-0", "bank-1"]}, "distinct"),
        ({"clients": ["bank-0", "eve", "bank-1"]}, "distinct clients"),
        ({"clients": []}, "fewer than min_clients=3"),
        ({"clients": [1, 2, 3]}, "holds a int"),
        ({"rejected": {"bank-0": "x"}}, "rejected"),
        ({"payload": bytes(8 * LENGTH - 1)}, "bytes of values"),
        ({"payload": (2**40).to_bytes(8, "little") * LENGTH}, "exceeds"),
        ({"payload": b"\xff" * 7 + b"\x80" + bytes(8 * LENGTH - 8)}, "exceeds"),
    ):
        header = {**got.header, **change}
        payload = header.pop("payload", bytes(got.payload))
        with pytest.raises(FrameError, match=match):
            SumResult.from_bytes(seal(Kind.SUM_RESULT, header, payload), world.session)


# -------------------------------------------------------------------------------------------------- schedules


@dataclass
class Pool:
    """Contributions made once; schedules only shuffle bytes."""

    world: World
    messages: dict[tuple[int, str], bytes]
    values: dict[tuple[int, str], tuple[int, int]]


@pytest.fixture(scope="module")
def pool(world: World) -> Pool:
    rng = np.random.default_rng(11)
    sent, values = {}, {}
    clients = {name: world.session.client(name, SEEDS[name]) for name in NAMES}
    for round in range(3):
        for i, name in enumerate(NAMES):
            value, weight = int(rng.integers(-(10**6), 10**6)), int(rng.integers(1, LIMITS[i] + 1))
            sent[round, name] = clients[name].contribute(round, "counts", [value, -value, 0], weight)
            values[round, name] = (value, weight)
    return Pool(world, sent, values)


def damaged(data: bytes, how: int) -> bytes:
    if how % 3 == 0:
        return data[: how % len(data)]
    changed = bytearray(data)
    changed[how % len(data)] ^= 1 + how % 255
    return bytes(changed)


rounds, names = st.integers(0, 2), st.sampled_from(NAMES)
disturbances = st.one_of(
    st.tuples(st.just("send"), rounds, names),
    st.tuples(st.just("damage"), rounds, names, st.integers(0, 10**6)),
    st.tuples(st.just("finish"), rounds),
    st.tuples(st.just("restart")),
    st.tuples(st.just("reopen"), rounds),
)


@st.composite
def schedules(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    """Each round some clients send, in any order, between disturbances; in the end every round is finished."""
    sent = [("send", round, name) for round in range(3) for name in draw(st.sets(names, min_size=2))]
    order = draw(st.permutations(sent + draw(st.lists(disturbances, max_size=10))))
    ends = [(step, round) for step in ("finish", "reopen") for round in draw(st.permutations(range(3)))]
    return [*order, *ends]


@settings(
    max_examples=max(200, settings.default.max_examples), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
@given(schedules(), st.integers(1, 4))
def test_any_schedule_gives_the_exact_sum_of_the_named_or_a_typed_error(
    pool: Pool, schedule: list[tuple[Any, ...]], window: int
) -> None:
    """Drop, duplicate, delay, replay, reorder, damage; the aggregator and the key holder restart at any time."""
    world, state = pool.world, pool.world.path()
    aggregator = world.session.aggregator(open_rounds=window)
    holder = world.session.key_holder(world.priv, state=state)
    totals: dict[int, list[bytes]] = {}
    opened: set[int] = set()
    restarts = 0

    def try_open(total: bytes, round: int) -> None:
        if round in opened:
            with pytest.raises(ProtocolAbort, match="already decrypted"):
                holder.open(total)
            return
        result = holder.open(total)
        opened.add(round)
        parts = [pool.values[round, name] for name in result.clients]
        exact = sum(value * weight for value, weight in parts)
        assert result.integers.tolist() == [exact, -exact, 0]
        assert result.weight == sum(weight for _, weight in parts)
        assert len(parts) >= 3
        assert not set(result.rejected) & set(result.clients)

    for step in schedule:
        match step:
            case ("send", round, name):
                answer = aggregator.add(pool.messages[round, name])
                assert bool(answer) is (
                    answer == Accepted(name, round, "counts", len(aggregator.clients(round, "counts")))
                )
            case ("damage", round, name, how):
                bad = damaged(pool.messages[round, name], how)
                assert bad == pool.messages[round, name] or not aggregator.add(bad)
            case ("finish", round):
                try:
                    total = aggregator.finish(round, "counts")
                except ProtocolAbort:
                    continue
                totals.setdefault(round, []).append(total)
                try_open(total, round)
            case ("restart",):
                restarts += 1
                holder.close()
                holder = world.session.key_holder(world.priv, state=state)
                if restarts % 2 == 0:  # the aggregator forgets its sums and may form them again
                    aggregator = world.session.aggregator(open_rounds=window)
            case ("reopen", round):
                for total in totals.get(round, []):
                    try_open(total, round)
    holder.close()


def test_the_memory_of_a_sum_does_not_grow_with_its_clients(keypair: Any) -> None:
    seeds = {f"c{i:02}": hashlib.sha256(bytes([i])).digest() for i in range(30)}
    clients = {name: (public(seed), 3) for name, seed in seeds.items()}
    session = PaillierSum(keypair[0], {"x": (GRAD, 2000)}, clients)
    aggregator, sizes = session.aggregator(), []
    sent = [session.client(name, seed).contribute(0, "x", np.ones(2000), 3) for name, seed in seeds.items()]
    arrays = tracemalloc.DomainFilter(inclusive=True, domain=np.lib.tracemalloc_domain)
    tracemalloc.start()
    for message in sent:
        assert aggregator.add(message)
        taken = tracemalloc.take_snapshot().filter_traces([arrays]).traces
        sizes.append(sum(trace.size for trace in taken))
    tracemalloc.stop()
    assert len(sent[0]) / 2 < sizes[0]  # the arrays are what is measured
    assert max(sizes) < 2.5 * len(sent[0])


def test_a_thousand_rounds_leave_no_trace(world: World) -> None:
    """What an aggregator remembers does not grow with the rounds."""
    aggregator = world.session.aggregator(open_rounds=3)
    for round in range(1000):
        aggregator.give_up(round)
    assert len(aggregator._closed) <= 3 * len(TENSORS)
    assert len(aggregator._running) == 0


def test_concurrent_additions_count_everyone_once(world: World, messages: dict[str, bytes]) -> None:
    from concurrent.futures import ThreadPoolExecutor

    aggregator = world.session.aggregator()
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(aggregator.add, list(messages.values()) * 4))
    assert sum(map(bool, answers)) == len(NAMES)
    result = world.open(aggregator.finish(0, "grad"))
    assert result.integers[0] == sum((i + 1) * 2**17 * (i % LIMITS[i] + 1) for i in range(5))
