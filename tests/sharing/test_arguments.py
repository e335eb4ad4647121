"""Arguments of the sharing package: integers, shapes, masks and empty arrays, for every public function by itself."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import bluetusk as bt
from bluetusk.sharing import PaillierTriples, RemoteDealer, Session, Share, beaver, ring, serve_dealer, shamir

SEED = bytes(32)
ROWS = np.arange(6, dtype=np.uint64).reshape(2, 3)  # a sharing of two parties


class Silent:
    """A channel through which nothing comes: arguments are checked before anybody is asked."""

    def send(self, data: bytes) -> None:
        raise AssertionError("something was sent")

    def recv(self) -> bytes:
        raise AssertionError("something was waited for")


def part(i: int = 0) -> beaver.Triple:
    return beaver.triple(3, 2).party(i)


def pair() -> ring.TruncationPair:
    return ring.truncation_pair(3, 4, 2).party(0)


def row() -> np.ndarray:
    return ROWS[0].copy()


# every public callable of the package, with arguments that it takes; what must hold of each is said by its annotations
CALLS: dict[str, tuple[Callable[..., Any], Callable[[], dict[str, Any]]]] = {
    "ring.share": (ring.share, lambda: {"x": row(), "parties": 2, "bits": 64}),
    "ring.reconstruct": (ring.reconstruct, lambda: {"shares": ROWS}),
    "ring.zeros": (ring.zeros, lambda: {"shape": 3, "parties": 2, "bits": 64}),
    "ring.refresh": (ring.refresh, lambda: {"shares": ROWS}),
    "ring.zero_share": (ring.zero_share, lambda: {"party": 0, "seeds": {1: SEED}, "shape": 3, "bits": 64}),
    "ring.matmul": (ring.matmul, lambda: {"a": ROWS, "b": ROWS.T}),
    "ring.truncate": (ring.truncate, lambda: {"shares": ROWS, "k": 3, "bound": 9, "party": None}),
    "ring.truncation_pair": (ring.truncation_pair, lambda: {"shape": 3, "k": 4, "parties": 2, "bits": 64}),
    "ring.TruncationPair": (
        ring.TruncationPair,
        lambda: {"k": 4, "r": row(), "high": row() >> np.uint64(4), "top": row() >> np.uint64(63)},
    ),
    "TruncationPair.party": (ring.truncation_pair(3, 4, 2).party, lambda: {"i": 1}),
    "TruncationPair.mask": (lambda share: pair().mask(share, leader=True), lambda: {"share": row()}),
    "TruncationPair.finish": (lambda opened: pair().finish(opened, leader=True), lambda: {"opened": row()}),
    "ring.pack": (ring.pack, lambda: {"x": row(), "bits": 12}),
    "ring.unpack": (ring.unpack, lambda: {"data": bytes(3), "bits": 12, "count": 2}),
    "ring.share_replicated": (ring.share_replicated, lambda: {"x": row(), "bits": 32}),
    "ring.reconstruct_replicated": (
        ring.reconstruct_replicated,
        lambda: {"shares": ring.share_replicated(row()), "parties": (0, 1, 2)},
    ),
    "shamir.share": (shamir.share, lambda: {"x": row(), "threshold": 2, "parties": 3, "prime": 101}),
    "shamir.reconstruct": (
        shamir.reconstruct,
        lambda: {"shares": ROWS, "ids": [1, 2], "threshold": 2, "prime": 2**61 - 1},
    ),
    "shamir.correct": (shamir.correct, lambda: {"shares": ROWS, "ids": [1, 2], "threshold": 2, "prime": 2**61 - 1}),
    "shamir.zeros": (shamir.zeros, lambda: {"shape": 3, "threshold": 2, "parties": 3, "prime": 101}),
    "shamir.refresh": (shamir.refresh, lambda: {"shares": ROWS, "ids": [1, 2], "threshold": 2, "prime": 2**61 - 1}),
    "shamir.reshare": (
        shamir.reshare,
        lambda: {
            "shares": ROWS,
            "ids": [1, 2],
            "threshold": 2,
            "new_threshold": 2,
            "new_parties": 3,
            "prime": 2**61 - 1,
        },
    ),
    "shamir.add": (shamir.add, lambda: {"a": ROWS, "b": ROWS, "prime": 101}),
    "shamir.subtract": (shamir.subtract, lambda: {"a": ROWS, "b": ROWS, "prime": 101}),
    "shamir.scale": (shamir.scale, lambda: {"a": ROWS, "k": -3, "prime": 101}),
    "shamir.share_packed": (shamir.share_packed, lambda: {"x": ROWS, "threshold": 2, "parties": 3, "prime": 101}),
    "shamir.reconstruct_packed": (
        shamir.reconstruct_packed,
        lambda: {"shares": ROWS, "ids": [1, 2], "threshold": 1, "pack": 2, "prime": 101, "degree": 1},
    ),
    "beaver.Triple": (beaver.Triple, lambda: {"a": row(), "b": row(), "c": row() * row()}),
    "Triple.party": (beaver.triple(3, 2).party, lambda: {"i": 1}),
    "Triple.mask": (lambda x, y: part().mask(x, y), lambda: {"x": row(), "y": row()}),
    "Triple.finish": (lambda d, e: part().finish(d, e, leader=True), lambda: {"d": row(), "e": row()}),
    "beaver.triple": (beaver.triple, lambda: {"shape": 3, "parties": 2, "bits": 64}),
    "beaver.triple of matrices": (beaver.triple, lambda: {"shape": (2, 3), "parties": 2, "other": (3, 1)}),
    "beaver.multiply": (beaver.multiply, lambda: {"x": ROWS, "y": ROWS, "t": beaver.triple(3, 2)}),
    "share_bytes": (bt.sharing.share_bytes, lambda: {"data": b"abc", "threshold": 2, "parties": 3}),
    "reconstruct_bytes": (
        bt.sharing.reconstruct_bytes,
        lambda: {"shares": ROWS.astype(np.uint8), "ids": [1, 2], "threshold": 2},
    ),
    "correct_bytes": (
        bt.sharing.correct_bytes,
        lambda: {"shares": ROWS.astype(np.uint8), "ids": [1, 2], "threshold": 2},
    ),
    "share_keys": (bt.sharing.share_keys, lambda: {"keys": [b"abc"], "threshold": 2, "parties": 3}),
    "reconstruct_keys": (
        bt.sharing.reconstruct_keys,
        lambda: {"shares": bt.sharing.share_keys([b"abc"], 2, 3), "ids": [1, 2, 3], "threshold": 2, "length": 3},
    ),
    "Share": (
        Share,
        lambda: {"scheme": "shamir", "order": 101, "threshold": 2, "parties": 3, "party": 1, "values": row()},
    ),
    "Session": (Session, lambda: {"parties": 2, "party": None, "frac_bits": 16}),
    "Session.share": (
        lambda x, owner, shape: Session(parties=2).share(x, owner, shape=shape),
        lambda: {"x": row(), "owner": 1, "shape": (3,)},
    ),
    "SharedArray.truncate": (lambda k: Session(parties=2).share([1.0]).truncate(k), lambda: {"k": 3}),
    "serve_dealer": (
        lambda max_words: serve_dealer({0: Ended(), 1: Ended()}, max_words=max_words),
        lambda: {"max_words": 9},
    ),
}


class Ended:
    def recv(self) -> bytes:
        from bluetusk.wire import frame

        return frame.encode(frame.Kind.MESSAGE, {"topic": "end"})


INTS = {"parties", "bits", "party", "k", "bound", "count", "threshold", "prime", "new_threshold", "new_parties", "pack"}
INTS |= {"degree", "length", "order", "frac_bits", "owner", "i", "max_words"}
ARRAYS = {"x", "y", "a", "b", "c", "d", "e", "shares", "share", "opened", "data", "values", "r", "high", "top"}
SHAPES = {"shape", "other"}
calls = pytest.mark.parametrize("name", CALLS)


def public_names() -> set[str]:
    found = set()
    for prefix, module in (("", bt.sharing), ("ring.", ring), ("shamir.", shamir), ("beaver.", beaver)):
        found |= {prefix + name for name in module.__all__ if not inspect.ismodule(getattr(module, name))}
    return found


def test_no_public_function_is_left_out() -> None:
    elsewhere = {"SharedArray", "PaillierTriples", "RemoteDealer"}  # made by others, and below
    assert public_names() - elsewhere <= CALLS.keys()
    for name, (function, _) in CALLS.items():
        taken = {p for p in inspect.signature(function).parameters if p not in ("threads", "self", "matrix")}
        known = (
            INTS | ARRAYS | SHAPES | {"seeds", "ids", "keys", "t", "scheme", "check", "signed", "channels", "supply"}
        )
        assert taken <= known | {"accept_failure"}, name


@calls
def test_the_arguments_are_good_ones(name: str) -> None:
    function, arguments = CALLS[name]
    function(**arguments())


def wrong(name: str, argument: str, value: Any, error: type[Exception] = TypeError, named: str | None = None) -> None:
    function, arguments = CALLS[name]
    with pytest.raises(error, match=named or rf"\b{argument}\b"):
        function(**(arguments() | {argument: value}))


@calls
def test_integers_are_integers(name: str) -> None:
    for argument in CALLS[name][1]().keys() & INTS:
        if name == "ring.reconstruct_replicated" and argument == "parties":  # a sequence of them
            continue
        for bad in (64.0, 2.0, np.float64(64), True, np.True_, "64", b"2", [7], (7,), {}, np.array([2, 3]), 1 + 0j):
            wrong(name, argument, bad)
        if (name, argument) not in (("shamir.scale", "k"), ("ring.zero_share", "party")):  # of any sign; a name
            wrong(name, argument, -(2**70), ValueError)


@calls
def test_threads_are_a_number(name: str) -> None:
    if "threads" in inspect.signature(CALLS[name][0]).parameters:
        for bad in (1.0, True, "2", [2]):
            wrong(name, "threads", bad)
        wrong(name, "threads", 0, ValueError)


@calls
def test_shapes_are_shapes(name: str) -> None:
    for argument in CALLS[name][1]().keys() & SHAPES:
        for bad in (3.0, "3", (2, 1.0), [True], ("3",), (None,)):
            wrong(name, argument, bad)
        for bad in ((-1,), (2, -3)):
            wrong(name, argument, bad, ValueError)


@calls
def test_what_is_masked_is_no_argument(name: str) -> None:
    """numpy.asarray drops the mask of numpy.ma without a word: a masked share would become a number."""
    arguments = CALLS[name][1]()
    for argument in arguments.keys() & (ARRAYS | {"ids", "parties"}):
        value = arguments[argument]
        if argument in ("ids", "parties"):
            if isinstance(value, int):
                continue
            wrong(name, argument, [*value[:-1], np.ma.masked], TypeError, f"{argument}\\[")
            continue
        if isinstance(value, bytes):
            value = np.frombuffer(value, np.uint8)
            if name == "ring.unpack":  # takes bytes alone
                continue
        masked = np.ma.array(value, mask=np.zeros(value.shape, bool))
        masked[..., -1] = np.ma.masked
        wrong(name, argument, masked, TypeError, rf"\b{argument}.* masked")
        rows = (
            [np.ma.array(line, mask=False) for line in value]
            if value.ndim > 1
            else [*value.tolist()[:-1], np.ma.masked]
        )
        wrong(name, argument, rows, TypeError, rf"\b{argument}\b")


@pytest.mark.parametrize("parties", [2, 3])
def test_what_is_masked_is_no_index_and_no_axis(parties: int) -> None:
    values = np.arange(6.0).reshape(3, 2)
    x = Session(parties=parties).share(values)
    rows = np.ma.array([0, 2], mask=[0, 1])
    where = np.ma.array([True, True, False], mask=[0, 1, 0])
    for key in (rows, where, (rows, 0), (slice(None), rows), [0, np.ma.masked]):
        with pytest.raises(TypeError, match=r"index.* masked"):
            x[key]
    with pytest.raises(TypeError, match=r"index.* masked"):
        x[slice(np.ma.array(1, mask=True), None)]
    axis = np.ma.array(0, mask=True)
    for wrong in (axis, (axis,), (0, axis)):
        with pytest.raises(TypeError, match="axis is masked"):
            x.sum(axis=wrong)
    for shape in ((np.ma.array([3, 2], mask=[1, 0]),), (2, np.ma.array(3, mask=True)), ((2, np.ma.masked),)):
        with pytest.raises(TypeError, match=r"shape.* masked"):
            x.reshape(*shape)
    for axis_error in (2, -3):
        with pytest.raises(ValueError, match="axis"):
            x.sum(axis=axis_error)
    for key in (
        1, -1, np.int8(2), None, ..., slice(1, None), [2, 0], [], [True, False, True], (0, 1), (..., None), (1, [0, 1]),
        ([0, 2], slice(None, None, -1)), np.array([[0], [1]]), values > 2, range(2), np.array(1), True,
    ):  # fmt: skip
        assert np.array_equal(x[key].reveal(), values[key]), key
    for axes in (None, 0, -1, (0, 1), (), np.int64(1)):
        assert np.array_equal(x.sum(axis=axes).reveal(), values.sum(axis=axes))


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: ring.zero_share(0, [SEED], 3), "seeds must map"),
        (lambda: ring.zero_share(0, {1.0: SEED}, 3), "a party in seeds must be an int"),
        (lambda: ring.zero_share(0, {1: SEED, "2": SEED}, 3), "a party in seeds must be an int"),
        (lambda: ring.reconstruct_replicated(ring.share_replicated([1]), 3), "parties must be a sequence"),
        (lambda: shamir.reconstruct(ROWS, 2, 2), "ids must be a sequence"),
        (lambda: bt.sharing.share_keys(5, 2, 3), "keys must be a sequence of bytes"),
        (lambda: bt.sharing.share_keys(["abc"], 2, 3), "keys must be a sequence of bytes"),
        (lambda: beaver.multiply(ROWS, ROWS, None), "t must be a Triple"),
        (lambda: Session(parties=2, party=0, channels=[Silent()], supply=None), "channels must map"),
        (lambda: Session(parties=2, party=0, channels={"1": Silent()}), "a party in channels must be an int"),
        (lambda: RemoteDealer(Silent()).triple(2.5, None), "shape must be"),
        (lambda: RemoteDealer(Silent()).triple((2,), ("2",)), r"other\[0\] must be"),
        (lambda: RemoteDealer(Silent()).truncation_pair((2,), 4.0), "k must be an int"),
    ],
)
def test_other_arguments_are_named(call: Callable[[], Any], named: str) -> None:
    with pytest.raises(TypeError, match=named):
        call()


def test_triples_by_paillier_name_their_shapes(pub: bt.paillier.PublicKey) -> None:
    with pytest.raises(TypeError, match=r"shape\[0\] must be an int"):
        PaillierTriples(pub, Silent()).triple((2.0,), None)


# --- fields


def test_bytes_have_functions_of_their_own() -> None:
    """256 is no prime: it gave shares in GF(2^8), whose sums and products are not those of integers."""
    shares = bt.sharing.share_bytes(bytes([200, 100]), 2, 3)
    for call in (
        lambda: shamir.share([200, 100], 2, 3, prime=256),
        lambda: shamir.zeros(2, 2, 3, prime=256),
        lambda: shamir.share_packed([[1]], 2, 3, prime=256),
        lambda: shamir.reconstruct(shares, [1, 2, 3], 2, prime=256),
        lambda: shamir.correct(shares, [1, 2, 3], 2, prime=256),
        lambda: shamir.refresh(shares, [1, 2, 3], 2, prime=256),
        lambda: shamir.reshare(shares, [1, 2, 3], 2, 2, 3, prime=256),
        lambda: shamir.reconstruct_packed(shares, [1, 2, 3], 2, 1, prime=256),
        lambda: shamir.add(shares, shares, prime=256),  # 200 + 100 came out as 172
        lambda: shamir.subtract(shares, shares, prime=256),
        lambda: shamir.scale(shares, 3, prime=256),
    ):
        with pytest.raises(ValueError, match=r"prime must be an odd prime.*256.*share_bytes"):
            call()
    assert bt.sharing.reconstruct_bytes(shares, [1, 2, 3], 2).tolist() == [200, 100]
    shares = bt.sharing.share_bytes(bytes([200, 100]), 2, 4)
    shares[1] ^= 7
    values, culprits = bt.sharing.correct_bytes(shares, [1, 2, 3, 4], 2)
    assert (values.tolist(), culprits) == ([200, 100], [2])


def test_a_prime_that_was_seen_is_no_float() -> None:
    """The cache of fields takes 7.0 for 7."""
    shamir.share([1], 2, 3, 7)
    with pytest.raises(TypeError, match="prime must be an int, not float"):
        shamir.share([1], 2, 3, 7.0)


# --- empty arrays

EMPTY = [(0,), (0, 3), (3, 0), (2, 0, 3), (0, 0)]


@pytest.mark.parametrize("shape", EMPTY)
@pytest.mark.parametrize("bits", [32, 64])
def test_rings_of_nothing(shape: tuple[int, ...], bits: int) -> None:
    word = np.dtype(f"u{bits // 8}")
    shares = ring.share(np.zeros(shape, np.int64), 2, bits)
    for got in (shares, ring.zeros(shape, 2, bits), ring.refresh(shares), ring.truncate(shares, 3, bound=0)):
        assert (got.shape, got.dtype) == ((2, *shape), word)
    assert ring.reconstruct(shares).shape == shape
    assert ring.truncate(shares[0], 3, bound=0, party=1).shape == shape
    assert ring.zero_share(0, {1: SEED}, shape, bits).shape == shape
    replicated = ring.share_replicated(np.zeros(shape, np.int64), bits)
    assert ring.reconstruct_replicated(replicated[1:], (1, 2)).shape == shape
    assert ring.pack(shares, 7) == b""
    assert ring.unpack(b"", 7, 0).shape == (0,)
    whole = ring.truncation_pair(shape, 4, 2, bits)
    opened = ring.reconstruct(np.stack([whole.party(i).mask(shares[i], leader=i == 0) for i in range(2)]))
    assert whole.party(0).finish(opened, leader=True).shape == shape
    assert ring.reconstruct(beaver.multiply(shares, shares, beaver.triple(shape, 2, bits))).shape == shape


MATRICES = [
    ((2, 0), (0, 3)),
    ((0, 2), (2, 3)),
    ((2, 3), (3, 0)),
    ((0,), (0,)),
    ((0,), (0, 3)),
    ((2, 0), (0,)),
    ((0, 0), (0, 0)),
]


@pytest.mark.parametrize(("left", "right"), MATRICES)
@pytest.mark.parametrize("bits", [32, 64])
def test_products_of_nothing_are_numpys(left: tuple[int, ...], right: tuple[int, ...], bits: int) -> None:
    word = np.dtype(f"u{bits // 8}")
    a, b = np.ones(left, word), np.ones(right, word)
    want = np.asarray(a @ b)
    got = ring.matmul(a, b)
    assert (got.shape, got.dtype, got.tolist()) == (want.shape, word, want.tolist())
    x, y = ring.share(a, 2, bits), ring.share(b, 2, bits)
    z = ring.reconstruct(beaver.multiply(x, y, beaver.triple(left, 2, bits, other=right)))
    assert (z.shape, z.tolist()) == (want.shape, want.tolist())


@pytest.mark.parametrize("parties", [2, 3])
@pytest.mark.parametrize(("left", "right"), MATRICES)
def test_sessions_of_nothing(left: tuple[int, ...], right: tuple[int, ...], parties: int) -> None:
    session = Session(parties=parties)
    a, b = np.ones(left), np.ones(right)
    want = np.asarray(a @ b)
    for got in (session.share(a) @ session.share(b), session.share(a) @ b, a @ session.share(b)):
        assert got.shape == want.shape
        assert got.reveal().tolist() == want.tolist()
    x = session.share(a)
    for got, exact in (
        (x * x, a * a),
        (x + 1, a + 1),
        (-x, -a),
        (x.sum(), a.sum()),
        (x.sum(axis=0), a.sum(axis=0)),
        (x.T, a.T),
    ):
        assert (got.shape, got.reveal().tolist()) == (np.shape(exact), np.asarray(exact).tolist())


@pytest.mark.parametrize("prime", [2**61 - 1, 2**31 - 1, 101, 2**127 - 1])
@pytest.mark.parametrize("shape", EMPTY)
def test_fields_of_nothing(shape: tuple[int, ...], prime: int) -> None:
    shares = shamir.share(np.zeros(shape, np.int64), 2, 3, prime)
    ids = [1, 2, 3]
    limbs = shares.shape[1 + len(shape) :]
    for got in (
        shamir.zeros(shape, 2, 3, prime),
        shamir.refresh(shares, ids, 2, prime),
        shamir.reshare(shares, ids, 2, 2, 3, prime),
        shamir.add(shares, shares, prime),
        shamir.subtract(shares, shares, prime),
        shamir.scale(shares, 3, prime),
    ):
        assert got.shape == (3, *shape, *limbs)
    assert shamir.reconstruct(shares, ids, 2, prime).shape == shape
    values, culprits = shamir.correct(shares, ids, 2, prime)
    assert (values.shape, culprits) == (shape, [])
    packed = shamir.share_packed(np.zeros((2, *shape), np.int64), 2, 4, prime)
    assert shamir.reconstruct_packed(packed, [1, 2, 3, 4], 2, 2, prime).shape == (2, *shape)
    share = Share("shamir", prime, 2, 3, 1, shares[0])
    assert Share.from_bytes(share.to_bytes()).values.shape == shares[0].shape


def test_bytes_of_nothing() -> None:
    shares = bt.sharing.share_bytes(b"", 2, 3)
    assert shares.shape == (3, 0)
    assert bt.sharing.reconstruct_bytes(shares, [1, 2, 3], 2).tobytes() == b""


# --- shares that travel


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("shamir", 101, 2, 3, 1, np.array([100, 101], np.uint64)), "outside the field of order 101"),
        (("shamir", 2**61 - 1, 2, 3, 1, np.array([2**61 - 1], np.uint64)), "outside the field"),
        (("shamir", 2**31 - 1, 2, 3, 1, np.array([2**32 - 1], np.uint32)), "outside the field"),
        (("shamir", 2**127 - 1, 2, 3, 1, np.full((1, 2), 2**64 - 1, np.uint64)), "outside the field"),
        (("shamir", 2**607 - 1, 2, 3, 1, np.zeros((1, 10), np.uint64)), "fields in frames have at most 528"),
        (("shamir", 7, 2, 9, 8, np.zeros(1, np.uint64)), r"parties is 9, but GF\(7\) has 6 points"),
        (("shamir", 101, 2, 2**70, 1, np.zeros(1, np.uint64)), "parties must be 1 to"),
        (("additive", 2**64, 2, 2, 0, np.zeros((0, 2000), np.uint64)), "do not fit a frame"),
        *(
            [(("additive", 2**64, 2, 2, 0, np.zeros((1,) * 33, np.uint64)), "do not fit a frame")]
            if np.lib.NumpyVersion(np.__version__) >= "2.0.0"  # before, no array has more than 32 axes
            else []
        ),
        ((["shamir"], 101, 2, 3, 1, np.zeros(1, np.uint64)), "scheme must be one of"),
    ],
)
def test_a_share_that_no_reader_takes_is_not_made(arguments: tuple[Any, ...], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Share(*arguments)


def test_a_share_that_was_changed_since_does_not_leave() -> None:
    share = Share("shamir", 101, 2, 3, 1, np.array([7], np.uint64))
    share.values[0] = 200
    with pytest.raises(ValueError, match="outside the field"):
        share.to_bytes()
