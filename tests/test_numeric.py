"""What may enter as numbers: every exact one, and nothing that would be rounded or lose its mask unseen."""

from __future__ import annotations

import array
import math
import warnings
from collections import UserString, deque
from decimal import Decimal
from fractions import Fraction

import gmpy2
import numpy as np
import pandas as pd
import pytest

from bluetusk._numeric import as_array, as_int, as_numbers, axis_index, axis_tuple, refuse_masks, refuse_missing
from bluetusk.encoding import FixedPoint
from bluetusk.errors import EncodingOverflow


def half_even(num: int, den: int) -> int:
    """Round num / den without a Fraction: quotient and twice the remainder."""
    q, r = divmod(num, den)
    return q + (2 * r > den or (2 * r == den and q & 1))


INT_TYPES = ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"]
FLOAT_TYPES = ["f2", "f4", "f8"]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", INT_TYPES + FLOAT_TYPES)
def test_every_dtype_byte_order_and_layout(dtype, order):
    plan = FixedPoint(clip=200, frac_bits=12)
    values = np.array([[0, 1, 100], [7, 127, 3]])
    x = (values / 16 if dtype.startswith("f") else values).astype(order + dtype)
    want = [[half_even(v.as_integer_ratio()[0] << 12, v.as_integer_ratio()[1]) for v in row] for row in x.tolist()]
    for layout in (
        x,
        np.asfortranarray(x),
        np.repeat(x, 2, axis=1)[:, ::2],
        x[::-1][::-1],
        np.lib.stride_tricks.as_strided(x, x.shape, x.strides),
    ):
        q, clipped = plan.quantise(layout)
        assert (q.dtype, q.tolist(), clipped) == (np.int64, want, 0)
        assert q.flags.c_contiguous
        assert plan.encode_at(layout, 12).tolist() == want
    assert plan.quantise(x.T)[0].tolist() == np.array(want).T.tolist()
    scalar = plan.quantise(x[1, 1])[0]
    assert (scalar.shape, scalar.item()) == ((), want[1][1])
    assert plan.quantise(x[:, :0])[0].shape == (2, 0)
    read_only = x.copy()
    read_only.flags.writeable = False
    assert plan.quantise(read_only)[0].tolist() == want


def test_the_input_is_never_changed():
    plan = FixedPoint(clip=1, frac_bits=0, on_clip="l2")
    for x in (np.array([3, 4]), np.array([3.0, 4.0]), np.array([3, 4], dtype=object)):
        before = x.copy()
        plan.quantise(x)
        assert (x == before).all()


def test_integers_never_pass_through_a_double():
    plan = FixedPoint.integers(2**63 - 1)
    values = [2**53 + 1, -(2**62) - 1, 2**63 - 1, -(2**63) + 1]
    for x in (values, tuple(values), np.array(values), np.array(values, dtype=object), np.array(values, dtype=">i8")):
        assert plan.quantise(x)[0].tolist() == values
    assert plan.quantise(np.array([2**63 - 1], dtype=np.uint64))[0].tolist() == [2**63 - 1]
    # beside a float or a negative number NumPy would make doubles of them
    assert plan.quantise([2**53 + 1, 0.5, np.float32(1.5)])[0].tolist() == [2**53 + 1, 0, 2]
    assert FixedPoint(2**55, 4).quantise([2**53 + 1])[0].tolist() == [(2**53 + 1) << 4]
    assert FixedPoint.money(limit=2**56).quantise(2**53 + 1)[0].item() == (2**53 + 1) * 100


@pytest.mark.parametrize("x", [2**63, [2**63], [-1, 2**63], np.uint64(2**64 - 1), -(2**63), np.int64(-(2**63)), 10**40])
def test_integers_beyond_int64(x):
    with pytest.raises(EncodingOverflow, match="is beyond clip=9223372036854775807: raise clip"):
        FixedPoint.integers(2**63 - 1).quantise(x)
    clipped, count = FixedPoint.integers(2**63 - 1, on_clip="clip").quantise(x)
    assert count == 1
    assert abs(clipped.ravel()[-1]) == 2**63 - 1


def test_python_numbers_and_exact_objects():
    plan = FixedPoint.money()
    assert plan.quantise([Decimal("19.99"), Fraction(1, 200), 3, 0.5, gmpy2.mpz(7)])[0].tolist() == [
        1999,
        0,
        300,
        50,
        700,
    ]
    assert plan.quantise(Decimal("-0.015"))[0].item() == -2
    assert plan.quantise([])[0].shape == (0,)
    assert plan.quantise([[], []])[0].shape == (2, 0)
    assert plan.quantise(np.empty((0, 3), dtype=object))[0].shape == (0, 3)
    assert plan.quantise(range(4))[0].tolist() == [0, 100, 200, 300]
    assert plan.quantise([np.array([1.5, 2]), np.array([3, 4])])[0].tolist() == [[150, 200], [300, 400]]


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (1j, "real and imaginary"),
        (np.zeros(2, dtype=np.complex64), "real and imaginary"),
        (np.longdouble(1), r"astype\(numpy\.float64\)"),
        ([np.longdouble(1), 2], "."),
        (np.array([np.longdouble(1)], dtype=object), r"x\[0\] is of type longdouble"),
        ("1.5", "not <U3"),
        (b"1.5", "integers or floats"),
        (["1.5"], "integers or floats"),
        (None, "x is of type NoneType"),
        ([1, None], r"x\[1\] is of type NoneType"),
        ({1, 2}, "x is of type set"),
        (object(), "x is of type object"),
        (np.array(["2026-01-01"], dtype="M8[D]"), "datetime64"),
        (np.zeros(1, dtype=[("a", "i4")]), "integers or floats"),
        (np.ma.masked_array([1, 2], mask=[0, 1]), "masked"),
    ],
)
def test_what_is_no_number_is_refused(x, message):
    plan = FixedPoint(on_clip="clip")
    for call in (plan.quantise, lambda v: plan.encode_at(v, 3)):
        with pytest.raises(TypeError, match=message):
            call(x)


def test_ragged_lists_are_refused():
    with pytest.raises(ValueError, match="inhomogeneous"):
        FixedPoint().quantise([[1], [2, 3]])


@pytest.mark.parametrize("on_clip", ["raise", "clip", "l2"])
@pytest.mark.parametrize("rounding", ["half-even", "stochastic"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, np.float32("nan"), np.float16("inf")])
def test_nan_and_infinities_always_raise(on_clip, rounding, bad):
    for plan in (
        FixedPoint(on_clip=on_clip, rounding=rounding),
        FixedPoint.decimal(9, on_clip=on_clip, rounding=rounding),
    ):
        x = np.zeros((3, 4), dtype=getattr(bad, "dtype", np.float64))
        x[1, 2] = x[2, 3] = bad
        for call in (
            plan.quantise,
            lambda v, plan=plan: plan.encode_at(v, 5),
            lambda v, plan=plan: plan.encode_at(v, 999),
        ):
            with pytest.raises(ValueError, match=r"x\[1, 2\] is NaN or infinite: impute or drop it"):
                call(x)
            with pytest.raises(ValueError, match="x is NaN or infinite"):
                call(bad)
            with pytest.raises(ValueError, match=r"x\[0\] is NaN or infinite"):
                call([bad, 10**30])
    for value in (Decimal("nan"), Decimal("-inf"), Decimal("sNaN")):
        with pytest.raises(ValueError, match="NaN or infinite"):
            FixedPoint(on_clip=on_clip).quantise(value)
    for value in (Decimal("1e999999999"), Decimal("-1e-999999999")):
        with pytest.raises(ValueError, match="beyond 10"):
            FixedPoint(on_clip=on_clip).quantise([value])


# --- bools ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (True, 1),
        (np.True_, 1),
        ([True, 2], [1, 2]),
        ([0.5, False], [0.5, 0]),
        ([[1, 2], np.array([True, False])], [[1, 2], [1, 0]]),
        (np.array([[True], [False]]), [[1], [0]]),
        (np.array([1, True, np.False_], dtype=object), [1, 1, 0]),
        ([2**64, True], [2**64, 1]),
    ],
)
def test_a_bool_is_0_or_1(x, expected):
    found = as_numbers(x, "x")
    assert found.dtype.kind in "iufO"
    assert found.tolist() == expected


# --- the gate ---------------------------------------------------------------------------------------------------------

MASKED = np.ma.array([1, 2], mask=[0, 1])


@pytest.mark.parametrize(
    ("x", "where"),
    [
        (MASKED, "x"),
        (np.ma.array([1, 2]), "x"),
        (np.ma.masked, "x"),
        (np.ma.array(7, mask=True), "x"),
        ([1, np.ma.masked], r"x\[1\]"),
        ((MASKED, [3, 4]), r"x\[0\]"),
        ([[1, 2], [3, np.ma.masked]], r"x\[1\]\[1\]"),
        ([[1, 2], (np.int64(3), np.ma.array(4, mask=True))], r"x\[1\]\[1\]"),
        (deque([1, np.ma.masked]), r"x\[1\]"),
        (np.array([[1, 2], [np.ma.masked, 3]], dtype=object), r"x\[1, 0\]"),
        ([np.array([None, np.ma.masked], dtype=object)], r"x\[0\]\[1\]"),
        (slice(None, np.ma.masked), r"x\[1\]"),
    ],
)
def test_masks_are_refused_wherever_they_are(x, where):
    with pytest.raises(TypeError, match=f"^{where} is masked \\(numpy\\.ma\\): fill or drop what is masked first$"):
        refuse_masks(x, "x")
    if not isinstance(x, slice):
        for dtype in (None, np.float64, object):
            with pytest.raises(TypeError, match=f"^{where} is masked"):
                as_array(x, "x", dtype)


class Holder:
    def __init__(self, held):
        self.held = held

    def __array__(self, dtype=None, copy=None):
        return self.held


def test_a_mask_does_not_pass_inside_of_another_object():
    for held, where in ((MASKED, "x"), (np.array([1, np.ma.masked], dtype=object), r"x\[1\]")):
        with pytest.raises(TypeError, match=f"^{where} is masked"):
            as_array(Holder(held), "x")
    series = pd.Series([1, np.ma.masked], dtype=object)
    with pytest.raises(TypeError, match=r"^x\[1\] is masked"):
        as_array(series, "x")


@pytest.mark.parametrize(
    "x",
    [
        [1, 2],
        [[1.5]],
        range(3),
        (True, False),
        "text",
        b"bytes",
        ["a", None],
        np.arange(3),
        5,
        None,
        array.array("d", [1]),
    ],
)
def test_what_is_not_masked_becomes_what_numpy_makes_of_it(x):
    found, expected = as_array(x, "x"), np.asarray(x)
    assert type(found) is np.ndarray
    assert found.dtype == expected.dtype
    assert found.tolist() == expected.tolist()


def test_the_gate_gives_plain_arrays_and_copies_none():
    x = np.arange(4.0)
    assert as_array(x, "x") is x
    for kind in (np.matrix, np.recarray):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PendingDeprecationWarning)
            view = np.arange(4.0).reshape(2, 2).view(kind)
        found = as_array(view, "x")
        assert type(found) is np.ndarray
        assert np.shares_memory(found, view)


def test_the_gate_names_the_argument():
    with pytest.raises(ValueError, match=r"^codes cannot be converted to an array: .*inhomogeneous"):
        as_array([[1], [2, 3]], "codes")
    with pytest.raises(ValueError, match=r"^codes cannot be converted to an array: "):
        as_array(["a"], "codes", np.int64)
    with pytest.raises(TypeError, match=r"^codes cannot be converted to an array: "):
        as_array([None, {}], "codes", np.int64)
    with pytest.raises(ValueError, match=r"^codes cannot be converted to an array: "):
        as_array([2**70], "codes", np.int64)


@pytest.mark.parametrize(
    ("value", "match"),
    [
        (True, "^n must be an int, not bool$"),
        (np.True_, "^n must be an int, not bool"),
        (2.0, "^n must be an int, not float$"),
        (np.float64(2), "^n must be an int, not float64$"),
        (np.array([1, 2]), "^n must be an int: "),
        (np.array(2.0), "^n must be an int: "),
        (np.ma.array(2, mask=True), "^n is masked"),
        (np.ma.array(2), "^n is masked"),
        (np.ma.masked, "^n is masked"),
    ],
)
def test_what_is_not_an_int(value, match):
    with pytest.raises(TypeError, match=match):
        as_int(value, "n", 0, 9)


def test_missing_values_of_pandas_are_named():
    for x, where in (
        (pd.Series([1, 2, None], dtype="Int64"), r"y\[2\]"),
        (pd.array([True, pd.NA], dtype="boolean"), r"y\[1\]"),
        (pd.DataFrame({"a": ["x", "y"], "b": ["z", None]}), r"y\[1, 1\]"),
        (pd.Series([np.nan]), r"y\[0\]"),
    ):
        with pytest.raises(ValueError, match=f"^{where} is missing \\(NA\\): impute or drop it first$"):
            refuse_missing(x, "y")
    for whole in (pd.Series([1, 2]), pd.DataFrame({"a": ["x"]}), pd.Series([], dtype="Int64"), [np.nan], None, "text"):
        refuse_missing(whole, "y")


class Seq:
    """What NumPy goes through although it is no Sequence."""

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return self.items[i]


@pytest.mark.parametrize(
    ("x", "where"),
    [
        (Seq([MASKED]), r"x\[0\]"),
        (Seq([1, np.ma.masked]), r"x\[1\]"),
        ([1, Seq([2, np.ma.array(7, mask=True)])], r"x\[1\]\[1\]"),
        (np.array([None, Seq([np.ma.masked])], dtype=object), r"x\[1\]\[0\]"),
        (slice(Seq([np.ma.masked])), r"x\[1\]\[0\]"),
    ],
)
def test_masks_are_refused_in_all_that_numpy_goes_through(x, where):
    with pytest.raises(TypeError, match=f"^{where} is masked"):
        refuse_masks(x, "x")


def test_what_holds_itself_ends():
    endless = [1]
    endless.append(endless)
    with pytest.raises(ValueError, match=r"^x cannot be converted to an array"):
        as_array(endless, "x")
    with pytest.raises(ValueError, match=r"^x cannot be converted to an array"):
        as_array(UserString("ab"), "x")  # its characters are such texts again
    assert as_numbers(Seq([Seq([1, 2]), (3, 4)]), "x").tolist() == [[1, 2], [3, 4]]


class Endless:
    """A generator of rows, as sparse matrices are: NumPy takes it as one object, since it has no length."""

    def __len__(self):
        raise TypeError("ambiguous")

    def __getitem__(self, i):
        return [np.ma.masked]


def test_what_has_no_length_is_one_object():
    refuse_masks(Endless(), "x")
    assert as_array(Endless(), "x").shape == ()


@pytest.mark.parametrize(
    ("x", "where"),
    [(bytearray(b"ab"), "x"), ([bytearray(b"ab")], r"x\[0\]"), ([[1, 2], bytearray(b"ab")], r"x\[1\]")],
)
def test_bytes_are_no_numbers_in_lists_either(x, where):
    with pytest.raises(TypeError, match=f"^{where} must hold integers or floats, not bytes: use numpy.frombuffer"):
        as_numbers(x, "x")


# --- axes


@pytest.mark.parametrize("axis", [*range(-5, 6), np.int8(-1), np.uint64(1)])
@pytest.mark.parametrize("ndim", range(1, 5))
def test_axes_are_counted_as_numpy_counts_them(ndim: int, axis: int) -> None:
    shape = tuple(range(2, 2 + ndim))
    try:
        rest = np.zeros(shape).sum(axis).shape
    except np.exceptions.AxisError as error:
        for call in (axis_index, axis_tuple):
            with pytest.raises(np.exceptions.AxisError, match=f"^{error}$"):
                call(axis, ndim)
    else:
        at = axis_index(axis, ndim)
        assert axis_tuple(axis, ndim) == axis_tuple([axis], ndim) == (at,)
        assert (*shape[:at], *shape[at + 1 :]) == rest


def test_a_number_has_no_axis() -> None:
    with pytest.raises(np.exceptions.AxisError, match="axis 0 is out of bounds for array of dimension 0"):
        axis_index(0, 0)


@pytest.mark.parametrize("axis", [True, 1.0, "0", None, [0, 0.5], np.array([0, 1])])
def test_what_is_not_an_axis_is_refused(axis: object) -> None:
    with pytest.raises(TypeError):
        axis_tuple(axis, 2)


def test_an_axis_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="repeated axis"):
        axis_tuple((1, 0, -1), 2)
    assert axis_tuple((), 2) == ()
