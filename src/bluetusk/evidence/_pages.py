"""Files of sealed pages that only grow: a first frame says how the passphrase becomes a key, the others hold the pages.

Each page is sealed by AES-256-GCM with its header and the file's id as associated data and carries its number, so none
can be altered, moved or taken out unnoticed; pages cut from the end are for the caller to miss.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..errors import FrameError, InvalidKey
from ..storage import files, sealed
from ..wire import frame

__all__ = ["begin", "opened", "pages", "sealed_page"]

_LARGEST_HEADER = 1 << 12


def begin(path: str | os.PathLike[str], kind: frame.Kind, passphrase: str | bytes) -> None:
    """Write a new file without pages; its first frame seals nothing, so that a wrong passphrase shows at once."""
    files.write(path, sealed.seal(kind, {"id": os.urandom(16)}, b"", passphrase))


def opened(data: bytes, kind: frame.Kind, passphrase: str | bytes, refused: str) -> tuple[bytes, AESGCM, int]:
    """Return the file's id, its cipher and where the first page starts.

    Raises
    ------
    InvalidKey
        With the text `refused`, if it is not such a file or the passphrase is wrong.
    """
    try:
        end = _end(data, 0, kind, sealed.TAG)
        if end is None:
            raise FrameError("the file ends within its first frame")
        got = sealed.parse(data[:end], kind, ["id"], max_payload=sealed.TAG)
        id = frame.field(got.header, "id", bytes, length=16)
        cipher = sealed.cipher(passphrase, got.header)
        sealed.decrypt(cipher, data[:end], got)
    except FrameError:
        raise InvalidKey(refused) from None
    return id, cipher, end


def sealed_page(id: bytes, cipher: AESGCM, kind: frame.Kind, header: Mapping[str, Any], content: bytes) -> bytes:
    """Return a page; its header needs the number `seq`."""
    return sealed.encrypt(cipher, kind, header, content, lambda head: id + head)


def pages(
    data: bytes,
    start: int,
    id: bytes,
    cipher: AESGCM,
    kind: frame.Kind,
    names: Collection[str],
    check: Callable[[dict[str, Any]], None],
    *,
    largest: int,
    word: str,
) -> Iterator[tuple[dict[str, Any], bytes, int]]:
    """Yield the header, the content and the end of every whole page.

    Parameters
    ----------
    data : bytes
        The file.
    start : int
        Where its first page starts.
    id, cipher
        Of :func:`opened`.
    kind : Kind
        Of the pages.
    names : collection of str
        The fields of a page's header besides `nonce` and `seq`, which `check` checks.
    check : callable
        Raises FrameError.
    largest : int
        Most bytes of a page's content.
    word : str
        What errors call a page.

    Raises
    ------
    FrameError
        If one was altered, is missing or moved.
    """
    seq = 0
    while start < len(data):
        end = _end(data, start, kind, largest)
        if end is None:
            return
        got = frame.decode(data[start:end], kind, max_payload=largest)
        frame.check_fields(got.header, ("nonce", "seq", *names))
        check(got.header)
        sealed.nonce_of(got)
        if frame.field(got.header, "seq", int, low=0) != seq:
            raise FrameError(f"{word} {seq} is missing: {word} {got.header['seq']} is in its place")
        try:
            content = sealed.decrypt(cipher, data[start:end], got, lambda head: id + head)
        except FrameError:
            raise FrameError(f"{word} {seq} was altered") from None
        yield got.header, content, end
        start, seq = end, seq + 1


def _end(data: bytes, start: int, kind: frame.Kind, largest: int) -> int | None:
    """Return where the frame that starts here ends; None if the data ends within it."""
    fixed = data[start : start + frame.FIXED.size]
    usual = frame.FIXED.pack(frame.MAGIC, frame.VERSION, kind, 0, 0)[:8]
    if fixed[:8] != usual[: len(fixed)]:
        raise FrameError(f"no frame of kind {kind.name} starts at byte {start}: the file was altered")
    if len(fixed) < frame.FIXED.size:
        return None
    *_, header, payload = frame.FIXED.unpack(fixed)
    if header > _LARGEST_HEADER or payload > largest:
        raise FrameError(f"the frame at byte {start} claims more than it may have: the file was altered")
    end = start + frame.FIXED.size + int(header) + int(payload)
    return end if end <= len(data) else None
