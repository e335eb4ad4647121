"""Encodes real numbers as integers and back, by one plan for ciphertext slots, masks and shares.

A plan says how a real number becomes an integer (a scale that is a power of 2 or of 10, exact rounding half to even),
how large it may be, how many such integers may be added, and so how wide a slot must be. Parties that add up each
other's numbers must use equal plans, so a plan has one canonical encoding and a hash, which frames carry.

Every rounding is done in integers: results depend neither on the platform nor on the rounding mode that a host program
may have set.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Literal, NoReturn, TypeAlias, cast, final

import numpy as np
import numpy.typing as npt

from ._frozen import Frozen
from ._kernels.pack import MAX_SLOT
from ._numeric import NumberArray, as_int, as_numbers, index_text, is_real, refuse_masks
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
from .errors import EncodingOverflow, FrameError
from .wire import frame

__all__ = ["FixedPoint"]

OnClip: TypeAlias = Literal["raise", "clip", "l2"]
Rounding: TypeAlias = Literal["half-even", "stochastic"]

_ON_CLIP = ("raise", "clip", "l2")
_ROUNDING = ("half-even", "stochastic")
_MAX_GUARD = 64
_FIELDS = ("base", "clip", "frac", "guard_bits", "max_weight", "on_clip", "rounding")
_MAX_DERIVED_FRAC = 1 << 16  # of products of products; a plan's own frac is at most MAX_FRAC


@final
class FixedPoint(Frozen):
    """A plan for fixed-point numbers with a binary scale: ``q = round(x * 2**frac_bits)``.

    Rounding is to nearest, ties to even, of the exact product. With ``Q = floor(clip * 2**frac_bits)`` every encoded
    integer satisfies ``|q| <= Q``; which numbers are too large is decided on the integers. A number within the clip is
    never refused: where ``clip * 2**frac_bits`` is not a whole number, those less than a unit below the clip that would
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
        Bound on the sum of the weights; without weights, the number of clients.
    guard_bits : int
        Spare bits of a slot, 0 to 64.
    on_clip : {"raise", "clip", "l2"}
        What to do with numbers beyond the clip. ``"raise"`` refuses them; ``"clip"`` brings each number to the clip and
        counts it; ``"l2"`` takes the clip as the largest L2 norm of the whole array and scales all of it where its norm
        is larger. That is done on the integers, toward zero, so it is deterministic and the norm of the result is never
        above Q.
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

    __slots__ = (
        "_base",
        "_clip",
        "_edge",
        "_frac",
        "_guard_bits",
        "_hash",
        "_inner",
        "_limit",
        "_max_weight",
        "_on_clip",
        "_rounding",
    )
    _base: int
    _clip: int | float
    _edge: float
    _frac: int
    _guard_bits: int
    _hash: bytes | None
    _inner: Fraction
    _limit: int
    _max_weight: int
    _on_clip: str
    _rounding: str

    _unchanging = "a FixedPoint plan cannot be changed: make a new one"

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

    @classmethod
    def _of(cls, *settings: Any) -> FixedPoint:
        plan = cls.__new__(cls)
        plan._set(*settings)
        return plan

    def _set(
        self,
        base: int,
        clip: float,
        frac: int,
        max_weight: int,
        guard_bits: int,
        on_clip: str,
        rounding: str,
        clip_name: str,
        frac_name: str,
    ) -> None:
        frac = as_int(frac, frac_name, 0, MAX_FRAC[base])
        max_weight = as_int(max_weight, "max_weight", 1, MAX_INT64)
        guard_bits = as_int(guard_bits, "guard_bits", 0, _MAX_GUARD)
        for value, name, choices in ((on_clip, "on_clip", _ON_CLIP), (rounding, "rounding", _ROUNDING)):
            if not isinstance(value, str):
                raise TypeError(f"{name} must be a str, not {type(value).__name__}")
            if value not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, not {value[:32]!r}")
        clip = _clip_number(clip, clip_name)
        exact = Fraction(repr(clip)) if base == 10 and isinstance(clip, float) else Fraction(clip)
        limit = math.floor(exact * base**frac)
        if not 1 <= limit <= MAX_INT64:
            size = "below 1" if limit < 1 else "beyond 2^63 - 1"
            remedy = "raise" if limit < 1 else "lower"
            raise ValueError(f"{clip_name} * {base}^{frac_name} is {size}: {remedy} {clip_name} or {frac_name}")
        if isinstance(clip, int) and frac and clip == float(clip):
            clip = float(clip)
        self._put(
            _base=base,
            _clip=clip,
            _frac=frac,
            _max_weight=max_weight,
            _guard_bits=guard_bits,
            _on_clip=str(on_clip),
            _rounding=str(rounding),
            _limit=limit,
            # Numbers up to _inner are within the clip, whatever they round to. Doubles are compared with _edge; where
            # the clip is whole it plays no role (none up to it rounds beyond Q) and is 0 if no double holds the clip.
            _inner=max(exact, Fraction(clip)),
            _edge=float(clip) if clip == float(clip) else 0.0,
            _hash=None,
        )

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
        return cls._of(10, clip, digits, max_weight, guard_bits, on_clip, rounding, "clip", "digits")

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
        return cls._of(10, limit, digits, max_weight, guard_bits, on_clip, "half-even", "limit", "digits")

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
        return cls._of(2, limit, 0, max_weight, guard_bits, on_clip, "half-even", "limit", "frac_bits")

    # ------------------------------------------------------------------------------------------- attributes

    @property
    def clip(self) -> int | float:
        """Largest magnitude in the data's units: an int in a plan of whole numbers, else a float.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.FixedPoint(clip=1.5).clip, bt.FixedPoint.integers(limit=7).clip
        (1.5, 7)
        """
        return self._clip

    @property
    def base(self) -> int:
        """2 for a binary scale, 10 for a decimal one.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.FixedPoint().base, bt.FixedPoint.money().base
        (2, 10)
        """
        return self._base

    @property
    def frac(self) -> int:
        """Digits after the point, in `base`: an encoded integer q stands for ``q / base**frac``.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.FixedPoint(frac_bits=16).frac, bt.FixedPoint.money(digits=2).frac
        (16, 2)
        """
        return self._frac

    @property
    def limit(self) -> int:
        """Q, the largest magnitude of an encoded integer.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.FixedPoint(clip=4.0, frac_bits=20).limit == 4 * 2**20
        True
        """
        return self._limit

    @property
    def max_weight(self) -> int:
        """W, the bound on the sum of weights.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.FixedPoint(max_weight=30_000).max_weight
        30000
        """
        return self._max_weight

    @property
    def guard_bits(self) -> int:
        """Spare bits of a slot.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.FixedPoint().guard_bits
        2
        """
        return self._guard_bits

    @property
    def on_clip(self) -> str:
        """What to do with numbers beyond the clip: "raise", "clip" or "l2".

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.FixedPoint().on_clip
        'raise'
        """
        return self._on_clip

    @property
    def rounding(self) -> str:
        """How reals are rounded: "half-even" or "stochastic".

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.FixedPoint(rounding="stochastic").rounding
        'stochastic'
        """
        return self._rounding

    @property
    def bound(self) -> int:
        """B = Q * W, the largest magnitude of a weighted sum.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.FixedPoint.integers(limit=1000, max_weight=50).bound
        50000
        """
        return self._limit * self._max_weight

    @property
    def slot_bits(self) -> int:
        """Width of a packed slot in bits, l = bit_length(B) + 1 + guard_bits.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.FixedPoint(clip=4.0, frac_bits=20, max_weight=100, guard_bits=2).slot_bits
        32
        """
        return self.bound.bit_length() + 1 + self._guard_bits

    @property
    def hash(self) -> bytes:
        """SHA-256 of :meth:`to_bytes`, 32 bytes.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.FixedPoint(clip=4).hash == bt.FixedPoint(clip=4.0).hash
        True
        >>> len(bt.FixedPoint().hash)
        32
        """
        if self._hash is None:
            self._put(_hash=hashlib.sha256(self.to_bytes()).digest())
        return cast(bytes, self._hash)

    def slots(self, key_bits: int) -> int:
        """Return how many slots one ciphertext holds.

        Parameters
        ----------
        key_bits : int
            Bits of the modulus n.

        Returns
        -------
        int
            ``(key_bits - 2) // slot_bits``, at least 1.

        Raises
        ------
        EncodingOverflow
            If a slot is wider than 64 bits or than the key.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.FixedPoint().slots(2048)
        63
        """
        bits = self.slot_bits
        if bits > MAX_SLOT:
            raise EncodingOverflow(
                f"plan needs slots of {bits} bits, above {MAX_SLOT}: lower clip, max_weight or "
                "guard_bits, or encrypt with packed=False"
            )
        count = (as_int(key_bits, "key_bits", 1, 1 << 20) - 2) // bits
        if count < 1:
            raise EncodingOverflow(
                f"plan needs slots of {bits} bits, but a key of {key_bits} bits holds none: use a larger key"
            )
        return count

    def check_key(self, key_bits: int, *, packed: bool = False) -> None:
        """Refuse a key that this plan does not fit, before any data is seen.

        Parameters
        ----------
        key_bits : int
            Bits of the modulus n.
        packed : bool
            Whether numbers go into slots. Else a ciphertext holds one number of up to (n - 1) / 2, which `max_weight`
            and `guard_bits` do not limit.

        Raises
        ------
        EncodingOverflow
            If the plan does not fit the key; the message names the widths and the remedy.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.FixedPoint().check_key(2048, packed=True)
        """
        if packed:
            self.slots(key_bits)
        elif self._limit.bit_length() > as_int(key_bits, "key_bits", 1, 1 << 20) - 2:
            raise EncodingOverflow(
                f"plan holds numbers of {self._limit.bit_length()} bits, too many for a key of {key_bits} bits: "
                "use a larger key"
            )

    # ------------------------------------------------------------------------------------------- numbers

    def quantise(self, x: Any, *, name: str = "x") -> tuple[IntArray, int]:
        """Encode numbers at the plan's scale.

        Parameters
        ----------
        x : array_like
            Anything that NumPy converts to an array of numbers: integers and floats of any dtype up to 64 bits, byte
            order and layout; bools, which count as 0 and 1; Python numbers; lists, ranges, ``array.array`` and
            memoryviews of them; object arrays of int, float, :class:`~fractions.Fraction` or :class:`~decimal.Decimal`;
            series and frames of pandas. Integers never pass through a double. Operands of encrypted arrays follow the
            same rule.
        name : str, optional
            What errors call `x`.

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
            For NaN, infinities and missing values of pandas, for every `on_clip`.
        EncodingOverflow
            If a number is beyond the clip and `on_clip` is "raise".

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.FixedPoint(clip=1.0, frac_bits=8, on_clip="clip").quantise([0.5, -3.0])
        (array([ 128, -256]), 1)
        """
        numbers = as_numbers(x, name)
        random = self._rounding == "stochastic"
        if self._on_clip == "l2":
            q, changed = shrink(self._unclipped(numbers, self._frac, random, name), self._limit)
            return q, q.size if changed else 0
        if numbers.dtype.kind == "O":
            return self._quantise_objects(numbers, random, name)
        plan = (self._base, self._frac, self._limit, self._edge, random)
        q, clipped, nonfinite = scale(numbers, *plan)
        if nonfinite:
            _refuse_nonfinite(numbers, name)
        if clipped and self._on_clip == "raise":
            raise EncodingOverflow(self._beyond(name, numbers.shape, first_beyond(numbers, *plan)))
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
        return self._unclipped(as_numbers(x, "x"), as_int(frac, "frac", 0, _MAX_DERIVED_FRAC), False, "x")

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
        if is_real(numbers):
            raise TypeError("ints must hold integers: give the integers that were encoded or decrypted")
        try:
            return divide(numbers, self._base**frac * divisor)
        except OverflowError:
            raise EncodingOverflow("a result exceeds float64: keep the integers (decrypt_integers)") from None

    def _unclipped(self, numbers: NumberArray, frac: int, random: bool, name: str) -> IntArray | ObjectArray:
        if numbers.dtype.kind == "f" and not np.isfinite(numbers).all():
            _refuse_nonfinite(numbers, name)
        if numbers.dtype.kind != "O" and frac <= MAX_FRAC[self._base]:
            q, beyond, _ = scale(numbers, self._base, frac, MAX_INT64, 0.0, random)
            if not beyond:
                return q
        return to_int_array(round_objects(numbers.ravel().tolist(), self._base**frac, random), numbers.shape)

    def _quantise_objects(self, numbers: NumberArray, random: bool, name: str) -> tuple[IntArray, int]:
        exact = numbers.ravel().tolist()
        q = np.empty(len(exact), dtype=np.int64)
        clipped = 0
        for i, v in enumerate(round_objects(exact, self._base**self._frac, random)):
            if abs(v) > self._limit and abs(exact[i]) > self._inner:
                if self._on_clip == "raise":
                    raise EncodingOverflow(self._beyond(name, numbers.shape, i))
                clipped += 1
            q[i] = max(-self._limit, min(v, self._limit))
        return q.reshape(numbers.shape), clipped

    def _beyond(self, name: str, shape: tuple[int, ...], flat: int) -> str:
        where = index_text(name, shape, flat)
        return f'{where} is beyond clip={self._clip}: raise clip, or choose on_clip="clip" or "l2"'

    # ------------------------------------------------------------------------------------------- identity

    def to_dict(self) -> dict[str, int | str]:
        """Return the plan as plain values, for a frame's header.

        Returns
        -------
        dict
            ``base``, ``clip`` (an int, or the hexadecimal text of a float that is not a whole number), ``frac``,
            ``guard_bits``, ``max_weight``, ``on_clip``, ``rounding``.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.FixedPoint(clip=0.5).to_dict()["clip"]
        '0x1.0000000000000p-1'
        """
        clip = self._clip
        return {
            "base": self._base,
            "clip": clip.hex() if isinstance(clip, float) and not clip.is_integer() else int(clip),
            "frac": self._frac,
            "guard_bits": self._guard_bits,
            "max_weight": self._max_weight,
            "on_clip": self._on_clip,
            "rounding": self._rounding,
        }

    @classmethod
    def from_dict(cls, d: Mapping[str, Any]) -> FixedPoint:
        """Build a plan from the output of :meth:`to_dict`, with every check.

        Parameters
        ----------
        d : mapping
            Exactly the fields of :meth:`to_dict`.

        Returns
        -------
        FixedPoint
            Equal to the plan that was written.

        Raises
        ------
        FrameError
            If a field is missing, unknown, of another type, out of range or not in canonical form.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.FixedPoint.from_dict(bt.FixedPoint.money().to_dict()) == bt.FixedPoint.money()
        True
        """
        if not isinstance(d, Mapping):
            raise FrameError(f"plan must be a map, not {type(d).__name__}")
        frame.check_fields(d, _FIELDS)
        base = frame.field(d, "base", int, choices=(2, 10))
        if isinstance(d["clip"], str):
            text = frame.field(d, "clip", str, low=1, high=32)
            try:
                value = float.fromhex(text)
            except (ValueError, OverflowError):
                raise FrameError("frame field 'clip' is not a hexadecimal float") from None
            if not math.isfinite(value) or value.hex() != text or value.is_integer():
                raise FrameError("frame field 'clip' is not in canonical form")
            clip: int | float = value
        else:
            clip = frame.field(d, "clip", int, low=1, high=MAX_INT64)
        try:
            return cls._of(
                base,
                clip,
                frame.field(d, "frac", int, low=0, high=MAX_FRAC[base]),
                frame.field(d, "max_weight", int, low=1, high=MAX_INT64),
                frame.field(d, "guard_bits", int, low=0, high=_MAX_GUARD),
                frame.field(d, "on_clip", str, choices=_ON_CLIP),
                frame.field(d, "rounding", str, choices=_ROUNDING),
                "clip",
                "frac",
            )
        except ValueError as err:
            raise FrameError(f"frame holds an impossible plan: {err}") from None

    def to_bytes(self) -> bytes:
        """Return the plan as one canonical frame: equal plans, equal bytes.

        Returns
        -------
        bytes
            A frame of kind ``PLAN``.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.FixedPoint(clip=4).to_bytes() == bt.FixedPoint(clip=4.0).to_bytes()
        True
        """
        return frame.encode(frame.Kind.PLAN, self.to_dict())

    @classmethod
    def from_bytes(cls, data: bytes | bytearray | memoryview) -> FixedPoint:
        """Read a plan from a frame.

        Parameters
        ----------
        data : bytes-like
            The output of :meth:`to_bytes`.

        Returns
        -------
        FixedPoint
            Equal to the plan that was written.

        Raises
        ------
        FrameError
            If `data` is not such a frame.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.FixedPoint.from_bytes(bt.FixedPoint().to_bytes())
        FixedPoint(clip=4.0, frac_bits=20, max_weight=100, guard_bits=2)
        """
        return cls.from_dict(frame.decode(data, frame.Kind.PLAN, max_payload=0).header)

    def __eq__(self, other: object) -> bool:
        return self.to_dict() == other.to_dict() if isinstance(other, FixedPoint) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.hash)

    def __repr__(self) -> str:
        name, frac = ("FixedPoint", "frac_bits") if self._base == 2 else ("FixedPoint.decimal", "digits")
        text = f"{name}(clip={self._clip}, {frac}={self._frac}, max_weight={self._max_weight}"
        text += f", guard_bits={self._guard_bits}"
        if self._on_clip != "raise":
            text += f", on_clip={self._on_clip!r}"
        if self._rounding != "half-even":
            text += f", rounding={self._rounding!r}"
        return text + ")"

    def __reduce__(self) -> tuple[Any, ...]:
        return FixedPoint.from_dict, (self.to_dict(),)


# --------------------------------------------------------------------------------------------------- internals


def _refuse_nonfinite(numbers: NumberArray, name: str) -> NoReturn:
    first = int(np.argmin(np.isfinite(numbers.reshape(-1))))
    raise ValueError(f"{index_text(name, numbers.shape, first)} is NaN or infinite: impute or drop it before encoding")


def _clip_number(clip: object, name: str) -> int | float:
    refuse_masks(clip, name)
    if isinstance(clip, bool | np.bool_):
        raise TypeError(f"{name} must be a float or an int, not bool")
    if isinstance(clip, float | np.float16 | np.float32):
        value: int | float = float(clip)
    elif hasattr(clip, "__index__"):
        value = int(clip.__index__())
    else:
        raise TypeError(f"{name} must be a float or an int, not {type(clip).__name__}")
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{name} must be positive and finite, not {value}")
        if value.is_integer():
            value = int(value)  # so that 4 and 4.0 are one plan, and the shortest decimal form plays no role here
    if value <= 0:
        raise ValueError(f"{name} must be positive and finite")
    return value
