"""Shared arrays against NumPy: two and three parties, in one process and in threads that talk over queues."""

from __future__ import annotations

import queue
import threading
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bluetusk as bt
from bluetusk.sharing import RemoteDealer, Session, SharedArray, serve_dealer
from bluetusk.wire import frame

UNIT = 2.0**-16


class Queues:
    """A channel between two threads."""

    def __init__(self, out, into):
        self.out, self.into, self.sent = out, into, []

    def send(self, data):
        self.sent.append(data)
        self.out.put(data)

    def recv(self):
        return self.into.get(timeout=20)


def between():
    a, b = queue.Queue(), queue.Queue()
    return Queues(a, b), Queues(b, a)


def together(*programs):
    """Run each program in a thread of its own; return their results, or raise the first error."""
    results: list = [None] * len(programs)
    errors: list = []

    def run(i, program):
        try:
            results[i] = program()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=pair, daemon=True) for pair in enumerate(programs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    if errors:
        raise errors[0]
    return results


def distributed(parties, program):
    """Every party's result of program(session), each in its own thread; and all channels between parties."""
    ways = {}
    for i in range(parties):
        for j in range(i):
            ways[i, j], ways[j, i] = between()
    if parties == 3:
        jobs = [
            lambda i=i: program(Session(3, party=i, channels={j: ways[i, j] for j in range(3) if j != i}))
            for i in range(3)
        ]
        return together(*jobs), ways
    dealer = [between() for _ in range(2)]

    def job(i):
        supply = RemoteDealer(dealer[i][0])
        result = program(Session(2, party=i, channels={1 - i: ways[i, 1 - i]}, supply=supply))
        supply.close()
        return result

    answers = together(lambda: job(0), lambda: job(1), lambda: serve_dealer({i: dealer[i][1] for i in range(2)}))
    return answers[:2], ways


SHAPES = [((3,), (3,)), ((2, 3), (3,)), ((), (2,)), ((2, 1), (1, 3)), ((0,), (0,)), ((), ())]


@pytest.mark.parametrize("parties", [2, 3])
@pytest.mark.parametrize(("a", "b"), SHAPES)
def test_arithmetic_of_reals(parties, a, b):
    rng = np.random.default_rng(1)
    x, y = np.round(rng.uniform(-50, 50, a), 3), np.round(rng.uniform(-50, 50, b), 3)
    session = Session(parties)
    u, v = session.share(x, owner=0), session.share(y, owner=parties - 1)
    for got, want, error in [
        (u + v, x + y, 1.01),
        (u - v, x - y, 1.01),
        (-u, -x, 0.51),
        (u + y, x + y, 1.01),
        (y - u, y - x, 1.01),
        (u * v, x * y, 53),
        (u * y, x * y, 53),
        (y * u, x * y, 53),
        (3 * u, 3 * x, 1.6),
        (u * np.int64(-7), -7 * x, 4),
        (u * 0.5, x / 2, 2),
        (u.sum(), x.sum(), x.size),
    ]:
        assert isinstance(got, SharedArray)
        assert got.frac == 16
        assert got.shape == np.shape(want)
        assert np.all(np.abs(got.reveal() - want) <= error * UNIT)


@pytest.mark.parametrize("parties", [2, 3])
@settings(max_examples=30)
@given(data=st.data())
def test_integers_are_exact(parties, data):
    shape = data.draw(st.lists(st.integers(1, 4), max_size=2).map(tuple))
    n = int(np.prod(shape, dtype=int))
    numbers = st.lists(st.integers(-(2**30), 2**30), min_size=n, max_size=n)
    x, y = (np.array(data.draw(numbers), np.int64).reshape(shape) for _ in range(2))
    session = Session(parties)
    u, v = (session.share(a, owner=i, real=False) for i, a in enumerate((x, y)))
    for got, want in [(u + v, x + y), (u * v, x * y), (u * 3 - v, 3 * x - y), (u.sum(), x.sum())]:
        assert got.frac == 0
        assert np.array_equal(got.reveal(), want)


@pytest.mark.parametrize("parties", [2, 3])
@pytest.mark.parametrize("shapes", [((4, 3), (3, 2)), ((3,), (3,)), ((4, 3), (3,)), ((3,), (3, 2))])
def test_matrix_products(parties, shapes):
    rng = np.random.default_rng(2)
    x, y = (np.round(rng.uniform(-5, 5, shape), 3) for shape in shapes)
    session = Session(parties)
    u, v = session.share(x), session.share(y, owner=1)
    for got in (u @ v, u @ y, x @ v):
        assert got.shape == np.shape(x @ y)
        assert np.all(np.abs(got.reveal() - x @ y) <= 20 * UNIT)
    whole = np.arange(x.size).reshape(x.shape)
    exact = session.share(whole, real=False) @ np.ones(shapes[1], np.int64)
    assert np.array_equal(exact.reveal(), whole @ np.ones(shapes[1], np.int64))


@pytest.mark.parametrize("parties", [2, 3])
def test_views(parties):
    x = np.arange(12.0).reshape(3, 4)
    u = Session(parties).share(x)
    assert len(u) == 3
    for got, want in [
        (u[1], x[1]),
        (u[:, ::-1], x[:, ::-1]),
        (u[[0, 2]], x[[0, 2]]),
        (u[x[:, 0] > 2], x[x[:, 0] > 2]),
        (u.T, x.T),
        (u.reshape(4, 3), x.reshape(4, 3)),
        (u.reshape(-1), x.reshape(-1)),
        (u.sum(axis=0), x.sum(axis=0)),
        (u.sum(axis=(0, 1)), x.sum()),
        (u[0, 0] * u[2, 3], x[0, 0] * x[2, 3]),
    ]:
        assert got.shape == np.shape(want)
        assert np.all(np.abs(got.reveal() - want) <= UNIT)


@pytest.mark.parametrize("parties", [2, 3])
def test_truncation_never_fails_near_the_edge(parties):
    session = Session(parties)
    x = np.array([2**61 + 12345, -(2**61), 1, -1, 0, 2**40] * 200)
    u = session.share(x, real=False)
    u._frac = 16
    got = u.truncate(16).reveal_integers()
    assert set((got - (x >> 16)).tolist()) <= {0, 1}


@pytest.mark.parametrize("parties", [2, 3])
def test_everywhere_the_same_program(parties):
    """Each party in its own thread; what leaves a party is not what it shares."""
    x, y = np.array([[1.5, -2.0], [0.25, 4.0]]), np.array([2.0, 0.5])

    def program(session):
        here = session._local[0]
        u = session.share(x if here == 0 else None, owner=0, shape=(2, 2))
        v = session.share(y if here == 1 else None, owner=1, shape=(2,))
        z = (u @ v) * (u @ v) - 3 * v + 1
        return z.reveal(), u.T[0].reveal(), z.sum().reveal()

    results, ways = distributed(parties, program)
    want = (x @ y) ** 2 - 3 * y + 1
    for z, column, total in results:
        assert np.all(np.abs(z - want) <= 40 * UNIT)
        assert np.all(np.abs(column - x.T[0]) <= UNIT)
        assert abs(float(total) - want.sum()) <= 80 * UNIT
    assert all(np.array_equal(results[0][0], other[0]) for other in results)
    secret = (x * 65536).astype("<i8").tobytes()
    assert not any(secret in data for way in ways.values() for data in way.sent)


def test_parties_that_run_apart_notice():
    def program(session):
        here = session._local[0]
        u = session.share(np.ones(3) if here == 0 else None, owner=0, shape=(3,))
        return (u[: 2 + here] if here < 2 else u[:2]).reveal()

    with pytest.raises(bt.ProtocolAbort, match="the parties run different computations") as caught:
        distributed(3, program)
    assert caught.value.party in ("0", "1", "2")


def test_a_dealer_serves_only_equal_requests():
    ways = [between() for _ in range(2)]
    supplies = [RemoteDealer(way[0]) for way in ways]
    for supply, shape in zip(supplies, ([3], [4]), strict=True):
        supply._channel.send(frame.encode(frame.Kind.MESSAGE, {"topic": "pair", "shape": shape, "k": 3}))
    with pytest.raises(bt.ProtocolAbort, match="request 0: the requests of the parties differ"):
        serve_dealer({i: way[1] for i, way in enumerate(ways)})
    for header in (
        {"topic": "else"},
        {"topic": "pair", "shape": [2**40], "k": 3},
        {"topic": "pair", "shape": [2], "k": 63},
    ):
        for way in ways:
            way[0].send(frame.encode(frame.Kind.MESSAGE, header))
        with pytest.raises(bt.ProtocolAbort, match="request 0 is malformed"):
            serve_dealer({i: way[1] for i, way in enumerate(ways)})
    ways[0][0].send(b"noise")
    with pytest.raises(bt.ProtocolAbort, match="truncated") as caught:
        serve_dealer({i: way[1] for i, way in enumerate(ways)})
    assert caught.value.party == "0"
    with pytest.raises(ValueError, match="keys 0 and 1"):
        serve_dealer({0: ways[0][1]})


@pytest.mark.parametrize("parties", [2, 3])
def test_a_logistic_model_trains_on_shares(parties):
    """The gradient descent of a linear sigmoid, shared and in the clear: the same model to a few units."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(200, 4))
    y = (x @ [1.0, -2.0, 0.5, 0.0] + rng.normal(size=200) > 0).astype(float)
    session = Session(parties)
    u, v = session.share(x, owner=0), session.share(y, owner=1)
    shared, plain = session.share(np.zeros(4)), np.zeros(4)
    for _ in range(5):
        shared = shared - (u.T @ ((u @ shared) * 0.125 + 0.5 - v)) * (1 / 64)
        plain = plain - x.T @ (0.125 * (x @ plain) + 0.5 - y) / 64
    assert np.abs(shared.reveal() - plain).max() < 0.01
    assert np.abs(plain).max() > 0.5


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda s: Session(4), ValueError, "parties must be 2 to 3"),
        (lambda s: Session(2, party=0, channels={1: None}), TypeError, "supply is missing"),
        (lambda s: Session(3, party=0, channels={1: None}), ValueError, r"have the keys \[1, 2\], .* not \[1\]"),
        (lambda s: Session(3, channels={}), TypeError, "say which party this process is"),
        (lambda s: Session(3, supply=object()), TypeError, "apply to two parties"),
        (lambda s: s.share(None), TypeError, "party 0 is here: give its array"),
        (lambda s: s.share([0.5], real=False), TypeError, "share it with real=True"),
        (lambda s: s.share([1, 2.0], real=False), TypeError, "share it with real=True"),
        (lambda s: s.share([Fraction(3), 1], real=False), TypeError, "share it with real=True"),
        (lambda s: s.share(Decimal(3), real=False), TypeError, "share it with real=True"),
        (lambda s: s.share([1.0]).sum(dtype=int), TypeError, "does not take dtype"),
        (lambda s: s.share([1.0]).mean(out=np.zeros(())), TypeError, "does not take out"),
        (lambda s: s.share([1.0]).sum(1), np.exceptions.AxisError, "axis 1 is out of bounds"),
        (lambda s: s.share([1.0]).mean((0, 0)), ValueError, "repeated axis"),
        (lambda s: s.share([1.0])[:0].mean(), ValueError, r"array of shape \(0,\) is that of nothing"),
        (lambda s: s.share([[1.0]]).transpose(0), ValueError, "each of the 2 axes once"),
        (lambda s: s.share([[1.0]]).transpose(0, 2), np.exceptions.AxisError, "axis 2"),
        (lambda s: s.share([[1.0]]).ravel("K"), ValueError, "order must be 'C' or 'F'"),
        (lambda s: s.share([1.0], shape=(2,)), ValueError, r"x has the shape \(1,\), not \(2,\)"),
        (lambda s: s.share([2.0**60]), bt.EncodingOverflow, "reaches"),
        (lambda s: s.share([1.0]) + Session(2).share([1.0]), ValueError, "different sessions"),
        (lambda s: s.share([1.0]) * Session(2).share([1.0]), ValueError, "different sessions"),
        (lambda s: bool(s.share(1.0)), TypeError, "reveal"),
        (lambda s: s.share(1.0) == 1.0, TypeError, "cannot be compared"),
        (lambda s: s.share(1.0) < 1.0, TypeError, "cannot be compared"),
        (lambda s: len(s.share(1.0)), TypeError, "no length"),
        (lambda s: s.share(1.0).truncate(17), ValueError, "k must be 0 to 16"),
        (lambda s: SharedArray(), TypeError, r"made by session\.share"),
    ],
)
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call(Session(2))


def test_reprs_show_no_value():
    session = Session(3)
    assert repr(session) == "<Session of 3 parties, all in this process, 16 fractional bits>"
    assert repr(session.share([7.0])) == "<SharedArray shape=(1,), 16 fractional bits, of 3 parties>"


# --- shapes, means, numbers of every kind -----------------------------------------------------------------------------


@pytest.mark.parametrize("parties", [2, 3])
def test_shapes_are_numpys(parties):
    x = np.arange(24).reshape(2, 3, 4) - 7
    shared = Session(parties).share(x, real=False)
    assert (shared.ndim, shared.size, shared[0, 0, 0].ndim, shared[:0].size) == (3, 24, 0, 0)
    for use in (
        lambda a: a.ravel(),
        lambda a: a.ravel("F"),
        lambda a: a[:, ::-1].ravel(order="C"),
        lambda a: a.transpose(),
        lambda a: a.transpose(None),
        lambda a: a.transpose(1, 0, 2),
        lambda a: a.transpose(np.array([1, 0, 2])),
        lambda a: a.transpose((-1, 0, 1)),
        lambda a: a.transpose([2, 0, 1]),
        lambda a: a[0, 0].transpose(0),
        lambda a: np.transpose(a, (1, 0, 2)),
        lambda a: a.sum(1, keepdims=True),
        lambda a: a.sum((0, -1), None, None, True),
        lambda a: a.sum(keepdims=True),
        lambda a: np.sum(a, axis=0),
        lambda a: np.sum(a, axis=(1, 2), keepdims=True),
    ):
        found, expected = use(shared), use(x)
        assert found.shape == expected.shape
        assert np.array_equal(found.reveal(), expected)


MEANS = [(None, False), (0, False), (1, True), ((0, 2), False), (-1, True), ((), False)]


@pytest.mark.parametrize("parties", [2, 3])
@pytest.mark.parametrize("real", [True, False])
def test_means_err_by_no_more_than_they_state(parties, real):
    rng = np.random.default_rng(5)
    for shape in ((2, 3, 4), (1, 7, 5), (4, 4, 4), (3, 1, 1)):
        x = rng.uniform(-1000, 1000, shape) if real else rng.integers(-1000, 1000, shape)
        shared = Session(parties).share(x, real=real)
        exact = np.round(x * 2.0**16) / 2.0**16
        for axis, keepdims in MEANS:
            found, expected = shared.mean(axis, keepdims=keepdims), exact.mean(axis, keepdims=keepdims)
            assert found.frac == 16
            assert found.shape == expected.shape
            assert np.all(np.abs(found.reveal() - expected) <= UNIT + np.abs(expected) / 2**17 + 1e-9)
    assert abs(float(np.mean(Session(parties).share([1.0, 2.0, 4.5])).reveal()) - 2.5) <= 2 * UNIT


def test_means_between_processes():
    x = np.array([[1.5, -2.25, 3.0], [4.0, 5.5, -6.0]])
    for parties in (2, 3):
        results, _ = distributed(
            parties, lambda s: s.share(x if 0 in s._local else None, shape=x.shape).mean(1).reveal()
        )
        assert len(results) == parties
        for found in results:
            assert np.abs(found - x.mean(1)).max() <= 2 * UNIT


def test_numbers_of_every_kind():
    session = Session(2)
    third = Fraction(1, 3)
    x = session.share([1, 2.5, third, Decimal("0.25")])
    assert np.abs(x.reveal() - [1, 2.5, 1 / 3, 0.25]).max() <= UNIT / 2
    whole = session.share([[2, 4, 8, 16]], real=False)
    mixed = [Decimal("0.5"), 1, third, 2.5]
    for found, expected in (
        (whole + mixed, [[2.5, 5, 8 + 1 / 3, 18.5]]),
        ([1, 0.5, Decimal(2), third] - whole, [[-1, -3.5, -6, 1 / 3 - 16]]),
        (whole * Fraction(1, 4), [[0.5, 1, 2, 4]]),
        (Decimal("0.125") * whole, [[0.25, 0.5, 1, 2]]),
        (whole @ [0.5, 1, Decimal("0.25"), Fraction(1, 8)], [9]),
    ):
        assert np.abs(found.reveal() - expected).max() <= 2 * UNIT
    big = np.array([2**61, -(2**61)], object)
    assert session.share(big, real=False).reveal().tolist() == big.tolist()
    unsigned = [np.uint64(3), True]
    assert (session.share([1, 2], real=False) + unsigned).reveal().tolist() == [4, 3]
