"""Products of shared numbers by Beaver's triples.

A triple is a sharing of uniform a and b and of c = a b, and it serves for one product: the parties open d = x - a and
e = y - b, which are uniform, and ``c + d b + e a + d e`` is x y. The triple comes from a dealer whom the parties
trust not to talk to any of them (:func:`triple`), or two parties make it by themselves with Paillier
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
from .._random import Stream
from ..errors import ProtocolAbort
from . import ring
from ._words import bits_of, dtype_of, shares_of

__all__ = ["Triple", "multiply", "triple"]


class Triple:
    """Shares of a, b and their product, for one multiplication.

    Attributes
    ----------
    a, b, c : ndarray
        Words, with a leading axis of parties for all of them together, without it for one (:meth:`party`).
    matrix : bool
        Whether c is ``a @ b``, else ``a * b``.

    Examples
    --------
    >>> import bluetusk as bt
    >>> t = bt.sharing.beaver.triple((2, 3), parties=2)
    >>> a, b, c = (bt.sharing.ring.reconstruct(part) for part in (t.a, t.b, t.c))
    >>> bool((a * b == c).all())
    True
    """

    def __init__(self, a: NDArray[Any], b: NDArray[Any], c: NDArray[Any], *, matrix: bool = False) -> None:
        if not a.dtype == b.dtype == c.dtype:
            raise TypeError(f"a, b and c must have one dtype, not {a.dtype}, {b.dtype} and {c.dtype}")
        bits_of(a.dtype, "a")
        self.a, self.b, self.c, self.matrix = a, b, c, matrix
        self._spent = False

    def __repr__(self) -> str:
        kind = "matrix product" if self.matrix else "product"
        return f"<Triple for a {kind}, shapes {self.a.shape} and {self.b.shape}{', spent' if self._spent else ''}>"

    def party(self, i: int) -> Triple:
        """Return what belongs to one party.

        Parameters
        ----------
        i : int
            Counted from 0.

        Returns
        -------
        Triple
            To be sent to that party alone.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.sharing.beaver.triple(4, parties=3).party(1)
        <Triple for a product, shapes (4,) and (4,)>
        """
        return Triple(self.a[i], self.b[i], self.c[i], matrix=self.matrix)

    def mask(self, x: NDArray[Any], y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return what is opened: x - a and y - b.

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
            If the triple has served: with a second product under one mask the difference of the factors would show.
        ValueError
            If a shape differs.

        Examples
        --------
        >>> import numpy as np, bluetusk as bt
        >>> t = bt.sharing.beaver.triple(1, parties=1).party(0)
        >>> d, e = t.mask(np.array([5], np.uint64), np.array([7], np.uint64))
        >>> int((d + t.a)[0]), int((e + t.b)[0])
        (5, 7)
        """
        x, y = np.asarray(x, self.a.dtype, order="C"), np.asarray(y, self.b.dtype, order="C")
        if x.shape != self.a.shape or y.shape != self.b.shape:
            raise ValueError(
                f"the factors have the shapes {x.shape} and {y.shape}, "
                f"the triple is for {self.a.shape} and {self.b.shape}"
            )
        if self._spent:
            raise ProtocolAbort("this triple has served already: a triple masks one product, take another")
        self._spent = True
        return _minus(x, self.a), _minus(y, self.b)

    def finish(self, d: NDArray[Any], e: NDArray[Any], *, leader: bool) -> NDArray[Any]:
        """Return one party's share of the product.

        Parameters
        ----------
        d, e : ndarray
            The opened differences: the sums over all parties of what :meth:`mask` gave.
        leader : bool
            True for exactly one of the parties.

        Returns
        -------
        ndarray
            Its share of ``x * y`` or ``x @ y``.

        Examples
        --------
        >>> import numpy as np, bluetusk as bt
        >>> t = bt.sharing.beaver.triple(1, parties=1).party(0)
        >>> d, e = t.mask(np.array([5], np.uint64), np.array([7], np.uint64))
        >>> t.finish(d, e, leader=True)
        array([35], dtype=uint64)
        """
        d, e = (np.asarray(v, self.a.dtype, order="C") for v in (d, e))
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
    """Make a triple: for a dealer.

    Parameters
    ----------
    shape : int or tuple of int
        Of the first factor.
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
    dtype = dtype_of(bits)
    stream = Stream()
    a, b = np.empty(shape, dtype), np.empty(shape if other is None else other, dtype)
    stream.fill(a)
    stream.fill(b)
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
        For all parties; it is spent.

    Returns
    -------
    ndarray
        A sharing of the product.

    Raises
    ------
    ProtocolAbort
        If the triple has served.
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
    left, right = shares_of(x, "x"), shares_of(y, "y")
    d, e = (ring.reconstruct(part) for part in t.mask(left, right))
    return np.stack([t.party(i).finish(d, e, leader=i == 0) for i in range(len(left))])
