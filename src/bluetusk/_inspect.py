"""Describes a bluetusk file without revealing a secret, for ``bluetusk inspect``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from .errors import FrameError
from .paillier.fingerprint import spoken
from .paillier.keys import PublicKey
from .wire.frame import MAGIC, VERSION, Kind, read_header

__all__ = ["describe"]

_SHOWN = 96  # characters of a value
_LARGEST_KEY = 1 << 16
_MEANING = {
    Kind.PLAN: "a fixed-point plan",
    Kind.PUBLIC_KEY: "a Paillier public key",
    Kind.PRIVATE_KEY: "a Paillier private key, encrypted under a passphrase",
    Kind.CIPHER_ARRAY: "an array of ciphertexts",
    Kind.SHARE: "one party's share of numbers",
    Kind.SHARE_REQUEST: "masked ciphertexts that become a share",
    Kind.RING_ARRAY: "ciphertexts of numbers modulo 2^32 or 2^64",
    Kind.KEY_PROOF: "a proof that a Paillier public key was made well",
    Kind.SUM_SESSION: "the configuration of a sum",
    Kind.SUM_CONTRIBUTION: "a client's encrypted part of a sum",
    Kind.SUM_TOTAL: "an encrypted total, for the key holder",
    Kind.SUM_RESULT: "a decrypted total",
    Kind.MESSAGE: "a note between the processes of one job",
    Kind.SECAGG_SESSION: "the configuration of a secure aggregation",
    Kind.SECAGG_ADVERTISE: "a client's public keys for a round of secure aggregation",
    Kind.SECAGG_ROSTER: "the public keys of all clients of a round",
    Kind.SECAGG_SHARES: "a client's encrypted shares, for its holders",
    Kind.SECAGG_DELIVERY: "the encrypted shares that one client holds",
    Kind.SECAGG_MASKED: "a client's masked vector",
    Kind.SECAGG_VIEW: "the clients in a sum, for consent",
    Kind.SECAGG_CONSENT: "a client's signature on the clients in a sum",
    Kind.SECAGG_REQUEST: "the clients in a sum, asking for shares",
    Kind.SECAGG_REVEAL: "the shares that unmask a sum, encrypted for the server",
    Kind.SECAGG_STATE: "a party's state in secure aggregation, encrypted",
    Kind.VERTICAL: "a message of two parties that train a model together",
    Kind.WOE_BINNING: "a party's half of a joint binning",
    Kind.LOGISTIC_REGRESSION: "a party's half of a joint logistic regression",
    Kind.GRADIENT_BOOSTING: "a party's half of jointly boosted trees",
    Kind.VERTICAL_STATE: "a party's state in a joint task",
    Kind.CHECKPOINT: "a party's checkpoint, encrypted",
    Kind.SEALED: "a frame, encrypted under a passphrase",
    Kind.PARTY: "a piece of a message between two parties' processes",
    Kind.EVIDENCE_IDENTITY: "an Ed25519 signing key, encrypted under a passphrase",
    Kind.POLICY: "a data owner's signed policy",
    Kind.POLICY_USE: "a note of a use of data that a policy allowed",
    Kind.EVIDENCE_RECORD: "a record of what happened",
    Kind.EVIDENCE_HEAD: "a signed head of a log",
    Kind.EVIDENCE_OFFER: "a signed head of a log, with the proof that it extends an earlier one",
    Kind.METER: "counts of rows, values and bytes by party and task",
    Kind.AUDIT: "the start of an encryptor's audit records",
    Kind.AUDIT_BATCH: "an encryptor's audit records, encrypted under a passphrase",
    Kind.EVIDENCE_STATEMENT: "a signed request for a use of data, or the signed answer to one",
    Kind.AUDIT_BOOK: "the start of a guest's audit book",
    Kind.AUDIT_PAGE: "a page of a guest's audit book, encrypted under a passphrase",
}
_FILES = (Kind.EVIDENCE_RECORD, Kind.POLICY_USE, Kind.AUDIT, Kind.AUDIT_BOOK)


def describe(path: str | os.PathLike[str]) -> list[tuple[str, str | int]]:
    """Describe a file.

    Parameters
    ----------
    path : path-like
        A frame of any kind, or a public key as JSON. Only its header is read, except for public keys, which are read
        whole and checked.

    Returns
    -------
    list of (str, str or int)
        Names and values, printable whatever the file holds, and none of them secret: a private key's file gives its
        size, suite and fingerprint.

    Raises
    ------
    FrameError
        If the file is neither of these.
    InvalidKey
        If the file is a public key that fails a check.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import os, tempfile
    >>> from bluetusk.wire.frame import encode
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "note")
    ...     with open(path, "wb") as file:
    ...         _ = file.write(encode(Kind.MESSAGE, {"topic": "hello"}, b"xyz"))
    ...     dict(describe(path))["payload"]
    '3 bytes'
    """
    with open(path, "rb") as file:
        start = file.read(8)
        file.seek(0)
        if start.lstrip()[:1] == b"{":
            return [("kind", "PUBLIC_KEY as JSON"), *_public(PublicKey.from_json(file.read(_LARGEST_KEY)))]
        if not start.startswith(MAGIC[: len(start)]) or not start:
            raise FrameError(f"{path} is neither a frame of bluetusk nor a public key as JSON")
        header, payload = read_header(file)
        kind = Kind(int.from_bytes(start[6:8], "little"))  # a known kind, or read_header had refused it
        there = os.fstat(file.fileno()).st_size - file.tell()
        if there != payload:
            how = "truncated" if there < payload else "followed by other bytes"
            if there > payload and kind in _FILES:
                how += " (a file of many frames: `bluetusk evidence` reads it)"
            raise FrameError(f"{path} is {how}: its payload should have {payload} bytes, not {there}")
    told: list[tuple[str, str | int]] = [("kind", kind.name), ("holds", _MEANING[kind]), ("version", VERSION)]
    if kind is Kind.PUBLIC_KEY:
        return [*told, *_public(PublicKey.from_bytes(Path(path).read_bytes()))]
    if kind is Kind.PRIVATE_KEY:
        header = {name: header[name] for name in ("bits", "suite", "fingerprint", "kdf", "cipher") if name in header}
        if isinstance(digest := header.get("fingerprint"), bytes):
            header["fingerprint"] = spoken(digest)
    if kind is Kind.VERTICAL_STATE:  # never written as it is; its fields hold keys
        header = {name: header[name] for name in ("task",) if name in header}
    told += [(_text(name), _text(value)) for name, value in header.items()]
    return [*told, ("payload", f"{payload} bytes")]


def _public(key: PublicKey) -> list[tuple[str, str | int]]:
    return [
        ("bits", key.bits),
        ("suite", key.suite),
        ("fingerprint", key.fingerprint_words),
        ("hex", key.fingerprint.hex()),
    ]


def _text(value: Any) -> str:
    """Write a header's value on one line of printable characters."""
    if isinstance(value, bytes):
        text = value[:_SHOWN].hex()
    elif isinstance(value, dict):
        text = "{" + ", ".join(f"{_text(name)}: {_text(item)}" for name, item in list(value.items())[:_SHOWN]) + "}"
    elif isinstance(value, list):
        text = "[" + ", ".join(_text(item) for item in value[:_SHOWN]) + "]"
    else:
        text = str(value)
    text = "".join(c if c.isprintable() else "?" for c in text[: _SHOWN + 1])
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
