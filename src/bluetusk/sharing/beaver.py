"""Multiplies shared numbers by Beaver's triples.

A triple is a sharing of uniform a and b and of c = a b, used for one product: the parties open d = x - a and
e = y - b, which are uniform, and ``c + d b + e a + d e`` is x y. The triple comes from a dealer that
colludes with none of the parties (:func:`triple`), or two parties make it themselves with Paillier
(:mod:`bluetusk.sharing.paillier_triples`).

All arrays are words of Z_2^32 or Z_2^64 as in :mod:`bluetusk.sharing.ring`. Products of encoded reals have twice the
fractional bits: truncate them.

References
----------
D. Beaver, "Efficient multiparty protocols using circuit randomization", 1991.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._kernels import ring as kernel
from .._numeric import as_int
from .._once import Uncopied, Uses
from .._random import Stream
from . import ring
from ._words import dtype_of, shape_of, shares_of, words_like

__all__ = ["Triple", "multiply", "triple"]


class Triple(Uncopied):
    """Shares of a, b and their product, for one multiplication.

    Any use of a view spends the triple: the result of :meth:`party` belongs to the same triple, and each party's
    part masks one pair of factors. It cannot be copied, pickled or used in a forked child.

    Attributes
    ----------
    a, b, c : ndarray
        Words, with a leading axis of parties for all of them together, without it for one (:meth:`party`).
    matrix : bool
        Whether c is ``a @ b``, else ``a * b``.

    Notes
    -----
    The arrays themselves are not protected: a party that receives them must build exactly one Triple from them. A
    second one built from the same arrays would use a mask twice, which is not detected.

    Examples
    --------
    >>> import bluetusk as bt
    >>> t = bt.sharing.beaver.triple((2, 3), parties=2)
    >>> a, b, c = (bt.sharing.ring.reconstruct(part) for part in (t.a, t.b, t.c))
    >>> bool((a * b == c).all())
    True
    """

    _no_copy = "a second use of its masks would show the difference of the factors; send its arrays a, b and c"

    def __init__(self, a: NDArray[Any], b: NDArray[Any], c: NDArray[Any], *, matrix: bool = False) -> None:
        a, b, c = words_like(a, "a"), words_like(b, "b"), words_like(c, "c")
        if not a.dtype == b.dtype == c.dtype:
            raise TypeError(f"a, b and c must have one dtype, not {a.dtype}, {b.dtype} and {c.dtype}")
        self.a, self.b, self.c, self.matrix = a, b, c, matrix
        self._uses = Uses("triple", "the difference of the factors")
        self._part: int | None = None

    def __repr__(self) -> str:
        kind = "matrix product" if self.matrix else "product"
        spent = ", spent" if self._uses.spent(self._part) else ""
        return f"<Triple for a {kind}, shapes {self.a.shape} and {self.b.shape}{spent}>"

    def party(self, i: int) -> Triple:
        """Return one party's part.

        Parameters
        ----------
        i : int
            Counted from 0.

        Returns
        -------
        Triple
            A view, to be used by that party alone; spent if that part or the whole has been used.

        Raises
        ------
        TypeError, ValueError
            If `i` is not a party's number, or this triple is already one party's part.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.sharing.beaver.triple(4, parties=3).party(1)
        <Triple for a product, shapes (4,) and (4,)>
        """
        if self._part is not None:
            raise ValueError(f"this triple is already the part of party {self._part}: call party() on the whole triple")
        if not self.a.ndim or not self.a.shape[:1] == self.b.shape[:1] == self.c.shape[:1]:
            raise ValueError("this triple has no leading axis of parties: it is already one party's part")
        i = as_int(i, "i", 0, len(self.a) - 1)
        view = Triple(self.a[i], self.b[i], self.c[i], matrix=self.matrix)
        view._uses, view._part = self._uses, i
        return view

    def mask(self, x: NDArray[Any], y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return a party's summands of x - a and y - b, which all parties open.

        Parameters
        ----------
        x, y : ndarray
            Shares of the factors, in the shapes of `a` and `b`.

        Returns
        -------
        d, e : ndarray
            One party's summands (or all parties').

        Raises
        ------
        ProtocolAbort
            If the triple was used before, in whole or in this part: a second product under one mask would reveal the
            difference of the factors. It counts as used once the arguments are checked, even if the call is then
            interrupted.
        TypeError, ValueError
            If a dtype or a shape differs.

        Examples
        --------
        >>> import numpy as np, bluetusk as bt
        >>> t = bt.sharing.beaver.triple(1, parties=1).party(0)
        >>> d, e = t.mask(np.array([5], np.uint64), np.array([7], np.uint64))
        >>> int((d + t.a)[0]), int((e + t.b)[0])
        (5, 7)
        """
        left, right = words_like(x, "x", self.a.dtype), words_like(y, "y", self.a.dtype)
        if left.shape != self.a.shape or right.shape != self.b.shape:
            raise ValueError(
                f"the factors have the shapes {left.shape} and {right.shape}, "
                f"the triple is for {self.a.shape} and {self.b.shape}"
            )
        self._uses.spend(self._part)
        return _minus(left, self.a), _minus(right, self.b)

    def finish(self, d: NDArray[Any], e: NDArray[Any], *, leader: bool) -> NDArray[Any]:
        """Return one party's share of the product.

        Parameters
        ----------
        d, e : ndarray
            The opened differences: the sums of all parties' results of :meth:`mask`.
        leader : bool
            True for exactly one of the parties.

        Returns
        -------
        ndarray
            Its share of ``x * y`` or ``x @ y``.

        Raises
        ------
        TypeError, ValueError
            If a dtype or a shape differs.

        Examples
        --------
        >>> import numpy as np, bluetusk as bt
        >>> t = bt.sharing.beaver.triple(1, parties=1).party(0)
        >>> d, e = t.mask(np.array([5], np.uint64), np.array([7], np.uint64))
        >>> t.finish(d, e, leader=True)
        array([35], dtype=uint64)
        """
        d, e = words_like(d, "d", self.a.dtype), words_like(e, "e", self.a.dtype)
        if d.shape != self.a.shape or e.shape != self.b.shape:
            raise ValueError(
                f"d and e have the shapes {d.shape} and {e.shape}, the triple is for {self.a.shape} and {self.b.shape}"
            )
        if not self.matrix:
            out = np.empty(self.c.shape, self.c.dtype)
            u, v, a, b, c = (np.ascontiguousarray(part).reshape(-1) for part in (d, e, self.a, self.b, self.c))
            kernel.beaver(u, v, a, b, c, leader, out.reshape(-1))
            return out
        # d b + a e, and d e for the leader: d (b + e) + a e
        right = self.b + e if leader else self.b
        out = np.asarray(ring.matmul(d, right)).reshape(self.c.shape) + self.c
        return np.asarray(out + ring.matmul(self.a, e).reshape(self.c.shape))


def _minus(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    out = np.empty(a.shape, a.dtype)
    kernel.sub(a.reshape(-1), np.ascontiguousarray(b).reshape(-1), out.reshape(-1))
    return out


def triple(
    shape: int | tuple[int, ...],
    parties: int,
    bits: int = 64,
    *,
    other: int | tuple[int, ...] | None = None,
) -> Triple:
    """Make a triple, as a dealer does.

    Parameters
    ----------
    shape : int or tuple of int
        Shape of the first factor.
    parties : int
        At least 1.
    bits : {64, 32}
        The ring.
    other : int or tuple of int, optional
        Shape of the second factor of a *matrix* product, one or two axes each. Without it the product is element by
        element.

    Returns
    -------
    Triple
        With a leading axis of parties.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, or the shapes do not fit.

    Examples
    --------
    >>> import bluetusk as bt
    >>> bt.sharing.beaver.triple((4, 3), parties=2, other=(3, 5)).c.shape
    (2, 4, 5)
    """
    bits = 8 * dtype_of(bits).itemsize
    parties = as_int(parties, "parties", 1)
    dims = shape_of(shape, "shape")
    stream, second = Stream(), dims if other is None else shape_of(other, "other")
    a, b = stream.words(dims, bits), stream.words(second, bits)
    if other is None:
        c = np.empty_like(a)
        kernel.mul(a.reshape(-1), b.reshape(-1), c.reshape(-1))
    else:
        c = ring.matmul(a, b)
    return Triple(*(ring.share(part, parties, bits) for part in (a, b, c)), matrix=other is not None)


def multiply(x: ArrayLike, y: ArrayLike, t: Triple) -> NDArray[Any]:
    """Multiply two sharings, all parties in one process.

    Parameters
    ----------
    x, y : array_like
        Whole sharings, with a leading axis of parties.
    t : Triple
        For all parties; the call spends it.

    Returns
    -------
    ndarray
        A sharing of the product.

    Raises
    ------
    ProtocolAbort
        If the triple was used before.
    TypeError, ValueError
        If shapes or dtypes do not fit.

    Examples
    --------
    >>> import bluetusk as bt
    >>> x, y = bt.sharing.ring.share([2, -3], parties=3), bt.sharing.ring.share([5, 7], parties=3)
    >>> z = bt.sharing.beaver.multiply(x, y, bt.sharing.beaver.triple(2, parties=3))
    >>> bt.sharing.ring.reconstruct(z, signed=True)
    array([ 10, -21])
    """
    if not isinstance(t, Triple):
        raise TypeError(f"t must be a Triple, not {type(t).__name__}")
    left, right = shares_of(x, "x"), shares_of(y, "y")
    d, e = (ring.reconstruct(part) for part in t.mask(left, right))
    return np.stack([t.party(i).finish(d, e, leader=i == 0) for i in range(len(left))])
