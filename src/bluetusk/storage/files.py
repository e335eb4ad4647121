"""Writes files whole or not at all, reads regular files up to a limit, and locks files against other processes."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import tempfile

from ..errors import FrameError

__all__ = ["explained", "in_use", "is_full", "open_locked", "read", "read_all", "sync_directory", "write"]


def write(
    path: str | os.PathLike[str],
    data: bytes,
    *,
    overwrite: bool = False,
    mode: int = 0o600,
    durable: bool = False,
    what: str = "file",
) -> None:
    """Write a file that by default only its owner may read, whole or not at all.

    The bytes go to a new file in the same directory, are forced to the disk, and only then get their name. On any
    failure or Ctrl-C the new file is removed and what was at `path` is unchanged. A symbolic link at `path` is never
    followed: it counts as an existing file, and `overwrite` replaces the link itself.

    Parameters
    ----------
    path : path-like
        The file to write.
    data : bytes
        Its content.
    overwrite : bool, optional
        Whether to replace an existing file; a directory is never replaced.
    mode : int, optional
        The file's mode, whatever the umask.
    durable : bool, optional
        Raise an error if the directory cannot be synced: the file exists, but its name may not survive a crash.
    what : str, optional
        What the file is, for the error.

    Raises
    ------
    FileExistsError
        If `path` exists and `overwrite` is False.
    OSError
        If the file cannot be written: no such directory, disk full, read-only.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(folder + "/a.key", b"sealed")
    ...     oct(os.stat(folder + "/a.key").st_mode & 0o777), read(folder + "/a.key", 8192)
    ('0o600', b'sealed')
    """
    name = os.fspath(path)
    folder = os.path.dirname(name) or os.curdir
    if not overwrite and os.path.lexists(name):
        raise _exists(name, what)
    try:
        _write_beside(name, folder, data, overwrite=overwrite, mode=mode, what=what)
    except OSError as error:  # the system knows a descriptor, or the name of the new file; people know this one
        if not isinstance(error, FileExistsError):
            error.filename, error.filename2 = name, None
        raise
    sync_directory(folder, durable=durable)


def read(path: str | os.PathLike[str], limit: int) -> bytes:
    """Read a regular file of at most `limit` bytes.

    Parameters
    ----------
    path : path-like
        The file; symbolic links are followed.
    limit : int
        In bytes.

    Returns
    -------
    bytes
        Its content.

    Raises
    ------
    FrameError
        If it is larger, or a directory, device or pipe (which could block or never end).
    OSError
        If the file cannot be read: not found, no permission.

    Examples
    --------
    >>> read("/dev/null", 1 << 30)
    Traceback (most recent call last):
        ...
    bluetusk.errors.FrameError: /dev/null is not a regular file of at most 1 GiB
    """
    fd = os.open(os.fspath(path), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # non-blocking: a pipe must not hang us
    try:
        about = os.fstat(fd)
        if not stat.S_ISREG(about.st_mode) or about.st_size > limit:
            size = f"{limit >> 30} GiB" if limit >> 30 else f"{limit >> 10} KiB"
            raise FrameError(f"{os.fspath(path)} is not a regular file of at most {size}")
        return read_all(fd, about.st_size)
    finally:
        os.close(fd)


def read_all(fd: int, size: int) -> bytes:
    """Return the first `size` bytes of an open file, or what there is, whatever its current position."""
    data = os.pread(fd, size, 0)  # all, unless a signal came or it is above 2 GiB
    while len(data) < size and (part := os.pread(fd, size - len(data), len(data))):
        data += part
    return data


def open_locked(path: str | os.PathLike[str], flags: int = os.O_RDWR | os.O_CREAT) -> int:
    """Open a file (created with mode 0600) and lock it until it is closed.

    Parameters
    ----------
    path : path-like
        The file.
    flags : int, optional
        Of :func:`os.open`.

    Returns
    -------
    int
        The file descriptor.

    Raises
    ------
    BlockingIOError
        If another process, or another caller of this one, holds it.
    OSError
        If the file cannot be opened.
    """
    fd = os.open(path, flags | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(fd)
        raise
    return fd


def in_use(path: str | os.PathLike[str]) -> bool:
    """Return whether another process holds a lock on a file; a file that is absent or may not be read is not in use.

    Nothing is made or changed.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def sync_directory(folder: str | os.PathLike[str], *, durable: bool = True) -> None:
    """Make the names in a directory survive a crash.

    Parameters
    ----------
    folder : path-like
        The directory.
    durable : bool, optional
        If False, a directory that cannot be synced is not an error: one that may be written to but not read cannot be
        opened, and some network file systems cannot sync one.

    Raises
    ------
    OSError
        If the directory cannot be synced, unless `durable` is False.
    """
    with contextlib.suppress(*([] if durable else [OSError])):
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def is_full(error: OSError) -> bool:
    """Return whether a write failed because the disk is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _write_beside(name: str, folder: str, data: bytes, *, overwrite: bool, mode: int, what: str) -> None:
    """Write a new file in the folder, and give it the name."""
    fd, temporary = tempfile.mkstemp(prefix=".bluetusk-", suffix=".tmp", dir=folder)
    try:
        try:
            os.fchmod(fd, mode)
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(fd, rest) :]
            os.fsync(fd)
        finally:
            os.close(fd)
        if overwrite:
            os.replace(temporary, name)
        else:
            _name_new(temporary, name, what)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


_REMEDIES = {
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "check the path",
    errno.EISDIR: "name a file",
    errno.EACCES: "run as a user who may use it, or change its mode",
    errno.EPERM: "run as a user who may use it, or change its mode",
    errno.EROFS: "choose a folder on another disk",
    errno.EEXIST: "choose another name, or move it away",
    errno.ENOSPC: "free space and start again",
    errno.EDQUOT: "free space and start again",
    errno.EFBIG: "raise the limit of a file's size and start again",
    errno.EADDRINUSE: "stop the program that listens there, or choose another port",
    errno.EMFILE: "raise the limit of open files, `ulimit -n`",
    errno.ELOOP: "a symbolic link leads to itself or is refused: give the file itself",
    errno.ENAMETOOLONG: "choose a shorter name",
}


def explained(error: OSError) -> str:
    """Return an error of the system as a text for people: the file, what is wrong, and the remedy.

    Examples
    --------
    >>> explained(FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "bank.csv"))
    'bank.csv: No such file or directory: check the path'
    """
    if error.strerror is None or error.errno is None:
        return str(error)
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
    remedy = _REMEDIES.get(error.errno)
    return ": ".join([*([" and ".join(names)] if names else []), error.strerror, *([remedy] if remedy else [])])


def _name_new(temporary: str, name: str, what: str) -> None:
    """Give a file a name that must be free."""
    try:
        os.link(temporary, name)
    except FileExistsError:
        raise _exists(name, what) from None
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        # a file system without hard links: look, then rename; two writers in the same instant would both succeed
        if os.path.lexists(name):
            raise _exists(name, what) from None
        os.rename(temporary, name)


def _exists(name: str, what: str) -> FileExistsError:
    return FileExistsError(errno.EEXIST, f"the {what} exists; choose another path, or pass overwrite=True", name)
