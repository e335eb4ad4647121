"""Killed in the middle, out of room, read-only: nothing is granted, logged or recorded that is not on the disk."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bluetusk.errors import FrameError, PolicyRefused, ProtocolAbort
from bluetusk.evidence import Audit, Grant, Guard, Head, Identity, Log, Policy, Recorder, verify
from bluetusk.evidence import Meter as Counter
from bluetusk.evidence._uses import Uses

OWNER = Identity.generate()
PEER = "5a" * 32
GRANT = Grant("g", PEER, ("binning",), ("*",), uses=10**6, until=2**39, min_intersection=1)
STATED = {"rows": 9, "min_rows": 50, "min_events": 5, "min_others": 5, "bins": 1}
POLICY = Policy("network", 1, (GRANT,)).sign(OWNER)

# For each number that it reads it forks a worker, which asks the guard, appends and says so until it is killed.
NURSERY = """
import os, sys
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from bluetusk.evidence import Guard, Identity, Log, Policy
stated = dict(rows=9, min_rows=50, min_events=5, min_others=5, bins=1)
folder, me = sys.argv[1], Identity(Ed25519PrivateKey.from_private_bytes(bytes.fromhex(sys.argv[2])))
policy = Policy.from_bytes(open(folder + "/policy", "rb").read())
def work(i):
    log = Log.open(folder + "/log", me)
    guard = Guard(policy, folder + "/uses", owner=me.public_key)
    while True:
        guard.authorise(peer="5a" * 32, purpose="binning", columns=["x"], task=f"t{i}", **stated)
        log.append("authorised", by="host", task=f"t{i}", details={"text": "a" * (i * 37 % 3000)})
        os.write(1, f"{i} {log.head().to_bytes().hex()}\\n".encode())
        i += 1
for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        work(int(line))
    os.write(1, f"pid {pid}\\n".encode())
    os.write(1, f"dead {os.waitpid(pid, 0)[1]}\\n".encode())
"""


def test_killed_twenty_times(tmp_path: Path) -> None:
    """What was answered is there, what was not may be; a torn record is cut and said so; heads given out still hold."""
    Log.create(tmp_path / "log", OWNER, owner="host").close()
    (tmp_path / "policy").write_bytes(POLICY.to_bytes())
    said: dict[int, Head] = {}
    command = [sys.executable, "-c", NURSERY, str(tmp_path), OWNER._key.private_bytes_raw().hex()]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as nursery:
        assert nursery.stdin is not None
        assert nursery.stdout is not None
        for turn in range(20):
            nursery.stdin.write(f"{max(said, default=0) + 2}\n")  # the use after the last may have been noted already
            nursery.stdin.flush()
            seen, pid = 0, 0
            for line in nursery.stdout:
                word, value = line.split()
                if word == "dead":
                    assert int(value) == signal.SIGKILL
                    break
                if word == "pid":
                    pid = int(value)
                else:
                    said[int(word)] = Head.from_bytes(bytes.fromhex(value))
                    seen += 1
                if pid and seen > turn % 3:  # it is somewhere in its next use, or append
                    os.kill(pid, signal.SIGKILL)
                    pid = 0
            report = verify(tmp_path / "log", heads=said.values(), key=OWNER.public_key)
            assert report.ok, report.reason
            assert {f"t{i}" for i in said} <= {record.task for record in report.records}
        nursery.stdin.close()
    with Log.open(tmp_path / "log", OWNER, heads=said.values()) as log:
        uses = [record.task for record in log.records if record.what == "authorised"]
    with Guard(POLICY, tmp_path / "uses", owner=OWNER.public_key) as guard:
        spent = guard.usage()["g"]["uses"]
        assert len(uses) == len(set(uses))  # nothing twice
        assert len(uses) <= spent <= len(uses) + 20  # a use may be noted and not logged yet, never the other way round
        for task in uses:
            assert guard.authorise(peer=PEER, purpose="binning", columns=["x"], task=task, **STATED).again
        assert guard.usage()["g"]["uses"] == spent


def test_torn_at_every_byte(tmp_path: Path) -> None:
    """The last append cut off anywhere: the log opens, goes on and verifies, and says that something was cut."""
    path = tmp_path / "log"
    with Log.create(path, OWNER, owner="host") as log:
        log.append("kept", by="host")
        kept, head = os.path.getsize(path), log.head()
        log.append("torn", by="host", details={"x": bytes(range(64))})
        lost = log.head()
    data = path.read_bytes()
    for size in range(kept, len(data), 7):
        path.write_bytes(data[:size])
        before = verify(path, heads=[head])
        assert (before.ok, before.torn, len(before.records)) == (True, size - kept, 2)
        with pytest.raises(ProtocolAbort, match="cut or rolled back"):
            Log.open(path, OWNER, heads=[lost])  # a head covers it: then it was no crash
        assert path.read_bytes() == data[:size]
        fill = size % 2 * 999
        path.write_bytes(data[:size] + bytes(fill))  # as after a power loss: the file had grown already
        assert verify(path, heads=[head]).torn == size + fill - kept
        with Log.open(path, OWNER, heads=[head]) as log:
            assert log.recovered == size + fill - kept
            log.append("after", by="host")
        whats = [record.what for record in verify(path, heads=[head]).records]
        assert whats == ["opened", "kept", *(["recovered"] if size + fill > kept else []), "after"]
        assert verify(path, heads=[head]).ok


def test_torn_uses_at_every_byte(tmp_path: Path) -> None:
    path = tmp_path / "uses"

    def ask(task: str) -> bool:
        with Guard(POLICY, path, owner=OWNER.public_key) as guard:
            return guard.authorise(peer=PEER, purpose="binning", columns=["x"], task=task, **STATED).again

    ask("a")
    kept = path.stat().st_size
    ask("b")
    data = path.read_bytes()
    for size in range(kept, len(data), 5):
        path.write_bytes(data[:size] + bytes(size % 2 * 999))
        assert ask("a")
        assert path.stat().st_size == kept
        assert not ask("b")  # its answer never left
        assert ask("b")


def test_altered_uses_are_refused(tmp_path: Path) -> None:
    """One bit of every byte, in the middle or in the last entry: nothing is cut, nothing believed."""
    path = tmp_path / "uses"
    with Guard(POLICY, path, owner=OWNER.public_key) as guard:
        for task in "ab":
            guard.authorise(peer=PEER, purpose="binning", columns=["x"], task=task, **STATED)
    data = path.read_bytes()
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :])
        with pytest.raises(FrameError, match="altered"):
            Uses(path, OWNER.public_key)
        assert path.stat().st_size == len(data)
    with pytest.raises(PolicyRefused, match="altered") as refused:
        Guard(POLICY, path, owner=OWNER.public_key)
    assert refused.value.clause == "store"
    path.write_bytes(data)
    with pytest.raises(FrameError, match="another data owner"):
        Uses(path, bytes(32))


def test_full_disk(tmp_path: Path, pub: object) -> None:
    """RLIMIT_FSIZE lets no file grow beyond a size: short writes and EFBIG, as a full disk gives ENOSPC."""
    log_path, uses_path, audit_path = tmp_path / "log", tmp_path / "uses", tmp_path / "audit"
    audit = Audit(audit_path, "p")
    log = Log.create(log_path, OWNER, owner="host")
    guard = Guard(POLICY, uses_path, owner=OWNER.public_key)
    recorder = Recorder(log=log, meter=Counter(), job="j", me="host", peers={"guest": PEER}, guard=guard, resumed=True)
    use = {"peer": "guest", "purpose": "binning", "columns": ["x"], **STATED}
    recorder.authorise(**use, task="before")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    sizes = [path.stat().st_size for path in (log_path, uses_path, audit_path)]
    try:
        for room in (0, 1, 100):
            resource.setrlimit(resource.RLIMIT_FSIZE, (sizes[1] + room, hard))
            with pytest.raises(PolicyRefused, match="so nothing is granted") as refused:
                guard.authorise(peer=PEER, purpose="binning", columns=["x"], task="t", **STATED)
            assert refused.value.clause == "store"
            assert guard.usage()["g"]["uses"] == 1
            resource.setrlimit(resource.RLIMIT_FSIZE, (sizes[0] + room, hard))
            with pytest.raises(ProtocolAbort, match="make room"):
                log.append("x", by="host")
            assert len(log) == 2
            resource.setrlimit(resource.RLIMIT_FSIZE, (sizes[2] + room, hard))
            with audit, pytest.raises(ProtocolAbort, match="nothing is encrypted"):
                pub.encrypt([1.0])  # type: ignore[attr-defined]
        assert [path.stat().st_size for path in (log_path, uses_path, audit_path)] == sizes
        # room for the use, none for the log: the caller is stopped, and asking again costs nothing
        resource.setrlimit(resource.RLIMIT_FSIZE, (sizes[0] + 10, hard))
        assert sizes[1] + 400 < sizes[0]
        with pytest.raises(ProtocolAbort, match="make room"):
            recorder.authorise(**use, task="between")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    recorder.authorise(**use, task="between")
    assert guard.usage()["g"]["uses"] == 2
    assert [record.task for record in log.records[1:]] == ["j/before", "j/between"]
    log.close()
    guard.close()
    audit.close()
    assert verify(log_path, key=OWNER.public_key).ok


def test_a_disk_that_fails_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written cannot be taken back either: nothing more is written, and the next start repairs the end."""

    def broken(*arguments: object) -> None:
        raise OSError(5, "Input/output error")

    with Log.create(tmp_path / "log", OWNER, owner="host") as log:
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", broken)
            patched.setattr(os, "ftruncate", broken)
            with pytest.raises(ProtocolAbort, match="Input/output error"):
                log.append("lost", by="host")
        assert len(log) == 1
        with pytest.raises(ProtocolAbort, match="it is closed"):
            log.append("later", by="host")
    with Log.open(tmp_path / "log", OWNER) as log:
        assert len(log) in (1, 2)  # nobody was told of it; it may be there
        log.append("again", by="host")
    assert verify(tmp_path / "log", key=OWNER.public_key).ok
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", broken)
        with pytest.raises(PolicyRefused, match="Input/output error") as refused:
            Guard(POLICY, tmp_path / "uses", owner=OWNER.public_key)
    assert refused.value.clause == "store"
    Guard(POLICY, tmp_path / "uses", owner=OWNER.public_key).close()


READER = """
import os, sys
from bluetusk.errors import PolicyRefused
from bluetusk.evidence import Guard, Identity, Log, Policy
folder, policy, me = sys.argv[1], Policy.from_bytes(bytes.fromhex(sys.argv[2])), Identity.generate()
if os.geteuid() == 0:  # who may write anything
    os.setgid(65534), os.setuid(65534)
try:
    Log.open(folder + "/log", me)
except PermissionError:
    print("log")
for name in ("uses", "new"):
    try:
        Guard(policy, folder + "/" + name, owner=policy.key)
    except PolicyRefused as refused:
        print(name, refused.clause)
"""


def test_read_only(tmp_path: Path) -> None:
    Log.create(tmp_path / "log", OWNER, owner="host").close()
    Guard(POLICY, tmp_path / "uses", owner=OWNER.public_key).close()
    for name in ("log", "uses"):
        (tmp_path / name).chmod(0o444)
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(folder.stat().st_mode | 0o055)
    tmp_path.chmod(0o555)
    arguments = [sys.executable, "-c", READER, str(tmp_path), POLICY.to_bytes().hex()]
    done = subprocess.run(arguments, capture_output=True, text=True)
    tmp_path.chmod(0o755)
    assert done.stdout.split("\n") == ["log", "uses store", "new store", ""], done.stderr
