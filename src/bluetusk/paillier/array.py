"""Arrays of Paillier ciphertexts that behave as NumPy's do: encrypt, compute, send, decrypt.

A :class:`CipherArray` holds integers v under one public key, with one scale s and one proven bound on ``|v|`` for the
whole array; its values are ``v / 2^s`` (``v / 10^s`` under a decimal plan). Operations are exact on the integers;
whatever could leave the capacity of a ciphertext or of a packed slot is refused before it is computed (see
:mod:`bluetusk.paillier._arith` for the rules).

What a ciphertext hides, and what it does not. Sums and products carry the randomness of their operands, so a result of
arithmetic is re-randomised once, when it first leaves the process. Its holder learns nothing about the values, but the
owner of the private key who sees a result may learn the plain operands that went into it. Arithmetic takes time that
depends on the plain operands, which belong to the caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike, NDArray

from .. import _parallel
from .._numeric import as_array, as_numbers
from ..encoding import FixedPoint
from ..errors import EncodingOverflow
from . import _bounds, encrypting
from ._arith import Arith
from ._join import joined
from ._refusals import Refusals
from ._shape import Shape
from ._share_request import to_shares
from ._ufunc import Ufunc
from ._wire import Wire, check_plan
from .scheme import PrivateBase, PublicBase
from .seed import Seed

if TYPE_CHECKING:
    from . import PrivateKey, PublicKey

__all__ = ["CipherArray", "concatenate", "encrypt", "encrypt_integers"]


class CipherArray(Shape, Arith, Ufunc, Wire, Refusals):
    """An array of numbers encrypted under one Paillier public key.

    Made by :meth:`PublicKey.encrypt`, :meth:`PrivateKey.encrypt` and :meth:`from_bytes`. It has ``shape``, ``ndim``,
    ``size``, ``len``, iteration, every form of indexing, ``T``, ``reshape`` and their kin as views; ``+ - * @`` with
    plain arrays and numbers on either side (``@`` with sparse matrices of scipy, too), ``+ -`` with encrypted ones,
    ``sum``, ``cumsum`` and ``bincount``. NumPy's functions that move elements, join arrays, add or multiply by plain
    arrays take it, too, from ``numpy.append`` to ``numpy.einsum``, by NumPy's names of arguments. Plain operands are
    what :meth:`PublicKey.encrypt` takes: numbers of up to 64 bits, bools as 0 and 1, lists, ranges and buffers of them,
    series and frames of pandas (by position, not by label; for ``@`` on the right of the array only). ``c += x`` gives
    the name a new array, other names keep the old one. It never shows a value and refuses what Paillier cannot do with
    a TypeError.

    Notes
    -----
    A packed array (``packed=True``) holds many values in a ciphertext along its last axis. It is added, subtracted and
    multiplied as a whole, and indexed, reshaped, summed and concatenated along its leading axes only.

    References
    ----------
    P. Paillier, EUROCRYPT 1999; I. Damgard, M. Jurik, J. B. Nielsen, 2010; PPCA 10-2023 Annex A.1.

    Examples
    --------
    >>> import numpy as np
    >>> c = pub.encrypt([1.5, -2.0, 0.25])
    >>> d = 2 * c + np.array([1.0, 1.0, 1.0])
    >>> priv.decrypt(d)
    array([ 4. , -3. ,  1.5])
    >>> priv.decrypt(np.array([1.0, 10.0, 100.0]) @ c).item()
    6.5
    """

    __slots__ = ()

    def to_shares(
        self, bits: int = 64, *, truncate: int = 0, bound: int | None = None, threads: int | None = None
    ) -> tuple[NDArray[Any], bytes]:
        """Turn the array into two additive shares modulo 2^64 (2^32): this side's, and the key holder's by a message.

        Neither side learns the integers, and the message reveals nothing to the key holder about how they were
        computed.

        Parameters
        ----------
        bits : {64, 32}
            The ring.
        truncate : int
            Bits by which to divide, rounding down or up by one; before the reduction, so it never fails.
        bound : int, optional
            The bound on the integers that the message declares, as for :meth:`to_bytes`; its size sets that of the
            masks.
        threads : int, optional
            Overrides :func:`bluetusk.set_num_threads`.

        Returns
        -------
        share : ndarray of uint64 or uint32
            This side's share, of the array's shape: of the *integers*, value times 2^:attr:`frac`.
        message : bytes
            For the key holder's :func:`bluetusk.paillier.open_shares`.

        Raises
        ------
        EncodingOverflow
            If the plan does not cover the array's bound and none is given, or the masks do not fit the key.
        InvalidKey
            If the key is not :attr:`~PublicKey.proven`: have its owner's proof checked by
            :func:`~bluetusk.paillier.verify_modulus` first.
        ValueError
            If the array is packed, or an argument is out of range.

        Examples
        --------
        >>> import numpy as np
        >>> import bluetusk as bt
        >>> c = np.array([[1.0, 2.0], [3.0, -4.0]]) @ pub.encrypt([0.5, 0.25])
        >>> mine, message = c.to_shares(truncate=20, bound=2**46)
        >>> theirs = bt.paillier.open_shares(priv, message)
        >>> ((mine + theirs).astype(np.int64) / 2**20).round(4)
        array([1. , 0.5])
        """
        return to_shares(self, bits, truncate=truncate, bound=bound, threads=threads)

    def __repr__(self) -> str:
        scale = f"{self._plan.base}**-{self._frac}" if self._frac else "1"
        layout = f", packed in {self.slot_bits}-bit slots" if self.packed else ""
        return f"<CipherArray shape={self.shape}, key={self._pub.fingerprint.hex()[:12]}, scale={scale}{layout}>"


def encrypt(
    key: PublicKey | PrivateKey,
    array: ArrayLike,
    plan: FixedPoint | None = None,
    *,
    packed: bool = False,
    threads: int | None = None,
    progress: _parallel.Progress | None = None,
) -> CipherArray:
    """Encrypt an array of numbers.

    Parameters
    ----------
    key : PublicKey or PrivateKey
        With the private key the owner encrypts arrays of 16 ciphertexts and more faster, modulo p^2 and q^2, checked
        before anything is released. Smaller ones, and all in suite ``standard``, take the public key's way.
    array : array_like
        Integers or floats of any shape, up to 64 bits, in any byte order and layout; bools as 0 and 1; series and
        frames of pandas without missing values. :meth:`FixedPoint.quantise` and ``+ - * @`` follow the same rule.
    plan : FixedPoint, optional
        How numbers become integers. By default ``FixedPoint()`` for floats (20 fractional bits, absolute values up to
        4), and for integers a plan that keeps every int64 but the least exactly.
    packed : bool
        Whether the values along the last axis share ciphertexts, ``(bits - 2) // plan.slot_bits`` to each.
    threads : int, optional
        Overrides :func:`bluetusk.set_num_threads`.
    progress : callable, optional
        Called as ``progress(done, total)`` with counts of ciphertexts.

    Returns
    -------
    CipherArray
        Of the shape of `array`. Its attribute ``clipped`` counts the values that ``on_clip`` changed.

    Raises
    ------
    EncodingOverflow
        If a value exceeds the plan's clip (unless its ``on_clip`` says otherwise), or the plan does not fit the key.
    TypeError, ValueError
        If `array` holds NaN or infinity, or is of a dtype that cannot be encoded exactly.

    References
    ----------
    PPCA 10-2023 Annex A.1 (suite ``djn``).

    Examples
    --------
    >>> import numpy as np
    >>> from bluetusk.paillier.array import encrypt
    >>> encrypt(pub, np.zeros((2, 3))).shape
    (2, 3)
    """
    if not isinstance(key, PublicBase | PrivateBase):
        raise TypeError(f"key must be a PublicKey or a PrivateKey, not {type(key).__name__}")
    if isinstance(array, CipherArray):
        raise TypeError("array is encrypted already")
    check_plan(plan, optional=True)
    numbers = as_numbers(array, "array")
    chosen = encrypting.default_plan(numbers) if plan is None else plan
    ints, clipped = chosen.quantise(numbers, name="array")
    c = encrypt_integers(
        key,
        ints,
        chosen,
        frac=chosen.frac,
        bound=chosen.limit,
        packed=packed,
        threads=threads,
        progress=progress,
    )
    c._clipped = clipped
    return c


def encrypt_integers(
    key: PublicKey | PrivateKey,
    ints: NDArray[Any],
    plan: FixedPoint,
    *,
    frac: int,
    bound: int,
    packed: bool = False,
    slot_bits: int | None = None,
    seed: Seed | None = None,
    threads: int | None = None,
    progress: _parallel.Progress | None = None,
) -> CipherArray:
    """Encrypt integers that a plan has already made, at a scale and with a bound that the caller states.

    Parameters
    ----------
    key : PublicKey or PrivateKey
        The key.
    ints : ndarray of int64, or of object holding Python ints
        Integers of absolute value at most `bound`.
    plan : FixedPoint
        The plan that the array carries.
    frac : int
        Its scale.
    bound : int
        Proven bound on the absolute values.
    packed : bool
        As for :func:`encrypt`.
    slot_bits : int, optional
        Width of a slot; the plan's by default.
    seed : Seed, optional
        Where the randomness comes from, so that the array can be encrypted again; by default the operating system. The
        private key then takes the public key's way.
    threads : int, optional
        Overrides :func:`bluetusk.set_num_threads`.
    progress : callable, optional
        Called as ``progress(done, total)``.

    Returns
    -------
    CipherArray

    Raises
    ------
    EncodingOverflow
        If a value exceeds `bound`, or `bound` the capacity.
    ProtocolAbort
        If the seed was used for another array.

    Examples
    --------
    >>> import numpy as np
    >>> import bluetusk as bt
    >>> from bluetusk.paillier.array import encrypt_integers
    >>> c = encrypt_integers(pub, np.array([3, -4]), bt.FixedPoint(), frac=1, bound=8)
    >>> priv.decrypt(c)
    array([ 1.5, -2. ])
    """
    pub = key if isinstance(key, PublicBase) else key.public_key
    values = as_array(ints, "ints")
    packing = encrypting.packing_for(pub, plan, values.shape, slot_bits) if packed else None
    capacity = pub._capacity if packing is None else packing.capacity
    _bounds.check_capacity(bound, capacity, "encrypt", packing.slot_bits if packing else None)
    if _bounds.largest(values) > bound:
        raise EncodingOverflow(f"a value exceeds the stated bound {bound}: state a larger one or correct the values")
    store, index = encrypting.encrypted(key, values, packing, threads=threads, progress=progress, seed=seed)
    return CipherArray._make(store, index, pub, plan, frac, bound, packing)


def concatenate(arrays: Sequence[CipherArray | ArrayLike], axis: int | None = 0) -> CipherArray:
    """Join encrypted arrays along an existing axis.

    Parameters
    ----------
    arrays : sequence of CipherArray or array_like
        Of one key and equal shapes but for `axis`. Different scales are raised exactly to the largest. Plain numbers
        beside them are encrypted at that scale; at least one array must be encrypted already.
    axis : int or None
        The axis; of packed arrays a leading one. None joins the ravelled arrays.

    Returns
    -------
    CipherArray

    Raises
    ------
    TypeError
        If an item is neither encrypted nor numbers, or none is encrypted.
    InvalidKey, ValueError
        If keys, kinds of plan, layouts or shapes differ.

    Examples
    --------
    >>> import bluetusk as bt
    >>> a, b = pub.encrypt([1, 2]), pub.encrypt([3])
    >>> priv.decrypt_integers(bt.concatenate([a, b]))
    array([1, 2, 3])
    """
    return joined(arrays, axis)
