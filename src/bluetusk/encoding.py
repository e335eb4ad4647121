"""Real numbers <-> integers: one plan for the slots of a ciphertext, for masks and for shares.

A plan says how a real number becomes an integer (a scale that is a power of 2 or of 10, exact rounding half to even),
how large it may be, how many such integers may be added, and so how wide a slot must be. Parties that add up each
other's numbers must use equal plans, so a plan has one canonical encoding and a hash, which frames carry.

Every rounding is done in integers: results depend neither on the platform nor on the rounding mode that a host program
may have set.
"""

from __future__ import annotations

from typing import Any, Literal, NoReturn, TypeAlias, final

import numpy as np
import numpy.typing as npt

from ._numeric import NumberArray, as_int, as_numbers, index_text
from ._plan import Plan
from ._rounding import (
    MAX_FRAC,
    MAX_INT64,
    IntArray,
    ObjectArray,
    divide,
    first_beyond,
    round_objects,
    scale,
    shrink,
    to_int_array,
)
from .errors import EncodingOverflow

__all__ = ["FixedPoint"]

OnClip: TypeAlias = Literal["raise", "clip", "l2"]
Rounding: TypeAlias = Literal["half-even", "stochastic"]

_MAX_DERIVED_FRAC = 1 << 16  # of products of products; a plan's own frac is at most MAX_FRAC


@final
class FixedPoint(Plan):
    """A plan for fixed-point numbers with a binary scale: ``q = round(x * 2**frac_bits)``.

    Rounding is to nearest, ties to even, of the exact product. With ``Q = floor(clip * 2**frac_bits)`` every encoded
    integer satisfies ``|q| <= Q``; which numbers are too large is decided on the integers. A number within the clip is
    never refused: where ``clip * 2**frac_bits`` is no whole number, those less than a unit below the clip that would
    round to ``Q + 1`` become ``Q``.

    A sum with integer weights of at most `max_weight` in all is bounded by ``B = Q * max_weight`` and needs slots of
    ``bit_length(B) + 1 + guard_bits`` bits.

    Parameters
    ----------
    clip : float or int
        Largest magnitude, in the data's units. In a decimal plan a float stands for its shortest decimal form.
    frac_bits : int
        Binary digits after the point, 0 to 900.
    max_weight : int
        Bound on the sum of the weights: the number of clients where there are no weights.
    guard_bits : int
        Spare bits of a slot, 0 to 64.
    on_clip : {"raise", "clip", "l2"}
        What happens beyond the clip. ``"raise"`` refuses; ``"clip"`` brings each number to the clip and counts it;
        ``"l2"`` takes the clip as the largest L2 norm of the whole array and scales all of it where its norm is larger.
        That is done on the integers, toward zero, so it is deterministic and the norm of the result is never above Q.
    rounding : {"half-even", "stochastic"}
        ``"stochastic"`` rounds up with the probability of the fraction, so that sums are unbiased, with randomness from
        the operating system.

    Raises
    ------
    TypeError
        If an argument is of the wrong type.
    ValueError
        If an argument is out of range, or Q is not between 1 and 2**63 - 1.

    See Also
    --------
    FixedPoint.decimal, FixedPoint.money, FixedPoint.integers : other plans.

    Examples
    --------
    >>> import bluetusk as bt
    >>> plan = bt.FixedPoint(clip=4.0, frac_bits=20, max_weight=100)
    >>> plan.limit, plan.slot_bits, plan.slots(3072)
    (4194304, 32, 95)
    >>> q, clipped = plan.quantise([0.5, -1.25, 4.0])
    >>> q
    array([  524288, -1310720,  4194304])
    >>> plan.to_float(q, plan.frac)
    array([ 0.5 , -1.25,  4.  ])
    """

    __slots__ = ()

    def __init__(
        self,
        clip: float = 4.0,
        frac_bits: int = 20,
        max_weight: int = 100,
        guard_bits: int = 2,
        *,
        on_clip: OnClip = "raise",
        rounding: Rounding = "half-even",
    ) -> None:
        self._set(2, clip, frac_bits, max_weight, guard_bits, on_clip, rounding, "clip", "frac_bits")

    # ------------------------------------------------------------------------------------------- other plans

    @classmethod
    def decimal(
        cls,
        clip: float,
        digits: int = 6,
        max_weight: int = 100,
        guard_bits: int = 2,
        *,
        on_clip: OnClip = "raise",
        rounding: Rounding = "half-even",
    ) -> FixedPoint:
        """Make a plan with a decimal scale: ``q = round(x * 10**digits)``, of the exact product, ties to even.

        Parameters
        ----------
        clip : float or int
            Largest magnitude; a float stands for its shortest decimal form, so 0.3 is three tenths.
        digits : int
            Decimal digits after the point, 0 to 18.
        max_weight, guard_bits, on_clip, rounding
            As in :class:`FixedPoint`.

        Returns
        -------
        FixedPoint
            With ``base`` 10.

        Raises
        ------
        TypeError, ValueError
            As :class:`FixedPoint`.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.FixedPoint.decimal(clip=1000, digits=2).quantise([0.125, 2.675])[0]  # the double 2.675 is a bit less
        array([ 12, 267])
        """
        plan = cls.__new__(cls)
        plan._set(10, clip, digits, max_weight, guard_bits, on_clip, rounding, "clip", "digits")
        return plan

    @classmethod
    def money(
        cls,
        digits: int = 2,
        limit: float = 1_000_000_000,
        max_weight: int = 100,
        guard_bits: int = 2,
        *,
        on_clip: OnClip = "raise",
    ) -> FixedPoint:
        """Make a plan for amounts of money: exact in the smallest unit of the currency.

        Parameters
        ----------
        digits : int
            Decimal digits of the currency: 2 for cents, 0 for yen, 3 for dinars.
        limit : float or int
            Largest amount, in whole units (not cents).
        max_weight, guard_bits, on_clip
            As in :class:`FixedPoint`; unweighted, `max_weight` is the number of amounts that are added.

        Returns
        -------
        FixedPoint
            With ``base`` 10.

        Raises
        ------
        TypeError, ValueError
            As :class:`FixedPoint`.

        Examples
        --------
        >>> import bluetusk as bt
        >>> from decimal import Decimal
        >>> plan = bt.FixedPoint.money()
        >>> plan.quantise([Decimal("19.99"), Decimal("0.01")])[0]
        array([1999,    1])
        """
        plan = cls.__new__(cls)
        plan._set(10, limit, digits, max_weight, guard_bits, on_clip, "half-even", "limit", "digits")
        return plan

    @classmethod
    def integers(
        cls,
        limit: int = 2**31 - 1,
        max_weight: int = 100,
        guard_bits: int = 2,
        *,
        on_clip: OnClip = "raise",
    ) -> FixedPoint:
        """Make a plan for whole numbers: counts, ages, cents that are integers already.

        Parameters
        ----------
        limit : int
            Largest magnitude, 1 to 2**63 - 1.
        max_weight, guard_bits, on_clip
            As in :class:`FixedPoint`.

        Returns
        -------
        FixedPoint
            With ``base`` 2 and ``frac`` 0.

        Raises
        ------
        TypeError, ValueError
            As :class:`FixedPoint`.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.FixedPoint.integers(limit=1, max_weight=30_000).slot_bits
        18
        """
        limit = as_int(limit, "limit", 1, MAX_INT64)
        plan = cls.__new__(cls)
        plan._set(2, limit, 0, max_weight, guard_bits, on_clip, "half-even", "limit", "frac_bits")
        return plan

    # ------------------------------------------------------------------------------------------- numbers

    def quantise(self, x: Any) -> tuple[IntArray, int]:
        """Encode numbers at the plan's scale.

        Parameters
        ----------
        x : array_like
            Whatever NumPy makes an array of numbers: integers and floats of any dtype up to 64 bits, byte order and
            layout; bools, which count as 0 and 1; Python numbers; lists, ranges, ``array.array`` and memoryviews of
            them; object arrays of int, float, :class:`~fractions.Fraction` or :class:`~decimal.Decimal`; series and
            frames of pandas. Integers never pass through a double. Operands of encrypted arrays follow the same rule.

        Returns
        -------
        q : ndarray of int64
            Of x's shape, C-contiguous, ``|q| <= limit``.
        clipped : int
            How many numbers were changed because of the clip (all of them, where an L2 norm was).

        Raises
        ------
        TypeError
            For complex, long double, text, bytes, what numpy.ma masks, and other types that are not numbers of at most
            64 bits.
        ValueError
            For NaN, infinities and missing values of pandas, whatever `on_clip` says.
        EncodingOverflow
            Beyond the clip, if `on_clip` is "raise".

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.FixedPoint(clip=1.0, frac_bits=8, on_clip="clip").quantise([0.5, -3.0])
        (array([ 128, -256]), 1)
        """
        numbers = as_numbers(x, "x")
        random = self._rounding == "stochastic"
        if self._on_clip == "l2":
            q, changed = shrink(self._unclipped(numbers, self._frac, random), self._limit)
            return q, q.size if changed else 0
        if numbers.dtype.kind == "O":
            return self._quantise_objects(numbers, random)
        plan = (self._base, self._frac, self._limit, self._edge, random)
        q, clipped, nonfinite = scale(numbers, *plan)
        if nonfinite:
            _refuse_nonfinite(numbers)
        if clipped and self._on_clip == "raise":
            raise EncodingOverflow(self._beyond(numbers.shape, first_beyond(numbers, *plan)))
        return q, clipped

    def encode_at(self, x: Any, frac: int) -> IntArray | ObjectArray:
        """Encode numbers at another scale of the plan's base, half to even and without a clip.

        Parameters
        ----------
        x : array_like
            As in :meth:`quantise`.
        frac : int
            Digits after the point, 0 to 65536.

        Returns
        -------
        ndarray
            The integers ``round(x * base**frac)`` of x's shape: int64 if all of them fit, else Python ints (object).

        Raises
        ------
        TypeError, ValueError
            As :meth:`quantise`.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.FixedPoint().encode_at([1.5, 2.0], frac=80)
        array([1813388729421943762059264, 2417851639229258349412352], dtype=object)
        """
        return self._unclipped(as_numbers(x, "x"), as_int(frac, "frac", 0, _MAX_DERIVED_FRAC), False)

    def to_float(self, ints: Any, frac: int, divisor: int = 1) -> npt.NDArray[np.float64]:
        """Decode integers: ``ints / (base**frac * divisor)``, rounded half to even exactly once.

        Parameters
        ----------
        ints : array_like of int
            Of any integer dtype, or Python ints of any size (object).
        frac : int
            Digits after the point of `ints`.
        divisor : int
            At least 1; the sum of weights for a mean.

        Returns
        -------
        ndarray of float64
            Of the same shape.

        Raises
        ------
        TypeError
            If `ints` does not hold integers.
        EncodingOverflow
            If a result is beyond float64.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.FixedPoint.money().to_float([1999, -250], frac=2, divisor=2)
        array([ 9.995, -1.25 ])
        """
        numbers = as_numbers(ints, "ints")
        frac = as_int(frac, "frac", 0, _MAX_DERIVED_FRAC)
        divisor = as_int(divisor, "divisor", 1)
        if numbers.dtype.kind == "f" or not all(isinstance(v, int) for v in _objects(numbers)):
            raise TypeError("ints must hold integers: give the integers that were encoded or decrypted")
        try:
            return divide(numbers, self._base**frac * divisor)
        except OverflowError:
            raise EncodingOverflow("a result exceeds float64: keep the integers (decrypt_integers)") from None

    def _unclipped(self, numbers: NumberArray, frac: int, random: bool) -> IntArray | ObjectArray:
        if numbers.dtype.kind == "f" and not np.isfinite(numbers).all():
            _refuse_nonfinite(numbers)
        if numbers.dtype.kind != "O" and frac <= MAX_FRAC[self._base]:
            q, beyond, _ = scale(numbers, self._base, frac, MAX_INT64, 0.0, random)
            if not beyond:
                return q
        return to_int_array(round_objects(numbers.ravel().tolist(), self._base**frac, random), numbers.shape)

    def _quantise_objects(self, numbers: NumberArray, random: bool) -> tuple[IntArray, int]:
        exact = numbers.ravel().tolist()
        q = np.empty(len(exact), dtype=np.int64)
        clipped = 0
        for i, v in enumerate(round_objects(exact, self._base**self._frac, random)):
            if abs(v) > self._limit and abs(exact[i]) > self._inner:
                if self._on_clip == "raise":
                    raise EncodingOverflow(self._beyond(numbers.shape, i))
                clipped += 1
            q[i] = max(-self._limit, min(v, self._limit))
        return q.reshape(numbers.shape), clipped

    def _beyond(self, shape: tuple[int, ...], flat: int) -> str:
        return (
            f'{index_text("x", shape, flat)} is beyond clip={self._clip}: raise clip, or choose on_clip="clip" or "l2"'
        )


#

# --------------------------------------------------------------------------------------------------- internals


def _objects(numbers: NumberArray) -> list[Any]:
    return numbers.ravel().tolist() if numbers.dtype == object else []


def _refuse_nonfinite(numbers: NumberArray) -> NoReturn:
    first = int(np.argmin(np.isfinite(numbers.reshape(-1))))
    raise ValueError(f"{index_text('x', numbers.shape, first)} is NaN or infinite: impute or drop it before encoding")
