"""Writes and reads encrypted arrays: frames for peers, streams, and pickles for the user's own processes."""

from __future__ import annotations

import io
import pickle
from typing import TYPE_CHECKING, Any, BinaryIO, SupportsIndex, TypeVar

import numpy as np

from .. import _parallel
from ..encoding import FixedPoint
from ..errors import FrameError
from ..wire import frame
from . import _frames, encrypting
from ._base import CipherBase
from ._store import Store, rerandomise
from .scheme import PublicBase

if TYPE_CHECKING:
    from typing_extensions import Self

    from . import PublicKey

__all__ = ["Wire", "check_plan"]

P = TypeVar("P", bound="Wire")


class Wire(CipherBase):
    """The part of an encrypted array that becomes bytes."""

    __slots__ = ()

    def to_bytes(self, bound: int | None = None, *, threads: int | None = None) -> bytes:
        """Return the array as one frame.

        Parameters
        ----------
        bound : int, optional
            The bound on ``|v|`` that the frame declares. By default the plan's: its limit Q for a fresh
            array, Q times ``max_weight`` for a result of arithmetic. Needed where the array's own bound is larger.
        threads : int, optional
            Overrides :func:`bluetusk.set_num_threads`.

        Returns
        -------
        bytes
            Elements that arithmetic made are re-randomised once, now; later calls give the same bytes.

        Raises
        ------
        EncodingOverflow
            If the plan does not cover the array's bound and `bound` is not given, is below it, or beyond the capacity.

        Examples
        --------
        >>> import bluetusk as bt
        >>> c = pub.encrypt([1.0, 2.0]) + pub.encrypt([0.5, 0.25])
        >>> data = c.to_bytes()
        >>> data == c.to_bytes()
        True
        >>> priv.decrypt(bt.CipherArray.from_bytes(data, pub))
        array([1.5 , 2.25])
        """
        fp = io.BytesIO()
        self.write_to(fp, bound, threads=threads)
        return fp.getvalue()

    @classmethod
    def from_bytes(
        cls,
        data: bytes | bytearray | memoryview,
        pub: PublicKey,
        plan: FixedPoint | None = None,
        *,
        threads: int | None = None,
    ) -> Self:
        """Read an array from a frame that anyone may have written.

        Parameters
        ----------
        data : bytes-like
            One whole frame.
        pub : PublicKey
            The key under which the array must be encrypted.
        plan : FixedPoint, optional
            The plan that this session agreed on. If given, the frame must carry the same one, and the array's bound is
            the smaller of the declared one and the plan's.
        threads : int, optional
            Overrides :func:`bluetusk.set_num_threads`.

        Returns
        -------
        CipherArray

        Raises
        ------
        FrameError
            If the bytes are not a well-formed frame of an encrypted array.
        InvalidKey
            If it was made under another key or suite.
        InvalidCiphertext
            If an element is 0, not below n^2, or shares a factor with n, naming the first one.
        ValueError
            If its plan is not `plan`.

        Examples
        --------
        >>> import bluetusk as bt
        >>> data = pub.encrypt([0.5, 1.5]).to_bytes()
        >>> bt.CipherArray.from_bytes(data, pub, bt.FixedPoint()).shape
        (2,)
        """
        _check_arguments(pub, plan, threads)
        got = frame.decode(data, frame.Kind.CIPHER_ARRAY)
        said = _frames.parse_header(got.header, got.payload.nbytes, pub, plan)
        return cls._received(said, _frames.take_payload(got.payload, said, pub, threads), pub)

    def write_to(self, fp: BinaryIO, bound: int | None = None, *, threads: int | None = None) -> int:
        """Write the array as one frame to a binary stream, about 1 MiB at a time.

        Parameters
        ----------
        fp : binary file object
            The stream to write to.
        bound : int, optional
            As for :meth:`to_bytes`.
        threads : int, optional
            Overrides :func:`bluetusk.set_num_threads`.

        Returns
        -------
        int
            Bytes written.

        Raises
        ------
        EncodingOverflow
            As :meth:`to_bytes`; nothing has been written then.

        Examples
        --------
        >>> import io
        >>> fp = io.BytesIO()
        >>> pub.encrypt([1, 2]).write_to(fp) == len(fp.getvalue())
        True
        """
        _parallel.resolve_threads(threads)
        header = _frames.header_of(self, bound)
        rerandomise(self._store, self._flat(), self._pub, threads=threads)  # from here on its bytes stay the same
        written = frame.write_header(fp, frame.Kind.CIPHER_ARRAY, header, self.nbytes)
        for piece in _frames.chunks(self, threads):
            frame.write_all(fp, piece)
            written += len(piece)
        return written

    @classmethod
    def read_from(
        cls, fp: BinaryIO, pub: PublicKey, plan: FixedPoint | None = None, *, threads: int | None = None
    ) -> Self:
        """Read an array from a binary stream and leave the stream right behind its frame.

        Parameters
        ----------
        fp : binary file object
            The stream to read from.
        pub : PublicKey
            The key under which the array must be encrypted.
        plan : FixedPoint, optional
            As for :meth:`from_bytes`.
        threads : int, optional
            Overrides :func:`bluetusk.set_num_threads`.

        Returns
        -------
        CipherArray
            Memory grows with the bytes that arrive, not with the length that the frame claims.

        Raises
        ------
        FrameError, InvalidKey, InvalidCiphertext, ValueError
            As :meth:`from_bytes`.

        Examples
        --------
        >>> import io
        >>> import bluetusk as bt
        >>> fp = io.BytesIO(pub.encrypt([1, 2]).to_bytes() + b"next")
        >>> bt.CipherArray.read_from(fp, pub).shape, fp.read()
        ((2,), b'next')
        """
        _check_arguments(pub, plan, threads)
        header, payload_len = frame.read_header(fp, frame.Kind.CIPHER_ARRAY)
        said = _frames.parse_header(header, payload_len, pub, plan)
        return cls._received(said, _frames.read_payload(fp, said, pub, threads), pub)

    @classmethod
    def _received(cls, said: _frames.Received, store: Store, pub: PublicKey) -> Self:
        index = np.arange(store.n, dtype=np.int64).reshape(said.index_shape)
        return cls._make(store, index, pub, said.plan, said.frac, said.bound, said.packing)

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        """Pickle for the user's own processes; protocol 5 hands the ciphertexts over as one out-of-band buffer.

        A pickle is not for peers: unpickling runs code of whoever wrote it, and it carries the exact bound.
        """
        rerandomise(self._store, self._flat(), self._pub)
        canon = encrypting.canonical(self).astype("<u8", copy=False).reshape(-1)
        raw = pickle.PickleBuffer(canon.data) if protocol.__index__() >= 5 else canon.tobytes()
        state = (raw, self._pub, self._plan, self.shape, self._frac, self._bound, self.slot_bits, self.fresh)
        return _unpickled, (type(self), *state)


def _check_arguments(pub: object, plan: object, threads: int | None) -> None:
    if not isinstance(pub, PublicBase):
        raise TypeError(f"pub must be a PublicKey, not {type(pub).__name__}")
    check_plan(plan, optional=True)
    _parallel.resolve_threads(threads)


def check_plan(plan: object, *, optional: bool = False) -> None:
    """Refuse anything but a FixedPoint."""
    if not isinstance(plan, FixedPoint) and not (optional and plan is None):
        raise TypeError(f"plan must be a FixedPoint, not {type(plan).__name__}")


def _unpickled(
    kind: type[P],
    raw: Any,
    pub: PublicKey,
    plan: FixedPoint,
    shape: tuple[int, ...],
    frac: int,
    bound: int,
    slot_bits: int,
    fresh: bool,
) -> P:
    packing = encrypting.packing_for(pub, plan, shape, slot_bits) if slot_bits else None
    said = _frames.Received(tuple(shape), packing, plan, frac, bound, fresh)
    payload = np.frombuffer(raw, dtype=np.uint8).data
    if payload.nbytes != said.count * pub._kernel.mont.nbytes:
        raise FrameError("the pickle of an encrypted array has a buffer of the wrong length")
    return kind._received(said, _frames.take_payload(payload, said, pub, None), pub)
