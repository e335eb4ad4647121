"""Dividing shared numbers by a power of two: locally between two parties, with a dealer's help among any number."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._kernels import ring as kernel
from .._numeric import as_array, as_int
from .._once import Uncopied, Uses
from .._random import Stream
from ._additive import share
from ._words import bits_of, dtype_of, shape_of, shares_of, words_like

__all__ = ["TruncationPair", "truncate", "truncation_pair"]

_FAILURE_BITS = 40


def truncate(
    shares: ArrayLike, k: int, bound: int, *, party: int | None = None, accept_failure: bool = False
) -> NDArray[Any]:
    """Divide numbers shared by two parties by 2^k, without communication.

    Party 0 shifts its share, party 1 the negative of its own. The result is the quotient rounded down, or one more,
    *unless* the shares wrap around the ring, when it is wrong by 2^(bits - k): with probability ``|x| / 2**bits`` for
    a number x. A call where that may exceed 2^-40 is refused: on 64 bits, for bounds above 2^24. For larger numbers,
    and for more than two parties, see :func:`truncation_pair`, which never fails.

    Parameters
    ----------
    shares : array_like of uint64 or uint32
        A sharing of two parties, shape (2, ...); or one party's share, with `party`.
    k : int
        Bits to drop.
    bound : int
        The largest magnitude of the numbers.
    party : {0, 1}, optional
        Whose share it is.
    accept_failure : bool
        Whether to accept a larger probability of failure, up to ``bound / 2**bits`` for each number.

    Returns
    -------
    ndarray
        The quotients' shares, in the shape of `shares`.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, or failure is likelier than 2^-40 and not accepted.

    References
    ----------
    P. Mohassel, Y. Zhang, "SecureML", 2017, theorem 1. Shifting *both* shares, as secretflow #1998 did, gives a wrong
    result half of the time.

    Examples
    --------
    >>> import bluetusk as bt
    >>> shares = bt.sharing.ring.share([1000, -1000], parties=2)
    >>> halves = bt.sharing.ring.reconstruct(bt.sharing.ring.truncate(shares, 3, bound=1000), signed=True)
    >>> bool(abs(halves - [125, -125]).max() <= 1)
    True
    """
    array = words_like(shares, "shares")
    bits = bits_of(array.dtype, "shares")
    k = as_int(k, "k", 0, bits - 1)
    bound = as_int(bound, "bound", 0)
    if bound << _FAILURE_BITS > 1 << bits and not accept_failure:
        shown = f"up to {bound}" if bound.bit_length() <= 128 else f"of {bound.bit_length()} bits"
        likely = min(Fraction(bound, 2**bits), Fraction(1))  # a float holds no quotient of a bound of 1100 bits
        raise ValueError(
            f"local truncation of numbers {shown} fails with probability up to {float(likely):.3g} each, more than "
            f"2^-{_FAILURE_BITS}: use a truncation_pair, a larger ring, or accept_failure=True"
        )
    if party is None:
        array = shares_of(array, parties=2)
        out = np.empty_like(array)
        for i in range(2):
            kernel.truncate(array[i].reshape(-1), k, bool(i), out[i].reshape(-1))
        return out
    out = np.empty_like(array)
    kernel.truncate(array.reshape(-1), k, bool(as_int(party, "party", 0, 1)), out.reshape(-1))
    return out


def _words(x: Any, name: str, dtype: np.dtype[Any] | None = None) -> NDArray[Any]:
    """Return words of any width, so that the formula can be tried with all of those of a small ring."""
    array = as_array(x, name)
    if array.dtype.kind != "u" or not array.dtype.isnative or (dtype is not None and array.dtype != dtype):
        raise TypeError(f"{name} must be an array of {dtype or 'unsigned words'}, not {array.dtype}")
    return array


class TruncationPair(Uncopied):
    """A dealer's random shares with which any number of parties divide by 2^k; each pair can be used once.

    Each party adds its :attr:`r` to its share (and the party ``leader`` 2^(bits-2) as well: :meth:`mask`), all open
    the sum, and each computes its share of the quotient from it (:meth:`finish`). The opened sum is uniform.

    Any use of a view spends the pair: the result of :meth:`party` belongs to the same pair, and each party's part
    masks one array. It cannot be copied, pickled or used in a forked child. The arrays
    themselves are not protected: two pairs built from the same arrays use one mask twice.

    Attributes
    ----------
    k : int
        Bits to drop.
    r, high, top : ndarray
        Shares of a uniform number, of its part above the k low bits, and of its highest bit.

    Examples
    --------
    >>> import bluetusk as bt
    >>> pair = bt.sharing.ring.truncation_pair((), k=4, parties=3)
    >>> shares = bt.sharing.ring.share(-160, parties=3)
    >>> opened = bt.sharing.ring.reconstruct([pair.party(i).mask(shares[i], leader=i == 0) for i in range(3)])
    >>> parts = [pair.party(i).finish(opened, leader=i == 0) for i in range(3)]
    >>> int(bt.sharing.ring.reconstruct(parts, signed=True)) in (-10, -9)
    True
    """

    _no_copy = "a second use of its mask would show the difference of the numbers; send its arrays r, high and top"

    def __init__(self, k: int, r: NDArray[Any], high: NDArray[Any], top: NDArray[Any]) -> None:
        self.r, self.high, self.top = _words(r, "r"), _words(high, "high"), _words(top, "top")
        if len({(a.dtype, a.shape) for a in (self.r, self.high, self.top)}) != 1:
            raise ValueError("r, high and top must have one dtype and one shape")
        self.k = as_int(k, "k", 0, 8 * self.r.itemsize - 2)
        self._uses = Uses("truncation pair", "the difference of the numbers")
        self._part: int | None = None

    def __repr__(self) -> str:
        spent = ", spent" if self._uses.spent(self._part) else ""
        return f"<TruncationPair for k={self.k}, shape {self.r.shape}{spent}>"

    def party(self, i: int) -> TruncationPair:
        """Return the part of party i, counted from 0: a view, spent if that part or the whole has been used.

        Raises
        ------
        TypeError, ValueError
            If `i` is not a party's number, or this pair is already one party's part.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.sharing.ring.truncation_pair(5, k=4, parties=3).party(2).r.shape
        (5,)
        """
        if self._part is not None:
            raise ValueError(f"this pair is already the part of party {self._part}: call party() on the whole pair")
        if not self.r.ndim:
            raise ValueError("this pair has no leading axis of parties: it is already one party's part")
        i = as_int(i, "i", 0, len(self.r) - 1)
        view = TruncationPair(self.k, self.r[i], self.high[i], self.top[i])
        view._uses, view._part = self._uses, i
        return view

    def mask(self, share: NDArray[Any], *, leader: bool) -> NDArray[Any]:
        """Return a party's summand of the masked numbers, which all parties open.

        Parameters
        ----------
        share : ndarray
            Its share of numbers below 2^(bits-2) in magnitude.
        leader : bool
            True for exactly one party.

        Returns
        -------
        ndarray
            Its summand of the opened number.

        Raises
        ------
        ProtocolAbort
            If the pair was used before, in whole or in this part. It counts as used once the arguments are checked,
            even if the call is then interrupted.
        TypeError, ValueError
            If the dtype or the shape differs.

        Examples
        --------
        >>> import numpy as np, bluetusk as bt
        >>> pair = bt.sharing.ring.truncation_pair((), k=4, parties=1).party(0)
        >>> (int(pair.mask(np.uint64(7), leader=True)) - int(pair.r)) % 2**64 == 7 + 2**62
        True
        """
        words = _words(share, "share", self.r.dtype)
        if words.shape != self.r.shape:
            raise ValueError(f"share has the shape {words.shape}, but the pair is for {self.r.shape}")
        self._uses.spend(self._part)
        r = self.r.reshape(-1)  # with an axis: NumPy warns when scalars wrap
        out: NDArray[Any] = words.reshape(-1) + r
        if leader:
            out += r.dtype.type(1 << (8 * r.itemsize - 2))
        return out.reshape(self.r.shape)

    def finish(self, opened: NDArray[Any], *, leader: bool) -> NDArray[Any]:
        """Return a party's share of the quotients.

        Parameters
        ----------
        opened : ndarray
            The sum of all parties' results of :meth:`mask`.
        leader : bool
            True for the same party as before.

        Returns
        -------
        ndarray
            Its share of the quotient rounded down or up.

        Notes
        -----
        Let x' = x + 2^(bits-2), in [0, 2^(bits-1)), and c = x' + r mod 2^bits. The sum wrapped if and only if r has its
        highest bit and c does not. So floor((x' + r) / 2^k) = (c >> k) + 2^(bits-k) (1 - top(c)) top(r), which less
        r >> k is floor(x' / 2^k) or one more; 2^(bits-2-k) is subtracted again.

        Examples
        --------
        >>> import numpy as np, bluetusk as bt
        >>> pair = bt.sharing.ring.truncation_pair((), k=4, parties=1).party(0)
        >>> int(pair.finish(pair.mask(np.uint64(160), leader=True), leader=True)) in (10, 11)
        True
        """
        word, bits = self.r.dtype.type, 8 * self.r.itemsize
        given = _words(opened, "opened", self.r.dtype)
        if given.shape != self.r.shape:
            raise ValueError(f"opened has the shape {given.shape}, but the pair is for {self.r.shape}")
        public = given.reshape(-1)
        out: NDArray[Any] = np.zeros_like(public)
        if self.k:
            below = word(1) - (public >> word(bits - 1))
            np.left_shift(below * self.top.reshape(-1), word(bits - self.k), out=out)
        out -= self.high.reshape(-1)
        if leader:
            out += public >> word(self.k)
            out -= word(1 << (bits - 2 - self.k))
        return out.reshape(self.r.shape)


def truncation_pair(shape: int | tuple[int, ...], k: int, parties: int, bits: int = 64) -> TruncationPair:
    """Make the pair with which parties divide shared numbers by 2^k: for a dealer that colludes with none of them.

    Parameters
    ----------
    shape : int or tuple of int
        Shape of the numbers.
    k : int
        Bits to drop, 0 to bits - 2.
    parties : int
        At least 1.
    bits : {64, 32}
        The ring.

    Returns
    -------
    TruncationPair
        With a leading axis of parties.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    Examples
    --------
    >>> import bluetusk as bt
    >>> bt.sharing.ring.truncation_pair((2, 3), k=16, parties=2).high.shape
    (2, 2, 3)
    """
    dtype = dtype_of(bits)
    bits = 8 * dtype.itemsize
    k = as_int(k, "k", 0, bits - 2)
    parties = as_int(parties, "parties", 1)
    r = Stream().words(shape_of(shape, "shape"), bits)
    parts = (r, r >> dtype.type(k), r >> dtype.type(bits - 1))
    return TruncationPair(k, *(share(part, parties, bits) for part in parts))
