"""One rule for the numbers of callers: every entry takes the same inputs with the same values, and refuses the same."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import gmpy2
import numpy as np
import pandas as pd
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import bluetusk as bt
from bluetusk.federated import PaillierSum, secagg
from bluetusk.paillier import PrivateKey
from bluetusk.paillier.array import CipherArray
from bluetusk.wire import frame

decrypt, decrypt_integers = PrivateKey.decrypt, PrivateKey.decrypt_integers

PLAN = bt.FixedPoint(clip=4.0, frac_bits=8)


class Holder:
    """Numbers that are had by __array__ alone."""

    def __init__(self, values: Any) -> None:
        self.values = values

    def __array__(self, dtype: object = None, copy: object = None) -> Any:
        return self.values


# three numbers each, and what they are
INPUTS: dict[str, tuple[Any, list[float]]] = {
    "list": ([1, 0, 3], [1, 0, 3]),
    "tuple": ((1, -2, 0), [1, -2, 0]),
    "list of reals": ([1.5, 0.25, -2.0], [1.5, 0.25, -2]),
    "mixed list": ([1, 0.5, Fraction(1, 4)], [1, 0.5, 0.25]),
    "exact list": ([Decimal("1.5"), gmpy2.mpz(2), Fraction(3)], [1.5, 2, 3]),
    "range": (range(3), [0, 1, 2]),
    "deque": (deque([1, 2, 3]), [1, 2, 3]),
    "array of int": (array("i", [1, -2, 3]), [1, -2, 3]),
    "array of double": (array("d", [1.5, 2, 3]), [1.5, 2, 3]),
    "memoryview": (memoryview(array("h", [1, -2, 3])), [1, -2, 3]),
    "memoryview of bytes": (memoryview(b"\1\2\3"), [1, 2, 3]),
    "list of bool": ([True, False, True], [1, 0, 1]),
    "bool in a list": ([True, 2, False], [1, 2, 0]),
    "bool beside reals": ([True, 0.5, np.False_], [1, 0.5, 0]),
    "array of bool": (np.array([True, False, True]), [1, 0, 1]),
    "bool object": (np.array([True, np.False_, 2], dtype=object), [1, 0, 2]),
    "memoryview of bool": (memoryview(np.array([True, False, True])), [1, 0, 1]),
    "int8": (np.array([1, -2, 3], np.int8), [1, -2, 3]),
    "uint64": (np.array([1, 2, 3], np.uint64), [1, 2, 3]),
    "big-endian": (np.array([1, -2, 3], ">i4"), [1, -2, 3]),
    "float16": (np.array([1.5, -2, 3], np.float16), [1.5, -2, 3]),
    "strided": (np.arange(6)[::-2] - 2, [3, 1, -1]),
    "objects": (np.array([1, 0.5, Fraction(-1, 2)], dtype=object), [1, 0.5, -0.5]),
    "__array__": (Holder(np.array([1, 2, 3])), [1, 2, 3]),
    "series": (pd.Series([1, 2, 3], index=["c", "b", "a"]), [1, 2, 3]),
    "series of reals": (pd.Series([1.5, 2, 3]), [1.5, 2, 3]),
    "series of bool": (pd.Series([True, False, True]), [1, 0, 1]),
    "Int64": (pd.Series([1, -2, 3], dtype="Int64"), [1, -2, 3]),
    "Float64": (pd.Series([1.5, 2, 3], dtype="Float64"), [1.5, 2, 3]),
    "boolean": (pd.Series([True, False, True], dtype="boolean"), [1, 0, 1]),
    "pandas array": (pd.array([1, 2, 3]), [1, 2, 3]),
    "categories": (pd.Series([3, 1, 3], dtype="category"), [3, 1, 3]),
}

MASKED = r"masked \(numpy\.ma\): fill or drop"
NA = r"\[1\] is missing \(NA\): impute or drop it first"
REFUSED: dict[str, tuple[Any, type[Exception], str]] = {
    "text": ("123", TypeError, "."),
    "bytes": (b"123", TypeError, "."),
    "bytearray": (bytearray(b"123"), TypeError, "."),
    "list of text": (["1", "2", "3"], TypeError, "integers or floats"),
    "objects of text": (np.array(["1", 2, 3], dtype=object), TypeError, r"\[0\] is of type str"),
    "a missing object": ([1, None, 3], TypeError, r"\[1\] is of type NoneType"),
    "set": ({1, 2, 3}, TypeError, "."),
    "dict": ({1: 1, 2: 2, 3: 3}, TypeError, "."),
    "None": (None, TypeError, "."),
    "complex": (np.array([1j, 2, 3]), TypeError, "real and imaginary"),
    "long double": (np.array([1, 2, 3], np.longdouble), TypeError, "astype"),
    "dates": (np.array(["2026-01-01"] * 3, "M8[D]"), TypeError, "datetime64"),
    "structure": (np.zeros(3, [("a", int)]), TypeError, "integers or floats"),
    "masked": (np.ma.array([1, 2, 3], mask=[0, 1, 0]), TypeError, MASKED),
    "masked without a mask": (np.ma.array([1, 2, 3]), TypeError, MASKED),
    "masked bool": (np.ma.array([True, True, False], mask=[0, 1, 0]), TypeError, MASKED),
    "masked in a list": ([1, np.ma.masked, 3], TypeError, r"\[1\] is masked"),
    "masked array in a list": ([1, np.ma.array(2, mask=True), 3], TypeError, r"\[1\] is masked"),
    "masked in a tuple": ((1, 2, np.ma.masked), TypeError, r"\[2\] is masked"),
    "masked in a deque": (deque([1, np.ma.masked, 3]), TypeError, r"\[1\] is masked"),
    "masked object": (np.array([1, np.ma.masked, 3], dtype=object), TypeError, r"\[1\] is masked"),
    "masked by __array__": (Holder(np.ma.array([1, 2, 3], mask=[0, 1, 0])), TypeError, MASKED),
    "masked object by __array__": (Holder(np.array([1, np.ma.masked, 3], dtype=object)), TypeError, r"\[1\] is masked"),
    "NaN": ([1.0, np.nan, 3.0], ValueError, r"\[1\] is NaN or infinite"),
    "infinity": (np.array([1.0, 2.0, -np.inf]), ValueError, r"\[2\] is NaN or infinite"),
    "ragged": ([[1, 2], [3], [4]], ValueError, "inhomogeneous"),
    "NaN of pandas": (pd.Series([1.0, np.nan, 3.0]), ValueError, NA),
    "NA of Int64": (pd.Series([1, None, 3], dtype="Int64"), ValueError, NA),
    "NA of Float64": (pd.Series([1.5, None, 3], dtype="Float64"), ValueError, NA),
    "NA of boolean": (pd.Series([True, None, False], dtype="boolean"), ValueError, NA),
    "NA of string": (pd.Series(["a", None, "b"], dtype="string"), ValueError, NA),
    "NA of an array": (pd.array([1, None, 3]), ValueError, NA),
    "NA of an index": (pd.Index([1, None, 3], dtype="Int64"), ValueError, NA),
    "NaT": (pd.Series([pd.Timestamp(0), pd.NaT, pd.Timestamp(1)]), ValueError, NA),
    "NA in a list": ([1, pd.NA, 3], TypeError, r"\[1\] is of type NAType"),
    "text of pandas": (pd.Series(["1", "2", "3"]), TypeError, r"\[0\] is of type str"),
    "string of pandas": (pd.Series(["1", "2", "3"], dtype="string"), TypeError, r"\[0\] is of type str"),
    "dates of pandas": (pd.Series(pd.date_range("2026-01-01", periods=3)), TypeError, "datetime64"),
}

BASE = [1, 2, 4]


@pytest.fixture(scope="module")
def entries(pub, priv) -> dict[str, Callable[[Any], Any]]:
    """Every entry, as a function that gives the three numbers back."""
    base = pub.encrypt(BASE, PLAN)

    def plain(c: CipherArray) -> Any:
        return decrypt(priv, c)

    signing = {name: Ed25519PrivateKey.generate() for name in "abc"}
    clients = {name: (key.public_key().public_bytes_raw(), 5) for name, key in signing.items()}
    summing = PaillierSum(pub, {"x": (PLAN, 3)}, clients, min_clients=2)

    def contribute(x: Any) -> Any:
        message = summing.client("a", signing["a"]).contribute(0, "x", x)
        sent = CipherArray.from_bytes(frame.decode(message, frame.Kind.SUM_CONTRIBUTION).payload, pub)
        return decrypt_integers(priv, sent)[:3] / 2**8

    server = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    session = secagg.Session(secagg.plan(3), PLAN, 3, clients, server)

    def start(x: Any) -> Any:
        client = secagg.Client(session, "a", signing["a"])
        client.start(0, x)
        assert client._part is not None
        assert client._part.words is not None
        words = client._part.words[:3]
        return words.view(f"i{words.itemsize}") / 2**8

    return {
        "quantise": lambda x: PLAN.quantise(x)[0] / 2**8,
        "encode_at": lambda x: PLAN.encode_at(x, 10) / 2**10,
        "public encrypt": lambda x: plain(pub.encrypt(x, PLAN)),
        "private encrypt": lambda x: plain(priv.encrypt(x, PLAN)),
        "encrypt without a plan": lambda x: plain(pub.encrypt(x)),
        "c + x": lambda x: plain(base + x) - BASE,
        "x + c": lambda x: plain(x + base) - BASE,
        "c - x": lambda x: BASE - plain(base - x),
        "x - c": lambda x: plain(x - base) + BASE,
        "c * x": lambda x: plain(base * x) / BASE,
        "x * c": lambda x: plain(x * base) / BASE,
        "c @ x": lambda x: [plain(base * row @ x).item() for row in np.diag([1, 0.5, 0.25])],
        "multiply": lambda x: plain(base.multiply(x)) / BASE,
        "secret multiply": lambda x: plain(base.multiply(x, secret=True)) / BASE,
        "dot": lambda x: [plain((base * row).dot(x)).item() for row in np.diag([1, 0.5, 0.25])],
        "numpy.add": lambda x: plain(np.add(x, base)) - BASE,
        "numpy.subtract": lambda x: plain(np.subtract(x, base)) + BASE,
        "numpy.multiply": lambda x: plain(np.multiply(base, x)) / BASE,
        "contribute": contribute,
        "secagg": start,
    }


@pytest.mark.parametrize("name", INPUTS)
def test_every_entry_takes_it_with_its_values(entries, name):
    x, values = INPUTS[name]
    for entry, call in entries.items():
        assert list(call(x)) == values, entry


@pytest.mark.parametrize("name", REFUSED)
def test_every_entry_refuses_it_alike(entries, name):
    x, error, match = REFUSED[name]
    for entry, call in entries.items():
        if name.startswith("masked") and entry.startswith(("x ", "numpy.")) and isinstance(x, np.ma.MaskedArray):
            match = f"{MASKED}|numpy.ma does not work on encrypted arrays: fill or drop"  # its own operators come first
        with pytest.raises(error, match=match):
            call(x)


@pytest.mark.parametrize("name", [name for name, (_, values) in INPUTS.items() if min(values) >= 0])
def test_codes_and_indices_follow(pub, priv, name):
    x, values = INPUTS[name]
    c = pub.encrypt(BASE)
    expected = np.array([sum(b for b, v in zip(BASE, values, strict=True) if v == code) for code in range(4)])
    if all(float(v).is_integer() for v in values) and "double" not in name and "exact" not in name:
        found = c.bincount(x, 4)
        assert decrypt_integers(priv, found).tolist() == expected.tolist()
    else:
        with pytest.raises(TypeError, match=r"codes"):
            c.bincount(x, 4)


@pytest.mark.parametrize("name", REFUSED)
def test_codes_and_indices_refuse_what_numbers_refuse(pub, name):
    x, error, match = REFUSED[name]
    c = pub.encrypt(BASE)
    known = match if "masked" in match or "missing" in match else "."
    with pytest.raises((error, TypeError, ValueError), match=known):
        c.bincount(x, 4)
    if name != "None":
        with pytest.raises((error, IndexError, ValueError), match=MASKED if name == "masked in a tuple" else known):
            c[x]


def test_a_parameter_is_no_bool(pub):
    """What counts, widens or names an axis is an int: there True is a mistake."""
    c = pub.encrypt(BASE)
    for use in (
        lambda: c.bincount([0, 1, 1], True),
        lambda: c.reshape(True, 3),
        lambda: c.cumsum(axis=False),
        lambda: bt.FixedPoint(clip=True),
        lambda: bt.FixedPoint(max_weight=True),
        lambda: bt.modexp.powmod(2, True, 7),
    ):
        with pytest.raises(TypeError, match="bool"):
            use()


@pytest.mark.parametrize("masked", [np.ma.array(2, mask=True), np.ma.array(2), np.ma.masked])
def test_a_parameter_is_not_masked(pub, masked):
    c = pub.encrypt(BASE)
    for use in (
        lambda: c.bincount([0, 1, 1], masked),
        lambda: c.reshape(masked, -1),
        lambda: c.reshape(np.ma.array([3, 1], mask=[0, 1])),
        lambda: np.broadcast_to(c, (masked, 3)),
        lambda: c.sum(axis=masked),
        lambda: c.squeeze(axis=(masked,)),
        lambda: c.cumsum(axis=masked),
        lambda: c[masked],
        lambda: c[masked:],
        lambda: c[[0, masked]],
        lambda: c.take(masked),
        lambda: c.take([0, masked]),
        lambda: c.repeat([1, masked, 1]),
        lambda: np.roll(c, masked),
        lambda: np.delete(c, slice(None, masked)),
        lambda: bt.FixedPoint(clip=masked),
        lambda: bt.FixedPoint(frac_bits=masked),
        lambda: bt.modexp.powmod([2, masked], 3, 7),
        lambda: bt.modexp.powmod(2, np.ma.array([1, 2], mask=[0, 1]), 7),
        lambda: bt.modexp.multiexp([2, 3], [[1, masked]], 7),
        lambda: bt.modexp.powmod(2, 3, masked),
        lambda: bt.paillier.hazmat.encrypt_with(pub, [masked], [1]),
    ):
        with pytest.raises(TypeError, match=MASKED):
            use()


def test_words_of_shares_are_not_masked(pub):
    words = np.ma.array([1, 2], mask=[0, 1], dtype=np.uint64)
    share = bt.paillier.encrypt_share(pub, np.array([1, 2], np.uint64))
    for use in (
        lambda: bt.paillier.encrypt_share(pub, words),
        lambda: bt.paillier.RingArray.of(share, words),
        lambda: bt.paillier.RingArray.of(share, [np.uint64(1), np.ma.masked]),
        lambda: bt.paillier.RingArray(share, 64) * np.ma.array([True, True], mask=[0, 1]),
        lambda: bt.paillier.RingArray(share, 64) - [1, np.ma.masked],
    ):
        with pytest.raises(TypeError, match=MASKED):
            use()
