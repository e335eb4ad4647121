"""Keys for one job: made by the protocols themselves, kept with the job's state, closed at its end."""

from __future__ import annotations

from . import validate
from .private_key import PrivateKey
from .public_key import PublicKey
from .scheme import SCHEMES

__all__ = ["ephemeral_key", "restored_key", "restored_peer_key", "saved_key"]


def ephemeral_key(bits: int, *, threads: int | None = None) -> PrivateKey:
    """Return a fresh private key of suite ``djn``.

    Unlike :func:`generate_keypair` it does not warn about 2048 bits: the job's parameters document that choice.
    (Muting that warning would mean changing the process's filters, which threads share.)

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
    return PrivateKey._generated(*SCHEMES["djn"].generate(bits, threads), "djn")


def saved_key(priv: PrivateKey) -> tuple[bytes, bytes]:
    """Return the primes p and q, little-endian, of half the key's length each: for the sealed state of a job.

    Raises
    ------
    InvalidKey
        If the key is closed.

    Examples
    --------
    >>> [len(prime) for prime in saved_key(priv)] == [priv.public_key.bits // 16] * 2
    True
    """
    p, q = priv._kernel.export_primes()
    return p, q


def restored_key(p: bytes, q: bytes, current: PrivateKey | None = None) -> PrivateKey:
    """Return the key that :func:`saved_key` saved; every number is checked anew.

    Parameters
    ----------
    p, q : bytes
        The primes.
    current : PrivateKey, optional
        The job's key by now: it is returned if it is the same one, and not closed.

    Raises
    ------
    InvalidKey
        As :class:`PrivateKey`.

    Examples
    --------
    >>> restored_key(*saved_key(priv), priv) is priv
    True
    """
    if current is not None and not current.closed and saved_key(current) == (p, q):
        return current
    return PrivateKey(int.from_bytes(p, "little"), int.from_bytes(q, "little"))


def restored_peer_key(data: bytes) -> PublicKey:
    """Return a peer's key from this party's own sealed state, into which it came with its proof checked.

    Parameters
    ----------
    data : bytes
        From :meth:`PublicKey.to_bytes`. It must not come from the peer: the key counts as proven.

    Raises
    ------
    FrameError, InvalidKey
        As :meth:`PublicKey.from_bytes`.

    Examples
    --------
    >>> restored_peer_key(pub.to_bytes()).proven
    True
    """
    pub = PublicKey.from_bytes(data)
    pub._blinder.proven = True
    return pub
