"""Plain operands and the arithmetic of bounds: which integers meet a ciphertext, at which scale, how large they get.

Everything here is about plain numbers, exact and without a key: an operand becomes an *integer array*, which is an
int64 array or, where a value does not fit, an object array of Python ints. A bound is a Python int B with ``|v| <= B``
for every integer of an array; the functions below compute the factors that the operations multiply it by.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from numbers import Number
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._kernels import pack
from .._numeric import as_numbers, index_text, is_real
from ..encoding import FixedPoint
from ..errors import EncodingOverflow

__all__ = [
    "Ints",
    "as_operand",
    "bit_lengths",
    "check_capacity",
    "encode",
    "exponent_limbs",
    "factors",
    "is_real",
    "largest",
    "largest_row_sum",
    "narrow",
    "negated",
    "raised",
    "residues",
    "size_text",
]

Ints = NDArray[Any]
"""An int64 array, or an object array of Python ints where a value exceeds int64."""

_INT64_MAX = (1 << 63) - 1


def as_operand(x: object, name: str) -> NDArray[Any] | None:
    """Return a plain operand by the rule of :func:`bluetusk._numeric.as_numbers`; None if it is nothing like numbers.

    Raises
    ------
    TypeError, ValueError
        If it is an array or a sequence that does not hold exact numbers.
    """
    if isinstance(x, str | bytes | bytearray):
        return None
    if isinstance(x, np.generic | Number | Sequence | memoryview | array) or any(hasattr(x, a) for a in _ARRAYS):
        return as_numbers(x, name)
    return None


_ARRAYS = ("__array__", "__array_interface__", "__array_struct__")


def narrow(a: NDArray[Any]) -> Ints:
    """Return any array of integers as int64, or as Python ints where one does not fit."""
    kind = a.dtype.kind
    if kind in "bi" or (kind == "u" and (a.dtype.itemsize < 8 or not a.size or int(a.max()) <= _INT64_MAX)):
        return np.ascontiguousarray(a, dtype=np.int64).reshape(a.shape)
    out = np.empty(a.shape, dtype=object)
    flat = out.reshape(-1)
    fits = True
    for i, v in enumerate(a.flat):
        flat[i] = value = int(v)
        fits = fits and -_INT64_MAX - 1 <= value <= _INT64_MAX
    return out.astype(np.int64) if fits else out


def encode(a: NDArray[Any], plan: FixedPoint, frac: int, what: str) -> Ints:
    """Return operand `a` as exact integers at scale `frac`: integers exactly, reals rounded half-even, nothing clipped.

    Raises
    ------
    ValueError
        If a value is NaN or infinite, or if reals with a fraction meet the scale 0, where they would silently become
        integers.
    """
    if is_real(a):
        if a.dtype != object and not (finite := np.isfinite(a)).all():
            where = index_text("array", a.shape, int(np.argmin(finite.reshape(-1))))
            raise ValueError(f"{what}: {where} is NaN or infinite: impute or drop it before computing")
        if frac == 0 and not _whole(a):
            raise ValueError(
                f"{what}: the plan has no fractional digits, so real operands must be whole numbers: "
                "encrypt with a plan that has frac_bits (or digits) > 0, or scale the operand to integers"
            )
        return plan.encode_at(a, frac)
    ints = narrow(a)
    return raised(ints, plan.base**frac) if frac else ints


def factors(a: NDArray[Any], plan: FixedPoint, what: str) -> tuple[Ints, int]:
    """Return plain factors as integers, and the scale that they bring: the plan's if they are reals, else none."""
    frac = plan.frac if is_real(a) else 0
    return encode(a, plan, frac, what), frac


def _whole(a: NDArray[Any]) -> bool:
    """Tell whether no value has a fraction; all are finite."""
    if a.dtype == object:
        return all(v == int(v) for v in a.flat)
    return bool((a == np.rint(a)).all())


def raised(ints: Ints, factor: int) -> Ints:
    """Return ``ints * factor`` exactly."""
    if factor == 1 or not ints.size:
        return ints
    if ints.dtype != object and largest(ints) * factor <= _INT64_MAX:
        return np.asarray(ints * np.int64(factor))
    return narrow(np.asarray(ints.astype(object) * factor))


def largest(ints: Ints) -> int:
    """Return the largest absolute value, 0 for an empty array."""
    if not ints.size:
        return 0
    if ints.dtype == object:
        return max(abs(int(v)) for v in ints.flat)
    return max(int(ints.max()), -int(ints.min()))


def largest_row_sum(matrix: Ints) -> int:
    """Return the largest sum of absolute values along the last axis, exactly; 0 if there is no row or no column."""
    if not matrix.size:
        return 0
    top = largest(matrix)
    if matrix.dtype != object and top * matrix.shape[-1] <= _INT64_MAX:
        return int(np.abs(matrix).sum(axis=-1).max())
    rows = matrix.reshape(-1, matrix.shape[-1])
    return max(sum(abs(int(v)) for v in row) for row in rows)


def negated(ints: Ints) -> Ints:
    """Return ``-ints`` exactly (the least int64 has no int64 counterpart)."""
    if ints.dtype != object and ints.size and int(ints.min()) < -_INT64_MAX:
        return narrow(np.asarray(-ints.astype(object)))
    return np.asarray(-ints)


def bit_lengths(ints: Ints) -> NDArray[np.int64]:
    """Return the bit length of every absolute value, at most one too large: a limit for exponents, not a count."""
    if ints.dtype == object:
        return np.array([abs(int(v)).bit_length() for v in ints.flat], dtype=np.int64).reshape(ints.shape)
    # frexp gives x = f 2^e, 1/2 <= f < 1: e is the bit length; converting to a double may round up to the next power
    sizes = np.abs(ints.reshape(-1)).view(np.uint64).astype(np.float64)
    return np.frexp(sizes)[1].astype(np.int64).reshape(ints.shape)


def exponent_limbs(ints: Ints, limbs: int) -> NDArray[np.uint64]:
    """Return absolute values as limbs, least significant first: shape ``ints.shape + (limbs,)``."""
    if ints.dtype != object and limbs == 1:
        return np.abs(ints.reshape(-1)).view(np.uint64).reshape(*ints.shape, 1)
    width = 8 * limbs
    data = b"".join(abs(int(v)).to_bytes(width, "little") for v in ints.flat)
    return np.frombuffer(data, dtype="<u8").astype(np.uint64).reshape(*ints.shape, limbs)


def residues(ints: Ints, modulus: int, modulus_limbs: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return a flat integer array as canonical residues, shape ``(n, limbs)``; all below half the modulus in size."""
    limbs = len(modulus_limbs)
    if ints.dtype == object:
        return pack.residues_from_ints([int(v) for v in ints], modulus, limbs)
    out = np.empty((len(ints), limbs), dtype=np.uint64)
    pack.residues_from_int64(np.ascontiguousarray(ints), modulus_limbs, out)
    return out


def size_text(value: int) -> str:
    """Return a number for a message, about 2^k where it is long."""
    return str(value) if value < 10**15 else f"about 2^{value.bit_length() - 1}"


def check_capacity(bound: int, capacity: int, what: str, slot_bits: int | None) -> None:
    """Refuse a result whose proven bound exceeds what its ciphertext or slot can hold.

    Raises
    ------
    EncodingOverflow
        Naming both bounds and the remedy.
    """
    if bound <= capacity:
        return
    if slot_bits is None:
        where, remedy = "a ciphertext of this key", "fewer fractional bits, smaller factors, or a larger key"
    else:
        where = f"a slot of {slot_bits} bits"
        remedy = "a plan with a larger max_weight or more guard_bits, or packed=False"
    reach, most = f"reach {size_text(bound)}, but", size_text(capacity)
    if size_text(bound) == most:
        reach = f"be {size_text(bound - capacity)} too large:"
    raise EncodingOverflow(f"{what}: the integers of the result may {reach} {where} holds at most {most}: use {remedy}")
