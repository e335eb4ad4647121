"""The operator's drills: real processes that meet each fault; text and status at both sides, and the run after."""

from __future__ import annotations

import dataclasses
import http.server
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import urllib.request

import pytest

from bluetusk.evidence import Identity, Policy, fingerprint_groups

pytest.importorskip("grpc", reason="parties talk over grpcio, which is not installed")
pytest.importorskip("private_set_intersection", reason="alignment needs openmined-psi, which is not installed")

pytestmark = pytest.mark.slow

ROLES = {"guest": "bank", "host": "network"}
PEERS = {"guest": "host", "host": "guest"}
SMALL = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))"
NO_REPORT = "from bluetusk.vertical.party import run as _run; _run._report = lambda *given: None"
MAIN = "import sys; from bluetusk.cli import main; sys.exit(main(sys.argv[1:]))"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


class Life:
    """One process of the command line: what it says, and how it ends."""

    def __init__(self, *arguments, passphrase="", tap=""):
        self.process = subprocess.Popen(
            [sys.executable, "-c", f"{tap}\n{MAIN}", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "BLUETUSK_PASSPHRASE": passphrase, "BLUETUSK_NUM_THREADS": "1"},
        )
        self.said, self._changed = [], threading.Condition()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _follow(self):
        for line in self.process.stderr:
            with self._changed:
                self.said.append(line)
                self._changed.notify_all()

    def wait_for(self, text, seconds=60):
        with self._changed:
            assert self._changed.wait_for(lambda: any(text in line for line in self.said), seconds), self.said

    def end(self, seconds=60):
        """Return the status, and the line that says why."""
        status = self.process.wait(seconds)
        self._thread.join(20)
        self.out = self.process.stdout.read()
        return status, "".join(line for line in self.said if line.startswith("bluetusk: "))

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._thread.join(20)
        self.process.stdout.close()
        self.process.stderr.close()


@pytest.fixture
def lives():
    """The processes of a test, which ends with none of them."""
    every = []
    yield every
    for life in every:
        life.kill()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    from bluetusk.demo.credit import CreditPlan, prepare

    case = prepare(CreditPlan(rows=300, epochs=1, trees=1, key_size=2048), tmp_path_factory.mktemp("case"))
    for name in ROLES.values():
        config = case.folder / name / "party.toml"
        edit(config, "\n[data]", "\npatience = 30\n[data]")
        edit(config, "epochs = 1", "epochs = 0\nmax_bins = 3")
        edit(config, "trees = 1", "trees = 0")
    return case


@pytest.fixture
def case(prepared, tmp_path):
    """A fresh copy of both parties' files, at a free port."""
    shutil.copytree(prepared.folder, tmp_path, dirs_exist_ok=True)
    address = f"127.0.0.1:{free_port()}"
    edit(tmp_path / "network" / "party.toml", "127.0.0.1:0", address)
    edit(tmp_path / "bank" / "party.toml", "ADDRESS", address)
    return dataclasses.replace(prepared, folder=tmp_path)


def config(case, role):
    return case.folder / ROLES[role] / "party.toml"


def impatient(case, *roles, patience=4):
    for role in roles:
        edit(config(case, role), "patience = 30", f"patience = {patience}")


def start(case, lives, role, *more, tap=""):
    arguments = ("party", "--config", config(case, role), "--json", "--progress", "json", *more)
    lives.append(Life(*arguments, passphrase=case.passphrases[role], tap=f"{NO_REPORT}\n{tap}"))
    return lives[-1]


def both(case, lives, **taps):
    """Run both to their ends; return each one's status and line."""
    two = {role: start(case, lives, role, tap=taps.get(role, "")) for role in ("host", "guest")}
    return {role: life.end() for role, life in two.items()}


DONE = {"host": (0, ""), "guest": (0, "")}


def signed(case, role, **changes):
    """Replace a party's policy by one with a higher serial and other grants."""
    path = case.folder / ROLES[role] / "policy.signed"
    old = Policy.load(path)
    grants = tuple(dataclasses.replace(grant, **changes) for grant in old.grants)
    signer = Identity.load(path.with_name("identity"), case.passphrases[role])
    new = dataclasses.replace(old, serial=old.serial + 1, grants=grants, signature=b"", key=b"")
    path.write_bytes(new.sign(signer).to_bytes())
    return old.grants[0]


def fingerprint(case, name):
    return fingerprint_groups((case.folder / name / f"{name}.cert.pem").read_bytes())


def test_an_absent_peer(case, lives):
    """Each side alone says at once for whom it waits and why nobody is there; a listener bears strangers."""
    impatient(case, "host", "guest")
    port = free_port()
    edit(config(case, "guest"), 'connect = "127.0.0.1:', f'connect = "127.0.0.1:{port}" # ')
    host, guest = start(case, lives, "host"), start(case, lives, "guest")
    host.wait_for('"listening"')
    at = json.loads(next(line for line in host.said if '"listening"' in line))["listening"]
    for said in (b"GET / HTTP/1.1\r\n\r\n", b"", b"\x16\x03\x01\x00\x05abcde"):
        with socket.create_connection(at.rsplit(":", 1)) as stranger:
            stranger.sendall(said)
    guest.wait_for("notice", 10)
    (notice,) = (json.loads(line)["notice"] for line in guest.said if "notice" in line)
    where = f"waiting for the host at 127.0.0.1:{port}: nobody answers (connection refused)"
    assert re.fullmatch(re.escape(where) + "; gives up in [0-9] s", notice)
    status, said = guest.end()
    assert (status, where in said) == (4, True), said
    assert "start both again with the same state directories" in said
    status, said = host.end()
    assert status == 4, said
    assert f"waiting for the guest to connect to {at}: nobody has" in said
    assert fingerprint(case, "bank") in said
    assert json.loads(host.out)["error"]["kind"] == "absent"


def test_an_unknown_host(case, lives):
    impatient(case, "guest")
    edit(config(case, "guest"), 'connect = "127.0.0.1:', 'connect = "nowhere.invalid:7443" # ')
    status, said = start(case, lives, "guest").end()
    assert status == 4
    assert "unknown host 'nowhere.invalid'" in said
    assert "correct the name in connect = 'nowhere.invalid:7443'" in said


def test_an_http_server_on_the_port(case, lives):
    class Quiet(http.server.BaseHTTPRequestHandler):
        def log_message(self, *given):
            """Say nothing of what is no HTTP."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    edit(config(case, "guest"), 'connect = "127.0.0.1:', f'connect = "127.0.0.1:{server.server_port}" # ')
    begun = time.monotonic()
    try:
        status, said = start(case, lives, "guest").end()
    finally:
        server.shutdown()
        server.server_close()
    assert status == 6
    assert f"no TLS at 127.0.0.1:{server.server_port}: another program answers there (an HTTP server?)" in said
    assert time.monotonic() - begun < 20  # of 30 seconds of patience


def test_a_port_that_takes_connections_and_says_nothing(case, lives):
    impatient(case, "guest", patience=9)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        edit(config(case, "guest"), 'connect = "127.0.0.1:', f'connect = "127.0.0.1:{port}" # ')
        status, said = start(case, lives, "guest").end()
    assert status == 4
    assert f"127.0.0.1:{port} does not answer within 2 s (a firewall, or a program that does not speak TLS?)" in said


@pytest.mark.parametrize("wrong", ["guest", "host"])
def test_a_wrong_certificate(case, lives, wrong):
    """The side that connects ends at once with the fingerprints; the listener bears it, and names whom it awaits."""
    right = ROLES[PEERS[wrong]]
    impatient(case, "host", patience=8)  # until the guest has come, on a busy machine too
    edit(config(case, wrong), f"../{right}/{right}.cert.pem", f"{ROLES[wrong]}.cert.pem")
    host, guest = start(case, lives, "host"), start(case, lives, "guest")
    status, said = guest.end()
    assert status == 6, said
    assert "the certificates do not fit" in said
    if wrong == "guest":
        assert f"presents one of fingerprint {fingerprint(case, 'network')}" in said
        assert f"where peer_certificate has {fingerprint(case, 'bank')}" in said
    else:
        assert f"rejects this party's, of fingerprint {fingerprint(case, 'bank')}" in said
    assert host.process.poll() is None
    status, said = host.end()
    assert status == 4
    assert fingerprint(case, ROLES["guest"] if wrong == "guest" else "network") in said


def test_a_wrong_job(case, lives):
    name = re.search('job = "(.*?)"', config(case, "guest").read_text()).group(1)
    edit(config(case, "guest"), f'job = "{name}"', 'job = "another"')
    ends = both(case, lives)
    for role, (mine, theirs) in {"guest": ("another", name), "host": (name, "another")}.items():
        status, said = ends[role]
        assert status == 7, said
        assert f"{PEERS[role]!r} runs another job, {theirs!r}, not {mine!r}: give both the same" in said


def test_a_policy_that_has_expired(case, lives):
    granted = signed(case, "host", until=int(time.time()) - 60)
    ends = both(case, lives)
    assert ends["host"][0] == 3
    assert "clause until" in ends["host"][1]
    assert ends["guest"][0] == 5
    assert "the other party gave up: 'the policy does not allow this'" in ends["guest"][1]
    signed(case, "host", until=granted.until)
    assert both(case, lives) == DONE


def test_uses_that_are_spent(case, lives):
    signed(case, "host", uses=1)
    ends = both(case, lives)
    assert ends["host"][0] == 3
    assert "clause uses" in ends["host"][1]
    assert ends["guest"][0] == 5
    assert "the other party gave up: 'the policy does not allow this'" in ends["guest"][1]


@pytest.mark.parametrize("role", ["guest", "host"])
def test_a_full_disk(case, lives, role):
    """The peer learns no path and no text of the system's error."""
    ends = both(case, lives, **{role: SMALL})
    assert ends[role][0] == 8, ends
    assert "the disk is full: free space and start again" in ends[role][1]
    status, said = ends[PEERS[role]]
    assert status == 5
    assert "the other party gave up" in said
    assert str(case.folder) not in said
    assert "disk" not in said
    assert both(case, lives) == DONE


STOPS = {
    signal.SIGINT: (130, "interrupted: the kept steps are on disk; start again with the same file to resume"),
    signal.SIGTERM: (143, "stopped by SIGTERM: the kept steps are on disk; start again with the same file to resume"),
}


@pytest.mark.parametrize(("role", "number"), [("guest", signal.SIGINT), ("host", signal.SIGTERM)])
def test_an_operator_stops_a_party(case, lives, role, number):
    two = {each: start(case, lives, each) for each in ("host", "guest")}
    two[role].wait_for('"done"')
    begun = time.monotonic()
    two[role].process.send_signal(number)
    status, said = two[role].end()
    assert (status, said) == (STOPS[number][0], f"bluetusk: {STOPS[number][1]}\n")
    assert json.loads(two[role].out)["error"]["exit_code"] == status
    status, said = two[PEERS[role]].end()
    assert status == 5
    assert "the other party was stopped by its operator: nothing is wrong here" in said
    assert "start both again with the same state directories to resume" in said
    assert time.monotonic() - begun < 15  # of 30 seconds of patience
    assert both(case, lives) == DONE


def test_a_second_signal_ends_at_once(case, lives):
    slow = "from bluetusk.vertical.party.process import Party; import time; Party._tell = lambda *given: time.sleep(60)"
    guest = start(case, lives, "guest", tap=slow)
    guest.wait_for("notice")
    guest.process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert guest.process.poll() is None
    guest.process.send_signal(signal.SIGINT)
    assert guest.end(5) == (130, "")


def test_a_killed_party(case, lives):
    """Its peer waits and says so; started again it resumes."""
    host, guest = start(case, lives, "host"), start(case, lives, "guest")
    host.wait_for('"done"')
    host.kill()
    guest.wait_for("nobody answers (connection refused)")
    again = start(case, lives, "host")
    assert {"host": again.end(), "guest": guest.end()} == DONE


def test_two_runs_on_one_state(case, lives):
    """The second ends at once; the first is not disturbed."""
    first = start(case, lives, "guest")
    first.wait_for("notice")
    edit(config(case, "guest"), 'output = "', 'output = "other-')
    edit(config(case, "guest"), 'log = "', 'log = "other-')
    status, said = start(case, lives, "guest").end()
    assert status == 9
    assert "is in use by another process" in said
    assert "wait until that run has ended" in said
    assert first.process.poll() is None


def test_log_and_metrics(case, lives):
    """Nothing of a row is in them; the log survives its rotation, with mode 0600."""
    log, port = case.folder / "run.log", free_port()
    guest = start(case, lives, "guest", "--log", log, "--log-level", "debug", "--metrics", port)
    guest.wait_for("notice")
    got = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode()
    assert "bluetusk_waiting 1.0" in got
    assert 'bluetusk_learned_total{what="sums"} 0.0' in got
    os.rename(log, case.folder / "run.log.1")
    host = start(case, lives, "host")
    assert {"host": host.end(), "guest": guest.end()} == DONE
    texts = [(case.folder / name).read_text() for name in ("run.log.1", "run.log")]
    before, after = ([json.loads(line) for line in each.splitlines()] for each in texts)
    assert any("nobody answers" in line["message"] for line in before)
    assert after[-1]["message"] == "done"
    assert after[-1]["shown"]["sums"] > 0
    for line in before + after:
        assert {"time", "level", "job", "role", "peer", "stage", "shown", "message"} <= line.keys()
    text = "".join(texts) + got
    assert not re.search(r"M0\d{5}", text)  # the customers' ids
    assert case.passphrases["guest"] not in text
    assert stat.S_IMODE(log.stat().st_mode) == stat.S_IMODE((case.folder / "run.log.1").stat().st_mode) == 0o600


# -------------------------------------------------------------------------------------------------- blacklist


@pytest.fixture
def lists(case):
    """Two configurations of a blacklist request, with the case's certificates."""
    address = f"127.0.0.1:{free_port()}"
    for role, name in ROLES.items():
        home, peer = case.folder / name, ROLES[PEERS[role]]
        (home / "ids.csv").write_text("id\nA1\nA2\n")
        way = f'listen = "{address}"\nlimit = 9' if role == "host" else f'connect = "{address}"'
        (home / "party.toml").write_text(
            f'job = "asked"\nevidence = "none"\ncertificate = "{name}.cert.pem"\nkey = "{name}.key.pem"\n'
            f'peer_certificate = "../{peer}/{peer}.cert.pem"\n{way}\npatience = 3\nfile = "ids.csv"\n'
        )
    return case


def ask_and_serve(case, lives, *roles):
    sides = {"guest": "ask", "host": "serve"}
    for role in roles:
        lives.append(Life("blacklist", sides[role], "--config", config(case, role), passphrase=case.passphrases[role]))
    return [life.end() for life in lives[-len(roles) :]]


@pytest.mark.parametrize("role", ["guest", "host"])
def test_a_blacklist_without_its_peer(lists, lives, role):
    ((status, said),) = ask_and_serve(lists, lives, role)
    assert status == 4
    assert f"waiting for the {PEERS[role]} " in said


def test_a_blacklist_with_a_wrong_certificate(lists, lives):
    edit(config(lists, "host"), "patience = 3", "patience = 8")
    edit(config(lists, "guest"), "patience = 3", "patience = 30")
    edit(config(lists, "guest"), "../network/network.cert.pem", "bank.cert.pem")
    (host, said), (guest, why) = ask_and_serve(lists, lives, "host", "guest")
    assert (host, guest) == (4, 6)
    assert fingerprint(lists, "bank") in said
    assert fingerprint(lists, "network") in why


def test_a_blacklist_with_a_wrong_job(lists, lives):
    for role in ROLES:
        edit(config(lists, role), "patience = 3", "patience = 30")
    edit(config(lists, "guest"), 'job = "asked"', 'job = "other"')
    ends = ask_and_serve(lists, lives, "host", "guest")
    assert [status for status, _ in ends] == [7, 7]
    assert all("runs another job" in said for _, said in ends)
