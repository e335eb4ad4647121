"""Files that grow: one writer, whole additions, and nothing left of one that failed."""

from __future__ import annotations

import errno
import os
import shutil
import stat

import pytest

from bluetusk.errors import ProtocolAbort
from bluetusk.storage import append
from bluetusk.storage.append import AppendFile, read_whole


def test_additions_are_read_back_and_torn_ends_are_taken_back(tmp_path):
    path = tmp_path / "log"
    file = AppendFile(path, create=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    end = file.append(b"one", 0)
    path.write_bytes(b"one and a half-written ad")
    assert file.append(b"two", end) == 6
    assert file.read() == read_whole(path) == b"onetwo"
    assert (file.size, file.closed, file.inherited) == (6, False, False)
    file.close()
    assert file.closed
    with pytest.raises(OSError, match="it is closed"):
        file.append(b"three", 6)


def test_the_owner_is_named(tmp_path):
    with pytest.raises(ProtocolAbort, match="give a separate file"):
        AppendFile("/dev/null")
    with pytest.raises(ProtocolAbort, match="give the key holder a separate file"):
        AppendFile("/dev/null", owner="key holder")
    file = AppendFile(tmp_path / "log", create=True)
    for owner, named in (("", "another process"), ("key holder", "another key holder")):
        with pytest.raises(ProtocolAbort, match=f"in use by {named}: close that one first"):
            AppendFile(tmp_path / "log", owner=owner)
    file.close()


def test_a_file_too_large_to_read_is_to_be_kept(tmp_path, monkeypatch):
    """A new one in its place would forget what was answered: uses of a grant, rows scored."""
    monkeypatch.setattr(append, "MAX_FILE", 8)
    path = tmp_path / "book"
    path.write_bytes(bytes(9))
    file = AppendFile(path)
    for read in (file.read, lambda: read_whole(path)):
        with pytest.raises(ProtocolAbort, match="9 bytes, more than 8, and is not read: keep it") as no:
            read()
        assert "move it away" not in str(no.value)
    file.close()


@pytest.mark.parametrize("durable", [False, True])
def test_a_directory_that_cannot_be_synced(tmp_path, monkeypatch, durable):
    def broken(fd):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    if durable:
        with pytest.raises(OSError, match="Input/output error"):
            AppendFile(tmp_path / "log", create=True, durable=True)
    else:
        AppendFile(tmp_path / "log", create=True).close()
    monkeypatch.undo()
    AppendFile(tmp_path / "log").close()  # nobody holds it


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda path: path.unlink(), "was deleted"),
        (lambda path: os.replace(shutil.copy(path, f"{path}.copy"), path), "or replaced"),
        (
            lambda path: (os.link(path, f"{path}.kept"), os.replace(shutil.copy(path, f"{path}.copy"), path)),
            "or replaced",
        ),
        (lambda path: (os.rename(path, f"{path}.1"), path.write_bytes(b"on")), "or replaced"),
        (lambda path: path.write_bytes(b"on"), "older copy was restored"),
    ],
)
def test_a_file_that_is_taken_away_while_it_is_open(tmp_path, harm, said):
    """Another process could open what is in its place; and an addition behind a gap would damage the file."""
    path = tmp_path / "file"
    file = AppendFile(path, create=True)
    end = file.append(b"one", 0)
    harm(path)
    with pytest.raises(OSError, match=said):
        file.append(b"two", end)
    file.close()
    assert not path.exists() or path.read_bytes() in (b"one", b"on")


def test_a_relative_path_outlives_a_change_of_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = AppendFile("file", create=True)
    monkeypatch.chdir("/")
    assert file.append(b"one", 0) == 3
    file.close()
