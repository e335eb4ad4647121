"""The private key: in locked memory outside Python, wiped when closed, and refusing to travel."""

from __future__ import annotations

import os
from typing import Any, NoReturn, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _parallel
from .._frozen import Frozen
from .._kernels.paillier import PaillierPrivate
from .._numeric import as_int
from .._once import Uncopied
from ..encoding import FixedPoint
from ..errors import InvalidKey
from ..storage import files
from . import array as arrays
from . import encrypting, keyfile
from .array import CipherArray
from .public_key import PublicKey
from .scheme import PrivateBase, scheme_of

__all__ = ["PrivateKey"]


@final
class PrivateKey(PrivateBase, Frozen, Uncopied):
    """A Paillier private key: decrypts, and encrypts long arrays at least as fast as the public key does.

    It refuses to be printed, copied or pickled; :meth:`save` writes it under a passphrase. :meth:`close`, or leaving a
    ``with`` block, wipes it; a forked child cannot use it (load it there).

    Parameters
    ----------
    p, q : int
        The primes, of one length. Everything is checked anew, with 64 strong tests of each prime.
    suite : {"djn", "standard"}, optional
        As in :class:`PublicKey`.
    hs : int, optional
        As in :class:`PublicKey`.

    Raises
    ------
    InvalidKey
        If a check of :mod:`bluetusk.paillier.validate` fails; the message names the number and the condition, and
        shows no number.
    TypeError
        If `p`, `q` or `hs` is not an integer, or `suite` not a str.

    Examples
    --------
    >>> from bluetusk.paillier import generate_keypair
    >>> _, key = generate_keypair()
    >>> with key:
    ...     key.decrypt_integers(key.encrypt([5, -6])).tolist()
    [5, -6]
    >>> key.closed
    True
    """

    __slots__ = ("__weakref__", "_kernel", "_public")

    _kernel: PaillierPrivate
    _public: PublicKey

    _unchanging = "a private key cannot be changed ({}); make another"

    def __init__(self, p: int, q: int, *, suite: str = "djn", hs: int | None = None) -> None:
        if hasattr(self, "_kernel"):
            raise TypeError(self._unchanging.format("building it twice"))
        scheme = scheme_of(suite)
        p, q = as_int(p, "p"), as_int(q, "q")
        scheme.check_primes(p, q)
        public = PublicKey(scheme.modulus(p, q), hs, suite=suite)
        if public.given_hs and public.hs is not None:
            scheme.check_chosen(public.hs, p, q)
        self._adopt(p, q, public)

    def _adopt(self, p: int, q: int, public: PublicKey) -> None:
        self._put(_public=public, _kernel=public._scheme.private(public._kernel, p, q, public.hs))
        public._blinder.proven = True  # two different primes of one length: neither divides the other less 1

    @classmethod
    def _generated(cls, p: int, q: int, suite: str) -> PrivateKey:
        """Build a key of primes that this process has just found and tested."""
        key = cls.__new__(cls)
        key._adopt(p, q, PublicKey(scheme_of(suite).modulus(p, q), suite=suite))
        return key

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a private key cannot be changed (deleting {name!r}); call close() to wipe it")

    @property
    def public_key(self) -> PublicKey:
        """PublicKey : the public half; it stays usable after :meth:`close`.

        Examples
        --------
        >>> priv.public_key == pub
        True
        """
        return self._public

    @property
    def closed(self) -> bool:
        """Whether the key is wiped, or belongs to the parent of this process.

        Examples
        --------
        >>> priv.closed
        False
        """
        return bool(self._kernel.closed)

    def __repr__(self) -> str:
        public = self._public
        state = ", closed" if self.closed else ""
        return f"<PrivateKey {public.bits} bits, {public.suite}, fingerprint {public.fingerprint[:8].hex()}{state}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a private key cannot be pickled; write it with save(path, passphrase)")

    def __copy__(self) -> NoReturn:
        raise TypeError("a private key cannot be copied; use the one there is, or load it again")

    def encrypt(
        self,
        array: ArrayLike,
        plan: FixedPoint | None = None,
        *,
        packed: bool = False,
        threads: int | None = None,
        progress: _parallel.Progress | None = None,
    ) -> CipherArray:
        """Encrypt an array as its owner: in suite ``djn``, long arrays modulo p^2 and q^2 where that is faster.

        From 512 ciphertexts on (16 on the mpn backend) the result is computed modulo p^2 and q^2 and checked before it
        is released. Fewer, and any number in suite ``standard``, are made as by :meth:`PublicKey.encrypt`.

        Parameters
        ----------
        array, plan, packed, threads, progress
            As in :meth:`PublicKey.encrypt`.

        Returns
        -------
        CipherArray
            Indistinguishable from one that the public key made.

        Raises
        ------
        InvalidKey
            If the key is closed, belongs to the parent of this process, or the check fails.
        EncodingOverflow, TypeError, ValueError
            As in :meth:`PublicKey.encrypt`.

        Examples
        --------
        >>> priv.decrypt_integers(priv.encrypt([1, 2]) + pub.encrypt([3, 4])).tolist()
        [4, 6]
        """
        return arrays.encrypt(self, array, plan, packed=packed, threads=threads, progress=progress)

    def decrypt(
        self, c: CipherArray, *, threads: int | None = None, progress: _parallel.Progress | None = None
    ) -> NDArray[np.float64]:
        """Decrypt an array to real numbers.

        Parameters
        ----------
        c : CipherArray
            Encrypted under this key.
        threads : int, optional
            Overrides :func:`bluetusk.set_num_threads`.
        progress : callable, optional
            Called as ``progress(done, total)``.

        Returns
        -------
        ndarray of float64
            The exact results, each rounded once.

        Raises
        ------
        InvalidKey
            If the key is closed or `c` is under another key.
        DecryptionError
            If decryption fails, whatever the cause.

        Examples
        --------
        >>> import bluetusk as bt
        >>> priv.decrypt(pub.encrypt([0.5, -1.25], bt.FixedPoint()))
        array([ 0.5 , -1.25])
        """
        ints = encrypting.decrypted(self, c, threads=threads, progress=progress)
        return np.asarray(c.plan.to_float(ints, c.frac), dtype=np.float64).reshape(c.shape)

    def decrypt_integers(
        self, c: CipherArray, *, threads: int | None = None, progress: _parallel.Progress | None = None
    ) -> NDArray[Any]:
        """Decrypt an array to the exact integers in it.

        Parameters
        ----------
        c : CipherArray
            Encrypted under this key.
        threads : int, optional
            Overrides :func:`bluetusk.set_num_threads`.
        progress : callable, optional
            Called as ``progress(done, total)``.

        Returns
        -------
        ndarray of int64, or of Python int where they do not fit
            The integers, before any scale of the plan.

        Raises
        ------
        InvalidKey, DecryptionError
            As in :meth:`decrypt`.

        Examples
        --------
        >>> priv.decrypt_integers(pub.encrypt([[1, -2]])).tolist()
        [[1, -2]]
        """
        return encrypting.decrypted(self, c, threads=threads, progress=progress)

    def _roots(self, numbers: NDArray[np.uint64], out: NDArray[np.uint64]) -> None:
        """Write n-th roots modulo n, for :mod:`bluetusk.paillier.proofs`.

        Parameters
        ----------
        numbers : ndarray of uint64, shape (k, bits / 64)
            At most 16 units modulo n, canonical, least significant limb first. They and their roots are public.
        out : ndarray of uint64, shape (k, bits / 64)
            Where the roots go.

        Raises
        ------
        InvalidKey
            If the key is closed, or the check of the roots fails; then `out` is zero.
        """
        self._kernel.roots(out, numbers)

    def close(self) -> None:
        """Wipe the key; calls in flight finish first, later ones raise InvalidKey. Closing twice does nothing.

        Examples
        --------
        >>> from bluetusk.paillier import generate_keypair
        >>> public, key = generate_keypair()
        >>> key.close()
        >>> key  # doctest: +ELLIPSIS
        <PrivateKey 3072 bits, djn, fingerprint ..., closed>
        """
        self._kernel.close()

    def __enter__(self) -> PrivateKey:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def save(self, path: str | os.PathLike[str], passphrase: str | bytes, *, overwrite: bool = False) -> None:
        """Write the key to a file of mode 0600, encrypted under a passphrase, whole or not at all.

        Parameters
        ----------
        path : path-like
            The file to write. A symbolic link there is not followed.
        passphrase : str or bytes
            Not empty; its strength is all that protects a stolen file. Every guess costs 128 MiB and a third of a
            second (scrypt, N = 2^17).
        overwrite : bool, optional
            Replace a file that is there.

        Raises
        ------
        FileExistsError
            If `path` exists and `overwrite` is False.
        InvalidKey
            If the key is closed.
        OSError
            If the file cannot be written; nothing is left behind then.
        TypeError, ValueError
            If `passphrase` is neither str nor bytes, or is empty.

        Examples
        --------
        >>> import os, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "bank.key")
        ...     priv.save(path, "seven quiet otters")
        ...     PrivateKey.load(path, "seven quiet otters").public_key == pub
        True
        """
        public = self._public
        p, q = (int.from_bytes(prime, "little") for prime in self._kernel.export_primes())
        hs = public.hs if public.given_hs else None
        material = keyfile.Material(public.bits, public.suite, public.fingerprint, p, q, hs)
        files.write(path, keyfile.seal(material, passphrase), overwrite=overwrite, what="key file")

    @classmethod
    def load(cls, path: str | os.PathLike[str], passphrase: str | bytes) -> PrivateKey:
        """Read a key that :meth:`save` wrote, and check everything as for a foreign key.

        Parameters
        ----------
        path : path-like
            The file.
        passphrase : str or bytes
            The passphrase.

        Returns
        -------
        PrivateKey
            The key.

        Raises
        ------
        InvalidKey
            If the passphrase is wrong, the file is altered or not a key file (one message for all), or the key in it
            fails a check.
        OSError
            If the file cannot be read.
        TypeError, ValueError
            If `passphrase` is neither str nor bytes, or is empty.

        Examples
        --------
        >>> PrivateKey.load("/dev/null", "seven quiet otters")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        bluetusk.errors.InvalidKey: this is not a bluetusk private-key file, ...
        """
        material = keyfile.unseal(keyfile.read(path), passphrase)
        key = cls(material.p, material.q, suite=material.suite, hs=material.hs)
        if key._public.fingerprint != material.fingerprint:
            key.close()
            raise InvalidKey("the key in this file does not have the fingerprint that the file says; use its backup")
        return key
