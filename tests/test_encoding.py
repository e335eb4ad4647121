"""Rounding to integers and back, against Python integers and fractions."""

from __future__ import annotations

import ctypes
import ctypes.util
import math
import platform
import random
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bluetusk._kernels import pack
from bluetusk.encoding import FixedPoint
from bluetusk.errors import EncodingOverflow

RNG = random.Random(20260712)
N = (1 << 2047) + RNG.getrandbits(2000) | 1
N_LIMBS = np.frombuffer(N.to_bytes(256, "little"), dtype="<u8").astype(np.uint64)


def half_even(num: int, den: int) -> int:
    """Round num / den without a Fraction: quotient and twice the remainder."""
    q, r = divmod(num, den)
    return q + (2 * r > den or (2 * r == den and q & 1))


def exact(x: object) -> tuple[int, int]:
    return (int(x), 1) if not isinstance(x, float | np.floating | Fraction | Decimal) else x.as_integer_ratio()


def reference(x: object, plan: FixedPoint) -> int | None:
    """Return the encoded integer, or None beyond the clip."""
    num, den = exact(x)
    q = half_even(num * plan.base**plan.frac, den)
    if abs(q) > plan.limit:
        inside = abs(Fraction(num, den)) <= Fraction(plan.clip)
        return (plan.limit if q > 0 else -plan.limit) if inside else None
    return q


def assert_rounded(got: float, want: Fraction) -> None:
    """The nearest double, the even one of two: no Fraction -> float conversion is trusted."""
    error = abs(Fraction(got) - want)
    for other in (math.nextafter(got, math.inf), math.nextafter(got, -math.inf)):
        there = abs(Fraction(other) - want)
        assert error < there or (error == there and int(np.float64(got).view(np.uint64)) % 2 == 0)


@contextmanager
def rounding_mode(mode: str) -> Iterator[None]:
    """Change the processor's rounding mode, as a host program may; x86 and Arm name the modes differently."""
    x86 = platform.machine().lower() in ("x86_64", "amd64", "i686", "i386")
    code = {"up": 0x800 if x86 else 0x400000, "down": 0x400 if x86 else 0x800000, "zero": 0xC00}[mode]
    if mode == "zero" and not x86:
        code = 0xC00000
    libm = ctypes.CDLL(ctypes.util.find_library("m"))
    before = libm.fegetround()
    assert libm.fesetround(code) == 0
    try:
        yield
    finally:
        libm.fesetround(before)


# ------------------------------------------------------------------------------------------------ exactness


def random_plan() -> FixedPoint:
    base = RNG.choice((2, 2, 10))
    frac = RNG.randint(0, 40) if base == 2 else RNG.randint(0, 12)
    limit = RNG.randint(1, 2 ** RNG.randint(1, 45))
    clip = limit / base**frac
    weight, guard = RNG.randint(1, 2 ** RNG.randint(0, 12)), RNG.randint(0, 4)
    if base == 2:
        return FixedPoint(clip, frac, weight, guard)
    return FixedPoint.decimal(clip, frac, weight, guard)


def random_number(plan: FixedPoint) -> float:
    """One number of the plan's range: any, on a tie, at the limit, tiny."""
    scale = plan.base**plan.frac
    kind = RNG.randrange(6)
    if kind == 0:
        return RNG.choice((1, -1)) * float(plan.clip)
    if kind == 1:
        return (RNG.randint(-plan.limit, plan.limit - 1) + 0.5) / scale
    if kind == 2:
        return RNG.choice((1, -1)) * RNG.random() * 2.0 ** -RNG.randint(0, 1074)
    return RNG.uniform(-1, 1) * float(plan.clip)


def test_1e5_random_plans_and_vectors():
    """Encode, pack, add with weights, unpack, decode: the integers are Python's, the slots hold the whole budget."""
    packed = np.empty((2, len(N_LIMBS)), dtype=np.uint64)
    total = np.empty((1, 4), dtype=np.int64)
    checked = 0
    for _ in range(50_000):
        plan = random_plan()
        x = np.array([[random_number(plan) for _ in range(4)] for _ in range(2)])
        want = [[reference(v, plan) for v in row] for row in x.tolist()]
        if any(v is None for row in want for v in row):
            with pytest.raises(EncodingOverflow):
                plan.quantise(x)
            continue
        q, clipped = plan.quantise(x)
        assert clipped == 0
        assert q.tolist() == want
        slots = plan.slots(2048)
        pack.pack_slots(q, plan.slot_bits, slots, N_LIMBS, packed[: 2 * -(-4 // slots)])
        w = RNG.randint(0, plan.max_weight)
        weights = (w, plan.max_weight - w)
        p = sum(k * int.from_bytes(row.tobytes(), "little") for k, row in zip(weights, packed, strict=True)) % N
        row = np.frombuffer(p.to_bytes(256, "little"), dtype=np.uint64).reshape(1, -1)
        assert pack.unpack_slots(row, plan.slot_bits, slots, N_LIMBS, total) == -1
        sums = [weights[0] * a + weights[1] * b for a, b in zip(*want, strict=True)]
        assert total[0].tolist() == sums
        assert max(map(abs, sums)) <= plan.bound < 2 ** (plan.slot_bits - 1 - plan.guard_bits)
        decoded = plan.to_float(total, plan.frac, divisor=plan.max_weight)
        scale = plan.base**plan.frac * plan.max_weight
        assert decoded[0].tolist() == [(v << 64) / (scale << 64) for v in sums]
        checked += 2
    assert checked > 90_000


def test_at_the_limit_and_one_past_it():
    for _ in range(3000):
        plan = random_plan()
        scale = plan.base**plan.frac
        edge, past = Fraction(plan.limit, scale), Fraction(plan.limit + 1, scale)
        q, clipped = plan.quantise(np.array([edge, -edge], dtype=object))
        assert (q.tolist(), clipped) == ([plan.limit, -plan.limit], 0)
        for value in (past, -past):
            with pytest.raises(EncodingOverflow, match=r"x\[1\] is beyond clip="):
                plan.quantise(np.array([0, value], dtype=object))
        if plan.frac == 0:
            assert plan.quantise(np.array([plan.limit, -plan.limit]))[0].tolist() == [plan.limit, -plan.limit]
            with pytest.raises(EncodingOverflow):
                plan.quantise(np.array([-plan.limit - 1]))


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 900), st.integers(1, 2**63 - 1))
@example(0.5, 0, 1)
@example(-1.5, 0, 2)
@example(5e-324, 900, 1)
@example(-0.0, 20, 1)
@settings(max_examples=500, deadline=None)
def test_any_double_at_any_binary_scale(x, frac, limit):
    plan = FixedPoint.integers(limit)
    num, den = x.as_integer_ratio()
    q = half_even(num << frac, den)
    assert plan.encode_at(x, frac).item() == q
    got = plan.encode_at(np.array([x, -x]), frac)
    assert got.tolist() == [q, -q]
    assert got.dtype == (np.int64 if abs(q) < 2**63 else object)


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 18))
@example(2.675, 2)
@example(0.125, 2)
@example(1e300, 18)
@settings(max_examples=500, deadline=None)
def test_any_double_at_any_decimal_scale(x, digits):
    num, den = x.as_integer_ratio()
    assert FixedPoint.money().encode_at(x, digits).item() == half_even(num * 10**digits, den)


@given(st.floats(-4, 4), st.integers(-(2**22), 2**22))
@settings(max_examples=500, deadline=None)
def test_the_error_of_one_number_is_half_a_unit(x, tie):
    plan = FixedPoint()
    for value in (x, max(-4.0, min(4.0, (tie + 0.5) / 2**20))):
        q, _ = plan.quantise(value)
        assert abs(Fraction(value) - Fraction(int(q), 2**20)) <= Fraction(1, 2**21)


@pytest.mark.parametrize("mode", ["up", "down", "zero"])
def test_the_hosts_rounding_mode_changes_nothing(mode):
    x = np.array([RNG.uniform(-4, 4) * 2.0 ** -RNG.randint(0, 60) for _ in range(5000)])
    x = np.append(x, np.arange(-999, 999) / 2**11)
    plans = [
        FixedPoint(frac_bits=10),
        FixedPoint(frac_bits=50),
        FixedPoint.decimal(4, 6),
        FixedPoint(1.5, 30, on_clip="l2"),
    ]
    narrow = x.astype(np.float32)
    ints = np.array([RNG.randrange(-(2**62), 2**62) for _ in range(999)])
    big = np.array([3, 10**40 + 1, -(7**60), 1], dtype=object)

    def everything() -> list[object]:
        out: list[object] = [plan.quantise(x)[0].tolist() for plan in plans]
        out += [plan.encode_at(narrow, frac).tolist() for plan in plans for frac in (12, 33, 200)]
        for plan in plans:
            for divisor in (1, 3, 1000):
                out += [plan.to_float(v, plan.frac, divisor).tobytes() for v in (ints, big, ints.astype(object))]
        out += [FixedPoint(0.3, 7).to_bytes(), FixedPoint.decimal(0.3).limit, FixedPoint.from_bytes(written)]
        return out

    written = FixedPoint.decimal(0.7, 3).to_bytes()
    want = everything()
    tenths = (np.array([1.0, 3.0, -1.0, -3.0]) / 10).tolist()
    with rounding_mode(mode):
        assert (np.array([1.0, 3.0, -1.0, -3.0]) / 10).tolist() != tenths  # the mode is in force
        got = everything()
    assert got == want


# ------------------------------------------------------------------------------------------------ the clip


def test_raising_names_the_first_number_beyond_the_clip():
    plan = FixedPoint(clip=2.0)
    x = np.zeros((50, 40))
    x[31, 7] = x[40, 1] = -2.1
    for array in (x, x.astype(np.float32), x.astype(int) * 2, x.astype(object)):
        with pytest.raises(
            EncodingOverflow, match=r'x\[31, 7\] is beyond clip=2\.0: raise clip, or choose on_clip="clip" or'
        ):
            plan.quantise(array)
    with pytest.raises(EncodingOverflow, match=r"x is beyond"):
        plan.quantise(3)


def test_clipping_counts():
    plan = FixedPoint(clip=2.0, frac_bits=4, on_clip="clip")
    x = [2.0, -2.0, 2.1, -1e300, 1e-300, 3, -5]
    for array in (x, np.array(x), np.array(x, dtype=object)):
        q, clipped = plan.quantise(array)
        assert (q.tolist(), clipped) == ([32, -32, 32, -32, 0, 32, -32], 4)
    assert plan.quantise(np.array([1, 2, 3, -9, 200], dtype=np.int16))[1] == 3
    assert plan.quantise(np.array([1, 2, 3, 2**64 - 1], dtype=np.uint64))[0].tolist() == [16, 32, 32, 32]


@pytest.mark.parametrize("clip", [0.3, 0.1, 1 / 3, 2.7182818, 0.05, 123.456])
@pytest.mark.parametrize("make", [FixedPoint, FixedPoint.decimal])
@pytest.mark.parametrize("rounding", ["half-even", "stochastic"])
def test_a_number_within_the_clip_is_never_refused(clip, make, rounding):
    for digits in (5, 6, 9, 11):
        plan = make(clip, digits, rounding=rounding)
        for x in (clip, -clip, Fraction(clip), math.nextafter(clip, 0)):
            q, clipped = plan.quantise([x] * 20)
            assert clipped == 0
            assert abs(q).max() <= plan.limit
            assert abs(Fraction(int(q[0]), plan.base**plan.frac) - Fraction(x)) < Fraction(1, plan.base**plan.frac)
        beyond = (plan.limit + 1.5) / plan.base**plan.frac
        with pytest.raises(EncodingOverflow):
            plan.quantise([beyond])


def test_the_clip_of_a_decimal_plan_is_a_decimal():
    assert FixedPoint.decimal(0.3, 6).limit == 300_000  # the double 0.3 is a little less than three tenths
    assert FixedPoint.money(limit=999_999.99).limit == 99_999_999
    assert FixedPoint(0.3, 20).limit == 314_572
    assert FixedPoint.decimal(2.0**60, 0).limit == 2**60  # shortest form: 1.152921504606847e+18


def norm(q: np.ndarray) -> float:
    return math.sqrt(sum(int(v) ** 2 for v in q.ravel()))


def test_l2_within_the_norm_changes_nothing():
    plan, plain = FixedPoint(5.0, 10, on_clip="l2"), FixedPoint(5.0, 10)
    for x in ([3.0, 4.0], [3, 4], [[5.0]], [], [0.0, -0.0], np.full(100, 0.5)):
        q, clipped = plan.quantise(x)
        assert clipped == 0
        assert q.tolist() == plain.quantise(x)[0].tolist()


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20), st.integers(0, 40), st.floats(0.01, 100))
@settings(max_examples=300, deadline=None)
def test_l2_scales_the_whole_vector(x, frac, clip):
    if clip * 2**frac < 1:
        return
    plan = FixedPoint(clip, frac, on_clip="l2")
    whole = [half_even(v.as_integer_ratio()[0] << frac, v.as_integer_ratio()[1]) for v in x]
    squares = sum(v * v for v in whole)
    q, clipped = plan.quantise(x)
    assert sum(int(v) ** 2 for v in q) <= plan.limit**2
    if squares <= plan.limit**2:
        assert (q.tolist(), clipped) == (whole, 0)
    else:
        assert clipped == len(x)
        for got, v in zip(q.tolist(), whole, strict=True):
            want = math.isqrt(v * v * plan.limit**2 // squares)  # floor(|v| Q / norm)
            assert abs(got) in (want, want - 1)
            assert got * v >= 0
    backwards, _ = plan.quantise(x[::-1])
    assert backwards[::-1].tolist() == q.tolist()
    assert plan.quantise(np.array(x, dtype=object))[0].tolist() == q.tolist()


def test_l2_of_numbers_beyond_64_bits():
    plan = FixedPoint(1.0, 40, on_clip="l2")
    for x in ([3e300, -4e300], [3 * 10**400, -4 * 10**400], [3.0 * 2**30, -4.0 * 2**30]):
        q, clipped = plan.quantise(x)
        assert clipped == 2
        assert abs(q - np.array([0.6 * 2**40, -0.8 * 2**40])).max() <= 1
        assert norm(q) <= 2**40
    assert plan.quantise([2.0**-40 * 3, 1e290])[0].tolist() == [0, 2**40 - 1]
    deep = FixedPoint.integers(2**63 - 1, on_clip="l2")
    q, _ = deep.quantise(np.array([2**63 - 1, -(2**63)], dtype=np.int64))
    assert sum(int(v) ** 2 for v in q) <= (2**63 - 1) ** 2


# ------------------------------------------------------------------------------------------------ at random


def test_stochastic_rounding_is_unbiased():
    plan = FixedPoint(clip=10, frac_bits=3, rounding="stochastic")
    n = 40_000
    for x in (0.3, -0.3, 2.0**-8, 1.0624, -7.77, 0.0625):
        for values in (np.full(n, x), np.full(n, x).astype(object)[: n // 10]):
            q, clipped = plan.quantise(values)
            assert clipped == 0
            low = math.floor(x * 8)
            assert set(q.tolist()) == {low, low + 1}
            p = x * 8 - low
            assert abs(q.mean() - x * 8) < 6 * math.sqrt(p * (1 - p) / len(q))  # 2e-9 by chance
    exact_values = np.arange(-80, 81) / 8
    assert plan.quantise(exact_values)[0].tolist() == list(range(-80, 81))
    a, b = (plan.quantise(np.full(200, 0.3))[0] for _ in range(2))
    assert not np.array_equal(a, b)  # 2^-190 by chance


def test_stochastic_rounding_in_decimal_plans_and_refusal():
    plan = FixedPoint.decimal(clip=1, digits=1, rounding="stochastic")
    q, _ = plan.quantise(np.full(40_000, 0.137))
    assert abs(q.mean() - 1.37) < 6 * math.sqrt(0.37 * 0.63 / 40_000)
    x = np.zeros(100)
    x[63] = 1.1000001
    with pytest.raises(EncodingOverflow, match=r"x\[63\]"):
        plan.quantise(x)
    assert plan.quantise(np.array([1, 0, -1]))[0].tolist() == [10, 0, -10]
    assert plan.encode_at([0.25, 0.75], 1).tolist() == [2, 8]  # half to even, always


# ------------------------------------------------------------------------------------------------ decoding


@given(
    st.lists(st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-(10**60), 10**60)), min_size=1, max_size=6),
    st.sampled_from([2, 10]),
    st.integers(0, 40),
    st.one_of(st.integers(1, 2**64 + 9), st.integers(1, 10**40)),
)
@example([2**53 + 1, -(2**53) - 3, 2**63 - 1, -(2**63)], 2, 0, 1)
@example([1, -1], 10, 22, 3)
@settings(max_examples=600, deadline=None)
def test_decoding_rounds_once(ints, base, frac, divisor):
    plan = FixedPoint() if base == 2 else FixedPoint.money()
    for array in (np.array(ints, dtype=object), ints):
        out = plan.to_float(array, frac, divisor)
        assert out.dtype == np.float64
        for got, v in zip(out.tolist(), ints, strict=True):
            assert_rounded(got, Fraction(v, base**frac * divisor))
    small = np.array([v for v in ints if -(2**63) <= v < 2**63], dtype=np.int64)
    kept = [x for x, v in zip(out.tolist(), ints, strict=True) if -(2**63) <= v < 2**63]
    assert plan.to_float(small, frac, divisor).tolist() == kept


def test_decoding_extremes_and_shapes():
    plan = FixedPoint()
    assert plan.to_float([1, 3, -1], 1074).tolist() == [5e-324, 1.5e-323, -5e-324]
    assert plan.to_float([1, 3], 1075).tolist() == [0.0, 1e-323]
    assert plan.to_float(np.array([[2**63 - 1]], dtype=np.uint64), 0).tolist() == [[2.0**63]]
    assert plan.to_float(np.array([2**64 - 1], dtype=np.uint64), 64).tolist() == [1.0]
    assert plan.to_float(5, 1).shape == ()
    assert plan.to_float(np.empty((2, 0), dtype=np.int64), 1).shape == (2, 0)
    assert plan.to_float(np.arange(6, dtype=">i2").reshape(2, 3)[:, ::2], 1).tolist() == [[0.0, 1.0], [1.5, 2.5]]
    assert np.signbit(plan.to_float([0], 5)).tolist() == [False]
    assert FixedPoint.money().to_float([199, 10, 33], 2).tolist() == [1.99, 0.1, 0.33]


@given(st.lists(st.integers(-(10**9), 10**9), max_size=20))
def test_amounts_survive_the_round_trip(cents):
    plan = FixedPoint.money()
    amounts = [c / 100 for c in cents]
    q, _ = plan.quantise(amounts)
    assert q.tolist() == cents
    assert plan.to_float(q, plan.frac).tolist() == amounts
