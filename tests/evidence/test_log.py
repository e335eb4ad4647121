"""The log as its owner and its peers use it: records, heads, exchange, refusals."""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bluetusk.errors import FrameError, InvalidKey, ProtocolAbort
from bluetusk.evidence import Head, Identity, Log, fingerprint, read_heads, read_public_key, verify
from bluetusk.evidence.identity import _SMALL_ORDER, signature_holds
from bluetusk.storage import sealed
from bluetusk.wire import frame

BANK, HOST = Identity.generate(), Identity.generate()


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[tuple[Log, Log]]:
    with (
        Log.create(tmp_path / "bank.log", BANK, owner="bank") as bank,
        Log.create(tmp_path / "host.log", HOST, owner="host") as host,
    ):
        yield bank, host


def swap(bank: Log, host: Log) -> None:
    """Both give each other their heads."""
    known = host.peer_head("bank"), bank.peer_head("host")
    offers = [log.offer(head.size if head else 0) for log, head in zip((bank, host), known, strict=True)]
    host.accept(offers[0], party="bank", key=BANK.public_key)
    bank.accept(offers[1], party="host", key=HOST.public_key)


def offer_of(head: bytes, since: int = 0) -> bytes:
    return frame.encode(frame.Kind.EVIDENCE_OFFER, {"head": head, "since": since, "proof": []})


def test_records_are_what_was_said(tmp_path: Path) -> None:
    now = iter([100.0, 101.5, 99.0])
    path = tmp_path / "log"
    with Log.create(path, BANK, owner="b\u00e4nk", clock=lambda: next(now)) as log:
        assert log.append("result", by="b\u00e4nk", task="t", hashes={"model": bytes(32)}, details={"n": [1, "x"]}) == 1
        log.append("later", by="host")
        records = log.records
        assert repr(log) == f"<Log {log.id.hex()[:8]} of 'b\u00e4nk', 3 records>"
    assert oct(path.stat().st_mode & 0o777) == "0o600"
    report = verify(path, key=BANK.public_key)
    assert list(report.records) == records
    assert [(r.seq, r.time, r.what, r.by, r.task) for r in records] == [
        (0, 100_000, "opened", "b\u00e4nk", ""),
        (1, 101_500, "result", "b\u00e4nk", "t"),
        (2, 99_000, "later", "host", ""),
    ]
    assert records[1].hashes == {"model": bytes(32)}
    assert records[1].details == {"n": [1, "x"]}
    assert report.notes == ("the owner's clock went back by 2500 ms before record 2",)
    with pytest.raises(FileExistsError, match=r"Log\.open"):
        Log.create(path, BANK, owner="bank")


def test_refused_records_change_nothing(logs: tuple[Log, Log]) -> None:
    bank, _ = logs
    size = os.path.getsize(bank._file.path)
    for error, arguments in (
        (TypeError, {"what": 3, "by": "x"}),
        (ValueError, {"what": "", "by": "x"}),
        (ValueError, {"what": "x" * 65, "by": "x"}),
        (ValueError, {"what": "x", "by": ""}),
        (ValueError, {"what": "x", "by": "x", "task": "t" * 257}),
        (ValueError, {"what": "x", "by": "x", "hashes": {"a": b"short"}}),
        (ValueError, {"what": "x", "by": "x", "hashes": {str(i): bytes(32) for i in range(65)}}),
        (ValueError, {"what": "x", "by": "x", "details": {"table": bytes(5000)}}),
        (TypeError, {"what": "x", "by": "x", "details": {"auc": 0.77}}),
        (TypeError, {"what": "x", "by": "x", "details": {"nothing": None}}),
    ):
        with pytest.raises(error):
            bank.append(**arguments)
    assert os.path.getsize(bank._file.path) == size
    assert len(bank) == 1
    bank.append("fine", by="bank")
    assert verify(bank._file.path).ok


def test_one_writer(logs: tuple[Log, Log]) -> None:
    bank, _ = logs
    with pytest.raises(ProtocolAbort, match="in use by another process"):
        Log.open(bank._file.path, BANK)
    child = os.fork()
    if child == 0:
        try:
            bank.append("forked", by="bank")
        except ProtocolAbort:
            os._exit(0)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    bank.close()
    with pytest.raises(ProtocolAbort, match="closed"):
        bank.append("late", by="bank")
    with Log.open(bank._file.path, BANK) as again:
        assert (len(again), again.recovered) == (1, 0)
    with pytest.raises(InvalidKey):
        Log.open(bank._file.path, HOST)
    with pytest.raises(TypeError, match=r"Log\.create"):
        Log()


def test_heads_go_both_ways_and_survive(logs: tuple[Log, Log]) -> None:
    bank, host = logs
    swap(bank, host)
    sizes = []
    for i in range(7):
        for _ in range(i):
            bank.append("step", by="bank")
        swap(bank, host)
        head = host.peer_head("bank")
        assert head is not None
        assert head.valid()
        bank.confirm(head)
        sizes.append(head.size)
    assert sizes == sorted(set(sizes))
    records = len(host)
    data = bank.offer(sizes[-1])
    head = host.accept(data, party="bank", key=BANK.public_key)
    records += 1
    assert host.accept(data, party="bank", key=BANK.public_key) == head  # resent after a lost answer: no second record
    assert len(host) == records
    path, other = host._file.path, bank._file.path
    host.close()
    with Log.open(path, HOST) as again:
        assert again.peer_head("bank") == head
    kept = read_heads(path, BANK.public_key)
    assert [h.size for h in kept] == [1, *sizes, head.size]
    assert verify(other, heads=kept, key=BANK.public_key).covered == head.size


def test_two_logs_stay_consistent_through_crashes(tmp_path: Path) -> None:
    """Either side dies anywhere in an exchange, with or without half a record on its disk: no false alarm, no gap."""
    rng = random.Random(3)
    paths = {"bank": tmp_path / "bank.log", "host": tmp_path / "host.log"}
    keys, peers = {"bank": BANK, "host": HOST}, {"bank": "host", "host": "bank"}
    logs = {name: Log.create(paths[name], keys[name], owner=name) for name in paths}

    def crash(name: str) -> None:
        logs[name].close()
        if rng.random() < 0.5:  # what it was writing when it died
            whole = paths[name].read_bytes()
            with paths[name].open("ab") as file:
                file.write(whole[: rng.randrange(1, 100)])
            torn = len(whole)
        else:
            torn = 0
        logs[name] = Log.open(paths[name], keys[name])
        assert bool(logs[name].recovered) is bool(torn)

    def show(name: str) -> None:
        """One way of an exchange: the peer gives back what it holds, and gets the newest head with its proof."""
        peer = peers[name]
        held = logs[peer].peer_head(name)
        if held is not None:
            logs[name].confirm(Head.from_bytes(held.to_bytes()))
        offer = logs[name].offer(held.size if held is not None else 0)
        if rng.random() < 0.3:
            crash(rng.choice([name, peer]))
        for _ in range(rng.choice((1, 1, 2))):  # resent, as the answer was lost
            logs[peer].accept(offer, party=name, key=keys[name].public_key)

    for _ in range(25):
        for name in rng.sample(sorted(logs), 2):
            logs[name].append("step", by=name)
            if rng.random() < 0.2:
                crash(name)
            show(name)
    for name, log in logs.items():
        log.close()
        kept = read_heads(paths[peers[name]], keys[name].public_key)
        report = verify(paths[name], heads=kept, key=keys[name].public_key)
        assert report.ok, report.reason
        assert report.covered == max(head.size for head in kept)
        assert report.counts["recovered"] > 0
        assert report.counts["step"] == 25
        assert "peer_refused" not in report.counts


def test_a_log_that_was_cut_is_noticed_by_both(logs: tuple[Log, Log], tmp_path: Path) -> None:
    bank, host = logs
    early = Path(bank._file.path).read_bytes()
    for _ in range(3):
        bank.append("step", by="bank")
    swap(bank, host)
    held = host.peer_head("bank")
    assert held is not None
    bank.close()
    rolled = tmp_path / "rolled"
    rolled.write_bytes(early)
    with Log.open(rolled, BANK) as back:
        with pytest.raises(ProtocolAbort, match="was cut or rolled back"):
            back.confirm(held)  # the owner, told by the peer
        with pytest.raises(ProtocolAbort, match="it was cut or rolled back") as told:
            host.accept(back.offer(), party="bank", key=BANK.public_key)  # the peer
        assert told.value.party == "bank"
        for _ in range(9):
            back.append("other", by="bank")
        for since in (0, held.size):
            with pytest.raises(ProtocolAbort, match=r"rewritten|proves its log from size 0"):
                host.accept(back.offer(since), party="bank", key=BANK.public_key)
        with pytest.raises(ProtocolAbort, match="two different histories"):
            host.accept(offer_of(back.head(held.size).to_bytes(), held.size), party="bank", key=BANK.public_key)
    refused = [record for record in host.records if record.what == "peer_refused"]
    assert len(refused) == 3  # to prove from elsewhere is a misunderstanding, no evidence
    both = [Head.from_bytes(refused[-1].details[name]) for name in ("held", "head")]
    assert all(head.valid() and head.key == BANK.public_key for head in both)  # proof for a third party
    assert both[0].size == both[1].size
    assert both[0].root != both[1].root
    assert host.peer_head("bank") == held
    assert "a peer's log did not extend" in "".join(verify(host._file.path, key=HOST.public_key).notes)


def test_another_log_or_key_of_a_peer(logs: tuple[Log, Log], tmp_path: Path) -> None:
    bank, host = logs
    swap(bank, host)
    with Log.create(tmp_path / "second", BANK, owner="bank") as second:
        for _ in range(5):
            second.append("step", by="bank")
        with pytest.raises(ProtocolAbort, match="another id than before"):
            host.accept(second.offer(3), party="bank", key=BANK.public_key)
        with pytest.raises(ProtocolAbort, match="not a head of this log"):
            bank.confirm(second.head())
    with pytest.raises(ProtocolAbort, match="not signed with its key"):
        host.accept(bank.offer(), party="bank", key=HOST.public_key)
    head = bank.head()
    bad = Head(head.log, head.key, head.size, bytes(32), head.time, head.signature).to_bytes()
    with pytest.raises(ProtocolAbort, match="not signed with its key"):
        host.accept(offer_of(bad), party="bank", key=BANK.public_key)
    for data in (b"", b"BTK1", head.to_bytes(), frame.encode(frame.Kind.EVIDENCE_OFFER, {"head": b"x", "since": 0})):
        with pytest.raises(FrameError):
            host.accept(data, party="bank", key=BANK.public_key)


def test_sizes_are_checked(logs: tuple[Log, Log]) -> None:
    bank, _ = logs
    for call in (
        lambda: bank.head(2),
        lambda: bank.head(0),
        lambda: bank.inclusion(1),
        lambda: bank.inclusion(0, 2),
        lambda: bank.consistency(2),
        lambda: bank.offer(2),
        lambda: bank.leaf(1),
    ):
        with pytest.raises(ValueError, match=r"is -?\d+: "):
            call()


def test_heads_in_files(logs: tuple[Log, Log], tmp_path: Path) -> None:
    bank, _ = logs
    bank.append("step", by="bank")
    heads = [bank.head(1), bank.head(2)]
    path = tmp_path / "heads"
    for data, expected in (
        (heads[0].to_bytes(), heads[:1]),
        (heads[0].to_json().encode(), heads[:1]),
        ("\n".join(head.to_json() for head in heads).encode(), heads),
        (json.dumps([json.loads(head.to_json()) for head in heads]).encode(), heads),
    ):
        path.write_bytes(data)
        assert read_heads(path) == expected
    for data in (b"", b"{", b"3", b"[]", b"[3]", b'{"log": 3}', b"BTK1", b"\xff\xfe", b"[" * 100_000):
        path.write_bytes(data)
        with pytest.raises(FrameError):
            read_heads(path)
    with pytest.raises(ProtocolAbort, match="not a regular file"):
        read_heads("/dev/null")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Instead of scrypt, a third of a second, a hash of all it depends on; the examples use the real one."""

    def derive(secret: bytes, header: dict[str, object]) -> bytes:
        return hashlib.sha256(repr((secret, header["salt"], header["log2_n"], header["p"])).encode()).digest()

    monkeypatch.setattr(sealed, "_derive", derive)


def test_identity_files(tmp_path: Path, quick: None) -> None:
    path, public = tmp_path / "me.key", tmp_path / "me.pub"
    me = Identity.generate()
    me.save(path, "correct horse")
    me.write_public(public)
    assert oct(path.stat().st_mode & 0o777) == "0o600"
    assert Identity.load(path, "correct horse").sign(b"x") == me.sign(b"x")
    assert read_public_key(public) == me.public_key
    with pytest.raises(InvalidKey, match="passphrase is wrong"):
        Identity.load(path, "wrong")
    for data in (b"{}", b'{"kty": "OKP", "crv": "Ed25519", "x": "AA"}', b"nothing", b""):
        public.write_bytes(data)
        with pytest.raises(InvalidKey, match="does not hold a public key"):
            read_public_key(public)
    with pytest.raises(FileExistsError):
        me.save(path, "correct horse")
    with pytest.raises(TypeError, match="cannot be pickled"):
        me.__reduce__()
    with pytest.raises(TypeError):
        Identity(b"raw")  # type: ignore[arg-type]


def test_every_byte_of_an_identity_file_counts(tmp_path: Path, quick: None) -> None:
    """M17."""
    path, me = tmp_path / "me.key", Identity.generate()
    me.save(path, "p")
    data = path.read_bytes()
    assert Identity.load(path, "p").public_key == me.public_key
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :])
        with pytest.raises(InvalidKey):
            Identity.load(path, "p")
        path.write_bytes(data[:at])
        with pytest.raises(InvalidKey):
            Identity.load(path, "p")


def test_fingerprints_are_those_of_certificates(tmp_path: Path) -> None:
    """A certificate, its key in PEM, in DER and raw have one fingerprint: SHA-256 of the key's DER."""
    now = datetime(2026, 1, 1, tzinfo=timezone.utc)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bank")])
    for key in (Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1())):
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(1)
        builder = builder.public_key(key.public_key()).not_valid_before(now).not_valid_after(now + timedelta(days=1))
        certificate = builder.sign(key, None if isinstance(key, Ed25519PrivateKey) else hashes.SHA256())
        der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        forms = [certificate, certificate.public_bytes(Encoding.PEM), certificate.public_bytes(Encoding.DER), der, pem]
        forms += [pem.decode(), key.public_key()]
        assert {fingerprint(form) for form in forms} == {hashlib.sha256(der).hexdigest()}
        path = tmp_path / "cert.pem"
        path.write_bytes(certificate.public_bytes(Encoding.PEM))
        if isinstance(key, Ed25519PrivateKey):
            raw = key.public_key().public_bytes_raw()
            assert fingerprint(raw) == fingerprint(Identity(key)) == fingerprint(der)
            assert read_public_key(path) == raw
        else:
            with pytest.raises(InvalidKey, match="another algorithm"):
                read_public_key(path)
    with pytest.raises(InvalidKey):
        fingerprint(b"-----BEGIN CERTIFICATE-----\nnothing")
    with pytest.raises(TypeError):
        fingerprint(3)


def test_keys_of_small_order_sign_nothing() -> None:
    """Eight times each such point is the neutral element, by the curve's own formulas; no signature holds under it."""
    p = 2**255 - 19
    d = -121665 * pow(121666, -1, p) % p

    def add(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
        k = d * a[0] * b[0] * a[1] * b[1]
        x = (a[0] * b[1] + b[0] * a[1]) * pow(1 + k, -1, p)
        return x % p, (a[1] * b[1] + a[0] * b[0]) * pow(1 - k, -1, p) % p

    assert len(_SMALL_ORDER) == 7
    for encoded in _SMALL_ORDER:
        y = int.from_bytes(encoded, "little") % p
        square = (y * y - 1) * pow(d * y * y + 1, -1, p) % p
        x = pow(square, (p + 3) // 8, p)
        x = x if x * x % p == square else x * pow(2, (p - 1) // 4, p) % p
        assert x * x % p == square
        point = (x, y)
        for _ in range(3):
            point = add(point, point)
        assert point == (0, 1)
        for sign in (0, 0x80):
            key = encoded[:31] + bytes([encoded[31] | sign])
            assert not any(signature_holds(key, r + bytes(32), b"%d" % i) for r in _SMALL_ORDER for i in range(4))
