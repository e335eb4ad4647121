"""Every altered log is found, and the first bad record named: 10^3 of them and more, by outsiders, owner and peer."""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass
from pathlib import Path

import pytest

from bluetusk.errors import InvalidKey, ProtocolAbort
from bluetusk.evidence import Head, Identity, Log, read_heads, verify

RECORDS = 12
SPARSE = 5  # every so many records the peer was given a head as well


@dataclass
class World:
    """A bank's log, cut into entries, and what its peer has kept of it."""

    folder: Path
    bank: Identity
    host: Identity
    path: Path
    peer_path: Path
    data: bytes
    ends: list[int]  # where each entry ends
    heads: list[Head]  # one for each size, as if exchanged after every record
    other: bytes  # another log of the same owner

    def entry(self, i: int) -> bytes:
        return self.data[self.ends[i - 1] if i else 0 : self.ends[i]]

    def entries(self) -> list[bytes]:
        return [self.entry(i) for i in range(len(self.ends))]

    def at(self, byte: int) -> int:
        """The entry that a byte belongs to."""
        return next(i for i, end in enumerate(self.ends) if byte < end)

    def sparse(self) -> list[Head]:
        return [head for head in self.heads if head.size % SPARSE == 0]

    def check(self, data: bytes, heads: list[Head] = [], key: bytes | None = None):  # noqa: B006
        path = self.folder / "altered"
        path.write_bytes(data)
        return verify(path, heads=heads, key=key)


def frame_ends(data: bytes) -> list[int]:
    """Where every second frame ends: a record and its head are an entry. Read by the documented layout alone."""
    ends, at = [], 0
    while at < len(data):
        header, payload = struct.unpack_from("<IQ", data, at + 8)
        at += 20 + header + payload
        ends.append(at)
    return ends[1::2]


def fill(log: Log, count: int, word: str = "step") -> None:
    for i in range(count):
        log.append(
            f"{word}", by="bank", task=f"job/{i}", hashes={"x": bytes([i]) * 32}, details={"i": i, "text": "a" * i}
        )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("logs")
    bank, host = Identity.generate(), Identity.generate()
    path, peer_path = folder / "bank.log", folder / "host.log"
    with Log.create(path, bank, owner="bank") as log, Log.create(peer_path, host, owner="host") as peer:
        for size in range(1, RECORDS + 1):
            if size > 1:
                fill(log, 1)
            if size % SPARSE == 0 or size == RECORDS:
                last = peer.peer_head("bank")
                peer.accept(log.offer(last.size if last else 0), party="bank", key=bank.public_key)
        heads = [log.head(size) for size in range(1, RECORDS + 1)]
    with Log.create(folder / "other.log", bank, owner="bank") as log:
        fill(log, RECORDS - 1)
    data = path.read_bytes()
    ends = frame_ends(data)
    assert len(ends) == RECORDS
    assert ends[-1] == len(data)
    other = (folder / "other.log").read_bytes()
    return World(folder, bank, host, path, peer_path, data, ends, heads, other)


@pytest.fixture
def rng() -> random.Random:
    return random.Random(20260101)


def found(report, index: int | range, part: str = "") -> None:
    assert not report.ok
    if isinstance(index, int):
        assert report.first_bad == index, report.reason
        assert f"{index}" in report.reason
    else:
        assert report.first_bad in index, report.reason
    assert part in report.reason
    assert len(report.records) <= (report.first_bad or 0)


def resigned(world: World, k: int, identity: Identity | None = None, count: int | None = None) -> bytes:
    """The log as the owner (or `identity`) would write it anew from record k on, with `count` records in all."""
    signer = identity or world.bank
    path = world.folder / "resigned"
    path.unlink(missing_ok=True)
    path.write_bytes(world.data[: world.ends[k - 1]])
    # written by the library itself: only who has the owner's key can open the log to go on
    with Log.open(path, world.bank) as log:
        log._identity = signer
        fill(log, (RECORDS if count is None else count) - k, "changed")
    return path.read_bytes()


def test_untouched(world: World) -> None:
    report = world.check(world.data, world.heads, world.bank.public_key)
    assert (report.ok, report.first_bad, report.reason, report.torn) == (True, None, "", 0)
    assert (len(report.records), report.covered) == (RECORDS, RECORDS)
    assert report.notes == ()
    assert verify(world.path, heads=read_heads(world.peer_path, world.bank.public_key)).covered == RECORDS


def test_flipped_bits_need_no_head_to_show(world: World, rng: random.Random) -> None:
    """300 anywhere; then one in every byte of the last entry, where an alteration could pass for a torn record."""
    last = range(world.ends[-2], world.ends[-1])
    for at in [*(rng.randrange(len(world.data)) for _ in range(300)), *last]:
        data = bytearray(world.data)
        data[at] ^= 1 << rng.randrange(8)
        found(world.check(bytes(data)), world.at(at))


def test_overwritten_ranges(world: World, rng: random.Random) -> None:
    for _ in range(100):
        lo = rng.randrange(len(world.data) - 1)
        hi = min(lo + rng.randrange(1, 2000), len(world.data) - 1)
        data = bytearray(world.data)
        data[lo:hi] = rng.choice([bytes(hi - lo), rng.randbytes(hi - lo)])
        if data != world.data:
            first = next(i for i in range(len(data)) if data[i] != world.data[i])
            found(world.check(bytes(data), [world.heads[-1]]), world.at(first))


def test_deleted_swapped_duplicated_inserted(world: World, rng: random.Random) -> None:
    outsider = Identity.generate()
    forged = frame_ends(data := resigned(world, 1, outsider)) and data
    strange = [forged[a:b] for a, b in zip([0, *frame_ends(forged)], frame_ends(forged), strict=False)]
    others = [world.other[a:b] for a, b in zip([0, *frame_ends(world.other)], frame_ends(world.other), strict=False)]
    for _ in range(100):
        i = rng.randrange(RECORDS - 1)
        entries = world.entries()
        del entries[i]
        found(world.check(b"".join(entries)), i, "missing")

        i, j = sorted(rng.sample(range(RECORDS), 2))
        entries = world.entries()
        entries[i], entries[j] = entries[j], entries[i]
        found(world.check(b"".join(entries)), i)

        i, j = rng.randrange(RECORDS), rng.randrange(RECORDS + 1)
        entries = world.entries()
        entries.insert(j, world.entry(i))
        if j not in (i, i + 1):
            found(world.check(b"".join(entries)), j)
        else:
            found(
                world.check(b"".join(entries)), i + 1
            )  # a copy beside its original: the second of them is one too many

        j = rng.randrange(1, RECORDS)
        entries = world.entries()
        entries.insert(j, strange[j])
        found(world.check(b"".join(entries)), j, "another key")
        entries = world.entries()
        entries[j] = others[j]
        found(world.check(b"".join(entries)), j, "of another log")


def test_a_head_that_is_swapped_for_a_later_one(world: World) -> None:
    ends = frame_ends(world.data)
    halves = []
    for i, entry in enumerate(world.entries()):
        header, _ = struct.unpack_from("<IQ", entry, 8)
        halves.append((entry[: 20 + header], entry[20 + header :]))
        assert len(halves) == i + 1
    for i in range(RECORDS - 1):
        mixed = [record + (halves[k + 1][1] if k == i else head) for k, (record, head) in enumerate(halves)]
        found(world.check(b"".join(mixed)), i)
    assert ends == world.ends


def test_cut_tails_at_any_byte(world: World, rng: random.Random) -> None:
    """A cut shows against the peer's head; without it a cut inside a record passes for a crash, and is reported."""
    for size in [*(rng.randrange(len(world.data)) for _ in range(150)), *world.ends[:-1]]:
        whole = sum(end <= size for end in world.ends)
        report = world.check(world.data[:size], [world.heads[-1]])
        found(report, whole, "missing")
        assert report.torn == size - (world.ends[whole - 1] if whole else 0)
        alone = world.check(world.data[:size])
        assert alone.ok is (whole > 0)
        assert alone.torn == report.torn
        assert (alone.torn > 0) is any("was being written" in note for note in alone.notes)


def test_rolled_back_and_written_on(world: World, rng: random.Random) -> None:
    """An owner restores an old copy and goes on, with fewer, as many or more records than the peer has a head of."""
    for _ in range(50):
        k = rng.randrange(1, RECORDS)
        data = resigned(world, k, count=rng.randrange(k, RECORDS + 4))
        assert world.check(data, key=world.bank.public_key).ok  # by itself it is a good log
        found(world.check(data, world.heads, world.bank.public_key), k)  # a head for each record names the first
        report = world.check(data, world.sparse() + world.heads[-1:], world.bank.public_key)
        agreed = max([0, *(head.size for head in world.sparse() if head.size <= k)])
        # else all that is known: something after the last head that still holds, or a missing end and that this is open
        if "missing" in report.reason:
            assert agreed == k or f"no head vouches for the records {agreed} to" in report.reason
        found(report, range(agreed, max(k, len(report.records)) + 1))
        assert report.covered == agreed


def test_signed_anew_by_the_peer(world: World, rng: random.Random) -> None:
    for _ in range(25):
        k = rng.randrange(1, RECORDS)
        found(world.check(resigned(world, k, world.host)), k)
    with Log.create(world.folder / "faked", world.host, owner="bank") as log:
        fill(log, RECORDS - 1)
    faked = (world.folder / "faked").read_bytes()
    assert world.check(faked).ok  # whoever believes the key in the file believes it
    found(world.check(faked, key=world.bank.public_key), 0, "another owner's key")
    assert "another key" in world.check(faked, world.heads).reason


def test_begun_anew_by_the_owner(world: World) -> None:
    found(world.check(world.other, world.heads[-1:], world.bank.public_key), 0, "begun anew")


def test_heads_that_are_no_good(world: World) -> None:
    """A peer cannot make an honest log look altered: its forgeries are told from the owner's heads."""
    good = world.heads[-1]
    forged = [
        Head(good.log, good.key, good.size + 1, good.root, good.time, good.signature),
        Head(good.log, good.key, good.size, bytes(32), good.time, good.signature),
        Head(good.log, world.host.public_key, good.size, good.root, good.time, good.signature),
    ]
    with Log.create(world.folder / "peer", world.host, owner="host") as log:
        forged.append(log.head())
    for head in forged:
        report = world.check(world.data, [*world.heads, head], world.bank.public_key)
        assert (report.ok, report.first_bad, len(report.records)) == (False, None, RECORDS)
        assert "a given head of" in report.reason


def test_empty_and_foreign_files(world: World) -> None:
    for data in (b"", b"BTK1", b"hello", world.peer_path.read_bytes()[:40], bytes(1000)):
        assert not world.check(data).ok
        assert world.check(data).first_bad == 0


def test_altered_logs_are_not_continued(world: World, rng: random.Random) -> None:
    path = world.folder / "continued"
    for at in (rng.randrange(len(world.data)) for _ in range(60)):
        data = bytearray(world.data)
        data[at] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        if world.check(bytes(data)).reason.endswith("not that of the log's owner") and world.at(at) < RECORDS - 1:
            continue  # an earlier head's signature: the last one covers all records, so the log is what it was
        with pytest.raises(ProtocolAbort, match=r"record|head"):
            Log.open(path, world.bank)
        assert path.read_bytes() == data
    for data, said in (
        (world.data[: world.ends[0] - 1], "no complete record"),
        (world.data.replace(world.heads[-1].signature, bytes(64)), "not signed by the log's owner"),
    ):
        path.write_bytes(data)
        with pytest.raises(ProtocolAbort, match=said):
            Log.open(path, world.bank)
    path.write_bytes(world.data[: world.ends[5]])
    with pytest.raises(ProtocolAbort, match="cut or rolled back"):
        Log.open(path, world.bank, heads=[world.heads[-1]])
    path.write_bytes(resigned(world, 4))
    with pytest.raises(ProtocolAbort, match="rewritten"):
        Log.open(path, world.bank, heads=[world.heads[-1]])
    path.write_bytes(world.data)
    with pytest.raises(InvalidKey, match="another identity"):
        Log.open(path, world.host)
