"""Wide encrypted integers opened under one mask each: what the two-party protocols turn into shares.

:meth:`CipherArray.to_shares <bluetusk.paillier.CipherArray.to_shares>` masks every value of an array and packs what it
masked. Here the caller has packed values already, and one mask of 104 bits more than the whole plaintext covers all of
them, so that a ciphertext holds almost twice as many. The results are integers ``V + rho`` and ``rho``: a value that
begins at bit s of V is then shared as ``floor((V + rho) / 2^s)`` and ``-floor(rho / 2^s)``, modulo any power of two
below its width, and is off by at most one unit (the carries from below).

:func:`blind_nonzero` hides more: of each plaintext it reveals only whether it is zero.
"""

from __future__ import annotations

import secrets

import gmpy2
import numpy as np

from ..encoding import FixedPoint
from ..errors import DecryptionError, EncodingOverflow, FrameError
from ..modexp import powmod
from . import encrypting, hazmat, slots
from .array import CipherArray, encrypt_integers
from .keys import PrivateKey, PublicKey
from .slots import STATISTICAL_BITS

__all__ = ["blind_nonzero", "mask", "open_zeros", "unmask"]


def mask(c: CipherArray, bits: int, *, threads: int | None = None) -> tuple[list[int], bytes]:
    """Mask encrypted integers: the evaluator's side.

    Parameters
    ----------
    c : CipherArray, shape (n,)
        Of integers v with ``|v| < 2^bits``; the caller has proved it from public numbers.
    bits : int
        Known to both sides: the largest length of an integer.
    threads : int, optional
        Overrides :func:`bluetusk.set_num_threads`.

    Returns
    -------
    masks : list of int
        The masks rho, uniform below ``2^(bits + 104)``.
    message : bytes
        The ciphertexts of v + rho, re-randomised by r^n, for :func:`unmask`.

    Raises
    ------
    EncodingOverflow
        If the integers and their masks do not fit a plaintext of the key.

    Examples
    --------
    >>> import bluetusk as bt
    >>> c = pub.encrypt([70, -3], bt.FixedPoint.integers(100))
    >>> masks, message = mask(c, 8)
    >>> [v - rho for v, rho in zip(unmask(priv, message, 2, 8), masks)]
    [70, -3]
    """
    if bits > slots.room(c.public_key.bits, masked=True):
        raise EncodingOverflow(f"{bits} bits and a mask do not fit a key of {c.public_key.bits} bits: use a larger key")
    masks = slots.draw(bits + STATISTICAL_BITS, c.size)
    limit = 1 << (bits + STATISTICAL_BITS + 1)
    known = slots.tightened(c, 1 << bits)
    return masks, slots.mask(known, masks, limit, threads=threads).to_bytes(limit)


def unmask(
    priv: PrivateKey, message: bytes | memoryview, count: int, bits: int, *, threads: int | None = None
) -> list[int]:
    """Open what :func:`mask` sent: the key holder's side.

    Parameters
    ----------
    priv : PrivateKey
        The key of the array.
    message : bytes-like
        From the evaluator.
    count, bits : int
        What the two sides agreed on.
    threads : int, optional
        Overrides :func:`bluetusk.set_num_threads`.

    Returns
    -------
    list of int
        The masked values.

    Raises
    ------
    DecryptionError
        If the message does not decrypt to masked values.
    FrameError, InvalidKey, InvalidCiphertext
        If the message is malformed, for another key, or holds an invalid ciphertext.

    Examples
    --------
    >>> unmask(priv, b"", 2, 8)
    Traceback (most recent call last):
        ...
    bluetusk.errors.FrameError: frame is truncated: 0 bytes are fewer than its fixed header of 20
    """
    c = received(message, priv.public_key, count, bits + STATISTICAL_BITS + 1, threads=threads)
    values = slots.opened(priv, c, threads=threads)
    least, most = -(1 << bits), (1 << (bits + STATISTICAL_BITS)) + (1 << bits)
    if not all(least < v < most for v in values):
        raise DecryptionError("a masked value is out of its range")
    return values


def blind_nonzero(c: CipherArray) -> bytes:
    """Hide encrypted integers but for which of them are zero: the evaluator's side.

    Each plaintext v is multiplied by a fresh unit u of Z_n, and the ciphertext by r^n with another one: a zero stays
    zero, and any other v that is prime to n becomes a uniform unit, whatever randomness the array was made with.

    Parameters
    ----------
    c : CipherArray, shape (n,)
        Of integers that are zero or prime to n, such as all below 2^20 in size (n has no such factor).

    Returns
    -------
    bytes
        For :func:`open_zeros`: the ciphertexts, little-endian, of twice the key's length each.

    References
    ----------
    I. Damgaard, M. Geisler, M. Kroigaard, "Efficient and Secure Comparison for On-Line Auctions", ACISP 2007: the step
    in which the party without the key multiplies by random exponents.

    Examples
    --------
    >>> import bluetusk as bt
    >>> open_zeros(priv, blind_nonzero(pub.encrypt([3, 0, -1], bt.FixedPoint.integers(5))), 3)
    [False, True, False]
    """
    n = int(c.public_key.n)
    square, width = n * n, c.public_key.bits // 4
    values = [int.from_bytes(row.tobytes(), "little") for row in encrypting.canonical(c)]
    units = [_unit(n) for _ in values]
    powers = powmod([*values, *(_unit(n) for _ in values)], [*units, *([n] * len(values))], square)
    half = len(values)
    return b"".join(
        int(p * r % square).to_bytes(width, "little") for p, r in zip(powers[:half], powers[half:], strict=True)
    )


def _unit(n: int) -> int:
    while gmpy2.gcd(unit := secrets.randbelow(n), n) != 1:
        pass  # an honest n has almost no such number
    return unit


def open_zeros(priv: PrivateKey, message: bytes | memoryview, count: int) -> list[bool]:
    """Find which of the integers that :func:`blind_nonzero` hid are zero: the key holder's side.

    Parameters
    ----------
    priv : PrivateKey
        The key of the array.
    message : bytes-like
        From the evaluator.
    count : int
        How many integers there are.

    Returns
    -------
    list of bool

    Raises
    ------
    FrameError, InvalidCiphertext, DecryptionError
        If the message has another length, or holds an invalid ciphertext.

    Examples
    --------
    >>> open_zeros(priv, b"", 1)
    Traceback (most recent call last):
        ...
    bluetusk.errors.FrameError: 1 blinded integers take 512 bytes, not 0
    """
    width = priv.public_key.bits // 4
    if len(message) != count * width:
        raise FrameError(f"{count} blinded integers take {count * width} bytes, not {len(message)}")
    values = [int.from_bytes(message[i : i + width], "little") for i in range(0, count * width, width)]
    return [m == 0 for m in hazmat.decrypt_raw(priv, values)]


def received(
    message: bytes | memoryview, pub: PublicKey, count: int, bits: int, *, threads: int | None = None
) -> CipherArray:
    """Read ciphertexts of integers of at most `bits` bits; every byte is checked."""
    c = CipherArray.from_bytes(message, pub, threads=threads)
    if c.packed or c.frac or c.shape != (count,) or c.bound > 1 << bits:
        raise FrameError(f"expected {count} encrypted integers of {bits} bits, the other party sent {c!r}")
    return c


def fresh(priv: PrivateKey, values: list[int], bits: int, *, threads: int | None = None) -> bytes:
    """Encrypt integers of at most `bits` bits for :func:`received`."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    bound = 1 << bits
    plan = FixedPoint.integers(1)  # does not limit the size: the bound does
    return encrypt_integers(priv, array, plan, frac=0, bound=bound, threads=threads).to_bytes(bound)
