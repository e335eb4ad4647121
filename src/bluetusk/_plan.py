"""What parties agree on before they add up each other's numbers: scale, clip, weights, and one encoding of them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, NoReturn, TypeVar, cast

import numpy as np

from ._kernels.pack import MAX_SLOT
from ._numeric import as_int, refuse_masks
from ._rounding import MAX_FRAC, MAX_INT64
from .errors import EncodingOverflow, FrameError
from .wire import frame

__all__ = ["Plan"]

_ON_CLIP = ("raise", "clip", "l2")
_ROUNDING = ("half-even", "stochastic")
_MAX_GUARD = 64
_FIELDS = ("base", "clip", "frac", "guard_bits", "max_weight", "on_clip", "rounding")

P = TypeVar("P", bound="Plan")


class Plan:
    """The agreed part of a :class:`bluetusk.FixedPoint`: immutable, compared by value, one canonical frame."""

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
        put = object.__setattr__
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
        put(self, "_base", base)
        put(self, "_clip", clip)
        put(self, "_frac", frac)
        put(self, "_max_weight", max_weight)
        put(self, "_guard_bits", guard_bits)
        put(self, "_on_clip", str(on_clip))
        put(self, "_rounding", str(rounding))
        put(self, "_limit", limit)
        # numbers up to here are within the clip, whatever they round to; doubles are compared with _edge, which plays
        # no role where the clip is whole (none up to it rounds beyond Q) and so may be 0 where a double cannot hold it
        put(self, "_inner", max(exact, Fraction(clip)))
        put(self, "_edge", float(clip) if clip == float(clip) else 0.0)
        put(self, "_hash", None)

    # ------------------------------------------------------------------------------------------- attributes

    @property
    def clip(self) -> int | float:
        """Largest magnitude in the data's units: an int where the plan is one of whole numbers, else a float.

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
        """What happens beyond the clip: "raise", "clip" or "l2".

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
            object.__setattr__(self, "_hash", hashlib.sha256(self.to_bytes()).digest())
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
                f"plan needs slots of {bits} bits, a slot has at most {MAX_SLOT}: lower clip, max_weight or "
                "guard_bits, or encrypt with packed=False"
            )
        count = (as_int(key_bits, "key_bits", 1, 1 << 20) - 2) // bits
        if count < 1:
            raise EncodingOverflow(
                f"plan needs slots of {bits} bits, a key of {key_bits} bits holds none: use a larger key"
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
            If it does not fit, naming the widths and the remedy.

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

    # ------------------------------------------------------------------------------------------- identity

    def to_dict(self) -> dict[str, int | str]:
        """Return the plan as plain values, for a frame's header.

        Returns
        -------
        dict
            ``base``, ``clip`` (an int, or the hexadecimal text of a float that is no whole number), ``frac``,
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
    def from_dict(cls: type[P], d: Mapping[str, Any]) -> P:
        """Build a plan from what :meth:`to_dict` gave, trusting nothing in it.

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
                raise FrameError("frame field 'clip' is no hexadecimal float") from None
            if not math.isfinite(value) or value.hex() != text or value.is_integer():
                raise FrameError("frame field 'clip' is not in canonical form")
            clip: int | float = value
        else:
            clip = frame.field(d, "clip", int, low=1, high=MAX_INT64)
        plan = cls.__new__(cls)
        try:
            plan._set(
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
        return plan

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
    def from_bytes(cls: type[P], data: bytes | bytearray | memoryview) -> P:
        """Read a plan from a frame.

        Parameters
        ----------
        data : bytes-like
            What :meth:`to_bytes` gave.

        Returns
        -------
        FixedPoint
            Equal to the plan that was written.

        Raises
        ------
        FrameError
            If `data` is anything else.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.FixedPoint.from_bytes(bt.FixedPoint().to_bytes())
        FixedPoint(clip=4.0, frac_bits=20, max_weight=100, guard_bits=2)
        """
        return cls.from_dict(frame.decode(data, frame.Kind.PLAN, max_payload=0).header)

    def __eq__(self, other: object) -> bool:
        return self.to_dict() == other.to_dict() if isinstance(other, Plan) else NotImplemented

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

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a FixedPoint plan cannot be changed: make a new one")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("a FixedPoint plan cannot be changed: make a new one")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).from_dict, (self.to_dict(),)


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
