"""Uniform words in bulk: AES-256-CTR keyed with 32 bytes from the operating system.

Masks and shares need gigabytes; the system's generator gives a third of one a second, AES in hardware six and more. A
:class:`Stream` is either fresh (keyed by ``os.urandom``, never twice the same) or the expansion of a seed that two
parties hold, which must give both the same words on any machine.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from numpy.typing import DTypeLike, NDArray

from ._fork import process

__all__ = ["SEED_BYTES", "Stream"]

SEED_BYTES = 32
_CHUNK = 1 << 16
_ZEROS = bytes(_CHUNK)  # what is encrypted: the output is the key stream itself


class Stream:
    """A stream of uniform words.

    Not to be shared between threads without a lock: each call takes the next words of the stream.

    Parameters
    ----------
    seed : bytes, optional
        32 bytes, used as the AES-256 key, with a counter that starts at 0. The stream is a function of the seed
        alone, so a seed must never be used for two purposes. By default fresh bytes from the operating system; then a
        forked child draws a new key before its first word, so that parent and child never share one.

    Notes
    -----
    Words are little-endian whatever the machine. NIST SP 800-38A, CTR mode; the strength is that of AES-256.

    Examples
    --------
    >>> Stream(bytes(32)).uint32(2)
    array([2025887196, 2307473570], dtype=uint32)
    >>> len({Stream().bytes(16) for _ in range(10)})
    10
    """

    __slots__ = ("_context", "_process")

    def __init__(self, seed: bytes | bytearray | memoryview | None = None) -> None:
        given = isinstance(seed, bytes | bytearray | memoryview) and memoryview(seed).nbytes == SEED_BYTES
        if seed is not None and not given:
            raise ValueError(f"seed must be {SEED_BYTES} bytes: hash or expand what you have to that length")
        self._process = None if seed is not None else process()
        self._start(os.urandom(SEED_BYTES) if seed is None else bytes(seed))

    def __repr__(self) -> str:
        return f"<Stream {'of a seed' if self._process is None else 'fresh'}>"

    def __reduce__(self) -> Any:
        raise TypeError("a Stream cannot be pickled or copied: its words would be used twice; make a new one")

    def _start(self, key: bytes) -> None:
        self._context: CipherContext = Cipher(AES(key), CTR(bytes(16))).encryptor()

    def fill(self, out: NDArray[Any]) -> None:
        """Overwrite an array with uniform bits.

        Parameters
        ----------
        out : ndarray of unsigned integers
            C-contiguous and writable.

        Raises
        ------
        TypeError
            If `out` is not a C-contiguous array of unsigned integers: uniform bits are not uniform values of other
            types.
        """
        if out.dtype.kind != "u" or not out.flags.c_contiguous:
            raise TypeError(f"out must be a C-contiguous array of unsigned integers, not of {out.dtype}")
        if self._process is not None and self._process is not process():
            self._start(os.urandom(SEED_BYTES))
            self._process = process()  # after the key, so that an interrupt leaves no child with its parent's
        if not out.size:
            return
        view = out.reshape(-1).view(np.uint8).data
        for lo in range(0, len(view), _CHUNK):
            part = view[lo : lo + _CHUNK]
            self._context.update_into(_ZEROS if len(part) == _CHUNK else _ZEROS[: len(part)], part)
        if out.dtype.byteorder == ">" or (out.dtype.byteorder == "=" and not np.little_endian):
            out.byteswap(inplace=True)

    def _words(self, shape: int | tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        out: NDArray[Any] = np.empty(shape, dtype)
        self.fill(out)
        return out

    def bytes(self, n: int) -> bytes:
        """Return n uniform bytes."""
        return self._words(n, np.uint8).tobytes()

    def uint32(self, shape: int | tuple[int, ...]) -> NDArray[np.uint32]:
        """Return an array of uniform 32-bit words."""
        return self._words(shape, np.uint32)

    def uint64(self, shape: int | tuple[int, ...]) -> NDArray[np.uint64]:
        """Return an array of uniform 64-bit words."""
        return self._words(shape, np.uint64)

    def words(self, shape: int | tuple[int, ...], bits: int) -> NDArray[Any]:
        """Return words uniform on ``0 .. 2**bits - 1``: uint32 up to 32 bits, uint64 up to 64."""
        if not 1 <= bits <= 64:
            raise ValueError(f"bits must be 1 to 64, not {bits}")
        dtype = np.dtype(np.uint32 if bits <= 32 else np.uint64)
        out = self._words(shape, dtype)
        if bits != 8 * dtype.itemsize:
            np.bitwise_and(out, dtype.type(2**bits - 1), out=out)
        return out

    def below(self, bound: int, shape: int | tuple[int, ...]) -> NDArray[np.uint64]:
        """Return integers uniform below `bound`, by rejection.

        Parameters
        ----------
        bound : int
            1 to 2^64.
        shape : int or tuple of int
            Shape of the result.

        Returns
        -------
        ndarray of uint64
            The time depends on which words were rejected, which is independent of those returned.
        """
        if not 1 <= bound <= 1 << 64:
            raise ValueError(f"bound must be 1 to 2^64, not {bound}")
        out = np.empty(shape, np.uint64)
        flat = out.reshape(-1)
        bits = max(1, (bound - 1).bit_length())
        done = 0
        while done < flat.size:
            words = self.words(flat.size - done, bits).astype(np.uint64, copy=False)
            kept = words if bound == 1 << 64 else words[words < np.uint64(bound)]
            flat[done : done + kept.size] = kept
            done += kept.size
        return out
