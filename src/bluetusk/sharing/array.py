"""Arrays of shared numbers with NumPy's habits, for two or three parties: enough for linear and logistic models.

A :class:`Session` is one computation. Either all parties run in this process (a simulation, a test), or one does and
talks to the others over channels; the program is the same. Numbers are fixed-point integers in Z_2^64, products are
truncated without failure.

Two parties need a dealer that colludes with neither (a :class:`~bluetusk.sharing._protocols.Supply` of triples).
Three need none: they hold replicated shares, and none of them may collude with another. All must follow the protocol.
There are no comparisons, no division and no general functions here: for these use SecretFlow SPU, MP-SPDZ or MPyC.
Sigmoids and the like are polynomials, or are computed on what is revealed.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from typing import Any, Literal, NoReturn, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._numeric import as_array, as_int, as_numbers, axis_tuple, is_real, refuse_masks, refuse_missing
from .._once import Uncopied
from ..encoding import FixedPoint
from ..errors import EncodingOverflow, ProtocolAbort
from ._additive import matmul, product_shape
from ._protocols import Channel, Dealer, Held, Parties, Supply, ThreeParties, TwoParties, Wire
from ._words import dtype_of, shape_of, words_of

__all__ = ["Session", "SharedArray"]

_BITS = 64
_LIMIT = 1 << (_BITS - 2)  # magnitudes that truncation takes
_REMEDY = "start a new session at all parties, with new channels and a new supply"
_UNDER_WAY = (
    "an exchange of this session is under way, and another one from within it (a signal handler, a callback) would use "
    f"its masks: let it end first; if it was broken off, {_REMEDY}"
)
_Result = TypeVar("_Result")


def _wrapping() -> np.errstate:
    """Arrays wrap silently; without this NumPy warns for those of no axis."""
    return np.errstate(over="ignore")


class Session(Uncopied):
    """One computation of two or three parties.

    It draws masks from seeds that the parties share and numbers its messages, so it cannot be copied, pickled or
    used in a forked child. Threads take turns, in an order that must be the same at all parties.
    An exception in the middle of an exchange, an interrupt included, ends the session: the parties may no longer be in
    step with their masks, so every later exchange raises ProtocolAbort. A signal handler that uses the session
    during an exchange is refused in the same way, and the exchange goes on if the handler catches that.

    Parameters
    ----------
    parties : {2, 3}
        How many there are.
    party : int, optional
        Which of them this process is, from 0. By default it is all of them.
    channels : mapping of int to Channel, optional
        For each other party an object with ``send(bytes)`` and ``recv() -> bytes``: private, authentic and ordered.
    supply : Supply, optional
        With two parties in two processes, where this one's parts of triples and truncation pairs come from: an object
        with ``triple(shape, other)`` and ``truncation_pair(shape, k)``. Its k-th answer and the other party's must
        be parts of the same triple or pair.
    frac_bits : int
        Fractional bits of real numbers.
    accept_failure : bool
        Whether two parties truncate without a dealer: then a product x, before it is truncated, comes out wrong with
        probability ``abs(x) / 2**64``, see :func:`bluetusk.sharing.ring.truncate`.

    Raises
    ------
    TypeError, ValueError
        If an argument is missing or out of range.

    Notes
    -----
    Magnitudes before a truncation, of a product with twice the fractional bits, must stay below 2^62: a real product
    below 2^30 at 16 fractional bits. The caller must ensure it; it cannot be checked on shares.

    Examples
    --------
    >>> import bluetusk as bt
    >>> session = bt.sharing.Session(parties=3)
    >>> x, w = session.share([[1.5, -2.0], [0.25, 4.0]], owner=0), session.share([2.0, 0.5], owner=1)
    >>> [round(float(v), 3) for v in (x @ w + 1).reveal()]
    [3.0, 3.5]
    """

    _no_copy = "two copies would draw the same masks and number their messages alike; open one for each computation"

    def __init__(
        self,
        parties: int,
        *,
        party: int | None = None,
        channels: Mapping[int, Channel] | None = None,
        supply: Supply | None = None,
        frac_bits: int = 16,
        accept_failure: bool = False,
    ) -> None:
        self.parties = as_int(parties, "parties", 2, 3)
        self.frac_bits = as_int(frac_bits, "frac_bits", 0, 30)
        others = {}
        if party is None:
            if channels is not None:
                raise TypeError("channels is given, but not party: say which party this process is")
            local = tuple(range(self.parties))
        else:
            local = (as_int(party, "party", 0, self.parties - 1),)
            if not isinstance(channels, Mapping | None):
                raise TypeError(f"channels must map other parties to channels, not be a {type(channels).__name__}")
            others = {as_int(other, "a party in channels"): way for other, way in (channels or {}).items()}
            needed = sorted(set(range(self.parties)) - set(local))
            if sorted(others) != needed:
                raise ValueError(f"channels must have the keys {needed}, the other parties, not {sorted(others)}")
        wire = Wire(local, others, dtype_of(_BITS))
        self._protocol: Parties
        if self.parties == 3:
            if supply is not None or accept_failure:
                raise TypeError("supply and accept_failure apply to two parties only: three parties need neither")
            self._protocol = ThreeParties(wire, _BITS)
        else:
            if supply is None and party is not None:
                raise TypeError("supply is missing: two parties need triples from a dealer, or from Paillier")
            source = Dealer(_BITS) if supply is None else supply
            self._protocol = TwoParties(wire, _BITS, source, accept_failure=accept_failure)
        self._local, self._wire, self._turn = local, wire, threading.RLock()
        self._refusal: str | None = None  # why no exchange may begin
        self._plan = FixedPoint.integers(1) if self.frac_bits == 0 else FixedPoint(frac_bits=self.frac_bits)

    def __repr__(self) -> str:
        who = "all in this process" if len(self._local) > 1 else f"here party {self._local[0]}"
        return f"<Session of {self.parties} parties, {who}, {self.frac_bits} fractional bits>"

    def _exchange(self, work: Callable[[Parties], _Result]) -> _Result:
        """Do what talks to the other parties, all of one operation: the only way to the protocol's messages.

        One exchange at a time, as two at once would mix their messages and the words of common streams. One that did
        not end has taken words or a triple that the other parties did not, or not yet, and every later result would be
        wrong without notice. So the refusal is set before it begins and taken away when it has ended: an interrupt
        between any two lines leaves a session that refuses.

        Raises
        ------
        ProtocolAbort
            In a forked child, from within another exchange, and once one was broken off.
        """
        self._wire.check()  # before the lock, which another thread may have held when this process was forked
        with self._turn, _wrapping():
            if self._refusal is not None:
                raise ProtocolAbort(self._refusal)
            self._refusal = _UNDER_WAY
            try:
                result = work(self._protocol)
            except BaseException as error:
                self._refusal = (
                    f"an exchange of this session was broken off by {type(error).__name__}, and the parties may no "
                    f"longer be in step with their masks: {_REMEDY}"
                )
                raise
            self._refusal = None
            return result

    def _encode(self, x: Any, name: str) -> tuple[NDArray[Any], int]:
        """Return numbers as words, and their scale: integers stay integers."""
        numbers = as_numbers(x, name)
        frac = 0
        if is_real(numbers):
            frac = self.frac_bits
            numbers = as_numbers(self._plan.encode_at(numbers, frac), name)
        largest = max(abs(int(numbers.min())), abs(int(numbers.max()))) if numbers.size else 0
        if largest >= _LIMIT:
            raise EncodingOverflow(f"{name} reaches 2^{largest.bit_length() - 1 - frac} in magnitude: scale it down")
        return words_of(numbers, _BITS, name).reshape(np.shape(numbers)), frac

    def share(
        self, x: ArrayLike | None, owner: int = 0, *, shape: tuple[int, ...] | None = None, real: bool = True
    ) -> SharedArray:
        """Share an array that one party holds.

        Parameters
        ----------
        x : array_like, optional
            The numbers. None at a party that is not the owner; it then gives `shape`.
        owner : int
            The party that holds the array.
        shape : tuple of int, optional
            Shape of the array, where `x` is None.
        real : bool
            Whether the numbers are reals (False: integers); the same at all parties.

        Returns
        -------
        SharedArray
            At every party.

        Raises
        ------
        EncodingOverflow
            If a number at its scale does not fit the ring.
        TypeError, ValueError
            If the owner gives no `x`, another party no `shape`, the two disagree, or `x` does not hold numbers.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.sharing.Session(parties=2).share([1, 2, 3], owner=1, real=False).reveal()
        array([1, 2, 3])
        """
        owner = as_int(owner, "owner", 0, self.parties - 1)
        frac = self.frac_bits if real else 0
        words = None
        if owner in self._local:
            if x is None:
                raise TypeError(f"x is None, but party {owner} is here: give its array")
            numbers = as_numbers(x, "x")
            if real:
                numbers = as_numbers(self._plan.encode_at(numbers, frac), "x")
            elif is_real(numbers):  # also whole ones: a float, Fraction or Decimal among ints makes all of them reals
                raise TypeError(
                    "x holds reals (a float, Fraction or Decimal): share it with real=True, or give ints only"
                )
            words, _ = self._encode(numbers, "x")
            if shape is not None and words.shape != shape_of(shape, "shape"):
                raise ValueError(f"x has the shape {words.shape}, not {shape_of(shape, 'shape')}")
            dims = words.shape
        elif x is not None or shape is None:
            raise TypeError(f"party {owner} is not here: give x=None and the array's shape")
        else:
            dims = shape_of(shape, "shape")
        return self._exchange(lambda protocol: SharedArray._make(self, protocol.share(owner, words, dims), dims, frac))


class SharedArray:
    """An array of numbers of which every party holds a share.

    Made by :meth:`Session.share`. ``+ - * @`` with shared arrays of the same session and with plain numbers on either
    side, ``sum``, ``mean``, indexing, ``reshape``, ``transpose`` and their kin work as in NumPy. Integers by dtype are
    exact factors; reals (floats, Fractions, Decimals, also beside ints in one list) are rounded to the session's
    fractional bits, and a product of reals is truncated to them: one unit of error.
    Products of shared arrays need messages between the parties.

    Examples
    --------
    >>> import bluetusk as bt
    >>> session = bt.sharing.Session(parties=2)
    >>> x = session.share([1.0, 2.0, 3.0])
    >>> (2 * x - 1).reveal(), float((x * x).sum().reveal().round(3))
    (array([1., 3., 5.]), 14.0)
    """

    __slots__ = ("_frac", "_held", "_session", "_shape")
    __array_ufunc__ = None  # so that NumPy leaves plain @ shared to us
    __pandas_priority__ = 5000  # and pandas, whose frames have 4000

    _session: Session
    _held: Held
    _shape: tuple[int, ...]
    _frac: int

    def __init__(self, *args: object) -> None:
        raise TypeError("a SharedArray is made by session.share(array, owner)")

    @classmethod
    def _make(cls, session: Session, held: Held, shape: tuple[int, ...], frac: int) -> SharedArray:
        self = object.__new__(cls)
        self._session, self._held, self._shape, self._frac = session, held, shape, frac
        return self

    def __repr__(self) -> str:
        return f"<SharedArray shape={self._shape}, {self._frac} fractional bits, of {self._session.parties} parties>"

    def __bool__(self) -> NoReturn:
        raise TypeError("no party knows the numbers of a SharedArray, to test or convert them: reveal() it first")

    __float__ = __int__ = __iter__ = __bool__
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> NoReturn:
        raise TypeError("a SharedArray cannot be compared: reveal() it, or use a general MPC framework")

    __lt__ = __le__ = __gt__ = __ge__ = __ne__ = __eq__

    def __array__(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("a SharedArray cannot become a NumPy array: no party knows its numbers; reveal() it first")

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array (tuple of int).

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.sharing.Session(parties=2).share([[1.0, 2.0]]).shape
        (1, 2)
        """
        return self._shape

    @property
    def ndim(self) -> int:
        """Number of axes (int).

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.sharing.Session(parties=2).share([[1.0, 2.0]]).ndim
        2
        """
        return len(self._shape)

    @property
    def size(self) -> int:
        """Number of values (int).

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.sharing.Session(parties=2).share([[1.0, 2.0]]).size
        2
        """
        return math.prod(self._shape)

    @property
    def frac(self) -> int:
        """Fractional bits of the shared integers (int), 0 for integers.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.sharing.Session(parties=2).share([1.0]).frac
        16
        """
        return self._frac

    def __len__(self) -> int:
        if not self._shape:
            raise TypeError("a SharedArray of shape () has no length")
        return self._shape[0]

    # --- views
    # ---------------------------------------------------------------------------------------------------------

    def _view(self, change: Callable[[NDArray[Any]], Any], frac: int | None = None) -> SharedArray:
        """Apply a linear NumPy operation to every part of every share."""
        lead = self._session._protocol.lead
        held = {}
        for i, part in self._held.items():
            held[i] = np.asarray(change(part)) if not lead else np.stack([np.asarray(change(p)) for p in part])
        shape = next(iter(held.values())).shape[len(lead) :]
        return self._make(self._session, held, shape, self._frac if frac is None else frac)

    def __getitem__(self, key: Any) -> SharedArray:
        index = tuple(map(_plain_index, key)) if isinstance(key, tuple) else _plain_index(key)
        return self._view(lambda a: a[index])

    def reshape(self, *shape: Any) -> SharedArray:
        """Return the array in another shape.

        Parameters
        ----------
        *shape : int or tuple of int
            As for NumPy.

        Returns
        -------
        SharedArray

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.sharing.Session(parties=3).share([1.0, 2.0]).reshape(-1, 1).shape
        (2, 1)
        """
        refuse_masks(shape, "shape")
        return self._view(lambda a: a.reshape(*shape))

    @property
    def T(self) -> SharedArray:
        """The array with its axes reversed (SharedArray).

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.sharing.Session(parties=3).share([[1.0, 2.0]]).T.shape
        (2, 1)
        """
        return self._view(lambda a: a.T)

    def transpose(self, *axes: Any) -> SharedArray:
        """Return the array with its axes permuted.

        Parameters
        ----------
        *axes : int or a tuple of int, optional
            The permutation; reversed order by default.

        Returns
        -------
        SharedArray

        Raises
        ------
        ValueError
            If the axes are not a permutation.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.sharing.Session(parties=3).share([[[1.0, 2.0]]]).transpose(2, 0, 1).shape
        (2, 1, 1)
        """
        given = axes[0] if len(axes) == 1 and (np.ndim(axes[0]) or not hasattr(axes[0], "__index__")) else axes
        if given is None or not axes:
            return self.T
        order = axis_tuple(list(given), self.ndim)
        if len(order) != self.ndim:
            raise ValueError(f"axes must name each of the {self.ndim} axes once, not {given!r}")
        return self._view(lambda a: a.transpose(order))

    def ravel(self, order: Literal["C", "F"] = "C") -> SharedArray:
        """Return the elements along one axis.

        Parameters
        ----------
        order : {"C", "F"}
            Row by row, or column by column.

        Returns
        -------
        SharedArray

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.sharing.Session(parties=2).share([[1, 2], [3, 4]], real=False).ravel("F").reveal()
        array([1, 3, 2, 4])
        """
        if order not in ("C", "F"):
            raise ValueError(f"order must be 'C' or 'F', not {order!r}")
        return self._view(lambda a: a.ravel(order))

    def sum(
        self,
        axis: int | tuple[int, ...] | None = None,
        dtype: None = None,
        out: None = None,
        keepdims: bool = False,
    ) -> SharedArray:
        """Add up along axes.

        Parameters
        ----------
        axis : int or tuple of int, optional
            All by default.
        dtype, out
            In NumPy's places; refused unless None.
        keepdims : bool
            Whether summed axes stay with length 1.

        Returns
        -------
        SharedArray

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.sharing.Session(parties=2).share([[1, 2], [3, 4]], real=False).sum(axis=0).reveal()
        array([4, 6])
        """
        axes = self._axes(axis, dtype=dtype, out=out)
        with _wrapping():
            return self._view(lambda a: a.sum(axis=axes, dtype=a.dtype, keepdims=bool(keepdims)))

    def mean(
        self,
        axis: int | tuple[int, ...] | None = None,
        dtype: None = None,
        out: None = None,
        keepdims: bool = False,
    ) -> SharedArray:
        """Return means along axes: sums times a public factor near 1 / n, truncated to the session's fractional bits.

        Parameters
        ----------
        axis : int or tuple of int, optional
            All by default.
        dtype, out
            In NumPy's places; refused unless None.
        keepdims : bool
            Whether these axes stay with length 1.

        Returns
        -------
        SharedArray
            Of reals, also for integers.

        Raises
        ------
        ValueError
            If there is nothing to take the mean of.

        Notes
        -----
        The truncation takes messages between the parties, and with two of them a pair of the supply. It errs by one
        unit of the fractional bits; where n is no power of 2, the factor adds at most
        ``abs(mean) / 2**(frac_bits + 1)``. As before any truncation, magnitudes must stay below 2^62: of a sum, also
        of integers, below 2^29 at 16 fractional bits.

        Examples
        --------
        >>> import bluetusk as bt
        >>> x = bt.sharing.Session(parties=3).share([[1.0, 2.0, 4.5], [3, 4, 5]])
        >>> x.mean(axis=1, keepdims=True).reveal().round(3)
        array([[2.5],
               [4. ]])
        """
        axes = self._axes(axis, dtype=dtype, out=out)
        count = math.prod(self._shape[i] for i in (range(self.ndim) if axes is None else axes))
        if count == 0:
            raise ValueError(f"the mean over axis {axis} of an array of shape {self._shape} is that of nothing")
        twos = (count & -count).bit_length() - 1
        odd = count >> twos
        digits = 0 if odd == 1 else self._session.frac_bits + odd.bit_length()
        factor = self._session._protocol.dtype.type(((2 << digits) // odd + 1) // 2)  # rounded
        total = self.sum(axes, keepdims=keepdims)._raised(max(self._frac, self._session.frac_bits))
        with _wrapping():
            scaled = total._view(lambda a: a * factor, total._frac + digits + twos)
        return scaled._cut()

    def _axes(self, axis: Any, **others: Any) -> tuple[int, ...] | None:
        """Return axes counted from the front; None for all."""
        for name, value in others.items():
            if value is not None:
                raise TypeError(f"a SharedArray does not take {name}: reveal() gives a NumPy array to convert")
        if axis is None:
            return None
        return axis_tuple(axis, self.ndim)

    # --- sums
    # ----------------------------------------------------------------------------------------------------------

    def _raised(self, frac: int) -> SharedArray:
        """Return the same numbers at a scale at least as large."""
        if frac == self._frac:
            return self
        factor = self._session._protocol.dtype.type(1 << (frac - self._frac))
        with _wrapping():
            return self._view(lambda a: a * factor, frac)

    def _joined(self, other: Any) -> tuple[SharedArray, SharedArray]:
        """Bring both sides to one scale and one shape."""
        if not isinstance(other, SharedArray):
            words, frac = self._session._encode(other, "the other operand")
            other = self._make(self._session, self._session._protocol.public(words), words.shape, frac)
        elif other._session is not self._session:
            raise ValueError("the arrays belong to different sessions: share both in one")
        frac = max(self._frac, other._frac)
        return _broadcast(self._raised(frac), other._raised(frac))

    def __add__(self, other: Any) -> SharedArray:
        a, b = self._joined(other)
        with _wrapping():
            held = {i: a._held[i] + b._held[i] for i in a._held}
        return self._make(self._session, held, a._shape, a._frac)

    def __sub__(self, other: Any) -> SharedArray:
        a, b = self._joined(other)
        with _wrapping():
            held = {i: a._held[i] - b._held[i] for i in a._held}
        return self._make(self._session, held, a._shape, a._frac)

    def __neg__(self) -> SharedArray:
        with _wrapping():
            return self._view(lambda a: np.zeros_like(a) - a)

    def __pos__(self) -> SharedArray:
        return self

    def __rsub__(self, other: Any) -> SharedArray:
        result: SharedArray = -self + other
        return result

    __radd__ = __add__

    # --- products
    # ------------------------------------------------------------------------------------------------------

    def _cut(self) -> SharedArray:
        """Truncate a product of reals to the session's fractional bits."""
        return self.truncate(max(0, self._frac - self._session.frac_bits))

    def _truncated(self, protocol: Parties, k: int) -> SharedArray:
        if k <= 0:
            return self
        return self._make(self._session, protocol.truncate(self._held, k, self._shape), self._shape, self._frac - k)

    def truncate(self, k: int) -> SharedArray:
        """Drop k fractional bits: the value stays, up to one unit of the new scale.

        Parameters
        ----------
        k : int
            0 to :attr:`frac`.

        Returns
        -------
        SharedArray

        Raises
        ------
        ValueError
            If `k` is above :attr:`frac`.

        Examples
        --------
        >>> import bluetusk as bt
        >>> x = bt.sharing.Session(parties=3).share([1.5, -2.25]).truncate(8)
        >>> x.frac, bool(abs(x.reveal() - [1.5, -2.25]).max() <= 2**-8)
        (8, True)
        """
        k = as_int(k, "k", 0, self._frac)
        if k == 0:
            return self
        return self._session._exchange(lambda protocol: self._truncated(protocol, k))

    def __mul__(self, other: Any) -> SharedArray:
        if not isinstance(other, SharedArray):
            words, frac = self._session._encode(other, "the factor")
            with _wrapping():
                product = self._view(lambda a: a * words, self._frac + frac)
            return product._cut()
        a, b = _broadcast(self, self._same_session(other))
        return self._product(a, b, matrix=False)

    __rmul__ = __mul__

    def __matmul__(self, other: Any) -> SharedArray:
        if not isinstance(other, SharedArray):
            words, frac = self._session._encode(other, "the factor")
            return self._view(lambda a: matmul(a, words), self._frac + frac)._cut()
        product_shape(self._shape, self._same_session(other)._shape)  # here: refused in an exchange, it would end it
        return self._product(self, other, matrix=True)

    def __rmatmul__(self, other: Any) -> SharedArray:
        words, frac = self._session._encode(other, "the factor")
        return self._view(lambda a: matmul(words, a), self._frac + frac)._cut()

    def _same_session(self, other: SharedArray) -> SharedArray:
        if other._session is not self._session:
            raise ValueError("the arrays belong to different sessions: share both in one")
        return other

    def _product(self, a: SharedArray, b: SharedArray, matrix: bool) -> SharedArray:
        frac = a._frac + b._frac

        def work(protocol: Parties) -> SharedArray:
            held = protocol.product(a._held, b._held, (a._shape, b._shape), matrix)
            shape = next(iter(held.values())).shape[len(protocol.lead) :]
            product = self._make(self._session, held, shape, frac)
            return product._truncated(protocol, frac - self._session.frac_bits)

        return self._session._exchange(work)  # one with its truncation: between the two it is not done either

    # --- the end
    # -------------------------------------------------------------------------------------------------------

    def reveal_integers(self) -> NDArray[np.int64]:
        """Tell every party the shared integers, value times 2^frac.

        Returns
        -------
        ndarray of int64

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.sharing.Session(parties=2).share([0.5]).reveal_integers()
        array([32768])
        """
        return self._session._exchange(self._opened)

    def reveal(self) -> NDArray[Any]:
        """Tell every party the numbers.

        Returns
        -------
        ndarray
            float64, or int64 for integers.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.sharing.Session(parties=3).share([0.5, -1.25], owner=2).reveal()
        array([ 0.5 , -1.25])
        """
        if self._frac == 0:
            return self.reveal_integers()
        return self._session._exchange(lambda protocol: np.asarray(self._opened(protocol) / 2.0**self._frac))

    def _opened(self, protocol: Parties) -> NDArray[np.int64]:
        words = protocol.open(self._held, self._shape)
        return np.ascontiguousarray(words).view(np.int64).reshape(self._shape)


def _plain_index(part: Any) -> Any:
    """Return one part of an index as NumPy takes it, arrays and lists through the gate that refuses masks."""
    if part is None or part is Ellipsis or not (hasattr(part, "__len__") or hasattr(part, "__array__")):
        refuse_masks(part, "the index")  # of a slice
        return part
    refuse_missing(part, "the index")
    array = as_array(part, "the index")
    # an empty list is an index of no rows, though NumPy would make it an array of floats
    empty = not array.size and array.dtype.kind == "f" and not isinstance(part, np.ndarray)
    return array.astype(np.int64) if empty else array


def _broadcast(a: SharedArray, b: SharedArray) -> tuple[SharedArray, SharedArray]:
    shape = np.broadcast_shapes(a._shape, b._shape)

    def spread(x: SharedArray) -> SharedArray:
        return x if x._shape == shape else x._view(lambda v: np.broadcast_to(v, shape).copy())

    return spread(a), spread(b)
