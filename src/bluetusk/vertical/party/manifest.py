"""Binds the files of a state directory to each other: one encrypted manifest lists them, and says whose they are.

A directory belongs to one job from its first manifest on, and has a random id. The *generation* counts its manifests.
Each file is bound to the directory's id, the job and the generation in which it was written; the manifest holds its
SHA-256 hash. A file of another job, or an older file of the same name, is therefore refused. A file counts from the
manifest that lists it on: what a crash has left beside the manifest is not listed and goes away.

An older copy of the whole directory is consistent. Only somebody else can notice it: the peer, which remembers how far
the directory had come (:class:`Stand`), and this party's log of evidence, which has the generation.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import FrameError, ProtocolAbort
from ...wire import frame
from ...wire.frame import Kind, check_fields, decode, encode
from .vault import Vault

__all__ = ["RESTORE", "Manifest", "Stand"]

_NAME, _FORMAT = "manifest", 2
_FIELDS = ("files", "format", "generation", "id", "job", "more")
_BEFORE = "steps"  # the file that stood in place of the manifest in format 1
_ID = 16
_HASH = 32
RESTORE = (
    "restore the whole directory as it was last, or remove the state directories of both parties and choose a new job "
    "name"
)
"""The remedy where a directory's files do not belong together."""


@dataclass(frozen=True)
class Stand:
    """How far a state directory has come: what a party tells its peer, which remembers it.

    A step that is kept, or given up, makes a new stand. A process that merely starts does not: so an old copy never
    comes to the stand that the peer remembers, however often it is started.

    Attributes
    ----------
    id : bytes
        The directory's, 16 bytes.
    number : int
        Rises by 1 with each new stand.
    mark : bytes
        16 bytes, drawn for each: two directories that have continued the same copy differ.
    """

    id: bytes
    number: int
    mark: bytes

    def next(self) -> Stand:
        """Return a new stand of the same directory."""
        return Stand(self.id, self.number + 1, os.urandom(_ID))

    def plain(self) -> list[Any]:
        """Return the values, for a header."""
        return [self.id, self.number, self.mark]

    @classmethod
    def read(cls, values: list[Any]) -> Stand | None:
        """Read :meth:`plain`; None of an empty list, FrameError if they are malformed."""
        if not values:
            return None
        if [type(value) for value in values] != [bytes, int, bytes]:
            raise FrameError("the stand of a state directory is malformed")
        id, number, mark = values
        if len(id) != _ID or len(mark) != _ID or number < 0:
            raise FrameError("the stand of a state directory is malformed")
        return cls(id, number, mark)

    def follows(self, before: Stand) -> bool:
        """Return whether a directory that had come to `before` can have come to this without going back."""
        if self.id != before.id or self.number < before.number:
            return False
        return self.number > before.number or self.mark == before.mark


class Manifest:
    """The manifest of a directory, and the files that it lists.

    Parameters
    ----------
    vault : Vault
        The directory.
    job : str
        The job.

    Attributes
    ----------
    id : bytes
        The directory's, 16 bytes.
    generation : int
        Number of manifests written.
    more : dict or None
        The fields given to the last :meth:`commit`; None in a new directory.

    Raises
    ------
    ProtocolAbort
        If the directory is of another job, or was begun by a version without a manifest.
    FrameError
        If the manifest was changed.

    Examples
    --------
    >>> import tempfile
    >>> vault = Vault(tempfile.mkdtemp(), bytes(32))
    >>> manifest = Manifest(vault, "a job")
    >>> manifest.write("state", b"secret")
    >>> manifest.commit({"now": 1}, ["state"])
    >>> again = Manifest(vault, "a job")
    >>> again.more, again.read("state")
    ({'now': 1}, b'secret')
    >>> vault.close()
    """

    def __init__(self, vault: Vault, job: str) -> None:
        self._vault, self._job = vault, job
        self.id, self.generation = os.urandom(_ID), 0
        self.more: dict[str, Any] | None = None
        self._files: dict[str, tuple[int, bytes]] = {}  # the generation and the hash of each listed file
        self._written: dict[str, tuple[int, bytes]] = {}  # since the last manifest
        self._read()

    def write(self, name: str, data: bytes) -> None:
        """Write a file, which the next manifest may list; one that is listed is never replaced."""
        if name in self._files:
            raise ValueError(f"{name} is in use: list it no more, then write it")
        self._vault.write(name, data, bound=self._bound(self.generation + 1))
        self._written[name] = self.generation + 1, hashlib.sha256(data).digest()

    def read(self, name: str) -> bytes:
        """Return a listed file.

        Raises
        ------
        FrameError
            If it is not listed or not there, or not the one that is listed.
        """
        if name not in self._files:
            raise FrameError(f"{name} is not among the files of {self._vault.path}")
        generation, due = self._files[name]
        try:
            data = self._vault.read(name, bound=self._bound(generation))
        except FrameError:
            data = b""
        if data is None:
            raise FrameError(f"{name} is missing from {self._vault.path}: {RESTORE}")
        if hashlib.sha256(data).digest() != due:
            raise FrameError(
                f"{self._vault.path / name} is of another job, an older copy, or was changed: the manifest lists "
                f"another file of this name, of generation {generation}; {RESTORE}"
            )
        return data

    def commit(self, more: Mapping[str, Any], keep: Collection[str]) -> None:
        """Write the next manifest: from here on it lists these files, and `more` holds.

        Parameters
        ----------
        more : mapping
            Values that a header can hold.
        keep : collection of str
            Names of files; those that neither the last manifest listed nor :meth:`write` wrote are left out.
        """
        known = {**self._files, **self._written}
        files = {name: known[name] for name in keep if name in known}
        header = {
            "format": _FORMAT,
            "id": self.id,
            "job": self._job,
            "generation": self.generation + 1,
            "more": dict(more),
            "files": {name: list(about) for name, about in files.items()},
        }
        self._vault.write(_NAME, encode(Kind.CHECKPOINT, header))
        self.generation += 1
        self.more, gone = dict(more), [name for name in known if name not in files]
        self._files, self._written = files, {}
        for name in gone:
            self._vault.remove(name)

    def append(self, name: str, attempt: bytes, data: bytes) -> None:
        """Add a record of one attempt at a step to a file that grows; such a file is not listed."""
        self._vault.append(name, data, bound=self._bound(0) + attempt)

    def records(self, name: str, attempt: bytes) -> list[bytes]:
        """Return the records of a file that grows, which must be of this attempt."""
        return self._vault.records(name, bound=self._bound(0) + attempt)

    def holds(self, name: str) -> bool:
        """Return whether there is a file that grows under this name, whatever it holds."""
        return name in self._vault.names()

    def remove(self, name: str) -> None:
        """Remove a file that grows, if it is there."""
        self._vault.remove(name)

    def _bound(self, generation: int) -> bytes:
        job = hashlib.sha256(self._job.encode()).digest()
        return self.id + job + generation.to_bytes(8, "little")

    def _read(self) -> None:
        data = self._vault.read(_NAME)
        if data is None:
            names = self._vault.names()
            if _BEFORE in names:
                raise ProtocolAbort(
                    f"{self._vault.path} was begun with an earlier version of bluetusk: finish the job with that "
                    f"version, or remove the state directories of both parties and choose a new job name"
                )
            if any(name.startswith("state-") for name in names):
                raise FrameError(f"the manifest is missing from {self._vault.path}: {RESTORE}")
            return
        header = decode(data, Kind.CHECKPOINT).header
        check_fields(header, _FIELDS)
        frame.field(header, "format", int, choices=(_FORMAT,))
        if frame.field(header, "job", str) != self._job:
            raise ProtocolAbort(
                f"{self._vault.path} is of the job {header['job']!r}, not {self._job!r}: give another directory",
                kind="settings",
            )
        self.id = frame.field(header, "id", bytes, length=_ID)
        self.generation = frame.field(header, "generation", int, low=1, high=(1 << 63) - 1)
        self.more = frame.field(header, "more", dict)
        for name, about in frame.field(header, "files", dict, items=list).items():
            if (
                [type(value) for value in about] != [int, bytes]
                or len(about[1]) != _HASH
                or not 1 <= about[0] <= self.generation
            ):
                raise FrameError("frame field 'files' is malformed")
            self._files[name] = about[0], about[1]
        for name in self._vault.names():
            if name.startswith("state-") and name not in self._files:
                self._vault.remove(name)  # a crash came before the manifest that would have listed it, or just after
