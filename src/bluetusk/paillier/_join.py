"""Joins encrypted arrays and plain numbers beside them: concatenation, and every order that NumPy gives their elements.

Plain numbers are encoded at the scale of the arrays beside them, as in ``c + array``, and are encrypted without any
randomness of theirs: the result is re-randomised when it first leaves the process, as every result of arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._numeric import as_array, as_int, axis_index
from . import _bounds, _words
from ._base import CipherBase
from ._store import DERIVED, PENDING, State, Store, Words, current, gather, ones, part

if TYPE_CHECKING:
    from . import CipherArray

__all__ = ["block", "column_stack", "dstack", "encrypted", "hstack", "insert", "items_of", "joined", "stack", "vstack"]
__all__ += ["append", "zeros"]


def joined(
    arrays: Sequence[Any], axis: int | None, name: str = "concatenate", names: Sequence[str] | None = None
) -> CipherArray:
    """Join encrypted arrays along an axis; see :func:`bluetusk.paillier.array.concatenate`."""
    items = items_of(arrays, name, names)
    if axis is None:
        items, axis = [c.ravel() for c in items], 0
    first = items[0]
    if not first.ndim:
        raise ValueError(
            f"{name}: encrypted arrays of shape () cannot be concatenated: use numpy.stack, or c.reshape(1)"
        )
    at = axis_index(axis, first.ndim)
    for c in items[1:]:
        first._check_join(c, name)
    if at == first.ndim - 1:
        first._refuse_packed("joining along the last axis", "join along a leading axis")
    if all(c._store is first._store and c._frac == first._frac and c._plan == first._plan for c in items):
        joint = first._view(np.concatenate([c._index for c in items], axis=at))
        joint._bound = max(c._bound for c in items)
        return joint
    frac = max(c._frac for c in items)
    lifts = [first._plan.base ** (frac - c._frac) for c in items]
    bound = first._check(max(c._bound * lift for c, lift in zip(items, lifts, strict=True)), name)
    mont = first._mont
    # each array's elements begin a new group
    starts = np.cumsum([0, *(-(-c._index.size // mont.lanes) * mont.lanes for c in items)])
    indices = [
        start + np.arange(c._index.size, dtype=np.int64).reshape(c._index.shape)
        for c, start in zip(items, starts, strict=False)
    ]
    index = np.concatenate(indices, axis=at)
    words = ones(mont, int(starts[-1]))
    state = np.full(int(starts[-1]), DERIVED, dtype=np.uint8)  # what fills a group up never leaves
    plan = first._plan
    for c, start, lift in zip(items, starts, lifts, strict=False):
        _gather_into(c, words, state, int(start), lift)
        plan = first._common_plan(plan, c._plan)
    store = Store(mont, words, len(state), state)
    return first._make(store, index, first._pub, plan, frac, bound, first._packing)


def _gather_into(c: CipherBase, words: Words, state: State, start: int, lift: int) -> None:
    mont, n = c._mont, c._index.size
    if lift == 1:
        src, idx, state[start : start + n] = current(c._store, c._flat())
    else:
        src, idx = _words.lifted(mont, c._store.words, c._index, lift)
        state[start : start + n] = PENDING
    gather(mont, part(mont, words, start, start + n), src, idx)


# --- plain numbers among encrypted ones -------------------------------------------------------------------------------


def zeros(c: CipherArray, shape: tuple[int, ...]) -> CipherArray:
    """Return encrypted zeros under the key, the plan, the scale and the layout of `c`."""
    target = shape
    if c._packing is not None:
        if not shape or shape[-1] != c._packing.length:
            c._refuse_packed(f"zeros of shape {shape}", f"keep the last axis of length {c._packing.length}")
        target = (*shape[:-1], c._packing.blocks)
    n = math.prod(target)
    words = ones(c._mont, n)
    return c._derive(words, np.arange(n, dtype=np.int64).reshape(target), bound=0)


def encrypted(x: Any, like: CipherArray, name: str, shape: tuple[int, ...] | None = None) -> CipherArray:
    """Return an operand that is encrypted already as it is, and plain numbers encrypted as `like` is.

    Plain numbers are stretched to `shape`, if it is given: each gets a ciphertext for every place.

    Raises
    ------
    TypeError
        If `x` is neither.
    """
    if isinstance(x, CipherBase):
        return x  # type: ignore[return-value]
    plain = _bounds.as_operand(x, name)
    if plain is None:
        raise TypeError(f"{name} must be an encrypted array or plain numbers, not {type(x).__name__}")
    spread = plain if shape is None else np.broadcast_to(plain, shape)
    return zeros(like, spread.shape)._add_plain(spread, 1, name)


def items_of(arrays: Any, name: str, names: Sequence[str] | None = None) -> list[CipherArray]:
    """Return the arrays of a join, at least one of them encrypted, with the plain ones encrypted at its scale.

    Errors call them by `names`; by their places in the list where they come in one.

    Raises
    ------
    TypeError
        If one is neither encrypted nor numbers, or all are plain.
    ValueError
        If there is none.
    """
    if not isinstance(arrays, Iterable):
        raise TypeError(f"{name} takes a list of arrays, not {type(arrays).__name__}")
    items = list(arrays)
    if not items:
        raise ValueError(f"{name} needs at least one array")
    secret = [c for c in items if isinstance(c, CipherBase)]
    if not secret:
        raise TypeError(
            f"{name} joins encrypted arrays, and plain ones beside them, but here is none that is encrypted: use "
            f"numpy.{name}"
        )
    like: Any = max(secret, key=lambda c: c._frac)
    called = names or [f"arrays[{i}]" for i in range(len(items))]
    return [encrypted(c, like, f"{name}: {each}") for c, each in zip(items, called, strict=True)]


# --- NumPy's joins ----------------------------------------------------------------------------------------------------


def stack(arrays: Any, axis: int = 0) -> CipherArray:
    """As numpy.stack."""
    items = items_of(arrays, "stack")
    if len({c.shape for c in items}) != 1:
        raise ValueError(f"stack: all arrays must have one shape, not {', '.join(str(c.shape) for c in items[:4])}")
    return joined([_with_axis(c, axis) for c in items], axis, "stack")


def vstack(tup: Any) -> CipherArray:
    """As numpy.vstack."""
    items = [c if c.ndim else c.reshape(1) for c in items_of(tup, "vstack")]
    return joined([c if c.ndim > 1 else _with_axis(c, 0) for c in items], 0, "vstack")


def hstack(tup: Any) -> CipherArray:
    """As numpy.hstack."""
    items = [c if c.ndim else c.reshape(1) for c in items_of(tup, "hstack")]
    return joined(items, 0 if items[0].ndim == 1 else 1, "hstack")


def column_stack(tup: Any) -> CipherArray:
    """As numpy.column_stack."""
    items = [c if c.ndim > 1 else c.reshape(-1, 1) for c in items_of(tup, "column_stack")]
    return joined(items, 1, "column_stack")


def dstack(tup: Any) -> CipherArray:
    """As numpy.dstack."""
    items = [c if c.ndim > 1 else c.reshape(1, -1) for c in items_of(tup, "dstack")]
    return joined([c if c.ndim > 2 else _with_axis(c, 2) for c in items], 2, "dstack")


def append(arr: Any, values: Any, axis: int | None = None) -> CipherArray:
    """As numpy.append."""
    return joined([arr, values], axis, "append", ("arr", "values"))


def block(arrays: Any) -> CipherArray:
    """As numpy.block: nested lists of encrypted arrays and plain numbers."""
    leaves: list[Any] = []

    def walked(x: Any) -> Any:
        if isinstance(x, list):
            return [walked(each) for each in x]
        if isinstance(x, tuple):
            raise TypeError("block: arrays has a tuple in it: use lists for the rows of blocks")
        leaves.append(x)
        return len(leaves) - 1

    tree = walked(arrays)

    def placed(x: Any, places: list[NDArray[np.int64]]) -> Any:
        return [placed(each, places) for each in x] if isinstance(x, list) else places[x]

    return _rearranged("block", leaves, lambda places: np.block(placed(tree, places)))


def insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> CipherArray:
    """As numpy.insert; `obj` comes plain."""
    axis = None if axis is None else as_int(axis, "axis")
    at = as_array(obj, "obj") if isinstance(obj, list | tuple) and obj else obj  # NumPy fails on a list of bools
    if isinstance(at, np.ndarray) and at.dtype.kind in "iu" and at.dtype.itemsize < 8:
        at = at.astype(np.int64)  # NumPy adds to it, and narrow ints would overflow
    return _rearranged(
        "insert", [arr, values], lambda places: np.insert(places[0], at, places[1], axis), ("arr", "values")
    )


def _rearranged(
    name: str,
    arrays: list[Any],
    move: Callable[[list[NDArray[np.int64]]], NDArray[np.int64]],
    names: Sequence[str] | None = None,
) -> CipherArray:
    """Return elements of several arrays in the order in which NumPy arranges their places, counted from 1."""
    items = items_of(arrays, name, names)
    for c in items:
        c._refuse_packed(f"numpy.{name}", "use bt.concatenate along leading axes")
    joint = joined([c.ravel() for c in items], 0, name)
    ends = np.cumsum([0, *(c.size for c in items)])
    places = [
        1 + start + np.arange(c.size, dtype=np.int64).reshape(c.shape) for c, start in zip(items, ends, strict=False)
    ]
    found: CipherArray = joint._shown(move(places), name)
    # one plain number at several places: each gets a ciphertext, which is re-randomised apart from the others
    return found if all(isinstance(c, CipherBase) for c in arrays) else found.copy()


def _with_axis(c: CipherArray, axis: int) -> CipherArray:
    at = axis_index(axis, c.ndim + 1)
    if at == c.ndim:
        c._refuse_packed("a new last axis", "put the new axis before it")
    return c._view(np.expand_dims(c._index, at))
