"""The forms of files and frames: what was written is read, or refused with a remedy; no bytes break a reader."""

from __future__ import annotations

import json
import os
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from bluetusk.errors import BluetuskError, FrameError, PolicyRefused
from bluetusk.evidence import Audit, Grant, Guard, Head, Identity, Log, Meter, Policy, read_heads, verify
from bluetusk.wire import frame

GOLDEN = json.loads((Path(__file__).parents[1] / "vectors" / "evidence_v1.json").read_text())
NEWER = json.loads((Path(__file__).parents[1] / "vectors" / "evidence_v2.json").read_text())
"""With a policy of format 2, and the uses under it."""
NETWORK, BANK = (
    Identity(Ed25519PrivateKey.from_private_bytes(bytes.fromhex(GOLDEN["seeds"][name]))) for name in ("network", "bank")
)
STATED = {"min_rows": 50, "min_events": 6, "min_others": 7, "bins": 10}
MUTATIONS = int(os.environ.get("BLUETUSK_FUZZ", "20000")) // 10


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name, data in GOLDEN["files"].items():
        (tmp_path / name).write_bytes(bytes.fromhex(data))
    return tmp_path


def test_golden_log(files: Path) -> None:
    heads = read_heads(files / "peer", NETWORK.public_key)
    report = verify(files / "log", heads=heads, key=NETWORK.public_key)
    assert (report.ok, report.covered) == (True, 4)
    assert [(r.seq, r.time, r.what, r.by, r.task) for r in report.records] == [
        (0, 1_780_000_000_250, "opened", "network", ""),
        (1, 1_780_000_000_250, "authorised", "network", "job-7/binning"),
        (2, 1_780_000_000_250, "finished", "network", "job-7/binning"),
        (3, 1_780_000_000_250, "peer_head", "network", ""),
    ]
    assert report.records[2].hashes == {"woe": bytes(range(32))}
    assert report.records[2].details == {"meter": {"bank/binning": {"values_revealed": 180}}}
    assert report.head is not None
    assert report.head.to_bytes().hex() == GOLDEN["head"]
    assert Head.from_json(GOLDEN["head_json"]) == report.head
    with Log.open(files / "log", NETWORK, heads=heads) as log:
        assert log.offer(2).hex() == GOLDEN["offer"]  # Ed25519 is deterministic
        log.append("more", by="network")
    with Log.open(files / "peer", BANK) as peer:
        assert peer.accept(bytes.fromhex(GOLDEN["offer"]), party="network", key=NETWORK.public_key) == report.head
        assert len(peer) == 2  # it was held already


def test_golden_signature_by_the_documented_form() -> None:
    """Label, zero byte, and the frame without `signature`, built by hand from docs/how-to/evidence.md."""
    import struct

    import msgpack

    head = Head.from_bytes(bytes.fromhex(GOLDEN["head"]))
    fields = {"key": head.key, "log": head.log, "root": head.root, "size": head.size, "time": head.time}
    body = msgpack.packb(fields)
    data = struct.pack("<4sHHIQ", b"BTK1", 1, 74, len(body), 0) + body
    Ed25519PublicKey.from_public_bytes(head.key).verify(
        head.signature, b"bluetusk/evidence/signature/v1\x00" + data
    )  # raises if it does not hold


def test_golden_policy_and_uses(files: Path) -> None:
    policy = Policy.from_bytes(bytes.fromhex(NEWER["policy"]))
    assert policy.signed_by(NETWORK.public_key)
    assert (policy.serial, policy.revoked, policy.grants[0].max_ids_total) == (7, ("old",), 20)
    assert (policy.grants[0].min_others, policy.grants[0].max_depth, policy.grants[0].reveal) == (7, 4, ("woe",))
    (files / "uses").write_bytes(bytes.fromhex(NEWER["files"]["uses"]))
    use: dict[str, Any] = {"peer": "5a" * 32, "purpose": "binning", "columns": ["PAY_0"], "rows": 21000}
    use |= {"min_rows": 50, "min_events": 6, "min_others": 7, "bins": 10}
    use |= {"reveal": ("woe",), "intersection": bytes(range(32))}
    with Guard(policy, files / "uses", owner=NETWORK.public_key, clock=lambda: 1_780_000_001.0) as guard:
        assert guard.usage() == {"bank-2026": {"uses": 2, "ids": 0}}
        learned = {"sums": 20, "bits": 720_001, "columns": 1, "models": 1, "rows_scored": 9000}
        assert guard.learned() == {"5a" * 32: learned}
        assert guard.authorise(**use, task="job-7/binning").again
        assert not guard.authorise(**use, task="job-8/binning").again


def test_a_policy_of_format_1_is_refused_and_its_uses_still_count(files: Path) -> None:
    with pytest.raises(PolicyRefused, match=r"again, with a higher serial and to a new file") as refused:
        Policy.from_bytes(bytes.fromhex(GOLDEN["policy"]))
    assert refused.value.clause == "format"
    (files / "policy").write_bytes(bytes.fromhex(GOLDEN["policy"]))
    with pytest.raises(PolicyRefused, match="format 1"):
        Guard(files / "policy", files / "uses", owner=NETWORK.public_key)
    grant = Grant("bank-2026", "5a" * 32, ("binning",), ("PAY_0",), uses=2, until=1_800_000_000)
    opened = {"owner": NETWORK.public_key, "clock": lambda: 1_780_000_001.0}
    with pytest.raises(PolicyRefused, match="serial 7 is in force"):
        Guard(Policy("network", 7, (grant,)).sign(NETWORK), files / "uses", **opened)  # type: ignore[arg-type]
    with Guard(Policy("network", 8, (grant,)).sign(NETWORK), files / "uses", **opened) as guard:  # type: ignore[arg-type]
        assert guard.usage() == {"bank-2026": {"uses": 1, "ids": 0}}
        use: dict[str, Any] = {"peer": "5a" * 32, "purpose": "binning", "columns": ["PAY_0"], "rows": 21000}
        use |= {"min_rows": 50, "min_events": 5, "min_others": 5, "bins": 10}
        assert guard.authorise(**use, task="job-8/binning").uses_left == 0


def test_golden_meter_identity_and_audit(files: Path) -> None:
    meter = Meter.from_bytes(bytes.fromhex(GOLDEN["meter"]))
    assert meter.totals() == {("bank", "binning"): {"values_revealed": 180}}
    assert not meter.count(party="bank", task="binning", what="values_revealed", number=180, message="binning/0/3")
    assert Identity.load(files / "identity", GOLDEN["passphrase"]).public_key == NETWORK.public_key
    report = Audit.replay(files / "audit", GOLDEN["passphrase"])
    assert (report.ok, report.tasks) == (True, {"job-7": 1})


READERS: list[tuple[str, Callable[[bytes], Any]]] = [
    ("head", Head.from_bytes),
    ("policy", Policy.from_bytes),
    ("meter", Meter.from_bytes),
]


@pytest.mark.parametrize(("name", "read"), READERS, ids=[name for name, _ in READERS])
def test_readers_are_total(name: str, read: Callable[[bytes], Any]) -> None:
    data = bytes.fromhex(NEWER[name])
    fuzz(data, read)
    for end in range(len(data)):
        with pytest.raises(FrameError):
            read(data[:end])


def test_offers_and_logs_are_read_totally(files: Path) -> None:
    with Log.open(files / "log", NETWORK) as log:
        first = frame.encode(frame.Kind.EVIDENCE_OFFER, {"head": log.head(2).to_bytes(), "since": 0, "proof": []})
    with Log.create(files / "third", BANK, owner="bank") as log:

        def accept(data: bytes) -> Head:
            return log.accept(data, party="network", key=NETWORK.public_key)

        accept(first)
        fuzz(bytes.fromhex(GOLDEN["offer"]), accept, part=4)
        assert {record.what for record in log.records} == {"opened", "peer_head", "peer_refused"}  # a proof was altered
        assert accept(bytes.fromhex(GOLDEN["offer"])).size == 4

    def read(data: bytes) -> None:
        (files / "log").write_bytes(data)
        assert not verify(files / "log", heads=[Head.from_bytes(bytes.fromhex(GOLDEN["head"]))]).ok

    fuzz(bytes.fromhex(GOLDEN["files"]["log"]), read, part=4, typed=False)


def fuzz(data: bytes, read: Callable[[bytes], Any], *, part: int = 1, typed: bool = True) -> None:
    """Change some bytes, cut, repeat, insert: a typed error, or a head that its signature refuses."""
    rng = random.Random(7)
    for _ in range(MUTATIONS // part):
        changed = bytearray(data)
        for _ in range(rng.choice((1, 1, 2, 8))):
            at = rng.randrange(len(changed))
            kind = rng.randrange(4)
            if kind == 0:
                changed[at] = rng.randrange(256)
            elif kind == 1:
                del changed[at : at + rng.randrange(1, 9)]
            elif kind == 2:
                changed[at:at] = rng.randbytes(rng.randrange(1, 9))
            else:
                changed[at : at + 8] = (1 << rng.randrange(64)).to_bytes(8, rng.choice(("little", "big")))
            if not changed:
                break
        if bytes(changed) == data:
            continue
        try:
            got = read(bytes(changed))
        except BluetuskError:
            assert typed
        else:
            assert not isinstance(got, Head) or not got.valid()


def test_threads(tmp_path: Path) -> None:
    """Eight at once: every record and use is there, once, in an order."""
    policy = Policy.from_bytes(bytes.fromhex(NEWER["policy"]))
    with (
        Log.create(tmp_path / "log", NETWORK, owner="network") as log,
        Guard(policy, tmp_path / "uses", owner=NETWORK.public_key, clock=lambda: 1_780_000_001.0) as guard,
    ):
        granted: list[int] = []
        clauses: set[str] = set()

        def work(number: int) -> None:
            for i in range(4):
                log.append("step", by="network", task=f"{number}/{i}")
                use = {"peer": "5a" * 32, "purpose": "binning", "columns": ["PAY_0"], "rows": 2000, **STATED}
                try:
                    guard.authorise(**use, task=f"{number}/{i}")  # type: ignore[arg-type]
                except PolicyRefused as refused:
                    clauses.add(refused.clause)
                else:
                    granted.append(number)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(granted), clauses) == (3, {"uses"})
        assert guard.usage()["bank-2026"]["uses"] == 3
    report = verify(tmp_path / "log", key=NETWORK.public_key)
    assert (report.ok, len(report.records)) == (True, 33)
    assert {record.task for record in report.records[1:]} == {f"{n}/{i}" for n in range(8) for i in range(4)}


def test_ctrl_c_in_the_middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted while the disk works: nothing is there, and the next one is."""
    policy = Policy.from_bytes(bytes.fromhex(NEWER["policy"]))
    use = {"peer": "5a" * 32, "purpose": "binning", "columns": ["PAY_0"], "rows": 2000, **STATED, "task": "t"}
    with (
        Log.create(tmp_path / "log", NETWORK, owner="network") as log,
        Guard(policy, tmp_path / "uses", owner=NETWORK.public_key, clock=lambda: 1_780_000_001.0) as guard,
    ):
        sizes = [path.stat().st_size for path in (tmp_path / "log", tmp_path / "uses")]
        real, calls = os.fsync, iter(range(100))

        def fsync(fd: int) -> None:
            real(fd)
            if next(calls) % 2 == 0:  # the second is that of taking back what was written
                raise KeyboardInterrupt

        monkeypatch.setattr(os, "fsync", fsync)
        with pytest.raises(KeyboardInterrupt):
            log.append("x", by="network")
        with pytest.raises(KeyboardInterrupt):
            guard.authorise(**use)  # type: ignore[arg-type]
        monkeypatch.setattr(os, "fsync", real)
        assert [path.stat().st_size for path in (tmp_path / "log", tmp_path / "uses")] == sizes
        assert (len(log), log.head().size, guard.usage()["bank-2026"]["uses"]) == (1, 1, 0)
        assert log.append("x", by="network") == 1
        assert not guard.authorise(**use).again  # type: ignore[arg-type]
    assert len(verify(tmp_path / "log").records) == 2
