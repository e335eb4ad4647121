"""Turns encrypted arrays into additive shares and back; the protocol is in ``docs/decisions/to-shares.md``.

The evaluator, who holds an encrypted array, and the holder of its key end up with shares modulo 2^64 (2^32) of the
encrypted integers, and learn nothing else. Masks and opened values pass through Python integers, so their handling is
not constant-time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from .._numeric import as_array, as_int, refuse_masks
from ..encoding import FixedPoint
from ..errors import EncodingOverflow, FrameError
from ..wire import frame
from . import _bounds, encrypting
from ._base import CipherBase
from ._share_request import FIELDS, places, ring_bits, to_shares, word_dtype
from .array import CipherArray, encrypt_integers
from .keys import PrivateKey, PublicKey
from .slots import STATISTICAL_BITS, Slots, draw, mask, opened, width_of

__all__ = ["RingArray", "encrypt_share", "open_shares", "to_shares"]


def _words(share: Any, name: str) -> NDArray[Any]:
    """Return words of a ring, refusing everything else."""
    array = as_array(share, name)
    if array.dtype not in (np.uint32, np.uint64) or not array.dtype.isnative:
        raise TypeError(f"{name} must be an array of uint64 or uint32, not {array.dtype}")
    return array


def open_shares(
    priv: PrivateKey, message: bytes | bytearray | memoryview, *, threads: int | None = None
) -> NDArray[Any]:
    """Open what :meth:`CipherArray.to_shares` sent: the key holder's side.

    Parameters
    ----------
    priv : PrivateKey
        The key of the array.
    message : bytes-like
        From the evaluator.
    threads : int, optional
        Overrides :func:`bluetusk.set_num_threads`.

    Returns
    -------
    ndarray of uint64 or uint32
        The key holder's share, of the shape of the array. Added to the evaluator's, modulo 2^64 (2^32), it gives the
        encrypted integers, or with ``truncate`` their quotients rounded down or one more.

    Raises
    ------
    DecryptionError
        If the message has an earlier form (with a mask for each value) and does not decrypt to masked values.
    FrameError, InvalidKey, InvalidCiphertext
        If the message is malformed, for another key, or holds an invalid ciphertext.

    Examples
    --------
    >>> import bluetusk as bt
    >>> c = pub.encrypt([3, -4], bt.FixedPoint.integers(100))
    >>> mine, message = c.to_shares()
    >>> (mine + bt.paillier.open_shares(priv, message)).astype("int64")
    array([ 3, -4])
    """
    if not isinstance(priv, PrivateKey):
        raise TypeError(f"priv must be a PrivateKey, not {type(priv).__name__}")
    got = frame.decode(message, frame.Kind.SHARE_REQUEST)
    frame.check_fields(got.header, FIELDS, ("mask_bits",))
    pub = priv.public_key
    bits = frame.field(got.header, "bits", int, low=32, high=64)
    slot_bits = frame.field(got.header, "slot_bits", int, low=bits, high=pub.bits)
    truncate = frame.field(got.header, "truncate", int, low=0, high=slot_bits - bits)
    shape = frame.shape_field(got.header)
    earlier = "mask_bits" in got.header  # a mask for each value, 104 bits longer than the bound
    slots = Slots.fitting(pub.bits, slot_bits) if earlier else places(pub.bits, slot_bits)
    if bits not in (32, 64) or slots.count < 1:
        raise FrameError("frame fields 'bits' and 'slot_bits' disagree")
    if earlier and slot_bits != width_of(1 << frame.field(got.header, "mask_bits", int, low=0, high=pub.bits)):
        raise FrameError("frame fields 'mask_bits' and 'slot_bits' disagree")
    count = math.prod(shape)
    if count == 0:
        if got.payload:
            raise FrameError("frame field 'shape' has no values, but there is a payload")
        return np.zeros(shape, word_dtype(bits))
    c = CipherArray.from_bytes(got.payload, pub, threads=threads)
    if c.packed or c.shape != (slots.blocks(count),):
        raise FrameError(f"{count} values in {slots.count} slots do not fill ciphertexts of shape {c.shape}")
    blocks = opened(priv, c, threads=threads)
    values = slots.signed(blocks, count) if earlier else slots.floors([block % pub.n for block in blocks], count)
    return np.array([(value >> truncate) % (1 << bits) for value in values], word_dtype(bits)).reshape(shape)


# --- back
# -----------------------------------------------------------------------------------------------------------------


def encrypt_share(key: PublicKey | PrivateKey, share: NDArray[Any], *, threads: int | None = None) -> CipherArray:
    """Encrypt the key holder's share, for the evaluator to add its own.

    Parameters
    ----------
    key : PublicKey or PrivateKey
        The key holder's.
    share : ndarray of uint64 or uint32
        Words of the ring.
    threads : int, optional
        Overrides :func:`bluetusk.set_num_threads`.

    Returns
    -------
    CipherArray
        Of signed integers that are `share` modulo 2^64 (2^32); send it as :meth:`CipherArray.to_bytes`.

    Raises
    ------
    TypeError
        If `share` is not an array of uint64 or uint32.

    Examples
    --------
    >>> import numpy as np, bluetusk as bt
    >>> bt.paillier.encrypt_share(priv, np.array([1, 2], np.uint64)).shape
    (2,)
    """
    array = _words(share, "share")
    half = 1 << (8 * array.itemsize - 1)
    plan = FixedPoint.integers(limit=half - 1, max_weight=2)
    return encrypt_integers(key, _signed(array), plan, frac=0, bound=half, threads=threads)


def _signed(words: NDArray[Any]) -> NDArray[np.int64]:
    """Return words as the signed integers nearest to 0 that they stand for."""
    return np.ascontiguousarray(words).view(f"i{words.itemsize}").reshape(words.shape).astype(np.int64)


@dataclass(frozen=True, eq=False)
class RingArray:
    """Encrypted integers that are valid modulo 2^64 (2^32) only: the sum of two shares, and results computed from it.

    ``+ - *`` with plain integers and arrays of them on either side, ``+ -`` with other such arrays, ``shape``,
    ``len`` and indexing work as in NumPy. It is not a :class:`CipherArray`: only its decryption reduces. Plain words of
    the ring (uint64, uint32) count as the integers that they are; every other operation takes :attr:`encrypted`.

    Attributes
    ----------
    encrypted : CipherArray
        The integers.
    bits : int
        64 or 32.

    Examples
    --------
    >>> import bluetusk as bt
    >>> shares = bt.sharing.ring.share([5, -7], parties=2)
    >>> ring = bt.paillier.RingArray.of(bt.paillier.encrypt_share(pub, shares[0]), shares[1])
    >>> (3 * ring - 1).decrypt(priv)
    array([ 14, -22])
    """

    encrypted: CipherArray
    bits: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "bits", ring_bits(self.bits))
        if not isinstance(self.encrypted, CipherBase) or self.encrypted.packed or self.encrypted.frac:
            raise TypeError("encrypted must be a CipherArray of integers, not packed, as encrypt_share() makes it")

    @classmethod
    def of(cls, encrypted: CipherArray, share: NDArray[Any]) -> RingArray:
        """Add the evaluator's share to the key holder's encrypted one.

        Parameters
        ----------
        encrypted : CipherArray
            From :func:`encrypt_share`.
        share : ndarray of uint64 or uint32
            The evaluator's.

        Returns
        -------
        RingArray

        Raises
        ------
        TypeError, ValueError
            If `share` is not an array of words of that ring, or the shapes or rings differ.

        Examples
        --------
        >>> import bluetusk as bt
        >>> shares = bt.sharing.ring.share([2**40], parties=2)
        >>> bt.paillier.RingArray.of(bt.paillier.encrypt_share(pub, shares[1]), shares[0]).decrypt(priv).item() == 2**40
        True
        """
        array = _words(share, "share")
        if array.shape != encrypted.shape:
            raise ValueError(
                f"the shares have the shapes {encrypted.shape} and {array.shape}: give two shares of one array"
            )
        return cls(encrypted + _signed(array), 8 * array.itemsize)

    __array_ufunc__ = None  # so that NumPy leaves plain * ring to us
    __pandas_priority__ = 5000  # and pandas, whose frames have 4000

    def __array__(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("a RingArray cannot become a NumPy array: decrypt(priv) gives its values")

    def __repr__(self) -> str:
        key = self.encrypted.public_key.fingerprint.hex()[:12]
        return f"<RingArray modulo 2^{self.bits}, shape {self.shape}, under the key {key}>"

    def _no_value(self, *_: object) -> NoReturn:
        raise TypeError(
            "a RingArray has no value to convert or compare: use decrypt(priv) (and `is` to compare objects)"
        )

    __bool__ = __int__ = __float__ = __complex__ = __index__ = _no_value
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __contains__ = _no_value
    __hash__ = None  # type: ignore[assignment]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array (tuple of int).

        Examples
        --------
        >>> import numpy as np, bluetusk as bt
        >>> bt.paillier.RingArray(bt.paillier.encrypt_share(pub, np.ones((2, 3), np.uint64)), 64).shape
        (2, 3)
        """
        return self.encrypted.shape

    @property
    def ndim(self) -> int:
        """Number of axes (int).

        Examples
        --------
        >>> import numpy as np, bluetusk as bt
        >>> bt.paillier.RingArray(bt.paillier.encrypt_share(pub, np.uint64(3)), 64).ndim
        0
        """
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements (int).

        Examples
        --------
        >>> import numpy as np, bluetusk as bt
        >>> bt.paillier.RingArray(bt.paillier.encrypt_share(pub, np.ones((2, 3), np.uint64)), 64).size
        6
        """
        return math.prod(self.shape)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("a RingArray of shape () has no length")
        return self.shape[0]

    def __getitem__(self, key: Any) -> RingArray:
        return self._with(self.encrypted[key])

    def _with(self, encrypted: Any) -> RingArray:
        return RingArray(encrypted, self.bits)

    def _operand(self, other: Any, sign: str) -> Any:
        """Return the other side of an operator: integers, or the ciphertexts of an array of the same ring."""
        if isinstance(other, RingArray):
            if other.bits != self.bits:
                raise ValueError(f"one array is modulo 2^{self.bits}, the other modulo 2^{other.bits}")
            return other.encrypted
        if isinstance(other, CipherBase):
            raise TypeError(f"ring {sign} c: a CipherArray is not reduced modulo 2^{self.bits}: use ring.encrypted")
        refuse_masks(other, f"the operand of ring {sign} array")
        plain = _bounds.as_operand(other, f"the operand of ring {sign} array")
        if plain is not None and not plain.size:
            return plain.astype(np.int64)  # an empty list is one of floats for NumPy
        if plain is not None and _bounds.is_real(plain):
            raise TypeError(f"integers modulo 2^{self.bits} take integers: encode reals first")
        return plain

    def _apply(self, sign: str, other: Any) -> Any:
        operand = self._operand(other, sign)
        if operand is None:
            return NotImplemented
        if sign == "*":
            if isinstance(other, RingArray):
                raise TypeError("two ciphertexts cannot be multiplied: multiply shares with bt.sharing.beaver")
            return self._with(self.encrypted * operand)
        return self._with(self.encrypted + operand if sign == "+" else self.encrypted - operand)

    def __add__(self, other: Any) -> RingArray:
        return self._apply("+", other)  # type: ignore[no-any-return]

    def __sub__(self, other: Any) -> RingArray:
        return self._apply("-", other)  # type: ignore[no-any-return]

    def __rsub__(self, other: Any) -> RingArray:
        return (-self)._apply("+", other)  # type: ignore[no-any-return]

    def __mul__(self, other: Any) -> RingArray:
        return self._apply("*", other)  # type: ignore[no-any-return]

    __radd__ = __add__
    __rmul__ = __mul__

    def __neg__(self) -> RingArray:
        return self._with(-self.encrypted)

    def __pos__(self) -> RingArray:
        return self

    def to_bytes(self, bound: int, *, threads: int | None = None) -> bytes:
        """Return the array as a frame that reveals its integers modulo 2^64 (2^32), and nothing else about them.

        A random multiple of 2^64 is added to each, 104 bits larger than the bound, and r^n is multiplied in: without
        it the number of wraps would reveal something about the other party's share.

        Parameters
        ----------
        bound : int
            What the receiver may know of the size of the integers, at least the array's own bound.
        threads : int, optional
            Overrides :func:`bluetusk.set_num_threads`.

        Returns
        -------
        bytes
            For :meth:`from_bytes` at the key holder.

        Raises
        ------
        EncodingOverflow
            If `bound` is below the array's own, or leaves no room for the mask.
        InvalidKey
            If the key is not :attr:`~PublicKey.proven`.

        Examples
        --------
        >>> import bluetusk as bt
        >>> shares = bt.sharing.ring.share([1, 2], parties=2)
        >>> ring = bt.paillier.RingArray.of(bt.paillier.encrypt_share(pub, shares[0]), shares[1])
        >>> bt.paillier.RingArray.from_bytes(ring.to_bytes(2**65), pub).decrypt(priv)
        array([1, 2])
        """
        bound = as_int(bound, "bound", 0)
        if bound < self.encrypted.bound:
            raise EncodingOverflow(f"bound has {bound.bit_length()} bits, fewer than the array's own: declare more")
        mask_bits = bound.bit_length() + STATISTICAL_BITS
        flat = self.encrypted.reshape(-1)
        if mask_bits + 1 > int(flat._capacity()).bit_length() - 1:
            raise EncodingOverflow(f"a mask of {mask_bits} bits does not fit the key: multiply by smaller factors")
        masks = [rho << self.bits for rho in draw(mask_bits - self.bits, flat.size)]
        header = {"bits": self.bits, "shape": [int(d) for d in self.encrypted.shape]}
        limit = 1 << (mask_bits + 1)
        payload = mask(flat, masks, limit, threads=threads).to_bytes(limit)
        return frame.encode(frame.Kind.RING_ARRAY, header, payload)

    @classmethod
    def from_bytes(
        cls, data: bytes | bytearray | memoryview, pub: PublicKey, *, threads: int | None = None
    ) -> RingArray:
        """Read an array from a frame that anyone may have written.

        Parameters
        ----------
        data : bytes-like
            One whole frame.
        pub : PublicKey
            The key.
        threads : int, optional
            Overrides :func:`bluetusk.set_num_threads`.

        Returns
        -------
        RingArray

        Raises
        ------
        FrameError, InvalidKey, InvalidCiphertext
            As :meth:`CipherArray.from_bytes`.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.paillier.RingArray.from_bytes(b"anything else", pub)
        Traceback (most recent call last):
            ...
        bluetusk.errors.FrameError: frame is truncated: 13 bytes are fewer than its fixed header of 20
        """
        got = frame.decode(data, frame.Kind.RING_ARRAY)
        frame.check_fields(got.header, ("bits", "shape"))
        bits = frame.field(got.header, "bits", int, low=32, high=64)
        shape = frame.shape_field(got.header)
        encrypted = CipherArray.from_bytes(got.payload, pub, threads=threads)
        if bits not in (32, 64) or encrypted.packed or encrypted.frac:
            raise FrameError("the frame does not hold integers modulo 2^32 or 2^64")
        if encrypted.shape != (math.prod(shape),):
            raise FrameError(f"frame field 'shape' needs {math.prod(shape)} values, not {encrypted.size}")
        return cls(encrypted.reshape(shape), bits)

    def decrypt(self, priv: PrivateKey, *, threads: int | None = None) -> NDArray[Any]:
        """Decrypt, and reduce.

        Parameters
        ----------
        priv : PrivateKey
            The key.
        threads : int, optional
            Overrides :func:`bluetusk.set_num_threads`.

        Returns
        -------
        ndarray of int64 or int32
            The integers nearest to 0.

        Raises
        ------
        DecryptionError, InvalidKey
            As :meth:`PrivateKey.decrypt`.

        Examples
        --------
        >>> import numpy as np, bluetusk as bt
        >>> words = np.array([2**64 - 3], np.uint64)
        >>> bt.paillier.RingArray(bt.paillier.encrypt_share(pub, words), 64).decrypt(priv)
        array([-3])
        """
        integers = encrypting.decrypted(priv, self.encrypted, threads=threads, progress=None)
        words = np.array([int(v) % (1 << self.bits) for v in integers.reshape(-1).tolist()], word_dtype(self.bits))
        return words.view(f"i{self.bits // 8}").reshape(self.encrypted.shape)
