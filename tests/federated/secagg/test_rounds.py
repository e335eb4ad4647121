"""Whole rounds against Python's integers: every graph, ring and mode, with clients that vanish in every phase."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bluetusk.encoding import FixedPoint
from bluetusk.errors import EncodingOverflow, ProtocolAbort
from bluetusk.federated import secagg

PHASES = ("advertise", "shares", "masked", "consent", "unmask")


def plans():
    return {
        "complete": secagg.plan(8, corrupt=0.25, dropout=0.375),
        "complete, malicious": secagg.plan(12, corrupt=0.1, dropout=0.25, malicious=True),
        "sparse": secagg.plan(40, corrupt=0.05, dropout=0.1, complete=False, security=12, correctness=8),
        "sparse, malicious": secagg.plan(
            30, corrupt=0.04, dropout=0.14, malicious=True, complete=False, security=8, correctness=4
        ),
    }


@pytest.mark.parametrize("kind", plans())
@pytest.mark.parametrize("when", [*PHASES, None])
def test_exact_whoever_vanishes(make, kind, when):
    plan = plans()[kind]
    world = make(plan)
    gone = world.names[1 : 1 + (2 if plan.complete else 4)] if when else []
    values, weights = world.inputs(seed=3)
    server, _, _ = world.to("unmask", values, weights, drop=[(name, when) for name in gone])
    result = server.finish()
    in_sum = when in ("consent", "unmask", None)  # who vanishes after its vector came is still in the sum
    assert result.clients == tuple(name for name in world.names if in_sum or name not in gone)
    assert result.dropped == (tuple(gone) if when == "masked" else ())
    sums, weight = world.expected(values, weights, result.clients)
    assert result.integers.tolist() == sums
    assert result.weight == weight
    assert result.mean.tolist() == [float(Fraction(s, weight)) for s in sums]
    assert server.phase == "done"


@pytest.mark.parametrize("bits", [8, 9, 15, 16, 17, 26, 31, 32, 33, 48, 63, 64])
def test_every_ring_at_its_limits(make, bits):
    """All clients at the largest weight and the same end of the range: the sum is at the bound of the ring."""
    n = 5
    limit = ((1 << (bits - 1)) - 1) // (2 * n)
    encoding = FixedPoint.integers(limit=limit, max_weight=2 * n, guard_bits=0)
    encoding = FixedPoint.integers(limit=limit, max_weight=2 * n, guard_bits=bits - encoding.slot_bits)
    world = make(secagg.plan(n, dropout=0.2), encoding, length=11)
    assert world.session.bits == bits
    for sign in (1, -1):
        values = {name: [sign * limit] * 11 for name in world.names}
        server, _, _ = world.to("unmask", values, dict.fromkeys(world.names, 2), drop=[(world.names[2], "masked")])
        result = server.finish()
        assert result.integers.tolist() == [sign * limit * 2 * (n - 1)] * 11
        assert result.weight == 2 * (n - 1)


@given(st.data())
@settings(max_examples=25)
def test_reals_by_the_encoding(make, data):
    frac = data.draw(st.integers(0, 30))
    encoding = FixedPoint(clip=2.0, frac_bits=frac, max_weight=60)
    world = make(secagg.plan(6, dropout=0.2), encoding, length=3)
    reals = {name: data.draw(st.lists(st.floats(-2, 2), min_size=3, max_size=3)) for name in world.names}
    server, clients = world.server(), world.clients()
    for name, client in clients.items():
        assert server.step(client.start(0, reals[name], 3)[0])
    while not server.last:
        for name, message in server.advance().items():
            for answer in clients[name].step(message):
                assert server.step(answer)
    result = server.finish()
    ints = [sum(3 * round(Fraction(reals[name][j]) * 2**frac) for name in world.names) for j in range(3)]
    assert result.integers.tolist() == ints
    assert result.sum.tolist() == [float(Fraction(i, 2**frac)) for i in ints]
    assert result.mean.tolist() == [float(Fraction(i, 18 * 2**frac)) for i in ints]


def test_rounds_follow_each_other_with_fresh_secrets(make):
    world = make(5)
    clients = world.clients()
    sent = []
    for round in (0, 1, 7):
        server = world.server(round)
        for client in clients.values():
            (message,) = client.start(round, [1, 2, 3, 4, 5])
            assert server.step(message)
            sent.append(message[-96:])
        while not server.last:
            for name, message in server.advance().items():
                for answer in clients[name].step(message):
                    assert server.step(answer)
        assert server.finish().integers.tolist() == [5, 10, 15, 20, 25]
    assert len(set(sent)) == 15
    with pytest.raises(ProtocolAbort, match="already started round 7"):
        clients["c000"].start(7, [0] * 5)


def test_clipped_values_are_counted(make):
    world = make(3, FixedPoint(clip=1.0, frac_bits=8, max_weight=30, on_clip="clip"), length=4)
    client = world.client("c000")
    client.start(0, [0.5, 1.5, -7.0, 1.0])
    assert client.clipped == 2


@pytest.mark.parametrize(
    ("values", "weight", "error", "match"),
    [
        ([1, 2, 3], 1, ValueError, r"shape agreed for the session, \(5,\), not \(3,\)"),
        ([[1, 2, 3, 4, 5]], 1, ValueError, "shape"),
        ([1, 2, 3, 4, 1001], 1, EncodingOverflow, "beyond clip"),
        ([1, 2, 3, 4, float("nan")], 1, ValueError, "NaN"),
        ([1] * 5, 11, ValueError, "weight must be 1 to 10"),
        ([1] * 5, 0, ValueError, "weight must be 1 to 10"),
        ([1] * 5, 1.0, TypeError, "weight must be an int"),
        ([1j] * 5, 1, TypeError, "complex"),
    ],
)
def test_what_a_client_refuses_to_sum(make, values, weight, error, match):
    client = make(5).client("c000")
    with pytest.raises(error, match=match):
        client.start(0, values, weight)
    assert client.phase == "idle"
    assert client.start(0, [1] * 5)  # nothing was spent


def test_input_arrays_are_left_alone(make):
    """Any layout and byte order; the caller's memory is not masked in place."""
    world = make(5)
    base = np.arange(10, dtype=">i8")
    view = base[::2]
    client = world.client("c000")
    client.start(0, view, 7)
    assert base.tolist() == list(range(10))
