"""Plans as things: what they promise to hold, what they refuse, and their one encoding."""

from __future__ import annotations

import copy
import math
import pickle
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluetusk.encoding import FixedPoint
from bluetusk.errors import EncodingOverflow, FrameError
from bluetusk.wire import frame

# ------------------------------------------------------------------------------------------------ the budget


def test_the_defaults_of_the_specification():
    plan = FixedPoint()
    assert (plan.clip, plan.base, plan.frac, plan.max_weight, plan.guard_bits) == (4.0, 2, 20, 100, 2)
    assert (plan.on_clip, plan.rounding) == ("raise", "half-even")
    assert (plan.limit, plan.bound, plan.slot_bits) == (4 << 20, 400 << 20, 32)
    assert (plan.slots(2048), plan.slots(3072)) == (63, 95)
    assert isinstance(plan.clip, float)
    assert FixedPoint.integers(7).clip == 7
    assert (FixedPoint.money().base, FixedPoint.money(0).limit, FixedPoint.money(3, 5).limit) == (10, 10**9, 5000)


@given(st.integers(1, 2**63 - 1), st.integers(1, 2**40), st.integers(0, 64), st.integers(2048, 4096))
def test_the_width_of_a_slot(limit, weight, guard, key_bits):
    plan = FixedPoint.integers(limit, weight, guard)
    assert plan.limit == limit
    assert plan.bound == limit * weight
    assert plan.slot_bits == (limit * weight).bit_length() + 1 + guard
    plan.check_key(key_bits)
    if plan.slot_bits > 64:
        for call in (plan.slots, lambda k: plan.check_key(k, packed=True)):
            with pytest.raises(EncodingOverflow, match=f"slots of {plan.slot_bits} bits, above 64: lower clip"):
                call(key_bits)
    else:
        plan.check_key(key_bits, packed=True)
        assert plan.slots(key_bits) == (key_bits - 2) // plan.slot_bits


def test_a_key_too_small_is_refused():
    plan = FixedPoint()
    with pytest.raises(EncodingOverflow, match="key of 33 bits holds none: use a larger key"):
        plan.slots(33)
    assert plan.slots(34) == 1
    with pytest.raises(EncodingOverflow, match="23 bits, too many for a key of 24 bits"):
        plan.check_key(24)
    plan.check_key(25)
    for bad in (2048.0, "2048", True):
        with pytest.raises(TypeError, match="key_bits must be an int"):
            plan.slots(bad)


def test_the_edge_of_the_scales():
    tiny = FixedPoint(2.0**-890, 900)
    assert tiny.quantise([2.0**-890, -(2.0**-900)])[0].tolist() == [1024, -1]
    assert FixedPoint.decimal(9, 18).quantise([8.5])[0].tolist() == [8_500_000_000_000_000_000]
    assert FixedPoint(1, 62).limit == 2**62
    assert FixedPoint(2**53 + 1, 5).clip == 2**53 + 1
    assert FixedPoint.integers(2**54 - 1, on_clip="clip").quantise(2.0**54) == (2**54 - 1, 1)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: FixedPoint("4"), TypeError, "clip must be a float or an int, not str"),
        (lambda: FixedPoint(True), TypeError, "clip must be a float or an int, not bool"),
        (lambda: FixedPoint(None), TypeError, "clip must be"),
        (lambda: FixedPoint(1j), TypeError, "clip must be"),
        (lambda: FixedPoint(0), ValueError, "clip must be positive"),
        (lambda: FixedPoint(-1.5), ValueError, "clip must be positive"),
        (lambda: FixedPoint(math.nan), ValueError, "clip must be positive and finite"),
        (lambda: FixedPoint(math.inf), ValueError, "clip must be positive and finite"),
        (lambda: FixedPoint(frac_bits=-1), ValueError, "frac_bits must be 0 to 900, not -1"),
        (lambda: FixedPoint(frac_bits=901), ValueError, "frac_bits must be 0 to 900, not 901"),
        (lambda: FixedPoint(frac_bits=2.0), TypeError, "frac_bits must be an int, not float"),
        (lambda: FixedPoint(frac_bits=10**9999), ValueError, "not one of 33216 bits"),
        (lambda: FixedPoint(max_weight=0), ValueError, "max_weight must be 1 to"),
        (lambda: FixedPoint(max_weight=2**63), ValueError, "max_weight must be 1 to"),
        (lambda: FixedPoint(max_weight=False), TypeError, "max_weight must be an int, not bool"),
        (lambda: FixedPoint(guard_bits=-1), ValueError, "guard_bits must be 0 to 64"),
        (lambda: FixedPoint(guard_bits=65), ValueError, "guard_bits must be 0 to 64"),
        (lambda: FixedPoint(on_clip="wrap"), ValueError, "on_clip must be one of raise, clip, l2, not 'wrap'"),
        (lambda: FixedPoint(on_clip=None), TypeError, "on_clip must be a str"),
        (lambda: FixedPoint(rounding="up"), ValueError, "rounding must be one of half-even, stochastic"),
        (lambda: FixedPoint(1e-9), ValueError, r"clip \* 2\^frac_bits is below 1: raise clip or frac_bits"),
        (lambda: FixedPoint(1e19, 0), ValueError, r"clip \* 2\^frac_bits is beyond 2\^63 - 1: lower clip"),
        (lambda: FixedPoint(10**9999), ValueError, "beyond"),
        (lambda: FixedPoint.decimal(1, 19), ValueError, "digits must be 0 to 18"),
        (lambda: FixedPoint.decimal(10, 18), ValueError, r"clip \* 10\^digits is beyond"),
        (lambda: FixedPoint.decimal(10**9999, 0), ValueError, "beyond"),
        (lambda: FixedPoint.money(limit=0.001), ValueError, r"limit \* 10\^digits is below 1"),
        (lambda: FixedPoint.money(limit="1"), TypeError, "limit must be"),
        (lambda: FixedPoint.integers(2**63), ValueError, "limit must be 1 to"),
        (lambda: FixedPoint.integers(1.0), TypeError, "limit must be an int"),
        (lambda: FixedPoint().encode_at([1.0], -1), ValueError, "frac must be 0 to 65536"),
        (lambda: FixedPoint().encode_at([1.0], 65537), ValueError, "frac must be 0 to 65536"),
        (lambda: FixedPoint().encode_at([1.0], "3"), TypeError, "frac must be an int"),
        (lambda: FixedPoint().to_float([1], 3, 0), ValueError, "divisor must be at least 1, not 0"),
        (lambda: FixedPoint().to_float([1], 3, 1.5), TypeError, "divisor must be an int"),
        (lambda: FixedPoint().to_float([1.5], 3), TypeError, "ints must hold integers"),
        (lambda: FixedPoint().to_float(np.array([Fraction(1, 2)]), 3), TypeError, "ints must hold integers"),
        (lambda: FixedPoint().to_float("7", 3), TypeError, "ints must hold"),
        (lambda: FixedPoint().to_float([10**400], 3), EncodingOverflow, "exceeds float64: keep the integers"),
    ],
)
def test_wrong_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()


# ------------------------------------------------------------------------------------------------ identity

GOLDEN = (
    "42544b31010001004c000000000000000000000087a46261736502a4636c697004a46672616314aa67756172645f62697473"
    "02aa6d61785f77656967687464a76f6e5f636c6970a57261697365a8726f756e64696e67a968616c662d6576656e"
)
GOLDEN_HASH = "2f517d1fe3a43f7194e28285c19f01e25f6fe366e866f573cc1888a05fb932b1"

PLANS = [
    FixedPoint(),
    FixedPoint(0.3, 7, 3, 0, on_clip="clip", rounding="stochastic"),
    FixedPoint(2.0**-850, 900),
    FixedPoint(2**53 + 1, 5),
    FixedPoint.decimal(0.3),
    FixedPoint.decimal(2.0**60, 0, on_clip="l2"),
    FixedPoint.money(),
    FixedPoint.money(limit=999_999.99),
    FixedPoint.integers(2**63 - 1, 2**63 - 1, 64, on_clip="clip"),
]


@pytest.mark.parametrize("plan", PLANS, ids=repr)
def test_a_plan_survives_every_way_of_writing_it(plan):
    for again in (
        FixedPoint.from_bytes(plan.to_bytes()),
        FixedPoint.from_dict(plan.to_dict()),
        FixedPoint.from_bytes(memoryview(bytearray(plan.to_bytes()))),
        pickle.loads(pickle.dumps(plan)),
        copy.deepcopy(plan),
        eval(repr(plan)),
    ):
        assert again == plan
        assert (again.hash, hash(again), again.to_bytes()) == (plan.hash, hash(plan), plan.to_bytes())
        for name in ("clip", "base", "frac", "limit", "max_weight", "bound", "slot_bits", "guard_bits", "on_clip"):
            assert getattr(again, name) == getattr(plan, name), name
        assert repr(again) == repr(plan)
        assert type(again.clip) is type(plan.clip)
    assert len(plan.hash) == 32


def test_plans_differ_where_anything_differs():
    variants = [
        *PLANS,
        FixedPoint(4.5),
        FixedPoint(frac_bits=21),
        FixedPoint(max_weight=101),
        FixedPoint(guard_bits=3),
        FixedPoint(on_clip="clip"),
        FixedPoint(on_clip="l2"),
        FixedPoint(rounding="stochastic"),
        FixedPoint.decimal(4, 18, 100),
    ]
    assert len({plan.hash for plan in variants}) == len(set(variants)) == len(variants)
    assert FixedPoint() != "plan"
    assert FixedPoint(4) == FixedPoint(4.0) == FixedPoint(np.float32(4)) == FixedPoint(np.int64(4))
    assert FixedPoint.integers(5) == FixedPoint(5, 0)


def test_the_bytes_of_the_default_plan_stay():
    """Golden frame: plans written by released versions stay readable, and their hashes stay."""
    written = bytes.fromhex(GOLDEN)
    assert FixedPoint().to_bytes() == written
    assert FixedPoint.from_bytes(written) == FixedPoint()
    assert FixedPoint().hash.hex() == GOLDEN_HASH


def test_a_plan_cannot_be_changed():
    plan = FixedPoint()
    for change in (
        lambda: setattr(plan, "clip", 5),
        lambda: setattr(plan, "_limit", 5),
        lambda: delattr(plan, "_limit"),
    ):
        with pytest.raises(AttributeError, match="cannot be changed"):
            change()
    with pytest.raises(AttributeError):
        plan.colour = 1


def test_every_prefix_and_bit_flip_is_refused_or_another_plan():
    data = PLANS[1].to_bytes()
    for i in range(len(data)):
        with pytest.raises(FrameError):
            FixedPoint.from_bytes(data[:i])
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            other = FixedPoint.from_bytes(flipped)
        except FrameError:
            continue
        assert other != PLANS[1]
        assert other.to_bytes() == flipped


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"base": 3}, "'base' is 3"),
        ({"base": "2"}, "'base' is of type str"),
        ({"base": True}, "'base' is of type bool"),
        ({"clip": 0}, "'clip' is 0"),
        ({"clip": -4}, "'clip' is -4"),
        ({"clip": 2**63}, "'clip' is"),
        ({"clip": 4.0}, "'clip' is of type float"),
        ({"clip": True}, "'clip' is of type bool"),
        ({"clip": b"4"}, "'clip' is of type bytes"),
        ({"clip": "4"}, "canonical"),
        ({"clip": "0x1.8p+1"}, "canonical"),
        ({"clip": "0x1.0000000000000p+2"}, "canonical"),
        ({"clip": "0X1.8000000000000P+1"}, "canonical"),
        ({"clip": " 0x1.8000000000000p-1"}, "canonical"),
        ({"clip": "inf"}, "canonical"),
        ({"clip": "nan"}, "canonical"),
        ({"clip": "-0x1.8000000000000p-1"}, "impossible plan: clip must be positive"),
        ({"clip": "0x1p99999999"}, "not a hexadecimal float"),
        ({"clip": "hello"}, "not a hexadecimal float"),
        ({"clip": ""}, "'clip'"),
        ({"clip": "0x1." + "0" * 999}, "'clip'"),
        ({"clip": "0x1.8000000000000p-90"}, "impossible plan: .* below 1"),
        ({"clip": 2**60}, "impossible plan: .* beyond"),
        ({"frac": -1}, "'frac' is -1"),
        ({"frac": 901}, "'frac' is 901"),
        ({"base": 10, "frac": 19}, "'frac' is 19"),
        ({"frac": None}, "'frac' is of type NoneType"),
        ({"max_weight": 0}, "'max_weight' is 0"),
        ({"max_weight": 2**63}, "'max_weight' is"),
        ({"guard_bits": 65}, "'guard_bits' is 65"),
        ({"on_clip": "wrap"}, "'on_clip' is 'wrap'"),
        ({"on_clip": 1}, "'on_clip' is of type int"),
        ({"rounding": "up"}, "'rounding' is 'up'"),
        ({"colour": 1}, "unknown field 'colour'"),
    ],
)
def test_what_a_peer_may_not_say(change, message):
    d = {**FixedPoint().to_dict(), **change}
    with pytest.raises(FrameError, match=message):
        FixedPoint.from_dict(d)


def test_missing_fields_and_other_frames_are_refused():
    for name in FixedPoint().to_dict():
        d = FixedPoint().to_dict()
        del d[name]
        with pytest.raises(FrameError, match=f"lacks the field '{name}'"):
            FixedPoint.from_dict(d)
    for other in (None, [], 5, "plan"):
        with pytest.raises(FrameError, match="plan must be a map"):
            FixedPoint.from_dict(other)
    d = FixedPoint().to_dict()
    for data in (frame.encode(frame.Kind.CIPHER_ARRAY, d), frame.encode(frame.Kind.PLAN, d, b"x"), b"", b"BTK1"):
        with pytest.raises(FrameError):
            FixedPoint.from_bytes(data)
