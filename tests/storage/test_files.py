"""Files written whole or not at all, whatever happens meanwhile; files read up to a limit; locks."""

from __future__ import annotations

import errno
import os
import stat

import pytest

from bluetusk.errors import FrameError
from bluetusk.storage import files

LIMIT = 8192


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077, 0o277])
def test_mode_is_0600_whatever_the_umask(tmp_path, mask):
    before = os.umask(mask)
    try:
        files.write(tmp_path / "a.key", b"sealed")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.key").stat().st_mode) == 0o600
    assert files.read(tmp_path / "a.key", LIMIT) == b"sealed"
    assert os.listdir(tmp_path) == ["a.key"]


def test_an_existing_file_is_kept_unless_asked(tmp_path):
    path = tmp_path / "a.key"
    files.write(path, b"first")
    with pytest.raises(FileExistsError, match="overwrite=True") as caught:
        files.write(path, b"second")
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"first"
    path.chmod(0o644)
    files.write(path, b"second", overwrite=True)
    assert path.read_bytes() == b"second"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["a.key"]


def test_a_file_that_appears_meanwhile_is_kept(tmp_path, monkeypatch):
    path = tmp_path / "a.key"
    real = os.fsync

    def meanwhile(fd):
        real(fd)
        path.write_bytes(b"another writer's")

    monkeypatch.setattr(os, "fsync", meanwhile)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        files.write(path, b"ours")
    assert path.read_bytes() == b"another writer's"
    assert os.listdir(tmp_path) == ["a.key"]


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOTSUP, errno.ENOSYS])
def test_file_systems_without_hard_links(tmp_path, monkeypatch, code):
    def no_links(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", no_links)
    path = tmp_path / "a.key"
    files.write(path, b"first")
    assert path.read_bytes() == b"first"
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (real(fd), (tmp_path / "b.key").write_bytes(b"theirs")))
    with pytest.raises(FileExistsError):
        files.write(tmp_path / "b.key", b"ours")
    assert sorted(os.listdir(tmp_path)) == ["a.key", "b.key"]
    assert (tmp_path / "b.key").read_bytes() == b"theirs"


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "disk full"), KeyboardInterrupt(), MemoryError()])
@pytest.mark.parametrize("call", ["write", "fsync", "fchmod", "link", "replace"])
@pytest.mark.parametrize("existing", [False, True])
def test_nothing_partial_is_left_by_any_failure(tmp_path, monkeypatch, call, error, existing):
    path = tmp_path / "a.key"
    if existing:
        path.write_bytes(b"the old key")
    if call == ("link" if existing else "replace"):
        call = "write"  # the call that is not made in this case

    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(type(error)):
        files.write(path, b"the new key", overwrite=existing)
    monkeypatch.undo()
    assert os.listdir(tmp_path) == (["a.key"] if existing else [])
    assert not existing or path.read_bytes() == b"the old key"


@pytest.mark.parametrize("error", [PermissionError(errno.EACCES, "no"), OSError(errno.EMFILE, "too many files")])
def test_a_directory_that_cannot_be_read_is_no_failure(tmp_path, monkeypatch, error):
    """Mode 0300, say: the file is complete and has its name, only the directory cannot be opened to be synced."""
    real, refused = os.open, []

    def open_files_only(path, flags, *args, **kwargs):
        if os.path.isdir(path):
            refused.append(path)
            raise error
        return real(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", open_files_only)
    files.write(tmp_path / "a.key", b"sealed")
    assert refused == [str(tmp_path)]
    assert files.read(tmp_path / "a.key", LIMIT) == b"sealed"


def test_a_disk_that_fills_up_in_the_middle(tmp_path, monkeypatch):
    real, written = os.write, []

    def little(fd, data):
        if sum(written) >= 30:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(real(fd, data[:10]))
        return written[-1]

    monkeypatch.setattr(os, "write", little)
    with pytest.raises(OSError, match="No space"):
        files.write(tmp_path / "a.key", bytes(100))
    assert os.listdir(tmp_path) == []
    written.clear()
    files.write(tmp_path / "b.key", bytes(range(25)))  # short writes are continued
    assert (tmp_path / "b.key").read_bytes() == bytes(range(25))


def test_the_data_is_on_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    path = tmp_path / "a.key"
    seen, real = [], os.fsync

    def fsync(fd):
        seen.append((stat.S_ISDIR(os.fstat(fd).st_mode), path.exists()))
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    files.write(path, b"sealed")
    assert seen == [(False, False), (True, True)]


def test_a_directory_that_cannot_be_synced_does_not_matter(tmp_path, monkeypatch):
    real = os.fsync

    def fsync(fd):
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    files.write(tmp_path / "a.key", b"sealed")
    assert (tmp_path / "a.key").read_bytes() == b"sealed"


def test_links_are_never_followed_when_writing(tmp_path):
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    link, dangling = tmp_path / "link", tmp_path / "dangling"
    link.symlink_to(target)
    dangling.symlink_to(tmp_path / "nowhere")
    for path in (link, dangling):
        with pytest.raises(FileExistsError):
            files.write(path, b"new")
        files.write(path, b"new", overwrite=True)
        assert not path.is_symlink()
        assert path.read_bytes() == b"new"
    assert target.read_bytes() == b"precious"
    assert not (tmp_path / "nowhere").exists()


def test_missing_and_wrong_places_raise_the_systems_errors(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError):
        files.write(tmp_path / "none" / "a.key", b"x")
    with pytest.raises(FileNotFoundError):
        files.read(tmp_path / "a.key", LIMIT)
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="directory"):
        files.write(tmp_path / "folder", b"x", overwrite=True)
    assert os.listdir(tmp_path) == ["folder"]
    with pytest.raises(FrameError, match="not a regular file of at most 8 KiB"):
        files.read(tmp_path / "folder", LIMIT)
    monkeypatch.chdir(tmp_path)
    files.write("bare-name.key", b"x")
    assert files.read(b"bare-name.key".decode(), LIMIT) == b"x"


def test_a_durable_write_needs_a_directory_that_can_be_synced(tmp_path, monkeypatch):
    real = os.fsync

    def fsync(fd):
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(errno.EIO, "Input/output error")
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="Input/output error"):
        files.write(tmp_path / "a", b"state", durable=True)


def test_modes_and_names_in_errors(tmp_path):
    files.write(tmp_path / "a", b"public", mode=0o644)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o644
    with pytest.raises(FileExistsError, match="the key file exists; choose another path"):
        files.write(tmp_path / "a", b"x", what="key file")


def test_a_limit_is_exact(tmp_path):
    (tmp_path / "a").write_bytes(bytes(LIMIT))
    assert files.read(tmp_path / "a", LIMIT) == bytes(LIMIT)
    with pytest.raises(FrameError, match="not a regular file of at most 7 KiB"):
        files.read(tmp_path / "a", LIMIT - 1)


def test_a_locked_file_is_free_once_it_is_closed(tmp_path):
    fd = files.open_locked(tmp_path / "lock")
    with pytest.raises(BlockingIOError):
        files.open_locked(tmp_path / "lock")
    os.close(fd)
    os.close(files.open_locked(tmp_path / "lock"))
