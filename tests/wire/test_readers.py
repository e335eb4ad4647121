"""Every reader of frames against headers that claim what is not there: a typed error, and memory for what is there.

Headers are changed where they mean something: a field of a good frame gets a value of its type that no honest writer
would give, and the frame is encoded again, with its lengths right. What a reader allocates is measured.
"""

from __future__ import annotations

import io
import os
import random
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import bluetusk as bt
from bluetusk.errors import BluetuskError, FrameError
from bluetusk.evidence import Grant, Head, Identity, Log, Meter, Policy
from bluetusk.evidence._statement import Statement
from bluetusk.evidence.notary import Notary
from bluetusk.federated import secagg
from bluetusk.federated.paillier_sum import messages as _messages
from bluetusk.paillier import CipherArray, PrivateKey, PublicKey, RingArray, encrypt_share, masked, open_shares
from bluetusk.sharing import RemoteDealer, Session, Share, ring, serve_dealer, shamir
from bluetusk.vertical import WoEBinning, local_links
from bluetusk.vertical.boosting.arrays import described, joined, parted
from bluetusk.vertical.protocol.state import pack_state, unpack_state
from bluetusk.wire import frame
from bluetusk.wire.frame import Kind, decode, encode, shape_field

# The nightly run raises this (BLUETUSK_FUZZ=1000000): changed headers, all readers together
MUTATIONS = int(os.environ.get("BLUETUSK_FUZZ", "100000")) // 200
MEGABYTE = 1 << 20
INTS = [0, 1, 2, 255, 2**16, 2**20, 2**31, 2**32 - 1, 2**40, 2**48, 2**63 - 1, 2**64 - 1, -1, -(2**63)]
SHAPES = [
    [],
    [0, 2**64 - 1],
    [2**64 - 1, 0],
    [0, 2**40],
    [0, 2**20],
    [2**32, 2**32],
    [2**63 - 1],
    [2**28],
    [-1],
    [-1, -1],
    [1] * 64,
    [0] * 33,
    [2**32, 2**32, 0],
    [True],
    ["1"],
    [[1]],
]

Read = Callable[[bytes], Any]


class Says:
    """A channel that gives one message."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def send(self, data: bytes) -> None:
        pass

    def recv(self) -> bytes:
        return self.data


def resealed(data: bytes) -> bytes:
    """Give a message of a sum the hash that its new content has: anybody can."""
    got = decode(data)
    return _messages.seal(got.kind, {k: v for k, v in got.header.items() if k != "digest"}, bytes(got.payload))


class World:
    """One good frame for each reader."""

    def __init__(self, pub: PublicKey, priv: PrivateKey, folder: Path) -> None:
        self.readers: dict[str, tuple[bytes, Read]] = {}
        self.pub, self.priv = pub, priv
        self._paillier()
        self._sharing()
        self._federated(folder)
        self._vertical(folder)
        self._evidence(folder)

    def add(self, name: str, data: bytes, read: Read) -> None:
        read(data)  # the good one is read, and what is built once is there before anything is measured
        self.readers[name] = data, read

    def _paillier(self) -> None:
        pub, priv = self.pub, self.priv
        plan = bt.FixedPoint()
        c = priv.encrypt(np.array([[1.0, 2.0, 3.0]]), plan)
        packed = priv.encrypt(np.arange(40.0).reshape(2, 20) % 4, plan, packed=True)
        empty = pub.encrypt(np.zeros((0, 3)), plan)
        for name, array in (("array", c), ("packed array", packed), ("empty array", empty)):
            self.add(name, array.to_bytes(), lambda data: CipherArray.from_bytes(data, pub))
            self.add(f"{name}, stream", array.to_bytes(), lambda data: CipherArray.read_from(io.BytesIO(data), pub))
        self.add("array, agreed plan", c.to_bytes(), lambda data: CipherArray.from_bytes(data, pub, plan))
        self.add("sum of an array", c.to_bytes(), lambda data: CipherArray.from_bytes(data, pub).sum(axis=0))
        self.add("sum of nothing", empty.to_bytes(), lambda data: CipherArray.from_bytes(data, pub).sum(axis=0))
        request = priv.encrypt([1, 2], bt.FixedPoint.integers(9)).to_shares()[1]
        self.add("share request", request, lambda data: open_shares(priv, data))
        nothing = priv.encrypt(np.zeros((0, 2), np.int64), bt.FixedPoint.integers(9)).to_shares()[1]
        self.add("empty share request", nothing, lambda data: open_shares(priv, data))
        wrapped = RingArray(encrypt_share(priv, np.ones((2, 1), np.uint64)), 64)
        self.add("ring array", wrapped.to_bytes(2**70), lambda data: RingArray.from_bytes(data, pub))
        bare = RingArray(encrypt_share(priv, np.ones((0, 1), np.uint64)), 64)
        self.add("empty ring array", bare.to_bytes(2**70), lambda data: RingArray.from_bytes(data, pub))
        hidden = masked.mask(priv.encrypt([7, 8], bt.FixedPoint.integers(9)), 8)[1]
        self.add("masked integers", hidden, lambda data: masked.unmask(priv, data, 2))
        self.add("plan", plan.to_bytes(), bt.FixedPoint.from_bytes)
        self.add("public key", pub.to_bytes(), PublicKey.from_bytes)
        proof = bt.paillier.prove_modulus(priv, b"a job", b"a bank")
        self.add("proof of a key", proof, lambda data: bt.paillier.verify_modulus(pub, data, b"a job", b"a bank"))

    def _sharing(self) -> None:
        for prime in (2**61 - 1, 2**31 - 1, 2**127 - 1):
            row = shamir.share([[1, 2]], 2, 3, prime)[0]
            self.add(f"share modulo {prime}", Share("shamir", prime, 2, 3, 1, row).to_bytes(), Share.from_bytes)
        row = bt.sharing.share_bytes(b"abc", 2, 3)[0]
        self.add("share of bytes", Share("shamir", 256, 2, 3, 1, row).to_bytes(), Share.from_bytes)
        for bits in (32, 64):
            part = ring.share([1, 2], 2, bits)[0]
            self.add(f"share of {bits} bits", Share("additive", 2**bits, 2, 2, 0, part).to_bytes(), Share.from_bytes)
        two = ring.share_replicated(np.zeros((0, 2), np.int64))[0]
        self.add("replicated share", Share("replicated", 2**64, 2, 3, 0, two).to_bytes(), Share.from_bytes)
        message = {"topic": "shares", "step": 1, "sender": 1, "shape": [2]}

        def opened(data: bytes) -> Any:
            session = Session(2, party=0, channels={1: Says(data)}, supply=RemoteDealer(Says(b"")))
            return session.share(None, owner=1, shape=(2,))

        self.add("message of a session", encode(Kind.MESSAGE, message, bytes(16)), opened)
        answer = {"topic": "triple", "shape": [2], "matrix": False, "other": [2]}
        self.add(
            "answer of a dealer",
            encode(Kind.MESSAGE, answer, bytes(48)),
            lambda data: RemoteDealer(Says(data)).triple((2,), None),
        )

        def asked(data: bytes) -> Any:
            """Both parties ask alike, and then no more; the dealer was told to make up to 1000 words."""
            ways = {}
            for i in range(2):
                queue = [encode(Kind.MESSAGE, {"topic": "end"}), data]
                ways[i] = Says(b"")
                ways[i].recv = queue.pop
            return serve_dealer(ways, max_words=1000)

        self.add("request for a triple", encode(Kind.MESSAGE, answer), asked)
        matrices = {"topic": "triple", "shape": [2, 3], "matrix": True, "other": [3, 2]}
        self.add("request for a matrix triple", encode(Kind.MESSAGE, matrices), asked)
        self.add("request for a pair", encode(Kind.MESSAGE, {"topic": "pair", "shape": [2], "k": 3}), asked)

    def _federated(self, folder: Path) -> None:
        keys = {name: Ed25519PrivateKey.generate() for name in "abc"}
        clients = {name: (key.public_key().public_bytes_raw(), 1) for name, key in keys.items()}
        total = bt.federated.PaillierSum(self.pub, {"x": (bt.FixedPoint.integers(10), 2)}, clients, min_clients=2)
        self.add("session of a sum", total.to_bytes(), bt.federated.PaillierSum.from_bytes)
        self.add("session with its proof", total.prove(self.priv).to_bytes(), bt.federated.PaillierSum.from_bytes)
        result = bt.federated.SumResult.from_integers(total, 0, "x", [7, -8], 2, ["a", "b"])
        self.add(
            "result of a sum",
            result.to_bytes(total),
            lambda data: bt.federated.SumResult.from_bytes(resealed(data), total),
        )
        sent = total.client("a", keys["a"]).contribute(0, "x", [1, 2])
        self.add("contribution", sent, lambda data: total.aggregator().add(data))
        aggregator = total.aggregator()
        for name in "ab":
            aggregator.add(total.client(name, keys[name]).contribute(1, "x", [1, 2]))
        holder = total.key_holder(self.priv, state=folder / "sums")
        finished = aggregator.finish(1, "x")
        self.add("total", finished, lambda data: holder._examine(resealed(data), None))
        server = Ed25519PrivateKey.generate()
        session = secagg.Session(
            secagg.plan(3), bt.FixedPoint(max_weight=3), 4, clients, server.public_key().public_bytes_raw()
        )
        self.add("session of an aggregation", session.to_bytes(), secagg.Session.from_bytes)
        client = secagg.Client(session, "a", keys["a"])
        (advert,) = client.start(0, [0.0] * 4)
        self.add("advert", advert, lambda data: secagg.Server(session, 0, server).step(data))
        there = secagg.Server(session, 0, server)
        for name in "abc":
            there.step(secagg.Client(session, name, keys[name]).start(0, [0.0] * 4)[0])
        self.add("roster", there.advance()["a"], lambda data: _refused(lambda: client.step(data)))
        state = secagg.Server(session, 0, server).to_bytes(bytes(32))
        self.add("state of a server", state, lambda data: secagg.Server.from_bytes(data, session, server, bytes(32)))

    def _vertical(self, folder: Path) -> None:
        arrays = {"x": np.arange(6.0).reshape(2, 3), "y": np.zeros((0, 4), np.int64)}
        self.add("state of a job", pack_state("t", {"n": 1}, arrays), lambda data: unpack_state(data, "t"))

        def model(data: bytes) -> Any:
            got = decode(data, Kind.GRADIENT_BOOSTING)
            return parted(frame.field(got.header, "arrays", list), got.payload, {"x": "<f8", "y": "<i8"})

        whole = encode(Kind.GRADIENT_BOOSTING, {"arrays": described(arrays)}, joined(arrays))
        self.add("arrays of a model", whole, model)
        file = folder / "model"
        fitted = WoEBinning("guest", min_rows=1, max_bins=2).fit([[1.0], [2.0], [3.0], [4.0]], [0, 0, 1, 1])
        fitted.save(file)

        def loaded(data: bytes) -> Any:
            file.write_bytes(data)
            return WoEBinning.load(file)

        self.add("binning", file.read_bytes(), loaded)
        kept: list[bytes] = []
        here, _ = local_links()
        here.channel.send = kept.append
        here.send("hello", {"rows": 3}, [b"abc", b""])

        def received(data: bytes) -> Any:
            _, there = local_links()
            there.channel.recv = lambda: data
            return there.receive("hello", ["rows"])

        self.add("message of a link", kept[0], received)

    def _evidence(self, folder: Path) -> None:
        identity = Identity.generate()
        log = Log.create(folder / "log", identity, owner="bank")
        self.add("head", log.head().to_bytes(), Head.from_bytes)
        meter = Meter()
        meter.count(party="a", task="t", what="rows", number=3)
        self.add("meter", meter.to_bytes(), Meter.from_bytes)
        peer = Identity.generate()
        other = Log.create(folder / "other", peer, owner="host")
        self.add("offer", other.offer(), lambda data: log.accept(data, party="host", key=peer.public_key))
        notary = Notary(other, peer, job="j", me="guest", peer="host", key=bytes(32))
        self.add("statement", notary.state("task", "binning", ["AGE"], 9, {}), Statement.from_bytes)
        self.logs = [log, other]
        grant = Grant("g", "5a" * 32, ("binning",), ("AGE",), uses=3, until=2_000_000_000)
        self.add("policy", Policy("network", 1, (grant,), ("x",)).sign(identity).to_bytes(), Policy.from_bytes)


def _refused(call: Callable[[], Any]) -> Any:
    """A client that met a broken message is over: what it says then is no frame's fault."""
    try:
        return call()
    except bt.ProtocolAbort:
        return None


@pytest.fixture(scope="module")
def world(keypair: tuple[PublicKey, PrivateKey], tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(*keypair, tmp_path_factory.mktemp("readers"))
    yield made
    for log in made.logs:
        log.close()


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a header: fields, entries of lists, entries of maps."""
    if path:
        yield path
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*path, key))
    elif isinstance(value, list):
        for i in range(min(len(value), 4)):
            yield from places(value[i], (*path, i))


def copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: copied(v) for k, v in value.items()}
    return [copied(v) for v in value] if isinstance(value, list) else value


def changed(header: Any, path: tuple[Any, ...], value: Any) -> Any:
    """Return the header with another value at a place; `...` takes it away."""
    header = copied(header)
    inside = header
    for step in path[:-1]:
        inside = inside[step]
    if value is ...:
        del inside[path[-1]]
    else:
        inside[path[-1]] = value
    return header


def claims(old: Any) -> list[Any]:
    """What a hostile writer puts in the place of a value."""
    if isinstance(old, bool):
        return [not old, 1, ...]
    if isinstance(old, int):
        return [*INTS, "1", ...]
    if isinstance(old, list):
        return [*SHAPES, old * 2, old * 1000, 5, ...]
    if isinstance(old, bytes):
        return [b"", b"\0", b"\xff" * len(old), b"\xff" * 600, old + b"\0", old[:-1], "x", ...]
    if isinstance(old, str):
        return ["", "x", "\0", old * 50, "9" * 39, "1/" + "9" * 36, 1, ...]
    return [{}, [], {"a": 1}, ...]


def read(name: str, read_one: Read, data: bytes) -> bool:
    """Read, and say whether it was taken; anything but a typed error, or too much memory, is a failure."""
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    taken = True
    try:
        kept = read_one(data)
        del kept
    except BluetuskError:
        taken = False
    except ValueError as error:
        if "agree on one plan" not in str(error):  # of CipherArray.from_bytes, given a plan
            raise
        taken = False
    _, peak = tracemalloc.get_traced_memory()
    assert peak - before <= 4 * len(data) + MEGABYTE, (name, peak - before, len(data), decode_or_none(data))
    return taken


def decode_or_none(data: bytes) -> Any:
    try:
        return decode(data).header
    except FrameError:
        return None


def packed(kind: Kind, header: Any, payload: bytes) -> bytes | None:
    try:
        return encode(kind, header, payload)
    except (TypeError, ValueError):  # too deep, too many
        return None


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.usefixtures("traced")
def test_one_hostile_field_at_a_time(world: World) -> None:
    refused = 0
    for name, (data, read_one) in world.readers.items():
        good = decode(data)
        for path in places(good.header):
            old = good.header
            for step in path:
                old = old[step]
            for value in claims(old):
                bad = packed(good.kind, changed(good.header, path, value), bytes(good.payload))
                if bad is not None and bad != data:
                    refused += not read(name, read_one, bad)
    assert refused > 3000


@pytest.mark.usefixtures("traced")
def test_several_hostile_fields_and_other_payloads(world: World) -> None:
    rng = random.Random(20261129)
    names = sorted(world.readers)
    for _ in range(MUTATIONS):
        name = rng.choice(names)
        data, read_one = world.readers[name]
        good = decode(data)
        header, payload = good.header, bytes(good.payload)
        for _ in range(rng.randint(1, 3)):
            path = rng.choice(list(places(header)) or [()])
            if not path:
                break
            old: Any = header
            for step in path:
                old = old[step]
            header = changed(header, path, rng.choice(claims(old)))
        if rng.random() < 0.5:
            payload = rng.choice(
                [b"", payload[:-1], payload + b"\0", payload[: len(payload) // 2], bytes(len(payload))]
            )
        bad = packed(good.kind, header, payload)
        if bad is not None:
            read(name, read_one, bad)


@pytest.mark.usefixtures("traced")
def test_streams_that_promise_and_do_not_give(world: World) -> None:
    """The fixed header and the shape agree on petabytes; what comes is a few ciphertexts, or nothing."""
    data, read_one = world.readers["array, stream"]
    good = decode(data)
    each = 2 * world.pub.bits // 8
    for count in (10, 10_000, 2**30, 2**47):
        for there in (0, 1, each - 1, each, 3 * each, 3000 * each):
            fp = io.BytesIO()
            frame.write_header(fp, good.kind, {**good.header, "shape": [count]}, count * each)
            fp.write((bytes(good.payload[:each]) * (there // each + 1))[: min(there, count * each)])
            if there < count * each:
                assert not read("stream", read_one, fp.getvalue())


# --- the one rule for shapes


@pytest.mark.parametrize("shape", [[], [1], [2, 3, 4], [0], [0, 1024], [2**48], [2**24, 2**24], [0, 0, 0], [1] * 32])
def test_shapes_that_travel(shape: list[int]) -> None:
    assert shape_field({"shape": shape}) == tuple(shape)
    if 0 in shape:
        assert shape_field({"shape": shape}, payload=0, itemsize=8) == tuple(shape)


@pytest.mark.parametrize(
    ("shape", "match"),
    [
        ([0, 2**64 - 1], "out of range"),
        ([2**64 - 1], "out of range"),
        ([0, 1025], r"where an axis is 0, the product of the others is at most 2\^10"),
        ([33, 0, 32], "out of range"),
        ([2**48 + 1], "out of range"),
        ([2**48, 2], "out of range"),
        ([2**32, 2**32, 2**32, 2**32], "out of range"),
        ([-1], "out of range"),
        ([0, -1], "out of range"),
        ([1] * 33, "length of frame field 'shape' is 33"),
        ([True], "holds a bool, takes only int"),
        (["3"], "holds a str, takes only int"),
        ({"0": 1}, "of type dict, not list"),
        (3, "of type int, not list"),
    ],
)
def test_shapes_that_do_not(shape: Any, match: str) -> None:
    with pytest.raises(FrameError, match=match):
        shape_field({"shape": shape})


def test_a_shape_agrees_with_what_is_there() -> None:
    for shape, itemsize in (([2, 3], 8), ([7], 1), ([], 4)):
        needed = int(np.prod(shape, dtype=int)) * itemsize
        assert shape_field({"dims": shape}, "dims", payload=needed, itemsize=itemsize) == tuple(shape)
        for there in (0, needed - 1, needed + 1):
            with pytest.raises(FrameError, match=f"'dims' needs a payload of {needed} bytes, not {there}"):
                shape_field({"dims": shape}, "dims", payload=there, itemsize=itemsize)
    with pytest.raises(FrameError, match=r"axes and their product are 0 to 5; .* at most 2"):
        shape_field({"shape": [6]}, size=5, empty=2)
    with pytest.raises(FrameError, match="lacks the field 'shape'"):
        shape_field({})


def test_a_ring_array_of_no_size_is_refused_by_name(pub: PublicKey, priv: PrivateKey) -> None:
    good = decode(RingArray(encrypt_share(priv, np.ones((0, 1), np.uint64)), 64).to_bytes(2**70))
    for shape in ([0, 2**64 - 1], [0, 2**63], [2**64 - 1, 0]):
        with pytest.raises(FrameError, match="'shape' is out of range"):
            RingArray.from_bytes(encode(good.kind, {**good.header, "shape": shape}, bytes(good.payload)), pub)


def test_a_count_of_words_beyond_every_memory_is_refused_by_name() -> None:
    for count, bits in ((2**58, 64), (2**61, 8), (2**62, 4), (2**63, 64), (2**70, 1)):
        with pytest.raises(
            FrameError, match=f"data has 0 bytes, but {count} words of {bits} bits take {count * bits // 8}"
        ):
            ring.unpack(b"", bits, count)
    with pytest.raises(TypeError, match="data must be bytes"):
        ring.unpack("abc", 8, 3)


def test_a_dealer_makes_what_it_was_told_to_make() -> None:
    """A hundred bytes asked for 2^56 words of a product, out of two factors that were each within the limit."""
    for request in (
        {"topic": "triple", "shape": [2**20, 1], "matrix": True, "other": [1, 2**20]},
        {"topic": "triple", "shape": [2**25], "matrix": False, "other": [2**25]},
        {"topic": "pair", "shape": [2**25], "k": 3},
    ):
        data = encode(Kind.MESSAGE, request)
        with pytest.raises(bt.ProtocolAbort, match=r"above max_words=67108864|out of range"):
            serve_dealer({i: Says(data) for i in range(2)})


# --- streams


class Odd(io.RawIOBase):
    """A stream whose write and read give back what they are told."""

    def __init__(self, result: Any) -> None:
        self.result, self.calls = result, 0

    def write(self, data: Any) -> Any:
        self.calls += 1
        assert self.calls < 10, "write_all goes on for ever"
        return self.result

    def read(self, n: int = -1) -> Any:
        self.calls += 1
        assert self.calls < 10, "the reader goes on for ever"
        return self.result


@pytest.mark.parametrize("result", [0, -1, -3, 4, 100, True, False, 1.0, "3", b"x"])
def test_a_stream_that_writes_nothing_is_an_error(result: Any) -> None:
    """A short write is repeated; one of nothing, or of more than was given, would go on for ever or lose bytes."""
    with pytest.raises(OSError, match=rf"write\(\) of the stream returned {result!r} for 3 bytes"):
        frame.write_all(Odd(result), b"abc")
    with pytest.raises(OSError, match="returned"):
        frame.write_header(Odd(result if result != 100 else 10**6), Kind.PLAN, {}, 0)


def test_a_stream_that_would_block() -> None:
    with pytest.raises(BlockingIOError, match="non-blocking and full"):
        frame.write_all(Odd(None), b"abc")
    for call in (
        lambda: frame.read_exact(Odd(None), bytearray(3)),
        lambda: frame.read_header(Odd(None)),
        lambda: frame.read_frame(Odd(None), max_payload=9),
    ):
        with pytest.raises(BlockingIOError, match="non-blocking and empty"):
            call()


def test_a_stream_that_gives_more_than_was_asked_for() -> None:
    for call in (
        lambda: frame.read_exact(Odd(b"abcd"), bytearray(3)),
        lambda: frame.read_header(Odd(bytes(100))),
        lambda: frame.read_frame(Odd(bytes(100)), max_payload=9),
    ):
        with pytest.raises(OSError, match=r"read\(\d+\) of the stream returned"):
            call()


def test_nothing_is_written_to_any_stream() -> None:
    frame.write_all(Odd(0), b"")
