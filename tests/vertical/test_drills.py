"""The operator's drills: real processes that meet each fault; the whole text and the status at both sides.

What the parties do after a drill, and the same drills of the other commands, are in `test_drills_long.py`.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import logging
import os
import re
import shutil
import signal
import socket
import stat
import threading
import time
import urllib.request

import pytest

from bluetusk.evidence.summary import learned

from .drills import (
    COLUMNS,
    DONE,
    IDS,
    PEERS,
    ROLES,
    SLOW_STEPS,
    TEXTS,
    Lives,
    absent,
    both,
    cheap,
    config,
    copied,
    edit,
    exact,
    fingerprint,
    free_port,
    impatient,
    nobody,
    prepare,
    setting,
    signed,
    small_disk,
    somebody,
    start,
    stop_once_begun,
)

pytest.importorskip("grpc", reason="parties talk over grpcio, which is not installed")
pytest.importorskip("private_set_intersection", reason="alignment needs openmined-psi, which is not installed")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def cheap_scrypt():
    with cheap():
        yield


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return prepare(tmp_path_factory.mktemp("case"))


@pytest.fixture
def lives(tmp_path_factory):
    """The processes of a test, which ends with none of them."""
    every = Lives(tmp_path_factory.mktemp("lives"))
    yield every
    every.close()


@pytest.fixture
def case(prepared, tmp_path):
    return copied(prepared, tmp_path)


def test_an_absent_peer(case, lives):
    """Each side alone says within seconds for whom it waits, and why nobody is there."""
    impatient(case, "host", "guest", patience=5)
    at, port = setting(case, "host", "listen"), free_port()
    edit(config(case, "guest"), 'connect = "127.0.0.1:', f'connect = "127.0.0.1:{port}" # ')
    host, guest = start(case, lives, "host"), start(case, lives, "guest")
    ends = {"host": host.end(), "guest": guest.end()}
    refused = "nobody answers (connection refused)"
    assert ends["guest"][0] == ends["host"][0] == 4
    exact(ends["guest"][1], absent("host", f"the host at 127.0.0.1:{port}", refused))
    exact(ends["host"][1], absent("guest", f"the guest to connect to {at}", nobody(case)))
    assert re.fullmatch(
        re.escape(f"waiting for the host at 127.0.0.1:{port}: {refused}; gives up in ") + "[0-9] s", guest.notices[0]
    )
    assert host.notices[0].startswith(f"waiting for the guest to connect to {at}: {nobody(case)}; gives up in ")
    told = json.loads(host.out)["error"]
    assert told["kind"] == "absent"
    assert told["exit_code"] == 4
    assert told["party"] == "guest"
    assert f"bluetusk: {told['message']}" == ends["host"][1]


def test_an_unknown_host(case, lives):
    edit(config(case, "guest"), 'connect = "127.0.0.1:', 'connect = "nowhere.invalid:7443" # ')
    status, said = start(case, lives, "guest").end()
    assert status == 4
    assert re.fullmatch(
        r"bluetusk: unknown host 'nowhere\.invalid' \([^)]*\): correct the name in connect = 'nowhere\.invalid:7443', "
        r"or the name server \(party at fault: host\)",
        said,
    )


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
    exact(
        said,
        f"no TLS at 127.0.0.1:{server.server_port}: another program answers there (an HTTP server?); correct connect, "
        "or start the peer at that port (party at fault: host)",
    )
    assert time.monotonic() - begun < 20  # of 30 seconds of patience


@pytest.mark.parametrize("wrong", ["guest", "host"])
def test_a_wrong_certificate(case, lives, wrong):
    """The side that connects ends at once with the fingerprints; the listener bears it, and says so at once."""
    right = ROLES[PEERS[wrong]]
    edit(config(case, wrong), f"../{right}/{right}.cert.pem", f"{ROLES[wrong]}.cert.pem")
    host, guest = start(case, lives, "host"), start(case, lives, "guest")
    at = setting(case, "host", "listen")
    status, said = guest.end()
    assert status == 6, said
    theirs = "network" if wrong == "host" else "bank"
    if wrong == "guest":
        exact(
            said,
            f"the certificates do not fit: {at} presents one of fingerprint {fingerprint(case, 'network')}, where "
            f"peer_certificate has {fingerprint(case, 'bank')}: compare them by telephone, and correct "
            "peer_certificate or connect (party at fault: host)",
        )
    else:
        exact(
            said,
            f"the certificates do not fit: {at} rejects this party's, of fingerprint {fingerprint(case, 'bank')}: the "
            "peer's peer_certificate must be that file (party at fault: host)",
        )
    notice = json.loads(host.wait_for("somebody has", 20))["notice"]
    assert notice.startswith(f"waiting for the guest to connect to {at}: {somebody(case, theirs)}; gives up in ")
    assert host.lives()  # a stranger at the door ends nothing


def test_strangers_at_the_port(case, lives):
    """They do not end a listener, which at its end says that somebody came."""
    impatient(case, "host", patience=6)
    host = start(case, lives, "host")
    at = json.loads(host.wait_for('"listening"'))["listening"]
    for said in (b"GET / HTTP/1.1\r\n\r\n", b"", b"\x16\x03\x01\x00\x05abcde"):
        with socket.create_connection(at.rsplit(":", 1)) as stranger, contextlib.suppress(OSError):
            stranger.sendall(said)
    status, said = host.end()
    assert status == 4
    exact(said, absent("guest", f"the guest to connect to {at}", somebody(case)))


def test_a_wrong_job(case, lives):
    name = setting(case, "guest", "job")
    edit(config(case, "guest"), f'job = "{name}"', 'job = "another"')
    ends = both(case, lives)
    for role, (mine, theirs) in {"guest": ("another", name), "host": (name, "another")}.items():
        status, said = ends[role]
        assert status == 7, said
        exact(
            said,
            f"{PEERS[role]!r} runs another job, {theirs!r}, not {mine!r}: give both the same (party at fault: "
            f"{PEERS[role]})",
        )


NOT_ALLOWED = "the other party gave up: 'the policy does not allow this' (party at fault: host)"


def test_a_policy_that_has_expired(case, lives):
    signed(case, "host", until=1_700_000_000)
    ends = both(case, lives)
    assert {role: status for role, (status, _) in ends.items()} == {"host": 3, "guest": 5}
    assert re.fullmatch(
        r"bluetusk: policy refuses intersect to [0-9a-f]{16} \(clause until\): grant 'joint-credit' ended "
        r"2023-11-14T22:13:20Z: request a new one",
        ends["host"][1],
    ), ends
    exact(ends["guest"][1], NOT_ALLOWED)


def test_uses_that_are_spent(case, lives):
    signed(case, "host", uses=1)
    ends = both(case, lives)
    assert {role: status for role, (status, _) in ends.items()} == {"host": 3, "guest": 5}
    assert re.fullmatch(
        r"bluetusk: policy refuses binning to [0-9a-f]{16} \(clause uses\): all 1 uses of grant 'joint-credit' are "
        r"spent: request a new grant",
        ends["host"][1],
    ), ends
    exact(ends["guest"][1], NOT_ALLOWED)


# by where the peer is in its step when it hears of it
GAVE_UP = (
    "the other party gave up: 'ProtocolAbort' (party at fault: {0})",
    "the other party gave up: 'ProtocolAbort; its log has the reason' (party at fault: {0})",
)
FULL = {
    "state": "cannot write to {0}/state: the disk is full: free space and start again; no kept step is lost",
    "evidence": "cannot write to the log '{0}/evidence.log': the disk is full: make room, then start again",
}


@pytest.mark.parametrize("role", ["guest", "host"])
@pytest.mark.parametrize(("what", "size"), [("state", 8000), ("evidence", 3000)])
def test_a_full_disk(case, lives, role, what, size):
    """No file may grow beyond a size. The peer learns that its partner ended: no path, and no text of the system's."""
    ends = both(case, lives, **{role: small_disk(size)})
    assert ends[role][0] == 8, ends
    exact(ends[role][1], FULL[what].format(case.folder / ROLES[role]))
    status, said = ends[PEERS[role]]
    assert status == 5
    assert said in {f"bluetusk: {text.format(role)}" for text in GAVE_UP}


STOPS = {
    signal.SIGINT: (130, "interrupted: the kept steps are on disk; start again with the same file to resume"),
    signal.SIGTERM: (143, "stopped by SIGTERM: the kept steps are on disk; start again with the same file to resume"),
}


def stopped(peer):
    return (
        "the other party was stopped by its operator: nothing is wrong here; start both again with the same state "
        f"directories to resume (party at fault: {peer})"
    )


@pytest.mark.parametrize(("role", "number"), [("guest", signal.SIGINT), ("host", signal.SIGTERM)])
def test_an_operator_stops_a_party(case, lives, role, number):
    two = {each: start(case, lives, each, tap=SLOW_STEPS) for each in ("host", "guest")}
    stop_once_begun(two[role], number)
    begun = time.monotonic()
    assert two[role].end() == (STOPS[number][0], f"bluetusk: {STOPS[number][1]}")
    assert json.loads(two[role].out)["error"]["exit_code"] == STOPS[number][0]
    status, said = two[PEERS[role]].end()
    assert status == 5
    exact(said, stopped(role))
    assert time.monotonic() - begun < 15  # of 30 seconds of patience


SLOW_END = """
import time
from bluetusk.vertical.party.process import Party
def tell(*given):
    print("telling the peer", file=sys.stderr, flush=True)
    time.sleep(60)
Party._tell = tell
"""


def test_a_second_signal_ends_at_once(case, lives):
    guest = start(case, lives, "guest", tap=SLOW_END)
    guest.wait_for("notice")
    guest.send_signal(signal.SIGINT)
    guest.wait_for("telling the peer")  # two signals that come before the first is handled are one
    guest.send_signal(signal.SIGINT)
    assert guest.end(20) == (130, "")


def test_a_killed_party(case, lives):
    """Its peer waits and says so; started again it resumes."""
    host, guest = (start(case, lives, role, tap=SLOW_STEPS) for role in ("host", "guest"))
    host.wait_for('"done"')
    host.kill()
    assert host.process.exitcode == -signal.SIGKILL
    notice = json.loads(guest.wait_for("nobody answers"))["notice"]
    at = setting(case, "host", "listen")
    assert notice.startswith(f"waiting for the host at {at}: nobody answers (connection refused); gives up in ")
    again = start(case, lives, "host")
    assert {"host": again.end(), "guest": guest.end()} == DONE


def test_a_killed_party_that_the_listener_waits_for(case, lives):
    host, guest = (start(case, lives, role, tap=SLOW_STEPS) for role in ("host", "guest"))
    guest.wait_for('"done"')
    guest.kill()
    notice = json.loads(host.wait_for("waiting for the guest"))["notice"]
    at = setting(case, "host", "listen")
    lost = "its connection is lost, and it has not come back"
    assert notice.startswith(f"waiting for the guest to connect to {at}: {lost}; gives up in ")


def test_two_runs_on_one_state(case, lives):
    """The second ends at once; the first is not disturbed."""
    first = start(case, lives, "guest")
    first.wait_for("notice")
    edit(config(case, "guest"), 'output = "', 'output = "other-')
    edit(config(case, "guest"), 'log = "', 'log = "other-')
    status, said = start(case, lives, "guest").end()
    assert status == 9
    state = case.folder / "bank" / "state"
    exact(said, f"{state} is in use by another process: each party needs its own; or wait until that run has ended")
    assert first.lives()


# ------------------------------------------------------------------------------------------------- log and metrics


LINGERS = """
import time
whole = _run._write
def write(*given):
    whole(*given)
    time.sleep(1)
_run._write = write
"""


@pytest.fixture(scope="module")
def watched(prepared, tmp_path_factory):
    """A whole run of both with a log, of the guest with metrics too: the case, and what was read of them."""
    case, lives = copied(prepared, tmp_path_factory.mktemp("watched")), Lives(tmp_path_factory.mktemp("watched-lives"))
    logs = {role: case.folder / f"{role}.log" for role in ROLES}
    port, read = free_port(), []
    options = ("--log", logs["guest"], "--log-level", "debug", "--metrics", port)
    guest = start(case, lives, "guest", *options, tap=LINGERS)
    guest.wait_for("notice")
    assert [sock for sock in listening_at(port) if sock != "0100007F"] == []
    read.append(scraped(port))
    os.rename(logs["guest"], case.folder / "guest.log.1")
    host = start(case, lives, "host", "--log", logs["host"])
    while guest.lives():
        with contextlib.suppress(OSError):
            read.append(scraped(port))
        time.sleep(0.05)
    assert {"host": host.end(), "guest": guest.end()} == DONE
    lives.close()
    return case, read


def scraped(port):
    return urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode()


def listening_at(port):
    """Return the IPv4 addresses, as the kernel writes them, at which a process of this machine listens at a port."""
    with open("/proc/net/tcp") as file:
        lines = [line.split() for line in list(file)[1:]]
    return [line[1].split(":")[0] for line in lines if line[3] == "0A" and int(line[1].split(":")[1], 16) == port]


def test_the_log(watched):
    """Each line says of what run and stage it is, and what was shown by then; a moved file is followed by a new one."""
    case, _ = watched
    paths = [case.folder / name for name in ("guest.log.1", "guest.log", "host.log")]
    before, after, host = ([json.loads(line) for line in path.read_text().splitlines()] for path in paths)
    assert any("nobody answers" in line["message"] for line in before)
    for lines, role in ((before + after, "guest"), (host, "host")):
        for line in lines:
            assert set(line) >= {"time", "level", "job", "role", "peer", "stage", "done", "of", "shown", "message"}
            assert (line["job"], line["role"], line["peer"]) == (setting(case, role, "job"), role, PEERS[role])
        stages = [line["stage"] for line in lines if "begins" not in line["message"] and line["stage"]]
        assert {"intersect", "woe-binning", "logistic_regression"} <= set(stages)
        sums = [line["shown"]["sums"] for line in lines]
        assert sums == sorted(sums)
        assert sums[0] == 0
        result = json.loads((case.folder / ROLES[role] / "output" / "result.json").read_text())
        assert lines[-1]["message"] == "done"
        assert lines[-1]["shown"] == learned(result["evidence"]["meter"].values())
    assert after[-1]["shown"]["sums"] > 0
    assert {line["level"] for line in host} <= {"info", "warning", "error"}
    assert any(line["level"] == "debug" for line in after)
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o600}


def test_a_log_that_is_copied_and_cut(tmp_path):
    """What `copytruncate` of logrotate does: no gap of zeros, and the mode stays."""
    from bluetusk.cli import _watching

    path = tmp_path / "run.log"
    handler = _watching._file(str(path))
    try:
        handler.emit(logging.makeLogRecord({"msg": "before"}))
        os.truncate(path, 0)
        handler.emit(logging.makeLogRecord({"msg": "after"}))
    finally:
        handler.close()
    assert path.read_text() == "after\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_nothing_private_is_in_a_log_or_in_metrics(watched):
    """No id, no value, no column's name of either side, no passphrase, no key."""
    case, read = watched
    texts = [(case.folder / name).read_text() for name in ("guest.log.1", "guest.log", "host.log")] + read
    secrets = [*IDS.values(), *TEXTS.values(), *COLUMNS.values(), *case.passphrases.values(), "PRIVATE KEY"]
    tables = [(case.folder / name / "customers.csv").read_text() for name in ROLES.values()]
    there = [*IDS.values(), *TEXTS.values(), *COLUMNS.values()]
    assert all(each in "".join(tables) for each in there)
    for text in texts:
        assert text
        assert [each for each in secrets if each in text] == []
        assert re.findall(r"M0\d{5}", text) == []


def test_metrics(watched):
    """They parse, name no row, and end where result.json does."""
    from prometheus_client.parser import text_string_to_metric_families

    case, read = watched
    first, last = (
        {
            (sample.name, *sample.labels.values()) if sample.labels else sample.name: sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
        for text in (read[0], read[-1])
    )
    assert first["bluetusk_waiting"] == 1
    assert first["bluetusk_learned_total", "sums"] == first["bluetusk_learned_total", "bits"] == 0
    assert first["bluetusk_bytes_total", "received"] == 0
    assert time.time() - 300 < first["bluetusk_peer_last_sign_timestamp_seconds"] < time.time()
    names = {"bluetusk_stage_steps", "bluetusk_bytes_total", "bluetusk_rewinds_total", "bluetusk_kept_steps_total"}
    names |= {"bluetusk_learned_total", "bluetusk_waiting", "bluetusk_peer_last_sign_timestamp_seconds"}
    assert {key if isinstance(key, str) else key[0] for key in last} == names
    labels = {word for key in last if not isinstance(key, str) for word in key[1:]}
    stages = {"agree", "intersect", "split", "woe-binning", "logistic_regression", "logistic_regression_scores"}
    assert labels <= {"sums", "bits", "sent", "received", "done", "of"} | stages
    result = json.loads((case.folder / "bank" / "output" / "result.json").read_text())
    shown = learned(result["evidence"]["meter"].values())
    assert last["bluetusk_learned_total", "sums"] == shown["sums"] > 0
    assert last["bluetusk_learned_total", "bits"] == shown["bits"]
    assert result["bytes"]["sent"] <= last["bluetusk_bytes_total", "sent"] < result["bytes"]["sent"] + 4096  # the heads
    assert last["bluetusk_kept_steps_total"] > first["bluetusk_kept_steps_total"] == 0
    assert last["bluetusk_rewinds_total"] == 0
    assert last["bluetusk_waiting"] == 0


def test_a_taken_port_of_metrics(case, lives):
    """It is found before anything is opened or connected."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        guest = start(case, lives, "guest", "--metrics", port)
        status, said = guest.end()
    assert status == 9
    exact(said, f"cannot serve --metrics 127.0.0.1:{port}: Address already in use; give another port or host")
    assert json.loads(guest.out)["error"]["kind"] == "busy"
    assert not (case.folder / "bank" / "state").exists()


# ---------------------------------------------------------------------------------------------------------- scoring


@pytest.fixture
def trained(watched, tmp_path):
    """The folders after a training, with a table of rows that no model has scored."""
    case = copied_whole(watched[0], tmp_path)
    for role, name in ROLES.items():
        table = case.folder / name / "customers.csv"
        (case.folder / name / "new.csv").write_text(table.read_text().replace("M0", "N0"))
        edit(config(case, role), "\n[data]", '\n[score]\njob = "scores"\ndata = "new.csv"\n[data]')
    edit(config(case, "guest"), 'data = "new.csv"', 'data = "new.csv"\noutput = "new_scores.csv"')
    return case


def copied_whole(case, folder):
    import dataclasses

    shutil.copytree(case.folder, folder, dirs_exist_ok=True)
    old, new = setting(case, "host", "listen"), f"127.0.0.1:{free_port()}"
    for role in ROLES:
        edit(folder / ROLES[role] / "party.toml", old, new)
    return dataclasses.replace(case, folder=folder)


@pytest.mark.parametrize("role", ["guest", "host"])
def test_a_scoring_without_its_peer(trained, lives, role):
    impatient(trained, role)
    at = setting(trained, "host", "listen")
    status, said = start(trained, lives, role, command="score").end()
    assert status == 4
    if role == "guest":
        exact(said, absent("host", f"the host at {at}", "nobody answers (connection refused)"))
    else:
        exact(said, absent("guest", f"the guest to connect to {at}", nobody(trained)))


def test_a_scoring_with_a_wrong_job(trained, lives):
    jobs = {"guest": "others", "host": "scores"}
    two = {role: start(trained, lives, role, "--job", jobs[role], command="score") for role in ("host", "guest")}
    for role, life in two.items():
        status, said = life.end()
        assert status == 7
        exact(
            said,
            f"{PEERS[role]!r} runs another job, {jobs[PEERS[role]]!r}, not {jobs[role]!r}: give both the same "
            f"(party at fault: {PEERS[role]})",
        )


def test_an_operator_stops_a_scoring(trained, lives):
    host, guest = (start(trained, lives, role, command="score", tap=SLOW_STEPS) for role in ("host", "guest"))
    stop_once_begun(guest)
    assert guest.end() == (130, f"bluetusk: {STOPS[signal.SIGINT][1]}")
    status, said = host.end()
    assert status == 5
    exact(said, stopped("guest"))
    assert not (trained.folder / "bank" / "new_scores.csv").exists()
