"""What a log keeps for an audit: digests of ciphertexts, of which rows go left, of settings, of whole messages.

Both parties' recorders see the same frames, so both logs get the same digests, the sender's before the frame leaves.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import FrameError
from ..tasks import BINNING, BOOSTING, LOGISTIC, LOGISTIC_SCORES
from ..wire import frame

__all__ = [
    "ROWS",
    "WHAT",
    "Commitment",
    "array_digest",
    "commitment_of",
    "commitments",
    "leaves_in",
    "leaves_of",
    "rows_digest",
    "settings_digest",
]

WHAT = "committed"
"""What such a record says."""
ROWS = "rows"
"""What the record of the rows of each task says."""

_KEPT = {
    (BINNING.name, "encrypted"),
    (BINNING.name, "bins"),
    (BOOSTING.name, "offer"),
    (BOOSTING.name, "gradients"),
    (BOOSTING.name, "partition"),
}
_WHOLE = {LOGISTIC.name, LOGISTIC_SCORES.name}
"""Tasks of which every message is kept: what a guest sends follows from what it has received."""
_NEVER = ("signed", "abort")
_PARTS = 4  # more has no message of these, and it will be refused
_LABEL = b"bluetusk/ciphertexts/v1"


@dataclass(frozen=True)
class Commitment:
    """The digests of a message's parts.

    Attributes
    ----------
    task, topic : str
        Of the message.
    step : int
        In which step of the task.
    digests : tuple of bytes
        One for each part that is not empty.
    sent : bool
        Whether the log's owner sent the message.
    by : str
        Who sent it.
    """

    task: str
    topic: str
    step: int
    digests: tuple[bytes, ...]
    sent: bool
    by: str = field(default="", compare=False)

    @property
    def hashes(self) -> dict[str, bytes]:
        """The digests for a record."""
        return {f"part {i}": digest for i, digest in enumerate(self.digests)}


def array_digest(key: bytes, leaves: bytes) -> bytes:
    """Return SHA-256 over a label, the key's fingerprint and the hashes of all ciphertexts."""
    return hashlib.sha256(b"\x00".join([_LABEL, key]) + leaves).digest()


def leaves_of(ciphertexts: Iterable[bytes | memoryview]) -> bytes:
    """Return SHA-256 of each ciphertext, as frames hold them, end to end."""
    return b"".join(hashlib.sha256(each).digest() for each in ciphertexts)


def leaves_in(part: bytes | memoryview) -> tuple[bytes, bytes]:
    """Return the key's fingerprint and the hashes of the ciphertexts in the frame of an array.

    Raises
    ------
    FrameError
        If it is not one, with a ciphertext for each element.
    """
    got = frame.decode(part, frame.Kind.CIPHER_ARRAY)
    key = frame.field(got.header, "key", bytes, length=32)
    count = math.prod(frame.shape_field(got.header, "shape"))
    width, rest = divmod(got.payload.nbytes, count) if count else (0, got.payload.nbytes)
    if rest:
        raise FrameError("the payload is not a ciphertext for each element")
    return key, leaves_of(got.payload[i * width : (i + 1) * width] for i in range(count))


def rows_digest(key: bytes, ids: Iterable[str]) -> bytes:
    """Return a hash of the ids of rows in order, under a key that both parties have: it confirms no guess of an id.

    Examples
    --------
    >>> rows_digest(bytes(32), ["7", "9"]) == rows_digest(bytes(32), ["9", "7"])
    False
    """
    hashes = b"".join(hashlib.sha256(id.encode(errors="surrogatepass")).digest() for id in ids)
    return hmac.digest(key, b"bluetusk/rows of a task/v1\x00" + hashes, "sha256")


def commitment_of(data: bytes | memoryview, sent: bool) -> Commitment | None:
    """Return what a log keeps of a frame; None for most frames, and for what is not a message of two parties."""
    try:
        start = bytes(memoryview(data)[: frame.FIXED.size + frame.MAX_HEADER])
        header, size = frame.read_header(io.BytesIO(start), frame.Kind.VERTICAL)
        task, topic = frame.field(header, "task", str), frame.field(header, "topic", str, high=64)
        whole = task in _WHOLE and topic not in _NEVER
        if not whole and (task, topic) not in _KEPT:
            return None
        lengths = frame.field(header, "parts", list, high=_PARTS, items=int)
        step, by = frame.field(header, "step", int, low=0), frame.field(header, "from", str)
        if whole:
            return Commitment(task, topic, step, (hashlib.sha256(data).digest(),), sent, by)
        if topic == "offer":
            settings = frame.field(frame.field(header, "fields", dict), "settings", dict)
            return Commitment(task, topic, step, (settings_digest(settings),), sent, by)
    except FrameError:
        return None
    at, view, digests = len(data) - size, memoryview(data), []
    for length in lengths:
        part = view[at : at + max(length, 0)]
        at += max(length, 0)
        if len(part):
            digests.append(_digest(part))
    return Commitment(task, topic, step, tuple(digests), sent, by)


def settings_digest(settings: Mapping[str, Any]) -> bytes:
    """Return a hash of the settings of a training that both parties know."""
    return hashlib.sha256(b"bluetusk/settings/v1\x00" + repr(sorted(settings.items())).encode()).digest()


def _digest(part: memoryview) -> bytes:
    """Return the digest of an array of ciphertexts; of other bytes, and of an array that will be refused, SHA-256."""
    try:
        return array_digest(*leaves_in(part))
    except FrameError:
        return hashlib.sha256(part).digest()


def commitments(records: Iterable[Any], job: str) -> list[Commitment]:
    """Return what the records of a log keep of a job, in order."""
    found = []
    for record in records:
        if record.what == WHAT and record.job == job:
            topic, step = str(record.details.get("topic")), record.details.get("step")
            digests = tuple(record.hashes[name] for name in sorted(record.hashes))
            step, sent = step if isinstance(step, int) else -1, record.by != record.details.get("peer")
            found.append(Commitment(record.task[len(job) + 1 :], topic, step, digests, sent, record.by))
    return found
