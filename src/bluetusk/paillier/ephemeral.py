"""A key for one job: made by the protocols themselves, of the size that the caller named, and closed at their end."""

from __future__ import annotations

from . import primes, validate
from .private_key import PrivateKey

__all__ = ["ephemeral_key"]


def ephemeral_key(bits: int, *, threads: int | None = None) -> PrivateKey:
    """Return a fresh private key of suite ``djn``.

    :func:`generate_keypair` warns of 2048 bits; here whoever chose the size for the job was told. (A caller that muted
    the warning would have to change the process's filters, which threads share.)

    Parameters
    ----------
    bits : {3072, 2048, 4096}
        Size of n.
    threads : int, optional
        Overrides :func:`bluetusk.set_num_threads`.

    Returns
    -------
    PrivateKey
        To be closed by the caller.

    Raises
    ------
    InvalidKey
        If no such size is offered.

    Examples
    --------
    >>> with ephemeral_key(2048) as key:
    ...     key.public_key.bits
    2048
    """
    validate.check_bits(bits)
    p, q = primes.generate_primes(bits // 2, threads=threads)
    return PrivateKey._generated(int(p), int(q), "djn")
