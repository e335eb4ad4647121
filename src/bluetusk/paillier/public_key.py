"""The public key: checked when built, and never changed after."""

from __future__ import annotations

from typing import Any, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _parallel
from .._frozen import Frozen
from .._kernels.paillier import PaillierPublic
from .._numeric import as_int
from ..encoding import FixedPoint
from ..errors import FrameError, InvalidKey
from ..wire import frame
from . import array as arrays
from . import jwk, validate
from .array import CipherArray
from .blinding import Blinder, shared_blinder
from .fingerprint import spoken
from .scheme import SCHEMES, PublicBase, Scheme, scheme_of

__all__ = ["PublicKey"]


@final
class PublicKey(PublicBase, Frozen):
    """A Paillier public key: encrypts arrays and computes on them.

    Equal keys have equal fingerprints; keys can be dictionary keys. A pickle holds the bytes of :meth:`to_bytes`, which
    are checked when it is loaded, and whether the key is :attr:`proven` (never load a pickle that a peer sent).

    Parameters
    ----------
    n : int
        The modulus, of exactly 2048, 3072 or 4096 bits.
    hs : int, optional
        Suite ``djn``: the base of the obfuscators where the key's maker chose it, as PPCA 10-2023 allows. Leave it
        out for keys of this package, whose hs is derived from n.
    suite : {"djn", "standard"}, optional
        How ciphertexts are blinded: by hs^a, or by r^n.

    Raises
    ------
    InvalidKey
        If a check of :mod:`bluetusk.paillier.validate` fails; the message names the number and the condition.
    TypeError
        If `n` or `hs` is not an integer, or `suite` not a str.

    Examples
    --------
    >>> from bluetusk.paillier import PublicKey
    >>> PublicKey(pub.n) == pub
    True
    >>> PublicKey(pub.n, suite="standard") == pub
    False
    """

    __slots__ = ("__weakref__", "_blinder", "_capacity", "_fingerprint", "_given_hs", "_hs", "_kernel", "_n", "_scheme")

    _blinder: Blinder
    _capacity: int
    _fingerprint: bytes
    _given_hs: bool
    _hs: int | None
    _kernel: PaillierPublic
    _n: int
    _scheme: Scheme

    _unchanging = "a public key cannot be changed ({}); build another"

    def __init__(self, n: int, hs: int | None = None, *, suite: str = "djn") -> None:
        if hasattr(self, "_kernel"):
            raise TypeError(self._unchanging.format("building it twice"))
        scheme = scheme_of(suite)
        n = as_int(n, "n")
        hs, given_hs = scheme.check_public(n, None if hs is None else as_int(hs, "hs"))
        digest = scheme.fingerprint(n, hs)
        blinder = shared_blinder(digest, n, scheme, hs)
        self._put(
            _n=n,
            _hs=hs,
            _given_hs=given_hs,
            _scheme=scheme,
            _capacity=scheme.capacity(n),
            _fingerprint=digest,
            _kernel=blinder.kernel,
            _blinder=blinder,
        )

    @property
    def n(self) -> int:
        """The modulus, an int.

        Examples
        --------
        >>> pub.n.bit_length()
        2048
        """
        return self._n

    @property
    def nsquare(self) -> int:
        """The int n^2; ciphertexts are units below it.

        Examples
        --------
        >>> pub.nsquare == pub.n**2
        True
        """
        return self._scheme.ciphertext_modulus(self._n)

    @property
    def hs(self) -> int | None:
        """The base of the obfuscators, an int, in suite ``djn``; None in suite ``standard``.

        Examples
        --------
        >>> 1 < pub.hs < pub.nsquare
        True
        """
        return self._hs

    @property
    def given_hs(self) -> bool:
        """Whether the key's maker chose hs; False where hs is derived from n, as in keys of this package.

        Examples
        --------
        >>> pub.given_hs
        False
        """
        return self._given_hs

    @property
    def bits(self) -> int:
        """Size of n in bits: 2048, 3072 or 4096.

        Examples
        --------
        >>> pub.bits
        2048
        """
        return self._n.bit_length()

    @property
    def suite(self) -> str:
        """The suite's name, ``djn`` or ``standard``.

        Examples
        --------
        >>> pub.suite
        'djn'
        """
        return self._scheme.name

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of suite, n and hs: 32 bytes.

        Examples
        --------
        >>> len(pub.fingerprint)
        32
        """
        return self._fingerprint

    @property
    def fingerprint_words(self) -> str:
        """Twelve words of the fingerprint, 96 bits, for two people to compare aloud.

        Finding another key with the same words takes 2^96 attempts. Software compares :attr:`fingerprint`.

        Examples
        --------
        >>> len(pub.fingerprint_words.split())
        12
        """
        return spoken(self._fingerprint)

    @property
    def proven(self) -> bool:
        """Whether this process knows that n is coprime to phi(n) and hs an n-th residue.

        It does if it made or loaded the private key, or checked a proof of the key's owner by
        :func:`~bluetusk.paillier.verify_modulus`; then equal keys are proven, too. Nothing is masked for the owner of a
        key that is not: :meth:`CipherArray.to_shares` and the roles of sums refuse it.

        Examples
        --------
        >>> pub.proven  # this process has the private key
        True
        """
        return self._blinder.proven

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PublicKey):
            return NotImplemented
        return self._fingerprint == other._fingerprint

    def __hash__(self) -> int:
        return hash(self._fingerprint)

    def __repr__(self) -> str:
        given = ", hs given by its maker" if self._given_hs else ""
        return f"<PublicKey {self.bits} bits, {self.suite}{given}, fingerprint {self._fingerprint[:8].hex()}>"

    def __copy__(self) -> PublicKey:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> PublicKey:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (self.to_bytes(), self.proven)

    def encrypt(
        self,
        array: ArrayLike,
        plan: FixedPoint | None = None,
        *,
        packed: bool = False,
        threads: int | None = None,
        progress: _parallel.Progress | None = None,
    ) -> CipherArray:
        """Encrypt an array.

        Parameters
        ----------
        array : array_like
            Numbers of any shape; see :func:`bluetusk.paillier.array.encrypt`.
        plan : FixedPoint, optional
            How numbers become integers. Without one, integers are taken as they are, up to 2^63 - 1 in size, and floats
            by ``FixedPoint()``: 20 binary digits after the point, up to 4 in size.
        packed : bool, optional
            Put as many values of the last axis into each ciphertext as the plan allows.
        threads : int, optional
            Overrides :func:`bluetusk.set_num_threads`.
        progress : callable, optional
            Called as ``progress(done, total)``.

        Returns
        -------
        CipherArray
            Of the shape of `array`.

        Raises
        ------
        EncodingOverflow
            If a value exceeds what the plan admits.
        TypeError, ValueError
            If `array` does not hold finite numbers.

        References
        ----------
        PPCA 10-2023 Annex A.1: (1 + m n) hs^a mod n^2.

        Examples
        --------
        >>> c = pub.encrypt([1, 2, 3])
        >>> priv.decrypt_integers(c + c).tolist()
        [2, 4, 6]
        """
        return arrays.encrypt(self, array, plan, packed=packed, threads=threads, progress=progress)

    def precompute(self, k: int, *, threads: int | None = None, progress: _parallel.Progress | None = None) -> None:
        """Prepare obfuscators ahead of time; the next `k` encryptions then cost one product each.

        The pool is held in memory only, each of its entries is used once, and a forked child starts with none.

        Parameters
        ----------
        k : int
            How many to add.
        threads : int, optional
            Overrides :func:`bluetusk.set_num_threads`.
        progress : callable, optional
            Called as ``progress(done, k)``.

        Raises
        ------
        TypeError, ValueError
            If `k` is negative or not an integer.

        Examples
        --------
        >>> pub.precompute(8)
        """
        count = as_int(k, "k", 0)
        if count:
            self._blinder.precompute(count, threads=threads, progress=progress)

    def _blind(self, dst: NDArray[np.uint64], lo: int, hi: int) -> None:
        self._blinder.fill(dst, lo, hi)

    def to_bytes(self) -> bytes:
        """Return the key as one frame.

        Returns
        -------
        bytes
            Header: bits, suite, fingerprint, given_hs; payload: n and, only if its maker chose it, hs, little-endian.

        Examples
        --------
        >>> PublicKey.from_bytes(pub.to_bytes()) == pub
        True
        """
        header = {
            "bits": self.bits,
            "suite": self.suite,
            "fingerprint": self._fingerprint,
            "given_hs": self._given_hs,
        }
        payload = self._n.to_bytes(self.bits // 8, "little")
        if self._given_hs and self._hs is not None:
            payload += self._hs.to_bytes(self.bits // 4, "little")
        return frame.encode(frame.Kind.PUBLIC_KEY, header, payload)

    @classmethod
    def from_bytes(cls, data: bytes | bytearray | memoryview) -> PublicKey:
        """Read a key from one frame and check it.

        Parameters
        ----------
        data : bytes-like
            What :meth:`to_bytes` returned. The fingerprint in it detects damage, not an attacker, who would change
            both: compare :attr:`fingerprint_words` with the owner.

        Returns
        -------
        PublicKey
            The key.

        Raises
        ------
        FrameError
            If `data` is not one frame of this kind.
        InvalidKey
            If the key in it fails a check.

        Examples
        --------
        >>> PublicKey.from_bytes(pub.to_bytes()[:-1])
        Traceback (most recent call last):
            ...
        bluetusk.errors.FrameError: frame is truncated: its header gives 331 bytes, 330 are there
        """
        decoded = frame.decode(data, frame.Kind.PUBLIC_KEY, max_payload=max(validate.KEY_BITS) * 3 // 8)
        header = decoded.header
        frame.check_fields(header, ("bits", "suite", "fingerprint", "given_hs"))
        bits = frame.field(header, "bits", int)
        validate.check_bits(bits)
        suite = frame.field(header, "suite", str, choices=SCHEMES)
        digest = frame.field(header, "fingerprint", bytes, length=32)
        given = frame.field(header, "given_hs", bool, choices=(False, True) if scheme_of(suite).has_base else (False,))
        size = bits // 8
        payload = bytes(decoded.payload)
        if len(payload) != size * (3 if given else 1):
            raise FrameError(f"frame payload of {len(payload)} bytes does not fit a key of {bits} bits")
        n = int.from_bytes(payload[:size], "little")
        if n.bit_length() != bits:
            raise InvalidKey(f"n has {n.bit_length()} bits, but its frame says {bits}; ask for the key again")
        key = cls(n, int.from_bytes(payload[size:], "little") if given else None, suite=suite)
        if key._fingerprint != digest or key._given_hs is not given:
            raise InvalidKey("the key does not have the fingerprint that its frame says; ask for the key again")
        return key

    def to_json(self) -> str:
        """Return the key as JSON in the manner of a JWK (RFC 7517), with the names that phe's command line uses.

        Returns
        -------
        str
            An object with ``kty`` "DAJ", ``alg`` "PAI-GN1", ``key_ops`` ["encrypt"], ``n`` (base64url), ``kid`` (with
            the fingerprint in hexadecimal), ``suite`` and, in suite ``djn``, ``hs``.

        Examples
        --------
        >>> import json
        >>> sorted(json.loads(pub.to_json()))
        ['alg', 'hs', 'key_ops', 'kid', 'kty', 'n', 'suite']
        """
        return jwk.dump(jwk.Members(self._n, self._hs, self.suite, self._fingerprint))

    @classmethod
    def from_json(cls, text: str | bytes) -> PublicKey:
        """Read a key from JSON and check it.

        Unknown members are ignored, as RFC 7517 section 4 requires; members of a private key are refused. A
        key without ``suite``, such as phe writes, is of suite ``standard``.

        Parameters
        ----------
        text : str or bytes
            What :meth:`to_json` returned, or a public key of phe's command line; at most 16 KiB.

        Returns
        -------
        PublicKey
            The key.

        Raises
        ------
        InvalidKey
            If `text` is not such an object, or the key in it fails a check.
        TypeError
            If `text` is neither str nor bytes.

        Examples
        --------
        >>> PublicKey.from_json(pub.to_json()) == pub
        True
        """
        members = jwk.parse(text)
        key = cls(members.n, members.hs, suite=members.suite)
        if members.fingerprint not in (None, key._fingerprint):
            raise InvalidKey("the key does not have the fingerprint that its kid says; ask for the key again")
        return key


def _unpickled(data: bytes, proven: bool) -> PublicKey:
    key = PublicKey.from_bytes(data)
    key._blinder.proven |= proven
    return key
