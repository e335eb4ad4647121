"""Wide encrypted integers opened under one mask each: what the two-party protocols turn into shares.

:meth:`CipherArray.to_shares <bluetusk.paillier.CipherArray.to_shares>` masks every value of an array and packs what it
masked. Here the caller has packed values already. One mask rho, uniform on [0, n), covers all of them: the key holder
opens ``w = V + rho mod n``, which is uniform on [0, n) whatever V is. It is ``V + rho`` but for a probability of
``|V| / n``, below 2^-64. A value that begins at bit s of V is then shared as ``floor(w / 2^s)`` and
``-floor(rho / 2^s)``, modulo any power of two below its width, and is off by at most one unit (carries and borrows from
below).

:func:`blind_nonzero` hides more: of each plaintext it reveals only whether it is zero.
"""

from __future__ import annotations

import os
import secrets

import gmpy2
import numpy as np

from ..encoding import FixedPoint
from ..errors import EncodingOverflow, FrameError
from ..modexp import powmod
from . import encrypting, hazmat, slots
from .array import CipherArray, encrypt_integers
from .keys import PrivateKey, PublicKey
from .proofs import require_proven
from .seed import SEEDS

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
        The masks rho, uniform on [0, n).
    message : bytes
        The ciphertexts of v + rho mod n, re-randomised by r^n, for :func:`unmask`.

    Raises
    ------
    EncodingOverflow
        If the integers do not leave 64 bits of a plaintext of the key free.
    InvalidKey
        If the key is not proven.

    Examples
    --------
    >>> import bluetusk as bt
    >>> c = pub.encrypt([70, -3], bt.FixedPoint.integers(100))
    >>> masks, message = mask(c, 8)
    >>> [v - rho for v, rho in zip(unmask(priv, message, 2), masks)]
    [70, -3]
    """
    if bits > slots.room(c.public_key.bits, masked=True):
        raise EncodingOverflow(f"{bits} bits and a mask do not fit a key of {c.public_key.bits} bits: use a larger key")
    seeds = SEEDS.get()
    source = os.urandom if seeds is None else seeds(c.public_key, ()).source(c.public_key.fingerprint)
    masks = slots.uniform(c.public_key.n, c.size, source)
    hidden = slots.hide(c, masks, source=source, threads=threads)
    return masks, hidden.to_bytes(hidden.bound)


def unmask(priv: PrivateKey, message: bytes | memoryview, count: int, *, threads: int | None = None) -> list[int]:
    """Open what :func:`mask` sent: the key holder's side.

    Parameters
    ----------
    priv : PrivateKey
        The key of the array.
    message : bytes-like
        From the evaluator.
    count : int
        What the two sides agreed on.
    threads : int, optional
        Overrides :func:`bluetusk.set_num_threads`.

    Returns
    -------
    list of int
        The masked values, in [0, n). None of them can be told from a random number, so there is no range to check.

    Raises
    ------
    FrameError, InvalidKey, InvalidCiphertext
        If the message is malformed, for another key, or holds an invalid ciphertext.

    Examples
    --------
    >>> unmask(priv, b"", 2)
    Traceback (most recent call last):
        ...
    bluetusk.errors.FrameError: frame is truncated: 0 bytes are fewer than its fixed header of 20
    """
    pub = priv.public_key
    c = received(message, pub, count, pub.bits, threads=threads)
    return [v % pub.n for v in slots.opened(priv, c, threads=threads)]


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

    Raises
    ------
    InvalidKey
        If the key is not proven.

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
    require_proven(c.public_key)
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
    seeds = SEEDS.get()
    seed = None if seeds is None else seeds(priv.public_key, values)
    return encrypt_integers(priv, array, plan, frac=0, bound=bound, seed=seed, threads=threads).to_bytes(bound)
