"""Two real processes over gRPC with mutual TLS: killed and resumed, strangers refused, typed errors."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time

import pytest

import bluetusk as bt
from bluetusk.evidence import fingerprint_groups
from bluetusk.vertical import local_links
from bluetusk.vertical.party import Identity, Party, make_certificate
from bluetusk.vertical.party import session as _session
from bluetusk.vertical.party.session import Session
from bluetusk.vertical.party.vault import Vault
from bluetusk.vertical.protocol.job import drive
from bluetusk.wire.frame import Kind, decode

pytest.importorskip("grpc", reason="parties talk over grpcio, which is not installed")

PROGRAM = """
import hashlib, json, os, struct, sys, time
from bluetusk.vertical.protocol.job import drive
from bluetusk.vertical.party import Identity, Party

role, d, address, steps, size = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
peer = "host" if role == "guest" else "guest"


class Job:
    name, inputs = "job", b""

    def __init__(self):
        self.total, self.taken, self.steps = 0, 0, steps

    def step(self, links, index):
        (link,) = links
        mask = int.from_bytes(os.urandom(4), "little")
        link.send("masked", {"v": index * index + mask}, [os.urandom(size)])
        v = link.receive("masked", ["v"]).fields["v"]
        time.sleep(0.005)
        link.send("mask", {"m": mask})
        self.total += v - link.receive("mask", ["m"]).fields["m"]
        self.taken += 1

    def state(self):
        return struct.pack("<qq", self.total, self.taken)

    def restore(self, state):
        self.total, self.taken = struct.unpack("<qq", state)


def program(link, keeper):
    job = Job()
    drive(job, [link], keeper=keeper)
    return job


identity = Identity.load(f"{d}/{role}.cert.pem", f"{d}/{role}.key.pem", f"{d}/{peer}.cert.pem")
way = {"listen": address} if role == "host" else {"connect": address}
with Party(role, job="test", identity=identity, state=f"{d}/{role}-state", patience=60, **way) as party:
    job = party.run(program)
print(json.dumps({"total": job.total, "taken": job.taken, **party.recovery()}))
"""


@pytest.fixture
def folder(tmp_path):
    for name in ("guest", "host", "stranger"):
        make_certificate(name, tmp_path)
    return tmp_path


def identity(folder, me, peer):
    return Identity.load(folder / f"{me}.cert.pem", folder / f"{me}.key.pem", folder / f"{peer}.cert.pem")


def free_address():
    import socket

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{s.getsockname()[1]}"


def start(role, folder, address, steps, size):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, role, str(folder), address, str(steps), str(size)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("kills", [0, int(os.environ.get("BLUETUSK_KILLS", "6"))])
def test_processes_killed_and_resumed(folder, kills):
    steps, address = 30 + 10 * kills, free_address()
    parties = {role: start(role, folder, address, steps, 1000) for role in ("guest", "host")}
    for k in range(kills):
        time.sleep(0.9 + 0.37 * (k % 5))
        role = ("guest", "host")[k % 2]
        if parties[role].poll() is None:
            parties[role].send_signal(signal.SIGKILL)
            parties[role].communicate()
            parties[role] = start(role, folder, address, steps, 1000)
    for role, process in parties.items():
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, (role, err)
        result = json.loads(out)
        assert result["total"] == sum(i * i for i in range(steps))
        assert result["taken"] == steps


def two(folder, **more):
    host = Party("host", job="t", identity=identity(folder, "host", "guest"), state=folder / "h", listen="127.0.0.1:0")
    guest = Party(
        "guest", job="t", identity=identity(folder, "guest", "host"), state=folder / "g", connect=host.address, **more
    )
    return guest, host


def test_arrays_larger_than_a_message(folder):
    guest, host = two(folder)
    big = os.urandom(11 * (1 << 20) + 7)
    got = []
    thread = threading.Thread(target=host.run, args=(lambda link, _: got.append(link.receive("big", parts=1)),))
    thread.start()
    with guest:
        guest.run(lambda link, _: link.send("big", {}, [big]))
        thread.join(30)
    host.close()
    assert bytes(got[0].parts[0]) == big


def test_a_party_that_was_done_needs_nobody(folder, monkeypatch):
    """Killed while it wrote its results, when the peer had left for good."""
    monkeypatch.setattr(_session, "_ALONE", 0.2)

    class Greeting:
        name, inputs, steps = "greeting", b"", 1

        def step(self, links, index):
            links[0].send("hello", {"from": links[0].me})
            self.heard = links[0].receive("hello", ["from"]).fields["from"].encode()

        def state(self):
            return self.heard if hasattr(self, "heard") else b""

        def restore(self, state):
            self.heard = state

    def program(link, keeper):
        job = Greeting()
        drive(job, [link], keeper=keeper)
        return job.heard

    guest, host = two(folder)
    thread = threading.Thread(target=host.run, args=(program,))
    thread.start()
    with host, guest:
        assert guest.run(program) == b"host"
        thread.join(20)
    who, way = identity(folder, "guest", "host"), {"connect": free_address()}
    with Party("guest", job="t", identity=who, state=folder / "g", **way) as again:
        assert again.run(program) == b"host"


def test_stranger_is_refused(folder):
    """A guest with a certificate that the host does not know, and a host that is not the one that the guest knows."""
    host = Party("host", job="t", identity=identity(folder, "host", "guest"), state=folder / "h", listen="127.0.0.1:0")
    with host:
        for k, (me, peer) in enumerate([("stranger", "host"), ("guest", "stranger")]):
            who = identity(folder, me, peer)
            with (
                Party("guest", job="t", identity=who, state=folder / f"g{k}", connect=host.address) as guest,
                pytest.raises(bt.ProtocolAbort, match="certificates do not fit"),
            ):
                guest.run(lambda link, _: link.receive("anything"))
        assert host.recovery()["steps"] == 0
        assert host._session.failure is None  # a stranger at the door ends nothing


def test_silent_peer_ends_the_run(folder):
    who = identity(folder, "guest", "host")
    with (
        Party("guest", job="t", identity=who, state=folder / "g", connect=free_address(), patience=0.5) as guest,
        pytest.raises(bt.ProtocolAbort, match="no sign of life"),
    ):
        guest.run(lambda link, _: link.receive("anything"))


@pytest.mark.parametrize(
    ("error", "told"),
    [(bt.InvalidCiphertext("row 17 of Alice"), "InvalidCiphertext"), (SystemExit("Alice"), "an error on its side")],
)
def test_an_error_reaches_the_peer_without_its_text(folder, error, told):
    guest, host = two(folder)
    caught = []

    def fails(link, keeper):
        raise error

    def waits(link, keeper):
        link.receive("anything")

    def serve():
        try:
            host.run(waits)
        except bt.ProtocolAbort as err:
            caught.append(err)

    thread = threading.Thread(target=serve)
    thread.start()
    with guest, pytest.raises(type(error)):
        guest.run(fails)
    thread.join(20)
    host.close()
    assert told in str(caught[0])
    assert "Alice" not in str(caught[0])


def test_another_job_is_refused(folder):
    host = Party("host", job="t", identity=identity(folder, "host", "guest"), state=folder / "h", listen="127.0.0.1:0")
    guest = Party(
        "guest", job="u", identity=identity(folder, "guest", "host"), state=folder / "g", connect=host.address
    )
    with host, guest, pytest.raises(bt.ProtocolAbort, match="another job"):
        guest.run(lambda link, _: link.receive("anything"))


@pytest.mark.parametrize("way", ["another job", "another state directory"])
def test_an_intruder_of_the_peer_does_not_end_a_run(folder, caplog, way):
    """The run that is under way goes on; the intruder learns why it may not take part, and ends."""
    guest, host = two(folder)
    inside, on = threading.Event(), threading.Event()

    def ask(link, keeper):
        link.send("question", {"n": 1})
        inside.set()
        assert on.wait(30)
        link.send("question", {"n": 2})
        return link.receive("answer", ["n"]).fields["n"]

    def answer(link, keeper):
        ns = [link.receive("question", ["n"]).fields["n"] for _ in range(2)]
        link.send("answer", {"n": sum(ns)})
        return ns

    results = {}
    threads = [
        threading.Thread(target=lambda: results.update(guest=guest.run(ask))),
        threading.Thread(target=lambda: results.update(host=host.run(answer))),
    ]
    for thread in threads:
        thread.start()
    assert inside.wait(20)
    connected = guest._session._connection
    who = identity(folder, "guest", "host")
    job = "another" if way == "another job" else "t"
    with (
        Party("guest", job=job, identity=who, state=folder / "intruder", connect=host.address) as intruder,
        pytest.raises(bt.ProtocolAbort) as caught,
    ):
        intruder.run(lambda link, _: link.receive("anything"))
    if way == "another job":
        assert caught.value.kind == "settings"
        assert str(caught.value).startswith("'host' runs another job, 't', not 'another': give both the same")
        assert "has the peer's certificate, but is of another job, 'another'; this run goes on" in caplog.text
    else:
        assert "older than before by the word of 'host'" in str(caught.value)
        assert "has the peer's certificate, but is of another state directory; this run goes on" in caplog.text
    on.set()
    for thread in threads:
        thread.join(30)
    assert results == {"guest": 3, "host": [1, 2]}
    assert guest._session._connection is connected  # it was not even interrupted
    guest.close(), host.close()


def test_an_unproven_connection_is_said_at_the_listener(folder, monkeypatch):
    """TLS refuses it before this program sees it, but not before gRPC requests the certificates to show."""
    monkeypatch.setattr(_session, "_QUIET", 0.2)
    way = {"listen": "127.0.0.1:0", "patience": 4.0}
    host = Party("host", job="t", identity=identity(folder, "host", "guest"), state=folder / "h", **way)
    with host:
        assert "nobody has with the certificate of fingerprint" in host._session.missing()
        with (
            Party(
                "guest",
                job="t",
                identity=identity(folder, "stranger", "host"),
                state=folder / "g",
                connect=host.address,
            ) as guest,
            pytest.raises(bt.ProtocolAbort, match="certificates do not fit"),
        ):
            guest.run(lambda link, _: link.receive("anything"))
        with pytest.raises(bt.ProtocolAbort) as caught:
            host.run(lambda link, _: link.receive("anything"))
    assert caught.value.kind == "absent"
    mine, theirs = (fingerprint_groups((folder / f"{name}.cert.pem").read_bytes()) for name in ("host", "guest"))
    assert (
        "somebody has, but not with a certificate that fits: the peer presents another one than that of fingerprint "
        f"{theirs}, or does not accept this party's, of fingerprint {mine}; or it was a stranger"
    ) in str(caught.value)


# --------------------------------------------------------------------------------------------------- certificates


def test_certificates(folder):
    assert stat.S_IMODE((folder / "guest.key.pem").stat().st_mode) == 0o600
    with pytest.raises(FileExistsError, match="never overwritten"):
        make_certificate("guest", folder)
    with pytest.raises(ValueError, match="letters"):
        make_certificate("a/b", folder)
    with pytest.raises(bt.InvalidKey, match="is not the key of"):
        Identity.load(folder / "guest.cert.pem", folder / "host.key.pem", folder / "host.cert.pem")
    with pytest.raises(bt.InvalidKey, match="not a PEM certificate"):
        Identity.load(folder / "guest.key.pem", folder / "guest.key.pem", folder / "host.cert.pem")
    one, other = ((folder / f"{name}.cert.pem").read_bytes() for name in ("guest", "host"))
    assert bt.evidence.fingerprint(one) != bt.evidence.fingerprint(other)
    (folder / "both.pem").write_bytes(other + one)  # a second root that the dialler would accept
    with pytest.raises(bt.InvalidKey, match="holds 2 certificates"):
        Identity.load(folder / "guest.cert.pem", folder / "guest.key.pem", folder / "both.pem")
    (folder / "both.pem").write_bytes(other + one.replace(b"CERTIFICATE", b"TRUSTED CERTIFICATE"))  # TLS reads that too
    loaded = Identity.load(folder / "guest.cert.pem", folder / "guest.key.pem", folder / "both.pem")
    assert loaded.peer_certificate == other
    assert repr(identity(folder, "guest", "host")) == "Identity(peer_name='host')"


def test_expired_certificate(folder, monkeypatch):
    from bluetusk.vertical.party import certs as _certs

    class Later(_certs.datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return super().now(tz) + _certs.datetime.timedelta(days=400)

    monkeypatch.setattr(_certs.datetime, "datetime", Later)
    with pytest.raises(bt.InvalidKey, match="not now"):
        identity(folder, "guest", "host")


# ------------------------------------------------------------------------------------------------------------ disk


def test_vault_is_encrypted_and_every_change_is_seen(tmp_path):
    vault = Vault(tmp_path / "v", bytes(32))
    vault.write("a", b"a secret")
    vault.append("log", b"one")
    vault.append("log", b"two")
    assert vault.records("log") == [b"one", b"two"]
    raw = (vault.path / "a").read_bytes()
    assert b"secret" not in raw
    for k in range(len(raw)):
        (vault.path / "a").write_bytes(raw[:k] + bytes([raw[k] ^ 1]) + raw[k + 1 :])
        with pytest.raises(bt.FrameError):
            vault.read("a")
    (vault.path / "b").write_bytes(raw)
    with pytest.raises(bt.FrameError, match="was changed"):
        vault.read("b")
    torn = (vault.path / "log").read_bytes()[:-1]
    (vault.path / "log").write_bytes(torn)
    assert vault.records("log") == [b"one"]
    assert vault.read("none") is None
    assert stat.S_IMODE(vault.path.stat().st_mode) == 0o700
    with pytest.raises(bt.ProtocolAbort, match="in use"):
        Vault(tmp_path / "v", bytes(32))
    vault.close()


def test_records_behind_a_torn_one_are_read(tmp_path):
    """A crash in the middle of a record, then more records, with and without a look at those before."""
    for look in (True, False):
        vault = Vault(tmp_path / str(look), bytes(32))
        vault.append("log", b"one")
        vault.append("log", b"two")
        vault.close()
        (vault.path / "log").write_bytes((vault.path / "log").read_bytes()[:-1])
        (vault.path / ".bluetusk-killed.tmp").write_bytes(b"half")
        vault = Vault(tmp_path / str(look), bytes(32))
        if look:
            assert vault.records("log") == [b"one"]
        vault.append("log", b"three")
        assert vault.records("log") == [b"one", b"three"]
        assert sorted(path.name for path in vault.path.iterdir()) == ["lock", "log"]
        vault.close()


def test_full_disk_loses_nothing(tmp_path):
    """A child whose files may not grow: a typed error, and what was kept before is still there."""
    program = f"""
import resource, signal
import bluetusk as bt
from bluetusk.vertical.party.vault import Vault
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
vault = Vault({str(tmp_path / "v")!r}, bytes(32))
vault.write("a", b"kept")
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
for write in (vault.write, vault.append):
    try:
        write("a" if write == vault.write else "log", bytes(5000))
    except bt.ProtocolAbort as err:
        assert "disk is full" in str(err), err
    else:
        raise SystemExit("no error")
assert vault.read("a") == b"kept"
assert vault.records("log") == []
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_state_of_another_job_is_refused(tmp_path):
    vault = Vault(tmp_path / "v", bytes(32))
    Session(vault, job="one", peer="host")
    with pytest.raises(bt.ProtocolAbort, match="another directory"):
        Session(vault, job="two", peer="host")
    vault.close()


def test_a_warning_that_ends_a_run_is_not_told_by_its_class(folder):
    """Under ``python -W error`` a warning about labels is raised: its class would be a statistic of them."""
    guest, host = two(folder)
    caught = []

    def fails(link, keeper):
        raise bt.DataWarning("2 events")

    def serve():
        try:
            host.run(lambda link, _: link.receive("anything"))
        except bt.ProtocolAbort as err:
            caught.append(str(err))

    thread = threading.Thread(target=serve)
    thread.start()
    with guest, pytest.raises(bt.DataWarning):
        guest.run(fails)
    thread.join(20)
    host.close()
    assert "an error on its side" in caught[0]
    assert "Warning" not in caught[0]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (bt.ProtocolAbort("x"), "ProtocolAbort"),
        (bt.EncodingOverflow("row 17"), "an error on its side"),
        (bt.DecryptionError(), "an error on its side"),
        (SystemExit(3), "an error on its side"),
    ],
)
def test_an_estimator_that_fails_tells_what_a_party_would(both, error, told):
    here, there = local_links()

    class Job:
        name, steps = "a job", 1

        def step(self, links, index):
            raise error

    def fails():
        drive(Job(), [here])

    with pytest.raises(type(error)):
        both(fails, lambda: there.receive("anything"), seconds=20)
    assert told in str(both.errors[1])
    assert ("Error" in str(both.errors[1]), "Overflow" in str(both.errors[1])) == (False, False)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (bt.FrameError("x"), "FrameError"),
        (bt.PolicyRefused("x", clause="until"), "PolicyRefused"),
        (bt.DecryptionError(), "an error on its side"),
        (bt.InvalidKey("x"), "an error on its side"),
        (OSError("x"), "an error on its side"),
    ],
)
def test_a_connection_that_fails_tells_no_other_kind(tmp_path, error, told):
    session = _session.Session(Vault(tmp_path / "state", bytes(32)), job="a job", peer="host")
    messages = session.connect().messages()
    assert decode(next(messages), Kind.PARTY).header["say"] == "hello"
    session.fail(error)
    assert decode(next(messages), Kind.PARTY).header == {"say": "abort", "kind": told}
