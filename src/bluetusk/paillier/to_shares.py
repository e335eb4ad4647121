"""The bridge between encrypted arrays and additive shares; the protocol is in ``docs/decisions/to-shares.md``.

The evaluator, who holds an encrypted array, and the holder of its key end up with shares modulo 2^64 (2^32) of the
encrypted integers, and learn nothing else. Masks and opened values pass through Python integers, so their handling is
not constant-time.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from .._kernels import pack
from .._numeric import as_array, as_int, refuse_masks
from .._powers import product_us
from ..encoding import FixedPoint
from ..errors import DecryptionError, EncodingOverflow, FrameError
from ..wire import frame
from . import _bounds as arith
from . import _frames as frames
from . import encrypting
from ._base import CipherBase
from ._store import DERIVED, Store, build, gathered
from .keys import PrivateKey, PublicKey

if TYPE_CHECKING:
    from .array import CipherArray

__all__ = ["RingArray", "encrypt_share", "open_shares", "to_shares"]

STATISTICAL_BITS = 104
_FIELDS = ("bits", "mask_bits", "shape", "slot_bits", "truncate")


def _width(bits: int) -> int:
    """Return the ring's bits as Python's int: ``1 << numpy.int64(64)`` is 0."""
    width = as_int(bits, "bits")
    if width not in (32, 64):
        raise ValueError(f"bits must be 32 or 64, not {width}")
    return width


def _dtype(bits: int) -> np.dtype[Any]:
    return np.dtype(np.uint32 if bits == 32 else np.uint64)


def _words(share: Any, name: str) -> NDArray[Any]:
    """Return words of a ring, refusing everything else."""
    array = as_array(share, name)
    if array.dtype not in (np.uint32, np.uint64) or not array.dtype.isnative:
        raise TypeError(f"{name} must be an array of uint64 or uint32, not {array.dtype}")
    return array


def _random_below_2(bits: int, count: int) -> list[int]:
    """Return integers uniform below 2^bits."""
    width = -(-bits // 8)
    data, low = os.urandom(width * count), (1 << bits) - 1
    return [int.from_bytes(data[i : i + width], "little") & low for i in range(0, len(data), width)]


def to_shares(
    c: CipherArray, bits: int = 64, *, truncate: int = 0, bound: int | None = None, threads: int | None = None
) -> tuple[NDArray[Any], bytes]:
    """Turn an encrypted array into shares: the evaluator's side; see :meth:`CipherArray.to_shares`."""
    bits = _width(bits)
    if c.packed:
        raise ValueError("a packed array's slots are too narrow for masks: encrypt with packed=False")
    pub, declared = c.public_key, frames.declared_bound(c, bound)
    mask_bits = declared.bit_length() + STATISTICAL_BITS
    truncate = as_int(truncate, "truncate", 0, mask_bits - bits)
    slot_bits = mask_bits + 2
    slots = (int(pub.n).bit_length() - 2) // slot_bits
    if slots < 1:
        raise EncodingOverflow(
            f"a mask of {mask_bits} bits does not fit a key of {pub.bits}: declare a smaller bound than one of "
            f"{declared.bit_length()} bits"
        )
    masks = _random_below_2(mask_bits, c.size)
    share = np.array([-(rho >> truncate) % (1 << bits) for rho in masks], _dtype(bits)).reshape(c.shape)
    header = {
        "bits": bits,
        "truncate": truncate,
        "slot_bits": slot_bits,
        "mask_bits": mask_bits,
        "shape": [int(d) for d in c.shape],
    }
    blocks = [
        sum(rho << (slot_bits * j) for j, rho in enumerate(masks[i : i + slots])) for i in range(0, c.size, slots)
    ]
    if not blocks:
        return share, frame.encode(frame.Kind.SHARE_REQUEST, header)
    summed = _shifted(c, slots, slot_bits)
    limit = 1 << (slot_bits * slots)  # each slot is below 2^(slot_bits - 1) in magnitude
    masked = _masked(summed, blocks, limit, threads)
    return share, frame.encode(frame.Kind.SHARE_REQUEST, header, masked.to_bytes(limit))


def _shifted(c: CipherArray, slots: int, slot_bits: int) -> CipherArray:
    """Return one ciphertext for `slots` values: the sum of value j times 2^(slot_bits j), by Horner's rule."""
    from .array import concatenate

    flat = c.reshape(-1)
    whole = len(flat) // slots

    def horner(rows: CipherArray) -> CipherArray:
        total = rows[:, rows.shape[1] - 1]
        for j in range(rows.shape[1] - 2, -1, -1):
            total = total * (1 << slot_bits) + rows[:, j]
        return total

    parts = []
    if whole:
        parts.append(horner(flat[: whole * slots].reshape(whole, slots)))
    if len(flat) > whole * slots:
        parts.append(horner(flat[whole * slots :].reshape(1, -1)))
    return parts[0] if len(parts) == 1 else concatenate(parts)


def _masked(c: CipherArray, blocks: list[int], bound: int, threads: int | None) -> CipherArray:
    """Multiply each ciphertext by (1 + n R) r^n with a fresh unit r: afterwards only its plaintext is left of it."""
    pub = c.public_key
    kernel, mont, n = pub._kernel, pub._kernel.mont, len(blocks)
    values = np.empty(n, dtype=object)
    values[:] = blocks
    rows = encrypting.residue_rows(pub, values, None)
    plain = gathered(c._store, c._flat(), threads=threads)

    def work(dst: NDArray[np.uint64], lo: int, hi: int) -> None:
        kernel.blind_standard(dst, 0, hi - lo, pub._blinder._random_units(hi - lo))
        kernel.mul_plain(dst, dst, None, rows(lo, hi), 0, hi - lo, True)
        mont.mul(dst, dst, None, plain.words, np.arange(lo, hi, dtype=np.int64), 0, hi - lo)

    cost_us = 1.25 * pub.bits * product_us(mont)
    words = build(mont, n, work, cost_us=cost_us, threads=threads)
    return type(c)._make(Store(mont, words, n, DERIVED), np.arange(n, dtype=np.int64), pub, c.plan, c.frac, bound, None)


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
        If what was sent does not decrypt to masked values.
    FrameError, InvalidKey, InvalidCiphertext
        If the message is none, for another key, or holds no ciphertexts.

    Examples
    --------
    >>> import bluetusk as bt
    >>> c = pub.encrypt([3, -4], bt.FixedPoint.integers(100))
    >>> mine, message = c.to_shares()
    >>> (mine + bt.paillier.open_shares(priv, message)).astype("int64")
    array([ 3, -4])
    """
    from .array import CipherArray

    if not isinstance(priv, PrivateKey):
        raise TypeError(f"priv must be a PrivateKey, not {type(priv).__name__}")
    got = frame.decode(message, frame.Kind.SHARE_REQUEST)
    frame.check_fields(got.header, _FIELDS)
    pub = priv.public_key
    bits = frame.field(got.header, "bits", int, low=32, high=64)
    mask_bits = frame.field(got.header, "mask_bits", int, low=STATISTICAL_BITS, high=pub.bits)
    slot_bits = frame.field(got.header, "slot_bits", int, low=STATISTICAL_BITS, high=pub.bits)
    truncate = frame.field(got.header, "truncate", int, low=0, high=mask_bits)
    shape = frame.shape_field(got.header)
    slots = (int(pub.n).bit_length() - 2) // slot_bits
    if bits not in (32, 64) or slot_bits != mask_bits + 2 or slots < 1:
        raise FrameError("frame fields 'bits', 'mask_bits' and 'slot_bits' disagree")
    count = math.prod(shape)
    if count == 0:
        if got.payload:
            raise FrameError("frame field 'shape' has no values, but there is a payload")
        return np.zeros(shape, _dtype(bits))
    c = CipherArray.from_bytes(got.payload, pub, threads=threads)
    if c.packed or c.shape != (-(-count // slots),):
        raise FrameError(f"{count} values in {slots} slots do not take ciphertexts of shape {c.shape}")
    rows = encrypting._decrypted_rows(priv, c, threads, None)
    limit = (1 << mask_bits) + (1 << (mask_bits - STATISTICAL_BITS))
    values: list[int] = []
    for block in pack.ints_from_residues(rows, int(pub.n)):
        rest = int(block)
        for _ in range(min(slots, count - len(values))):
            low = rest & ((1 << slot_bits) - 1)
            value = low - (1 << slot_bits) if low >> (slot_bits - 1) else low
            if not limit - (1 << mask_bits) >= -value or value >= limit:
                raise DecryptionError("a masked value is out of its range")
            values.append(value)
            rest = (rest - value) >> slot_bits
        if rest:
            raise DecryptionError("a block of masked values does not end where it should")
    return np.array([(value >> truncate) % (1 << bits) for value in values], _dtype(bits)).reshape(shape)


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
        If `share` is no array of words.

    Examples
    --------
    >>> import numpy as np, bluetusk as bt
    >>> bt.paillier.encrypt_share(priv, np.array([1, 2], np.uint64)).shape
    (2,)
    """
    from .array import encrypt_integers

    array = _words(share, "share")
    return encrypt_integers(
        key, _signed(array), _word_plan(array.itemsize), frac=0, bound=1 << (8 * array.itemsize - 1), threads=threads
    )


def _signed(words: NDArray[Any]) -> NDArray[np.int64]:
    """Return words as the signed integers nearest to 0 that they stand for."""
    return np.ascontiguousarray(words).view(f"i{words.itemsize}").reshape(words.shape).astype(np.int64)


def _word_plan(itemsize: int) -> FixedPoint:
    return FixedPoint.integers(limit=(1 << (8 * itemsize - 1)) - 1, max_weight=2)


@dataclass(frozen=True, eq=False)
class RingArray:
    """Encrypted integers that are right modulo 2^64 (2^32) only: the sum of two shares, and what is computed from it.

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
        object.__setattr__(self, "bits", _width(self.bits))
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
            If the two do not fit.

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
                f"the shares have the shapes {encrypted.shape} and {array.shape}: they belong to no one array"
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
            raise TypeError("an array without axes has no length")
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
        plain = arith.as_operand(other, f"the operand of ring {sign} array")
        if plain is not None and not plain.size:
            return plain.astype(np.int64)  # an empty list is one of floats for NumPy
        if plain is not None and arith.is_real(plain):
            raise TypeError(f"integers modulo 2^{self.bits} take integers: encode reals first")
        return plain

    def _apply(self, sign: str, other: Any) -> Any:
        operand = self._operand(other, sign)
        if operand is None:
            return NotImplemented
        if sign == "*":
            if isinstance(other, RingArray):
                raise TypeError("there is no product of two ciphertexts: multiply shares with bt.sharing.beaver")
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
        """Return the array as a frame that tells its integers modulo 2^64 (2^32), and nothing else about them.

        A random multiple of 2^64 is added to each, 104 bits larger than the bound, and r^n is multiplied in: without
        it the number of wraps would tell about the other party's share.

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
            raise EncodingOverflow(f"bound has {bound.bit_length()} bits, less than the array's own: declare more")
        mask_bits = bound.bit_length() + STATISTICAL_BITS
        flat = self.encrypted.reshape(-1)
        if mask_bits + 1 > int(flat._capacity()).bit_length() - 1:
            raise EncodingOverflow(f"a mask of {mask_bits} bits does not fit the key: multiply by smaller factors")
        masks = [rho << self.bits for rho in _random_below_2(mask_bits - self.bits, flat.size)]
        header = {"bits": self.bits, "shape": [int(d) for d in self.encrypted.shape]}
        limit = 1 << (mask_bits + 1)
        payload = _masked(flat, masks, limit, threads).to_bytes(limit)
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
        from .array import CipherArray

        got = frame.decode(data, frame.Kind.RING_ARRAY)
        frame.check_fields(got.header, ("bits", "shape"))
        bits = frame.field(got.header, "bits", int, low=32, high=64)
        shape = frame.shape_field(got.header)
        encrypted = CipherArray.from_bytes(got.payload, pub, threads=threads)
        if bits not in (32, 64) or encrypted.packed or encrypted.frac:
            raise FrameError("the frame holds no integers modulo 2^32 or 2^64")
        if encrypted.shape != (math.prod(shape),):
            raise FrameError(f"frame field 'shape' needs {math.prod(shape)} values, there are {encrypted.size}")
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
        words = np.array([int(v) % (1 << self.bits) for v in integers.reshape(-1).tolist()], _dtype(self.bits))
        return words.view(f"i{self.bits // 8}").reshape(self.encrypted.shape)
