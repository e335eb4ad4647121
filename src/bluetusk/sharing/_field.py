"""Converts between NumPy arrays and a finite field's elements; draws random elements and multiplies by matrices."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import gmpy2
import numpy as np
from numpy.typing import NDArray

from .. import _parallel
from .._kernels.field import MAX_BITS, Field
from .._numeric import as_array, as_int, as_numbers, index_text, refuse_masks
from .._random import Stream

__all__ = ["GF256", "ShareField", "field_of", "gf256"]

GF256 = 256
_CHUNK_BYTES = 1 << 16  # of one row: a few rows of random elements stay in the second cache


class ShareField:
    """The field of one order: a prime, or 256 for GF(2^8) with the polynomial 0x11b.

    An array of elements has the kernel's dtype and, where an element takes more than one limb, a trailing axis of
    limbs.
    """

    def __init__(self, order: int) -> None:
        self.kernel = Field(order)
        self.order = order
        self.dtype = self.kernel.dtype
        self.limbs = self.kernel.limbs
        self.tail: tuple[int, ...] = (self.limbs,) if self.limbs > 1 else ()
        self.bytes = self.dtype.itemsize * self.limbs
        self.chunk = max(64, _CHUNK_BYTES // self.bytes)

    def __repr__(self) -> str:
        return "GF(2^8)" if self.order == GF256 else f"GF({self.order})"

    # --- numbers in and out

    def encode(self, x: Any, name: str) -> tuple[NDArray[Any], tuple[int, ...]]:
        """Return numbers as a flat array of elements, and their shape; refuse numbers outside the field."""
        refuse_masks(x, name)
        if isinstance(x, np.ndarray) and x.dtype == self.dtype and not self.tail:
            flat = np.ascontiguousarray(x).reshape(-1)
            if not self.kernel.canonical(flat):
                self._outside(x, name)
            return flat, x.shape
        numbers = as_numbers(x, name)
        if numbers.dtype.kind == "f":
            raise TypeError(f"{name} must hold integers, not {numbers.dtype}: encode reals by a FixedPoint plan")
        if numbers.dtype.kind == "O":
            return self._from_objects(numbers, name), numbers.shape
        if numbers.size and (
            (numbers.dtype.kind == "i" and int(numbers.min()) < 0) or int(numbers.max()) >= self.order
        ):
            self._outside(numbers, name)
        flat = numbers.reshape(-1)
        if not self.tail:
            return flat.astype(self.dtype), numbers.shape
        out = np.zeros((flat.size, self.limbs), self.dtype)
        out[:, 0] = flat
        return out, numbers.shape

    def _from_objects(self, numbers: NDArray[Any], name: str) -> NDArray[Any]:
        flat = numbers.reshape(-1).tolist()
        if any(not isinstance(value, int) for value in flat):
            raise TypeError(f"{name} must hold integers alone: encode reals by a FixedPoint plan")
        if any(not 0 <= value < self.order for value in flat):
            self._outside(numbers, name)
        return self.from_ints(flat)

    def from_ints(self, values: Iterable[int]) -> NDArray[Any]:
        """Return ints within the field as elements."""
        data = b"".join([int(value).to_bytes(self.bytes, "little") for value in values])
        little = self.dtype.newbyteorder("<")
        return np.frombuffer(data, little).astype(self.dtype).reshape(-1, *self.tail)

    def to_ints(self, elements: NDArray[Any]) -> list[int]:
        """Return elements as ints."""
        if not self.tail:
            return [int(v) for v in elements.reshape(-1).tolist()]
        data = elements.astype(self.dtype.newbyteorder("<"), copy=False).tobytes()
        return [int.from_bytes(data[i : i + self.bytes], "little") for i in range(0, len(data), self.bytes)]

    def decode(self, elements: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
        """Return elements as an array of numbers: of the field's dtype, or of ints where they exceed 64 bits."""
        if not self.tail:
            return elements.reshape(shape)
        out = np.empty(len(elements), dtype=object)
        out[:] = self.to_ints(elements)
        return out.reshape(shape)

    def _outside(self, x: NDArray[Any], name: str) -> None:
        for i, value in enumerate(x.reshape(-1).tolist()):
            if not 0 <= value < self.order:
                where = index_text(name, x.shape, i)
                raise ValueError(f"{where} is outside the field: give integers from 0 to {self.order - 1}")

    def elements(self, shares: Any, name: str) -> tuple[NDArray[Any], tuple[int, ...]]:
        """Return shares as (m, n) elements, and the shape of what they share; refuse anything that is not an element.

        Raises
        ------
        TypeError, ValueError
            If they are not an array of this field's elements with a leading axis of parties.
        """
        array = as_array(shares, name)
        if array.dtype != self.dtype:
            if array.dtype.kind not in "iu" or self.tail or array.dtype.kind == "O":
                raise TypeError(f"{name} must hold {self.dtype}, as share() gives them, not {array.dtype}")
            if array.size and (int(array.min()) < 0 or int(array.max()) >= self.order):
                self._outside(array, name)
            array = array.astype(self.dtype)
        if array.ndim < 1 + len(self.tail) or (self.tail and array.shape[-1] != self.limbs):
            tail = f", and a trailing one of {self.limbs} limbs" if self.tail else ""
            raise ValueError(f"{name} must have a leading axis of parties{tail}, not the shape {array.shape}")
        shape = array.shape[1 : array.ndim - len(self.tail)]
        flat = np.ascontiguousarray(array).reshape(len(array), int(np.prod(shape, dtype=np.int64)), *self.tail)
        for i, row in enumerate(flat):
            if not self.kernel.canonical(row):
                raise ValueError(f"{name}[{i}] holds a value outside the field of order {self.order}")
        return flat, shape

    # --- random elements, products

    def uniform(self, out: NDArray[Any], stream: Stream) -> None:
        """Overwrite with uniform elements, by rejection."""
        flat = out.reshape(-1, *self.tail)
        done = 0
        while done < len(flat):
            part = flat[done:]
            stream.fill(part)
            done += self.kernel.accept(part)

    def empty(self, *shape: int) -> NDArray[Any]:
        """Return an uninitialised array of elements."""
        return np.empty((*shape, *self.tail), self.dtype)

    def product(self, matrix: NDArray[Any], vectors: NDArray[Any], *, threads: int | None = None) -> NDArray[Any]:
        """Return public matrix (r, k) times secret vectors (k, n)."""
        n = vectors.shape[1]
        out = self.empty(len(matrix), n)

        def work(lo: int, hi: int) -> None:
            self.kernel.matmul(matrix, vectors, out, lo, lo, hi - lo)

        _parallel.run(n, work, cost_us=self.cost_us(matrix), align=64, threads=threads)
        return out

    def cost_us(self, matrix: NDArray[Any]) -> float:
        """Rough microseconds of a column of a product with `matrix`."""
        return 0.002 * float(self.limbs**2 * (1 + len(matrix) * (matrix.shape[1] + 4)))

    # --- matrices by points, cached: time depends on the points, which are public

    @functools.lru_cache(maxsize=32)  # noqa: B019  (fields are few and live long, see field_of)
    def powers(self, ids: tuple[int, ...], k: int) -> NDArray[Any]:
        """Return ``id**j`` for j < k: rows that evaluate polynomials at the ids."""
        return _frozen(self.kernel.powers(self.from_ints(ids), k))

    @functools.lru_cache(maxsize=64)  # noqa: B019  (a checked 500-of-1000 takes 2 MB)
    def lagrange(self, to: tuple[int, ...], ids: tuple[int, ...]) -> NDArray[Any]:
        """Return the rows that give a polynomial's values at `to` from those at `ids`."""
        matrix = self.kernel.lagrange(self.from_ints(to), self.from_ints(ids))
        if matrix is None:
            raise ValueError("ids repeats a party: give each party's share once")
        return _frozen(matrix)


def _frozen(matrix: NDArray[Any]) -> NDArray[Any]:
    matrix.flags.writeable = False
    return matrix


def field_of(prime: int) -> ShareField:
    """Return the prime field of this order; refuse any other number. GF(2^8) is :func:`gf256` alone."""
    return _prime_field(as_int(prime, "prime", 3))  # before the cache, which takes 7.0 for 7


@functools.lru_cache(maxsize=32)
def _prime_field(order: int) -> ShareField:
    if order.bit_length() > MAX_BITS or not gmpy2.is_prime(order, 40):
        raise ValueError(f"prime must be an odd prime of at most {MAX_BITS} bits, not {_shown(order)}: try 2**61 - 1")
    return ShareField(order)


def _shown(order: int) -> str:
    hint = ", of bytes: share_bytes() uses it" if order == GF256 else ""
    return f"{order}{hint}" if order.bit_length() <= 128 else f"one of {order.bit_length()} bits"


@functools.lru_cache(maxsize=1)
def gf256() -> ShareField:
    """Return GF(2^8): for shares of bytes; its order 256 is not a modulus."""
    return ShareField(GF256)
