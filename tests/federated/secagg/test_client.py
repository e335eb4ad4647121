"""What a client refuses, whoever the server is: every message here is signed with the server's key."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bluetusk.errors import FrameError, ProtocolAbort
from bluetusk.federated import secagg
from bluetusk.federated.secagg._messages import bitmap, signed
from bluetusk.federated.secagg._peer import box_bytes
from bluetusk.federated.secagg.boxes import open_box
from bluetusk.wire.frame import Kind, decode, encode

ME = "c001"


def forge(world, kind, header, payload, round=0, key=None):
    return signed(world.session, round, kind, header, payload, key or world.server_key)


def edited(world, message, payload=None, kind=None, **header):
    """Another message of a server that deviates: changed, and signed again."""
    frame = decode(message)
    kept = {
        name: value for name, value in frame.header.items() if name not in ("session", "round", "digest", "signature")
    }
    return forge(world, kind or frame.kind, {**kept, **header}, bytes(frame.payload) if payload is None else payload)


def flags(n, absent=()):
    bits = np.ones(n, bool)
    bits[list(absent)] = False
    return bitmap(bits)


def refuses(client, message, match, party="server"):
    """The client aborts, tells why, and has nothing left to tell."""
    with pytest.raises(ProtocolAbort, match=match) as caught:
        client.step(message)
    assert caught.value.party == party
    assert client.phase == "over"
    assert client._part is None


def sparse(malicious=False):
    return secagg.plan(24, 0.05, 0.13, malicious, complete=False, security=5, correctness=3)


# ----------------------------------------------------------------------------------------------------- one answer


def test_one_request_and_one_answer(make):
    world = make(6)
    _, clients, out = world.to("unmask", drop=[("c005", "unmask")])
    client, first = clients["c005"], out["c005"]
    assert client.phase == "masked"
    (answer,) = client.step(first)
    assert client.step(first) == []  # it came twice
    other = edited(world, first, flags(6, absent=[0]))
    refuses(client, other, "two different messages of one kind")
    with pytest.raises(ProtocolAbort, match="already started round 0"):
        client.start(0, [0] * 5)
    assert decode(answer).kind is Kind.SECAGG_REVEAL


def test_never_both_kinds_of_share_for_one_peer(make):
    """For every request that a client answers: of each peer the share of one secret, the one that the set says."""
    plan = secagg.plan(5, corrupt=0.2, dropout=0.4)
    for absent in ([], [0], [4], [0, 4], [2, 3]):
        world = make(plan, min_clients=2)
        server, clients, out = world.to("unmask", drop=[("c001", "unmask")])
        client = clients[ME]
        roster, peers = server._now.dealt.roster, {i: clients[name] for i, name in enumerate(world.names)}
        opened = {
            place: client._part.peer.open(roster, place, box.data)[:2]
            for place, box in zip(client._part.senders.tolist(), client._part.boxes, strict=True)
        }
        (answer,) = client.step(edited(world, out[ME], flags(5, absent)))
        plain = open_box(server._round.pairs[1], decode(answer).payload, b"reveal")
        rows = [plain[at : at + 44] for at in range(0, len(plain), 44)]
        told = {int.from_bytes(row[:4], "little"): row[4:] for row in rows}
        assert len(told) == len(rows) == 5
        for place in range(5):
            if place != 1:
                key_share, seed_share = opened[place]
                assert key_share != seed_share
                assert told[place] == (key_share if place in absent else seed_share)
        assert peers[1] is client


@pytest.mark.parametrize(
    ("payload", "match"),
    [
        (flags(6, absent=[1]), "leaves this client out"),
        (flags(6) + b"\0", "followed by other bytes"),
        (b"", "takes 1 bytes for 6 clients, not 0"),
        (b"\x7f", "names clients that did not advertise"),
    ],
)
def test_requests_that_are_refused(make, payload, match):
    world = make(6)
    _, clients, out = world.to("unmask", drop=[(ME, "unmask")])
    refuses(clients[ME], edited(world, out[ME], payload), match)


def test_a_request_for_too_few(make):
    world = make(6)
    _, clients, out = world.to("unmask", drop=[(ME, "unmask")])
    message = edited(world, out[ME], flags(6, absent=[0, 2, 3]))
    refuses(clients[ME], message, "sum is of 3 clients, 3 of them .* at least 6 and 6", party=None)
    world = make(6, min_clients=3)
    _, clients, out = world.to("unmask", drop=[(ME, "unmask")])
    message = edited(world, out[ME], flags(6, absent=[0, 2]))
    refuses(clients[ME], message, "sum is of 4 clients, 4 of them .* at least 3 and 6", party=None)


def test_a_request_for_one_who_shared_nothing(make):
    world = make(secagg.plan(6, dropout=0.34))
    _, clients, out = world.to("unmask", drop=[("c000", "shares"), (ME, "unmask")])
    refuses(clients[ME], edited(world, out[ME], flags(6)), "holds one that shared no keys")


# ----------------------------------------------------------------------------------------------------- the keys


def roster_rows(message):
    payload = bytes(decode(message).payload)
    return [payload[at : at + 100] for at in range(0, len(payload), 100)]


def swapped(rows, i, at, data):
    return [row if j != i else row[:at] + data + row[at + len(data) :] for j, row in enumerate(rows)]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda r: r[:1] + r[2:], "does not hold the keys that this client advertised"),
        (lambda r: swapped(r, 1, 4, bytes(32)), "does not hold the keys that this client"),
        (lambda r: swapped(r, 1, 99, bytes([r[1][99] ^ 1])), "does not hold the keys that this client"),
        (lambda r: [r[1], r[0], *r[2:]], "in their order"),
        (lambda r: [r[0], *r], "in their order"),
        (lambda r: swapped(r, 5, 0, (77).to_bytes(4, "little")), "in their order"),
        (lambda r: swapped(r, 0, 4, r[2][4:36]), "repeats a key"),
        (lambda r: swapped(r, 0, 36, r[2][36:68]), "repeats a key"),
        (lambda r: swapped(r, 0, 4, r[1][36:68]), "repeats a key"),
        (lambda r: [*r, b"x"], "not a multiple of 100"),
        (lambda r: [], "in their order"),
    ],
)
def test_rosters_that_are_refused(make, change, match):
    world = make(secagg.plan(6, dropout=0.34))
    _, clients, out = world.to("shares", drop=[(ME, "shares")])
    message = edited(world, out[ME], b"".join(change(roster_rows(out[ME]))))
    refuses(clients[ME], message, match)


def test_a_roster_of_too_few(make):
    world = make(6)
    _, clients, out = world.to("shares", drop=[(ME, "shares")])
    message = edited(world, out[ME], b"".join(roster_rows(out[ME])[:2]))
    refuses(clients[ME], message, "2 clients advertised keys, too few for the session's plan", party=None)


def test_a_key_of_low_order_names_its_owner(make):
    world = make(6)
    _, clients, out = world.to("shares", drop=[(ME, "shares")])
    message = edited(world, out[ME], b"".join(swapped(roster_rows(out[ME]), 3, 4, bytes(32))))
    refuses(clients[ME], message, "low order", party="c003")
    world = make(6)
    _, clients, out = world.to("shares", drop=[(ME, "shares")])
    refuses(clients[ME], edited(world, out[ME], key=bytes(32)), "low order")


def test_a_second_roster_is_refused(make):
    world = make(secagg.plan(6, dropout=0.34))
    _, clients, _ = world.to("masked", drop=[(ME, "masked")])
    rows = roster_rows(clients[ME]._part.frames[Kind.SECAGG_ROSTER])
    other = forge(world, Kind.SECAGG_ROSTER, {"key": b"\x09" + bytes(31)}, b"".join(rows[:5]))
    refuses(clients[ME], other, "two different")


def test_malicious_mode_checks_who_signed_the_keys(make):
    world = make(secagg.plan(6, malicious=True))
    server, clients, out = world.to("shares", drop=[(ME, "shares")])
    payload = bytearray(decode(out[ME]).payload)
    size = len(payload) // 6
    fresh = np.frombuffer(os.urandom(32), np.uint8).tobytes()
    payload[3 * size + 36 : 3 * size + 68] = fresh  # the server puts its own key in c003's place
    refuses(clients[ME], edited(world, out[ME], bytes(payload)), "keys that 'c003' did not sign")
    assert server.phase == "shares"


# ----------------------------------------------------------------------------------------------------- the shares


@pytest.mark.parametrize("plan", [secagg.plan(6), sparse()], ids=["complete", "sparse"])
def test_deliveries_that_are_refused(make, plan):
    def fresh():
        world = make(plan)
        _, clients, out = world.to("masked", drop=[(ME, "masked")])
        payload = bytes(decode(out[ME]).payload)
        head, size = (plan.clients + 7) // 8, 4 + box_bytes(plan)
        rows = [payload[at : at + size] for at in range(head, len(payload), size)]
        return world, clients[ME], out[ME], payload[:head], rows

    def case(change, match):
        world, client, message, head, rows = fresh()
        refuses(client, edited(world, message, change(head, rows)), match)

    join = b"".join
    me = (1).to_bytes(4, "little")
    case(lambda h, r: h + join(r[:-1]), "not those that the graph gives")
    case(lambda h, r: h + join(r[1:]), "not those that the graph gives")
    case(lambda h, r: h + join([r[1], r[0], *r[2:]]), "in their order")
    case(lambda h, r: h + join([r[0], *r]), "in their order")
    case(lambda h, r: h + join(r)[:-1], "not a whole number of records")
    case(lambda h, r: h + join(sorted([*r, me + r[0][4:]], key=place_of)), "from itself")
    case(lambda h, r: flags(plan.clients, [1]) + join(r), "leaves this client out")
    case(lambda h, r: flags(plan.clients, [place_of(r[0])]) + join(r), "not those of clients in the set")
    case(lambda h, r: h[:-1], "takes")


@pytest.mark.parametrize("malicious", [False, True])
def test_too_few_holders_left(make, malicious):
    """It may be nobody's fault, so nobody is named."""
    plan = sparse(malicious)
    world = make(plan)
    _, clients, out = world.to("masked", drop=[(ME, "masked")])
    payload = bytes(decode(out[ME]).payload)
    head, size = (plan.clients + 7) // 8, 4 + box_bytes(plan)
    absent = set(clients[ME]._part._chosen[: plan.neighbours - plan.threshold + 1].tolist())
    rows = [payload[at : at + size] for at in range(head, len(payload), size)]
    kept = b"".join(row for row in rows if place_of(row) not in absent)
    message = edited(world, out[ME], flags(plan.clients, absent) + kept)
    left = f"{plan.threshold - 1} of this client's holders and {plan.clients - len(absent)} clients are left"
    refuses(clients[ME], message, left, party=None)


def place_of(row):
    return int.from_bytes(row[:4], "little")


def test_a_delivery_for_another(make):
    world = make(6)
    _, clients, out = world.to("masked", drop=[(ME, "masked")])
    with pytest.raises(FrameError, match="for another client"):
        clients[ME].step(out["c002"])
    assert clients[ME].phase == "shared"
    assert len(clients[ME].step(out[ME])) == 1


def test_one_masked_vector(make):
    """A second delivery, with fewer clients, would give a second mask of the same values."""
    world = make(secagg.plan(6, dropout=0.34))
    _, clients, out = world.to("unmask", drop=[(ME, "unmask")])
    message = clients[ME]._part.frames[Kind.SECAGG_DELIVERY]
    assert clients[ME].step(message) == []
    refuses(clients[ME], edited(world, message, flags(6, [5]) + bytes(decode(message).payload[1:])), "two different")
    assert out[ME]


# ----------------------------------------------------------------------------------------------------- consent


def consenting(make, plan):
    world = make(plan)
    server, clients, out = world.to("unmask", drop=[(ME, "unmask")])
    return world, server, clients[ME], out[ME]


def test_the_consent_that_a_malicious_server_needs(make):
    plan = secagg.plan(6, corrupt=0.17, dropout=0.17, malicious=True)
    assert plan.quorum == 4
    head = 1

    def case(change, match):
        world, _, client, message = consenting(make, plan)
        payload = bytes(decode(message).payload)
        rows = [payload[at : at + 68] for at in range(head, len(payload), 68)]
        refuses(client, edited(world, message, change(payload[:head], rows)), match)

    join = b"".join
    case(lambda h, r: flags(6, [0]) + join(r), "another set of clients than this client consented to")
    case(lambda h, r: h + join(r[:3]), "3 clients signed the set, but 4 must")
    case(lambda h, r: h + join([*r[:3], r[0]]), "in their order")
    case(lambda h, r: h + join([*r[:3], r[3][:20] + bytes([r[3][20] ^ 1]) + r[3][21:]]), "did not sign this set")
    case(lambda h, r: h + join([*r[:3], (5).to_bytes(4, "little") + r[3][4:]]), "'c005' did not sign")
    case(lambda h, r: h + join(r)[:-1], "not a whole number of records")
    case(lambda h, r: h, "0 clients signed")
    _, _, client, message = consenting(make, plan)
    assert len(client.step(message)) == 1


def test_a_client_consents_once(make):
    world = make(secagg.plan(6, corrupt=0.17, dropout=0.17, malicious=True))
    _, clients, out = world.to("consent", drop=[(ME, "consent")])
    client = clients[ME]
    (first,) = client.step(out[ME])
    assert client.step(out[ME]) == []
    assert decode(first).kind is Kind.SECAGG_CONSENT
    refuses(client, edited(world, out[ME], flags(6, [0])), "two different messages")


def test_two_views_do_not_both_find_a_quorum(make):
    """The server shows all to some and all but c000 to others: no request that it can make is answered."""
    plan = secagg.plan(6, corrupt=0.17, dropout=0.17, malicious=True)
    world = make(plan)
    server, clients, out = world.to("consent", drop=[(name, "consent") for name in world.names])
    whole, part = out[ME], edited(world, out[ME], flags(6, [0]))
    signatures = {}
    for i, name in enumerate(world.names[1:], 1):
        (answer,) = clients[name].step(whole if i <= 3 else part)
        signatures[i] = i.to_bytes(4, "little") + decode(answer).header["signature"]
    for i, name in enumerate(world.names[1:], 1):
        own = range(1, 4) if i <= 3 else range(4, 6)
        for chosen in (own, range(1, 6)):
            payload = (flags(6) if i <= 3 else flags(6, [0])) + b"".join(signatures[j] for j in chosen)
            message = forge(world, Kind.SECAGG_REQUEST, {}, payload)
            if clients[name].phase == "consented":
                refuses(clients[name], message, "did not sign|clients signed the set")
    assert server.phase == "consent"


def test_semi_honest_clients_do_not_consent(make):
    world = make(6)
    _, clients, out = world.to("unmask", drop=[(ME, "unmask")])
    with pytest.raises(FrameError, match="SECAGG_VIEW does not follow on 'masked'"):
        clients[ME].step(edited(world, out[ME], kind=Kind.SECAGG_VIEW))
    assert clients[ME].step(out[ME])


def test_nobody_in_the_sum_is_left_alone(make):
    """A malicious server calls all the neighbours of one client dropped: its holders do not help to unmask it."""
    plan = sparse(malicious=True)
    n = plan.clients
    for seed in range(20):
        world = make(plan, min_clients=plan.quorum)
        server, clients, _ = world.to("consent", drop=[(name, "consent") for name in world.names])
        target = seed
        chosen = server._now.dealt.holders[target]
        absent = chosen[: plan.neighbours - plan.threshold + 1]  # one more than may be missing
        survivors = np.ones(n, bool)
        survivors[absent] = False
        view = forge(world, Kind.SECAGG_VIEW, {}, bitmap(survivors))
        signatures, ready = {}, []
        for place, name in enumerate(world.names):
            if survivors[place] and place != target:
                try:
                    (answer,) = clients[name].step(view)
                except ProtocolAbort:
                    continue  # it would be left alone itself
                signatures[place] = place.to_bytes(4, "little") + decode(answer).header["signature"]
                ready.append(name)
        if len(ready) < plan.quorum:
            continue
        with pytest.raises(ProtocolAbort, match="of them this client's holders"):
            clients[world.names[target]].step(view)
        request = forge(world, Kind.SECAGG_REQUEST, {}, bitmap(survivors) + b"".join(signatures.values()))
        holders = [name for name in ready if world.names.index(name) in chosen]
        for name in holders:
            with pytest.raises(ProtocolAbort, match=f"leaves '{world.names[target]}' too few of the neighbours"):
                clients[name].step(request)
        if holders:
            return
    pytest.fail("no schedule got as far as a request")


# ----------------------------------------------------------------------------------------------------- bytes


@pytest.mark.parametrize("phase", ["shares", "masked", "unmask"])
def test_every_flipped_bit_of_the_servers_messages(make, phase):
    world = make(4)
    _, clients, out = world.to(phase, drop=[(ME, phase)])
    client, message = clients[ME], out[ME]
    before = client.phase
    step = 1 if len(message) < 400 else 3
    for at in range(0, 8 * len(message), step):
        changed = bytearray(message)
        changed[at // 8] ^= 1 << at % 8
        with pytest.raises(FrameError):
            client.step(bytes(changed))
    for end in range(0, len(message), step):
        with pytest.raises(FrameError):
            client.step(message[:end])
    assert client.phase == before
    assert len(client.step(message)) == 1


def test_foreign_early_and_late_messages_change_nothing(make):
    world = make(6)
    server, clients, delivery = world.to("masked", drop=[(ME, "masked")])
    client = clients[ME]
    request = forge(world, Kind.SECAGG_REQUEST, {}, flags(6))
    with pytest.raises(FrameError, match="does not follow on 'shared': deliver it later"):
        client.step(request)
    for other in (edited(make(6), delivery[ME]), edited(make(6, session_id=bytes(16)), delivery[ME])):
        with pytest.raises(FrameError, match="another configuration"):
            client.step(other)
    payload = bytes(decode(delivery[ME]).payload)
    with pytest.raises(FrameError, match="for round 1, not 0"):
        client.step(forge(world, Kind.SECAGG_DELIVERY, {"to": 1}, payload, round=1))
    with pytest.raises(FrameError, match="signature is not the sender's"):
        client.step(forge(world, Kind.SECAGG_DELIVERY, {"to": 1}, payload, key=world.keys["c002"]))
    with pytest.raises(FrameError, match="not for a client"):
        client.step(client.session.to_bytes())
    with pytest.raises(FrameError, match="unknown field"):
        client.step(edited(world, delivery[ME], more=1))
    with pytest.raises(TypeError):
        client.step("text")
    assert len(client.step(delivery[ME])) == 1
    assert server.phase == "masked"


def test_ctrl_c_while_masking(make, monkeypatch):
    """That the vector was about to leave is noted already: the client drops out, and goes on with the next round."""
    world = make(6)
    _, clients, out = world.to("masked", drop=[(ME, "masked")])
    client = clients[ME]

    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("bluetusk.federated.secagg._peer.apply", interrupted)
    with pytest.raises(KeyboardInterrupt):
        client.step(out[ME])
    assert client.phase == "over"
    with pytest.raises(ProtocolAbort, match="the round is over for this client"):
        client.step(out[ME])
    assert client.start(1, [0] * 5)


@given(st.binary(max_size=300))
@settings(max_examples=200)
def test_any_bytes(make, data):
    client = make(3, session_id=bytes(16)).client("c000")
    client.start(0, [0] * 5)
    for message in (data, encode(Kind.SECAGG_ROSTER, {"x": 1}, data)):
        with pytest.raises(FrameError):
            client.step(message)
    assert client.phase == "advertised"


# ----------------------------------------------------------------------------------------------------- journal, state

KEY = bytes(range(32))


def reopen(world, state):
    return secagg.Client.from_bytes(state, world.session, world.keys[ME], KEY, journal=world.folder / f"journal-{ME}")


@pytest.mark.parametrize("malicious", [False, True])
@pytest.mark.parametrize("complete", [False, True])
def test_kill_and_resume_in_every_phase(make, tmp_path, malicious, complete):
    plan = secagg.plan(6, malicious=malicious) if complete else sparse(malicious)
    world = make(plan, folder=tmp_path)
    values, weights = world.inputs(9)
    server, clients = world.server(), world.clients()
    for name, client in clients.items():
        assert server.step(client.start(0, values[name], weights[name])[0])
    while not server.last:
        for name, message in server.advance().items():
            if name == ME:
                state = clients[ME].to_bytes(KEY)
                clients[ME].close()
                clients[ME] = reopen(world, state)
                assert clients[ME].to_bytes(KEY)[:40] == state[:40]
            for answer in clients[name].step(message):
                assert server.step(answer)
    result = server.finish()
    assert (result.integers.tolist(), result.weight) == world.expected(values, weights, tuple(world.names))


def test_a_restored_state_cannot_answer_twice(make, tmp_path):
    """The state from before each step that may be done once, restored after it: the journal refuses."""
    world = make(secagg.plan(6, malicious=True), folder=tmp_path)
    server, clients = world.server(), world.clients()
    idle = clients[ME].to_bytes(KEY)
    for other in clients.values():
        assert server.step(other.start(0, [1] * 5)[0])
    after = clients[ME].to_bytes(KEY)
    clients[ME].close()
    with reopen(world, idle) as old, pytest.raises(ProtocolAbort, match="already started the round: two sets of keys"):
        old.start(0, [2] * 5)
    clients[ME] = reopen(world, after)
    matches = {"masked": "already sent its masked vector", "consent": "already consented", "unmask": "already answered"}
    while not server.last:
        for name, message in server.advance().items():
            before = clients[name].to_bytes(KEY)
            for answer in clients[name].step(message):
                assert server.step(answer)
            if name == ME and server.phase in matches:
                after = clients[ME].to_bytes(KEY)
                clients[ME].close()
                with reopen(world, before) as old, pytest.raises(ProtocolAbort, match=matches[server.phase]):
                    old.step(message)
                clients[ME] = reopen(world, after)
    assert server.finish().integers.tolist() == [6] * 5


def test_answered_is_on_disk_before_the_answer_leaves(make, tmp_path, monkeypatch):
    world = make(4, folder=tmp_path)
    _, clients, out = world.to("unmask", drop=[(ME, "unmask")])
    synced = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(Path(f"journal-{ME}")), real(fd))[1])
    (answer,) = clients[ME].step(out[ME])
    assert synced
    assert answer
    text = (tmp_path / f"journal-{ME}").read_text()
    assert b"answer".hex() in text.splitlines()[-1]
    assert len(text.splitlines()) == 3  # start, mask, answer


def test_full_disk_no_answer(make, tmp_path):
    world = make(4, folder=tmp_path)
    _, clients, out = world.to("unmask", drop=[(ME, "unmask")])
    size = (tmp_path / f"journal-{ME}").stat().st_size
    old, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, old[1]))
    try:
        with pytest.raises(ProtocolAbort, match=r"cannot note the answer in .* so it is not sent"):
            clients[ME].step(out[ME])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
    assert clients[ME].phase == "over"
    assert (tmp_path / f"journal-{ME}").stat().st_size == size


def test_journals_of_two_clients_sessions_and_processes(make, tmp_path):
    world = make(4, folder=tmp_path)
    client = world.client(ME)
    with pytest.raises(ProtocolAbort, match="in use by another client"):
        world.client(ME)
    client.close()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / f"journal-{ME}")
    with pytest.raises(OSError, match="Too many levels"):
        secagg.Client(world.session, ME, world.keys[ME], journal=link)
    with pytest.raises(FileNotFoundError):
        secagg.Client(world.session, ME, world.keys[ME], journal=tmp_path / "none" / "journal")


def test_a_fork_may_not_answer(make, tmp_path):
    for folder in (None, tmp_path):
        world = make(4, folder=folder)
        _, clients, out = world.to("unmask", drop=[(ME, "unmask")])
        pid = os.fork()
        if pid == 0:
            try:
                clients[ME].step(out[ME])
            except ProtocolAbort as err:
                os._exit(0 if "fork may not answer" in str(err) else 2)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert clients[ME].step(out[ME])


def test_states_that_are_refused(make, tmp_path):
    world = make(4, folder=tmp_path)
    with world.client(ME) as client:
        client.start(0, [1] * 5)
        state = client.to_bytes(KEY)
        secrets = client._part.peer.seed, client._part.peer.mask_secret, client._part.peer.share_secret
    assert not any(secret in state for secret in secrets)
    with pytest.raises(FrameError, match="another key, or damaged"):
        secagg.Client.from_bytes(state, world.session, world.keys[ME], bytes(32), journal=tmp_path / "j")
    with pytest.raises(FrameError, match="another session"):
        secagg.Client.from_bytes(state, make(4).session, world.keys[ME], KEY, journal=tmp_path / "j")
    with pytest.raises(ValueError, match="signing_key does not belong"):
        secagg.Client.from_bytes(state, world.session, world.keys["c000"], KEY, journal=tmp_path / "j")
    with pytest.raises(ValueError, match="key must be 32 bytes"):
        secagg.Client.from_bytes(state, world.session, world.keys[ME], b"short", journal=tmp_path / "j")
    for at in range(0, 8 * len(state), 7):
        changed = bytearray(state)
        changed[at // 8] ^= 1 << at % 8
        with pytest.raises(FrameError):
            secagg.Client.from_bytes(bytes(changed), world.session, world.keys[ME], KEY, journal=tmp_path / "j")
    with pytest.raises(ValueError, match="journal is missing"):
        make(4).client(ME).to_bytes(KEY)


def test_nothing_secret_is_shown_or_copied(make):
    import copy
    import pickle

    client = make(4).client(ME)
    client.start(0, [1] * 5)
    for copier in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="two copies could answer twice"):
            copier(client)
    assert client._part.peer.seed.hex() not in repr(client)


@pytest.mark.parametrize(
    ("name", "key", "error", "match"),
    [
        ("nobody", b"\1" * 32, ValueError, "'nobody' is not a client"),
        (ME, b"\1" * 31, ValueError, "has 32 bytes, not 31"),
        (ME, b"\1" * 32, ValueError, "does not belong to the public key agreed"),
        (ME, "text", TypeError, "must be bytes or an Ed25519PrivateKey"),
    ],
)
def test_wrong_names_and_keys(make, name, key, error, match):
    with pytest.raises(error, match=match):
        secagg.Client(make(4).session, name, key)
