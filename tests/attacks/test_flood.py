"""A peer that sends what nobody asked for, to fill the memory or the disk of the other party.

The attacker has a valid certificate and speaks the protocol up to its first frame. The victim is another process, whose
memory is measured: what it holds may exceed the largest frame that it expects by 64 MB at most.
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
from bluetusk.vertical.party import Identity, make_certificate
from bluetusk.vertical.party.grpc import Dialler
from bluetusk.vertical.party.session import Session
from bluetusk.vertical.party.vault import Vault
from bluetusk.wire.frame import FIXED, MAGIC, MAX_HEADER, Kind, encode

pytest.importorskip("grpc", reason="parties need grpcio, which is not installed")

MIB = 1 << 20
ALLOWED = 64  # MB over the largest expected frame
MOST = MIB  # what the victim expects

VICTIM = """
import json, sys
from bluetusk.vertical.party import Identity, Party, waiting
folder, planted, quota, most = sys.argv[1], sys.argv[2] == "planted", int(sys.argv[3]), int(sys.argv[4])
if planted:
    waiting.MEMORY = waiting._FRAMES = 1 << 40
identity = Identity.load(folder + "/network.cert.pem", folder + "/network.key.pem", folder + "/bank.cert.pem")

def resident(what):  # not by getrusage, whose peak is also that of the process which started this one
    return int(next(line for line in open("/proc/self/status") if line.startswith(what)).split()[1]) / 1e3

def program(link, keeper):
    keeper.resume("flood")
    link.scope("flood", 0)
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

    flood, sent, taken = (), 0, 0

    def heard(self, connection, say, header, data):
        if say == "ack":
            self.taken = header["got"]
            return True
        return super().heard(connection, say, header, data)

    def due(self, connection, seconds):
        if self._ready and self.sent < len(self.flood):
            self.sent += 1
            about = {"say": "data", "step": 0, "number": self.sent - 1, "attempt": self._rounds[0].attempt}
            return about, self.flood[self.sent - 1]
        return super().due(connection, seconds)


def attack(tmp_path, flood, *, planted=False, busy=True, quota=4096 * MIB, most=MOST):
    """Send the frames while the victim computes, or while it waits; return its error and what it held in MB."""
    files = {name: make_certificate(name, tmp_path) for name in ("bank", "network")}
    identity = Identity.load(files["bank"][1], files["bank"][0], files["network"][1])
    how = [str(tmp_path), "planted" if planted else "package", str(quota), str(most)]
    command = [sys.executable, "-c", VICTIM, *how]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as victim:
        address = victim.stdout.readline().strip()
        if not busy:
            victim.stdin.write("go\n")
            victim.stdin.flush()
            time.sleep(0.3)
        session = Flooder(Vault(tmp_path / "guest", bytes(32)), job="flood", peer="host", patience=20)
        session.flood = flood
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
