"""Refuses the operations that an encrypted array does not have, and names what to use instead."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from . import _sparse

__all__ = ["Refusals"]

_DECRYPT = "decrypt first where that is allowed (priv.decrypt)"
_ORDER = f"encrypted numbers cannot be compared: {_DECRYPT}"
_IN_PLACE = "an encrypted array cannot be changed in place: build a new one with bt.concatenate, indexing or c + array"
_NO_BUFFER = "ciphertexts have no NumPy buffer: use c.to_bytes() or c.write_to(fp)"

_ROUND = "encrypt with a plan of fewer digits, or round what priv.decrypt(c) gives"
_SQUARES = "ciphertexts cannot be squared: encrypt x and x * x, and decrypt their sums"

_ATTRIBUTES = {
    "all": _ORDER,
    "any": _ORDER,
    "argmax": _ORDER,
    "argmin": _ORDER,
    "argpartition": _ORDER,
    "argsort": _ORDER,
    "astype": "choose the plan when encrypting (pub.encrypt(array, plan)), or convert the result of priv.decrypt",
    "choose": "use numpy.where(mask, c, d) with a plain mask",
    "clip": "clip when encrypting, by the plan (bt.FixedPoint(..., on_clip='clip'))",
    "conj": "encrypted numbers are real",
    "conjugate": "encrypted numbers are real",
    "cumprod": "Paillier adds ciphertexts and multiplies by plain numbers only",
    "data": _NO_BUFFER,
    "dtype": "c.plan and c.frac say how its numbers are encoded; priv.decrypt gives float64, decrypt_integers ints",
    "dump": "use c.write_to(fp)",
    "dumps": "use c.to_bytes()",
    "fill": _IN_PLACE,
    "flat": "use c.ravel()",
    "imag": "encrypted numbers are real",
    "itemset": _IN_PLACE,
    "item": "priv.decrypt(c).item() is its value; c[0] is one element, still encrypted",
    "itemsize": "c.nbytes // c.size is the size of a ciphertext, 2 * c.public_key.bits its bits",
    "max": _ORDER,
    "min": _ORDER,
    "nonzero": _ORDER,
    "partition": _ORDER,
    "prod": "Paillier adds ciphertexts and multiplies by plain numbers only",
    "ptp": _ORDER,
    "put": _IN_PLACE,
    "real": "encrypted numbers are real: use c itself",
    "resize": "use c.reshape(shape) for the same elements, numpy.tile(c, reps) or c[index] to repeat some",
    "round": _ROUND,
    "searchsorted": _ORDER,
    "setfield": _IN_PLACE,
    "sort": _ORDER,
    "std": _SQUARES,
    "strides": _NO_BUFFER,
    "tobytes": _NO_BUFFER,
    "tofile": _NO_BUFFER,
    "tolist": "priv.decrypt(c).tolist() is its values; list(c) is its rows, still encrypted",
    "var": _SQUARES,
    "view": "use c.reshape, c[...] and c.copy()",
}
_MEMORY = (
    "base",
    "byteswap",
    "ctypes",
    "device",
    "flags",
    "getfield",
    "newbyteorder",
    "setflags",
    "to_device",
    "tostring",
)
_ATTRIBUTES |= dict.fromkeys(_MEMORY, _NO_BUFFER)


class Refusals:
    """The operations that need the private key, or a scheme that multiplies ciphertexts."""

    __slots__ = ()

    # --- a value --------------------------------------------------------------------------------------------------

    def _no_value(self, *_: object) -> NoReturn:
        raise TypeError(
            "a CipherArray has no value to convert or compare: nobody can read it without the private key; "
            "use priv.decrypt(c) (and `is` to compare objects)"
        )

    __bool__ = __int__ = __float__ = __complex__ = __index__ = _no_value
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __contains__ = _no_value
    __hash__ = None  # type: ignore[assignment]

    def __array__(self, *_: object, **__: object) -> np.ndarray[tuple[()], np.dtype[np.object_]]:
        if _sparse.asked_by_scipy(2):
            # what makes scipy leave M @ c to __rmatmul__
            return np.empty((), dtype=object)
        caller = str(sys._getframe(1).f_globals.get("__name__"))
        if caller.startswith("numpy.ma"):
            raise TypeError(
                "numpy.ma does not work on encrypted arrays: fill or drop what is masked first, and compute with plain "
                "arrays; use priv.decrypt(c) for the values of c"
            )
        if caller.startswith("pandas."):
            raise TypeError(
                "pandas converts its operands to NumPy arrays, which a CipherArray cannot become: write "
                "x.to_numpy() @ c for a series or frame x (+ - * take x itself), priv.decrypt(c) for its values"
            )
        raise TypeError(
            "a CipherArray cannot become a NumPy array: use priv.decrypt(c) for its values, bt.concatenate or "
            "numpy.stack to join encrypted arrays"
        )

    def __format__(self, spec: str) -> str:
        if spec:
            raise TypeError(f"a CipherArray has no value to format as {spec!r}: format what priv.decrypt(c) gives")
        return str(self)

    def _no_rounding(self, *_: object) -> NoReturn:
        raise TypeError(f"a CipherArray cannot be rounded: {_ROUND}")

    __round__ = __trunc__ = __floor__ = __ceil__ = _no_rounding

    def _no_absolute(self, *_: object) -> NoReturn:
        raise TypeError(f"a CipherArray has no absolute value: the signs of encrypted numbers are hidden; {_DECRYPT}")

    __abs__ = _no_absolute

    # --- a change ---------------------------------------------------------------------------------------------------

    def __setitem__(self, key: object, value: object) -> NoReturn:
        raise TypeError("a CipherArray cannot be changed in place: build a new one with bt.concatenate or c + array")

    def __delitem__(self, key: object) -> NoReturn:
        raise TypeError("a CipherArray cannot be changed in place: use numpy.delete(c, index, axis)")

    # --- other arithmetic ---------------------------------------------------------------------------------------------

    def _division(self, other: object) -> NoReturn:
        raise TypeError(
            "a CipherArray cannot be divided: multiply by the reciprocal (c * 0.5), or divide once decrypted"
        )

    __truediv__ = __floordiv__ = __mod__ = __divmod__ = _division

    def _divisor(self, other: object) -> NoReturn:
        raise TypeError(
            "nothing can be divided by a CipherArray: encrypt the reciprocals of its numbers, or divide once decrypted"
        )

    __rtruediv__ = __rfloordiv__ = __rmod__ = __rdivmod__ = _divisor

    def _no_power(self, *_: object) -> NoReturn:
        raise TypeError(
            "a CipherArray is neither a base nor an exponent: Paillier adds ciphertexts and multiplies by plain "
            "numbers only; encrypt the powers themselves, such as x and x * x"
        )

    __pow__ = __rpow__ = _no_power

    def _no_bits(self, *_: object) -> NoReturn:
        raise TypeError(
            "a CipherArray has no bits to combine or shift: use c * mask with a plain 0/1 mask, 1 - c for the "
            "complement of encrypted zeros and ones, c * 2**k for a shift"
        )

    __invert__ = __and__ = __rand__ = __or__ = __ror__ = __xor__ = __rxor__ = _no_bits
    __lshift__ = __rlshift__ = __rshift__ = __rrshift__ = _no_bits

    def mean(self, *_: object, **__: object) -> NoReturn:
        """Refuse: ciphertexts cannot be divided.

        Raises
        ------
        TypeError
            Always, with what to use instead.

        Examples
        --------
        >>> c = pub.encrypt([1.0, 2.0, 3.0])
        >>> float(priv.decrypt(c.sum()) / c.size), round(float(priv.decrypt(c.sum() * (1 / c.size))), 5)
        (2.0, 2.0)
        """
        raise TypeError(
            "ciphertexts cannot be divided, so there is no exact mean: use c.sum(axis) * (1 / n), which the plan "
            "rounds, or divide the sum once it is decrypted"
        )

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            text = f"a CipherArray has no attribute {name!r}"
            if name in _ATTRIBUTES or (not name.startswith("_") and hasattr(np.ndarray, name)):
                text += f": {_ATTRIBUTES.get(name, _DECRYPT)}"
            raise AttributeError(text, name=name, obj=self)
