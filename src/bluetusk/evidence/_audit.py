"""Keeps an encryptor's plaintexts, randomness and ciphertexts, encrypted, so that an auditor can replay them.

Whoever opens such a file knows all that was encrypted, so it is off by default. The file is one frame of kind AUDIT
(how the passphrase becomes a key) and then frames of kind AUDIT_BATCH, each sealed by AES-256-GCM with its header and
the file's id as associated data: a public key, or a batch of encryptions under the last key.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextvars import Token
from dataclasses import dataclass
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from numpy.typing import NDArray

from ..errors import BluetuskError, FrameError, ProtocolAbort
from ..paillier import hazmat
from ..paillier.encrypting import AUDITOR, Auditor
from ..paillier.keys import PublicKey
from ..paillier.scheme import scheme_of
from ..storage.append import AppendFile, read_whole
from ..wire import frame
from ._entries import TASK
from ._pages import begin, opened, pages, sealed_page

__all__ = ["Audit", "AuditReport"]

_BATCH = 256  # encryptions in a frame
_LARGEST = 1 << 24
_REFUSED = (
    "this is not a file of audit records, or it is damaged, or the passphrase is wrong; check the path and the "
    "passphrase, or restore the file from its backup"
)


@dataclass(frozen=True)
class AuditReport:
    """The result of :meth:`Audit.replay`.

    Attributes
    ----------
    ok : bool
        Whether every record decrypts and every ciphertext is the one that its plaintext and randomness give.
    ciphertexts : int
        How many were confirmed.
    tasks : dict of str to int
        How many in each task.
    keys : tuple of bytes
        Fingerprints of the Paillier keys.
    reason : str
        What is wrong with the first bad record; empty if nothing is.
    torn : int
        Bytes of a last record that was being written when its process died: its ciphertexts never left.

    Examples
    --------
    >>> import bluetusk as bt
    >>> bt.evidence.AuditReport(True, 0, {}, (), "", 0).ok
    True
    """

    ok: bool
    ciphertexts: int
    tasks: dict[str, int]
    keys: tuple[bytes, ...]
    reason: str
    torn: int


class Audit:
    """Records of encryptions, made while it is entered.

    While it is entered, every ``pub.encrypt`` and ``priv.encrypt`` of the same thread (or task of asyncio) takes the
    public key's way with randomness that is recorded, and the records are on the disk before the array is returned.
    Results of arithmetic are not recorded: anyone who has their operands can do it again. Slower than plain encryption
    by the disk, and for key owners by what their own way saves.

    Parameters
    ----------
    path : path-like
        The file; made (mode 0600) if absent, continued if there.
    passphrase : str or bytes
        Opens the file; scrypt and AES-256-GCM, as for key files.
    task : str, optional
        The task of the records; :attr:`task` can be changed at any time.

    Raises
    ------
    InvalidKey
        If the file is not a file of audit records, or the passphrase is wrong.
    ProtocolAbort
        If it is in use, or (later) if a record cannot be written: then nothing is returned from the encryption.
    OSError
        If the file cannot be opened.

    References
    ----------
    Audit encryption of HEU (SecretFlow), ``phe_dev``.

    Examples
    --------
    >>> import bluetusk as bt, os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "audit")
    ...     with bt.evidence.Audit(path, "correct horse", task="job-7") as audit:
    ...         c = pub.encrypt([1.5, -2.5])
    ...     audit.close()
    ...     report = bt.evidence.Audit.replay(path, "correct horse")
    >>> report.ok, report.ciphertexts, report.tasks
    (True, 2, {'job-7': 2})
    """

    def __init__(self, path: str | os.PathLike[str], passphrase: str | bytes, *, task: str = "") -> None:
        self.task = task
        self._key: bytes | None = None
        self._seq = 0
        self._token: Token[Auditor | None] | None = None
        if not os.path.lexists(path):
            begin(path, frame.Kind.AUDIT, passphrase)
        self._file = AppendFile(path)
        try:
            data = self._file.read()
            self._id, self._cipher, end = _opened(data, passphrase)
            for header, _, whole in _frames(data, end, self._id, self._cipher):
                self._seq, end = header["seq"] + 1, whole
            self._file.cut(end)
            self._end = end
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Audit:
        self._token = AUDITOR.set(self._record)
        return self

    def __exit__(self, *error: object) -> None:
        if self._token is not None:
            AUDITOR.reset(self._token)
            self._token = None

    def close(self) -> None:
        """Release the file; it may be entered again only after it was opened anew.

        Examples
        --------
        See :class:`Audit`.

        >>> import bluetusk as bt
        >>> bt.evidence.Audit.close.__name__
        'close'
        """
        self._file.close()

    def digest(self) -> bytes:
        """Return SHA-256 of the file's present content, for a record in the log of evidence.

        Examples
        --------
        >>> import bluetusk as bt, os, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     audit = bt.evidence.Audit(os.path.join(folder, "audit"), "correct horse")
        ...     len(audit.digest())
        ...     audit.close()
        32
        """
        return hashlib.sha256(self._file.read()).digest()

    @staticmethod
    def replay(path: str | os.PathLike[str], passphrase: str | bytes) -> AuditReport:
        """Encrypt every recorded plaintext again with its randomness, through ``hazmat.encrypt_with``, and compare.

        Parameters
        ----------
        path : path-like
            The file.
        passphrase : str or bytes
            Its passphrase.

        Returns
        -------
        AuditReport

        Raises
        ------
        InvalidKey
            If the file is not a file of audit records, or the passphrase is wrong.
        OSError
            If the file cannot be read.

        Examples
        --------
        See :class:`Audit`.

        >>> import bluetusk as bt
        >>> bt.evidence.Audit.replay.__name__
        'replay'
        """
        data = read_whole(path)
        id, cipher, end = _opened(data, passphrase)
        pub: PublicKey | None = None
        keys: dict[bytes, None] = {}
        tasks: dict[str, int] = {}
        done, reason = 0, ""
        try:
            for header, plain, whole in _frames(data, end, id, cipher):
                end = whole
                if header["what"] == "key":
                    pub = PublicKey.from_bytes(plain)
                    keys[pub.fingerprint] = None
                    continue
                if pub is None:
                    raise FrameError(f"batch {header['seq']} comes before any key")
                bad = _replayed(pub, plain, header["count"])
                if bad is not None:
                    raise FrameError(
                        f"ciphertext {done + bad} (batch {header['seq']}) is not what its plaintext and randomness give"
                    )
                done += header["count"]
                tasks[header["task"]] = tasks.get(header["task"], 0) + header["count"]
        except (BluetuskError, ValueError) as error:
            reason = str(error)
        torn = 0 if reason else len(data) - end
        return AuditReport(not reason, done, tasks, tuple(keys), reason, torn)

    def _record(
        self, pub: PublicKey, plain: NDArray[np.uint64], random: NDArray[np.uint64], canon: NDArray[np.uint64]
    ) -> None:
        """Write the records of one encryption."""
        with self._file.turn:
            pieces = [self._sealed("key", 0, pub.to_bytes(), 0)] if pub.fingerprint != self._key else []
            for lo in range(0, len(canon), _BATCH):
                rows = [part[lo : lo + _BATCH] for part in (plain, random, canon)]
                content = b"".join(part.astype("<u8", copy=False).tobytes() for part in rows)
                pieces.append(self._sealed("batch", len(rows[0]), content, len(pieces)))
            try:
                end = self._file.append(b"".join(pieces), self._end)
            except OSError as error:
                raise ProtocolAbort(
                    f"cannot write audit records to {self._file.path!r} ({error.strerror or error}), so nothing is "
                    "encrypted: make room, or leave audit mode"
                ) from None
            self._seq, self._end, self._key = self._seq + len(pieces), end, pub.fingerprint

    def _sealed(self, what: str, count: int, content: bytes, ahead: int) -> bytes:
        header = {"what": what, "count": count, "task": self.task[:TASK], "seq": self._seq + ahead}
        return sealed_page(self._id, self._cipher, frame.Kind.AUDIT_BATCH, header, content)


def _opened(data: bytes, passphrase: str | bytes) -> tuple[bytes, AESGCM, int]:
    """Return the file's id, its cipher and where the first batch starts."""
    return opened(data, frame.Kind.AUDIT, passphrase, _REFUSED)


def _frames(data: bytes, start: int, id: bytes, cipher: AESGCM) -> Iterator[tuple[dict[str, Any], bytes, int]]:
    """Yield the header, the content and the end of every whole batch; FrameError as :func:`._pages.pages`."""

    def check(header: dict[str, Any]) -> None:
        frame.field(header, "what", str, choices=("key", "batch"))
        frame.field(header, "count", int, low=0, high=_BATCH)
        frame.field(header, "task", str, high=TASK)

    names = ("count", "task", "what")
    return pages(data, start, id, cipher, frame.Kind.AUDIT_BATCH, names, check, largest=_LARGEST, word="batch")


def _replayed(pub: PublicKey, content: bytes, count: int) -> int | None:
    """Return the number of the first ciphertext that does not follow from its record, None if all do."""
    wide = pub.bits // 8
    random = 8 * scheme_of(pub.suite).random_limbs(wide // 8)
    sizes = (wide, random, 2 * wide)
    if len(content) != count * sum(sizes):
        raise FrameError("the size of a batch does not match its key and count")
    lists, at = [], 0
    for size in sizes:
        lists.append([int.from_bytes(content[at + i * size : at + (i + 1) * size], "little") for i in range(count)])
        at += count * size
    again = hazmat.encrypt_with(pub, lists[0], lists[1])
    return next((i for i, (a, b) in enumerate(zip(again, lists[2], strict=True)) if a != b), None)
