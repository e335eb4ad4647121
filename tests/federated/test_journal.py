"""The journal of decrypted sums: what was written before a crash counts, and nothing else is believed."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bluetusk.errors import ProtocolAbort
from bluetusk.federated.paillier_sum.journal import Journal

SESSION, OTHER = bytes(range(32)), bytes(32)


def spent(path: Path, round: int, tensor: str = "g", session: bytes = SESSION) -> bool:
    journal = Journal(path, session)
    try:
        journal.check(round, tensor)
    except ProtocolAbort as err:
        return "already decrypted" in err.reason
    finally:
        journal.close()
    return False


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal that holds rounds 0, 1 and 2."""
    path = tmp_path / "sums"
    journal = Journal(path, SESSION)
    for round in range(3):
        journal.spend(round, "g")
    journal.close()
    return path


def test_spent_once_and_remembered(path: Path) -> None:
    assert [spent(path, round) for round in range(4)] == [True, True, True, False]
    assert not spent(path, 0, "h")
    assert not spent(path, 0, session=OTHER)
    journal = Journal(path, SESSION)
    with pytest.raises(ProtocolAbort, match="round 1: the sum of tensor 'g' was already decrypted"):
        journal.spend(1, "g")
    journal.spend(3, "g")
    with pytest.raises(ProtocolAbort, match="already decrypted"):
        journal.spend(3, "g")
    journal.close()
    assert spent(path, 3)
    assert path.stat().st_mode & 0o777 == 0o600


def test_one_file_serves_sessions_in_turn(path: Path) -> None:
    journal = Journal(path, OTHER)
    journal.spend(1, "gr\u00f6\u00dfe x")
    journal.close()
    assert spent(path, 1, "gr\u00f6\u00dfe x", OTHER)
    assert spent(path, 1)
    assert not spent(path, 2, session=OTHER)


def test_torn_last_line_at_every_byte(path: Path) -> None:
    data = path.read_bytes()
    start = data[:-1].rfind(b"\n") + 1
    for end in range(start, len(data) + 1):
        path.write_bytes(data[:end])
        complete = end >= len(data) - 1  # nothing but the line's end is missing: it counts
        assert spent(path, 2) is complete
        assert spent(path, 1)
        assert path.read_bytes() == (data if complete else data[:start])
        journal = Journal(path, SESSION)
        if not complete:
            journal.spend(2, "g")  # and the next line stands on its own
        journal.close()
        assert path.read_bytes() == data


def test_zeros_after_a_power_cut(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data + bytes(40))
    assert spent(path, 2)
    assert path.read_bytes() == data


def test_an_altered_line_is_never_believed(path: Path) -> None:
    data = path.read_bytes()
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1
        path.write_bytes(changed)
        if at == len(data) - 1:  # no line end: a torn line, cut off
            assert not spent(path, 2)
            continue
        with pytest.raises(ProtocolAbort, match="was altered"):
            Journal(path, SESSION)
        assert path.read_bytes() == changed
    path.write_bytes(data.replace(b"sum", b"\nsum", 1))
    with pytest.raises(ProtocolAbort, match="line 1 of"):
        Journal(path, SESSION)


def test_one_holder_at_a_time(path: Path) -> None:
    first = Journal(path, SESSION)
    with pytest.raises(ProtocolAbort, match="in use by another key holder"):
        Journal(path, SESSION)
    first.close()
    first.close()
    Journal(path, SESSION).close()
    with pytest.raises(ProtocolAbort, match="closed"):
        first.spend(9, "g")


def test_a_fork_may_not_spend(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(path, SESSION)
    pid = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: pid + 1)
    with pytest.raises(ProtocolAbort, match="parent process"):
        journal.spend(9, "g")
    monkeypatch.undo()
    journal.close()
    assert not spent(path, 9)


@pytest.mark.parametrize("written", [0, 1, 50])
def test_full_disk(path: Path, monkeypatch: pytest.MonkeyPatch, written: int) -> None:
    data = path.read_bytes()
    journal = Journal(path, SESSION)
    write = os.write

    def full(fd: int, line: bytes) -> int:
        if not written:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, line[:written])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(ProtocolAbort, match="is not decrypted: make room"):
        journal.spend(3, "g")
    monkeypatch.undo()
    assert path.read_bytes() == data  # nothing half-written is left
    with pytest.raises(ProtocolAbort, match="already decrypted"):
        journal.spend(3, "g")  # this process refuses all the same
    journal.spend(4, "g")
    journal.close()
    assert spent(path, 4)
    assert not spent(path, 3)


def test_an_interrupt_while_writing_leaves_no_half_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = path.read_bytes()
    journal = Journal(path, SESSION)
    write = os.write

    def interrupted(fd: int, line: bytes) -> int:
        write(fd, line[:30])
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        journal.spend(3, "g")
    monkeypatch.undo()
    assert path.read_bytes() == data
    journal.spend(4, "g")
    journal.close()
    assert spent(path, 4)


def test_a_disk_that_fails_for_good(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(path, SESSION)

    def broken(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(ProtocolAbort, match="Input/output error"):
        journal.spend(3, "g")
    monkeypatch.undo()
    with pytest.raises(ProtocolAbort, match="closed"):
        journal.spend(4, "g")
    Journal(path, SESSION).close()


def test_places_that_are_no_file(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", ".", "absent/sums"):
        with pytest.raises(OSError, match=r"\["):
            Journal(tmp_path / name, SESSION)
    assert not (tmp_path / "target").exists()
    with pytest.raises(ProtocolAbort, match="not a regular file"):
        Journal(tmp_path / "pipe", SESSION)


def test_a_file_beyond_all_measure(path: Path) -> None:
    os.truncate(path, (1 << 28) + 1)
    with pytest.raises(ProtocolAbort, match="too large"):
        Journal(path, SESSION)


def test_kill_9_forgets_nothing_that_was_answered(tmp_path: Path) -> None:
    """A process that answers round after round is killed at some moment: every answered round is spent."""
    path = tmp_path / "sums"
    code = (
        "import sys, itertools\n"
        "from bluetusk.federated.paillier_sum.journal import Journal\n"
        "journal = Journal(sys.argv[1], bytes(range(32)))\n"
        "for round in itertools.count(int(sys.argv[2])):\n"
        "    journal.spend(round, 'g')\n"
        "    print(round, flush=True)\n"
    )
    last = -1
    for kill in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(path), str(last + 2)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        for _ in range(3 + 7 * kill):
            last = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().split()
        last = int(rest[-1]) if rest else last
        process.stdout.close()
        process.wait()
        journal = Journal(path, SESSION)
        with pytest.raises(ProtocolAbort, match="already decrypted"):
            journal.spend(last, "g")
        assert len(journal._spent) >= last - kill  # one number is skipped at each start, in case it was spent unseen
        journal.close()
