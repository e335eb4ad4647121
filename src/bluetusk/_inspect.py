"""Describes a bluetusk file without revealing a secret, for ``bluetusk inspect``."""

from __future__ import annotations

import json
import os
import re
import stat
import struct
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from . import _toml
from .errors import FrameError
from .evidence import Policy, fingerprint_groups
from .evidence.policy import seconds_text
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
_GROWING = {
    Kind.EVIDENCE_RECORD: "a log of evidence; `bluetusk evidence verify` checks it",
    Kind.POLICY_USE: "a data owner's uses of a policy, which count on",
    Kind.AUDIT: "an encryptor's audit records; `bluetusk evidence replay` reads them",
    Kind.AUDIT_BOOK: "a guest's audit book; `bluetusk evidence audit` reads it",
    Kind.VERTICAL_STATE: "notes of answers, each sealed with those before it: a label book, or a book of scored rows",
}
"""Files of many frames, by the kind of the first, and what they hold."""
_SEAL = 32  # bytes after each frame of a file of sealed notes
_LENGTH = struct.Struct("<Q")  # before each frame of a file that grows in a state directory
_START = 4096
_FLOWER = re.compile(r"run-\w+-node-\w+\.state")
_LARGEST_TEXT = 1 << 24

_Facts = list[tuple[str, str | int]]


def describe(path: str | os.PathLike[str]) -> _Facts:
    """Describe a file of any kind that the package writes.

    Parameters
    ----------
    path : path-like
        A frame, a file of many frames, a key, certificate, policy, configuration, head, report or table of scores. Of
        frames only headers are read, except for public keys and policies, which are read whole and checked.

    Returns
    -------
    list of (str, str or int)
        Names and values, printable whatever the file holds, and none of them secret: a private key's file gives its
        size, suite and fingerprint.

    Raises
    ------
    FrameError
        If the file is of no such kind, empty, cut, or followed by other bytes.
    InvalidKey, PolicyRefused
        If the file is a public key that fails a check, or a policy that its key has not signed.
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
    if os.path.isdir(path):
        raise FrameError(f"{os.fspath(path)} is a folder: give a file in it")
    with open(path, "rb", opener=_opener) as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise FrameError(f"{os.fspath(path)} is not a regular file: give a file that bluetusk wrote")
        start = file.read(_START)
        file.seek(0)
        if not start:
            if Path(path).name in ("lock", ".lock"):
                return [("kind", "LOCK"), ("holds", "nothing: a process locks it while it uses the folder")]
            raise FrameError(f"{os.fspath(path)} is empty, so neither a frame of bluetusk nor another file of it")
        for fits, told in _FORMS:
            if fits(start, Path(path)):
                return [*told(file, Path(path)), ("size", f"{about.st_size} bytes")]
    raise _unknown(path)


def _unknown(path: str | os.PathLike[str]) -> FrameError:
    return FrameError(
        f"{os.fspath(path)} is neither a frame of bluetusk nor a public key as JSON, nor another file that bluetusk "
        "writes: check the path; if it was one, it is damaged"
    )


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe must not hang us


# --- frames -----------------------------------------------------------------------------------------------------------


def _frame(file: BinaryIO, path: Path) -> _Facts:
    """Describe a frame, or a file of many."""
    header, payload = read_header(file)
    size = os.fstat(file.fileno()).st_size
    there = size - file.tell()
    file.seek(0)
    kind = Kind(int.from_bytes(file.read(8)[6:8], "little"))  # a known kind, or read_header had refused it
    if there < payload and kind not in _GROWING:
        raise FrameError(f"{path} is truncated: its payload should have {payload} bytes, not {there}")
    if there > payload or (kind in _GROWING and kind is not Kind.VERTICAL_STATE):
        if kind not in _GROWING:
            raise FrameError(f"{path} is followed by other bytes: its payload should have {payload} bytes, not {there}")
        return _many(file, path, kind, size)
    told: _Facts = [("kind", kind.name), ("holds", _MEANING[kind]), ("version", VERSION)]
    if kind is Kind.PUBLIC_KEY:
        return [*told, *_public(PublicKey.from_bytes(path.read_bytes()))]
    if kind is Kind.POLICY:
        return [*told, *_policy(Policy.load(path))]
    return [*told, *_shown(kind, header), ("payload", f"{payload} bytes")]


def _shown(kind: Kind, header: dict[str, Any]) -> _Facts:
    """Return a frame's header, without what is not for people."""
    if kind is Kind.PRIVATE_KEY:
        header = {name: header[name] for name in ("bits", "suite", "fingerprint", "kdf", "cipher") if name in header}
        if isinstance(digest := header.get("fingerprint"), bytes):
            header["fingerprint"] = spoken(digest)
    if kind is Kind.EVIDENCE_IDENTITY and isinstance(key := header.get("public"), bytes) and len(key) == 32:
        header = {"fingerprint": fingerprint_groups(key)}
    if kind is Kind.VERTICAL_STATE:  # never written as it is; its fields hold keys
        header = {name: header[name] for name in ("task",) if name in header}
    if kind is Kind.SEALED and header.get("content") in set(Kind):
        header = {"content": f"{Kind(header['content']).name}: {_MEANING[Kind(header['content'])]}", **_rest(header)}
    return [(_text(name), _text(value)) for name, value in header.items()]


def _rest(header: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in header.items() if name != "content"}


def _many(file: BinaryIO, path: Path, kind: Kind, size: int) -> _Facts:
    """Describe a file of many frames by their kinds and numbers."""
    counts: Counter[Kind] = Counter()
    named: dict[str, Counter[str]] = {"job": Counter(), "grant": Counter()}
    end, broken = 0, ""
    while end < size:
        file.seek(end)
        try:
            header, payload = read_header(file)
            file_end = file.tell() + payload
            file.seek(end)
            each = Kind(int.from_bytes(file.read(8)[6:8], "little"))
        except (FrameError, ValueError) as error:
            broken = str(error)
            break
        if file_end > size:
            broken = "the last entry is cut"
            break
        counts[each] += 1
        if isinstance(task := header.get("task"), str) and "/" in task and each is Kind.EVIDENCE_RECORD:
            named["job"][task.partition("/")[0]] += 1
        if isinstance(grant := header.get("grant"), str) and each is Kind.POLICY_USE and not header.get("again"):
            named["grant"][grant] += 1
        end = file_end
        if kind is Kind.VERTICAL_STATE:
            end += _SEAL
            if end > size:
                broken = "the last note is cut"
                break
    if not counts and broken:
        raise FrameError(f"{path} is damaged: {broken}: restore it")
    left = size - end
    if broken and kind is Kind.VERTICAL_STATE and left > 0 and not sum(counts.values()) - 1:
        raise FrameError(f"{path} is followed by other bytes: {broken}")
    told: _Facts = [("kind", kind.name), ("holds", _GROWING[kind]), ("version", VERSION)]
    told += [(f"{each.name} frames", number) for each, number in counts.items()]
    told += [(f"of {what} {_text(name)}", number) for what, found in named.items() for name, number in found.items()][
        :_SHOWN
    ]
    if broken:
        told.append(("incomplete", f"from byte {min(end, size)}: {_text(broken)}; a crash leaves that at the end only"))
    return told


def _records(file: BinaryIO, path: Path) -> _Facts:
    """Describe a file of a state directory that grows: frames, each behind its length."""
    size, at, number = os.fstat(file.fileno()).st_size, 0, 0
    while at + _LENGTH.size <= size:
        file.seek(at)
        at += _LENGTH.size + _LENGTH.unpack(file.read(_LENGTH.size))[0]
        if at > size:
            break
        number += 1
    told: _Facts = [("kind", Kind.CHECKPOINT.name)]
    told += [("holds", "frames on their way to the peer, encrypted"), ("version", VERSION), ("records", number)]
    return told if at == size else [*told, ("incomplete", "the last record is cut, as a crash leaves it")]


# --- texts ------------------------------------------------------------------------------------------------------------


def _json(file: BinaryIO, path: Path) -> _Facts:
    """Describe a public key, a head, a policy or a result."""
    data = file.read(_LARGEST_TEXT)
    fields = _plain(data)
    if fields.get("kty") == "OKP":
        from .evidence import read_public_key

        told: _Facts = [("kind", "EVIDENCE_PUBLIC_KEY as JSON"), ("holds", "an Ed25519 key that checks signatures")]
        return [*told, ("fingerprint", fingerprint_groups(read_public_key(path)))]
    if {"log", "key", "size", "root", "signature"} <= fields.keys():
        from .evidence import Head

        head = Head.from_json(data)
        told = [("kind", "EVIDENCE_HEAD as JSON"), ("holds", _MEANING[Kind.EVIDENCE_HEAD])]
        told += [("log", head.log.hex()), ("records", head.size), ("root", head.root.hex())]
        return [*told, ("signer", fingerprint_groups(head.key)), ("signature", "good" if head.valid() else "BAD")]
    if "grants" in fields:
        return [("kind", "POLICY as JSON, not signed"), ("holds", "a policy to sign"), *_policy(Policy.load(path))]
    if {"role", "job", "intersection"} <= fields.keys():
        shown = [name for name in ("role", "job", "intersection", "train", "test") if name in fields]
        told = [("kind", "RESULT"), ("holds", "what a run has found")]
        return told + [(name, _text(fields[name])) for name in shown]
    if b'"kty"' not in data:
        raise _unknown(path)
    return [("kind", "PUBLIC_KEY as JSON"), *_public(PublicKey.from_json(data))]


def _run_log(file: BinaryIO, path: Path) -> _Facts:
    """Describe what `--log` writes; a line that is none of it is counted, not shown."""
    levels: Counter[str] = Counter()
    jobs: Counter[str] = Counter()
    times: list[str] = []
    last, others = b"\n", 0
    while line := file.readline(_LARGEST_KEY):
        fields = _plain(line)
        if isinstance(fields.get("time"), str) and isinstance(fields.get("level"), str):
            levels[fields["level"]] += 1
            jobs[str(fields.get("job"))] += 1
            times = [*times[:1], fields["time"]]
        else:
            others += 1
        last = line
    told: _Facts = [("kind", "RUN_LOG as JSON lines"), ("holds", "what a party did and waited for, from `--log`")]
    told += [("first", _text(times[0])), ("last", _text(times[-1]))] if times else []
    told += [(f"of level {_text(level)}", number) for level, number in levels.items()][:_SHOWN]
    told += [(f"of job {_text(job)}", number) for job, number in jobs.items()][:_SHOWN]
    told += [("other lines", others)] if others else []
    return told if last.endswith(b"\n") else [*told, ("incomplete", "the last line is cut, as a full disk leaves it")]


def _plain(data: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def _pem(file: BinaryIO, path: Path) -> _Facts:
    """Describe a certificate or a key of TLS; a private key is never opened."""
    from cryptography import x509

    data = file.read(_LARGEST_KEY)
    if b"-----BEGIN CERTIFICATE-----" in data:
        try:
            first, *others = x509.load_pem_x509_certificates(data)
        except ValueError:
            raise FrameError(f"{path} is a certificate that is cut or damaged: have its owner send it again") from None
        told: _Facts = [("kind", "CERTIFICATE as PEM"), ("holds", "a party's public key for TLS, with its name")]
        told += [("certificates", 1 + len(others))] if others else []
        told += [("name", _text(first.subject.rfc4514_string()))]
        told += [("valid from", f"{first.not_valid_before_utc:%Y-%m-%d %H:%M} UTC")]
        told += [("valid until", f"{first.not_valid_after_utc:%Y-%m-%d %H:%M} UTC")]
        return [*told, ("fingerprint", fingerprint_groups(first))]
    if b"-----END" not in data or not data.rstrip().endswith(b"-----"):
        raise FrameError(f"{path} is a PEM file that is cut: restore it")
    if b"PRIVATE KEY-----" in data:
        how = "encrypted under a passphrase" if b"ENCRYPTED" in data else "NOT encrypted"
        return [("kind", "PRIVATE KEY as PEM"), ("holds", "a party's private key for TLS"), ("protection", how)]
    return [("kind", "PUBLIC KEY as PEM"), ("holds", "a public key"), ("fingerprint", fingerprint_groups(data))]


def _settings(file: BinaryIO, path: Path) -> _Facts:
    """Describe a policy or a configuration in TOML."""
    try:
        fields = _toml.load(path)
    except ValueError as error:
        raise FrameError(str(error)) from None
    if "grants" in fields:
        try:
            return [("kind", "POLICY as TOML, not signed"), ("holds", "a policy to sign"), *_policy(Policy.load(path))]
        except ValueError as error:
            return [("kind", "POLICY as TOML, not signed"), ("holds", "a policy to sign"), ("fault", _text(error))]
    told: _Facts = [("kind", "CONFIGURATION"), ("holds", "one side's settings; `bluetusk party --check` checks them")]
    return told + [(name, _text(fields[name])) for name in ("role", "job", "listen", "connect") if name in fields]


def _policy(policy: Policy) -> _Facts:
    told: _Facts = [("owner", _text(policy.owner)), ("serial", policy.serial)]
    if policy.signature:
        told += [("signed", f"{seconds_text(policy.issued)} by {fingerprint_groups(policy.key)}")]
    return told + [
        (f"grant {_text(g.id)}", f"{g.uses} uses before {seconds_text(g.until)} to {_text(g.name) or '?'}")
        for g in policy.grants
    ]


def _journal(file: BinaryIO, path: Path) -> _Facts:
    lines = file.read(_LARGEST_TEXT).split(b"\n")
    sessions = {line.split(b" ")[1] for line in lines if line.count(b" ") == 4}
    told: _Facts = [("kind", "JOURNAL"), ("holds", "which sums a party has decrypted or answered, each once")]
    told += [("lines", sum(bool(line) for line in lines)), ("sessions", len(sessions))]
    return told if not lines[-1] else [*told, ("incomplete", "the last line is cut, as a crash leaves it")]


def _report(file: BinaryIO, path: Path) -> _Facts:
    data = file.read(_LARGEST_TEXT)
    title = re.search(rb"<title>([^<]{0,400})</title>", data)
    if b"bluetusk" not in data[-_START:].lower() or not data.rstrip().endswith(b"</html>"):
        raise FrameError(f"{path} is a page that bluetusk has not written, or it is cut")
    named = title[1].decode(errors="replace") if title else ""
    return [("kind", "REPORT"), ("holds", "a report, to open in a browser"), ("title", _text(named))]


def _scores(file: BinaryIO, path: Path) -> _Facts:
    names = file.readline(_START).decode(errors="replace").strip().lstrip("\ufeff")
    number, last = 0, b"\n"
    while block := file.read(1 << 20):  # by size: a damaged file may be one line of any length
        number, last = number + block.count(b"\n"), block[-1:]
    what = "answers of a blacklist" if "listed" in names else "scores, a line for each row"
    told: _Facts = [("kind", "TABLE"), ("holds", what), ("columns", _text(names)), ("rows", number + (last != b"\n"))]
    return told if last == b"\n" else [*told, ("incomplete", "the last line is cut, as a full disk leaves it")]


def _flower(file: BinaryIO, path: Path) -> _Facts:
    what = "its configuration and its part of a round" if file.read(1) == b"S" else "an update that it will add"
    return [("kind", "FLOWER_STATE"), ("holds", f"a client in Flower, encrypted: {what}")]


def _picture(file: BinaryIO, path: Path) -> _Facts:
    return [("kind", "PICTURE"), ("holds", "a chart")]


def _is_table(start: bytes, path: Path) -> bool:
    first = start.lstrip(b"\xef\xbb\xbf").splitlines()[:1]
    known = {b"part", b"label", b"listed", b"score", b"points", b"logistic_regression", b"gradient_boosting"}
    known |= {b"logistic_regression_points", b"reason"}
    return bool(first) and first[0].startswith(b"id,") and set(first[0].split(b",")[1:]) <= known


_FORMS: tuple[tuple[Callable[[bytes, Path], bool], Callable[[BinaryIO, Path], _Facts]], ...] = (
    (lambda start, path: MAGIC.startswith(start[: len(MAGIC)]), _frame),
    (lambda start, path: start[8:12] == MAGIC, _records),
    (lambda start, path: bool(_FLOWER.fullmatch(path.name)) and start[:1] in (b"U", b"S"), _flower),
    (lambda start, path: start.startswith(b'{"time": "') and b'"level": "' in start, _run_log),
    (lambda start, path: start.lstrip()[:1] == b"{", _json),
    (lambda start, path: start.startswith(b"-----BEGIN "), _pem),
    (lambda start, path: start.startswith(b"sum "), _journal),
    (lambda start, path: start[:15].lower() == b"<!doctype html>", _report),
    (lambda start, path: start.startswith((b"\x89PNG", b"%PDF", b"<?xml", b"<svg")), _picture),
    (lambda start, path: path.suffix == ".toml", _settings),
    (_is_table, _scores),
)
"""What a file is, by how it begins, and what describes it."""


def _public(key: PublicKey) -> _Facts:
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
