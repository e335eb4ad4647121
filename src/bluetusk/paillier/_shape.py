"""Shapes, indexing and iteration of encrypted arrays: NumPy does them on the index, no ciphertext moves."""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from .._numeric import as_array, as_int, axis_index, axis_tuple, refuse_masks, refuse_missing
from ._base import CipherBase
from ._store import Index, gathered

if TYPE_CHECKING:
    from typing_extensions import Self

Order: TypeAlias = Literal["C", "F", "A"]
"""Of the elements in a shape, as NumPy has it."""
MemoryOrder: TypeAlias = Literal["C", "F", "A", "K"]

__all__ = ["Shape"]


class Shape(CipherBase):
    """The part of an encrypted array that arranges elements without computing on them."""

    __slots__ = ()

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len() of an encrypted array of shape (): it is a single number")
        return self.shape[0]

    def __iter__(self) -> Iterator[Self]:
        if str(sys._getframe(1).f_globals.get("__name__")).startswith("pandas."):
            # isin() would look for numbers among ciphertexts, and find none
            raise TypeError(
                "pandas would compare or store each ciphertext as an object: for a series or frame x write x + c, not "
                "x.add(c); use priv.decrypt(c) for the values of c"
            )
        if not self.ndim:
            raise TypeError("iteration over an encrypted array of shape (): it is a single number")
        if self.ndim == 1:
            self._refuse_packed("iterating over the last axis", "compute on it as a whole")
        return (self._view(np.asarray(row, dtype=np.int64)) for row in self._index)

    def __getitem__(self, key: Any) -> Self:
        """Return elements by any index that NumPy knows, as a view that shares the ciphertexts.

        Parameters
        ----------
        key : int, slice, None, Ellipsis, array of int or bool, or a tuple of them
            In a packed array it may address the leading axes only; ``:`` or ``...`` for the last one is allowed.

        Returns
        -------
        CipherArray
            An array of shape ``()`` for a single element.

        Raises
        ------
        IndexError
            As NumPy raises it.
        ValueError
            If it would cut into the slots of a packed array.

        Examples
        --------
        >>> c = pub.encrypt(np.arange(6).reshape(2, 3))
        >>> priv.decrypt_integers(c[:, 1])
        array([1, 4])
        >>> priv.decrypt_integers(c[c.shape[0] - 1, [2, 0]])
        array([5, 3])
        """
        items = key if isinstance(key, tuple) else (key,)
        if any(isinstance(item, CipherBase) for item in items):
            raise TypeError("an encrypted array cannot be an index, since its values are hidden: give plain indices")
        plain = tuple(map(_plain_index, items))
        if self._packing is None:
            return self._view(np.asarray(self._index[plain], dtype=np.int64))
        found = np.asarray(self._index[self._leading(plain)], dtype=np.int64)
        # whatever NumPy may make of a key: an array whose last axis is not whole rows of blocks mixes rows
        if not found.ndim or found.shape[-1] != self._packing.blocks:
            self._refuse_packed("an index on the last axis", "index the leading axes only")
        return self._view(found)

    def _leading(self, items: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return a key of plain items that leaves the last axis of a packed array alone, or refuse it."""
        used = sum(_axes_of(item) for item in items)
        dots = any(item is Ellipsis for item in items)
        last = items[-1] if items else Ellipsis
        whole = isinstance(last, slice) and last in (slice(None), slice(0, None), slice(None, None, 1))
        if not whole and (used >= self.ndim or (dots and last is not Ellipsis)):
            self._refuse_packed("an index on the last axis", "index the leading axes only")
        return (*items[:-1], slice(None)) if whole and used else items

    def reshape(self, *shape: Any, order: Order = "C", copy: bool | None = None) -> Self:
        """Return the same elements in another shape.

        Parameters
        ----------
        *shape : int or a tuple of int
            The new shape; one entry may be -1. A packed array keeps its last axis.
        order : {"C", "F", "A"}
            The order in which elements are taken and placed, as in NumPy. A packed array takes the default only.
        copy : bool, optional
            Whether the result has its own ciphertexts, as by :meth:`copy`.

        Returns
        -------
        CipherArray
            A view, unless `copy` is true.

        Raises
        ------
        TypeError
            If a length is not an int.
        ValueError
            If the sizes differ, or the last axis of a packed array would change.

        Examples
        --------
        >>> pub.encrypt(np.arange(6)).reshape(2, -1).shape
        (2, 3)
        """
        if copy:
            return self.reshape(*shape, order=order).copy()
        dims = _dims(shape[0] if len(shape) == 1 else shape, "reshape")
        if any(d < -1 for d in dims):
            raise ValueError(f"cannot reshape an encrypted array of shape {self.shape} into {dims}")
        if self._packing is None:
            return self._view(self._index.reshape(dims, order=order))
        if order not in ("C", "A"):
            self._refuse_packed(f"reshape in order {order!r}", "reshape in the default order")
        if dims.count(-1) == 1:
            known = -math.prod(dims)
            if known == 0 or self.size % known:
                raise ValueError(f"cannot reshape an encrypted array of shape {self.shape} into {dims}")
            dims = tuple(self.size // known if d == -1 else d for d in dims)
        if any(d < 0 for d in dims) or math.prod(dims) != self.size:
            raise ValueError(f"cannot reshape an encrypted array of shape {self.shape} into {dims}")
        if not dims or dims[-1] != self._packing.length:
            self._refuse_packed("reshape", "keep the last axis")
        return self._view(self._index.reshape(*dims[:-1], self._packing.blocks))

    def ravel(self, order: MemoryOrder = "C") -> Self:
        """Return the elements as a view of one axis, in row-major order.

        Parameters
        ----------
        order : {"C", "F", "A", "K"}
            As in :meth:`reshape`; "K" takes the elements as they lie in memory, which is as in NumPy for views of an
            array that was encrypted.

        Returns
        -------
        CipherArray
            A view. A packed array of one axis is returned as it is; one of more axes is refused.

        Raises
        ------
        ValueError
            For a packed array of more axes.

        Examples
        --------
        >>> pub.encrypt([[1, 2], [3, 4]]).ravel().shape
        (4,)
        """
        if self.ndim != 1:
            self._refuse_packed("ravel", "reshape the leading axes")
        return self._view(self._index.ravel(order) if self._packing is None else self._index)

    def flatten(self, order: MemoryOrder = "C") -> Self:
        """Return a copy of one axis, in row-major order.

        Parameters
        ----------
        order : {"C", "F", "A", "K"}
            As in :meth:`ravel`.

        Returns
        -------
        CipherArray
            With its own ciphertexts.

        Raises
        ------
        ValueError
            As :meth:`ravel`.

        Examples
        --------
        >>> pub.encrypt([[1, 2], [3, 4]]).flatten().shape
        (4,)
        """
        return self.ravel(order).copy()

    def transpose(self, *axes: Any) -> Self:
        """Return the array with its axes permuted.

        Parameters
        ----------
        *axes : int or a tuple of int, optional
            The permutation; reversed order by default. The last axis of a packed array stays last.

        Returns
        -------
        CipherArray
            A view.

        Raises
        ------
        TypeError
            If an axis is not an int.
        ValueError
            If the axes are not a permutation, or the last axis of a packed array would change.

        Examples
        --------
        >>> pub.encrypt(np.ones((2, 3))).transpose().shape
        (3, 2)
        """
        if not axes or (len(axes) == 1 and axes[0] is None):
            order = tuple(reversed(range(self.ndim)))
        else:
            order = axis_tuple(_dims(axes[0] if len(axes) == 1 else axes, "transpose"), self.ndim)
        if self._packing is not None and order and order[-1] != self.ndim - 1:
            self._refuse_packed("transpose", "permute the leading axes only")
        return self._view(self._index.transpose(order))

    @property
    def T(self) -> Self:
        """The array with its axes reversed (CipherArray, a view); a packed array of one axis is its own transpose.

        Examples
        --------
        >>> pub.encrypt(np.ones((2, 3))).T.shape
        (3, 2)
        """
        return self.transpose()

    @property
    def mT(self) -> Self:
        """The array with its last two axes interchanged (CipherArray, a view).

        Examples
        --------
        >>> pub.encrypt(np.ones((4, 2, 3))).mT.shape
        (4, 3, 2)
        """
        if self.ndim < 2:
            raise ValueError(f"c.mT needs an array with at least two axes, not one of shape {self.shape}")
        return self.swapaxes(-1, -2)

    def swapaxes(self, axis1: int, axis2: int) -> Self:
        """Return the array with two axes interchanged.

        Parameters
        ----------
        axis1, axis2 : int
            The axes.

        Returns
        -------
        CipherArray
            A view.

        Raises
        ------
        TypeError
            If an axis is not an int.
        ValueError
            If an axis does not exist, or the last axis of a packed array would change.

        Examples
        --------
        >>> pub.encrypt(np.ones((2, 3, 1))).swapaxes(0, 1).shape
        (3, 2, 1)
        """
        a, b = axis_index(axis1, self.ndim), axis_index(axis2, self.ndim)
        order = list(range(self.ndim))
        order[a], order[b] = b, a
        return self.transpose(order)

    def squeeze(self, axis: int | tuple[int, ...] | None = None) -> Self:
        """Return the array without axes of length one.

        Parameters
        ----------
        axis : int or tuple of int, optional
            Which; all of them by default (of a packed array, all leading ones).

        Returns
        -------
        CipherArray
            A view.

        Raises
        ------
        TypeError
            If an axis is not an int.
        ValueError
            If an axis does not exist or is longer than one, or the last axis of a packed array would change.

        Examples
        --------
        >>> pub.encrypt(np.ones((1, 3))).squeeze().shape
        (3,)
        """
        if axis is None:
            drop = tuple(i for i, d in enumerate(self._lead) if d == 1)
        else:
            refuse_masks(axis, "axis")
            drop = axis_tuple(axis, self.ndim)
        if self._packing is not None and self.ndim - 1 in drop:
            self._refuse_packed("squeezing the last axis", "squeeze the leading axes only")
        return self._view(np.squeeze(self._index, axis=drop))

    def broadcast_to(self, shape: Any) -> Self:
        """Return the array stretched to a shape by NumPy's rules; a view, no ciphertext is copied.

        Parameters
        ----------
        shape : int or a sequence of int
            The new shape. The last axis of a packed array keeps its length.

        Returns
        -------
        CipherArray
            A view.

        Raises
        ------
        TypeError
            If a length is not an int.
        ValueError
            If the shapes do not fit, or the last axis of a packed array would change.

        Examples
        --------
        >>> pub.encrypt([1, 2, 3]).broadcast_to((2, 3)).shape
        (2, 3)
        """
        dims = _dims(shape, "broadcast_to")
        if self._packing is not None:
            if not dims or dims[-1] != self._packing.length:
                self._refuse_packed("stretching the last axis", "broadcast the leading axes only")
            dims = (*dims[:-1], self._packing.blocks)
        return self._view(np.broadcast_to(self._index, dims))

    def copy(self, order: MemoryOrder = "C") -> Self:
        """Return an array with its own ciphertexts; releases the memory of a larger parent.

        Parameters
        ----------
        order : {"C", "F", "A", "K"}
            In NumPy's place; it changes nothing, for ciphertexts always lie in row-major order.

        Returns
        -------
        CipherArray
            The same ciphertexts, byte for byte.

        Examples
        --------
        >>> first = pub.encrypt(np.arange(4))[:2].copy()
        >>> priv.decrypt_integers(first)
        array([0, 1])
        """
        if order not in ("C", "F", "A", "K"):
            raise ValueError(f"order must be one of 'C', 'F', 'A' and 'K', not {order!r}")
        store = gathered(self._store, self._flat())
        fresh_index: Index = np.arange(store.n, dtype=np.int64).reshape(self._index.shape)
        return self._make(store, fresh_index, self._pub, self._plan, self._frac, self._bound, self._packing)

    def __copy__(self) -> Self:
        return self._view(self._index)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self.copy()


def _plain_index(item: Any) -> Any:
    """Return one part of an index as NumPy takes it: an int, a slice, None, Ellipsis, a bool, or an array."""
    if item is None or item is Ellipsis or isinstance(item, bool | np.bool_ | np.integer | int):
        return item
    if isinstance(item, slice):
        refuse_masks(item, "the index")
        return item
    if hasattr(item, "__index__") and not hasattr(item, "__array__"):
        return operator.index(item)
    refuse_missing(item, "the index")
    a = as_array(item, "the index")
    # an empty list is an index of no rows, though NumPy would make it an array of floats
    return a.astype(np.int64) if not a.size and a.dtype.kind == "f" and not isinstance(item, np.ndarray) else a


def _axes_of(item: Any) -> int:
    """Return how many axes one part of an index takes, as :func:`_plain_index` gives it."""
    if item is None or item is Ellipsis or isinstance(item, bool | np.bool_):
        return 0
    return item.ndim if isinstance(item, np.ndarray) and item.dtype == bool else 1


def _dims(shape: Any, what: str) -> tuple[int, ...]:
    """Return a shape that was given as an int or as a sequence of them, NumPy's included."""
    given = as_array(shape, f"{what}: the shape").tolist() if hasattr(shape, "__array__") else shape
    lengths = given if isinstance(given, Sequence) and not isinstance(given, str) else (given,)
    return tuple(as_int(d, f"{what}: each length") for d in lengths)
