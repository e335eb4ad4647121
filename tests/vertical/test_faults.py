"""The credit case as two real processes that meet faults: killed at random, refused, altered, slowed, out of disk.

After each fault both logs must verify and both processes must have said in one line what is wrong; once it is mended
the run goes on from its kept steps and ends as an undisturbed one does, with nothing counted twice.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import bluetusk as bt
from bluetusk import cli
from bluetusk.evidence import Identity, Log, Policy, _uses, verify
from bluetusk.vertical.book import marks_of
from bluetusk.vertical.logistic.ring import centred, words

pytest.importorskip("grpc", reason="parties talk over grpcio, which is not installed")
pytest.importorskip("private_set_intersection", reason="alignment needs openmined-psi, which is not installed")

pytestmark = pytest.mark.slow

ROLES = {"guest": "bank", "host": "network"}
PEERS = {"guest": "host", "host": "guest"}
ERROR, POLICY, ABSENT, ENDED, FULL = 1, 3, 4, 5, 8  # statuses of docs/how-to/operate.md
KILLS = int(os.environ.get("BLUETUSK_KILLS", "3"))
IN_ONE_RUN = 5

# Run in a party's process before its command line: no report, which takes longer than all else and has tests of its
# own; and what a hostile or an ill machine would do.
NO_REPORT = """
from bluetusk.vertical.party import run as _run
_run._report = lambda *given: None
"""
FLIP = """
from bluetusk.vertical.party.connection import Connection
whole = Connection.messages
def messages(self):
    for message in whole(self):
        if b"{topic}" in message[:400] and len(message) > 600:
            message = message[:-9] + bytes([message[-9] ^ 16]) + message[-8:]
        yield message
Connection.messages = messages
"""
SLOW = """
import time
from bluetusk.vertical.party.connection import Connection
whole = Connection.messages
def messages(self):
    for message in whole(self):
        time.sleep(0.01 + len(message) / 400e3)
        yield message
Connection.messages = messages
"""
SMALL_DISK = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))
"""
SMALL_AT_THE_END = """
import resource
whole = _run._write
def write(*given):
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
    whole(*given)
_run._write = write
"""
KILLED_AT_POINTS = """
import os, signal
from bluetusk.vertical.logistic import score
whole = score.shared
def shared(*given, **more):
    if {sent}:
        whole(*given, **more)
    os.kill(os.getpid(), signal.SIGKILL)
score.shared = shared
"""


class Process:
    """One life of a party: what it says, and how it ends."""

    def __init__(self, case, role, *, tap="", steps=None):
        self.role, self.case, self.steps = role, case, steps
        home = case.folder / ROLES[role]
        code = f"{NO_REPORT}{tap}\nimport sys\nfrom bluetusk.cli import main\nsys.exit(main(sys.argv[1:]))"
        arguments = ["party", "--config", str(home / "party.toml"), "--json", "--progress", "json"]
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "BLUETUSK_PASSPHRASE": case.passphrases[role], "BLUETUSK_NUM_THREADS": "1"},
        )
        self.said = []
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _follow(self):
        for line in self.process.stderr:
            self.said.append(line)
            if '"done"' in line and self.steps is not None:
                self.steps.release()

    def kill(self):
        """Kill it if it lives; forget it."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self._thread.join(20)
        self.process.stdout.close()
        self.process.stderr.close()

    def end(self, seconds=240):
        """Wait for its end; return its status and the lines that are no progress."""
        status = self.process.wait(seconds)
        self._thread.join(20)
        return status, [line for line in self.said if not line.startswith(("{", "a key of 2048 bits"))]


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """Both parties' files: 500 customers, 4 batches, 2 trees."""
    from bluetusk.demo.credit import CreditPlan, prepare

    case = prepare(CreditPlan(rows=500, epochs=1, trees=2, key_size=2048), tmp_path_factory.mktemp("case"))
    for name in ROLES.values():
        config = case.folder / name / "party.toml"
        edit(config, "\n[data]", "\npatience = 60\n[data]")
        edit(config, "epochs = 1", "epochs = 1\nbatch_size = 96\nmax_bins = 4\ntree_bins = 8\ndepth = 2")
    return case


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def copied(case, folder, splits=None):
    """Return a fresh copy of the case, at a free port; `splits`: a case whose rows held back it is to have."""
    import dataclasses

    shutil.copytree(case.folder, folder, dirs_exist_ok=True)
    for name in ROLES.values() if splits is not None else ():
        shutil.copytree(splits.folder / name / "splits", folder / name / "splits")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{s.getsockname()[1]}"
    edit(folder / "network" / "party.toml", "127.0.0.1:0", address)
    edit(folder / "bank" / "party.toml", "ADDRESS", address)
    return dataclasses.replace(case, folder=folder)


def both(case, **taps):
    """Run both parties to their ends; return each one's status and lines."""
    processes = {role: Process(case, role, tap=taps.get(role, "")) for role in ("host", "guest")}
    try:
        return {role: process.end() for role, process in processes.items()}
    finally:
        for process in processes.values():
            process.kill()


def logs_hold(case, *, covered=False):
    """Both logs verify on the command line, against the heads that the peer holds."""
    for role, name in ROLES.items():
        home, there = case.folder / name, case.folder / ROLES[PEERS[role]]
        if not (home / "evidence.log").exists():
            continue
        heads = ["--head", str(there / "evidence.log")] if (there / "evidence.log").exists() else []
        command = ["evidence", "verify", str(home / "evidence.log"), "--key", str(home / "identity.pub"), "--json"]
        with contextlib.redirect_stdout(io.StringIO()) as out:
            assert cli.main([*command, *heads]) == 0
        told = json.loads(out.getvalue())
        assert told["ok"]
        if covered:
            assert told["heads"]
            assert told["covered"] >= told["records"] - 3, told  # after the heads: the peer's head, two ends


def outcome(case):
    """What must be the same however a run was disturbed: exactly, but for the coefficients."""
    exact, halves = {}, {}
    for role, name in ROLES.items():
        home = case.folder / name
        signer = Identity.load(home / "identity", case.passphrases[role])
        with Log.open(home / "evidence.log", signer) as log:
            kept = list(log.records)
        granted = [r for r in kept if r.what == "authorised"]
        finished = [r for r in kept if r.what == "finished"]
        # the hash of the use that was noted holds its time
        hashes = [{name: value for name, value in r.hashes.items() if name != "noted"} for r in granted]
        exact[role, "authorised"] = [
            (r.task, {**r.details, "policy": 0}, each) for r, each in zip(granted, hashes, strict=True)
        ]
        # the heads' own frames grow with what went before
        exact[role, "finished"] = [
            (r.task, {key: counts for key, counts in r.details["meter"].items() if not key.endswith("/heads")})
            for r in finished
        ]
        assert len({r.task for r in finished}) == len(finished)
        uses = _uses.Uses(home / "evidence.log.uses", signer.public_key)
        exact[role, "uses"] = sorted(
            (use.purpose, use.task, use.request, use.ids) for use in uses.known.by_task.values() if not use.again
        )
        uses.close()
        passphrase = case.passphrases[role]
        boosting = bt.vertical.GradientBoosting.load(home / "output" / "gradient_boosting.bt", passphrase)
        exact[role, "boosting"] = {k: v.tobytes() for k, v in boosting._half.arrays().items() if k != "digests"}
        binning = bt.vertical.WoEBinning.load(home / "output" / "binning.bt", passphrase)
        exact[role, "binning"] = binning.table()
        path = home / "output" / "logistic_regression.bt"
        halves[role] = bt.vertical.LogisticRegression.load(path, passphrase, binning=binning).half_
        result = json.loads((home / "output" / "result.json").read_text())
        meter = result["evidence"]["meter"]
        exact[role, "meter"] = {key: counts for key, counts in meter.items() if not key.endswith("/heads")}
        exact[role, "sizes"] = [result[key] for key in ("intersection", "train", "test")]
    with open(case.folder / "bank" / "output" / "scores.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    ids = sorted(lines, key=lambda line: line["id"])
    guest, host = halves["guest"], halves["host"]
    near = {
        role: np.array(centred(words((mine + theirs).tolist())), float) / 2.0**20
        for role, mine, theirs in (("guest", guest.own, host.theirs), ("host", guest.theirs, host.own))
    }
    exact["scores"] = [(line["id"], line["label"], line["gradient_boosting"]) for line in ids]
    return exact, near


def same(found, wanted):
    for key in wanted[0]:
        assert found[0][key] == wanted[0][key], key
    for role, weights in wanted[1].items():
        assert np.abs(found[1][role] - weights).max() < 1e-3


@pytest.fixture(scope="module")
def undisturbed(case, tmp_path_factory):
    """The outcome of a run without a fault, how many steps it reports, and the case, which has the split."""
    mine = copied(case, tmp_path_factory.mktemp("undisturbed"))
    steps = threading.Semaphore(0)
    host, guest = Process(mine, "host"), Process(mine, "guest", steps=steps)
    try:
        assert guest.end() == (0, [])
        assert host.end() == (0, [])
    finally:
        for process in (host, guest):
            process.kill()
    count = 0
    while steps.acquire(blocking=False):
        count += 1
    return outcome(mine), count, mine


@pytest.mark.parametrize("run", range(-(-KILLS // IN_ONE_RUN)))
def test_killed_at_random_points(case, undisturbed, tmp_path, run):
    wanted, steps, first = undisturbed
    mine = copied(case, tmp_path, first)
    kills = min(IN_ONE_RUN, KILLS - run * IN_ONE_RUN)
    rng = random.Random()
    seed = rng.randrange(1 << 32)
    rng.seed(seed)
    print(f"seed {seed}")
    at = sorted(rng.uniform(0, steps) for _ in range(kills))
    heard = {role: threading.Semaphore(0) for role in ROLES}
    lives = {role: Process(mine, role, steps=heard[role]) for role in ("host", "guest")}
    passed = 0
    try:
        for point in at:
            role = rng.choice(list(ROLES))
            while passed < int(point) and lives["guest"].process.poll() is None:
                passed += heard["guest"].acquire(timeout=1.0)
            time.sleep(rng.uniform(0, 0.3))
            print(f"kill {role} after {passed} of {steps} steps")
            lives[role].kill()
            assert lives[PEERS[role]].process.poll() in (None, 0)
            lives[role] = Process(mine, role, steps=heard[role])
        ends = {role: life.end() for role, life in lives.items()}
        # killed when it had not yet heard that its peer was done, and then left alone: as it says, both start again
        alone = [said[0] for status, said in ends.values() if status]
        assert all("start both again" in line for line in alone)
        if alone:
            ends = both(mine)
        assert ends == {role: (0, []) for role in ROLES}
    finally:
        for life in lives.values():
            life.kill()
    same(outcome(mine), wanted)
    logs_hold(mine, covered=True)


@pytest.mark.parametrize("sent", [False, True])
def test_a_host_that_is_killed_when_points_open(case, undisturbed, tmp_path, sent):
    """Between the note of the scored rows and the points, and after they are on their way: the same job goes on."""
    mine = copied(case, tmp_path, undisturbed[2])
    host, guest = Process(mine, "host", tap=KILLED_AT_POINTS.format(sent=sent)), Process(mine, "guest")
    try:
        assert host.process.wait(240) == -signal.SIGKILL
        splits = "network/splits"
        earlier = {path.name for path in (undisturbed[2].folder / splits).iterdir()}
        (book,) = [path for path in (mine.folder / splits).glob("*.scored") if path.name not in earlier]
        noted = book.read_bytes()
        assert len(noted) > 1000
        if sent:  # the file is lost meanwhile: a new one would know less
            book.unlink()
        again = Process(mine, "host")
        try:
            ends = {"host": again.end(), "guest": guest.end()}
        finally:
            again.kill()
    finally:
        for process in (host, guest):
            process.kill()
    if sent:
        lines = errors(ends, host=ERROR, guest=ENDED)
        assert "book of scored rows" in lines["host"]
        assert "is missing" in lines["host"]
        assert "gave up" in lines["guest"]
        book.write_bytes(noted)
        ends = both(mine)
    assert ends == {role: (0, []) for role in ROLES}
    same(outcome(mine), undisturbed[0])
    assert book.read_bytes() == noted  # nothing is scored that was not noted then
    home = mine.folder / "network"
    binning = bt.vertical.WoEBinning.load(home / "output" / "binning.bt", mine.passphrases["host"])
    path = home / "output" / "logistic_regression.bt"
    half = bt.vertical.LogisticRegression.load(path, mine.passphrases["host"], binning=binning)
    with open(mine.folder / "bank" / "output" / "scores.csv") as file:
        tested = [row["id"] for row in csv.DictReader(file) if row["part"] == "test"]
    with pytest.raises(bt.PolicyRefused, match=f"{len(tested)} of {len(tested)} ids"):
        half.book_.refuse(marks_of(half.model_, tested))
    book.unlink()
    with pytest.raises(bt.FrameError, match="is missing"):
        bt.vertical.LogisticRegression.load(path, mine.passphrases["host"], binning=binning)


def errors(ends, **statuses):
    """Each party's one line; each ended with its status, or one of several."""
    lines = {}
    for role, (status, said) in ends.items():
        wanted = statuses[role]
        assert status in (wanted if isinstance(wanted, tuple) else (wanted,)), (role, status, said)
        assert len(said) == 1, (role, said)
        assert said[0].startswith("bluetusk: "), said
        lines[role] = said[0]
    return lines


def signed(case, role, change):
    """Replace a party's policy by one with a higher serial."""
    import dataclasses

    path = case.folder / ROLES[role] / "policy.signed"
    old = Policy.load(path)
    grants = tuple(change(grant) for grant in old.grants)
    signer = Identity.load(path.with_name("identity"), case.passphrases[role])
    new = dataclasses.replace(old, serial=old.serial + 1, grants=grants, signature=b"", key=b"")
    path.write_bytes(new.sign(signer).to_bytes())


def test_one_run_that_meets_every_fault(case, undisturbed, tmp_path):
    import dataclasses

    mine = copied(case, tmp_path, undisturbed[2])
    network, bank = mine.folder / "network", mine.folder / "bank"

    # a guest that expects, and shows, a certificate of somebody else
    edit(bank / "party.toml", "../network/network.cert.pem", "bank.cert.pem")
    host, guest = Process(mine, "host"), Process(mine, "guest")
    try:
        status, said = guest.end()
        assert status == 6
        assert len(said) == 1
        assert re.match("bluetusk: the certificates do not fit", said[0])
        assert host.process.poll() is None  # a stranger at the door ends nothing
    finally:
        for process in (host, guest):
            process.kill()
    edit(bank / "party.toml", 'peer_certificate = "bank.cert.pem"', 'peer_certificate = "../network/network.cert.pem"')
    logs_hold(mine)

    # the host's grant has expired: the owner's own process refuses
    until = Policy.load(network / "policy.signed").grants[0].until
    signed(mine, "host", lambda grant: dataclasses.replace(grant, until=int(time.time()) - 60))
    lines = errors(both(mine), host=POLICY, guest=ENDED)
    assert "clause until" in lines["host"]
    assert "the other party gave up: 'the policy does not allow this'" in lines["guest"]
    logs_hold(mine)
    refused = [r for r in verify(network / "evidence.log").records if r.what == "refused"]
    assert [r.details["clause"] for r in refused] == ["until"]
    signed(mine, "host", lambda grant: dataclasses.replace(grant, until=until))

    # a guest that hangs: its host gives it up, and it finds nobody when it wakes
    edit(network / "party.toml", "patience = 60", "patience = 6")
    edit(bank / "party.toml", "patience = 60", "patience = 6")
    steps = threading.Semaphore(0)
    host, guest = Process(mine, "host"), Process(mine, "guest", steps=steps)
    try:
        steps.acquire(timeout=60)
        guest.process.send_signal(signal.SIGSTOP)
        ends = {"host": host.end()}
        guest.process.send_signal(signal.SIGCONT)
        lines = errors({**ends, "guest": guest.end()}, host=ABSENT, guest=(ABSENT, ENDED))
    finally:
        for process in (host, guest):
            process.kill()
    assert "no sign of life from 'guest'" in lines["host"]
    # what the host sent at its end may have reached the sleeping guest's socket
    assert re.search("no sign of life from 'host'|the other party gave up", lines["guest"])
    logs_hold(mine)
    edit(network / "party.toml", "patience = 6", "patience = 60")
    edit(bank / "party.toml", "patience = 6", "patience = 60")

    # the proof of the host's key is altered on its way, in the regression's first message
    lines = errors(both(mine, host=FLIP.format(topic="curvature")), host=ENDED, guest=ENDED)
    assert "the key of 'host': root" in lines["guest"]
    assert "gave up" in lines["host"]
    logs_hold(mine)

    # the guest's files may not grow beyond what the gradients of a tree need
    lines = errors(both(mine, guest=SMALL_DISK.format(size=100_000)), host=ENDED, guest=FULL)
    assert "disk is full" in lines["guest"]
    assert "gave up" in lines["host"]
    logs_hold(mine)

    # a slow way, and what was left of the run passes over it
    ends = both(mine, guest=SLOW, host=SLOW)
    assert ends == {"guest": (0, []), "host": (0, [])}
    logs_hold(mine, covered=True)
    same(outcome(mine), undisturbed[0])


@contextlib.contextmanager
def small_disk(folder):
    """Put a file system of 8 MiB at a folder, where this machine lets us; yields whether there is one."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "bluetusk-test", str(folder)]
    made = subprocess.run(command, capture_output=True, check=False).returncode == 0
    try:
        yield made
    finally:
        if made:
            subprocess.run(["umount", str(folder)], check=True)


def fill(folder):
    """Take all the space that there is."""
    with contextlib.suppress(OSError), open(folder / "filler", "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


@pytest.mark.parametrize("role", ["guest", "host"])
def test_a_full_disk_when_results_are_written(case, undisturbed, tmp_path, role):
    """No result at either party, both told so; when there is space again both go on and have what they should have."""
    mine = copied(case, tmp_path, undisturbed[2])
    output = mine.folder / ROLES[role] / "output"
    with small_disk(output) as real:
        tap = "" if real else SMALL_AT_THE_END
        steps = threading.Semaphore(0)
        lives = {me: Process(mine, me, tap=tap if me == role else "", steps=steps) for me in ("host", "guest")}
        try:
            for _ in range(20):  # both have passed their checks
                assert steps.acquire(timeout=60)
            if real:
                fill(output)
            lines = errors({me: life.end() for me, life in lives.items()}, **{role: FULL, PEERS[role]: ENDED})
        finally:
            for life in lives.values():
                life.kill()
        assert "cannot write the results" in lines[role]
        assert "the disk is full" in lines[role]
        assert "its results could not be written: the disk is full" in lines[PEERS[role]]
        for name in ROLES.values():
            folder = mine.folder / name / "output"
            assert not folder.exists() or {path.name for path in folder.iterdir()} <= {"filler"}
        logs_hold(mine)
        (output / "filler").unlink(missing_ok=True)
        assert both(mine) == {"guest": (0, []), "host": (0, [])}
        same(outcome(mine), undisturbed[0])
