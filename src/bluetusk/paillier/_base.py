"""Holds the state of an encrypted array: a store, an index into it, a key, a plan, a scale, a bound and a layout."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..encoding import FixedPoint
from ..errors import InvalidKey
from . import _bounds
from ._store import FRESH, Index, Store

if TYPE_CHECKING:
    from typing_extensions import Self

    from .._kernels.modexp import Montgomery
    from . import PublicKey

__all__ = ["CipherBase", "Packing", "refuse_given"]

_NOT_TAKEN = {
    "casting": "its numbers stay integers at one scale",
    "dtype": "its numbers stay integers at one scale (c.frac); choose the dtype of what priv.decrypt returns",
    "initial": "add it to the result",
    "out": "use the array that it returns",
    "where": "multiply by the mask first, as in (c * mask).sum()",
}


def refuse_given(what: str, **given: Any) -> None:
    """Refuse arguments of NumPy's that say something: None, and NumPy's mark for nothing given, say nothing.

    Raises
    ------
    TypeError
        Naming the first one and what to do instead.
    """
    for name, value in given.items():
        if value is not None and value is not np._NoValue and not (name == "where" and value is True):
            remedy = _NOT_TAKEN.get(name, "leave it out")
            raise TypeError(f"{what} of an encrypted array does not take {name}: {remedy}")


class Packing(NamedTuple):
    """Layout of a packed array: the last axis holds `length` values in blocks of `slots`, each `slot_bits` wide."""

    slot_bits: int
    slots: int
    length: int

    @property
    def blocks(self) -> int:
        """Ciphertexts that the last axis takes."""
        return -(-self.length // self.slots)

    @property
    def capacity(self) -> int:
        """Largest absolute value of a slot that is still decoded with its own sign."""
        return int((1 << (self.slot_bits - 1)) - 1)


class CipherBase:
    """State and plain attributes of an encrypted array; see :class:`~bluetusk.paillier.array.CipherArray`.

    The index is an int64 array with one entry for each ciphertext. Views share the store and have an index of their
    own, so NumPy itself does every operation on shapes. In a packed array the last axis of the index counts blocks.
    """

    __slots__ = ("__weakref__", "_bound", "_clipped", "_frac", "_index", "_packing", "_plan", "_pub", "_store")

    _store: Store
    _index: Index
    _pub: PublicKey
    _plan: FixedPoint
    _frac: int
    _bound: int
    _packing: Packing | None
    _clipped: int

    def __init__(self, *args: object, **kwargs: object) -> None:
        raise TypeError("a CipherArray is made by pub.encrypt(array, plan), priv.encrypt or CipherArray.from_bytes")

    @classmethod
    def _make(
        cls,
        store: Store,
        index: Index,
        pub: PublicKey,
        plan: FixedPoint,
        frac: int,
        bound: int,
        packing: Packing | None,
    ) -> Self:
        self = object.__new__(cls)
        self._store, self._index, self._pub, self._plan = store, index, pub, plan
        self._frac, self._bound, self._packing = frac, bound, packing
        self._clipped = 0
        return self

    def _view(self, index: Index, packing: Packing | None = None) -> Self:
        """Return an array that shows other elements of the same store."""
        return self._make(self._store, index, self._pub, self._plan, self._frac, self._bound, packing or self._packing)

    def _derive(
        self, words: Any, index: Index, *, bound: int, frac: int | None = None, plan: FixedPoint | None = None
    ) -> Self:
        """Return a result of arithmetic: `words` in a new store, to be re-randomised before it leaves.

        `index` has the ciphertext shape of the result and may be in any order.
        """
        store = Store(self._mont, words, int(index.max()) + 1 if index.size else 0)
        plan, frac = self._plan if plan is None else plan, self._frac if frac is None else frac
        return self._make(store, index, self._pub, plan, frac, bound, self._packing)

    @property
    def _mont(self) -> Montgomery:
        return self._store.mont

    @property
    def _lead(self) -> tuple[int, ...]:
        """Shape of the axes that count ciphertexts one by one: all of them, or all but the packed one."""
        return self._index.shape if self._packing is None else self._index.shape[:-1]

    def _flat(self) -> Index:
        return np.ascontiguousarray(self._index.reshape(-1))

    def _capacity(self) -> int:
        return self._pub._capacity if self._packing is None else self._packing.capacity

    def _check_key(self, other: CipherBase, what: str) -> None:
        a, b = self._pub, other._pub
        if a is not b and a.fingerprint != b.fingerprint:
            raise InvalidKey(
                f"{what}: the arrays are encrypted under different keys ({a.fingerprint.hex()[:12]} and "
                f"{b.fingerprint.hex()[:12]}): encrypt both under one key"
            )

    def _refuse_packed(self, what: str, instead: str) -> None:
        if self._packing is not None:
            raise ValueError(
                f"{what} would move values between the slots of a packed array, which is impossible: {instead}, "
                "or encrypt with packed=False"
            )

    def _packed_to(self, shape: tuple[int, ...], what: str) -> tuple[int, ...]:
        """Return the ciphertext shape for a result of `shape`, which must keep the last axis of a packed array."""
        if self._packing is None:
            return shape
        if not shape or shape[-1] != self._packing.length or len(shape) < self.ndim:
            self._refuse_packed(f"{what}: stretching the last axis from {self.shape} to {shape}", "broadcast it before")
        return (*shape[:-1], self._packing.blocks)

    def _check(self, bound: int, what: str) -> int:
        _bounds.check_capacity(bound, self._capacity(), what, self.slot_bits or None)
        return bound

    def _check_join(self, other: CipherBase, what: str) -> None:
        """Refuse an array of another key, kind of plan or layout."""
        self._check_key(other, what)
        if self._plan.base != other._plan.base:
            names = {2: "binary", 10: "decimal"}
            raise ValueError(
                f"{what}: a {names[self._plan.base]} and a {names[other._plan.base]} plan have no common scale: "
                "encrypt both under plans of one kind"
            )
        a, b = self._packing, other._packing
        if a is None and b is None:
            return
        if a is None or b is None:
            raise ValueError(f"{what}: one array is packed and the other is not: encrypt both with the same packed=")
        if self._plan != other._plan:
            raise ValueError(f"{what}: packed arrays must have the same plan: encrypt both with one plan")
        if a != b:
            raise ValueError(
                f"{what}: packed arrays must have the same layout, not {a.length} values in slots of {a.slot_bits} "
                f"bits and {b.length} values in slots of {b.slot_bits} bits along the last axis"
            )

    @staticmethod
    def _common_plan(a: FixedPoint, b: FixedPoint) -> FixedPoint:
        """Return the plan of a result of two arrays, in either order."""
        return a if a == b else max(a, b, key=lambda plan: (plan.frac, plan.bound, plan.hash))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array of values, as for the array that was encrypted (tuple of int).

        Examples
        --------
        >>> pub.encrypt([[1, 2, 3], [4, 5, 6]]).shape
        (2, 3)
        """
        return self._lead if self._packing is None else (*self._lead, self._packing.length)

    @property
    def ndim(self) -> int:
        """Number of axes (int).

        Examples
        --------
        >>> pub.encrypt([[1, 2, 3], [4, 5, 6]]).ndim
        2
        """
        return self._index.ndim

    @property
    def size(self) -> int:
        """Number of values (int).

        Examples
        --------
        >>> pub.encrypt([[1, 2, 3], [4, 5, 6]]).size
        6
        """
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the ciphertexts as they travel (int): 512 each at 2048 bits, without the header.

        Examples
        --------
        >>> c = pub.encrypt([0.5] * 6)
        >>> c.nbytes == 6 * 2 * pub.bits // 8
        True
        >>> pub.encrypt([0.5] * 6, packed=True).nbytes == 2 * pub.bits // 8
        True
        """
        return int(self._index.size) * self._mont.nbytes

    @property
    def public_key(self) -> PublicKey:
        """The key under which the array is encrypted (PublicKey).

        Examples
        --------
        >>> pub.encrypt([1]).public_key == pub
        True
        """
        return self._pub

    @property
    def plan(self) -> FixedPoint:
        """The plan that encoded the array and encodes real factors (FixedPoint).

        Examples
        --------
        >>> pub.encrypt([0.5]).plan
        FixedPoint(clip=4.0, frac_bits=20, max_weight=100, guard_bits=2)
        """
        return self._plan

    @property
    def frac(self) -> int:
        """The scale s (int): a value is its integer divided by 2^s, or by 10^s under a decimal plan.

        Examples
        --------
        >>> c = pub.encrypt([0.5])
        >>> c.frac, (3 * c).frac, (0.25 * c).frac
        (20, 20, 40)
        """
        return self._frac

    @property
    def bound(self) -> int:
        """Proven bound on the absolute value of every encrypted integer (int). It stays in this process.

        It follows from the plan and from the plain operands, so it may reveal something about them; frames carry a
        declared bound instead (see :meth:`CipherArray.to_bytes`).

        Examples
        --------
        >>> import bluetusk as bt
        >>> c = pub.encrypt([1, 2], bt.FixedPoint.integers(limit=1000))
        >>> c.bound, (7 * c + 5).bound, c.sum().bound
        (1000, 7005, 2000)
        """
        return self._bound

    @property
    def packed(self) -> bool:
        """Whether a ciphertext holds several values along the last axis (bool).

        Examples
        --------
        >>> pub.encrypt([0.5]).packed, pub.encrypt([0.5], packed=True).packed
        (False, True)
        """
        return self._packing is not None

    @property
    def slot_bits(self) -> int:
        """Bits of one slot of a packed array, 0 for a plain one (int).

        Examples
        --------
        >>> pub.encrypt([0.5]).slot_bits, pub.encrypt([0.5], packed=True).slot_bits
        (0, 32)
        """
        return 0 if self._packing is None else self._packing.slot_bits

    @property
    def clipped(self) -> int:
        """How many values the plan's clip changed when this array was encrypted (int); 0 for views and results.

        Examples
        --------
        >>> import bluetusk as bt
        >>> c = pub.encrypt([0.5, 9.0, -9.0], bt.FixedPoint(clip=1.0, on_clip="clip"))
        >>> c.clipped, c[1:].clipped
        (2, 0)
        """
        return self._clipped

    @property
    def fresh(self) -> bool:
        """Whether every element came straight from an encryption (bool); False once arithmetic took part.

        Examples
        --------
        >>> c = pub.encrypt([1, 2])
        >>> c.fresh, c[::-1].fresh, (c + 1).fresh
        (True, True, False)
        """
        return not bool((self._store.shown.state[self._flat()] != FRESH).any())
