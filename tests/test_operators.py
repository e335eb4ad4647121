"""Every class with an operator against NumPy and Python's integers, with every kind of plain operand on both sides."""

from __future__ import annotations

import importlib
import operator
import pkgutil
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import bluetusk as bt
from bluetusk.paillier import CipherArray, PrivateKey, PublicKey, RingArray, encrypt_share
from bluetusk.sharing import Session, SharedArray

OPERATORS = {"add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "pow", "lshift", "rshift", "and", "or", "xor"}
UNARY = {"neg", "pos", "abs", "invert"}
METHODS = {f"__{side}{name}__" for name in OPERATORS for side in ("", "r", "i")} | {f"__{name}__" for name in UNARY}


def classes_with_operators() -> set[type]:
    """Every class of the package that has an operator from the package, but for those that only lend theirs."""
    found = set()
    for module in pkgutil.walk_packages(bt.__path__, "bluetusk."):
        if module.name.endswith("__main__"):
            continue
        try:
            there = vars(importlib.import_module(module.name)).values()
        except ImportError:  # an extra that is not installed
            continue
        for thing in there:
            if isinstance(thing, type) and thing.__module__.startswith("bluetusk"):
                ours = [c for c in thing.__mro__ if c.__module__.startswith("bluetusk")]
                if any(METHODS & vars(c).keys() for c in ours):
                    found.add(thing)
    return {c for c in found if not any(c is not other and issubclass(other, c) for other in found)}


def cipher(pub: PublicKey, priv: PrivateKey) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    return lambda x: priv.encrypt(x, bt.FixedPoint.integers(1000)), priv.decrypt_integers


def ring(bits: int) -> Callable[[PublicKey, PrivateKey], tuple[Callable[[Any], Any], Callable[[Any], Any]]]:
    def made(pub: PublicKey, priv: PrivateKey) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
        def start(x: Any) -> RingArray:
            return RingArray(encrypt_share(priv, np.asarray(x).astype(f"u{bits // 8}")), bits)

        return start, lambda array: array.decrypt(priv)

    return made


def shared(parties: int) -> Callable[[PublicKey, PrivateKey], tuple[Callable[[Any], Any], Callable[[Any], Any]]]:
    def made(pub: PublicKey, priv: PrivateKey) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
        session = Session(parties=parties, frac_bits=8)
        return lambda x: session.share(x, real=False), lambda array: array.reveal()

    return made


CASES: dict[str, tuple[type, Any, set[str]]] = {
    "CipherArray": (CipherArray, cipher, {"add", "sub", "mul", "matmul"}),
    "RingArray, 64 bits": (RingArray, ring(64), {"add", "sub", "mul"}),
    "RingArray, 32 bits": (RingArray, ring(32), {"add", "sub", "mul"}),
    "SharedArray of two": (SharedArray, shared(2), {"add", "sub", "mul", "matmul"}),
    "SharedArray of three": (SharedArray, shared(3), {"add", "sub", "mul", "matmul"}),
}


def test_no_class_with_an_operator_is_left_out() -> None:
    assert classes_with_operators() == {kind for kind, _, _ in CASES.values()}
    for kind, _, names in CASES.values():
        for name in names:
            assert hasattr(kind, f"__{name}__"), (kind, name)
            assert hasattr(kind, f"__r{name}__"), (kind, name)


PLAIN = {
    "array": lambda shape: np.arange(-2, int(np.prod(shape)) - 2).reshape(shape),
    "narrow array": lambda shape: np.arange(int(np.prod(shape)), dtype=np.uint8).reshape(shape),
    "list": lambda shape: (np.arange(int(np.prod(shape))).reshape(shape) - 1).tolist(),
    "int": lambda shape: -3,
    "NumPy int": lambda shape: np.int32(5),
    "NumPy uint": lambda shape: np.uint16(7),
    "array of no axis": lambda shape: np.array(-4),
}
SHAPES: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((), ()),
    ((3,), (3,)),
    ((3,), (1,)),
    ((2, 3), (3,)),
    ((3,), (2, 3)),
    ((2, 1), (1, 3)),
    ((0,), (0,)),
    ((0, 2), (2,)),
    ((2, 0), (1, 1)),
]
MATRICES: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (3, 2)),
    ((2, 3), (3, 2)),
    ((2, 0), (0, 3)),
    ((0, 2), (2, 3)),
]


def compare(opened: Callable[[Any], Any], result: Any, kind: type, want: Any, label: str = "") -> None:
    assert type(result) is kind, label  # and no object array of them
    assert result.shape == np.shape(want)
    assert np.asarray(opened(result)).astype(np.int64).tolist() == np.asarray(want).astype(np.int64).tolist()


@pytest.mark.parametrize("case", CASES)
def test_plain_operands_on_both_sides(case: str, pub: PublicKey, priv: PrivateKey) -> None:
    kind, make, names = CASES[case]
    start, opened = make(pub, priv)
    for name in sorted(names):
        apply = getattr(operator, name)
        pairs = MATRICES if name == "matmul" else SHAPES
        for ours, theirs in pairs:
            x = np.arange(int(np.prod(ours)), dtype=np.int64).reshape(ours) * 2 - 1
            array = start(x)
            assert array.shape == x.shape
            for label, plain in PLAIN.items():
                y = plain(theirs)
                exact = np.asarray(y).astype(np.int64)
                if name == "matmul" and exact.shape != theirs:  # numbers, and lists that lost their empty axes
                    continue
                compare(opened, apply(array, y), kind, apply(x, exact), label)
                if name != "matmul":
                    compare(opened, apply(y, array), kind, apply(exact, x), label)
                    continue
                z = np.arange(int(np.prod(theirs)), dtype=np.int64).reshape(theirs)
                y = plain(ours)
                exact = np.asarray(y).astype(np.int64)
                if exact.shape == ours:
                    compare(opened, apply(y, start(z)), kind, apply(exact, z), label)


@pytest.mark.parametrize("case", CASES)
def test_two_of_a_kind_and_signs(case: str, pub: PublicKey, priv: PrivateKey) -> None:
    kind, make, _ = CASES[case]
    start, opened = make(pub, priv)
    for ours, theirs in SHAPES:
        x = np.arange(int(np.prod(ours)), dtype=np.int64).reshape(ours) - 1
        y = np.arange(int(np.prod(theirs)), dtype=np.int64).reshape(theirs) * 3
        compare(opened, start(x) + start(y), kind, x + y)
        compare(opened, start(x) - start(y), kind, x - y)
        compare(opened, -start(x), kind, -x)
        compare(opened, +start(x), kind, x)


@pytest.mark.parametrize("case", CASES)
def test_indexing_is_that_of_numpy(case: str, pub: PublicKey, priv: PrivateKey) -> None:
    kind, make, _ = CASES[case]
    start, opened = make(pub, priv)
    x = np.arange(12, dtype=np.int64).reshape(3, 4) - 5
    array = start(x)
    assert len(array) == 3
    for key in (
        0,
        -1,
        slice(1, None),
        (slice(None), 2),
        (1, 2),
        ...,
        [2, 0],
        (slice(None), None),
        x[:, 0] > -5,
        slice(3, 3),
    ):
        compare(opened, array[key], kind, x[key])
    with pytest.raises(IndexError):
        array[3]
    with pytest.raises(TypeError, match=r"no length|len"):
        len(array[1, 2])


@pytest.mark.parametrize("case", CASES)
def test_what_is_no_number_and_what_has_no_value(case: str, pub: PublicKey, priv: PrivateKey) -> None:
    _, make, names = CASES[case]
    start, _ = make(pub, priv)
    array = start(np.array([1, 2]))
    masked = np.ma.array([1, 2], mask=[0, 1])
    for bad in ("text", None, object(), masked, [1, np.ma.masked], np.array(["a", "b"])):
        for apply in (operator.add, operator.sub, operator.mul):
            with pytest.raises(TypeError):
                apply(array, bad)
            with pytest.raises(TypeError):
                apply(bad, array)
    for compare_by in (operator.eq, operator.ne, operator.lt, operator.ge):
        for other in (array, 1, np.array([1, 2]), [1, 2]):
            with pytest.raises(TypeError):
                compare_by(array, other)
    for convert in (bool, int, float, np.asarray, hash):
        with pytest.raises(TypeError):
            convert(array)
    with pytest.raises(TypeError):
        np.add(np.array([1, 2]), array, out=np.zeros(2))
    with pytest.raises((TypeError, ValueError)):
        array + np.array([1, 2, 3])
    if "matmul" not in names:
        with pytest.raises(TypeError):
            array @ np.array([1, 2])
        with pytest.raises(TypeError):
            np.array([1, 2]) @ array


def test_a_plain_matrix_times_an_array_of_a_ring_is_one_array(pub: PublicKey, priv: PrivateKey) -> None:
    """Without its refusal NumPy makes an object array of 3 x 3 encrypted arrays: an outer product."""
    array = RingArray(encrypt_share(priv, np.array([1, 2, 3], np.uint64)), 64)
    product = np.array([2, -3, 4]) * array
    assert type(product) is RingArray
    assert product.decrypt(priv).tolist() == [2, -6, 12]
    assert (np.array([10, 20, 30]) - array).decrypt(priv).tolist() == [9, 18, 27]
    assert (5 - array[1:]).decrypt(priv).tolist() == [3, 2]


def test_the_ring_wraps_as_words_do(pub: PublicKey, priv: PrivateKey) -> None:
    for bits in (32, 64):
        word = np.dtype(f"u{bits // 8}").type
        x = np.array([2**bits - 1, 2 ** (bits - 1), 5], dtype=word)
        array = RingArray(encrypt_share(priv, x), bits)
        with np.errstate(over="ignore"):
            for got, want in (
                (array * 7, x * word(7)),
                (x * array, x * x),
                (x - array, x - x),
                (-array, word(0) - x),
                (array + array, x + x),
            ):
                assert got.decrypt(priv).view(word).tolist() == want.tolist()
    with pytest.raises(ValueError, match=r"modulo 2\^32, the other modulo 2\^64"):
        RingArray(encrypt_share(priv, np.ones(1, np.uint32)), 32) + RingArray(
            encrypt_share(priv, np.ones(1, np.uint64)), 64
        )


def test_reals_meet_a_session(pub: PublicKey) -> None:
    """Mixed lists count as reals, as in NumPy; a plain ring takes integers alone."""
    for parties in (2, 3):
        session = Session(parties=parties, frac_bits=12)
        x = np.array([1.5, -2.25])
        for y in ([1, 0.5], np.array([0.25, 4]), 0.5, np.float32(0.5), [Fraction(1, 2), 3]):
            exact = np.asarray(y, dtype=float)
            for got, want in (
                (session.share(x) * y, x * exact),
                (y * session.share(x), x * exact),
                (y - session.share(x), exact - x),
                (session.share(x) + y, x + exact),
            ):
                assert np.allclose(got.reveal(), want, atol=2**-10)


@pytest.mark.parametrize("case", CASES)
def test_frames_of_pandas_leave_the_operation_to_the_array(case: str, pub: PublicKey, priv: PrivateKey) -> None:
    pd = pytest.importorskip("pandas", reason="frames of pandas, which is no dependency")
    kind, make, _ = CASES[case]
    if kind is CipherArray:  # its own tests
        return
    start, opened = make(pub, priv)
    x = np.array([3, 4])
    for apply in (operator.add, operator.sub, operator.mul):
        compare(opened, apply(pd.Series([5, 6]), start(x)), kind, apply(np.array([5, 6]), x))
        compare(opened, apply(start(x), pd.Series([5, 6])), kind, apply(x, np.array([5, 6])))
