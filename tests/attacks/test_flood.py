"""A peer that sends what nobody asked for, to fill the memory or the disk of the other party.

The attacker has a valid certificate and speaks the protocol up to its first frame, or opens many connections and sends
on each. The victim is another process, whose memory is measured: what it holds may exceed the largest frame that it
expects by 64 MB at most.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

import bluetusk as bt
from bluetusk.vertical import local_links
from bluetusk.vertical.party import Identity, grpc, make_certificate, waiting
from bluetusk.vertical.party.grpc import Dialler
from bluetusk.vertical.party.session import Session
from bluetusk.vertical.party.transport import Memory
from bluetusk.vertical.party.vault import Vault
from bluetusk.vertical.protocol.link import Link
from bluetusk.wire.frame import FIXED, MAGIC, MAX_HEADER, Kind, encode

pytest.importorskip("grpc", reason="parties need grpcio, which is not installed")

MIB = 1 << 20
ALLOWED = 64  # MB over the largest expected frame
MOST = MIB  # what the victim expects

VICTIM = """
import json, sys
from bluetusk.vertical.party import Identity, Party, grpc, waiting
folder, planted, quota, most = sys.argv[1], sys.argv[2] == "planted", int(sys.argv[3]), int(sys.argv[4])
between = sys.argv[5] == "between"
if planted:
    waiting.MEMORY = waiting._FRAMES = 1 << 40
    grpc.CONNECTIONS = 1 << 20
identity = Identity.load(folder + "/network.cert.pem", folder + "/network.key.pem", folder + "/bank.cert.pem")

def resident(what):  # not by getrusage, whose peak is also that of the process which started this one
    return int(next(line for line in open("/proc/self/status") if line.startswith(what)).split()[1]) / 1e3

def program(link, keeper):
    if between:
        keeper.resume("a task before")
        keeper.commit("a task before", 1, b"")
        sys.stdin.readline()  # it reads a file
    keeper.resume("flood")
    link.scope("flood", 0)
    if not between:
        sys.stdin.readline()  # it computes
    message = link.receive("ready", parts=1, most=most)
    assert len(message.parts[0]) == most
    raise RuntimeError("taken")

said = {}
with Party("host", job="flood", identity=identity, state=folder + "/host", listen="127.0.0.1:0", patience=30,
           spool_quota=quota) as party:
    said["before"] = resident("VmRSS")
    print(party.address, flush=True)
    try:
        said["error"] = party.run(program, goodbye=1.0)
    except Exception as error:
        said["error"] = f"{type(error).__name__}: {error}"
said["peak"] = resident("VmHWM")
print(json.dumps(said), flush=True)
"""


class Flooder(Session):
    """A session that sends prepared frames as soon as both have said hello."""

    flood, raw, step, sent, taken = (), (), 0, 0, 0

    def connect(self):
        connection = super().connect()
        if self.raw:
            connection.messages = lambda: iter(self.raw)
        return connection

    def heard(self, connection, say, header, data):
        if say == "ack":
            self.taken = header["got"]
            return True
        return super().heard(connection, say, header, data)

    def due(self, connection, seconds):
        if self._ready and self.sent < len(self.flood):
            self.sent += 1
            about = {"say": "data", "step": self.step, "number": self.sent - 1, "attempt": self._rounds[0].attempt}
            return about, self.flood[self.sent - 1]
        return super().due(connection, seconds)


def attack(tmp_path, flood, *, planted=False, busy=True, quota=4096 * MIB, most=MOST, when="within"):
    """Send the frames while the victim computes, or while it waits; return its error and what it held in MB.

    `when` is "connect", "between" two tasks, or "within" a task; for the first `flood` holds messages of the session.
    """
    files = {name: make_certificate(name, tmp_path) for name in ("bank", "network")}
    identity = Identity.load(files["bank"][1], files["bank"][0], files["network"][1])
    how = [str(tmp_path), "planted" if planted else "package", str(quota), str(most), when]
    command = [sys.executable, "-c", VICTIM, *how]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as victim:
        address = victim.stdout.readline().strip()
        if not busy:
            victim.stdin.write("go\n")
            victim.stdin.flush()
            time.sleep(0.3)
        session = Flooder(Vault(tmp_path / "guest", bytes(32)), job="flood", peer="host", patience=20)
        session.raw, session.flood = (flood, ()) if when == "connect" else ((), flood)
        session.step = int(when == "between")
        dialler = Dialler(session, identity, address)
        try:
            until = time.monotonic() + 30
            while busy and time.monotonic() < until and session.failure is None:
                if session.taken == len(flood):
                    break
                time.sleep(0.02)
            if busy:
                victim.stdin.write("go\n")
                victim.stdin.flush()
            said = json.loads(victim.stdout.readline())
        finally:
            dialler.close()
            session._vault.close()
    return said["error"], said["peak"] - said["before"]


def small(n):
    """Return frames without arrays, as many as that."""
    about = {"task": "flood", "step": 0, "from": "guest", "fields": {}, "parts": [], "topic": "ready"}
    return [encode(Kind.VERTICAL, {**about, "seq": k}) for k in range(n)]


def message(topic, size, parts=1):
    about = {"task": "flood", "step": 0, "seq": 0, "from": "guest", "fields": {}, "topic": topic}
    return encode(Kind.VERTICAL, {**about, "parts": [size // parts] * parts}, bytes(size))


# small msgpack values in the largest header
BOMB = FIXED.pack(MAGIC, 1, int(Kind.VERTICAL), MAX_HEADER, 0) + b"\x81\xa1a\xdd" + (MAX_HEADER - 8).to_bytes(4, "big")
BOMB += bytes(MAX_HEADER + FIXED.size - len(BOMB))


def first_pieces(n):
    """Return the first MiB of so many frames of 40 MiB."""
    about = {"say": "data", "step": 0, "attempt": bytes(16), "offset": 0, "total": 40 * MIB}
    piece = bytes(MIB)
    return [encode(Kind.PARTY, {**about, "number": k}, piece) for k in range(n)]


QUOTA = 64 * MIB
BEATS = [encode(Kind.PARTY, {"say": "beat"})] * 100_000
HELLO = {"say": "hello", "version": 2, "job": "flood", "now": 0, "stand": [bytes(16), 0, bytes(16)], "known": []}
HELLO |= {"log": False, "held": b"", "heard": {}, "rounds": []}
VOID = [k.to_bytes(16, "big") for k in range(3000)]
# every phase: frames of the kind that is due but too large, of another kind, many small ones
PHASES = {
    ("connect", "too large"): (lambda: first_pieces(80), "sent 'data' before its hello"),
    ("connect", "another kind"): (lambda: [message("ready", MIB)] * 80, "sent something else than a message"),
    ("connect", "many"): (lambda: BEATS, "sent 'beat' before its hello"),
    ("connect", "many retakes"): (
        lambda: [encode(Kind.PARTY, {**HELLO, "heard": {"0": VOID}})],
        "has come back 32 times before step 0 was done",
    ),
    ("between", "too large"): (lambda: [message("ready", 40 * MIB)] * 3, "spool_quota"),
    ("between", "another kind"): (lambda: [message("gift", 40 * MIB)] * 3, "spool_quota"),
    ("between", "many"): (lambda: small(2000), "1025 frames would wait"),
    ("within", "too large"): (lambda: [message("ready", 40 * MIB)] * 3, "spool_quota"),
    ("within", "another kind"): (lambda: [message("gift", 40 * MIB)] * 3, "spool_quota"),
    ("within", "many"): (lambda: small(2000), "1025 frames would wait"),
}


QUICK = (("connect", "too large"),)  # over gRPC


CROWD = """
import sys, time
import grpc
from bluetusk.vertical.party import Identity
address, folder, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
me = Identity.load(folder + "/bank.cert.pem", folder + "/bank.key.pem", folder + "/network.cert.pem")
credentials = grpc.ssl_channel_credentials(me.peer_certificate, me.key, me.certificate)
options = [("grpc.ssl_target_name_override", me.peer_name), ("grpc.use_local_subchannel_pool", 1)]
channels = [grpc.secure_channel(address, credentials, options=options) for _ in range(number)]
up, seen = set(), time.monotonic()

def note(k, state):
    global seen
    if state is grpc.ChannelConnectivity.READY:
        up.add(k)
        seen = time.monotonic()

for k, channel in enumerate(channels):
    channel.subscribe(lambda state, k=k: note(k, state), try_to_connect=True)
while len(up) < number and time.monotonic() - seen < 1:
    time.sleep(0.05)
print(len(up), flush=True)
sys.stdin.readline()

def messages():
    yield from [bytes(1 << 20)] * 5
    time.sleep(60)

calls = [channels[k].stream_stream("/bluetusk.Party/Converse")(messages()) for k in up]
print("sent", flush=True)
sys.stdin.readline()
"""


def crowd(tmp_path, number, *, planted=False):
    """Send on so many connections at once; return how many the victim accepted, and what it held more, in MB."""
    for name in ("bank", "network"):
        make_certificate(name, tmp_path)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    how = [str(tmp_path), "planted" if planted else "package", str(4096 * MIB), str(MOST), "within"]
    processes = [subprocess.Popen([sys.executable, "-c", VICTIM, *how], **pipes)]
    try:
        address, pid = processes[0].stdout.readline().strip(), processes[0].pid
        before = resident("VmRSS", pid)
        for k in range(0, number, 100):
            command = [sys.executable, "-c", CROWD, address, str(tmp_path), str(min(100, number - k))]
            processes.append(subprocess.Popen(command, **pipes))
        accepted = sum(int(peer.stdout.readline()) for peer in processes[1:])
        for peer in processes[1:]:
            peer.stdin.write("go\n")
            peer.stdin.flush()
        for peer in processes[1:]:
            assert peer.stdout.readline() == "sent\n"
        most = until = 0
        while time.monotonic() < (until or time.monotonic() + 1):  # until it has held no more for a second
            if (now := resident("VmHWM", pid)) > most + 1 or not until:
                most, until = now, time.monotonic() + 1
            time.sleep(0.05)
        return accepted, resident("VmHWM", pid) - before
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def resident(what, pid="self"):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(what)).split()[1]) / 1e3


def inside(folder, planted):
    """Flood a party of this process in every phase; return its errors, and what it held at most in MB."""
    if planted:
        waiting.MEMORY = waiting._FRAMES = 1 << 40
    floods = {phase: make() for phase, (make, _) in PHASES.items()}  # not the victim's
    errors, before = [], resident("VmRSS")
    for number, ((when, _), flood) in enumerate(floods.items()):
        vaults = [Vault(Path(folder) / f"{me}-{number}", bytes(32)) for me in ("guest", "host")]
        attacker = Flooder(vaults[0], job="flood", peer="host", patience=20)
        attacker.raw, attacker.flood = (flood, ()) if when == "connect" else ((), flood)
        attacker.step = int(when == "between")
        victim = Session(vaults[1], job="flood", peer="guest", patience=20, spool_quota=QUOTA)
        if when == "between":
            victim.resume("a task before")
            victim.commit("a task before", 1, b"")
        joined = Memory(victim, attacker)
        link = Link(victim, me="host", peer="guest")
        link.scope("flood", 0)
        until = time.monotonic() + 10
        while time.monotonic() < until and victim.failure is None and attacker.taken < len(flood):
            time.sleep(0.01)  # it computes
        try:
            link.receive("ready", parts=1, most=MOST)
        except bt.BluetuskError as error:
            errors.append(f"{type(error).__name__}: {error}")
        joined.close()
        for vault in vaults:
            vault.close()
    return errors, resident("VmHWM") - before


def in_process(folder, planted):
    """Run :func:`inside` in another process."""
    code = "import json, sys; from tests.attacks.test_flood import inside; "
    code += "print(json.dumps(inside(sys.argv[1], sys.argv[2] == 'planted')))"
    command = [sys.executable, "-c", code, str(folder), "planted" if planted else "package"]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


ATTACKS = {
    "frames unasked for": (lambda: [message("gift", 100 * MIB)] * 3, {}, "has 104857600 bytes|sent a frame of 1048"),
    "a frame too large": (lambda: [message("ready", 300 * MIB)], {"busy": False}, "where at most 2097172 are due"),
    "many small frames": (lambda: small(100_000), {}, "1025 frames would wait"),
    "frames beyond the quota": (lambda: [bytes(100 * MIB)] * 2, {"quota": 150 * MIB}, "spool_quota"),
    "a header of many values": (lambda: [BOMB] * 20, {}, "FrameError"),
    "a message in many parts": (lambda: [message("ready", MIB, 1 << 12)], {}, "must contain 1 arrays, not 4096"),
}


def table(folder):
    """Rows of the table of attacks: attack, who, accuracy, chance, bound, accuracy on the planted weakness."""
    name = "frames unasked for"
    flood, how, _ = ATTACKS[name]
    held = [attack(Path(folder) / k, flood(), planted=k == "planted", **how)[1] for k in ("package", "planted")]
    return [(f"{name}: MB held; chance: the largest that is due", "either", held[0], MOST / 1e6, ALLOWED, held[1])]


def test_without_bounds_a_flood_fills_the_memory(tmp_path):
    """The attack wins on the planted weakness: everything that comes waits in memory."""
    flood, how, _ = ATTACKS["frames unasked for"]
    _, held = attack(tmp_path, flood(), planted=True, **how)
    assert held > 300


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.nightly if k else ()) for k, name in enumerate(ATTACKS)]
)
def test_a_flood_does_not_fill_the_memory(tmp_path, name):
    flood, how, text = ATTACKS[name]
    error, held = attack(tmp_path, flood(), **how)
    assert re.search(text, error), error
    assert "guest" in error
    assert held <= ALLOWED + MOST / 1e6
    assert not list((tmp_path / "host").glob("*tmp*"))  # nothing is left in the victim's directory


@pytest.mark.parametrize(
    "phase",
    [pytest.param(phase, marks=() if phase in QUICK else pytest.mark.nightly) for phase in PHASES],
    ids="-".join,
)
def test_a_flood_in_any_phase_does_not_fill_the_memory(tmp_path, phase):
    flood, text = PHASES[phase]
    error, held = attack(tmp_path, flood(), quota=QUOTA, when=phase[0])
    assert text in error
    assert "guest" in error
    assert held <= ALLOWED + MOST / 1e6


def test_a_flood_within_a_process_does_not_fill_its_memory(tmp_path):
    errors, held = in_process(tmp_path, planted=False)
    for error, (_, text) in zip(errors, PHASES.values(), strict=True):
        assert text in error
        assert "guest" in error
    assert held <= ALLOWED + MOST / 1e6


@pytest.mark.nightly
def test_without_bounds_a_flood_within_a_process_fills_its_memory(tmp_path):
    assert in_process(tmp_path, planted=True)[1] > ALLOWED + MOST / 1e6


def test_a_peer_that_begins_a_step_without_end_is_sent_away(tmp_path):
    """Each attempt that this party has heard of is in its manifest, and in each of its hellos."""
    vault = Vault(tmp_path / "host", bytes(32))
    victim = Session(vault, job="flood", peer="guest")

    def begin(times):
        for k in range(times):
            attempt, connection = k.to_bytes(16, "big"), victim.connect()
            connection.take(encode(Kind.PARTY, {**HELLO, "rounds": [[1, attempt, 0, b"", 0]]}))
            about = {"say": "data", "step": 1, "number": 0, "attempt": attempt, "offset": 0, "total": 9}
            connection.take(encode(Kind.PARTY, about, b"too early"))

    with pytest.raises(bt.ProtocolAbort, match="'guest' began step 1 more than 32 times") as caught:
        begin(100)
    assert caught.value.party == "guest"
    vault.close()


@pytest.mark.nightly
def test_without_a_limit_many_connections_fill_the_memory(tmp_path):
    accepted, held = crowd(tmp_path, 300, planted=True)
    assert accepted == 300
    assert held > ALLOWED


@pytest.mark.parametrize("number", [100, pytest.param(600, marks=pytest.mark.nightly)])
def test_many_connections_do_not_fill_the_memory(tmp_path, number):
    """What gRPC reads ahead is bounded for a connection, and connections are."""
    accepted, held = crowd(tmp_path, number)
    assert 1 <= accepted <= grpc.CONNECTIONS
    assert held <= ALLOWED + MOST / 1e6


@pytest.mark.parametrize("busy", [True, False], ids=["early", "in time"])
@pytest.mark.nightly
def test_a_large_frame_that_is_expected_is_in_memory_once(tmp_path, busy):
    size = 120 * MIB
    error, held = attack(tmp_path, [message("ready", size)], busy=busy, most=size)
    assert error == "RuntimeError: taken"
    assert size / 1e6 <= held <= size / 1e6 + ALLOWED


def test_a_message_that_is_too_large_is_refused_on_any_channel():
    here, there = local_links()
    here.send("hello", parts=[bytes(100)])
    with pytest.raises(bt.ProtocolAbort, match="message 'hello' has 100 bytes where at most 99") as caught:
        there.receive("hello", parts=1, most=99)
    assert caught.value.party == "guest"
    here, there = local_links()
    here.send("hello", parts=[bytes(1)])
    with pytest.raises(bt.ProtocolAbort, match="1 bytes where at most 0"):
        there.receive("hello", parts=0)


def test_every_receive_states_its_largest_size():
    root = Path(bt.__file__).parent / "vertical"
    for path in sorted(root.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "receive":
                given = {word.arg: word.value for word in node.keywords}
                empty = isinstance(given.get("parts"), ast.Constant) and given["parts"].value == 0
                assert empty or "most" in given, f"{path}:{node.lineno}: state the largest size by most="
