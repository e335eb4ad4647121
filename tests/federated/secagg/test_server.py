"""What the server refuses, corrects and gives up on: clients may send anything."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bluetusk.encoding import FixedPoint
from bluetusk.errors import EncodingOverflow, FrameError, ProtocolAbort
from bluetusk.federated import secagg
from bluetusk.federated.secagg._messages import tagged
from bluetusk.federated.secagg._peer import Peer
from bluetusk.federated.secagg._state import seal, unseal
from bluetusk.federated.secagg.boxes import sealed_box
from bluetusk.wire.frame import Kind, decode, encode

ME = "c001"


def rejected(server, message, match, sender=ME):
    answer = server.step(message)
    assert isinstance(answer, secagg.Rejected)
    assert not answer
    assert match in answer.reason
    assert answer.sender == sender


def held_back(make, phase, plan=6, **options):
    """A round in `phase` in which everybody but ME has answered; and ME's answer."""
    world = make(plan, **options)
    server, clients, out = world.to(phase, drop=[(ME, phase)])
    (answer,) = clients[ME].start(0, [1] * world.session.length) if phase == "advertise" else clients[ME].step(out[ME])
    return world, server, clients, answer


def advert_held_back(make):
    world = make(6)
    values, weights = world.inputs()
    server, clients = world.server(), world.clients()
    messages = {name: client.start(0, values[name], weights[name])[0] for name, client in clients.items()}
    for name, message in messages.items():
        if name != ME:
            assert server.step(message)
    return world, server, clients, messages[ME]


def finish(world, server, clients):
    """Carry the rest of the messages and check the sum."""
    while not server.last:
        for name, message in server.advance().items():
            for answer in clients[name].step(message):
                assert server.step(answer)
    result = server.finish()
    values, weights = world.inputs()
    assert (result.integers.tolist(), result.weight) == world.expected(values, weights, result.clients)
    return result


PHASES = ["advertise", "shares", "masked", "consent", "unmask"]


@pytest.mark.parametrize("phase", PHASES)
def test_every_flipped_bit_and_every_prefix(make, phase):
    malicious = secagg.plan(5, dropout=0.2, malicious=phase == "consent")
    if phase == "advertise":
        world, server, clients, message = advert_held_back(make)
    else:
        world, server, clients, message = held_back(make, phase, malicious)
    step = 1 if len(message) < 330 else 3
    for at in range(0, 8 * len(message), step):
        changed = bytearray(message)
        changed[at // 8] ^= 1 << at % 8
        assert not server.step(bytes(changed)), f"bit {at} of {len(message)} bytes"
    for end in range(0, len(message), step):
        assert not server.step(message[:end])
    assert ME in server.waiting
    assert server.step(message)
    assert set(finish(world, server, clients).clients) == set(world.names)


@pytest.mark.parametrize("phase", PHASES)
def test_duplicates_late_early_foreign_and_replayed(make, phase):
    plan = secagg.plan(6, malicious=phase == "consent")
    if phase == "advertise":
        world, server, clients, message = advert_held_back(make)
    else:
        world, server, clients, message = held_back(make, phase, plan)
    frame = decode(message)
    foreign = make(6)
    rejected(server, foreign.client(ME).start(0, [0] * 5)[0], "another configuration", None)
    rejected(server, world.client(ME).start(1, [0] * 5)[0], "another round than 0", None)
    rejected(server, encode(frame.kind, {**frame.header, "sender": 6}, frame.payload), "sender", None)
    rejected(server, encode(frame.kind, {**frame.header, "sender": -1}, frame.payload), "sender", None)
    rejected(server, encode(frame.kind, {**frame.header, "sender": 2}, frame.payload), "duplicate", "c002")
    rejected(server, encode(frame.kind, {**frame.header, "more": 2}, frame.payload), "unknown field")
    rejected(server, encode(Kind.SUM_TOTAL, frame.header, frame.payload), "not for the server", None)
    assert server.step(message)
    rejected(server, message, "duplicate")
    if phase not in ("consent", "unmask"):
        reveal = encode(Kind.SECAGG_REVEAL, {"session": world.session.hash, "round": 0, "sender": 1})
        rejected(server, reveal, "early")
    finish(world, server, clients)
    rejected(server, message, "late or replayed")


def test_a_message_that_comes_after_its_phase(make):
    """The vector of a client that was taken for dropped is not added: its key is about to be reconstructed."""
    plan = secagg.plan(6, dropout=0.34)
    world, server, clients, message = held_back(make, "masked", plan)
    out = server.advance()
    assert ME not in out
    rejected(server, message, "late or replayed")
    for name, request in out.items():
        assert server.step(clients[name].step(request)[0])
    result = server.finish()
    values, weights = world.inputs()
    assert result.dropped == (ME,)
    assert "late" in result.rejected[ME]
    assert (result.integers.tolist(), result.weight) == world.expected(values, weights, result.clients)


def test_who_dropped_out_stays_out(make):
    world = make(secagg.plan(6, dropout=0.34))
    server, clients, out = world.to("masked", drop=[(ME, "shares")])
    key = Peer(world.session, 0).server_key(server._round.public)
    rejected(server, tagged(world.session, 0, Kind.SECAGG_MASKED, {"sender": 1}, bytes(15), key), "dropped out")
    assert ME not in out
    assert finish(world, server, clients).clients == tuple(n for n in world.names if n != ME)


def test_adverts(make):
    world, server, _, message = advert_held_back(make)
    other = world.client("c002").start(0, [0] * 5)[0]
    frame = decode(other)
    rejected(server, encode(frame.kind, {**frame.header, "sender": 1}, frame.payload), "signature is not the sender's")

    class Copy:
        """A client whose keys are somebody else's, or bad: signed by itself."""

        def __init__(self, advert):
            self.data = advert

        def message(self):
            from bluetusk.federated.secagg._messages import signed

            return signed(world.session, 0, Kind.SECAGG_ADVERTISE, {"sender": 1}, self.data, world.keys[ME])

    known = server._round.adverts[0][0]
    mine = bytes(decode(message).payload)
    rejected(server, Copy(known).message(), "key was advertised twice")
    rejected(server, Copy(mine[:32] + known[:32] + mine[64:]).message(), "key was advertised twice")
    rejected(server, Copy(mine[:32] + mine[:32] + mine[64:]).message(), "key was advertised twice")
    rejected(server, Copy(bytes(32) + mine[32:]).message(), "low order")
    rejected(server, Copy(mine[:32] + (1).to_bytes(32, "little") + mine[64:]).message(), "low order")
    rejected(server, Copy(mine + b"x").message(), "advertises 96 bytes, not 97")
    assert server.step(message)


def test_shares_for_the_wrong_holders(make):
    for plan in (
        secagg.plan(6),
        secagg.plan(24, 0.05, 0.13, complete=False, security=5, correctness=3),
        secagg.plan(24, 0.05, 0.13, True, complete=False, security=5, correctness=3),
    ):
        world, server, clients, message = held_back(make, "shares", plan)
        payload, key = bytes(decode(message).payload), server._round.pairs[1]
        count = plan.neighbours - plan.complete
        size = len(payload) // count
        rows = [payload[at : at + size] for at in range(0, len(payload), size)]
        me = (1).to_bytes(4, "little")
        for changed in (
            rows[:-1],
            [*rows, rows[-1]],
            rows[::-1],
            [*rows[:-1], rows[0]],
            sorted([me + rows[0][4:], *rows[1:]], key=lambda row: int.from_bytes(row[:4], "little")),
            [*rows[:-1], (10**6).to_bytes(4, "little") + rows[-1][4:]],
        ):
            bad = tagged(world.session, 0, Kind.SECAGG_SHARES, {"sender": 1}, b"".join(changed), key)
            rejected(
                server, bad, "holders that the graph gives" if server._now.roster.holders is not None else "different"
            )
        bad = tagged(world.session, 0, Kind.SECAGG_SHARES, {"sender": 1}, payload[:-1], key)
        rejected(server, bad, "not a whole number of records")
        assert server.step(message)
        finish(world, server, clients)


def test_masked_vectors_of_a_wrong_form(make):
    encoding = FixedPoint.integers(limit=1000, max_weight=60, guard_bits=2)
    world, server, clients, message = held_back(make, "masked", 6, encoding=encoding)
    assert world.session.bits == 19  # 6 words take 114 bits
    payload, key = bytes(decode(message).payload), server._round.pairs[1]
    assert len(payload) == 15

    def say(data):
        return tagged(world.session, 0, Kind.SECAGG_MASKED, {"sender": 1}, data, key)

    rejected(server, say(payload + b"\0"), "takes 15 bytes, not 16")
    rejected(server, say(payload[:-1]), "takes 15 bytes, not 14")
    rejected(server, say(payload[:-1] + bytes([payload[-1] | 0x80])), "bits after the last word are not 0")
    before = server._now.dealt.total.copy()
    rejected(
        server, tagged(world.session, 0, Kind.SECAGG_MASKED, {"sender": 1}, payload, server._round.pairs[2]), "the tag"
    )
    assert np.array_equal(before, server._now.dealt.total)
    assert server.step(message)
    finish(world, server, clients)


def test_ctrl_c_while_a_vector_is_added(make, monkeypatch):
    """Nobody can tell how much of it was added: the round is over, and nothing is counted twice."""
    _, server, _, message = held_back(make, "masked")

    def interrupted(total, *rest):
        total[:2] += 1
        raise KeyboardInterrupt

    monkeypatch.setattr("bluetusk.federated.secagg.server.masked.add_packed", interrupted)
    with pytest.raises(KeyboardInterrupt):
        server.step(message)
    assert server.phase == "over"
    rejected(server, message, "late or replayed")


# ----------------------------------------------------------------------------------------------------- shares that lie


def reveal_of(world, server, rows, sender=1):
    header = {"session": world.session.hash, "round": 0, "sender": sender}
    return encode(Kind.SECAGG_REVEAL, header, sealed_box(server._round.pairs[sender], b"".join(rows), b"reveal"))


def rows_of(server, message, sender=1):
    from bluetusk.federated.secagg.boxes import open_box

    plain = open_box(server._round.pairs[sender], decode(message).payload, b"reveal")
    return [plain[at : at + 44] for at in range(0, len(plain), 44)]


def test_answers_of_a_wrong_form(make):
    world, server, clients, message = held_back(make, "unmask")
    rows = rows_of(server, message)
    for changed, match in (
        ([*rows, rows[0]], "or repeats one"),
        ([(6).to_bytes(4, "little") + rows[0][4:], *rows[1:]], "was not given"),
        ([rows[0] + b"x"], "not hold whole shares"),
        ([rows[0][:4] + (2**61 - 1).to_bytes(8, "little") + rows[0][12:], *rows[1:]], "outside the field"),
        ([rows[0][:4] + b"\xff" * 40], "outside the field"),
    ):
        rejected(server, reveal_of(world, server, changed), match)
    assert server.step(message)
    finish(world, server, clients)


@pytest.mark.parametrize("liars", [1, 2])
def test_wrong_shares_are_corrected_where_there_are_more_than_the_threshold(make, liars):
    """Eight of nine answer, threshold 5: (8 - 5) // 2 = 1 wrong holder is corrected, two end the round typed."""
    plan = secagg.plan(9, dropout=0.4, threshold=5)
    world = make(plan)
    names = world.names[:liars]
    server, clients, out = world.to("unmask", drop=[("c008", "masked"), *((name, "unmask") for name in names)])
    assert "c008" not in out
    for i, name in enumerate(names):
        (message,) = clients[name].step(out[name])
        rows = rows_of(server, message, i)
        wrong = [row[:4] + bytes([row[4] ^ 1]) + row[5:] for row in rows]
        assert server.step(reveal_of(world, server, wrong, i))
    if liars == 1:
        values, weights = world.inputs()
        result = server.finish()
        assert (result.integers.tolist(), result.weight) == world.expected(values, weights, result.clients)
    else:
        with pytest.raises(ProtocolAbort, match="do not reconstruct what it advertised"):
            server.finish()
        assert server.phase == "over"


@pytest.mark.parametrize("what", ["seed", "mask_secret"])
def test_a_dealer_that_shares_another_secret(make, what):
    """It is found out when its secret is needed, and named; a seed of a client that vanished is not."""
    world = make(secagg.plan(6, dropout=0.34))
    values, weights = world.inputs()
    server, clients = world.server(), world.clients()
    for name, client in clients.items():
        assert server.step(client.start(0, values[name], weights[name])[0])
    for name, message in server.advance().items():
        if name == ME:
            part, frame = clients[ME]._part, decode(message)
            honest = getattr(part.peer, what)
            part.take_roster(frame)
            setattr(part.peer, what, bytes(32))
            answer = part.answer_roster()
            setattr(part.peer, what, honest)
            part.frames[frame.kind], clients[ME]._phase = message, "shared"
        else:
            (answer,) = clients[name].step(message)
        assert server.step(answer)
    gone = {ME} if what == "mask_secret" else set()
    while not server.last:
        for name, message in server.advance().items():
            if name not in gone:
                assert server.step(clients[name].step(message)[0])
    with pytest.raises(ProtocolAbort, match=f"shares of '{ME}' do not reconstruct what it advertised"):
        server.finish()


def test_a_dealer_whose_boxes_are_broken(make):
    """Nobody can open what it dealt, so its secret is lost; the round ends typed, with its name."""
    world, server, clients, message = held_back(make, "shares", secagg.plan(6, dropout=0.34))
    payload = bytearray(decode(message).payload)
    size = len(payload) // 5
    for at in range(20, len(payload), size):
        payload[at] ^= 1
    assert server.step(tagged(world.session, 0, Kind.SECAGG_SHARES, {"sender": 1}, payload, server._round.pairs[1]))
    while not server.last:
        for name, sent in server.advance().items():
            assert server.step(clients[name].step(sent)[0])
    with pytest.raises(ProtocolAbort, match=f"1 clients gave shares of '{ME}': unmasking takes 4"):
        server.finish()


# ----------------------------------------------------------------------------------------------------- clients that lie


@pytest.mark.parametrize("weight", [0, 11, -1, 10**5])
def test_a_weight_that_nobody_may_use(make, weight):
    world = make(6)
    server, clients = world.server(), world.clients()
    for client in clients.values():
        assert server.step(client.start(0, [0] * 5, 10 if weight > 0 else 1)[0])
    clients[ME]._part.words[-1] = np.int64(weight).astype(np.uint32)
    while not server.last:
        for name, message in server.advance().items():
            assert server.step(clients[name].step(message)[0])
    with pytest.raises(ProtocolAbort, match="weight is impossible for its clients"):
        server.finish()
    assert server.phase == "over"


def test_values_beyond_the_limit(make):
    world = make(6)
    server, clients = world.server(), world.clients()
    for client in clients.values():
        assert server.step(client.start(0, [0] * 5)[0])
    clients[ME]._part.words[0] = 6001
    while not server.last:
        for name, message in server.advance().items():
            assert server.step(clients[name].step(message)[0])
    with pytest.raises(EncodingOverflow, match="exceeds its weight's limit"):
        server.finish()


# ----------------------------------------------------------------------------------------------------- too few


@pytest.mark.parametrize(
    ("phase", "match"),
    [
        ("advertise", "3 clients advertised keys; at least 4 are needed"),
        ("shares", "3 clients shared their keys; at least 4 are needed"),
        ("masked", "3 clients sent their masked vectors; at least 4 are needed"),
        ("consent", "3 clients consented to the set of clients in the sum; at least 4 are needed"),
    ],
)
def test_too_few_clients_end_the_round(make, phase, match):
    plan = secagg.plan(6, corrupt=0.1, dropout=0.34, malicious=True, threshold=4)
    world = make(plan)
    server, clients, out = world.to(phase, drop=[(name, phase) for name in world.names[:3]])
    with pytest.raises(ProtocolAbort, match=match) as caught:
        server.advance()
    assert caught.value.round == 0
    assert server.phase == "over"
    assert server.waiting == ()
    with pytest.raises(ProtocolAbort, match="there is no message to send"):
        server.advance()
    with pytest.raises(ProtocolAbort, match="cannot be unmasked"):
        server.finish()
    if out:
        rejected(server, clients["c000"].step(out["c000"])[0], "late or replayed", "c000")


def test_too_few_answers_end_the_round(make):
    world = make(secagg.plan(6, dropout=0.34))
    server, _, _ = world.to("unmask", drop=[(name, "unmask") for name in world.names[:3]])
    with pytest.raises(ProtocolAbort, match="clients gave shares of 'c000': unmasking takes 4"):
        server.finish()
    with pytest.raises(ProtocolAbort, match="'over'"):
        server.finish()


def test_nobody_answers(make):
    world = make(3)
    server, _, _ = world.to("unmask", drop=[(name, "unmask") for name in world.names])
    with pytest.raises(ProtocolAbort, match="0 clients gave shares"):
        server.finish()


# ----------------------------------------------------------------------------------------------------- the rest


def test_results_are_read_only_and_complete(make):
    world = make(5)
    server, _, _ = world.to("unmask")
    result = server.finish()
    assert result.integers.dtype == np.int64
    with pytest.raises(ValueError, match="read-only"):
        result.integers[0] = 1
    assert result.rejected == {}
    with pytest.raises(ProtocolAbort, match="'done'"):
        server.finish()


@given(st.binary(max_size=300), st.sampled_from(list(Kind)))
@settings(max_examples=300)
def test_any_bytes(make, data, kind):
    server = make(3, session_id=bytes(16)).server()
    for message in (data, encode(kind, {"session": server.session.hash, "round": 0, "sender": 1}, data)):
        assert not server.step(message)
    assert server.phase == "advertise"


def test_only_bytes(make):
    with pytest.raises(TypeError):
        make(3).server().step("text")


@pytest.mark.parametrize(
    ("key", "error", "match"),
    [
        (b"\1" * 31, ValueError, "has 32 bytes, not 31"),
        (b"\1" * 32, ValueError, "does not belong to the public key agreed for the server"),
        (3, TypeError, "must be bytes or an Ed25519PrivateKey"),
    ],
)
def test_wrong_signing_keys(make, key, error, match):
    with pytest.raises(error, match=match):
        secagg.Server(make(3).session, 0, key)


def test_messages_do_not_depend_on_the_weight_or_the_values(make):
    world = make(4)
    light, heavy = world.clients(), world.clients()
    sizes = []
    for clients, value, weight in ((light, 0, 1), (heavy, 1000, 10)):
        server = world.server()
        for client in clients.values():
            assert server.step(client.start(0, [value] * 5, weight)[0])
        sizes.append([])
        while not server.last:
            for name, message in server.advance().items():
                answers = clients[name].step(message)
                sizes[-1] += [len(message), *map(len, answers)]
                assert server.step(answers[0])
    assert sizes[0] == sizes[1]


KEY = bytes(range(32))


@pytest.mark.parametrize("malicious", [False, True])
@pytest.mark.parametrize("complete", [False, True])
def test_kill_and_resume_after_every_message(make, malicious, complete):
    if complete:
        plan = secagg.plan(6, dropout=0.17, malicious=malicious)
    else:
        plan = secagg.plan(24, 0.05, 0.13, malicious, complete=False, security=5, correctness=3)
    world = make(plan)
    values, weights = world.inputs()
    server, clients = world.server(), world.clients()

    def again(server):
        state = server.to_bytes(KEY)
        assert server._round.secret not in state
        return secagg.Server.from_bytes(state, world.session, world.server_key, KEY)

    for name, client in clients.items():
        assert server.step(client.start(0, values[name], weights[name])[0])
        server = again(server)
    while not server.last:
        out = server.advance()
        server = again(server)
        for i, (name, message) in enumerate(out.items()):
            if (name, server.phase) == (ME, "masked"):
                clients.pop(ME)
            for answer in clients[name].step(message) if name in clients else ():
                assert server.step(answer)
                if i % 5 == 0:
                    server = again(server)
                    rejected(server, answer, "duplicate", name)
    result = server.finish()
    assert result.dropped == (ME,)
    assert "duplicate" in result.rejected["c000"]
    assert (result.integers.tolist(), result.weight) == world.expected(values, weights, result.clients)
    with pytest.raises(ProtocolAbort, match="is 'done': there is nothing to save"):
        server.to_bytes(KEY)


def test_large_states(make):
    """More parts than a frame's header could list."""
    session = make(3).session
    parts = {f"part {i}": bytes([i % 256]) * (i % 7) for i in range(10_000)}
    header, back = unseal(seal(session, "server", {"round": 3}, parts, KEY), session, "server", KEY)
    assert (header, back) == ({"round": 3}, parts)
    with pytest.raises(FrameError, match="another session or role"):
        unseal(seal(session, "client", {}, parts, KEY), session, "server", KEY)


def test_states_that_are_refused(make):
    world = make(4)
    server, _, _ = world.to("masked")
    state = server.to_bytes(KEY)
    for session, signing, key, match in (
        (make(4).session, world.server_key, KEY, "another session"),
        (world.session, world.server_key, bytes(32), "another key, or damaged"),
    ):
        with pytest.raises(FrameError, match=match):
            secagg.Server.from_bytes(state, session, signing, key)
    with pytest.raises(ValueError, match="does not belong"):
        secagg.Server.from_bytes(state, world.session, world.keys[ME], KEY)
    for at in range(0, 8 * len(state), 11):
        changed = bytearray(state)
        changed[at // 8] ^= 1 << at % 8
        with pytest.raises(FrameError):
            secagg.Server.from_bytes(bytes(changed), world.session, world.server_key, KEY)


MEMORY = """
import resource, sys
import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
import bluetusk as bt
from bluetusk.federated import secagg

n, d = int(sys.argv[1]), int(sys.argv[2])
keys = {f"c{i:05}": Ed25519PrivateKey.generate() for i in range(n)}
server_key = Ed25519PrivateKey.generate()
plan = secagg.plan(n, complete=False, security=int(sys.argv[3]), correctness=8)
session = secagg.Session(
    plan, bt.FixedPoint(frac_bits=16, max_weight=n), d,
    {name: (key.public_key().public_bytes_raw(), 1) for name, key in keys.items()},
    server_key.public_key().public_bytes_raw(),
)
server = secagg.Server(session, 0, server_key)
values = np.linspace(-4, 4, d)
# the clients live in this process too: keep each one's vector only while it is masked
clients = {}
for name, key in keys.items():
    clients[name] = secagg.Client(session, name, key)
    assert server.step(clients[name].start(0, values)[0])
    clients[name]._part.words = None
out = server.advance()
for name, message in out.items():
    assert server.step(clients[name].step(message)[0])
out = server.advance()
words = session.encoding.quantise(values)[0].astype(np.uint32)
words = np.concatenate([words, np.ones(1, np.uint32)])
base = None
for name in list(out):
    clients[name]._part.words = words.copy()
    (answer,) = clients[name].step(out.pop(name))
    assert server.step(answer)
    if base is None:
        base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
out = server.advance()
for name, message in out.items():
    assert server.step(clients[name].step(message)[0])
result = server.finish()
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base
assert (result.integers == n * words[:-1].view(np.int32).astype(np.int64)).all()
print(grown * 1024)
"""


def test_memory_is_that_of_the_model(make):
    """M15: from the first vector on, nothing grows with the number of vectors. BLUETUSK_SCHEDULES: 10^3 by 10^6."""
    full = bool(os.environ.get("BLUETUSK_SCHEDULES"))
    n, d, security = ("1000", "1000000", "40") if full else ("40", "300000", "6")
    run = subprocess.run([sys.executable, "-c", MEMORY, n, d, security], capture_output=True, text=True, check=True)
    # the result is 8 bytes a value beside the sum's 4; 40 vectors of 1.2 MB would be 48 MB
    assert int(run.stdout) <= 8 * int(d) + (56 << 20 if full else 12 << 20)
